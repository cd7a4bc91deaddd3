//! The scenarios: one table, one function each.

mod traffic;

use anyhow::Result;

use super::lab::Lab;

/// One thing that the guest proves.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) proves: &'static str,
    /// Runs only when asked for by name or with `--long`.
    pub(super) long: bool,
    pub(super) run: fn(&mut Lab) -> Result<()>,
}

const fn scenario(name: &'static str, proves: &'static str, run: fn(&mut Lab) -> Result<()>) -> Scenario {
    Scenario { name, proves, long: false, run }
}

/// All scenarios in the order in which they run.
pub(super) const SCENARIOS: &[Scenario] = &[
    scenario("mac-swap", "one VF returns 20,000 frames of 60 to 1514 bytes at windows 1, 32 and 128, every byte compared", traffic::mac_swap),
    scenario("two-ports", "20,000 frames each way between two wires through two VFs, MACs given by the PF, every byte compared", traffic::two_ports),
];
