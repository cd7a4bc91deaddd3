//! The device's side of a split queue, which is rust-vmm's: written by others than our driver, from the same specification.
//!
//! Ours is what rust-vmm leaves to its users or does not do: the rules that a driver must keep, and giving several buffers back at once.

use super::{
    chain::{Chain, Part, Used},
    guest::Guest,
};
use crate::{model::HostMemory, models::Stop};
use std::sync::atomic::Ordering;
use vfwire_spec::virtio::split;
use virtio_queue::{Error, Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress};

#[derive(Debug)]
pub(super) struct SplitRing {
    queue: Queue,
    /// Buffers are given back in order: then descriptors are used in order too (2.7.5.2).
    in_order: bool,
    /// Where the driver asks for no interrupts.
    avail_flags: u64,
}

impl SplitRing {
    /// `[desc, driver, device]` are the addresses. `None` where the size is no power of two.
    pub(super) fn new(size: u16, [desc, driver, device]: [u64; 3], in_order: bool) -> Option<Self> {
        let mut queue = Queue::new(size).ok()?;
        queue.try_set_desc_table_address(GuestAddress(desc)).ok()?;
        queue.try_set_avail_ring_address(GuestAddress(driver)).ok()?;
        queue.try_set_used_ring_address(GuestAddress(device)).ok()?;
        queue.set_ready(true);
        Some(Self { queue, in_order, avail_flags: driver + split::AVAIL_FLAGS as u64 })
    }

    /// Up to where the device has fetched, as the driver counts: the available index.
    pub(super) fn position(&self) -> u16 {
        self.queue.next_avail()
    }

    /// The next buffer, if there is one.
    pub(super) fn fetch(&mut self, memory: &dyn HostMemory, chain: &mut Chain) -> Result<bool, Stop> {
        let (guest, size) = (Guest::new(memory), self.queue.size());
        let found = match self.queue.iter(&guest) {
            Ok(mut available) => available.next(),
            Err(Error::InvalidAvailRingIndex) => {
                let next = self.queue.next_avail();
                let detail = format!("more than {size} ahead of {next}");
                return Err(guest.stop("the available index is at most the queue's size ahead", detail));
            }
            Err(error) => return Err(guest.stop("a queue can be read", error.to_string())),
        };
        guest.check()?;
        let Some(found) = found else { return Ok(false) };
        chain.id = found.head_index();
        let (mut at, mut is_whole) = (chain.id, false);
        for desc in found {
            let flags = desc.flags();
            let is_next = chain.slots == 0 || !self.in_order || at == self.after(chain.id, chain.slots);
            Stop::unless(is_next, "with IN_ORDER a chain lies in the table in order", || format!("{at} in the chain from {}", chain.id))?;
            let known = flags & !(split::NEXT | split::WRITE) == 0;
            Stop::unless(known, "a descriptor has the flags NEXT and WRITE alone", || format!("{flags:#x} in {at}"))?;
            chain.parts.push(Part { iova: desc.addr().0, len_bytes: desc.len(), write: flags & split::WRITE != 0 });
            chain.slots += 1;
            is_whole = flags & split::NEXT == 0;
            at = desc.next();
        }
        guest.check()?;
        Stop::unless(is_whole, "a chain ends, inside its table", || format!("from {}, {} descriptors, then {at}", chain.id, chain.slots))?;
        Ok(true)
    }

    fn after(&self, head: u16, slots: u16) -> u16 {
        head.wrapping_add(slots) & (self.queue.size() - 1)
    }

    /// Gives buffers back, all at once.
    pub(super) fn put(&mut self, memory: &dyn HostMemory, used: &[Used]) -> Result<(), Stop> {
        let Some((last, before)) = used.split_last() else { return Ok(()) };
        let first = self.queue.next_used();
        for (at, used) in (0..).zip(before) {
            self.put_entry(memory, first.wrapping_add(at), *used)?;
        }
        // The library publishes the last one, and with it those before.
        let at = first.wrapping_add(u16::try_from(before.len()).unwrap_or(u16::MAX));
        self.queue.set_next_used(at);
        match u16::try_from(last.id).ok().filter(|id| *id < self.queue.size()) {
            Some(id) => {
                let guest = Guest::new(memory);
                self.queue.add_used(&guest, id, last.len_bytes).map_err(|error| guest.stop("a used ring can be written", error.to_string()))
            }
            // It has scruples; a device that misbehaves has none.
            None => {
                self.put_entry(memory, at, *last)?;
                self.publish(memory, at.wrapping_add(1))
            }
        }
    }

    /// Gives buffers back with one entry, that of the last (2.7.9).
    pub(super) fn put_batch(&mut self, memory: &dyn HostMemory, used: &[Used]) -> Result<(), Stop> {
        let Some(last) = used.last() else { return Ok(()) };
        let first = self.queue.next_used();
        self.put_entry(memory, first, *last)?;
        self.publish(memory, first.wrapping_add(u16::try_from(used.len()).unwrap_or(u16::MAX)))
    }

    /// Gives back what is no buffer. In order the index alone says what was used, so there it stays, and the entry lies behind it.
    pub(super) fn put_out_of_nowhere(&mut self, memory: &dyn HostMemory) -> Result<(), Stop> {
        let nothing = Used { id: u32::from(self.queue.size()), len_bytes: 72, slots: 1 };
        if self.in_order { self.put_entry(memory, self.queue.next_used(), nothing) } else { self.put(memory, &[nothing]) }
    }

    fn put_entry(&self, memory: &dyn HostMemory, at: u16, used: Used) -> Result<(), Stop> {
        let slot = usize::from(at & (self.queue.size() - 1));
        let iova = self.queue.used_ring() + (split::USED_RING + split::USED_ENTRY_BYTES * slot) as u64;
        Ok(memory.write(iova, &split::used_entry(used.id, used.len_bytes).to_le_bytes())?)
    }

    fn publish(&mut self, memory: &dyn HostMemory, index: u16) -> Result<(), Stop> {
        self.queue.set_next_used(index);
        let (guest, at) = (Guest::new(memory), GuestAddress(self.queue.used_ring() + split::USED_INDEX as u64));
        guest.store(index.to_le(), at, Ordering::Release).map_err(|error| guest.stop("a used ring can be written", error.to_string()))
    }

    /// The driver wants an interrupt for used buffers (2.7.7).
    pub(super) fn wants_interrupt(&self, memory: &dyn HostMemory) -> Result<bool, Stop> {
        let mut flags = [0; 2];
        memory.read(self.avail_flags, &mut flags)?;
        Ok(u16::from_le_bytes(flags) & split::AVAIL_NO_INTERRUPT == 0)
    }
}
