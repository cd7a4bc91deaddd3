//! What a user names a port by: a PCI address, or a simulated function with its options.
//!
//! A text is taken apart here and nowhere else. Whether there is such a function is asked when it is opened.

use std::{fmt, str::FromStr};
use vfwire_sim::Impairment;
use vfwire_spec::net::MacAddr;
use vfwire_vfio::PciAddress;

/// Where a port is.
#[derive(Clone, PartialEq, Debug)]
pub enum Address {
    /// A function of this machine, reached through VFIO: `0000:3b:02.1`.
    Pci(PciAddress),
    /// A simulated function: `sim:igbvf,spoofchk=off`.
    Sim(SimAddress),
}

/// A simulated function: `sim:DRIVER[,OPTION=VALUE]…`.
///
/// | option | what it says |
/// |---|---|
/// | `mac=02:00:00:00:00:05` | the address that the simulated PF gives to the VF; one made up otherwise |
/// | `link=NAME` | the other end of its wire is the next port with the same name; otherwise a traffic source |
/// | `frame=1514` | length in bytes of the traffic source's frames, FCS not counted (60 to 9014); 60 otherwise |
/// | `loop` | the wire comes back: the port receives what it sends |
/// | `delay=1ms` | frames to the port come so much later (ns, us, ms, s; up to 2 s); `jitter=10us`: and by up to this time more |
/// | `loss=1%` | share of the frames to the port that are lost; `duplicate`, `reorder` (100 us late), `corrupt` (one bit) likewise |
/// | `rate=10G` | speed of the line to the port in bits a second (M or G): frames take their time on it |
/// | `seed=7` | where the draws of those begin; runs with the same seed draw the same |
/// | others | the simulated device's own: `spoofchk=on` or `off` of igbvf, `packed=on` of virtio-net, among others; a wrong one names all |
#[derive(Clone, PartialEq, Debug)]
pub struct SimAddress {
    text: String,
    /// The driver of the function: `igbvf`.
    pub driver: String,
    /// The address that the PF gives.
    pub mac: Option<MacAddr>,
    /// Who is at the other end of the wire: a port with the same name, or a traffic source.
    pub link: Option<String>,
    /// The wire comes back to the port.
    pub looped: bool,
    /// What is wrong with the wire to the port.
    pub wire: Box<Impairment>,
    /// Length of the traffic source's frames in bytes.
    pub frame_bytes: Option<usize>,
    /// Options of the device, each with its value.
    pub device: Vec<(String, String)>,
}

/// A text that names no port, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

impl AddressError {
    pub(crate) fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }
}

/// Lengths that a traffic source has.
const FRAME_BYTES: std::ops::RangeInclusive<usize> = 60..=9014;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(simulated) = text.strip_prefix("sim:") {
            return parse_simulated(text, simulated).map(Self::Sim);
        }
        // What is neither is most likely meant to be a PCI address.
        text.parse().map(Self::Pci).map_err(|error| {
            AddressError::new(format!("`{text}` is {error}; `vfwire list` shows those of this machine; `sim:igbvf` is a simulated port"))
        })
    }
}

fn parse_simulated(text: &str, rest: &str) -> Result<SimAddress, AddressError> {
    let mut words = rest.split(',');
    let driver = words.next().unwrap_or_default().to_owned();
    let mut address = SimAddress {
        text: text.to_owned(),
        driver,
        mac: None,
        link: None,
        looped: false,
        wire: Box::default(),
        frame_bytes: None,
        device: Vec::new(),
    };
    for word in words {
        let refused = |why: &str| AddressError(format!("`{word}` in `{text}` {why}"));
        if word == "loop" {
            address.looped = true;
            continue;
        }
        let (name, value) = word.split_once('=').ok_or_else(|| refused("is not OPTION=VALUE"))?;
        match name {
            "mac" => {
                let mac: MacAddr = value.parse().map_err(|_| refused("has no MAC address, such as 02:00:00:00:00:05"))?;
                address.mac = Some(Some(mac).filter(|mac| mac.is_unicast()).ok_or_else(|| refused("is not the address of one station"))?);
            }
            "link" if !value.is_empty() => address.link = Some(value.to_owned()),
            "frame" => {
                let length = value.parse().ok().filter(|bytes| FRAME_BYTES.contains(bytes));
                address.frame_bytes = Some(length.ok_or_else(|| refused("is not a length of 60 to 9014 bytes"))?);
            }
            "delay" => address.wire.delay_ns = time_ns(value).ok_or_else(|| refused(NO_TIME))?,
            "jitter" => address.wire.jitter_ns = time_ns(value).ok_or_else(|| refused(NO_TIME))?,
            "loss" => address.wire.loss = share(value).ok_or_else(|| refused(NO_SHARE))?,
            "duplicate" => address.wire.duplicate = share(value).ok_or_else(|| refused(NO_SHARE))?,
            "reorder" => address.wire.reorder = share(value).ok_or_else(|| refused(NO_SHARE))?,
            "corrupt" => address.wire.corrupt = share(value).ok_or_else(|| refused(NO_SHARE))?,
            "rate" => address.wire.bits_per_s = bits_per_s(value).ok_or_else(|| refused("is no speed of 1M to 1000G"))?,
            "seed" => address.wire.seed = value.parse().map_err(|_| refused("is no number"))?,
            _ => address.device.push((name.to_owned(), value.to_owned())),
        }
    }
    if address.looped && address.link.is_some() {
        return Err(AddressError(format!("`{text}`: a wire that comes back (`loop`) has no other end: leave `link` out")));
    }
    Ok(address)
}

const NO_TIME: &str = "is no time of up to 2s, such as 1ms or 250us";
const NO_SHARE: &str = "is no share of 0% to 100%";

/// Longer than that a frame's departure cannot be told.
fn time_ns(text: &str) -> Option<u64> {
    const MOST_NS: u64 = 2_000_000_000;
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ns = match unit {
        "ns" => 1,
        "us" => 1000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ns).filter(|&ns| ns <= MOST_NS)
}

fn share(text: &str) -> Option<f64> {
    let percent: f64 = text.strip_suffix('%')?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

fn bits_per_s(text: &str) -> Option<u64> {
    let unit = if text.ends_with('M') { 1_000_000 } else { 1_000_000_000 };
    let number: u64 = text.strip_suffix(['M', 'G'])?.parse().ok()?;
    number.checked_mul(unit).filter(|bits| (1_000_000..=1_000_000_000_000).contains(bits))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(address) => address.fmt(f),
            Self::Sim(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for SimAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<PciAddress> for Address {
    fn from(address: PciAddress) -> Self {
        Self::Pci(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<Address>().expect_err(text).to_string()
    }

    #[test]
    fn both_kinds_are_read_and_written() {
        for (text, written) in
            [("3b:02.1", "0000:3b:02.1"), ("sim:igbvf", "sim:igbvf"), ("sim:igbvf,link=a,mtu=3", "sim:igbvf,link=a,mtu=3")]
        {
            assert_eq!(text.parse::<Address>().expect("an address").to_string(), written);
        }
    }

    #[test]
    fn options_of_the_wire_and_of_the_device_are_told_apart() {
        let Ok(Address::Sim(address)) = "sim:igbvf,spoofchk=off,mac=02:00:00:00:00:05,frame=1514,link=a".parse() else { panic!() };
        assert_eq!(address.driver, "igbvf");
        assert_eq!(address.mac, Some(MacAddr([2, 0, 0, 0, 0, 5])));
        assert_eq!((address.link.as_deref(), address.frame_bytes), (Some("a"), Some(1514)));
        assert_eq!(address.device, [("spoofchk".to_owned(), "off".to_owned())]);
    }

    #[test]
    fn what_is_wrong_with_the_wire_is_read() {
        let Ok(Address::Sim(address)) = "sim:igbvf,loop,delay=1ms,jitter=5us,loss=1%,rate=10G,seed=3".parse() else { panic!() };
        let wire =
            Impairment { delay_ns: 1_000_000, jitter_ns: 5000, loss: 0.01, bits_per_s: 10_000_000_000, seed: 3, ..Impairment::default() };
        assert!(address.looped && *address.wire == wire && address.device.is_empty(), "{address:?}");
        for (text, word) in [
            ("sim:igbvf,delay=3s", "up to 2s"),
            ("sim:igbvf,delay=1", "up to 2s"),
            ("sim:igbvf,loss=101%", "0% to 100%"),
            ("sim:igbvf,loss=NaN%", "0% to 100%"),
            ("sim:igbvf,rate=0G", "1M to 1000G"),
            ("sim:igbvf,seed=x", "no number"),
            ("sim:igbvf,loop,link=a", "leave `link` out"),
        ] {
            assert!(refusal(text).contains(word), "{}", refusal(text));
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        assert!(refusal("eth0").contains("`eth0`") && refusal("eth0").contains("sim:igbvf"));
        for (text, word) in [
            ("sim:igbvf,spoofchk", "OPTION=VALUE"),
            ("sim:igbvf,mac=5", "MAC address"),
            ("sim:igbvf,mac=ff:ff:ff:ff:ff:ff", "one station"),
            ("sim:igbvf,frame=59", "60 to 9014"),
            ("sim:igbvf,frame=x", "60 to 9014"),
        ] {
            assert!(refusal(text).contains(word) && refusal(text).contains(text), "{}", refusal(text));
        }
    }
}
