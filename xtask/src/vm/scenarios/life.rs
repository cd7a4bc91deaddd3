//! An end that nobody wished for: killed under traffic.

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

pub(super) fn traffic_flows(lab: &mut Lab) -> Result<()> {
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
