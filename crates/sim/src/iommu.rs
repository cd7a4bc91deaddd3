//! The IOMMU: which memory the devices of a host reach, and what they may do to it.
//!
//! Owns the table of mappings. It is replaced as a whole when a region comes or goes, so a device takes one snapshot a step and looks
//! addresses up without a lock. A mapping that ends during a step is still seen by that step; its memory lives as long as the snapshot.
//!
//! Addresses are never used twice, so an access to what was unmapped faults for ever. Address 0 is never mapped.

use crate::{
    fault::{DmaFault, FaultKind},
    lock,
    model::HostMemory,
};
use std::{
    cell::Cell,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::Ordering},
};
#[cfg(feature = "audit")]
use vfwire_core::audit::{Owner, Owners};
use vfwire_core::dma::{DomainId, Iova};
use vm_memory::{Bytes, MmapRegion, VolatileMemory, VolatileSlice};

/// Where the first region is mapped: above 4 GiB, so that a truncated address faults.
const FIRST_IOVA: u64 = 0x1_0000_0000;
/// Unmapped bytes after each region, at least: an access past an end faults instead of reaching a neighbour.
const GUARD_BYTES: u64 = 0x1000;

/// One IOMMU domain.
#[derive(Debug)]
pub(crate) struct Iommu {
    domain: DomainId,
    map: RwLock<Arc<Map>>,
    next_iova: Mutex<u64>,
    faults: Mutex<Vec<DmaFault>>,
}

/// The mappings at one moment, by ascending address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map(Vec<Mapping>);

#[derive(Clone, Debug)]
struct Mapping {
    iova: u64,
    len_bytes: usize,
    /// Where in `memory` the region begins.
    offset: usize,
    memory: Arc<MmapRegion>,
    #[cfg(feature = "audit")]
    owners: Option<Arc<Owners>>,
}

impl Iommu {
    pub(crate) fn new() -> Self {
        Self { domain: DomainId::unique(), map: RwLock::default(), next_iova: Mutex::new(FIRST_IOVA), faults: Mutex::default() }
    }

    pub(crate) fn domain(&self) -> DomainId {
        self.domain
    }

    /// Maps `len_bytes` of `memory` from `offset` on, at an address of its own.
    pub(crate) fn map(&self, memory: Arc<MmapRegion>, offset: usize, len_bytes: usize, align_bytes: u64) -> Iova {
        let iova = {
            let mut next = lock(&self.next_iova);
            let iova = next.next_multiple_of(align_bytes.max(GUARD_BYTES));
            *next = (iova + len_bytes as u64 + GUARD_BYTES).next_multiple_of(GUARD_BYTES);
            iova
        };
        self.change(|map| {
            let at = map.0.partition_point(|mapping| mapping.iova < iova);
            let mapping = Mapping {
                iova,
                len_bytes,
                offset,
                memory,
                #[cfg(feature = "audit")]
                owners: None,
            };
            map.0.insert(at, mapping);
        });
        Iova(iova)
    }

    /// Ends the mapping at `iova`.
    pub(crate) fn unmap(&self, iova: Iova) {
        self.change(|map| map.0.retain(|mapping| mapping.iova != iova.0));
    }

    /// From now on checks accesses to the mapping that holds `owners`' buffers.
    #[cfg(feature = "audit")]
    pub(crate) fn watch(&self, owners: Arc<Owners>) {
        let (start, len_bytes) = owners.range();
        self.change(|map| {
            let holds = |mapping: &&mut Mapping| start.0 >= mapping.iova && start.0 + len_bytes <= mapping.iova + mapping.len_bytes as u64;
            if let Some(mapping) = map.0.iter_mut().find(holds) {
                mapping.owners = Some(owners);
            }
        });
    }

    /// Bytes that devices can reach now.
    pub(crate) fn mapped_bytes(&self) -> usize {
        self.snapshot().0.iter().map(|mapping| mapping.len_bytes).sum()
    }

    pub(crate) fn snapshot(&self) -> Arc<Map> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a fault, and prints the host's first: most runs have no one who asks. A fuzzer's devices fault all the time.
    pub(crate) fn record(&self, fault: DmaFault) {
        let mut faults = lock(&self.faults);
        if faults.is_empty() && cfg!(not(fuzzing)) {
            eprintln!("{fault}");
        }
        faults.push(fault);
    }

    pub(crate) fn faults(&self) -> Vec<DmaFault> {
        lock(&self.faults).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Map)) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut map));
    }
}

/// What one device sees during one step.
pub(crate) struct View<'a> {
    map: &'a Map,
    device: &'a Arc<str>,
    /// The mapping that was hit last: a device works on one ring and one arena most of the time.
    last: Cell<usize>,
}

impl<'a> View<'a> {
    pub(crate) fn new(map: &'a Map, device: &'a Arc<str>) -> Self {
        Self { map, device, last: Cell::new(0) }
    }

    fn fault(&self, iova: u64, len_bytes: usize, write: bool, kind: FaultKind) -> DmaFault {
        DmaFault { device: Arc::clone(self.device), iova: Iova(iova), len_bytes, write, kind }
    }

    /// The memory of an access, if the device may make it.
    #[inline]
    fn slice_of(&self, iova: u64, len_bytes: usize, write: bool) -> Result<VolatileSlice<'_>, DmaFault> {
        self.try_slice(iova, len_bytes, write).map_err(|kind| self.fault(iova, len_bytes, write, kind))
    }

    #[inline]
    fn try_slice(&self, iova: u64, len_bytes: usize, write: bool) -> Result<VolatileSlice<'_>, FaultKind> {
        let (mapping, offset) = self.find(iova, len_bytes).ok_or(FaultKind::Unmapped)?;
        check_owner(mapping, iova, len_bytes, write)?;
        mapping.memory.get_slice(mapping.offset + offset, len_bytes).map_err(|_| FaultKind::Unmapped)
    }

    #[inline]
    fn find(&self, iova: u64, len_bytes: usize) -> Option<(&Mapping, usize)> {
        let mappings = &self.map.0;
        if let Some(offset) = mappings.get(self.last.get()).and_then(|mapping| mapping.offset_of(iova, len_bytes)) {
            return Some((&mappings[self.last.get()], offset));
        }
        let at = mappings.partition_point(|mapping| mapping.iova <= iova).checked_sub(1)?;
        let offset = mappings[at].offset_of(iova, len_bytes)?;
        self.last.set(at);
        Some((&mappings[at], offset))
    }
}

impl Mapping {
    /// Where in the region an access begins that lies wholly inside it.
    #[inline]
    fn offset_of(&self, iova: u64, len_bytes: usize) -> Option<usize> {
        let offset = usize::try_from(iova.checked_sub(self.iova)?).ok()?;
        (offset.checked_add(len_bytes)? <= self.len_bytes).then_some(offset)
    }
}

#[cfg(not(feature = "audit"))]
#[inline(always)]
fn check_owner(_: &Mapping, _: u64, _: usize, _: bool) -> Result<(), FaultKind> {
    Ok(())
}

#[cfg(feature = "audit")]
fn check_owner(mapping: &Mapping, iova: u64, len_bytes: usize, write: bool) -> Result<(), FaultKind> {
    let Some(owners) = &mapping.owners else { return Ok(()) };
    let (start, watched_bytes) = owners.range();
    if iova + len_bytes as u64 <= start.0 || iova >= start.0 + watched_bytes {
        return Ok(());
    }
    match owners.owner_at(Iova(iova), len_bytes as u64) {
        None => Err(FaultKind::CrossesBuffers),
        Some(Owner::Cpu) => Err(FaultKind::ProcessorOwns),
        Some(Owner::DeviceReads) if write => Err(FaultKind::ReadOnly),
        Some(Owner::DeviceWrites) if !write => Err(FaultKind::WriteOnly),
        Some(_) => Ok(()),
    }
}

impl HostMemory for View<'_> {
    #[inline]
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        self.slice_of(iova, into.len(), false)?.copy_to(into);
        Ok(())
    }

    #[inline]
    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        self.slice_of(iova, from.len(), true)?.copy_from(from);
        Ok(())
    }

    #[inline]
    fn read_descriptors(&self, iova: u64, into: &mut [[u64; 2]]) -> Result<(), DmaFault> {
        let words = into.as_flattened_mut();
        let len_bytes = size_of_val(words);
        let slice = self.slice_of(iova, len_bytes, false)?;
        let array = slice.get_array_ref::<u64>(0, words.len()).map_err(|_| self.fault(iova, len_bytes, false, FaultKind::Misaligned))?;
        array.copy_to(words);
        for word in words {
            *word = u64::from_le(*word);
        }
        Ok(())
    }

    #[inline]
    fn write_back(&self, iova: u64, words: [u64; 2]) -> Result<(), DmaFault> {
        let slice = self.slice_of(iova, 16, true)?;
        let misaligned = |_| self.fault(iova, 16, true, FaultKind::Misaligned);
        slice.store(words[0].to_le(), 0, Ordering::Relaxed).map_err(misaligned)?;
        // The driver loads this word with acquire and then everything that the device wrote before it.
        slice.store(words[1].to_le(), 8, Ordering::Release).map_err(misaligned)
    }

    #[inline]
    fn slice(&self, iova: u64, len_bytes: usize, write: bool) -> Result<VolatileSlice<'_>, DmaFault> {
        self.slice_of(iova, len_bytes, write)
    }
}

#[cfg(test)]
#[path = "iommu_tests.rs"]
mod tests;
