//! Frames of any port leave by any port: what a [`Hub`] polls, and what a [`Switch`] decides.
//!
//! Each port has an outgoing burst of [`BURST_MAX`] frames. What a full transmit ring does not take waits there; what finds its burst full is
//! dropped and counted on the port that it was to leave by, so one port that is stuck holds up none of the others.

use super::{COUNTERS, DRAIN, DROPPED, DROPPED_BY_STAGE, FRAMES, LaneReader, POLLS, Turns, TurnsReader, stage::Stage, typical::Typical};
use crate::{BURST_MAX, BufCache, Burst, PacketMut, Pool, RxQueue, TxQueue, cycles, reading_cycles};
use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use vfwire_core::{poll::poll_until, stats::Counters};

/// What decides by which ports frames leave. As a [`Stage`] it runs on a polling thread.
pub trait Switch: Send + 'static {
    /// Works on frames that port `from` has just received. What stays in `burst` is dropped, and counted as dropped by the stage.
    fn switch(&mut self, from: usize, burst: &mut Burst, out: &mut Outputs, cache: &mut BufCache);
}

/// A stage and then a switch are a switch.
impl<A: Stage, B: Switch> Switch for (A, B) {
    #[inline(always)]
    fn switch(&mut self, from: usize, burst: &mut Burst, out: &mut Outputs, cache: &mut BufCache) {
        self.0.process(burst, cache);
        self.1.switch(from, burst, out, cache);
    }
}

/// The frames that leave by each port.
#[derive(Debug)]
pub struct Outputs {
    bursts: Vec<Burst>,
    /// Frames that found no room, by port, since they were counted last.
    full: Vec<u64>,
    /// For the further segments of a copy.
    scratch: Burst,
}

impl Outputs {
    pub(super) fn new(ports: usize, pool: &Pool) -> Self {
        let bursts = (0..ports).map(|_| pool.burst(BURST_MAX)).collect();
        Self { bursts, full: vec![0; ports], scratch: pool.burst(1) }
    }

    /// How many ports there are.
    pub fn ports(&self) -> usize {
        self.bursts.len()
    }

    /// Sends each frame by the port that `to` names. Frames for which it names none stay in `burst`, in order; those of a port that is full
    /// are dropped and counted there.
    #[inline]
    pub fn deal(&mut self, burst: &mut Burst, cache: &mut BufCache, to: impl FnMut(&mut PacketMut<'_>) -> Option<usize>) {
        burst.deal(cache, (&mut self.bursts, &mut self.full), to);
    }

    /// Sends a copy of a frame by `port`. Where that port is full, or no buffer is free, it is dropped and counted there.
    pub fn copy(&mut self, frame: &PacketMut<'_>, port: usize, cache: &mut BufCache) {
        let Some(out) = self.bursts.get_mut(port) else { return };
        if copy(frame, out, &mut self.scratch, cache).is_none() {
            self.full[port] += 1;
        }
    }

    /// The frames that are to leave by `port`: those that its ring did not take before, and then those that it was given since, in order.
    /// Nothing where there is no such port.
    pub fn frames(&mut self, port: usize) -> Option<impl ExactSizeIterator<Item = PacketMut<'_>>> {
        self.bursts.get_mut(port).map(Burst::iter_mut)
    }

    #[cfg(test)]
    pub(super) fn parts(&mut self) -> (&mut [Burst], &mut [u64]) {
        (&mut self.bursts, &mut self.full)
    }
}

fn copy(frame: &PacketMut<'_>, out: &mut Burst, scratch: &mut Burst, cache: &mut BufCache) -> Option<()> {
    let mut segments = frame.segments();
    fill(out.push_empty(cache)?, segments.next()?);
    let last = out.len() - 1;
    for segment in segments {
        let Some(empty) = scratch.push_empty(cache) else {
            // What there is of it is no frame. The last one needs nobody to take its place.
            drop(out.swap_take(last));
            return None;
        };
        fill(empty, segment);
        out.append_segment(last, scratch.swap_take(0));
    }
    Some(())
}

/// A segment was received into a buffer of the same pool, so it fits one.
fn fill(mut empty: PacketMut<'_>, bytes: &[u8]) {
    if let Some(room) = empty.append(bytes.len()) {
        room.copy_from_slice(bytes);
    }
}

/// A queue pair of a port, and what is counted of it.
struct Side {
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
    counters: Counters<COUNTERS>,
    typical: Typical,
}

/// A queue pair of each of several ports, polled by one thread: any frame may leave by any of them.
pub struct Hub {
    sides: Vec<Side>,
    burst: Burst,
    out: Outputs,
    cache: BufCache,
    turns: Turns,
}

impl Hub {
    /// A hub of these queue pairs, one a port, that takes up to `burst_frames` at once (1 to [`BURST_MAX`]). All belong to one pool.
    pub fn new(pairs: Vec<(Box<dyn RxQueue>, Box<dyn TxQueue>)>, pool: &Pool, burst_frames: usize) -> Self {
        let side = |(rx, tx)| Side { rx, tx, counters: Counters::new(), typical: Typical::new() };
        let sides: Vec<_> = pairs.into_iter().map(side).collect();
        Self { burst: pool.burst(burst_frames), out: Outputs::new(sides.len(), pool), cache: pool.cache(), turns: Turns::new(), sides }
    }

    /// A reading end of the counters of each port, in their order.
    pub fn readers(&self) -> Vec<LaneReader> {
        self.sides.iter().map(|side| LaneReader { counters: side.counters.reader(), typical: side.typical.reader() }).collect()
    }

    /// The heartbeat of its loop.
    pub fn turns(&self) -> TurnsReader {
        self.turns.reader()
    }

    /// Polls until told to stop.
    pub fn run<S: Switch>(&mut self, switch: &mut S, stop: &AtomicBool) {
        let reading = reading_cycles();
        while !stop.load(Relaxed) {
            for port in 0..self.sides.len() {
                self.turn(port, switch, reading);
            }
            self.turns.next();
        }
        // They keep their frames where a link is down; that is no reason not to end.
        let _ = poll_until(DRAIN, || Ok(self.drain().then_some(())));
        for (side, left) in self.sides.iter_mut().zip(&mut self.out.bursts) {
            side.counters.add::<DROPPED>(left.len() as u64);
            left.clear(&mut self.cache);
            side.typical.finish();
        }
    }

    /// One poll of a port, counted, and timed where it is its turn.
    #[inline(always)]
    fn turn<S: Switch>(&mut self, port: usize, switch: &mut S, reading: u64) {
        let timing = self.sides[port].typical.is_timing();
        let before = if timing { cycles() } else { 0 };
        let received = self.sides[port].rx.rx_burst(&mut self.cache, &mut self.burst);
        if received == 0 {
            self.idle(port);
            return;
        }
        switch.switch(port, &mut self.burst, &mut self.out, &mut self.cache);
        let refused = self.burst.len();
        if refused > 0 {
            self.burst.clear(&mut self.cache);
        }
        for (side, out) in self.sides.iter_mut().zip(&mut self.out.bursts) {
            if !out.is_empty() {
                side.tx.tx_burst(&mut self.cache, out);
            }
        }
        let side = &mut self.sides[port];
        if timing {
            side.typical.add(received as u64, cycles().wrapping_sub(before).saturating_sub(reading));
        }
        side.typical.next();
        side.counters.add::<FRAMES>(received as u64);
        side.counters.add::<POLLS>(1);
        if refused > 0 {
            side.counters.add::<DROPPED_BY_STAGE>(refused as u64);
        }
        self.count_full();
    }

    /// Nothing was received: what is left goes on, buffers of frames that were sent come home, and the queue hears of a reset.
    fn idle(&mut self, port: usize) {
        let (side, out) = (&mut self.sides[port], &mut self.out.bursts[port]);
        if out.is_empty() {
            side.tx.reclaim(&mut self.cache);
        } else {
            side.tx.tx_burst(&mut self.cache, out);
        }
    }

    #[inline(always)]
    fn count_full(&mut self) {
        for (side, full) in self.sides.iter_mut().zip(&mut self.out.full) {
            if *full != 0 {
                side.counters.add::<DROPPED>(std::mem::take(full));
            }
        }
    }

    /// Sends what is left. Whether the devices have sent all of it.
    fn drain(&mut self) -> bool {
        self.sides.iter_mut().zip(&mut self.out.bursts).fold(true, |sent, (side, out)| {
            side.tx.tx_burst(&mut self.cache, out);
            (out.is_empty() && side.tx.in_flight() == 0) & sent
        })
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub of {} ports", self.sides.len())
    }
}
