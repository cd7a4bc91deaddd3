//! Statistics in which every frame is accounted for.
//!
//! What the packet path counts (frames that passed through our hands) is exact. What happened before or after is the device's to count;
//! devices count in registers that wrap or clear, and a driver widens them ([`Wrapping32`]) whenever it is asked for statistics.

use crate::sync::{AtomicBool, AtomicU64};
use crossbeam::utils::CachePadded;
use std::sync::{
    Arc,
    atomic::Ordering::{Acquire, Relaxed, Release},
};

/// What one receive queue did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RxStats {
    /// Frames given to the application.
    pub frames: u64,
    /// Their bytes, FCS not counted.
    pub bytes: u64,
    /// Frames that arrived damaged, longer than the buffers, or without an end, and were dropped by the driver.
    pub errors: u64,
    /// Frames that the device dropped because no descriptor was free (82576: RQDPC).
    pub no_descriptor: u64,
    /// Frames that had arrived and were not fetched when the device was reset or stopped.
    pub lost_in_reset: u64,
    /// Calls that left frames with the device because the pool had no free buffer. Not frames: none is lost by it alone.
    pub starved_polls: u64,
}

/// What one transmit queue did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TxStats {
    /// Frames given to the device.
    pub frames: u64,
    /// Their bytes, FCS not counted.
    pub bytes: u64,
    /// Frames that no device can send (too short, too long, too many segments), dropped by the driver.
    pub unsendable: u64,
    /// Buffers that the device had when it was reset (one a frame, more where a frame spans several): their frames may or may not have left.
    pub lost_in_reset: u64,
    /// Times that the device reported something done that it did not have. Not frames: the device is broken, or means harm.
    pub bad_completions: u64,
    /// Calls that gave the device nothing, because it had not reported enough as sent to make room for a frame. Not frames: they stay in the
    /// burst.
    pub full_polls: u64,
}

/// What the function counted by itself, widened to 64 bits. Zero where it does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DeviceStats {
    /// Good frames received.
    pub rx_frames: u64,
    /// Their bytes, FCS counted.
    pub rx_bytes: u64,
    /// Of them multicast.
    pub rx_multicast: u64,
    /// Good frames sent.
    pub tx_frames: u64,
    /// Their bytes, FCS counted.
    pub tx_bytes: u64,
}

/// A port's statistics since it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PortStats {
    /// One a receive queue.
    pub rx: Vec<RxStats>,
    /// One a transmit queue.
    pub tx: Vec<TxStats>,
    /// What the function counted.
    pub device: DeviceStats,
    /// Resets that the port has seen.
    pub resets: u64,
}

impl PortStats {
    /// Sum over the receive queues.
    pub fn rx_total(&self) -> RxStats {
        self.rx.iter().fold(RxStats::default(), |sum, queue| RxStats {
            frames: sum.frames + queue.frames,
            bytes: sum.bytes + queue.bytes,
            errors: sum.errors + queue.errors,
            no_descriptor: sum.no_descriptor + queue.no_descriptor,
            lost_in_reset: sum.lost_in_reset + queue.lost_in_reset,
            starved_polls: sum.starved_polls + queue.starved_polls,
        })
    }

    /// Sum over the transmit queues.
    pub fn tx_total(&self) -> TxStats {
        self.tx.iter().fold(TxStats::default(), |sum, queue| TxStats {
            frames: sum.frames + queue.frames,
            bytes: sum.bytes + queue.bytes,
            unsendable: sum.unsendable + queue.unsendable,
            lost_in_reset: sum.lost_in_reset + queue.lost_in_reset,
            bad_completions: sum.bad_completions + queue.bad_completions,
            full_polls: sum.full_polls + queue.full_polls,
        })
    }
}

/// Counters with one writer and any number of readers. The writer keeps its own copy and stores it relaxed, so counting costs no
/// read-modify-write and shares no line with another queue.
#[derive(Debug)]
pub struct Counters<const N: usize> {
    mine: [u64; N],
    shared: Arc<CachePadded<Shared<N>>>,
}

#[derive(Debug)]
struct Shared<const N: usize> {
    counts: [AtomicU64; N],
    /// The writer is gone.
    is_final: AtomicBool,
}

/// The reading end of [`Counters`].
#[derive(Clone, Debug)]
pub struct CountersReader<const N: usize>(Arc<CachePadded<Shared<N>>>);

impl<const N: usize> Counters<N> {
    /// All zero.
    pub fn new() -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self { mine: [0; N], shared: Arc::new(CachePadded::new(Shared { counts, is_final: AtomicBool::new(false) })) }
    }

    /// Adds to counter `WHICH`.
    #[inline(always)]
    pub fn add<const WHICH: usize>(&mut self, amount: u64) {
        self.mine[WHICH] += amount;
        self.shared.counts[WHICH].store(self.mine[WHICH], Relaxed);
    }

    /// A reading end.
    pub fn reader(&self) -> CountersReader<N> {
        CountersReader(self.shared.clone())
    }
}

impl<const N: usize> Drop for Counters<N> {
    fn drop(&mut self) {
        self.shared.is_final.store(true, Release);
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> CountersReader<N> {
    /// All of them now. Each is exact; they need not be of the same instant.
    pub fn read(&self) -> [u64; N] {
        std::array::from_fn(|which| self.0.counts[which].load(Relaxed))
    }

    /// Nobody counts any more, so what [`read`](Self::read) gives from now on is the last word.
    pub fn is_final(&self) -> bool {
        self.0.is_final.load(Acquire)
    }
}

/// A register of `BITS` bits that counts and wraps, widened. It must be read at least once a wrap: at 10 Gbit/s of smallest frames a 32-bit
/// frame counter wraps in about five minutes, a byte counter in about four seconds, one of 36 bits in about a minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wrapping<const BITS: u32> {
    last: u64,
    total: u64,
}

/// A 32-bit register.
pub type Wrapping32 = Wrapping<32>;

impl<const BITS: u32> Wrapping<BITS> {
    /// The register reads `now` before anything is counted.
    pub fn start(&mut self, now: impl Into<u64>) {
        self.last = now.into();
    }

    /// The register reads `now`: the widened count.
    pub fn update(&mut self, now: impl Into<u64>) -> u64 {
        const { assert!(BITS < 64) }
        let now = now.into();
        self.total += now.wrapping_sub(self.last) & ((1 << BITS) - 1);
        self.last = now;
        self.total
    }

    /// The widened count at the last update.
    pub fn total(self) -> u64 {
        self.total
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_wrap_is_not_a_loss() {
        let mut counter = Wrapping32::default();
        counter.start(0xffff_fff0u32);
        assert_eq!(counter.update(0xffff_ffffu32), 15);
        assert_eq!(counter.update(4u32), 20);
        assert_eq!(counter.total(), 20);
        let mut counter = Wrapping::<36>::default();
        counter.start(0xf_ffff_ffffu64);
        assert_eq!(counter.update(0u64), 1);
        assert_eq!(counter.update(0x1_0000_0000u64), 0x1_0000_0001);
    }

    #[test]
    fn readers_see_what_was_counted() {
        let mut counters = Counters::<2>::new();
        let reader = counters.reader();
        counters.add::<1>(3);
        counters.add::<1>(4);
        assert_eq!(reader.read(), [0, 7]);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;

    /// A reader sees each counter grow, never go back, and misses nothing of a writer that is gone.
    #[test]
    fn loom_no_counter_goes_back() {
        loom::model(|| {
            let mut counters = Counters::<2>::new();
            let reader = counters.reader();
            let writer = thread::spawn(move || {
                counters.add::<0>(1);
                counters.add::<1>(2);
                counters.add::<0>(3);
            });
            let mut last = [0; 2];
            for _ in 0..3 {
                let is_final = reader.is_final();
                let now = reader.read();
                assert!(now[0] >= last[0] && now[1] >= last[1], "{last:?}, then {now:?}");
                assert!(!is_final || now == [4, 2], "{now:?} is not the last word");
                last = now;
            }
            writer.join().unwrap();
            assert!(reader.is_final() && reader.read() == [4, 2]);
        });
    }
}
