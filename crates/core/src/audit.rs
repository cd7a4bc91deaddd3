//! Who owns each buffer of an arena: the processor or the device. Only with the feature `audit`, which release builds do not have.
//!
//! Rings write it when they post and take buffers; a simulated IOMMU reads it and faults on an access to what is not the device's. So a
//! mistake in the ownership of buffers fails a test instead of passing by luck.

use crate::dma::Iova;
use std::sync::atomic::{AtomicU8, Ordering};

/// Who may touch a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Owner {
    /// The processor: the device must stay away.
    Cpu = 0,
    /// The device, which may write it (a receive buffer).
    DeviceWrites = 1,
    /// The device, which may only read it (a transmit buffer).
    DeviceReads = 2,
}

/// The owners of an arena's buffers.
#[derive(Debug)]
pub struct Owners {
    iova: Iova,
    stride_bytes: u32,
    owners: Box<[AtomicU8]>,
}

impl Owners {
    /// `count` buffers from `iova` on, all the processor's.
    pub fn new(iova: Iova, stride_bytes: u32, count: u32) -> Self {
        Self { iova, stride_bytes, owners: (0..count).map(|_| AtomicU8::new(Owner::Cpu as u8)).collect() }
    }

    /// The range of addresses that it speaks for: first, and length in bytes.
    pub fn range(&self) -> (Iova, u64) {
        (self.iova, u64::from(self.stride_bytes) * self.owners.len() as u64)
    }

    /// Hands a buffer over.
    pub fn set(&self, buffer: u32, owner: Owner) {
        self.owners[buffer as usize].store(owner as u8, Ordering::Release);
    }

    /// Whose is the buffer at `iova`? Nothing where `len_bytes` from there are not inside one buffer of this arena.
    pub fn owner_at(&self, iova: Iova, len_bytes: u64) -> Option<Owner> {
        let offset = iova.0.checked_sub(self.iova.0)?;
        let stride = u64::from(self.stride_bytes);
        let buffer = usize::try_from(offset / stride).ok()?;
        if offset % stride + len_bytes > stride {
            return None;
        }
        Some(match self.owners.get(buffer)?.load(Ordering::Acquire) {
            1 => Owner::DeviceWrites,
            2 => Owner::DeviceReads,
            _ => Owner::Cpu,
        })
    }
}
