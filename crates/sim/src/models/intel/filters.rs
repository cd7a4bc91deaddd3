//! Which frames the VF receives and which it may send ("Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, 7.10, pool
//! selection and anti-spoofing; registers VMOLR, MTA, VLVF, DTXSWC; "Intel 82599 10 GbE Controller Datasheet", rev. 3.4, 7.10; registers
//! PFVML2FLT, MTA, PFVLVF, PFVFSPOOF, MAXFRS).

use std::collections::BTreeSet;
use vfwire_spec::{
    intel::request::HashBits,
    net::{ETH_FCS_BYTES, ETH_HEADER_BYTES, ETH_MTU_BYTES, MacAddr, VLAN_TAG_BYTES, VlanId},
};

/// Why a frame is not received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// Not for this VF: its address or its VLAN.
    Filtered,
    /// Longer than the VF may receive, or shorter than its header.
    Size,
}

/// The longest frame, FCS included, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Longest {
    /// Whether tagged or not (VMOLR.RLPML).
    WithTag(u16),
    /// A tagged frame may have four bytes more (MAXFRS).
    BesideTag(u16),
}

impl Longest {
    /// Without jumbo frames.
    #[expect(clippy::cast_possible_truncation, reason = "1518")]
    pub(crate) const STANDARD: Self = Self::BesideTag((ETH_HEADER_BYTES + ETH_MTU_BYTES + ETH_FCS_BYTES) as u16);

    /// The longest frame with (or without) a tag.
    #[inline]
    pub(crate) fn bytes(self, is_tagged: bool) -> usize {
        match self {
            Self::WithTag(bytes) => usize::from(bytes),
            Self::BesideTag(bytes) => usize::from(bytes) + if is_tagged { VLAN_TAG_BYTES } else { 0 },
        }
    }
}

#[derive(Debug)]
pub(crate) struct Filters {
    pub(crate) mac: Option<MacAddr>,
    /// Further unicast addresses.
    pub(crate) others: BTreeSet<MacAddr>,
    pub(crate) promiscuous_unicast: bool,
    pub(crate) promiscuous_multicast: bool,
    /// Groups of the multicast table are received.
    pub(crate) uses_table: bool,
    pub(crate) broadcast: bool,
    pub(crate) longest: Longest,
    pub(crate) spoofchk: bool,
    pub(crate) hash_bits: HashBits,
    multicast: Bits,
    vlans: Bits,
}

impl Filters {
    pub(crate) fn new(spoofchk: bool) -> Self {
        Self {
            mac: None,
            others: BTreeSet::new(),
            promiscuous_unicast: false,
            promiscuous_multicast: false,
            uses_table: true,
            broadcast: true,
            longest: Longest::STANDARD,
            spoofchk,
            hash_bits: HashBits::BITS_47_36,
            multicast: Bits::default(),
            vlans: Bits::default(),
        }
    }

    /// Back to what a VF has that asked for nothing. The MAC address stays.
    pub(crate) fn reset(&mut self) {
        *self = Self { mac: self.mac, hash_bits: self.hash_bits, ..Self::new(self.spoofchk) };
    }

    /// The groups with these hashes, and no others.
    pub(crate) fn set_multicast(&mut self, hashes: &[u16]) {
        self.multicast = Bits::default();
        self.add_multicast(hashes);
    }

    /// The groups with these hashes, too.
    pub(crate) fn add_multicast(&mut self, hashes: &[u16]) {
        hashes.iter().for_each(|hash| self.multicast.set(*hash, true));
    }

    pub(crate) fn leave_all_vlans(&mut self) {
        self.vlans = Bits::default();
    }

    pub(crate) fn joined_vlans(&self) -> u32 {
        self.vlans.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(crate) fn set_vlan(&mut self, vlan: VlanId, join: bool) {
        self.vlans.set(vlan.get(), join);
    }

    /// Tags are taken out of received frames: from the first joined VLAN other than 0 on.
    pub(crate) fn strips(&self, tci: u16) -> bool {
        tci & VlanId::TCI_MASK != 0 && self.is_joined(tci)
    }

    /// May the VF receive this frame, whose VLAN tag is `tci`?
    #[inline]
    pub(crate) fn receive(&self, frame: &[u8], tci: Option<u16>) -> Result<(), Refused> {
        let Some(destination) = frame.first_chunk().filter(|_| frame.len() >= ETH_HEADER_BYTES) else { return Err(Refused::Size) };
        if !self.is_for_us(MacAddr(*destination)) || !tci.is_none_or(|tci| self.is_joined(tci)) {
            return Err(Refused::Filtered);
        }
        if frame.len() + ETH_FCS_BYTES > self.longest.bytes(tci.is_some()) { Err(Refused::Size) } else { Ok(()) }
    }

    /// May the VF send this frame, whose VLAN tag is `tci`?
    pub(crate) fn may_send(&self, frame: &[u8], tci: Option<u16>) -> bool {
        !self.spoofchk || self.mac.is_some_and(|mac| frame[6..12] == mac.0) && tci.is_none_or(|tci| self.is_joined(tci))
    }

    fn is_for_us(&self, destination: MacAddr) -> bool {
        if !destination.is_multicast() {
            return self.promiscuous_unicast || self.mac == Some(destination) || self.others.contains(&destination);
        }
        let in_table = || self.uses_table && self.multicast.get(self.hash_bits.hash(destination));
        if destination.is_broadcast() { self.broadcast } else { self.promiscuous_multicast || in_table() }
    }

    pub(crate) fn is_joined(&self, tci: u16) -> bool {
        self.vlans.get(tci & VlanId::TCI_MASK)
    }
}

/// A set of 12-bit numbers.
#[derive(Debug)]
struct Bits([u64; 64]);

impl Default for Bits {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Bits {
    fn get(&self, number: u16) -> bool {
        self.0[Self::word(number)] >> (number % 64) & 1 != 0
    }

    fn set(&mut self, number: u16, member: bool) {
        let bit = 1 << (number % 64);
        let word = &mut self.0[Self::word(number)];
        *word = if member { *word | bit } else { *word & !bit };
    }

    fn word(number: u16) -> usize {
        usize::from(number & 0xfff) / 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 1]);

    fn filters() -> Filters {
        Filters { mac: Some(MAC), ..Filters::new(true) }
    }

    fn frame(destination: [u8; 6], len_bytes: usize) -> Vec<u8> {
        let mut frame = vec![0; len_bytes];
        frame[..6].copy_from_slice(&destination);
        frame
    }

    #[test]
    fn own_and_broadcast_addresses_pass() {
        let filters = filters();
        assert_eq!(filters.receive(&frame(MAC.0, 60), None), Ok(()));
        assert_eq!(filters.receive(&frame([0xff; 6], 60), None), Ok(()));
        assert_eq!(filters.receive(&frame([0x02, 0, 0, 0, 0, 2], 60), None), Err(Refused::Filtered));
        assert_eq!(Filters::new(true).receive(&frame([0; 6], 60), None), Err(Refused::Filtered));
        assert_eq!(filters.receive(&MAC.0, None), Err(Refused::Size));
    }

    #[test]
    fn multicast_passes_by_its_hash() {
        let mut filters = filters();
        let group = MacAddr([0x01, 0, 0x5e, 0, 0, 0xfb]);
        // The same twelve upper bits, so the same place in the table.
        let twin = MacAddr([0x01, 0, 0x5e, 0x7f, 0x0f, 0xfb]);
        filters.set_multicast(&[0xfb0]);
        assert_eq!(filters.receive(&frame(group.0, 60), None), Ok(()));
        assert_eq!(filters.receive(&frame(twin.0, 60), None), Ok(()));
        assert_eq!(filters.receive(&frame([0x01, 0, 0x5e, 0, 0, 0xfc], 60), None), Err(Refused::Filtered));
        filters.set_multicast(&[]);
        assert_eq!(filters.receive(&frame(group.0, 60), None), Err(Refused::Filtered));
        filters.promiscuous_multicast = true;
        assert_eq!(filters.receive(&frame(group.0, 60), None), Ok(()));
        let mut other_bits = Filters { hash_bits: HashBits::BITS_43_32, ..self::filters() };
        other_bits.add_multicast(&[HashBits::BITS_43_32.hash(group)]);
        assert_eq!(other_bits.receive(&frame(group.0, 60), None), Ok(()));
        other_bits.uses_table = false;
        assert_eq!(other_bits.receive(&frame(group.0, 60), None), Err(Refused::Filtered));
    }

    #[test]
    fn vlans_pass_once_joined() {
        let mut filters = filters();
        let vlan = VlanId::new(100).expect("a VLAN");
        let tci = Some(0x2064);
        assert_eq!(filters.receive(&frame(MAC.0, 64), tci), Err(Refused::Filtered));
        filters.set_vlan(vlan, true);
        assert_eq!(filters.receive(&frame(MAC.0, 64), tci), Ok(()));
        assert!(filters.strips(0x2064) && !filters.strips(0x2065));
        filters.set_vlan(vlan, false);
        assert_eq!(filters.receive(&frame(MAC.0, 64), tci), Err(Refused::Filtered));
    }

    #[test]
    fn the_longest_frame_counts_its_fcs() {
        let mut filters = filters();
        filters.set_vlan(VlanId::new(100).expect("a VLAN"), true);
        assert_eq!(filters.receive(&frame(MAC.0, 1514), None), Ok(()));
        assert_eq!(filters.receive(&frame(MAC.0, 1515), None), Err(Refused::Size));
        assert_eq!(filters.receive(&frame(MAC.0, 1518), Some(100)), Ok(()));
        assert_eq!(filters.receive(&frame(MAC.0, 1519), Some(100)), Err(Refused::Size));
        filters.longest = Longest::WithTag(9022);
        assert_eq!(filters.receive(&frame(MAC.0, 9018), None), Ok(()));
        assert_eq!(filters.receive(&frame(MAC.0, 9019), None), Err(Refused::Size));
        filters.longest = Longest::BesideTag(9018);
        assert_eq!(filters.receive(&frame(MAC.0, 9018), Some(100)), Ok(()));
        assert_eq!(filters.receive(&frame(MAC.0, 9015), None), Err(Refused::Size));
    }

    #[test]
    fn foreign_sources_and_vlans_are_spoofed() {
        let mut filters = filters();
        let mut own = frame([0xff; 6], 60);
        own[6..12].copy_from_slice(&MAC.0);
        let foreign = frame([0xff; 6], 60);
        assert!(filters.may_send(&own, None) && !filters.may_send(&foreign, None) && !filters.may_send(&own, Some(7)));
        filters.set_vlan(VlanId::new(7).expect("a VLAN"), true);
        assert!(filters.may_send(&own, Some(7)));
        filters.spoofchk = false;
        assert!(filters.may_send(&foreign, Some(8)));
    }

    #[test]
    fn a_reset_keeps_only_the_address() {
        let mut filters = filters();
        filters.set_multicast(&[1]);
        filters.set_vlan(VlanId::new(7).expect("a VLAN"), true);
        filters.promiscuous_unicast = true;
        filters.longest = Longest::WithTag(9022);
        filters.reset();
        assert_eq!(filters.mac, Some(MAC));
        assert!(!filters.promiscuous_unicast && filters.longest == Longest::STANDARD && !filters.strips(7));
        assert!(!filters.may_send(&frame([0xff; 6], 60), None), "anti-spoofing is the PF's setting and stays");
    }
}
