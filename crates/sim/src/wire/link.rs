//! A cable between two devices: a bounded queue each way.

use super::Wire;
use crate::lock;
use std::sync::{Arc, Mutex};

/// One end of a cable. A frame that finds the queue full is dropped and counted.
#[derive(Debug)]
pub struct Link {
    out: Arc<Mutex<Lane>>,
    into: Arc<Mutex<Lane>>,
    /// Frames taken from `into` in bulk, and how many of them were given out.
    taken: Frames,
    given: usize,
}

#[derive(Debug)]
struct Lane {
    frames: Frames,
    capacity_frames: usize,
    dropped_frames: u64,
}

/// Frames end to end in one buffer, so that none of them is an allocation.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..end])
    }

    fn push(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl Link {
    /// Both ends of a cable that holds `capacity_frames` each way between two steps of the receiving device.
    pub fn pair(capacity_frames: usize) -> (Self, Self) {
        let lane = || Arc::new(Mutex::new(Lane { frames: Frames::default(), capacity_frames, dropped_frames: 0 }));
        let (left, right) = (lane(), lane());
        let end = |out: &Arc<Mutex<Lane>>, into: &Arc<Mutex<Lane>>| Self {
            out: Arc::clone(out),
            into: Arc::clone(into),
            taken: Frames::default(),
            given: 0,
        };
        (end(&left, &right), end(&right, &left))
    }

    /// A cable whose ends are joined: what a device sends comes back to it.
    pub fn looped(capacity_frames: usize) -> Self {
        let (mut end, _) = Self::pair(capacity_frames);
        end.into = Arc::clone(&end.out);
        end
    }

    /// A reader of the frames dropped in both directions because a queue was full.
    pub fn dropped(&self) -> impl Fn() -> u64 + Send + use<> {
        let mut lanes = vec![Arc::clone(&self.out)];
        // Of a cable whose ends are joined there is one.
        if !Arc::ptr_eq(&self.out, &self.into) {
            lanes.push(Arc::clone(&self.into));
        }
        move || lanes.iter().map(|lane| lock(lane).dropped_frames).sum()
    }
}

impl Wire for Link {
    fn send(&mut self, frame: &[u8]) {
        let lane = &mut *lock(&self.out);
        if lane.frames.ends.len() < lane.capacity_frames {
            lane.frames.push(frame);
        } else {
            lane.dropped_frames += 1;
        }
    }

    fn receive(&mut self) -> Option<&[u8]> {
        if self.given == self.taken.ends.len() {
            self.taken.clear();
            self.given = 0;
            std::mem::swap(&mut self.taken, &mut lock(&self.into).frames);
        }
        let frame = self.taken.get(self.given)?;
        self.given += 1;
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_order_both_ways() {
        let (mut left, mut right) = Link::pair(8);
        for frame in [&b"one"[..], b"two", b"three"] {
            left.send(frame);
        }
        right.send(b"back");
        assert_eq!(right.receive(), Some(&b"one"[..]));
        left.send(b"four");
        for frame in [&b"two"[..], b"three", b"four"] {
            assert_eq!(right.receive(), Some(frame));
        }
        assert_eq!(right.receive(), None);
        assert_eq!(left.receive(), Some(&b"back"[..]));
        assert_eq!(left.receive(), None);
    }

    #[test]
    fn a_full_cable_drops_and_counts() {
        let (mut left, mut right) = Link::pair(2);
        let dropped = left.dropped();
        for byte in 0..5 {
            left.send(&[byte]);
        }
        assert_eq!(dropped(), 3);
        assert_eq!(right.receive(), Some(&[0][..]));
        assert_eq!(right.receive(), Some(&[1][..]));
        assert_eq!(right.receive(), None);
        let mut looped = Link::looped(1);
        let dropped = looped.dropped();
        (0..3).for_each(|_| looped.send(&[1]));
        assert_eq!(dropped(), 2, "its one direction is counted once");
    }
}
