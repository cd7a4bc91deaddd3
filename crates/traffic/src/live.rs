//! Latencies so far, for whoever looks on: a coarse histogram with one writer that waits for nobody.
//!
//! A record is a load and a store into memory that nobody else writes. The exact histograms of an [`Outcome`](crate::Outcome) are the loop's
//! own until a trial is over; to copy them while it runs would hold it up.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Bits of a time that its bucket tells, the leading one not counted: a bucket is at most a 32nd of its times wide.
const BITS: u32 = 5;
/// Times of 32 bits.
const BUCKETS: usize = ((u32::BITS - BITS + 1) << BITS) as usize;

fn bucket_of(ns: u32) -> usize {
    let shift = (u32::BITS - ns.leading_zeros()).saturating_sub(BITS + 1);
    // The leading bit stays in what is left of the time, and counts as one row of buckets.
    ((shift << BITS) + (ns >> shift)) as usize
}

/// The longest time of a bucket.
fn longest_of(bucket: usize) -> u64 {
    let (row, place) = ((bucket >> BITS) as u64, (bucket & ((1 << BITS) - 1)) as u64);
    match row.checked_sub(1) {
        None => place,
        Some(shift) => (((1 << BITS) + place + 1) << shift) - 1,
    }
}

#[derive(Debug)]
#[repr(align(128))]
struct Shared {
    buckets: [AtomicU64; BUCKETS],
    max_ns: AtomicU64,
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct LiveLatency(Arc<Shared>);

impl LiveLatency {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { buckets: std::array::from_fn(|_| AtomicU64::new(0)), max_ns: AtomicU64::new(0) }))
    }

    #[inline(always)]
    pub(crate) fn record(&mut self, ns: u32) {
        let bucket = &self.0.buckets[bucket_of(ns)];
        bucket.store(bucket.load(Relaxed) + 1, Relaxed);
        if u64::from(ns) > self.0.max_ns.load(Relaxed) {
            self.0.max_ns.store(ns.into(), Relaxed);
        }
    }

    pub(crate) fn reader(&self) -> LatencyReader {
        LatencyReader(self.0.clone())
    }
}

/// The reading end, for any thread.
#[derive(Clone, Debug)]
pub(crate) struct LatencyReader(Arc<Shared>);

impl LatencyReader {
    pub(crate) fn read(&self) -> LatencySoFar {
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        LatencySoFar { counts, max_ns: self.0.max_ns.load(Relaxed) }
    }
}

/// The latencies of a direction over all its trials so far, to 3.2 %.
#[derive(Clone, Debug)]
pub struct LatencySoFar {
    counts: Vec<u64>,
    max_ns: u64,
}

impl LatencySoFar {
    /// Frames that it was measured of.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The longest, in nanoseconds; exact.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// What this share of the frames (0 to 1) did not exceed, in nanoseconds: at most 3.2 % more than the exact value. 0 where there is none.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count is a count")]
    pub fn at_quantile(&self, share: f64) -> u64 {
        let wanted = ((self.count() as f64 * share.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        bucket.map_or(0, |bucket| longest_of(bucket).min(self.max_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_and_are_narrow() {
        assert_eq!((bucket_of(0), bucket_of(u32::MAX), longest_of(BUCKETS - 1)), (0, BUCKETS - 1, u64::from(u32::MAX)));
        for bucket in 0..BUCKETS - 1 {
            let longest = longest_of(bucket);
            let ns = u32::try_from(longest).expect("32 bits");
            assert_eq!((bucket_of(ns), bucket_of(ns + 1)), (bucket, bucket + 1), "{ns}");
            let next = longest_of(bucket + 1);
            assert!((next - longest - 1) * 32 <= longest + 1, "{longest} to {next}");
        }
    }

    #[test]
    fn quantiles_are_near_what_was_recorded() {
        let mut live = LiveLatency::new();
        let reader = live.reader();
        assert_eq!((reader.read().count(), reader.read().at_quantile(0.5)), (0, 0));
        (1..=10_000).for_each(|ns| live.record(ns * 100));
        let now = reader.read();
        assert_eq!((now.count(), now.max_ns()), (10_000, 1_000_000));
        for (share, exact) in [(0.5, 500_000), (0.9, 900_000), (0.999, 999_000), (1.0, 1_000_000)] {
            let told = now.at_quantile(share);
            assert!(told >= exact && (told - exact) * 1000 <= exact * 32, "{share}: {told}");
        }
    }
}
