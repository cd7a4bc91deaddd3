//! Several queue pairs.

use crate::{
    bench::{Bench, Setup},
    fixture::{Fixture, Options},
    frames::{Datagram, PEER, frame},
};
use std::collections::BTreeMap;
use vfwire_core::{
    meta::{L4, TxOffload},
    path::Path,
    port::Port,
    queue::{RxQueue, TxQueue},
};

fn two_pairs<F: Fixture>() -> Bench<F> {
    Setup { queue_pairs: 2, ..Setup::new::<F>() }.start()
}

/// Frames sent on either queue leave, and each queue counts its own.
pub fn each_transmit_queue_sends<F: Fixture>() {
    let mut bench = two_pairs::<F>();
    let of = |queue: usize, count: usize| (0..count).map(move |number| (frame(PEER, 60, queue << 20 | number), TxOffload::default()));
    for round in 0..100 {
        for (queue, count) in [(0, 3 + round % 5), (1, 7)] {
            let frames: Vec<_> = of(queue, count).collect();
            let sent = bench.send(queue, &frames);
            assert!(sent.iter().eq(frames.iter().map(|(frame, _)| frame)), "queue {queue}");
        }
    }
    let stats = bench.stats();
    assert_eq!((stats.tx[0].frames, stats.tx[1].frames), (500, 700));
    assert_eq!((stats.tx[0].bytes, stats.tx[1].bytes), (500 * 60, 700 * 60));
    assert_eq!(stats.tx_total().frames, 1200);
}

/// Flows are spread over the receive queues, each flow stays on one, and each queue counts its own. Where the device does not spread,
/// all of them come on the first.
pub fn each_flow_stays_on_a_queue<F: Fixture>() {
    let mut bench = two_pairs::<F>();
    let (to, mut queue_of, mut got) = (bench.mac(), BTreeMap::new(), [0, 0]);
    for round in 0..5 {
        let flow = |port| Datagram {
            ipv6: port % 2 == 1,
            l4: if port % 3 == 0 { L4::Tcp } else { L4::Udp },
            source_port: port,
            payload_bytes: 30 + round,
        };
        bench.inject((0..64).map(|port| flow(port).frame(to, PEER)));
        for (queue, got) in got.iter_mut().enumerate() {
            for arrived in bench.receive(queue) {
                let ports_at = if arrived.bytes[12] == 0x86 { 54 } else { 34 };
                let port = u16::from_be_bytes([arrived.bytes[ports_at], arrived.bytes[ports_at + 1]]);
                let (before, hash) = *queue_of.entry(port).or_insert((queue, arrived.meta.rss_hash));
                assert_eq!((before, hash), (queue, arrived.meta.rss_hash), "flow {port} moved");
                *got += 1;
            }
        }
    }
    assert_eq!(got[0] + got[1], 320);
    let spread = got[0] > 60 && got[1] > 60;
    assert!(spread || !F::TRAITS.spreads_flows && got[1] == 0, "64 flows on two queues: {got:?}");
    let stats = bench.stats();
    assert_eq!([stats.rx[0].frames, stats.rx[1].frames], got);
    assert_eq!(stats.rx_total().frames, 320);
    assert!(bench.stats().rx[0].bytes > 0);
}

/// A worker may take its queues and its cache to another thread; its buffers meet the others' in the pool.
pub fn queues_work_on_their_own_threads<F: Fixture>() {
    let mut bench = two_pairs::<F>();
    let to = bench.mac();
    let workers: Vec<_> = bench.rx.drain(..).zip(bench.tx.drain(..)).collect();
    let (pool, host) = (bench.pool.clone(), bench.host.clone());
    let flow = |port| Datagram { ipv6: false, l4: L4::Udp, source_port: port, payload_bytes: 30 };
    let stepping = host.spawn();
    bench.wire.set_pauses(true);
    bench.inject((0..2000).map(|number| flow(number % 64).frame(to, PEER)));
    let total = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (mut rx, mut tx) in workers {
            let (total, pool) = (&total, pool.clone());
            scope.spawn(move || {
                let (mut cache, mut burst) = (pool.cache(), pool.burst(32));
                let start = std::time::Instant::now();
                while total.load(std::sync::atomic::Ordering::Relaxed) < 2000 && start.elapsed().as_secs() < 60 {
                    rx.rx_burst(&mut cache, &mut burst);
                    let sent = tx.tx_burst(&mut cache, &mut burst);
                    total.fetch_add(sent, std::sync::atomic::Ordering::Relaxed);
                    if sent == 0 {
                        std::thread::yield_now();
                    }
                }
                assert!(burst.is_empty());
            });
        }
    });
    drop(stepping);
    bench.settle();
    assert_eq!(bench.sent().len(), 2000);
    let stats = bench.stats();
    assert_eq!((stats.rx_total().frames, stats.tx_total().frames), (2000, 2000));
}

/// One pair of a function with two works alone, and a second start may take both.
pub fn starts_of_different_widths<F: Fixture>() {
    let setup = Setup::new::<F>();
    let mut bench = setup.start::<F>();
    for queue_pairs in [2, 1, 2] {
        bench.port().stop().expect("it runs");
        bench.rx.clear();
        bench.tx.clear();
        let config = Setup { queue_pairs, ..setup.clone() }.config(&bench.pool);
        bench.try_start(&config).expect("both widths are allowed");
        bench.assert_traffic_flows(60);
    }
}

/// A function with one pair says so, and refuses two.
pub fn a_function_with_one_pair<F: Fixture>() {
    let options = Options { queue_pairs: 1, ..F::TRAITS.options };
    let setup = Setup { options, ..Setup::new::<F>() };
    let mut bench = setup.probe::<F>();
    assert_eq!(bench.info().max_queue_pairs, 1);
    let config = Setup { queue_pairs: 2, ..setup.clone() }.config(&bench.pool);
    let error = bench.try_start(&config).expect_err("there is one").to_string();
    assert!(error.contains('2') && error.contains('1'), "{error}");
    bench.start();
    bench.assert_traffic_flows(60);
}

/// The path that was asked for is the one that runs, and says its name.
pub fn the_path_is_the_one_asked_for<F: Fixture>() {
    for path in Path::all() {
        let bench = Setup { path, queue_pairs: 2, ..Setup::new::<F>() }.start::<F>();
        assert!(bench.rx.iter().all(|queue| queue.path() == path) && bench.tx.iter().all(|queue| queue.path() == path));
    }
}
