//! Words in DMA memory that a device and the processor share: indices, flags, descriptors that are read and written as plain numbers.
//!
//! Every access is atomic, so a device that writes at any time changes values and nothing else; every index is masked, so it is inside.
#![expect(unsafe_code, reason = "the words are DMA memory; which of it is decided once, in `DmaCells::new`")]

use crate::{
    dma::{DmaRegion, Iova},
    error::DmaError,
};
use std::{
    fmt,
    marker::PhantomData,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{
            AtomicU16, AtomicU32, AtomicU64,
            Ordering::{self, Acquire, Relaxed, Release},
        },
    },
};

/// A word that is read and written at once: `u16`, `u32` or `u64`. Sealed.
pub trait Cell: Copy + sealed::Sealed {}

mod sealed {
    use super::Ordering;
    pub trait Sealed: Sized {
        /// # Safety
        /// `at` is aligned, mapped, and accessed as an atomic only.
        unsafe fn load(at: *mut Self, ordering: Ordering) -> Self;
        /// # Safety
        /// As `load`.
        unsafe fn store(at: *mut Self, value: Self, ordering: Ordering);
    }
}

macro_rules! cells {
    ($($word:ty, $atomic:ty);+) => {$(
        impl Cell for $word {}
        impl sealed::Sealed for $word {
            #[inline(always)]
            unsafe fn load(at: *mut Self, ordering: Ordering) -> Self {
                // SAFETY: the contract.
                unsafe { <$atomic>::from_ptr(at) }.load(ordering)
            }
            #[inline(always)]
            unsafe fn store(at: *mut Self, value: Self, ordering: Ordering) {
                // SAFETY: the contract.
                unsafe { <$atomic>::from_ptr(at) }.store(value, ordering);
            }
        }
    )+};
}
cells!(u16, AtomicU16; u32, AtomicU32; u64, AtomicU64);

/// A power of two of words in a region. Indices count up for ever and are masked when used.
pub struct DmaCells<T> {
    start: NonNull<T>,
    mask: usize,
    region: Arc<DmaRegion>,
    word: PhantomData<T>,
}

// SAFETY: cells are an address in a region that they keep, and are accessed as atomics only; no thread is special to them.
unsafe impl<T: Cell> Send for DmaCells<T> {}

impl<T: Cell> DmaCells<T> {
    /// `count` words of `region`, from `offset_bytes` on.
    ///
    /// # Errors
    /// [`DmaError::Shape`] where they are not inside it, not aligned, or no power of two.
    pub fn new(region: &Arc<DmaRegion>, offset_bytes: usize, count: usize) -> Result<Self, DmaError> {
        let len_bytes = count * size_of::<T>();
        let shape = |why| DmaError::Shape { len_bytes, align_bytes: align_of::<T>(), why };
        if !count.is_power_of_two() || offset_bytes.checked_add(len_bytes).is_none_or(|end| end > region.len_bytes()) {
            return Err(shape("cells are a power of two, inside their region"));
        }
        // SAFETY: the offset is inside the region.
        let start = unsafe { region.as_ptr().byte_add(offset_bytes) }.cast::<T>();
        if !start.is_aligned() {
            return Err(shape("cells are aligned to their size"));
        }
        Ok(Self { start, mask: count - 1, region: Arc::clone(region), word: PhantomData })
    }

    /// The words, to be held by value where many are accessed.
    #[inline(always)]
    pub fn view(&self) -> Cells<'_, T> {
        Cells { start: self.start, mask: self.mask, cells: PhantomData }
    }

    /// A word.
    #[inline(always)]
    pub fn get(&self, index: usize) -> T {
        self.view().get(index)
    }

    /// A word; what the device wrote before it is seen by what follows.
    #[inline(always)]
    pub fn get_acquire(&self, index: usize) -> T {
        self.view().get_acquire(index)
    }

    /// Writes a word.
    #[inline(always)]
    pub fn set(&self, index: usize, value: T) {
        self.view().set(index, value);
    }

    /// Writes a word; a device that sees it sees all that was written before.
    #[inline(always)]
    pub fn set_release(&self, index: usize, value: T) {
        self.view().set_release(index, value);
    }

    /// Where the device sees the first of them.
    pub fn iova(&self) -> Iova {
        let offset = self.start.as_ptr().addr() - self.region.as_ptr().as_ptr().addr();
        Iova(self.region.iova().0 + offset as u64)
    }
}

/// The words of [`DmaCells`], which outlive it.
pub struct Cells<'a, T> {
    start: NonNull<T>,
    mask: usize,
    cells: PhantomData<&'a DmaCells<T>>,
}

impl<T> Clone for Cells<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Cells<'_, T> {}

impl<T: Cell> Cells<'_, T> {
    #[inline(always)]
    fn at(self, index: usize) -> *mut T {
        self.start.as_ptr().wrapping_add(index & self.mask)
    }

    /// A word.
    #[inline(always)]
    pub fn get(self, index: usize) -> T {
        // SAFETY: a masked index is inside the region, which `DmaCells::new` has seen and whose cells keep it; words of regions are atomics only.
        unsafe { T::load(self.at(index), Relaxed) }
    }

    /// A word; what the device wrote before it is seen by what follows.
    #[inline(always)]
    pub fn get_acquire(self, index: usize) -> T {
        // SAFETY: as `get`.
        unsafe { T::load(self.at(index), Acquire) }
    }

    /// Writes a word.
    #[inline(always)]
    pub fn set(self, index: usize, value: T) {
        // SAFETY: as `get`.
        unsafe { T::store(self.at(index), value, Relaxed) }
    }

    /// Writes a word; a device that sees it sees all that was written before.
    #[inline(always)]
    pub fn set_release(self, index: usize, value: T) {
        crate::barrier::dma_write();
        // SAFETY: as `get`.
        unsafe { T::store(self.at(index), value, Release) }
    }
}

impl<T> fmt::Debug for DmaCells<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaCells({} of {} bytes)", self.mask + 1, size_of::<T>())
    }
}
