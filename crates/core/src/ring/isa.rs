//! The inner runs of the packet path, one implementation an instruction set, and the portable one, which is the reference.

use super::{rx, step, tx};
use crate::{
    format::{RxFormat, TxFormat},
    pool::HEADROOM_BYTES,
};
use std::sync::atomic::{AtomicU64, Ordering::Acquire};

/// An instruction set, as [`Path::run`](crate::path::Path::run) hands it to a kernel: proof that the processor has it and that the code
/// is being compiled for it. Sealed.
pub trait Isa: Copy + sealed::Sealed {
    /// Receive and refill.
    ///
    /// # Safety
    /// `at` is good for `max` elements and a step more, as `rx::Pointers` says.
    #[doc(hidden)]
    unsafe fn receive<F: RxFormat>(self, at: &rx::Pointers, max: usize) -> rx::Ran;

    /// Posts `count` frames.
    ///
    /// # Safety
    /// `at` is good for `count` elements, and where this is not the portable run for a step more, as `tx::Pointers` says.
    #[doc(hidden)]
    unsafe fn post<F: TxFormat>(self, at: &tx::Pointers, count: usize) -> tx::Posted;
}

pub(super) mod sealed {
    pub trait Sealed {}
}

/// What every processor has.
#[derive(Clone, Copy, Debug)]
pub struct Scalar(());

impl Scalar {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl sealed::Sealed for Scalar {}

impl Isa for Scalar {
    #[inline(always)]
    #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument holds for all of them: `index < max`")]
    unsafe fn receive<F: RxFormat>(self, at: &rx::Pointers, max: usize) -> rx::Ran {
        let (mut index, mut ran) = (0, rx::Ran::default());
        while index < max {
            // SAFETY: `index < max`, and all pointers are good for `max` elements (contract). The word is accessed as an atomic because the
            // device may be writing it.
            let word = unsafe { &*at.desc.add(index).cast::<AtomicU64>().add(1) }.load(Acquire);
            if word & F::DONE == 0 {
                break;
            }
            let len = step((word >> F::LENGTH_AT & 0xffff) as usize);
            let kept = len.min(at.room_bytes);
            // SAFETY: as above; the descriptor is done, so it is ours, the posted slots are vacant, and the free buffers are the cache's,
            // which counts them out when we return.
            unsafe {
                *at.out_buffer.add(index) = *at.buffers.add(index);
                *at.out_span.add(index) = HEADROOM_BYTES << 16 | kept;
                *at.out_raw.add(index) = [(*at.desc.add(index))[0], word];
                let fresh = *at.free_end.sub(index + 1);
                *at.post_buffers.add(index) = fresh;
                *at.post_desc.add(index) = [at.address + u64::from(fresh) * at.stride_bytes, 0];
            }
            ran.bytes += u64::from(kept);
            ran.flawed |= word & (F::END | F::ERROR) != F::END || kept != len;
            index += 1;
        }
        ran.frames = index;
        ran
    }

    #[inline(always)]
    #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument holds for all of them: `index < count`")]
    unsafe fn post<F: TxFormat>(self, at: &tx::Pointers, count: usize) -> tx::Posted {
        let mut posted = tx::Posted::default();
        for index in 0..count {
            // SAFETY: `index < count`, and all pointers are good for `count` elements (contract); the slots are vacant.
            unsafe {
                let (buffer, span) = (*at.buffer.add(index), *at.span.add(index));
                let len_bytes = u64::from(span & 0xffff);
                *at.post_buffers.add(index) = buffer;
                let address = at.address + u64::from(buffer) * at.stride_bytes + u64::from(span >> 16);
                *at.post_desc.add(index) = [address, F::FIXED | F::END | len_bytes << F::LENGTH_AT | len_bytes << F::TOTAL_AT];
                posted.bytes += len_bytes;
                posted.misfit |= (span & 0xffff).wrapping_sub(F::MIN_FRAME_BYTES) > at.spread_bytes;
            }
        }
        posted
    }
}
