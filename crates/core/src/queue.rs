//! What a worker calls: receive and transmit queues.

use crate::{burst::Burst, path::Path, pool::BufCache};

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
