//! Checksums: what the device says of received ones, and the ones that it puts in.

use crate::{
    bench::{Setup, assert_same},
    filters::vlans,
    fixture::Fixture,
    frames::{Datagram, PEER, frame, tagged},
};
use vfwire_core::{
    meta::{Checksum, L4, TxOffload},
    port::Intent,
};

/// TCP and UDP over IPv4 and IPv6.
fn kinds(payload_bytes: usize) -> [Datagram; 4] {
    [(false, L4::Udp), (false, L4::Tcp), (true, L4::Udp), (true, L4::Tcp)].map(|(ipv6, l4)| Datagram {
        ipv6,
        l4,
        source_port: 4000,
        payload_bytes,
    })
}

fn asking(datagram: &Datagram) -> TxOffload {
    let l3_bytes = datagram.l3_bytes();
    let asked = TxOffload::default().l4_checksum(datagram.l4, datagram.ipv6, 14, l3_bytes);
    if datagram.ipv6 { asked } else { asked.ipv4_checksum(14, l3_bytes) }
}

/// What the device says of a wrong checksum.
fn wrong<F: Fixture>(l4: L4) -> Checksum {
    if F::TRAITS.finds_wrong.contains(&l4) { Checksum::Bad } else { Checksum::Unknown }
}

/// Right checksums are found right and wrong ones wrong, each by itself; the frame is delivered either way.
pub fn received_checksums_are_judged<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let to = bench.mac();
        for datagram in [20, 21, 1400].into_iter().flat_map(kinds) {
            let good = datagram.frame(to, PEER);
            let got = bench.receive_of([good.clone()]).remove(0);
            assert_eq!(got.bytes, good);
            let judged = |ip| if datagram.ipv6 || !F::TRAITS.judges_ip_headers { Checksum::Unknown } else { ip };
            let ip = judged(Checksum::Good);
            assert_eq!((got.meta.ip_checksum, got.meta.l4_checksum), (ip, Checksum::Good), "{datagram:?}");
            let mut bad_l4 = good.clone();
            *bad_l4.last_mut().expect("it has a payload") ^= 0x10;
            let got = bench.receive_of([bad_l4.clone()]).remove(0);
            assert_eq!(got.bytes, bad_l4, "the application decides what becomes of it");
            let bad = wrong::<F>(datagram.l4);
            assert_eq!((got.meta.ip_checksum, got.meta.l4_checksum), (ip, bad), "{datagram:?}");
            if !datagram.ipv6 {
                let mut bad_ip = good.clone();
                bad_ip[Datagram::IPV4_CHECKSUM_AT] ^= 0x10;
                let got = bench.receive_of([bad_ip]).remove(0);
                assert_eq!((got.meta.ip_checksum, got.meta.l4_checksum), (judged(Checksum::Bad), Checksum::Good), "{datagram:?}");
            }
        }
        let got = bench.receive_of([frame(to, 60, 1)]).remove(0);
        assert_eq!((got.meta.ip_checksum, got.meta.l4_checksum), (Checksum::Unknown, Checksum::Unknown), "neither IP nor TCP nor UDP");
        assert_eq!(bench.stats().rx[0].errors, 0);
    }
}

/// What the device said of a frame is kept where the frame leaves its burst or meets others.
pub fn metadata_travels_with_the_frame<F: Fixture>() {
    let mut bench = Setup::new::<F>().intent(vlans(&[100])).start::<F>();
    let (to, mut burst) = (bench.mac(), bench.pool.burst(8));
    let [good, _, _, mut bad] = kinds(40).map(|datagram| datagram.frame(to, PEER));
    *bad.last_mut().expect("it has a payload") ^= 1;
    bench.inject([tagged(&good, 0x2064), bad, frame(to, 60, 1)]);
    bench.settle();
    use vfwire_core::queue::RxQueue as _;
    assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), 3);
    let in_burst: Vec<_> = burst.iter_mut().map(|frame| frame.meta()).collect();
    let tag = F::TRAITS.strips_tags.then_some(0x2064);
    assert_eq!(in_burst.iter().map(|meta| meta.vlan_tci).collect::<Vec<_>>(), [tag, None, None]);
    let judged = [Checksum::Good, wrong::<F>(L4::Tcp), Checksum::Unknown];
    assert_eq!(in_burst.iter().map(|meta| meta.l4_checksum).collect::<Vec<_>>(), judged);
    let packets: Vec<_> = (0..3).rev().map(|at| burst.swap_take(at)).collect();
    for (packet, meta) in packets.into_iter().rev().zip(&in_burst) {
        assert_eq!(packet.meta(), *meta, "in a packet");
        burst.push(packet).expect("there is room");
    }
    bench.inject([frame(to, 60, 2)]);
    bench.settle();
    assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), 1);
    let again: Vec<_> = burst.iter_mut().map(|frame| frame.meta()).collect();
    assert_eq!(again[..3], in_burst, "back in a burst, beside frames that have just come");
    burst.clear(&mut bench.cache);
}

/// The device puts in what an independent sum finds right, for every length and kind, alone and with a VLAN tag.
pub fn checksums_are_inserted<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.intent(vlans(&[7])).start::<F>();
        let from = bench.mac();
        for payload_bytes in [18, 19, 20, 100, 999, 1440] {
            let asked: Vec<_> = kinds(payload_bytes).map(|datagram| (datagram.unsummed(PEER, from), asking(&datagram))).into();
            let expected: Vec<_> = kinds(payload_bytes).map(|datagram| datagram.frame(PEER, from)).into();
            assert_same(&bench.send(0, &asked), &expected, format_args!("{payload_bytes} bytes of payload"));
            let asked: Vec<_> = asked.into_iter().map(|(frame, asked)| (frame, asked.vlan(0x4007))).collect();
            let expected: Vec<_> = expected.iter().map(|frame| tagged(frame, 0x4007)).collect();
            assert_same(&bench.send(0, &asked), &expected, format_args!("{payload_bytes} bytes of payload, with a tag"));
        }
        // The headers' checksum alone.
        let datagram = kinds(64)[0];
        let mut unsummed = datagram.frame(PEER, from);
        unsummed[Datagram::IPV4_CHECKSUM_AT..][..2].fill(0);
        let sent = bench.send(0, &[(unsummed, TxOffload::default().ipv4_checksum(14, 20))]);
        assert_eq!(sent, [datagram.frame(PEER, from)]);
    }
}

/// Frames with and without requests alternate on a small ring that goes round many times, in bursts of every length.
pub fn requests_change_from_frame_to_frame<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.rings(32).intent(vlans(&[7])).start::<F>();
        let from = bench.mac();
        let choice = |at: usize| {
            let datagram = kinds(30 + at % 50)[at % 4];
            match at * 7 % 5 {
                0 | 3 => (datagram.frame(PEER, from), TxOffload::default(), datagram.frame(PEER, from)),
                1 => (datagram.unsummed(PEER, from), asking(&datagram), datagram.frame(PEER, from)),
                _ => (datagram.unsummed(PEER, from), asking(&datagram).vlan(7), tagged(&datagram.frame(PEER, from), 7)),
            }
        };
        let mut at = 0;
        for count in (1..60).chain((1..60).rev()) {
            let chosen: Vec<_> = (at..at + count).map(choice).collect();
            let frames: Vec<_> = chosen.iter().map(|(frame, asked, _)| (frame.clone(), *asked)).collect();
            let sent = bench.send(0, &frames);
            assert!(sent.iter().eq(chosen.iter().map(|(_, _, expected)| expected)), "{}: frames from {at} on", setup_name(&bench));
            at += count;
        }
        use vfwire_core::queue::TxQueue as _;
        assert_eq!(bench.tx[0].in_flight(), 0);
        assert_eq!(bench.stats().tx[0].frames, at as u64, "context descriptors are no frames");
    }
}

fn setup_name<F: Fixture>(bench: &crate::bench::Bench<F>) -> &'static str {
    use vfwire_core::queue::TxQueue as _;
    bench.tx[0].path().name()
}

/// Checksums of frames that span buffers.
pub fn checksums_over_several_buffers<F: Fixture>() {
    let mut bench = Setup::new::<F>().intent(Intent { mtu_bytes: 9000, ..Intent::default() }).start::<F>();
    let (own, payload_bytes) = (bench.mac(), 8000);
    for datagram in kinds(payload_bytes) {
        let whole = datagram.frame(PEER, own);
        assert_same(&bench.send(0, &[(datagram.unsummed(PEER, own), asking(&datagram))]), &[whole], format_args!("{datagram:?}"));
        let got = bench.receive_of([datagram.frame(own, PEER)]).remove(0);
        assert_eq!((got.bytes, got.meta.l4_checksum), (datagram.frame(own, PEER), Checksum::Good));
    }
}
