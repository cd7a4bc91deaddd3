use super::*;
use crate::{frame::Headers, models::igbvf::Hostile};
use vfwire_core::bus::BusEvent;
use vfwire_spec::{
    igbvf::desc,
    intel::adv::tx::{Context, L4Type},
    net::VlanId,
};

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
    assert_eq!(rig.rx_word1(4), 0);
    assert_eq!([regs::VFGPRC, regs::VFGORC].map(|register| rig.regs.read(register)), [4, 14 + 60 + 61 + 1514 + 4 * 4]);
    assert!(!rig.host.step());
    rig.assert_clean();
}

#[test]
fn a_long_frame_spans_buffers() {
    let rig = Rig::up(Rig::options());
    rig.ask(Request::SetLpe { max_frame_bytes: 9022 });
    let frame = frame_to(MAC, 4500);
    rig.wire.push(frame.clone());
    rig.host.step();
    assert_eq!([0, 1, 2].map(|index| rig.received(index)).concat(), frame);
    assert_eq!([0, 1, 2].map(|index| rig.rx_word1(index) & rx::EOP), [0, 0, rx::EOP]);
    assert_eq!([0, 1, 2].map(|index| rx::length_bytes(rig.rx_word1(index))), [2048, 2048, 404]);
    rig.assert_clean();
}

#[test]
fn a_full_ring_drops_and_counts() {
    let rig = Rig::up(Rig::options());
    for _ in 0..40 {
        rig.wire.push(frame_to(MAC, 60));
    }
    rig.host.step();
    assert_eq!(rig.device.with(|model| model.counters().no_descriptor_frames), 40 - 31);
    assert_eq!(rig.regs.read(regs::RQDPC.index(0)), 9);
    assert_eq!(rig.regs.read(regs::RQDPC.index(0)), 0, "cleared by reading");
    assert_eq!(rig.regs.read(regs::RDH.index(0)), 31);
    rig.assert_clean();
}

#[test]
fn a_wire_that_pauses_loses_nothing() {
    let rig = Rig::up(Rig::options());
    rig.wire.set_pauses(true);
    (0..40).for_each(|_| rig.wire.push(frame_to(MAC, 60)));
    rig.host.settle(10);
    assert_eq!((rig.wire.waiting(), rig.device.with(|model| model.counters().received_frames)), (9, 31));
    for index in 0..10 {
        raw::set_descriptor(&rig.rx_ring, index, rx::read_format(rig.buffer_iova(index)));
    }
    rig.regs.doorbell(regs::RDT.index(0)).ring(9);
    rig.host.settle(10);
    assert_eq!((rig.wire.waiting(), rig.regs.read(regs::RQDPC.index(0))), (0, 0));
    rig.assert_clean();
}

#[test]
fn vlans_are_filtered_and_stripped() {
    let rig = Rig::up(Rig::options());
    let plain = frame_to(MAC, 60);
    rig.wire.push(tagged(&plain, 0x2064));
    rig.host.step();
    assert_eq!(rig.device.with(|model| model.counters().filtered_frames), 1);
    rig.ask(Request::SetVlan { vlan: VlanId::new(100).expect("a VLAN"), join: true });
    rig.wire.push(tagged(&plain, 0x2064));
    rig.wire.push(plain.clone());
    rig.host.step();
    assert_eq!((rig.received(0), rig.received(1)), (plain.clone(), plain));
    assert_eq!((rig.rx_word1(0) & rx::VP, rx::vlan_tci(rig.rx_word1(0))), (rx::VP, 0x2064));
    assert_eq!((rig.rx_word1(1) & rx::VP, rx::vlan_tci(rig.rx_word1(1))), (0, 0));
    rig.assert_clean();
}

/// UDP over IPv4 with an odd number of data bytes; checksums as given.
fn udp(source: MacAddr, source_port: u16, ip_checksum: u16, udp_checksum: u16) -> Vec<u8> {
    let mut frame = frame(OTHER, source, 14);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame.extend([0x45, 0, 0, 33, 0, 1, 0, 0, 64, 17]);
    frame.extend(ip_checksum.to_be_bytes());
    frame.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend(source_port.to_be_bytes());
    frame.extend([0, 53, 0, 13]);
    frame.extend(udp_checksum.to_be_bytes());
    frame.extend(b"hello");
    frame
}

/// Sum of the pseudo header of [`udp`], folded: c000 + 0201 + c000 + 0202 + 0011 + 000d = 1_8421 -> 8422.
const SEED: u16 = 0x8422;

#[test]
fn checksums_are_inserted_over_what_is_there() {
    let mut rig = Rig::up(IgbvfOptions { pf_mac: Some(MAC), ..IgbvfOptions::default() });
    let context = Context { iplen_bytes: 20, ipv4: true, l4: L4Type::UDP, index: 1, ..Context::PLAIN };
    let offloads = tx::IXSM | tx::TXSM | 1 << tx::INDEX_SHIFT;
    rig.post(context.encode().expect("it fits"));
    rig.send(&udp(MAC, 12345, 0, SEED), offloads);
    let sent = rig.wire.pop().expect("sent");
    assert_eq!(sent.len(), 60, "padded");
    assert!(sent[47..].iter().all(|byte| *byte == 0));
    let headers = Headers::parse(&sent);
    assert_eq!((headers.ip_checksum_is_good(&sent), headers.l4_checksum_is_good(&sent)), (Some(true), Some(true)));

    // A driver that leaves rubbish in the fields gets rubbish on the wire, as with the hardware.
    rig.send(&udp(MAC, 12345, 1, SEED + 1), offloads);
    let sent = rig.wire.pop().expect("sent");
    assert_eq!((headers.ip_checksum_is_good(&sent), headers.l4_checksum_is_good(&sent)), (Some(false), Some(false)));
    rig.assert_clean();
}

#[test]
fn checksums_of_received_frames_are_judged() {
    let mut rig = Rig::up(Rig::options());
    let context = Context { iplen_bytes: 20, ipv4: true, l4: L4Type::UDP, ..Context::PLAIN };
    rig.post(context.encode().expect("it fits"));
    rig.send(&udp(MAC, 12345, 0, SEED), tx::IXSM | tx::TXSM);
    let mut good = rig.wire.pop().expect("sent");
    good[..6].copy_from_slice(&MAC.0);
    let mut bad_ip = good.clone();
    bad_ip[22] ^= 1;
    let mut bad_udp = good.clone();
    bad_udp[46] ^= 1;
    [good, bad_ip, bad_udp].into_iter().for_each(|frame| rig.wire.push(frame));
    rig.host.step();
    let checked = rx::IPCS | rx::L4CS | rx::UDPCS;
    let seen = [0, 1, 2].map(|index| rig.rx_word1(index) & (checked | rx::ERROR_MASK));
    assert_eq!(seen, [checked, checked | desc::RX_IPE, checked | desc::RX_L4E]);
    let [word0, _] = raw::descriptor(&rig.rx_ring, 0);
    assert_eq!(word0 & 0xffff, rx::PACKET_IPV4 | rx::PACKET_UDP | u64::from(rx::RssType::IPV4_UDP.0));
    assert_ne!(rx::rss_hash(word0), 0);
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
    let sent: Vec<_> = std::iter::from_fn(|| rig.wire.pop()).collect();
    assert_eq!((sent.len(), &sent[0][..17], &sent[1], &sent[2]), (3, &frames[0][..], &frames[1], &frames[2]));
    assert_eq!(raw::descriptor(&rig.tx_ring, quiet)[1] & tx::DD, 0);
    assert_eq!(raw::descriptor(&rig.tx_ring, reported), [0, tx::DD]);
    assert_eq!(rig.regs.read(regs::TDH.index(0)), 3);
    assert_eq!([regs::VFGPTC, regs::VFGOTC].map(|register| rig.regs.read(register)), [3, 64 + 64 + 1518]);
    rig.assert_clean();
}

#[test]
fn a_frame_is_gathered_and_a_tag_inserted() {
    let mut rig = Rig::up(Rig::options());
    rig.ask(Request::SetVlan { vlan: VlanId::new(7).expect("a VLAN"), join: true });
    let whole = frame(OTHER, MAC, 100);
    rig.post(Context { vlan_tci: 7, ..Context::PLAIN }.encode().expect("it fits"));
    raw::write(&rig.buffers, 0, &whole);
    rig.post([rig.buffer_iova(0), tx::data(30, 100) | tx::VLE]);
    rig.ring_tx();
    rig.host.step();
    assert_eq!(rig.wire.pop(), None, "not before its end");
    rig.post([rig.buffer_iova(0) + 30, tx::data(70, 100) | tx::VLE | tx::EOP | tx::RS]);
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
    let mut lax = Rig::up(IgbvfOptions { spoofchk: false, ..Rig::options() });
    lax.send(&frame(MAC, OTHER, 60), tx::RS);
    assert!(lax.wire.pop().is_some());
}

#[test]
fn counters_wrap() {
    let rig = Rig::up(IgbvfOptions { counters_start: u32::MAX, ..Rig::options() });
    rig.wire.push(frame_to(MacAddr::BROADCAST, 60));
    rig.host.step();
    assert_eq!([regs::VFGPRC, regs::VFGORC, regs::VFMPRC].map(|register| rig.regs.read(register)), [0, 63, u32::MAX]);
}

#[test]
fn a_doorbell_takes_no_lock_and_is_counted() {
    let rig = Rig::up(Rig::options());
    let rings = || rig.device.doorbell_rings(BarIndex::ZERO, regs::TDT.index(0).offset());
    let before = rings();
    // The model is locked meanwhile: a doorbell that went through it would never return.
    rig.device.with(|_| rig.ring_tx());
    assert_eq!(rings(), before + 1);
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
        rig.wire.push(frame_to(MAC, 60));
        rig.host.step();
        assert!(holds(rig.rx_word1(0)), "{hostile:?}: {:#x}", rig.rx_word1(0));
    }
    let rig = Rig::up(Rig::options());
    rig.device.with(|model| model.set_hostile(Some(Hostile::OutOfNowhere)));
    rig.host.step();
    assert_ne!(rig.rx_word1(31) & rx::DD, 0);
    assert_eq!(raw::descriptor(&rig.tx_ring, 0), [0, tx::DD]);
}

#[test]
fn a_device_that_is_gone_reads_as_ones() {
    let rig = Rig::up(Rig::options());
    rig.wire.push(frame_to(MAC, 60));
    rig.device.set_gone(true);
    assert_eq!((rig.regs.read(regs::STATUS), rig.function.config_read::<u16>(0).ok()), (u32::MAX, Some(0xffff)));
    assert!(!rig.host.step() && rig.function.reset().is_err() && rig.wire.waiting() == 1);
    rig.device.raise(BusEvent::RemoveRequested);
    assert_eq!((rig.function.poll_event(), rig.function.poll_event()), (Some(BusEvent::RemoveRequested), None));
}
