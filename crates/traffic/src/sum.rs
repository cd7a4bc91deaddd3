//! The checksum of IP, UDP and TCP (RFC 1071).

/// A sum of 16-bit words in one's complement, not yet folded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Of bytes that begin at an even offset; an odd end is filled up with zero.
    #[inline(always)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut words = bytes.chunks_exact(2);
        let sum: u64 = words.by_ref().map(|word| u64::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        Self(sum + words.remainder().first().map_or(0, |&last| u64::from(last) << 8))
    }

    #[inline(always)]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The same bytes, beginning at an odd offset (RFC 1071, 2 (B): sums of swapped words are swapped sums).
    #[inline(always)]
    pub(crate) fn swapped(self) -> Self {
        Self(u64::from(self.folded().swap_bytes()))
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "folded until 16 bits are left")]
    fn folded(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        sum as u16
    }

    /// What goes into the header.
    #[inline(always)]
    pub(crate) fn checksum(self) -> u16 {
        !self.folded()
    }

    /// What goes into a UDP header, where zero means that there is none (RFC 768).
    #[inline(always)]
    pub(crate) fn udp_checksum(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            checksum => checksum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071, 3: the numerical example.
    #[test]
    fn the_example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&bytes).folded(), 0xddf2);
        assert_eq!(Sum::of(&[0xff; 9]).folded(), 0xff00);
    }

    #[test]
    fn parts_at_odd_offsets_are_swapped() {
        let bytes: Vec<u8> = (0..41u8).map(|byte| byte.wrapping_mul(37)).collect();
        for cut in 0..=bytes.len() {
            let (front, back) = bytes.split_at(cut);
            let back = if cut % 2 == 0 { Sum::of(back) } else { Sum::of(back).swapped() };
            assert_eq!(Sum::of(front).and(back).folded(), Sum::of(&bytes).folded(), "cut at {cut}");
        }
    }
}
