//! The steps of the packet path for eight descriptors at once, with AVX-512.
//!
//! A step reads and writes eight of everything, whatever the number of frames: what lies behind the last one is vacant or padding
//! (`Pointers`), and is written again before anybody reads it. So a burst of five costs one step and no remainder loop. Tests compare
//! the effects with the portable run's on random rings.
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument holds for all of a step: the pointers are good for eight more")]

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

const _: () = assert!(STEP == 8, "a step fills two registers of 64 bytes with descriptors");

/// The lowest `count` of eight lanes, all where there are more.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a mask of eight lanes")]
fn lanes(count: usize) -> __mmask8 {
    (0xff_u32 >> (STEP - count.min(STEP))) as u8
}

/// A processor with AVX-512 (F, BW, VL, DQ) and BMI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

/// Runs a kernel compiled for AVX-512.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi1,bmi2")]
pub(crate) unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Avx512(()))
}

impl super::isa::sealed::Sealed for Avx512 {}

impl Isa for Avx512 {
    #[inline(always)]
    unsafe fn receive<F: RxFormat>(self, at: &rx::Pointers, max: usize) -> Ran {
        // SAFETY: the contract is the same, and an `Avx512` exists only where the processor has the instructions.
        unsafe { receive_run::<F>(at, max) }
    }

    #[inline(always)]
    unsafe fn post<F: TxFormat>(self, at: &tx::Pointers, count: usize) -> Posted {
        // SAFETY: as above.
        unsafe { post_run::<F>(at, count) }
    }
}

/// Receive and refill.
///
/// # Safety
/// The processor has the instructions, and `at` is good for `max` elements and a step more, as `rx::Pointers` says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi1,bmi2")]
unsafe fn receive_run<F: RxFormat>(at: &rx::Pointers, max: usize) -> Ran {
    let done = _mm512_set1_epi64(F::DONE.cast_signed());
    let checked = _mm512_set1_epi64((F::END | F::ERROR).cast_signed());
    let good = _mm512_set1_epi64(F::END.cast_signed());
    let room = _mm256_set1_epi32(at.room_bytes.cast_signed());
    let offset = _mm256_set1_epi32((HEADROOM_BYTES << 16).cast_signed());
    let (mut index, mut bytes, mut flaws) = (0, _mm256_setzero_si256(), 0);
    while index < max {
        // SAFETY: `index < max`, and the pointers are good for a step more. A load of 64 bytes is made of untorn 16-byte lanes on every
        // processor with AVX, and a device writes a descriptor at once, so a lane whose done bit is set is whole; the others are
        // not used. Stores go to vacant slots, the burst's free places and padding.
        unsafe {
            let from = at.desc.add(index).cast::<__m512i>();
            let (low, high) = (_mm512_loadu_si512(from), _mm512_loadu_si512(from.add(1)));
            let words = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), high);
            let finished = _mm512_mask_test_epi64_mask(lanes(max - index), words, done);
            let frames = finished.trailing_ones() as usize;
            if frames == 0 {
                break;
            }
            let taken = lanes(frames);
            let length = _mm512_srl_epi64(words, _mm_cvtsi32_si128(F::LENGTH_AT.cast_signed()));
            let length = _mm512_cvtepi64_epi32(_mm512_maskz_and_epi64(taken, length, _mm512_set1_epi64(0xffff)));
            let kept = _mm256_min_epu32(length, room);
            _mm256_storeu_si256(at.out_buffer.add(index).cast(), _mm256_loadu_si256(at.buffers.add(index).cast()));
            _mm256_storeu_si256(at.out_span.add(index).cast(), _mm256_or_si256(kept, offset));
            let raw = at.out_raw.add(index).cast::<__m512i>();
            _mm512_storeu_si512(raw, low);
            _mm512_storeu_si512(raw.add(1), high);
            bytes = _mm256_add_epi32(bytes, kept);
            flaws |= _mm512_mask_cmpneq_epi64_mask(taken, _mm512_and_si512(words, checked), good) | _mm256_cmpneq_epi32_mask(length, kept);
            // Two calls, so that the processor predicts a whole step and need not wait for its number of frames.
            if frames == STEP {
                refill(at, index, STEP);
                index += STEP;
            } else {
                refill(at, index, frames);
                index += frames;
                break;
            }
        }
    }
    // The done words were read by plain loads: what follows them must not be moved before them by the compiler.
    crate::barrier::dma_read();
    Ran { frames: index, bytes: sum(_mm512_cvtepu32_epi64(bytes)), flawed: flaws != 0 }
}

/// Posts `frames` fresh buffers: the second half of a receive step.
///
/// # Safety
/// As `receive_run`, of which it is a part; `index + frames <= max`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi1,bmi2")]
unsafe fn refill(at: &rx::Pointers, index: usize, frames: usize) {
    // SAFETY: the contract.
    unsafe {
        let fresh = _mm256_loadu_si256(at.free_end.sub(index + frames).cast());
        _mm256_storeu_si256(at.post_buffers.add(index).cast(), fresh);
        let address = addresses(fresh, at.stride_bytes, at.address);
        let to = at.post_desc.add(index).cast::<__m512i>();
        _mm512_storeu_si512(to, _mm512_maskz_permutexvar_epi64(0x55, _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3), address));
        _mm512_storeu_si512(to.add(1), _mm512_maskz_permutexvar_epi64(0x55, _mm512_setr_epi64(4, 4, 5, 5, 6, 6, 7, 7), address));
    }
}

/// Posts frames for transmission.
///
/// # Safety
/// The processor has the instructions, and `at` is good for `count` elements and a step more, as `tx::Pointers` says.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi1,bmi2")]
unsafe fn post_run<F: TxFormat>(at: &tx::Pointers, count: usize) -> Posted {
    let fixed = _mm512_set1_epi64((F::FIXED | F::END).cast_signed());
    let shortest = _mm512_set1_epi64(i64::from(F::MIN_FRAME_BYTES));
    let spread = _mm512_set1_epi64(i64::from(at.spread_bytes));
    let (mut index, mut bytes, mut misfits) = (0, _mm512_setzero_si512(), 0);
    while index < count {
        // SAFETY: `index < count`, and the pointers are good for a step more; the slots are vacant or padding.
        unsafe {
            let used = lanes(count - index);
            let buffers = _mm256_loadu_si256(at.buffer.add(index).cast());
            _mm256_storeu_si256(at.post_buffers.add(index).cast(), buffers);
            let span = _mm512_cvtepu32_epi64(_mm256_loadu_si256(at.span.add(index).cast()));
            let length = _mm512_maskz_and_epi64(used, span, _mm512_set1_epi64(0xffff));
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
            misfits |= _mm512_mask_cmpgt_epu64_mask(used, _mm512_sub_epi64(length, shortest), spread);
        }
        index += STEP;
    }
    Posted { bytes: sum(bytes), misfit: misfits != 0 }
}

/// The addresses of eight buffers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi1,bmi2")]
fn addresses(buffers: __m256i, stride_bytes: u64, address: u64) -> __m512i {
    let offset = _mm512_mul_epu32(_mm512_cvtepu32_epi64(buffers), _mm512_set1_epi64(stride_bytes.cast_signed()));
    _mm512_add_epi64(offset, _mm512_set1_epi64(address.cast_signed()))
}

/// The sum of eight sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi1,bmi2")]
fn sum(lengths: __m512i) -> u64 {
    _mm512_reduce_add_epi64(lengths).cast_unsigned()
}
