//! Advanced descriptors: 16 bytes, two little-endian 64-bit words.
//!
//! Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, chapters 7.1 (Advanced Receive Descriptors) and 7.2
//! (Advanced Transmit Context Descriptor, Advanced Transmit Data Descriptor); "Intel 82599 10 GbE Controller Datasheet", rev. 3.4,
//! chapters 7.1 and 7.2, of the same titles.
//!
//! A descriptor is read in one format and written back in another. The constants are masks on the word that is named; the functions
//! take a field out of a word or put it in. Nothing here judges: what a device wrote is data.

/// Bytes of a descriptor.
pub const DESC_BYTES: usize = 16;
/// A descriptor as the host holds it: word 0, word 1. In memory each is little-endian.
pub type Desc = [u64; 2];

const _: () = assert!(size_of::<Desc>() == DESC_BYTES);

/// Receive descriptors.
///
/// | format | word 0 | word 1 |
/// |---|---|---|
/// | read | address of the packet buffer | address of the header buffer, 0 without header split; bit 0 must be 0 (it becomes DD) |
/// | write-back | 3:0 RSS type, 16:4 packet type, 30:21 header length, 31 split header, 63:32 RSS hash | 19:0 status, 31:20 errors, 47:32 length, 63:48 VLAN tag |
pub mod rx {
    use super::Desc;

    /// Write-back, word 1: the device is done with the descriptor.
    pub const DD: u64 = 1 << 0;
    /// Write-back, word 1: the last descriptor of the frame.
    pub const EOP: u64 = 1 << 1;
    /// Write-back, word 1: the frame carried a VLAN tag that was stripped; the tag is in the VLAN field.
    pub const VP: u64 = 1 << 3;
    /// Write-back, word 1: the UDP checksum was calculated, or, with [`L4CS`], the frame is UDP.
    pub const UDPCS: u64 = 1 << 4;
    /// Write-back, word 1: the TCP or UDP checksum was calculated; the L4 error bit tells the result.
    pub const L4CS: u64 = 1 << 5;
    /// Write-back, word 1: the IPv4 header checksum was calculated; the IP error bit tells the result.
    pub const IPCS: u64 = 1 << 6;
    /// Write-back, word 1: the frame passed an inexact filter (multicast hash) only.
    pub const PIF: u64 = 1 << 7;
    /// Write-back, word 1: the frame came from another function of the same device, not from the wire.
    pub const LOOPBACK: u64 = 1 << 18;
    /// Write-back, word 1: every status bit.
    pub const STATUS_MASK: u64 = 0x000f_ffff;
    /// Write-back, word 1: every error bit.
    pub const ERROR_MASK: u64 = 0xfff0_0000;

    /// Write-back, word 1: where the 16-bit length begins.
    pub const LENGTH_SHIFT: u32 = 32;
    /// Write-back, word 1: where the 16-bit VLAN tag begins.
    pub const VLAN_SHIFT: u32 = 48;
    /// Write-back, word 0: where the 32-bit RSS hash begins.
    pub const RSS_HASH_SHIFT: u32 = 32;

    /// Write-back, word 0: the RSS type, see [`RssType`].
    pub const RSS_TYPE_MASK: u64 = 0xf;
    /// Write-back, word 0: an IPv4 header was found.
    pub const PACKET_IPV4: u64 = 1 << 4;
    /// Write-back, word 0: the IPv4 header has options.
    pub const PACKET_IPV4_EXTENDED: u64 = 1 << 5;
    /// Write-back, word 0: an IPv6 header was found.
    pub const PACKET_IPV6: u64 = 1 << 6;
    /// Write-back, word 0: the IPv6 header has extension headers.
    pub const PACKET_IPV6_EXTENDED: u64 = 1 << 7;
    /// Write-back, word 0: a TCP header was found.
    pub const PACKET_TCP: u64 = 1 << 8;
    /// Write-back, word 0: a UDP header was found.
    pub const PACKET_UDP: u64 = 1 << 9;
    /// Write-back, word 0: an SCTP header was found.
    pub const PACKET_SCTP: u64 = 1 << 10;
    /// Write-back, word 0: the frame matched an EtherType filter, and the lower packet type bits are that filter's index.
    pub const PACKET_ETHERTYPE_FILTER: u64 = 1 << 15;
    /// Write-back, word 0: the frame's header lies in the header buffer.
    pub const SPLIT_HEADER: u64 = 1 << 31;

    /// The read format: one buffer at `packet_iova`, no header buffer.
    pub const fn read_format(packet_iova: u64) -> Desc {
        [packet_iova, 0]
    }

    /// Length of what was written into this buffer, in bytes. Untrusted: it may exceed the buffer.
    #[inline(always)]
    pub const fn length_bytes(word1: u64) -> u16 {
        let [_, _, _, _, low, high, _, _] = word1.to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// The stripped tag's control information; means something only with [`VP`].
    #[inline(always)]
    pub const fn vlan_tci(word1: u64) -> u16 {
        let [_, _, _, _, _, _, low, high] = word1.to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// The RSS hash; means something only where [`rss_type`] is not [`RssType::NONE`].
    #[inline(always)]
    pub const fn rss_hash(word0: u64) -> u32 {
        let [_, _, _, _, a, b, c, d] = word0.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// Which fields the RSS hash covers.
    #[inline(always)]
    pub const fn rss_type(word0: u64) -> RssType {
        RssType(word0.to_le_bytes()[0] & 0xf)
    }

    /// The write-back format, as a device writes it.
    pub const fn write_back(packet: u64, rss_hash: u32, status_errors: u32, length_bytes: u16, vlan_tci: u16) -> Desc {
        // Casts to u64 widen, so nothing is cut.
        let word0 = packet & 0xffff_ffff | (rss_hash as u64) << RSS_HASH_SHIFT;
        [word0, status_errors as u64 | (length_bytes as u64) << LENGTH_SHIFT | (vlan_tci as u64) << VLAN_SHIFT]
    }

    /// Which fields of a frame its RSS hash covers. Open: a device may write other values.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RssType(pub u8);

    impl RssType {
        /// No hash.
        pub const NONE: Self = Self(0);
        /// IPv4 addresses and TCP ports.
        pub const IPV4_TCP: Self = Self(1);
        /// IPv4 addresses.
        pub const IPV4: Self = Self(2);
        /// IPv6 addresses and TCP ports.
        pub const IPV6_TCP: Self = Self(3);
        /// IPv6 addresses, those of extension headers too.
        pub const IPV6_EXTENDED: Self = Self(4);
        /// IPv6 addresses.
        pub const IPV6: Self = Self(5);
        /// IPv6 addresses, those of extension headers too, and TCP ports.
        pub const IPV6_TCP_EXTENDED: Self = Self(6);
        /// IPv4 addresses and UDP ports.
        pub const IPV4_UDP: Self = Self(7);
        /// IPv6 addresses and UDP ports.
        pub const IPV6_UDP: Self = Self(8);
        /// IPv6 addresses, those of extension headers too, and UDP ports.
        pub const IPV6_UDP_EXTENDED: Self = Self(9);
    }
}

/// Transmit descriptors.
///
/// | format | word 0 | word 1 |
/// |---|---|---|
/// | data | address of the buffer | 15:0 length, 19:18 MAC, 23:20 type, 31:24 command, 35:32 status, 38:36 context index, 39 check context, 45:40 options, 63:46 payload length |
/// | context | 8:0 IP header length, 15:9 MAC header length, 31:16 VLAN tag, 63:32 security | 19:9 TUCMD, 23:20 type, 31:24 command, 39:36 context index, 47:40 L4 header length, 63:48 MSS |
/// | write-back | reserved | 32 DD |
pub mod tx {
    use super::Desc;

    /// Word 1: bits of the descriptor type.
    pub const TYPE_MASK: u64 = 0xf << 20;
    /// Word 1: a context descriptor, which describes the headers of frames to come.
    pub const TYPE_CONTEXT: u64 = 0x2 << 20;
    /// Word 1: a data descriptor.
    pub const TYPE_DATA: u64 = 0x3 << 20;
    /// Word 1: the last descriptor of the frame.
    pub const EOP: u64 = 1 << 24;
    /// Word 1: the device appends the frame check sequence.
    pub const IFCS: u64 = 1 << 25;
    /// Word 1: the device writes the descriptor back when it is done.
    pub const RS: u64 = 1 << 27;
    /// Word 1: an advanced, not a legacy descriptor.
    pub const DEXT: u64 = 1 << 29;
    /// Word 1: the device inserts the context's VLAN tag.
    pub const VLE: u64 = 1 << 30;
    /// Word 1: the device cuts the payload into segments of the context's MSS.
    pub const TSE: u64 = 1 << 31;
    /// Write-back, word 1: the device is done with the descriptor and with those before it.
    pub const DD: u64 = 1 << 32;
    /// Word 1: where the index of the context begins.
    pub const INDEX_SHIFT: u32 = 36;
    /// Word 1, options: the device inserts the IPv4 header checksum.
    pub const IXSM: u64 = 1 << 40;
    /// Word 1, options: the device inserts the TCP, UDP or SCTP checksum.
    pub const TXSM: u64 = 1 << 41;
    /// Word 1: where the 18-bit payload length begins.
    pub const PAYLEN_SHIFT: u32 = 46;

    /// What every data descriptor of ours has.
    pub const DATA_FIXED: u64 = TYPE_DATA | DEXT | IFCS;

    /// Word 1 of a data descriptor: `length_bytes` of a frame lie in this buffer. Flags such as [`EOP`], [`RS`] or [`TXSM`] are OR-ed by
    /// the caller. `payload_bytes` is the length of the whole frame, with [`TSE`] that of the frame without its headers; devices read
    /// it from the frame's first descriptor; of it the field holds 18 bits.
    #[inline(always)]
    pub const fn data(length_bytes: u16, payload_bytes: u32) -> u64 {
        DATA_FIXED | length_bytes as u64 | (payload_bytes as u64) << PAYLEN_SHIFT
    }

    /// Length of this buffer, in bytes.
    pub const fn length_bytes(word1: u64) -> u16 {
        let [low, high, ..] = word1.to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// Length of the whole frame, in bytes; with [`TSE`], of the frame without its headers. At most 18 bits.
    pub const fn payload_bytes(word1: u64) -> u32 {
        let [low, middle, high, ..] = (word1 >> PAYLEN_SHIFT).to_le_bytes();
        u32::from_le_bytes([low, middle, high, 0])
    }

    /// Index of the context that a data descriptor refers to, or that a context descriptor sets.
    pub const fn index(word1: u64) -> u8 {
        (word1 >> INDEX_SHIFT).to_le_bytes()[0] & 0x7
    }

    /// Context, word 0: where the 7-bit length of the MAC header begins.
    pub const MACLEN_SHIFT: u32 = 9;
    /// Context, word 0: where the 16-bit VLAN tag begins.
    pub const VLAN_SHIFT: u32 = 16;
    /// Context, word 1: the network header is IPv4.
    pub const IPV4: u64 = 1 << 10;
    /// Context, word 1: where the 2-bit transport type begins.
    pub const L4_TYPE_SHIFT: u32 = 11;
    /// Context, word 1: where the 8-bit length of the transport header begins.
    pub const L4LEN_SHIFT: u32 = 40;
    /// Context, word 1: where the 16-bit maximum segment size begins.
    pub const MSS_SHIFT: u32 = 48;

    /// The transport protocol of a context: two bits, and the fourth value is reserved.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct L4Type(u8);

    impl L4Type {
        /// UDP, or none.
        pub const UDP: Self = Self(0);
        /// TCP.
        pub const TCP: Self = Self(1);
        /// SCTP.
        pub const SCTP: Self = Self(2);
    }

    /// What a context descriptor says of the frames that refer to it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Context {
        /// Bytes before the network header, at most 127: 14, or 18 where the tag is in the frame.
        pub maclen_bytes: u8,
        /// Bytes of the network header with its options, at most 511.
        pub iplen_bytes: u16,
        /// Tag control information that [`VLE`] inserts.
        pub vlan_tci: u16,
        /// The network header is IPv4.
        pub ipv4: bool,
        /// The transport protocol.
        pub l4: L4Type,
        /// Bytes of the transport header; used by [`TSE`] only.
        pub l4len_bytes: u8,
        /// Payload bytes of a segment; used by [`TSE`] only.
        pub mss_bytes: u16,
        /// Which of the queue's contexts is set, 0 to 7.
        pub index: u8,
    }

    impl Context {
        /// The longest MAC header that the field holds, in bytes.
        pub const MACLEN_MAX_BYTES: u8 = 0x7f;
        /// The longest network header that the field holds, in bytes.
        pub const IPLEN_MAX_BYTES: u16 = 0x1ff;
        /// The greatest context index.
        pub const INDEX_MAX: u8 = 7;

        /// A context that says only where the network header begins: what a queue of a strict device needs before its first frame.
        pub const PLAIN: Self =
            Self { maclen_bytes: 14, iplen_bytes: 0, vlan_tci: 0, ipv4: false, l4: L4Type::UDP, l4len_bytes: 0, mss_bytes: 0, index: 0 };

        /// The descriptor; `None` where a length or the index does not fit its field.
        pub const fn encode(self) -> Option<Desc> {
            let fits =
                self.maclen_bytes <= Self::MACLEN_MAX_BYTES && self.iplen_bytes <= Self::IPLEN_MAX_BYTES && self.index <= Self::INDEX_MAX;
            if !fits {
                return None;
            }
            let word0 = self.iplen_bytes as u64 | (self.maclen_bytes as u64) << MACLEN_SHIFT | (self.vlan_tci as u64) << VLAN_SHIFT;
            let tucmd = if self.ipv4 { IPV4 } else { 0 } | (self.l4.0 as u64) << L4_TYPE_SHIFT;
            let sizes = (self.l4len_bytes as u64) << L4LEN_SHIFT | (self.mss_bytes as u64) << MSS_SHIFT;
            Some([word0, TYPE_CONTEXT | DEXT | tucmd | (self.index as u64) << INDEX_SHIFT | sizes])
        }

        /// What a device reads from the descriptor.
        pub const fn decode([word0, word1]: Desc) -> Self {
            let [iplen, ip_mac, vlan_low, vlan_high, ..] = word0.to_le_bytes();
            let [_, tucmd, _, _, _, l4len, mss_low, mss_high] = word1.to_le_bytes();
            Self {
                maclen_bytes: ip_mac >> 1,
                iplen_bytes: u16::from_le_bytes([iplen, ip_mac & 1]),
                vlan_tci: u16::from_le_bytes([vlan_low, vlan_high]),
                ipv4: word1 & IPV4 != 0,
                l4: L4Type(tucmd >> 3 & 0b11),
                l4len_bytes: l4len,
                mss_bytes: u16::from_le_bytes([mss_low, mss_high]),
                index: index(word1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn bytes(desc: Desc) -> Vec<u8> {
        desc.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// DPDK `e1000_82575.h`, `union e1000_adv_tx_desc`: `cmd_type_len` = DTYP_DATA 0x0030_0000 | EOP 0x0100_0000 | IFCS 0x0200_0000 |
    /// RS 0x0800_0000 | DEXT 0x2000_0000 | 60, `olinfo_status` = 60 << 14.
    #[test]
    fn a_data_descriptor_of_60_bytes() {
        let desc = [0x1122_3344_5566_7788, tx::data(60, 60) | tx::EOP | tx::RS];
        let expected = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x3c, 0x00, 0x30, 0x2b, 0x00, 0x00, 0x0f, 0x00];
        assert_eq!(bytes(desc), expected);
        assert_eq!((tx::length_bytes(desc[1]), tx::payload_bytes(desc[1])), (60, 60));
    }

    /// QEMU `igb_regs.h`: E1000_TXD_POPTS_IXSM and _TXSM are bits 8 and 9 of `olinfo_status`; DD is bit 0 of the write-back `status`,
    /// the same double word. DPDK `e1000_82575.h`, `struct e1000_adv_data_desc`: status 4 bits, idx 4, popts 6, paylen 18.
    #[test]
    fn the_upper_half_of_a_data_descriptor() {
        assert_eq!(tx::IXSM >> 32, 0x100);
        assert_eq!(tx::TXSM >> 32, 0x200);
        assert_eq!(tx::DD >> 32, 1);
        assert_eq!(1u64 << tx::INDEX_SHIFT >> 32, 0x10);
        assert_eq!(1u64 << tx::PAYLEN_SHIFT >> 32, 1 << 14);
        assert_eq!(tx::payload_bytes(u64::MAX), (1 << 18) - 1);
    }

    /// QEMU `igb_regs.h`, from `igb/e1000_82575.h`.
    #[test]
    fn the_command_bits_of_a_transmit_descriptor() {
        let bits = [tx::TYPE_CONTEXT, tx::TYPE_DATA, tx::EOP, tx::IFCS, tx::RS, tx::DEXT, tx::VLE, tx::TSE];
        let expected = [0x0020_0000, 0x0030_0000, 0x0100_0000, 0x0200_0000, 0x0800_0000, 0x2000_0000, 0x4000_0000, 0x8000_0000];
        assert_eq!(bits, expected);
    }

    /// DPDK `e1000_82575.h`, `struct e1000_adv_context_desc`: iplen 9 bits, maclen 7, vlan_tag 16; then tucmd from bit 9, of which
    /// E1000_ADVTXD_TUCMD_IPV4 is 0x400 and _L4T_TCP 0x800; l4len from bit 40 and mss from bit 48 of the second word.
    #[test]
    fn a_context_descriptor_for_tcp_over_ipv4() {
        let context = tx::Context {
            maclen_bytes: 14,
            iplen_bytes: 20,
            vlan_tci: 0x2064,
            ipv4: true,
            l4: tx::L4Type::TCP,
            l4len_bytes: 32,
            mss_bytes: 1448,
            index: 1,
        };
        let expected = [0x14, 0x1c, 0x64, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x20, 0x20, 0x10, 0x20, 0xa8, 0x05];
        let desc = context.encode().expect("every field fits");
        assert_eq!(bytes(desc), expected);
        assert_eq!(tx::Context::decode(desc), context);
    }

    /// DPDK `ixgbe_rxtx.c` begins every VF queue's frames with MACLEN 14; DTYP_CTXT 0x0020_0000 | DEXT 0x2000_0000.
    #[test]
    fn a_plain_context_descriptor() {
        let desc = tx::Context::PLAIN.encode().expect("every field fits");
        assert_eq!(bytes(desc), [0, 0x1c, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0x20, 0, 0, 0, 0]);
    }

    #[test]
    fn a_context_that_does_not_fit_is_refused() {
        let plain = tx::Context::PLAIN;
        assert_eq!(tx::Context { maclen_bytes: 128, ..plain }.encode(), None);
        assert_eq!(tx::Context { iplen_bytes: 512, ..plain }.encode(), None);
        assert_eq!(tx::Context { index: 8, ..plain }.encode(), None);
        assert!(tx::Context { maclen_bytes: 127, iplen_bytes: 511, index: 7, ..plain }.encode().is_some());
    }

    /// Laid out by hand from QEMU `igb_regs.h`, `union e1000_adv_rx_desc`: pkt_info 16 bits, hdr_info 16, rss 32, status_error 32,
    /// length 16, vlan 16; E1000_ADVRXD_PKT_IP4 and _TCP are bits 0 and 4 above the RSS type.
    #[test]
    fn a_written_back_receive_descriptor() {
        let memory = [0x11, 0x01, 0x00, 0x00, 0xef, 0xbe, 0xad, 0xde, 0x6b, 0x00, 0x00, 0x00, 0x34, 0x02, 0x64, 0x20];
        let word = |at: usize| u64::from_le_bytes(memory[at..at + 8].try_into().expect("eight bytes"));
        let desc = [word(0), word(8)];
        assert_eq!(rx::rss_type(desc[0]), rx::RssType::IPV4_TCP);
        assert_eq!(desc[0] & 0xfff0, rx::PACKET_IPV4 | rx::PACKET_TCP);
        assert_eq!(rx::rss_hash(desc[0]), 0xdead_beef);
        assert_eq!(desc[1] & rx::STATUS_MASK, rx::DD | rx::EOP | rx::VP | rx::L4CS | rx::IPCS);
        assert_eq!(desc[1] & rx::ERROR_MASK, 0);
        assert_eq!(rx::length_bytes(desc[1]), 0x234);
        assert_eq!(rx::vlan_tci(desc[1]), 0x2064);
        assert_eq!(rx::write_back(0x111, 0xdead_beef, 0x6b, 0x234, 0x2064), desc);
    }

    /// DPDK `e1000_82575.h`, E1000_RXDADV_PKTTYPE_*: masks on the lower double word.
    #[test]
    fn packet_type_bits() {
        let bits = [
            rx::PACKET_IPV4,
            rx::PACKET_IPV4_EXTENDED,
            rx::PACKET_IPV6,
            rx::PACKET_IPV6_EXTENDED,
            rx::PACKET_TCP,
            rx::PACKET_UDP,
            rx::PACKET_SCTP,
            rx::PACKET_ETHERTYPE_FILTER,
        ];
        assert_eq!(bits, [0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400, 0x8000]);
        assert_eq!(rx::SPLIT_HEADER >> 16, 0x8000);
    }

    #[test]
    fn a_fresh_receive_descriptor_is_not_done() {
        assert_eq!(rx::read_format(0x1000), [0x1000, 0]);
        assert_eq!(rx::read_format(u64::MAX)[1] & rx::DD, 0);
    }
}
