//! A buffer as a queue has it: a chain of descriptors, fetched.

use crate::{fault::DmaFault, model::HostMemory, models::Stop};

/// One descriptor's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) iova: u64,
    pub(super) len_bytes: u32,
    /// The device writes it; otherwise it reads it.
    pub(super) write: bool,
}

/// A buffer that the driver made available.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// What it is given back by: the first descriptor of a split queue, the buffer ID of a packed one.
    pub(super) id: u16,
    /// Descriptors of the queue that it takes.
    pub(super) slots: u16,
    pub(super) parts: Vec<Part>,
}

impl Chain {
    pub(super) fn clear(&mut self) {
        *self = Self { parts: std::mem::take(&mut self.parts), ..Self::default() };
        self.parts.clear();
    }

    /// Bytes that the device may write.
    pub(super) fn room_bytes(&self) -> usize {
        self.parts.iter().filter(|part| part.write).map(|part| part.len_bytes as usize).sum()
    }

    /// The parts that the device reads come before those that it writes (2.7.4.2, 2.8.17).
    pub(super) fn check_order(&self) -> Result<(), Stop> {
        let sorted = self.parts.is_sorted_by_key(|part| part.write);
        Stop::unless(sorted, "what the device reads comes before what it writes", || format!("{self:?}"))
    }

    /// Appends what the device may read to `into`, `limit_bytes` at most; says whether that was all.
    pub(super) fn read(&self, memory: &dyn HostMemory, into: &mut Vec<u8>, limit_bytes: usize) -> Result<bool, DmaFault> {
        for part in self.parts.iter().filter(|part| !part.write) {
            let begin = into.len();
            if begin + part.len_bytes as usize > limit_bytes {
                return Ok(false);
            }
            into.resize(begin + part.len_bytes as usize, 0);
            memory.read(part.iova, &mut into[begin..])?;
        }
        Ok(true)
    }

    /// Writes as much of `bytes` as there is room for, and says how much.
    pub(super) fn write(&self, memory: &dyn HostMemory, bytes: &[u8]) -> Result<usize, DmaFault> {
        let mut rest = bytes;
        for part in self.parts.iter().filter(|part| part.write) {
            let (now, later) = rest.split_at(rest.len().min(part.len_bytes as usize));
            if now.is_empty() {
                break;
            }
            memory.write(part.iova, now)?;
            rest = later;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Writes one byte behind `skip` others of what the device may write.
    pub(super) fn write_at(&self, memory: &dyn HostMemory, skip: usize, byte: u8) -> Result<(), DmaFault> {
        let mut skip = skip as u64;
        for part in self.parts.iter().filter(|part| part.write) {
            if skip < u64::from(part.len_bytes) {
                return memory.write(part.iova + skip, &[byte]);
            }
            skip -= u64::from(part.len_bytes);
        }
        Ok(())
    }
}

/// A buffer that the device gives back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Used {
    /// As [`Chain::id`]; a device that misbehaves says anything.
    pub(super) id: u32,
    /// Bytes that were written, as the device says.
    pub(super) len_bytes: u32,
    pub(super) slots: u16,
}
