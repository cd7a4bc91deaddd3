//! Buffers: one arena a pool, and a worker's cache of free ones.
//!
//! A pool is one region of DMA memory cut into equal buffers. A buffer is an index; indices move only between four private homes (the
//! cache, the rings, the bursts and the packets) and the shared overflow, so safe code can neither forge nor duplicate one, and
//! each buffer has one owner at any time without a reference count.
//!
//! The arena lives as long as anything of it is out: pools, caches, bursts and rings share it; a [`Packet`](crate::packet::Packet)
//! keeps it alive by being out.
#![expect(unsafe_code, reason = "the arena is raw memory; this file turns a buffer's index into its bytes")]

use crate::{
    dma::{DmaRegion, DmaSpace, DomainId, Iova},
    error::{DmaError, PortError},
    home::Home,
};
use std::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Bytes before a received frame, for headers that the application puts in front (a VLAN tag, a tunnel).
pub const HEADROOM_BYTES: u32 = 64;
/// Most frames that a burst holds.
pub const BURST_MAX: usize = 256;
/// Bytes of a cache line on the machines that matter.
const LINE_BYTES: u32 = 64;
/// Frames that the widest compilation of the packet path moves at once. Arrays that it writes have as many entries to spare.
pub(crate) const STEP: usize = 8;
/// Buffers that a cache can hold.
pub(crate) const CACHE_CAPACITY: usize = 1024;
/// Buffers that a cache fetches from or returns to the overflow at once.
const BULK: usize = 64;
/// No segment follows.
const NO_NEXT: u64 = u64::MAX;

/// Shape of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// How many buffers: the descriptors of all receive and transmit rings, plus what the application holds back.
    pub buffers: u32,
    /// Bytes of frame data that a buffer takes, headroom not counted. Longer frames span buffers.
    pub data_bytes: u32,
}

impl PoolConfig {
    /// `buffers` buffers of 2,048 bytes: an ordinary frame fits one of them, and so does what devices count in KiB.
    pub const fn new(buffers: u32) -> Self {
        Self { buffers, data_bytes: 2048 }
    }

    /// Distance of two buffers in bytes: an odd number of cache lines, so that the first lines of the buffers spread over all sets of a
    /// cache.
    const fn stride_bytes(self) -> u32 {
        let lines = (HEADROOM_BYTES + self.data_bytes).div_ceil(LINE_BYTES);
        (lines | 1) * LINE_BYTES
    }

    /// Bytes of DMA memory that the pool needs.
    pub const fn len_bytes(self) -> usize {
        self.stride_bytes() as usize * self.buffers as usize
    }
}

pub(crate) struct Arena {
    base: NonNull<u8>,
    iova: Iova,
    stride_bytes: u32,
    pub(crate) home: Home,
    /// For each buffer of a frame that spans several: the next one (index << 32 | span). Touched for such frames only.
    next: Box<[AtomicU64]>,
    domain: DomainId,
    #[cfg(feature = "audit")]
    pub(crate) owners: Arc<crate::audit::Owners>,
    /// Last, so that nothing above outlives the memory.
    _region: DmaRegion,
}

// SAFETY: `base` is the start of `_region`, which may be used from any thread; each buffer of it has one owner at a time (module text).
unsafe impl Send for Arena {}
// SAFETY: as above: a shared arena gives the bytes of a buffer only to whoever owns its index.
unsafe impl Sync for Arena {}

impl Arena {
    /// The bytes that `span` (offset << 16 | length) names in a buffer.
    ///
    /// Every span in the project stays inside its buffer: [`crate::ring`] clamps what a device wrote, and the methods that change a span
    /// check it. Every index is below the number of buffers, because only `Home::full` makes them.
    #[inline(always)]
    pub(crate) fn bytes(&self, buffer: u32, span: u32) -> *mut [u8] {
        std::ptr::slice_from_raw_parts_mut(self.data().at(buffer, span >> 16), (span & 0xffff) as usize)
    }

    /// Where the buffers are, to be held by value where many are accessed.
    #[inline(always)]
    pub(crate) fn data(&self) -> Data<'_> {
        Data { base: self.base, stride_bytes: self.stride_bytes as usize, arena: PhantomData }
    }

    /// The 24 bytes before `offset_bytes` of a buffer, as [`Data::ahead`].
    #[inline(always)]
    pub(crate) fn ahead(&self, buffer: u32, offset_bytes: u32) -> [u64; 3] {
        self.data().ahead(buffer, offset_bytes)
    }

    /// Writes them.
    #[inline(always)]
    pub(crate) fn put_ahead(&self, buffer: u32, offset_bytes: u32, ahead: [u64; 3]) {
        self.data().put_ahead(buffer, offset_bytes, ahead);
    }

    pub(crate) fn iova(&self) -> Iova {
        self.iova
    }

    pub(crate) fn stride_bytes(&self) -> u32 {
        self.stride_bytes
    }

    /// Bytes from the headroom to the end of a buffer.
    pub(crate) fn room_bytes(&self) -> u32 {
        self.stride_bytes - HEADROOM_BYTES
    }

    /// The segment after `buffer`: its index and span.
    #[inline]
    pub(crate) fn segment_after(&self, buffer: u32) -> Option<(u32, u32)> {
        split(self.next[buffer as usize].load(Relaxed))
    }

    pub(crate) fn link(&self, buffer: u32, next: u32, span: u32) {
        self.next[buffer as usize].store(u64::from(next) << 32 | u64::from(span), Relaxed);
    }

    /// Ends the chain after `buffer` and gives what followed.
    pub(crate) fn unlink(&self, buffer: u32) -> Option<(u32, u32)> {
        split(self.next[buffer as usize].swap(NO_NEXT, Relaxed))
    }

    /// Calls `each` with every buffer of a frame, and takes the chain apart.
    pub(crate) fn dissolve(&self, first: u32, mut each: impl FnMut(u32)) {
        let mut at = first;
        loop {
            let next = self.unlink(at);
            each(at);
            match next {
                Some((buffer, _)) => at = buffer,
                None => break,
            }
        }
    }
}

/// Where the buffers of an arena are.
#[derive(Clone, Copy)]
pub(crate) struct Data<'a> {
    base: NonNull<u8>,
    stride_bytes: usize,
    arena: PhantomData<&'a Arena>,
}

impl Data<'_> {
    /// A place inside a buffer (as [`Arena::bytes`]).
    #[inline(always)]
    fn at(self, buffer: u32, offset_bytes: u32) -> *mut u8 {
        let offset = buffer as usize * self.stride_bytes + offset_bytes as usize;
        // SAFETY: the offset is inside the region (invariants named at `bytes`), and the region is one allocation.
        unsafe { self.base.as_ptr().add(offset) }
    }

    /// The 24 bytes before `offset_bytes` of a buffer. The caller owns it, and the offset is at least 24 and inside.
    #[inline(always)]
    pub(crate) fn ahead(self, buffer: u32, offset_bytes: u32) -> [u64; 3] {
        let from = self.at(buffer, offset_bytes - 24).cast::<[u64; 3]>();
        // SAFETY: the bytes are inside the buffer, which the caller owns; plain memory for as long.
        unsafe { from.read_unaligned() }
    }

    /// Writes them.
    #[inline(always)]
    pub(crate) fn put_ahead(self, buffer: u32, offset_bytes: u32, ahead: [u64; 3]) {
        let to = self.at(buffer, offset_bytes - 24).cast::<[u64; 3]>();
        // SAFETY: as `ahead`.
        unsafe { to.write_unaligned(ahead) };
    }
}

fn split(next: u64) -> Option<(u32, u32)> {
    #[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
    (next != NO_NEXT).then_some(((next >> 32) as u32, next as u32))
}

/// Shared ownership of an arena. The last one closes it.
pub(crate) struct ArenaRef(NonNull<Arena>);

// SAFETY: an `ArenaRef` is a shared reference to an `Arena`, which is `Sync`, plus the duty to close it, which any thread may do.
unsafe impl Send for ArenaRef {}
// SAFETY: as above.
unsafe impl Sync for ArenaRef {}

impl ArenaRef {
    /// For the one handle that outlives the references: a packet.
    pub(crate) fn as_ptr(&self) -> NonNull<Arena> {
        self.0
    }
}

impl Deref for ArenaRef {
    type Target = Arena;
    #[inline(always)]
    fn deref(&self) -> &Arena {
        // SAFETY: the arena is freed by `free` alone, after it was closed, which only our `drop` does.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for ArenaRef {
    fn drop(&mut self) {
        if self.home.close() {
            // SAFETY: `close` was true: all buffers are home, so no packet is out, and this was the last reference.
            unsafe { free(self.0) }
        }
    }
}

/// Frees a closed arena.
///
/// # Safety
/// `Home::close` or `Home::give` of this arena has just returned true: nobody refers to it any more.
pub(crate) unsafe fn free(arena: NonNull<Arena>) {
    // SAFETY: it came from `Box::leak` in `Pool::new`, and the contract says that nobody refers to it.
    drop(unsafe { Box::from_raw(arena.as_ptr()) });
}

/// A pool of buffers in one DMA domain. Clones share it.
#[derive(Clone)]
pub struct Pool(pub(crate) Arc<ArenaRef>);

impl Pool {
    /// A pool in the domain of `space`.
    ///
    /// # Errors
    /// [`DmaError`] where the shape is impossible or the memory cannot be had.
    pub fn new(space: &dyn DmaSpace, config: PoolConfig) -> Result<Self, DmaError> {
        let shape = |why| DmaError::Shape { len_bytes: config.len_bytes(), align_bytes: LINE_BYTES as usize, why };
        if config.buffers == 0 || config.buffers >= 1 << 24 {
            return Err(shape("a pool has 1 to 16,777,215 buffers"));
        }
        if config.data_bytes < 1024 || config.data_bytes > 16 * 1024 {
            return Err(shape("a buffer holds 1,024 to 16,384 bytes"));
        }
        let region = space.alloc(config.len_bytes(), LINE_BYTES as usize)?;
        let stride_bytes = config.stride_bytes();
        #[cfg(feature = "audit")]
        let owners = Arc::new(crate::audit::Owners::new(region.iova(), stride_bytes, config.buffers));
        #[cfg(feature = "audit")]
        space.watch(owners.clone());
        let arena = Box::new(Arena {
            base: region.as_ptr(),
            iova: region.iova(),
            stride_bytes,
            home: Home::full(config.buffers),
            next: (0..config.buffers).map(|_| AtomicU64::new(NO_NEXT)).collect(),
            domain: space.domain(),
            #[cfg(feature = "audit")]
            owners,
            _region: region,
        });
        Ok(Self(Arc::new(ArenaRef(NonNull::from(Box::leak(arena))))))
    }

    /// A worker's cache. Each worker has one, and lends it to every queue call.
    pub fn cache(&self) -> BufCache {
        BufCache { arena: self.0.clone(), free: vec![0; CACHE_CAPACITY + STEP].into(), len: 0 }
    }

    /// An empty burst that takes up to `limit` frames (1 to [`BURST_MAX`]; values outside are brought inside).
    pub fn burst(&self, limit: usize) -> crate::burst::Burst {
        crate::burst::Burst::new(self.0.clone(), limit)
    }

    /// Buffers that nobody holds: neither a cache, a ring, a burst nor a packet. All of them, once everything was dropped.
    pub fn free_buffers(&self) -> usize {
        self.0.home.len()
    }

    /// Bytes of frame data that a buffer takes.
    pub fn data_bytes(&self) -> u32 {
        self.0.room_bytes()
    }

    /// Whether ports of this domain can use the pool. Drivers ask in `start`.
    ///
    /// # Errors
    /// [`PortError::ForeignPool`] where they can not.
    pub fn fits(&self, domain: DomainId, address: &str) -> Result<(), PortError> {
        if self.0.domain == domain { Ok(()) } else { Err(PortError::ForeignPool { address: address.into() }) }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({:?}, stride {} bytes, {} free)", self.0.iova, self.0.stride_bytes, self.free_buffers())
    }
}

/// A worker's own free buffers, most recently used first: those are still in the processor's cache.
pub struct BufCache {
    pub(crate) arena: Arc<ArenaRef>,
    /// The first `len` are the free buffers, oldest first; the rest is room.
    pub(crate) free: Box<[u32]>,
    pub(crate) len: usize,
}

impl BufCache {
    /// Free buffers at hand.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Free buffers at hand, after more were fetched where there were fewer than `want`.
    #[inline]
    pub fn ready(&mut self, want: usize) -> usize {
        if self.len < want {
            self.refill(want);
        }
        self.len
    }

    /// No free buffer at hand.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fetches from the overflow until `want` are at hand, or nothing is left there.
    #[cold]
    #[inline(never)]
    pub(crate) fn refill(&mut self, want: usize) {
        let end = want.max(self.len + BULK).min(CACHE_CAPACITY);
        self.len += self.arena.home.take(&mut self.free[self.len..end]);
    }

    /// Gives half of what is at hand to the overflow: the other workers' receive rings may be dry.
    #[cold]
    #[inline(never)]
    pub(crate) fn spill(&mut self) {
        let kept = self.len / 2;
        // Not the last ones: this cache holds the arena.
        let _ = self.arena.home.give(&self.free[kept..self.len]);
        self.len = kept;
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, buffer: u32) {
        if self.len == CACHE_CAPACITY {
            self.spill();
        }
        self.free[self.len] = buffer;
        self.len += 1;
    }

    #[inline(always)]
    pub(crate) fn take_one(&mut self) -> Option<u32> {
        if self.len == 0 {
            self.refill(BULK);
        }
        self.len = self.len.checked_sub(1)?;
        Some(self.free[self.len])
    }
}

impl Drop for BufCache {
    fn drop(&mut self) {
        let _ = self.arena.home.give(&self.free[..self.len]);
    }
}

impl std::fmt::Debug for BufCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BufCache({} buffers)", self.len)
    }
}

/// The cache, the burst and the queue of one call must be of one pool.
#[cold]
#[inline(never)]
pub(crate) fn foreign_pool() -> ! {
    panic!("the cache, the burst and the queue belong to different pools")
}
