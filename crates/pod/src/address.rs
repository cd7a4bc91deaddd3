//! The address of a PCI function, as Kubernetes' agents write it.

use std::{fmt, str::FromStr};

/// The address of a PCI function: `0000:3b:02.1`, in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// A text that is no PCI address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAddress;

impl FromStr for PciAddress {
    type Err = NoAddress;

    /// The full form only, which is what all agents write: `0000:3b:02.1`.
    fn from_str(text: &str) -> Result<Self, NoAddress> {
        parse(text.trim()).ok_or(NoAddress)
    }
}

fn parse(text: &str) -> Option<PciAddress> {
    let (rest, function) = text.rsplit_once('.')?;
    let (rest, device) = rest.rsplit_once(':')?;
    let (domain, bus) = rest.rsplit_once(':')?;
    let address = PciAddress {
        // Four digits, and more behind bridges that make domains of their own (Intel VMD).
        domain: hex(domain, 4..=8)?,
        bus: u8::try_from(hex(bus, 2..=2)?).ok()?,
        device: u8::try_from(hex(device, 2..=2)?).ok()?,
        function: u8::try_from(hex(function, 1..=1)?).ok()?,
    };
    // PCI Local Bus 3.0, 3.2.2.3.2: 32 devices a bus, 8 functions a device.
    (address.device < 32 && address.function < 8).then_some(address)
}

fn hex(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let plain = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if plain { u32::from_str_radix(text, 16).ok() } else { None }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

impl fmt::Debug for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn full_addresses_only() {
        assert_eq!("10000:E1:1f.7".parse::<PciAddress>().map(|address| address.to_string()).as_deref(), Ok("10000:e1:1f.7"));
        for text in ["", "3b:02.1", "0000:3b:20.1", "0000:3b:02.8", "0000:+b:02.1", "mlx5_core.sf.2", "0000:3b:02.1,"] {
            assert_eq!(text.parse::<PciAddress>(), Err(NoAddress), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(domain: u32, bus: u8, device in 0u8..32, function in 0u8..8) {
            let address = PciAddress { domain, bus, device, function };
            prop_assert_eq!(address.to_string().parse::<PciAddress>(), Ok(address));
        }
    }
}
