//! Simulated virtual functions on a simulated bus, with an IOMMU that faults.
//!
//! Floor 2. A driver that runs over VFIO runs unchanged over this bus, on any machine. What a real device would silently swallow is
//! reported here: an access that the IOMMU refuses is a recorded [`DmaFault`], a use of a device that its data sheet forbids is a
//! recorded violation of the model.
//!
//! | module | what it owns |
//! |---|---|
//! | [`host`], [`device`], [`thread`] | one simulated machine: its functions, its IOMMU domain, who runs the devices and when |
//! | [`function`] | what a driver holds: the simulated side of `PciFunction` and `Bar` |
//! | [`model`] | what a device model implements, and the doorbells that it gives out |
//! | `iommu`, `memory`, [`fault`] | DMA memory, the devices' view of it, and what they may not do |
//! | [`wire`] | what a device sends to and receives from: a link, a traffic source, a test |
//! | [`frame`] | what devices do to frames: header parsing, checksums, receive-side scaling |
//! | [`models`] | the devices |
//! | [`faulty`] | any of them, with something going wrong at a chosen step |
//!
//! Deliberately not here: interrupts, timing (a device does its work when it is stepped), the PF as a function of its own.

pub mod device;
pub mod fault;
pub mod faulty;
pub mod frame;
pub mod function;
pub mod host;
pub mod model;
pub mod models;
pub mod thread;
pub mod wire;

mod config;
mod iommu;
mod memory;

pub use device::SimDevice;
pub use fault::{DmaFault, FaultKind};
pub use faulty::{Damage, Fault, Faulty, Schedule, StepKind};
pub use function::{SimBar, SimFunction};
pub use host::SimHost;
pub use model::{DeviceModel, Doorbell, DoorbellAt, HostMemory, Width};
pub use models::igbvf::{IgbvfModel, IgbvfOptions};
pub use models::ixgbevf::{IxgbevfModel, IxgbevfOptions};
pub use models::virtio_net::{VirtioNetModel, VirtioNetOptions};
pub use thread::SimThread;
pub use wire::{Impairment, ImperfectWire, Link, TestWire, TrafficConfig, TrafficCounters, TrafficSource, Wire, WireClock};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. A panic of another thread inside the lock is that thread's news; the state is still one of a device.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
