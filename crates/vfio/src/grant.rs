//! What opening a function takes beyond its address.

use crate::{PciAddress, VfioError};
use std::{io, path::PathBuf};

/// What whoever granted a function said of it. Nothing of it is needed as a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The node of its IOMMU group in this container, where that is another one than sysfs suggests.
    pub node: Option<PathBuf>,
    /// The token of a VF whose PF is bound to vfio-pci too, a UUID.
    pub token: Option<String>,
}

impl Grant {
    /// What the kernel is asked for: the address and options, separated by spaces (Linux, `vfio_pci_core_match_token_uuid`).
    pub(crate) fn device_name(&self, address: PciAddress) -> Result<String, VfioError> {
        let Some(token) = &self.token else { return Ok(address.to_string()) };
        if !token.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
            let error = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(VfioError::io(format!("the token `{}` of {address} is no UUID", token.escape_debug()), error));
        }
        Ok(format!("{address} vf_token={token}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_follows_the_address_and_nothing_else_does() {
        let name = |token: Option<&str>| {
            let grant = Grant { token: token.map(str::to_owned), ..Grant::default() };
            grant.device_name("3b:02.1".parse().expect("an address"))
        };
        assert_eq!(name(None).expect("a name"), "0000:3b:02.1");
        let token = "3e49019f-412f-4f02-824e-4cd195944205";
        assert_eq!(name(Some(token)).expect("a name"), format!("0000:3b:02.1 vf_token={token}"));
        let error = name(Some("x vf_token=y")).expect_err("no UUID").to_string();
        assert!(error.contains("`x vf_token=y` of 0000:3b:02.1"), "{error}");
    }
}
