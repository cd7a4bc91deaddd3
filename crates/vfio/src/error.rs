//! Why a function could not be opened. Each error is a line or two: what happened, on which thing, and what to do about it.

use crate::PciAddress;
use std::{io, path::PathBuf};
use vfwire_core::error::{BusError, DmaError};

/// A function could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VfioError {
    /// No such function.
    #[error("there is no PCI function {address}: `vfwire list` shows those of this machine")]
    NoSuchFunction {
        /// The address asked for.
        address: PciAddress,
    },
    /// No driver has it.
    #[error("{address} is bound to no driver, but must be to vfio-pci: `hugepages.sh bind {address}` on the host")]
    NotBound {
        /// The function.
        address: PciAddress,
    },
    /// A driver other than VFIO's has it.
    #[error("{address} is bound to the driver {driver}, but must be to vfio-pci: `hugepages.sh bind {address}` on the host")]
    WrongDriver {
        /// The function.
        address: PciAddress,
        /// The driver that has it.
        driver: String,
    },
    /// No IOMMU stands between the function and memory.
    #[error(
        "{address} is in no IOMMU group: turn the IOMMU on in the firmware and in the kernel (`intel_iommu=on`, or `amd_iommu=on`), since without \
         it a device could write anywhere"
    )]
    NoIommu {
        /// The function.
        address: PciAddress,
    },
    /// VFIO runs without an IOMMU.
    #[error(
        "{address} is offered in VFIO's no-IOMMU mode, in which it could write anywhere in memory: this is refused; turn the IOMMU on and \
         enable_unsafe_noiommu_mode off"
    )]
    UnsafeNoIommu {
        /// The function.
        address: PciAddress,
    },
    /// Others of the IOMMU group belong to kernel drivers.
    #[error("IOMMU group {group} of {address} is not viable, since it also holds {siblings}: bind those to vfio-pci too, or to no driver")]
    NotViable {
        /// The function.
        address: PciAddress,
        /// Its group.
        group: u32,
        /// The others, each with its driver.
        siblings: String,
    },
    /// VFIO is not there.
    #[error("{node} does not exist, so there is no VFIO: `modprobe vfio-pci` on the host; a container must be given the node")]
    Absent {
        /// VFIO's container node.
        node: PathBuf,
    },
    /// VFIO is there, the group's node is not.
    #[error(
        "{node}, the node of {address}, does not exist here: a container must be given it (a device plugin does, or `--device {node}`)"
    )]
    GroupNodeAbsent {
        /// The node of the group.
        node: PathBuf,
        /// The function.
        address: PciAddress,
    },
    /// A node may not be opened.
    #[error("no permission for {node}, which is {owner}: {remedy}")]
    Permission {
        /// The node.
        node: PathBuf,
        /// Whom it belongs to, and with which mode.
        owner: String,
        /// What to do.
        remedy: String,
    },
    /// Another process has it.
    #[error("{address} is in use: another process has {node} open (`fuser {node}` names it)")]
    Busy {
        /// The function.
        address: PciAddress,
        /// The node of its group.
        node: PathBuf,
    },
    /// This process has it.
    #[error("{address} is open in this process already: name each function once")]
    AlreadyOpen {
        /// The function.
        address: PciAddress,
    },
    /// VFIO has no Type 1 IOMMU.
    #[error("VFIO offers no Type 1 IOMMU: `modprobe vfio_iommu_type1` on the host")]
    NoType1,
    /// The function cannot be reset, so that what the user before left in it would stay.
    #[error(
        "{address} cannot be reset ({source}): a function that is not in a known state is not used; its PF or its firmware may need an update"
    )]
    NoReset {
        /// The function.
        address: PciAddress,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else that the system refused.
    #[error("{what}: {source}")]
    Io {
        /// Operation, thing and remedy.
        what: String,
        /// What the system answered.
        source: io::Error,
    },
    /// The function is open, but does not answer.
    #[error("{address}: {source}")]
    Bus {
        /// The function.
        address: PciAddress,
        /// What happened.
        source: BusError,
    },
    /// Memory that is in use could not be mapped for the function.
    #[error(transparent)]
    Dma(#[from] DmaError),
}

impl VfioError {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}
