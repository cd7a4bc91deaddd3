//! Packed rings (virtio 1.2, 2.8): one ring of descriptors, which the device writes back in place.

use crate::ring::{Memory, Part, Places, Shape, Virtqueue};
use vfwire_core::{
    barrier,
    cells::{Cells, DmaCells},
    error::DmaError,
    ring::table::Words,
};
use vfwire_spec::virtio::net::packed_next;
use vfwire_spec::virtio::packed::{
    DESC_ALIGN_BYTES, EVENT_BYTES, EVENT_DISABLE, NEXT, WRITE, available_flags, event, event_flags, flags, id, is_used, len_bytes,
    ring_bytes, word1,
};

/// A place in the ring, and the wrap counter there.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    slot: u16,
    wrap: bool,
}

const START: Cursor = Cursor { slot: 0, wrap: true };

impl Cursor {
    #[inline(always)]
    fn after(self, descs: u16, size: u16) -> Self {
        let slot = self.slot + descs;
        if slot >= size { Self { slot: slot - size, wrap: !self.wrap } } else { Self { slot, ..self } }
    }
}

#[derive(Debug)]
pub(crate) struct Packed {
    desc: DmaCells<u64>,
    driver_event: DmaCells<u32>,
    device_event: DmaCells<u32>,
    size: u16,
    next: Cursor,
    oldest: Cursor,
}

impl Virtqueue for Packed {
    const COUNTS_ALL: bool = false;

    type Run<'a> = PackedRun<'a>;

    fn bytes(shape: Shape) -> (usize, usize) {
        (ring_bytes(shape.size) + 2 * EVENT_BYTES, DESC_ALIGN_BYTES)
    }

    fn new(shape: Shape, memory: &Memory<'_>) -> Result<Self, DmaError> {
        let end = ring_bytes(shape.size);
        Ok(Self {
            desc: memory.cells(0, 2 * usize::from(shape.size))?,
            driver_event: memory.cells(end, 1)?,
            device_event: memory.cells(end + EVENT_BYTES, 1)?,
            size: shape.size,
            next: START,
            oldest: START,
        })
    }

    fn places(&self) -> Places {
        Places { desc: self.desc.iova(), driver: self.driver_event.iova(), device: self.device_event.iova() }
    }

    fn reset(&mut self) {
        (self.next, self.oldest) = (START, START);
        (0..2 * usize::from(self.size)).for_each(|word| self.desc.set(word, 0));
        self.driver_event.set(0, event(EVENT_DISABLE));
        self.device_event.set(0, 0);
    }

    #[inline(always)]
    fn look(&mut self) -> bool {
        false
    }

    #[inline(always)]
    fn used(&self, ahead: u16) -> Option<(u32, u32)> {
        let at = self.oldest.after(ahead, self.size);
        let word = self.desc.get_acquire(usize::from(at.slot) * 2 + 1);
        is_used(flags(word), at.wrap).then(|| (u32::from(id(word)), len_bytes(word)))
    }

    #[inline(always)]
    fn advance(&mut self, descs: u16) {
        self.oldest = self.oldest.after(descs, self.size);
    }

    #[inline(always)]
    fn offer(&mut self, id: u16, (address, len_bytes): Part, is_written: bool) {
        let at = usize::from(self.next.slot) * 2;
        self.desc.set(at, address);
        let flags = available_flags(self.next.wrap) | if is_written { WRITE } else { 0 };
        self.desc.set_release(at + 1, word1(len_bytes, id, flags));
        self.next = self.next.after(1, self.size);
    }

    fn offer_chain(&mut self, ids: &[u16], parts: &[Part], written_from: usize) {
        // The first descriptor is made available last: the device then sees the whole chain (2.8.6).
        for (index, &(address, len_bytes)) in parts.iter().enumerate().rev() {
            let at = self.next.after(u16::try_from(index).unwrap_or(0), self.size);
            let next = if index + 1 < parts.len() { NEXT } else { 0 };
            let flags = available_flags(at.wrap) | next | if index >= written_from { WRITE } else { 0 };
            self.desc.set(usize::from(at.slot) * 2, address);
            self.desc.set_release(usize::from(at.slot) * 2 + 1, word1(len_bytes, ids[0], flags));
        }
        self.next = self.next.after(u16::try_from(parts.len()).unwrap_or(0), self.size);
    }

    fn ids_of(_parts: usize) -> usize {
        1
    }

    #[inline(always)]
    fn publish(&mut self) {}

    #[inline(always)]
    fn wants_notice(&self) -> bool {
        barrier::dma_full();
        event_flags(self.device_event.get(0)) != EVENT_DISABLE
    }

    #[inline(always)]
    fn run(&self, len_bytes: u32) -> PackedRun<'_> {
        let &Self { ref desc, next, oldest, size, .. } = self;
        let flags = available_flags(next.wrap);
        PackedRun {
            desc: desc.view(),
            next: usize::from(next.slot),
            oldest: usize::from(oldest.slot),
            size: usize::from(size),
            is_wrapped: oldest.wrap,
            received: word1(len_bytes, 0, flags | WRITE),
            sent: word1(0, 0, flags),
        }
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "at most the size of the ring")]
    fn ran(&mut self, used: usize, offered: usize) {
        self.oldest = self.oldest.after(used as u16, self.size);
        self.next = self.next.after(offered as u16, self.size);
    }

    #[inline(always)]
    fn next_offset(&self) -> u16 {
        packed_next(self.next.slot, self.next.wrap)
    }
}

/// What a run needs of it. It goes no farther than to the ring's end, where the wrap counter changes.
#[derive(Clone, Copy)]
pub(crate) struct PackedRun<'a> {
    desc: Cells<'a, u64>,
    next: usize,
    oldest: usize,
    size: usize,
    is_wrapped: bool,
    /// The second word of a descriptor that a device writes, and of one that it reads, without id and, for that, length.
    received: u64,
    sent: u64,
}

impl PackedRun<'_> {
    #[inline(always)]
    fn make_available(&self, place: usize, address: u64, word: u64) {
        let at = (self.next + place) * 2;
        self.desc.set(at, address);
        self.desc.set_release(at + 1, word);
    }
}

impl Words for PackedRun<'_> {
    #[inline(always)]
    fn most_used(&self) -> usize {
        self.size - self.oldest
    }

    #[inline(always)]
    fn most_offered(&self) -> usize {
        self.size - self.next
    }

    #[inline(always)]
    fn used(&self, place: usize) -> Option<(u32, u32)> {
        let word = self.desc.get_acquire((self.oldest + place) * 2 + 1);
        is_used(flags(word), self.is_wrapped).then(|| (u32::from(id(word)), len_bytes(word)))
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "an id of a table of at most 4,096")]
    fn repost(&mut self, place: usize, id: u32, address: u64) {
        self.make_available(place, address, self.received | word1(0, id as u16, 0));
    }

    #[inline(always)]
    fn offer(&mut self, place: usize, id: u16, address: u64, len_bytes: u32) {
        self.make_available(place, address, self.sent | word1(len_bytes, id, 0));
    }
}
