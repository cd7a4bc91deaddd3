//! The loop that sends, receives and books, on one thread.

use crate::{
    clock::Clock,
    error::TrafficError,
    lane::{Direction, DirectionReader, Lane, Order},
    mark::DIRECTIONS_MAX,
    outcome::Outcome,
    rate::{Due, Rate},
    replay::{self, Recording, Replay},
    stream::Stream,
};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};
use vfwire_core::{
    pool::{BufCache, Pool},
    turns::{Turns, TurnsReader},
};

/// How much of its time a trial may be late: frames that were due by then are still sent.
const GRACE: u64 = 100;
/// The most of it.
const GRACE_MAX_NS: u64 = 10_000_000;
/// A thread that was kept from its CPU may be late by as long as that took, but by no more than this.
const CATCH_UP_MAX_NS: u64 = 20_000_000;
/// Of the time to wait for frames: for so much of it nothing must have arrived before a trial ends early.
const QUIET: u64 = 16;

/// When sending ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// After this time.
    After(Duration),
    /// After so many frames in each direction, or after `limit`, whichever comes first.
    Frames {
        /// How many.
        frames: u64,
        /// How long it may take.
        limit: Duration,
    },
}

/// One trial.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Trial {
    /// How fast frames are sent, in each direction.
    pub rate: Rate,
    /// When sending ends.
    pub until: Until,
    /// How long frames are waited for after the last was sent. Ends earlier once all of them are back and nothing more comes for a
    /// sixteenth of it.
    pub drain: Duration,
}

/// Sends and receives in up to 16 directions, trial after trial. Owns their queues.
pub struct Tester<C> {
    lanes: Vec<Lane>,
    pool: Pool,
    cache: BufCache,
    clock: C,
    turns: Turns,
    number: u8,
    yields: bool,
}

impl<C: Clock> Tester<C> {
    /// A tester for queues of this pool.
    ///
    /// # Errors
    /// No direction or more than 16, frames longer than the pool's buffers, too many flows to keep one by one.
    pub fn new(directions: Vec<Direction>, pool: &Pool, clock: C) -> Result<Self, TrafficError> {
        if directions.is_empty() || directions.len() > DIRECTIONS_MAX {
            return Err(TrafficError::new("directions", format!("{} of them", directions.len()), format!("give 1 to {DIRECTIONS_MAX}")));
        }
        let lanes = (0..).zip(directions).map(|(number, direction)| Lane::new(number, direction, pool)).collect::<Result<_, _>>()?;
        Ok(Self { lanes, cache: pool.cache(), pool: pool.clone(), clock, turns: Turns::new(), number: 0, yields: false })
    }

    /// Whether the thread lets others run whenever nothing has arrived: where it shares its CPU with the device under test, that one would
    /// wait for it otherwise. The only call of the system in the loop; it makes departures less even.
    pub fn share_cpu(&mut self, shared: bool) {
        self.yields = shared;
    }

    /// Takes and sends at most so many frames at once, from the next trial on: 1 to [`BURST_MAX`](vfwire_core::pool::BURST_MAX), 32 unless
    /// told.
    pub fn set_burst(&mut self, frames: usize) {
        self.lanes.iter_mut().for_each(|lane| lane.set_burst(frames, &self.pool));
    }

    /// Sends something else in a direction from the next trial on.
    ///
    /// # Errors
    /// As [`Tester::new`]; nothing has changed then.
    ///
    /// # Panics
    /// Where there is no such direction.
    pub fn set_stream(&mut self, direction: usize, stream: Stream) -> Result<(), TrafficError> {
        self.lanes[direction].set_stream(stream, &self.pool)
    }

    /// One for each direction: what it has done so far, to be read while trials run.
    pub fn readers(&self) -> Vec<DirectionReader> {
        self.lanes.iter().map(Lane::reader).collect()
    }

    /// The heartbeat of its loop: how often it has looked at the queues, to be read while trials run. It stands still between them.
    pub fn turns(&self) -> TurnsReader {
        self.turns.reader()
    }

    /// Sends a recording in the first direction, and counts what comes back. `stop` ends it early; what is on its way is still waited for.
    pub fn replay(&mut self, recording: &Recording, replay: &Replay, stop: &AtomicBool) -> Outcome {
        replay::run(&mut self.lanes[0], recording, replay, (&mut self.cache, &mut self.clock, &mut self.turns, stop))
    }

    /// Runs a trial in all directions at once, and gives what came of each. `stop` ends it early; what is on its way is still waited for.
    ///
    /// # Errors
    /// A rate that cannot be. Nothing was sent then.
    pub fn trial(&mut self, trial: &Trial, stop: &AtomicBool) -> Result<Vec<Outcome>, TrafficError> {
        let (time_ns, frames) = match trial.until {
            Until::After(time) => (whole_ns(time), u64::MAX),
            Until::Frames { frames, limit } => (whole_ns(limit), frames),
        };
        let orders = self.orders(trial.rate, frames)?;
        self.number = self.number.wrapping_add(1);
        // What is left of earlier trials, as long as it comes, but not for ever.
        for lane in &mut self.lanes {
            lane.discard(&mut self.cache);
        }
        let start_ns = self.clock.now_ns();
        let end_ns = start_ns.saturating_add(time_ns);
        for (lane, order) in self.lanes.iter_mut().zip(&orders) {
            lane.begin(Order { trial: self.number, end_ns, ..order.clone() }, start_ns);
        }
        let grace_ns = (time_ns / GRACE).min(GRACE_MAX_NS);
        let sent = self.send(start_ns, (end_ns, grace_ns), stop);
        self.lanes.iter_mut().for_each(|lane| lane.end_sending(&mut self.cache));
        let gap_ns = sent.gap_ns.max(self.drain(sent.at_ns, whole_ns(trial.drain)));
        let stopped_ns = if sent.stopped { sent.at_ns.min(end_ns) } else { end_ns };
        // A trial of a given length lasted that long, whenever its last frame was due.
        let last_ns = if matches!(trial.until, Until::After(_)) { stopped_ns } else { sent.at_ns.min(end_ns) };
        let outcomes = self.lanes.iter_mut().zip(&orders).map(|(lane, order)| {
            let due = |intervals: &Vec<_>| Due::at(start_ns).before(stopped_ns, intervals).min(frames);
            let offered = order.intervals.as_ref().map_or(0, due);
            Outcome { longest_gap_ns: gap_ns, stopped: sent.stopped, ..lane.finish(start_ns, last_ns, offered) }
        });
        Ok(outcomes.collect())
    }

    fn orders(&self, rate: Rate, frames: u64) -> Result<Vec<Order>, TrafficError> {
        let order = |lane: &Lane| {
            let intervals = rate.intervals(lane.direction.stream.sizes(), lane.direction.line_bits_per_s)?;
            Ok(Order { trial: 0, intervals, end_ns: 0, frames })
        };
        self.lanes.iter().map(order).collect()
    }

    /// Sends until nothing more is to be sent, and receives meanwhile. May be late by as much as `grace_ns`, or as long as it was kept from
    /// its CPU.
    fn send(&mut self, start_ns: u64, (end_ns, grace_ns): (u64, u64), stop: &AtomicBool) -> Sent {
        let Self { lanes, cache, clock, turns, yields, .. } = self;
        let (mut last_ns, mut gap_ns) = (start_ns, 0);
        loop {
            let now_ns = clock.now_ns();
            turns.next();
            gap_ns = gap_ns.max(now_ns - last_ns);
            last_ns = now_ns;
            let (mut more, mut received) = (false, 0);
            for lane in lanes.iter_mut() {
                more |= lane.send(now_ns, cache);
                received += lane.receive(|| clock.now_ns(), cache);
            }
            let stopped = stop.load(Relaxed);
            let late_ns = grace_ns.max(gap_ns.min(CATCH_UP_MAX_NS));
            if !more || stopped || now_ns >= end_ns.saturating_add(late_ns) {
                return Sent { at_ns: now_ns, gap_ns, stopped };
            }
            if *yields && received == 0 {
                thread::yield_now();
            }
        }
    }

    /// Receives until all is back, or the time is over. Gives the longest time between two looks.
    fn drain(&mut self, start_ns: u64, limit_ns: u64) -> u64 {
        let Self { lanes, cache, clock, turns, yields, .. } = self;
        let (mut last_ns, mut gap_ns, mut quiet_since_ns) = (start_ns, 0, start_ns);
        loop {
            let now_ns = clock.now_ns();
            turns.next();
            gap_ns = gap_ns.max(now_ns - last_ns);
            last_ns = now_ns;
            let mut complete = true;
            for lane in lanes.iter_mut() {
                if lane.receive(|| clock.now_ns(), cache) != 0 {
                    quiet_since_ns = now_ns;
                }
                lane.direction.tx.reclaim(cache);
                complete &= lane.is_complete();
            }
            let quiet = complete && now_ns - quiet_since_ns >= limit_ns / QUIET;
            if quiet || now_ns - start_ns >= limit_ns {
                return gap_ns;
            }
            if *yields && quiet_since_ns != now_ns {
                thread::yield_now();
            }
        }
    }
}

struct Sent {
    at_ns: u64,
    gap_ns: u64,
    stopped: bool,
}

fn whole_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl<C> std::fmt::Debug for Tester<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.lanes.iter().map(|lane| &lane.direction)).finish()
    }
}
