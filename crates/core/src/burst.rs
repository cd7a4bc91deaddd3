//! A burst: the frames that a worker has in hand.
//!
//! A struct of arrays, so that receive and transmit move four or eight frames with one instruction, and nothing of it is in memory
//! that a device can write. What a device said of a frame is kept as its descriptor's words and decoded when asked for.

use crate::{
    meta::{NEUTRAL, RxMeta, RxWords},
    packet::{Packet, PacketMut},
    pool::{ArenaRef, BURST_MAX, BufCache, STEP, foreign_pool},
};
use std::{cell::Cell, sync::Arc};

/// Entries of each array: a step of the widest path may write past the last frame.
const ENTRIES: usize = BURST_MAX + STEP;

/// The arrays of a burst. `span` is offset << 16 | length; `asked` is all zeros unless [`Flags::offloads`] is set.
#[repr(align(64))]
pub(crate) struct Frames {
    pub(crate) buffer: [u32; ENTRIES],
    pub(crate) span: [u32; ENTRIES],
    pub(crate) raw: [[u64; 2]; ENTRIES],
    pub(crate) asked: [u64; ENTRIES],
}

impl Frames {
    #[inline(always)]
    fn copy(&mut self, from: usize, to: usize) {
        self.buffer[to] = self.buffer[from];
        self.span[to] = self.span[from];
        self.raw[to] = self.raw[from];
    }
}

/// What is unusual about a burst. Both are false for nearly all, and looked at once a burst.
#[derive(Default)]
pub(crate) struct Flags {
    /// Some frame spans several buffers.
    pub(crate) chains: Cell<bool>,
    /// Some frame asks the device for something.
    pub(crate) offloads: Cell<bool>,
}

impl Flags {
    #[inline(always)]
    pub(crate) fn any(&self) -> bool {
        self.chains.get() | self.offloads.get()
    }
}

/// Up to [`limit`](Self::limit) frames in order of arrival. May be sent to another thread as a whole.
///
/// ```compile_fail,E0499
/// use vfwire_core::{burst::Burst, pool::BufCache, queue::TxQueue};
/// fn f(queue: &mut dyn TxQueue, cache: &mut BufCache, burst: &mut Burst) {
///     let mut frame = burst.iter_mut().next().unwrap();
///     queue.tx_burst(cache, burst);
///     frame.data_mut()[0] = 1; // it was sent
/// }
/// ```
///
/// ```compile_fail,E0382
/// use vfwire_core::{burst::Burst, packet::Packet};
/// fn f(packet: Packet, one: &mut Burst, other: &mut Burst) {
///     let _ = one.push(packet);
///     let _ = other.push(packet); // it is in the first
/// }
/// ```
pub struct Burst {
    pub(crate) arena: Arc<ArenaRef>,
    pub(crate) frames: Box<Frames>,
    pub(crate) len: usize,
    pub(crate) limit: usize,
    pub(crate) flags: Flags,
    pub(crate) words: &'static RxWords,
}

impl Burst {
    pub(crate) fn new(arena: Arc<ArenaRef>, limit: usize) -> Self {
        let frames = Frames { buffer: [0; ENTRIES], span: [0; ENTRIES], raw: [[0; 2]; ENTRIES], asked: [0; ENTRIES] };
        let limit = limit.clamp(1, BURST_MAX);
        Self { arena, frames: Box::new(frames), len: 0, limit, flags: Flags::default(), words: &NEUTRAL }
    }

    /// Frames in it.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// No frame is in it.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most frames that it takes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Frames that it can still take.
    #[inline(always)]
    pub fn room(&self) -> usize {
        self.limit - self.len
    }

    /// The frames, oldest first.
    #[inline(always)]
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = PacketMut<'_>> {
        let len = self.len.min(BURST_MAX);
        let (arena, flags, words) = (&**self.arena, &self.flags, self.words);
        let Frames { buffer, span, raw, asked } = &mut *self.frames;
        let fields = buffer[..len].iter().zip(&mut span[..len]).zip(&raw[..len]).zip(&mut asked[..len]);
        fields.map(move |(((&buffer, span), raw), asked)| PacketMut { arena, buffer, span, raw, asked, flags, words })
    }

    /// The `index`-th frame.
    #[inline(always)]
    pub fn get_mut(&mut self, index: usize) -> Option<PacketMut<'_>> {
        if index >= self.len {
            return None;
        }
        let frames = &mut *self.frames;
        Some(PacketMut {
            arena: &self.arena,
            buffer: frames.buffer[index],
            span: &mut frames.span[index],
            raw: &frames.raw[index],
            asked: &mut frames.asked[index],
            flags: &self.flags,
            words: self.words,
        })
    }

    /// Declares that the first line of every frame will be touched, so that it is on its way when it is.
    #[inline(always)]
    pub fn prefetch(&self) {
        let len = self.len.min(BURST_MAX);
        for (&buffer, &span) in self.frames.buffer[..len].iter().zip(&self.frames.span[..len]) {
            crate::path::prefetch(self.arena.bytes(buffer, span).cast::<u8>());
        }
    }

    /// Keeps the frames that `keep` says yes to, in order. The buffers of the others go to the worker's cache.
    ///
    /// # Panics
    /// Where the cache is another pool's.
    #[inline]
    pub fn retain(&mut self, cache: &mut BufCache, mut keep: impl FnMut(&mut PacketMut<'_>) -> bool) {
        self.check(cache);
        let (mut kept, len) = (0, self.len);
        for index in 0..len {
            let Some(mut frame) = self.get_mut(index) else { break };
            if keep(&mut frame) {
                self.move_frame(index, kept);
                kept += 1;
            } else {
                self.free(index, cache);
            }
        }
        self.set_len(kept);
    }

    /// Drops all frames; their buffers go to the worker's cache.
    ///
    /// # Panics
    /// Where the cache is another pool's.
    pub fn clear(&mut self, cache: &mut BufCache) {
        self.retain(cache, |_| false);
    }

    /// Takes the `index`-th frame out, to be kept as long as one likes. The last frame takes its place.
    ///
    /// # Panics
    /// Where there is no such frame.
    #[inline]
    pub fn swap_take(&mut self, index: usize) -> Packet {
        assert!(index < self.len, "a burst of {} frames has no frame {index}", self.len);
        let frames = &*self.frames;
        let meta = (self.words.decode)(&frames.raw[index]).to_neutral();
        let packet = Packet::new(&self.arena, frames.buffer[index], frames.span[index], meta);
        self.move_frame(self.len - 1, index);
        self.set_len(self.len - 1);
        packet
    }

    /// Puts a frame in, at the end.
    ///
    /// # Errors
    /// Gives the frame back where the burst is full or the frame is another pool's.
    #[inline]
    pub fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        if self.room() == 0 || !packet.is_of(&self.arena) {
            return Err(packet);
        }
        self.neutralise(0);
        let (buffer, span, raw) = packet.into_parts();
        if self.arena.segment_after(buffer).is_some() {
            self.flags.chains.set(true);
        }
        let (frames, at) = (&mut *self.frames, self.len);
        frames.buffer[at] = buffer;
        frames.span[at] = span;
        frames.raw[at] = raw;
        self.len += 1;
        Ok(())
    }

    /// Puts an empty frame in, at the end, to be written with [`PacketMut::append`].
    ///
    /// # Panics
    /// Where the cache is another pool's.
    pub fn push_empty(&mut self, cache: &mut BufCache) -> Option<PacketMut<'_>> {
        self.check(cache);
        if self.room() == 0 {
            return None;
        }
        let buffer = cache.take_one()?;
        self.neutralise(0);
        let (frames, at) = (&mut *self.frames, self.len);
        frames.buffer[at] = buffer;
        frames.span[at] = crate::pool::HEADROOM_BYTES << 16;
        frames.raw[at] = [0; 2];
        self.len += 1;
        self.get_mut(at)
    }

    /// Lets the `index`-th frame go on in the buffer of `segment`: a frame that spans buffers.
    ///
    /// # Panics
    /// Where there is no such frame, or the segment is another pool's.
    pub fn append_segment(&mut self, index: usize, segment: Packet) {
        assert!(index < self.len, "a burst of {} frames has no frame {index}", self.len);
        if !segment.is_of(&self.arena) {
            foreign_pool()
        }
        self.flags.chains.set(true);
        let mut last = self.frames.buffer[index];
        while let Some((next, _)) = self.arena.segment_after(last) {
            last = next;
        }
        let (buffer, span, _) = segment.into_parts();
        self.arena.link(last, buffer, span);
    }

    /// Moves all frames of `other` to the end of this burst, as far as there is room; the rest stays in `other`, in order.
    pub fn append(&mut self, other: &mut Burst) {
        if !Arc::ptr_eq(&self.arena, &other.arena) {
            foreign_pool()
        }
        self.neutralise(0);
        other.neutralise(0);
        let moved = other.len.min(self.room());
        for index in 0..moved {
            let at = self.len + index;
            self.frames.buffer[at] = other.frames.buffer[index];
            self.frames.span[at] = other.frames.span[index];
            self.frames.raw[at] = other.frames.raw[index];
            self.frames.asked[at] = other.frames.asked[index];
        }
        self.flags.chains.set(self.flags.chains.get() | other.flags.chains.get());
        self.flags.offloads.set(self.flags.offloads.get() | other.flags.offloads.get());
        self.len += moved;
        other.drop_front(moved);
    }

    /// Moves each frame to the end of the burst of `out` that `to` names, in order. A frame stays, in order, where `to` names none that is
    /// there. Where that burst is full, the frame is dropped, and counted in its place of `full`.
    ///
    /// # Panics
    /// Where a burst or the cache is another pool's.
    #[inline]
    pub fn deal(
        &mut self,
        cache: &mut BufCache,
        (out, full): (&mut [Burst], &mut [u64]),
        mut to: impl FnMut(&mut PacketMut<'_>) -> Option<usize>,
    ) {
        self.check(cache);
        for other in &mut *out {
            if !Arc::ptr_eq(&self.arena, &other.arena) {
                foreign_pool()
            }
            other.neutralise(0);
        }
        let (mut kept, len) = (0, self.len);
        for index in 0..len {
            let Some(mut frame) = self.get_mut(index) else { break };
            let port = to(&mut frame);
            let Some((other, full)) = port.and_then(|port| Some((out.get_mut(port)?, full.get_mut(port)?))) else {
                self.move_frame(index, kept);
                kept += 1;
                continue;
            };
            if other.room() == 0 {
                *full += 1;
                self.free(index, cache);
                continue;
            }
            let at = other.len;
            other.frames.buffer[at] = self.frames.buffer[index];
            other.frames.span[at] = self.frames.span[index];
            // In a form that all bursts read.
            other.frames.raw[at] = (self.words.decode)(&self.frames.raw[index]).to_neutral();
            if self.flags.any() {
                self.deal_unusual(index, other);
            }
            other.len += 1;
        }
        self.set_len(kept);
    }

    /// What a frame that goes to the end of `other` asked for, and that it may be a chain.
    #[cold]
    fn deal_unusual(&self, index: usize, other: &mut Burst) {
        other.frames.asked[other.len] = self.frames.asked[index];
        other.flags.chains.set(other.flags.chains.get() | self.flags.chains.get());
        other.flags.offloads.set(other.flags.offloads.get() | self.flags.offloads.get());
    }

    #[inline(always)]
    fn check(&self, cache: &BufCache) {
        if !Arc::ptr_eq(&self.arena, &cache.arena) {
            foreign_pool()
        }
    }

    #[inline(always)]
    pub(crate) fn move_frame(&mut self, from: usize, to: usize) {
        if from != to {
            self.frames.copy(from, to);
            if self.flags.offloads.get() {
                self.frames.asked[to] = self.frames.asked[from];
            }
        }
    }

    /// Gives the buffers of a frame to the cache; the caller moves or forgets its place.
    #[inline]
    pub(crate) fn free(&mut self, index: usize, cache: &mut BufCache) {
        let first = self.frames.buffer[index];
        if self.flags.chains.get() { self.arena.dissolve(first, |buffer| cache.put(buffer)) } else { cache.put(first) }
    }

    /// Forgets the frames from `len` on: their buffers went elsewhere.
    #[inline(always)]
    pub(crate) fn set_len(&mut self, len: usize) {
        if self.flags.any() {
            self.forget_unusual(len);
        }
        self.len = len;
    }

    #[cold]
    fn forget_unusual(&mut self, len: usize) {
        if self.flags.offloads.get() {
            self.frames.asked[len..self.len].fill(0);
        }
        if len == 0 {
            self.flags = Flags::default();
        }
    }

    /// Forgets the first `gone` frames, which were posted; the others move up.
    #[cold]
    pub(crate) fn drop_front(&mut self, gone: usize) {
        let left = self.len - gone;
        for index in 0..left {
            self.move_frame(gone + index, index);
        }
        self.set_len(left);
    }

    /// Brings the words of the frames from `start` on into neutral form, because others of another format are or come among them.
    #[inline]
    pub(crate) fn neutralise(&mut self, start: usize) {
        if self.words.name != NEUTRAL.name {
            for raw in &mut self.frames.raw[start..self.len] {
                *raw = (self.words.decode)(raw).to_neutral();
            }
            self.words = &NEUTRAL;
        }
    }

    /// Frames from `start` on have just come from a queue whose words are `words`.
    #[inline(always)]
    pub(crate) fn received(&mut self, start: usize, words: &'static RxWords) {
        if start == 0 {
            self.words = words;
        } else if self.words.name != words.name {
            self.mix(start, words);
        }
    }

    #[cold]
    fn mix(&mut self, start: usize, words: &'static RxWords) {
        let len = std::mem::replace(&mut self.len, start);
        self.neutralise(0);
        self.len = len;
        self.words = words;
        self.neutralise(start);
    }

    /// What the device said of the `index`-th frame.
    pub fn meta(&self, index: usize) -> Option<RxMeta> {
        (index < self.len).then(|| (self.words.decode)(&self.frames.raw[index]))
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        for index in 0..self.len {
            // Not the last ones: this burst holds the arena.
            self.arena.dissolve(self.frames.buffer[index], |buffer| {
                let _ = self.arena.home.give(&[buffer]);
            });
        }
    }
}

impl std::fmt::Debug for Burst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Burst({} of {})", self.len, self.limit)
    }
}
