//! DMA memory as a hostile device sees it: every byte of every region is its to write, at any time.
//!
//! The regions are those of the simulated host, which lie between pages that nobody can access.
#![expect(unsafe_code, reason = "a device writes memory behind Rust's back, and here is where the fuzzer does")]

use std::{
    any::Any,
    ptr::NonNull,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use vfwire_core::{
    dma::{DmaRegion, DmaSpace, DomainId},
    error::DmaError,
};

/// The regions that are mapped now, oldest first. Clones share them.
#[derive(Clone, Default)]
pub struct Regions(Arc<Mutex<Vec<(u64, NonNull<u8>, usize)>>>);

// SAFETY: the addresses are used under the lock, while the region's mapping keeps the memory (`Mapping::drop` takes them out first).
unsafe impl Send for Regions {}
// SAFETY: as above.
unsafe impl Sync for Regions {}

impl Regions {
    fn lock(&self) -> MutexGuard<'_, Vec<(u64, NonNull<u8>, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many regions are mapped.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Writes `bytes` into a region, as far as it reaches. Both are brought into range: any region, any offset.
    pub fn write(&self, region: usize, offset: usize, bytes: &[u8]) {
        let regions = self.lock();
        let Some(&(_, start, len_bytes)) = regions.get(region % regions.len().max(1)) else { return };
        let offset = offset % len_bytes;
        for (at, byte) in (offset..len_bytes).zip(bytes) {
            // SAFETY: `at` is below the length of the region, which is mapped while its entry is there, and no reference to its
            // memory exists while the device has its turn.
            unsafe { start.as_ptr().wrapping_add(at).write_volatile(*byte) };
        }
    }

    /// Writes words over 16-byte entries of a region, as write-backs of descriptors, beginning with entry `first`.
    pub fn write_back(&self, region: usize, first: usize, count: usize, words: [u64; 2]) {
        let bytes = words.map(u64::to_le_bytes);
        for entry in first..first + count {
            self.write(region, entry * 16, bytes.as_flattened());
        }
    }
}

/// A DMA space whose regions are also the device's.
pub struct FuzzDma {
    inner: Arc<dyn DmaSpace>,
    regions: Regions,
}

impl FuzzDma {
    /// The regions of `inner`, each of which is noted in `regions`.
    pub fn new(inner: Arc<dyn DmaSpace>, regions: Regions) -> Self {
        Self { inner, regions }
    }
}

/// Keeps a region, and takes its entry out before it is unmapped.
struct Mapping {
    regions: Regions,
    number: u64,
    _region: DmaRegion,
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.regions.lock().retain(|(number, ..)| *number != self.number);
    }
}

impl DmaSpace for FuzzDma {
    fn domain(&self) -> DomainId {
        self.inner.domain()
    }

    fn alloc(&self, len_bytes: usize, align_bytes: usize) -> Result<DmaRegion, DmaError> {
        let region = self.inner.alloc(len_bytes, align_bytes)?;
        let (start, iova, number) = (region.as_ptr(), region.iova(), region.iova().0);
        self.regions.lock().push((number, start, len_bytes));
        let mapping: Arc<dyn Any + Send + Sync> = Arc::new(Mapping { regions: self.regions.clone(), number, _region: region });
        // SAFETY: it is the region of `inner`, which `mapping` keeps and which is given to nobody else.
        Ok(unsafe { DmaRegion::new(start, iova, len_bytes, mapping) })
    }
}
