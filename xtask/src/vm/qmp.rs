//! QEMU's own control socket (QMP): what happens to a machine from outside, such as a cable that is pulled.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::qemu::short_path;

/// The socket's name in the folder of the machine.
pub(super) const SOCKET: &str = "qmp";
/// QEMU answers between two steps of the guest, which may take a while on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// More than any answer that is asked for here.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A conversation with one machine.
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
    /// Devices that were unplugged while something else was awaited.
    unplugged: Vec<String>,
}

impl Qmp {
    pub(super) fn connect(folder: &Path) -> Result<Self> {
        let stream = UnixStream::connect(short_path(folder, SOCKET)?.path()).context("QEMU's control socket")?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        let mut qmp = Self { stream: BufReader::new(stream), unplugged: Vec::new() };
        let greeting = qmp.read(Instant::now() + ANSWER_LIMIT)?;
        ensure!(greeting.get("QMP").is_some(), "QEMU greets with {greeting}");
        qmp.command("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and gives what it returns.
    pub(super) fn command(&mut self, name: &str, arguments: Value) -> Result<Value> {
        writeln!(self.stream.get_mut(), "{}", json!({ "execute": name, "arguments": arguments }))?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            let mut answer = self.read(deadline).with_context(|| format!("QMP {name}"))?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refused {name} {arguments}: {error}");
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            self.unplugged.extend(unplugged(&answer));
        }
    }

    /// Runs a command of the human monitor, which complains in what it returns.
    pub(super) fn human(&mut self, line: &str) -> Result<()> {
        let said = self.command("human-monitor-command", json!({ "command-line": line }))?;
        let said = said.as_str().unwrap_or_default().trim();
        // What succeeded starts with `OK` or says nothing.
        ensure!(said.is_empty() || said.starts_with("OK"), "QEMU's monitor answered `{line}` with: {said}");
        Ok(())
    }

    /// Waits until this device is unplugged, unless it is already.
    pub(super) fn wait_unplugged(&mut self, device: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(at) = self.unplugged.iter().position(|id| id == device) {
                self.unplugged.remove(at);
                return Ok(());
            }
            let message = self.read(deadline).with_context(|| format!("{device} was not unplugged within {limit:?}"))?;
            self.unplugged.extend(unplugged(&message));
        }
    }

    fn read(&mut self, deadline: Instant) -> Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "QEMU does not answer");
        self.stream.get_ref().set_read_timeout(Some(left))?;
        let mut line = String::new();
        let length = self.stream.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).context("QEMU does not answer")?;
        ensure!(length > 0, "QEMU closed its control socket");
        serde_json::from_str(&line).with_context(|| format!("QEMU said {line:?}"))
    }
}

/// Whose unplugging an event reports. A PF reports that of its VFs as well, which have no name.
fn unplugged(message: &Value) -> Option<String> {
    (message["event"] == "DEVICE_DELETED").then(|| message["data"]["device"].as_str().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::unplugged;
    use serde_json::json;

    #[test]
    fn only_a_device_with_a_name_is_awaited() {
        let event = |name: &str, data| json!({ "event": name, "data": data });
        assert_eq!(unplugged(&event("DEVICE_DELETED", json!({ "device": "device-a", "path": "/x" }))).as_deref(), Some("device-a"));
        assert_eq!(unplugged(&event("DEVICE_DELETED", json!({ "path": "/x" }))), None);
        assert_eq!(unplugged(&event("RESUME", json!({ "device": "device-a" }))), None);
        assert_eq!(unplugged(&json!({ "return": {} })), None);
    }
}
