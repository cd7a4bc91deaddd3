//! The function is taken away under traffic: the port says so and lets go at once, nothing was lost before, and where the function comes
//! back the next start works.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::recovery::{FRAMES_MAX, under_load};
use super::traffic::{VF_A, swapped};
use crate::vm::account::{self, Totals};
use crate::vm::clock::{Anchor, Clock};
use crate::vm::devices::At;
use crate::vm::forwarder::{self, Forwarder};
use crate::vm::guest::{Guest, Vf};
use crate::vm::lab::Lab;
use crate::vm::load::Progress;
use crate::vm::qmp::Qmp;

/// From the request for the function to the end of the process that had it, on the guest's clock. The function is reset meanwhile, which
/// takes 100 ms, twice.
const LET_GO_LIMIT_MS: u64 = 1000;
/// The guest's kernel takes a device down, or brings one up.
const PLUG_LIMIT: Duration = Duration::from_secs(20);

/// Waits until the forwarder has ended, and says how long that took since `$before`.
const ENDED: &str = "while [ -e /proc/$pid ]; do usleep 5000; done; echo $((($(now_ns) - before) / 1000000))";

/// Takes the function away, and gives how long the forwarder then took to end, in milliseconds of the guest.
type Take<'a> = dyn Fn(&mut Guest, &mut Qmp, &Vf) -> Result<u64> + 'a;

pub(super) fn unbound(lab: &mut Lab) -> Result<()> {
    unbound_at(lab, At::Pf(0))
}

pub(super) fn unbound_at(lab: &mut Lab, at: At) -> Result<()> {
    let take =
        |guest: &mut Guest, _: &mut Qmp, vf: &Vf| ask(guest, &format!("echo {0} > /sys/bus/pci/devices/{0}/driver/unbind", vf.address));
    taken_away(lab, at, &take, &|_| Ok(()))
}

pub(super) fn no_vfs(lab: &mut Lab) -> Result<()> {
    let take = |guest: &mut Guest, _: &mut Qmp, vf: &Vf| ask(guest, &format!("echo 0 > /sys/class/net/{}/device/sriov_numvfs", vf.pf));
    taken_away(lab, At::Pf(0), &take, &|_| Ok(()))
}

pub(super) fn unplugged(lab: &mut Lab) -> Result<()> {
    unplugged_at(lab, At::Pf(0))
}

/// The device of a place is taken out, a PF with its functions, and another one is plugged in there.
pub(super) fn unplugged_at(lab: &mut Lab, at: At) -> Result<()> {
    let id = at.device_id();
    let take = |guest: &mut Guest, qmp: &mut Qmp, _: &Vf| {
        let before = guest.run("now_ns")?;
        let pid = guest.run("pidof vfwire")?;
        qmp.command("device_del", json!({ "id": id }))?;
        let took_ms = guest.run(&format!("before={} pid={}; {ENDED}", before.trim(), pid.trim()))?.trim().parse()?;
        qmp.wait_unplugged(&id, PLUG_LIMIT)?;
        Ok(took_ms)
    };
    let plug = |lab: &mut Lab| {
        lab.qmp.human(&format!("device_add {}", at.device()))?;
        let found = format!("wait_for {} all_there {} {}", PLUG_LIMIT.as_secs(), lab.equipment.pfs(), lab.equipment.virtio_functions());
        lab.guest.run(&found).context("a device was plugged in, and the guest did not find it")?;
        lab.guest.run("sh /vm/baseline.sh")?;
        lab.look_again()
    };
    taken_away(lab, at, &take, &plug)
}

/// Asks for the function as an administrator does: the kernel blocks the request until it is let go of.
fn ask(guest: &mut Guest, request: &str) -> Result<u64> {
    let script = format!("before=$(now_ns) pid=$(pidof vfwire)\n({request}) & {ENDED}\nwait $! || echo refused");
    let said = guest.run(&script)?;
    let took_ms = said.trim().parse().with_context(|| format!("`{request}` ended with {said}"))?;
    ensure!(took_ms <= LET_GO_LIMIT_MS, "the forwarder let go of the function {took_ms} ms after it was asked for");
    Ok(took_ms)
}

fn taken_away(lab: &mut Lab, at: At, take: &Take<'_>, give_back: &dyn Fn(&mut Lab) -> Result<()>) -> Result<()> {
    let (mut totals, mut slowest_ms) = (Totals::default(), 0);
    for round in 0..lab.rounds {
        let took_ms = one_round(lab, at, take, &mut totals).with_context(|| format!("round {round}"))?;
        slowest_ms = slowest_ms.max(took_ms);
        give_back(lab)?;
        lab.guest.run("sh /vm/baseline.sh")?;
    }
    println!("  {} rounds: {totals}; let go after {slowest_ms} ms at most", lab.rounds);
    // Every round but the last is followed by one whose frames pass.
    let forwarder = start(lab, at)?;
    super::life::traffic_flows(lab, at).context("after the function came back")?;
    forwarder.stop(&mut lab.guest).map(drop)
}

fn start(lab: &mut Lab, at: At) -> Result<Forwarder> {
    let vf = lab.function(at);
    Forwarder::start(&mut lab.guest, &forwarder::command(&[&vf], "mac-swap", &format!("--mac {}", forwarder::text(VF_A))))
}

fn one_round(lab: &mut Lab, at: At, take: &Take<'_>, totals: &mut Totals) -> Result<u64> {
    let vf = lab.function(at);
    let first = Anchor::ask(&mut lab.guest)?;
    let forwarder = start(lab, at)?;
    let stream = swapped(lab, FRAMES_MAX);
    let mut took_ms = 0;
    let (guest, qmp, wire) = lab.parts(at);
    let taken = |progress: &Progress| {
        took_ms = take(guest, qmp, &vf)?;
        progress.nobody_answers();
        Ok(())
    };
    let journal = under_load(&stream, wire, taken)?;
    let ended = forwarder.0.wait(&mut lab.guest, PLUG_LIMIT)?;
    ensure!(ended.code == 1, "the forwarder ended with {}: {}", ended.code, ended.stderr);
    let events = forwarder::events(&ended.stderr)?;
    ensure!(events.iter().any(|event| event.is("Removed")), "no event Removed: {}", ended.stderr);
    let clock = Clock::new(first, Anchor::ask(&mut lab.guest)?)?;
    account::close(&journal, &account::intervals(&events, &clock)?, clock.error())?;
    totals.add(&journal, 0)?;
    Ok(took_ms)
}
