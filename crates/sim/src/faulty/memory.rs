//! Memory as a faulty device writes it.

use super::{
    schedule::{StepKind, flip},
    state::{State, Verdict},
};
use crate::{fault::DmaFault, model::HostMemory};
use std::cell::RefCell;
use vm_memory::VolatileSlice;

pub(super) struct FaultyMemory<'a> {
    memory: &'a dyn HostMemory,
    state: RefCell<&'a mut State>,
    /// What becomes at the end of the pass of memory that the device was given to write itself.
    later: RefCell<Vec<Later>>,
}

/// Memory at an address, to be changed.
enum Later {
    /// The device never wrote there: these bytes come back.
    Undo(u64, Vec<u8>),
    /// So many bytes have bits flipped.
    Flip(u64, usize, u64),
}

impl<'a> FaultyMemory<'a> {
    pub(super) fn new(memory: &'a dyn HostMemory, state: &'a mut State) -> Self {
        Self { memory, state: RefCell::new(state), later: RefCell::default() }
    }

    /// The pass is over.
    pub(super) fn finish(self) -> Result<(), DmaFault> {
        for later in self.later.into_inner() {
            match later {
                Later::Undo(iova, bytes) => self.memory.write(iova, &bytes)?,
                Later::Flip(iova, len_bytes, seed) => {
                    let mut bytes = vec![0; len_bytes];
                    self.memory.slice(iova, len_bytes, true)?.copy_to(&mut bytes[..]);
                    flip(&mut bytes, seed);
                    self.memory.write(iova, &bytes)?;
                }
            }
        }
        Ok(())
    }

    fn verdict(&self) -> Verdict {
        self.state.borrow_mut().step(StepKind::Dma)
    }
}

impl HostMemory for FaultyMemory<'_> {
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        self.memory.read(iova, into)
    }

    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        match self.verdict() {
            Verdict::Lost => Ok(()),
            Verdict::Corrupt(seed) => {
                let mut bytes = from.to_vec();
                flip(&mut bytes, seed);
                self.memory.write(iova, &bytes)
            }
            _ => self.memory.write(iova, from),
        }
    }

    fn read_descriptors(&self, iova: u64, into: &mut [[u64; 2]]) -> Result<(), DmaFault> {
        self.memory.read_descriptors(iova, into)
    }

    fn write_back(&self, iova: u64, words: [u64; 2]) -> Result<(), DmaFault> {
        match self.verdict() {
            Verdict::Lost => Ok(()),
            Verdict::Corrupt(seed) => {
                let [low, high] = words;
                let mut bytes = (u128::from(high) << 64 | u128::from(low)).to_le_bytes();
                flip(&mut bytes, seed);
                let both = u128::from_le_bytes(bytes);
                self.memory.write_back(iova, [low_word(both), low_word(both >> 64)])
            }
            _ => self.memory.write_back(iova, words),
        }
    }

    fn slice(&self, iova: u64, len_bytes: usize, write: bool) -> Result<VolatileSlice<'_>, DmaFault> {
        let slice = self.memory.slice(iova, len_bytes, write)?;
        if write {
            match self.verdict() {
                Verdict::Lost => {
                    let mut bytes = vec![0; len_bytes];
                    slice.copy_to(&mut bytes[..]);
                    self.later.borrow_mut().push(Later::Undo(iova, bytes));
                }
                Verdict::Corrupt(seed) => self.later.borrow_mut().push(Later::Flip(iova, len_bytes, seed)),
                _ => {}
            }
        }
        Ok(slice)
    }
}

/// Bits 63:0.
fn low_word(both: u128) -> u64 {
    u64::try_from(both & u128::from(u64::MAX)).unwrap_or_default()
}
