//! What a driver did that its device's data sheet forbids.

use std::fmt;

/// Violations that are kept; further ones are counted.
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

/// The violations of a device, in order.
#[derive(Debug, Default)]
pub struct Violations {
    kept: Vec<Violation>,
    count: u64,
}

impl Violations {
    pub(crate) fn record(&mut self, rule: &'static str, detail: impl fmt::Display) {
        self.count += 1;
        if self.kept.len() < KEPT {
            self.kept.push(Violation { rule, detail: detail.to_string() });
        }
    }

    /// The first 64.
    pub fn as_slice(&self) -> &[Violation] {
        &self.kept
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }
}
