//! A broken or evil device: what it writes is dropped and counted. No panic, no access out of bounds, no lost buffer.

use crate::{
    bench::{Bench, Setup},
    fixture::{Fixture, Hostility},
    frames::{PEER, frame},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use vfwire_core::{
    meta::TxOffload,
    path::Path,
    pool::PoolConfig,
    port::{Intent, Port},
    queue::{RxQueue, TxQueue},
};

fn turn<F: Fixture>(bench: &Bench<F>, how: Option<Hostility>) {
    bench.model(|model| F::set_hostile(model, how));
}

/// The device is good again; what it had begun may swallow one frame.
fn assert_recovers<F: Fixture>(bench: &mut Bench<F>) {
    turn(bench, None);
    let to = bench.mac();
    bench.receive_of([frame(to, 60, 0)]);
    bench.assert_traffic_flows(60);
}

/// Frames that were damaged on the wire are dropped and counted, those of one buffer and those of several.
pub fn damaged_frames<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.intent(Intent { mtu_bytes: 9000, ..Intent::default() }).start::<F>();
        let to = bench.mac();
        turn(&bench, Some(Hostility::Damaged));
        assert!(bench.receive_of((0..30).map(|number| frame(to, 60 + 300 * number, number))).is_empty(), "{}", setup.path);
        assert_eq!(bench.stats().rx[0].errors, 30);
        turn(&bench, None);
        bench.assert_traffic_flows(9000);
        assert_eq!(bench.stats().rx[0].errors, 30);
    }
}

/// Frames that claim to be longer than their buffer are dropped and counted.
pub fn lengths_beyond_the_buffer<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let to = bench.mac();
        turn(&bench, Some(Hostility::LengthBeyondBuffer));
        for count in [1, 8, 100] {
            assert!(bench.receive_of((0..count).map(|number| frame(to, 60, number))).is_empty(), "{}", setup.path);
        }
        assert_eq!(bench.stats().rx[0].errors, 109);
        assert_recovers(&mut bench);
    }
}

/// A device that completes descriptors for ever without ending a frame holds no buffers and delivers nothing.
pub fn frames_without_an_end<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = Setup { pool: PoolConfig::new(300), ..setup.rings(64) }.start::<F>();
        let to = bench.mac();
        turn(&bench, Some(Hostility::NeverEnds));
        for round in 0..50 {
            assert!(bench.receive_of((0..20).map(|number| frame(to, 60, number))).is_empty(), "{}, round {round}", setup.path);
        }
        let (stats, to_hand) = (bench.stats().rx[0], bench.cache.len() + bench.pool.free_buffers());
        assert!(to_hand >= 300 - 64 - 16, "it holds {} of 300 buffers", 300 - to_hand);
        assert_eq!(stats.frames, 0);
        assert_recovers(&mut bench);
        assert!(bench.stats().rx[0].errors > 0, "the frame without an end was counted");
    }
}

/// A frame of which the end never came is taken back with its ring, whether the queue is polled or dropped.
pub fn a_frame_cut_off_by_the_end<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        for polled in [true, false] {
            let mut bench = setup.start::<F>();
            let to = bench.mac();
            turn(&bench, Some(Hostility::NeverEnds));
            assert!(bench.receive_of((0..3).map(|number| frame(to, 60, number))).is_empty());
            bench.port().stop().expect("it runs");
            if polled {
                bench.poll_queues_in_reset();
            } else {
                bench.rx.clear();
                bench.tx.clear();
            }
            bench.assert_all_home();
        }
    }
}

/// Write-backs with every bit set are errors, of which not one is taken for a frame or a metadata.
pub fn all_bits_set<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let to = bench.mac();
        turn(&bench, Some(Hostility::AllOnes));
        assert!(bench.receive_of((0..100).map(|number| frame(to, 60, number))).is_empty());
        assert_eq!(bench.stats().rx[0].errors, 100, "{}", setup.path);
        assert_recovers(&mut bench);
    }
}

/// Frames of no bytes harm nobody: dropped, or delivered empty and then not sendable.
pub fn frames_of_no_bytes<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let to = bench.mac();
        turn(&bench, Some(Hostility::ZeroLength));
        bench.inject((0..100).map(|number| frame(to, 60, number)));
        bench.forward(32);
        assert!(bench.sent().is_empty());
        let stats = bench.stats();
        assert_eq!(stats.rx[0].errors + stats.tx[0].unsendable, 100, "{}", setup.path);
        assert_recovers(&mut bench);
    }
}

/// Descriptors completed that were never posted are not believed.
pub fn completions_out_of_nowhere<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.rings(64).start::<F>();
        let to = bench.mac();
        turn(&bench, Some(Hostility::OutOfNowhere));
        let mut sent = 0;
        for round in 0..40 {
            bench.inject((0..9).map(|number| frame(to, 60, round * 9 + number)));
            bench.host.step();
            bench.host.step();
            let mut burst = bench.pool.burst(32);
            let received = bench.rx[0].rx_burst(&mut bench.cache, &mut burst);
            assert!(received <= 9, "{}: {received} frames of 9", setup.path);
            sent += bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
            burst.clear(&mut bench.cache);
            bench.tx[0].reclaim(&mut bench.cache);
        }
        bench.host.step();
        assert_eq!(bench.sent().len(), sent);
        turn(&bench, None);
        bench.settle();
        bench.receive(0);
        bench.assert_traffic_flows(60);
    }
}

/// A device that never reports what it sent: the ring fills up, the rest stays with the worker, and stopping brings everything home.
pub fn frames_never_reported<F: Fixture>() {
    let mut bench = Setup::new::<F>().rings(64).start::<F>();
    let mut burst = bench.pool.burst(256);
    for number in 0..200 {
        bench.load(&mut burst, &frame(PEER, 60, number), TxOffload::default());
    }
    let mut taken = 0;
    for _ in 0..100 {
        // It is not stepped: no report ever comes.
        taken += bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
        bench.tx[0].reclaim(&mut bench.cache);
    }
    assert!(taken <= 64 && burst.len() + taken == 200);
    bench.port().stop().expect("the device can be reset");
    bench.poll_queues_in_reset();
    assert_eq!(bench.stats().tx[0].lost_in_reset, taken as u64);
    burst.clear(&mut bench.cache);
    bench.assert_all_home();
}

/// A schedule: frames of these lengths arrive, the worker takes at most so many, and forwards or drops them.
#[derive(Clone, Debug)]
struct Round {
    lengths: Vec<usize>,
    seed: Option<u64>,
    limit: usize,
    forwards: bool,
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let lengths = prop::collection::vec(60..3000usize, 0..40);
    let round = (lengths, prop::option::weighted(0.7, any::<u64>()), 1..64usize, any::<bool>());
    prop::collection::vec(round.prop_map(|(lengths, seed, limit, forwards)| Round { lengths, seed, limit, forwards }), 1..20)
}

/// Random words in everything that the device writes back, on random schedules: every buffer comes home, and every frame that was
/// delivered lies inside buffers.
pub fn random_write_backs<F: Fixture>() {
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let paths = Path::all();
    let result = runner.run(&(rounds(), prop::sample::select(paths)), |(rounds, path)| {
        let intent = Intent { mtu_bytes: 4000, ..Intent::default() };
        let setup = Setup { path, pool: PoolConfig::new(400), ..Setup::new::<F>() }.rings(64).intent(intent);
        let mut bench = setup.start::<F>();
        let to = bench.mac();
        for round in rounds {
            turn(&bench, round.seed.map(Hostility::Random));
            bench.inject(round.lengths.iter().map(|&len_bytes| frame(to, len_bytes, len_bytes)));
            bench.settle();
            let mut burst = bench.pool.burst(round.limit);
            bench.rx[0].rx_burst(&mut bench.cache, &mut burst);
            for frame in burst.iter_mut() {
                let longest = 16 * bench.pool.data_bytes() as usize;
                prop_assert!(frame.total_len() <= longest);
                std::hint::black_box((
                    frame.meta(),
                    frame.segments().map(|part| part.iter().map(|byte| u64::from(*byte)).sum::<u64>()).sum::<u64>(),
                ));
            }
            if round.forwards {
                bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
                bench.settle();
            }
            burst.clear(&mut bench.cache);
        }
        // The bench checks the rest when it is dropped.
        drop(bench);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
