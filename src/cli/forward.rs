//! `vfwire forward`: opens the ports, lets workers poll, looks after the ports meanwhile, and sums up.

use super::{
    Failure,
    capture::{Capture, Captured},
    console::Console,
    control::{self, Signals},
    flight::FlightFile,
    given::Given,
    life::Life,
    modes::Plan,
    notice,
    options::Options,
    ports::{self, Ports},
    print,
    sandbox::Sandbox,
    summary::{self, Summary, Taken},
    termination::{Message, TerminationLog},
    watch::Watch,
    workers::{self, Workers},
};
use std::time::Instant;
use vfwire::{Host, Port};
use vfwire_pod::Root;

pub(super) fn run(mut options: Options, begun: Instant) -> Result<(), Failure> {
    let mut life = Life::since(begun);
    let termination = TerminationLog::open(options.termination_log.as_deref())?;
    let mut summary = None;
    let result = recorded(&mut options, &mut life, &mut summary);
    termination.write(&Message::of(&result, &life, summary.as_ref()));
    result.map(drop)
}

/// Finds the ports, and forwards with the flight recorder's file around it. Gives why it ended.
fn recorded(options: &mut Options, life: &mut Life, summary: &mut Option<Summary>) -> Result<&'static str, Failure> {
    let given = Given::find(&options.wanted, &Root::of_this_process(), options.most_granted())?;
    options.wanted.ports.clone_from(&given.ports);
    options.check()?;
    let mut plan = options.modes.read(&given)?;
    let need_bytes = ports::need_bytes(options, given.ports.len().max(1))?;
    let mut host = Host::with_pages(options.pages(given.pages(need_bytes)));
    given.tell(&mut host);
    let mut flight = FlightFile::open(options.flight_recorder.clone(), host.flight_recorder())?;
    let sandbox = Sandbox::new(!options.no_sandbox);
    let parts = (&mut host, &mut flight, sandbox);
    let result = forward(options, (&given, &mut plan), parts, life, summary).map_err(|failure| sandbox.hint(failure));
    // The ports are closed by now, which is in it, too.
    let written = flight.write();
    result.and_then(|ended_by| written.map(|()| ended_by))
}

fn forward(
    options: &Options,
    (given, plan): (&Given, &mut Plan),
    (host, flight, sandbox): (&mut Host, &mut FlightFile, Sandbox),
    life: &mut Life,
    summed_up: &mut Option<Summary>,
) -> Result<&'static str, Failure> {
    let places = workers::places(options, given.cpu_order().as_deref())?;
    let mut console = Console::new();
    console.say(&notice::first_line(options));
    given.notes().iter().for_each(|note| console.say(note));
    if let Some(note) = workers::note(&places) {
        console.warn(&note);
    }

    let mut observers = options.observe.open(&mut console)?;
    let signals = Signals::catch(observers.is_live())?;
    // Before the thread of the simulated devices starts; a real port is opened and its memory mapped first.
    if options.is_simulated() {
        sandbox.drop_capabilities()?;
    }
    let Ports { mut started, mut work, pool } = ports::start(options, plan, host, &mut console)?;
    sandbox.drop_capabilities()?;
    let mut capture = Capture::start(options, &started, &mut work)?;
    let readers = work.readers();
    let workers = Workers::start(work, &pool, plan, &places)?;
    let polling: Vec<_> = places.iter().flatten().map(|core| core.id).collect();
    observers.start(life.readiness(), workers.turns(), &polling)?;
    observers.sandbox(sandbox).close()?;
    observers.show(format!("vfwire forward, mode {}, burst {}", options.modes.mode.name(), options.burst), &mut console)?;
    let start = Instant::now();
    life.forwards(&mut console);
    let in_resets = host.resetting();
    let mut watches: Vec<_> = started.iter().map(|_| Watch::new(options.json)).collect();
    let ports = (&mut started[..], &mut watches[..]);
    let outcome = control::run(
        ports,
        (&readers, &workers, &places),
        (&signals, flight, &mut capture),
        options.duration.0,
        (&mut *life, &mut observers, &mut console),
    );
    let elapsed = start.elapsed();
    observers.hide(&mut console);
    signals.let_go();
    let why = match &outcome {
        Ok(why) => why,
        Err(failure) => failure.text.as_str(),
    };
    life.ends(why, &mut console);
    // From here on nothing is received; what was is sent, or counted.
    let ended = workers.stop();

    let is_capture_alone = capture.as_ref().is_some_and(Capture::is_alone);
    let is_stdout_taken = capture.as_ref().is_some_and(Capture::is_to_stdout);
    // Before the ports are closed: what waits in its rings is all it needs.
    let captured = capture.map(|capture| capture.finish(&mut console)).transpose();
    let taken = Taken { elapsed, life, in_resets, dma_mapped_bytes: host.dma_mapped_bytes() };
    let summary = Summary::of(options, &taken, &mut started, &watches, &readers);
    let (captured, unfinished) = captured.map_or_else(|failure| (None, Err(failure)), |captured| (captured, Ok(())));
    let summary = &*summed_up.insert(summary.with(captured));
    summary::of_workers(&places, &readers).iter().for_each(|line| console.say(line));
    for mut port in started {
        if let Err(error) = port.port.stop() {
            console.warn(&format!("{}: {error}", port.address()));
        }
    }
    let not_captured = summary.capture().and_then(Captured::failure).filter(|_| is_capture_alone);
    let not_captured = not_captured.map_or(unfinished, |failure| Err(Failure::failed(failure)));
    tell(summary, options.json, (is_capture_alone, is_stdout_taken), &mut console)?;
    outcome.and_then(|ended_by| ended.and(not_captured).map(|()| ended_by))
}

/// The summary: on stdout, or with the rest on stderr where stdout has the frames. A command that only captures says what it captured.
fn tell(summary: &Summary, json: bool, (is_alone, is_stdout_taken): (bool, bool), console: &mut Console) -> Result<(), Failure> {
    let captured = summary.capture().map(ToString::to_string);
    if json {
        let json = serde_json::to_string(summary).map_err(|error| Failure::failed(format!("no JSON of the summary: {error}")))?;
        if !is_stdout_taken {
            return print(json);
        }
        console.line(&json);
        return Ok(());
    }
    match captured {
        Some(captured) if !is_alone || is_stdout_taken => captured.lines().for_each(|line| console.say(line)),
        Some(captured) => return print(captured),
        None => {}
    }
    if is_alone { Ok(()) } else { print(summary) }
}
