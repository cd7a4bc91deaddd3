//! What a frame typically costs: the median over batches of polls.
//!
//! A worker that is interrupted in the middle of a poll (by the scheduler, or by the host of a virtual machine) seems to have worked for
//! milliseconds on a few frames, and a sum of cycles then tells of the interruptions. So polls are summed in batches of [`BATCH_POLLS`], and
//! the median over the batches is the figure, as benchmarks have it. Batches are counted in buckets that are 1.6 % wide.
//!
//! Timing goes on and off: a batch is timed, [`PAUSE_POLLS`] polls are not. Polls that moved nothing are neither counted nor timed.
//!
//! One writer, any number of readers; a bucket is written once a batch.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// Polls in a batch.
pub(super) const BATCH_POLLS: u32 = 64;
/// Polls between two batches.
const PAUSE_POLLS: u32 = 15 * BATCH_POLLS;
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
    timing: bool,
    /// Polls until the batch or the pause ends.
    left: u32,
    frames: u64,
    cycles: u64,
    buckets: Arc<[AtomicU32]>,
}

impl Typical {
    pub(super) fn new() -> Self {
        Self { timing: true, left: BATCH_POLLS, frames: 0, cycles: 0, buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect() }
    }

    pub(super) fn reader(&self) -> TypicalReader {
        TypicalReader(self.buckets.clone())
    }

    /// Whether the poll that comes is to be timed.
    #[inline(always)]
    pub(super) fn is_timing(&self) -> bool {
        self.timing
    }

    /// A timed poll moved `frames` frames in `cycles` cycles.
    #[inline(always)]
    pub(super) fn add(&mut self, frames: u64, cycles: u64) {
        self.frames += frames;
        self.cycles += cycles;
    }

    /// A poll that moved frames is over, timed or not.
    #[inline(always)]
    pub(super) fn next(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.turn();
        }
    }

    /// The last poll is over. A batch that was cut short counts where it is the only one.
    pub(super) fn finish(&mut self) {
        if self.buckets.iter().all(|bucket| bucket.load(Relaxed) == 0) {
            self.end_batch();
        }
    }

    #[cold]
    #[inline(never)]
    fn turn(&mut self) {
        if self.timing {
            self.end_batch();
        }
        self.timing = !self.timing;
        self.left = if self.timing { BATCH_POLLS } else { PAUSE_POLLS };
    }

    fn end_batch(&mut self) {
        if let Some(cost) = (self.cycles << FRACTION_BITS).checked_div(self.frames) {
            let bucket = &self.buckets[bucket_of(cost)];
            bucket.store(bucket.load(Relaxed).saturating_add(1), Relaxed);
        }
        (self.frames, self.cycles) = (0, 0);
    }
}

/// The reading end.
#[derive(Clone, Debug)]
pub(super) struct TypicalReader(Arc<[AtomicU32]>);

impl TypicalReader {
    /// Batches so far, by bucket.
    pub(super) fn counts(&self) -> Vec<u32> {
        self.0.iter().map(|bucket| bucket.load(Relaxed)).collect()
    }

    /// The median cost over the batches since `before`, in cycles a frame.
    pub(super) fn median_since(&self, before: &[u32]) -> Option<f64> {
        middle(&self.counts().iter().zip(before).map(|(now, before)| u64::from(now.saturating_sub(*before))).collect::<Vec<_>>())
    }
}

/// The median cost over the batches of all of `readers`, in cycles a frame; nothing where none has finished a batch.
pub(super) fn median<'a>(readers: impl Iterator<Item = &'a TypicalReader>) -> Option<f64> {
    let mut sums = vec![0_u64; BUCKETS];
    for TypicalReader(buckets) in readers {
        sums.iter_mut().zip(&**buckets).for_each(|(sum, bucket)| *sum += u64::from(bucket.load(Relaxed)));
    }
    middle(&sums)
}

fn middle(sums: &[u64]) -> Option<f64> {
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
    let bucket = (u64::from(doublings) << STEP_BITS) + (cost >> doublings) - (1 << STEP_BITS);
    usize::try_from(bucket).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1))
}

/// The middle of a bucket.
fn middle_of(bucket: usize) -> f64 {
    let (doublings, mantissa) = (bucket >> STEP_BITS, bucket & ((1 << STEP_BITS) - 1));
    ((1 << STEP_BITS) + mantissa) as f64 * (1_u64 << doublings) as f64 + (1_u64 << doublings) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One poll, as a lane does it: whether it was timed.
    fn poll(typical: &mut Typical, frames: u64, cycles: u64) -> bool {
        let timed = typical.is_timing();
        if timed {
            typical.add(frames, cycles);
        }
        typical.next();
        timed
    }

    fn batches(costs: &[(u64, u32)]) -> Typical {
        let mut typical = Typical::new();
        for &(cycles_a_frame, batches) in costs {
            for _ in 0..batches * (BATCH_POLLS + PAUSE_POLLS) {
                poll(&mut typical, 32, 32 * cycles_a_frame);
            }
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
    fn one_batch_in_sixteen_is_timed() {
        let mut typical = Typical::new();
        let timed: Vec<bool> = (0..2 * (BATCH_POLLS + PAUSE_POLLS)).map(|_| poll(&mut typical, 1, 1)).collect();
        let (first, second) = timed.split_at(timed.len() / 2);
        assert_eq!(first, second);
        assert!(first.iter().enumerate().all(|(at, timed)| *timed == (at < BATCH_POLLS as usize)));
    }

    #[test]
    fn a_short_batch_counts_where_it_is_the_only_one() {
        assert_eq!(median_of(&[]), None);
        let mut typical = Typical::new();
        for _ in 0..BATCH_POLLS - 1 {
            poll(&mut typical, 1, 5);
        }
        assert_eq!(median([typical.reader()].iter()), None);
        typical.finish();
        assert_eq!(median([typical.reader()].iter()), median_of(&[(5, 1)]));
        let mut typical = batches(&[(5, 1)]);
        for _ in 0..BATCH_POLLS - 1 {
            poll(&mut typical, 1, 900);
        }
        typical.finish();
        assert_eq!(median([typical.reader()].iter()), median_of(&[(5, 1)]));
        // Polls that only sent what had been left over.
        let mut typical = Typical::new();
        for _ in 0..BATCH_POLLS {
            poll(&mut typical, 0, 100);
        }
        typical.finish();
        assert_eq!(median([typical.reader()].iter()), None);
    }
}
