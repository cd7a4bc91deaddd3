//! Frames through one VF and through two, as many and as mixed as a wire carries.

use anyhow::{Context, Result};

use crate::vm::devices::At;
use crate::vm::forwarder::{self, Forwarder};
use crate::vm::lab::Lab;
use crate::vm::stream::{Change, Mac, Stream};
use crate::vm::wire::exchange;

pub(super) const HOST_A: Mac = [0x02, 0, 0, 0, 0xa0, 0x01];
pub(super) const HOST_B: Mac = [0x02, 0, 0, 0, 0xb0, 0x01];
pub(super) const VF_A: Mac = [0x02, 0, 0, 0, 0xa0, 0x10];
pub(super) const VF_B: Mac = [0x02, 0, 0, 0, 0xb0, 0x10];

pub(super) const FRAMES: u32 = 20_000;

/// A stream from the host to a VF and back.
pub(super) fn swapped(lab: &mut Lab, frames: u32) -> Stream {
    Stream { id: lab.next_stream(), frames, lengths_bytes: 60..=1514, to: VF_A, from: HOST_A, tag: None, change: Change::SwapMacs }
}

pub(super) fn mac_swap(lab: &mut Lab) -> Result<()> {
    mac_swap_at(lab, At::Pf(0), &[1, 32, 128].map(|window| (window, FRAMES)))
}

/// Frames of all lengths, every byte compared: for each window so many.
pub(super) fn mac_swap_at(lab: &mut Lab, at: At, loads: &[(u32, u32)]) -> Result<()> {
    let options = format!("--mac {}", forwarder::text(VF_A));
    let command = forwarder::command(&[&lab.function(at)], "mac-swap", &options);
    let forwarder = Forwarder::start(&mut lab.guest, &command)?;
    for &(window, frames) in loads {
        let stream = swapped(lab, frames);
        exchange(&stream, window, lab.wire(at), lab.wire(at))?;
    }
    let frames = loads.iter().map(|(_, frames)| u64::from(*frames)).sum();
    forwarder.stop(&mut lab.guest)?.expect_frames(0, frames, frames)
}

/// Every burst size with every window that a ring of 512 descriptors can hold.
pub(super) fn matrix(lab: &mut Lab) -> Result<()> {
    let vf = lab.function(At::Pf(0));
    lab.guest.run(&format!("ip link set {} mtu 9000", vf.pf))?;
    for (mtu, longest, windows) in [(1500, 1514, [1, 7, 128, 500]), (9000, 9014, [1, 7, 32, 100])] {
        for burst in [1, 4, 32, 256] {
            let options = format!("--mac {} --mtu {mtu} --burst {burst}", forwarder::text(VF_A));
            let forwarder = Forwarder::start(&mut lab.guest, &forwarder::command(&[&vf], "mac-swap", &options))?;
            for window in windows {
                let stream = Stream { lengths_bytes: 60..=longest, ..swapped(lab, FRAMES) };
                exchange(&stream, window, &lab.wires[0], &lab.wires[0]).with_context(|| format!("MTU {mtu}, burst {burst}"))?;
            }
            let frames = u64::from(FRAMES) * windows.len() as u64;
            forwarder.stop(&mut lab.guest)?.expect_frames(0, frames, frames)?;
        }
    }
    Ok(())
}

pub(super) fn two_ports(lab: &mut Lab) -> Result<()> {
    let (a, b) = (lab.function(At::Pf(0)), lab.function(At::Pf(1)));
    for (vf, mac) in [(&a, VF_A), (&b, VF_B)] {
        lab.guest.run(&format!("ip link set {} vf {} mac {}", vf.pf, vf.index, forwarder::text(mac)))?;
    }
    both_ways(lab, [(At::Pf(0), VF_A), (At::Pf(1), VF_B)])
}

/// 20,000 frames each way between the wires of two functions, which forward to one another.
pub(super) fn both_ways(lab: &mut Lab, ends: [(At, Mac); 2]) -> Result<()> {
    let functions = ends.map(|(at, _)| lab.function(at));
    let forwarder = Forwarder::start(&mut lab.guest, &forwarder::command(&functions.each_ref(), "io", ""))?;
    exchange_both_ways(lab, ends, 1514)?;
    let summary = forwarder.stop(&mut lab.guest)?;
    let frames = u64::from(FRAMES);
    (0..2).try_for_each(|port| summary.expect_frames(port, frames, frames))
}

/// Both directions at once, so that each queue pair receives and transmits.
pub(super) fn exchange_both_ways(lab: &mut Lab, [(a, mac_a), (b, mac_b)]: [(At, Mac); 2], longest: usize) -> Result<()> {
    let mut stream = |to, from| Stream {
        id: lab.next_stream(),
        frames: FRAMES,
        lengths_bytes: 60..=longest,
        to,
        from,
        tag: None,
        change: Change::Nothing,
    };
    let (there, back) = (stream(mac_a, HOST_A), stream(mac_b, HOST_B));
    let (wire_a, wire_b) = (lab.wire(a), lab.wire(b));
    std::thread::scope(|scope| {
        let backwards = scope.spawn(|| exchange(&back, 32, wire_b, wire_a).context("B to A"));
        let forwards = exchange(&there, 32, wire_a, wire_b).context("A to B");
        forwards.and(backwards.join().expect("the exchange does not panic"))
    })
}
