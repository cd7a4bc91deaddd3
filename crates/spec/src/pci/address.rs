//! Where a PCI function is: domain, bus, device and function, written as `lspci -D` writes them.

use core::{fmt, str::FromStr};

/// The address of a PCI function: `0000:3b:02.1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// A text that is not a PCI address. Whoever says it names the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPciAddress;

impl fmt::Display for NoPciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a PCI address: expected DOMAIN:BUS:DEVICE.FUNCTION in hexadecimal, such as 0000:3b:02.1")
    }
}

impl core::error::Error for NoPciAddress {}

impl PciAddress {
    /// The address in `text` where it has all its digits, which is how programs write it: `0000:3b:02.1`, not `3b:2.1`.
    pub fn full(text: &str) -> Option<Self> {
        let fields = Fields::of(text)?;
        let is_full = fields.domain.is_some() && fields.bus.len() == 2 && fields.device.len() == 2;
        if is_full { fields.address() } else { None }
    }
}

impl FromStr for PciAddress {
    type Err = NoPciAddress;

    /// Accepts the full form, `0000:3b:02.1`, and the one without a domain, `3b:02.1`, which means domain 0.
    fn from_str(text: &str) -> Result<Self, NoPciAddress> {
        Fields::of(text).and_then(|fields| fields.address()).ok_or(NoPciAddress)
    }
}

/// The parts of a text, not looked into yet.
struct Fields<'a> {
    domain: Option<&'a str>,
    bus: &'a str,
    device: &'a str,
    function: &'a str,
}

impl<'a> Fields<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (rest, function) = text.trim().rsplit_once('.')?;
        let (rest, device) = rest.rsplit_once(':')?;
        let (domain, bus) = rest.rsplit_once(':').map_or((None, rest), |(domain, bus)| (Some(domain), bus));
        Some(Self { domain, bus, device, function })
    }

    fn address(&self) -> Option<PciAddress> {
        let domain = match self.domain {
            None => 0,
            // Linux domains have at least four digits, and more where the bridge is not an ACPI one (10000 behind VMD).
            Some(domain) if domain.len() >= 4 => hex(domain, 8)?,
            Some(_) => return None,
        };
        let byte = |text, digits| u8::try_from(hex(text, digits)?).ok();
        let (bus, device, function) = (byte(self.bus, 2)?, byte(self.device, 2)?, byte(self.function, 1)?);
        // PCI Local Bus 3.0, 3.2.2.3.2: 32 devices a bus, 8 functions a device.
        (device < 32 && function < 8).then_some(PciAddress { domain, bus, device, function })
    }
}

fn hex(text: &str, digits_max: usize) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= digits_max && text.bytes().all(|byte| byte.is_ascii_hexdigit());
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
    use std::string::ToString;

    #[test]
    fn full_short_and_upper_case_forms() {
        for (text, want) in [("0000:3b:02.1", "0000:3b:02.1"), ("3b:02.1", "0000:3b:02.1"), ("10000:E1:1F.7\n", "10000:e1:1f.7")] {
            assert_eq!(text.parse::<PciAddress>().unwrap().to_string(), want);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "eth0", "0000:3b:02", "3b:20.0", "3b:02.8", "3b:02.1.2", "000:3b:02.1", "0000:+b:02.1", "0000:3b:02.01", ":3b:02.1"]
        {
            assert_eq!(text.parse::<PciAddress>(), Err(NoPciAddress), "{text}");
        }
    }

    #[test]
    fn programs_write_full_addresses_only() {
        assert_eq!(PciAddress::full("10000:E1:1f.7").map(|address| address.to_string()).as_deref(), Some("10000:e1:1f.7"));
        for text in
            ["", "3b:02.1", "0000:b:02.1", "0000:3b:2.1", "0000:3b:20.1", "0000:3b:02.8", "0000:+b:02.1", "mlx5_core.sf.2", "0000:3b:02.1,"]
        {
            assert_eq!(PciAddress::full(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(domain: u32, bus: u8, device in 0u8..32, function in 0u8..8) {
            let address = PciAddress { domain, bus, device, function };
            prop_assert_eq!(address.to_string().parse::<PciAddress>(), Ok(address));
            prop_assert_eq!(PciAddress::full(&address.to_string()), Some(address));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:.x é]{0,16}") {
            let _ = (text.parse::<PciAddress>(), PciAddress::full(&text));
        }
    }
}
