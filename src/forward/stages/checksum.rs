//! The Internet checksum (RFC 1071), and how it follows a change (RFC 1624).

/// The checksum after one of the words that it covers has changed (RFC 1624, equation 3). One that was wrong stays wrong.
#[inline(always)]
pub(super) fn follow(checksum: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    let [checksum, old, new] = [checksum, old, new].map(u16::from_be_bytes);
    (!fold(u32::from(!checksum) + u32::from(!old) + u32::from(new))).to_be_bytes()
}

/// Whether a header with its checksum in it sums up as it must.
#[inline(always)]
pub(super) fn is_good(header: &[u8]) -> bool {
    let (words, odd) = header.as_chunks::<2>();
    let sum: u32 = words.iter().map(|&word| u32::from(u16::from_be_bytes(word))).sum();
    odd.is_empty() && fold(sum) == 0xffff
}

/// Ones' complement sum in 16 bits, of few enough words that their sum fits 32.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "folded into 16 bits")]
fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1624, section 4: the example in which the older rule of RFC 1141 goes wrong.
    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(follow([0xdd, 0x2f], [0x55, 0x55], [0x32, 0x85]), [0, 0]);
    }

    #[test]
    fn a_header_that_follows_stays_good_and_a_bad_one_bad() {
        // RFC 791 header with the checksum that Linux computed for it.
        let mut header = *b"\x45\x00\x00\x73\x00\x00\x40\x00\x40\x11\xb8\x61\xc0\xa8\x00\x01\xc0\xa8\x00\xc7";
        assert!(is_good(&header));
        for ttl in [1, 0, 255, 64] {
            let new = follow([header[10], header[11]], [header[8], header[9]], [ttl, header[9]]);
            (header[8], header[10], header[11]) = (ttl, new[0], new[1]);
            assert!(is_good(&header), "{ttl}");
        }
        header[3] ^= 1;
        assert!(!is_good(&header) && !is_good(&header[..19]));
    }
}
