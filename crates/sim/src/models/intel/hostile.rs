//! What a broken or evil device writes. Drivers must survive it: drop, count or report, never read or write out of bounds.

use vfwire_spec::intel::adv::{Desc, rx};

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
    /// These bits of the second word are set in every completion of a received frame: an error, say.
    SetBits(u64),
    /// Received frames are completed with random words, drawn from this seed and from what would have been said.
    Random(u64),
}

impl Hostile {
    /// What it makes of a receive write-back.
    pub(crate) fn change(self, [word0, word1]: Desc) -> Desc {
        let length = 0xffff << rx::LENGTH_SHIFT;
        match self {
            Self::LengthBeyondBuffer => [word0, word1 | length],
            Self::NeverEop => [word0, word1 & !rx::EOP],
            Self::AllOnes => [u64::MAX; 2],
            Self::ZeroLength => [word0, word1 & !length],
            Self::OutOfNowhere => [word0, word1],
            Self::SetBits(bits) => [word0, word1 | bits],
            // Done in any case: a ring whose head is never done stands still, which shows nothing.
            Self::Random(seed) => [mix(seed ^ word0), mix(seed.wrapping_add(word1)) | rx::DD],
        }
    }
}

/// Spreads every bit over all others (SplitMix64; Steele, Lea, Flood 2014).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}
