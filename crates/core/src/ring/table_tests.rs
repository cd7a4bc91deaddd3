//! A table of buffers under random calls with random ids and lengths: no buffer is lost, none is had twice.

use super::table::BufTable;
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
    Reset,
    Clear,
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..u32::from(IDS), 1 => u32::from(IDS)..40, 1 => any::<u32>()]
}

fn length() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 12..1100u32, 1 => 0..12u32, 1 => any::<u32>()]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => id().prop_map(Call::Post),
        4 => (id(), length(), prop::collection::vec((id(), length()), 0..3), any::<bool>())
            .prop_map(|(id, written, more, keeps)| Call::Take { id, written, more, keeps }),
        3 => (id(), 1..4usize).prop_map(|(id, frames)| Call::Send { id, frames }),
        1 => id().prop_map(Call::Chain),
        4 => id().prop_map(Call::Complete),
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
