//! A flight recording made in the guest, and run again there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::vm::devices::At;
use crate::vm::forwarder::{self, Forwarder};
use crate::vm::lab::Lab;

const LIMIT: Duration = Duration::from_secs(20);
const FILE: &str = "/tmp/port.rec";

/// What a driver does to QEMU's device through a start, refusals, a reset of the PF and a stop is what it does when that is replayed.
pub(super) fn replays(lab: &mut Lab) -> Result<()> {
    let vf = lab.function(At::Pf(0));
    let options = format!("--vlan 5 --promiscuous --flight-recorder {FILE}");
    let forwarder = Forwarder::start(&mut lab.guest, &forwarder::command(&[&vf], "mac-swap", &options))?;
    forwarder.0.wait_for_words(&mut lab.guest, "LinkUp", LIMIT)?;
    for (change, word) in [("down", "ResetStarted"), ("up", "Recovered")] {
        lab.guest.run(&format!("ip link set {} {change}", vf.pf))?;
        forwarder.0.wait_for_words(&mut lab.guest, word, LIMIT)?;
    }
    forwarder.0.signal(&mut lab.guest, "USR1")?;
    forwarder.0.wait_for_words(&mut lab.guest, "flight recorder was written", LIMIT)?;
    forwarder.stop(&mut lab.guest)?;
    let told = lab.guest.run(&format!("vfwire inspect {FILE}"))?;
    for words in ["SET_VLAN", "answer to SET_PROMISC: refused", "= ResetStarted", "= Recovered", "close"] {
        ensure!(told.contains(words), "vfwire inspect says nothing of {words:?}:\n{told}");
    }
    lab.guest.run(&format!("vfwire inspect {FILE} --replay")).context("the driver does something else than a minute ago")?;
    let model = lab.guest.run(&format!("vfwire inspect {FILE} --model"))?;
    ensure!(model.contains("the model answered"), "{model}");
    Ok(())
}
