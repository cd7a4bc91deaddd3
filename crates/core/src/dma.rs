//! Memory that a device can reach.
//!
//! A [`DmaSpace`] is one IOMMU domain: every port that was opened on it reaches every region that was allocated from it. A
//! [`DmaRegion`] is mapped, at a fixed address and a fixed IOVA, until it is dropped. Only bytes and descriptor words live in it, never
//! a Rust object. Regions are handed to [`ring`](crate::ring) and [`pool`](crate::pool), which own every access to them.
#![expect(unsafe_code, reason = "the constructor of a region rests on a promise that the type system cannot check")]

use crate::error::DmaError;
use std::{
    any::Any,
    fmt,
    ptr::NonNull,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
};

/// An address as the device sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Iova(pub u64);

impl fmt::Debug for Iova {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iova({:#x})", self.0)
    }
}
impl fmt::LowerHex for Iova {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

/// Names one IOMMU domain of this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DomainId(u64);

impl DomainId {
    /// A new name, given to no other domain of this process.
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One IOMMU domain, and the memory that its devices can reach.
pub trait DmaSpace: Send + Sync + 'static {
    /// Its name: ports and pools of different domains do not fit together.
    fn domain(&self) -> DomainId;

    /// `len_bytes` of zeroed memory, reachable by every device of the domain, aligned to `align_bytes` (a power of two) for both the
    /// processor and the device. Small regions may share a page.
    ///
    /// # Errors
    /// [`DmaError`], which names the need, what there is, and the remedy.
    fn alloc(&self, len_bytes: usize, align_bytes: usize) -> Result<DmaRegion, DmaError>;

    /// Tells a checking domain who owns each buffer of a region. Only simulated domains listen.
    #[cfg(feature = "audit")]
    fn watch(&self, _owners: Arc<crate::audit::Owners>) {}
}

/// A region of a [`DmaSpace`]: mapped and at the same addresses until dropped.
pub struct DmaRegion {
    start: NonNull<u8>,
    iova: Iova,
    len_bytes: usize,
    _mapping: Arc<dyn Any + Send + Sync>,
}

// SAFETY: a region is an address and the mapping that keeps it valid; no thread is special to either (contract of `new`).
unsafe impl Send for DmaRegion {}
// SAFETY: as above; a shared region gives out its addresses only, and whoever uses them answers for it.
unsafe impl Sync for DmaRegion {}

impl DmaRegion {
    /// A region of memory that `mapping` keeps.
    ///
    /// # Safety
    /// Until `mapping` is dropped, `len_bytes` at `start` are mapped, readable and writable, reach the device at `iova`, and belong to no
    /// other region nor to any Rust object. They are zero now.
    pub unsafe fn new(start: NonNull<u8>, iova: Iova, len_bytes: usize, mapping: Arc<dyn Any + Send + Sync>) -> Self {
        Self { start, iova, len_bytes, _mapping: mapping }
    }

    /// Where the device sees it.
    pub fn iova(&self) -> Iova {
        self.iova
    }

    /// Its length in bytes.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Where the processor sees it. Using it is the caller's affair.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.start
    }
}

impl fmt::Debug for DmaRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaRegion({:p}, {:?}, {} bytes)", self.start, self.iova, self.len_bytes)
    }
}
