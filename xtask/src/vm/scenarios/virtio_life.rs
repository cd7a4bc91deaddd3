//! Ends and troubles of virtio-net functions: killed, the cable pulled, asked back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::traffic::{VF_A, swapped};
use super::virtio::at;
use crate::vm::forwarder::{self, Forwarder};
use crate::vm::lab::{At, Lab};
use crate::vm::wire::exchange;

const KILLS: u32 = 3;
/// Releasing a function resets it, which takes 100 ms.
const LIMIT: Duration = Duration::from_secs(15);
const NAMES: [&str; 2] = ["split", "packed"];

fn start(lab: &mut Lab, at: At) -> Result<Forwarder> {
    let command = forwarder::command(&[&lab.function(at)], "mac-swap", &format!("--mac {}", forwarder::text(VF_A)));
    Forwarder::start(&mut lab.guest, &command)
}

fn traffic_flows(lab: &mut Lab, at: At) -> Result<()> {
    let stream = swapped(lab, 1000);
    exchange(&stream, 64, lab.wire(at), lab.wire(at))
}

/// Killed with frames on their way to it, and started again at once.
pub(super) fn killed(lab: &mut Lab) -> Result<()> {
    for name in NAMES {
        for round in 1..=KILLS {
            let forwarder = start(lab, at(name)).with_context(|| format!("{name}, start {round}"))?;
            traffic_flows(lab, at(name)).with_context(|| format!("{name}, start {round}"))?;
            let late = swapped(lab, 8);
            (0..late.frames).try_for_each(|sequence| lab.wire(at(name)).send(&late.sent(sequence)))?;
            forwarder.0.signal(&mut lab.guest, "KILL")?;
            let ended = forwarder.0.wait(&mut lab.guest, LIMIT)?;
            // A shell's words for a program that signal 9 ended.
            ensure!(ended.code == 137, "the forwarder ended with {} instead of being killed: {}", ended.code, ended.stderr);
        }
        let forwarder = start(lab, at(name)).context("the last start")?;
        traffic_flows(lab, at(name)).context("after the last start")?;
        forwarder.stop(&mut lab.guest)?;
    }
    Ok(())
}

/// The link goes down and up: both are said, and frames flow again.
pub(super) fn cable(lab: &mut Lab) -> Result<()> {
    for name in NAMES {
        let forwarder = start(lab, at(name))?;
        traffic_flows(lab, at(name))?;
        for (is_up, event) in [(false, "LinkDown"), (true, "LinkUp")] {
            lab.qmp.command("set_link", json!({ "name": format!("wire-{name}"), "up": is_up }))?;
            forwarder.0.wait_for_words(&mut lab.guest, event, LIMIT).with_context(|| name.to_owned())?;
        }
        traffic_flows(lab, at(name)).with_context(|| format!("{name}, after the link came up"))?;
        forwarder.stop(&mut lab.guest)?;
    }
    Ok(())
}

/// The kernel wants the function back: it is let go of, and can be had again.
pub(super) fn asked_back(lab: &mut Lab) -> Result<()> {
    for name in NAMES {
        let function = lab.function(at(name)).address;
        let forwarder = start(lab, at(name))?;
        traffic_flows(lab, at(name))?;
        let request = lab.guest.start(&format!("echo {function} > /sys/bus/pci/devices/{function}/driver/unbind"))?;
        let ended = forwarder.0.wait(&mut lab.guest, LIMIT)?;
        ensure!(ended.stderr.contains("Removed"), "{name}: nothing about a removal on stderr: {}", ended.stderr);
        let request = request.wait(&mut lab.guest, LIMIT).context("the request for the device still blocks")?;
        ensure!(request.code == 0, "the request for the device failed: {}", request.stderr);
        lab.guest.run("sh /vm/baseline.sh")?;
        let forwarder = start(lab, at(name)).context("after the function came back")?;
        traffic_flows(lab, at(name))?;
        forwarder.stop(&mut lab.guest)?;
    }
    Ok(())
}
