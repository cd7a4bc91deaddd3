//! Receive-side scaling: the PF's hash and table, which the VFs of the 82599 and X540 share, or the VF's own of the X550.

use super::{IxgbevfOptions, pf};
use crate::{frame::Rss, models::intel::path::Spread};
use vfwire_spec::{
    intel::adv::rx::RssType,
    ixgbevf::{Family, control::RSS_KEY_BYTES, regs},
};

/// VFMRQC: hashes IPv4 addresses and UDP ports, IPv6 addresses and UDP ports.
const IPV4_UDP: u32 = 1 << 22;
const IPV6_UDP: u32 = 1 << 23;

/// The RSS registers, and what they mean for this device.
#[derive(Debug)]
pub(super) struct RssUnit {
    device: Family,
    udp: bool,
    /// VFPSRTYPE.
    pub(super) packet_split: u32,
    /// VFMRQC.
    pub(super) control: u32,
    /// VFRSSRK.
    pub(super) key: [u32; 10],
    /// VFRETA.
    pub(super) table: [u32; 16],
    changed: bool,
}

impl RssUnit {
    pub(super) fn new(options: &IxgbevfOptions) -> Self {
        let (device, udp) = (options.device, options.rss_udp);
        Self { device, udp, packet_split: 0, control: 0, key: [0; 10], table: [0; 16], changed: false }
    }

    pub(super) fn reset(&mut self) {
        *self = Self { device: self.device, udp: self.udp, packet_split: 0, control: 0, key: [0; 10], table: [0; 16], changed: false };
    }

    pub(super) fn write_control(&mut self, value: u32) {
        self.control = value;
        self.changed = true;
    }

    pub(super) fn write_key(&mut self, word: usize, value: u32) {
        self.key[word] = value;
        self.changed = true;
    }

    pub(super) fn write_table(&mut self, word: usize, value: u32) {
        self.table[word] = value;
        self.changed = true;
    }

    /// The registers were written since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn hash(&self) -> Rss {
        if !self.device.has_own_rss() {
            // What Linux' PF turns on (`ixgbe_setup_mrqc`).
            let shared = [RssType::IPV4, RssType::IPV4_TCP, RssType::IPV6, RssType::IPV6_TCP, RssType::IPV4_UDP, RssType::IPV6_UDP];
            return Rss::with_key(&pf::KEY).only(if self.udp { &shared } else { &shared[..4] });
        }
        let kinds = [
            (regs::VFMRQC_IPV4_TCP, RssType::IPV4_TCP),
            (regs::VFMRQC_IPV4, RssType::IPV4),
            (regs::VFMRQC_IPV6, RssType::IPV6),
            (regs::VFMRQC_IPV6_TCP, RssType::IPV6_TCP),
            (IPV4_UDP, RssType::IPV4_UDP),
            (IPV6_UDP, RssType::IPV6_UDP),
        ];
        let is_on = self.control & regs::VFMRQC_RSS_EN != 0;
        let kinds: Vec<RssType> = kinds.iter().filter(|(bit, _)| is_on && self.control & bit != 0).map(|(_, kind)| *kind).collect();
        let mut key = [0; RSS_KEY_BYTES];
        key.copy_from_slice(self.key.map(u32::to_le_bytes).as_flattened());
        Rss::with_key(&key).only(&kinds)
    }

    pub(super) fn spread(&self) -> Spread {
        let table = if self.device.has_own_rss() { self.table.map(u32::to_le_bytes).as_flattened().to_vec() } else { pf::reta().to_vec() };
        let queues = 1u8 << (self.packet_split >> regs::VFPSRTYPE_RQPL_SHIFT).min(3);
        Spread { table, mask: queues - 1, avoids_queues_that_are_off: false }
    }
}
