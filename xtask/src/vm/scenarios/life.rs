//! Ends that nobody wished for: killed under traffic, and the device asked back while it runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::traffic::{VF_A, swapped};
use crate::vm::forwarder::{self, Forwarder};
use crate::vm::guest::Program;
use crate::vm::lab::Lab;
use crate::vm::wire::{Wire, exchange};

const KILLS: u32 = 10;
/// Releasing a function resets it, which takes 100 ms.
const RELEASE_LIMIT: Duration = Duration::from_secs(15);

fn start(lab: &mut Lab) -> Result<Forwarder> {
    let vf = lab.pfs[0][0].clone();
    let options = format!("--mac {}", forwarder::text(VF_A));
    Forwarder::start(&mut lab.guest, &forwarder::command(&[&vf], "mac-swap", &options))
}

fn traffic_flows(lab: &mut Lab) -> Result<()> {
    let stream = swapped(lab, 300);
    exchange(&stream, 32, &lab.wires[0], &lab.wires[0])
}

pub(super) fn killed(lab: &mut Lab) -> Result<()> {
    for round in 1..=KILLS {
        let forwarder = start(lab).with_context(|| format!("start {round}"))?;
        traffic_flows(lab).with_context(|| format!("after start {round}"))?;
        kill_under_traffic(lab, forwarder.0).with_context(|| format!("kill {round}"))?;
    }
    let forwarder = start(lab).context("the last start")?;
    traffic_flows(lab).context("after the last start")?;
    forwarder.stop(&mut lab.guest)?.expect_frames(0, 300, 300)
}

/// Kills a forwarder while frames keep coming in.
fn kill_under_traffic(lab: &mut Lab, program: Program) -> Result<()> {
    let stream = swapped(lab, u32::MAX);
    let (guest, wire) = (&mut lab.guest, &lab.wires[0]);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| keep_sending(&stream, wire, &over));
        let ended = program.signal(guest, "KILL").and_then(|()| program.wait(guest, RELEASE_LIMIT));
        over.store(true, Ordering::Relaxed);
        let sent = traffic.join().expect("sending does not panic")?;
        let ended = ended?;
        ensure!(sent > 0, "no traffic at the moment of the kill");
        // A shell's words for a program that signal 9 ended.
        ensure!(ended.code == 137, "the forwarder ended with {} instead of being killed: {}", ended.code, ended.stderr);
        Ok(())
    })
}

/// Sends without regard to what comes back, a little slower than the guest can take.
fn keep_sending(stream: &crate::vm::stream::Stream, wire: &Wire, over: &AtomicBool) -> Result<u32> {
    let mut sequence = 0;
    while !over.load(Ordering::Relaxed) {
        wire.send(&stream.sent(sequence))?;
        sequence += 1;
        wire.receive(Duration::from_millis(1))?;
    }
    Ok(sequence)
}

pub(super) fn asked_back(lab: &mut Lab) -> Result<()> {
    let vf = lab.pfs[0][0].clone();
    let ways = [
        ("an unbind", format!("echo {0} > /sys/bus/pci/devices/{0}/driver/unbind", vf.address)),
        ("sriov_numvfs = 0", format!("echo 0 > /sys/class/net/{}/device/sriov_numvfs", vf.pf)),
    ];
    for (what, script) in ways {
        lab.guest.run("sh /vm/baseline.sh")?;
        let forwarder = start(lab)?;
        traffic_flows(lab)?;
        released_for(lab, forwarder.0, &script).with_context(|| format!("asked back by {what}"))?;
    }
    lab.guest.run("sh /vm/baseline.sh")?;
    let forwarder = start(lab).context("after the VF came back")?;
    traffic_flows(lab)?;
    forwarder.stop(&mut lab.guest).map(drop)
}

/// The PF resets under us, in the two ways in which administrators do that.
pub(super) fn recovers(lab: &mut Lab) -> Result<()> {
    let pf = lab.pfs[0][0].pf.clone();
    for (before, after) in [("down", "up"), ("mtu 2000", "mtu 1500")] {
        let forwarder = start(lab)?;
        traffic_flows(lab).context("before the reset")?;
        for change in [before, after] {
            lab.guest.run(&format!("ip link set {pf} {change}"))?;
            forwarder.0.wait_for_words(&mut lab.guest, "ResetStarted", RELEASE_LIMIT)?;
        }
        forwarder.0.wait_for_words(&mut lab.guest, "Recovered", RELEASE_LIMIT)?;
        // The second change of the MTU may come to the forwarder a little later; the link takes two seconds.
        lab.guest.run(&format!("wait_for 10 grep -q 1 /sys/class/net/{pf}/carrier; sleep 1"))?;
        traffic_flows(lab).with_context(|| format!("after `ip link set {pf} {before}` and `{after}`"))?;
        forwarder.stop(&mut lab.guest)?.expect_frames(0, 600, 600)?;
    }
    Ok(())
}

/// Asks for the device as the host's administrator would: the kernel blocks the request until the forwarder has let go.
fn released_for(lab: &mut Lab, forwarder: Program, script: &str) -> Result<()> {
    let request = lab.guest.start(script)?;
    let ended = forwarder.wait(&mut lab.guest, RELEASE_LIMIT)?;
    ensure!(ended.stderr.contains("Removed") || ended.stderr.contains("removed"), "nothing about a removal on stderr: {}", ended.stderr);
    let request = request.wait(&mut lab.guest, RELEASE_LIMIT).context("the request for the device still blocks")?;
    ensure!(request.code == 0, "the request for the device failed: {}", request.stderr);
    Ok(())
}
