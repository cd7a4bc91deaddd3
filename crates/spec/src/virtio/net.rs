//! The network device: queues, the header before every frame, its configuration, hashes (5.1).

use crate::reg::{Reg, RegArray, Ro};

/// Receive queue of pair `pair`, the first of which is 0 (5.1.2).
pub const fn rx_queue(pair: u16) -> u16 {
    2 * pair
}

/// Transmit queue of pair `pair` (5.1.2).
pub const fn tx_queue(pair: u16) -> u16 {
    2 * pair + 1
}

/// The control queue (5.1.2). `max_pairs` is 1 unless MQ or RSS were negotiated, and otherwise what the configuration says.
pub const fn control_queue(max_pairs: u16) -> u16 {
    2 * max_pairs
}

/// The most queue pairs (5.1.6.5.6).
pub const MAX_PAIRS: u16 = 0x8000;
/// Bytes of the header (5.1.6). The modern interface always has `num_buffers`.
pub const HEADER_BYTES: usize = 12;
/// Bytes of the header with HASH_REPORT (5.1.6).
pub const HEADER_HASH_BYTES: usize = 20;

/// Where the fields of the header lie, in bytes (5.1.6).
pub mod at {
    /// `flags`, 8 bits.
    pub const FLAGS: usize = 0;
    /// `gso_type`, 8 bits.
    pub const GSO_TYPE: usize = 1;
    /// `hdr_len`, 16 bits.
    pub const HDR_LEN: usize = 2;
    /// `gso_size`, 16 bits.
    pub const GSO_SIZE: usize = 4;
    /// `csum_start`, 16 bits.
    pub const CSUM_START: usize = 6;
    /// `csum_offset`, 16 bits.
    pub const CSUM_OFFSET: usize = 8;
    /// `num_buffers`, 16 bits.
    pub const NUM_BUFFERS: usize = 10;
    /// `hash_value`, 32 bits; only with HASH_REPORT.
    pub const HASH_VALUE: usize = 12;
    /// `hash_report`, 16 bits; only with HASH_REPORT.
    pub const HASH_REPORT: usize = 16;
}

/// Flag: the checksum from `csum_start` on is to be completed, see 5.1.6.2 and 5.1.6.4.
pub const NEEDS_CSUM: u8 = 1;
/// Flag: the device has found the checksum right (5.1.6.4).
pub const DATA_VALID: u8 = 2;
/// Flag: the checksum fields hold counters of coalesced segments (5.1.6.4).
pub const RSC_INFO: u8 = 4;

/// No segmentation (5.1.6).
pub const GSO_NONE: u8 = 0;
/// TCP over IPv4 (5.1.6).
pub const GSO_TCPV4: u8 = 1;
/// UDP fragments (5.1.6).
pub const GSO_UDP: u8 = 3;
/// TCP over IPv6 (5.1.6).
pub const GSO_TCPV6: u8 = 4;
/// UDP datagrams (5.1.6).
pub const GSO_UDP_L4: u8 = 5;
/// Added to the type: the TCP segment has ECN set (5.1.6).
pub const GSO_ECN: u8 = 0x80;

/// The header of a frame, without the hash (5.1.6).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Header {
    /// [`NEEDS_CSUM`], [`DATA_VALID`], [`RSC_INFO`].
    pub flags: u8,
    /// [`GSO_NONE`] and so on.
    pub gso_type: u8,
    /// Bytes of all headers, with segmentation: a hint unless GUEST_HDRLEN was negotiated.
    pub hdr_len: u16,
    /// Bytes of payload of a segment.
    pub gso_size: u16,
    /// Where the checksummed part begins, in bytes.
    pub csum_start: u16,
    /// Where the checksum lies, in bytes from there.
    pub csum_offset: u16,
    /// Received: how many buffers hold the frame. Sent: 0.
    pub num_buffers: u16,
}

impl Header {
    /// As it lies in memory.
    #[inline]
    pub const fn encode(self) -> [u8; HEADER_BYTES] {
        let [a, b] = self.hdr_len.to_le_bytes();
        let [c, d] = self.gso_size.to_le_bytes();
        let [e, f] = self.csum_start.to_le_bytes();
        let [g, h] = self.csum_offset.to_le_bytes();
        let [i, j] = self.num_buffers.to_le_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h, i, j]
    }

    /// From memory.
    #[inline]
    pub const fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let [flags, gso_type, a, b, c, d, e, f, g, h, i, j] = bytes;
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_le_bytes([a, b]),
            gso_size: u16::from_le_bytes([c, d]),
            csum_start: u16::from_le_bytes([e, f]),
            csum_offset: u16::from_le_bytes([g, h]),
            num_buffers: u16::from_le_bytes([i, j]),
        }
    }
}

/// The configuration (5.1.4), relative to its structure. A field exists where its feature is offered.
pub mod config {
    use super::{Reg, RegArray, Ro};

    /// `mac`, a byte each; with MAC.
    pub const MAC: RegArray<u8, Ro> = RegArray::at(0, 1, 6);
    /// `status`: [`LINK_UP`], [`ANNOUNCE`]; with STATUS.
    pub const STATUS: Reg<u16, Ro> = Reg::at(6);
    /// `max_virtqueue_pairs`; with MQ or RSS.
    pub const MAX_VIRTQUEUE_PAIRS: Reg<u16, Ro> = Reg::at(8);
    /// `mtu`: the largest, in bytes; with MTU.
    pub const MTU: Reg<u16, Ro> = Reg::at(10);
    /// `speed` in Mbit/s, above [`SPEED_MAX_MBPS`] unknown; with SPEED_DUPLEX.
    pub const SPEED: Reg<u32, Ro> = Reg::at(12);
    /// `duplex`: [`FULL_DUPLEX`] and so on; with SPEED_DUPLEX.
    pub const DUPLEX: Reg<u8, Ro> = Reg::at(16);
    /// `rss_max_key_size` in bytes; with RSS or HASH_REPORT.
    pub const RSS_MAX_KEY_SIZE: Reg<u8, Ro> = Reg::at(17);
    /// `rss_max_indirection_table_length` in entries; with RSS.
    pub const RSS_MAX_INDIRECTION_TABLE_LENGTH: Reg<u16, Ro> = Reg::at(18);
    /// `supported_hash_types`, bits of [`hash_type`](super::hash_type); with RSS or HASH_REPORT.
    pub const SUPPORTED_HASH_TYPES: Reg<u32, Ro> = Reg::at(20);
    /// Bytes of all fields.
    pub const BYTES: u64 = 24;

    /// [`STATUS`]: the link is up.
    pub const LINK_UP: u16 = 1;
    /// [`STATUS`]: the driver should announce itself (5.1.6.5.4).
    pub const ANNOUNCE: u16 = 2;
    /// The greatest [`SPEED`] that is one.
    pub const SPEED_MAX_MBPS: u32 = 0x7fff_ffff;
    /// [`SPEED`]: unknown.
    pub const SPEED_UNKNOWN: u32 = 0xffff_ffff;
    /// [`DUPLEX`]: half. The normative text of 5.1.4.1 has the two the other way round; devices and drivers have them so.
    pub const HALF_DUPLEX: u8 = 0;
    /// [`DUPLEX`]: full.
    pub const FULL_DUPLEX: u8 = 1;
    /// [`DUPLEX`]: unknown.
    pub const DUPLEX_UNKNOWN: u8 = 0xff;

    crate::reg::register_names! {
        in "net.rs", indented "    ";
        one:
            STATUS MAX_VIRTQUEUE_PAIRS MTU SPEED DUPLEX RSS_MAX_KEY_SIZE RSS_MAX_INDIRECTION_TABLE_LENGTH SUPPORTED_HASH_TYPES;
        array:
            MAC
    }
}

/// Bytes of a key that every device takes (5.1.4.1).
pub const RSS_KEY_BYTES: usize = 40;
/// Entries of an indirection table that every device takes (5.1.4.1).
pub const RSS_TABLE_ENTRIES: u16 = 128;

/// Which frames are hashed (5.1.6.4.3.1).
pub mod hash_type {
    /// IPv4 addresses.
    pub const IPV4: u32 = 1 << 0;
    /// IPv4 addresses and TCP ports.
    pub const TCPV4: u32 = 1 << 1;
    /// IPv4 addresses and UDP ports.
    pub const UDPV4: u32 = 1 << 2;
    /// IPv6 addresses.
    pub const IPV6: u32 = 1 << 3;
    /// IPv6 addresses and TCP ports.
    pub const TCPV6: u32 = 1 << 4;
    /// IPv6 addresses and UDP ports.
    pub const UDPV6: u32 = 1 << 5;
    /// IPv6 addresses, home address and routing header considered.
    pub const IP_EX: u32 = 1 << 6;
    /// The same and TCP ports.
    pub const TCP_EX: u32 = 1 << 7;
    /// The same and UDP ports.
    pub const UDP_EX: u32 = 1 << 8;
}

/// What was hashed of a received frame (5.1.6.4.4).
pub mod hash_report {
    /// Nothing.
    pub const NONE: u16 = 0;
    /// IPv4 addresses.
    pub const IPV4: u16 = 1;
    /// IPv4 addresses and TCP ports.
    pub const TCPV4: u16 = 2;
    /// IPv4 addresses and UDP ports.
    pub const UDPV4: u16 = 3;
    /// IPv6 addresses.
    pub const IPV6: u16 = 4;
    /// IPv6 addresses and TCP ports.
    pub const TCPV6: u16 = 5;
    /// IPv6 addresses and UDP ports.
    pub const UDPV6: u16 = 6;
    /// IPv6 addresses, home address and routing header considered.
    pub const IPV6_EX: u16 = 7;
    /// The same and TCP ports.
    pub const TCPV6_EX: u16 = 8;
    /// The same and UDP ports.
    pub const UDPV6_EX: u16 = 9;

    /// The bit of [`hash_type`](super::hash_type) of a report; 0 for [`NONE`] and for what is no report.
    pub const fn to_type(report: u16) -> u32 {
        if report == NONE || report > UDPV6_EX { 0 } else { 1 << (report - 1) }
    }
}

/// A notification with NOTIFICATION_DATA (2.9, 4.1.5.2): the queue, and the next entry that the driver fills. In a split queue that is
/// the available index, in a packed one the offset in the ring with the wrap counter as the highest bit.
#[inline(always)]
pub const fn notification(queue: u16, next: u16) -> u32 {
    queue as u32 | (next as u32) << 16
}

/// What `next` of [`notification`] is for a packed queue (2.9).
#[inline(always)]
pub const fn packed_next(offset: u16, wrap: bool) -> u16 {
    offset & 0x7fff | (wrap as u16) << 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux `virtio_net.h`: struct virtio_net_hdr_v1 and virtio_net_hdr_v1_hash, VIRTIO_NET_HDR_F_*, VIRTIO_NET_HDR_GSO_*.
    #[test]
    fn header() {
        let header = Header {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV6,
            hdr_len: 0x0102,
            gso_size: 0x0304,
            csum_start: 0x0506,
            csum_offset: 0x0708,
            num_buffers: 0x090a,
        };
        let bytes = [1, 4, 2, 1, 4, 3, 6, 5, 8, 7, 0xa, 9];
        assert_eq!((header.encode(), Header::decode(bytes)), (bytes, header));
        assert_eq!([at::HDR_LEN, at::GSO_SIZE, at::CSUM_START, at::CSUM_OFFSET, at::NUM_BUFFERS], [2, 4, 6, 8, 10]);
        assert_eq!((at::FLAGS, at::GSO_TYPE, at::HASH_VALUE, at::HASH_REPORT, HEADER_HASH_BYTES), (0, 1, 12, 16, 16 + 2 + 2));
        assert_eq!([NEEDS_CSUM, DATA_VALID, RSC_INFO], [1, 2, 4]);
        assert_eq!([GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_TCPV6, GSO_UDP_L4, GSO_ECN], [0, 1, 3, 4, 5, 0x80]);
    }

    /// Linux `virtio_net.h`: struct virtio_net_config, packed; VIRTIO_NET_S_*. Linux `ethtool.h`: DUPLEX_*, SPEED_UNKNOWN.
    #[test]
    fn configuration() {
        use config::*;
        assert_eq!((MAC.index(0).offset(), MAC.index(5).offset()), (0, 5));
        assert_eq!([STATUS, MAX_VIRTQUEUE_PAIRS, MTU, RSS_MAX_INDIRECTION_TABLE_LENGTH].map(Reg::offset), [6, 8, 10, 18]);
        assert_eq!([SPEED, SUPPORTED_HASH_TYPES].map(Reg::offset), [12, 20]);
        assert_eq!(([DUPLEX, RSS_MAX_KEY_SIZE].map(Reg::offset), BYTES), ([16, 17], 24));
        assert_eq!((LINK_UP, ANNOUNCE, HALF_DUPLEX, FULL_DUPLEX, DUPLEX_UNKNOWN), (1, 2, 0, 1, 0xff));
    }

    /// Linux `virtio_net.h`: VIRTIO_NET_RSS_HASH_TYPE_*, VIRTIO_NET_HASH_REPORT_*; the rule of 5.1.6.4.4 that ties them.
    #[test]
    fn hashes() {
        use hash_type as kind;
        let types = [kind::IPV4, kind::TCPV4, kind::UDPV4, kind::IPV6, kind::TCPV6, kind::UDPV6, kind::IP_EX, kind::TCP_EX, kind::UDP_EX];
        assert_eq!(types, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
        use hash_report as report;
        let v4 = [report::IPV4, report::TCPV4, report::UDPV4];
        let v6 = [report::IPV6, report::TCPV6, report::UDPV6, report::IPV6_EX, report::TCPV6_EX, report::UDPV6_EX];
        assert_eq!((v4, v6), ([1, 2, 3], [4, 5, 6, 7, 8, 9]));
        assert!((1..).zip(types).all(|(report, bit)| report::to_type(report) == bit));
        assert_eq!([report::to_type(report::NONE), report::to_type(10), report::to_type(u16::MAX)], [0; 3]);
    }

    /// QEMU `hw/net/virtio-net.c`, vq2q and virtio_net_set_multiqueue: rx 0, tx 1, rx 2, tx 3, control behind all of them.
    #[test]
    fn queues() {
        assert_eq!([rx_queue(0), tx_queue(0), rx_queue(1), tx_queue(1), control_queue(1), control_queue(2)], [0, 1, 2, 3, 2, 4]);
    }

    /// Linux `virtio_pci_modern.c`, vp_notify_with_data, and `virtio_ring.c`, vring_notification_data: queue | next << 16, the wrap
    /// counter at bit 15 of next.
    #[test]
    fn notifications() {
        assert_eq!(notification(3, 0x8001), 0x8001_0003);
        assert_eq!((packed_next(5, true), packed_next(5, false)), (0x8005, 5));
    }
}
