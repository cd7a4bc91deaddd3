//! The life of a port, edge by edge: the diagram is in `vfwire_core::life`. The edges to `Failed` are in [`failures`](crate::failures).

use crate::{
    bench::{Bench, Setup},
    fixture::Fixture,
};
use vfwire_core::{
    bus::BusEvent,
    event::PortEvent,
    port::{Intent, Port, PortState},
};

pub(crate) fn state<F: Fixture>(bench: &mut Bench<F>) -> PortState {
    bench.port().state()
}

/// Has the bus report an error, so that the port resets its device.
pub(crate) fn begin_reset<F: Fixture>(bench: &mut Bench<F>) {
    bench.events();
    bench.device.raise(BusEvent::Error);
    let event = bench.port().poll_control().expect("the device is there");
    assert!(matches!(event, Some(PortEvent::ResetStarted { .. })), "{event:?}");
    assert_eq!(state(bench), PortState::Resetting);
}

/// Stopped, Running, Stopped, and again.
pub fn start_and_stop<F: Fixture>() {
    let setup = Setup::new::<F>();
    let mut bench = setup.probe::<F>();
    for _ in 0..3 {
        assert_eq!(state(&mut bench), PortState::Stopped);
        bench.start();
        assert_eq!(state(&mut bench), PortState::Running);
        bench.assert_traffic_flows(60);
        bench.port().stop().expect("it lets go");
        assert_eq!(state(&mut bench), PortState::Stopped);
        bench.port().stop().expect("what is stopped may be stopped");
        bench.poll_queues_in_reset();
    }
}

/// Running, Resetting, Recovering, Running: and what was granted is said, setting by setting.
pub fn reset_and_recover<F: Fixture>() {
    let intent = Intent { vlans: [7].into(), ..Intent::default() };
    let mut bench = Setup::new::<F>().intent(intent.clone()).start::<F>();
    for round in 1..=3 {
        begin_reset(&mut bench);
        let granted = bench.await_recovered();
        assert_eq!(state(&mut bench), PortState::Running);
        let missing = granted.missing().count();
        assert_eq!(granted.applied.len() + missing, intent.settings().len(), "{granted:?}");
        bench.assert_traffic_flows(60);
        assert_eq!(bench.stats().resets, round);
    }
}

/// Nobody polls the queues: the port stays in `Resetting`, and a stop ends that.
pub fn stop_in_a_reset<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    begin_reset(&mut bench);
    assert!(bench.events().is_empty());
    assert_eq!(state(&mut bench), PortState::Resetting);
    bench.port().stop().expect("it lets go");
    assert_eq!(state(&mut bench), PortState::Stopped);
    bench.poll_queues_in_reset();
    bench.start();
    bench.assert_traffic_flows(60);
}

/// Another reset while the port recovers from the first.
pub fn reset_in_a_reset<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    begin_reset(&mut bench);
    bench.device.raise(BusEvent::Error);
    bench.await_recovered();
    bench.await_quiet();
    assert_eq!(state(&mut bench), PortState::Running);
    bench.assert_traffic_flows(60);
}

/// From every state to `Removed`, which is for ever.
pub fn removed_from_every_state<F: Fixture>() {
    let before: [fn(&mut Bench<F>); 3] = [|_| {}, |bench| bench.port().stop().expect("it lets go"), begin_reset];
    for prepare in before {
        let mut bench = Setup::new::<F>().start::<F>();
        prepare(&mut bench);
        bench.events();
        bench.device.raise(BusEvent::RemoveRequested);
        let events = bench.events();
        assert!(matches!(&events[..], [PortEvent::Removed { .. }]), "{events:?}");
        assert_eq!(state(&mut bench), PortState::Removed);
        let _ = bench.port().stop();
        assert_eq!(state(&mut bench), PortState::Removed);
        bench.close();
        bench.assert_all_home();
    }
}
