//! A simulated machine: functions on a bus, behind one IOMMU domain.

use crate::{
    device::{SimDevice, Slot},
    fault::DmaFault,
    iommu::Iommu,
    lock,
    memory::SimDma,
    model::DeviceModel,
    thread::SimThread,
    wire::Wire,
};
use std::{
    fmt,
    sync::{Arc, Mutex},
};
use vfwire_core::dma::DmaSpace;

/// A simulated machine. Clones are the same machine.
///
/// Its devices do nothing by themselves: [`step`](Self::step) gives each of them one pass in the caller's thread, in the order in which
/// they were added, so a run is reproducible; [`spawn`](Self::spawn) steps them in a thread until its handle is dropped.
#[derive(Clone)]
pub struct SimHost(Arc<Inner>);

struct Inner {
    iommu: Arc<Iommu>,
    slots: Mutex<Arc<[Arc<Slot>]>>,
}

impl SimHost {
    /// A machine without devices.
    pub fn new() -> Self {
        Self(Arc::new(Inner { iommu: Arc::new(Iommu::new()), slots: Mutex::new(Arc::new([])) }))
    }

    /// Plugs a device in: `model`, known to drivers and in messages as `address`, on `wire`.
    pub fn add<M: DeviceModel>(&self, address: &str, model: M, wire: impl Wire) -> SimDevice<M> {
        let model = Arc::new(Mutex::new(model));
        let slot = Arc::new(Slot::new(address, Arc::clone(&self.0.iommu), model.clone(), Box::new(wire)));
        let mut slots = lock(&self.0.slots);
        *slots = slots.iter().chain([&slot]).cloned().collect();
        SimDevice::new(slot, model)
    }

    /// One pass of every device. Says whether anything moved.
    pub fn step(&self) -> bool {
        let slots = Arc::clone(&lock(&self.0.slots));
        slots.iter().fold(false, |moved, slot| slot.step() | moved)
    }

    /// Steps until nothing moves any more, `limit` passes at most; says how many there were.
    pub fn settle(&self, limit: usize) -> usize {
        (0..limit).take_while(|_| self.step()).count()
    }

    /// Steps in a thread of its own, until the handle is dropped.
    pub fn spawn(&self) -> SimThread {
        SimThread::new(self.clone())
    }

    /// The machine's DMA memory: reached by all its devices.
    pub fn dma(&self) -> Arc<dyn DmaSpace> {
        Arc::new(SimDma(Arc::clone(&self.0.iommu)))
    }

    /// Bytes of DMA memory that are mapped for the devices now.
    pub fn mapped_bytes(&self) -> usize {
        self.0.iommu.mapped_bytes()
    }

    /// What the IOMMU refused so far.
    pub fn faults(&self) -> Vec<DmaFault> {
        self.0.iommu.faults()
    }
}

impl Default for SimHost {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = lock(&self.0.slots);
        f.debug_set().entries(slots.iter().map(|slot| &slot.address)).finish()
    }
}
