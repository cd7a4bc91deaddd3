//! Commands of the control queue (5.1.6.5): class, command and data, which the device reads, and one byte that it writes.

use crate::net::{MAC_BYTES, MacAddr, VlanId};

/// The device has done it (5.1.6.5).
pub const ACK_OK: u8 = 0;
/// The device has not done it (5.1.6.5).
pub const ACK_ERR: u8 = 1;
/// Bytes before the data: class and command.
pub const HEADER_BYTES: usize = 2;

/// Receive modes (5.1.6.5.1).
pub mod rx {
    /// Class.
    pub const CLASS: u8 = 0;
    /// Receives everything, or no longer; one byte, 1 or 0.
    pub const PROMISC: u8 = 0;
    /// Receives every multicast frame, or no longer.
    pub const ALLMULTI: u8 = 1;
    /// Receives every unicast frame, or no longer; with CTRL_RX_EXTRA, as those that follow.
    pub const ALLUNI: u8 = 2;
    /// Receives no multicast frame, or again.
    pub const NOMULTI: u8 = 3;
    /// Receives no unicast frame, or again.
    pub const NOUNI: u8 = 4;
    /// Receives no broadcast frame, or again.
    pub const NOBCAST: u8 = 5;
}

/// MAC addresses (5.1.6.5.2).
pub mod mac {
    /// Class.
    pub const CLASS: u8 = 1;
    /// The addresses beyond the device's own: a table of unicast and one of multicast, each a count of 32 bits and the addresses.
    pub const TABLE_SET: u8 = 0;
    /// The device's own address, six bytes; with CTRL_MAC_ADDR.
    pub const ADDR_SET: u8 = 1;
}

/// VLAN filtering (5.1.6.5.3).
pub mod vlan {
    /// Class.
    pub const CLASS: u8 = 2;
    /// Receives frames of a VLAN, 16 bits.
    pub const ADD: u8 = 0;
    /// No longer.
    pub const DEL: u8 = 1;
}

/// Announcements (5.1.6.5.4).
pub mod announce {
    /// Class.
    pub const CLASS: u8 = 3;
    /// The request was seen; no data.
    pub const ACK: u8 = 0;
}

/// Several queues (5.1.6.5.5).
pub mod mq {
    /// Class.
    pub const CLASS: u8 = 4;
    /// How many pairs are used, 16 bits (5.1.6.5.6).
    pub const VQ_PAIRS_SET: u8 = 0;
    /// Receive-side scaling (5.1.6.5.7).
    pub const RSS_CONFIG: u8 = 1;
    /// What is hashed for the report, where there is no receive-side scaling (5.1.6.5.6.4).
    pub const HASH_CONFIG: u8 = 2;
}

/// Parameters of receive-side scaling (5.1.6.5.7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RssConfig<'a> {
    /// Bits of [`hash_type`](super::net::hash_type).
    pub hash_types: u32,
    /// Receive queue of frames that have no hash.
    pub unclassified_queue: u16,
    /// Receive queues by the lowest bits of the hash: a power of two of them.
    pub table: &'a [u16],
    /// How many transmit queues are used.
    pub max_tx_vq: u16,
    /// The key.
    pub key: &'a [u8],
}

/// A command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command<'a> {
    /// A receive mode of [`rx`], on or off.
    Rx(u8, bool),
    /// The addresses to receive beyond the device's own, replacing those before.
    MacTable {
        /// Addresses of stations.
        unicast: &'a [MacAddr],
        /// Addresses of groups.
        multicast: &'a [MacAddr],
    },
    /// The device's own address.
    Mac(MacAddr),
    /// Receives frames of a VLAN, or no longer.
    Vlan(VlanId, bool),
    /// The request to announce was seen.
    AnnounceAck,
    /// So many pairs are used.
    Pairs(u16),
    /// Receive-side scaling.
    Rss(RssConfig<'a>),
    /// What is hashed for the report.
    Hash {
        /// Bits of [`hash_type`](super::net::hash_type).
        hash_types: u32,
        /// The key.
        key: &'a [u8],
    },
}

impl Command<'_> {
    /// Writes what the device reads into `out` and says how many bytes it has. `None` where `out` is too short, or where the command
    /// cannot be told: a table that has no power of two of entries or more than 32768, a key above 255 bytes.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer { out, len: 0 };
        match *self {
            Self::Rx(command, on) => writer.all(&[&[rx::CLASS, command, u8::from(on)]])?,
            Self::MacTable { unicast, multicast } => {
                writer.all(&[&[mac::CLASS, mac::TABLE_SET]])?;
                for table in [unicast, multicast] {
                    writer.put(&u32::try_from(table.len()).ok()?.to_le_bytes())?;
                    table.iter().try_for_each(|address| writer.put(&address.octets()))?;
                }
            }
            Self::Mac(address) => writer.all(&[&[mac::CLASS, mac::ADDR_SET], &address.octets()])?,
            Self::Vlan(id, joins) => {
                let command = if joins { vlan::ADD } else { vlan::DEL };
                writer.all(&[&[vlan::CLASS, command], &id.get().to_le_bytes()])?;
            }
            Self::AnnounceAck => writer.put(&[announce::CLASS, announce::ACK])?,
            Self::Pairs(pairs) => writer.all(&[&[mq::CLASS, mq::VQ_PAIRS_SET], &pairs.to_le_bytes()])?,
            Self::Rss(config) => {
                let mask = u16::try_from(config.table.len().checked_sub(1)?).ok()?;
                if !config.table.len().is_power_of_two() {
                    return None;
                }
                writer.all(&[&[mq::CLASS, mq::RSS_CONFIG], &config.hash_types.to_le_bytes(), &mask.to_le_bytes()])?;
                writer.put(&config.unclassified_queue.to_le_bytes())?;
                config.table.iter().try_for_each(|queue| writer.put(&queue.to_le_bytes()))?;
                writer.put(&config.max_tx_vq.to_le_bytes())?;
                writer.key(config.key)?;
            }
            Self::Hash { hash_types, key } => {
                writer.all(&[&[mq::CLASS, mq::HASH_CONFIG], &hash_types.to_le_bytes(), &[0; 8]])?;
                writer.key(key)?;
            }
        }
        Some(writer.len)
    }

    /// Bytes that [`encode`](Self::encode) needs for a table of so many addresses.
    pub const fn mac_table_bytes(addresses: usize) -> usize {
        HEADER_BYTES + 4 + 4 + MAC_BYTES * addresses
    }

    /// Bytes that [`encode`](Self::encode) needs for receive-side scaling with such a table and key.
    pub const fn rss_bytes(table_entries: usize, key_bytes: usize) -> usize {
        HEADER_BYTES + 4 + 2 + 2 + 2 * table_entries + 2 + 1 + key_bytes
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len.checked_add(bytes.len())?;
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    fn all(&mut self, parts: &[&[u8]]) -> Option<()> {
        parts.iter().try_for_each(|part| self.put(part))
    }

    fn key(&mut self, key: &[u8]) -> Option<()> {
        self.put(&[u8::try_from(key.len()).ok()?])?;
        self.put(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn encoded(command: Command<'_>) -> Vec<u8> {
        let mut out = [0xee; 64];
        let len = command.encode(&mut out).expect("it fits");
        assert!(out[len..].iter().all(|byte| *byte == 0xee), "nothing is written behind the end");
        assert_eq!(command.encode(&mut out[..len - 1]), None, "one byte less is too short");
        out[..len].to_vec()
    }

    /// Linux `virtio_net.h`: VIRTIO_NET_CTRL_*, VIRTIO_NET_OK, VIRTIO_NET_ERR.
    #[test]
    fn numbers() {
        assert_eq!([rx::CLASS, mac::CLASS, vlan::CLASS, announce::CLASS, mq::CLASS], [0, 1, 2, 3, 4]);
        assert_eq!([rx::PROMISC, rx::ALLMULTI, rx::ALLUNI, rx::NOMULTI, rx::NOUNI, rx::NOBCAST], [0, 1, 2, 3, 4, 5]);
        assert_eq!([mac::TABLE_SET, mac::ADDR_SET, vlan::ADD, vlan::DEL, announce::ACK], [0, 1, 0, 1, 0]);
        assert_eq!([mq::VQ_PAIRS_SET, mq::RSS_CONFIG, mq::HASH_CONFIG, ACK_OK, ACK_ERR], [0, 1, 2, 0, 1]);
    }

    /// What Linux' `virtio_net.c` sends: virtnet_set_rx_mode, virtnet_set_mac_address, virtnet_vlan_rx_add_vid, virtnet_ack_link_announce,
    /// virtnet_set_queues.
    #[test]
    fn short_commands() {
        assert_eq!(encoded(Command::Rx(rx::ALLMULTI, true)), [0, 1, 1]);
        assert_eq!(encoded(Command::Mac(MacAddr([2, 0, 0, 0, 0, 9]))), [1, 1, 2, 0, 0, 0, 0, 9]);
        let id = VlanId::new(0x123).expect("a VLAN");
        assert_eq!(encoded(Command::Vlan(id, true)), [2, 0, 0x23, 1]);
        assert_eq!(encoded(Command::Vlan(id, false)), [2, 1, 0x23, 1]);
        assert_eq!(encoded(Command::AnnounceAck), [3, 0]);
        assert_eq!(encoded(Command::Pairs(2)), [4, 0, 2, 0]);
    }

    /// Linux `virtio_net.h`: struct virtio_net_ctrl_mac, twice.
    #[test]
    fn mac_tables() {
        let station = MacAddr([2, 0, 0, 0, 0, 1]);
        let group = MacAddr([1, 0, 0x5e, 0, 0, 2]);
        let bytes = encoded(Command::MacTable { unicast: &[station], multicast: &[group, group] });
        assert_eq!(bytes, [&[1, 0, 1, 0, 0, 0][..], &station.0, &[2, 0, 0, 0], &group.0, &group.0].concat());
        assert_eq!(bytes.len(), Command::mac_table_bytes(3));
    }

    /// Linux `virtio_net.h`: struct virtio_net_rss_config (hash_types, mask, unclassified, table, max_tx_vq, key length, key) and
    /// struct virtio_net_hash_config (hash_types, four reserved halves, key length, key).
    #[test]
    fn hashes() {
        let rss = RssConfig { hash_types: 0x3f, unclassified_queue: 1, table: &[0, 1, 0, 0x102], max_tx_vq: 2, key: &[0xaa, 0xbb] };
        let bytes = encoded(Command::Rss(rss));
        assert_eq!(bytes, [4, 1, 0x3f, 0, 0, 0, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 0, 2, 0xaa, 0xbb]);
        assert_eq!(bytes.len(), Command::rss_bytes(4, 2));
        let bytes = encoded(Command::Hash { hash_types: 0x102, key: &[0xcc] });
        assert_eq!(bytes, [4, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xcc]);
        for table in [&[][..], &[0, 1, 0]] {
            assert_eq!(Command::Rss(RssConfig { table, ..rss }).encode(&mut [0; 64]), None);
        }
        assert_eq!(Command::Hash { hash_types: 0, key: &[0; 256] }.encode(&mut [0; 512]), None);
    }
}
