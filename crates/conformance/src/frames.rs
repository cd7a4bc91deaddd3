//! Frames that scenarios send, and the checksums in them. Written apart from the simulator's code, so that one mistake cannot hide in both.

use vfwire_core::meta::L4;
use vfwire_spec::net::{ETHERTYPE_EXPERIMENTAL, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, MacAddr};

/// The far end of the wire.
pub const PEER: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 1]);
/// A station that is neither end.
pub const STRANGER: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 2]);

/// A frame of `len_bytes` whose bytes depend on `number`, so that no other frame and no shifted one equals it.
pub fn frame(to: MacAddr, len_bytes: usize, number: usize) -> Vec<u8> {
    let mut frame = header(to, PEER, ETHERTYPE_EXPERIMENTAL);
    let number = number as u64;
    frame.extend(number.to_be_bytes());
    let mut state = number ^ (len_bytes as u64) << 48 ^ 0x9e37_79b9_7f4a_7c15;
    while frame.len() < len_bytes {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        frame.extend(state.to_le_bytes());
    }
    frame.truncate(len_bytes);
    frame
}

/// The `number` that [`frame`] was made with.
pub fn number_of(frame: &[u8]) -> Option<usize> {
    usize::try_from(u64::from_be_bytes(*frame.get(14..)?.first_chunk()?)).ok()
}

/// The same frame with a VLAN tag (IEEE 802.1Q, 9.3).
pub fn tagged(frame: &[u8], tci: u16) -> Vec<u8> {
    [&frame[..12], &ETHERTYPE_VLAN.to_be_bytes(), &tci.to_be_bytes(), &frame[12..]].concat()
}

fn header(to: MacAddr, from: MacAddr, ethertype: u16) -> Vec<u8> {
    [&to.0[..], &from.0, &ethertype.to_be_bytes()].concat()
}

/// A TCP or UDP datagram of one flow.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// IPv6, otherwise IPv4 without options.
    pub ipv6: bool,
    /// TCP or UDP.
    pub l4: L4,
    /// What tells its flow from others.
    pub source_port: u16,
    /// Bytes of payload.
    pub payload_bytes: usize,
}

impl Datagram {
    /// Bytes of the network header.
    pub fn l3_bytes(&self) -> u16 {
        if self.ipv6 { 40 } else { 20 }
    }

    fn is_udp(&self) -> bool {
        matches!(self.l4, L4::Udp)
    }

    fn protocol(&self) -> u8 {
        if self.is_udp() { 17 } else { 6 }
    }

    fn l4_bytes(&self) -> usize {
        self.payload_bytes + if self.is_udp() { 8 } else { 20 }
    }

    /// Where the IPv4 header checksum is.
    pub const IPV4_CHECKSUM_AT: usize = 14 + 10;

    /// Where the transport checksum is.
    pub fn l4_checksum_at(&self) -> usize {
        14 + usize::from(self.l3_bytes()) + if self.is_udp() { 6 } else { 16 }
    }

    fn length(bytes: usize) -> [u8; 2] {
        u16::try_from(bytes).expect("a datagram of a test is short").to_be_bytes()
    }

    /// The frame as it is handed to a device that puts the checksums in: no IPv4 header checksum, and the pseudo header's sum in the
    /// transport checksum's place (82576EB data sheet, 7.2.5).
    pub fn unsummed(&self, to: MacAddr, from: MacAddr) -> Vec<u8> {
        let mut frame = header(to, from, if self.ipv6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 });
        if self.ipv6 {
            frame.extend([0x60, 0, 0, 0]);
            frame.extend(Self::length(self.l4_bytes()));
            frame.extend([self.protocol(), 64]);
            // RFC 3849.
            frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        } else {
            frame.extend([0x45, 0]);
            frame.extend(Self::length(20 + self.l4_bytes()));
            frame.extend([0, 1, 0x40, 0, 64, self.protocol(), 0, 0]);
            // RFC 5737.
            frame.extend([192, 0, 2, 1, 192, 0, 2, 2]);
        }
        frame.extend(self.source_port.to_be_bytes());
        frame.extend([0, 9]);
        if self.is_udp() {
            frame.extend(Self::length(self.l4_bytes()));
        } else {
            frame.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0x10, 0]);
        }
        frame.extend(if self.is_udp() { &[0, 0][..] } else { &[0, 0, 0, 0] });
        frame.extend((0..self.payload_bytes).map(|at| u8::try_from(at * 7 % 251).unwrap_or(0)));
        let pseudo = fold(self.pseudo_sum(&frame));
        frame[self.l4_checksum_at()..][..2].copy_from_slice(&pseudo.to_be_bytes());
        frame
    }

    /// The frame with all checksums right.
    pub fn frame(&self, to: MacAddr, from: MacAddr) -> Vec<u8> {
        let mut frame = self.unsummed(to, from);
        if !self.ipv6 {
            let sum = !fold(sum(&frame[14..34]));
            frame[Self::IPV4_CHECKSUM_AT..][..2].copy_from_slice(&sum.to_be_bytes());
        }
        // The field holds the pseudo header's sum, so the sum over header and data is the whole one.
        let sum = !fold(sum(&frame[14 + usize::from(self.l3_bytes())..]));
        let sum = if sum == 0 && self.is_udp() { 0xffff } else { sum };
        frame[self.l4_checksum_at()..][..2].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    /// RFC 768; RFC 9293, 3.1; RFC 8200, 8.1.
    fn pseudo_sum(&self, frame: &[u8]) -> u32 {
        let addresses = if self.ipv6 { &frame[22..54] } else { &frame[26..34] };
        let length = u32::try_from(self.l4_bytes()).expect("a datagram of a test is short");
        sum(addresses) + u32::from(self.protocol()) + length
    }
}

/// RFC 1071 in the plainest way.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    u16::try_from((once & 0xffff) + (once >> 16)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071, 3: the sum of 00 01 f2 03 f4 f5 f6 f7 is ddf2.
    #[test]
    fn the_published_sum() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    #[test]
    fn a_right_checksum_makes_the_sum_all_ones() {
        for (ipv6, l4) in [(false, L4::Udp), (false, L4::Tcp), (true, L4::Udp), (true, L4::Tcp)] {
            let datagram = Datagram { ipv6, l4, source_port: 4242, payload_bytes: 33 };
            let frame = datagram.frame(PEER, STRANGER);
            let segment = &frame[14 + usize::from(datagram.l3_bytes())..];
            assert_eq!(fold(datagram.pseudo_sum(&frame) + sum(segment)), 0xffff);
            assert!(ipv6 || fold(sum(&frame[14..34])) == 0xffff);
        }
    }

    #[test]
    fn no_two_frames_are_alike() {
        let frames: std::collections::HashSet<_> = (0..500).map(|number| frame(PEER, 60, number)).collect();
        assert_eq!(frames.len(), 500);
        assert_eq!(number_of(&frame(PEER, 60, 77)), Some(77));
        assert_eq!(tagged(&frame(PEER, 60, 7), 0x2064).len(), 64);
    }
}
