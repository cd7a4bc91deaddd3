//! The scenarios: one table, one function each.

mod checksums;
mod filters;
mod flows;
mod instrument;
mod judge;
mod life;
mod modes;
mod peer;
mod pod;
mod recorder;
mod recovery;
mod refusals;
mod removal;
mod segments;
mod traffic;
mod user;
mod virtio;

use anyhow::Result;

use super::devices::Equipment;
use super::lab::Lab;

/// One thing that the guest proves.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) proves: &'static str,
    /// Runs only when asked for by name or with `--long`.
    pub(super) long: bool,
    /// The machine that it runs in.
    pub(super) equipment: Equipment,
    pub(super) run: fn(&mut Lab) -> Result<()>,
}

const fn scenario(name: &'static str, proves: &'static str, run: fn(&mut Lab) -> Result<()>) -> Scenario {
    Scenario { name, proves, long: false, equipment: Equipment::Pfs, run }
}

const fn on_virtio(name: &'static str, proves: &'static str, run: fn(&mut Lab) -> Result<()>) -> Scenario {
    Scenario { name, proves, long: false, equipment: Equipment::Virtio, run }
}

const fn in_containers(name: &'static str, proves: &'static str, run: fn(&mut Lab) -> Result<()>) -> Scenario {
    Scenario { name, proves, long: false, equipment: Equipment::Containers, run }
}

/// All scenarios in the order in which they run, one a line.
#[rustfmt::skip]
pub(super) const SCENARIOS: &[Scenario] = &[
    scenario("judge", "a DMA fault, an unknown register, and frames lost from a port that works are noticed: what all others rely on", judge::notices),
    scenario("mac-swap", "one VF returns 20,000 frames of 60 to 1514 bytes at windows 1, 32 and 128, every byte compared", traffic::mac_swap),
    scenario("two-ports", "20,000 frames each way between two wires through two VFs, MACs given by the PF, every byte compared", traffic::two_ports),
    scenario("vlan", "a VLAN that was joined comes through without its tag, one that was left or never joined does not", filters::vlan),
    scenario("multicast", "a group that was joined and broadcast come through, another group and another station do not", filters::multicast),
    scenario("jumbo", "MTU 9000: frames of up to 9014 bytes span buffers; longer ones than the MTU are dropped", filters::jumbo),
    scenario("peer", "against the kernel's igbvf on the other VF: ping and datagrams of all sizes, checksums offloaded on both sides", peer::plain),
    scenario("peer-vlan", "the same in a VLAN", peer::vlan),
    scenario("peer-jumbo", "the same with frames of 9014 bytes", peer::jumbo),
    scenario("mode-echo", "against the kernel's igbvf: ping and datagrams are answered by the forwarder's own mode", modes::echo),
    scenario("mode-l3", "the kernel pings itself across two networks, IPv4 and IPv6, through our router on two VFs", modes::l3),
    scenario("checksums", "answers carry the checksums computed here; requests with wrong ones are not answered", checksums::checksums),
    scenario("ordinary-user", "uid 1000 with the group node and exactly the locked memory that the error names; less is refused", user::ordinary_user),
    scenario("no-hugepages", "without hugepages it runs on normal pages where asked to, and says so", user::no_hugepages),
    scenario("killed", "kill -9 under traffic and start again, ten times: traffic flows at once", life::killed),
    scenario("pf-down-up", "under traffic the PF goes down and up: the port recovers, and no frame is lost but while it said that it did not run", recovery::pf_down_up),
    scenario("pf-mtu", "the same where the PF changes its MTU", recovery::pf_mtu),
    scenario("function-reset", "the same where the kernel resets the function", recovery::function_reset),
    scenario("mac-changed", "the same where the PF gives the VF another address, which is adopted and reported at the next reset", recovery::mac_changed),
    scenario("cable", "the same where the cable is pulled and plugged in: LinkDown and LinkUp", recovery::cable),
    scenario("bus-error", "the same where the bus reports an uncorrectable error (AER)", recovery::bus_error),
    scenario("unbound", "under traffic the VF is unbound: Removed is said, it is let go of within 1 s, nothing is lost before, the next start works", removal::unbound),
    scenario("no-vfs", "the same for sriov_numvfs = 0", removal::no_vfs),
    scenario("unplugged", "the same where the PF is unplugged, and plugged in again", removal::unplugged),
    scenario("flight-recorder", "a recording of a start, a refusal, a PF reset and a stop is told in words, and the driver does the same again", recorder::replays),
    scenario("bench", "between two VFs through the switch of the NIC throughput is found for 64 and 1518 bytes; result and report are kept", instrument::bench),
    scenario("generate", "10,000 test frames each way between two VFs: each arrives once, whole and in order", instrument::generate),
    scenario("capture", "one VF sends, the other captures what a filter chooses and serves metrics; tshark reads the file", instrument::capture),
    scenario("list", "shows every function, the one that can be driven, and why the others cannot", refusals::list),
    scenario("bad-input", "each mistake has its exit code and an error that says what to do, and leaves the VF usable", refusals::bad_input),
    Scenario { name: "matrix", proves: "MTUs, burst sizes and windows in all combinations, 20,000 frames each", long: true, equipment: Equipment::Pfs, run: traffic::matrix },
    in_containers("pod-crun", "crun runs the image as uid 1000 with no capability: doctor finds all well, 2,000 frames are compared byte for byte", pod::crun),
    in_containers("pod-runc", "the same with runc", pod::runc),
    in_containers("pod-crun-grants", "each grant that is missing in turn: doctor names it, the forwarder's error says what to do, or it runs with a warning", pod::crun_grants),
    Scenario { name: "pod-runc-grants", proves: "the same with runc", long: true, equipment: Equipment::Containers, run: pod::runc_grants },
    on_virtio("virtio-kernel", "the kernel's own driver bridges pairs of functions of all kinds: their wires and taps carry 5,000 frames each way whole", virtio::kernel),
    on_virtio("virtio-mac-swap", "split and packed, in order, one buffer a frame: each returns 20,000 frames of 60 to 1514 bytes, every byte compared", virtio::mac_swap),
    on_virtio("virtio-tap", "the same on tap devices, split and packed", virtio::tap),
    on_virtio("virtio-jumbo", "MTU 9000: frames of up to 9014 bytes are merged from buffers; longer ones than the MTU are dropped", virtio::jumbo),
    on_virtio("virtio-single", "a device that merges no buffers takes no long frames, and the error says so", virtio::single),
    on_virtio("virtio-filters", "groups, broadcast and promiscuous mode: what was asked for comes through, other frames do not", virtio::filters),
    on_virtio("virtio-vlan", "a VLAN that was joined comes through with its tag, one that was left does not", virtio::vlan),
    on_virtio("virtio-two-drivers", "igbvf and virtio-net in one process forward 20,000 frames each way; so do split and packed", virtio::two_drivers),
    on_virtio("virtio-ping", "the kernel's virtio-net talks to ours over a wire: ping and datagrams of all sizes", virtio::ping),
    on_virtio("virtio-killed", "kill -9 under traffic and start again, three times each: traffic flows at once", virtio::killed),
    on_virtio("virtio-function-reset", "under traffic the kernel resets the function: no frame is lost but while the port said that it did not run", virtio::function_reset),
    on_virtio("virtio-cable", "the same where the link goes down and up: LinkDown and LinkUp", virtio::cable),
    on_virtio("virtio-bus-error", "the same where the bus reports an uncorrectable error (AER)", virtio::bus_error),
    on_virtio("virtio-unbound", "under traffic the function is unbound: Removed is said, it is let go of within 1 s, nothing is lost before, the next start works", virtio::unbound),
    on_virtio("virtio-unplugged", "the same where the function is unplugged, and plugged in again", virtio::unplugged),
    on_virtio("virtio-queues", "two workers on two queue pairs share 64 flows through RSS, each flow whole and in order", flows::two_queues),
    on_virtio("virtio-hash", "the hash reported with each frame is Toeplitz's, computed here, and its queue is the table's", flows::hashes),
    on_virtio("virtio-tso", "frames of 30,000 bytes of TCP payload, IPv4 and IPv6, become right segments as the kernel of the tap cuts them", segments::segmented),
    on_virtio("virtio-checksums", "checksums on tap devices: the kernel completes those that the device left open, and they are right", virtio::checksums),
];
