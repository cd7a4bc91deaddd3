//! What happens to a port from outside while frames pass, again and again, and the account of every frame.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::traffic::{HOST_A, VF_A, swapped};
use crate::vm::account::{self, Interval, Totals};
use crate::vm::clock::{Anchor, Clock};
use crate::vm::devices::At;
use crate::vm::forwarder::{self, Event, Forwarder, Summary};
use crate::vm::guest::{Guest, Vf};
use crate::vm::lab::Lab;
use crate::vm::load::{self, Journal, Progress};
use crate::vm::qmp::Qmp;
use crate::vm::stream::{BROADCAST, Mac, Stream};
use crate::vm::wire::{Wire, exchange};

/// Enough for minutes.
pub(super) const FRAMES_MAX: u32 = 500_000;
/// Frames that pass before anything happens, and after it is over.
pub(super) const QUIET: u32 = 300;
/// The link of a PF takes two seconds to come up. A guest whose host is busy takes its time.
const LIMIT: Duration = Duration::from_secs(30);

/// What happens to a port, and what it says then.
struct Trouble<'a> {
    /// Where the port is.
    at: At,
    /// Options of the forwarder.
    options: &'a str,
    /// The address that frames are sent to.
    to: Mac,
    /// Does it, in a round that counts from zero.
    provoke: &'a dyn Fn(u32, &mut Guest, &mut Qmp, &Vf) -> Result<()>,
    /// The event that says so, and the one after which frames flow again.
    begin: &'static str,
    end: &'static str,
    /// Looks at what has become of the port after a round.
    after: &'a dyn Fn(u32, &mut Lab) -> Result<()>,
}

impl Trouble<'_> {
    const RESET: Self = Trouble {
        at: At::Pf(0),
        options: "--mac 02:00:00:00:a0:10",
        to: VF_A,
        provoke: &|_, _, _, _| Ok(()),
        begin: "ResetStarted",
        end: "FirstFrame",
        after: &|_, _| Ok(()),
    };
}

fn down_and_up(guest: &mut Guest, vf: &Vf) -> Result<()> {
    guest.run(&format!("ip link set {0} down; usleep 300000; ip link set {0} up", vf.pf)).map(drop)
}

pub(super) fn pf_down_up(lab: &mut Lab) -> Result<()> {
    let provoke = |_, guest: &mut Guest, _: &mut Qmp, vf: &Vf| down_and_up(guest, vf);
    recovers(lab, &Trouble { provoke: &provoke, ..Trouble::RESET }).map(drop)
}

pub(super) fn pf_mtu(lab: &mut Lab) -> Result<()> {
    let provoke = |round, guest: &mut Guest, _: &mut Qmp, vf: &Vf| {
        let mtu = if round % 2 == 0 { 2000 } else { 1500 };
        guest.run(&format!("ip link set {} mtu {mtu}", vf.pf)).map(drop)
    };
    recovers(lab, &Trouble { provoke: &provoke, ..Trouble::RESET }).map(drop)
}

pub(super) fn function_reset(lab: &mut Lab) -> Result<()> {
    function_reset_at(lab, At::Pf(0))
}

pub(super) fn function_reset_at(lab: &mut Lab, at: At) -> Result<()> {
    let provoke =
        |_, guest: &mut Guest, _: &mut Qmp, vf: &Vf| guest.run(&format!("echo 1 > /sys/bus/pci/devices/{}/reset", vf.address)).map(drop);
    recovers(lab, &Trouble { at, provoke: &provoke, ..Trouble::RESET }).map(drop)
}

pub(super) fn cable(lab: &mut Lab) -> Result<()> {
    cable_at(lab, At::Pf(0))
}

pub(super) fn cable_at(lab: &mut Lab, at: At) -> Result<()> {
    let wire = format!("wire-{}", at.name());
    let provoke = |_, _: &mut Guest, qmp: &mut Qmp, _: &Vf| {
        qmp.command("set_link", json!({ "name": wire, "up": false }))?;
        std::thread::sleep(Duration::from_millis(500));
        qmp.command("set_link", json!({ "name": wire, "up": true })).map(drop)
    };
    recovers(lab, &Trouble { at, provoke: &provoke, begin: "LinkDown", end: "LinkUp", ..Trouble::RESET }).map(drop)
}

/// The PF gives the VF another address, of which it does not tell: the port learns of it at its next reset. Broadcasts come through all
/// along.
pub(super) fn mac_changed(lab: &mut Lab) -> Result<()> {
    let given = |round: u32| -> Mac { [0x02, 0, 0, 0, 0xa1, u8::try_from(round).unwrap_or(u8::MAX)] };
    let provoke = |round, guest: &mut Guest, _: &mut Qmp, vf: &Vf| {
        guest.run(&format!("ip link set {} vf {} mac {}", vf.pf, vf.index, forwarder::text(given(round))))?;
        down_and_up(guest, vf)
    };
    let after = |round, lab: &mut Lab| {
        let stream = Stream { to: given(round), ..swapped(lab, 100) };
        exchange(&stream, 32, &lab.wires[0], &lab.wires[0]).context("frames to the new address")
    };
    let events = recovers(lab, &Trouble { options: "", to: BROADCAST, provoke: &provoke, after: &after, ..Trouble::RESET })?;
    let reported = events.iter().filter(|event| event.is("Recovered")).filter_map(|event| event.text("new_mac").ok());
    let given: Vec<_> = (0..lab.rounds).map(|round| forwarder::text(given(round))).collect();
    let reported: Vec<_> = reported.collect();
    ensure!(reported == given, "the PF gave {given:?}, the port reported {reported:?}");
    Ok(())
}

pub(super) fn bus_error(lab: &mut Lab) -> Result<()> {
    bus_error_at(lab, At::Pf(0))
}

/// An uncorrectable error of the bus, of which the kernel tells everything below the root port. (A fatal one would not do: the link of
/// QEMU's root port does not come back from the reset that follows it.)
pub(super) fn bus_error_at(lab: &mut Lab, at: At) -> Result<()> {
    let error = format!("pcie_aer_inject_error port-{} COMP_ABORT", at.name());
    let provoke = |_, _: &mut Guest, qmp: &mut Qmp, _: &Vf| qmp.human(&error);
    recovers(lab, &Trouble { at, provoke: &provoke, ..Trouble::RESET }).map(drop)
}

/// Provokes trouble as often as there are rounds, waits each time until the port has said so and frames flow again, and closes the account.
/// Gives all events.
fn recovers(lab: &mut Lab, trouble: &Trouble<'_>) -> Result<Vec<Event>> {
    let vf = lab.function(trouble.at);
    let first = Anchor::ask(&mut lab.guest)?;
    let forwarder = Forwarder::start(&mut lab.guest, &forwarder::command(&[&vf], "mac-swap", trouble.options))?;
    let mut journals = Vec::new();
    for round in 0..lab.rounds {
        let stream = Stream { to: trouble.to, from: HOST_A, ..swapped(lab, FRAMES_MAX) };
        let (guest, qmp, wire) = lab.parts(trouble.at);
        let happens = |progress: &Progress| {
            let before = forwarder.events(guest)?;
            (trouble.provoke)(round, guest, qmp, &vf)?;
            await_events(trouble, &forwarder, guest, &before)?;
            let flowing = progress.returned();
            until(|| Ok(progress.returned() >= flowing + QUIET)).context("frames do not flow again")
        };
        let journal = under_load(&stream, wire, happens);
        journals.push(journal.and_then(|journal| (trouble.after)(round, lab).map(|()| journal)).with_context(|| format!("round {round}"))?);
    }
    let events = forwarder.events(&mut lab.guest)?;
    let summary = forwarder.stop(&mut lab.guest)?;
    let clock = Clock::new(first, Anchor::ask(&mut lab.guest)?)?;
    let intervals = account::intervals(&events, &clock)?;
    let mut totals = Totals::default();
    for (journal, round) in journals.iter().zip(0..) {
        let flowed = totals.add(journal, QUIET as usize / 2);
        flowed.and_then(|()| account::close(journal, &intervals, clock.error())).with_context(|| format!("round {round}"))?;
    }
    report(lab.rounds, &totals, &intervals, &clock, &summary)?;
    println!("  the slowest: {}", slowest(&events)?);
    Ok(events)
}

fn await_events(trouble: &Trouble<'_>, forwarder: &Forwarder, guest: &mut Guest, before: &[Event]) -> Result<()> {
    let Trouble { begin, end, .. } = trouble;
    let count = |events: &[Event], name: &str| events.iter().filter(|event| event.is(name)).count();
    let said = until(|| {
        let events = forwarder.events(guest)?;
        // A reset may be followed by another one at once.
        let is_over = events.iter().rposition(|event| event.is(end)) > events.iter().rposition(|event| event.is(begin));
        Ok(is_over && count(&events, begin) > count(before, begin) && count(&events, end) > count(before, end))
    });
    said.with_context(|| format!("{begin} and then {end} were not said"))
}

/// The account of a port that works, and loses frames nevertheless: those that are longer than its MTU.
pub(super) fn account_of_lost_frames(lab: &mut Lab) -> Result<Result<()>> {
    let at = At::Pf(0);
    let first = Anchor::ask(&mut lab.guest)?;
    let command = forwarder::command(&[&lab.function(at)], "mac-swap", Trouble::RESET.options);
    let forwarder = Forwarder::start(&mut lab.guest, &command)?;
    let stream = Stream { lengths_bytes: 60..=1600, ..swapped(lab, FRAMES_MAX) };
    let more = |progress: &Progress| until(|| Ok(progress.returned() >= 2 * QUIET));
    let journal = under_load(&stream, lab.wire(at), more)?;
    let events = forwarder.events(&mut lab.guest)?;
    forwarder.stop(&mut lab.guest)?;
    let clock = Clock::new(first, Anchor::ask(&mut lab.guest)?)?;
    Ok(account::close(&journal, &account::intervals(&events, &clock)?, clock.error()))
}

/// What was said from the reset that took longest until the first frame after it.
fn slowest(events: &[Event]) -> Result<String> {
    let (mut begin, mut found) = (None, (Duration::ZERO, 0..0));
    for (at, event) in events.iter().enumerate() {
        if event.is("ResetStarted") {
            begin.get_or_insert(at);
        } else if event.is("FirstFrame")
            && let Some(begin) = begin.take()
        {
            let took = event.time("monotonic_us")? - events[begin].time("monotonic_us")?;
            found = if took > found.0 { (took, begin..at + 1) } else { found };
        }
    }
    let said = &events[found.1];
    let Some(first) = said.first() else { return Ok("no reset".to_owned()) };
    let first = first.time("monotonic_us")?;
    let word = |event: &Event| Ok(format!("{} {:.3} s", event.text("event")?, (event.time("monotonic_us")? - first).as_secs_f64()));
    Ok(said.iter().map(word).collect::<Result<Vec<_>>>()?.join(", "))
}

fn report(rounds: u32, totals: &Totals, intervals: &[Interval], clock: &Clock, summary: &Summary) -> Result<()> {
    let longest = intervals.iter().map(Interval::length).max().unwrap_or_default();
    let part = |part| summary.histogram(0, "reset_to_first_frame_us", part);
    let (count, [p50, p99, max]) = (part("count")?, [part("p50")?, part("p99")?, part("max")?].map(|us| us as f64 / 1e3));
    let error = clock.error();
    println!("  {rounds} rounds: {totals} ({} times, {longest:.1?} at most, clock ±{error:.1?})", intervals.len());
    if count > 0 {
        println!("  reset_to_first_frame: {count} times, p50 {p50:.1} ms, p99 {p99:.1} ms, at most {max:.1} ms");
    }
    Ok(())
}

/// Does something after frames have begun to pass, which go on until it is done.
pub(super) fn under_load(stream: &Stream, wire: &Wire, happens: impl FnOnce(&Progress) -> Result<()>) -> Result<Journal> {
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| load::run(stream, QUIET, wire, &progress));
        let begun = until(|| Ok(progress.returned() >= QUIET || load.is_finished())).context("before anything happened");
        let happened = begun.and_then(|()| happens(&progress));
        progress.end();
        // Where the load failed, that is why nothing else came about.
        let journal = load.join().expect("sending does not panic")?;
        happened.map(|()| journal)
    })
}

fn until(mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
