//! Descriptors of the VF: what [`crate::intel::adv`] leaves to the device.
//!
//! Source: "Intel 82599 10 GbE Controller Datasheet", rev. 3.4, chapters 7.1 (Advanced Receive Descriptors, write-back format: extended
//! error field) and 7.2 (Advanced Transmit Data Descriptor: CC).

/// Receive write-back, word 1: the frame was damaged on the wire (CRC, symbol, length). Such frames are delivered only where the PF
/// stores bad packets. Bit 29: on the 82576 it is bit 31.
pub const RX_RXE: u64 = 1 << 29;
/// Receive write-back, word 1: the TCP or UDP checksum is wrong. Means something with [`L4CS`](crate::intel::adv::rx::L4CS) only.
pub const RX_L4E: u64 = 1 << 30;
/// Receive write-back, word 1: the IPv4 header checksum is wrong. Means something with [`IPCS`](crate::intel::adv::rx::IPCS) only.
pub const RX_IPE: u64 = 1 << 31;
/// Receive write-back, word 1: errors of frames that must not be delivered.
pub const RX_DROP_MASK: u64 = RX_RXE;
/// Receive write-back, word 1: errors of checksums; the frame is delivered and says so.
pub const RX_CHECKSUM_MASK: u64 = RX_L4E | RX_IPE;

/// Transmit data descriptor, word 1: check context. The frame refers to a context, whose MAC header length the device checks (VFs of
/// the X550: malicious driver detection). Set in every data descriptor, after one context descriptor with MACLEN 14.
pub const TX_CC: u64 = 1 << 39;

const _: () = assert!(RX_DROP_MASK & RX_CHECKSUM_MASK == 0);
const _: () = assert!((RX_DROP_MASK | RX_CHECKSUM_MASK) & !crate::intel::adv::rx::ERROR_MASK == 0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intel::adv::tx;

    /// DPDK `ixgbe_type.h`, IXGBE_RXDADV_ERR_USE (which the data sheet's later revisions call RXE), _TCPE, _IPE.
    #[test]
    fn error_bits() {
        assert_eq!([RX_RXE, RX_L4E, RX_IPE], [0x2000_0000, 0x4000_0000, 0x8000_0000]);
    }

    /// DPDK `ixgbe_type.h`, IXGBE_ADVTXD_CC 0x80 of `olinfo_status`; `ixgbe_adv_tx_desc` as of the 82576.
    #[test]
    fn a_data_descriptor_with_check_context() {
        let word1 = tx::data(60, 60) | tx::EOP | tx::RS | TX_CC;
        assert_eq!(word1.to_le_bytes(), [0x3c, 0x00, 0x30, 0x2b, 0x80, 0x00, 0x0f, 0x00]);
    }
}
