use super::*;

/// An Ethernet header, with a VLAN tag where one is given.
fn ethernet(tci: Option<u16>, ethertype: u16, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    if let Some(tci) = tci {
        frame.extend(ETHERTYPE_VLAN.to_be_bytes());
        frame.extend(tci.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(rest);
    frame
}

/// A datagram of five bytes.
fn ipv4_udp(udp_checksum: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 33, 0, 1, 0, 0, 64, UDP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    let header = Sum::of(&packet).checksum().to_be_bytes();
    packet[10..12].copy_from_slice(&header);
    packet.extend([0x30, 0x39, 0, 53, 0, 13]);
    packet.extend(udp_checksum.to_be_bytes());
    packet.extend(b"hello");
    packet
}

/// The checksum of these words, in the plain way of RFC 1071, 4.1.
fn plain_checksum(words: &[u16]) -> u16 {
    let mut sum = words.iter().map(|&word| u32::from(word)).sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

/// What the checksum of [`ipv4_udp`] covers: pseudo header, UDP header, data.
const COVERED: [u16; 12] = [0xc000, 0x0201, 0xc000, 0x0202, 0x0011, 0x000d, 0x3039, 0x0035, 0x000d, 0x6865, 0x6c6c, 0x6f00];

#[test]
fn udp_over_ipv4_with_padding() {
    for tci in [None, Some(0x2064)] {
        let mut frame = ethernet(tci, ETHERTYPE_IPV4, &ipv4_udp(plain_checksum(&COVERED)));
        frame.resize(64, 0xaa);
        let headers = Headers::parse(&frame);
        let network_at = if tci.is_some() { 18 } else { 14 };
        assert_eq!((headers.vlan_tci, headers.network_at, headers.transport_at), (tci, network_at, network_at + 20));
        assert_eq!((headers.network, headers.transport), (Network::V4 { options: false }, Transport::Udp));
        assert_eq!(headers.packet_end, network_at + 33);
        assert_eq!((headers.ip_checksum_is_good(&frame), headers.l4_checksum_is_good(&frame)), (Some(true), Some(true)));
        frame[network_at + 32] ^= 1;
        assert_eq!((headers.ip_checksum_is_good(&frame), headers.l4_checksum_is_good(&frame)), (Some(true), Some(false)));
        frame[network_at + 8] ^= 1;
        assert_eq!(headers.ip_checksum_is_good(&frame), Some(false));
    }
}

#[test]
fn udp_without_a_checksum_is_not_checked() {
    let frame = ethernet(None, ETHERTYPE_IPV4, &ipv4_udp(0));
    let headers = Headers::parse(&frame);
    assert_eq!((headers.transport, headers.l4_checksum_is_good(&frame)), (Transport::Udp, None));
}

#[test]
fn a_fragment_has_no_transport() {
    for (flags, transport) in [(0x2000u16, Transport::Other), (0x0001, Transport::Other), (0x4000, Transport::Udp)] {
        let mut packet = ipv4_udp(0);
        packet[6..8].copy_from_slice(&flags.to_be_bytes());
        assert_eq!(Headers::parse(&ethernet(None, ETHERTYPE_IPV4, &packet)).transport, transport);
    }
}

#[test]
fn tcp_over_ipv6_behind_extensions() {
    let mut packet = vec![0x60, 0, 0, 0, 0, 36, DESTINATION_OPTIONS, 64];
    packet.extend([1; 16]);
    packet.extend([2; 16]);
    packet.extend([HOP_BY_HOP, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend([TCP, 0, 1, 4, 0, 0, 0, 0]);
    let tcp = packet.len();
    packet.extend([0, 80, 1, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0x10, 0, 0, 0, 0, 0]);
    let words = |bytes: &[u8]| bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect::<Vec<_>>();
    let mut covered = words(&packet[8..40]);
    covered.extend([0, 20, 0, 6]);
    covered.extend(words(&packet[tcp..]));
    packet[tcp + 16..tcp + 18].copy_from_slice(&plain_checksum(&covered).to_be_bytes());
    let frame = ethernet(None, ETHERTYPE_IPV6, &packet);
    let headers = Headers::parse(&frame);
    assert_eq!((headers.network, headers.transport), (Network::V6 { extensions: true }, Transport::Tcp));
    assert_eq!(headers.transport_at, 14 + tcp);
    assert_eq!((headers.ip_checksum_is_good(&frame), headers.l4_checksum_is_good(&frame)), (None, Some(true)));
}

#[test]
fn no_frame_panics() {
    let whole = ethernet(Some(1), ETHERTYPE_IPV4, &ipv4_udp(0));
    for len in 0..whole.len() {
        let headers = Headers::parse(&whole[..len]);
        assert_eq!(headers.transport, Transport::Other, "cut to {len}");
        let _ = (headers.ip_checksum_is_good(&whole[..len]), headers.l4_checksum_is_good(&whole[..len]));
        let _ = headers.addresses(&whole[..len]);
    }
    for ethertype in [ETHERTYPE_IPV4, ETHERTYPE_IPV6] {
        for fill in [0x00, 0x45, 0x4f, 0x60, 0xff] {
            for len in [0, 19, 20, 39, 40, 41, 100] {
                let frame = ethernet(None, ethertype, &vec![fill; len]);
                let headers = Headers::parse(&frame);
                let _ = (headers.ip_checksum_is_good(&frame), headers.l4_checksum_is_good(&frame), headers.addresses(&frame).len());
            }
        }
    }
}
