//! An end that nobody wished for: killed under traffic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::traffic::{VF_A, swapped};
use crate::vm::devices::At;
use crate::vm::forwarder::{self, Forwarder, Summary};
use crate::vm::guest::Program;
use crate::vm::lab::Lab;
use crate::vm::wire::{Wire, exchange};

const KILLS: u32 = 10;
/// Releasing a function resets it, which takes 100 ms.
const RELEASE_LIMIT: Duration = Duration::from_secs(15);
/// Between two frames, and how long one is offered: a virtio device that nobody drives takes none.
const PACE: Duration = Duration::from_millis(1);

fn start(lab: &mut Lab, at: At) -> Result<Forwarder> {
    let options = format!("--mac {}", forwarder::text(VF_A));
    let command = forwarder::command(&[&lab.function(at)], "mac-swap", &options);
    Forwarder::start(&mut lab.guest, &command)
}

pub(super) fn traffic_flows(lab: &mut Lab, at: At) -> Result<()> {
    let stream = swapped(lab, 300);
    exchange(&stream, 32, lab.wire(at), lab.wire(at))
}

pub(super) fn killed(lab: &mut Lab) -> Result<()> {
    // An 82576 that nobody drives drops what comes: nothing else is counted.
    killed_at(lab, At::Pf(0), KILLS)?.expect_frames(0, 300, 300)
}

/// Kills as often, each time after traffic flowed, and gives the summary of the last one, which is stopped.
pub(super) fn killed_at(lab: &mut Lab, at: At, kills: u32) -> Result<Summary> {
    for round in 1..=kills {
        let forwarder = start(lab, at).with_context(|| format!("start {round}"))?;
        traffic_flows(lab, at).with_context(|| format!("after start {round}"))?;
        kill_under_traffic(lab, at, forwarder.0).with_context(|| format!("kill {round}"))?;
    }
    let forwarder = start(lab, at).context("the last start")?;
    traffic_flows(lab, at).context("after the last start")?;
    forwarder.stop(&mut lab.guest)
}

/// Kills a forwarder while frames keep coming in.
fn kill_under_traffic(lab: &mut Lab, at: At, program: Program) -> Result<()> {
    let stream = swapped(lab, u32::MAX);
    let (guest, _, wire) = lab.parts(at);
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
        sequence += u32::from(wire.offer(&stream.sent(sequence), PACE)?);
        wire.receive(PACE)?;
    }
    Ok(sequence)
}
