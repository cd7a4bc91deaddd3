//! What stops a queue of a device.

use crate::fault::DmaFault;

/// Why a queue stops.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The IOMMU refused an access.
    Fault(DmaFault),
    /// The driver broke a rule; the rest says how.
    Rule(&'static str, String),
}

impl From<DmaFault> for Stop {
    fn from(fault: DmaFault) -> Self {
        Self::Fault(fault)
    }
}

impl Stop {
    /// A broken rule where `holds` is false.
    #[inline(always)]
    pub(crate) fn unless(holds: bool, rule: &'static str, detail: impl FnOnce() -> String) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::Rule(rule, detail())) }
    }
}
