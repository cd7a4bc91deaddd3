//! What becomes of features that are offered, and of those that are not.

use super::{BOTH, Device, not_started, plugged, promiscuous, remedy, running, setup};
use vfwire_conformance::{
    bench::{Bench, Setup, assert_same},
    frames::{Datagram, PEER, STRANGER, frame, tagged},
};
use vfwire_core::{
    event::PortEvent,
    meta::{Checksum, L4, TxOffload},
    pool::PoolConfig,
    port::{Intent, Link, Offload, Port, Setting},
    queue::TxQueue,
};
use vfwire_sim::models::virtio_net::Layout;
use vfwire_spec::virtio::{control, features::Features};

#[test]
fn everything_that_is_of_use_is_accepted() {
    for packed in BOTH {
        let bench = running(&setup(), |options| {
            (options.packed, options.in_order, options.notification_data) = (packed, true, true);
            (options.rss, options.hash_report, options.mtu) = (true, true, Some(2000));
        });
        let accepted = bench.model(|model| model.features());
        let useful = [
            Features::VERSION_1,
            Features::ACCESS_PLATFORM,
            Features::ORDER_PLATFORM,
            Features::IN_ORDER,
            Features::NOTIFICATION_DATA,
            Features::MRG_RXBUF,
            Features::CSUM,
            Features::GUEST_CSUM,
            Features::HOST_TSO4,
            Features::HOST_TSO6,
            Features::MTU,
            Features::MAC,
            Features::STATUS,
            Features::SPEED_DUPLEX,
            Features::CTRL_VQ,
            Features::CTRL_RX,
            Features::CTRL_VLAN,
            Features::CTRL_MAC_ADDR,
            Features::GUEST_ANNOUNCE,
            Features::MQ,
            Features::RSS,
            Features::HASH_REPORT,
        ];
        for feature in useful {
            assert!(accepted.contains(feature), "{feature} of {accepted}");
        }
        assert_eq!(accepted.contains(Features::RING_PACKED), packed);
    }
}

#[test]
fn structures_may_lie_anywhere() {
    for layout in [Layout::default(), Layout::scattered(), Layout::shared_notification()] {
        for with_data in BOTH {
            let mut bench = running(&setup(), |options| (options.layout, options.notification_data) = (layout, with_data));
            bench.assert_traffic_flows(1514);
        }
    }
}

/// A device without a control queue: what it cannot do is said, and what comes is the host's choice.
#[test]
fn a_device_without_a_control_queue() {
    let wished = Intent { mac: Some(STRANGER), vlans: [5].into(), ..promiscuous() };
    let mut bench = running(&setup().intent(wished), |options| options.ctrl = false);
    assert_eq!(bench.info().max_queue_pairs, 1);
    let granted = bench.granted.clone();
    for (setting, word) in
        [(Setting::Mac(STRANGER), "CTRL_MAC_ADDR"), (Setting::Promiscuous, "CTRL_RX"), (Setting::AllMulticast, "CTRL_RX")]
    {
        assert!(remedy(&granted.unsupported, setting).is_some_and(|remedy| remedy.contains(word)), "{granted:?}");
    }
    assert!(granted.refused.is_empty() && granted.applied.contains(&Setting::Vlan(5)), "{granted:?}");
    let to = bench.mac();
    assert_ne!(to, STRANGER);
    assert!(bench.gets(&frame(to, 60, 1)) && bench.gets(&tagged(&frame(to, 60, 1), 5)));
    bench.assert_traffic_flows(60);
}

#[test]
fn commands_that_are_refused_are_reported() {
    let wished = Intent { vlans: [5, 6].into(), multicast: [MULTICAST].into(), all_multicast: true, ..Intent::default() };
    let mut bench = plugged(&setup(), |_| {});
    bench.model(|model| {
        model.refuse(control::vlan::CLASS, control::vlan::ADD, true);
        model.refuse(control::rx::CLASS, control::rx::ALLMULTI, true);
        model.refuse(control::mac::CLASS, control::mac::TABLE_SET, true);
    });
    bench.probe().expect("it answers");
    let config = setup().intent(wished.clone()).config(&bench.pool);
    bench.try_start(&config).expect("a port lives without these");
    for setting in [Setting::Vlan(5), Setting::Vlan(6), Setting::AllMulticast, Setting::Multicast] {
        assert!(remedy(&bench.granted.refused, setting).is_some_and(|remedy| remedy.len() > 10), "{:?}", bench.granted);
    }
    bench.model(|model| model.refuse(control::vlan::CLASS, control::vlan::ADD, false));
    let again = bench.port().apply(&wished).expect("it answers");
    assert!(remedy(&again.refused, Setting::Vlan(5)).is_none() && remedy(&again.refused, Setting::AllMulticast).is_some(), "{again:?}");
    bench.assert_traffic_flows(60);
}

const MULTICAST: vfwire_spec::net::MacAddr = vfwire_spec::net::MacAddr([0x01, 0, 0x5e, 0, 0, 9]);

#[test]
fn the_mtu_is_the_device_s() {
    let of = |mtu_bytes| setup().intent(Intent { mtu_bytes, ..Intent::default() });
    let mut bench = running(&of(2000), |options| options.mtu = Some(2000));
    assert_eq!(bench.info().max_mtu_bytes, 2000);
    bench.assert_traffic_flows(2014);
    let text = not_started(&of(2001), |options| options.mtu = Some(2000)).to_string();
    assert!(text.contains("2001") && text.contains("2000 bytes"), "{text}");
    assert_eq!(running(&of(9000), |options| options.mtu = Some(16_000)).info().max_mtu_bytes, 9000);
}

/// Without mergeable buffers a frame lies in one buffer, or the port says how large it has to be.
#[test]
fn frames_that_cannot_be_merged_need_large_buffers() {
    let jumbo = |data_bytes| {
        let pool = PoolConfig { buffers: 2048, data_bytes };
        Setup { pool, ..setup() }.intent(Intent { mtu_bytes: 9000, ..Intent::default() })
    };
    for packed in BOTH {
        let text = not_started(&jumbo(2048), |options| (options.mrg_rxbuf, options.packed) = (false, packed)).to_string();
        assert!(text.contains("2048") && text.contains("9018") && text.contains("MRG_RXBUF"), "{text}");
        let mut bench = running(&jumbo(9216), |options| (options.mrg_rxbuf, options.packed) = (false, packed));
        for len_bytes in [60, 1514, 9014] {
            bench.assert_traffic_flows(len_bytes);
        }
        // What is longer than a buffer is dropped by the device, and harms nothing.
        let to = bench.mac();
        assert!(!bench.gets(&frame(to, 9400, 1)));
        bench.assert_traffic_flows(60);
    }
}

/// Checksums and segmentation that the device does not do: the first are ours, the second is said.
#[test]
fn a_device_without_checksums() {
    let offloads = [Offload::RxChecksum, Offload::TxChecksum, Offload::Tso, Offload::RssHash];
    let mut bench = running(&setup().intent(Intent { offloads: offloads.into(), ..Intent::default() }), |options| options.csum = false);
    let granted = bench.granted.clone();
    for (offload, word) in [(Offload::RxChecksum, "GUEST_CSUM"), (Offload::Tso, "HOST_TSO"), (Offload::RssHash, "HASH_REPORT")] {
        let setting = Setting::Offload(offload);
        assert!(remedy(&granted.unsupported, setting).is_some_and(|remedy| remedy.contains(word)), "{granted:?}");
    }
    assert!(granted.applied.contains(&Setting::Offload(Offload::TxChecksum)), "{granted:?}");
    let own = bench.mac();
    for (ipv6, l4) in [(false, L4::Udp), (false, L4::Tcp), (true, L4::Udp), (true, L4::Tcp)] {
        let datagram = Datagram { ipv6, l4, source_port: 7, payload_bytes: 333 };
        let asked = TxOffload::default().l4_checksum(l4, ipv6, 14, datagram.l3_bytes());
        let asked = if ipv6 { asked } else { asked.ipv4_checksum(14, 20) };
        let sent = bench.send(0, &[(datagram.unsummed(PEER, own), asked)]);
        assert_same(&sent, &[datagram.frame(PEER, own)], format_args!("{datagram:?}"));
        let got = bench.receive_of([datagram.frame(own, PEER)]).remove(0);
        assert_eq!(got.meta.l4_checksum, Checksum::Unknown, "the device does not look");
    }
    // Nobody can cut it.
    let datagram = Datagram { ipv6: false, l4: L4::Tcp, source_port: 7, payload_bytes: 3000 };
    let asked = TxOffload::default().ipv4_checksum(14, 20).l4_checksum(L4::Tcp, false, 14, 20).segment(20, 1000);
    assert!(bench.send(0, &[(datagram.unsummed(PEER, own), asked)]).is_empty());
    assert_eq!(bench.stats().tx[0].unsendable, 1);
}

/// A long TCP frame over several buffers leaves as segments, each with headers of its own.
#[test]
fn tcp_is_segmented() {
    const MSS_BYTES: usize = 1000;
    for (packed, ipv6) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut bench = running(&setup(), |options| options.packed = packed);
        let from = bench.mac();
        for payload_bytes in [5, 999, 1000, 1001, 3946, 10_000, 30_000] {
            let datagram = Datagram { ipv6, l4: L4::Tcp, source_port: 7, payload_bytes };
            let l3_bytes = datagram.l3_bytes();
            let header_bytes = 14 + usize::from(l3_bytes) + 20;
            let asked = TxOffload::default().l4_checksum(L4::Tcp, ipv6, 14, l3_bytes).segment(20, 1000);
            let asked = if ipv6 { asked } else { asked.ipv4_checksum(14, l3_bytes) };
            let sent = bench.send(0, &[(whole(&datagram, from), asked), (frame(PEER, 60, 1), TxOffload::default())]);
            let (last, segments) = sent.split_last().expect("frames");
            assert_eq!(*last, frame(PEER, 60, 1));
            assert_eq!(segments.len(), payload_bytes.div_ceil(MSS_BYTES), "{payload_bytes} bytes of payload, IPv6 {ipv6}");
            let payload: Vec<u8> = segments.iter().flat_map(|segment| segment[header_bytes..].to_vec()).collect();
            assert_eq!(payload, whole(&datagram, PEER)[header_bytes..], "{payload_bytes} bytes of payload, IPv6 {ipv6}");
            for (at, segment) in segments.iter().enumerate() {
                assert_headers_are_right(&mut bench, segment, at * MSS_BYTES);
            }
        }
    }
}

/// The receiver of the same model finds the checksum right, and the sequence number is that of the payload.
fn assert_headers_are_right(bench: &mut Bench<Device>, segment: &[u8], payload_at: usize) {
    let (mut back, to) = (segment.to_vec(), bench.mac());
    back[..6].copy_from_slice(&to.0);
    let got = bench.receive_of([back]).remove(0);
    assert_eq!(got.meta.l4_checksum, Checksum::Good, "segment at {payload_at}");
    let sequence_at = if segment[12] == 0x86 { 54 } else { 34 } + 4;
    let sequence = u32::from_be_bytes(segment[sequence_at..sequence_at + 4].try_into().expect("four bytes"));
    assert_eq!(sequence as usize, 1 + payload_at);
}

/// A frame whose TCP checksum field holds the sum of the pseudo-header without its length, and whose IP length is 0, as segmentation wants it.
fn whole(datagram: &Datagram, from: vfwire_spec::net::MacAddr) -> Vec<u8> {
    let mut frame = datagram.unsummed(PEER, from);
    let (length, addresses) = if datagram.ipv6 { (18, 22..54) } else { (16, 26..34) };
    frame[length..length + 2].fill(0);
    let pseudo = frame[addresses].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u32>() + 6;
    let folded = (pseudo & 0xffff) + (pseudo >> 16);
    let at = datagram.l4_checksum_at();
    frame[at..at + 2].copy_from_slice(&u16::try_from((folded & 0xffff) + (folded >> 16)).expect("16 bits").to_be_bytes());
    frame
}

/// Without the features that say something of the link, it is up and of no known speed.
#[test]
fn a_device_that_says_nothing_of_its_link() {
    let mut bench = running(&setup(), |options| (options.link_status, options.link_mbps) = (false, None));
    assert_eq!(bench.events(), [PortEvent::LinkUp { mbps: 0 }]);
    assert_eq!(bench.port().link(), Link { up: true, mbps: 0 });
    bench.assert_traffic_flows(60);
}

/// What the device asks to be announced is acknowledged, once.
#[test]
fn announcements_are_acknowledged() {
    for packed in BOTH {
        let mut bench = running(&setup(), |options| options.packed = packed);
        bench.events();
        let before = bench.model(|model| model.counters().commands);
        bench.model(|model| model.ask_for_announcement());
        assert!(bench.events().is_empty());
        assert!(!bench.model(|model| model.awaits_announcement()));
        bench.events();
        assert_eq!(bench.model(|model| model.counters().commands), before + 1);
    }
}

/// A tag is put into a frame by us. One that has to wait for descriptors (its header has none of its buffer's headroom) gets it once.
#[test]
fn a_frame_that_waits_gets_its_tag_once() {
    for packed in BOTH {
        let mut bench = running(&setup().rings(32), |options| options.packed = packed);
        let mut burst = bench.pool.burst(32);
        let plain: Vec<_> = (0..31).map(|number| frame(PEER, 60, number)).collect();
        plain.iter().for_each(|frame| bench.load(&mut burst, frame, TxOffload::default()));
        assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), 31);
        // One descriptor is left, and the frame needs two.
        let waits = frame(PEER, 100, 31);
        bench.load(&mut burst, &waits[40..], TxOffload::default().vlan(5));
        let mut last = burst.get_mut(0).expect("it was loaded");
        last.prepend(40).expect("64 bytes of headroom")[..40].copy_from_slice(&waits[..40]);
        for _ in 0..3 {
            assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), 0);
            assert_eq!(burst.get_mut(0).expect("it waits").data(), waits, "as it was");
        }
        bench.settle();
        bench.flush(0, &mut burst);
        let expected: Vec<_> = plain.into_iter().chain([tagged(&waits, 5)]).collect();
        assert_same(&bench.sent(), &expected, format_args!("packed: {packed}"));
    }
}

/// Frames of another machine on the same host come without their checksum: it is put in, in frames of one buffer and of several.
#[test]
fn checksums_that_senders_left_open_are_put_in() {
    for (packed, hash_report) in [(false, false), (false, true), (true, false), (true, true)] {
        let jumbo = setup().intent(Intent { mtu_bytes: 9000, offloads: [Offload::RxChecksum].into(), ..Intent::default() });
        let mut bench = running(&jumbo, |options| {
            (options.packed, options.hash_report, options.partial_csum) = (packed, hash_report, true);
        });
        let to = bench.mac();
        let sizes = [(false, 1), (true, 18), (false, 1460), (true, 3001), (false, 8900)];
        let sent: Vec<_> = sizes
            .into_iter()
            .flat_map(|(ipv6, payload_bytes)| [L4::Tcp, L4::Udp].map(|l4| Datagram { ipv6, l4, source_port: 7, payload_bytes }))
            .map(|datagram| datagram.frame(to, PEER))
            .collect();
        let got = bench.receive_of(sent.clone());
        let bytes: Vec<_> = got.iter().map(|arrived| arrived.bytes.clone()).collect();
        assert_same(&bytes, &sent, format_args!("packed: {packed}, with hash: {hash_report}"));
        assert!(got.iter().all(|arrived| arrived.meta.l4_checksum == Checksum::Good));
    }
}

#[test]
fn a_set_of_features_that_the_device_refuses_is_named() {
    let text = super::refused(|options| options.required = Features::CTRL_RX_EXTRA);
    assert!(text.contains("MRG_RXBUF") && text.contains("refused by the device") && text.contains("on the host"), "{text}");
}
