//! Every ioctl of this crate: VFIO's requests as safe functions that return what the kernel answered.
//!
//! Owns no state. `vfio-ioctls` does the rest (opening and checking a container, mapping and unmapping memory); what is here it lacks or
//! answers without the error number. Its device type is not used: dropping one reads sysfs again after the device was given back, and
//! panics where the kernel was faster in removing it, which is just what happens to a VF that its PF takes away.
//!
//! All calls go through libc, so that tools which interpose on it see them.
#![expect(unsafe_code, reason = "ioctl, eventfd and access are foreign functions")]

use std::{
    ffi::CString,
    fs::File,
    io,
    mem::{offset_of, size_of},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};
use vfio_bindings::bindings::vfio::{
    VFIO_BASE, VFIO_GROUP_FLAGS_VIABLE, VFIO_IOMMU_INFO_CAPS, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_REGION_INFO_CAP_SPARSE_MMAP, VFIO_REGION_INFO_FLAG_CAPS, VFIO_TYPE,
    VFIO_TYPE1v2_IOMMU, vfio_device_info, vfio_group_status, vfio_info_cap_header, vfio_iommu_type1_info,
    vfio_iommu_type1_info_cap_iova_range, vfio_iommu_type1_info_dma_avail, vfio_iova_range, vfio_irq_info, vfio_irq_set, vfio_region_info,
    vfio_region_info_cap_sparse_mmap, vfio_region_sparse_mmap_area,
};
use vfwire_spec::reg::MmioWord;

/// A request of VFIO by its number from `VFIO_BASE`: they are all `_IO`, without a size (linux/vfio.h).
const fn request(number: u32) -> libc::Ioctl {
    (((VFIO_TYPE as u32) << 8) | (VFIO_BASE + number)) as libc::Ioctl
}
const SET_IOMMU: libc::Ioctl = request(2);
const GROUP_GET_STATUS: libc::Ioctl = request(3);
const GROUP_SET_CONTAINER: libc::Ioctl = request(4);
const GROUP_GET_DEVICE_FD: libc::Ioctl = request(6);
const DEVICE_GET_INFO: libc::Ioctl = request(7);
const DEVICE_GET_REGION_INFO: libc::Ioctl = request(8);
const DEVICE_GET_IRQ_INFO: libc::Ioctl = request(9);
const DEVICE_SET_IRQS: libc::Ioctl = request(10);
const DEVICE_RESET: libc::Ioctl = request(11);
const IOMMU_GET_INFO: libc::Ioctl = request(12);

/// # Safety
/// `argument` is what linux/vfio.h says for `request`: a number, or the address of a structure whose `argsz` says how much of it the
/// kernel may read and write.
unsafe fn call(file: &impl AsRawFd, request: libc::Ioctl, argument: usize) -> io::Result<i32> {
    // SAFETY: the contract of this function, which the caller answers for.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), request, argument) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Calls with a structure of fixed size.
///
/// # Safety
/// `T` is the structure that `request` takes, and its `argsz` is its size (where it has one).
unsafe fn call_with<T>(file: &impl AsRawFd, request: libc::Ioctl, argument: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel accesses at most `argsz` bytes, which the caller set to the size of what is lent here.
    unsafe { call(file, request, std::ptr::from_mut(argument).expose_provenance()) }
}

/// Whether the group may be used: none of its devices belongs to a kernel driver, and no other container has it.
pub(crate) fn group_is_viable(group: &File) -> io::Result<bool> {
    let mut status = vfio_group_status { argsz: size(size_of::<vfio_group_status>()), flags: 0 };
    // SAFETY: linux/vfio.h, VFIO_GROUP_GET_STATUS takes this structure; argsz is set above.
    unsafe { call_with(group, GROUP_GET_STATUS, &mut status) }?;
    Ok(status.flags & VFIO_GROUP_FLAGS_VIABLE != 0)
}

/// Puts a group into a container.
pub(crate) fn group_set_container(group: &File, container: &impl AsRawFd) -> io::Result<()> {
    let mut descriptor: i32 = container.as_raw_fd();
    // SAFETY: linux/vfio.h, VFIO_GROUP_SET_CONTAINER takes the address of a descriptor and reads it.
    unsafe { call_with(group, GROUP_SET_CONTAINER, &mut descriptor) }.map(drop)
}

/// Chooses the Type 1 (version 2) IOMMU for a container that holds its first group.
pub(crate) fn set_iommu(container: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: linux/vfio.h, VFIO_SET_IOMMU takes a number.
    unsafe { call(container, SET_IOMMU, VFIO_TYPE1v2_IOMMU as usize) }.map(drop)
}

/// The device called `name` of a group. The kernel enables and resets it.
pub(crate) fn group_device(group: &File, name: &str) -> io::Result<File> {
    let name = CString::new(name)?;
    // SAFETY: linux/vfio.h, VFIO_GROUP_GET_DEVICE_FD takes a string that ends with a zero, and only reads it.
    let descriptor = unsafe { call(group, GROUP_GET_DEVICE_FD, name.as_ptr().expose_provenance()) }?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

/// The flags of a device: `VFIO_DEVICE_FLAGS_…`.
pub(crate) fn device_flags(device: &File) -> io::Result<u32> {
    let mut info = vfio_device_info { argsz: size(size_of::<vfio_device_info>()), ..Default::default() };
    // SAFETY: linux/vfio.h, VFIO_DEVICE_GET_INFO takes this structure; argsz is set above.
    unsafe { call_with(device, DEVICE_GET_INFO, &mut info) }?;
    Ok(info.flags)
}

/// How many interrupts a device has at an index: none where it has no such index.
pub(crate) fn irq_count(device: &File, index: u32) -> io::Result<u32> {
    let mut info = vfio_irq_info { argsz: size(size_of::<vfio_irq_info>()), index, ..Default::default() };
    // SAFETY: linux/vfio.h, VFIO_DEVICE_GET_IRQ_INFO takes this structure; argsz is set above.
    match unsafe { call_with(device, DEVICE_GET_IRQ_INFO, &mut info) } {
        Ok(_) => Ok(info.count),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(0), // a kernel that does not know the index
        Err(error) => Err(error),
    }
}

/// `vfio_irq_set` with the one event descriptor that follows it.
#[repr(C)]
struct IrqSet {
    set: vfio_irq_set,
    descriptor: i32,
}

/// Has the first interrupt at `index` signal `event`.
pub(crate) fn signal_on_irq(device: &File, index: u32, event: &File) -> io::Result<()> {
    let flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    let set = vfio_irq_set { argsz: size(size_of::<IrqSet>()), flags, index, start: 0, count: 1, ..Default::default() };
    let mut argument = IrqSet { set, descriptor: event.as_raw_fd() };
    // SAFETY: linux/vfio.h, VFIO_DEVICE_SET_IRQS takes this structure and `count` descriptors after it; argsz covers both.
    unsafe { call_with(device, DEVICE_SET_IRQS, &mut argument) }.map(drop)
}

/// Resets a device. The kernel waits until it is over, about 100 ms.
pub(crate) fn device_reset(device: &File) -> io::Result<()> {
    // SAFETY: linux/vfio.h, VFIO_DEVICE_RESET takes no argument.
    unsafe { call(device, DEVICE_RESET, 0) }.map(drop)
}

/// A non-blocking event counter.
pub(crate) fn event() -> io::Result<File> {
    // SAFETY: no memory is passed.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

/// Whether this process may read and write `path`.
pub(crate) fn may_read_and_write(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a string that ends with a zero, only read.
    let answer = unsafe { libc::access(path.as_ptr(), libc::R_OK | libc::W_OK) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A part of a device: a BAR, or its configuration space.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    /// `VFIO_REGION_INFO_FLAG_…`.
    pub(crate) flags: u32,
    pub(crate) len_bytes: u64,
    /// Where it is in the device's file.
    pub(crate) offset: u64,
    /// Offset and length of the parts that may be mapped, where not all of it may.
    pub(crate) mappable: Option<Vec<(u64, u64)>>,
}

/// Describes the region of a device at `index`.
pub(crate) fn region(device: &File, index: u32) -> io::Result<Region> {
    let info = vfio_region_info { index, ..Default::default() };
    let reply =
        Reply::ask(device, DEVICE_GET_REGION_INFO, size_of::<vfio_region_info>(), &[(offset_of!(vfio_region_info, index), info.index)])?;
    let flags = reply.word(offset_of!(vfio_region_info, flags));
    let first = if flags & VFIO_REGION_INFO_FLAG_CAPS == 0 { 0 } else { reply.word(offset_of!(vfio_region_info, cap_offset)) };
    let mappable = reply.capability(first, VFIO_REGION_INFO_CAP_SPARSE_MMAP).map(|at| {
        let count = reply.word(at + offset_of!(vfio_region_info_cap_sparse_mmap, nr_areas));
        let start = at + size_of::<vfio_region_info_cap_sparse_mmap>();
        reply.pairs(start, count, size_of::<vfio_region_sparse_mmap_area>())
    });
    let (len_bytes, offset) = (reply.long(offset_of!(vfio_region_info, size)), reply.long(offset_of!(vfio_region_info, offset)));
    Ok(Region { flags, len_bytes, offset, mappable })
}

/// What a container's IOMMU can do.
#[derive(Clone, Debug, Default)]
pub(crate) struct IommuInfo {
    /// First and last address of each range that may be mapped. Kernels before 5.4 don't say.
    pub(crate) ranges: Option<Vec<(u64, u64)>>,
    /// How many more mappings are allowed. Kernels before 5.11 don't say.
    pub(crate) entries_left: Option<u32>,
}

/// Asks a container about its IOMMU.
pub(crate) fn iommu_info(container: &impl AsRawFd) -> io::Result<IommuInfo> {
    let reply = Reply::ask(container, IOMMU_GET_INFO, size_of::<vfio_iommu_type1_info>(), &[])?;
    let has = reply.word(offset_of!(vfio_iommu_type1_info, flags)) & VFIO_IOMMU_INFO_CAPS != 0;
    let first = if has { reply.word(offset_of!(vfio_iommu_type1_info, cap_offset)) } else { 0 };
    let ranges = reply.capability(first, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE).map(|at| {
        let count = reply.word(at + offset_of!(vfio_iommu_type1_info_cap_iova_range, nr_iovas));
        reply.pairs(at + size_of::<vfio_iommu_type1_info_cap_iova_range>(), count, size_of::<vfio_iova_range>())
    });
    let entries_left = reply
        .capability(first, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
        .map(|at| reply.word(at + offset_of!(vfio_iommu_type1_info_dma_avail, avail)));
    Ok(IommuInfo { ranges, entries_left })
}

/// The answer to a request whose structure is followed by a chain of capabilities. Reads past its end give zeros.
struct Reply(Vec<u64>);

/// More than any kernel answers; a bound for a size that comes from outside.
const REPLY_BYTES_MAX: usize = 1 << 20;
/// The kernel has five kinds of capabilities; a bound for a chain that comes from outside.
const CAPABILITIES_MAX: usize = 64;

impl Reply {
    /// Sends `len_bytes` of zeros with the given words and `argsz` in them, and again with as much room as the kernel then asks for.
    fn ask(file: &impl AsRawFd, request: libc::Ioctl, len_bytes: usize, words: &[(usize, u32)]) -> io::Result<Self> {
        let mut room = len_bytes;
        for _ in 0..3 {
            let mut reply = Self(vec![0; room.div_ceil(8)]);
            reply.set_word(0, size(room));
            words.iter().for_each(|&(at, word)| reply.set_word(at, word));
            // SAFETY: both requests take a structure that starts with argsz, which is set to no more than the buffer holds.
            unsafe { call(file, request, reply.0.as_mut_ptr().expose_provenance()) }?;
            let wanted = reply.word(0) as usize;
            if wanted <= room {
                return Ok(reply);
            }
            if wanted > REPLY_BYTES_MAX {
                break;
            }
            room = wanted;
        }
        Err(io::Error::other("the kernel's answer to VFIO's information request keeps growing"))
    }

    fn set_word(&mut self, at: usize, word: u32) {
        let shift = (at % 8) * 8;
        self.0[at / 8] |= u64::from(word) << shift;
    }

    fn long(&self, at: usize) -> u64 {
        (u64::from(self.word(at + 4)) << 32) | u64::from(self.word(at))
    }

    /// The 32-bit word at a multiple of 4. Words of 64 bits are little-endian here: the crate does not build elsewhere.
    fn word(&self, at: usize) -> u32 {
        let both = self.0.get(at / 8).copied().unwrap_or(0);
        u32::from_u64(both >> ((at % 8) * 8))
    }

    /// Where in the reply the capability `id` starts, if the chain from `first` has it.
    fn capability(&self, first: u32, id: u32) -> Option<usize> {
        let mut at = first as usize;
        for _ in 0..CAPABILITIES_MAX {
            if at == 0 || !at.is_multiple_of(4) || at + size_of::<vfio_info_cap_header>() > self.0.len() * 8 {
                return None;
            }
            // The header's first word is the 16-bit id and, above it, the version.
            if self.word(at + offset_of!(vfio_info_cap_header, id)) & 0xffff == id {
                return Some(at);
            }
            at = self.word(at + offset_of!(vfio_info_cap_header, next)) as usize;
        }
        None
    }

    /// `count` pairs of 64-bit words from `start`, as many as the reply holds.
    fn pairs(&self, start: usize, count: u32, stride: usize) -> Vec<(u64, u64)> {
        let end = self.0.len() * 8;
        let places = (0..count as usize).map(|i| start + i * stride).take_while(|at| at + stride <= end);
        places.map(|at| (self.long(at), self.long(at + 8))).collect()
    }
}

fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("structures of VFIO are small")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply as a kernel writes it: an IOMMU info with two IOVA ranges and the entries left.
    fn reply() -> Reply {
        let mut reply = Reply(vec![0; 12]);
        for (at, word) in [(0, 96), (4, 3), (16, 24), (24, 1 | 1 << 16), (28, 72), (32, 2), (44, 0), (48, 0xfedf_ffff), (56, 0xfef0_0000)] {
            reply.set_word(at, word);
        }
        reply.set_word(68, 0x7f);
        reply.set_word(64, 0xffff_ffff);
        reply.set_word(72, 3 | 1 << 16);
        reply.set_word(80, 65_535);
        reply
    }

    #[test]
    fn capabilities_are_found_and_read() {
        let reply = reply();
        let at = reply.capability(24, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE).unwrap();
        assert_eq!(reply.pairs(at + 16, 2, 16), [(0, 0xfedf_ffff), (0xfef0_0000, 0x7f_ffff_ffff)]);
        let at = reply.capability(24, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL).unwrap();
        assert_eq!(reply.word(at + 8), 65_535);
        assert_eq!(reply.capability(24, 9), None);
    }

    #[test]
    fn a_chain_that_loops_or_leaves_the_reply_ends() {
        let mut looping = Reply(vec![0; 4]);
        looping.set_word(8, 7);
        looping.set_word(12, 8);
        assert_eq!(looping.capability(8, 1), None);
        assert_eq!(looping.capability(4096, 1), None);
        assert_eq!(looping.capability(9, 1), None);
        assert_eq!(looping.pairs(8, u32::MAX, 16), [(u64::from(8u32) << 32 | 7, 0)]);
    }

    #[test]
    fn requests_have_the_numbers_of_the_header() {
        // linux/vfio.h: VFIO_TYPE is ';', VFIO_BASE 100.
        assert_eq!((SET_IOMMU, GROUP_GET_DEVICE_FD, DEVICE_RESET, IOMMU_GET_INFO), (0x3b66, 0x3b6a, 0x3b6f, 0x3b70));
    }

    #[test]
    fn an_error_number_survives() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(device_reset(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
