//! ixgbevf: the virtual functions of the Intel 82599, X540, X550 and E610 10 gigabit controllers.
//!
//! Source: "Intel 82599 10 GbE Controller Datasheet", rev. 3.4, chapters 7.1 (receive), 7.2 (transmit), 7.10 (virtualization) and 9
//! (device registers of the virtual function); "Intel Ethernet Controller X540 Datasheet" and "Intel Ethernet Controller X550
//! Datasheet", chapters of the same titles. The messages of the mailbox are a convention between the PF and VF drivers, taken from
//! Linux `drivers/net/ethernet/intel/{ixgbe,ixgbevf}`.
//!
//! - [`regs`]: BAR 0;
//! - [`desc`]: what the descriptors have beyond [`crate::intel::adv`];
//! - [`control`]: mailbox messages and their versions.

use crate::pci::{PciId, VENDOR_INTEL};

pub mod control;
pub mod desc;
pub mod regs;

/// The 82599's VF.
pub const ID_82599: PciId = PciId::intel(0x10ed);
/// The 82599's VF as Hyper-V shows it.
pub const ID_82599_HYPERV: PciId = PciId::intel(0x152e);
/// The X540's VF.
pub const ID_X540: PciId = PciId::intel(0x1515);
/// The X540's VF as Hyper-V shows it.
pub const ID_X540_HYPERV: PciId = PciId::intel(0x1530);
/// The X550's VF.
pub const ID_X550: PciId = PciId::intel(0x1565);
/// The X550's VF as Hyper-V shows it.
pub const ID_X550_HYPERV: PciId = PciId::intel(0x1564);
/// The X552's VF (X550EM_x, in Xeon D-1500).
pub const ID_X550EM_X: PciId = PciId::intel(0x15a8);
/// The X552's VF as Hyper-V shows it.
pub const ID_X550EM_X_HYPERV: PciId = PciId::intel(0x15a9);
/// The X553's VF (X550EM_a, in Atom C3000).
pub const ID_X550EM_A: PciId = PciId::intel(0x15c5);
/// The X553's VF as Hyper-V shows it.
pub const ID_X550EM_A_HYPERV: PciId = PciId::intel(0x15b4);
/// The E610's VF.
pub const ID_E610: PciId = PciId::intel(0x57ad);

/// Every function that has the register table and the mailbox. Those that Hyper-V shows are not among them: they have no mailbox.
pub const IDS: [PciId; 6] = [ID_82599, ID_X540, ID_X550, ID_X550EM_X, ID_X550EM_A, ID_E610];

/// Which controller the VF belongs to, as far as it matters to a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 82599.
    I82599,
    /// X540.
    X540,
    /// X550, X552, X553.
    X550,
    /// E610.
    E610,
}

impl Family {
    /// The controller that has this VF; `None` for a function that is none of [`IDS`].
    pub const fn of(id: PciId) -> Option<Self> {
        match (id.vendor, id.device) {
            (VENDOR_INTEL, 0x10ed) => Some(Self::I82599),
            (VENDOR_INTEL, 0x1515) => Some(Self::X540),
            (VENDOR_INTEL, 0x1565 | 0x15a8 | 0x15c5) => Some(Self::X550),
            (VENDOR_INTEL, 0x57ad) => Some(Self::E610),
            _ => None,
        }
    }

    /// The VF has RSS registers of its own (VFMRQC, VFRSSRK, VFRETA). Otherwise it shares the PF's, which messages can only read.
    pub const fn has_own_rss(self) -> bool {
        matches!(self, Self::X550 | Self::E610)
    }

    /// The link may run at 2.5 or 5 Gbit/s.
    pub const fn has_middle_speeds(self) -> bool {
        matches!(self, Self::X550 | Self::E610)
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
/// Queue pairs that have registers. How many a VF may use is the PF's to say (message GET_QUEUES).
pub const MAX_QUEUE_PAIRS: u32 = 8;

/// A ring's address is a multiple of this many bytes (registers VFRDBAL and VFTDBAL: bits 6:0 are ignored).
pub const RING_ALIGN_BYTES: usize = 128;
/// A ring's length is a multiple of this many descriptors (registers VFRDLEN and VFTDLEN: a multiple of 128 bytes).
pub const RING_MULTIPLE_DESC: usize = 8;
/// The shortest ring that drivers use, in descriptors.
pub const RING_MIN_DESC: usize = 32;
/// The longest ring that drivers use, in descriptors.
pub const RING_MAX_DESC: usize = 4096;

const _: () = assert!(RING_MULTIPLE_DESC * crate::intel::adv::DESC_BYTES == RING_ALIGN_BYTES);
const _: () = assert!(RING_MIN_DESC.is_multiple_of(RING_MULTIPLE_DESC) && RING_MAX_DESC.is_multiple_of(RING_MULTIPLE_DESC));

/// Longest frame that the controllers can be told to take, FCS and VLAN tag included (Linux `ixgbe`: IXGBE_MAX_JUMBO_FRAME_SIZE).
pub const MAX_FRAME_BYTES: u16 = 9728;

#[cfg(test)]
mod tests {
    use super::*;

    /// DPDK `ixgbe_type.h`, IXGBE_DEV_ID_*_VF.
    #[test]
    fn ids() {
        assert_eq!(IDS.map(|id| id.device), [0x10ed, 0x1515, 0x1565, 0x15a8, 0x15c5, 0x57ad]);
        let own_rss = IDS.map(|id| Family::of(id).map(Family::has_own_rss));
        assert_eq!(own_rss, [Some(false), Some(false), Some(true), Some(true), Some(true), Some(true)]);
        for hyperv in [ID_82599_HYPERV, ID_X540_HYPERV, ID_X550_HYPERV, ID_X550EM_X_HYPERV, ID_X550EM_A_HYPERV] {
            assert_eq!(Family::of(hyperv), None);
        }
    }
}
