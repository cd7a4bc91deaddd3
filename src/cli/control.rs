//! The control thread of `vfwire forward`: looks after the ports, says what happens, and decides when it is over.

use super::{
    Failure,
    capture::Capture,
    console::Console,
    flight::FlightFile,
    life::Life,
    log::{self, whole_us},
    ports::Started,
    watch::Watch,
    workers::Workers,
};
use rustix::{thread::nanosleep, time::Timespec};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use vfwire::forward::LaneReader;

/// How often the ports are looked after.
const PERIOD: Duration = Duration::from_millis(100);
/// How often the status is shown.
const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// Which signal has asked the command to end, if any.
pub(super) struct Signals {
    asked: Arc<AtomicBool>,
    by: Arc<AtomicUsize>,
}

/// The signals that ask to end, with their names.
const ENDING: [(i32, &str); 2] = [(SIGINT, "SIGINT"), (SIGTERM, "SIGTERM")];

impl Signals {
    /// From now on SIGINT and SIGTERM ask to end, and the second of them ends the process on the spot.
    pub(super) fn catch() -> Result<Self, Failure> {
        let (asked, by) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(usize::MAX)));
        for (at, (signal, _)) in ENDING.into_iter().enumerate() {
            // In this order: the first signal finds the flag still unset.
            flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())
                .and_then(|_| flag::register_usize(signal, by.clone(), at))
                .and_then(|_| flag::register(signal, asked.clone()))
                .map_err(|error| Failure::failed(format!("signals cannot be caught: {error}")))?;
        }
        Ok(Self { asked, by })
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
    lanes: &[LaneReader],
    workers: &Workers,
    (signals, flight, capture): (&Signals, &mut FlightFile, &mut Option<Capture>),
    limit: Option<Duration>,
    (life, console): (&mut Life, &mut Console),
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
        sleep(left.min(period));
        life.look_for_first_frame(lanes);
        flight.write_if_asked(console);
        for ((port, watch), lanes) in started.iter_mut().zip(watches.iter_mut()).zip(lanes.chunks(lanes_each.max(1))) {
            watch.look_after(port, lanes, console)?;
        }
        if status.is_due() {
            status.next(started, lanes, console);
        }
    }
}

/// Sleeps, unless a signal comes: `std::thread::sleep` would sleep on. One that comes just before costs a period.
fn sleep(time: Duration) {
    if let Ok(time) = Timespec::try_from(time) {
        let _ = nanosleep(&time);
    }
}

/// What is shown every second.
struct Status {
    start: Instant,
    last: Instant,
    sent_frames: u64,
    dropped_frames: u64,
}

impl Status {
    fn new(start: Instant) -> Self {
        Self { start, last: start, sent_frames: 0, dropped_frames: 0 }
    }

    fn is_due(&self) -> bool {
        self.last.elapsed() >= STATUS_PERIOD
    }

    /// Shows what has happened since the last time.
    fn next(&mut self, started: &mut [Started], lanes: &[LaneReader], console: &mut Console) {
        let now = Instant::now();
        let past = (now - self.last).as_secs_f64();
        let (mut sent, mut dropped, mut errors) = (0, 0, 0);
        for port in started {
            let stats = port.stats();
            let (rx, tx) = (stats.rx_total(), stats.tx_total());
            sent += tx.frames;
            dropped += rx.no_descriptor + tx.unsendable;
            errors += rx.errors;
        }
        dropped += lanes.iter().map(|lane| lane.read().dropped).sum::<u64>();
        let frames_per_s = sent.saturating_sub(self.sent_frames) as f64 / past;
        let dropped_now = dropped.saturating_sub(self.dropped_frames);
        (self.last, self.sent_frames, self.dropped_frames) = (now, sent, dropped);
        let line = StatusLine { event: "Status", monotonic_us: whole_us(log::now()), frames_per_s, dropped, rx_errors: errors };
        match serde_json::to_string(&line) {
            Ok(json) if log::is_json() => console.line(&json),
            _ => console.status(&format!(
                "{:4} s  {:9.3} Mframes/s  {dropped_now} dropped ({dropped} so far), {errors} receive errors so far",
                self.start.elapsed().as_secs(),
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
