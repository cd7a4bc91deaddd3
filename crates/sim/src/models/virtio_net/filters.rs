//! Which frames the device receives (5.1.6.5.1 to 5.1.6.5.3), decided as QEMU's device does (`hw/net/virtio-net.c`, receive_filter).

use vfwire_spec::net::{ETH_HEADER_BYTES, ETHERTYPE_VLAN, MAC_BYTES, MacAddr};

/// Addresses beyond its own that the device tells apart. With more of a kind it receives all of that kind.
const TABLE: usize = 64;
const VLANS: usize = 4096;

#[derive(Debug)]
pub(super) struct Filters {
    pub(super) mac: Option<MacAddr>,
    pub(super) promiscuous: bool,
    pub(super) all_multicast: bool,
    pub(super) all_unicast: bool,
    pub(super) no_multicast: bool,
    pub(super) no_unicast: bool,
    pub(super) no_broadcast: bool,
    unicast: Option<Vec<MacAddr>>,
    multicast: Option<Vec<MacAddr>>,
    vlans: Vec<bool>,
}

impl Filters {
    /// After a reset everything is received, until the driver says otherwise. Tagged frames are filtered only where the driver controls that.
    pub(super) fn new(mac: Option<MacAddr>, filters_vlans: bool) -> Self {
        Self {
            mac,
            promiscuous: true,
            all_multicast: false,
            all_unicast: false,
            no_multicast: false,
            no_unicast: false,
            no_broadcast: false,
            unicast: Some(Vec::new()),
            multicast: Some(Vec::new()),
            vlans: vec![!filters_vlans; VLANS],
        }
    }

    /// Replaces both tables. The first one has unicast addresses only, the second multicast addresses.
    pub(super) fn set_table(&mut self, unicast: Vec<MacAddr>, multicast: Vec<MacAddr>) {
        let fitting = |table: Vec<MacAddr>| (table.len() <= TABLE).then_some(table);
        self.unicast = fitting(unicast);
        self.multicast = fitting(multicast);
    }

    pub(super) fn set_vlan(&mut self, id: u16, receives: bool) {
        if let Some(vlan) = self.vlans.get_mut(usize::from(id)) {
            *vlan = receives;
        }
    }

    pub(super) fn receives(&self, frame: &[u8]) -> bool {
        if self.promiscuous {
            return true;
        }
        let Some(destination) = frame.first_chunk().map(|octets| MacAddr(*octets)) else { return false };
        if vlan(frame).is_some_and(|id| !self.vlans[usize::from(id)]) {
            return false;
        }
        if destination.is_broadcast() {
            return !self.no_broadcast;
        }
        if destination.is_multicast() {
            return !self.no_multicast && (self.all_multicast || is_in(&self.multicast, destination));
        }
        !self.no_unicast && (self.all_unicast || self.mac == Some(destination) || is_in(&self.unicast, destination))
    }
}

/// In the table; a table that has overflowed holds everything.
fn is_in(table: &Option<Vec<MacAddr>>, address: MacAddr) -> bool {
    table.as_ref().is_none_or(|table| table.contains(&address))
}

/// The VLAN of a tagged frame, 0 to 4095.
fn vlan(frame: &[u8]) -> Option<u16> {
    let tag = frame.get(2 * MAC_BYTES..ETH_HEADER_BYTES + 2)?;
    let is_tagged = tag[..2] == ETHERTYPE_VLAN.to_be_bytes();
    is_tagged.then(|| u16::from_be_bytes([tag[2], tag[3]]) & 0xfff)
}
