//! What a device says about a frame, and what it is asked to do with one.
//!
//! A burst keeps the descriptor's words as the device wrote them; they are decoded only where the application asks. A frame that
//! leaves its burst as a [`Packet`](crate::packet::Packet), or meets frames of another device, carries the neutral form.

/// What the device found out about a checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checksum {
    /// It did not look.
    #[default]
    Unknown,
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
}

/// What the device says about a received frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RxMeta {
    /// RSS hash, where the device computed one.
    pub rss_hash: Option<u32>,
    /// The VLAN tag's TCI (IEEE 802.1Q: priority, DEI, VLAN id), where the device took it out of the frame.
    pub vlan_tci: Option<u16>,
    /// Checksum of the IPv4 header.
    pub ip_checksum: Checksum,
    /// Checksum of TCP, UDP or SCTP.
    pub l4_checksum: Checksum,
}

const HAS_HASH: u64 = 1;
const HAS_VLAN: u64 = 2;

impl RxMeta {
    pub(crate) fn to_neutral(self) -> [u64; 2] {
        let first = u64::from(self.rss_hash.unwrap_or(0)) | u64::from(self.vlan_tci.unwrap_or(0)) << 32;
        let flags = if self.rss_hash.is_some() { HAS_HASH } else { 0 } | if self.vlan_tci.is_some() { HAS_VLAN } else { 0 };
        [first, flags | (self.ip_checksum as u64) << 8 | (self.l4_checksum as u64) << 10]
    }

    #[expect(clippy::cast_possible_truncation, reason = "fields of a word")]
    fn from_neutral(words: &[u64; 2]) -> Self {
        let checksum = |at: u32| match words[1] >> at & 3 {
            1 => Checksum::Good,
            2 => Checksum::Bad,
            _ => Checksum::Unknown,
        };
        Self {
            rss_hash: (words[1] & HAS_HASH != 0).then_some(words[0] as u32),
            vlan_tci: (words[1] & HAS_VLAN != 0).then_some((words[0] >> 32) as u16),
            ip_checksum: checksum(8),
            l4_checksum: checksum(10),
        }
    }
}

/// How the words of a burst's descriptors are read.
#[derive(Debug)]
pub struct RxWords {
    /// Names the format: two of the same name are the same.
    pub name: &'static str,
    /// Reads two words as the device wrote them.
    pub decode: fn(&[u64; 2]) -> RxMeta,
}

pub(crate) static NEUTRAL: RxWords = RxWords { name: "neutral", decode: RxMeta::from_neutral };

/// Which checksum of the transport layer a device is to put in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum L4 {
    /// UDP (RFC 768).
    Udp,
    /// TCP (RFC 9293).
    Tcp,
    /// SCTP (RFC 9260).
    Sctp,
}

/// What a device is asked to do with a frame that is sent. Empty: nothing.
///
/// For a transport checksum the frame must hold the pseudo-header's sum in the checksum field, as data sheets ask (for example 82576EB
/// data sheet, 7.2.5); [`Self::l4_checksum`] says where the headers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TxOffload(u64);

// Layout: l2 bytes 0..7, l3 bytes 7..16, l4 kind 16..18 (0: none), IPv4 checksum 18, IPv6 19, VLAN 20, l4 bytes 24..32, TCI 32..48, MSS 48..62.
const IP_CHECKSUM: u64 = 1 << 18;
const IPV6: u64 = 1 << 19;
const VLAN: u64 = 1 << 20;

impl TxOffload {
    /// Put in the checksum of the IPv4 header, which is `l3_bytes` long and starts after `l2_bytes` (14, or 18 with a VLAN tag).
    #[must_use]
    pub fn ipv4_checksum(self, l2_bytes: u8, l3_bytes: u16) -> Self {
        Self(self.0 & !0xffff | Self::headers(l2_bytes, l3_bytes) | IP_CHECKSUM)
    }

    /// Put in a transport checksum, after headers of `l2_bytes` and `l3_bytes`.
    #[must_use]
    pub fn l4_checksum(self, kind: L4, ipv6: bool, l2_bytes: u8, l3_bytes: u16) -> Self {
        let kind = match kind {
            L4::Udp => 1,
            L4::Tcp => 2,
            L4::Sctp => 3,
        };
        Self(self.0 & !0x3_ffff | Self::headers(l2_bytes, l3_bytes) | kind << 16 | if ipv6 { IPV6 } else { 0 })
    }

    /// Put in a VLAN tag with this TCI.
    #[must_use]
    pub fn vlan(self, tci: u16) -> Self {
        Self(self.0 & !(0xffff << 32) | VLAN | u64::from(tci) << 32)
    }

    /// Cut TCP payload into segments of `mss_bytes`, after a TCP header of `l4_bytes`. Together with [`Self::l4_checksum`]. The sum of the
    /// pseudo-header leaves the length out then, and the IP header's length and checksum are 0: each segment has its own.
    #[must_use]
    pub fn segment(self, l4_bytes: u8, mss_bytes: u16) -> Self {
        Self(self.0 | u64::from(l4_bytes) << 24 | u64::from(mss_bytes & 0x3fff) << 48)
    }

    const fn headers(l2_bytes: u8, l3_bytes: u16) -> u64 {
        (l2_bytes & 0x7f) as u64 | ((l3_bytes & 0x1ff) as u64) << 7
    }

    /// Nothing is asked.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Length of the link layer's header in bytes.
    pub fn l2_bytes(self) -> u64 {
        self.0 & 0x7f
    }
    /// Length of the network layer's header in bytes.
    pub fn l3_bytes(self) -> u64 {
        self.0 >> 7 & 0x1ff
    }
    /// Which transport checksum.
    pub fn l4(self) -> Option<L4> {
        match self.0 >> 16 & 3 {
            1 => Some(L4::Udp),
            2 => Some(L4::Tcp),
            3 => Some(L4::Sctp),
            _ => None,
        }
    }
    /// Whether the IPv4 header's checksum.
    pub fn wants_ipv4_checksum(self) -> bool {
        self.0 & IP_CHECKSUM != 0
    }
    /// Whether the network layer is IPv6.
    pub fn is_ipv6(self) -> bool {
        self.0 & IPV6 != 0
    }
    /// The VLAN tag to put in.
    pub fn vlan_tci(self) -> Option<u16> {
        #[expect(clippy::cast_possible_truncation, reason = "a field of a word")]
        (self.0 & VLAN != 0).then_some((self.0 >> 32) as u16)
    }
    /// Length of the TCP header and of a segment's payload in bytes, where segmentation is asked for.
    pub fn segmentation(self) -> Option<(u64, u64)> {
        let mss = self.0 >> 48 & 0x3fff;
        (mss != 0).then_some((self.0 >> 24 & 0xff, mss))
    }

    pub(crate) fn to_word(self) -> u64 {
        self.0
    }
    pub(crate) fn from_word(word: u64) -> Self {
        Self(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neutral_form_keeps_everything() {
        for meta in [
            RxMeta::default(),
            RxMeta { rss_hash: Some(0xdead_beef), vlan_tci: Some(0x6fff), ip_checksum: Checksum::Bad, l4_checksum: Checksum::Good },
            RxMeta { rss_hash: Some(0), vlan_tci: None, ip_checksum: Checksum::Good, l4_checksum: Checksum::Bad },
        ] {
            assert_eq!(RxMeta::from_neutral(&meta.to_neutral()), meta);
        }
    }

    #[test]
    fn requests_keep_everything() {
        let asked = TxOffload::default().ipv4_checksum(14, 20).l4_checksum(L4::Tcp, false, 14, 20).vlan(0x2005).segment(20, 1460);
        assert!(asked.wants_ipv4_checksum() && !asked.is_ipv6());
        assert_eq!((asked.l2_bytes(), asked.l3_bytes(), asked.l4()), (14, 20, Some(L4::Tcp)));
        assert_eq!((asked.vlan_tci(), asked.segmentation()), (Some(0x2005), Some((20, 1460))));
        assert!(TxOffload::default().is_empty() && TxOffload::default().vlan_tci().is_none());
    }
}
