//! The polling side: copies what passes the filter into a ring, and never waits. What finds the ring full is counted.

use rtrb::{Consumer, Producer, RingBuffer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use vfwire::{
    BufCache, Burst, PacketMut,
    forward::{Outputs, Stage, Switch},
};
use vfwire_pcap::{Direction, Filter};

/// Bytes of a tap's ring: some ten thousand frames of 64 bytes.
const RING: usize = 4 << 20;
/// Before each frame's bytes: time, frames lost before it, length on the wire, length captured, port, direction.
pub(super) const HEAD: usize = 8 + 8 + 4 + 4 + 2 + 1;

/// What became of a port's frames of one direction. Written by one worker.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) seen: AtomicU64,
    pub(super) accepted: AtomicU64,
    /// Accepted, but the ring was full.
    pub(super) lost: AtomicU64,
}

/// Of a port: what came in, and what went out.
pub(super) type InOut = [Counts; 2];

/// One worker's tap in one lane or hub.
pub(in crate::cli) struct Tap {
    ring: Producer<u8>,
    filter: Option<Arc<Filter>>,
    snap: usize,
    /// By port.
    counts: Arc<[InOut]>,
    /// Lost since the last frame that was not, by port and direction.
    lost: Vec<[u64; 2]>,
}

/// The other end.
pub(super) struct Tapped {
    pub(super) ring: Consumer<u8>,
    pub(super) counts: Arc<[InOut]>,
}

impl Tap {
    pub(super) fn new(filter: Option<Arc<Filter>>, snap: usize, ports: usize) -> (Self, Tapped) {
        let (producer, consumer) = RingBuffer::new(RING);
        let counts: Arc<[InOut]> = (0..ports).map(|_| InOut::default()).collect();
        let tap = Self { ring: producer, filter, snap, counts: counts.clone(), lost: vec![[0; 2]; ports] };
        (tap, Tapped { ring: consumer, counts })
    }

    /// Frames of one moment.
    fn take<'a>(&mut self, frames: impl ExactSizeIterator<Item = PacketMut<'a>>, port: usize, direction: Direction) {
        if frames.len() == 0 {
            return;
        }
        // One reading for all of them.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let at = usize::from(direction == Direction::Out);
        let (mut seen, mut accepted, mut lost) = (0, 0, 0);
        for frame in frames {
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
                self.lost[port][at] += 1;
                continue;
            };
            let mut head = [0; HEAD];
            head[..8].copy_from_slice(&time_ns.to_le_bytes());
            head[8..16].copy_from_slice(&self.lost[port][at].to_le_bytes());
            head[16..20].copy_from_slice(&whole.to_le_bytes());
            head[20..24].copy_from_slice(&u32::try_from(captured).unwrap_or(u32::MAX).to_le_bytes());
            head[24..26].copy_from_slice(&u16::try_from(port).unwrap_or(u16::MAX).to_le_bytes());
            head[26] = u8::from(direction == Direction::Out);
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
            self.lost[port][at] = 0;
        }
        let counts = &self.counts[port][at];
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

/// A lane's stage with a tap before and behind it: `in` is what was received, `out` what the stage leaves to be sent.
pub(in crate::cli) struct WithTap<S> {
    pub(in crate::cli) tap: Option<Tap>,
    pub(in crate::cli) from: usize,
    pub(in crate::cli) leaves_by: usize,
    pub(in crate::cli) stage: S,
}

impl<S: Stage> Stage for WithTap<S> {
    #[inline(always)]
    fn process(&mut self, burst: &mut Burst, cache: &mut BufCache) {
        if let Some(tap) = &mut self.tap {
            tap.take(burst.iter_mut(), self.from, Direction::In);
        }
        self.stage.process(burst, cache);
        if let Some(tap) = &mut self.tap {
            tap.take(burst.iter_mut(), self.leaves_by, Direction::Out);
        }
    }
}

/// A hub's switch with a tap before and behind it: `in` is what was received, `out` what the switch has just given each port to send.
pub(in crate::cli) struct SwitchWithTap<S> {
    tap: Tap,
    switch: S,
    /// Frames that wait for each port since before: they have been captured.
    waiting: Vec<usize>,
}

impl<S> SwitchWithTap<S> {
    pub(in crate::cli) fn new(tap: Tap, switch: S) -> Self {
        Self { waiting: vec![0; tap.counts.len()], tap, switch }
    }
}

impl<S: Switch> Switch for SwitchWithTap<S> {
    #[inline(always)]
    fn switch(&mut self, from: usize, burst: &mut Burst, out: &mut Outputs, cache: &mut BufCache) {
        self.tap.take(burst.iter_mut(), from, Direction::In);
        for (port, waiting) in self.waiting.iter_mut().enumerate() {
            *waiting = out.frames(port).map_or(0, |frames| frames.len());
        }
        self.switch.switch(from, burst, out, cache);
        for (port, waiting) in self.waiting.iter().enumerate() {
            if let Some(frames) = out.frames(port) {
                self.tap.take(frames.skip(*waiting), port, Direction::Out);
            }
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
