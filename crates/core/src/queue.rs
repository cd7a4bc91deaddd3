//! What a worker calls: receive and transmit queues.

use crate::{burst::Burst, path::Path, pool::BufCache, stats::CountersReader};

/// Counters of a receive queue, by number.
pub mod rx_counter {
    /// Frames given to the application.
    pub const FRAMES: usize = 0;
    /// Their bytes.
    pub const BYTES: usize = 1;
    /// Frames that were dropped because they were damaged.
    pub const ERRORS: usize = 2;
    /// Calls that found no free buffer.
    pub const STARVED_POLLS: usize = 3;
    /// Frames that had arrived and were not fetched when the device was reset or stopped.
    pub const LOST_IN_RESET: usize = 4;
    /// How many there are.
    pub const COUNT: usize = 5;
}

/// Counters of a transmit queue, by number.
pub mod tx_counter {
    /// Frames given to the device.
    pub const FRAMES: usize = 0;
    /// Their bytes.
    pub const BYTES: usize = 1;
    /// Frames that no device can send.
    pub const UNSENDABLE: usize = 2;
    /// Buffers that the device had when it was reset or stopped.
    pub const LOST_IN_RESET: usize = 3;
    /// Completions that name nothing that the device has.
    pub const BAD_COMPLETIONS: usize = 4;
    /// Calls that gave the device nothing, because the ring had no room.
    pub const FULL_POLLS: usize = 5;
    /// How many there are.
    pub const COUNT: usize = 6;
}

/// A queue that counts.
pub trait Counted<const N: usize> {
    /// Its counters, for the port's statistics.
    fn counters(&self) -> CountersReader<N>;
}

/// A receive queue. Owned by one worker.
pub trait RxQueue: Send + 'static {
    /// Appends frames that have arrived to `out`, as many as there are and as it has room for, and gives the device as many fresh buffers
    /// of `cache`. Returns how many frames were appended. Nothing is held back: one frame that has arrived is one frame appended.
    ///
    /// A queue whose port is in reset returns 0.
    ///
    /// # Panics
    /// Where `cache`, `out` and the queue belong to different pools.
    fn rx_burst(&mut self, cache: &mut BufCache, out: &mut Burst) -> usize;

    /// The compilation of the packet path that it runs.
    fn path(&self) -> Path;
}

/// A transmit queue. Owned by one worker.
pub trait TxQueue: Send + 'static {
    /// Gives the frames of `burst` to the device, oldest first. What does not fit stays in the burst, in order; call again later or drop it
    /// ([`Burst::clear`]). Frames that no device can send are dropped and counted. Returns how many frames were given to the device.
    /// Buffers of frames that were sent go to `cache`, a batch at a time.
    ///
    /// A queue whose port is in reset returns 0.
    ///
    /// # Panics
    /// As [`RxQueue::rx_burst`].
    fn tx_burst(&mut self, cache: &mut BufCache, burst: &mut Burst) -> usize;

    /// Takes the buffers of all frames that were sent back into `cache`, those of the last few, too: for a worker that has nothing to send.
    /// Returns how many descriptors became free.
    fn reclaim(&mut self, cache: &mut BufCache) -> usize;

    /// Descriptors that the device has not reported done.
    fn in_flight(&self) -> usize;

    /// The compilation of the packet path that it runs.
    fn path(&self) -> Path;
}

impl RxQueue for Box<dyn RxQueue> {
    #[inline(always)]
    fn rx_burst(&mut self, cache: &mut BufCache, out: &mut Burst) -> usize {
        (**self).rx_burst(cache, out)
    }
    fn path(&self) -> Path {
        (**self).path()
    }
}

impl TxQueue for Box<dyn TxQueue> {
    #[inline(always)]
    fn tx_burst(&mut self, cache: &mut BufCache, burst: &mut Burst) -> usize {
        (**self).tx_burst(cache, burst)
    }
    fn reclaim(&mut self, cache: &mut BufCache) -> usize {
        (**self).reclaim(cache)
    }
    fn in_flight(&self) -> usize {
        (**self).in_flight()
    }
    fn path(&self) -> Path {
        (**self).path()
    }
}
