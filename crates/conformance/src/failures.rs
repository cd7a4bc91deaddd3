//! The edges to and from `Failed`: a PF that answers no more when the port recovers, for longer than that may take.

use crate::{
    bench::{Bench, Setup},
    fixture::{Options, PfFixture},
    states::{begin_reset, state},
};
use std::time::Duration;
use vfwire_core::{
    bus::BusEvent,
    clock::{self, SimulatedTime},
    event::{PortEvent, Step},
    port::{Port, PortState},
};

const LIMIT: Duration = Duration::from_secs(3);

/// A port that has failed: its PF is silent.
fn failed<F: PfFixture>() -> (Bench<F>, SimulatedTime) {
    let mut bench =
        Setup { recovery_limit: LIMIT, options: Options { reply_polls: 0, ..F::TRAITS.options }, ..Setup::new::<F>() }.start::<F>();
    let host = bench.host.clone();
    let time = SimulatedTime::begin(move || {
        host.step();
    });
    bench.assert_traffic_flows(60);
    begin_reset(&mut bench);
    bench.model(|model| F::set_silent(model, true));
    bench.poll_queues_in_reset();
    let mut refusals = 0;
    let (step, cause) = loop {
        match bench.port().poll_control() {
            Ok(None) | Err(_) => {
                assert_eq!(state(&mut bench), PortState::Recovering);
                refusals += 1;
                clock::pause(Duration::from_millis(10));
                assert!(refusals < 100, "recovery goes on for ever");
            }
            Ok(Some(PortEvent::Failed { step, cause })) => break (step, cause),
            Ok(Some(other)) => panic!("{other:?}"),
        }
    };
    assert!(step == Step::Negotiate && cause.len() > 20, "{step} {cause}");
    assert_eq!(state(&mut bench), PortState::Failed);
    assert!(bench.events().is_empty(), "nothing follows");
    bench.assert_all_home();
    (bench, time)
}

/// `Failed` comes within its time, says why, and every buffer is home.
pub fn a_recovery_that_never_succeeds_fails<F: PfFixture>() {
    let (mut bench, _time) = failed::<F>();
    bench.poll_queues_in_reset();
    assert!(bench.port().apply(&vfwire_core::port::Intent::default()).is_err());
}

/// From `Failed` the application may stop and start, or just start.
pub fn a_failed_port_starts_again<F: PfFixture>() {
    for stops in [true, false] {
        let (mut bench, _time) = failed::<F>();
        bench.model(|model| F::set_silent(model, false));
        if stops {
            bench.port().stop().expect("nothing is to be let go of");
            assert_eq!(state(&mut bench), PortState::Stopped);
        }
        bench.start();
        assert_eq!(state(&mut bench), PortState::Running);
        bench.assert_traffic_flows(60);
    }
}

/// A start that fails leaves a failed port as safe as it was.
pub fn a_failed_port_fails_to_start<F: PfFixture>() {
    let (mut bench, _time) = failed::<F>();
    let config = Setup::new::<F>().config(&bench.pool);
    assert!(bench.try_start(&config).is_err());
    bench.assert_all_home();
    bench.model(|model| F::set_silent(model, false));
    bench.start();
    bench.assert_traffic_flows(60);
}

/// From `Failed` to `Removed`.
pub fn a_failed_port_is_removed<F: PfFixture>() {
    let (mut bench, _time) = failed::<F>();
    bench.device.raise(BusEvent::RemoveRequested);
    let events = bench.events();
    assert!(matches!(&events[..], [PortEvent::Removed { .. }]), "{events:?}");
    assert_eq!(state(&mut bench), PortState::Removed);
    bench.close();
    bench.assert_all_home();
}
