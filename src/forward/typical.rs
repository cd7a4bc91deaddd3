//! What a frame typically costs: the median over batches of polls.
//!
//! A worker that is interrupted in the middle of a poll (by the scheduler, or by the host of a virtual machine) seems to have worked for
//! milliseconds on a few frames, and a sum of cycles then tells of the interruptions. So polls are summed in batches of [`BATCH_POLLS`], and
//! the median over the batches is the figure, as benchmarks have it. Batches are counted in buckets that are 1.6 % wide.
//!
//! One writer, any number of readers; a bucket is written once a batch.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// Polls in a batch.
pub(super) const BATCH_POLLS: u32 = 64;
/// A cost is counted in 1/256 cycles a frame.
const FRACTION_BITS: u32 = 8;
/// Buckets of a doubling: 64.
const STEP_BITS: u32 = 6;
/// Costs from a quarter of a cycle to 16 million cycles a frame; what is beyond goes to the nearest bucket.
const DOUBLINGS: u32 = 26;
const BUCKETS: usize = (DOUBLINGS as usize) << STEP_BITS;

/// The writing end.
#[derive(Debug)]
pub(super) struct Typical {
    polls: u32,
    frames: u64,
    cycles: u64,
    buckets: Arc<[AtomicU32]>,
}

impl Typical {
    pub(super) fn new() -> Self {
        Self { polls: 0, frames: 0, cycles: 0, buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect() }
    }

    pub(super) fn reader(&self) -> TypicalReader {
        TypicalReader(self.buckets.clone())
    }

    /// A poll moved `frames` frames in `cycles` cycles.
    #[inline(always)]
    pub(super) fn add(&mut self, frames: u64, cycles: u64) {
        self.frames += frames;
        self.cycles += cycles;
        self.polls += 1;
        if self.polls == BATCH_POLLS {
            self.end_batch();
        }
    }

    #[cold]
    #[inline(never)]
    fn end_batch(&mut self) {
        if self.frames != 0 {
            let bucket = &self.buckets[bucket_of((self.cycles << FRACTION_BITS) / self.frames)];
            bucket.store(bucket.load(Relaxed).saturating_add(1), Relaxed);
        }
        (self.polls, self.frames, self.cycles) = (0, 0, 0);
    }
}

/// The reading end.
#[derive(Clone, Debug)]
pub(super) struct TypicalReader(Arc<[AtomicU32]>);

/// The median cost over the batches of all of `readers`, in cycles a frame; nothing where none has finished a batch.
pub(super) fn median<'a>(readers: impl Iterator<Item = &'a TypicalReader>) -> Option<f64> {
    let mut sums = vec![0_u64; BUCKETS];
    for TypicalReader(buckets) in readers {
        sums.iter_mut().zip(&**buckets).for_each(|(sum, bucket)| *sum += u64::from(bucket.load(Relaxed)));
    }
    let total: u64 = sums.iter().sum();
    let mut before = 0;
    let middle = sums.iter().position(|count| {
        before += count;
        before * 2 > total
    })?;
    Some(middle_of(middle) / f64::from(1 << FRACTION_BITS))
}

/// The first [`STEP_BITS`] bits after the leading one, after the number of doublings.
fn bucket_of(cost: u64) -> usize {
    let cost = cost.max(1 << STEP_BITS);
    let doublings = cost.ilog2() - STEP_BITS;
    let mantissa = (cost >> doublings) as usize & ((1 << STEP_BITS) - 1);
    (((doublings as usize) << STEP_BITS) | mantissa).min(BUCKETS - 1)
}

/// The middle of a bucket.
fn middle_of(bucket: usize) -> f64 {
    let (doublings, mantissa) = (bucket >> STEP_BITS, bucket & ((1 << STEP_BITS) - 1));
    ((1 << STEP_BITS) + mantissa) as f64 * (1_u64 << doublings) as f64 + (1_u64 << doublings) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(costs: &[(u64, u32)]) -> Typical {
        let mut typical = Typical::new();
        for &(cycles_a_frame, batches) in costs {
            (0..batches * BATCH_POLLS).for_each(|_| typical.add(32, 32 * cycles_a_frame));
        }
        typical
    }

    fn median_of(costs: &[(u64, u32)]) -> Option<f64> {
        median([batches(costs).reader()].iter())
    }

    #[test]
    fn costs_are_told_within_two_percent() {
        for cost in [1, 2, 3, 5, 10, 63, 64, 65, 100, 1000, 12_345, 999_999] {
            let told = median_of(&[(cost, 1)]).expect("a batch");
            assert!((told / cost as f64 - 1.0).abs() < 0.02, "{cost} is told as {told}");
        }
        assert!(median_of(&[(0, 1)]).expect("a batch") < 0.3, "less than is told apart");
        assert!(median_of(&[(u64::from(u32::MAX), 1)]).expect("a batch") > 1e7, "more than is told apart");
    }

    #[test]
    fn interruptions_do_not_show() {
        let calm = median_of(&[(4, 100)]);
        assert_eq!(median_of(&[(4, 60), (1_000_000, 40)]), calm);
        assert_ne!(median_of(&[(4, 40), (1_000_000, 60)]), calm);
    }

    #[test]
    fn batches_of_several_lanes_count_alike() {
        let (one, other) = (batches(&[(4, 10)]), batches(&[(9, 30)]));
        let both = [one.reader(), other.reader()];
        assert_eq!(median(both.iter()), median_of(&[(9, 1)]));
        assert_eq!(median(both[..1].iter()), median_of(&[(4, 1)]));
    }

    #[test]
    fn before_a_batch_there_is_nothing_to_tell() {
        assert_eq!(median_of(&[]), None);
        let mut typical = Typical::new();
        (0..BATCH_POLLS - 1).for_each(|_| typical.add(1, 1));
        assert_eq!(median([typical.reader()].iter()), None);
        typical.add(1, 1);
        assert!(median([typical.reader()].iter()).is_some());
        // Polls that only sent what had been left over.
        let mut typical = Typical::new();
        (0..BATCH_POLLS).for_each(|_| typical.add(0, 100));
        assert_eq!(median([typical.reader()].iter()), None);
    }
}
