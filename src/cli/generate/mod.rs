//! `vfwire generate`: opens the ports, sends test frames in a thread, looks after the ports meanwhile, and sums up.

mod options;
mod recording;
mod summary;
mod watch;

use super::{
    Failure,
    console::Console,
    control::Signals,
    given::Given,
    life::{Phase, Readiness},
    ports::LaneDrops,
    print,
    sample::PortCounts,
    sandbox::Sandbox,
};
use core_affinity::CoreId;
use std::{
    sync::{Arc, atomic::AtomicBool, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use summary::Summary;
use vfwire::{Address, DynPort, Host, HugepageChoice, Intent, Pool, PoolConfig, Port, PortConfig};
use vfwire_pod::Root;
use vfwire_traffic::{Direction, Outcome, Rate, Replay, SystemClock, Tester, TrafficError, Trial, Until};
use watch::Watch;

pub(super) use options::Options;

/// What runs where no port is named: each is the other end of the other's wire.
const SIMULATED: &str = "sim:igbvf,link=generate";
const PORTS_MAX: usize = 2;
/// Buffers of a port: its rings, and what the loop holds.
const BUFFERS: u32 = 512 + 512 + 512;
/// How often the ports are looked after.
const PERIOD: Duration = Duration::from_millis(50);
/// How long a link may take to come up.
const LINK_LIMIT: Duration = Duration::from_secs(10);

type Outcomes = Result<Vec<Outcome>, TrafficError>;

pub(super) fn run(mut options: Options) -> Result<(), Failure> {
    options.check()?;
    let given = Given::find(&options.wanted, &Root::of_this_process(), PORTS_MAX)?;
    options.wanted.ports.clone_from(&given.ports);
    options.check()?;
    let sandbox = Sandbox::new(!options.no_sandbox);
    generate(&options, &given, sandbox).map_err(|failure| sandbox.hint(failure))
}

fn generate(options: &Options, given: &Given, sandbox: Sandbox) -> Result<(), Failure> {
    let mut console = Console::new();
    let mut observers = options.observe.open(&mut console)?;
    let signals = Signals::catch(observers.is_live())?;
    given.notes().iter().for_each(|note| console.say(note));
    if options.wanted.ports.iter().all(|port| matches!(port, Address::Sim(_))) {
        sandbox.drop_capabilities()?;
    }
    let pages = if options.no_hugepages { HugepageChoice::None } else { given.pages(u64::from(BUFFERS) * PORTS_MAX as u64 * 2176) };
    let mut host = Host::with_pages(pages);
    given.tell(&mut host);
    let loaded = options.replay.as_deref().map(|path| recording::load(path, options.mtu, &mut console)).transpose()?;
    let complete = loaded.as_ref().is_none_or(|loaded| loaded.complete);
    let Opened { mut ports, names, directions, pool } = open(options, &mut host, &mut console)?;
    sandbox.drop_capabilities()?;
    let flows: Vec<_> = directions.iter().map(|direction| direction.stream.flows().to_vec()).collect();
    let mut tester = Tester::new(directions, &pool, SystemClock::new()).map_err(Failure::usage)?;
    let (readers, turns) = (tester.readers(), tester.turns());
    let stop = Arc::new(AtomicBool::new(false));
    let core = options.core.or_else(|| given.cpu_order().and_then(|cpus| cpus.first().copied()));
    let trial = Trial { rate: options.rate, until: Until::After(options.time()), drain: options.drain.0.unwrap_or(LINK_LIMIT) };
    let stopped = stop.clone();
    let work: Box<dyn FnOnce() -> Outcomes + Send> = match loaded {
        None => Box::new(move || tester.trial(&trial, &stopped)),
        Some(loaded) => {
            let how = Replay { speed: options.replay_speed.0, loops: options.loops, limit: options.time(), drain: trial.drain };
            Box::new(move || Ok(vec![tester.replay(&loaded.recording, &how, &stopped)]))
        }
    };
    let sender = Sender::start(work, core)?;
    let readiness = Readiness::default();
    observers.start(readiness.clone(), std::slice::from_ref(&turns), core.as_slice())?;
    observers.sandbox(sandbox).close()?;
    let mut before = counts(&mut ports);
    let lost_before = host.lost_on_simulated_wires();
    observers.show(format!("vfwire generate, {}, {} bytes", what_rate(options), what_sizes(options)), &mut console)?;
    readiness.set(Phase::Ready);
    sender.go();
    let watch = Watch { readers: &readers, names: &names, turns: &turns, core, readiness: &readiness, stop: &stop };
    let ended = watch.look_after(&mut ports, || sender.is_over(), &signals, (&mut observers, &mut console));
    readiness.set(Phase::Ending);
    observers.hide(&mut console);
    signals.let_go();
    console.end_status();
    let outcomes = sender.join()?.map_err(Failure::usage)?;
    let simulated = ports.iter().any(|port| port.info().simulated);
    let why = match &ended {
        Ok(why) => (*why).to_owned(),
        Err(failure) => failure.text.clone(),
    };
    for (before, now) in before.iter_mut().zip(counts(&mut ports)) {
        *before = now.since(before);
    }
    let counted = before;
    let directions = outcomes.iter().zip(names).zip(&flows).enumerate();
    let of = |(at, ((outcome, names), flows)): (usize, ((&Outcome, _), &Vec<_>))| {
        let places = summary::LostAt::of(&counted[at], &counted[other_end(at, counted.len())]);
        summary::Direction::of(names, flows, outcome, places)
    };
    let summary = Summary {
        version: env!("CARGO_PKG_VERSION"),
        simulated,
        partial: !complete || outcomes.iter().any(|outcome| outcome.stopped) || ended.is_err(),
        ended_by: why,
        rate: what_rate(options),
        sizes: what_sizes(options),
        longest_gap_us: outcomes.iter().map(|outcome| outcome.longest_gap_ns).max().unwrap_or(0) as f64 / 1e3,
        lost_on_simulated_wires: simulated.then(|| host.lost_on_simulated_wires() - lost_before),
        directions: directions.map(of).collect(),
    };
    for mut port in ports {
        if let Err(error) = port.stop() {
            console.warn(&format!("{}: {error}", port.info().address));
        }
    }
    if options.json {
        print(serde_json::to_string(&summary).map_err(|error| Failure::failed(format!("no JSON of the summary: {error}")))?)?;
    } else {
        print(&summary)?;
    }
    ended.map(drop)
}

/// How fast it sends, for people.
fn what_rate(options: &Options) -> String {
    options.replay.as_ref().map_or_else(|| options.rate.to_string(), |path| format!("replay of {}", path.display()))
}

fn what_sizes(options: &Options) -> String {
    options.replay.as_ref().map_or_else(|| options.sizes().to_string(), |_| "recorded".to_owned())
}

fn counts(ports: &mut [DynPort]) -> Vec<PortCounts> {
    ports.iter_mut().map(|port| PortCounts::of(&port.stats(), LaneDrops::default())).collect()
}

/// Where the frames of a port are expected: on itself, or on the other one.
fn other_end(port: usize, ports: usize) -> usize {
    (port + ports / 2) % ports
}

struct Opened {
    ports: Vec<DynPort>,
    /// From where to where each direction goes.
    names: Vec<(String, String)>,
    directions: Vec<Direction>,
    pool: Pool,
}

/// Opens and starts the ports, and waits for their links.
fn open(options: &Options, host: &mut Host, console: &mut Console) -> Result<Opened, Failure> {
    let addresses: Vec<_> = options.wanted.ports.iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() { vec![SIMULATED.to_owned(); 2] } else { addresses };
    let mut ports = addresses.iter().map(|address| host.open(address)).collect::<Result<Vec<_>, _>>()?;
    let count = u32::try_from(ports.len()).unwrap_or(1);
    let buffers = PoolConfig {
        data_bytes: options.longest_host_bytes().max(u32::from(options.mtu) + 18).max(2048),
        ..PoolConfig::new(BUFFERS * count)
    };
    let pool = host.pool(buffers)?;
    if let Some(note) = host.memory_note() {
        console.warn(note);
    }
    let intent = Intent { mtu_bytes: options.mtu, vlans: options.vlans().collect(), ..Intent::default() };
    let config = PortConfig { intent, ..PortConfig::new(&pool) };
    let (mut tx, mut rx) = (Vec::new(), Vec::new());
    for port in &mut ports {
        let address = port.info().address.clone();
        let mut queues = port.start(&config).map_err(|error| Failure::of_port(&address, &error))?;
        queues.granted.missing().for_each(|refusal| console.warn(&format!("{address}: {refusal}")));
        let (Some(receive), Some(transmit)) = (queues.rx.pop(), queues.tx.pop()) else {
            return Err(Failure::failed(format!("{address}: the port gave no queue pair")));
        };
        rx.push(receive);
        tx.push(transmit);
    }
    ports.iter_mut().try_for_each(|port| await_link(port, console))?;
    let macs: Vec<_> = ports.iter().map(|port| port.info().mac).collect();
    // Back to itself, or each to the other.
    rx.rotate_left(ports.len() / 2);
    let (mut directions, mut names) = (Vec::new(), Vec::new());
    for (from, (tx, rx)) in tx.into_iter().zip(rx).enumerate().take(if options.one_way || options.replay.is_some() { 1 } else { PORTS_MAX })
    {
        let to = other_end(from, ports.len());
        let line = line_bits_per_s(&ports[from], options.wanted.ports.get(from));
        check_rate(options, &ports[from], line)?;
        names.push((ports[from].info().address.clone(), ports[to].info().address.clone()));
        let stream = options.stream(macs[from], macs[to]).map_err(Failure::usage)?;
        directions.push(Direction { tx, rx: Some(rx), stream, line_bits_per_s: line, latency_per_flow: options.latency_per_flow });
    }
    Ok(Opened { ports, names, directions, pool })
}

/// Until frames can pass, with a limit.
fn await_link(port: &mut DynPort, console: &mut Console) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        port.poll_control().map_err(|error| Failure::of_port(&port.info().address, &error))?;
        if port.link().up {
            return Ok(());
        }
        if begun.elapsed() > LINK_LIMIT {
            console.warn(&format!("{}: the link is down: look at the cable, or `ip link set PF up` on the host", port.info().address));
            return Ok(());
        }
        thread::sleep(PERIOD);
    }
}

/// What the simulated wire was given, or what the device says.
fn line_bits_per_s(port: &DynPort, address: Option<&Address>) -> Option<u64> {
    match address {
        Some(Address::Sim(simulated)) if simulated.wire.bits_per_s != 0 => Some(simulated.wire.bits_per_s),
        _ => Some(u64::from(port.link().mbps) * 1_000_000).filter(|&speed| speed != 0),
    }
}

/// A real line carries no more than its speed; a simulated one may.
fn check_rate(options: &Options, port: &DynPort, line: Option<u64>) -> Result<(), Failure> {
    let asked = options.rate.frames_per_s(options.sizes(), line).map_err(Failure::usage)?;
    let most = line.and_then(|line| Rate::BitsPerSecond(line as f64).frames_per_s(options.sizes(), None).ok().flatten());
    match (asked, most) {
        (Some(asked), Some(most)) if asked > most * 1.0001 && !port.info().simulated => Err(Failure::usage(format!(
            "--rate {}: {} carries {most:.0} frames a second of these sizes: give less, or max",
            options.rate,
            port.info().address
        ))),
        _ => Ok(()),
    }
}

/// The thread that sends and receives.
struct Sender {
    begin: mpsc::Sender<()>,
    thread: JoinHandle<Outcomes>,
}

impl Sender {
    /// It runs, and waits, when this returns.
    fn start(work: Box<dyn FnOnce() -> Outcomes + Send>, core: Option<usize>) -> Result<Self, Failure> {
        let ((begin, told), (ready, runs)) = (mpsc::channel(), mpsc::channel());
        let run = move || {
            let _ = ready.send(core.is_none_or(|id| core_affinity::set_for_current(CoreId { id })));
            // Whoever was to say so may have failed: then nothing is sent.
            if told.recv().is_err() { Ok(Vec::new()) } else { work() }
        };
        let thread = thread::Builder::new().name("vfwire-generate".into()).spawn(run);
        let thread = thread.map_err(|error| Failure::failed(format!("no thread to send from: {error}")))?;
        match (runs.recv(), core) {
            (Ok(false), Some(core)) => {
                Err(Failure::usage(format!("--core {core}: this process may not use that CPU: is it in its cpuset?")))
            }
            _ => Ok(Self { begin, thread }),
        }
    }

    fn go(&self) {
        let _ = self.begin.send(());
    }

    fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    fn join(self) -> Result<Outcomes, Failure> {
        self.thread.join().map_err(|_| Failure::failed("the sending thread ended in a panic, which is a fault of vfwire: please report it"))
    }
}
