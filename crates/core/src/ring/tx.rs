//! Transmit: the burst's frames are posted, oldest first, and what was sent goes home to the worker's cache in bulk.
//!
//! One report is asked for a call, on its last descriptor. Each call first takes back every batch whose report has come, so the ring holds
//! little more than what the device is working on.

use super::{Deposit, NO_BUFFER, Ring, step};
#[cfg(feature = "audit")]
use crate::audit::Owner;
use crate::{
    burst::Burst,
    dma::{DmaSpace, Iova},
    error::PortError,
    format::{Desc, TxFormat},
    meta::TxOffload,
    path::{Kind, Path},
    pool::{BURST_MAX, BufCache, Pool, foreign_pool},
};
use std::{marker::PhantomData, sync::Arc};

/// What one transmit did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// Frames that were posted.
    pub frames: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that no device can send (too short, too long, too many segments): dropped.
    pub dropped: u64,
    /// Descriptors were posted: ring the doorbell with [`TxRing::tail`].
    pub posted: bool,
}

/// Frames posted by one run.
#[derive(Default)]
pub(super) struct Posted {
    pub(super) bytes: u64,
}

/// The pointers of a run. All are good for as many elements as the run has frames.
pub(super) struct Pointers {
    pub(super) buffer: *const u32,
    pub(super) span: *const u32,
    pub(super) post_desc: *mut Desc,
    pub(super) post_buffers: *mut u32,
    /// Address of buffer 0.
    pub(super) address: u64,
    pub(super) stride_bytes: u64,
}

/// Of a batch's mark: some slot has no buffer.
const MIXED: u32 = 1 << 31;
/// Buffers that one frame may span.
const SEGMENTS_MAX: usize = 16;
/// Longest frame of which the device cuts the payload itself.
const SEGMENTED_BYTES_MAX: usize = 64 * 1024;

/// A transmit ring.
pub struct TxRing<F> {
    pub(super) ring: Ring,
    /// Descriptors of each batch that a report was asked for, oldest at `mark_head`: never more than there are descriptors.
    marks: Box<[u32]>,
    mark_head: u32,
    mark_tail: u32,
    max_frame_bytes: u32,
    /// The last context descriptor that this ring has posted: the device remembers it.
    context: Option<Desc>,
    format: PhantomData<F>,
}

impl<F: TxFormat> TxRing<F> {
    /// A ring of `size_desc` descriptors for frames of at most `max_frame_bytes`, FCS not counted.
    ///
    /// # Errors
    /// [`PortError`] where the size is impossible or the memory cannot be had.
    pub fn new(space: &dyn DmaSpace, pool: &Pool, size_desc: u16, max_frame_bytes: u32, deposit: &Deposit) -> Result<Self, PortError> {
        const { assert!(F::LENGTH_AT + 16 <= 64 && F::TOTAL_AT + 16 <= 64) }
        Ok(Self {
            ring: Ring::new(space, pool, size_desc, deposit)?,
            marks: vec![0; usize::from(size_desc)].into(),
            mark_head: 0,
            mark_tail: 0,
            max_frame_bytes,
            context: None,
            format: PhantomData,
        })
    }

    /// Where the device finds it.
    pub fn iova(&self) -> Iova {
        self.ring.iova()
    }

    /// Its length in bytes, as devices want it.
    pub fn len_bytes(&self) -> u32 {
        self.ring.len_bytes()
    }

    /// What the doorbell is to be rung with: the slot after the last posted one.
    #[inline(always)]
    pub fn tail(&self) -> u32 {
        self.ring.tail & self.ring.mask
    }

    /// Descriptors that the device has not reported yet.
    pub fn in_flight(&self) -> usize {
        self.ring.posted()
    }

    /// Descriptors that can be posted. One always stays vacant: a tail that meets the head means an empty ring.
    #[inline(always)]
    fn vacant(&self) -> usize {
        self.ring.mask as usize - self.ring.posted()
    }

    /// Takes all buffers back into the cache, because the device has forgotten the ring; how many descriptors it had. Cursors are zero
    /// afterwards.
    pub fn reset(&mut self, cache: &mut BufCache) -> usize {
        let lost = self.ring.posted();
        #[cfg(feature = "audit")]
        self.ring.owned_by(self.ring.head, lost, Owner::Cpu);
        self.ring.take_back(|buffer| cache.put(buffer));
        (self.mark_head, self.mark_tail, self.context) = (0, 0, None);
        lost
    }

    /// Takes back every batch whose report has come: the buffers go to the cache. How many descriptors became vacant.
    ///
    /// # Panics
    /// Where the cache is another pool's.
    #[inline(always)]
    pub fn reclaim(&mut self, cache: &mut BufCache) -> usize {
        if !Arc::ptr_eq(&self.ring.arena, &cache.arena) {
            foreign_pool()
        }
        let before = self.ring.head;
        while self.mark_head != self.mark_tail {
            let mark = self.marks[(self.mark_head & self.ring.mask) as usize];
            let count = mark & !MIXED;
            let last = self.ring.slot(self.ring.head.wrapping_add(count).wrapping_sub(1));
            // SAFETY: a masked cursor is inside the ring.
            if unsafe { self.ring.done_word(last) } & F::DONE == 0 {
                break;
            }
            #[cfg(feature = "audit")]
            self.ring.owned_by(self.ring.head, count as usize, Owner::Cpu);
            self.take_home(cache, count as usize, mark & MIXED != 0);
            self.mark_head = self.mark_head.wrapping_add(1);
        }
        self.ring.head.wrapping_sub(before) as usize
    }

    #[inline(always)]
    fn take_home(&mut self, cache: &mut BufCache, count: usize, mixed: bool) {
        let mut left = count;
        while left > 0 {
            if cache.free.len() - cache.len < BURST_MAX {
                cache.spill();
            }
            let head = self.ring.slot(self.ring.head);
            let run = left.min(self.ring.size() - head).min(cache.free.len() - cache.len);
            let from = self.ring.buffers.as_ptr().wrapping_add(head);
            // SAFETY: `run` slots from `head` lie before the end of the ring, and `_slots` is not borrowed otherwise.
            let from = unsafe { std::slice::from_raw_parts(from, run) };
            let to = &mut cache.free[cache.len..cache.len + run];
            cache.len += if mixed { copy_buffers(from, to) } else { copy(from, to) };
            self.ring.head = self.ring.head.wrapping_add(step(run));
            left -= run;
        }
    }

    /// Posts the frames of `burst`, oldest first. What does not fit stays in the burst, in order; what no device can send is dropped and
    /// counted.
    ///
    /// # Panics
    /// Where the cache, the burst and the ring belong to different pools.
    #[inline(always)]
    pub fn post(&mut self, path: Path, cache: &mut BufCache, burst: &mut Burst) -> Sent {
        match path.kind() {
            Kind::Scalar => self.post_with(cache, burst, scalar::<F>),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Path` of this kind exists only where the processor has the instructions.
            Kind::Avx512 => unsafe { super::avx512::post(self, cache, burst) },
        }
    }

    #[inline(always)]
    pub(super) fn post_with(&mut self, cache: &mut BufCache, burst: &mut Burst, run: impl Fn(&Pointers, usize) -> Posted) -> Sent {
        if !Arc::ptr_eq(&self.ring.arena, &burst.arena) || !Arc::ptr_eq(&self.ring.arena, &cache.arena) {
            foreign_pool()
        }
        let mut sent = Sent::default();
        if burst.flags.any() || self.any_misfit(burst) {
            self.post_unusual(cache, burst, &mut sent);
            return sent;
        }
        let count = burst.len.min(self.vacant());
        if count == 0 {
            return sent;
        }
        let first = self.ring.tail;
        while sent.frames < count {
            let tail = self.ring.slot(self.ring.tail);
            let now = (count - sent.frames).min(self.ring.size() - tail);
            let posted = run(&self.pointers(tail, burst, sent.frames), now);
            sent.bytes += posted.bytes;
            sent.frames += now;
            self.ring.tail = self.ring.tail.wrapping_add(step(now));
        }
        #[cfg(feature = "audit")]
        self.ring.owned_by(first, count, Owner::DeviceReads);
        self.mark(first, 0);
        sent.posted = true;
        if count == burst.len {
            burst.set_len(0)
        } else {
            burst.drop_front(count)
        }
        sent
    }

    #[inline(always)]
    fn pointers(&mut self, tail: usize, burst: &Burst, from: usize) -> Pointers {
        let (ring, frames) = (&self.ring, &*burst.frames);
        // Offsets stay inside or one past the end of each array (`wrapping_add`: nothing is accessed here).
        Pointers {
            buffer: frames.buffer.as_ptr().wrapping_add(from),
            span: frames.span.as_ptr().wrapping_add(from),
            post_desc: ring.desc.as_ptr().wrapping_add(tail),
            post_buffers: ring.buffers.as_ptr().wrapping_add(tail),
            address: ring.address(0, 0),
            stride_bytes: u64::from(ring.arena.stride_bytes()),
        }
    }

    /// Some frame is shorter or longer than the device takes.
    #[inline(always)]
    fn any_misfit(&self, burst: &Burst) -> bool {
        let spans = &burst.frames.span[..burst.len.min(BURST_MAX)];
        let width = self.max_frame_bytes - F::MIN_FRAME_BYTES;
        spans.iter().fold(false, |any, span| any | ((span & 0xffff).wrapping_sub(F::MIN_FRAME_BYTES) > width))
    }

    /// Asks for a report on the last posted descriptor, and remembers the batch that began at `first`.
    #[inline(always)]
    fn mark(&mut self, first: u32, mixed: u32) {
        let last = self.ring.slot(self.ring.tail.wrapping_sub(1));
        let last = self.ring.desc.as_ptr().wrapping_add(last);
        // SAFETY: a masked cursor is inside the ring; the slot was posted by the caller and the doorbell has not been rung, so it is ours.
        unsafe { (*last)[1] |= F::REPORT };
        self.marks[(self.mark_tail & self.ring.mask) as usize] = self.ring.tail.wrapping_sub(first) | mixed;
        self.mark_tail = self.mark_tail.wrapping_add(1);
    }

    /// Some frame spans buffers, asks for something, or cannot be sent: looks at each.
    #[cold]
    #[inline(never)]
    fn post_unusual(&mut self, cache: &mut BufCache, burst: &mut Burst, sent: &mut Sent) {
        let first = self.ring.tail;
        let (mut index, mut mixed) = (0, 0);
        while index < burst.len {
            let asked = TxOffload::from_word(burst.frames.asked[index]);
            let Some((segments, total_bytes)) = self.measure(burst, index, asked) else {
                burst.free(index, cache);
                sent.dropped += 1;
                index += 1;
                continue;
            };
            let context = F::context(asked).filter(|context| self.context.as_ref() != Some(context));
            if segments + usize::from(context.is_some()) > self.vacant() {
                break;
            }
            if let Some(context) = context {
                self.put(context, NO_BUFFER);
                self.context = Some(context);
                mixed = MIXED;
            }
            self.post_segments(burst, index, asked, total_bytes);
            sent.frames += 1;
            sent.bytes += total_bytes;
            index += 1;
        }
        if self.ring.tail != first {
            #[cfg(feature = "audit")]
            self.ring.owned_by(first, self.ring.tail.wrapping_sub(first) as usize, Owner::DeviceReads);
            self.mark(first, mixed);
            sent.posted = true;
        }
        burst.drop_front(index);
    }

    /// Segments and bytes of a frame, where the device can send it.
    fn measure(&self, burst: &Burst, index: usize, asked: TxOffload) -> Option<(usize, u64)> {
        let (mut segments, mut bytes) = (0, 0);
        let mut at = Some((burst.frames.buffer[index], burst.frames.span[index]));
        while let Some((buffer, span)) = at {
            let len_bytes = (span & 0xffff) as usize;
            if len_bytes == 0 || segments == SEGMENTS_MAX {
                return None;
            }
            segments += 1;
            bytes += len_bytes;
            at = self.ring.arena.segment_after(buffer);
        }
        let longest = if asked.segmentation().is_some() { SEGMENTED_BYTES_MAX } else { self.max_frame_bytes as usize };
        (F::MIN_FRAME_BYTES as usize..=longest).contains(&bytes).then_some((segments, bytes as u64))
    }

    fn post_segments(&mut self, burst: &Burst, index: usize, asked: TxOffload, total_bytes: u64) {
        let (flags, total) = F::request(asked, total_bytes);
        let mut at = Some((burst.frames.buffer[index], burst.frames.span[index]));
        while let Some((buffer, span)) = at {
            at = self.ring.arena.unlink(buffer);
            let end = if at.is_none() { F::END } else { 0 };
            let lengths = u64::from(span & 0xffff) << F::LENGTH_AT | total << F::TOTAL_AT;
            self.put([self.ring.address(buffer, span >> 16), F::FIXED | flags | end | lengths], buffer);
        }
    }

    /// Writes the next descriptor. The caller has seen that one is vacant.
    fn put(&mut self, desc: Desc, buffer: u32) {
        let slot = self.ring.slot(self.ring.tail);
        // SAFETY: a masked cursor is inside the ring, and the tail's slot is vacant.
        unsafe { self.ring.write(slot, desc, buffer) };
        self.ring.tail = self.ring.tail.wrapping_add(1);
    }
}

#[inline(always)]
fn scalar<F: TxFormat>(at: &Pointers, count: usize) -> Posted {
    scalar_from::<F>(at, 0, count, Posted::default())
}

/// Continues a run at its `index`-th frame.
#[inline(always)]
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument holds for all of them: `index < count`")]
pub(super) fn scalar_from<F: TxFormat>(at: &Pointers, index: usize, count: usize, mut posted: Posted) -> Posted {
    for index in index..count {
        // SAFETY: `index < count`, and all pointers are good for `count` elements (`post_with`); the slots are vacant.
        unsafe {
            let (buffer, span) = (*at.buffer.add(index), *at.span.add(index));
            let len_bytes = u64::from(span & 0xffff);
            *at.post_buffers.add(index) = buffer;
            let address = at.address + u64::from(buffer) * at.stride_bytes + u64::from(span >> 16);
            *at.post_desc.add(index) = [address, F::FIXED | F::END | len_bytes << F::LENGTH_AT | len_bytes << F::TOTAL_AT];
            posted.bytes += len_bytes;
        }
    }
    posted
}

/// Copies whole groups of eight, so that no call of `memcpy` is made for the few buffers of a burst.
#[inline(always)]
fn copy(from: &[u32], to: &mut [u32]) -> usize {
    let (from8, rest) = from.as_chunks::<8>();
    let (to8, to_rest) = to.as_chunks_mut::<8>();
    for (to, from) in to8.iter_mut().zip(from8) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(rest) {
        *to = *from;
    }
    from.len()
}

/// Copies those that are buffers.
#[cold]
fn copy_buffers(from: &[u32], to: &mut [u32]) -> usize {
    let mut count = 0;
    for &buffer in from.iter().filter(|&&buffer| buffer != NO_BUFFER) {
        to[count] = buffer;
        count += 1;
    }
    count
}

impl<F> std::fmt::Debug for TxRing<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TxRing({} of {} posted)", self.ring.posted(), self.ring.size())
    }
}
