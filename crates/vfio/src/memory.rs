//! Mapped memory: anonymous files on hugepages or normal pages, and the registers of a device.
//!
//! A [`Mapping`] is one `mmap`, taken back when it is dropped. It gives out its address only; who reads and writes it is the business of
//! its owner ([`arena`](crate::arena), [`bar`](crate::bar)).
#![expect(unsafe_code, reason = "memfd_create, mmap, madvise and munmap are foreign functions")]

use crate::hugepages::HugepageChoice;
use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr::NonNull,
};

/// Memory of this process, mapped until this is dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and this type only holds its address.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// Which step of getting memory failed.
#[derive(Debug)]
pub(crate) enum MemoryError {
    /// The kernel has no pages of this size, not even in principle.
    Unsupported(io::Error),
    /// There are not enough pages, or a control group does not allow them.
    Shortage(io::Error),
    /// The kernel cannot populate memory with an error instead of a signal (before 5.14).
    OldKernel,
}

impl Mapping {
    /// Zeroed memory in an anonymous file, all of it present: touching it cannot fail later. `len_bytes` is a multiple of the page size.
    ///
    /// A file and a shared mapping rather than private memory, so that a `fork` in the application never copies what a device writes to.
    pub(crate) fn populated(pages: HugepageChoice, len_bytes: usize) -> Result<Self, MemoryError> {
        let flags = libc::MFD_CLOEXEC | pages.memfd_flags();
        // SAFETY: a string that ends with a zero, only read.
        let descriptor = unsafe { libc::memfd_create(c"vfwire-dma".as_ptr(), flags) };
        if descriptor < 0 {
            return Err(MemoryError::Unsupported(io::Error::last_os_error()));
        }
        // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
        file.set_len(len_bytes as u64).map_err(MemoryError::Shortage)?;
        let mapping = Self::of(&file, 0, len_bytes).map_err(MemoryError::Shortage)?;
        // SAFETY: the range is the mapping made above, which nobody else knows yet.
        let answer = unsafe { libc::madvise(mapping.start.as_ptr().cast(), len_bytes, libc::MADV_POPULATE_WRITE) };
        if answer == 0 {
            return Ok(mapping);
        }
        let error = io::Error::last_os_error();
        Err(if error.raw_os_error() == Some(libc::EINVAL) { MemoryError::OldKernel } else { MemoryError::Shortage(error) })
    }

    /// `len_bytes` of `file` from `offset`, for reading and writing.
    pub(crate) fn of(file: &File, offset: u64, len_bytes: usize) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so that no memory in use is replaced.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len_bytes, access, libc::MAP_SHARED, file.as_raw_fd(), offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("the kernel mapped the zero page"))?;
        Ok(Self { start, len_bytes })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `of` and is unmapped only here; owners hold the mapping for as long as they use its address.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len_bytes) };
    }
}
