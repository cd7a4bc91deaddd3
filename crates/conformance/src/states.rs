//! The life of a port, edge by edge: the diagram is in `vfwire_core::life`. The edges to `Failed` are in [`failures`](crate::failures).

use crate::{
    bench::{Bench, Setup},
    fixture::Fixture,
    frames::{PEER, frame},
};
use std::time::Duration;
use vfwire_core::{
    burst::Burst,
    bus::BusEvent,
    clock::{self, SimulatedTime},
    event::PortEvent,
    meta::TxOffload,
    port::{Intent, Port, PortConfig, PortState},
    queue::TxQueue,
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

/// Between two looks at a port whose device hangs.
const LOOK: Duration = Duration::from_millis(100);
const RING: u16 = 64;

/// A port whose transmit ring is full, and a burst that finds no room: the device moves only when it is stepped.
fn full<F: Fixture>() -> (Bench<F>, Burst, Duration) {
    let mut bench = Setup::new::<F>().rings(RING).start::<F>();
    bench.events();
    let mut burst = bench.pool.burst(200);
    let limit = PortConfig::new(&bench.pool).stall_limit.expect("a stall is noticed unless one does not want it");
    feed(&mut bench, &mut burst);
    while bench.tx[0].tx_burst(&mut bench.cache, &mut burst) > 0 {}
    (bench, burst, limit)
}

/// Fills the burst and sends.
fn feed<F: Fixture>(bench: &mut Bench<F>, burst: &mut Burst) {
    for number in 0..burst.room() {
        bench.load(burst, &frame(PEER, 60, number), TxOffload::default());
    }
    bench.tx[0].tx_burst(&mut bench.cache, burst);
}

/// What the port says within `time`, where at each look `now` happens.
fn within<F: Fixture>(bench: &mut Bench<F>, time: Duration, mut now: impl FnMut(&mut Bench<F>, Duration)) -> Option<PortEvent> {
    let mut passed = Duration::ZERO;
    while passed < time {
        now(bench, passed);
        if let Some(event) = bench.port().poll_control().expect("the device is there") {
            return Some(event);
        }
        clock::pause(LOOK);
        passed += LOOK;
    }
    None
}

/// A device that reports nothing as sent is reset after the stall limit and not before, and then frames pass.
pub fn a_device_that_hangs_is_reset<F: Fixture>() {
    let (mut bench, mut burst, limit) = full::<F>();
    let time = SimulatedTime::begin(|| {});
    assert_eq!(within(&mut bench, limit, |bench, _| feed(bench, &mut burst)), None);
    let event = within(&mut bench, 2 * LOOK, |bench, _| feed(bench, &mut burst));
    assert!(matches!(event, Some(PortEvent::ResetStarted { cause }) if cause.contains("stall limit")), "{event:?}");
    drop(time);
    burst.clear(&mut bench.cache);
    bench.await_recovered();
    let stats = bench.stats();
    assert_eq!((stats.resets, stats.tx[0].frames, stats.tx[0].lost_in_reset), (1, stats.tx[0].lost_in_reset, stats.tx[0].frames));
    assert!(stats.tx[0].full_polls > 0 && stats.tx[0].frames > 0);
    bench.assert_traffic_flows(60);
}

/// An application that has nothing to send, or does not poll, is not told that its device hangs.
pub fn a_queue_that_is_not_fed_does_not_stall<F: Fixture>() {
    let (mut bench, mut burst, limit) = full::<F>();
    let time = SimulatedTime::begin(|| {});
    assert_eq!(within(&mut bench, 10 * limit, |_, _| {}), None);
    drop(time);
    bench.flush(0, &mut burst);
    bench.assert_traffic_flows(60);
}

/// A device that lets frames through once in less than the limit, as one whose peer pauses it.
pub fn a_slow_device_does_not_stall<F: Fixture>() {
    let (mut bench, mut burst, limit) = full::<F>();
    let time = SimulatedTime::begin(|| {});
    let mut next = limit - 2 * LOOK;
    let event = within(&mut bench, 10 * limit, |bench, passed| {
        if passed >= next {
            next += limit - 2 * LOOK;
            bench.settle();
        }
        feed(bench, &mut burst);
    });
    assert_eq!(event, None);
    drop(time);
    bench.flush(0, &mut burst);
    bench.sent();
    bench.assert_traffic_flows(60);
}

/// While the link is down nothing leaves, and that is nobody's fault; the time begins when it is up.
pub fn nothing_stalls_without_a_link<F: Fixture>() {
    let (mut bench, mut burst, limit) = full::<F>();
    let time = SimulatedTime::begin(|| {});
    assert_eq!(within(&mut bench, limit - 2 * LOOK, |bench, _| feed(bench, &mut burst)), None);
    bench.model(|model| F::set_link(model, false));
    assert_eq!(bench.events(), [PortEvent::LinkDown]);
    assert_eq!(within(&mut bench, 10 * limit, |bench, _| feed(bench, &mut burst)), None);
    bench.model(|model| F::set_link(model, true));
    assert!(matches!(bench.events()[..], [PortEvent::LinkUp { .. }]));
    assert_eq!(within(&mut bench, limit - 2 * LOOK, |bench, _| feed(bench, &mut burst)), None);
    drop(time);
    bench.flush(0, &mut burst);
    bench.sent();
    bench.assert_traffic_flows(60);
}
