//! The control thread of `vfwire forward`: looks after the ports, says what happens, and decides when it is over.

use super::{
    Failure,
    capture::Capture,
    console::Console,
    flight::FlightFile,
    life::Life,
    log::{self, whole_us},
    observe::Observers,
    ports::{LaneDrops, Started},
    sample::{Drop, PortCounts, PortSample, Sample, WorkerCounts, WorkerSample},
    watch::Watch,
    workers::{Place, Workers, worker_of},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use vfwire::{
    Port,
    forward::{LaneReader, LaneStats, cycles_per_frame},
};

/// How often the ports are looked after.
const PERIOD: Duration = Duration::from_millis(100);
/// How often the status is shown.
const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// Which signal has asked the command to end, if any.
pub(super) struct Signals {
    asked: Arc<AtomicBool>,
    by: Arc<AtomicUsize>,
    /// The next signal ends the process on the spot.
    impatient: Arc<AtomicBool>,
}

/// The signals that ask to end, with their names.
const ENDING: [(i32, &str); 3] = [(SIGINT, "SIGINT"), (SIGTERM, "SIGTERM"), (SIGHUP, "SIGHUP")];

impl Signals {
    /// From now on SIGINT and SIGTERM ask to end, and the second of them ends the process on the spot; while a view has the terminal
    /// (`live`) so does a hangup, and the second one waits until the terminal is set back ([`Signals::let_go`]).
    pub(super) fn catch(live: bool) -> Result<Self, Failure> {
        let (asked, by) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(usize::MAX)));
        let impatient = if live { Arc::default() } else { asked.clone() };
        for (at, (signal, _)) in ENDING.into_iter().enumerate().filter(|(_, (signal, _))| live || *signal != SIGHUP) {
            // In this order: the first signal finds the flag still unset.
            flag::register_conditional_shutdown(signal, 128 + signal, impatient.clone())
                .and_then(|_| flag::register_usize(signal, by.clone(), at))
                .and_then(|_| flag::register(signal, asked.clone()))
                .map_err(|error| Failure::failed(format!("signals cannot be caught: {error}")))?;
        }
        Ok(Self { asked, by, impatient })
    }

    /// Asks to end as SIGINT does.
    pub(super) fn ask(&self) {
        self.by.store(0, Ordering::SeqCst);
        self.asked.store(true, Ordering::SeqCst);
    }

    /// The terminal is set back: a signal beyond the one that has asked ends the process on the spot again.
    pub(super) fn let_go(&self) {
        if self.asked.load(Ordering::SeqCst) {
            self.impatient.store(true, Ordering::SeqCst);
        }
    }

    /// Whether one has come, for whoever polls.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// The name of the signal.
    pub(super) fn asked(&self) -> Option<&'static str> {
        let by = self.asked.load(Ordering::SeqCst).then(|| self.by.load(Ordering::SeqCst))?;
        ENDING.get(by).map(|(_, name)| *name)
    }
}

/// Why a run that went well is over.
pub(super) const TIME_IS_OVER: &str = "the time is over";

/// Looks after the ports until the time is over, a signal comes, or a port is gone. Gives why it ends, or why it must end in an error.
pub(super) fn run(
    (started, watches): (&mut [Started], &mut [Watch]),
    (lanes, workers, places): (&[LaneReader], &Workers, &[Place]),
    (signals, flight, capture): (&Signals, &mut FlightFile, &mut Option<Capture>),
    limit: Option<Duration>,
    (life, observers, console): (&mut Life, &mut Observers, &mut Console),
) -> Result<&'static str, Failure> {
    let start = Instant::now();
    let mut status = Status::new(start);
    let lanes_each = lanes.len() / started.len().max(1);
    loop {
        if let Some(signal) = signals.asked() {
            return Ok(signal);
        }
        if let Some(capture) = capture {
            if let Some(why) = capture.is_over()? {
                return Ok(why);
            }
            capture.news().iter().for_each(|news| console.warn(news));
        }
        let urgent = watches.iter().filter_map(Watch::urgent_period).chain(life.urgent_period()).min();
        let period = urgent.unwrap_or(PERIOD);
        let left = limit.map_or(period, |limit| limit.saturating_sub(start.elapsed()));
        if left.is_zero() {
            return Ok(TIME_IS_OVER);
        }
        if workers.is_broken() {
            return Ok("a worker has ended");
        }
        observers.wait(left.min(period), signals, console);
        life.look_for_first_frame(lanes);
        flight.write_if_asked(console);
        for ((port, watch), lanes) in started.iter_mut().zip(watches.iter_mut()).zip(lanes.chunks(lanes_each.max(1))) {
            watch.look_after(port, lanes, console)?;
        }
        let mut sample = || sample(start.elapsed(), started, (lanes, workers, places));
        if status.is_due() {
            status.next(&sample(), console);
        }
        if observers.is_due() {
            observers.take(sample(), console);
        }
    }
}

/// How things are now.
fn sample(at: Duration, started: &mut [Started], (lanes, workers, places): (&[LaneReader], &Workers, &[Place])) -> Sample {
    let stats: Vec<_> = lanes.iter().map(LaneReader::read).collect();
    let port_count = started.len();
    let ports = started.iter_mut().enumerate().map(|(at, started)| {
        let counts = PortCounts::of(&started.stats(), LaneDrops::of(at, port_count, workers.topology(), &stats));
        let info = started.port.info();
        PortSample {
            address: info.address.clone(),
            driver: info.driver,
            mac: info.mac.to_string(),
            simulated: info.simulated,
            link: started.port.link(),
            state: started.port.state(),
            counts,
        }
    });
    let ports = ports.collect();
    let workers = workers.turns().iter().enumerate().map(|(at, turns)| {
        let own = |lane: usize| worker_of(lane, places.len()) == at;
        let sum = |value: fn(&LaneStats) -> u64| stats.iter().enumerate().filter(|(lane, _)| own(*lane)).map(|(_, lane)| value(lane)).sum();
        WorkerSample {
            cpu: places.get(at).copied().flatten().map(|core| core.id),
            counts: WorkerCounts { frames: sum(|lane| lane.frames), polls: sum(|lane| lane.polls), turns: turns.read() },
            cycles_per_frame: Some(cycles_per_frame(lanes.iter().enumerate().filter(|(lane, _)| own(*lane)).map(|(_, lane)| lane))),
        }
    });
    Sample { at, ports, workers: workers.collect(), latencies: Vec::new() }
}

/// What is shown every second.
struct Status {
    last: Instant,
    before: (Duration, u64, u64),
}

impl Status {
    fn new(start: Instant) -> Self {
        Self { last: start, before: (Duration::ZERO, 0, 0) }
    }

    fn is_due(&self) -> bool {
        self.last.elapsed() >= STATUS_PERIOD
    }

    /// Shows what has happened since the last time.
    fn next(&mut self, sample: &Sample, console: &mut Console) {
        let sum = |value: fn(&PortCounts) -> u64| sample.ports.iter().map(|port| value(&port.counts)).sum::<u64>();
        let (sent, errors) = (sum(|counts| counts.tx_frames), sum(|counts| counts.lost(Drop::Damaged)));
        let dropped = sum(|counts| counts.lost(Drop::NoDescriptor) + counts.lost(Drop::Unsendable) + counts.lost(Drop::RingFull));
        let (at_before, sent_before, dropped_before) = std::mem::replace(&mut self.before, (sample.at, sent, dropped));
        self.last = Instant::now();
        let frames_per_s =
            sent.saturating_sub(sent_before) as f64 / sample.at.saturating_sub(at_before).as_secs_f64().max(f64::MIN_POSITIVE);
        let dropped_now = dropped.saturating_sub(dropped_before);
        let line = StatusLine { event: "Status", monotonic_us: whole_us(log::now()), frames_per_s, dropped, rx_errors: errors };
        match serde_json::to_string(&line) {
            Ok(json) if log::is_json() => console.line(&json),
            _ => console.status(&format!(
                "{:4} s  {:9.3} Mframes/s  {dropped_now} dropped ({dropped} so far), {errors} receive errors so far",
                sample.at.as_secs(),
                frames_per_s / 1e6,
            )),
        }
    }
}

/// What is logged every second as JSON: the rate since the last line, the counts so far.
#[derive(serde::Serialize)]
struct StatusLine {
    event: &'static str,
    monotonic_us: u64,
    frames_per_s: f64,
    dropped: u64,
    rx_errors: u64,
}
