//! Receive: finished descriptors' buffers go to the burst, and as many fresh ones from the worker's cache are posted, in one loop.

use super::{Deposit, Isa, NO_BUFFER, Ring, Scalar, step};
#[cfg(feature = "audit")]
use crate::audit::Owner;
use crate::{
    burst::Burst,
    dma::{DmaSpace, Iova},
    error::PortError,
    format::{Desc, RxFormat},
    meta::RxWords,
    pool::{BufCache, HEADROOM_BYTES, Pool, STEP, foreign_pool},
};
use std::{marker::PhantomData, sync::Arc};

/// Descriptors that stay vacant: the posted end never shares a cache line with the completed end, and the tail never meets the head,
/// which a device takes for an empty ring.
/// A step of the widest path may scribble on them.
const SPARE_DESC: usize = STEP;
/// Posted descriptors that a device need not know of yet.
const UNTOLD_MAX_DESC: u32 = 32;
/// Buffers that the worker keeps when a ring is filled: a frame is taken in exchange for a fresh buffer, so a ring that had all of a small
/// pool would never give a frame out.
const RESERVE: usize = 8;
/// Buffers that one frame may span: enough for 16 KiB in buffers of 1 KiB. A device that never ends a frame is stopped here.
const SEGMENTS_MAX: u32 = 16;

/// What one receive took where nothing unusual was met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Frames that went to the burst.
    pub frames: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Ring the doorbell with [`RxRing::tail`].
    pub posted: bool,
}

/// What one receive had taken when it met something unusual.
#[derive(Clone, Copy, Debug)]
#[must_use = "what it had taken is not accounted for yet"]
pub struct Unusual {
    /// Frames of the burst before it.
    start: usize,
    /// Bytes of those that were taken.
    bytes: u64,
    /// Some of them is damaged, too long, or spans buffers.
    flawed: bool,
}

/// What one receive did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// Frames that went to the burst.
    pub frames: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that were dropped: damaged, longer than their buffers, or without an end.
    pub errors: u64,
    /// Ring the doorbell with [`RxRing::tail`].
    pub posted: bool,
    /// No free buffer was to be had, so that finished descriptors were left with the device.
    pub starved: bool,
}

/// A frame of which the end has not come yet.
#[derive(Clone, Copy)]
struct Partial {
    first: u32,
    span: u32,
    last: u32,
    bytes: u64,
    segments: u32,
    /// It is dropped when its end comes; its buffers are back already.
    damaged: bool,
}

/// A receive ring.
pub struct RxRing<F> {
    pub(super) ring: Ring,
    partial: Option<Partial>,
    /// The ring could hold more, or a frame is on its way that spans buffers. Both change only in what is out of line.
    watch: bool,
    /// The tail that the device was last told, and how far it may fall behind: posting a few descriptors more or less changes nothing for a
    /// device that has a ringful, but each doorbell costs.
    told: u32,
    untold_max: u32,
    words: &'static RxWords,
    format: PhantomData<F>,
}

/// What a run did.
#[derive(Default)]
pub struct Ran {
    pub(super) frames: usize,
    pub(super) bytes: u64,
    pub(super) flawed: bool,
}

/// The pointers of a run. All are good for `max` elements from where they point, and for [`STEP`] more: the arrays are padded, and
/// of the ring's slots [`SPARE_DESC`] behind the posted ones are vacant or padding.
pub struct Pointers {
    pub(super) desc: *mut Desc,
    pub(super) buffers: *mut u32,
    pub(super) post_desc: *mut Desc,
    pub(super) post_buffers: *mut u32,
    /// One past the newest free buffer of the cache: taken downwards.
    pub(super) free_end: *const u32,
    pub(super) out_buffer: *mut u32,
    pub(super) out_span: *mut u32,
    pub(super) out_raw: *mut Desc,
    /// Address of buffer 0's data.
    pub(super) address: u64,
    pub(super) stride_bytes: u64,
    pub(super) room_bytes: u32,
}

impl<F: RxFormat> RxRing<F> {
    /// A ring of `size_desc` descriptors whose buffers come from `pool`.
    ///
    /// # Errors
    /// [`PortError`] where the size is impossible or the memory cannot be had.
    pub fn new(space: &dyn DmaSpace, pool: &Pool, size_desc: u16, deposit: &Deposit) -> Result<Self, PortError> {
        const { assert!(F::LENGTH_AT + 16 <= 64) }
        Ok(Self {
            ring: Ring::new(space, pool, size_desc, deposit)?,
            partial: None,
            watch: true,
            told: 0,
            untold_max: (u32::from(size_desc) / 8).min(UNTOLD_MAX_DESC),
            words: F::WORDS,
            format: PhantomData,
        })
    }

    /// The same ring for a device that writes some fields differently than the format says: its words are read by `words`.
    #[must_use]
    pub fn with_words(mut self, words: &'static RxWords) -> Self {
        self.words = words;
        self
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

    /// Bytes that a descriptor's buffer takes.
    pub fn room_bytes(&self) -> u32 {
        self.ring.arena.room_bytes()
    }

    /// Posts buffers until all but a few descriptors are with the device, or hardly a buffer is left. At start, and when the pool had run
    /// dry. True where any was posted.
    #[cold]
    #[inline(never)]
    pub fn fill(&mut self, cache: &mut BufCache) -> bool {
        let ring = &mut self.ring;
        if !Arc::ptr_eq(&ring.arena, &cache.arena) {
            foreign_pool()
        }
        let old_tail = ring.tail;
        while ring.posted() < ring.size() - SPARE_DESC {
            if cache.len <= RESERVE {
                cache.refill(RESERVE + 1);
            }
            if cache.len <= RESERVE {
                break;
            }
            let Some(buffer) = cache.take_one() else { break };
            let (slot, desc) = (ring.slot(ring.tail), [ring.address(buffer, HEADROOM_BYTES), 0]);
            // SAFETY: a masked cursor is inside the ring, and the tail's slot is vacant because fewer than all are posted.
            unsafe { ring.write(slot, desc, buffer) };
            ring.tail = ring.tail.wrapping_add(1);
        }
        #[cfg(feature = "audit")]
        ring.owned_by(old_tail, ring.tail.wrapping_sub(old_tail) as usize, Owner::DeviceWrites);
        let tail = ring.tail;
        if tail != old_tail {
            // The caller rings the doorbell.
            self.told = tail;
        }
        tail != old_tail
    }

    /// Takes all buffers back into the cache, because the device has forgotten the ring; how many finished frames were in them. Cursors
    /// are zero afterwards.
    pub fn reset(&mut self, cache: &mut BufCache) -> usize {
        let lost = self.finished_frames();
        if let Some(partial) = self.partial.take()
            && !partial.damaged
        {
            self.ring.arena.dissolve(partial.first, |buffer| cache.put(buffer));
        }
        #[cfg(feature = "audit")]
        self.ring.owned_by(self.ring.head, self.ring.posted(), Owner::Cpu);
        self.ring.take_back(|buffer| cache.put(buffer));
        (self.told, self.watch) = (0, true);
        lost
    }

    /// Frames that the device has finished and that nobody has fetched.
    fn finished_frames(&self) -> usize {
        let whole = F::DONE | F::END;
        let is_whole = |ahead: &usize| {
            let slot = self.ring.slot(self.ring.head.wrapping_add(step(*ahead)));
            // SAFETY: a masked cursor is inside the ring.
            unsafe { self.ring.done_word(slot) & whole == whole }
        };
        (0..self.ring.posted()).filter(is_whole).count()
    }

    /// Moves finished frames to the end of `out`, as many as there are and as it takes, and posts as many fresh buffers.
    ///
    /// # Errors
    /// [`Unusual`] where there is something to be done that is rarely needed: [`receive_rest`](Self::receive_rest) does it.
    ///
    /// # Panics
    /// Where the cache, the burst and the ring belong to different pools.
    #[inline(always)]
    pub fn receive<I: Isa>(&mut self, isa: I, cache: &mut BufCache, out: &mut Burst) -> Result<Taken, Unusual> {
        let start = out.len;
        if self.is_unusual(cache, out) {
            return Err(Unusual { start, bytes: 0, flawed: false });
        }
        let (max, ran) = self.run(isa, cache, out);
        if ran.flawed | ((ran.frames == max) & (out.room() > 0)) {
            return Err(Unusual { start, bytes: ran.bytes, flawed: ran.flawed });
        }
        Ok(self.taken(start, ran.bytes, out))
    }

    /// As [`receive`](Self::receive), for a burst that takes one frame more: a straight line.
    ///
    /// # Errors
    /// As `receive`.
    ///
    /// # Panics
    /// As `receive`, and where the burst takes no more.
    #[inline(always)]
    #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument holds for all of them")]
    pub fn receive_one(&mut self, cache: &mut BufCache, out: &mut Burst) -> Result<Taken, Unusual> {
        let at = out.len;
        assert!(at < out.limit, "the burst takes a frame");
        if self.is_unusual(cache, out) {
            return Err(Unusual { start: at, bytes: 0, flawed: false });
        }
        let ring = &mut self.ring;
        let (head, tail) = (ring.slot(ring.head), ring.slot(ring.tail));
        // SAFETY: a masked cursor is inside the ring.
        let word = unsafe { ring.done_word(head) };
        if word & F::DONE == 0 {
            return Ok(Taken { frames: 0, bytes: 0, posted: false });
        }
        let len = step((word >> F::LENGTH_AT & 0xffff) as usize);
        if (word & (F::END | F::ERROR) != F::END) | (len > ring.room_bytes) {
            return Err(Unusual { start: at, bytes: 0, flawed: false });
        }
        cache.len -= 1;
        let frames = &mut *out.frames;
        // SAFETY: the descriptor is done, so it is ours; the tail's slot is vacant; `at` is below the burst's limit, which its arrays hold;
        // the cache had a buffer (`is_unusual`).
        unsafe {
            frames.buffer.as_mut_ptr().add(at).write(ring.buffer(head));
            frames.span.as_mut_ptr().add(at).write(HEADROOM_BYTES << 16 | len);
            frames.raw.as_mut_ptr().add(at).write([(*ring.desc.as_ptr().add(head))[0], word]);
            let fresh = cache.free.as_ptr().add(cache.len).read();
            ring.write(tail, [ring.address(fresh, HEADROOM_BYTES), 0], fresh);
        }
        #[cfg(feature = "audit")]
        {
            ring.owned_by(ring.tail, 1, Owner::DeviceWrites);
            ring.arena.owners.set(frames.buffer[at], Owner::Cpu);
        }
        ring.head = ring.head.wrapping_add(1);
        ring.tail = ring.tail.wrapping_add(1);
        out.len = at + 1;
        Ok(self.taken(at, u64::from(len), out))
    }

    /// The common end of a receive that met nothing unusual.
    #[inline(always)]
    fn taken(&mut self, start: usize, bytes: u64, out: &mut Burst) -> Taken {
        let frames = out.len - start;
        if frames > 0 {
            out.received(start, self.words);
        }
        Taken { frames, bytes, posted: self.is_to_be_told() }
    }

    /// The device is to be told the tail now.
    #[inline(always)]
    fn is_to_be_told(&mut self) -> bool {
        let tell = self.ring.tail.wrapping_sub(self.told) >= self.untold_max;
        if tell {
            self.told = self.ring.tail;
        }
        tell
    }

    /// Something is to be done besides taking frames: fewer buffers are at hand than the burst takes, the ring could hold more, or a frame
    /// is on its way that spans buffers.
    ///
    /// # Panics
    /// Where the cache, the burst and the ring belong to different pools.
    #[inline(always)]
    fn is_unusual(&self, cache: &BufCache, out: &Burst) -> bool {
        if !Arc::ptr_eq(&self.ring.arena, &out.arena) || !Arc::ptr_eq(&self.ring.arena, &cache.arena) {
            foreign_pool()
        }
        // The ring is short where there were no buffers when it was filled (a worker's cache had them); there may be some now.
        (cache.len < out.room()) | self.watch
    }

    /// One contiguous run: how far it could have gone, and what it did.
    #[inline(always)]
    fn run<I: Isa>(&mut self, isa: I, cache: &mut BufCache, out: &mut Burst) -> (usize, Ran) {
        let ring = &mut self.ring;
        let (head, tail, size) = (ring.slot(ring.head), ring.slot(ring.tail), ring.size());
        let max = out.room().min(cache.len).min(ring.posted()).min(size - head).min(size - tail);
        let (frames, at) = (&mut *out.frames, out.len);
        // Offsets stay inside or one past the end of each array (`wrapping_add`: nothing is accessed here).
        let pointers = Pointers {
            desc: ring.desc.as_ptr().wrapping_add(head),
            buffers: ring.buffers.as_ptr().wrapping_add(head),
            post_desc: ring.desc.as_ptr().wrapping_add(tail),
            post_buffers: ring.buffers.as_ptr().wrapping_add(tail),
            free_end: cache.free.as_ptr().wrapping_add(cache.len),
            out_buffer: frames.buffer.as_mut_ptr().wrapping_add(at),
            out_span: frames.span.as_mut_ptr().wrapping_add(at),
            out_raw: frames.raw.as_mut_ptr().wrapping_add(at),
            address: ring.address(0, HEADROOM_BYTES),
            stride_bytes: ring.stride_bytes,
            room_bytes: ring.room_bytes,
        };
        // SAFETY: `max` is the minimum over all arrays that the pointers lead into, and all of them are padded (`Pointers`).
        let ran = unsafe { isa.receive::<F>(&pointers, max) };
        #[cfg(feature = "audit")]
        {
            ring.owned_by(ring.tail, ran.frames, Owner::DeviceWrites);
            out.frames.buffer[at..at + ran.frames].iter().for_each(|&buffer| ring.arena.owners.set(buffer, Owner::Cpu));
        }
        ring.head = ring.head.wrapping_add(step(ran.frames));
        ring.tail = ring.tail.wrapping_add(step(ran.frames));
        cache.len -= ran.frames;
        out.len += ran.frames;
        (max, ran)
    }

    /// The cache holds less than the burst could take, or the ring could hold more.
    #[cold]
    #[inline(never)]
    fn dry(&mut self, cache: &mut BufCache, want: usize, done: &mut Received) {
        cache.refill(want);
        if self.is_short() {
            done.posted |= self.fill(cache);
        }
        done.starved = cache.is_empty() && want > 0 && self.has_finished();
    }

    /// More descriptors could be with the device.
    #[inline(always)]
    pub(super) fn is_short(&self) -> bool {
        self.ring.posted() < self.ring.size() - SPARE_DESC
    }

    /// The oldest posted descriptor is done.
    fn has_finished(&self) -> bool {
        // SAFETY: a masked cursor is inside the ring.
        self.ring.posted() > 0 && unsafe { self.ring.done_word(self.ring.slot(self.ring.head)) } & F::DONE != 0
    }

    /// Everything that [`receive`](Self::receive) does not: tops the ring up, goes on round its end, and sorts out what is damaged, too
    /// long, or spans buffers. Sorting out makes room in the burst, and more may have arrived: a frame of several buffers comes in one call
    /// even where the burst takes no more than that one. Ends after a ring's worth, however fast the device is.
    #[cold]
    #[inline(never)]
    pub fn receive_rest(&mut self, begun: Unusual, cache: &mut BufCache, out: &mut Burst) -> Received {
        let start = begun.start;
        let mut done = Received::default();
        let mut ran = Ran { frames: out.len - start, bytes: begun.bytes, flawed: begun.flawed };
        let (mut from, mut taken) = (start, 0);
        loop {
            taken += ran.frames;
            if ran.flawed || self.partial.is_some() {
                self.sort_out(from, cache, out, &mut done);
            } else {
                done.bytes += ran.bytes;
            }
            from = out.len;
            if taken >= self.ring.size() {
                break;
            }
            if (cache.len < out.room()) | self.is_short() {
                self.dry(cache, out.room(), &mut done);
            }
            ran = self.run(Scalar::new(), cache, out).1;
            if ran.frames == 0 {
                break;
            }
        }
        done.frames = out.len - start;
        if done.frames > 0 {
            out.received(start, self.words);
        }
        self.watch = self.is_short() | self.partial.is_some();
        // A device that has few descriptors is told of each.
        done.posted |= self.is_to_be_told() || (self.is_short() && self.told != self.ring.tail);
        if done.posted {
            self.told = self.ring.tail;
        }
        done
    }

    /// Some of the frames from `start` on is damaged, too long, or spans buffers: looks at each.
    #[cold]
    #[inline(never)]
    fn sort_out(&mut self, start: usize, cache: &mut BufCache, out: &mut Burst, done: &mut Received) {
        let room_bytes = u64::from(self.ring.room_bytes);
        let (mut kept, end) = (start, out.len);
        for index in start..end {
            let (buffer, span, raw) = (out.frames.buffer[index], out.frames.span[index], out.frames.raw[index]);
            let len_bytes = raw[1] >> F::LENGTH_AT & 0xffff;
            let damaged = raw[1] & F::ERROR != 0 || len_bytes > room_bytes;
            let ends = raw[1] & F::END != 0;
            match self.partial.take() {
                None if ends && !damaged => {
                    out.move_frame(index, kept);
                    kept += 1;
                    done.bytes += len_bytes;
                }
                None if ends => {
                    cache.put(buffer);
                    done.errors += 1;
                }
                None => {
                    let partial = Partial { first: buffer, span, last: buffer, bytes: len_bytes, segments: 1, damaged: false };
                    self.partial = self.spoil_if(damaged, partial, cache);
                }
                Some(partial) => {
                    let partial = self.extend(partial, buffer, span, len_bytes, damaged, cache);
                    if !ends {
                        self.partial = Some(partial);
                    } else if partial.damaged {
                        done.errors += 1;
                    } else {
                        out.frames.buffer[kept] = partial.first;
                        out.frames.span[kept] = partial.span;
                        out.frames.raw[kept] = raw;
                        out.flags.chains.set(true);
                        kept += 1;
                        done.bytes += partial.bytes;
                    }
                }
            }
        }
        out.set_len(kept);
    }

    /// The next buffer of a frame that spans several.
    fn extend(&self, mut partial: Partial, buffer: u32, span: u32, bytes: u64, damaged: bool, cache: &mut BufCache) -> Partial {
        if partial.damaged {
            cache.put(buffer);
            return partial;
        }
        self.ring.arena.link(partial.last, buffer, span);
        partial.last = buffer;
        partial.bytes += bytes;
        partial.segments += 1;
        self.spoil_if(damaged || partial.segments > SEGMENTS_MAX, partial, cache).unwrap_or(partial)
    }

    /// A damaged frame gives its buffers back at once, so that a device that never ends it holds none.
    fn spoil_if(&self, damaged: bool, partial: Partial, cache: &mut BufCache) -> Option<Partial> {
        if damaged {
            self.ring.arena.dissolve(partial.first, |buffer| cache.put(buffer));
        }
        Some(Partial { damaged, ..partial })
    }
}

impl<F> Drop for RxRing<F> {
    fn drop(&mut self) {
        // A frame whose end never came: its buffers are ours, not the device's.
        if let Some(partial) = self.partial.take()
            && !partial.damaged
        {
            self.ring.arena.dissolve(partial.first, |buffer| {
                // Not the last ones: the ring holds the arena.
                let _ = self.ring.arena.home.give(&[buffer]);
            });
        }
    }
}

impl<F> std::fmt::Debug for RxRing<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RxRing({} of {} posted)", self.ring.posted(), self.ring.size())
    }
}

const _: () = assert!(NO_BUFFER > 1 << 24, "no buffer has this number");
