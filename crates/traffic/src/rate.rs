//! How fast, and when each frame is due.

use crate::{
    error::TrafficError,
    size::{Sizes, line_bytes},
};
use std::{fmt, str::FromStr};

/// How fast frames are sent in one direction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rate {
    /// As fast as the device takes them.
    Max,
    /// Frames a second, at even distances.
    FramesPerSecond(f64),
    /// Bits a second on the line: preamble, FCS and gap counted, so that 10 Gbit/s fills a line of 10 Gbit/s whatever the sizes are.
    BitsPerSecond(f64),
    /// Of what the line carries: 0.4 is 40 %. Needs a line whose speed is known.
    Share(f64),
}

/// What every refusal of a rate says to give.
const REMEDY: &str = "give a rate such as 1Mpps, 250kpps, 2Gbps, 40% or max";
/// No clock tells frames apart that are closer than a nanosecond.
const FRAMES_PER_S_MAX: f64 = 1e9;
/// One frame an hour.
const FRAMES_PER_S_MIN: f64 = 1.0 / 3600.0;

impl FromStr for Rate {
    type Err = TrafficError;

    /// `max`, `40%`, or a number with a unit: `pps`, `kpps`, `Mpps`, `Gpps`, `bps`, `kbps`, `Mbps`, `Gbps`.
    fn from_str(text: &str) -> Result<Self, TrafficError> {
        let refused = |why: &str| TrafficError::new(format!("rate `{text}`"), why, REMEDY);
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| refused("has no number"))?;
        let rate = match unit.to_ascii_lowercase().as_str() {
            "%" => Self::Share(number / 100.0),
            "pps" => Self::FramesPerSecond(number),
            "kpps" => Self::FramesPerSecond(number * 1e3),
            "mpps" => Self::FramesPerSecond(number * 1e6),
            "gpps" => Self::FramesPerSecond(number * 1e9),
            "bps" => Self::BitsPerSecond(number),
            "kbps" => Self::BitsPerSecond(number * 1e3),
            "mbps" => Self::BitsPerSecond(number * 1e6),
            "gbps" => Self::BitsPerSecond(number * 1e9),
            _ => return Err(refused("has no unit that is known")),
        };
        rate.check().map(|()| rate)
    }
}

impl Rate {
    /// Refuses what is no rate on any line.
    fn check(self) -> Result<(), TrafficError> {
        let refused = |why: &str, remedy: &str| Err(TrafficError::new(format!("rate {self}"), why, remedy));
        match self {
            Self::Max => Ok(()),
            Self::FramesPerSecond(rate) | Self::BitsPerSecond(rate) | Self::Share(rate) if !rate.is_finite() || rate <= 0.0 => {
                refused("sends nothing", REMEDY)
            }
            Self::Share(share) if share > 1.0 => refused("is more than the line carries", "give 100% at most"),
            Self::FramesPerSecond(rate) if rate > FRAMES_PER_S_MAX => {
                refused("is more than a frame a nanosecond", "give 1Gpps at most, or max")
            }
            Self::FramesPerSecond(rate) if rate < FRAMES_PER_S_MIN => refused("is less than a frame an hour", REMEDY),
            _ => Ok(()),
        }
    }

    /// Frames a second of these sizes, on a line of this speed; nothing for [`Rate::Max`].
    ///
    /// # Errors
    /// A rate that cannot be, or a share of a line whose speed is not known.
    pub fn frames_per_s(self, sizes: &Sizes, line_bits_per_s: Option<u64>) -> Result<Option<f64>, TrafficError> {
        self.check()?;
        let frames_per_s = match self {
            Self::Max => return Ok(None),
            Self::FramesPerSecond(rate) => rate,
            Self::BitsPerSecond(rate) => rate / 8.0 / sizes.mean_line_bytes(),
            Self::Share(share) => {
                let line = line_bits_per_s.ok_or_else(|| {
                    TrafficError::new(
                        format!("rate {self}"),
                        "is a share of a line whose speed is not known",
                        "give a rate such as 1Mpps or 2Gbps",
                    )
                })?;
                line as f64 * share / 8.0 / sizes.mean_line_bytes()
            }
        };
        Self::FramesPerSecond(frames_per_s).check()?;
        Ok(Some(frames_per_s))
    }

    /// The time from a frame to the next one, for each size of the pattern; nothing for [`Rate::Max`].
    pub(crate) fn intervals(self, sizes: &Sizes, line_bits_per_s: Option<u64>) -> Result<Option<Vec<Interval>>, TrafficError> {
        let Some(frames_per_s) = self.frames_per_s(sizes, line_bits_per_s)? else { return Ok(None) };
        let even = matches!(self, Self::FramesPerSecond(_));
        let mean = sizes.mean_line_bytes();
        let of = |&size: &u16| {
            // A rate in bits is even in bits: after a long frame the next one comes later.
            let share = if even { 1.0 } else { line_bytes(size) as f64 / mean };
            Interval::of_ns(1e9 / frames_per_s * share)
        };
        Ok(Some(sizes.pattern().iter().map(of).collect()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scaled = |f: &mut fmt::Formatter<'_>, rate: f64, unit| match rate {
            rate if rate >= 1e9 => write!(f, "{}G{unit}", rate / 1e9),
            rate if rate >= 1e6 => write!(f, "{}M{unit}", rate / 1e6),
            rate if rate >= 1e3 => write!(f, "{}k{unit}", rate / 1e3),
            rate => write!(f, "{rate}{unit}"),
        };
        match *self {
            Self::Max => f.write_str("max"),
            Self::FramesPerSecond(rate) => scaled(f, rate, "pps"),
            Self::BitsPerSecond(rate) => scaled(f, rate, "bps"),
            Self::Share(share) => write!(f, "{}%", share * 100.0),
        }
    }
}

/// A time in units of 2⁻²⁰ ns: rounding is off by a microsecond after a thousand million frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Interval(u64);

const FRACTION_BITS: u32 = 20;

impl Interval {
    #[expect(clippy::cast_possible_truncation, reason = "a float that is too large becomes the greatest integer")]
    fn of_ns(ns: f64) -> Self {
        Self((ns * f64::from(1 << FRACTION_BITS)).round() as u64)
    }
}

/// When the next frame is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    ns: u64,
    fraction: u64,
}

impl Due {
    pub(crate) fn at(ns: u64) -> Self {
        Self { ns, fraction: 0 }
    }

    #[inline(always)]
    pub(crate) fn ns(self) -> u64 {
        self.ns
    }

    #[inline(always)]
    pub(crate) fn go_on(&mut self, interval: Interval) {
        let sum = self.fraction + (interval.0 & ((1 << FRACTION_BITS) - 1));
        self.ns += (interval.0 >> FRACTION_BITS) + (sum >> FRACTION_BITS);
        self.fraction = sum & ((1 << FRACTION_BITS) - 1);
    }

    /// How many frames are due before `end_ns`, where these are the times between them.
    pub(crate) fn before(self, end_ns: u64, intervals: &[Interval]) -> u64 {
        let Some(left) = end_ns.checked_sub(self.ns) else { return 0 };
        let cycle: u128 = intervals.iter().map(|interval| u128::from(interval.0)).sum::<u128>().max(1);
        let left = (u128::from(left) << FRACTION_BITS).saturating_sub(u128::from(self.fraction));
        u64::try_from((left * intervals.len() as u128).div_ceil(cycle)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, rate) in [
            ("max", Rate::Max),
            ("1Mpps", Rate::FramesPerSecond(1e6)),
            ("250kpps", Rate::FramesPerSecond(250e3)),
            ("0.5pps", Rate::FramesPerSecond(0.5)),
            ("40%", Rate::Share(0.4)),
            ("2Gbps", Rate::BitsPerSecond(2e9)),
        ] {
            assert_eq!((text.parse(), rate.to_string().as_str()), (Ok(rate), text));
        }
        for text in ["", "0pps", "-1pps", "1", "1.2.3pps", "1kB", "101%", "2Gpps", "NaNpps", "infpps", "0.0001pps", "é", "%"] {
            let error = text.parse::<Rate>().expect_err(text).to_string();
            assert!(error.contains("rate") && error.contains("give"), "{error}");
        }
    }

    #[test]
    fn a_share_is_of_the_line() {
        let sizes = Sizes::fixed(64).expect("a size");
        let rate = Rate::Share(0.1).frames_per_s(&sizes, Some(10_000_000_000)).expect("a rate").expect("no maximum");
        assert!((rate - 1_488_095.238).abs() < 0.001, "{rate}");
        let error = Rate::Share(0.1).frames_per_s(&sizes, None).unwrap_err().to_string();
        assert!(error.contains("rate 10%") && error.contains("not known") && error.contains("1Mpps"), "{error}");
    }

    #[test]
    fn due_times_do_not_drift() {
        let sizes = Sizes::fixed(64).expect("a size");
        let rate = Rate::FramesPerSecond(14_880_952.38);
        let intervals = rate.intervals(&sizes, None).expect("a rate").expect("even");
        let mut due = Due::at(1000);
        for _ in 0..14_880_952 {
            due.go_on(intervals[0]);
        }
        assert!(due.ns().abs_diff(1_000_001_000) < 100, "{}", due.ns());
        assert!(Due::at(0).before(1_000_000_000, &intervals).abs_diff(14_880_953) <= 1);
    }

    #[test]
    fn bits_are_even_in_bits_and_frames_in_frames() {
        let sizes = Sizes::list([64, 1518]).expect("sizes");
        let bits = Rate::BitsPerSecond(1e9).intervals(&sizes, None).expect("a rate").expect("even");
        assert_eq!(bits.iter().map(|interval| interval.0 >> FRACTION_BITS).collect::<Vec<_>>(), [84 * 8, 1538 * 8]);
        let frames = Rate::FramesPerSecond(1e6).intervals(&sizes, None).expect("a rate").expect("even");
        assert_eq!(frames[0], frames[1]);
    }

    #[test]
    fn frames_that_are_due_are_counted() {
        let sizes = Sizes::list([64, 64, 128]).expect("sizes");
        let intervals = Rate::FramesPerSecond(1e6).intervals(&sizes, None).expect("a rate").expect("even");
        for (end, frames) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (10_000, 10)] {
            assert_eq!(Due::at(0).before(end, &intervals), frames, "{end}");
        }
    }
}
