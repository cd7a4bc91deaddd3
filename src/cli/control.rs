//! The control thread of `vfwire forward`: looks after the ports, says what happens, and decides when it is over.

use super::{Failure, console::Console, flight::FlightFile, ports::Started, watch::Watch, workers::Workers};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use vfwire::forward::LaneReader;

/// How often the ports are looked after.
const PERIOD: Duration = Duration::from_millis(100);
/// How often the status is shown.
const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// Whether a signal has asked the command to end.
pub(super) struct Signals(Arc<AtomicBool>);

impl Signals {
    /// From now on SIGINT and SIGTERM ask to end, and the second of them ends the process on the spot.
    pub(super) fn catch() -> Result<Self, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag still unset.
            flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())
                .and_then(|_| flag::register(signal, asked.clone()))
                .map_err(|error| Failure::failed(format!("signals cannot be caught: {error}")))?;
        }
        Ok(Self(asked))
    }

    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks after the ports until the time is over, a signal comes, or a port is gone. Gives why it must end in an error.
pub(super) fn run(
    (started, watches): (&mut [Started], &mut [Watch]),
    lanes: &[LaneReader],
    workers: &Workers,
    (signals, flight): (&Signals, &FlightFile),
    limit: Option<Duration>,
    console: &mut Console,
) -> Result<(), Failure> {
    let start = Instant::now();
    let mut status = Status::new(start);
    let lanes_each = lanes.len() / started.len().max(1);
    while !signals.asked() {
        let period = watches.iter().filter_map(Watch::urgent_period).min().unwrap_or(PERIOD);
        let left = limit.map_or(period, |limit| limit.saturating_sub(start.elapsed()));
        if left.is_zero() || workers.is_broken() {
            break;
        }
        thread::sleep(left.min(period));
        flight.write_if_asked();
        for ((port, watch), lanes) in started.iter_mut().zip(watches.iter_mut()).zip(lanes.chunks(lanes_each.max(1))) {
            watch.look_after(port, lanes, console)?;
        }
        if status.is_due() {
            console.status(&status.next(started, lanes));
        }
    }
    Ok(())
}

/// The line of every second.
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

    /// What has happened since the last line.
    fn next(&mut self, started: &mut [Started], lanes: &[LaneReader]) -> String {
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
        let line = format!(
            "{:4} s  {:9.3} Mframes/s  {} dropped ({dropped} so far), {errors} receive errors so far",
            self.start.elapsed().as_secs(),
            sent.saturating_sub(self.sent_frames) as f64 / past / 1e6,
            dropped.saturating_sub(self.dropped_frames),
        );
        (self.last, self.sent_frames, self.dropped_frames) = (now, sent, dropped);
        line
    }
}
