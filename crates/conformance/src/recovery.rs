//! The PF goes away and comes back, forgets, changes its mind: the port recovers by itself, with everything that had been asked for.

use crate::{
    bench::{Bench, Setup, assert_same},
    filters::{GROUP, OTHER_GROUP, refusal},
    fixture::{Options, PfFixture, Request},
    frames::{PEER, STRANGER, frame, tagged},
};
use vfwire_core::{
    error::PortError,
    event::PortEvent,
    meta::TxOffload,
    port::{Intent, Port, Setting},
    queue::{RxQueue, TxQueue},
};
use vfwire_spec::net::MacAddr;

const WISHED: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 0xbb]);

/// Something of every kind.
fn rich() -> Intent {
    Intent { mac: Some(WISHED), mtu_bytes: 4000, vlans: [100, 200].into(), multicast: [GROUP].into(), ..Intent::default() }
}

fn assert_rich_is_in_force<F: PfFixture>(bench: &mut Bench<F>) {
    assert_eq!((bench.mac(), bench.model(|model| F::mac(model))), (WISHED, Some(WISHED)));
    bench.assert_comes_back(&[frame(WISHED, 4014, 9)], 1, "a frame as long as the MTU allows");
    let plain = frame(WISHED, 60, 8);
    for (id, joined) in [(100, true), (200, true), (300, false)] {
        assert_eq!(bench.gets(&tagged(&plain, id)), joined, "VLAN {id}");
    }
    assert!(bench.gets(&frame(GROUP, 60, 1)), "multicast");
    assert!(!bench.gets(&frame(OTHER_GROUP, 60, 1)) && !bench.gets(&frame(STRANGER, 60, 1)), "nothing that was not asked for");
    assert!(bench.gets(&frame(MacAddr::BROADCAST, 60, 1)), "broadcast");
    bench.assert_traffic_flows(60);
}

fn pf_up<F: PfFixture>(bench: &Bench<F>, up: bool) {
    bench.model(|model| F::set_pf_up(model, up));
}

/// Takes the PF down and makes sure that the port says so, once.
fn take_pf_down<F: PfFixture>(bench: &mut Bench<F>) {
    bench.events();
    pf_up(bench, false);
    let events = bench.events();
    assert!(matches!(&events[..], [PortEvent::ResetStarted { cause }] if cause.len() > 5), "{events:?}");
}

/// PF down: `ResetStarted` once, bursts are empty and give their buffers back. PF up: `Recovered`, and everything is in force again.
pub fn the_pf_goes_down_and_comes_back<F: PfFixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.intent(rich()).start::<F>();
        assert!(bench.granted.refused.is_empty());
        assert_rich_is_in_force(&mut bench);
        for round in 1..=3 {
            take_pf_down(&mut bench);
            assert!(!bench.port().link().up, "frames cannot pass");
            bench.poll_queues_in_reset();
            bench.assert_all_home();
            for _ in 0..20 {
                bench.inject([frame(WISHED, 60, 1)]);
                bench.settle();
                bench.poll_queues_in_reset();
                assert!(bench.events().is_empty(), "nothing happens as long as the PF is down");
            }
            assert!(bench.sent().is_empty());
            pf_up(&bench, true);
            let granted = bench.await_recovered();
            assert!(granted.refused.is_empty());
            assert!(bench.events().iter().all(|event| matches!(event, PortEvent::LinkUp { .. })), "nothing but the link follows");
            assert_rich_is_in_force(&mut bench);
            assert_eq!(bench.stats().resets, round);
        }
    }
}

/// What `apply` changed is what recovery asks for, not what the start asked for.
pub fn recovery_asks_for_the_latest_intent<F: PfFixture>() {
    let mut bench = Setup::new::<F>().intent(Intent { vlans: [7].into(), mtu_bytes: 4000, ..Intent::default() }).start::<F>();
    assert!(bench.port().apply(&rich()).expect("the PF answers").refused.is_empty());
    take_pf_down(&mut bench);
    bench.poll_queues_in_reset();
    pf_up(&bench, true);
    bench.await_recovered();
    assert!(!bench.gets(&tagged(&frame(WISHED, 60, 1), 7)), "VLAN 7 was left");
    assert_rich_is_in_force(&mut bench);
}

/// A PF that was down and up again before anybody looked.
pub fn a_reset_that_nobody_saw<F: PfFixture>() {
    let mut bench = Setup::new::<F>().intent(rich()).start::<F>();
    for round in 0..3 {
        bench.events();
        pf_up(&bench, false);
        pf_up(&bench, true);
        if round == 1 {
            // A later message lies where the one about the reset lay.
            bench.model(|model| F::notify(model, true));
        }
        bench.await_recovered();
        assert_rich_is_in_force(&mut bench);
    }
    assert_eq!(bench.stats().resets, 3);
}

/// A PF that says that the function must be initialised again, whether it lets frames pass until then or not.
pub fn a_notice_to_begin_again<F: PfFixture>() {
    for forgets in [true, false] {
        let mut bench = Setup::new::<F>().intent(rich()).start::<F>();
        bench.events();
        bench.model(|model| {
            if forgets {
                F::forget(model);
            }
            F::notify(model, false);
        });
        let events = bench.events();
        assert!(matches!(events[..], [PortEvent::ResetStarted { .. }]), "{events:?}");
        // The rings are at rest: an access of the device to a buffer of theirs is a fault.
        for _ in 0..2 {
            bench.inject((0..20).map(|number| frame(WISHED, 60, number)));
            bench.settle();
            bench.poll_queues_in_reset();
        }
        bench.assert_all_home();
        bench.await_recovered();
        assert_rich_is_in_force(&mut bench);
    }
}

/// A PF that has forgotten, and says so only when it is asked for something.
pub fn a_pf_that_forgot_is_noticed_at_a_request<F: PfFixture>() {
    let mut bench = Setup::new::<F>().intent(Intent { mtu_bytes: 4000, ..Intent::default() }).start::<F>();
    bench.events();
    bench.model(F::forget);
    // Granted after recovery, or an error now; either way it is in force in the end.
    let _ = bench.port().apply(&rich());
    let granted = bench.await_recovered();
    assert!(granted.refused.is_empty());
    assert_rich_is_in_force(&mut bench);
}

/// A notice that demands nothing disturbs nothing.
pub fn a_notice_that_demands_nothing<F: PfFixture>() {
    let mut bench = Setup::new::<F>().intent(rich()).start::<F>();
    bench.events();
    for _ in 0..5 {
        bench.model(|model| F::notify(model, true));
        assert!(bench.events().is_empty());
    }
    assert_rich_is_in_force(&mut bench);
    assert_eq!(bench.stats().resets, 0);
}

/// A worker that does not poll delays recovery and cannot break it; one that drops its queue does not delay it.
pub fn recovery_waits_for_its_workers<F: PfFixture>() {
    let mut bench = Setup { queue_pairs: F::TRAITS.options.queue_pairs, ..Setup::new::<F>() }.start::<F>();
    take_pf_down(&mut bench);
    pf_up(&bench, true);
    for _ in 0..20 {
        bench.settle();
        assert!(bench.events().is_empty(), "no queue has come to rest");
    }
    bench.poll_queues_in_reset();
    bench.await_recovered();
    bench.assert_traffic_flows(60);

    take_pf_down(&mut bench);
    bench.rx.truncate(1);
    bench.tx.truncate(1);
    pf_up(&bench, true);
    bench.await_recovered();
    bench.assert_traffic_flows(60);
}

/// A queue that is dropped before, in and after a reset leaves no buffer behind.
pub fn queues_dropped_around_a_reset<F: PfFixture>() {
    for when in 0..3 {
        let mut bench = Setup { queue_pairs: F::TRAITS.options.queue_pairs, ..Setup::new::<F>() }.start::<F>();
        let drop_second = |bench: &mut Bench<F>, now: i32| {
            if now == when {
                bench.rx.truncate(1);
                bench.tx.truncate(1);
            }
        };
        drop_second(&mut bench, 0);
        take_pf_down(&mut bench);
        drop_second(&mut bench, 1);
        bench.poll_queues_in_reset();
        pf_up(&bench, true);
        bench.await_recovered();
        drop_second(&mut bench, 2);
        bench.assert_traffic_flows(60);
    }
}

/// Frames that the device had when it was reset are counted as lost, and their buffers come back.
pub fn what_a_reset_loses_is_counted<F: PfFixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let (to, mut burst) = (bench.mac(), bench.pool.burst(32));
    bench.assert_traffic_flows(60);
    for number in 0..5 {
        bench.load(&mut burst, &frame(PEER, 60, number), TxOffload::default());
    }
    assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), 5);
    take_pf_down(&mut bench);
    bench.inject([frame(to, 60, 1)]);
    bench.load(&mut burst, &frame(PEER, 60, 6), TxOffload::default());
    assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut bench.pool.burst(8)), 0);
    assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), 0);
    assert_eq!(burst.len(), 1, "what was not given to the device is the worker's");
    assert_eq!(bench.stats().tx[0].lost_in_reset, 5);
    pf_up(&bench, true);
    bench.await_recovered();
    bench.sent();
    bench.flush(0, &mut burst);
    assert_same(&bench.sent(), &[frame(PEER, 60, 6)], "what a worker kept leaves after recovery");
    let stats = bench.stats().tx[0];
    assert_eq!((stats.frames, stats.lost_in_reset), (26, 5));
    // What the device has reported was sent, even where nobody has looked at the report yet.
    bench.load(&mut burst, &frame(PEER, 60, 7), TxOffload::default());
    assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), 1);
    bench.settle();
    take_pf_down(&mut bench);
    bench.poll_queues_in_reset();
    assert_eq!(bench.stats().tx[0].lost_in_reset, 5);
}

/// Frames that had arrived before the reset and were not fetched are delivered or counted, never silently gone.
pub fn frames_received_before_a_reset_are_accounted<F: PfFixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let to = bench.mac();
    bench.inject((0..10).map(|number| frame(to, 60, number)));
    bench.settle();
    take_pf_down(&mut bench);
    let delivered = bench.rx[0].rx_burst(&mut bench.cache, &mut bench.pool.burst(32)) as u64;
    bench.poll_queues_in_reset();
    pf_up(&bench, true);
    bench.await_recovered();
    let stats = bench.stats().rx[0];
    assert_eq!((stats.frames, stats.frames + stats.lost_in_reset), (delivered, 10), "{stats:?}");
    bench.assert_traffic_flows(60);
}

/// The random address stays the same over resets, and is set again.
pub fn the_random_address_survives<F: PfFixture>() {
    let options = Options { assigned_mac: None, ..F::TRAITS.options };
    let mut bench = Setup { options, ..Setup::new::<F>() }.start::<F>();
    let mac = bench.mac();
    for _ in 0..3 {
        take_pf_down(&mut bench);
        bench.poll_queues_in_reset();
        pf_up(&bench, true);
        bench.await_recovered();
        assert_eq!((bench.mac(), bench.model(|model| F::mac(model))), (mac, Some(mac)));
        bench.assert_traffic_flows(60);
    }
}

/// Another address that the PF assigned meanwhile, or took away, is learnt when the port recovers; a wish that it now refuses is reported.
pub fn an_address_assigned_meanwhile_is_learnt<F: PfFixture>() {
    const ASSIGNED: [MacAddr; 2] = [MacAddr([0x02, 0, 0x5e, 0, 0x53, 0xcc]), MacAddr([0x02, 0, 0x5e, 0, 0x53, 0xdd])];
    for wish in [None, Some(WISHED)] {
        let mut bench = Setup::new::<F>().intent(Intent { mac: wish, ..Intent::default() }).start::<F>();
        let own = bench.mac();
        for assigned in [Some(ASSIGNED[0]), Some(ASSIGNED[1]), None] {
            let before = bench.mac();
            bench.model(|model| F::assign_mac(model, assigned));
            take_pf_down(&mut bench);
            bench.poll_queues_in_reset();
            pf_up(&bench, true);
            let granted = bench.await_recovered();
            assert_eq!(refusal(&granted, Setting::Mac(WISHED)), wish.is_some() && assigned.is_some(), "{granted:?}");
            let mac = assigned.unwrap_or(own);
            assert_eq!(granted.new_mac, (mac != before).then_some(mac), "an address that changed is told");
            assert_eq!((bench.mac(), bench.model(|model| F::mac(model))), (mac, Some(mac)));
            bench.assert_traffic_flows(60);
        }
    }
}

/// What the PF refuses after a reset and granted before is reported with the recovery.
pub fn recovery_reports_what_is_refused_now<F: PfFixture>() {
    let mut bench = Setup::new::<F>().intent(Intent { vlans: [100].into(), ..Intent::default() }).start::<F>();
    assert!(bench.granted.refused.is_empty());
    bench.model(|model| F::refuse(model, Request::Vlan));
    take_pf_down(&mut bench);
    bench.poll_queues_in_reset();
    pf_up(&bench, true);
    let granted = bench.await_recovered();
    assert!(refusal(&granted, Setting::Vlan(100)));
    bench.assert_traffic_flows(60);
}

/// A PF that comes back and says nothing yet: an error or patience, and recovery when it speaks.
pub fn a_pf_that_is_slow_to_come_back<F: PfFixture>() {
    let mut bench = Setup::new::<F>().intent(rich()).start::<F>();
    take_pf_down(&mut bench);
    bench.poll_queues_in_reset();
    bench.model(|model| {
        F::set_silent(model, true);
        F::set_pf_up(model, true);
    });
    for _ in 0..2 {
        match bench.port().poll_control() {
            Ok(None) | Err(PortError::Timeout { .. }) => {}
            other => panic!("{other:?}"),
        }
        bench.poll_queues_in_reset();
    }
    bench.model(|model| F::set_silent(model, false));
    bench.await_recovered();
    assert_rich_is_in_force(&mut bench);
}

/// Down again before the recovery was through.
pub fn a_second_reset_during_recovery<F: PfFixture>() {
    let mut bench = Setup::new::<F>().intent(rich()).start::<F>();
    take_pf_down(&mut bench);
    bench.poll_queues_in_reset();
    for _ in 0..4 {
        pf_up(&bench, true);
        pf_up(&bench, false);
        bench.poll_queues_in_reset();
        assert!(bench.port().poll_control().map_or(true, |event| event.is_none()), "the PF is down");
    }
    pf_up(&bench, true);
    bench.await_recovered();
    assert_rich_is_in_force(&mut bench);
}

/// A port may be stopped, dropped or asked back while its PF is down.
pub fn the_end_during_a_reset<F: PfFixture>() {
    for end in 0..4 {
        let mut bench = Setup::new::<F>().start::<F>();
        take_pf_down(&mut bench);
        if end % 2 == 0 {
            bench.poll_queues_in_reset();
        }
        match end {
            0 | 1 => {
                bench.port().stop().expect("a PF that is down is no obstacle");
                bench.poll_queues_in_reset();
                bench.assert_all_home();
                pf_up(&bench, true);
                bench.start();
                bench.assert_traffic_flows(60);
            }
            2 => bench.close(),
            _ => {
                bench.device.raise(vfwire_core::bus::BusEvent::RemoveRequested);
                assert!(matches!(bench.events()[..], [PortEvent::Removed { .. }]));
            }
        }
    }
}
