//! The link: events that alternate, and its speed.

use crate::{
    bench::{Bench, Setup},
    fixture::{Fixture, Options},
};
use vfwire_core::{
    event::PortEvent,
    port::{Link, Port},
};

/// The link states of `events`, which are about nothing else.
fn states(events: &[PortEvent]) -> Vec<bool> {
    let state = |event: &PortEvent| match event {
        PortEvent::LinkUp { .. } => true,
        PortEvent::LinkDown => false,
        other => panic!("an event about the link was expected, not {other:?}"),
    };
    events.iter().map(state).collect()
}

fn set_link<F: Fixture>(bench: &Bench<F>, up: bool) {
    bench.model(|model| F::set_link(model, up));
}

/// Up and down alternate, one event a change, and the port tells the state whenever it is asked.
pub fn up_and_down_alternate<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let mut seen = states(&bench.events());
    assert!(seen.len() <= 1, "{seen:?}");
    assert!(bench.port().link().up);
    for up in [false, true, false, true] {
        set_link(&bench, up);
        let now = states(&bench.events());
        assert_eq!(now, [up]);
        seen.extend(now);
        assert_eq!(bench.port().link().up, up);
        assert!(bench.events().is_empty(), "told once");
    }
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
    bench.assert_traffic_flows(60);
}

/// A change that was undone before anybody looked is told twice or not at all.
pub fn a_glitch_keeps_the_order<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    bench.events();
    for _ in 0..5 {
        set_link(&bench, false);
        set_link(&bench, true);
        let seen = states(&bench.events());
        assert!(seen.is_empty() || seen == [false, true], "{seen:?}");
        assert!(bench.port().link().up);
    }
    bench.assert_traffic_flows(60);
}

/// The speed is the link's, in the event and whenever it is asked for; zero where it is down.
pub fn the_speed_is_told<F: Fixture>() {
    for &mbps in F::TRAITS.link_mbps {
        let options = Options { link_mbps: mbps, ..F::TRAITS.options };
        let mut bench = Setup { options, ..Setup::new::<F>() }.start::<F>();
        bench.events();
        assert_eq!(bench.port().link(), Link { up: true, mbps });
        set_link(&bench, false);
        assert_eq!(bench.events(), [PortEvent::LinkDown]);
        assert_eq!(bench.port().link(), Link { up: false, mbps: 0 });
        set_link(&bench, true);
        assert_eq!(bench.events(), [PortEvent::LinkUp { mbps }]);
    }
}

/// A start while the link is down works, and the link is told when it comes.
pub fn a_start_without_a_link<F: Fixture>() {
    let mut bench = Setup::new::<F>().probe::<F>();
    set_link(&bench, false);
    bench.start();
    bench.events();
    assert!(!bench.port().link().up);
    set_link(&bench, true);
    assert_eq!(states(&bench.events()), [true]);
    bench.assert_traffic_flows(60);
}

/// Frames given to the device while the link is down leave later or not at all, but their buffers come back and nothing is stuck.
pub fn frames_sent_without_a_link<F: Fixture>() {
    let mut bench = Setup::new::<F>().rings(64).start::<F>();
    set_link(&bench, false);
    bench.events();
    let mut burst = bench.pool.burst(200);
    for number in 0..200 {
        bench.load(&mut burst, &crate::frames::frame(crate::frames::PEER, 60, number), vfwire_core::meta::TxOffload::default());
    }
    use vfwire_core::queue::TxQueue as _;
    for _ in 0..10 {
        bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
        bench.settle();
    }
    burst.clear(&mut bench.cache);
    set_link(&bench, true);
    bench.events();
    bench.settle();
    bench.assert_traffic_flows(60);
}
