//! The steps of the packet path for eight descriptors at once, with AVX-512.
//!
//! Each function does what the portable one does, in the same order of effects, and hands what does not fill a step to it. Tests compare
//! the two on random rings.
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument holds for all of a step: `index + 8 <= max`")]

use super::{
    Received, RxRing, Sent, TxRing,
    rx::{Pointers, Ran, scalar_from},
    tx::{self, Posted},
};
use crate::{
    burst::Burst,
    format::{RxFormat, TxFormat},
    path::with_avx512,
    pool::{BufCache, HEADROOM_BYTES},
};
use std::arch::x86_64::*;

/// Descriptors of a step: two cache lines.
const STEP: usize = 8;

/// The second words of eight descriptors that lie in two registers.
macro_rules! second_words {
    ($low:expr, $high:expr) => {
        _mm512_permutex2var_epi64($low, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), $high)
    };
}

with_avx512! {
    /// [`RxRing::receive`].
    ///
    /// # Safety
    /// The processor has the instructions.
    pub(super) unsafe fn receive<F: RxFormat>(ring: &mut RxRing<F>, cache: &mut BufCache, out: &mut Burst) -> Received {
        // SAFETY: the contract is ours, and `receive_with` gives pointers that are good for as many elements as it says.
        ring.receive_with(cache, out, |at, max| unsafe { receive_run::<F>(at, max) })
    }

    /// [`TxRing::post`].
    ///
    /// # Safety
    /// The processor has the instructions.
    pub(super) unsafe fn post<F: TxFormat>(ring: &mut TxRing<F>, cache: &mut BufCache, burst: &mut Burst) -> Sent {
        // SAFETY: as above.
        ring.post_with(cache, burst, |at, count| unsafe { post_run::<F>(at, count) })
    }

    /// Receive and refill.
    ///
    /// # Safety
    /// The processor has the instructions, and `at` is good for `max` elements as `Pointers` says.
    #[inline]
    unsafe fn receive_run<F: RxFormat>(at: &Pointers, max: usize) -> Ran {
        let mut ran = Ran::default();
        let (mut index, mut bytes, mut flaws) = (0, _mm256_setzero_si256(), 0);
        let done = _mm512_set1_epi64(F::DONE.cast_signed());
        let checked = _mm512_set1_epi64((F::END | F::ERROR).cast_signed());
        let good = _mm512_set1_epi64(F::END.cast_signed());
        let room = _mm256_set1_epi32(at.room_bytes.cast_signed());
        let offset = _mm256_set1_epi32((HEADROOM_BYTES << 16).cast_signed());
        while index + STEP <= max {
            // SAFETY: `index + 8 <= max`. A load of 64 bytes is made of untorn 16-byte lanes on every processor with AVX, and a device writes
            // a descriptor at once, so a lane whose done bit is set is whole. Stores go to vacant slots and to the burst's free places.
            unsafe {
                let from = at.desc.add(index).cast::<__m512i>();
                let (low, high) = (_mm512_loadu_si512(from), _mm512_loadu_si512(from.add(1)));
                let words = second_words!(low, high);
                if _mm512_test_epi64_mask(words, done) != 0xff {
                    break;
                }
                let length = _mm512_and_si512(_mm512_srl_epi64(words, _mm_cvtsi32_si128(F::LENGTH_AT.cast_signed())), _mm512_set1_epi64(0xffff));
                let length = _mm512_cvtepi64_epi32(length);
                let kept = _mm256_min_epu32(length, room);
                _mm256_storeu_si256(at.out_buffer.add(index).cast(), _mm256_loadu_si256(at.buffers.add(index).cast()));
                _mm256_storeu_si256(at.out_span.add(index).cast(), _mm256_or_si256(kept, offset));
                let raw = at.out_raw.add(index).cast::<__m512i>();
                _mm512_storeu_si512(raw, low);
                _mm512_storeu_si512(raw.add(1), high);
                let fresh = _mm256_loadu_si256(at.free_end.sub(index + STEP).cast());
                _mm256_storeu_si256(at.post_buffers.add(index).cast(), fresh);
                let address = addresses(fresh, at.stride_bytes, at.address);
                let to = at.post_desc.add(index).cast::<__m512i>();
                _mm512_storeu_si512(to, _mm512_maskz_permutexvar_epi64(0x55, _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3), address));
                _mm512_storeu_si512(to.add(1), _mm512_maskz_permutexvar_epi64(0x55, _mm512_setr_epi64(4, 4, 5, 5, 6, 6, 7, 7), address));
                bytes = _mm256_add_epi32(bytes, kept);
                flaws |= _mm512_cmpneq_epi64_mask(_mm512_and_si512(words, checked), good) | _mm256_cmpneq_epi32_mask(length, kept);
            }
            index += STEP;
        }
        // The done words were read by plain loads: what follows them must not be moved before them by the compiler.
        crate::barrier::dma_read();
        ran.bytes = sum(_mm512_cvtepu32_epi64(bytes));
        ran.flawed = flaws != 0;
        scalar_from::<F>(at, index, max, ran)
    }

    /// Posts frames for transmission.
    ///
    /// # Safety
    /// The processor has the instructions, and `at` is good for `count` elements as `tx::Pointers` says.
    #[inline]
    unsafe fn post_run<F: TxFormat>(at: &tx::Pointers, count: usize) -> Posted {
        let mut posted = Posted::default();
        let (mut index, mut bytes) = (0, _mm512_setzero_si512());
        let fixed = _mm512_set1_epi64((F::FIXED | F::END).cast_signed());
        while index + STEP <= count {
            // SAFETY: `index + 8 <= count`; the slots are vacant.
            unsafe {
                let buffers = _mm256_loadu_si256(at.buffer.add(index).cast());
                _mm256_storeu_si256(at.post_buffers.add(index).cast(), buffers);
                let span = _mm512_cvtepu32_epi64(_mm256_loadu_si256(at.span.add(index).cast()));
                let length = _mm512_and_si512(span, _mm512_set1_epi64(0xffff));
                let address = _mm512_add_epi64(addresses(buffers, at.stride_bytes, at.address), _mm512_srli_epi64::<16>(span));
                let lengths = _mm512_or_si512(
                    _mm512_sll_epi64(length, _mm_cvtsi32_si128(F::LENGTH_AT.cast_signed())),
                    _mm512_sll_epi64(length, _mm_cvtsi32_si128(F::TOTAL_AT.cast_signed())),
                );
                let second = _mm512_or_si512(fixed, lengths);
                let to = at.post_desc.add(index).cast::<__m512i>();
                _mm512_storeu_si512(to, _mm512_permutex2var_epi64(address, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), second));
                _mm512_storeu_si512(to.add(1), _mm512_permutex2var_epi64(address, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), second));
                bytes = _mm512_add_epi64(bytes, length);
            }
            index += STEP;
        }
        posted.bytes = sum(bytes);
        tx::scalar_from::<F>(at, index, count, posted)
    }

    /// The addresses of eight buffers.
    #[inline]
    fn addresses(buffers: __m256i, stride_bytes: u64, address: u64) -> __m512i {
        let offset = _mm512_mul_epu32(_mm512_cvtepu32_epi64(buffers), _mm512_set1_epi64(stride_bytes.cast_signed()));
        _mm512_add_epi64(offset, _mm512_set1_epi64(address.cast_signed()))
    }

    /// The sum of eight sums.
    #[inline]
    fn sum(lengths: __m512i) -> u64 {
        _mm512_reduce_add_epi64(lengths).cast_unsigned()
    }
}
