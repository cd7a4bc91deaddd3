//! Descriptors of the VF: what [`crate::intel::adv`] leaves to the device.
//!
//! Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, chapter 7.1, Advanced Receive Descriptors, write-back
//! format: extended error field.

use super::Family;
use crate::intel::adv::rx;

/// Receive write-back, word 1: the TCP or UDP checksum is wrong. Means something with [`L4CS`](rx::L4CS) only.
pub const RX_L4E: u64 = 1 << 29;
/// Receive write-back, word 1: the IPv4 header checksum is wrong. Means something with [`IPCS`](rx::IPCS) only.
pub const RX_IPE: u64 = 1 << 30;
/// Receive write-back, word 1: the frame was damaged on the wire (CRC, symbol, length). Such frames are delivered only where the PF
/// stores bad packets.
pub const RX_RXE: u64 = 1 << 31;
/// Receive write-back, word 1: errors of frames that must not be delivered.
pub const RX_DROP_MASK: u64 = RX_RXE;
/// Receive write-back, word 1: errors of checksums; the frame is delivered and says so.
pub const RX_CHECKSUM_MASK: u64 = RX_L4E | RX_IPE;

/// The stripped tag's control information, as [`rx::vlan_tci`], put right where the device swaps it.
#[inline(always)]
pub const fn vlan_tci(family: Family, word1: u64) -> u16 {
    let tci = rx::vlan_tci(word1);
    if family.swaps_loopback_vlan() && word1 & rx::LOOPBACK != 0 { tci.swap_bytes() } else { tci }
}

const _: () = assert!(RX_DROP_MASK & RX_CHECKSUM_MASK == 0);
const _: () = assert!((RX_DROP_MASK | RX_CHECKSUM_MASK) & !rx::ERROR_MASK == 0);

#[cfg(test)]
mod tests {
    use super::*;

    /// DPDK `e1000_defines.h`, E1000_RXDEXT_STATERR_TCPE, _IPE, _RXE; `igb_rxtx.c` applies them to `status_error` unshifted.
    #[test]
    fn error_bits() {
        assert_eq!([RX_L4E, RX_IPE, RX_RXE], [0x2000_0000, 0x4000_0000, 0x8000_0000]);
    }

    /// DPDK `igb_rxtx.c`: IGB_RXQ_FLAG_LB_BSWAP_VLAN of I350 VFs, with E1000_RXDEXT_STATERR_LB 0x0004_0000.
    #[test]
    fn a_looped_back_tag_of_the_i350_is_put_right() {
        let word1 = 0x6400_0040_0004_000b;
        assert_eq!(vlan_tci(Family::I350, word1), 0x64);
        assert_eq!(vlan_tci(Family::I82576, word1), 0x6400);
        assert_eq!(vlan_tci(Family::I350, word1 & !0x0004_0000), 0x6400);
    }
}
