//! Too much of everything: full rings, empty pools. Nothing is lost that is not counted, nothing stays stuck.

use crate::{
    bench::{Arrived, Setup, assert_same},
    fixture::Fixture,
    frames::{self, frame},
    traffic::numbered,
};
use std::collections::BTreeSet;
use vfwire_core::{
    meta::TxOffload,
    pool::{BURST_MAX, PoolConfig},
    queue::{RxQueue, TxQueue},
};

/// Descriptors of a ring of 512 that may be in flight before a burst looks for reports.
const BATCH: usize = 32;

/// Descriptors in flight are those of the frames; one more where a ring begins with one that is no frame's.
fn only_frames(in_flight: usize, frames: usize) -> bool {
    (frames..=frames + 1).contains(&in_flight)
}

/// What a full transmit ring does not take stays in the burst, in order, and goes later.
pub fn a_full_transmit_ring_keeps_the_rest<F: Fixture>() {
    for size_desc in [32, 64, 512] {
        for setup in Setup::on_every_path::<F>() {
            let mut bench = setup.rings(size_desc).start::<F>();
            let (to, mut burst) = (frames::PEER, bench.pool.burst(BURST_MAX));
            let frames = numbered(to, 2 * usize::from(size_desc) + 100);
            let (mut taken, mut next) = (0, 0);
            // The device does nothing: the ring fills up.
            loop {
                while burst.room() > 0 && next < frames.len() {
                    bench.load(&mut burst, &frames[next], TxOffload::default());
                    next += 1;
                }
                let waiting = burst.len();
                let now = bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
                assert_eq!(burst.len(), waiting - now);
                taken += now;
                if now == 0 {
                    break;
                }
            }
            let size = usize::from(size_desc);
            assert!((size / 2..=size).contains(&taken), "a ring of {size} took {taken}: at least half of it");
            assert!(only_frames(bench.tx[0].in_flight(), taken));
            assert!(bench.sent().is_empty());
            while next < frames.len() || !burst.is_empty() {
                while burst.room() > 0 && next < frames.len() {
                    bench.load(&mut burst, &frames[next], TxOffload::default());
                    next += 1;
                }
                bench.flush(0, &mut burst);
            }
            assert_same(&bench.sent(), &frames, format_args!("{}: a ring of {size_desc}", setup.path));
        }
    }
}

/// Buffers of frames that were sent come back at the next call, not when the ring is full.
pub fn what_was_sent_comes_back_at_once<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let mut burst = bench.pool.burst(64);
        let mut unreported = 0;
        for count in [1, 2, 7, 8, 33, 64] {
            for frame in numbered(frames::PEER, count) {
                bench.load(&mut burst, &frame, TxOffload::default());
            }
            assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), count);
            // A burst takes back what was sent only where that is a batch's worth.
            unreported = if unreported >= BATCH { count } else { unreported + count };
            assert!(only_frames(bench.tx[0].in_flight(), unreported), "{}: {} in flight", setup.path, bench.tx[0].in_flight());
            bench.settle();
        }
        let at_hand = bench.cache.len();
        assert_eq!(bench.tx[0].reclaim(&mut bench.cache), 64);
        assert_eq!((bench.tx[0].in_flight(), bench.cache.len()), (0, at_hand + 64));
        assert_eq!(bench.tx[0].reclaim(&mut bench.cache), 0);
    }
}

/// However large the pool, frames use few buffers, again and again: those of the receive ring and of the last bursts. So what is used stays
/// in the processor's cache, and what was sent does not pile up in the transmit ring.
pub fn the_working_set_stays_small<F: Fixture>() {
    /// What a cache may fetch from the pool at a time.
    const BULK: usize = 64;
    /// What a transmit queue may have been told of as sent before it looks.
    const UNSEEN: usize = 32;
    for setup in Setup::on_every_path::<F>() {
        for limit in [1, 4, 32, BURST_MAX] {
            let mut bench = setup.start::<F>();
            let (to, mut burst) = (bench.mac(), bench.pool.burst(limit));
            let (ring, rounds) = (usize::from(setup.rx_desc), 4 * setup.pool.buffers as usize / limit);
            let mut used = BTreeSet::new();
            for round in 0..rounds {
                bench.inject((0..limit).map(|number| frame(to, 60, round * limit + number)));
                bench.settle();
                assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), limit);
                used.extend(burst.iter_mut().map(|frame| frame.data().as_ptr() as usize));
                assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), limit);
                let in_flight = bench.tx[0].in_flight();
                assert!(in_flight < limit + UNSEEN, "{}: bursts of {limit}, {in_flight} are not taken back", setup.path);
                bench.sent();
            }
            let most = ring + 2 * limit + UNSEEN + BULK;
            let (used, frames) = (used.len(), rounds * limit);
            assert!(used <= most, "{}: {frames} frames in bursts of {limit} used {used} buffers, not at most {most}", setup.path);
        }
    }
}

/// Frames that find no descriptor are dropped by the device; the account closes to the frame.
pub fn a_full_receive_ring_drops_and_counts<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.rings(64).start::<F>();
        let (to, mut sent, mut received) = (bench.mac(), 0, Vec::new());
        for round in 0..5 {
            let count = 60 + 50 * round;
            bench.inject((sent..sent + count).map(|number| frame(to, 60, number)));
            sent += count;
            bench.settle();
            received.extend(bench.receive(0));
        }
        let stats = bench.stats();
        assert_eq!(stats.rx[0].frames, received.len() as u64);
        assert!((5 * 50..sent).contains(&received.len()), "a ring of 64 held {} of {sent}", received.len());
        if F::TRAITS.counts_missed {
            assert_eq!(stats.rx[0].frames + stats.rx[0].no_descriptor, sent as u64, "received and dropped make up what was sent");
            assert_eq!(bench.stats().rx[0].no_descriptor, stats.rx[0].no_descriptor, "counted once");
        }
        assert_eq!(stats.rx[0].errors, 0);
        let numbers: Vec<_> = received.iter().filter_map(|frame| frames::number_of(&frame.bytes)).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "what came through kept its order");
        bench.assert_traffic_flows(60);
    }
}

/// A worker that keeps every buffer stops its own reception, which is counted, and starts it again by letting go.
pub fn an_exhausted_pool_recovers<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let setup = Setup { pool: PoolConfig::new(200), ..setup.rings(64) };
        let mut bench = setup.start::<F>();
        let to = bench.mac();
        for _ in 0..3 {
            let (mut kept, mut sent) = (Vec::new(), 0);
            let mut burst = bench.pool.burst(16);
            let before = bench.stats().rx[0];
            while bench.stats().rx[0].starved_polls == before.starved_polls {
                bench.inject((sent..sent + 10).map(|number| frame(to, 60, number)));
                sent += 10;
                bench.settle();
                while bench.rx[0].rx_burst(&mut bench.cache, &mut burst) > 0 {
                    kept.extend((0..burst.len()).rev().map(|at| burst.swap_take(at)));
                }
                assert!(sent < 1000, "200 buffers are not enough to keep {} frames", kept.len());
            }
            assert!(kept.len() >= 200 - 64, "every buffer outside the ring is kept: {}", kept.len());
            assert!(burst.push_empty(&mut bench.cache).is_none(), "no buffer is left");
            let in_hand = kept.len();
            drop(kept);
            drop(burst);
            let rest = bench.receive(0);
            let stats = bench.stats().rx[0];
            assert_eq!(stats.frames - before.frames, (in_hand + rest.len()) as u64);
            if F::TRAITS.counts_missed {
                let accounted = stats.frames - before.frames + stats.no_descriptor - before.no_descriptor;
                assert_eq!(accounted, sent as u64, "{}: received and dropped make up what was sent", setup.path);
            }
            bench.assert_traffic_flows(1514);
        }
    }
}

/// An idle worker with an empty cache is not starved: nothing was left with the device.
pub fn an_idle_queue_is_not_starved<F: Fixture>() {
    let mut bench = Setup { pool: PoolConfig::new(100), ..Setup::new::<F>().rings(64) }.start::<F>();
    let mut burst = bench.pool.burst(BURST_MAX);
    while burst.push_empty(&mut bench.cache).is_some() {}
    let mut out = bench.pool.burst(16);
    assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut out), 0);
    assert_eq!(bench.stats().rx[0].starved_polls, 0, "no frame waits");
    let to = bench.mac();
    bench.inject([frame(to, 60, 1)]);
    bench.settle();
    assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut out), 0, "there is no buffer to take its place");
    assert_eq!(bench.stats().rx[0].starved_polls, 1);
    burst.clear(&mut bench.cache);
    let got = bench.receive(0);
    assert!(matches!(&got[..], [Arrived { bytes, .. }] if *bytes == frame(to, 60, 1)));
}

/// A pool that cannot fill the rings works as far as it goes.
pub fn a_pool_smaller_than_its_rings_works<F: Fixture>() {
    for buffers in [20, 64, 200] {
        let mut bench = Setup { pool: PoolConfig::new(buffers), ..Setup::new::<F>() }.start::<F>();
        let to = bench.mac();
        let mut through = 0;
        for round in 0..30 {
            bench.inject((0..5).map(|number| frame(to, 60, round * 5 + number)));
            through += bench.forward(8);
        }
        let stats = bench.stats();
        if F::TRAITS.counts_missed {
            assert_eq!(stats.rx[0].frames + stats.rx[0].no_descriptor, 150, "a pool of {buffers}");
        }
        assert!(through >= 30, "a pool of {buffers} moved {through} of 150 frames");
        assert_eq!(bench.sent().len(), through);
    }
}
