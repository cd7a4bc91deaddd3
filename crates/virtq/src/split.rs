//! Split rings (virtio 1.2, 2.7): a table of descriptors, a ring of what is available, a ring of what was used.

use crate::ring::{Memory, Part, Places, Shape, Virtqueue};
use vfwire_core::{
    barrier,
    cells::{Cells, DmaCells},
    error::DmaError,
    ring::table::Words,
};
use vfwire_spec::virtio::split::{
    AVAIL_NO_INTERRUPT, AVAIL_RING, DESC_ALIGN_BYTES, NEXT, USED_NO_NOTIFY, USED_RING, WRITE, avail_bytes, desc_table_bytes, used_bytes,
    used_id, used_len_bytes, word1,
};

/// Indices of the words before both rings.
const FLAGS: usize = 0;
const INDEX: usize = 1;
/// The used ring begins so far into a cache line: its elements are aligned to 8 bytes, and begin with the next line.
const USED_INTO_LINE: usize = 64 - USED_RING;

#[derive(Debug)]
pub(crate) struct Split {
    desc: DmaCells<u64>,
    avail_head: DmaCells<u16>,
    avail: DmaCells<u16>,
    used_head: DmaCells<u16>,
    used: DmaCells<u64>,
    /// Buffers made available, ever.
    offered: u16,
    /// Used buffers advanced over, ever, and seen, ever.
    done: u16,
    seen: u16,
    size: u16,
    /// The index says more than there can be.
    is_lying: bool,
}

fn used_at(shape: Shape) -> usize {
    (desc_table_bytes(shape.size) + avail_bytes(shape.size)).next_multiple_of(64) + USED_INTO_LINE
}

impl Virtqueue for Split {
    const COUNTS_ALL: bool = true;

    type Run<'a> = SplitRun<'a>;

    fn bytes(shape: Shape) -> (usize, usize) {
        (used_at(shape) + used_bytes(shape.size), DESC_ALIGN_BYTES)
    }

    fn new(shape: Shape, memory: &Memory<'_>) -> Result<Self, DmaError> {
        let (size, avail, used) = (usize::from(shape.size), desc_table_bytes(shape.size), used_at(shape));
        Ok(Self {
            desc: memory.cells(0, 2 * size)?,
            avail_head: memory.cells(avail, 2)?,
            avail: memory.cells(avail + AVAIL_RING, size)?,
            used_head: memory.cells(used, 2)?,
            used: memory.cells(used + USED_RING, size)?,
            offered: 0,
            done: 0,
            seen: 0,
            size: shape.size,
            is_lying: false,
        })
    }

    fn places(&self) -> Places {
        Places { desc: self.desc.iova(), driver: self.avail_head.iova(), device: self.used_head.iova() }
    }

    fn reset(&mut self) {
        (self.offered, self.done, self.seen, self.is_lying) = (0, 0, 0, false);
        self.avail_head.set(FLAGS, AVAIL_NO_INTERRUPT);
        self.avail_head.set(INDEX, 0);
        self.used_head.set(FLAGS, 0);
        self.used_head.set(INDEX, 0);
    }

    #[inline(always)]
    fn look(&mut self) -> bool {
        let seen = self.used_head.get_acquire(INDEX);
        if seen.wrapping_sub(self.done) > self.size {
            // More than the ring holds, or fewer than before: nothing of it is believed until it can be true again.
            return !std::mem::replace(&mut self.is_lying, true);
        }
        (self.seen, self.is_lying) = (seen, false);
        false
    }

    #[inline(always)]
    fn used(&self, ahead: u16) -> Option<(u32, u32)> {
        // What was not offered names nothing that is out.
        if ahead >= self.seen.wrapping_sub(self.done) {
            return None;
        }
        let element = self.used.get(usize::from(self.done.wrapping_add(ahead)));
        Some((used_id(element), used_len_bytes(element)))
    }

    #[inline(always)]
    fn advance(&mut self, _descs: u16) {
        self.done = self.done.wrapping_add(1);
    }

    #[inline(always)]
    fn offer(&mut self, id: u16, (address, len_bytes): Part, is_written: bool) {
        let at = usize::from(id) * 2;
        self.desc.set(at, address);
        self.desc.set(at + 1, word1(len_bytes, if is_written { WRITE } else { 0 }, 0));
        self.avail.set(usize::from(self.offered), id);
        self.offered = self.offered.wrapping_add(1);
    }

    fn offer_chain(&mut self, ids: &[u16], parts: &[Part], written_from: usize) {
        for (index, (&id, &(address, len_bytes))) in ids.iter().zip(parts).enumerate() {
            let next = ids.get(index + 1).filter(|_| index + 1 < parts.len());
            let flags = if next.is_some() { NEXT } else { 0 } | if index >= written_from { WRITE } else { 0 };
            let at = usize::from(id) * 2;
            self.desc.set(at, address);
            self.desc.set(at + 1, word1(len_bytes, flags, next.copied().unwrap_or(0)));
        }
        self.avail.set(usize::from(self.offered), ids[0]);
        self.offered = self.offered.wrapping_add(1);
    }

    fn ids_of(parts: usize) -> usize {
        parts
    }

    #[inline(always)]
    fn publish(&mut self) {
        self.avail_head.set_release(INDEX, self.offered);
    }

    #[inline(always)]
    fn wants_notice(&self) -> bool {
        // The device reads the index after it has cleared the flag; we read the flag after we have written the index (2.7.13.4.1).
        barrier::dma_full();
        self.used_head.get(FLAGS) & USED_NO_NOTIFY == 0
    }

    #[inline(always)]
    fn run(&self, _len_bytes: u32) -> SplitRun<'_> {
        let &Self { ref desc, ref avail, ref used, done, seen, offered, .. } = self;
        SplitRun {
            desc: desc.view(),
            avail: avail.view(),
            used: used.view(),
            done: usize::from(done),
            offered: usize::from(offered),
            most_used: usize::from(seen.wrapping_sub(done)),
        }
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "at most the size of the ring")]
    fn ran(&mut self, used: usize, offered: usize) {
        self.done = self.done.wrapping_add(used as u16);
        self.offered = self.offered.wrapping_add(offered as u16);
    }

    #[inline(always)]
    fn next_offset(&self) -> u16 {
        self.offered
    }
}

/// What a run needs of it.
#[derive(Clone, Copy)]
pub(crate) struct SplitRun<'a> {
    desc: Cells<'a, u64>,
    avail: Cells<'a, u16>,
    used: Cells<'a, u64>,
    done: usize,
    offered: usize,
    most_used: usize,
}

impl Words for SplitRun<'_> {
    #[inline(always)]
    fn most_used(&self) -> usize {
        self.most_used
    }

    #[inline(always)]
    fn most_offered(&self) -> usize {
        usize::MAX
    }

    #[inline(always)]
    fn used(&self, place: usize) -> Option<(u32, u32)> {
        let element = self.used.get(self.done + place);
        Some((used_id(element), used_len_bytes(element)))
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "an id of a table of at most 4,096")]
    fn repost(&mut self, place: usize, id: u32, address: u64) {
        // Length and flags of a descriptor are the same whenever it is a receive buffer's, and the device does not write there.
        self.desc.set(id as usize * 2, address);
        self.avail.set(self.offered + place, id as u16);
    }

    #[inline(always)]
    fn offer(&mut self, place: usize, id: u16, address: u64, len_bytes: u32) {
        let at = usize::from(id) * 2;
        self.desc.set(at, address);
        self.desc.set(at + 1, word1(len_bytes, 0, 0));
        self.avail.set(self.offered + place, id);
    }
}
