//! The polling side: copies what passes the filter into a ring, and never waits. What finds the ring full is counted.

use rtrb::{Consumer, Producer, RingBuffer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use vfwire::{BufCache, Burst, forward::Stage};
use vfwire_pcap::{Direction, Filter};

/// Bytes of a tap's ring: some ten thousand frames of 64 bytes.
const RING: usize = 4 << 20;
/// Before each frame's bytes: time, frames lost before it, length on the wire, length captured, direction.
pub(super) const HEAD: usize = 8 + 8 + 4 + 4 + 1;

/// What became of the frames of one direction. Written by one worker.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) seen: AtomicU64,
    pub(super) accepted: AtomicU64,
    /// Accepted, but the ring was full.
    pub(super) lost: AtomicU64,
}

/// One lane's tap.
pub(in crate::cli) struct Tap {
    ring: Producer<u8>,
    filter: Option<Arc<Filter>>,
    snap: usize,
    /// By direction: in, out.
    counts: Arc<[Counts; 2]>,
    /// Lost since the last frame that was not, by direction.
    lost: [u64; 2],
}

/// The other end.
pub(super) struct Tapped {
    pub(super) ring: Consumer<u8>,
    pub(super) counts: Arc<[Counts; 2]>,
    /// Interfaces that frames come in by, and go out by.
    pub(super) interfaces: [usize; 2],
}

impl Tap {
    pub(super) fn new(filter: Option<Arc<Filter>>, snap: usize, interfaces: [usize; 2]) -> (Self, Tapped) {
        let (producer, consumer) = RingBuffer::new(RING);
        let counts = Arc::<[Counts; 2]>::default();
        let tap = Self { ring: producer, filter, snap, counts: counts.clone(), lost: [0; 2] };
        (tap, Tapped { ring: consumer, counts, interfaces })
    }

    fn burst(&mut self, burst: &mut Burst, direction: Direction) {
        if burst.is_empty() {
            return;
        }
        // One reading for all of them.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let at = usize::from(direction == Direction::Out);
        let (mut seen, mut accepted, mut lost) = (0, 0, 0);
        for frame in burst.iter_mut() {
            let original_len: usize = frame.segments().map(<[u8]>::len).sum();
            seen += 1;
            // The filter sees a frame's first buffer: 2 KiB, in which all headers are.
            let whole = u32::try_from(original_len).unwrap_or(u32::MAX);
            if self.filter.as_ref().is_some_and(|filter| !filter.accepts(frame.data(), whole)) {
                continue;
            }
            accepted += 1;
            let captured = original_len.min(self.snap);
            let Ok(mut room) = self.ring.write_chunk(HEAD + captured) else {
                lost += 1;
                self.lost[at] += 1;
                continue;
            };
            let mut head = [0; HEAD];
            head[..8].copy_from_slice(&time_ns.to_le_bytes());
            head[8..16].copy_from_slice(&self.lost[at].to_le_bytes());
            head[16..20].copy_from_slice(&whole.to_le_bytes());
            head[20..24].copy_from_slice(&u32::try_from(captured).unwrap_or(u32::MAX).to_le_bytes());
            head[24] = u8::from(direction == Direction::Out);
            let (first, second) = room.as_mut_slices();
            let mut into = Split { first, second };
            into.put(&head);
            let mut left = captured;
            for segment in frame.segments() {
                let part = segment.len().min(left);
                into.put(&segment[..part]);
                left -= part;
            }
            room.commit_all();
            self.lost[at] = 0;
        }
        let counts = &self.counts[at];
        for (counter, by) in [(&counts.seen, seen), (&counts.accepted, accepted), (&counts.lost, lost)] {
            if by > 0 {
                // One writer: no need of a locked instruction.
                counter.store(counter.load(Relaxed) + by, Relaxed);
            }
        }
    }
}

/// Room in a ring, which may wrap.
struct Split<'a> {
    first: &'a mut [u8],
    second: &'a mut [u8],
}

impl Split<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (now, then) = bytes.split_at(bytes.len().min(self.first.len()));
        let (filled, rest) = std::mem::take(&mut self.first).split_at_mut(now.len());
        filled.copy_from_slice(now);
        self.first = rest;
        if !then.is_empty() {
            self.first = std::mem::take(&mut self.second);
            let (filled, rest) = std::mem::take(&mut self.first).split_at_mut(then.len());
            filled.copy_from_slice(then);
            self.first = rest;
        }
    }
}

/// A stage with a tap before and behind it: `in` is what was received, `out` what the stage leaves to be sent.
pub(in crate::cli) struct WithTap<S> {
    pub(in crate::cli) tap: Option<Tap>,
    pub(in crate::cli) stage: S,
}

impl<S: Stage> Stage for WithTap<S> {
    #[inline(always)]
    fn process(&mut self, burst: &mut Burst, cache: &mut BufCache) {
        if let Some(tap) = &mut self.tap {
            tap.burst(burst, Direction::In);
        }
        self.stage.process(burst, cache);
        if let Some(tap) = &mut self.tap {
            tap.burst(burst, Direction::Out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_wraps_in_the_ring_is_whole() {
        for first in 0..6 {
            let mut room = [0; 5];
            let (a, b) = room.split_at_mut(first.min(5));
            let mut split = Split { first: a, second: b };
            split.put(&[1, 2]);
            split.put(&[3]);
            split.put(&[4, 5]);
            assert_eq!(room, [1, 2, 3, 4, 5], "{first}");
        }
    }
}
