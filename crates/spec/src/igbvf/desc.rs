//! Descriptors of the VF: what [`crate::intel::adv`] leaves to the device.
//!
//! Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, chapter 7.1, Advanced Receive Descriptors, write-back
//! format: extended error field.

/// Receive write-back, word 1: the TCP or UDP checksum is wrong. Means something with [`L4CS`](crate::intel::adv::rx::L4CS) only.
pub const RX_L4E: u64 = 1 << 29;
/// Receive write-back, word 1: the IPv4 header checksum is wrong. Means something with [`IPCS`](crate::intel::adv::rx::IPCS) only.
pub const RX_IPE: u64 = 1 << 30;
/// Receive write-back, word 1: the frame was damaged on the wire (CRC, symbol, length). Such frames are delivered only where the PF
/// stores bad packets.
pub const RX_RXE: u64 = 1 << 31;
/// Receive write-back, word 1: errors of frames that must not be delivered.
pub const RX_DROP_MASK: u64 = RX_RXE;
/// Receive write-back, word 1: errors of checksums; the frame is delivered and says so.
pub const RX_CHECKSUM_MASK: u64 = RX_L4E | RX_IPE;

const _: () = assert!(RX_DROP_MASK & RX_CHECKSUM_MASK == 0);
const _: () = assert!((RX_DROP_MASK | RX_CHECKSUM_MASK) & !crate::intel::adv::rx::ERROR_MASK == 0);

#[cfg(test)]
mod tests {
    use super::*;

    /// DPDK `e1000_defines.h`, E1000_RXDEXT_STATERR_TCPE, _IPE, _RXE; `igb_rxtx.c` applies them to `status_error` unshifted.
    #[test]
    fn error_bits() {
        assert_eq!([RX_L4E, RX_IPE, RX_RXE], [0x2000_0000, 0x4000_0000, 0x8000_0000]);
    }
}
