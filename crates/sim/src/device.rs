//! A device on a simulated host, as the one who simulates sees it: open it, step it, look into it, make it fail.

use crate::{
    config::ConfigSpace,
    function::SimFunction,
    iommu::{Iommu, View},
    lock,
    model::{DeviceModel, DoorbellAt},
    wire::Wire,
};
use std::{
    collections::VecDeque,
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};
use vfwire_core::{
    bus::{BarIndex, BusEvent},
    error::BusError,
};
use vfwire_spec::pci::PciId;

/// What host, device handle, function and BARs share.
pub(crate) struct Slot {
    pub(crate) address: Arc<str>,
    pub(crate) id: PciId,
    pub(crate) iommu: Arc<Iommu>,
    pub(crate) model: Arc<Mutex<dyn DeviceModel>>,
    pub(crate) doorbells: Vec<DoorbellAt>,
    pub(crate) config: Mutex<ConfigSpace>,
    pub(crate) events: Mutex<VecDeque<BusEvent>>,
    pub(crate) open: AtomicBool,
    pub(crate) gone: AtomicBool,
    /// Register accesses that wait for the model. A busy stepping thread would otherwise take its lock again and again.
    pub(crate) waiting: AtomicU32,
    wire: Mutex<Box<dyn Wire>>,
}

impl Slot {
    pub(crate) fn new(address: &str, iommu: Arc<Iommu>, model: Arc<Mutex<dyn DeviceModel>>, wire: Box<dyn Wire>) -> Self {
        let (config, doorbells) = {
            let model = lock(&model);
            (ConfigSpace::new(model.id(), model.class(), &model.capabilities()), model.doorbells())
        };
        let id = lock(&model).id();
        Self {
            address: address.into(),
            id,
            iommu,
            model,
            doorbells,
            config: Mutex::new(config),
            events: Mutex::default(),
            open: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            waiting: AtomicU32::new(0),
            wire: Mutex::new(wire),
        }
    }

    /// Runs `access` on the model, ahead of the next step.
    pub(crate) fn with_model<T>(&self, access: impl FnOnce(&mut dyn DeviceModel) -> T) -> T {
        access(&mut *self.lock_ahead(&self.model))
    }

    /// Locks `model`, which is this slot's, ahead of the next step.
    fn lock_ahead<'m, M: ?Sized>(&self, model: &'m Mutex<M>) -> MutexGuard<'m, M> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let model = lock(model);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        model
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Function-level reset.
    pub(crate) fn reset(&self) {
        self.with_model(|model| model.reset());
        lock(&self.config).reset();
    }

    pub(crate) fn doorbell(&self, bar: BarIndex, offset: u32) -> Option<&DoorbellAt> {
        self.doorbells.iter().find(|at| at.offset == offset && at.bar == bar)
    }

    /// A register access, and the work on memory that it sets off.
    pub(crate) fn access<T>(&self, access: impl FnOnce(&mut dyn DeviceModel) -> T) -> T {
        self.with_model(|model| {
            let answer = access(model);
            if model.has_to_serve() && lock(&self.config).is_bus_master() {
                let map = self.iommu.snapshot();
                model.serve(&View::new(&map, &self.address)).unwrap_or_else(|fault| self.iommu.record(fault));
            }
            answer
        })
    }

    /// One pass of the device. Says whether anything moved.
    pub(crate) fn step(&self) -> bool {
        if self.waiting.load(Ordering::Relaxed) != 0 || self.is_gone() || !lock(&self.config).is_bus_master() {
            return false;
        }
        let map = self.iommu.snapshot();
        let stepped = lock(&self.model).step(&View::new(&map, &self.address), &mut **lock(&self.wire));
        stepped.unwrap_or_else(|fault| {
            self.iommu.record(fault);
            true
        })
    }
}

/// A device that was added to a [`SimHost`](crate::SimHost). Clones are the same device.
pub struct SimDevice<M> {
    slot: Arc<Slot>,
    model: Arc<Mutex<M>>,
}

impl<M> Clone for SimDevice<M> {
    fn clone(&self) -> Self {
        Self { slot: Arc::clone(&self.slot), model: Arc::clone(&self.model) }
    }
}

impl<M> fmt::Debug for SimDevice<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDevice({}, {})", self.slot.address, self.slot.id)
    }
}

impl<M: DeviceModel> SimDevice<M> {
    pub(crate) fn new(slot: Arc<Slot>, model: Arc<Mutex<M>>) -> Self {
        Self { slot, model }
    }

    /// Opens the function for a driver: after a reset, with bus mastering on. Dropping it resets it again, and then it may be opened
    /// anew.
    ///
    /// # Errors
    /// [`BusError::Io`] where it is open already, [`BusError::Gone`] where it was taken away.
    pub fn open(&self) -> Result<SimFunction, BusError> {
        if self.slot.is_gone() {
            return Err(BusError::Gone);
        }
        if self.slot.open.swap(true, Ordering::Relaxed) {
            let what = format!("{} is open already: close it first, one driver holds a function at a time", self.slot.address);
            return Err(BusError::Io { what, source: io::ErrorKind::ResourceBusy.into() });
        }
        self.slot.reset();
        lock(&self.slot.config).set_bus_master();
        // What was reported to an earlier holder is not for this one.
        lock(&self.slot.events).clear();
        Ok(SimFunction::new(Arc::clone(&self.slot)))
    }

    /// Looks into the model, or changes it.
    pub fn with<T>(&self, access: impl FnOnce(&mut M) -> T) -> T {
        access(&mut self.slot.lock_ahead(&self.model))
    }

    /// One pass of this device alone. Says whether anything moved.
    pub fn step(&self) -> bool {
        self.slot.step()
    }

    /// Takes the device away (or gives it back): reads return all ones, writes go nowhere, no DMA is done.
    pub fn set_gone(&self, gone: bool) {
        self.slot.gone.store(gone, Ordering::Relaxed);
    }

    /// Has the bus report an event to whoever holds the function.
    pub fn raise(&self, event: BusEvent) {
        lock(&self.slot.events).push_back(event);
    }

    /// How often the doorbell at `offset` of `bar` was rung since the device was added; 0 where there is none.
    pub fn doorbell_rings(&self, bar: BarIndex, offset: u32) -> u64 {
        self.slot.doorbell(bar, offset).map_or(0, |at| at.doorbell.rings())
    }

    /// Somebody holds the function.
    pub fn is_open(&self) -> bool {
        self.slot.open.load(Ordering::Relaxed)
    }
}
