//! Run to completion: a worker takes frames off a receive queue, puts them through a [`Stage`] and sends them, before it takes the next.
//!
//! A [`Lane`] joins one receive queue to one transmit queue; a [`Worker`] polls the lanes that it was given, on one thread, with one
//! buffer cache. Where a frame may leave by any of several ports, a [`Hub`] takes the place of the lanes, and a [`Switch`] that of the stage.
//! The stages that come with vfwire are in [`stages`], a file each; an application writes its own in the same way (`examples/own_stage.rs`).
//!
//! Nothing in the loop allocates, locks, calls the system or prints. Queues are `dyn`, one call a burst; the stage is a
//! type, so the loop is compiled once a stage and the stage's work is inlined. Workers share nothing that they write: each has queues,
//! bursts, a cache and counters of its own, in cache lines of their own. Only where a cache runs dry or over does it go to the pool.
//!
//! **What is timed** ([`cycles_per_frame`]) is receive, stage and transmit, in polls that moved frames: 64 of them in a row, and then 960 go
//! untimed, because reading the cycle counter costs as much as several frames. What a reading takes is measured once, when a worker begins
//! to run, and taken off each timed poll. (Reading the counter once a poll and taking differences would be cheaper while timing, but count
//! the time in which a fast worker waits for its device as work: by a fifth too much at bursts of 8.)
//!
//! **Where the transmit ring is full**, the frames that did not fit are kept, and tried again at each of the lane's next [`RETRIES`] polls.
//! Nothing is received meanwhile, so frames wait in the receive ring and a short congestion loses none. What still does not fit is
//! dropped and counted ([`LaneStats::dropped`]), and the lane goes on: a transmit side that is stuck, or in reset, does not stop the
//! receive side from being polled. A worker that ends receives no more, tries for another 100 ms, for all of its lanes together, and then
//! drops and counts what is left.
//! So every frame received was sent, or is one that no device can send (the queue counts those), or was dropped here, or by the stage
//! ([`LaneStats::dropped_by_stage`]).

use crate::{BufCache, Burst, Pool, RxQueue, TxQueue, cycles, reading_cycles};
use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};
use typical::{Typical, TypicalReader};
use vfwire_core::{
    poll::{Wait, poll_until},
    stats::{Counters, CountersReader},
};

/// How often a lane tries again to send what did not fit, before it drops it. At some tens of nanoseconds a poll these are tens of
/// milliseconds: a transmit side that has moved nothing for so long is stuck.
pub const RETRIES: u32 = 1_000_000;

/// How long a worker that ends lets the devices send what they were given.
const DRAIN: Wait = Wait { what: "the last frames to be sent", limit: Duration::from_millis(100), remedy: "the link may be down" };

const FRAMES: usize = 0;
const POLLS: usize = 1;
const DROPPED: usize = 2;
const DROPPED_BY_STAGE: usize = 3;
const COUNTERS: usize = 4;

/// What a lane did. Each value is exact; they need not be of the same instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LaneStats {
    /// Frames received.
    pub frames: u64,
    /// Polls that received any.
    pub polls: u64,
    /// Frames dropped because the transmit ring stayed full. Of a [`Hub`], those that were to leave by this port.
    pub dropped: u64,
    /// Frames received that the stage dropped.
    pub dropped_by_stage: u64,
}

/// The reading end of a lane's counters, for any thread.
#[derive(Clone, Debug)]
pub struct LaneReader {
    counters: CountersReader<COUNTERS>,
    typical: TypicalReader,
}

impl LaneReader {
    /// The counters now.
    pub fn read(&self) -> LaneStats {
        let [frames, polls, dropped, dropped_by_stage] = self.counters.read();
        LaneStats { frames, polls, dropped, dropped_by_stage }
    }
}

/// What a lane's frames had cost until a moment.
#[derive(Clone, Debug)]
pub struct CostsUntil(Vec<u32>);

impl LaneReader {
    /// What its frames have cost so far.
    pub fn costs(&self) -> CostsUntil {
        CostsUntil(self.typical.counts())
    }

    /// As [`cycles_per_frame`], of this lane's batches since then; nothing where none has been finished.
    pub fn cycles_per_frame_since(&self, before: &CostsUntil) -> Option<f64> {
        self.typical.median_since(&before.0)
    }
}

/// What a frame typically costs, in ticks of the [`cycles`](crate::cycles()) counter: the median over the timed batches of polls of these
/// lanes, to 2 %. Interruptions of a worker are not in it. Zero before the first batch, which is of 64 polls, or fewer where a worker ended
/// before.
pub fn cycles_per_frame<'a>(lanes: impl Iterator<Item = &'a LaneReader>) -> f64 {
    typical::median(lanes.map(|lane| &lane.typical)).unwrap_or(0.0)
}

/// A receive queue, the transmit queue that its frames leave by, and the frames between them.
// Lanes of two workers share no pair of cache lines (which some processors fetch together).
#[repr(align(128))]
pub struct Lane {
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
    burst: Burst,
    /// How often what is in the burst was tried in vain.
    tries: u32,
    counters: Counters<COUNTERS>,
    typical: Typical,
}

/// What a poll moved.
struct Moved {
    received: usize,
    dropped_by_stage: usize,
    sent: usize,
}

impl Lane {
    /// A lane that takes up to `burst_frames` at once (1 to [`BURST_MAX`](crate::BURST_MAX)). Both queues and the pool belong together.
    pub fn new(rx: Box<dyn RxQueue>, tx: Box<dyn TxQueue>, pool: &Pool, burst_frames: usize) -> Self {
        Self { rx, tx, burst: pool.burst(burst_frames), tries: 0, counters: Counters::new(), typical: Typical::new() }
    }

    /// A reading end of its counters.
    pub fn reader(&self) -> LaneReader {
        LaneReader { counters: self.counters.reader(), typical: self.typical.reader() }
    }

    /// One poll, counted, and timed where it is its turn. `reading` is what reading the counter takes.
    #[inline(always)]
    fn turn<S: Stage>(&mut self, stage: &mut S, cache: &mut BufCache, reading: u64) -> Moved {
        let before = if self.typical.is_timing() { cycles() } else { 0 };
        let moved = self.poll(stage, cache);
        if moved.received | moved.sent != 0 {
            if self.typical.is_timing() {
                self.typical.add(moved.received as u64, cycles().wrapping_sub(before).saturating_sub(reading));
            }
            self.typical.next();
            self.count(&moved);
        }
        moved
    }

    #[inline(always)]
    fn poll<S: Stage>(&mut self, stage: &mut S, cache: &mut BufCache) -> Moved {
        if !self.burst.is_empty() {
            return self.retry(cache);
        }
        let received = self.rx.rx_burst(cache, &mut self.burst);
        if received == 0 {
            // Buffers of frames that were sent come home, and the queue hears of a reset.
            self.tx.reclaim(cache);
            return Moved { received, dropped_by_stage: 0, sent: 0 };
        }
        stage.process(&mut self.burst, cache);
        let dropped_by_stage = received.saturating_sub(self.burst.len());
        let sent = self.tx.tx_burst(cache, &mut self.burst);
        Moved { received, dropped_by_stage, sent }
    }

    /// The burst holds what the ring did not take.
    #[cold]
    #[inline(never)]
    fn retry(&mut self, cache: &mut BufCache) -> Moved {
        let sent = self.tx.tx_burst(cache, &mut self.burst);
        self.tries = if self.burst.is_empty() { 0 } else { self.tries + 1 };
        if self.tries == RETRIES {
            self.give_up(cache);
        }
        Moved { received: 0, dropped_by_stage: 0, sent }
    }

    fn give_up(&mut self, cache: &mut BufCache) {
        self.counters.add::<DROPPED>(self.burst.len() as u64);
        self.burst.clear(cache);
        self.tries = 0;
    }

    #[inline(always)]
    fn count(&mut self, moved: &Moved) {
        if moved.received != 0 {
            self.counters.add::<FRAMES>(moved.received as u64);
            self.counters.add::<POLLS>(1);
        }
        if moved.dropped_by_stage != 0 {
            self.counters.add::<DROPPED_BY_STAGE>(moved.dropped_by_stage as u64);
        }
    }

    /// Sends what is left. Whether the device has sent all of it.
    fn drain(&mut self, cache: &mut BufCache) -> bool {
        self.tx.tx_burst(cache, &mut self.burst);
        self.burst.is_empty() && self.tx.in_flight() == 0
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({:?} in hand)", self.burst)
    }
}

/// Some lanes and the buffer cache that they share: what one thread polls.
#[derive(Debug)]
pub struct Worker {
    lanes: Vec<Lane>,
    cache: BufCache,
    turns: Turns,
}

impl Worker {
    /// A worker for lanes of one pool.
    pub fn new(lanes: Vec<Lane>, pool: &Pool) -> Self {
        Self { lanes, cache: pool.cache(), turns: Turns::new() }
    }

    /// The heartbeat of its loop.
    pub fn turns(&self) -> TurnsReader {
        self.turns.reader()
    }

    /// Polls until told to stop, with one stage for all lanes.
    pub fn run<S: Stage>(&mut self, stage: &mut S, stop: &AtomicBool) {
        let reading = reading_cycles();
        while !stop.load(Relaxed) {
            for lane in &mut self.lanes {
                lane.turn(stage, &mut self.cache, reading);
            }
            self.turns.next();
        }
        self.end();
    }

    /// Polls until told to stop, with a stage for each lane.
    ///
    /// # Panics
    /// Where there are more or fewer stages than lanes.
    pub fn run_each<S: Stage>(&mut self, stages: &mut [S], stop: &AtomicBool) {
        assert_eq!(stages.len(), self.lanes.len(), "a stage for each lane");
        let reading = reading_cycles();
        while !stop.load(Relaxed) {
            for (lane, stage) in self.lanes.iter_mut().zip(&mut *stages) {
                lane.turn(stage, &mut self.cache, reading);
            }
            self.turns.next();
        }
        self.end();
    }

    fn end(&mut self) {
        // Together, so that several links that are down take no longer than one. They keep their frames; that is no reason not to end.
        let Self { lanes, cache, .. } = self;
        let _ = poll_until(DRAIN, || Ok(lanes.iter_mut().fold(true, |sent, lane| lane.drain(cache) & sent).then_some(())));
        for lane in lanes {
            lane.give_up(cache);
            lane.typical.finish();
        }
    }
}

mod hub;
mod stage;
pub mod stages;
mod typical;

pub use hub::{Hub, Outputs, Switch};
pub use stage::{Stage, Station};
pub use stages::{Io, MacSwap};
pub use vfwire_core::turns::{Turns, TurnsReader};

#[cfg(test)]
mod tests;
