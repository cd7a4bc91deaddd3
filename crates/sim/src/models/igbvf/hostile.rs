//! What a broken or evil device writes. Drivers must survive it: drop, count or report, never read or write out of bounds.

use super::IgbvfModel;
use crate::{fault::DmaFault, model::HostMemory};
use vfwire_spec::intel::adv::{Desc, rx, tx};

/// How a device misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hostile {
    /// Received frames claim more bytes than their buffer has.
    LengthBeyondBuffer,
    /// No received frame ever ends.
    NeverEop,
    /// Every bit of a write-back is set.
    AllOnes,
    /// Received frames claim no bytes at all.
    ZeroLength,
    /// Descriptors that were never posted are completed, one a queue and step.
    OutOfNowhere,
}

impl Hostile {
    /// What it makes of a receive write-back.
    pub(super) fn change(self, [word0, word1]: Desc) -> Desc {
        let length = 0xffff << rx::LENGTH_SHIFT;
        match self {
            Self::LengthBeyondBuffer => [word0, word1 | length],
            Self::NeverEop => [word0, word1 & !rx::EOP],
            Self::AllOnes => [u64::MAX; 2],
            Self::ZeroLength => [word0, word1 & !length],
            Self::OutOfNowhere => [word0, word1],
        }
    }
}

impl IgbvfModel {
    /// [`Hostile::OutOfNowhere`]: completes the descriptor at each tail, which is the driver's.
    pub(super) fn spurious_completions(&self, memory: &dyn HostMemory) -> Result<(), DmaFault> {
        if self.hostile != Some(Hostile::OutOfNowhere) {
            return Ok(());
        }
        let rx = self.rx.iter().map(|queue| (&queue.ring, [0, rx::DD | rx::EOP | 60 << rx::LENGTH_SHIFT]));
        let tx = self.tx.iter().map(|queue| (&queue.ring, [0, tx::DD]));
        for (ring, words) in rx.chain(tx).filter(|(ring, _)| ring.is_running()) {
            memory.write_back(ring.tail_iova(), words)?;
        }
        Ok(())
    }
}
