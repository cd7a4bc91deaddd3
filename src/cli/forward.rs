//! `vfwire forward`: opens the ports, lets workers poll, looks after the ports meanwhile, and sums up.

use super::{
    Failure,
    console::{self, Console},
    control::{self, Signals},
    flight::FlightFile,
    given::Given,
    notice,
    options::{Options, PORTS_MAX},
    ports::{self, Ports},
    print,
    summary::{self, Summary},
    watch::Watch,
    workers::{self, Workers},
};
use std::time::Instant;
use vfwire::{Host, Port};
use vfwire_pod::Root;

/// The line that says that all queues run.
const READY: &str = "forwarding";

pub(super) fn run(mut options: Options) -> Result<(), Failure> {
    let given = Given::find(&options.wanted, &Root::of_this_process(), PORTS_MAX)?;
    options.wanted.ports.clone_from(&given.ports);
    options.check()?;
    let need_bytes = ports::need_bytes(&options, given.ports.len().max(1))?;
    let mut host = Host::with_pages(options.pages(given.pages(need_bytes)));
    given.tell(&mut host)?;
    let flight = FlightFile::open(options.flight_recorder.clone(), host.flight_recorder())?;
    let result = forward(&options, &given, &mut host, &flight);
    // The ports are closed by now, which is in it, too.
    let written = flight.write();
    result.and(written)
}

fn forward(options: &Options, given: &Given, host: &mut Host, flight: &FlightFile) -> Result<(), Failure> {
    let places = workers::places(options, given.cpu_order().as_deref())?;
    let signals = Signals::catch()?;
    let mut console = Console::new();
    console.say(&notice::first_line(options));
    given.notes().iter().for_each(|note| console.say(note));
    if let Some(note) = workers::note(&places) {
        console.say(&note);
    }

    let Ports { mut started, lanes, pool } = ports::start(options, host, &mut console)?;
    let readers: Vec<_> = lanes.iter().map(vfwire::forward::Lane::reader).collect();
    let workers = Workers::start(lanes, &pool, options.mode, &places)?;
    let start = Instant::now();
    console.say(READY);
    let mut watches: Vec<_> = started.iter().map(|_| Watch::new(options.json)).collect();
    let ports = (&mut started[..], &mut watches[..]);
    let outcome = control::run(ports, &readers, &workers, (&signals, flight), options.duration.0, &mut console);
    let elapsed = start.elapsed();
    console.end_status();
    let ended = workers.stop();

    let summary = Summary::of(options, elapsed, &mut started, &watches, &readers);
    summary::of_workers(&places, &readers).iter().for_each(|line| console.say(line));
    for mut port in started {
        if let Err(error) = port.port.stop() {
            console::say(&format!("{}: {error}", port.address()));
        }
    }
    if options.json {
        let json = serde_json::to_string(&summary).map_err(|error| Failure::failed(format!("no JSON of the summary: {error}")))?;
        print(json)?;
    } else {
        print(&summary)?;
    }
    outcome.and(ended)
}
