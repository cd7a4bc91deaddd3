//! The mark that every frame of a stream carries as the last 18 bytes of its payload, so that what comes back is known for ours.
//!
//! | bytes | content (most significant first) |
//! |---|---|
//! | 0 to 1 | magic, 7677 hexadecimal |
//! | 2 | number of the trial, modulo 256: late frames of an earlier one are told apart |
//! | 3 to 5 | direction (4 bits) and flow (20 bits) |
//! | 6 to 9 | sequence number within the flow, modulo 2³² |
//! | 10 to 13 | time of departure in nanoseconds, modulo 2³²: latencies up to 4.29 s are told |
//! | 14 to 17 | CRC-32 (IEEE 802.3) of the payload before it; zero where checksums are off |
//!
//! It lies at the end, so that what comes before it, of whatever length, is summed once and for all: a frame costs the CRC of 14 bytes. It
//! is found by the lengths in the headers, so a frame may be padded, lose or gain a VLAN tag, or get other addresses on its way. With UDP
//! over IPv4 it just fits a frame of 64 bytes.

use vfwire_spec::net::{ETH_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, VLAN_TAG_BYTES};

/// Bytes of a mark.
pub const MARK_BYTES: usize = 18;
/// Bytes of it that the CRC covers.
pub(crate) const SUMMED_BYTES: usize = 14;
const MAGIC: [u8; 2] = [0x76, 0x77];
/// Directions that one tester tells apart.
pub(crate) const DIRECTIONS_MAX: usize = 16;
const FLOW_BITS: u32 = 20;
/// Tags that are looked behind.
const TAGS_MAX: usize = 2;

/// IP protocol numbers (IANA).
pub(crate) const PROTOCOL_TCP: u8 = 6;
pub(crate) const PROTOCOL_UDP: u8 = 17;

/// What a mark says, without its CRC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) trial: u8,
    pub(crate) direction: u8,
    pub(crate) flow: u32,
    pub(crate) sequence: u32,
    pub(crate) time_ns: u32,
}

impl Mark {
    #[inline(always)]
    pub(crate) fn encode(self) -> [u8; SUMMED_BYTES] {
        let [_, a, b, c] = (u32::from(self.direction) << FLOW_BITS | self.flow).to_be_bytes();
        let ([d, e, f, g], [h, i, j, k]) = (self.sequence.to_be_bytes(), self.time_ns.to_be_bytes());
        [MAGIC[0], MAGIC[1], self.trial, a, b, c, d, e, f, g, h, i, j, k]
    }

    /// The mark at the end of a payload, and its CRC; nothing where there is none.
    #[inline(always)]
    pub(crate) fn decode(payload: &[u8]) -> Option<(Self, u32)> {
        let &[m0, m1, trial, a, b, c, d, e, f, g, h, i, j, k, w, x, y, z] = payload.last_chunk::<MARK_BYTES>()?;
        let place = u32::from_be_bytes([0, a, b, c]);
        let [direction, ..] = (place >> FLOW_BITS).to_le_bytes();
        let mark = Self {
            trial,
            direction,
            flow: place & ((1 << FLOW_BITS) - 1),
            sequence: u32::from_be_bytes([d, e, f, g]),
            time_ns: u32::from_be_bytes([h, i, j, k]),
        };
        ([m0, m1] == MAGIC).then_some((mark, u32::from_be_bytes([w, x, y, z])))
    }
}

/// Whether a payload has the CRC that its mark gives, or was sent without one.
pub(crate) fn is_sound(payload: &[u8], crc: u32) -> bool {
    crc == 0 || crc32fast::hash(&payload[..payload.len().saturating_sub(MARK_BYTES - SUMMED_BYTES)]) == crc
}

/// The payload of a UDP datagram or TCP segment, by the lengths that its headers give; nothing where there is none, or it is cut.
#[inline]
pub(crate) fn payload(frame: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| frame.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let mut at = ETH_HEADER_BYTES;
    let mut kind = word(at - 2)?;
    for _ in 0..TAGS_MAX {
        if kind == ETHERTYPE_VLAN || kind == ETHERTYPE_SERVICE_VLAN {
            at += VLAN_TAG_BYTES;
            kind = word(at - 2)?;
        }
    }
    let (protocol, begin, end) = match kind {
        ETHERTYPE_IPV4 => {
            let header = usize::from(frame.get(at)? & 15) * 4;
            (*frame.get(at + 9)?, at + header, at + usize::from(word(at + 2)?))
        }
        ETHERTYPE_IPV6 => (*frame.get(at + 6)?, at + 40, at + 40 + usize::from(word(at + 4)?)),
        _ => return None,
    };
    let header = match protocol {
        PROTOCOL_UDP => 8,
        PROTOCOL_TCP => usize::from(frame.get(begin + 12)? >> 4) * 4,
        _ => return None,
    };
    frame.get(begin + header..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Mark { trial: 200, direction: 15, flow: 0xf_ffff, sequence: 0x0102_0304, time_ns: 0xfefd_fcfb };
        let mut payload = vec![9; 5];
        payload.extend(mark.encode());
        payload.extend([1, 2, 3, 4]);
        assert_eq!(Mark::decode(&payload), Some((mark, 0x0102_0304)));
        assert_eq!(Mark::decode(&payload[6..]), None, "it is cut");
        payload[5] ^= 1;
        assert_eq!(Mark::decode(&payload), None);
    }

    #[test]
    fn no_frame_is_beyond_it() {
        for len in 0..80 {
            for fill in [0, 0x45, 0xff] {
                let mut frame = vec![fill; len];
                for kind in [ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN] {
                    if let Some(bytes) = frame.get_mut(12..14) {
                        bytes.copy_from_slice(&kind.to_be_bytes());
                    }
                    let _ = payload(&frame);
                }
            }
        }
    }
}
