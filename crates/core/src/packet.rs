//! One frame: inside a burst ([`PacketMut`]), or kept outside ([`Packet`]).
#![expect(unsafe_code, reason = "here the bytes of a buffer become a slice, for whoever owns the buffer")]

use crate::{
    burst::Flags,
    meta::{NEUTRAL, RxMeta, RxWords, TxOffload},
    pool::{Arena, ArenaRef, HEADROOM_BYTES, free},
};
use std::{mem::ManuallyDrop, ptr::NonNull};

/// A frame inside a burst. `data` is its first segment, which is all of it unless it spans buffers ([`Self::segments`]).
pub struct PacketMut<'a> {
    pub(crate) arena: &'a Arena,
    pub(crate) buffer: u32,
    pub(crate) span: &'a mut u32,
    pub(crate) raw: &'a [u64; 2],
    pub(crate) asked: &'a mut u64,
    pub(crate) flags: &'a Flags,
    pub(crate) words: &'static RxWords,
}

impl PacketMut<'_> {
    /// The bytes of the first segment.
    #[inline(always)]
    pub fn data(&self) -> &[u8] {
        // SAFETY: `bytes` is inside the buffer, which the burst owns, and the burst is borrowed by `self`.
        unsafe { &*self.arena.bytes(self.buffer, *self.span) }
    }

    /// The bytes of the first segment, to be changed.
    #[inline(always)]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`; `self` is borrowed for writing, and the burst gives one `PacketMut` a frame.
        unsafe { &mut *self.arena.bytes(self.buffer, *self.span) }
    }

    /// Bytes of the first segment.
    #[inline(always)]
    pub fn len(&self) -> usize {
        (*self.span & 0xffff) as usize
    }

    /// Nothing is in the first segment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all segments, in order.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        segments(self.arena, self.buffer, *self.span)
    }

    /// Bytes of all segments.
    pub fn total_len(&self) -> usize {
        self.segments().map(<[u8]>::len).sum()
    }

    /// What the device said of it.
    #[inline]
    pub fn meta(&self) -> RxMeta {
        (self.words.decode)(self.raw)
    }

    /// Asks the device that sends it for something. The last request counts.
    #[inline]
    pub fn offload(&mut self, asked: TxOffload) {
        *self.asked = asked.to_word();
        self.flags.offloads.set(true);
    }

    /// What was asked of the device.
    pub fn asked(&self) -> TxOffload {
        TxOffload::from_word(*self.asked)
    }

    /// Makes room for `bytes` in front and gives the frame with them; nothing where the headroom is used up.
    #[inline]
    pub fn prepend(&mut self, bytes: usize) -> Option<&mut [u8]> {
        let (offset, len) = (*self.span >> 16, *self.span & 0xffff);
        let bytes = u32::try_from(bytes).ok().filter(|&bytes| bytes <= offset)?;
        *self.span = (offset - bytes) << 16 | (len + bytes);
        Some(self.data_mut())
    }

    /// Takes `bytes` off the front; false where the first segment has fewer.
    #[inline]
    pub fn trim_front(&mut self, bytes: usize) -> bool {
        let (offset, len) = (*self.span >> 16, *self.span & 0xffff);
        let Some(bytes) = u32::try_from(bytes).ok().filter(|&bytes| bytes <= len) else { return false };
        *self.span = (offset + bytes) << 16 | (len - bytes);
        true
    }

    /// Makes the first segment longer by `bytes` and gives the new ones, which hold whatever lay there; nothing where the buffer ends.
    #[inline]
    pub fn append(&mut self, bytes: usize) -> Option<&mut [u8]> {
        let (offset, len) = (*self.span >> 16, *self.span & 0xffff);
        let room = self.arena.stride_bytes() - offset - len;
        let bytes = u32::try_from(bytes).ok().filter(|&bytes| bytes <= room)?;
        *self.span = offset << 16 | (len + bytes);
        let old = len as usize;
        Some(&mut self.data_mut()[old..])
    }

    /// Cuts the first segment to `bytes`; longer than it is does nothing.
    #[inline]
    pub fn truncate(&mut self, bytes: usize) {
        if bytes < self.len() {
            #[expect(clippy::cast_possible_truncation, reason = "less than a length of 16 bits")]
            let len = bytes as u32;
            *self.span = *self.span & !0xffff | len;
        }
    }

    /// Bytes free in front of the first segment.
    pub fn headroom(&self) -> usize {
        (*self.span >> 16) as usize
    }
}

impl std::fmt::Debug for PacketMut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "frame of {} bytes", self.total_len())
    }
}

fn segments(arena: &Arena, buffer: u32, span: u32) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some((buffer, span)), |&(buffer, _)| arena.segment_after(buffer)).map(|(buffer, span)| {
        // SAFETY: the buffers of a chain belong to the frame that it is the chain of; the caller borrows that frame.
        unsafe { &*arena.bytes(buffer, span) }
    })
}

/// A frame kept outside of bursts: on any thread, for any time. 32 bytes and no reference count: a buffer that is out keeps its arena
/// alive. Dropping it returns its buffers to the pool.
///
/// ```compile_fail,E0382
/// use vfwire_core::packet::Packet;
/// fn f(packet: Packet) { drop(packet); packet.data(); }
/// ```
pub struct Packet {
    arena: NonNull<Arena>,
    buffer: u32,
    span: u32,
    meta: [u64; 2],
}

const _: () = assert!(size_of::<Packet>() == 32);

// SAFETY: a packet owns its buffer wherever it is, and the arena is `Sync`.
unsafe impl Send for Packet {}
// SAFETY: a shared packet gives shared bytes only.
unsafe impl Sync for Packet {}

impl Packet {
    #[inline]
    pub(crate) fn new(arena: &ArenaRef, buffer: u32, span: u32, meta: [u64; 2]) -> Self {
        Self { arena: arena.as_ptr(), buffer, span, meta }
    }

    #[inline]
    pub(crate) fn is_of(&self, arena: &ArenaRef) -> bool {
        self.arena == arena.as_ptr()
    }

    #[inline]
    pub(crate) fn into_parts(self) -> (u32, u32, [u64; 2]) {
        let packet = ManuallyDrop::new(self);
        (packet.buffer, packet.span, packet.meta)
    }

    #[inline(always)]
    fn arena(&self) -> &Arena {
        // SAFETY: an arena is freed when all buffers are home (`Home::close`, `Home::give`), and ours is out.
        unsafe { self.arena.as_ref() }
    }

    /// The bytes of the first segment.
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: the buffer is ours alone, and `self` is borrowed.
        unsafe { &*self.arena().bytes(self.buffer, self.span) }
    }

    /// The bytes of the first segment, to be changed.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: the buffer is ours alone, and `self` is borrowed for writing.
        unsafe { &mut *self.arena().bytes(self.buffer, self.span) }
    }

    /// The bytes of all segments, in order.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        segments(self.arena(), self.buffer, self.span)
    }

    /// What the device said of it.
    pub fn meta(&self) -> RxMeta {
        (NEUTRAL.decode)(&self.meta)
    }

    /// Bytes free in front of the first segment: [`HEADROOM_BYTES`] in a frame as it was received.
    pub fn headroom(&self) -> usize {
        debug_assert!(self.span >> 16 <= HEADROOM_BYTES || self.span >> 16 < self.arena().stride_bytes());
        (self.span >> 16) as usize
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        let arena = self.arena;
        let mut at = Some(self.buffer);
        while let Some(buffer) = at {
            // SAFETY: `buffer` is still out, so the arena is there.
            let shared = unsafe { arena.as_ref() };
            at = shared.unlink(buffer).map(|(next, _)| next);
            if shared.home.give(&[buffer]) {
                // SAFETY: `give` said that this was the last buffer of a closed arena; so none follows either.
                unsafe { free(arena) }
            }
        }
    }
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "packet of {} bytes", self.segments().map(<[u8]>::len).sum::<usize>())
    }
}
