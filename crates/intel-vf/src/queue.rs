//! Receive and transmit queues over advanced descriptors: a ring, its doorbell, the gate and the counters, put together.
//!
//! A worker owns a queue and needs nobody else to move frames. What a burst costs beyond the ring itself is one load (the gate), one
//! doorbell and two counters. When the port closes the gate, the queue gives its buffers back to the worker's cache at its next burst
//! and moves nothing until the gate opens; by then the port has set the device up again, at slot 0.
//!
//! A dropped queue leaves its ring with the port ([`Deposit`](vfwire_core::ring::Deposit)).

use vfwire_core::{
    bar::{Bar, Doorbell},
    burst::Burst,
    format::{RxFormat, TxFormat},
    gate::{Pass, Turn},
    path::{Isa, Kernel, Path},
    pool::BufCache,
    queue::{Counted, RxQueue, TxQueue, rx_counter, tx_counter},
    ring::{NotSimple, RxRing, Taken, TxRing, Unusual},
    stats::{Counters, CountersReader},
};

/// A receive queue.
// Queues are written at every burst, each by its own worker: no two share a pair of cache lines (which some processors fetch together).
#[derive(Debug)]
#[repr(align(128))]
pub struct AdvRx<B, F> {
    ring: RxRing<F>,
    doorbell: Doorbell<B>,
    pass: Pass,
    path: Path,
    counters: Counters<{ rx_counter::COUNT }>,
}

impl<B: Bar, F: RxFormat> AdvRx<B, F> {
    /// A queue of a ring that the device is told of, with buffers posted as far as `cache` has any; the device has been enabled, so the
    /// doorbell is rung.
    pub fn new(mut ring: RxRing<F>, doorbell: Doorbell<B>, pass: Pass, path: Path, cache: &mut BufCache) -> Self {
        if ring.fill(cache) {
            doorbell.ring(ring.tail());
        }
        Self { ring, doorbell, pass, path, counters: Counters::new() }
    }

    /// The gate is not open: does what it asks for. True where the queue may go on.
    #[cold]
    #[inline(never)]
    fn turn(&mut self, cache: &mut BufCache) -> bool {
        let turn = self.pass.turn();
        match turn {
            Turn::Stay => return false,
            Turn::Quiesce => self.reset(cache),
            Turn::Restart => {
                self.reset(cache);
                if self.ring.fill(cache) {
                    self.doorbell.ring(self.ring.tail());
                }
            }
        }
        self.pass.agree(turn);
        turn == Turn::Restart
    }

    fn reset(&mut self, cache: &mut BufCache) {
        let lost = self.ring.reset(cache);
        self.counters.add::<{ rx_counter::LOST_IN_RESET }>(lost as u64);
    }

    /// A function of its own, so that it has the registers.
    #[inline(never)]
    fn one(&mut self, cache: &mut BufCache, out: &mut Burst) -> usize {
        let got = self.ring.receive_one(cache, out);
        self.account(got, cache, out)
    }

    /// Rings the doorbell where it is time, and counts.
    #[inline(always)]
    fn account(&mut self, got: Result<Taken, Unusual>, cache: &mut BufCache, out: &mut Burst) -> usize {
        match got {
            Ok(taken) => {
                if taken.posted {
                    self.doorbell.ring(self.ring.tail());
                }
                if taken.frames != 0 {
                    self.counters.add::<{ rx_counter::FRAMES }>(taken.frames as u64);
                    self.counters.add::<{ rx_counter::BYTES }>(taken.bytes);
                }
                taken.frames
            }
            Err(begun) => self.rest(begun, cache, out),
        }
    }

    #[cold]
    #[inline(never)]
    fn rest(&mut self, begun: Unusual, cache: &mut BufCache, out: &mut Burst) -> usize {
        let got = self.ring.receive_rest(begun, cache, out);
        if got.posted {
            self.doorbell.ring(self.ring.tail());
        }
        self.counters.add::<{ rx_counter::FRAMES }>(got.frames as u64);
        self.counters.add::<{ rx_counter::BYTES }>(got.bytes);
        self.counters.add::<{ rx_counter::ERRORS }>(got.errors);
        self.counters.add::<{ rx_counter::STARVED_POLLS }>(u64::from(got.starved));
        got.frames
    }
}

impl<B, F> Counted<{ rx_counter::COUNT }> for AdvRx<B, F> {
    fn counters(&self) -> CountersReader<{ rx_counter::COUNT }> {
        self.counters.reader()
    }
}

impl<B: Bar, F: RxFormat> RxQueue for AdvRx<B, F> {
    #[inline(always)]
    fn rx_burst(&mut self, cache: &mut BufCache, out: &mut Burst) -> usize {
        if !self.pass.is_open() && !self.turn(cache) {
            return 0;
        }
        if out.room() == 1 {
            return self.one(cache, out);
        }
        self.path.for_frames(out.room()).run(Receive { queue: self, cache, out })
    }

    fn path(&self) -> Path {
        self.path
    }
}

struct Receive<'a, B, F> {
    queue: &'a mut AdvRx<B, F>,
    cache: &'a mut BufCache,
    out: &'a mut Burst,
}

impl<B: Bar, F: RxFormat> Kernel for Receive<'_, B, F> {
    type Out = usize;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let Self { queue, cache, out } = self;
        let got = queue.ring.receive(isa, cache, out);
        queue.account(got, cache, out)
    }
}

/// A transmit queue.
// As `AdvRx`.
#[derive(Debug)]
#[repr(align(128))]
pub struct AdvTx<B, F> {
    ring: TxRing<F>,
    doorbell: Doorbell<B>,
    pass: Pass,
    path: Path,
    counters: Counters<{ tx_counter::COUNT }>,
}

impl<B: Bar, F: TxFormat> AdvTx<B, F> {
    /// A queue of a ring that the device is told of.
    pub fn new(ring: TxRing<F>, doorbell: Doorbell<B>, pass: Pass, path: Path) -> Self {
        Self { ring, doorbell, pass, path, counters: Counters::new() }
    }

    /// The gate is not open: does what it asks for. True where the queue may go on.
    #[cold]
    #[inline(never)]
    fn turn(&mut self, cache: &mut BufCache) -> bool {
        let turn = self.pass.turn();
        if turn == Turn::Stay {
            return false;
        }
        // What the device has reported was sent; only the rest is in doubt.
        self.ring.reclaim(cache);
        let lost = self.ring.reset(cache);
        self.counters.add::<{ tx_counter::LOST_IN_RESET }>(lost as u64);
        self.pass.agree(turn);
        turn == Turn::Restart
    }

    /// A function of its own, so that it has the registers.
    #[inline(never)]
    fn one(&mut self, cache: &mut BufCache, burst: &mut Burst) -> usize {
        self.ring.reclaim_batch(cache);
        let sent = self.ring.post_one(cache, burst);
        self.account(sent, 1, cache, burst)
    }

    /// Rings the doorbell where something was posted, and counts.
    #[inline(always)]
    fn account(&mut self, sent: Result<u64, NotSimple>, frames: usize, cache: &mut BufCache, burst: &mut Burst) -> usize {
        match sent {
            Ok(bytes) => {
                if frames != 0 {
                    self.doorbell.ring(self.ring.tail());
                    self.counters.add::<{ tx_counter::FRAMES }>(frames as u64);
                    self.counters.add::<{ tx_counter::BYTES }>(bytes);
                }
                frames
            }
            Err(NotSimple) => self.rest(cache, burst),
        }
    }

    #[cold]
    #[inline(never)]
    fn rest(&mut self, cache: &mut BufCache, burst: &mut Burst) -> usize {
        // Whatever has been reported makes room.
        self.ring.reclaim(cache);
        let sent = self.ring.post_rest(cache, burst);
        if sent.posted {
            self.doorbell.ring(self.ring.tail());
        }
        self.counters.add::<{ tx_counter::FRAMES }>(sent.frames as u64);
        self.counters.add::<{ tx_counter::BYTES }>(sent.bytes);
        self.counters.add::<{ tx_counter::UNSENDABLE }>(sent.dropped);
        if sent.frames == 0 && !burst.is_empty() {
            self.counters.add::<{ tx_counter::FULL_POLLS }>(1);
        }
        sent.frames
    }
}

impl<B, F> Counted<{ tx_counter::COUNT }> for AdvTx<B, F> {
    fn counters(&self) -> CountersReader<{ tx_counter::COUNT }> {
        self.counters.reader()
    }
}

impl<B: Bar, F: TxFormat> TxQueue for AdvTx<B, F> {
    #[inline(always)]
    fn tx_burst(&mut self, cache: &mut BufCache, burst: &mut Burst) -> usize {
        if !self.pass.is_open() && !self.turn(cache) {
            return 0;
        }
        if burst.len() == 1 {
            return self.one(cache, burst);
        }
        self.path.for_frames(burst.len()).run(Transmit { queue: self, cache, burst })
    }

    #[inline(always)]
    fn reclaim(&mut self, cache: &mut BufCache) -> usize {
        if !self.pass.is_open() && !self.turn(cache) {
            return 0;
        }
        self.ring.reclaim(cache)
    }

    fn in_flight(&self) -> usize {
        self.ring.in_flight()
    }

    fn path(&self) -> Path {
        self.path
    }
}

struct Transmit<'a, B, F> {
    queue: &'a mut AdvTx<B, F>,
    cache: &'a mut BufCache,
    burst: &'a mut Burst,
}

impl<B: Bar, F: TxFormat> Kernel for Transmit<'_, B, F> {
    type Out = usize;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let Self { queue, cache, burst } = self;
        queue.ring.reclaim_batch(cache);
        let frames = burst.len();
        let sent = queue.ring.post(isa, cache, burst);
        queue.account(sent, frames, cache, burst)
    }
}
