//! The control queue (5.1.6.5): what the driver asks for, decoded from its bytes.

use super::{
    filters::Filters,
    steering::{HASH_TYPES, Steering, Table},
};
use crate::models::Violations;
use std::collections::HashSet;
use vfwire_spec::{
    net::{MAC_BYTES, MacAddr},
    virtio::{
        control::{announce, mac, mq, rx, vlan},
        features::Features,
        net::{RSS_KEY_BYTES, RSS_TABLE_ENTRIES},
    },
};

/// What commands change.
pub(super) struct Net<'a> {
    pub(super) agreed: Features,
    pub(super) max_pairs: u16,
    pub(super) filters: &'a mut Filters,
    pub(super) steering: &'a mut Steering,
    /// The driver is asked to announce itself.
    pub(super) announce: &'a mut bool,
    /// The configuration has changed.
    pub(super) changed: &'a mut bool,
    pub(super) violations: &'a mut Violations,
    /// Class and command of what is refused.
    pub(super) refused: &'a HashSet<(u8, u8)>,
    /// The host grants what it would refuse an ordinary function.
    pub(super) trusted: bool,
    /// The address that the host has given.
    pub(super) assigned_mac: Option<MacAddr>,
}

/// The rest of a command's bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (now, later) = self.0.split_at_checked(count)?;
        self.0 = later;
        Some(now)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn half(&mut self) -> Option<u16> {
        self.bytes(2).and_then(<[u8]>::first_chunk).map(|bytes| u16::from_le_bytes(*bytes))
    }

    fn word(&mut self) -> Option<u32> {
        self.bytes(4).and_then(<[u8]>::first_chunk).map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn mac(&mut self) -> Option<MacAddr> {
        self.bytes(MAC_BYTES).and_then(<[u8]>::first_chunk).map(|octets| MacAddr(*octets))
    }

    fn macs(&mut self) -> Option<Vec<MacAddr>> {
        let count = usize::try_from(self.word()?).ok()?;
        let bytes = self.bytes(count.checked_mul(MAC_BYTES)?)?;
        Some(bytes.as_chunks().0.iter().map(|octets| MacAddr(*octets)).collect())
    }
}

impl Net<'_> {
    /// Does what the bytes say. Whether it is done: the acknowledgement.
    pub(super) fn run(&mut self, bytes: &[u8]) -> bool {
        let mut data = Reader(bytes);
        let (Some(class), Some(command)) = (data.byte(), data.byte()) else {
            self.violations.record("a command has a class and a number", format_args!("{bytes:x?}"));
            return false;
        };
        let Some(needs) = needs(class, command) else { return false };
        if !self.agreed.contains(needs) {
            let detail = format_args!("class {class}, command {command} without {needs}");
            self.violations.record("a command is given only with its feature", detail);
            return false;
        }
        if self.refused.contains(&(class, command)) {
            return false;
        }
        if self.needs_trust(class, command, data.0) {
            return false;
        }
        let done = match class {
            rx::CLASS => self.set_mode(command, &mut data),
            mac::CLASS if command == mac::TABLE_SET => self.set_table(&mut data),
            mac::CLASS => self.set_mac(&mut data),
            vlan::CLASS => data.half().filter(|id| *id < 4096).map(|id| self.filters.set_vlan(id, command == vlan::ADD)),
            announce::CLASS => {
                *self.announce = false;
                *self.changed = true;
                Some(())
            }
            mq::CLASS if command == mq::VQ_PAIRS_SET => self.set_pairs(&mut data),
            mq::CLASS => self.set_hash(command == mq::RSS_CONFIG, &mut data),
            _ => None,
        };
        if done.is_none() || !data.0.is_empty() {
            self.violations.record("a command has the data that belong to it", format_args!("{bytes:x?}"));
        }
        done.is_some()
    }

    /// The host does not let this function have it.
    fn needs_trust(&self, class: u8, command: u8, data: &[u8]) -> bool {
        let is_privileged = match (class, command) {
            (rx::CLASS, rx::PROMISC) => data == [1],
            (mac::CLASS, mac::ADDR_SET) => self.assigned_mac.is_some_and(|mac| data != mac.octets()),
            _ => false,
        };
        is_privileged && !self.trusted
    }

    fn set_mode(&mut self, command: u8, data: &mut Reader<'_>) -> Option<()> {
        let on = match data.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let filters = &mut *self.filters;
        let mode = match command {
            rx::PROMISC => &mut filters.promiscuous,
            rx::ALLMULTI => &mut filters.all_multicast,
            rx::ALLUNI => &mut filters.all_unicast,
            rx::NOMULTI => &mut filters.no_multicast,
            rx::NOUNI => &mut filters.no_unicast,
            _ => &mut filters.no_broadcast,
        };
        *mode = on;
        Some(())
    }

    fn set_table(&mut self, data: &mut Reader<'_>) -> Option<()> {
        let (unicast, multicast) = (data.macs()?, data.macs()?);
        let sorted = !unicast.iter().any(|mac| mac.is_multicast()) && multicast.iter().all(|mac| mac.is_multicast());
        sorted.then(|| self.filters.set_table(unicast, multicast))
    }

    fn set_mac(&mut self, data: &mut Reader<'_>) -> Option<()> {
        self.filters.mac = Some(data.mac()?);
        *self.changed = true;
        Some(())
    }

    fn set_pairs(&mut self, data: &mut Reader<'_>) -> Option<()> {
        let pairs = data.half().filter(|pairs| (1..=self.max_pairs).contains(pairs))?;
        self.steering.pairs = pairs;
        self.steering.table = None;
        Some(())
    }

    /// Both commands have the same layout: the second one's table is one reserved entry, its other halves are reserved too.
    fn set_hash(&mut self, with_table: bool, data: &mut Reader<'_>) -> Option<()> {
        let types = data.word()?;
        let (mask, unclassified) = (data.half()?, data.half()?);
        let entries = mask.checked_add(1).filter(|entries| entries.is_power_of_two() && *entries <= RSS_TABLE_ENTRIES)?;
        let queues: Vec<u16> = (0..entries).map(|_| data.half()).collect::<Option<_>>()?;
        let max_tx = data.half()?;
        let key_bytes = usize::from(data.byte()?);
        let key = data.bytes(key_bytes)?;
        if types & !HASH_TYPES != 0 || key_bytes > RSS_KEY_BYTES {
            return None;
        }
        if !with_table {
            let reserved = [mask, unclassified, queues[0], max_tx];
            self.steering.set_hash(types, key);
            return (reserved == [0; 4]).then_some(());
        }
        let inside = queues.iter().chain([&unclassified]).all(|queue| *queue < self.max_pairs);
        if !inside || !(1..=self.max_pairs).contains(&max_tx) {
            return None;
        }
        self.steering.set_hash(types, key);
        self.steering.pairs = max_tx;
        self.steering.table = Some(Table { queues, unclassified });
        Some(())
    }
}

/// The feature that a command needs; `None` where there is no such command.
fn needs(class: u8, command: u8) -> Option<Features> {
    Some(match (class, command) {
        (rx::CLASS, rx::PROMISC | rx::ALLMULTI) => Features::CTRL_RX,
        (rx::CLASS, rx::ALLUNI..=rx::NOBCAST) => Features::CTRL_RX_EXTRA,
        (mac::CLASS, mac::TABLE_SET) => Features::CTRL_RX,
        (mac::CLASS, mac::ADDR_SET) => Features::CTRL_MAC_ADDR,
        (vlan::CLASS, vlan::ADD | vlan::DEL) => Features::CTRL_VLAN,
        (announce::CLASS, announce::ACK) => Features::GUEST_ANNOUNCE,
        (mq::CLASS, mq::VQ_PAIRS_SET) => Features::MQ,
        (mq::CLASS, mq::RSS_CONFIG) => Features::RSS,
        (mq::CLASS, mq::HASH_CONFIG) => Features::HASH_REPORT,
        _ => return None,
    })
}
