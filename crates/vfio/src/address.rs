//! Where a PCI function is: domain, bus, device and function, written as `lspci -D` writes them.

use std::{fmt, str::FromStr};

/// The address of a PCI function: `0000:3b:02.1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// A text that is not a PCI address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a PCI address: expected DOMAIN:BUS:DEVICE.FUNCTION in hexadecimal, such as 0000:3b:02.1; `vfwire list` shows those of \
     this machine"
)]
pub struct AddressError {
    text: String,
}

impl FromStr for PciAddress {
    type Err = AddressError;

    /// Accepts the full form, `0000:3b:02.1`, and the one without a domain, `3b:02.1`, which means domain 0.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text.trim()).ok_or_else(|| AddressError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<PciAddress> {
    let (rest, function) = text.rsplit_once('.')?;
    let (rest, device) = rest.rsplit_once(':')?;
    let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0000", rest));
    // Linux domains have at least four digits, and more where the bridge is not an ACPI one (10000 behind VMD).
    let domain = if domain.len() >= 4 { hex(domain, 8)? } else { return None };
    let address = PciAddress {
        domain,
        bus: u8::try_from(hex(bus, 2)?).ok()?,
        device: u8::try_from(hex(device, 2)?).ok()?,
        function: u8::try_from(hex(function, 1)?).ok()?,
    };
    // PCI Local Bus 3.0, 3.2.2.3.2: 32 devices a bus, 8 functions a device.
    (address.device < 32 && address.function < 8).then_some(address)
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

    #[test]
    fn full_short_and_upper_case_forms() {
        for (text, want) in [("0000:3b:02.1", "0000:3b:02.1"), ("3b:02.1", "0000:3b:02.1"), ("10000:E1:1F.7\n", "10000:e1:1f.7")] {
            assert_eq!(text.parse::<PciAddress>().unwrap().to_string(), want);
        }
    }

    #[test]
    fn what_is_no_address_is_named_with_an_example() {
        for text in
            ["", "eth0", "0000:3b:02", "3b:20.0", "3b:02.8", "3b:02.1.2", "000:3b:02.1", "0000:+b:02.1", "0000:3b:02.01", ":3b:02.1"]
        {
            let error = text.parse::<PciAddress>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("0000:3b:02.1"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(domain: u32, bus: u8, device in 0u8..32, function in 0u8..8) {
            let address = PciAddress { domain, bus, device, function };
            prop_assert_eq!(address.to_string().parse::<PciAddress>(), Ok(address));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:.x é]{0,16}") {
            let _ = text.parse::<PciAddress>();
        }
    }
}
