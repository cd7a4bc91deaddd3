//! What a device model implements, and what it is given.
//!
//! A model is plain state behind registers. It does its DMA in [`DeviceModel::step`], never inside a register access, so whoever calls
//! `step` chooses the interleaving of driver and device. The hot registers of a device, its tails, are [`Doorbell`]s: atomics that the
//! BAR writes without taking the model's lock and that `step` reads.

use crate::{fault::DmaFault, wire::Wire};
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use vfwire_core::bus::BarIndex;
use vfwire_spec::pci::{CLASS_ETHERNET, PciId};
use vm_memory::VolatileSlice;

/// A device: registers, and what it does when it is stepped.
pub trait DeviceModel: Send + 'static {
    /// Vendor and device.
    fn id(&self) -> PciId;

    /// Class code, 24 bits (PCI Local Bus 3.0, appendix D).
    fn class(&self) -> u32 {
        CLASS_ETHERNET
    }

    /// Length of a BAR in bytes, where the device has it.
    fn bar_len_bytes(&self, bar: BarIndex) -> Option<u32>;

    /// Its capabilities, in the order of the list, each from its ID on; what points to the next is filled in. Asked once, as the doorbells.
    fn capabilities(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Its doorbells. Asked once, when the device is added to a host; writes to them never reach `mmio_write`.
    fn doorbells(&self) -> Vec<DoorbellAt> {
        Vec::new()
    }

    /// Reads a register. `offset` is inside the BAR and a multiple of `width`.
    fn mmio_read(&mut self, bar: BarIndex, offset: u32, width: Width) -> u64;

    /// Writes a register. `offset` is inside the BAR and a multiple of `width`.
    fn mmio_write(&mut self, bar: BarIndex, offset: u32, width: Width, value: u64);

    /// A register access has set off work on memory that does not wait for a step, see [`serve`](Self::serve).
    fn has_to_serve(&self) -> bool {
        false
    }

    /// Does that work, right after the register access. So a driver that waits for the answer to a command, in the only thread and reading
    /// a register meanwhile, gets there.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    fn serve(&mut self, memory: &dyn HostMemory) -> Result<(), DmaFault> {
        let _ = memory;
        Ok(())
    }

    /// Does a bounded amount of the work that waits: sends what was posted, receives what arrived. Says whether anything moved.
    ///
    /// # Errors
    /// The [`DmaFault`] that stopped one of its queues; the others go on at the next step.
    fn step(&mut self, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, DmaFault>;

    /// Function-level reset: afterwards the device does no DMA until it is set up again.
    fn reset(&mut self);
}

/// Memory as a device sees it: through the IOMMU. One view lasts one step.
pub trait HostMemory {
    /// Reads bytes.
    ///
    /// # Errors
    /// [`DmaFault`] where the device may not read all of them; nothing is read then.
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault>;

    /// Writes bytes.
    ///
    /// # Errors
    /// [`DmaFault`] where the device may not write all of them; nothing is written then.
    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault>;

    /// Reads descriptors of 16 bytes, each as two words.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_descriptors(&self, iova: u64, into: &mut [[u64; 2]]) -> Result<(), DmaFault>;

    /// Writes a descriptor back: word 0 before word 1, and word 1 after everything that the device wrote before.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn write_back(&self, iova: u64, words: [u64; 2]) -> Result<(), DmaFault>;

    /// The memory itself, for accesses that must be of one width and in an order: a write where `write` says so, otherwise a read.
    ///
    /// # Errors
    /// [`DmaFault`] where the device may not make the access.
    fn slice(&self, iova: u64, len_bytes: usize, write: bool) -> Result<VolatileSlice<'_>, DmaFault>;
}

/// Width of a register access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
    /// 64 bits.
    Double,
}

impl Width {
    /// The width of so many bytes.
    ///
    /// # Panics
    /// Where `bytes` is not 1, 2, 4 or 8: register words are one of these (`vfwire_spec::reg::MmioWord`).
    pub const fn of_bytes(bytes: u32) -> Self {
        match bytes {
            1 => Self::Byte,
            2 => Self::Half,
            4 => Self::Word,
            8 => Self::Double,
            _ => panic!("a register access is 1, 2, 4 or 8 bytes wide"),
        }
    }

    /// In bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
            Self::Double => 8,
        }
    }

    /// What a read gives that nobody answers.
    pub const fn all_ones(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }
}

/// A doorbell and where it is.
#[derive(Clone, Debug)]
pub struct DoorbellAt {
    /// In which BAR.
    pub bar: BarIndex,
    /// At which offset, in bytes.
    pub offset: u32,
    /// How wide its writes are. Others go to [`DeviceModel::mmio_write`].
    pub width: Width,
    /// The doorbell, which the model keeps a handle of.
    pub doorbell: Arc<Doorbell>,
}

/// A 32-bit register that a driver writes without a lock and that the model reads when it is stepped.
///
/// Every write is counted. The model says which values mean something at the moment; the first other one is kept for it.
// A real device's are apart from all memory: no two share a pair of cache lines with each other or with anything else.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Doorbell {
    value: AtomicU32,
    /// Values from here on are misuse; [`Doorbell::ANYTHING`]: none is.
    limit: AtomicU32,
    rings: AtomicU64,
    /// The first misused value plus one, or 0.
    misuse: AtomicU64,
}

impl Doorbell {
    const ANYTHING: u32 = u32::MAX;

    /// The driver's write. Zero is never misuse: drivers clear a tail before they enable its queue.
    pub fn ring(&self, value: u32) {
        let limit = self.limit.load(Ordering::Relaxed);
        if value != 0 && value >= limit && limit != Self::ANYTHING {
            let _ = self.misuse.compare_exchange(0, u64::from(value) + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
        // Both pair with their readers: what the driver stored to its ring before is seen by a step that sees this tail, or this count.
        self.value.store(value, Ordering::Release);
        self.rings.fetch_add(1, Ordering::Release);
    }

    /// The last value written.
    pub fn value(&self) -> u32 {
        self.value.load(Ordering::Acquire)
    }

    /// How often it was written since the device was made.
    pub fn rings(&self) -> u64 {
        self.rings.load(Ordering::Acquire)
    }

    /// From now on values below `limit` are good.
    pub fn allow_below(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// From now on every value is good and means nothing, as while a device is being reset behind its driver's back.
    pub fn ignore(&self) {
        self.limit.store(Self::ANYTHING, Ordering::Relaxed);
    }

    /// The first misused value since the last call.
    pub fn take_misuse(&self) -> Option<u32> {
        if self.misuse.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let kept = self.misuse.swap(0, Ordering::Relaxed);
        u32::try_from(kept.checked_sub(1)?).ok()
    }
}
