//! What an advanced transmit descriptor asks of the device: checksums, a VLAN tag, segmentation.
//!
//! Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, 7.2.2.2 (Advanced Transmit Context Descriptor) and 7.2.2.3
//! (Advanced Transmit Data Descriptor); the 82599's are the same. The context of a queue has index 0; the ring posts one only when it
//! differs from the last.

use vfwire_core::{
    format::Desc,
    meta::{L4, TxOffload},
};
use vfwire_spec::{
    intel::adv::tx::{Context, IXSM, L4Type, TSE, TXSM, VLE},
    net::ETH_HEADER_BYTES,
};

/// The context descriptor for these requests; nothing where none is asked.
#[cold]
pub fn context(asked: TxOffload) -> Option<Desc> {
    if asked.is_empty() {
        return None;
    }
    let (l4len_bytes, mss_bytes) = asked.segmentation().unwrap_or((0, 0));
    let l2_bytes = if asked.l2_bytes() == 0 { ETH_HEADER_BYTES as u64 } else { asked.l2_bytes() };
    // None of the conversions cuts: requests hold these fields in as many bits.
    let context = Context {
        maclen_bytes: u8::try_from(l2_bytes).ok()?,
        iplen_bytes: u16::try_from(asked.l3_bytes()).ok()?,
        vlan_tci: asked.vlan_tci().unwrap_or(0),
        ipv4: asked.l3_bytes() != 0 && !asked.is_ipv6(),
        l4: match asked.l4() {
            Some(L4::Tcp) => L4Type::TCP,
            Some(L4::Sctp) => L4Type::SCTP,
            Some(L4::Udp) | None => L4Type::UDP,
        },
        l4len_bytes: u8::try_from(l4len_bytes).ok()?,
        mss_bytes: u16::try_from(mss_bytes).ok()?,
        index: 0,
    };
    context.encode()
}

/// Bits of a frame's data descriptors for these requests, and the length that counts as the whole frame's: with segmentation, that of
/// the payload. A frame that has no payload behind its headers is not segmented.
#[cold]
pub fn request(asked: TxOffload, total_bytes: u64) -> (u64, u64) {
    let mut flags = 0;
    if asked.vlan_tci().is_some() {
        flags |= VLE;
    }
    if asked.wants_ipv4_checksum() {
        flags |= IXSM;
    }
    if asked.l4().is_some() {
        flags |= TXSM;
    }
    let Some((l4_bytes, _)) = asked.segmentation() else { return (flags, total_bytes) };
    let payload_bytes = total_bytes.saturating_sub(asked.l2_bytes() + asked.l3_bytes() + l4_bytes);
    if payload_bytes == 0 {
        return (flags, total_bytes);
    }
    // Every segment is a frame of its own, so all its checksums are new.
    let checksums = if asked.is_ipv6() { TXSM } else { TXSM | IXSM };
    (flags | TSE | checksums, payload_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_is_nothing_said() {
        assert_eq!(context(TxOffload::default()), None);
        assert_eq!(request(TxOffload::default(), 60), (0, 60));
    }

    /// DPDK `e1000_base.h`, `e1000_defines.h`: MACLEN at bit 9, TUCMD IPV4 0x400, L4T_TCP 0x800, DTYP_CTXT 0x0020_0000, DEXT
    /// 0x2000_0000, POPTS IXSM 1 << 8 and TXSM 2 << 8 of the upper half.
    #[test]
    fn tcp_over_ipv4() {
        let asked = TxOffload::default().ipv4_checksum(14, 20).l4_checksum(L4::Tcp, false, 14, 20);
        assert_eq!(context(asked), Some([20 | 14 << 9, 0x2020_0000 | 0x400 | 0x800]));
        assert_eq!(request(asked, 1000), (0x300 << 32, 1000));
    }

    #[test]
    fn a_tag_alone() {
        let asked = TxOffload::default().vlan(0x6064);
        assert_eq!(context(asked), Some([14 << 9 | 0x6064 << 16, 0x2020_0000]));
        assert_eq!(request(asked, 60), (1 << 30, 60));
    }

    #[test]
    fn segmentation_counts_the_payload() {
        let asked = TxOffload::default().l4_checksum(L4::Tcp, true, 14, 40).segment(20, 1440);
        assert_eq!(context(asked), Some([40 | 14 << 9, 0x2020_0000 | 0x800 | 20 << 40 | 1440 << 48]));
        assert_eq!(request(asked, 9000), (1 << 31 | 0x200 << 32, 9000 - 74));
        assert_eq!(request(asked, 74), (0x200 << 32, 74));
    }
}
