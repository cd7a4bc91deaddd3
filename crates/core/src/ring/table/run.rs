//! The loops that nearly every frame of a virtqueue goes through: one buffer, nothing asked for, nothing wrong. Each stops before the first
//! frame that is not so, and leaves it to the calls that take one at a time.
//!
//! What a loop needs is in locals, not behind references to the queue, so that it stays in registers across the writes to the ring. The
//! counts of what moves are such meanwhile that, should a ring's methods panic, buffers are lost and none is had twice.

use super::{AHEAD, Ahead, BufTable, CHAINED, NO_BUFFER, Receiving, Sending};
#[cfg(feature = "audit")]
use crate::audit::Owner;
use crate::pool::{BURST_MAX, BufCache, CACHE_CAPACITY, HEADROOM_BYTES};

/// What a ring says and is told in a run, by places from where the run begins.
pub trait Words {
    /// Used buffers that may be asked for at most.
    fn most_used(&self) -> usize;

    /// Buffers that may be made available at most.
    fn most_offered(&self) -> usize;

    /// The id and the bytes written of the used buffer at a place below [`most_used`](Self::most_used).
    fn used(&self, place: usize) -> Option<(u32, u32)>;

    /// Makes a buffer at this address available under `id`, for the device to write; to be published. Its length is the run's.
    fn repost(&mut self, place: usize, id: u32, address: u64);

    /// Makes so many bytes at this address available under `id`, for the device to read; to be published.
    fn offer(&mut self, place: usize, id: u16, address: u64, len_bytes: u32);
}

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ran {
    /// Frames.
    pub frames: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// What frames must be to be sent in a run.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    /// Bytes of the header in front of each, all zeros: at most [`AHEAD_BYTES`](super::AHEAD_BYTES).
    pub ahead_bytes: u32,
    /// Shortest frame in bytes.
    pub min_bytes: u32,
    /// Longest frame in bytes.
    pub max_bytes: u32,
}

impl Receiving<'_> {
    /// Takes used buffers as frames into the burst, as many as it takes and as fresh ones are at hand for, and gives the fresh ones under the
    /// same ids. `words` makes the frame's words of what is ahead of it, or nothing where that is no simple frame.
    #[inline(always)]
    pub fn run(&mut self, ahead_bytes: u32, ring: &mut impl Words, words: impl Fn(Ahead) -> Option<[u64; 2]>) -> Ran {
        let Self { table, cache, out, last, .. } = self;
        let (at, free) = (out.len.min(BURST_MAX), std::mem::take(&mut cache.len));
        let most = ring.most_used().min(ring.most_offered()).min(out.limit.min(BURST_MAX).saturating_sub(at)).min(free);
        let address = table.address(0, HEADROOM_BYTES - ahead_bytes.min(HEADROOM_BYTES));
        let (stride_bytes, room_bytes) = (table.stride_bytes, table.room_bytes);
        let data = table.arena.data();
        let (entries, frames) = (&mut *table.entries, &mut *out.frames);
        let end = at + most;
        let places = frames.buffer[at..end].iter_mut().zip(&mut frames.span[at..end]).zip(&mut frames.raw[at..end]);
        let mut ran = Ran::default();
        for (((buffer_place, span_place), raw_place), &fresh) in places.zip(cache.free[free - most..free].iter().rev()) {
            let Some((id, written_bytes)) = ring.used(ran.frames) else { break };
            let Some(entry) = entries.get_mut(id as usize) else { break };
            let (buffer, len_bytes) = (*entry, written_bytes.wrapping_sub(ahead_bytes));
            if (buffer >= CHAINED) | (len_bytes > room_bytes) {
                break;
            }
            let Some(raw) = words(data.ahead(buffer, HEADROOM_BYTES)) else { break };
            (*buffer_place, *span_place, *raw_place) = (buffer, HEADROOM_BYTES << 16 | len_bytes, raw);
            #[cfg(feature = "audit")]
            table.arena.owners.set(buffer, Owner::Cpu);
            #[cfg(feature = "audit")]
            table.arena.owners.set(fresh, Owner::DeviceWrites);
            *entry = fresh;
            ring.repost(ran.frames, id, address + u64::from(fresh) * stride_bytes);
            ran.frames += 1;
            ran.bytes += u64::from(len_bytes);
        }
        cache.len = free - ran.frames;
        out.len = at + ran.frames;
        if ran.frames != 0 {
            *last = frames.buffer[out.len - 1];
        }
        ran
    }
}

impl Sending<'_> {
    /// Gives frames to the device, each in one descriptor under one of `ids`, in their order. The caller has seen that
    /// [all are plain](Self::is_plain).
    #[inline(always)]
    pub fn run(&mut self, plain: Plain, ids: &[u16], ring: &mut impl Words) -> Ran {
        let Self { table, burst, len, next, .. } = self;
        let at = *next;
        let all = std::mem::replace(len, at);
        let end = all.min(at + ring.most_offered().min(BURST_MAX));
        table.held += end - at;
        let Plain { ahead_bytes, min_bytes, max_bytes } = plain;
        let ahead_bytes = ahead_bytes.min(AHEAD);
        let (base, stride_bytes) = (table.base.wrapping_sub(u64::from(ahead_bytes)), table.stride_bytes);
        let data = table.arena.data();
        let (entries, frames) = (&mut *table.entries, &*burst.frames);
        let mut ran = Ran::default();
        for ((&buffer, &span), &id) in frames.buffer[at..end].iter().zip(&frames.span[at..end]).zip(ids) {
            let (offset, len_bytes) = (span >> 16, span & 0xffff);
            let Some(entry) = entries.get_mut(usize::from(id)) else { break };
            let is_plain = (len_bytes.wrapping_sub(min_bytes) <= max_bytes - min_bytes) & (offset >= AHEAD);
            if !is_plain | (*entry != NO_BUFFER) {
                break;
            }
            *entry = buffer;
            data.put_ahead(buffer, offset, [0; 3]);
            #[cfg(feature = "audit")]
            table.arena.owners.set(buffer, Owner::DeviceReads);
            let address = base + u64::from(buffer) * stride_bytes + u64::from(offset);
            ring.offer(ran.frames, id, address, len_bytes + ahead_bytes);
            ran.frames += 1;
            ran.bytes += u64::from(len_bytes);
        }
        table.held -= end - at - ran.frames;
        (*len, *next) = (all, at + ran.frames);
        ran
    }
}

impl BufTable {
    /// Takes buffers home that the device is done with, each a frame in one buffer and one descriptor, as many as the cache takes; their ids
    /// go to `ids`, from its beginning. Where the device `is_in_order`, these are the ids that are out, oldest first, and must be those that
    /// it says. How many.
    ///
    /// # Panics
    /// As [`receiving`](Self::receiving).
    #[inline(always)]
    pub fn complete_run(&mut self, cache: &mut BufCache, ids: &mut [u16], is_in_order: bool, ring: &impl Words) -> usize {
        self.fits(cache);
        let from = cache.len.min(CACHE_CAPACITY);
        let most = ring.most_used().min(self.held).min(CACHE_CAPACITY - from);
        let entries = &mut *self.entries;
        let mut count = 0;
        for (place, free) in cache.free[from..from + most].iter_mut().zip(ids) {
            let Some((id, _)) = ring.used(count) else { break };
            let Some(entry) = entries.get_mut(id as usize) else { break };
            if (*entry >= CHAINED) | (is_in_order & (id != u32::from(*free))) {
                break;
            }
            #[cfg(feature = "audit")]
            self.arena.owners.set(*entry, Owner::Cpu);
            *place = std::mem::replace(entry, NO_BUFFER);
            #[expect(clippy::cast_possible_truncation, reason = "an id that the table has: below 65,536")]
            {
                *free = id as u16;
            }
            count += 1;
        }
        cache.len = from + count;
        self.held -= count;
        count
    }
}
