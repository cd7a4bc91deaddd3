//! The life of a port: start, stop, and everything in the wrong order or with the wrong values.

use crate::{
    bench::{Bench, Setup},
    fixture::Fixture,
    frames::{PEER, frame},
};
use vfwire_core::{
    error::PortError,
    meta::TxOffload,
    pool::{Pool, PoolConfig},
    port::{Intent, Port, PortConfig},
    queue::{RxQueue, TxQueue},
};
use vfwire_sim::SimHost;
use vfwire_spec::net::MacAddr;

/// After `stop` the device is quiet and every buffer comes home, whoever holds the queues.
pub fn stop_makes_the_device_quiet<F: Fixture>() {
    let mut bench = Setup { queue_pairs: F::TRAITS.options.queue_pairs, ..Setup::new::<F>() }.start::<F>();
    let to = bench.mac();
    bench.assert_traffic_flows(60);
    // Frames are under way in every direction.
    let mut burst = bench.pool.burst(64);
    for number in 0..20 {
        bench.load(&mut burst, &frame(PEER, 60, number), TxOffload::default());
    }
    bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
    bench.inject((0..20).map(|number| frame(to, 60, number)));
    bench.device.step();
    bench.port().stop().expect("it runs");
    bench.sent();
    bench.inject((0..20).map(|number| frame(to, 60, number)));
    bench.settle();
    assert!(bench.sent().is_empty(), "a stopped device sends nothing");
    bench.poll_queues_in_reset();
    bench.load(&mut burst, &frame(PEER, 60, 1), TxOffload::default());
    assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), 0);
    assert_eq!(burst.len(), 1, "what was not sent stays in the burst");
    burst.clear(&mut bench.cache);
    bench.assert_all_home();
    // Now that the rings' memory is the worker's, and then nobody's, any access of the device is a fault.
    for _ in 0..2 {
        bench.inject((0..20).map(|number| frame(to, 60, number)));
        bench.settle();
        bench.rx.clear();
        bench.tx.clear();
    }
    assert!(bench.host.faults().is_empty(), "{:?}", bench.host.faults());
}

/// A port that was stopped starts again, whether its old queues were dropped, polled, or kept.
pub fn a_stopped_port_starts_again<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    for round in 0..6 {
        bench.assert_traffic_flows(60 + round);
        bench.port().stop().expect("it runs");
        if round % 2 == 0 {
            bench.rx.clear();
            bench.tx.clear();
        } else {
            bench.poll_queues_in_reset();
        }
        bench.start();
    }
    bench.assert_traffic_flows(60);
}

/// Queues of an earlier start move nothing when the port runs again, and ring no doorbell of the new ones.
pub fn queues_of_an_earlier_start_move_nothing<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    bench.port().stop().expect("it runs");
    bench.poll_queues_in_reset();
    let (mut old_rx, mut old_tx) = (std::mem::take(&mut bench.rx), std::mem::take(&mut bench.tx));
    bench.start();
    let to = bench.mac();
    let mut burst = bench.pool.burst(32);
    bench.inject((0..5).map(|number| frame(to, 60, number)));
    bench.settle();
    for number in 0..3 {
        assert_eq!(old_rx[0].rx_burst(&mut bench.cache, &mut burst), 0);
        bench.load(&mut burst, &frame(PEER, 60, number), TxOffload::default());
        assert_eq!(old_tx[0].tx_burst(&mut bench.cache, &mut burst), 0);
        assert_eq!(old_tx[0].reclaim(&mut bench.cache), 0);
        burst.clear(&mut bench.cache);
        bench.settle();
    }
    assert_eq!(bench.receive(0).len(), 5, "they came on the new queue");
    drop((old_rx, old_tx));
    bench.assert_traffic_flows(60);
}

/// Queues, port, cache and frames may be dropped in any order, under traffic.
pub fn everything_is_dropped_in_any_order<F: Fixture>() {
    for order in 0..6 {
        let mut bench = Setup { queue_pairs: F::TRAITS.options.queue_pairs, ..Setup::new::<F>() }.start::<F>();
        let to = bench.mac();
        bench.inject((0..50).map(|number| frame(to, 60, number)));
        bench.settle();
        let mut burst = bench.pool.burst(32);
        assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), 32);
        let packet = burst.swap_take(7);
        bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
        let step = |bench: &Bench<F>| {
            bench.inject((0..10).map(|number| frame(to, 60, number)));
            bench.settle();
        };
        match order {
            0 => (bench.rx.clear(), step(&bench), bench.tx.clear(), step(&bench), bench.port = None),
            1 => (bench.tx.clear(), step(&bench), bench.port = None, step(&bench), bench.rx.clear()),
            2 => (bench.port = None, step(&bench), bench.rx.clear(), step(&bench), bench.tx.clear()),
            3 => (bench.port = None, step(&bench), bench.poll_queues_in_reset(), step(&bench), bench.close()),
            4 => (drop(bench.rx.pop()), step(&bench), drop(bench.tx.remove(0)), step(&bench), bench.port = None),
            _ => (bench.port().stop().expect("it runs"), step(&bench), bench.close(), step(&bench), ()),
        };
        drop(packet);
        drop(burst);
        step(&bench);
        assert!(!bench.device.is_open() || bench.port.is_some(), "the function is closed with its port");
        bench.close();
        bench.assert_all_home();
    }
}

/// A packet outlives its port, its host and its pool.
pub fn a_packet_outlives_everything<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let to = bench.mac();
    bench.may_keep_buffers();
    bench.inject([frame(to, 333, 7)]);
    bench.settle();
    let mut burst = bench.pool.burst(1);
    assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), 1);
    let packet = burst.swap_take(0);
    drop((burst, bench));
    assert_eq!(packet.data(), frame(to, 333, 7));
}

/// A function can be closed and opened again, by another port.
pub fn a_function_is_opened_again<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    assert!(bench.device.open().is_err(), "one driver at a time");
    for _ in 0..3 {
        bench.assert_traffic_flows(60);
        bench.close();
        assert!(!bench.device.is_open());
        bench.probe().expect("it is free");
        bench.start();
    }
}

/// Two starts without a stop between them, and calls on a port that does not run.
pub fn calls_out_of_order_are_refused<F: Fixture>() {
    let setup = Setup::new::<F>();
    let mut bench = setup.probe::<F>();
    let config = setup.config(&bench.pool);
    assert!(matches!(bench.port().apply(&Intent::default()), Err(PortError::State(_))), "apply before start");
    assert!(bench.events().is_empty());
    assert!(!bench.port().link().up, "a stopped port has no link");
    bench.start();
    let second = bench.port().start(&config).map(drop);
    assert!(matches!(second, Err(PortError::State(_))), "{second:?}");
    bench.assert_traffic_flows(60);
    bench.port().stop().expect("it runs");
    assert!(matches!(bench.port().apply(&Intent::default()), Err(PortError::State(_))), "apply after stop");
    let _ = bench.port().stop();
    bench.poll_queues_in_reset();
    bench.start();
    bench.assert_traffic_flows(60);
}

/// A pool of another host is refused, by name of the port; the port can be started with its own.
pub fn a_foreign_pool_is_refused<F: Fixture>() {
    let setup = Setup::new::<F>();
    let mut bench = setup.probe::<F>();
    let foreign = Pool::new(&*SimHost::new().dma(), PoolConfig::new(2048)).expect("a simulated host has memory");
    let error = bench.port().start(&setup.config(&foreign)).map(drop);
    assert!(matches!(&error, Err(PortError::ForeignPool { address }) if *address == bench.info().address), "{error:?}");
    assert_eq!(foreign.free_buffers(), 2048);
    bench.start();
    bench.assert_traffic_flows(60);
}

/// A configuration that cannot work is refused before anything happens, with the value and what is allowed; a good one works after it.
pub fn bad_settings_are_refused<F: Fixture>() {
    let setup = Setup::new::<F>();
    let mut bench = setup.probe::<F>();
    let info = bench.info();
    let good = setup.config(&bench.pool);
    let too_many = info.max_queue_pairs + 1;
    let mut bad: Vec<(String, PortConfig)> = Vec::new();
    for desc in [0, 1, 16, 31, 33, 48, 4095, 4097, 8192, 65_535] {
        bad.push((desc.to_string(), PortConfig { rx_desc: desc, ..good.clone() }));
        bad.push((desc.to_string(), PortConfig { tx_desc: desc, ..good.clone() }));
    }
    for queue_pairs in [0, too_many, 65_535] {
        bad.push((queue_pairs.to_string(), PortConfig { queue_pairs, ..good.clone() }));
    }
    let mut intents = vec![];
    for mtu_bytes in [0, 10, 67, info.max_mtu_bytes + 1, 20_000, 65_535] {
        intents.push((mtu_bytes.to_string(), Intent { mtu_bytes, ..Intent::default() }));
    }
    for id in [0, 4095, 4096, 65_535] {
        intents.push((id.to_string(), Intent { vlans: [id].into(), ..Intent::default() }));
    }
    for mac in [MacAddr::ZERO, MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1])] {
        intents.push((mac.to_string(), Intent { mac: Some(mac), ..Intent::default() }));
    }
    intents.push((PEER.to_string(), Intent { multicast: [PEER].into(), ..Intent::default() }));
    for (value, intent) in &intents {
        bad.push((value.clone(), PortConfig { intent: intent.clone(), ..good.clone() }));
    }
    for (value, config) in &bad {
        match bench.port().start(config).map(drop) {
            Err(error @ PortError::Setting { .. }) => {
                let text = error.to_string();
                assert!(text.contains(value) && text.contains("must be"), "{text}");
            }
            other => panic!("{value}: {other:?} for {config:?}"),
        }
        bench.assert_all_home();
    }
    bench.start();
    for (value, intent) in &intents {
        let refused = bench.port().apply(intent);
        assert!(matches!(refused, Err(PortError::Setting { .. })), "{value} on a running port: {refused:?}");
    }
    bench.assert_traffic_flows(60);
}

/// What a port says of itself is true.
pub fn a_port_describes_itself<F: Fixture>() {
    use vfwire_core::port::Driver;
    let mut bench = Setup::new::<F>().probe::<F>();
    let info = bench.info();
    assert_eq!((info.address.as_str(), info.driver, info.simulated), ("sim:conformance", F::Driver::NAME, true));
    assert!(F::Driver::IDS.contains(&info.id), "{}", info.id);
    assert_eq!(info.max_queue_pairs, F::TRAITS.options.queue_pairs);
    assert!(info.mac.is_unicast());
    bench.start();
    assert_eq!(bench.info(), info, "a start with an ordinary intent changes nothing of it");
}
