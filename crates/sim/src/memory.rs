//! DMA memory of a simulated host: anonymous memory, mapped at an address of its own in the host's IOMMU until dropped.
#![expect(unsafe_code, reason = "a DMA region is a promise about memory, and this is where simulated memory comes from")]

use crate::iommu::Iommu;
use std::{ptr::NonNull, sync::Arc};
#[cfg(feature = "audit")]
use vfwire_core::audit::Owners;
use vfwire_core::{
    dma::{DmaRegion, DmaSpace, DomainId, Iova},
    error::DmaError,
};
use vm_memory::MmapRegion;

/// The greatest alignment that is served: no device of ours asks for more than a 1 GiB page.
const MAX_ALIGN_BYTES: usize = 1 << 30;

/// The DMA memory of a host.
#[derive(Debug)]
pub(crate) struct SimDma(pub(crate) Arc<Iommu>);

/// What a region keeps: the memory, and its mapping.
struct Mapped {
    iommu: Arc<Iommu>,
    iova: Iova,
    /// Freed after `drop` has unmapped it; a step that still holds a snapshot keeps it until that step ends.
    _memory: Arc<MmapRegion>,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.iommu.unmap(self.iova);
    }
}

impl DmaSpace for SimDma {
    fn domain(&self) -> DomainId {
        self.0.domain()
    }

    fn alloc(&self, len_bytes: usize, align_bytes: usize) -> Result<DmaRegion, DmaError> {
        let shape = |why| DmaError::Shape { len_bytes, align_bytes, why };
        if len_bytes == 0 {
            return Err(shape("a region has at least one byte"));
        }
        if !align_bytes.is_power_of_two() || align_bytes > MAX_ALIGN_BYTES {
            return Err(shape("an alignment is a power of two, at most 1 GiB"));
        }
        // Anonymous memory is aligned to pages only, so as much more is reserved as the start may have to move.
        let reserved_bytes = len_bytes.checked_add(align_bytes).ok_or_else(|| shape("it does not fit the address space"))?;
        let memory: MmapRegion = MmapRegion::new(reserved_bytes).map_err(|error| {
            DmaError::Unavailable(format!("no {reserved_bytes} bytes for simulated DMA memory ({error}): use fewer or smaller buffers"))
        })?;
        let memory = Arc::new(memory);
        let offset = memory.as_ptr().align_offset(align_bytes);
        let start = NonNull::new(memory.as_ptr().wrapping_add(offset)).ok_or_else(|| shape("the system mapped it at address 0"))?;
        let iova = self.0.map(Arc::clone(&memory), offset, len_bytes, align_bytes as u64);
        let mapping = Arc::new(Mapped { iommu: Arc::clone(&self.0), iova, _memory: memory });
        // SAFETY: `memory` maps `reserved_bytes` anew, anonymous hence zero, readable and writable, and `offset` is below `align_bytes`,
        // so `len_bytes` at `start` lie inside it. `mapping` keeps it, and the devices reach it at `iova` through volatile slices, until
        // dropped. Nothing else was given its addresses.
        Ok(unsafe { DmaRegion::new(start, iova, len_bytes, mapping) })
    }

    #[cfg(feature = "audit")]
    fn watch(&self, owners: Arc<Owners>) {
        self.0.watch(owners);
    }
}

/// Memory of a region, for tests that play the driver without one.
#[cfg(test)]
pub(crate) mod raw {
    use super::*;

    /// Bytes of `region` from `offset` on.
    pub(crate) fn read(region: &DmaRegion, offset: usize, len_bytes: usize) -> Vec<u8> {
        assert!(offset + len_bytes <= region.len_bytes());
        // SAFETY: the range is inside the region (checked above), which is mapped while it is borrowed; the test runs the device in its
        // own thread, so nobody writes meanwhile.
        unsafe { std::slice::from_raw_parts(region.as_ptr().as_ptr().wrapping_add(offset), len_bytes) }.to_vec()
    }

    /// Writes `bytes` into `region` at `offset`.
    pub(crate) fn write(region: &DmaRegion, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= region.len_bytes());
        // SAFETY: as in `read`; and no reference to the memory exists.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), region.as_ptr().as_ptr().wrapping_add(offset), bytes.len()) };
    }

    /// The descriptor at `index` of a ring that begins with the region.
    pub(crate) fn descriptor(region: &DmaRegion, index: usize) -> [u64; 2] {
        let word = |at| u64::from_le_bytes(read(region, at, 8).try_into().expect("eight bytes were read"));
        [word(index * 16), word(index * 16 + 8)]
    }

    /// Writes the descriptor at `index`.
    pub(crate) fn set_descriptor(region: &DmaRegion, index: usize, words: [u64; 2]) {
        write(region, index * 16, words.map(u64::to_le_bytes).as_flattened());
    }
}
