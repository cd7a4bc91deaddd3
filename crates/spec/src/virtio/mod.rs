//! virtio-net over PCI: the functions of SmartNICs, DPUs and hypervisors that speak modern virtio.
//!
//! Source: "Virtual I/O Device (VIRTIO) Version 1.2", OASIS Committee Specification 01. Section numbers without another title are of it.
//!
//! - [`pci`]: capabilities that say where the structures lie, common configuration, device status;
//! - [`features`]: what device and driver agree on;
//! - [`split`] and [`packed`]: the two layouts of a virtqueue;
//! - [`net`]: queues, header, configuration and hashes of a network device;
//! - [`control`]: commands of the control queue.
//!
//! Everything is little-endian (1.4 and 2.5.3: the modern interface). Not here: the legacy interface, which a transitional function has
//! beside this one.

use crate::pci::PciId;

pub mod control;
pub mod features;
pub mod net;
pub mod packed;
pub mod pci;
pub mod split;

/// Vendor ID of every virtio function (4.1.2).
pub const VENDOR: u16 = 0x1af4;
/// A network device without a legacy interface: 0x1040 and its device ID, 1 (4.1.2, 5.1.1).
pub const ID_NET: PciId = PciId { vendor: VENDOR, device: 0x1041 };
/// A transitional network device: it may have the capabilities of this module, or the legacy interface alone (4.1.2.1).
pub const ID_NET_TRANSITIONAL: PciId = PciId { vendor: VENDOR, device: 0x1000 };
/// Every network function.
pub const IDS: [PciId; 2] = [ID_NET, ID_NET_TRANSITIONAL];

#[cfg(test)]
mod tests {
    use super::*;

    /// QEMU `include/hw/pci/pci.h`: PCI_VENDOR_ID_REDHAT_QUMRANET, PCI_DEVICE_ID_VIRTIO_NET; PCI_DEVICE_ID_VIRTIO_10_BASE + 1.
    #[test]
    fn ids() {
        assert_eq!(IDS.map(|id| (id.vendor, id.device)), [(0x1af4, 0x1040 + 1), (0x1af4, 0x1000)]);
    }
}
