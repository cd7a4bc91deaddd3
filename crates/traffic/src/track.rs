//! What became of the frames of one flow.
//!
//! A frame is *reordered* where a frame of its flow that was sent later has arrived before it (RFC 4737, 3.3: its sequence number is below
//! the next one expected), a *duplicate* where its sequence number has arrived before (RFC 5560). A window over the last [`WINDOW`]
//! sequence numbers of the flow tells the two apart. A frame that comes later than that is *stale*: nobody knows which of the two it
//! is, and it counts as lost, as one that arrives after the time limit does (RFC 7680). Whatever comes, a flow takes that much memory and
//! no more.

/// Sequence numbers back to which a flow remembers what has arrived.
pub const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// What a frame was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// The first time, and in order.
    InOrder,
    /// The first time, but later than one that was sent after it. So far it lies behind.
    Reordered(u64),
    /// It was there before.
    Duplicate,
    /// Too late to tell.
    Stale,
    /// That number was never sent.
    Impossible,
}

/// What has arrived of a flow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    /// The next sequence number in order.
    next: u64,
    /// One bit for each of the last numbers, by the number modulo the window.
    seen: [u64; WORDS],
    /// Frames that arrived the first time, and whole.
    pub(crate) received: u64,
}

impl Track {
    /// The full sequence number of the lower half that a mark has: the nearest to the next one.
    #[inline(always)]
    pub(crate) fn sequence(&self, low: u32) -> Option<u64> {
        let ahead = low.wrapping_sub(crate::stream::low_32(self.next)).cast_signed();
        self.next.checked_add_signed(i64::from(ahead))
    }

    /// A whole frame of this number has arrived, of a flow that `sent` frames were sent of.
    #[inline(always)]
    pub(crate) fn arrive(&mut self, sequence: u64, sent: u64) -> Arrival {
        if sequence >= sent {
            return Arrival::Impossible;
        }
        let (word, bit) = ((sequence % WINDOW / 64) as usize & (WORDS - 1), 1 << (sequence % 64));
        if sequence >= self.next {
            self.forget(sequence);
            self.seen[word] |= bit;
            self.next = sequence + 1;
            self.received += 1;
            return Arrival::InOrder;
        }
        if self.next - sequence > WINDOW {
            return Arrival::Stale;
        }
        if self.seen[word] & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen[word] |= bit;
        self.received += 1;
        Arrival::Reordered(self.next - sequence)
    }

    /// Clears the places of the numbers from `next` to `sequence`, which those of a window ago have had.
    #[inline(always)]
    fn forget(&mut self, sequence: u64) {
        if sequence - self.next >= WINDOW {
            self.seen = [0; WORDS];
            return;
        }
        for number in self.next..=sequence {
            self.seen[(number % WINDOW / 64) as usize & (WORDS - 1)] &= !(1 << (number % 64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn after(arrivals: &[u64]) -> Vec<Arrival> {
        let mut track = Track::default();
        arrivals.iter().map(|&sequence| track.arrive(sequence, 1 << 40)).collect()
    }

    #[test]
    fn order_is_that_of_the_rfc() {
        use Arrival::*;
        assert_eq!(after(&[0, 1, 3, 2, 4]), [InOrder, InOrder, InOrder, Reordered(2), InOrder]);
        assert_eq!(after(&[0, 0, 2, 2, 1, 1]), [InOrder, Duplicate, InOrder, Duplicate, Reordered(2), Duplicate]);
        assert_eq!(after(&[WINDOW, 0, 1]), [InOrder, Stale, Reordered(WINDOW)]);
        assert_eq!(after(&[5, WINDOW + 5, 5, 6]), [InOrder, InOrder, Stale, Reordered(WINDOW)]);
        assert_eq!(Track::default().arrive(7, 7), Impossible);
    }

    #[test]
    fn the_upper_half_of_a_number_is_found() {
        let mut track = Track { next: (1 << 32) - 2, ..Track::default() };
        assert_eq!((track.sequence(0), track.sequence(u32::MAX - 5)), (Some(1 << 32), Some((1 << 32) - 6)));
        assert_eq!(track.arrive(1 << 32, 1 << 33), Arrival::InOrder);
        assert_eq!(track.sequence(u32::MAX), Some((1 << 32) - 1));
        assert_eq!(Track::default().sequence(u32::MAX), None, "before the first");
    }

    /// Against a set that forgets nothing, with jumps of all lengths.
    #[test]
    fn the_window_says_what_a_set_says() {
        let (mut track, mut set, mut next, mut random) = (Track::default(), BTreeSet::new(), 0u64, 1u64);
        for _ in 0..200_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let back = random % (WINDOW + 200);
            let ahead = if (random >> 40) % 50 == 0 { (random >> 20) % (3 * WINDOW) } else { (random >> 20) % 3 };
            let sequence = if (random >> 60) % 2 == 0 { next + ahead } else { next.saturating_sub(back) };
            let expected = match sequence {
                s if s >= next => Arrival::InOrder,
                s if next - s > WINDOW => Arrival::Stale,
                s if set.contains(&s) => Arrival::Duplicate,
                s => Arrival::Reordered(next - s),
            };
            assert_eq!(track.arrive(sequence, u64::MAX), expected);
            if expected != Arrival::Stale {
                set.insert(sequence);
            }
            next = next.max(sequence + 1);
        }
    }
}
