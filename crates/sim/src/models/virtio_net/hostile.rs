//! What a broken or evil device writes. Drivers must survive it: drop, count or report, never read or write out of bounds.

use super::chain::Used;
use vfwire_spec::virtio::net;

/// An ID that no queue has.
pub(super) const NO_ID: u32 = 0xffff_fff0;

/// How a device misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hostile {
    /// Received frames claim one byte more than their buffer has.
    LengthBeyondBuffer,
    /// No received frame ever ends: each claims more buffers than follow.
    NeverEnds,
    /// Every bit of the header, and of the length, is set.
    AllOnes,
    /// Received frames are a header and nothing else.
    ZeroLength,
    /// Received frames are shorter than a header.
    LessThanHeader,
    /// Buffers are given back that were never made available, one a queue and step.
    OutOfNowhere,
    /// Frames, received and sent, are given back by an ID that is out of range.
    IdOutOfRange,
    /// Received frames are given back by the ID of the one before.
    UsedTwice,
    /// Headers and lengths of received frames are random, one in eight IDs too; drawn from this seed and from what would have been said.
    Random(u64),
}

impl Hostile {
    /// What it makes of the header of a received frame.
    pub(super) fn change_header(self, header: &mut [u8]) {
        match self {
            Self::NeverEnds => header[net::at::NUM_BUFFERS..net::at::NUM_BUFFERS + 2].fill(0xff),
            Self::AllOnes => header.fill(0xff),
            Self::Random(seed) => {
                for (at, byte) in (0u64..).zip(header.iter_mut()) {
                    *byte = mix(seed ^ at << 8 ^ u64::from(*byte)).to_le_bytes()[0];
                }
            }
            _ => {}
        }
    }

    /// What it makes of how the buffers of a received frame are given back; `room_bytes` is that of the first, `before` the ID that was
    /// given back last.
    pub(super) fn change_used(self, used: &mut [Used], room_bytes: usize, header_bytes: usize, before: u32) {
        if used.is_empty() {
            return;
        }
        let low = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        match self {
            Self::LengthBeyondBuffer => used[0].len_bytes = low(room_bytes + 1),
            Self::AllOnes => used[0].len_bytes = u32::MAX,
            Self::ZeroLength => used[0].len_bytes = low(header_bytes),
            Self::LessThanHeader => used[0].len_bytes = low(header_bytes - 1),
            Self::IdOutOfRange => used.iter_mut().for_each(|used| used.id = NO_ID),
            Self::UsedTwice => used[0].id = before,
            Self::Random(seed) => {
                for used in used {
                    let word = mix(seed ^ u64::from(used.id) << 32 ^ u64::from(used.len_bytes));
                    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
                    used.len_bytes = u32::from_le_bytes([a, b, c & 1, 0]);
                    if d & 7 == 0 {
                        used.id = u32::from_le_bytes([e, f, g, h]);
                    }
                }
            }
            Self::NeverEnds | Self::OutOfNowhere => {}
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
