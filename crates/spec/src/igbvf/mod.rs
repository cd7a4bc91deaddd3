//! igbvf: the virtual functions of the Intel 82576 and I350 gigabit controllers.
//!
//! Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, chapters 7.1 (receive), 7.2 (transmit), 7.10
//! (virtualization) and 8 (registers); "Intel Ethernet Controller I350 Datasheet", chapters of the same titles. The messages of the
//! mailbox are a convention between the PF and VF drivers, taken from Linux `drivers/net/ethernet/intel/igbvf`.
//!
//! - [`regs`]: BAR 0;
//! - [`desc`]: what the descriptors have beyond [`crate::intel::adv`];
//! - [`control`]: mailbox messages.

use crate::pci::PciId;

pub mod control;
pub mod desc;
pub mod regs;

/// The 82576's VF.
pub const ID_82576: PciId = PciId::intel(0x10ca);
/// The 82576's VF as Hyper-V shows it.
pub const ID_82576_HYPERV: PciId = PciId::intel(0x152d);
/// The I350's VF.
pub const ID_I350: PciId = PciId::intel(0x1520);
/// The I350's VF as Hyper-V shows it.
pub const ID_I350_HYPERV: PciId = PciId::intel(0x152f);
/// Every function that the register table holds for.
pub const IDS: [PciId; 4] = [ID_82576, ID_82576_HYPERV, ID_I350, ID_I350_HYPERV];

/// Which controller the VF belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 82576: two queue pairs a VF.
    I82576,
    /// I350: one queue pair a VF.
    I350,
}

impl Family {
    /// The controller that has this VF; `None` for a function that is none of [`IDS`].
    pub const fn of(id: PciId) -> Option<Self> {
        match (id.vendor, id.device) {
            (crate::pci::VENDOR_INTEL, 0x10ca | 0x152d) => Some(Self::I82576),
            (crate::pci::VENDOR_INTEL, 0x1520 | 0x152f) => Some(Self::I350),
            _ => None,
        }
    }

    /// Queue pairs that a VF has.
    pub const fn queue_pairs(self) -> u32 {
        match self {
            Self::I82576 => 2,
            Self::I350 => 1,
        }
    }

    /// The VLAN tag of a frame from another function of the device ([`LOOPBACK`](crate::intel::adv::rx::LOOPBACK)) is byte-swapped in
    /// the receive descriptor (Linux `igbvf/netdev.c`: IGBVF_FLAG_RX_LB_VLAN_BSWAP).
    pub const fn swaps_loopback_vlan(self) -> bool {
        matches!(self, Self::I350)
    }
}

/// The BAR of the registers.
pub const REGISTER_BAR: u8 = 0;
/// Bytes of the register BAR.
pub const REGISTER_BAR_BYTES: u32 = 16 * 1024;
/// The BAR of the MSI-X table.
pub const MSIX_BAR: u8 = 3;
/// MSI-X vectors of a VF.
pub const MSIX_VECTORS: u32 = 3;
/// Queue pairs that the register table has room for: those of the 82576.
pub const MAX_QUEUE_PAIRS: u32 = 2;

/// A ring's address is a multiple of this many bytes (registers RDBAL and TDBAL: bits 6:0 are ignored).
pub const RING_ALIGN_BYTES: usize = 128;
/// A ring's length is a multiple of this many descriptors (registers RDLEN and TDLEN: a multiple of 128 bytes).
pub const RING_MULTIPLE_DESC: usize = 8;
/// The shortest ring that drivers use, in descriptors.
pub const RING_MIN_DESC: usize = 32;
/// The longest ring that drivers use, in descriptors.
pub const RING_MAX_DESC: usize = 4096;

const _: () = assert!(RING_MULTIPLE_DESC * crate::intel::adv::DESC_BYTES == RING_ALIGN_BYTES);
const _: () = assert!(RING_MIN_DESC.is_multiple_of(RING_MULTIPLE_DESC) && RING_MAX_DESC.is_multiple_of(RING_MULTIPLE_DESC));

/// Longest frame that SET_LPE can ask for, FCS and VLAN tag included: the 14-bit VMOLR.RLPML field of the PF.
pub const MAX_FRAME_BYTES: u16 = 0x3fff;

#[cfg(test)]
mod tests {
    use super::*;

    /// DPDK `e1000_hw.h`, E1000_DEV_ID_82576_VF, _82576_VF_HV, _I350_VF, _I350_VF_HV.
    #[test]
    fn ids() {
        assert_eq!(IDS.map(|id| id.device), [0x10ca, 0x152d, 0x1520, 0x152f]);
        assert_eq!(IDS.map(|id| Family::of(id).map(Family::queue_pairs)), [Some(2), Some(2), Some(1), Some(1)]);
        assert_eq!(Family::of(PciId { vendor: 0x1af4, device: 0x10ca }), None);
    }

    /// QEMU `igb_common.h`: IGBVF_MMIO_BAR_IDX, IGBVF_MMIO_SIZE, IGBVF_MSIX_BAR_IDX; `igb_regs.h`: IGB_MAX_RXD.
    #[test]
    fn sizes() {
        assert_eq!((REGISTER_BAR, REGISTER_BAR_BYTES, MSIX_BAR), (0, 0x4000, 3));
        assert_eq!(RING_MAX_DESC, 4096);
    }
}
