//! What a driver holds of a simulated device: its function and its BARs.

use crate::{device::Slot, lock, memory::SimDma, model::Width};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};
use vfwire_core::{
    bar::Bar,
    bus::{BarIndex, BusEvent, ConfigWord, PciFunction},
    dma::DmaSpace,
    error::BusError,
};
use vfwire_spec::{pci::PciId, reg::MmioWord};

/// An open function of a simulated host. Dropping it resets and closes it.
pub struct SimFunction(Arc<Slot>);

impl SimFunction {
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self(slot)
    }

    fn outside<V: MmioWord>(&self, offset: u16) -> BusError {
        BusError::NotThere(format!("{} has no {} bytes of configuration space at {offset:#x}", self.0.address, V::BYTES))
    }
}

impl Drop for SimFunction {
    fn drop(&mut self) {
        self.0.reset();
        self.0.open.store(false, Ordering::Relaxed);
    }
}

impl fmt::Debug for SimFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFunction({}, {})", self.0.address, self.0.id)
    }
}

impl PciFunction for SimFunction {
    type Bar = SimBar;

    fn address(&self) -> &str {
        &self.0.address
    }

    fn id(&self) -> PciId {
        self.0.id
    }

    fn config_read<V: ConfigWord>(&self, offset: u16) -> Result<V, BusError> {
        let value = lock(&self.0.config).read(offset, V::BYTES).ok_or_else(|| self.outside::<V>(offset))?;
        Ok(if self.0.is_gone() { V::ALL_ONES } else { V::from_u64(value) })
    }

    fn config_write<V: ConfigWord>(&self, offset: u16, value: V) -> Result<(), BusError> {
        lock(&self.0.config).write(offset, V::BYTES, value.to_u64()).ok_or_else(|| self.outside::<V>(offset))
    }

    fn poll_event(&self) -> Option<BusEvent> {
        lock(&self.0.events).pop_front()
    }

    fn map_bar(&self, index: BarIndex) -> Result<SimBar, BusError> {
        match self.0.with_model(|model| model.bar_len_bytes(index)) {
            Some(len_bytes) => Ok(SimBar { slot: Arc::clone(&self.0), index, len_bytes }),
            None => Err(BusError::NotThere(format!("{} has no {index}", self.0.address))),
        }
    }

    fn dma(&self) -> Arc<dyn DmaSpace> {
        Arc::new(SimDma(Arc::clone(&self.0.iommu)))
    }

    fn reset(&self) -> Result<(), BusError> {
        if self.0.is_gone() {
            return Err(BusError::Gone);
        }
        self.0.reset();
        lock(&self.0.config).set_bus_master();
        Ok(())
    }
}

/// A BAR of a simulated function.
#[derive(Clone)]
pub struct SimBar {
    slot: Arc<Slot>,
    index: BarIndex,
    len_bytes: u32,
}

impl SimBar {
    fn check<V: MmioWord>(&self, offset: u32) {
        let inside = offset.checked_add(V::BYTES).is_some_and(|end| end <= self.len_bytes);
        assert!(inside && offset.is_multiple_of(V::BYTES), "{} bytes at {offset:#x} are not a word of {}", V::BYTES, self.index);
    }
}

impl fmt::Debug for SimBar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimBar({} {}, {} bytes)", self.slot.address, self.index, self.len_bytes)
    }
}

impl Bar for SimBar {
    fn len_bytes(&self) -> u32 {
        self.len_bytes
    }

    fn read<V: MmioWord>(&self, offset: u32) -> V {
        self.check::<V>(offset);
        if self.slot.is_gone() {
            return V::ALL_ONES;
        }
        V::from_u64(self.slot.access(|model| model.mmio_read(self.index, offset, Width::of_bytes(V::BYTES))))
    }

    fn write<V: MmioWord>(&self, offset: u32, value: V) {
        self.check::<V>(offset);
        if self.slot.is_gone() {
            return;
        }
        if let Some(at) = self.slot.doorbell(self.index, offset)
            && at.width == Width::of_bytes(V::BYTES)
            && let Ok(tail) = u32::try_from(value.to_u64())
        {
            at.doorbell.ring(tail);
            return;
        }
        self.slot.access(|model| model.mmio_write(self.index, offset, Width::of_bytes(V::BYTES), value.to_u64()));
    }
}
