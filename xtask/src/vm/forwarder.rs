//! Our forwarder in the guest: its command line, its start and its summary.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::guest::{Guest, Program, Vf};
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
        let ended = self.0.stop(guest)?;
        ensure!(ended.code == 0, "vfwire ended with {}:\n{}", ended.code, ended.stderr);
        let lines = ended.stdout.trim();
        let summary: Value = serde_json::from_str(lines).with_context(|| format!("not one JSON object on stdout: {lines:?}"))?;
        Ok(Summary(summary))
    }
}

/// The JSON object of a run.
pub(super) struct Summary(Value);

impl Summary {
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
