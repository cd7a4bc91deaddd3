//! Resets that the device asks for, or that happen behind the driver's back: everything is asked for again.

use super::{BOTH, Device, plugged, remedy, running, setup};
use vfwire_conformance::{
    bench::{Bench, Setup},
    frames::{PEER, STRANGER, frame, tagged},
};
use vfwire_core::{
    event::PortEvent,
    meta::TxOffload,
    port::{Intent, Port, PortState, Rss, Setting},
    queue::TxQueue,
};
use vfwire_sim::models::virtio_net::VirtioNetModel;
use vfwire_spec::{net::MacAddr, virtio::control};

const WISHED: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 0xbb]);
const GROUP: MacAddr = MacAddr([0x01, 0, 0x5e, 0, 0x53, 0x10]);

/// Something of every kind.
fn rich() -> Intent {
    Intent {
        mac: Some(WISHED),
        mtu_bytes: 4000,
        vlans: [100].into(),
        multicast: [GROUP].into(),
        rss: Some(Rss { key: vec![0x5a; 40], table: vec![1, 0] }),
        ..Intent::default()
    }
}

fn rich_setup() -> Setup {
    Setup { queue_pairs: 2, ..setup() }.intent(rich())
}

fn assert_rich_is_in_force(bench: &mut Bench<Device>) {
    assert_eq!((bench.mac(), bench.model(|model| model.mac())), (WISHED, Some(WISHED)));
    assert!(bench.model(|model| !model.is_promiscuous() && model.pairs() == 2));
    assert_eq!(Some(bench.port().rss().expect("it was set")), rich().rss);
    let arrives = |bench: &mut Bench<Device>, frame: Vec<u8>| {
        bench.inject([frame]);
        [0, 1].iter().map(|queue| bench.receive(*queue).len()).sum::<usize>() == 1
    };
    let plain = frame(WISHED, 60, 8);
    assert!(arrives(bench, frame(WISHED, 4014, 9)), "a frame as long as the MTU allows");
    assert!(arrives(bench, tagged(&plain, 100)) && !arrives(bench, tagged(&plain, 101)), "VLANs");
    assert!(arrives(bench, frame(GROUP, 60, 1)) && !arrives(bench, frame(STRANGER, 60, 1)), "addresses");
    assert_eq!(bench.send_plain([plain.clone()]), [plain]);
}

fn reset_with(change: impl Fn(&mut VirtioNetModel)) {
    for packed in BOTH {
        let mut bench = running(&rich_setup(), |options| (options.packed, options.rss) = (packed, true));
        assert!(bench.granted.missing().next().is_none(), "{:?}", bench.granted);
        assert_rich_is_in_force(&mut bench);
        for round in 1..=3 {
            bench.events();
            bench.model(&change);
            let events = bench.events();
            assert!(matches!(&events[..], [PortEvent::ResetStarted { cause }] if cause.contains("reset")), "{events:?}");
            assert_eq!(bench.port().state(), PortState::Resetting);
            bench.poll_queues_in_reset();
            bench.assert_all_home();
            let granted = bench.await_recovered();
            assert!(granted.missing().next().is_none(), "{granted:?}");
            assert_rich_is_in_force(&mut bench);
            assert_eq!(bench.stats().resets, round);
        }
    }
}

#[test]
fn a_device_that_needs_a_reset_gets_it() {
    reset_with(VirtioNetModel::set_needs_reset);
}

#[test]
fn a_device_that_was_reset_behind_our_back_is_set_up_again() {
    reset_with(VirtioNetModel::restart);
}

#[test]
fn recovery_asks_for_the_latest_intent_and_reports_what_is_refused_now() {
    let mut bench = running(&rich_setup(), |options| options.rss = true);
    bench.port().apply(&Intent { vlans: [7].into(), ..rich() }).expect("it answers");
    bench.model(|model| {
        model.refuse(control::mac::CLASS, control::mac::ADDR_SET, true);
        model.restart();
    });
    let granted = bench.await_recovered();
    assert!(remedy(&granted.refused, Setting::Mac(WISHED)).is_some(), "{granted:?}");
    assert!(granted.applied.contains(&Setting::Vlan(7)) && !granted.applied.contains(&Setting::Vlan(100)), "{granted:?}");
    let to = bench.mac();
    assert_ne!(to, WISHED);
    bench.inject([tagged(&frame(to, 60, 1), 7), tagged(&frame(to, 60, 2), 100), frame(to, 60, 3)]);
    assert_eq!(bench.receive(0).len() + bench.receive(1).len(), 2);
}

/// A command that meets a device which was reset is answered by a recovery, not by an error for ever.
#[test]
fn a_reset_is_noticed_at_a_command() {
    let mut bench = running(&rich_setup(), |options| options.rss = true);
    bench.events();
    bench.model(VirtioNetModel::restart);
    let text = bench.port().apply(&Intent { vlans: [7].into(), ..rich() }).expect_err("it was reset").to_string();
    assert!(text.contains("reset"), "{text}");
    bench.await_recovered();
    let to = bench.mac();
    bench.inject([tagged(&frame(to, 60, 1), 7)]);
    assert_eq!(bench.receive(0).len() + bench.receive(1).len(), 1, "what was asked for then is in force now");
}

/// What a reset loses is counted, both ways.
#[test]
fn what_a_reset_loses_is_counted() {
    for packed in BOTH {
        let mut bench = running(&setup(), |options| options.packed = packed);
        bench.events();
        let to = bench.mac();
        bench.inject((0..7).map(|number| frame(to, 60, number)));
        bench.settle();
        let mut burst = bench.pool.burst(8);
        for number in 0..5 {
            bench.load(&mut burst, &frame(PEER, 60, number), TxOffload::default());
        }
        assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), 5);
        bench.model(VirtioNetModel::restart);
        bench.await_recovered();
        let stats = bench.stats();
        assert_eq!((stats.rx[0].lost_in_reset, stats.tx[0].lost_in_reset), (7, 5), "packed {packed}");
        bench.assert_traffic_flows(60);
    }
}

/// A control queue of another life does not stay stuck.
#[test]
fn a_device_that_falls_silent_works_after_a_reset() {
    let mut bench = plugged(&setup(), |_| {});
    bench.probe().expect("it answers");
    bench.try_start(&setup().config(&bench.pool)).expect("it answers");
    bench.model(|model| model.set_silent(true));
    assert!(bench.port().apply(&rich_vlan()).is_err());
    bench.model(|model| {
        model.set_silent(false);
        model.set_needs_reset();
    });
    let granted = bench.await_recovered();
    assert!(granted.applied.contains(&Setting::Vlan(9)), "{granted:?}");
    assert!(bench.port().apply(&Intent::default()).expect("it answers").missing().next().is_none());
}

fn rich_vlan() -> Intent {
    Intent { vlans: [9].into(), ..Intent::default() }
}
