//! Buffers in flight by id: for rings whose device says with a number which buffer it is done with, in any order.
//!
//! A [`BufTable`] owns the buffers that the device has, each under an id, and keeps the memory of its ring. A number that the device says
//! is looked up, and names a buffer that is out or nothing at all; so whatever it says, a buffer has one owner. Moving buffers takes a
//! session, which borrows the table with the cache and the burst of a call and has seen that all three are of one pool.

mod run;

pub use run::{Plain, Ran, Words};

use super::{Deposit, NO_BUFFER, deposit::Deposited};
#[cfg(feature = "audit")]
use crate::audit::Owner;
use crate::{
    burst::Burst,
    cells::{Cell, DmaCells},
    dma::{DmaRegion, DmaSpace},
    error::{DmaError, PortError},
    meta::{RxWords, TxOffload},
    packet::PacketMut,
    pool::{ArenaRef, BURST_MAX, BufCache, HEADROOM_BYTES, Pool, foreign_pool},
};
use std::sync::Arc;

/// In an entry: the frame goes on in other buffers, or has other descriptors than that of its one buffer.
const CHAINED: u32 = 1 << 31;
/// Bytes before a frame that can be read and written as words, for a header that the device wants in front.
pub const AHEAD_BYTES: usize = size_of::<Ahead>();
#[expect(clippy::cast_possible_truncation, reason = "24")]
const AHEAD: u32 = AHEAD_BYTES as u32;
const _: () = assert!(AHEAD <= HEADROOM_BYTES);
const _: () = assert!(NO_BUFFER > CHAINED, "a vacant entry is no frame in one buffer");

/// What is ahead of a frame in its buffer: the last 24 bytes before its first byte, as little-endian words.
pub type Ahead = [u64; 3];

/// Why a buffer was not had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// No buffer is out under that id.
    Id,
    /// The device says that it wrote less than the header, or more than there is room for; the buffer went home.
    Length,
}

/// The buffers that a device has, by id, and the memory of their ring.
pub struct BufTable {
    entries: Box<[u32]>,
    held: usize,
    base: u64,
    stride_bytes: u64,
    room_bytes: u32,
    arena: Arc<ArenaRef>,
    region: Arc<DmaRegion>,
    deposit: Deposit,
}

impl BufTable {
    /// A table of `ids` ids, and `len_bytes` of memory for its ring, aligned to `align_bytes`.
    ///
    /// # Errors
    /// [`PortError`] where the memory cannot be had.
    pub fn new(
        space: &dyn DmaSpace,
        pool: &Pool,
        ids: u16,
        (len_bytes, align_bytes): (usize, usize),
        deposit: &Deposit,
    ) -> Result<Self, PortError> {
        Ok(Self {
            entries: vec![NO_BUFFER; usize::from(ids)].into(),
            held: 0,
            base: pool.0.iova().0,
            stride_bytes: u64::from(pool.0.stride_bytes()),
            room_bytes: pool.0.room_bytes(),
            arena: pool.0.clone(),
            region: Arc::new(space.alloc(len_bytes, align_bytes)?),
            deposit: deposit.clone(),
        })
    }

    /// Words of the ring's memory.
    ///
    /// # Errors
    /// As [`DmaCells::new`].
    pub fn cells<T: Cell>(&self, offset_bytes: usize, count: usize) -> Result<DmaCells<T>, DmaError> {
        DmaCells::new(&self.region, offset_bytes, count)
    }

    /// Buffers that are out, a frame of several counted once.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Something is out under that id.
    #[inline(always)]
    pub fn is_out(&self, id: u32) -> bool {
        self.entries.get(id as usize).is_some_and(|&entry| entry != NO_BUFFER)
    }

    /// What is ahead of the frame in the buffer `id`, which stays where it is.
    #[inline(always)]
    pub fn ahead(&self, id: u32) -> Option<Ahead> {
        self.entry(id).map(|buffer| self.arena.ahead(buffer, HEADROOM_BYTES))
    }

    /// Bytes from the headroom to the end of a buffer.
    pub fn room_bytes(&self) -> u32 {
        self.room_bytes
    }

    #[inline(always)]
    fn address(&self, buffer: u32, offset_bytes: u32) -> u64 {
        self.base + u64::from(buffer) * self.stride_bytes + u64::from(offset_bytes)
    }

    /// Sees that a cache is of the table's pool.
    ///
    /// # Panics
    /// Where it is not.
    pub fn fits(&self, cache: &BufCache) {
        if !Arc::ptr_eq(&self.arena, &cache.arena) {
            foreign_pool()
        }
    }

    /// The buffer of a frame in one buffer.
    #[inline(always)]
    fn entry(&self, id: u32) -> Option<u32> {
        self.entries.get(id as usize).copied().filter(|&entry| entry < CHAINED)
    }

    /// Takes a frame in one buffer; nothing else is out under the ids of a receive ring.
    #[inline(always)]
    fn take_single(&mut self, id: u32) -> Option<u32> {
        let buffer = self.entry(id)?;
        self.entries[id as usize] = NO_BUFFER;
        self.held -= 1;
        #[cfg(feature = "audit")]
        self.arena.owners.set(buffer, Owner::Cpu);
        Some(buffer)
    }

    #[inline(always)]
    fn take(&mut self, id: u32) -> Option<u32> {
        let place = self.entries.get_mut(id as usize)?;
        let entry = std::mem::replace(place, NO_BUFFER);
        if entry == NO_BUFFER {
            return None;
        }
        self.held -= 1;
        Some(entry)
    }

    /// False where something is out under that id already.
    #[inline(always)]
    fn put(&mut self, id: u32, entry: u32) -> bool {
        match self.entries.get_mut(id as usize) {
            Some(place) if *place == NO_BUFFER => {
                *place = entry;
                self.held += 1;
                true
            }
            _ => false,
        }
    }

    /// Frames that arrived go to `out`, and fresh buffers to the device.
    ///
    /// # Panics
    /// Where the cache, the burst and the table belong to different pools.
    #[inline(always)]
    pub fn receiving<'a>(&'a mut self, cache: &'a mut BufCache, out: &'a mut Burst) -> Receiving<'a> {
        if !Arc::ptr_eq(&self.arena, &out.arena) || !Arc::ptr_eq(&self.arena, &cache.arena) {
            foreign_pool()
        }
        Receiving { start: out.len, last: NO_BUFFER, table: self, cache, out }
    }

    /// Fresh buffers go to the device.
    ///
    /// # Panics
    /// As [`receiving`](Self::receiving).
    #[inline(always)]
    pub fn post(&mut self, id: u32, cache: &mut BufCache, ahead_bytes: u32) -> Option<u64> {
        self.fits(cache);
        let buffer = cache.take_one()?;
        if !self.put(id, buffer) {
            cache.put(buffer);
            return None;
        }
        #[cfg(feature = "audit")]
        self.arena.owners.set(buffer, Owner::DeviceWrites);
        Some(self.address(buffer, HEADROOM_BYTES - ahead_bytes.min(HEADROOM_BYTES)))
    }

    /// Frames of `burst` go to the device.
    ///
    /// # Panics
    /// As [`receiving`](Self::receiving).
    #[inline(always)]
    pub fn sending<'a>(&'a mut self, cache: &'a mut BufCache, burst: &'a mut Burst) -> Sending<'a> {
        if !Arc::ptr_eq(&self.arena, &burst.arena) || !Arc::ptr_eq(&self.arena, &cache.arena) {
            foreign_pool()
        }
        // Out of the burst as long as the session lasts, so that no frame is had twice should it be forgotten.
        let len = std::mem::take(&mut burst.len).min(BURST_MAX);
        Sending { len, next: 0, table: self, cache, burst }
    }

    /// The device is done with the frame that is out under `id`: its buffers go to the cache. False where there is none.
    ///
    /// # Panics
    /// As [`receiving`](Self::receiving).
    #[inline(always)]
    pub fn complete(&mut self, id: u32, cache: &mut BufCache) -> bool {
        self.fits(cache);
        let Some(entry) = self.take(id) else { return false };
        if entry & CHAINED != 0 {
            self.home(entry, |buffer| cache.put(buffer));
        } else {
            #[cfg(feature = "audit")]
            self.arena.owners.set(entry, Owner::Cpu);
            cache.put(entry);
        }
        true
    }

    /// The buffers of an entry that was taken.
    fn home(&self, entry: u32, mut each: impl FnMut(u32)) {
        self.arena.dissolve(entry & !CHAINED, |buffer| {
            #[cfg(feature = "audit")]
            self.arena.owners.set(buffer, Owner::Cpu);
            each(buffer);
        });
    }

    /// Takes everything back, because the device has forgotten the ring; how many buffers.
    ///
    /// # Panics
    /// As [`receiving`](Self::receiving).
    pub fn reset(&mut self, cache: &mut BufCache) -> usize {
        self.fits(cache);
        let mut taken = 0;
        for id in 0..self.entries.len() {
            let Some(entry) = self.take(u32::try_from(id).unwrap_or(u32::MAX)) else { continue };
            self.home(entry, |buffer| {
                cache.put(buffer);
                taken += 1;
            });
        }
        taken
    }
}

impl Drop for BufTable {
    fn drop(&mut self) {
        let mut buffers = Vec::new();
        for id in 0..self.entries.len() {
            if let Some(entry) = self.take(u32::try_from(id).unwrap_or(u32::MAX)) {
                self.arena.dissolve(entry & !CHAINED, |buffer| buffers.push(buffer));
            }
        }
        self.deposit.put(Deposited { buffers, _region: Some(self.region.clone()), arena: self.arena.clone() });
    }
}

impl std::fmt::Debug for BufTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BufTable({} of {} out)", self.held, self.entries.len())
    }
}

/// One receive call.
pub struct Receiving<'a> {
    table: &'a mut BufTable,
    cache: &'a mut BufCache,
    out: &'a mut Burst,
    /// Frames of the burst before it.
    start: usize,
    /// The last buffer of the newest frame of this session.
    last: u32,
}

impl Receiving<'_> {
    /// Frames that the burst still takes.
    #[inline(always)]
    pub fn room(&self) -> usize {
        self.out.room()
    }

    /// Frames of this call.
    pub fn frames(&self) -> usize {
        self.out.len - self.start
    }

    /// Free buffers at hand; fetches more where there are fewer than `want`.
    #[inline(always)]
    pub fn at_hand(&mut self, want: usize) -> usize {
        if self.cache.len < want {
            self.cache.refill(want);
        }
        self.cache.len
    }

    /// What is ahead of the frame in the buffer `id`, which stays where it is.
    #[inline(always)]
    pub fn ahead(&self, id: u32) -> Option<Ahead> {
        self.table.ahead(id)
    }

    /// Takes the buffer `id`, of which the device wrote `written_bytes` from `ahead_bytes` before the headroom's end on, as a frame into the
    /// burst. `words` makes the frame's words of what is ahead of it. Gives the frame's length in bytes.
    ///
    /// # Errors
    /// [`Bad`]; the burst is as it was.
    ///
    /// # Panics
    /// Where the burst takes no more.
    #[inline(always)]
    pub fn take(&mut self, id: u32, ahead_bytes: u32, written_bytes: u32, words: impl FnOnce(Ahead) -> [u64; 2]) -> Result<u32, Bad> {
        assert!(self.out.len < self.out.limit, "the burst takes a frame");
        let buffer = self.table.take_single(id).ok_or(Bad::Id)?;
        let len_bytes = written_bytes.wrapping_sub(ahead_bytes);
        if len_bytes > self.table.room_bytes {
            self.cache.put(buffer);
            return Err(Bad::Length);
        }
        let (frames, at) = (&mut *self.out.frames, self.out.len);
        frames.buffer[at] = buffer;
        frames.span[at] = HEADROOM_BYTES << 16 | len_bytes;
        frames.raw[at] = words(self.table.arena.ahead(buffer, HEADROOM_BYTES));
        self.out.len += 1;
        self.last = buffer;
        Ok(len_bytes)
    }

    /// Takes the buffer `id` as a continuation of the newest frame, which [`take`](Self::take) has given: what the device wrote begins
    /// `ahead_bytes` before the headroom's end. Gives its length in bytes.
    ///
    /// # Errors
    /// [`Bad`]; the frame is as it was.
    pub fn extend(&mut self, id: u32, ahead_bytes: u32, written_bytes: u32) -> Result<u32, Bad> {
        let buffer = self.table.take_single(id).ok_or(Bad::Id)?;
        let ahead_bytes = ahead_bytes.min(HEADROOM_BYTES);
        if self.last == NO_BUFFER || written_bytes > self.table.room_bytes + ahead_bytes {
            self.cache.put(buffer);
            return Err(Bad::Length);
        }
        self.table.arena.link(self.last, buffer, (HEADROOM_BYTES - ahead_bytes) << 16 | written_bytes);
        self.out.flags.chains.set(true);
        self.last = buffer;
        Ok(written_bytes)
    }

    /// Drops the newest frame, which [`take`](Self::take) has given in this session.
    pub fn drop_newest(&mut self) {
        if self.last != NO_BUFFER && self.out.len > self.start {
            let index = self.out.len - 1;
            self.out.free(index, self.cache);
            self.out.set_len(index);
            self.last = NO_BUFFER;
        }
    }

    /// Takes the buffer `id` home, whatever is in it. False where there is none.
    pub fn discard(&mut self, id: u32) -> bool {
        self.table.complete(id, self.cache)
    }

    /// An id that the table has, and that nothing is out under.
    pub fn is_free(&self, id: u32) -> bool {
        (id as usize) < self.table.entries.len() && !self.table.is_out(id)
    }

    /// The newest frame.
    pub fn newest(&mut self) -> Option<PacketMut<'_>> {
        let newest = self.out.len.checked_sub(1).filter(|&newest| newest >= self.start)?;
        self.out.get_mut(newest)
    }

    /// Gives the device a fresh buffer under `id`: its address, `ahead_bytes` before the headroom's end. Nothing where none is at hand or the
    /// id is in use.
    #[inline(always)]
    pub fn post(&mut self, id: u32, ahead_bytes: u32) -> Option<u64> {
        self.cache.len = self.cache.len.checked_sub(1)?;
        let buffer = self.cache.free[self.cache.len];
        if !self.table.put(id, buffer) {
            self.cache.len += 1;
            return None;
        }
        #[cfg(feature = "audit")]
        self.table.arena.owners.set(buffer, Owner::DeviceWrites);
        Some(self.table.address(buffer, HEADROOM_BYTES - ahead_bytes.min(HEADROOM_BYTES)))
    }

    /// The frames' words are read by `words`.
    #[inline(always)]
    pub fn finish(self, words: &'static RxWords) {
        if self.out.len > self.start {
            self.out.received(self.start, words);
        }
    }
}

/// One transmit call: the frames of a burst, oldest first. What was neither posted nor dropped stays in the burst, in order.
pub struct Sending<'a> {
    table: &'a mut BufTable,
    cache: &'a mut BufCache,
    burst: &'a mut Burst,
    len: usize,
    next: usize,
}

impl Sending<'_> {
    /// Frames that are left.
    #[inline(always)]
    pub fn left(&self) -> usize {
        self.len - self.next
    }

    /// Every frame lies in one buffer, and nothing is asked of the device.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        !self.burst.flags.any()
    }

    /// The next frame.
    pub fn frame(&mut self) -> Option<PacketMut<'_>> {
        let burst = &mut *self.burst;
        let (flags, words, arena) = (&burst.flags, burst.words, &**burst.arena);
        if self.next >= self.len {
            return None;
        }
        let (at, frames) = (self.next, &mut *burst.frames);
        Some(PacketMut {
            arena,
            buffer: frames.buffer[at],
            span: &mut frames.span[at],
            raw: &frames.raw[at],
            asked: &mut frames.asked[at],
            flags,
            words,
        })
    }

    /// What is asked of the device for the next frame.
    pub fn asked(&self) -> TxOffload {
        if self.burst.flags.offloads.get() {
            TxOffload::from_word(self.burst.frames.asked[self.next.min(BURST_MAX)])
        } else {
            TxOffload::default()
        }
    }

    /// Gives the next frame to the device under `id`, with the last `ahead_bytes` of `ahead` in front of it. Its address and its length in
    /// bytes, what is ahead counted. Nothing where there is no frame left, it spans buffers, has too little headroom, or the id is in use.
    #[inline(always)]
    pub fn post(&mut self, id: u32, ahead: Ahead, ahead_bytes: u32) -> Option<(u64, u32)> {
        if self.next >= self.len {
            return None;
        }
        let (buffer, span) = (self.burst.frames.buffer[self.next], self.burst.frames.span[self.next]);
        let offset = span >> 16;
        let goes_on = self.burst.flags.chains.get() && self.table.arena.segment_after(buffer).is_some();
        if goes_on || offset < AHEAD.max(ahead_bytes) || !self.table.put(id, buffer) {
            return None;
        }
        self.table.arena.put_ahead(buffer, offset, ahead);
        #[cfg(feature = "audit")]
        self.table.arena.owners.set(buffer, Owner::DeviceReads);
        self.next += 1;
        Some((self.table.address(buffer, offset - ahead_bytes), (span & 0xffff) + ahead_bytes))
    }

    /// Gives the next frame to the device under `id`, however many buffers it spans: `each` is told address and length in bytes of every
    /// segment. False where there is no frame left or the id is in use.
    pub fn post_segments(&mut self, id: u32, mut each: impl FnMut(u64, u32)) -> bool {
        if self.next >= self.len {
            return false;
        }
        let (first, span) = (self.burst.frames.buffer[self.next], self.burst.frames.span[self.next]);
        if !self.table.put(id, first | CHAINED) {
            return false;
        }
        let mut at = Some((first, span));
        while let Some((buffer, span)) = at {
            #[cfg(feature = "audit")]
            self.table.arena.owners.set(buffer, Owner::DeviceReads);
            each(self.table.address(buffer, span >> 16), span & 0xffff);
            at = self.table.arena.segment_after(buffer);
        }
        self.next += 1;
        true
    }

    /// Drops the next frame: its buffers go to the cache.
    pub fn drop_frame(&mut self) {
        if self.next < self.len {
            self.burst.free(self.next, self.cache);
            self.next += 1;
        }
    }
}

impl Drop for Sending<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.burst.len = self.len;
        if self.next == self.len {
            self.burst.set_len(0);
        } else {
            self.burst.drop_front(self.next);
        }
    }
}
