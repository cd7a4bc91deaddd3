//! The runs of the packet path for four descriptors at once, with AVX2.
//!
//! As with AVX-512 a step reads and writes four of everything, whatever the number of frames: what lies behind the last one is vacant or
//! padding, and is written again before anybody reads it.
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument holds for all of a step: the pointers are good for more than it")]

use super::{
    Isa,
    rx::{self, Ran},
    tx::{self, Posted},
};
use crate::{
    format::{RxFormat, TxFormat},
    path::Kernel,
    pool::{HEADROOM_BYTES, STEP},
};
use std::arch::x86_64::*;

/// Descriptors of a step: one cache line.
const LANES: usize = 4;
const _: () = assert!(LANES <= STEP, "the padding is enough for a step");

/// A processor with AVX2 and BMI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

/// Runs a kernel compiled for AVX2.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx2,bmi1,bmi2")]
pub(crate) unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Avx2(()))
}

impl super::isa::sealed::Sealed for Avx2 {}

impl Isa for Avx2 {
    #[inline(always)]
    unsafe fn receive<F: RxFormat>(self, at: &rx::Pointers, max: usize) -> Ran {
        // SAFETY: the contract is the same, and an `Avx2` exists only where the processor has the instructions.
        unsafe { receive_run::<F>(at, max) }
    }

    #[inline(always)]
    unsafe fn post<F: TxFormat>(self, at: &tx::Pointers, count: usize) -> Posted {
        // SAFETY: as above.
        unsafe { post_run::<F>(at, count) }
    }
}

/// The lowest `count` of four lanes, all where there are more.
#[inline(always)]
fn lanes(count: usize) -> u32 {
    0b1111 >> (LANES - count.min(LANES))
}

/// Receive and refill.
///
/// # Safety
/// The processor has the instructions, and `at` is good for `max` elements and a step more, as `rx::Pointers` says.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2")]
unsafe fn receive_run<F: RxFormat>(at: &rx::Pointers, max: usize) -> Ran {
    let done = _mm256_set1_epi64x(F::DONE.cast_signed());
    let checked = _mm256_set1_epi64x((F::END | F::ERROR).cast_signed());
    let good = _mm256_set1_epi64x(F::END.cast_signed());
    let room = _mm_set1_epi32(at.room_bytes.cast_signed());
    let offset = _mm_set1_epi32((HEADROOM_BYTES << 16).cast_signed());
    let (mut index, mut bytes, mut flaws) = (0, _mm_setzero_si128(), 0);
    while index < max {
        // SAFETY: `index < max`, and the pointers are good for a step more. A load of 32 bytes is made of untorn 16-byte lanes on every
        // processor with AVX, and a device writes a descriptor at once, so a lane whose done bit is set is whole; the others are not
        // used. Stores go to vacant slots, the burst's free places and padding.
        unsafe {
            let from = at.desc.add(index).cast::<__m256i>();
            let (low, high) = (_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1)));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_unpackhi_epi64(low, high));
            let finished = equal(_mm256_and_si256(words, done), done) & lanes(max - index);
            let frames = finished.trailing_ones() as usize;
            if frames == 0 {
                break;
            }
            let taken = lanes(frames);
            let length = _mm256_srl_epi64(words, _mm_cvtsi32_si128(F::LENGTH_AT.cast_signed()));
            let length = narrow(_mm256_and_si256(length, _mm256_set1_epi64x(0xffff)));
            let kept = _mm_min_epu32(length, room);
            _mm_storeu_si128(at.out_buffer.add(index).cast(), _mm_loadu_si128(at.buffers.add(index).cast()));
            _mm_storeu_si128(at.out_span.add(index).cast(), _mm_or_si128(kept, offset));
            let raw = at.out_raw.add(index).cast::<__m256i>();
            _mm256_storeu_si256(raw, low);
            _mm256_storeu_si256(raw.add(1), high);
            let whole = equal(_mm256_and_si256(words, checked), good) & short(length, kept);
            flaws |= taken & !whole;
            // Two calls, so that the processor predicts a whole step and need not wait for its number of frames.
            if frames == LANES {
                bytes = _mm_add_epi32(bytes, kept);
                refill(at, index, LANES);
                index += LANES;
            } else {
                let used = _mm_cmpgt_epi32(_mm_set1_epi32(taken.count_ones().cast_signed()), _mm_setr_epi32(0, 1, 2, 3));
                bytes = _mm_add_epi32(bytes, _mm_and_si128(kept, used));
                refill(at, index, frames);
                index += frames;
                break;
            }
        }
    }
    // The done words were read by plain loads: what follows them must not be moved before them by the compiler.
    crate::barrier::dma_read();
    Ran { frames: index, bytes: sum(_mm256_cvtepu32_epi64(bytes)), flawed: flaws != 0 }
}

/// Posts `frames` fresh buffers: the second half of a receive step.
///
/// # Safety
/// As `receive_run`, of which it is a part; `index + frames <= max`.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2")]
unsafe fn refill(at: &rx::Pointers, index: usize, frames: usize) {
    // SAFETY: the contract.
    unsafe {
        let fresh = _mm_loadu_si128(at.free_end.sub(index + frames).cast());
        _mm_storeu_si128(at.post_buffers.add(index).cast(), fresh);
        interleave(at.post_desc.add(index).cast(), addresses(fresh, at.stride_bytes, at.address), _mm256_setzero_si256());
    }
}

/// Posts frames for transmission.
///
/// # Safety
/// The processor has the instructions, and `at` is good for `count` elements and a step more, as `tx::Pointers` says.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2")]
unsafe fn post_run<F: TxFormat>(at: &tx::Pointers, count: usize) -> Posted {
    let fixed = _mm256_set1_epi64x((F::FIXED | F::END).cast_signed());
    let shortest = _mm256_set1_epi64x(i64::from(F::MIN_FRAME_BYTES));
    let spread = _mm256_set1_epi64x(i64::from(at.spread_bytes));
    let (mut index, mut bytes, mut misfits) = (0, _mm256_setzero_si256(), _mm256_setzero_si256());
    while index < count {
        // SAFETY: `index < count`, and the pointers are good for a step more; the slots are vacant or padding.
        unsafe {
            let left = i64::try_from(count - index).unwrap_or(i64::MAX);
            let used = _mm256_cmpgt_epi64(_mm256_set1_epi64x(left), _mm256_setr_epi64x(0, 1, 2, 3));
            let buffers = _mm_loadu_si128(at.buffer.add(index).cast());
            _mm_storeu_si128(at.post_buffers.add(index).cast(), buffers);
            let span = _mm256_cvtepu32_epi64(_mm_loadu_si128(at.span.add(index).cast()));
            let length = _mm256_and_si256(_mm256_and_si256(span, _mm256_set1_epi64x(0xffff)), used);
            let address = _mm256_add_epi64(addresses(buffers, at.stride_bytes, at.address), _mm256_srli_epi64::<16>(span));
            let lengths = _mm256_or_si256(
                _mm256_sll_epi64(length, _mm_cvtsi32_si128(F::LENGTH_AT.cast_signed())),
                _mm256_sll_epi64(length, _mm_cvtsi32_si128(F::TOTAL_AT.cast_signed())),
            );
            interleave(at.post_desc.add(index).cast(), address, _mm256_or_si256(fixed, lengths));
            bytes = _mm256_add_epi64(bytes, length);
            let above = _mm256_sub_epi64(length, shortest);
            let misfit = _mm256_or_si256(_mm256_cmpgt_epi64(above, spread), _mm256_cmpgt_epi64(_mm256_setzero_si256(), above));
            misfits = _mm256_or_si256(misfits, _mm256_and_si256(misfit, used));
        }
        index += LANES;
    }
    Posted { bytes: sum(bytes), misfit: _mm256_testz_si256(misfits, misfits) == 0 }
}

/// Writes four descriptors from their first and second words.
///
/// # Safety
/// `to` is good for 64 bytes.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2")]
unsafe fn interleave(to: *mut __m256i, first: __m256i, second: __m256i) {
    let (even, odd) = (_mm256_unpacklo_epi64(first, second), _mm256_unpackhi_epi64(first, second));
    // SAFETY: the contract.
    unsafe {
        _mm256_storeu_si256(to, _mm256_permute2x128_si256::<0x20>(even, odd));
        _mm256_storeu_si256(to.add(1), _mm256_permute2x128_si256::<0x31>(even, odd));
    }
}

/// The addresses of four buffers.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn addresses(buffers: __m128i, stride_bytes: u64, address: u64) -> __m256i {
    let offset = _mm256_mul_epu32(_mm256_cvtepu32_epi64(buffers), _mm256_set1_epi64x(stride_bytes.cast_signed()));
    _mm256_add_epi64(offset, _mm256_set1_epi64x(address.cast_signed()))
}

/// The low halves of four words.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn narrow(words: __m256i) -> __m128i {
    _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)))
}

/// Lanes of 64 bits that are equal.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn equal(one: __m256i, other: __m256i) -> u32 {
    _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(one, other))).cast_unsigned()
}

/// Lanes of 32 bits that are equal.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn short(one: __m128i, other: __m128i) -> u32 {
    _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(one, other))).cast_unsigned()
}

/// The sum of four sums.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn sum(lengths: __m256i) -> u64 {
    let two = _mm_add_epi64(_mm256_castsi256_si128(lengths), _mm256_extracti128_si256::<1>(lengths));
    let one = _mm_add_epi64(two, _mm_unpackhi_epi64(two, two));
    _mm_cvtsi128_si64(one).cast_unsigned()
}
