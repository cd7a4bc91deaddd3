//! Devices that are wrong, broken or evil: a clear error or a counted drop, and nothing else.

use super::{BOTH, not_started, plugged, promiscuous, refused, running, setup};
use vfwire_conformance::{
    bench::{Bench, Setup},
    frames::{PEER, frame},
};
use vfwire_core::{error::PortError, pool::PoolConfig, port::Port, queue::TxQueue};
use vfwire_sim::models::virtio_net::{Hostile, Layout, Place};
use vfwire_spec::virtio::features::Features;

#[test]
fn a_legacy_device_is_refused() {
    let text = refused(|options| options.withheld = Features::VERSION_1);
    assert!(text.contains("VERSION_1") && text.contains("legacy") && text.contains("disable-legacy=on"), "{text}");
}

#[test]
fn queues_of_impossible_sizes_are_errors() {
    for (size, packed, works) in
        [(0, false, false), (0, true, false), (1, false, false), (48, false, false), (48, true, true), (300, true, true)]
    {
        let change = |options: &mut vfwire_sim::VirtioNetOptions| (options.queue_size, options.packed) = (size, packed);
        if works {
            // A packed queue may have any size; the ring is a power of two.
            running(&setup(), change).assert_traffic_flows(60);
            continue;
        }
        let text = not_started(&setup(), change).to_string();
        assert!(text.contains(&format!("queue 0 of {size} descriptors")) && text.contains("32768"), "{text}");
    }
}

#[test]
fn a_ring_is_no_longer_than_the_device_takes() {
    for packed in BOTH {
        for size in [2, 8, 32] {
            let setup = Setup { pool: PoolConfig::new(400), ..setup() }.rings(512);
            let mut bench = running(&setup, |options| (options.queue_size, options.packed) = (size, packed));
            let to = bench.mac();
            for number in 0..40 {
                assert!(bench.gets(&frame(to, 60, number)), "queues of {size}");
                assert_eq!(bench.send_plain([frame(to, 60, number)]).len(), 1, "queues of {size}");
            }
        }
    }
}

#[test]
fn structures_that_lie_outside_their_bar_are_errors() {
    let text = refused(|options| options.layout = Layout::outside());
    assert!(text.contains("notification") && text.contains("BAR"), "{text}");
    // The device's whole configuration is needed where features have fields in it.
    let short = Place { len_bytes: 10, ..Layout::default().device };
    let text = refused(|options| (options.layout.device, options.mtu) = (short, Some(1500)));
    assert!(text.contains("10 bytes"), "{text}");
    let short = Place { len_bytes: 0x20, ..Layout::default().common };
    let text = refused(|options| options.layout.common = short);
    assert!(text.contains("common") && text.contains("56"), "{text}");
    // Two queues have their notifications inside, the others do not.
    let short = Place { len_bytes: 6, ..Layout::default().notify };
    let text = not_started(&setup(), |options| options.layout.notify = short).to_string();
    assert!(text.contains("outside its structure"), "{text}");
}

#[test]
fn a_configuration_that_never_settles_is_an_error() {
    let text = refused(|options| options.unsettled = true);
    assert!(text.contains("generation"), "{text}");
}

#[test]
fn a_control_queue_that_does_not_answer_is_an_error() {
    for packed in BOTH {
        let mut bench = plugged(&setup().intent(promiscuous()), |options| (options.silent, options.packed) = (true, packed));
        bench.probe().expect("there is no command yet");
        let config = setup().intent(promiscuous()).config(&bench.pool);
        match bench.try_start(&config) {
            Err(error @ PortError::Timeout { .. }) => assert!(error.to_string().contains("control command"), "{error}"),
            other => panic!("{other:?}"),
        }
        bench.assert_all_home();
        // The device comes to its senses, and the port with it.
        bench.model(|model| model.set_silent(false));
        bench.try_start(&config).expect("it answers now");
        bench.assert_traffic_flows(60);
        // Silent at run time: the request fails, the traffic goes on.
        bench.model(|model| model.set_silent(true));
        assert!(matches!(bench.port().apply(&setup().intent), Err(PortError::Timeout { .. })));
        bench.assert_traffic_flows(60);
        // A command after that one is not even sent.
        let again = bench.port().apply(&setup().intent).map(drop);
        assert!(matches!(again, Err(PortError::State(_))), "{again:?}");
    }
}

/// IDs that are out of range and IDs that come twice are counted, and never had.
#[test]
fn ids_that_nothing_is_out_under_are_not_believed() {
    for (hostile, packed) in [(Hostile::IdOutOfRange, false), (Hostile::IdOutOfRange, true), (Hostile::UsedTwice, false)] {
        let setup = Setup { pool: PoolConfig::new(300), ..setup() }.rings(64);
        let mut bench = running(&setup, |options| options.packed = packed);
        let to = bench.mac();
        bench.assert_traffic_flows(60);
        bench.model(|model| model.set_hostile(Some(hostile)));
        let got = bench.receive_of((0..20).map(|number| frame(to, 60, number)));
        let stats = bench.stats().rx[0];
        match hostile {
            // A buffer that was not named stays the device's until the reset.
            Hostile::IdOutOfRange => assert!(got.is_empty() && stats.errors >= 1, "{hostile:?}: {stats:?}"),
            _ => assert!(got.len() <= 20 && stats.errors >= 1, "{hostile:?}: {} frames, {stats:?}", got.len()),
        }
        restart(&mut bench);
        bench.assert_traffic_flows(60);
    }
}

/// The same of frames that were sent: their buffers stay out until the device is reset.
#[test]
fn sent_frames_that_are_given_back_by_a_wrong_id() {
    for (packed, in_order) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut bench = running(&setup().rings(64), |options| (options.packed, options.in_order) = (packed, in_order));
        bench.assert_traffic_flows(60);
        bench.model(|model| model.set_hostile(Some(Hostile::IdOutOfRange)));
        let before = bench.tx[0].in_flight();
        let frames: Vec<_> = (0..40).map(|number| frame(PEER, 60, number)).collect();
        assert_eq!(bench.send_plain(frames.clone()), frames);
        let stats = bench.stats().tx[0];
        assert!(stats.bad_completions >= 1, "packed {packed}, in order {in_order}: {stats:?}");
        assert_eq!((before, bench.tx[0].in_flight()), (0, 40), "packed {packed}, in order {in_order}");
        restart(&mut bench);
        assert_eq!(bench.stats().tx[0].lost_in_reset, 40);
        bench.assert_traffic_flows(60);
    }
}

/// A reset makes everything good again.
fn restart(bench: &mut Bench<super::Device>) {
    bench.model(|model| {
        model.set_hostile(None);
        model.set_needs_reset();
    });
    bench.await_recovered();
}
