//! Descriptor rings: the loops that every frame goes through.
//!
//! A ring owns its descriptors, the buffers that they stand for, and both cursors, all private: slots `[head, tail)` belong to the
//! device, the others to us, and safe code cannot touch a posted slot except to ask whether it is done. Drivers get rings, give them a
//! [`format`](crate::format), and ring the doorbell when told to.
//!
//! | file | what is in it |
//! |---|---|
//! | `rx.rs` | receive and refill, fused; frames that span buffers; what arrived damaged |
//! | `tx.rs` | transmit, and the way home of what was sent |
//! | `isa.rs`, `avx2.rs`, `avx512.rs` | the runs of both: portable, for four descriptors at once, for eight |
//! | `table.rs` | buffers in flight by id, for rings of other shapes (virtqueues) |
//! | `deposit.rs` | where rings wait until the device has let go of them |
//!
//! Accesses to descriptors: the done word is loaded atomically with acquire (or inside one wide load, whose 16-byte lanes are not torn).
//! Between done and doorbell a descriptor is ours: plain memory, read once, written wide. A device that writes such a descriptor later
//! changes values, never bounds: lengths are clamped to the buffer, and no index is ever read from a descriptor.
#![expect(unsafe_code, reason = "descriptors are DMA memory; the invariants are those of the module text")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod deposit;
mod isa;
mod rx;
pub mod table;
mod tx;

pub use deposit::Deposit;
pub use isa::{Isa, Scalar};
pub use rx::{Received, RxRing, Taken, Unusual};
pub use tx::{NotSimple, Sent, TxRing};
#[cfg(target_arch = "x86_64")]
pub(crate) use {avx2::run_avx2, avx512::run_avx512};

use crate::{
    dma::{DmaRegion, DmaSpace, Iova},
    error::{DmaError, PortError},
    format::Desc,
    pool::{ArenaRef, Pool},
};
use deposit::Deposited;
use std::{
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Acquire},
    },
};

/// Bytes of a descriptor.
pub const DESC_BYTES: usize = size_of::<Desc>();
/// Data sheets want rings aligned to 128 bytes (82576EB 7.1.5, 82599 7.1.9).
const RING_ALIGN_BYTES: usize = 128;
/// Slots after the end of a ring, which no cursor ever reaches: a step of eight that begins before the end may write past it.
const PADDING: usize = crate::pool::STEP;
/// Entries of a table before and behind those in use: 128 bytes, so that what another worker has beside it in memory is not in the same pair
/// of cache lines.
const APART: usize = 32;
/// A slot whose descriptor has no buffer (a context descriptor).
const NO_BUFFER: u32 = u32::MAX;

/// A number of descriptors as a cursor's step. Rings have at most 4,096.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a count of descriptors of one ring")]
const fn step(descriptors: usize) -> u32 {
    descriptors as u32
}

/// The memory and the cursors of a ring. Cursors count up for ever and are masked when used.
struct Ring {
    desc: NonNull<Desc>,
    /// The buffer of each slot. Points into `_slots`, which is not touched otherwise, so that the loops need no bounds check.
    buffers: NonNull<u32>,
    mask: u32,
    head: u32,
    tail: u32,
    /// What the loops need of the arena, here so that they need not follow two pointers: address of buffer 0, distance of two buffers,
    /// bytes from the headroom to the end of one.
    base: u64,
    stride_bytes: u64,
    room_bytes: u32,
    arena: Arc<ArenaRef>,
    _slots: Box<[u32]>,
    region: Option<DmaRegion>,
    deposit: Deposit,
}

// SAFETY: the pointers lead into `region` and `_slots`, which the ring owns; no thread is special to either.
unsafe impl Send for Ring {}

impl Ring {
    fn new(space: &dyn DmaSpace, pool: &Pool, size_desc: u16, deposit: &Deposit) -> Result<Self, PortError> {
        if !size_desc.is_power_of_two() || !(32..=4096).contains(&size_desc) {
            return Err(PortError::setting("the number of descriptors of a ring", size_desc, "a power of two from 32 to 4096"));
        }
        let slots_with_padding = usize::from(size_desc) + PADDING;
        let region = space.alloc(slots_with_padding * DESC_BYTES, RING_ALIGN_BYTES)?;
        if region.len_bytes() < slots_with_padding * DESC_BYTES || !region.as_ptr().cast::<Desc>().is_aligned() {
            return Err(DmaError::Shape { len_bytes: region.len_bytes(), align_bytes: RING_ALIGN_BYTES, why: "the space gave less" }.into());
        }
        let mut slots: Box<[u32]> = vec![NO_BUFFER; APART + slots_with_padding + APART].into();
        Ok(Self {
            desc: region.as_ptr().cast(),
            buffers: NonNull::from(&mut slots[APART..]).cast(),
            mask: u32::from(size_desc) - 1,
            head: 0,
            tail: 0,
            base: pool.0.iova().0,
            stride_bytes: u64::from(pool.0.stride_bytes()),
            room_bytes: pool.0.room_bytes(),
            arena: pool.0.clone(),
            _slots: slots,
            region: Some(region),
            deposit: deposit.clone(),
        })
    }

    fn size(&self) -> usize {
        self.mask as usize + 1
    }

    /// Its length in bytes, as devices want it.
    fn len_bytes(&self) -> u32 {
        (self.mask + 1) * step(DESC_BYTES)
    }

    #[inline(always)]
    fn slot(&self, cursor: u32) -> usize {
        (cursor & self.mask) as usize
    }

    /// Descriptors that the device has.
    #[inline(always)]
    fn posted(&self) -> usize {
        self.tail.wrapping_sub(self.head) as usize
    }

    fn iova(&self) -> Iova {
        self.region.as_ref().map_or(Iova(0), DmaRegion::iova)
    }

    /// The second word of a slot, as the device may be writing it.
    ///
    /// # Safety
    /// `slot` is below the size of the ring.
    #[inline(always)]
    unsafe fn done_word(&self, slot: usize) -> u64 {
        let word = self.desc.as_ptr().wrapping_add(slot).cast::<AtomicU64>().wrapping_add(1);
        // SAFETY: the slot is inside the ring (contract), so the word is mapped and aligned to 8 bytes; while the device may write it, it is
        // accessed as an atomic only.
        unsafe { &*word }.load(Acquire)
    }

    /// # Safety
    /// `slot` is below the size of the ring and ours: not in `[head, tail)`.
    #[inline(always)]
    unsafe fn write(&mut self, slot: usize, desc: Desc, buffer: u32) {
        // SAFETY: inside the ring and ours (contract).
        unsafe { self.desc.as_ptr().wrapping_add(slot).write(desc) };
        // SAFETY: `_slots` has an entry for every slot.
        unsafe { self.buffers.as_ptr().wrapping_add(slot).write(buffer) };
    }

    /// # Safety
    /// `slot` is below the size of the ring.
    #[inline(always)]
    unsafe fn buffer(&self, slot: usize) -> u32 {
        // SAFETY: `_slots` has an entry for every slot (contract).
        unsafe { self.buffers.as_ptr().wrapping_add(slot).read() }
    }

    /// The address that the device uses for the data at `offset_bytes` of a buffer.
    #[inline(always)]
    fn address(&self, buffer: u32, offset_bytes: u32) -> u64 {
        self.base + u64::from(buffer) * self.stride_bytes + u64::from(offset_bytes)
    }

    /// Empties the ring and gives its buffers to `each`. The device must have let go of it.
    fn take_back(&mut self, mut each: impl FnMut(u32)) {
        while self.head != self.tail {
            let slot = self.slot(self.head);
            // SAFETY: a masked cursor is inside the ring.
            let buffer = unsafe { self.buffer(slot) };
            if buffer != NO_BUFFER {
                each(buffer);
            }
            self.head = self.head.wrapping_add(1);
        }
        for slot in 0..self.size() {
            // SAFETY: the slot is inside the ring, and after the loop above all are ours.
            unsafe { self.write(slot, [0; 2], NO_BUFFER) };
        }
        (self.head, self.tail) = (0, 0);
    }

    #[cfg(feature = "audit")]
    fn owned_by(&self, from: u32, count: usize, owner: crate::audit::Owner) {
        for ahead in 0..u32::try_from(count).unwrap_or(0) {
            let slot = self.slot(from.wrapping_add(ahead));
            // SAFETY: a masked cursor is inside the ring.
            let buffer = unsafe { self.buffer(slot) };
            if buffer != NO_BUFFER {
                self.arena.owners.set(buffer, owner);
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let mut buffers = Vec::with_capacity(self.posted());
        while self.head != self.tail {
            let slot = self.slot(self.head);
            // SAFETY: a masked cursor is inside the ring.
            let buffer = unsafe { self.buffer(slot) };
            if buffer != NO_BUFFER {
                buffers.push(buffer);
            }
            self.head = self.head.wrapping_add(1);
        }
        self.deposit.put(Deposited { buffers, _region: self.region.take().map(Arc::new), arena: self.arena.clone() });
    }
}

#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
