//! A table of buffers under random calls with random ids and lengths: no buffer is lost, none is had twice.

use super::table::{BufTable, Plain, Words};
use super::tests::TestSpace;
use crate::{
    burst::Burst,
    cells::DmaCells,
    meta::{RxMeta, RxWords},
    pool::{BufCache, Pool, PoolConfig},
    ring::Deposit,
};
use proptest::prelude::*;
use std::sync::Arc;

const BUFFERS: u32 = 48;
const IDS: u16 = 16;
static WORDS: RxWords = RxWords { name: "table tests", decode: |_| RxMeta { rss_hash: None, ..RxMeta::default() } };

struct Bench {
    pool: Pool,
    table: BufTable,
    cache: BufCache,
    burst: Burst,
    deposit: Deposit,
}

impl Bench {
    fn new() -> Self {
        let space = TestSpace::new();
        let pool = Pool::new(&space, PoolConfig { buffers: BUFFERS, data_bytes: 1024 }).unwrap();
        let deposit = Deposit::new();
        let table = BufTable::new(&space, &pool, IDS, (4096, 64), &deposit).unwrap();
        Self { cache: pool.cache(), burst: pool.burst(8), pool, table, deposit }
    }

    /// Every buffer, each once: those out, at hand, in the burst, and free.
    fn assert_all_accounted(&mut self) {
        let frames: usize = self.burst.iter_mut().map(|frame| frame.segments().count()).sum();
        let held = BUFFERS as usize - frames - self.cache.len() - self.pool.free_buffers();
        assert!(held >= self.table.held(), "{held} buffers are nowhere else, {} are out", self.table.held());
    }
}

#[derive(Clone, Debug)]
enum Call {
    Post(u32),
    Take { id: u32, written: u32, more: Vec<(u32, u32)>, keeps: bool },
    Send { id: u32, frames: usize },
    Chain(u32),
    Complete(u32),
    TakeRun { used: Vec<(u32, u32)>, simple: u8 },
    SendRun { ids: Vec<u16>, frames: usize },
    CompleteRun { used: Vec<(u32, u32)>, is_in_order: bool },
    Reset,
    Clear,
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..u32::from(IDS), 1 => u32::from(IDS)..40, 1 => any::<u32>()]
}

fn length() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 12..1100u32, 1 => 0..12u32, 1 => any::<u32>()]
}

fn used() -> impl Strategy<Value = Vec<(u32, u32)>> {
    prop::collection::vec((id(), length()), 0..12)
}

/// A ring that says what it likes, and keeps what it is told.
#[derive(Default)]
struct Says {
    used: Vec<(u32, u32)>,
    told: Vec<(u32, u64, u32)>,
    panics_at: Option<usize>,
}

impl Words for Says {
    fn most_used(&self) -> usize {
        self.used.len() + 1
    }

    fn most_offered(&self) -> usize {
        16
    }

    fn used(&self, place: usize) -> Option<(u32, u32)> {
        self.used.get(place).copied()
    }

    fn repost(&mut self, place: usize, id: u32, address: u64) {
        assert_ne!(self.panics_at, Some(place), "as the test wants it");
        self.told.push((id, address, 0));
    }

    fn offer(&mut self, place: usize, id: u16, address: u64, len_bytes: u32) {
        assert_ne!(self.panics_at, Some(place), "as the test wants it");
        self.told.push((id.into(), address, len_bytes));
    }
}

const PLAIN: Plain = Plain { ahead_bytes: 12, min_bytes: 14, max_bytes: 1000 };

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => id().prop_map(Call::Post),
        4 => (id(), length(), prop::collection::vec((id(), length()), 0..3), any::<bool>())
            .prop_map(|(id, written, more, keeps)| Call::Take { id, written, more, keeps }),
        3 => (id(), 1..4usize).prop_map(|(id, frames)| Call::Send { id, frames }),
        1 => id().prop_map(Call::Chain),
        4 => id().prop_map(Call::Complete),
        3 => (used(), any::<u8>()).prop_map(|(used, simple)| Call::TakeRun { used, simple }),
        3 => (prop::collection::vec(0..IDS + 4, 0..6), 0..6usize).prop_map(|(ids, frames)| Call::SendRun { ids, frames }),
        3 => (used(), any::<bool>()).prop_map(|(used, is_in_order)| Call::CompleteRun { used, is_in_order }),
        1 => Just(Call::Reset),
        2 => Just(Call::Clear),
    ]
}

fn carry_out(bench: &mut Bench, call: Call) {
    let Bench { table, cache, burst, .. } = bench;
    match call {
        Call::Post(id) => {
            table.post(id, cache, 12);
        }
        Call::Take { id, written, more, keeps } if burst.room() > 0 => {
            let mut session = table.receiving(cache, burst);
            if session.take(id, 12, written, |_| [0; 2]).is_ok() {
                for (id, written) in more {
                    let _ = session.extend(id, 12, written);
                }
                if !keeps {
                    session.drop_newest();
                }
            }
            session.post(id, 12);
            session.finish(&WORDS);
        }
        Call::Send { id, frames } => {
            for _ in 0..frames {
                if let Some(mut frame) = burst.push_empty(cache) {
                    frame.append(60);
                }
            }
            let mut session = table.sending(cache, burst);
            session.post(id, [0; 3], 12);
            session.post(id.wrapping_add(1), [0; 3], 12);
        }
        Call::Chain(id) => {
            let mut segments = 0;
            let mut session = table.sending(cache, burst);
            if session.post_segments(id, |_, _| segments += 1) {
                assert!(segments > 0);
            } else {
                session.drop_frame();
            }
        }
        Call::Complete(id) => {
            table.complete(id, cache);
        }
        Call::TakeRun { used, simple } => {
            let mut says = Says { used, ..Says::default() };
            let mut session = table.receiving(cache, burst);
            session.at_hand(4);
            let is_simple = std::cell::Cell::new(simple);
            let ran = session.run(12, &mut says, |_| {
                let bits = is_simple.replace(is_simple.get().rotate_left(1));
                (bits & 0xc0 != 0).then_some([0; 2])
            });
            assert_eq!((ran.frames, session.frames()), (says.told.len(), says.told.len()));
            if let Some(last) = ran.frames.checked_sub(1) {
                assert_eq!((session.newest().unwrap().len() + 12, says.told[last].0), (says.used[last].1 as usize, says.used[last].0));
            }
            session.finish(&WORDS);
        }
        Call::SendRun { ids, frames } => {
            for _ in 0..frames {
                if let Some(mut frame) = burst.push_empty(cache) {
                    frame.append(60);
                }
            }
            let (mut says, before) = (Says::default(), burst.len());
            let mut session = table.sending(cache, burst);
            if session.is_plain() {
                let ran = session.run(PLAIN, &ids, &mut says);
                assert_eq!((ran.frames, session.left()), (says.told.len(), before - ran.frames));
            }
            drop(session);
            assert_eq!(burst.len(), before - says.told.len());
        }
        Call::CompleteRun { used, is_in_order } => {
            let (held, mut ids) = (table.held(), [0, 1, 2, 3]);
            let says = Says { used, ..Says::default() };
            let count = table.complete_run(cache, &mut ids, is_in_order, &says);
            assert_eq!(table.held(), held - count);
            assert!(ids.iter().zip(&says.used).take(count).all(|(id, used)| u32::from(*id) == used.0));
        }
        Call::Reset => {
            table.reset(cache);
            assert_eq!(table.held(), 0);
        }
        Call::Clear => burst.clear(cache),
        Call::Take { .. } => {}
    }
}

proptest! {
    #[test]
    fn whatever_a_device_says_a_buffer_has_one_owner(calls in prop::collection::vec(call(), 1..200)) {
        let mut bench = Bench::new();
        for call in calls {
            carry_out(&mut bench, call);
            bench.assert_all_accounted();
        }
        let Bench { pool, table, cache, burst, deposit } = bench;
        drop((table, cache, burst));
        deposit.quiet();
        prop_assert_eq!(pool.free_buffers(), BUFFERS as usize);
    }
}

#[test]
fn a_forgotten_session_has_no_frame_twice() {
    let mut bench = Bench::new();
    bench.burst.push_empty(&mut bench.cache).unwrap().append(60).unwrap();
    let mut session = bench.table.sending(&mut bench.cache, &mut bench.burst);
    session.post(3, [0; 3], 12).unwrap();
    std::mem::forget(session);
    assert!(bench.burst.is_empty(), "what was posted is not in the burst any more");
    assert!(bench.table.complete(3, &mut bench.cache));
    assert!(!bench.table.complete(3, &mut bench.cache), "once");
}

#[test]
fn what_is_ahead_of_a_frame_is_written_before_it() {
    let mut bench = Bench::new();
    bench.burst.push_empty(&mut bench.cache).unwrap().append(60).unwrap();
    let mut session = bench.table.sending(&mut bench.cache, &mut bench.burst);
    let (address, len_bytes) = session.post(0, [1, 2 << 32, 3], 12).unwrap();
    drop(session);
    assert_eq!((len_bytes, address % 64), (72, 52));
    assert_eq!(bench.table.ahead(0), Some([1, 2 << 32, 3]));
}

#[test]
fn cells_stay_inside_their_region() {
    use crate::dma::DmaSpace;
    let region = Arc::new(TestSpace::new().alloc(64, 64).unwrap());
    for (offset, count) in [(64, 1), (0, 16), (usize::MAX - 3, 1), (0, 3), (0, 0), (2, 1)] {
        assert!(DmaCells::<u64>::new(&region, offset, count).is_err(), "{count} words at {offset}");
    }
    let cells = DmaCells::<u16>::new(&region, 32, 4).unwrap();
    cells.set(5, 7);
    assert_eq!((cells.get(1), cells.iova().0 - region.iova().0), (7, 32));
}

#[test]
fn a_run_stops_before_what_is_not_simple() {
    let mut bench = Bench::new();
    for id in 0..4 {
        bench.table.post(id, &mut bench.cache, 12).unwrap();
    }
    // The third says more than there is room for.
    let mut says = Says { used: vec![(2, 72), (0, 112), (1, 12 + 1100), (3, 72)], ..Says::default() };
    let mut session = bench.table.receiving(&mut bench.cache, &mut bench.burst);
    let ran = session.run(12, &mut says, |_| Some([0; 2]));
    assert_eq!((ran.frames, ran.bytes, session.newest().unwrap().len()), (2, 160, 100));
    session.finish(&WORDS);
    assert_eq!(says.told.iter().map(|told| told.0).collect::<Vec<_>>(), [2, 0]);
    assert!(says.told.iter().all(|told| told.1 % 64 == 52), "12 bytes before a line");
    assert!(bench.table.is_out(1) && bench.table.is_out(3));

    // Sent: the second frame is too short.
    bench.burst.get_mut(1).unwrap().truncate(13);
    let mut says = Says::default();
    let mut session = bench.table.sending(&mut bench.cache, &mut bench.burst);
    let ran = session.run(PLAIN, &[9, 8], &mut says);
    assert_eq!((ran.frames, ran.bytes, says.told[0].0, says.told[0].2), (1, 60, 9, 72));
    drop(session);
    assert_eq!(bench.burst.len(), 1);
    assert_eq!(bench.table.ahead(9), Some([0; 3]));
    // What is named out of order is left to others.
    let says = Says { used: vec![(9, 0)], ..Says::default() };
    assert_eq!(bench.table.complete_run(&mut bench.cache, &mut [8], true, &says), 0);
    assert_eq!(bench.table.complete_run(&mut bench.cache, &mut [9], true, &says), 1);
}

#[test]
fn a_ring_that_panics_loses_buffers_and_has_none_twice() {
    let mut bench = Bench::new();
    for id in 0..4 {
        bench.table.post(id, &mut bench.cache, 12).unwrap();
    }
    let mut says = Says { used: vec![(0, 72), (1, 72)], panics_at: Some(1), ..Says::default() };
    let Bench { table, cache, burst, .. } = &mut bench;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        table.receiving(cache, burst).run(12, &mut says, |_| Some([0; 2]));
    }));
    assert!(panicked.is_err());
    assert_eq!((bench.burst.len(), bench.cache.len()), (0, 0), "what was on its way is nobody's");
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.burst.push_empty(&mut bench.cache).unwrap().append(60).unwrap();
    }
    let Bench { table, cache, burst, .. } = &mut bench;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        table.sending(cache, burst).run(PLAIN, &[8, 9], &mut says);
    }));
    assert!(panicked.is_err());
    assert!(bench.burst.is_empty(), "what was posted is not in the burst any more");
}
