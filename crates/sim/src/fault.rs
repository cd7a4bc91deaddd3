//! What an IOMMU refuses.

use std::sync::Arc;
use vfwire_core::dma::Iova;

/// An access to memory that the device may not make. The device's queue stops; the host records it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("DMA fault: {device} {} {len_bytes} bytes at {iova:#x}, {}", if *.write { "wrote" } else { "read" }, .kind.reason())]
pub struct DmaFault {
    /// Which function: its address.
    pub device: Arc<str>,
    /// Where.
    pub iova: Iova,
    /// How many bytes.
    pub len_bytes: usize,
    /// A write by the device, otherwise a read.
    pub write: bool,
    /// Why it was refused.
    pub kind: FaultKind,
}

/// Why an access was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// Not inside one region that is mapped now: it never was, it no longer is, or the access runs past its end.
    Unmapped,
    /// A buffer that the processor owns (checked with the feature `audit` only, like the kinds below).
    ProcessorOwns,
    /// A write to a buffer that the device may only read: it was given for sending.
    ReadOnly,
    /// A read of a buffer that the device may only write: it was given for receiving.
    WriteOnly,
    /// Past the end of one buffer, into its neighbour.
    CrossesBuffers,
    /// A descriptor that does not lie at a multiple of 8 bytes.
    Misaligned,
}

impl FaultKind {
    /// The reason, as the end of a sentence.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unmapped => "which is not mapped",
            Self::ProcessorOwns => "which the processor owns",
            Self::ReadOnly => "which it may only read",
            Self::WriteOnly => "which it may only write",
            Self::CrossesBuffers => "which is more than one buffer",
            Self::Misaligned => "which is not at a multiple of 8",
        }
    }
}
