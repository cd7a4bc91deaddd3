//! Transmit: the burst's frames are posted, oldest first, and what was sent goes home to the worker's cache in bulk.
//!
//! Every call asks for a report on its last descriptor, and counts small bursts as one batch. Whether a batch was reported is looked at
//! once a batch's worth is in flight, or whenever [`TxRing::reclaim`] is called: so a burst of a few frames does not fetch a line that the
//! device has just written, and the ring still holds little more than what the device is working on.

use super::{Deposit, Isa, NO_BUFFER, Ring, Scalar, step};
#[cfg(feature = "audit")]
use crate::audit::Owner;
use crate::{
    burst::Burst,
    dma::{DmaSpace, Iova},
    error::PortError,
    format::{Desc, TxFormat},
    meta::TxOffload,
    pool::{BURST_MAX, BufCache, CACHE_CAPACITY, Pool, STEP, foreign_pool},
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

/// A burst is not to be posted by the simple loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotSimple;

/// What a run did.
#[derive(Default)]
pub struct Posted {
    pub(super) bytes: u64,
    /// Some frame is shorter or longer than the device takes.
    pub(super) misfit: bool,
}

/// The pointers of a run. All are good for as many elements as the run has frames, and for [`STEP`] more: the arrays are padded, and the
/// slots behind are vacant or padding ([`TxRing::post`]).
pub struct Pointers {
    pub(super) buffer: *const u32,
    pub(super) span: *const u32,
    pub(super) post_desc: *mut Desc,
    pub(super) post_buffers: *mut u32,
    /// Address of buffer 0.
    pub(super) address: u64,
    pub(super) stride_bytes: u64,
    /// Bytes that the longest frame may have more than the shortest.
    pub(super) spread_bytes: u32,
}

/// Descriptors that a batch has at least, so that few descriptors are looked at, and that may be in flight before any is. Fewer in small
/// rings.
const BATCH_DESC: u32 = 32;
/// Buffers that one frame may span.
const SEGMENTS_MAX: usize = 16;
/// Longest frame of which the device cuts the payload itself.
const SEGMENTED_BYTES_MAX: usize = 64 * 1024;

/// A transmit ring.
pub struct TxRing<F> {
    pub(super) ring: Ring,
    /// Where each batch ends (the cursor after its last descriptor, which reports), oldest at `mark_head`: never more than there are
    /// descriptors.
    marks: Box<[u32]>,
    mark_head: u32,
    mark_tail: u32,
    /// Where the newest batch begins.
    mark_start: u32,
    /// Descriptors that make a batch of this ring.
    batch_desc: u32,
    /// Posted descriptors that have no buffer.
    bare: u32,
    max_frame_bytes: u32,
    /// Bytes that the longest frame may have more than the shortest.
    spread_bytes: u32,
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
            mark_start: 0,
            batch_desc: (u32::from(size_desc) / 8).min(BATCH_DESC),
            bare: 0,
            max_frame_bytes,
            spread_bytes: max_frame_bytes - F::MIN_FRAME_BYTES,
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

    /// Takes all buffers back into the cache, because the device has forgotten the ring; how many it had not reported. Cursors are zero
    /// afterwards.
    pub fn reset(&mut self, cache: &mut BufCache) -> usize {
        self.take_home_reported(cache);
        #[cfg(feature = "audit")]
        self.ring.owned_by(self.ring.head, self.ring.posted(), Owner::Cpu);
        let mut lost = 0;
        self.ring.take_back(|buffer| {
            cache.put(buffer);
            lost += 1;
        });
        (self.mark_head, self.mark_tail, self.mark_start, self.bare, self.context) = (0, 0, 0, 0, None);
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
            let end = self.marks[(self.mark_head & self.ring.mask) as usize];
            // SAFETY: a masked cursor is inside the ring.
            if unsafe { self.ring.done_word(self.ring.slot(end.wrapping_sub(1))) } & F::DONE == 0 {
                break;
            }
            self.take_home(cache, end);
            self.mark_head = self.mark_head.wrapping_add(1);
        }
        self.ring.head.wrapping_sub(before) as usize
    }

    /// As [`reclaim`](Self::reclaim), to the last descriptor that was reported, in the middle of a batch, too.
    fn take_home_reported(&mut self, cache: &mut BufCache) {
        let is_reported = |ahead: &u32| {
            let slot = self.ring.slot(self.ring.head.wrapping_add(*ahead));
            // SAFETY: a masked cursor is inside the ring.
            unsafe { self.ring.done_word(slot) & F::DONE != 0 }
        };
        let posted = self.ring.tail.wrapping_sub(self.ring.head);
        if let Some(last) = (0..posted).rev().find(is_reported) {
            self.take_home(cache, self.ring.head.wrapping_add(last + 1));
        }
    }

    /// As [`reclaim`](Self::reclaim), but only where it pays: looking at a descriptor that the device has just written costs more than the
    /// buffers of a few frames are worth, as long as there is something else to do.
    #[inline(always)]
    pub fn reclaim_batch(&mut self, cache: &mut BufCache) {
        if self.ring.posted() >= self.batch_desc as usize {
            self.reclaim(cache);
        }
    }

    /// Buffers of the descriptors before `end` go to the cache.
    #[inline(always)]
    fn take_home(&mut self, cache: &mut BufCache, end: u32) {
        #[cfg(feature = "audit")]
        self.ring.owned_by(self.ring.head, end.wrapping_sub(self.ring.head) as usize, Owner::Cpu);
        while self.ring.head != end {
            if cache.len > CACHE_CAPACITY - BURST_MAX {
                cache.spill();
            }
            let head = self.ring.slot(self.ring.head);
            let left = end.wrapping_sub(self.ring.head) as usize;
            let run = left.min(self.ring.size() - head).min(CACHE_CAPACITY - cache.len);
            let from = self.ring.buffers.as_ptr().wrapping_add(head);
            let to = cache.free.as_mut_ptr().wrapping_add(cache.len);
            if self.bare != 0 {
                // SAFETY: `run` slots from `head` lie before the end of the ring, and `run` entries fit the cache.
                let kept = unsafe { copy_buffers(from, to, run) };
                self.bare -= step(run - kept);
                cache.len += kept;
            } else {
                // SAFETY: as above, and both arrays have a step of padding behind their ends.
                unsafe { copy(from, to, run) };
                cache.len += run;
            }
            self.ring.head = self.ring.head.wrapping_add(step(run));
        }
    }

    /// Posts the frames of `burst`, oldest first: all of them, and nothing is asked of the device for any. Gives their bytes; ring the
    /// doorbell where there were any.
    ///
    /// # Errors
    /// Nothing was posted, because it is not as simple as that: [`post_rest`](Self::post_rest) does it.
    ///
    /// # Panics
    /// Where the cache, the burst and the ring belong to different pools.
    #[inline(always)]
    pub fn post<I: Isa>(&mut self, isa: I, cache: &BufCache, burst: &mut Burst) -> Result<u64, NotSimple> {
        let (count, vacant) = (burst.len, self.vacant());
        if self.is_unusual(cache, burst, vacant) {
            return Err(NotSimple);
        }
        if count == 0 {
            return Ok(0);
        }
        let first = self.ring.tail;
        let before_end = self.ring.size() - self.ring.slot(first);
        // A wide step writes whole: where too few slots behind the last frame are vacant, the portable run does it.
        let posted = if (count <= before_end) & (count + STEP <= vacant) {
            self.run(isa, burst, 0, count)
        } else {
            self.run_portable(burst, count, before_end)
        };
        self.posted(posted, first, burst)
    }

    /// As [`post`](Self::post), for a burst of one frame: a straight line.
    ///
    /// # Errors
    /// As `post`.
    ///
    /// # Panics
    /// As `post`.
    #[inline(always)]
    pub fn post_one(&mut self, cache: &BufCache, burst: &mut Burst) -> Result<u64, NotSimple> {
        let (buffer, span) = (burst.frames.buffer[0], burst.frames.span[0]);
        let len = span & 0xffff;
        if self.is_unusual(cache, burst, self.vacant()) | (len.wrapping_sub(F::MIN_FRAME_BYTES) > self.spread_bytes) | (burst.len != 1) {
            return Err(NotSimple);
        }
        let len_bytes = u64::from(len);
        let second = F::FIXED | F::END | F::REPORT | len_bytes << F::LENGTH_AT | len_bytes << F::TOTAL_AT;
        self.put([self.ring.address(buffer, span >> 16), second], buffer);
        #[cfg(feature = "audit")]
        self.ring.owned_by(self.ring.tail.wrapping_sub(1), 1, Owner::DeviceReads);
        self.remember();
        burst.len = 0;
        Ok(len_bytes)
    }

    /// Some frame spans buffers or asks for something, or not all of them fit, or the ring wants an opening.
    ///
    /// # Panics
    /// Where the cache, the burst and the ring belong to different pools.
    #[inline(always)]
    fn is_unusual(&self, cache: &BufCache, burst: &Burst, vacant: usize) -> bool {
        if !Arc::ptr_eq(&self.ring.arena, &burst.arena) || !Arc::ptr_eq(&self.ring.arena, &cache.arena) {
            foreign_pool()
        }
        burst.flags.any() | (F::OPENING.is_some() && self.context.is_none()) | (burst.len > vacant)
    }

    /// The common end of a post that met nothing unusual: all frames of the burst are in the slots from `first` on.
    #[inline(always)]
    fn posted(&mut self, posted: Posted, first: u32, burst: &mut Burst) -> Result<u64, NotSimple> {
        if posted.misfit {
            // The doorbell has not been rung, so the slots are still ours.
            self.ring.tail = first;
            return Err(NotSimple);
        }
        #[cfg(feature = "audit")]
        self.ring.owned_by(first, burst.len, Owner::DeviceReads);
        self.mark();
        burst.set_len(0);
        Ok(posted.bytes)
    }

    /// Posts `count` frames from `from` on, which fit before the end of the ring.
    #[inline(always)]
    fn run<I: Isa>(&mut self, isa: I, burst: &Burst, from: usize, count: usize) -> Posted {
        let (tail, ring, frames) = (self.ring.slot(self.ring.tail), &mut self.ring, &*burst.frames);
        // Offsets stay inside or one past the end of each array (`wrapping_add`: nothing is accessed here).
        let pointers = Pointers {
            buffer: frames.buffer.as_ptr().wrapping_add(from),
            span: frames.span.as_ptr().wrapping_add(from),
            post_desc: ring.desc.as_ptr().wrapping_add(tail),
            post_buffers: ring.buffers.as_ptr().wrapping_add(tail),
            address: ring.base,
            stride_bytes: ring.stride_bytes,
            spread_bytes: self.spread_bytes,
        };
        ring.tail = ring.tail.wrapping_add(step(count));
        // SAFETY: the burst has `count` frames from `from` on and padding behind; `count` slots from the tail are vacant and lie before the
        // end of the ring; a wide step has as many vacant ones or padding behind them (`post`), the portable one needs none.
        unsafe { isa.post::<F>(&pointers, count) }
    }

    /// As [`run`](Self::run), round the end of the ring and up to the last vacant slot.
    #[cold]
    fn run_portable(&mut self, burst: &Burst, count: usize, before_end: usize) -> Posted {
        let now = count.min(before_end);
        let one = self.run(Scalar::new(), burst, 0, now);
        let other = self.run(Scalar::new(), burst, now, count - now);
        Posted { bytes: one.bytes + other.bytes, misfit: one.misfit | other.misfit }
    }

    /// Asks for a report on the last posted descriptor, which ends a batch: the newest, as long as that is small, or a new one.
    #[inline(always)]
    fn mark(&mut self) {
        let last = self.ring.desc.as_ptr().wrapping_add(self.ring.slot(self.ring.tail.wrapping_sub(1)));
        // SAFETY: a masked cursor is inside the ring; the slot was posted by the caller and the doorbell has not been rung, so it is ours.
        unsafe { (*last)[1] |= F::REPORT };
        self.remember();
    }

    /// The last posted descriptor ends a batch.
    #[inline(always)]
    fn remember(&mut self) {
        let tail = self.ring.tail;
        let newest = self.mark_tail.wrapping_sub(1);
        let newest_end = self.marks[(newest & self.ring.mask) as usize];
        if self.mark_head != self.mark_tail && newest_end.wrapping_sub(self.mark_start) < self.batch_desc {
            self.marks[(newest & self.ring.mask) as usize] = tail;
        } else {
            self.mark_start = if self.mark_head == self.mark_tail { self.ring.head } else { newest_end };
            self.marks[(self.mark_tail & self.ring.mask) as usize] = tail;
            self.mark_tail = self.mark_tail.wrapping_add(1);
        }
    }

    /// Posts the frames of `burst`, oldest first, one by one. What does not fit stays in the burst, in order; what no device can send is
    /// dropped and counted.
    ///
    /// # Panics
    /// Where the cache, the burst and the ring belong to different pools.
    #[cold]
    #[inline(never)]
    pub fn post_rest(&mut self, cache: &mut BufCache, burst: &mut Burst) -> Sent {
        if !Arc::ptr_eq(&self.ring.arena, &burst.arena) || !Arc::ptr_eq(&self.ring.arena, &cache.arena) {
            foreign_pool()
        }
        let mut sent = Sent::default();
        let first = self.ring.tail;
        let mut index = 0;
        while index < burst.len {
            let asked = TxOffload::from_word(burst.frames.asked[index]);
            let Some((segments, total_bytes)) = self.measure(burst, index, asked) else {
                burst.free(index, cache);
                sent.dropped += 1;
                index += 1;
                continue;
            };
            let context = self.context_before(asked);
            if segments + usize::from(context.is_some()) > self.vacant() {
                break;
            }
            if let Some(context) = context {
                self.put(context, NO_BUFFER);
                self.context = Some(context);
                self.bare += 1;
            }
            self.post_segments(burst, index, asked, total_bytes);
            sent.frames += 1;
            sent.bytes += total_bytes;
            index += 1;
        }
        if self.ring.tail != first {
            #[cfg(feature = "audit")]
            self.ring.owned_by(first, self.ring.tail.wrapping_sub(first) as usize, Owner::DeviceReads);
            self.mark();
            sent.posted = true;
        }
        burst.drop_front(index);
        sent
    }

    /// The context descriptor that has to precede a frame.
    fn context_before(&self, asked: TxOffload) -> Option<Desc> {
        let opening = F::OPENING.filter(|_| self.context.is_none());
        F::context(asked).or(opening).filter(|context| self.context.as_ref() != Some(context))
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

/// Copies in steps of eight, past the last one where there are fewer: no remainder loop, no call of `memcpy`.
///
/// # Safety
/// `from` is good for reads and `to` for writes of `count` entries and a step more; they do not overlap.
#[inline(always)]
unsafe fn copy(from: *const u32, to: *mut u32, count: usize) {
    let mut index = 0;
    while index < count {
        // SAFETY: the contract: `index < count`.
        let step = unsafe { from.wrapping_add(index).cast::<[u32; STEP]>().read() };
        // SAFETY: as above.
        unsafe { to.wrapping_add(index).cast::<[u32; STEP]>().write(step) };
        // Keeps the loop as it is: unrolled for long copies it costs more than the copy.
        index = std::hint::black_box(index + STEP);
    }
}

/// Copies those that are buffers; how many.
///
/// # Safety
/// As `copy`.
#[cold]
unsafe fn copy_buffers(from: *const u32, to: *mut u32, count: usize) -> usize {
    let mut kept = 0;
    for index in 0..count {
        // SAFETY: the contract: `index < count`.
        let buffer = unsafe { from.wrapping_add(index).read() };
        if buffer != NO_BUFFER {
            // SAFETY: as above: `kept <= index`.
            unsafe { to.wrapping_add(kept).write(buffer) };
            kept += 1;
        }
    }
    kept
}

impl<F> std::fmt::Debug for TxRing<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TxRing({} of {} posted)", self.ring.posted(), self.ring.size())
    }
}
