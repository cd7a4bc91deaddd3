//! The shared overflow of a pool: where free buffers lie when no worker holds them.
//!
//! A lock-free stack of buffer indices, moved in bulk: a worker's cache takes or gives tens of buffers with one exchange, so the
//! polling cores meet here rarely and never wait for one another. The links are indices in a table beside the arena, so nothing is
//! allocated and no link can dangle; a tag in the head makes an exchange fail if anything happened in between (it would take 2^32
//! exchanges during one to be fooled).
//!
//! It also knows when the last buffer has come home after the pool was closed, which is when the arena may go.

use std::sync::atomic::{
    AtomicI64, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

const NONE: u32 = u32::MAX;
/// Added to the count when the pool is closed: far above any number of buffers.
const CLOSED: i64 = 1 << 40;

pub(crate) struct Home {
    /// Tag in the upper half, the first free buffer in the lower.
    head: AtomicU64,
    next: Box<[AtomicU32]>,
    /// Buffers at home, plus [`CLOSED`]. It is raised after buffers were linked and may be late, never early.
    count: AtomicI64,
}

impl Home {
    /// All of `buffers` buffers at home.
    pub(crate) fn full(buffers: u32) -> Self {
        let next = (1..=buffers).map(|next| AtomicU32::new(if next == buffers { NONE } else { next })).collect();
        Self { head: AtomicU64::new(0), next, count: AtomicI64::new(i64::from(buffers)) }
    }

    fn total(&self) -> i64 {
        self.next.len() as i64
    }

    /// Buffers at home now.
    pub(crate) fn len(&self) -> usize {
        let count = self.count.load(Acquire);
        usize::try_from(if count >= CLOSED / 2 { count - CLOSED } else { count }).unwrap_or(0)
    }

    /// Gives buffers back; true where the pool is closed and these were the last ones, so that the arena may go.
    pub(crate) fn give(&self, buffers: &[u32]) -> bool {
        let [first, .., last] = match buffers {
            [] => return false,
            [one] => [*one, *one],
            [first, .., last] => [*first, *last],
        };
        for pair in buffers.windows(2) {
            self.next[pair[0] as usize].store(pair[1], Relaxed);
        }
        let mut head = self.head.load(Relaxed);
        loop {
            self.next[last as usize].store(index_of(head), Relaxed);
            match self.head.compare_exchange_weak(head, after(head, first), Release, Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        let given = buffers.len() as i64;
        self.count.fetch_add(given, AcqRel) + given == CLOSED + self.total()
    }

    /// Takes up to `into.len()` buffers; how many it were.
    pub(crate) fn take(&self, into: &mut [u32]) -> usize {
        let mut head = self.head.load(Acquire);
        loop {
            let (mut taken, mut at) = (0, index_of(head));
            while taken < into.len() && at != NONE {
                into[taken] = at;
                taken += 1;
                // What is read here may be stale; then the head's tag has changed and the exchange below fails.
                at = self.next[at as usize].load(Relaxed);
            }
            if taken == 0 {
                return 0;
            }
            match self.head.compare_exchange_weak(head, after(head, at), AcqRel, Acquire) {
                Ok(_) => {
                    self.count.fetch_sub(taken as i64, AcqRel);
                    return taken;
                }
                Err(now) => head = now,
            }
        }
    }

    /// No buffer will be taken any more; true where all are at home, so that the arena may go.
    pub(crate) fn close(&self) -> bool {
        self.count.fetch_add(CLOSED, AcqRel) == self.total()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is the index")]
fn index_of(head: u64) -> u32 {
    head as u32
}

fn after(head: u64, index: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, sync::Arc, thread};

    #[test]
    fn buffers_come_and_go() {
        let home = Home::full(5);
        let mut got = [0; 3];
        assert_eq!(home.take(&mut got), 3);
        assert_eq!(home.len(), 2);
        let mut rest = [0; 8];
        assert_eq!(home.take(&mut rest), 2);
        assert_eq!(home.take(&mut rest[2..]), 0);
        home.give(&got);
        home.give(&rest[..2]);
        assert_eq!(home.len(), 5);
    }

    #[test]
    fn the_last_one_home_is_told_once() {
        let home = Home::full(3);
        let mut got = [0; 3];
        home.take(&mut got);
        assert!(!home.give(&got[..1]));
        assert!(!home.close());
        assert!(!home.give(&got[1..2]));
        assert!(home.give(&got[2..]));
        assert!(Home::full(3).close());
    }

    #[test]
    fn no_buffer_is_had_twice_or_lost() {
        const BUFFERS: u32 = 64;
        let home = Arc::new(Home::full(BUFFERS));
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let home = home.clone();
                thread::spawn(move || {
                    let mut held = [0; 24];
                    for round in 0..5_000 {
                        let n = home.take(&mut held[..1 + (round + worker) % 24]);
                        let distinct: HashSet<_> = held[..n].iter().collect();
                        assert_eq!(distinct.len(), n);
                        home.give(&held[..n]);
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let mut all = [0; BUFFERS as usize + 1];
        assert_eq!(home.take(&mut all), BUFFERS as usize);
        assert_eq!(all[..BUFFERS as usize].iter().collect::<HashSet<_>>().len(), BUFFERS as usize);
    }
}
