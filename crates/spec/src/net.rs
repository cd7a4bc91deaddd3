//! Ethernet: addresses, VLAN identifiers, EtherTypes and frame sizes.
//!
//! Role: the vocabulary that drivers, models and the command share. Owns no buffer and parses no frame.

use core::fmt;
use core::str::FromStr;

/// Bytes of a MAC address.
pub const MAC_BYTES: usize = 6;
/// Bytes of an untagged Ethernet header: destination, source, EtherType (IEEE 802.3, 3.1.1).
pub const ETH_HEADER_BYTES: usize = 14;
/// Bytes of the frame check sequence, which hosts neither send nor see: the device adds and strips it (IEEE 802.3, 3.2.9).
pub const ETH_FCS_BYTES: usize = 4;
/// Bytes of one VLAN tag: TPID and TCI (IEEE 802.1Q, 9.3).
pub const VLAN_TAG_BYTES: usize = 4;
/// Shortest frame without FCS (IEEE 802.3, 4A.4.2: minFrameSize 64 bytes with FCS).
pub const ETH_MIN_FRAME_BYTES: usize = 60;
/// The MTU of standard Ethernet: bytes after the header (IEEE 802.3, 3.2.7: maxBasicDataSize).
pub const ETH_MTU_BYTES: usize = 1500;
/// Longest untagged standard frame without FCS.
pub const ETH_MAX_FRAME_BYTES: usize = ETH_HEADER_BYTES + ETH_MTU_BYTES;
/// Smallest MTU that still carries IPv4 (RFC 791, 3.1: every host forwards 68 bytes).
pub const MIN_MTU_BYTES: usize = 68;
/// The MTU that is usual for jumbo frames; no standard names it.
pub const JUMBO_MTU_BYTES: usize = 9000;

/// EtherType of IPv4 (RFC 894).
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP (RFC 826).
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of a VLAN tag: the customer tag's TPID (IEEE 802.1Q, table 9-1).
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// EtherType of IPv6 (RFC 2464, 3).
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of a service VLAN tag (IEEE 802.1Q, table 9-1).
pub const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
/// EtherType for experiments on one's own network (IEEE 802, 9.2.4: local experimental EtherType 1).
pub const ETHERTYPE_EXPERIMENTAL: u16 = 0x88b5;

/// A MAC address, in the order in which its bytes are sent (IEEE 802, 8.2).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; MAC_BYTES]);

const _: () = assert!(size_of::<MacAddr>() == MAC_BYTES);

impl MacAddr {
    /// All zeros: "no address" in mailbox replies; never valid on the wire.
    pub const ZERO: Self = Self([0; MAC_BYTES]);
    /// All ones: every station.
    pub const BROADCAST: Self = Self([0xff; MAC_BYTES]);

    /// The bytes, first sent first.
    pub const fn octets(self) -> [u8; MAC_BYTES] {
        self.0
    }

    /// An address of one station: the group bit is clear and it is not all zeros.
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && !self.is_zero()
    }

    /// An address of a group of stations: the group bit is set. The broadcast address is one of them.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// The address of every station.
    pub const fn is_broadcast(self) -> bool {
        self.to_u64() == 0xffff_ffff_ffff
    }

    /// All zeros.
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }

    /// Administered locally, not by its maker (IEEE 802, 8.4.2: the U/L bit is set).
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// A unicast address of our own making from `random` bits: group bit cleared, local bit set.
    pub const fn local_from(random: [u8; MAC_BYTES]) -> Self {
        let mut octets = random;
        octets[0] = octets[0] & !1 | 2;
        Self(octets)
    }

    /// The address as it lies in two mailbox words: memory order, the first byte sent is the lowest byte of the first word. The upper
    /// half of the second word is not part of the address.
    pub const fn from_words(words: [u32; 2]) -> Self {
        let [a, b, c, d] = words[0].to_le_bytes();
        let [e, f, _, _] = words[1].to_le_bytes();
        Self([a, b, c, d, e, f])
    }

    /// The two mailbox words that hold the address in memory order; the upper half of the second is zero.
    pub const fn to_words(self) -> [u32; 2] {
        let [a, b, c, d, e, f] = self.0;
        [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, 0, 0])]
    }

    const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

impl From<[u8; MAC_BYTES]> for MacAddr {
    fn from(octets: [u8; MAC_BYTES]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseMacError;

impl fmt::Display for ParseMacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a MAC address: write six pairs of hexadecimal digits, as in 02:00:5e:10:00:01")
    }
}

impl core::error::Error for ParseMacError {}

impl FromStr for MacAddr {
    type Err = ParseMacError;

    /// Six pairs of hexadecimal digits, separated by colons or hyphens throughout.
    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut parts = text.split(separator);
        let mut octets = [0; MAC_BYTES];
        for octet in &mut octets {
            *octet = parts.next().and_then(hex_pair).ok_or(ParseMacError)?;
        }
        if parts.next().is_some() { Err(ParseMacError) } else { Ok(Self(octets)) }
    }
}

/// Two hexadecimal digits; `from_str_radix` alone would take "+1" for one.
fn hex_pair(part: &str) -> Option<u8> {
    let two_digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if two_digits { u8::from_str_radix(part, 16).ok() } else { None }
}

/// A VLAN identifier: 0 (priority tag only) to 4094; 4095 is reserved (IEEE 802.1Q, 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct VlanId(u16);

impl VlanId {
    /// Bits of the identifier in a tag control information field; the others are priority (15:13) and drop eligible (12).
    pub const TCI_MASK: u16 = 0x0fff;
    /// The greatest identifier.
    pub const MAX: Self = Self(4094);

    /// `None` above 4094.
    pub const fn new(id: u16) -> Option<Self> {
        if id <= Self::MAX.0 { Some(Self(id)) } else { None }
    }

    /// The identifier in a tag control information field; `None` for the reserved 4095.
    pub const fn from_tci(tci: u16) -> Option<Self> {
        Self::new(tci & Self::TCI_MASK)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn kinds_of_addresses() {
        let station = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        let group = MacAddr([0x01, 0, 0x5e, 0, 0, 1]);
        assert!(station.is_unicast() && !station.is_multicast() && station.is_local());
        assert!(group.is_multicast() && !group.is_unicast() && !group.is_broadcast());
        assert!(MacAddr::BROADCAST.is_broadcast() && MacAddr::BROADCAST.is_multicast());
        assert!(MacAddr::ZERO.is_zero() && !MacAddr::ZERO.is_unicast() && !MacAddr::ZERO.is_multicast());
    }

    #[test]
    fn a_local_address_is_unicast_and_local() {
        let made = MacAddr::local_from([0xff; 6]);
        assert_eq!(made.octets(), [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert!(made.is_unicast() && made.is_local());
        assert!(MacAddr::local_from([0; 6]).is_unicast());
    }

    #[test]
    fn text_goes_both_ways() {
        let mac = MacAddr([0x02, 0x00, 0x5e, 0x10, 0x00, 0xab]);
        assert_eq!(mac.to_string(), "02:00:5e:10:00:ab");
        assert_eq!("02:00:5E:10:00:ab".parse(), Ok(mac));
        assert_eq!("02-00-5e-10-00-ab".parse(), Ok(mac));
    }

    #[test]
    fn bad_text_is_an_error() {
        for text in ["", "02", "02:00:5e:10:00", "02:00:5e:10:00:ab:00", "02:00:5e:10:00:ag", "02:00:5e:10:0:abc", "+2:00:5e:10:00:ab"] {
            assert_eq!(text.parse::<MacAddr>(), Err(ParseMacError), "{text}");
        }
        assert_eq!("02:00-5e:10:00:ab".parse::<MacAddr>(), Err(ParseMacError));
    }

    /// DPDK `e1000_vf.c`, `e1000_reset_hw_vf`: the address is copied byte by byte from the memory of words 1 and 2.
    #[test]
    fn mailbox_words_are_in_memory_order() {
        let mac = MacAddr([1, 2, 3, 4, 5, 6]);
        assert_eq!(mac.to_words(), [0x0403_0201, 0x0605]);
        assert_eq!(MacAddr::from_words([0x0403_0201, 0xffff_0605]), mac);
    }

    #[test]
    fn vlan_identifiers_are_bounded() {
        assert_eq!(VlanId::new(4095), None);
        assert_eq!(VlanId::new(4094), Some(VlanId::MAX));
        assert_eq!(VlanId::from_tci(0xe064).map(VlanId::get), Some(100));
        assert_eq!(VlanId::from_tci(0xffff), None);
    }
}
