//! Lengths of frames, counted as RFC 2544 counts them: from the destination address to the FCS, both included.
//!
//! Hosts neither send nor see the FCS, so a frame of size 64 is 60 bytes in a buffer ([`host_bytes`]); on the line it takes 84, with
//! preamble and gap ([`line_bytes`]).

use crate::error::TrafficError;
use std::{fmt, str::FromStr};
use vfwire_spec::net::ETH_FCS_BYTES;

/// Shortest frame, FCS counted (IEEE 802.3, 4A.4.2: minFrameSize).
pub const SIZE_MIN: u16 = 64;
/// Longest frame, FCS counted: what fits one buffer of a pool (16,384 bytes).
pub const SIZE_MAX: u16 = 16_384;
/// Entries of a list of sizes.
const ENTRIES_MAX: usize = 64;
/// Bytes that a frame takes on the line beside itself: 7 of preamble, 1 delimiter, 12 of gap (IEEE 802.3, 3.1.1 and 4A.4.2).
pub const LINE_OVERHEAD_BYTES: u64 = 20;

/// Bytes of a frame of `size` in a buffer: without its FCS.
#[inline(always)]
pub const fn host_bytes(size: u16) -> usize {
    size as usize - ETH_FCS_BYTES
}

/// Bytes' worth of time that a frame of `size` takes on the line.
pub const fn line_bytes(size: u16) -> u64 {
    size as u64 + LINE_OVERHEAD_BYTES
}

/// Frames a second that a line of this speed carries of `size`.
pub fn line_rate(bits_per_s: u64, size: u16) -> f64 {
    bits_per_s as f64 / (line_bytes(size) * 8) as f64
}

/// Seven short frames, four of middling length and a long one, as evenly as they go: the simple IMIX with the sizes that FD.io CSIT calls
/// IMIX_v4_1. RFC 6985 names such a mixture by its sizes.
const IMIX: [u16; 12] = [64, 570, 64, 64, 570, 64, 1518, 64, 570, 64, 64, 570];

/// The lengths of a stream's frames, FCS counted: each flow takes them in turn, again and again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sizes {
    pattern: Vec<u16>,
}

impl Sizes {
    /// All frames of one length.
    ///
    /// # Errors
    /// Where no frame has such a length.
    pub fn fixed(size: u16) -> Result<Self, TrafficError> {
        Self::list([size])
    }

    /// These lengths in turn.
    ///
    /// # Errors
    /// Where there is none, more than 64, or one that no frame has.
    pub fn list(sizes: impl IntoIterator<Item = u16>) -> Result<Self, TrafficError> {
        let pattern: Vec<_> = sizes.into_iter().take(ENTRIES_MAX + 1).collect();
        if pattern.is_empty() || pattern.len() > ENTRIES_MAX {
            return Err(TrafficError::new("size", format!("{} lengths", pattern.len()), format!("give 1 to {ENTRIES_MAX}")));
        }
        match pattern.iter().find(|size| !(SIZE_MIN..=SIZE_MAX).contains(size)) {
            Some(size) => Err(TrafficError::new(
                format!("size {size}"),
                "no frame has that length",
                format!("give {SIZE_MIN} to {SIZE_MAX} bytes, the FCS counted"),
            )),
            None => Ok(Self { pattern }),
        }
    }

    /// The simple IMIX: 7 frames of 64 bytes, 4 of 570 and 1 of 1518.
    pub fn imix() -> Self {
        Self { pattern: IMIX.to_vec() }
    }

    /// The lengths in the order in which a flow takes them.
    pub fn pattern(&self) -> &[u16] {
        &self.pattern
    }

    /// The longest of them.
    pub fn longest(&self) -> u16 {
        self.pattern.iter().copied().max().unwrap_or(SIZE_MIN)
    }

    /// Mean of the bytes that a frame takes on the line, preamble and gap counted.
    pub fn mean_line_bytes(&self) -> f64 {
        self.pattern.iter().map(|&size| line_bytes(size) as f64).sum::<f64>() / self.pattern.len() as f64
    }
}

impl FromStr for Sizes {
    type Err = TrafficError;

    /// `64`, `64,512,1518` or `imix`.
    fn from_str(text: &str) -> Result<Self, TrafficError> {
        if text.eq_ignore_ascii_case("imix") {
            return Ok(Self::imix());
        }
        let remedy = "give a length, a list such as 64,512,1518, or imix (bytes, the FCS counted)";
        let number = |word: &str| word.parse().map_err(|_| TrafficError::new(format!("size `{word}`"), "is no length", remedy));
        Self::list(text.split(',').map(number).collect::<Result<Vec<_>, _>>()?)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pattern == IMIX {
            return f.write_str("imix");
        }
        let words: Vec<_> = self.pattern.iter().map(u16::to_string).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for text in ["64", "64,512,1518", "imix"] {
            assert_eq!(text.parse::<Sizes>().expect(text).to_string(), text);
        }
        for (text, word) in [("63", "64 to 16384"), ("16385", "16384"), ("", "``"), ("64,", "``"), ("x", "`x`"), ("70000", "`70000`")] {
            let error = text.parse::<Sizes>().expect_err(text).to_string();
            assert!(error.starts_with("size") && error.contains(word), "{error}");
        }
        assert!(Sizes::list([64; 65]).is_err() && Sizes::list([64; 64]).is_ok());
    }

    /// RFC 2544 appendix B and every table of line rates: 14,880,952 frames of 64 bytes a second on 10 Gbit/s, 812,743 of 1518.
    #[test]
    fn line_rates_are_those_that_everybody_knows() {
        assert_eq!(line_rate(10_000_000_000, 64).round(), 14_880_952.0);
        assert_eq!(line_rate(10_000_000_000, 1518).round(), 812_744.0);
        assert_eq!(host_bytes(64), 60);
    }

    #[test]
    fn the_mixture_is_seven_four_one() {
        let count = |size| IMIX.iter().filter(|&&each| each == size).count();
        assert_eq!((count(64), count(570), count(1518)), (7, 4, 1));
        assert_eq!(Sizes::imix().mean_line_bytes(), (7.0 * 84.0 + 4.0 * 590.0 + 1538.0) / 12.0);
    }
}
