//! Our forwarder in the guest: its command line, its start and its summary.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::guest::{Ended, Guest, Program, Vf};
use super::stream::Mac;

/// What it says on stderr once its queues run.
const READY: &str = "vfwire: forwarding";
/// Opening resets the function, which takes 100 ms; the mailbox has its own deadlines.
pub(super) const START_LIMIT: Duration = Duration::from_secs(15);

/// The command line of a forwarder that runs until it is told to end.
pub(super) fn command(vfs: &[&Vf], mode: &str, options: &str) -> String {
    let ports: String = vfs.iter().map(|vf| format!(" --port {}", vf.address)).collect();
    format!("exec vfwire forward{ports} --mode {mode} --duration 300s --json {options}")
}

/// A forwarder whose queues run.
pub(super) struct Forwarder(pub(super) Program);

impl Forwarder {
    pub(super) fn start(guest: &mut Guest, command: &str) -> Result<Self> {
        let program = guest.start(command)?;
        program.wait_for_words(guest, READY, START_LIMIT)?;
        Ok(Self(program))
    }

    /// Ends the forwarder as a user would and gives its summary.
    pub(super) fn stop(self, guest: &mut Guest) -> Result<Summary> {
        self.stop_and_hear(guest).map(|(summary, _)| summary)
    }

    /// The same, and what it said on stderr.
    pub(super) fn stop_and_hear(self, guest: &mut Guest) -> Result<(Summary, String)> {
        let ended = self.0.stop(guest)?;
        Ok((Summary::of(&ended)?, ended.stderr))
    }

    /// The events of its ports until now.
    pub(super) fn events(&self, guest: &mut Guest) -> Result<Vec<Event>> {
        events(&self.0.stderr(guest)?)
    }
}

/// What happened to a port, as `--json` says it.
#[derive(Clone, Debug)]
pub(super) struct Event(Value);

/// The events among what a forwarder said on stderr.
pub(super) fn events(stderr: &str) -> Result<Vec<Event>> {
    // The last line may be half written.
    let whole = stderr.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).map(Event).with_context(|| format!("not JSON: {line}"))).collect()
}

impl Event {
    pub(super) fn is(&self, name: &str) -> bool {
        self.0["event"] == name
    }

    /// A field of the event that is text.
    pub(super) fn text(&self, field: &str) -> Result<&str> {
        self.0[field].as_str().with_context(|| format!("the event has no {field}: {}", self.0))
    }

    /// A time of the guest's monotonic clock.
    pub(super) fn time(&self, field: &str) -> Result<Duration> {
        self.0[field].as_u64().map(Duration::from_micros).with_context(|| format!("the event has no {field}: {}", self.0))
    }
}

/// The JSON object of a run.
pub(super) struct Summary(Value);

impl Summary {
    /// What a forwarder that ended well printed.
    fn of(ended: &Ended) -> Result<Self> {
        ensure!(ended.code == 0, "vfwire ended with {}:\n{}", ended.code, ended.stderr);
        let lines = ended.stdout.trim();
        serde_json::from_str(lines).map(Self).with_context(|| format!("not one JSON object on stdout: {lines:?}"))
    }

    /// A quantile or the count of a histogram of one port.
    pub(super) fn histogram(&self, port: usize, name: &str, part: &str) -> Result<u64> {
        self.0["ports"][port][name][part].as_u64().with_context(|| format!("the summary has no {part} of {name}: {}", self.0))
    }

    /// A counter of one port.
    pub(super) fn counter(&self, port: usize, name: &str) -> Result<u64> {
        self.0["ports"][port][name].as_u64().with_context(|| format!("the summary has no counter {name} of port {port}: {}", self.0))
    }

    /// A figure of the whole run.
    pub(super) fn number(&self, name: &str) -> Result<f64> {
        self.0[name].as_f64().with_context(|| format!("the summary has no {name}: {}", self.0))
    }

    /// An error unless the port counted exactly so many frames in and out, and nothing lost.
    pub(super) fn expect_frames(&self, port: usize, received: u64, transmitted: u64) -> Result<()> {
        let wanted = [("rx_frames", received), ("tx_frames", transmitted), ("rx_dropped", 0), ("rx_errors", 0), ("tx_dropped", 0)];
        for (name, frames) in wanted {
            let counted = self.counter(port, name)?;
            if counted != frames {
                bail!("port {port} counted {counted} {name} instead of {frames}: {}", self.0);
            }
        }
        Ok(())
    }
}

/// A MAC as command lines have it.
pub(super) fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
