//! The device's side of a packed queue (2.8).

use super::chain::{Chain, Part, Used};
use crate::{
    fault::{DmaFault, FaultKind},
    model::HostMemory,
    models::Stop,
};
use std::sync::{Arc, atomic::Ordering};
use vfwire_core::dma::Iova;
use vfwire_spec::virtio::{net, packed};
use vm_memory::Bytes;

/// A place in the ring, and the wrap counter there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    slot: u16,
    wrap: bool,
}

impl Place {
    const FIRST: Self = Self { slot: 0, wrap: true };

    fn after(self, slots: u16, size: u16) -> Self {
        match self.slot.checked_add(slots).filter(|slot| *slot < size) {
            Some(slot) => Self { slot, ..self },
            None => Self { slot: self.slot.wrapping_add(slots).wrapping_sub(size), wrap: !self.wrap },
        }
    }
}

#[derive(Debug)]
pub(super) struct PackedRing {
    size: u16,
    desc: u64,
    driver: u64,
    available: Place,
    used: Place,
}

impl PackedRing {
    /// `[desc, driver, device]` are the addresses.
    pub(super) fn new(size: u16, [desc, driver, _]: [u64; 3]) -> Self {
        Self { size, desc, driver, available: Place::FIRST, used: Place::FIRST }
    }

    /// Up to where the device has fetched, as the driver counts: offset and wrap counter.
    pub(super) fn position(&self) -> u16 {
        net::packed_next(self.available.slot, self.available.wrap)
    }

    /// The next buffer, if there is one.
    pub(super) fn fetch(&mut self, memory: &dyn HostMemory, chain: &mut Chain) -> Result<bool, Stop> {
        let mut place = self.available;
        loop {
            let [address, word1] = self.read(memory, place)?;
            let flags = packed::flags(word1);
            if !packed::is_available(flags, place.wrap) {
                let detail = || format!("slot {}, flags {flags:#x}, in the chain from {}", place.slot, self.available.slot);
                Stop::unless(chain.slots == 0, "the first descriptor of a chain is made available last", detail)?;
                return Ok(false);
            }
            let known = flags & !(packed::NEXT | packed::WRITE | packed::AVAIL | packed::USED) == 0;
            Stop::unless(known, "a descriptor has the flags NEXT and WRITE alone", || format!("{flags:#x} in slot {}", place.slot))?;
            chain.parts.push(Part { iova: address, len_bytes: packed::len_bytes(word1), write: flags & packed::WRITE != 0 });
            chain.slots += 1;
            place = place.after(1, self.size);
            if flags & packed::NEXT == 0 {
                chain.id = packed::id(word1);
                self.available = place;
                return Ok(true);
            }
            Stop::unless(chain.slots < self.size, "a chain is no longer than its queue", || format!("from slot {}", self.available.slot))?;
        }
    }

    /// Gives buffers back, the first one last: who sees it sees the others too.
    pub(super) fn put(&mut self, memory: &dyn HostMemory, used: &[Used]) -> Result<(), Stop> {
        let first = self.used;
        let mut place = used.iter().fold(first, |place, used| place.after(used.slots, self.size));
        self.used = place;
        for used in used.iter().rev() {
            place = self.before(place, used.slots);
            self.write(memory, place, *used)?;
        }
        Ok(())
    }

    /// Gives buffers back with one descriptor, whose ID is that of the last (2.8.8).
    pub(super) fn put_batch(&mut self, memory: &dyn HostMemory, used: &[Used]) -> Result<(), Stop> {
        let Some(last) = used.last() else { return Ok(()) };
        let first = self.used;
        self.used = used.iter().fold(first, |place, used| place.after(used.slots, self.size));
        self.write(memory, first, *last)
    }

    fn before(&self, place: Place, slots: u16) -> Place {
        match place.slot.checked_sub(slots) {
            Some(slot) => Place { slot, ..place },
            None => Place { slot: (self.size - slots) + place.slot, wrap: !place.wrap },
        }
    }

    /// A used descriptor where there never was one since the ring was cleared. Elsewhere the driver may still have to look at the last one.
    pub(super) fn put_out_of_nowhere(&self, memory: &dyn HostMemory) -> Result<(), Stop> {
        let mut place = self.available;
        while place.wrap == Place::FIRST.wrap {
            if self.read(memory, place)? == [0; 2] {
                return self.write(memory, place, Used { id: u32::from(place.slot), len_bytes: 72, slots: 1 });
            }
            place = place.after(1, self.size);
        }
        Ok(())
    }

    fn iova(&self, place: Place) -> u64 {
        self.desc + packed::DESC_BYTES as u64 * u64::from(place.slot)
    }

    /// A descriptor: the second word before the first, since its flags say whether the rest is there.
    fn read(&self, memory: &dyn HostMemory, place: Place) -> Result<packed::Desc, Stop> {
        let iova = self.iova(place);
        let slice = memory.slice(iova, packed::DESC_BYTES, false)?;
        let misaligned = |_| misaligned(iova, false);
        let word1 = slice.load::<u64>(8, Ordering::Acquire).map_err(misaligned)?;
        let word0 = slice.load::<u64>(0, Ordering::Relaxed).map_err(misaligned)?;
        Ok([u64::from_le(word0), u64::from_le(word1)])
    }

    /// The second word of a used descriptor; the first one means nothing then.
    fn write(&self, memory: &dyn HostMemory, place: Place, used: Used) -> Result<(), Stop> {
        let iova = self.iova(place) + 8;
        let [a, b, ..] = used.id.to_le_bytes();
        let written = if used.len_bytes > 0 { packed::WRITE } else { 0 };
        let word1 = packed::word1(used.len_bytes, u16::from_le_bytes([a, b]), packed::used_flags(place.wrap) | written);
        let slice = memory.slice(iova, 8, true)?;
        Ok(slice.store(word1.to_le(), 0, Ordering::Release).map_err(|_| misaligned(iova, true))?)
    }

    /// The driver wants an interrupt for used buffers (2.8.10).
    pub(super) fn wants_interrupt(&self, memory: &dyn HostMemory) -> Result<bool, Stop> {
        let mut flags = [0; 2];
        memory.read(self.driver + packed::EVENT_FLAGS as u64, &mut flags)?;
        Ok(u16::from_le_bytes(flags) & packed::EVENT_FLAGS_MASK != packed::EVENT_DISABLE)
    }
}

fn misaligned(iova: u64, write: bool) -> DmaFault {
    DmaFault { device: Arc::from("a packed ring"), iova: Iova(iova), len_bytes: 8, write, kind: FaultKind::Misaligned }
}
