//! DMA memory: pieces of a few large mappings, each reachable by every device of the container.
//!
//! An [`Arena`] owns the mappings of one container. A request is served from the free rest of a mapping, so that rings share a hugepage
//! with a pool; where none fits, a new mapping of as many pages as needed is made, populated, and mapped for the devices. A mapping goes
//! when its last piece is dropped. A piece keeps the arena and the container alive, so memory that is in use outlives ports, and ports
//! opened later reach it too.
//!
//! It deliberately has no notion of NUMA nodes: memory comes from the node of the thread that asks, so pin first, then allocate.
#![expect(unsafe_code, reason = "zeroes memory, and vouches for regions and mappings")]

use crate::{free_list::FreeList, hugepages::HugepageChoice, iova, memory::Mapping, sysfs::Sysfs};
use std::{
    collections::BTreeMap,
    io,
    ptr::NonNull,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use vfwire_core::{
    dma::{DmaRegion, DmaSpace, DomainId, Iova},
    error::DmaError,
};

/// What makes memory reachable for devices: the container, or a record in tests.
pub(crate) trait Mapper: Send + Sync + 'static {
    /// First and last address of the ranges that may be mapped, ascending.
    fn ranges(&self) -> Result<Vec<(u64, u64)>, DmaError>;

    /// Lets devices reach `memory` at `iova`.
    ///
    /// # Safety
    /// `memory` stays mapped until [`unmap`](Self::unmap) has succeeded, and no Rust reference to it exists meanwhile.
    unsafe fn map(&self, iova: u64, memory: &Mapping) -> Result<(), DmaError>;

    /// Ends that.
    fn unmap(&self, iova: u64, len_bytes: u64) -> io::Result<()>;
}

/// The DMA memory of one container.
pub(crate) struct Arena<M> {
    mapper: Arc<M>,
    pages: HugepageChoice,
    sysfs: Sysfs,
    domain: DomainId,
    /// By the IOVA of their first byte.
    chunks: Mutex<BTreeMap<u64, Chunk>>,
}

struct Chunk {
    memory: Mapping,
    free: FreeList,
}

/// Pieces start and end at cache lines, two of them, because processors fetch lines in pairs.
const PIECE_BYTES: usize = 128;

impl<M: Mapper> Arena<M> {
    pub(crate) fn new(mapper: Arc<M>, pages: HugepageChoice, sysfs: Sysfs) -> Self {
        Self { mapper, pages, sysfs, domain: DomainId::unique(), chunks: Mutex::default() }
    }

    pub(crate) fn pages(&self) -> HugepageChoice {
        self.pages
    }

    /// Bytes that devices can reach: what is charged to the limit on locked memory.
    pub(crate) fn mapped_bytes(&self) -> usize {
        self.lock().values().map(|chunk| chunk.memory.len_bytes()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Chunk>> {
        // A panic cannot leave the map in between: every change is one insertion, one removal, or one call of the free list.
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alloc(self: &Arc<Self>, len_bytes: usize, align_bytes: usize) -> Result<DmaRegion, DmaError> {
        let shape = |why| DmaError::Shape { len_bytes, align_bytes, why };
        if !align_bytes.is_power_of_two() {
            return Err(shape("the alignment is not a power of two"));
        }
        if align_bytes > self.pages.page_bytes() {
            return Err(shape("the alignment is larger than a page"));
        }
        let piece_bytes = len_bytes.checked_next_multiple_of(PIECE_BYTES).filter(|&bytes| bytes > 0);
        let piece_bytes = piece_bytes.ok_or_else(|| shape("the length is zero, or more than an address space"))?;
        let (piece, start) = self.take(piece_bytes, align_bytes.max(PIECE_BYTES))?;
        let iova = Iova(piece.chunk + piece.offset as u64);
        // SAFETY: `take` gave these bytes of a live mapping to this piece alone, and no reference to them exists.
        unsafe { start.write_bytes(0, piece_bytes) };
        // SAFETY: the chunk stays mapped at both addresses until the piece, which the region owns, is dropped; the free list gives the
        // bytes to nobody else until then; they were zeroed above.
        Ok(unsafe { DmaRegion::new(start, iova, len_bytes, Arc::new(piece)) })
    }

    /// Bytes that were free, and where the processor sees them.
    fn take(self: &Arc<Self>, len_bytes: usize, align_bytes: usize) -> Result<(Piece<M>, NonNull<u8>), DmaError> {
        let mut chunks = self.lock();
        let found = chunks.iter_mut().find_map(|(&iova, chunk)| Some((iova, chunk.free.take(len_bytes, align_bytes)?)));
        let (chunk, offset) = match found {
            Some(found) => found,
            None => {
                let iova = self.grow(&mut chunks, len_bytes)?;
                let offset = chunks.get_mut(&iova).and_then(|chunk| chunk.free.take(len_bytes, align_bytes));
                (iova, offset.expect("a new mapping is as large as what it was made for, and aligned to a page"))
            }
        };
        // SAFETY: the free list gives offsets inside the mapping only.
        let start = unsafe { chunks[&chunk].memory.start().add(offset) };
        drop(chunks);
        Ok((Piece { arena: Arc::clone(self), chunk, offset, len_bytes }, start))
    }

    /// A new mapping for at least `len_bytes`; its IOVA.
    fn grow(&self, chunks: &mut BTreeMap<u64, Chunk>, len_bytes: usize) -> Result<u64, DmaError> {
        let why = "the length is more than an address space";
        let shape = || DmaError::Shape { len_bytes, align_bytes: self.pages.page_bytes(), why };
        let len_bytes = len_bytes.checked_next_multiple_of(self.pages.granule_bytes()).ok_or_else(shape)?;
        let in_use = chunks.iter().map(|(&iova, chunk)| (iova, chunk.memory.len_bytes() as u64));
        let iova = iova::find(&self.mapper.ranges()?, in_use, len_bytes as u64, self.pages.page_bytes() as u64).ok_or_else(|| {
            DmaError::Unavailable(format!("the IOMMU has no {len_bytes} addresses left in a row: use fewer or smaller pools"))
        })?;
        let memory = self.pages.allocate(len_bytes, &self.sysfs)?;
        // SAFETY: the mapping goes into `chunks`, from where `Piece::drop` takes it only after `unmap` succeeded. Nobody makes references
        // to it: pieces are handed out as addresses.
        unsafe { self.mapper.map(iova, &memory) }?;
        chunks.insert(iova, Chunk { free: FreeList::new(memory.len_bytes()), memory });
        Ok(iova)
    }
}

/// The handle on an arena that ports and pools get.
pub(crate) struct Space<M>(pub(crate) Arc<Arena<M>>);

impl<M: Mapper> DmaSpace for Space<M> {
    fn domain(&self) -> DomainId {
        self.0.domain
    }

    fn alloc(&self, len_bytes: usize, align_bytes: usize) -> Result<DmaRegion, DmaError> {
        self.0.alloc(len_bytes, align_bytes)
    }
}

/// Some bytes of a chunk, free again when this is dropped.
struct Piece<M: Mapper> {
    arena: Arc<Arena<M>>,
    chunk: u64,
    offset: usize,
    len_bytes: usize,
}

impl<M: Mapper> Drop for Piece<M> {
    fn drop(&mut self) {
        let mut chunks = self.arena.lock();
        let Some(chunk) = chunks.get_mut(&self.chunk) else { return };
        chunk.free.give(self.offset, self.len_bytes);
        let len_bytes = chunk.memory.len_bytes() as u64;
        // Where the kernel does not unmap, devices may still reach the memory: then it stays ours, to be used again.
        if chunk.free.is_whole() && self.arena.mapper.unmap(self.chunk, len_bytes).is_ok() {
            chunks.remove(&self.chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Records what is mapped, and refuses what an IOMMU would.
    #[derive(Default)]
    struct Record {
        mapped: Mutex<BTreeMap<u64, u64>>,
        refuse: bool,
        stuck: bool,
    }

    impl Mapper for Record {
        fn ranges(&self) -> Result<Vec<(u64, u64)>, DmaError> {
            Ok(iova::RANGES_UNKNOWN.to_vec())
        }

        unsafe fn map(&self, iova: u64, memory: &Mapping) -> Result<(), DmaError> {
            if self.refuse {
                return Err(DmaError::Unavailable("refused".into()));
            }
            let mut mapped = self.mapped.lock().unwrap();
            let len = memory.len_bytes() as u64;
            assert!(mapped.iter().all(|(&at, &other)| iova + len <= at || at + other <= iova), "mapped twice");
            mapped.insert(iova, len);
            Ok(())
        }

        fn unmap(&self, iova: u64, len_bytes: u64) -> io::Result<()> {
            if self.stuck {
                return Err(io::Error::other("stuck"));
            }
            assert_eq!(self.mapped.lock().unwrap().remove(&iova), Some(len_bytes));
            Ok(())
        }
    }

    fn arena(pages: HugepageChoice, record: Record) -> Arc<Arena<Record>> {
        Arc::new(Arena::new(Arc::new(record), pages, Sysfs::default()))
    }

    /// Hugepages must be there for this to mean anything: they are reserved where we may, and missed loudly where not.
    fn reserve_hugepages(pages: u32) {
        let read = |file: &str| fs::read_to_string(file).unwrap().trim().parse::<u32>().unwrap();
        let (total, pool) = ("/proc/sys/vm/nr_hugepages", "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
        if read(pool) < pages {
            let _ = fs::write(total, (read(total) + pages).to_string());
        }
        assert!(read(pool) >= pages, "this test needs {pages} free hugepages of 2 MiB: `hugepages.sh reserve {pages}`, or run it as root");
    }

    fn bytes(region: &mut DmaRegion) -> &mut [u8] {
        // SAFETY: the tests hold the region, which nobody else accesses, for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(region.as_ptr().as_ptr(), region.len_bytes()) }
    }

    #[test]
    fn one_port_with_its_pool_fits_into_four_mebibytes() {
        reserve_hugepages(2);
        let arena = arena(HugepageChoice::Size2M, Record::default());
        let mut pool = arena.alloc(1500 * 2304, 4096).unwrap();
        let mut rings: Vec<_> = (0..4).map(|_| arena.alloc(512 * 16, 128).unwrap()).collect();
        assert_eq!(arena.mapped_bytes(), 4 << 20);
        for region in rings.iter_mut().chain([&mut pool]) {
            assert!(bytes(region).iter().all(|&byte| byte == 0));
            bytes(region).fill(0xa5);
            assert!(region.iova().0 >= iova::LOWEST && region.iova().0.is_multiple_of(128));
        }
        drop(pool);
        assert_eq!(arena.mapped_bytes(), 4 << 20, "the rings still live there");
        drop(rings);
        assert_eq!((arena.mapped_bytes(), arena.mapper.mapped.lock().unwrap().len()), (0, 0));
    }

    #[test]
    fn a_shortage_of_hugepages_is_an_error_and_leaves_nothing() {
        let arena = arena(HugepageChoice::Size2M, Record::default());
        let text = arena.alloc(1 << 38, 4096).unwrap_err().to_string();
        assert!(text.starts_with("131072 free hugepages of 2 MiB are needed, but"), "{text}");
        assert_eq!((arena.mapped_bytes(), arena.mapper.mapped.lock().unwrap().len()), (0, 0));
    }

    #[test]
    fn pieces_are_apart_zeroed_and_used_again() {
        let arena = arena(HugepageChoice::None, Record::default());
        let mut a = arena.alloc(100, 4096).unwrap();
        let mut b = arena.alloc(100, 64).unwrap();
        bytes(&mut a).fill(1);
        bytes(&mut b).fill(2);
        assert!(bytes(&mut a).iter().all(|&byte| byte == 1));
        assert_eq!(arena.mapped_bytes(), 65_536);
        let was = a.iova();
        drop(a);
        let again = arena.alloc(4096, 4096).unwrap();
        assert_ne!(again.iova(), was, "b lies in that page");
        let mut small = arena.alloc(100, 128).unwrap();
        assert_eq!(small.iova(), was);
        assert!(bytes(&mut small).iter().all(|&byte| byte == 0));
        let apart = b.as_ptr().addr().get().wrapping_sub(small.as_ptr().addr().get());
        assert_eq!(apart as u64, b.iova().0 - small.iova().0, "the device sees them as far apart as the processor");
    }

    #[test]
    fn a_region_outlives_the_space_that_gave_it() {
        let space: Arc<dyn DmaSpace> = Arc::new(Space(arena(HugepageChoice::None, Record::default())));
        let mut region = space.alloc(8192, 4096).unwrap();
        drop(space);
        bytes(&mut region).fill(7);
    }

    #[test]
    fn bad_shapes_are_refused() {
        let arena = arena(HugepageChoice::None, Record::default());
        for (len, align) in [(0, 128), (usize::MAX, 128), (usize::MAX - 200, 128), (64, 3), (64, 0), (64, 8192)] {
            assert!(matches!(arena.alloc(len, align), Err(DmaError::Shape { .. })), "{len} {align}");
        }
    }

    #[test]
    fn what_the_iommu_refuses_is_given_back_and_what_it_keeps_stays() {
        let refusing = arena(HugepageChoice::None, Record { refuse: true, ..Record::default() });
        assert!(refusing.alloc(64, 64).is_err());
        assert_eq!(refusing.mapped_bytes(), 0);
        let stuck = arena(HugepageChoice::None, Record { stuck: true, ..Record::default() });
        drop(stuck.alloc(64, 64).unwrap());
        assert_eq!(stuck.mapped_bytes(), 65_536);
        drop(stuck.alloc(65_536, 64).unwrap());
        assert_eq!(stuck.mapped_bytes(), 65_536, "used again, since it could not be unmapped");
    }
}
