//! The shared overflow of a pool: where free buffers lie when no worker holds them.
//!
//! A lock-free stack of buffer indices, moved in bulk: a worker's cache takes or gives tens of buffers with one exchange, so the
//! polling cores meet here rarely and never wait for one another. The links are indices in a table beside the arena, so nothing is
//! allocated and no link can dangle; a tag in the head makes an exchange fail if anything happened in between (it would take 2^32
//! exchanges during one to be fooled).
//!
//! It also knows when the last buffer has come home after the pool was closed, which is when the arena may go.

use crate::sync::{AtomicI64, AtomicU32, AtomicU64};
use crossbeam::utils::CachePadded;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

const NONE: u32 = u32::MAX;
/// Added to the count when the pool is closed: far above any number of buffers.
const CLOSED: i64 = 1 << 40;

pub(crate) struct Home {
    /// Tag in the upper half, the first free buffer in the lower.
    head: CachePadded<AtomicU64>,
    next: Box<[AtomicU32]>,
    /// Buffers at home, plus [`CLOSED`]. It is raised after buffers were linked and may be late, never early.
    count: CachePadded<AtomicI64>,
}

impl Home {
    /// All of `buffers` buffers at home.
    pub(crate) fn full(buffers: u32) -> Self {
        let next = (1..=buffers).map(|next| AtomicU32::new(if next == buffers { NONE } else { next })).collect();
        Self { head: CachePadded::new(AtomicU64::new(0)), next, count: CachePadded::new(AtomicI64::new(i64::from(buffers))) }
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

#[cfg(all(test, not(loom)))]
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

/// Every order in which threads may meet here, up to three preemptions, which is where such bugs show.
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::{cell::UnsafeCell, model::Builder, thread};
    use std::sync::Arc;

    const BUFFERS: u32 = 3;

    /// The overflow, and for each buffer a cell that loom lets one thread write at a time, and only what happened before.
    struct Shared {
        home: Home,
        bytes: Vec<UnsafeCell<()>>,
        /// What is freed with the arena: used by whoever holds a buffer.
        arena: UnsafeCell<()>,
    }

    impl Shared {
        fn new() -> Arc<Self> {
            let bytes = (0..BUFFERS).map(|_| UnsafeCell::new(())).collect();
            Arc::new(Self { home: Home::full(BUFFERS), bytes, arena: UnsafeCell::new(()) })
        }

        /// Takes up to `N` buffers and writes to each.
        fn take<const N: usize>(&self) -> Vec<u32> {
            let mut taken = [0; N];
            let count = self.home.take(&mut taken);
            taken[..count].iter().for_each(|&buffer| self.write(buffer));
            taken[..count].to_vec()
        }

        fn write(&self, buffer: u32) {
            self.bytes[buffer as usize].with_mut(|_| ());
        }

        /// Writes to each and gives them back; whoever is told that these were the last ones frees the arena.
        fn give(&self, buffers: &[u32]) -> bool {
            buffers.iter().for_each(|&buffer| self.write(buffer));
            self.arena.with(|_| ());
            let last = self.home.give(buffers);
            if last {
                self.free();
            }
            last
        }

        fn close(&self) -> bool {
            let last = self.home.close();
            if last {
                self.free();
            }
            last
        }

        /// No thread may use the arena any more, and all buffers must be linked.
        fn free(&self) {
            self.arena.with_mut(|_| ());
            self.assert_all_linked();
        }

        fn assert_all_linked(&self) {
            let mut all = self.take::<{ BUFFERS as usize + 1 }>();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2]);
        }
    }

    fn check(test: impl Fn() + Send + Sync + 'static) {
        let mut model = Builder::new();
        model.preemption_bound = Some(3);
        model.check(test);
    }

    /// One thread takes and gives singly and holds on to what lay beneath, which is what a stale link would hand out again.
    #[test]
    fn loom_no_buffer_is_had_twice_or_lost() {
        check(|| {
            let shared = Shared::new();
            let other = {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (first, second) = (shared.take::<1>(), shared.take::<1>());
                    shared.give(&first);
                    second.iter().for_each(|&buffer| shared.write(buffer));
                    shared.give(&second);
                })
            };
            let mut held = shared.take::<1>();
            held.extend(shared.take::<2>());
            shared.give(&held);
            other.join().unwrap();
            shared.assert_all_linked();
        });
    }

    #[test]
    fn loom_what_two_threads_give_is_all_there() {
        check(|| {
            let shared = Shared::new();
            let mine = shared.take::<1>();
            let theirs = shared.take::<2>();
            let other = {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.give(&theirs);
                })
            };
            shared.give(&mine);
            // Any number of them, but each once, and the links of the other thread's are to be seen.
            let taken = shared.take::<3>();
            shared.give(&taken);
            other.join().unwrap();
            assert_eq!(shared.home.len(), BUFFERS as usize);
            shared.assert_all_linked();
        });
    }

    /// Two threads bring the last buffers home while the pool is closed: one of the three is told, once, and by then all are linked and
    /// nobody uses the arena.
    #[test]
    fn loom_the_last_one_home_is_told_once() {
        check(|| {
            let shared = Shared::new();
            let givers: Vec<_> = [shared.take::<1>(), shared.take::<2>()]
                .into_iter()
                .map(|buffers| {
                    let shared = shared.clone();
                    thread::spawn(move || shared.give(&buffers))
                })
                .collect();
            let told = usize::from(shared.close());
            let told = givers.into_iter().fold(told, |told, giver| told + usize::from(giver.join().unwrap()));
            assert_eq!(told, 1);
        });
    }
}
