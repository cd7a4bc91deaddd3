//! The function is taken away: asked back by the kernel, broken, or simply gone.

use crate::{
    bench::{Bench, Setup},
    fixture::Fixture,
    frames::{PEER, frame},
};
use vfwire_core::{
    bus::BusEvent,
    error::{BusError, PortError},
    event::PortEvent,
    meta::TxOffload,
    port::{Port, PortState},
    queue::{RxQueue, TxQueue},
};

/// Bursts, requests and statistics of a port that is going: nothing moves, nothing hangs, nothing panics.
fn use_everything<F: Fixture>(bench: &mut Bench<F>) {
    let mut burst = bench.pool.burst(32);
    for _ in 0..3 {
        bench.load(&mut burst, &frame(PEER, 60, 1), TxOffload::default());
        for (rx, tx) in bench.rx.iter_mut().zip(&mut bench.tx) {
            tx.tx_burst(&mut bench.cache, &mut burst);
            tx.reclaim(&mut bench.cache);
            burst.clear(&mut bench.cache);
            assert_eq!(rx.rx_burst(&mut bench.cache, &mut burst), 0);
        }
        let _ = bench.port().stats();
        let _ = bench.port().link();
    }
}

/// The kernel asks for the function back: the port lets go of it, says so once, and nothing follows.
pub fn a_function_that_is_asked_back<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    bench.assert_traffic_flows(60);
    bench.events();
    bench.device.raise(BusEvent::RemoveRequested);
    let events = bench.events();
    assert!(matches!(&events[..], [PortEvent::Removed { cause }] if cause.len() > 10), "{events:?}");
    let to = bench.mac();
    bench.inject((0..10).map(|number| frame(to, 60, number)));
    bench.settle();
    use_everything(&mut bench);
    bench.settle();
    assert!(bench.sent().is_empty(), "it does not send any more");
    bench.device.raise(BusEvent::RemoveRequested);
    assert!(bench.events().is_empty(), "nothing follows Removed");
    assert!(bench.port().apply(&vfwire_core::port::Intent::default()).is_err());
    bench.close();
    assert!(!bench.device.is_open());
    bench.assert_all_home();
    bench.probe().expect("given back, it can be opened again");
    bench.start();
    bench.assert_traffic_flows(60);
}

/// The bus reports an error of the function: the port resets it and recovers.
pub fn an_error_of_the_bus_is_recovered_from<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    bench.assert_traffic_flows(60);
    bench.events();
    bench.device.raise(BusEvent::Error);
    let events = bench.events();
    assert!(matches!(&events[..], [PortEvent::ResetStarted { cause }] if cause.len() > 10), "{events:?}");
    assert_eq!(bench.port().state(), PortState::Resetting);
    bench.await_recovered();
    assert_eq!(bench.port().state(), PortState::Running);
    bench.assert_traffic_flows(60);
    bench.close();
    bench.assert_all_home();
}

/// A port that does not run reports removal too.
pub fn a_stopped_port_is_asked_back<F: Fixture>() {
    let mut bench = Setup::new::<F>().probe::<F>();
    bench.device.raise(BusEvent::RemoveRequested);
    assert!(matches!(bench.events()[..], [PortEvent::Removed { .. }]));
    let setup = Setup::new::<F>();
    let config = setup.config(&bench.pool);
    assert!(bench.try_start(&config).is_err(), "it is gone");
}

/// Every register reads as all ones: the port says `Removed` (or that the device is gone), its statistics stay what they were.
pub fn a_function_that_is_gone<F: Fixture>() {
    let mut bench = Setup { queue_pairs: F::TRAITS.options.queue_pairs, ..Setup::new::<F>() }.start::<F>();
    bench.may_keep_buffers();
    bench.assert_traffic_flows(60);
    bench.events();
    let before = bench.stats();
    bench.device.set_gone(true);
    assert_eq!(bench.stats(), before, "all ones are no counts");
    use_everything(&mut bench);
    let mut told = 0;
    for _ in 0..5 {
        match bench.port().poll_control() {
            Ok(Some(PortEvent::Removed { .. })) | Err(PortError::Bus(BusError::Gone)) => told += 1,
            Ok(None) if told > 0 => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(told > 0);
    use_everything(&mut bench);
    assert_eq!(bench.stats().device, before.device);
    assert!(bench.port().apply(&vfwire_core::port::Intent::default()).is_err());
    let _ = bench.port().stop();
}

/// Gone when it is probed, started, changed or stopped: an error, soon.
pub fn a_function_gone_at_any_call<F: Fixture>() {
    let setup = Setup::new::<F>();
    let mut bench = setup.plug::<F>();
    let function = bench.device.open().expect("it is there");
    bench.device.set_gone(true);
    let probed = <F::Driver as vfwire_core::port::Driver>::probe(function).map(drop);
    assert!(matches!(probed, Err(PortError::Bus(BusError::Gone))), "{probed:?}");
    bench.device.set_gone(false);
    bench.probe().expect("it is back");

    bench.device.set_gone(true);
    let config = setup.config(&bench.pool);
    let started = bench.try_start(&config);
    assert!(matches!(started, Err(PortError::Bus(BusError::Gone))), "{started:?}");
    bench.device.set_gone(false);
    bench.close();
    bench.assert_all_home();

    bench.probe().expect("it is back");
    bench.start();
    bench.device.set_gone(true);
    bench.may_keep_buffers();
    let applied = bench.port().apply(&vfwire_core::port::Intent { all_multicast: true, ..Default::default() });
    assert!(matches!(applied, Err(PortError::Bus(BusError::Gone))), "{applied:?}");
    let _ = bench.port().stop();
}

/// Gone in the middle of traffic, with frames in every ring, and the queues never polled again.
pub fn a_function_gone_under_traffic<F: Fixture>() {
    for drop_port_first in [false, true] {
        let mut bench = Setup::new::<F>().start::<F>();
        bench.may_keep_buffers();
        let (to, mut burst) = (bench.mac(), bench.pool.burst(32));
        bench.inject((0..40).map(|number| frame(to, 60, number)));
        bench.settle();
        bench.rx[0].rx_burst(&mut bench.cache, &mut burst);
        bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
        bench.device.set_gone(true);
        bench.inject((0..40).map(|number| frame(to, 60, number)));
        bench.settle();
        if drop_port_first {
            bench.port = None;
            assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), 0);
        }
    }
}
