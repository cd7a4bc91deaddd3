//! What the device lets through to a VF: VLANs, groups, broadcast and frame sizes.

use anyhow::{Context, Result};

use super::traffic::{HOST_A, VF_A, swapped};
use crate::vm::devices::At;
use crate::vm::forwarder::{self, Forwarder, START_LIMIT};
use crate::vm::lab::Lab;
use crate::vm::stream::{BROADCAST, Mac, Stream, Tag};
use crate::vm::wire::{exchange, expect_silence};

const FRAMES: u32 = 500;
const WINDOW: u32 = 32;

const VLAN_JOINED: u16 = 100;
const VLAN_OTHER: u16 = 200;

/// The two differ in the hash that the 82576 filters by (bits 36 to 47 of the address).
const GROUP_JOINED: Mac = [0x01, 0x00, 0x5e, 0x01, 0x02, 0x03];
const GROUP_OTHER: Mac = [0x01, 0x00, 0x5e, 0x04, 0x05, 0x06];

const JUMBO_MTU: usize = 9000;
const ETHERNET_HEADER_BYTES: usize = 14;

fn start(lab: &mut Lab, at: At, options: &str) -> Result<Forwarder> {
    let vf = lab.function(at);
    let options = format!("--mac {} {options}", forwarder::text(VF_A));
    Forwarder::start(&mut lab.guest, &forwarder::command(&[&vf], "mac-swap", &options))
}

/// Sends a stream that must come back.
fn passes(lab: &Lab, at: At, what: &str, stream: &Stream) -> Result<()> {
    exchange(stream, WINDOW, lab.wire(at), lab.wire(at)).with_context(|| what.to_owned())
}

/// Sends a stream that must not.
fn is_dropped(lab: &Lab, at: At, what: &str, stream: &Stream) -> Result<()> {
    expect_silence(stream, lab.wire(at), lab.wire(at)).with_context(|| what.to_owned())
}

/// Frames of a VLAN that was joined and untagged ones come through, those of one that was left do not. `tag` says what becomes of a tag.
pub(super) fn left_vlan_at(lab: &mut Lab, at: At, tag: fn(u16) -> Tag) -> Result<()> {
    let command = format!("exec vlans {} {VLAN_JOINED} {VLAN_OTHER} {}", lab.function(at).address, forwarder::text(VF_A));
    let program = lab.guest.start(&command)?;
    program.wait_for_words(&mut lab.guest, "left", START_LIMIT)?;
    let joined = Stream { tag: Some(tag(VLAN_JOINED)), ..swapped(lab, FRAMES) };
    passes(lab, at, "a VLAN that was joined", &joined)?;
    let left = Stream { tag: Some(tag(VLAN_OTHER)), ..swapped(lab, FRAMES) };
    is_dropped(lab, at, "a VLAN that was left", &left)?;
    let untagged = swapped(lab, FRAMES);
    passes(lab, at, "untagged", &untagged)?;
    program.signal(&mut lab.guest, "TERM")?;
    program.wait(&mut lab.guest, START_LIMIT).map(drop)
}

pub(super) fn vlan(lab: &mut Lab) -> Result<()> {
    let (at, tag) = (At::Pf(0), Tag::Stripped);
    left_vlan_at(lab, at, tag)?;
    let forwarder = start(lab, at, &format!("--vlan {VLAN_JOINED}"))?;
    let joined = Stream { tag: Some(tag(VLAN_JOINED)), ..swapped(lab, FRAMES) };
    passes(lab, at, "a VLAN that was joined", &joined)?;
    let other = Stream { tag: Some(tag(VLAN_OTHER)), ..swapped(lab, FRAMES) };
    is_dropped(lab, at, "a VLAN that was not joined", &other)?;
    let untagged = swapped(lab, FRAMES);
    passes(lab, at, "untagged", &untagged)?;
    let frames = u64::from(FRAMES) * 2;
    forwarder.stop(&mut lab.guest)?.expect_frames(0, frames, frames)
}

pub(super) fn multicast(lab: &mut Lab) -> Result<()> {
    multicast_at(lab, At::Pf(0))
}

/// Frames to a group that was joined and to everybody come through; others do not.
pub(super) fn multicast_at(lab: &mut Lab, at: At) -> Result<()> {
    let forwarder = start(lab, at, &format!("--multicast {}", forwarder::text(GROUP_JOINED)))?;
    let joined = Stream { to: GROUP_JOINED, ..swapped(lab, FRAMES) };
    passes(lab, at, "a group that was joined", &joined)?;
    let other = Stream { to: GROUP_OTHER, ..swapped(lab, FRAMES) };
    is_dropped(lab, at, "a group that was not joined", &other)?;
    let broadcast = Stream { to: BROADCAST, ..swapped(lab, FRAMES) };
    passes(lab, at, "broadcast", &broadcast)?;
    let stranger = Stream { to: [0x02, 0, 0, 0, 0xee, 0xee], ..swapped(lab, FRAMES) };
    is_dropped(lab, at, "another station's frames", &stranger)?;
    let frames = u64::from(FRAMES) * 2;
    forwarder.stop(&mut lab.guest)?.expect_frames(0, frames, frames)
}

pub(super) fn jumbo(lab: &mut Lab) -> Result<()> {
    let pf = lab.pfs[0][0].pf.clone();
    lab.guest.run(&format!("ip link set {pf} mtu {JUMBO_MTU}"))?;
    jumbo_at(lab, At::Pf(0))
}

/// Frames that span buffers, and then frames longer than the MTU that was asked for.
pub(super) fn jumbo_at(lab: &mut Lab, at: At) -> Result<()> {
    let longest = JUMBO_MTU + ETHERNET_HEADER_BYTES;
    let forwarder = start(lab, at, &format!("--mtu {JUMBO_MTU}"))?;
    let all = Stream { lengths_bytes: 60..=longest, from: HOST_A, ..swapped(lab, 4000) };
    passes(lab, at, "frames of up to 9014 bytes", &all)?;
    let long = Stream { lengths_bytes: longest..=longest, ..swapped(lab, FRAMES) };
    passes(lab, at, "frames of 9014 bytes", &long)?;
    let frames = u64::from(all.frames + long.frames);
    forwarder.stop(&mut lab.guest)?.expect_frames(0, frames, frames)?;

    let forwarder = start(lab, at, "")?;
    let long = Stream { lengths_bytes: 1600..=longest, ..swapped(lab, FRAMES) };
    is_dropped(lab, at, "frames longer than the MTU that was asked for", &long)?;
    let short = swapped(lab, FRAMES);
    passes(lab, at, "short frames after too long ones", &short)?;
    forwarder.stop(&mut lab.guest).map(drop)
}
