//! What a driver did that its device's data sheet forbids.

use std::fmt;

/// Violations that are kept: a driver that breaks a rule a frame must not fill the memory.
const KEPT: usize = 64;

/// A use of the device that its data sheet forbids. Tests assert that there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The rule that was broken.
    pub rule: &'static str,
    /// What was done.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.rule, self.detail)
    }
}

/// The first violations of a device, in order.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<Violation>);

impl Violations {
    pub(crate) fn record(&mut self, rule: &'static str, detail: impl fmt::Display) {
        if self.0.len() < KEPT {
            self.0.push(Violation { rule, detail: detail.to_string() });
        }
    }

    /// The first 64.
    pub(crate) fn as_slice(&self) -> &[Violation] {
        &self.0
    }
}
