//! PCI and PCI Express configuration space: the offsets and bits that are used here.
//!
//! Offsets are in bytes from the start of a function's configuration space, widths as named. Capability offsets are from the start of
//! the capability. What a function answers is untrusted: a walk of the capability list is bounded by
//! [`MAX_CAPABILITIES`].

mod address;

pub use address::{NoPciAddress, PciAddress};
use core::fmt;

/// Vendor ID, 16 bits, read-only (PCI Local Bus 3.0, 6.2.1).
pub const VENDOR_ID: u16 = 0x00;
/// Device ID, 16 bits, read-only (PCI Local Bus 3.0, 6.2.1).
pub const DEVICE_ID: u16 = 0x02;
/// Command, 16 bits (PCI Local Bus 3.0, 6.2.2).
pub const COMMAND: u16 = 0x04;
/// Status, 16 bits (PCI Local Bus 3.0, 6.2.3).
pub const STATUS: u16 = 0x06;
/// Revision ID, 8 bits, read-only (PCI Local Bus 3.0, 6.2.1).
pub const REVISION_ID: u16 = 0x08;
/// Class code: programming interface, sub-class and base class, one byte each, read-only (PCI Local Bus 3.0, 6.2.1).
pub const CLASS_CODE: u16 = 0x09;
/// Header type, 8 bits, read-only (PCI Local Bus 3.0, 6.2.1).
pub const HEADER_TYPE: u16 = 0x0e;
/// First base address register, 32 bits; the others follow, [`BAR_STRIDE`] apart (PCI Local Bus 3.0, 6.2.5).
pub const BAR0: u16 = 0x10;
/// Bytes from one base address register to the next.
pub const BAR_STRIDE: u16 = 4;
/// Base address registers of an endpoint.
pub const BAR_COUNT: u16 = 6;
/// Subsystem vendor ID, 16 bits, read-only (PCI Local Bus 3.0, 6.2.4).
pub const SUBSYSTEM_VENDOR_ID: u16 = 0x2c;
/// Subsystem ID, 16 bits, read-only (PCI Local Bus 3.0, 6.2.4).
pub const SUBSYSTEM_ID: u16 = 0x2e;
/// Capabilities pointer, 8 bits, read-only; the lowest two bits are reserved (PCI Local Bus 3.0, 6.7).
pub const CAPABILITIES_POINTER: u16 = 0x34;
/// Bytes of the configuration space that every function has (PCI Local Bus 3.0, 6.1).
pub const CONFIG_BYTES: u16 = 256;
/// Bytes of the extended configuration space (PCI Express Base 6.0, 7.2).
pub const EXTENDED_CONFIG_BYTES: u16 = 4096;
/// Vendor ID that a function which is absent answers (PCI Local Bus 3.0, 6.1).
pub const VENDOR_ABSENT: u16 = 0xffff;

/// Command: responds to memory accesses (PCI Local Bus 3.0, 6.2.2). A VF has it as a constant zero: its memory is enabled in the PF.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Command: may master the bus, which DMA and MSI-X need (PCI Local Bus 3.0, 6.2.2).
pub const COMMAND_BUS_MASTER: u16 = 1 << 2;
/// Command: INTx is disabled (PCI Local Bus 3.0, 6.2.2).
pub const COMMAND_INTX_DISABLE: u16 = 1 << 10;
/// Status: there is a capability list (PCI Local Bus 3.0, 6.2.3).
pub const STATUS_CAPABILITY_LIST: u16 = 1 << 4;
/// Class code of an Ethernet controller, as 24 bits (PCI Local Bus 3.0, appendix D).
pub const CLASS_ETHERNET: u32 = 0x02_0000;
/// Base address register: an I/O space range (PCI Local Bus 3.0, 6.2.5.1).
pub const BAR_IO: u32 = 1;
/// Base address register: bits of the type of a memory range (PCI Local Bus 3.0, 6.2.5.1).
pub const BAR_TYPE_MASK: u32 = 0b110;
/// Base address register: a 64-bit memory range, whose upper half is the next register (PCI Local Bus 3.0, 6.2.5.1).
pub const BAR_TYPE_64: u32 = 0b100;

/// Capability: its ID, 8 bits (PCI Local Bus 3.0, 6.7).
pub const CAPABILITY_ID: u16 = 0;
/// Capability: offset of the next one, 8 bits, 0 ends the list (PCI Local Bus 3.0, 6.7).
pub const CAPABILITY_NEXT: u16 = 1;
/// The most capabilities that fit behind the 64-byte header, 4 bytes each: the bound of a walk.
pub const MAX_CAPABILITIES: u16 = (CONFIG_BYTES - 64) / 4;
/// Capability ID of MSI (PCI Local Bus 3.0, appendix H).
pub const CAPABILITY_MSI: u8 = 0x05;
/// Capability ID of what the vendor defines (PCI Local Bus 3.0, appendix H).
pub const CAPABILITY_VENDOR: u8 = 0x09;
/// Capability ID of PCI Express (PCI Local Bus 3.0, appendix H).
pub const CAPABILITY_PCI_EXPRESS: u8 = 0x10;
/// Capability ID of MSI-X (PCI Local Bus 3.0, appendix H).
pub const CAPABILITY_MSIX: u8 = 0x11;

/// MSI-X: message control, 16 bits (PCI Local Bus 3.0, 6.8.2.3).
pub const MSIX_CONTROL: u16 = 0x02;
/// MSI-X: table offset and BAR, 32 bits (PCI Local Bus 3.0, 6.8.2.4).
pub const MSIX_TABLE: u16 = 0x04;
/// MSI-X: pending bit array offset and BAR, 32 bits (PCI Local Bus 3.0, 6.8.2.5).
pub const MSIX_PBA: u16 = 0x08;
/// MSI-X message control: entries of the table, less one.
pub const MSIX_CONTROL_TABLE_SIZE_MASK: u16 = 0x07ff;
/// MSI-X message control: every vector is masked.
pub const MSIX_CONTROL_FUNCTION_MASK: u16 = 1 << 14;
/// MSI-X message control: enabled.
pub const MSIX_CONTROL_ENABLE: u16 = 1 << 15;
/// MSI-X table and PBA registers: the index of the BAR; the other bits are the offset in it.
pub const MSIX_BAR_MASK: u32 = 0b111;

/// PCI Express: device capabilities, 32 bits (PCI Express Base 6.0, 7.5.3.3).
pub const PCIE_DEVICE_CAPABILITIES: u16 = 0x04;
/// PCI Express: device control, 16 bits (PCI Express Base 6.0, 7.5.3.4).
pub const PCIE_DEVICE_CONTROL: u16 = 0x08;
/// PCI Express: device status, 16 bits (PCI Express Base 6.0, 7.5.3.5).
pub const PCIE_DEVICE_STATUS: u16 = 0x0a;
/// Device capabilities: function-level reset is offered; every VF must (PCI Express Base 6.0, 7.5.3.3 and 9.2.2.2).
pub const PCIE_DEVICE_CAPABILITIES_FLR: u32 = 1 << 28;
/// Device control: starts a function-level reset, which takes at most 100 ms (PCI Express Base 6.0, 6.6.2 and 7.5.3.4).
pub const PCIE_DEVICE_CONTROL_FLR: u16 = 1 << 15;
/// Device status: non-posted requests are still unanswered (PCI Express Base 6.0, 7.5.3.5).
pub const PCIE_DEVICE_STATUS_PENDING: u16 = 1 << 5;

/// Vendor ID of Intel.
pub const VENDOR_INTEL: u16 = 0x8086;

/// What a PCI function is: its vendor and device ID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciId {
    /// Vendor ID, as assigned by the PCI-SIG.
    pub vendor: u16,
    /// Device ID, as assigned by the vendor.
    pub device: u16,
}

impl PciId {
    /// An Intel device.
    pub const fn intel(device: u16) -> Self {
        Self { vendor: VENDOR_INTEL, device }
    }
}

impl fmt::Display for PciId {
    /// As lspci writes it: `8086:10ca`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.device)
    }
}

impl fmt::Debug for PciId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn ids_read_as_lspci_writes_them() {
        assert_eq!(PciId::intel(0x10ca).to_string(), "8086:10ca");
    }

    /// Linux `include/uapi/linux/pci_regs.h`, the second source of this table.
    #[test]
    fn offsets_and_bits() {
        assert_eq!([VENDOR_ID, DEVICE_ID, COMMAND, STATUS, REVISION_ID, CLASS_CODE, HEADER_TYPE, BAR0], [0, 2, 4, 6, 8, 9, 14, 16]);
        assert_eq!([SUBSYSTEM_VENDOR_ID, SUBSYSTEM_ID, CAPABILITIES_POINTER], [0x2c, 0x2e, 0x34]);
        assert_eq!([COMMAND_MEMORY, COMMAND_BUS_MASTER, COMMAND_INTX_DISABLE, STATUS_CAPABILITY_LIST], [2, 4, 0x400, 0x10]);
        assert_eq!([MSIX_CONTROL_TABLE_SIZE_MASK, MSIX_CONTROL_FUNCTION_MASK, MSIX_CONTROL_ENABLE], [0x7ff, 0x4000, 0x8000]);
        assert_eq!([PCIE_DEVICE_CAPABILITIES, PCIE_DEVICE_CONTROL, PCIE_DEVICE_STATUS], [4, 8, 10]);
        assert_eq!((PCIE_DEVICE_CAPABILITIES_FLR, PCIE_DEVICE_CONTROL_FLR, PCIE_DEVICE_STATUS_PENDING), (0x1000_0000, 0x8000, 0x20));
    }
}
