//! The scenarios: one table, one function each.

mod checksums;
mod filters;
mod judge;
mod life;
mod peer;
mod refusals;
mod traffic;
mod user;

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

/// All scenarios in the order in which they run, one a line.
#[rustfmt::skip]
pub(super) const SCENARIOS: &[Scenario] = &[
    scenario("judge", "a DMA fault, an unknown register and a lost frame are noticed: what all others rely on", judge::notices),
    scenario("mac-swap", "one VF returns 20,000 frames of 60 to 1514 bytes at windows 1, 32 and 128, every byte compared", traffic::mac_swap),
    scenario("two-ports", "20,000 frames each way between two wires through two VFs, MACs given by the PF, every byte compared", traffic::two_ports),
    scenario("vlan", "a VLAN that was joined comes through without its tag, another does not", filters::vlan),
    scenario("multicast", "a group that was joined and broadcast come through, another group and another station do not", filters::multicast),
    scenario("jumbo", "MTU 9000: frames of up to 9014 bytes span buffers; longer ones than the MTU are dropped", filters::jumbo),
    scenario("peer", "against the kernel's igbvf on the other VF: ping and datagrams of all sizes, checksums offloaded on both sides", peer::plain),
    scenario("peer-vlan", "the same in a VLAN", peer::vlan),
    scenario("peer-jumbo", "the same with frames of 9014 bytes", peer::jumbo),
    scenario("checksums", "answers carry the checksums computed here; requests with wrong ones are not answered", checksums::checksums),
    scenario("ordinary-user", "uid 1000 with the group node and exactly the locked memory that the error names; less is refused", user::ordinary_user),
    scenario("no-hugepages", "without hugepages it runs on normal pages where asked to, and says so", user::no_hugepages),
    scenario("killed", "kill -9 under traffic and start again, ten times: traffic flows at once", life::killed),
    scenario("asked-back", "unbind and sriov_numvfs = 0 while it runs: Removed is reported, it ends, the request completes", life::asked_back),
    scenario("recovers", "the PF goes down and up, or changes its MTU: ResetStarted, Recovered, and traffic flows again", life::recovers),
    scenario("list", "shows every function, the one that can be driven, and why the others cannot", refusals::list),
    scenario("bad-input", "each mistake has its exit code and an error that says what to do, and leaves the VF usable", refusals::bad_input),
    Scenario { name: "matrix", proves: "MTUs, burst sizes and windows in all combinations, 20,000 frames each", long: true, run: traffic::matrix },
];
