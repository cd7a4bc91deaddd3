//! The memory view of a device, as rust-vmm's crates want it.

use crate::{fault::DmaFault, model::HostMemory, models::Stop};
use std::{cell::RefCell, iter::FusedIterator};
use vm_memory::{
    GuestAddress, GuestMemory, GuestMemoryError, GuestMemoryMmap, Permissions, VolatileSlice,
    guest_memory::{GuestMemorySliceIterator, Result as GuestResult},
};

/// Every access goes through the simulated IOMMU. Its fault has no place in rust-vmm's errors, so the first one is kept here.
pub(super) struct Guest<'a> {
    memory: &'a dyn HostMemory,
    fault: RefCell<Option<DmaFault>>,
}

impl<'a> Guest<'a> {
    pub(super) fn new(memory: &'a dyn HostMemory) -> Self {
        Self { memory, fault: RefCell::default() }
    }

    /// The fault that stopped what was tried; or a broken rule, where it was stopped by something else.
    pub(super) fn stop(&self, rule: &'static str, detail: String) -> Stop {
        self.fault.take().map_or(Stop::Rule(rule, detail), Stop::Fault)
    }

    /// Fails where an access was refused, whatever became of it.
    pub(super) fn check(&self) -> Result<(), DmaFault> {
        self.fault.take().map_or(Ok(()), Err)
    }
}

impl GuestMemory for Guest<'_> {
    type PhysicalMemory = GuestMemoryMmap;
    type Bitmap = ();

    fn check_range(&self, addr: GuestAddress, count: usize, access: Permissions) -> bool {
        self.memory.slice(addr.0, count, access.has_write()).is_ok()
    }

    fn get_slices<'m>(
        &'m self,
        addr: GuestAddress,
        count: usize,
        access: Permissions,
    ) -> GuestResult<impl GuestMemorySliceIterator<'m, ()>> {
        if count == 0 {
            return Ok(OneSlice(None));
        }
        self.memory.slice(addr.0, count, access.has_write()).map(|slice| OneSlice(Some(slice))).map_err(|fault| {
            self.fault.borrow_mut().get_or_insert(fault);
            GuestMemoryError::InvalidGuestAddress(addr)
        })
    }
}

/// A mapping is contiguous: there is one slice or none.
struct OneSlice<'a>(Option<VolatileSlice<'a>>);

impl<'a> Iterator for OneSlice<'a> {
    type Item = GuestResult<VolatileSlice<'a>>;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl FusedIterator for OneSlice<'_> {}
impl<'a> GuestMemorySliceIterator<'a, ()> for OneSlice<'a> {}
