//! Ranges of addresses and ports: `10.0.0.1-10.0.0.254`, or several of them separated by commas.

use crate::error::TrafficError;
use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};
use vfwire_spec::net::{MacAddr, VlanId};

/// Ranges of one field.
const RANGES_MAX: usize = 64;

/// A header field that flows differ in.
pub trait Field: Copy + PartialEq + Display + FromStr {
    /// What it is called in messages.
    const NAME: &'static str;
    /// What a value looks like.
    const EXAMPLE: &'static str;

    /// Its place among all values, and how many bits of it may change within one range.
    fn number(self) -> (u128, u32);

    /// The value `by` places behind it.
    #[must_use]
    fn plus(self, by: u64) -> Self;
}

impl Field for MacAddr {
    const NAME: &'static str = "MAC addresses";
    const EXAMPLE: &'static str = "02:00:00:00:00:01-02:00:00:00:00:10";

    fn number(self) -> (u128, u32) {
        let [a, b, c, d, e, f] = self.0;
        (u128::from(u64::from_be_bytes([0, 0, a, b, c, d, e, f])), 48)
    }

    fn plus(self, by: u64) -> Self {
        let [a, b, c, d, e, f] = self.0;
        let [_, _, octets @ ..] = (u64::from_be_bytes([0, 0, a, b, c, d, e, f]).wrapping_add(by)).to_be_bytes();
        Self(octets)
    }
}

impl Field for IpAddr {
    const NAME: &'static str = "IP addresses";
    const EXAMPLE: &'static str = "10.0.0.1-10.0.0.254 or 2001:db8::1-2001:db8::ff";

    fn number(self) -> (u128, u32) {
        match self {
            Self::V4(address) => (u128::from(address.to_bits()), 32),
            Self::V6(address) => (address.to_bits(), 128),
        }
    }

    fn plus(self, by: u64) -> Self {
        match self {
            Self::V4(address) => {
                // Ranges end before the addresses do.
                let by = u32::try_from(by).unwrap_or(u32::MAX);
                Self::V4(Ipv4Addr::from_bits(address.to_bits().wrapping_add(by)))
            }
            Self::V6(address) => Self::V6(Ipv6Addr::from_bits(address.to_bits().wrapping_add(u128::from(by)))),
        }
    }
}

/// A VLAN identifier of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vlan(pub VlanId);

impl FromStr for Vlan {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().and_then(VlanId::new).map(Self).ok_or(())
    }
}

impl Display for Vlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Field for Vlan {
    const NAME: &'static str = "VLANs";
    const EXAMPLE: &'static str = "100 or 100-110 (0 to 4094)";

    fn number(self) -> (u128, u32) {
        (u128::from(self.0.get()), 12)
    }

    fn plus(self, by: u64) -> Self {
        let number = u16::try_from(by).ok().and_then(|by| self.0.get().checked_add(by));
        Self(number.and_then(VlanId::new).unwrap_or(VlanId::MAX))
    }
}

impl Field for u16 {
    const NAME: &'static str = "ports";
    const EXAMPLE: &'static str = "9 or 49152-65535";

    fn number(self) -> (u128, u32) {
        (u128::from(self), 16)
    }

    fn plus(self, by: u64) -> Self {
        self.wrapping_add(u16::try_from(by).unwrap_or(u16::MAX))
    }
}

/// Values of a field, in the order given: one range after the other, each from its first to its last value. No value is in two of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranges<T> {
    parts: Vec<(T, u64)>,
}

impl<T: Field> Ranges<T> {
    /// One value.
    pub fn one(value: T) -> Self {
        Self { parts: vec![(value, 1)] }
    }

    /// `count` values from `first` on; fewer where the field ends before.
    pub fn counted(first: T, count: u64) -> Self {
        let (number, bits) = first.number();
        let room = u64::try_from((u128::MAX >> (128 - bits)) - number).unwrap_or(u64::MAX).saturating_add(1);
        Self { parts: vec![(first, count.clamp(1, room))] }
    }

    /// How many values there are.
    pub fn len(&self) -> u64 {
        self.parts.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count))
    }

    /// Never: there is at least one value.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The value at this place; behind the last one it begins again.
    pub fn get(&self, at: u64) -> T {
        let mut at = at % self.len().max(1);
        for &(first, count) in &self.parts {
            if at < count {
                return first.plus(at);
            }
            at -= count;
        }
        self.parts[0].0
    }
}

impl<T: Field> FromStr for Ranges<T> {
    type Err = TrafficError;

    fn from_str(text: &str) -> Result<Self, TrafficError> {
        let refused = |word: &str, why: &str| TrafficError::new(format!("{} `{word}`", T::NAME), why, format!("give {}", T::EXAMPLE));
        let value = |word: &str| word.trim().parse::<T>().map_err(|_| refused(word, "cannot be read"));
        let mut parts: Vec<(T, u64)> = Vec::new();
        let mut taken: Vec<(u128, u128, u32, &str)> = Vec::new();
        for word in text.split(',').take(RANGES_MAX + 1) {
            // A MAC address may have hyphens of its own.
            let (first, last) = match word.split_once('-').filter(|_| word.parse::<T>().is_err()) {
                Some((first, last)) => (value(first)?, value(last)?),
                None => (value(word)?, value(word)?),
            };
            let ((from, bits), (to, other_bits)) = (first.number(), last.number());
            if bits != other_bits || parts.first().is_some_and(|(first, _)| first.number().1 != bits) {
                return Err(refused(text, "mixes IPv4 and IPv6"));
            }
            if to < from {
                return Err(refused(word, "ends before it begins"));
            }
            if let Some((_, _, _, other)) = taken.iter().find(|(first, last, ..)| from <= *last && *first <= to) {
                return Err(refused(text, &format!("`{word}` and `{other}` overlap")));
            }
            taken.push((from, to, bits, word));
            parts.push((first, u64::try_from(to - from).unwrap_or(u64::MAX).saturating_add(1)));
        }
        if parts.len() > RANGES_MAX {
            return Err(refused(text, &format!("more than {RANGES_MAX} ranges")));
        }
        Ok(Self { parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T: Field>(text: &str) -> Vec<String> {
        let ranges: Ranges<T> = text.parse().expect(text);
        (0..ranges.len()).map(|at| ranges.get(at).to_string()).collect()
    }

    #[test]
    fn ranges_are_walked_in_the_order_given() {
        assert_eq!(all::<u16>("7-9,5"), ["7", "8", "9", "5"]);
        assert_eq!(all::<IpAddr>("10.0.0.254-10.0.1.1"), ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]);
        assert_eq!(all::<IpAddr>("2001:db8::ffff-2001:db8::1:0"), ["2001:db8::ffff", "2001:db8::1:0"]);
        assert_eq!(all::<MacAddr>("02:00:00:00:00:ff-02:00:00:00:01:00"), ["02:00:00:00:00:ff", "02:00:00:00:01:00"]);
        assert_eq!(all::<MacAddr>("02-00-00-00-00-01"), ["02:00:00:00:00:01"]);
        assert_eq!(all::<Vlan>("4093-4094,1"), ["4093", "4094", "1"]);
        assert_eq!("5-6".parse::<Ranges<u16>>().expect("a range").get(5), 6, "it begins again");
    }

    #[test]
    fn what_is_no_range_is_named() {
        fn refusal<T: Field>(text: &str) -> String {
            text.parse::<Ranges<T>>().err().unwrap_or_else(|| panic!("{text} was taken")).to_string()
        }
        assert!(refusal::<u16>("9-7").contains("`9-7`: ends before"));
        assert!(refusal::<u16>("1-5,9,5-6").contains("`5-6` and `1-5` overlap"));
        assert!(refusal::<IpAddr>("10.0.0.1-::1").contains("mixes") && refusal::<IpAddr>("10.0.0.1,::1").contains("mixes"));
        assert!(refusal::<Vlan>("4095").contains("0 to 4094") && refusal::<u16>("65536").contains("cannot be read"));
        assert!(refusal::<MacAddr>("").contains("MAC addresses ``"));
        let many = (0..70).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
        assert!(refusal::<u16>(&many).contains("64 ranges"));
    }

    #[test]
    fn a_count_ends_with_the_field() {
        assert_eq!(Ranges::counted(65_530u16, 100).len(), 6);
        assert_eq!(Ranges::counted(IpAddr::V6(Ipv6Addr::LOCALHOST), u64::MAX).len(), u64::MAX);
    }
}
