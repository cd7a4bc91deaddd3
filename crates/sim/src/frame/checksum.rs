//! The Internet checksum (RFC 1071).

/// A ones' complement sum of 16-bit words, not folded yet. Sums of parts add up where each part begins at an even offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of `bytes`; an odd last byte counts as if a zero followed.
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        // Words in the machine's byte order: the sum comes out with its bytes in that order too (RFC 1071, 2 (B)). Four bytes at a time,
        // which leaves 32 bits for the carries of frames of any length.
        let (words, rest) = bytes.as_chunks::<4>();
        let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        Self(sum + u64::from(u32::from_ne_bytes(last)))
    }

    /// Both sums.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The checksum: the complement of the folded sum. Over data that contains its checksum it is 0 where the data is intact.
    #[inline]
    pub fn checksum(self) -> u16 {
        let mut sum = self.0;
        while let high @ 1.. = sum >> 16 {
            sum = (sum & 0xffff) + high;
        }
        u16::try_from(sum).map_or(0, |folded| !u16::from_be(folded))
    }

    /// The checksum as UDP writes it: 0 would say that there is none (RFC 768).
    pub fn udp_checksum(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            checksum => checksum,
        }
    }
}

/// The pseudo header over which TCP and UDP checksums go too (RFC 9293, 3.1; RFC 768), for IPv4.
pub fn pseudo_header_v4(source: [u8; 4], destination: [u8; 4], protocol: u8, length_bytes: usize) -> Sum {
    Sum::of(&source).and(Sum::of(&destination)).and(protocol_and_length(protocol, length_bytes))
}

/// The pseudo header for IPv6 (RFC 8200, 8.1).
pub fn pseudo_header_v6(addresses: &[u8; 32], protocol: u8, length_bytes: usize) -> Sum {
    Sum::of(addresses).and(protocol_and_length(protocol, length_bytes))
}

fn protocol_and_length(protocol: u8, length_bytes: usize) -> Sum {
    // No frame is longer than the 32 bits that the field has.
    let length = u32::try_from(length_bytes).unwrap_or(u32::MAX).to_be_bytes();
    Sum::of(&length).and(Sum::of(&[0, protocol]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of RFC 1071, 3: 0001 f203 f4f5 f6f7, whose sum is ddf2.
    #[test]
    fn the_example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&bytes).checksum(), !0xddf2);
        for split in [0, 2, 4, 6, 8] {
            assert_eq!(Sum::of(&bytes[..split]).and(Sum::of(&bytes[split..])).checksum(), !0xddf2);
        }
    }

    #[test]
    fn an_odd_byte_is_the_upper_half_of_a_word() {
        assert_eq!(Sum::of(&[0x12]).checksum(), !0x1200);
        assert_eq!(Sum::of(&[0, 1, 0, 2, 0x34]).checksum(), !0x3403);
    }

    #[test]
    fn udp_never_writes_zero() {
        assert_eq!(Sum::of(&[0xff, 0xff]).checksum(), 0);
        assert_eq!(Sum::of(&[0xff, 0xff]).udp_checksum(), 0xffff);
        assert_eq!(Sum::of(&[0xff, 0xfe]).udp_checksum(), 1);
    }

    #[test]
    fn long_frames_do_not_overflow() {
        let ones = vec![0xff; 16 * 1024];
        assert_eq!(Sum::of(&ones).checksum(), 0);
    }
}
