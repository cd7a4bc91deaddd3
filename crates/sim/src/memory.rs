//! DMA memory of a simulated host: anonymous memory, mapped at an address of its own in the host's IOMMU until dropped.
//!
//! Each region ends at a page that nobody can access, and another one lies before it: whoever runs over an edge faults at once.
#![expect(unsafe_code, reason = "a DMA region is a promise about memory, and this is where simulated memory comes from")]

use crate::iommu::Iommu;
use std::{io, ops::Range, ptr::NonNull, sync::Arc, thread};
#[cfg(feature = "audit")]
use vfwire_core::audit::Owners;
use vfwire_core::{
    dma::{DmaRegion, DmaSpace, DomainId, Iova},
    error::DmaError,
};
use vm_memory::{Bytes, MmapRegion, VolatileMemory};

/// The greatest alignment that is served: no device of ours asks for more than a 1 GiB page.
const MAX_ALIGN_BYTES: usize = 1 << 30;

/// The DMA memory of a host.
#[derive(Debug)]
pub(crate) struct SimDma(pub(crate) Arc<Iommu>);

/// What a region keeps: the memory, and its mapping.
struct Mapped {
    iommu: Arc<Iommu>,
    iova: Iova,
    /// Bytes between the page before the region and its start, by their place in the memory. They are nobody's and stay zero.
    slack: Range<usize>,
    /// Freed after `drop` has unmapped it; a step that still holds a snapshot keeps it until that step ends.
    memory: Arc<MmapRegion>,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.iommu.unmap(self.iova);
        let mut slack = vec![0; self.slack.len()];
        let read = self.memory.as_volatile_slice().read_slice(&mut slack, self.slack.start);
        let kept = read.is_ok() && slack.iter().all(|byte| *byte == 0);
        debug_assert!(kept || thread::panicking(), "somebody wrote before the start of the DMA region at {:#x}", self.iova);
    }
}

/// Where a region lies in the memory that was reserved for it, by offsets.
struct Layout {
    reserved_bytes: usize,
    page_bytes: usize,
    /// The region's length, both of its ends aligned.
    room_bytes: usize,
    step_bytes: usize,
}

impl Layout {
    /// For a region of this shape; nothing where it does not fit the address space.
    fn new(len_bytes: usize, align_bytes: usize) -> Option<Self> {
        // SAFETY: a question to the system; it takes no memory of ours.
        let page_bytes = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok().filter(|page| page.is_power_of_two())?;
        let room_bytes = len_bytes.checked_next_multiple_of(align_bytes)?;
        let step_bytes = align_bytes.max(page_bytes);
        let reserved_bytes = room_bytes.checked_add(step_bytes)?.checked_add(2 * page_bytes)?;
        Some(Self { reserved_bytes, page_bytes, room_bytes, step_bytes })
    }

    /// Start of the region in memory at `base`, such that it ends at a page.
    fn start(&self, base: usize) -> usize {
        (base + self.page_bytes + self.room_bytes).next_multiple_of(self.step_bytes) - self.room_bytes - base
    }

    /// Start of the region's first page.
    fn first_page(&self, start: usize) -> usize {
        start / self.page_bytes * self.page_bytes
    }

    /// Takes away every access to the pages before and behind the region.
    fn guard(&self, memory: &MmapRegion, start: usize) -> io::Result<()> {
        for page in [self.first_page(start) - self.page_bytes, start + self.room_bytes] {
            let address = memory.as_ptr().wrapping_add(page).cast();
            // SAFETY: the page lies inside `memory`, which is ours alone, and outside the region: nobody has a reference to it.
            if unsafe { libc::mprotect(address, self.page_bytes, libc::PROT_NONE) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
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
        let layout = Layout::new(len_bytes, align_bytes).ok_or_else(|| shape("it does not fit the address space"))?;
        let reserved_bytes = layout.reserved_bytes;
        let refused = |error: String| {
            DmaError::Unavailable(format!("no {reserved_bytes} bytes for simulated DMA memory ({error}): use fewer or smaller buffers"))
        };
        let memory: MmapRegion = MmapRegion::new(reserved_bytes).map_err(|error| refused(error.to_string()))?;
        let offset = layout.start(memory.as_ptr() as usize);
        layout.guard(&memory, offset).map_err(|error| refused(error.to_string()))?;
        let memory = Arc::new(memory);
        let start = NonNull::new(memory.as_ptr().wrapping_add(offset)).ok_or_else(|| shape("the system mapped it at address 0"))?;
        let iova = self.0.map(Arc::clone(&memory), offset, len_bytes, align_bytes as u64);
        let slack = layout.first_page(offset)..offset;
        let mapping = Arc::new(Mapped { iommu: Arc::clone(&self.0), iova, slack, memory });
        // SAFETY: `memory` maps `reserved_bytes` anew, anonymous hence zero, readable and writable but for the pages around the
        // `room_bytes` at `offset`, in which `len_bytes` lie. `mapping` keeps it, and the devices reach it at `iova` through volatile
        // slices, until dropped. Nothing else was given its addresses.
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
