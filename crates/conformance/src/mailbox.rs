//! The conversation with the PF: slow, silent, refusing, interrupted.

use crate::{
    bench::Setup,
    filters::{GROUP, refusal, vlans},
    fixture::{Options, PfFixture, Request},
    frames::{frame, tagged},
};
use std::time::Duration;
use vfwire_core::{
    error::PortError,
    port::{Intent, Port, Setting},
};

/// The longest that a driver may wait for a PF in one call.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

fn assert_is_timeout<T>(result: Result<T, PortError>) {
    match result.map(drop) {
        Err(PortError::Timeout { waited, remedy, .. }) => {
            assert!(waited <= LONGEST_WAIT, "a limit of {waited:?}");
            assert!(remedy.contains("PF"), "the remedy names the PF: {remedy}");
        }
        other => panic!("{other:?}"),
    }
}

/// A PF that does not answer at probe: a time-out that says what to do, and the function is free again.
pub fn a_silent_pf_at_probe<F: PfFixture>() {
    let options = Options { silent: true, ..F::TRAITS.options };
    let mut bench = Setup { options, ..Setup::new::<F>() }.plug::<F>();
    assert_is_timeout(bench.probe());
    assert!(!bench.device.is_open());
    bench.model(|model| F::set_silent(model, false));
    bench.probe().expect("it answers now");
    bench.start();
    bench.assert_traffic_flows(60);
}

/// A PF that is down at probe.
pub fn a_pf_that_is_down_at_probe<F: PfFixture>() {
    let mut bench = Setup::new::<F>().plug::<F>();
    bench.model(|model| F::set_pf_up(model, false));
    assert_is_timeout(bench.probe());
    bench.model(|model| F::set_pf_up(model, true));
    bench.probe().expect("it is up now");
    bench.start();
    bench.assert_traffic_flows(60);
}

/// A PF that falls silent: the start fails and can be made again; a running port says so at `apply` and goes on.
pub fn a_pf_that_falls_silent<F: PfFixture>() {
    let setup = Setup::new::<F>();
    let mut bench = setup.probe::<F>();
    bench.model(|model| F::set_silent(model, true));
    let config = setup.config(&bench.pool);
    assert_is_timeout(bench.try_start(&config));
    bench.assert_all_home();
    bench.model(|model| F::set_silent(model, false));
    bench.start();
    bench.model(|model| F::set_silent(model, true));
    assert_is_timeout(bench.port().apply(&vlans(&[100])));
    bench.assert_traffic_flows(60);
    bench.model(|model| F::set_silent(model, false));
    bench.await_quiet();
    assert!(bench.port().apply(&vlans(&[100])).expect("it answers again").refused.is_empty());
    let to = bench.mac();
    assert!(bench.gets(&tagged(&frame(to, 60, 1), 100)));
}

/// Slow answers are waited for.
pub fn a_slow_pf_is_waited_for<F: PfFixture>() {
    for reply_polls in [0, 1, 7, 20] {
        let options = Options { reply_polls, ..F::TRAITS.options };
        let intent = Intent { multicast: [GROUP].into(), ..vlans(&[1, 2, 3]) };
        let mut bench = Setup { options, ..Setup::new::<F>() }.intent(intent).start::<F>();
        assert!(bench.granted.refused.is_empty());
        let to = bench.mac();
        assert!(bench.gets(&tagged(&frame(to, 60, 1), 2)) && bench.gets(&frame(GROUP, 60, 1)));
        bench.assert_traffic_flows(60);
    }
}

/// Each request that the PF refuses is reported by its name, with what to do; the port works without it.
pub fn each_refusal_is_reported<F: PfFixture>() {
    let everything = Intent { multicast: [GROUP].into(), all_multicast: true, ..vlans(&[100]) };
    let cases =
        [(Request::Vlan, Setting::Vlan(100)), (Request::Multicast, Setting::Multicast), (Request::Promiscuous, Setting::AllMulticast)];
    for (request, setting) in cases {
        let mut bench = Setup::for_all_multicast::<F>().intent(everything.clone()).probe::<F>();
        bench.model(|model| F::refuse(model, request));
        bench.start();
        assert!(refusal(&bench.granted, setting), "{request:?}: {:?}", bench.granted);
        assert_eq!(bench.granted.refused.len(), 1, "nothing else is refused: {:?}", bench.granted);
        bench.assert_traffic_flows(60);
        let again = bench.port().apply(&everything).expect("it answers");
        assert!(refusal(&again, setting), "and again when asked again: {again:?}");
    }
}

/// A PF that refuses the frame length: reported, and ordinary frames pass.
pub fn a_refused_mtu_is_reported<F: PfFixture>() {
    let mut bench = Setup::new::<F>().intent(Intent { mtu_bytes: 9000, ..Intent::default() }).probe::<F>();
    bench.model(|model| F::refuse(model, Request::Mtu));
    bench.start();
    assert!(refusal(&bench.granted, Setting::Mtu(9000)), "{:?}", bench.granted);
    bench.assert_traffic_flows(1514);
}

/// A PF that gives no address and refuses ours leaves none to work with: an error that says what to do, or a refusal.
pub fn a_port_without_any_address<F: PfFixture>() {
    let options = Options { assigned_mac: None, ..F::TRAITS.options };
    let setup = Setup { options, ..Setup::new::<F>() };
    let mut bench = setup.probe::<F>();
    bench.model(|model| F::refuse(model, Request::Mac));
    let config = setup.config(&bench.pool);
    match bench.try_start(&config) {
        Err(PortError::Refused { remedy, .. }) => assert!(remedy.len() > 10),
        other => panic!("{other:?}"),
    }
    bench.assert_all_home();
}

/// The PF speaks in the middle of a request: the request is answered all the same.
pub fn a_notice_in_the_middle_of_a_request<F: PfFixture>() {
    let options = Options { reply_polls: 3, ..F::TRAITS.options };
    let mut bench = Setup { options, ..Setup::new::<F>() }.start::<F>();
    bench.events();
    for id in 1..20 {
        bench.model(|model| F::notify(model, true));
        let granted = bench.port().apply(&vlans(&[id])).expect("the PF answers");
        assert!(granted.refused.is_empty());
        let to = bench.mac();
        assert!(bench.gets(&tagged(&frame(to, 60, 1), id)), "VLAN {id}");
    }
    assert_eq!(bench.stats().resets, 0);
}

/// The PF demands a new start in the middle of a request: the port begins again, and what was asked for is in force in the end.
pub fn a_new_start_demanded_during_a_request<F: PfFixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    bench.events();
    bench.model(|model| {
        F::forget(model);
        F::notify(model, false);
    });
    let _ = bench.port().apply(&vlans(&[100]));
    bench.await_recovered();
    let to = bench.mac();
    assert!(bench.gets(&tagged(&frame(to, 60, 1), 100)));
    bench.assert_traffic_flows(60);
}
