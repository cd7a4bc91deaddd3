//! The registers of a real device: its BAR, mapped into this process.
//!
//! Every access is one volatile load or store of exactly the width asked for, inside the mapping. A mapping keeps the device open: the
//! kernel would otherwise tear it down under it.
#![expect(unsafe_code, reason = "volatile access to mapped registers")]

use crate::{function::Device, ioctl::Region, memory::Mapping};
use std::{fmt, sync::Arc};
use vfio_bindings::bindings::vfio::VFIO_REGION_INFO_FLAG_MMAP;
use vfwire_core::{bar::Bar, bus::BarIndex, error::BusError};
use vfwire_spec::reg::MmioWord;

/// A BAR that is mapped. Clones share the mapping.
#[derive(Clone)]
pub struct MappedBar {
    start: *mut u8,
    len_bytes: u32,
    _mapping: Arc<Owner>,
}

/// In the order in which they are let go.
struct Owner {
    _mapping: Mapping,
    _device: Arc<Device>,
}

// SAFETY: registers belong to no thread; every access is a single volatile load or store.
unsafe impl Send for MappedBar {}
// SAFETY: as above; the device orders what reaches it.
unsafe impl Sync for MappedBar {}

impl fmt::Debug for MappedBar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MappedBar({:p}, {} bytes)", self.start, self.len_bytes)
    }
}

impl MappedBar {
    pub(crate) fn map(device: &Arc<Device>, index: BarIndex, address: &str) -> Result<Self, BusError> {
        let failed = |source| BusError::Io { what: format!("could not map {index} of {address}"), source };
        let region = device.region(u32::from(index.get())).map_err(failed)?;
        let len_bytes = mappable_bytes(&region).map_err(|why| BusError::NotThere(format!("{index} of {address} {why}")))?;
        let mapping = Mapping::of(device.file(), region.offset, len_bytes as usize).map_err(failed)?;
        let start = mapping.start().as_ptr();
        Ok(Self { start, len_bytes, _mapping: Arc::new(Owner { _mapping: mapping, _device: Arc::clone(device) }) })
    }

    #[inline(always)]
    fn place<V: MmioWord>(&self, offset: u32) -> *mut u8 {
        let inside = self.len_bytes >= V::BYTES && offset <= self.len_bytes - V::BYTES;
        assert!(inside && offset.is_multiple_of(V::BYTES), "no register of this width at this offset of the BAR");
        self.start.wrapping_add(offset as usize)
    }
}

/// How many bytes from the start of a region can be mapped. The kernel keeps pages with an MSI-X table back on some systems: such a BAR
/// is as long as what lies before them.
fn mappable_bytes(region: &Region) -> Result<u32, &'static str> {
    if region.len_bytes == 0 {
        return Err("does not exist");
    }
    if region.flags & VFIO_REGION_INFO_FLAG_MMAP == 0 {
        return Err("cannot be mapped: it is a range of I/O ports, or smaller than a page");
    }
    let len_bytes = match &region.mappable {
        None => region.len_bytes,
        Some(areas) => areas.iter().find(|area| area.0 == 0).map(|area| area.1).ok_or("cannot be mapped from its start")?,
    };
    u32::try_from(len_bytes).map_err(|_| "is larger than 4 GiB, which no supported device has")
}

impl Bar for MappedBar {
    #[inline(always)]
    fn len_bytes(&self) -> u32 {
        self.len_bytes
    }

    #[inline(always)]
    fn read<V: MmioWord>(&self, offset: u32) -> V {
        let place = self.place::<V>(offset);
        V::from_u64(match V::BYTES {
            // SAFETY: `place` checked that the word lies in the mapping, which `_mapping` keeps, at a multiple of its width.
            1 => u64::from(unsafe { place.read_volatile() }),
            // SAFETY: as above.
            2 => u64::from(u16::from_le(unsafe { place.cast::<u16>().read_volatile() })),
            // SAFETY: as above.
            4 => u64::from(u32::from_le(unsafe { place.cast::<u32>().read_volatile() })),
            // SAFETY: as above; `MmioWord` is sealed, and 8 bytes is its only other width.
            _ => u64::from_le(unsafe { place.cast::<u64>().read_volatile() }),
        })
    }

    #[inline(always)]
    fn write<V: MmioWord>(&self, offset: u32, value: V) {
        let place = self.place::<V>(offset);
        let value = value.to_u64();
        match V::BYTES {
            // SAFETY: `place` checked that the word lies in the mapping, which `_mapping` keeps, at a multiple of its width.
            1 => unsafe { place.write_volatile(u8::from_u64(value)) },
            // SAFETY: as above.
            2 => unsafe { place.cast::<u16>().write_volatile(u16::from_u64(value).to_le()) },
            // SAFETY: as above.
            4 => unsafe { place.cast::<u32>().write_volatile(u32::from_u64(value).to_le()) },
            // SAFETY: as above; `MmioWord` is sealed, and 8 bytes is its only other width.
            _ => unsafe { place.cast::<u64>().write_volatile(value.to_le()) },
        }
    }

    #[inline(always)]
    unsafe fn write_unchecked<V: MmioWord>(&self, offset: u32, value: V) {
        if V::BYTES == 4 {
            let place = self.start.wrapping_add(offset as usize).cast::<u32>();
            // SAFETY: the word lies in the mapping (contract), which `_mapping` keeps, at a multiple of its width.
            unsafe { place.write_volatile(u32::from_u64(value.to_u64()).to_le()) };
        } else {
            self.write(offset, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(flags: u32, len_bytes: u64, mappable: Option<Vec<(u64, u64)>>) -> Region {
        Region { flags, len_bytes, offset: 0, mappable }
    }

    #[test]
    fn what_can_be_mapped() {
        let mappable = VFIO_REGION_INFO_FLAG_MMAP;
        assert_eq!(mappable_bytes(&region(mappable, 0x4000, None)), Ok(0x4000));
        assert_eq!(mappable_bytes(&region(mappable, 0x8000, Some(vec![(0, 0x3000), (0x4000, 0x4000)]))), Ok(0x3000));
        for refused in [region(mappable, 0, None), region(0, 32, None), region(mappable, 0x4000, Some(vec![(0x1000, 0x3000)]))] {
            assert!(mappable_bytes(&refused).is_err());
        }
        assert!(mappable_bytes(&region(mappable, 1 << 33, None)).is_err());
    }
}
