//! Which frames the VF receives and which it may send ("Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, 7.10, pool
//! selection and anti-spoofing; registers VMOLR, MTA, VLVF, DTXSWC).

use vfwire_spec::{
    igbvf::control::multicast_hash,
    net::{ETH_FCS_BYTES, ETH_HEADER_BYTES, ETH_MTU_BYTES, MacAddr, VLAN_TAG_BYTES, VlanId},
};

/// Why a frame is not received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// Not for this VF: its address or its VLAN.
    Filtered,
    /// Longer than the VF may receive, or shorter than its header.
    Size,
}

#[derive(Debug)]
pub(super) struct Filters {
    pub(super) mac: Option<MacAddr>,
    pub(super) promiscuous_unicast: bool,
    pub(super) promiscuous_multicast: bool,
    /// The longest frame, FCS and VLAN tag included (VMOLR.RLPML); without it, standard frames.
    pub(super) long_frame_bytes: Option<u16>,
    spoofchk: bool,
    multicast: Bits,
    vlans: Bits,
}

impl Filters {
    pub(super) fn new(spoofchk: bool) -> Self {
        Self {
            mac: None,
            promiscuous_unicast: false,
            promiscuous_multicast: false,
            long_frame_bytes: None,
            spoofchk,
            multicast: Bits::default(),
            vlans: Bits::default(),
        }
    }

    /// Back to what a VF has that asked for nothing. The MAC address stays.
    pub(super) fn reset(&mut self) {
        *self = Self { mac: self.mac, ..Self::new(self.spoofchk) };
    }

    pub(super) fn set_multicast(&mut self, hashes: &[u16]) {
        self.multicast = Bits::default();
        hashes.iter().for_each(|hash| self.multicast.set(*hash, true));
    }

    pub(super) fn set_vlan(&mut self, vlan: VlanId, join: bool) {
        self.vlans.set(vlan.get(), join);
    }

    /// Tags are taken out of received frames: from the first joined VLAN other than 0 on.
    pub(super) fn strips(&self, tci: u16) -> bool {
        tci & VlanId::TCI_MASK != 0 && self.is_joined(tci)
    }

    /// May the VF receive this frame, whose VLAN tag is `tci`?
    #[inline]
    pub(super) fn receive(&self, frame: &[u8], tci: Option<u16>) -> Result<(), Refused> {
        let Some(destination) = frame.first_chunk().filter(|_| frame.len() >= ETH_HEADER_BYTES) else { return Err(Refused::Size) };
        if !self.is_for_us(MacAddr(*destination)) || !tci.is_none_or(|tci| self.is_joined(tci)) {
            return Err(Refused::Filtered);
        }
        let allowed_bytes = match self.long_frame_bytes {
            Some(bytes) => usize::from(bytes),
            None => ETH_HEADER_BYTES + ETH_MTU_BYTES + ETH_FCS_BYTES + tci.map_or(0, |_| VLAN_TAG_BYTES),
        };
        if frame.len() + ETH_FCS_BYTES > allowed_bytes { Err(Refused::Size) } else { Ok(()) }
    }

    /// May the VF send this frame, whose VLAN tag is `tci`?
    pub(super) fn may_send(&self, frame: &[u8], tci: Option<u16>) -> bool {
        !self.spoofchk || self.mac.is_some_and(|mac| frame[6..12] == mac.0) && tci.is_none_or(|tci| self.is_joined(tci))
    }

    fn is_for_us(&self, destination: MacAddr) -> bool {
        if !destination.is_multicast() {
            return self.promiscuous_unicast || self.mac == Some(destination);
        }
        destination.is_broadcast() || self.promiscuous_multicast || self.multicast.get(multicast_hash(destination))
    }

    fn is_joined(&self, tci: u16) -> bool {
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
        filters.long_frame_bytes = Some(9022);
        assert_eq!(filters.receive(&frame(MAC.0, 9018), None), Ok(()));
        assert_eq!(filters.receive(&frame(MAC.0, 9019), None), Err(Refused::Size));
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
        filters.long_frame_bytes = Some(9022);
        filters.reset();
        assert_eq!(filters.mac, Some(MAC));
        assert!(!filters.promiscuous_unicast && filters.long_frame_bytes.is_none() && !filters.strips(7));
        assert!(!filters.may_send(&frame([0xff; 6], 60), None), "anti-spoofing is the PF's setting and stays");
    }
}
