use super::*;
use crate::{TrafficConfig, TrafficSource, Wire, frame::Headers, models::ixgbevf::Hostile};
use vfwire_spec::{intel::adv::tx::L4Type, ixgbevf::desc, net::VlanId};

#[test]
fn frames_arrive_whole_and_in_order() {
    let rig = Rig::up(Rig::options());
    let frames: Vec<_> = [14, 60, 61, 1514].map(|len_bytes| frame_to(MAC, len_bytes)).into();
    frames.iter().for_each(|frame| rig.wire.push(frame.clone()));
    assert!(rig.host.step());
    for (index, frame) in frames.iter().enumerate() {
        assert_eq!(rig.received(index), *frame);
        assert_eq!(rig.rx_word1(index) & (rx::STATUS_MASK | rx::ERROR_MASK), rx::DD | rx::EOP);
    }
    assert_eq!([regs::VFGPRC, regs::VFGORC_LSB].map(|register| rig.regs.read(register)), [4, 14 + 60 + 61 + 1514 + 4 * 4]);
    assert!(!rig.takes(frame_to(MAC, 1515)) && !rig.takes(frame_to(OTHER, 60)) && rig.takes(frame_to(MacAddr::BROADCAST, 60)));
    rig.assert_clean();
}

#[test]
fn a_long_frame_spans_buffers() {
    let rig = Rig::up(Rig::of(Family::X540));
    rig.ask(Request::SetLpe { max_frame_bytes: 9018 });
    let frame = frame_to(MAC, 4500);
    assert!(rig.takes(frame.clone()));
    assert_eq!([0, 1, 2].map(|index| rig.received(index)).concat(), frame);
    assert_eq!([0, 1, 2].map(|index| rig.rx_word1(index) & rx::EOP), [0, 0, rx::EOP]);
    // A tag comes on top of MAXFRS.
    rig.ask(Request::SetVlan { vlan: VlanId::new(7).expect("a VLAN"), join: true });
    assert!(rig.takes(tagged(&frame_to(MAC, 9014), 7)) && !rig.takes(frame_to(MAC, 9015)));
    rig.assert_clean();
}

#[test]
fn a_queue_may_limit_its_frames() {
    let rig = Rig::up(Rig::of(Family::X540));
    rig.ask(Request::SetLpe { max_frame_bytes: 9018 });
    rig.regs.write(regs::VFRXDCTL.index(0), regs::DCTL_ENABLE | regs::VFRXDCTL_RLPML_EN | 3018);
    assert!(rig.takes(frame_to(MAC, 3014)) && !rig.takes(frame_to(MAC, 3015)));
    assert_eq!(rig.device.with(|model| model.counters().wrong_size_frames), 1);
}

#[test]
fn a_full_ring_drops() {
    let rig = Rig::up(Rig::options());
    (0..40).for_each(|_| rig.wire.push(frame_to(MAC, 60)));
    rig.host.step();
    assert_eq!(rig.device.with(|model| model.counters().no_descriptor_frames), 40 - 31);
    assert_eq!(rig.regs.read(regs::VFRDH.index(0)), 31);
    rig.assert_clean();
}

#[test]
fn a_wire_that_pauses_loses_nothing() {
    let rig = Rig::up(Rig::options());
    rig.wire.set_pauses(true);
    (0..40).for_each(|_| rig.wire.push(frame_to(MAC, 60)));
    rig.host.settle(10);
    assert_eq!((rig.wire.waiting(), rig.device.with(|model| model.counters().received_frames)), (9, 31));
}

#[test]
fn tags_are_stripped_where_the_queue_says_so() {
    let plain = frame_to(MAC, 60);
    let rig = Rig::up(Rig::options());
    assert!(!rig.takes(tagged(&plain, 0x2064)), "not joined");
    rig.ask(Request::SetVlan { vlan: VlanId::new(100).expect("a VLAN"), join: true });
    assert!(rig.takes(tagged(&plain, 0x2064)));
    assert_eq!((rig.received(0), rig.rx_word1(0) & rx::VP, rx::vlan_tci(rig.rx_word1(0))), (plain.clone(), rx::VP, 0x2064));
    rig.regs.write(regs::VFRXDCTL.index(0), regs::DCTL_ENABLE);
    assert!(rig.takes(tagged(&plain, 0x2064)) && rig.takes(tagged(&plain, 0)), "VLAN 0 is joined by RESET");
    assert_eq!((rig.received(1), rig.rx_word1(1) & rx::VP), (tagged(&plain, 0x2064), 0));
    rig.assert_clean();
}

/// UDP over IPv4 with an odd number of data bytes; checksums as given.
fn udp(source: MacAddr, ip_checksum: u16, udp_checksum: u16) -> Vec<u8> {
    let mut frame = frame(OTHER, source, 14);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame.extend([0x45, 0, 0, 33, 0, 1, 0, 0, 64, 17]);
    frame.extend(ip_checksum.to_be_bytes());
    frame.extend([192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0, 53, 0, 13]);
    frame.extend(udp_checksum.to_be_bytes());
    frame.extend(b"hello");
    frame
}

/// Sum of the pseudo header of [`udp`], folded: c000 + 0201 + c000 + 0202 + 0011 + 000d = 1_8421 -> 8422.
const SEED: u16 = 0x8422;

#[test]
fn checksums_are_inserted_and_judged() {
    let mut rig = Rig::up(Rig::options());
    rig.post_context(Context { iplen_bytes: 20, ipv4: true, l4: L4Type::UDP, index: 1, ..Context::PLAIN });
    rig.send(&udp(MAC, 0, SEED), tx::IXSM | tx::TXSM | TX_CC | 1 << tx::INDEX_SHIFT);
    let mut good = rig.wire.pop().expect("sent");
    let headers = Headers::parse(&good);
    assert_eq!((headers.ip_checksum_is_good(&good), headers.l4_checksum_is_good(&good)), (Some(true), Some(true)));
    good[..6].copy_from_slice(&MAC.0);
    let (mut bad_ip, mut bad_udp) = (good.clone(), good.clone());
    bad_ip[22] ^= 1;
    bad_udp[46] ^= 1;
    [good, bad_ip, bad_udp].into_iter().for_each(|frame| rig.wire.push(frame));
    rig.host.step();
    let checked = rx::IPCS | rx::L4CS | rx::UDPCS;
    let seen = [0, 1, 2].map(|index| rig.rx_word1(index) & (checked | rx::ERROR_MASK));
    assert_eq!(seen, [checked, checked | desc::RX_IPE, checked | desc::RX_L4E]);
    // Erratum of the 82599 alone.
    for (device, errors) in [(Family::I82599, desc::RX_L4E), (Family::X540, 0)] {
        let rig = Rig::up(Rig::of(device));
        let mut unsummed = udp(OTHER, 0, 0);
        unsummed[..6].copy_from_slice(&MAC.0);
        assert!(rig.takes(unsummed));
        assert_eq!(rig.rx_word1(0) & desc::RX_L4E, errors);
    }
    // Linux' PF does not hash the ports of UDP.
    let [word0, _] = raw::descriptor(&rig.rx_rings[0], 0);
    assert_eq!(word0 & 0xffff, rx::PACKET_IPV4 | rx::PACKET_UDP | u64::from(rx::RssType::IPV4.0));
    rig.assert_clean();
}

#[test]
fn frames_leave_and_only_rs_is_reported() {
    let mut rig = Rig::up(Rig::options());
    let frames: Vec<_> = [17, 60, 1514].map(|len_bytes| frame(OTHER, MAC, len_bytes)).into();
    let quiet = rig.post_frame(&frames[0], 0);
    rig.post_frame(&frames[1], 0);
    let reported = rig.post_frame(&frames[2], tx::RS);
    assert_eq!(rig.host.settle(4), 0, "nothing leaves before the doorbell");
    rig.ring_tx();
    rig.host.step();
    let sent = rig.sent();
    assert_eq!((sent.len(), &sent[0][..17], &sent[1], &sent[2]), (3, &frames[0][..], &frames[1], &frames[2]));
    assert_eq!(raw::descriptor(&rig.tx_ring, quiet)[1] & tx::DD, 0);
    assert_eq!(raw::descriptor(&rig.tx_ring, reported), [0, tx::DD]);
    assert_eq!([regs::VFGPTC, regs::VFGOTC_LSB].map(|register| rig.regs.read(register)), [3, 64 + 64 + 1518]);
    rig.assert_clean();
}

#[test]
fn a_frame_is_gathered_and_a_tag_inserted() {
    let mut rig = Rig::up(Rig::of(Family::X550));
    rig.ask(Request::SetVlan { vlan: VlanId::new(7).expect("a VLAN"), join: true });
    let whole = frame(OTHER, MAC, 100);
    rig.post_context(Context { vlan_tci: 7, ..Context::PLAIN });
    raw::write(&rig.buffers, 0, &whole);
    rig.post([rig.buffer_iova(0), tx::data(30, 100) | tx::VLE | TX_CC]);
    rig.post([rig.buffer_iova(0) + 30, tx::data(70, 100) | tx::VLE | tx::EOP | tx::RS | TX_CC]);
    rig.ring_tx();
    rig.host.step();
    assert_eq!(rig.wire.pop(), Some(tagged(&whole, 7)));
    rig.assert_clean();
}

#[test]
fn spoofed_frames_are_dropped_but_done() {
    let mut rig = Rig::up(Rig::options());
    rig.send(&frame(MAC, OTHER, 60), tx::RS);
    assert_eq!((rig.wire.pop(), rig.device.with(|model| model.counters().spoofed_frames)), (None, 1));
    assert_eq!(raw::descriptor(&rig.tx_ring, 0), [0, tx::DD]);
    let mut lax = Rig::up(IxgbevfOptions { spoofchk: false, ..Rig::options() });
    lax.send(&frame(MAC, OTHER, 60), tx::RS);
    assert!(lax.wire.pop().is_some());
    // `ixgbe_set_vf_macvlan_msg`: who may have further addresses may use any.
    let mut many = Rig::up(IxgbevfOptions { trusted: true, ..Rig::options() });
    many.ask(Request::SetMacFilter { index: 1, mac: OTHER });
    many.send(&frame(MAC, MacAddr([2, 0, 0, 0, 0, 0x77]), 60), tx::RS);
    assert!(many.wire.pop().is_some() && many.takes(frame_to(OTHER, 60)));
}

#[test]
fn counters_wrap() {
    let rig = Rig::up(IxgbevfOptions { frames_start: u32::MAX, octets_start: (1 << 36) - 1, ..Rig::options() });
    assert_eq!(rig.regs.read(regs::VFGORC_MSB), 0xf);
    assert!(rig.takes(frame_to(MacAddr::BROADCAST, 60)));
    let seen = [regs::VFGPRC, regs::VFGORC_LSB, regs::VFGORC_MSB, regs::VFMPRC, regs::VFGPTC, regs::VFGOTC_MSB];
    assert_eq!(seen.map(|register| rig.regs.read(register)), [0, 63, 0, u32::MAX, u32::MAX, 0xf]);
}

/// Sends 64 flows of UDP and says how many came on each of four queues.
fn spread(rig: &Rig) -> [u32; 4] {
    let (mut source, _) = TrafficSource::new(TrafficConfig { flows: 24, ..TrafficConfig::to(MAC) });
    (0..24).for_each(|_| rig.wire.push(source.receive().expect("endless").to_vec()));
    rig.host.settle(4);
    [0, 1, 2, 3].map(|queue| rig.regs.read(regs::VFRDH.index(queue)))
}

#[test]
fn the_pfs_hash_spreads_flows() {
    for (split, udp, queues) in [(2, true, 4), (1, true, 2), (0, true, 1), (2, false, 1)] {
        let rig = Rig::up(IxgbevfOptions { rss_udp: udp, ..Rig::options() });
        (1..4).for_each(|queue| rig.start_rx(queue));
        rig.regs.write(regs::VFPSRTYPE, split << regs::VFPSRTYPE_RQPL_SHIFT);
        let heads = spread(&rig);
        assert_eq!((heads.iter().sum::<u32>(), heads.iter().filter(|head| **head > 0).count()), (24, queues), "{heads:?}");
        for (queue, head) in (0..).zip(heads) {
            for index in 0..head as usize {
                let hash = rx::rss_hash(raw::descriptor(&rig.rx_rings[queue], index)[0]);
                assert!(queues < 4 || hash as usize % 4 == queue);
            }
        }
        rig.assert_clean();
    }
}

#[test]
fn frames_for_a_queue_that_is_off_are_lost() {
    let rig = Rig::up(IxgbevfOptions { rss_udp: true, ..Rig::options() });
    rig.regs.write(regs::VFPSRTYPE, 2 << regs::VFPSRTYPE_RQPL_SHIFT);
    let heads = spread(&rig);
    assert!(heads[0] < 24);
    assert_eq!(rig.device.with(|model| model.counters().off_frames), u64::from(24 - heads[0]));
}

#[test]
fn an_x550_has_a_hash_of_its_own() {
    let rig = Rig::up(Rig::of(Family::X550));
    rig.start_rx(1);
    rig.regs.write(regs::VFPSRTYPE, 1 << regs::VFPSRTYPE_RQPL_SHIFT);
    assert_eq!(spread(&rig), [24, 0, 0, 0], "without a hash everything goes to the first queue");
    assert_eq!(rx::rss_type(raw::descriptor(&rig.rx_rings[0], 0)[0]), rx::RssType::NONE);
    let rig = Rig::up(Rig::of(Family::X550));
    rig.start_rx(1);
    rig.regs.write(regs::VFPSRTYPE, 1 << regs::VFPSRTYPE_RQPL_SHIFT);
    (0..10).for_each(|word| rig.regs.write(regs::VFRSSRK.index(word), 0x9e37_79b9u32.rotate_left(word)));
    (0..16).for_each(|word| rig.regs.write(regs::VFRETA.index(word), 0x0101_0000));
    rig.regs.write(regs::VFMRQC, regs::VFMRQC_RSS_EN | 1 << 22);
    let heads = spread(&rig);
    assert!(heads[0] + heads[1] == 24 && heads[0] > 3 && heads[1] > 3, "{heads:?}");
    for index in 0..heads[1] as usize {
        assert_eq!(rx::rss_hash(raw::descriptor(&rig.rx_rings[1], index)[0]) & 2, 2, "entries 2 and 3 of each four");
    }
    rig.assert_clean();
}

/// A check of the second word of a write-back.
type Holds = fn(u64) -> bool;

#[test]
fn a_hostile_device_writes_what_it_likes() {
    let cases: [(Hostile, Holds); 4] = [
        (Hostile::LengthBeyondBuffer, |word1| rx::length_bytes(word1) == 0xffff),
        (Hostile::NeverEop, |word1| word1 & (rx::DD | rx::EOP) == rx::DD),
        (Hostile::AllOnes, |word1| word1 == u64::MAX),
        (Hostile::ZeroLength, |word1| word1 & rx::EOP != 0 && rx::length_bytes(word1) == 0),
    ];
    for (hostile, holds) in cases {
        let rig = Rig::up(Rig::options());
        rig.device.with(|model| model.set_hostile(Some(hostile)));
        rig.takes(frame_to(MAC, 60));
        assert!(holds(rig.rx_word1(0)), "{hostile:?}: {:#x}", rig.rx_word1(0));
    }
    let rig = Rig::up(Rig::options());
    rig.device.with(|model| model.set_hostile(Some(Hostile::OutOfNowhere)));
    rig.host.step();
    assert_ne!(rig.rx_word1(31) & rx::DD, 0);
    assert_eq!(raw::descriptor(&rig.tx_ring, 0), [0, tx::DD]);
}
