//! Frames go back where they came from.

use crate::{BufCache, Burst, forward::Stage};

/// Exchanges the source and destination MAC addresses of every frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct MacSwap;

impl Stage for MacSwap {
    #[inline(always)]
    fn process(&mut self, burst: &mut Burst, _cache: &mut BufCache) {
        burst.prefetch();
        for mut frame in burst.iter_mut() {
            swap_macs(frame.data_mut());
        }
    }
}

/// The first 16 bytes are one word to the processor: 6 bytes of destination, 6 of source, and 4 more that stay.
#[inline(always)]
fn swap_macs(frame: &mut [u8]) {
    const MAC: u128 = (1 << 48) - 1;
    let Some(head) = frame.first_chunk_mut::<16>() else { return };
    let word = u128::from_le_bytes(*head);
    *head = ((word >> 96 << 96) | (word & MAC) << 48 | (word >> 48 & MAC)).to_le_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_exchanged_and_nothing_else() {
        let original: Vec<u8> = (0..64).collect();
        let mut frame = original.clone();
        swap_macs(&mut frame);
        assert_eq!(frame[..6], original[6..12]);
        assert_eq!(frame[6..12], original[..6]);
        assert_eq!(frame[12..], original[12..]);
        // Shorter than any frame: left alone.
        let mut short = [1, 2, 3];
        swap_macs(&mut short);
        assert_eq!(short, [1, 2, 3]);
    }
}
