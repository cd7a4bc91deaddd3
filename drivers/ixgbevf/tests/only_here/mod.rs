//! What only these controllers have: versions of the messages, modes that are granted in part, an MTU that is shared, RSS tables, a link
//! that the administrator holds down, contexts, segmentation.

use super::{Controller, Ixgbevf, Of82599, OfX540, OfX550};
use vfwire_conformance::{
    bench::{Bench, Setup},
    frames::{Datagram, PEER, frame},
};
use vfwire_core::{
    error::PortError,
    event::PortEvent,
    meta::{L4, TxOffload},
    port::{Intent, Port, Refusal, Setting},
};
use vfwire_sim::models::ixgbevf::{IxgbevfModel, IxgbevfOptions};
use vfwire_spec::{
    ixgbevf::control::{ApiVersion, XcastMode},
    net::MacAddr,
};

/// A bench with a function as `change` makes it; no driver has taken it.
fn plugged<C: Controller>(setup: &Setup, change: impl FnOnce(&mut IxgbevfOptions)) -> Bench<Ixgbevf<C>> {
    let mut options = IxgbevfOptions { device: C::FAMILY, spoofchk: false, ..IxgbevfOptions::default() };
    change(&mut options);
    let mut bench = setup.plug();
    bench.device = bench.host.add("sim:only-here", IxgbevfModel::new(options), bench.wire.clone());
    bench
}

/// The same, its port running.
fn running<C: Controller>(intent: Intent, change: impl FnOnce(&mut IxgbevfOptions)) -> Bench<Ixgbevf<C>> {
    let mut bench = plugged(&setup::<C>().intent(intent), change);
    bench.probe().expect("the PF answers");
    bench.start();
    bench
}

fn setup<C: Controller>() -> Setup {
    Setup::new::<Ixgbevf<C>>()
}

fn everything() -> Intent {
    Intent { promiscuous: true, all_multicast: true, ..Intent::default() }
}

fn remedy(refused: &[Refusal], setting: Setting) -> Option<&str> {
    refused.iter().find(|refusal| refusal.setting == setting).map(|refusal| refusal.remedy.as_str())
}

const VERSIONS: [ApiVersion; 6] =
    [ApiVersion::V1_0, ApiVersion::V1_1, ApiVersion::V1_2, ApiVersion::V1_3, ApiVersion::V1_4, ApiVersion::V1_6];

#[test]
fn the_highest_common_version_is_spoken() {
    for highest in VERSIONS {
        let mut bench = running::<OfX540>(everything(), |options| {
            (options.api, options.trusted, options.pf_promiscuous) = (highest, true, true);
        });
        assert_eq!(bench.model(|model| model.api()), highest);
        assert_eq!(bench.info().max_queue_pairs, if highest.has_queues() { 4 } else { 1 });
        let refused = &bench.granted.refused;
        assert_eq!(remedy(refused, Setting::Promiscuous).is_some(), !highest.has_promiscuous(), "{highest}");
        assert_eq!(remedy(refused, Setting::AllMulticast).is_some(), !highest.has_xcast(), "{highest}");
        assert!(refused.iter().all(|refusal| refusal.remedy.contains("too old")), "{refused:?}");
        bench.assert_traffic_flows(60);
        // After a reset of the PF, too.
        bench.model(|model| model.reset_pf(1));
        bench.await_recovered();
        assert_eq!(bench.model(|model| model.api()), highest);
    }
}

#[test]
fn the_advice_is_true_for_the_device() {
    let advice = |trusted: bool, pf_promiscuous: bool| {
        let change = |options: &mut IxgbevfOptions| (options.trusted, options.pf_promiscuous) = (trusted, pf_promiscuous);
        let bench = running::<OfX540>(everything(), change);
        remedy(&bench.granted.refused, Setting::Promiscuous).map(str::to_owned)
    };
    assert_eq!(advice(true, true), None);
    let (untrusted, pf_is_not) = (advice(false, true).unwrap(), advice(true, false).unwrap());
    assert!(untrusted.contains("trust on"), "{untrusted}");
    assert!(pf_is_not.contains("promisc on") && !pf_is_not.contains("trust"), "{pf_is_not}");
    let bench = running::<Of82599>(everything(), |options| options.trusted = true);
    assert_eq!(bench.granted.refused.len(), 1, "all multicast frames are granted: {:?}", bench.granted);
    assert!(bench.granted.refused[0].remedy.contains("no promiscuous mode"), "{:?}", bench.granted);
    assert_eq!(bench.model(|model| model.xcast_mode()), XcastMode::ALLMULTI);
}

#[test]
fn modes_are_not_inherited_and_broadcast_is_kept() {
    let mut bench = running::<Of82599>(everything(), |options| (options.trusted, options.none_keeps_broadcast) = (true, false));
    assert_eq!(bench.model(|model| model.xcast_mode()), XcastMode::ALLMULTI);
    bench.port().stop().unwrap();
    bench.poll_queues_in_reset();
    let config = setup::<Of82599>().config(&bench.pool);
    bench.try_start(&config).unwrap();
    assert_eq!(bench.model(|model| model.xcast_mode()), XcastMode::MULTI);
    assert!(bench.gets(&frame(MacAddr::BROADCAST, 60, 1)));
}

#[test]
fn the_82599_has_one_mtu_for_all() {
    let jumbo = Intent { mtu_bytes: 9000, ..Intent::default() };
    // An ordinary PF: the ordinary MTU is in force, and the refusal has not left the VF deaf.
    let mut bench = running::<Of82599>(jumbo.clone(), |_| {});
    assert!(remedy(&bench.granted.refused, Setting::Mtu(9000)).unwrap().contains("ip link set PF mtu 9000"));
    assert!(bench.model(|model| model.receives()));
    bench.assert_traffic_flows(1514);
    // It is said again, and not asked again.
    let again = bench.port().apply(&jumbo).unwrap();
    assert!(remedy(&again.refused, Setting::Mtu(9000)).is_some() && bench.model(|model| model.receives()));
    // A PF with long frames receives for a VF that has said its MTU, whichever.
    for mtu_bytes in [1500, 9000] {
        let mut bench = running::<Of82599>(Intent { mtu_bytes, ..Intent::default() }, |options| options.pf_mtu_bytes = 9000);
        assert!(bench.granted.refused.is_empty());
        bench.assert_traffic_flows(usize::from(mtu_bytes) + 14);
    }
    // The others have an MTU of their own.
    let mut bench = running::<OfX540>(jumbo, |_| {});
    assert!(bench.granted.refused.is_empty());
    bench.assert_traffic_flows(9014);
}

#[test]
fn a_pf_that_leaves_its_vfs_deaf_is_an_error() {
    let mut bench = plugged::<Of82599>(&setup::<Of82599>(), |options| (options.api, options.pf_mtu_bytes) = (ApiVersion::V1_0, 9000));
    bench.probe().unwrap();
    let config = setup::<Of82599>().config(&bench.pool);
    match bench.try_start(&config) {
        Err(error @ PortError::Refused { .. }) => assert!(error.to_string().contains("ip link set PF mtu 1500"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn queue_pairs_are_those_that_the_pf_gives() {
    for (given, most) in [(1, 1), (2, 2), (4, 4), (8, 4)] {
        let mut bench = running::<Of82599>(Intent::default(), |options| options.queues = given);
        assert_eq!(bench.info().max_queue_pairs, most);
        let refused = |bench: &mut Bench<Ixgbevf<Of82599>>, queue_pairs| {
            let config = Setup { queue_pairs, ..setup::<Of82599>() }.config(&bench.pool);
            bench.port().stop().unwrap();
            bench.poll_queues_in_reset();
            bench.try_start(&config).expect_err("more than there are").to_string()
        };
        let text = refused(&mut bench, most + 1);
        assert!(text.contains(&format!("1 to {most}")) && text.contains("31 VFs"), "{text}");
        if most == 4 {
            let text = refused(&mut bench, 3);
            assert!(text.contains("1, 2 or 4"), "{text}");
        }
    }
}

#[test]
fn the_pf_shows_its_rss_where_it_is_allowed() {
    let rss = |api: ApiVersion, query_rss: bool| {
        let mut bench = running::<Of82599>(Intent::default(), |options| (options.api, options.query_rss) = (api, query_rss));
        bench.port().rss().map_err(|error| error.to_string())
    };
    let told = rss(ApiVersion::V1_6, true).unwrap();
    assert_eq!((told.key.len(), told.table.len()), (40, 128));
    assert!(told.table.starts_with(&[0, 1, 2, 3, 0]));
    assert!(rss(ApiVersion::V1_2, false).unwrap_err().contains("query_rss on"));
    assert!(rss(ApiVersion::V1_1, true).unwrap_err().contains("too old"));
}

#[test]
fn the_x550_spreads_over_any_number_of_queues() {
    let setup = Setup { queue_pairs: 3, ..setup::<OfX550>() };
    let mut bench = plugged::<OfX550>(&setup, |_| {});
    bench.probe().unwrap();
    let config = setup.config(&bench.pool);
    bench.try_start(&config).unwrap();
    let rss = bench.port().rss().unwrap();
    assert_eq!((rss.key.len(), rss.table.len()), (40, 64));
    assert!(rss.table.iter().enumerate().all(|(at, queue)| usize::from(*queue) == at % 3));
    let to = bench.mac();
    let flow = |source_port| Datagram { ipv6: false, l4: L4::Tcp, source_port, payload_bytes: 30 };
    bench.inject((0..96).map(|port| flow(port).frame(to, PEER)));
    let got = [0, 1, 2].map(|queue| bench.receive(queue).len());
    assert_eq!(got.iter().sum::<usize>(), 96);
    assert!(got.iter().all(|frames| *frames > 8), "{got:?}");
    bench.port().stop().unwrap();
    bench.poll_queues_in_reset();
    assert!(bench.port().rss().is_err(), "a stopped port spreads nothing");
}

#[test]
fn a_link_that_the_administrator_holds_down() {
    let mut bench = running::<Of82599>(Intent::default(), |_| {});
    assert_eq!(bench.events(), [PortEvent::LinkUp { mbps: 10_000 }]);
    bench.model(|model| model.allow_link(false));
    bench.await_recovered();
    assert_eq!(bench.events(), [PortEvent::LinkDown]);
    assert!(!bench.port().link().up);
    bench.model(|model| model.allow_link(true));
    bench.await_recovered();
    assert_eq!(bench.events(), [PortEvent::LinkUp { mbps: 10_000 }]);
    bench.assert_traffic_flows(60);
}

/// A long TCP frame over several buffers leaves as segments, with malicious-driver detection on.
#[test]
fn tcp_is_segmented() {
    const MSS_BYTES: usize = 1000;
    const HEADER_BYTES: usize = 14 + 20 + 20;
    let mut bench = running::<OfX550>(Intent::default(), |_| {});
    let from = bench.mac();
    for payload_bytes in [5, 999, 1000, 1001, 3946, 10_000, 30_000] {
        let datagram = Datagram { ipv6: false, l4: L4::Tcp, source_port: 7, payload_bytes };
        let asked = TxOffload::default().ipv4_checksum(14, 20).l4_checksum(L4::Tcp, false, 14, 20).segment(20, 1000);
        let sent = bench.send(0, &[(whole(&datagram, from), asked), (frame(PEER, 60, 1), TxOffload::default())]);
        let (last, segments) = sent.split_last().unwrap();
        assert_eq!(*last, frame(PEER, 60, 1));
        assert_eq!(segments.len(), payload_bytes.div_ceil(MSS_BYTES), "{payload_bytes}");
        let payload: Vec<u8> = segments.iter().flat_map(|segment| segment[HEADER_BYTES..].to_vec()).collect();
        let expected = whole(&datagram, PEER)[HEADER_BYTES..].to_vec();
        assert_eq!(payload[..payload_bytes], expected, "{payload_bytes}");
        assert!(payload[payload_bytes..].iter().all(|byte| *byte == 0), "padding of a short last segment");
    }
}

/// A frame whose TCP checksum field holds the sum of the pseudo-header without its length, as segmentation wants it.
fn whole(datagram: &Datagram, from: MacAddr) -> Vec<u8> {
    let mut frame = datagram.unsummed(PEER, from);
    let pseudo = frame[26..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u32>() + 6;
    let folded = (pseudo & 0xffff) + (pseudo >> 16);
    let at = datagram.l4_checksum_at();
    frame[at..at + 2].copy_from_slice(&u16::try_from(folded & 0xffff).unwrap().to_be_bytes());
    frame
}
