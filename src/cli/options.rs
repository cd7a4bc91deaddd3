//! What `vfwire forward` takes, and what of it is refused before anything is opened.

use super::{
    Failure,
    capture::CaptureOptions,
    given::Wanted,
    modes::{ModeOptions, Topology},
};
use clap::{Args, FromArgMatches};
use std::{collections::BTreeSet, path::PathBuf, str::FromStr, time::Duration};
use vfwire::{Address, BURST_MAX, HugepageChoice, Intent, MacAddr, Path};

/// Forward frames: one port sends them back where they came from, two send each to the other, several as their mode says
///
/// Without --port it takes the VFs that this pod was granted: the one, or the two, of its only resource; of several, those that --network
/// names. Outside a pod it runs a simulated pair of ports with a traffic source each, on any machine.
///
/// Mode io keeps the source MAC of every frame, which is not the VF's own. PFs drop such frames silently unless their administrator has
/// switched the check off: `ip link set PF vf N spoofchk off`. Mode flood does too, and mode mac-swap for frames that were not sent to the VF's
/// own address (broadcast, multicast, --promiscuous). Simulated PFs check as real ones do: `sim:igbvf,spoofchk=off` switches it off.
///
/// Frames that find a transmit ring full wait for it some tens of milliseconds, and are then dropped and counted (tx_dropped).
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    #[command(flatten)]
    pub(super) modes: ModeOptions,
    /// Most frames taken at once, 1 to 256
    #[arg(long, value_name = "FRAMES", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=BURST_MAX as i64))]
    pub(super) burst: u16,
    /// How long to run: 500ms, 10s, 2m, 1h or forever (until SIGINT or SIGTERM)
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(super) duration: RunTime,
    /// Workers: each polls a queue pair of its own of every port, on a CPU of its own [default: one queue pair a port]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=WORKERS_MAX))]
    pub(super) workers: Option<u16>,
    /// CPUs to poll on, such as 2 or 2,3 or 4-7, one for each of --workers; without --workers one or one for each port [default: in a pod
    /// those of its cpuset, on the VF's NUMA node first; elsewhere with --workers above 1 the last ones that this process may use, else
    /// wherever the scheduler puts it]
    #[arg(long, value_name = "LIST")]
    pub(super) cores: Option<CoreList>,
    /// Print the summary as one JSON object on stdout, and each event as one on stderr, a line each, with the time of CLOCK_MONOTONIC
    #[arg(long)]
    pub(super) json: bool,
    /// Longest payload of a frame in bytes, without Ethernet header and VLAN tag
    #[arg(long, value_name = "BYTES", default_value_t = 1500)]
    mtu: u16,
    /// A VLAN to join; may be given several times
    #[arg(long = "vlan", value_name = "ID", value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlans: Vec<u16>,
    /// A multicast address to receive; may be given several times
    #[arg(long, value_name = "MAC")]
    multicast: Vec<MacAddr>,
    /// Receive the frames of all stations, where the PF grants it
    #[arg(long)]
    promiscuous: bool,
    /// The port's own MAC address [default: what the PF gives]; with one port only
    #[arg(long, value_name = "MAC")]
    pub(super) mac: Option<MacAddr>,
    /// Descriptors of a receive ring
    #[arg(long, value_name = "DESC", default_value_t = 512)]
    pub(super) rx_desc: u16,
    /// Descriptors of a transmit ring
    #[arg(long, value_name = "DESC", default_value_t = 512)]
    pub(super) tx_desc: u16,
    /// Buffers of the pool [default: those of all rings, and what the workers hold]
    #[arg(long, value_name = "N")]
    pub(super) buffers: Option<u32>,
    /// DMA memory on normal pages: nothing to reserve on the host, but slower
    #[arg(long)]
    no_hugepages: bool,
    /// Compilation of the packet path: scalar, avx2, avx512 [default: the environment's VFWIRE_SIMD, else the fastest]
    #[arg(long, value_name = "NAME", value_parser = parse_path)]
    path: Option<Path>,
    /// Write what the ports and their devices said to one another to this file: at the end, on a failure, and at SIGUSR1. It has no frames
    /// in it; `vfwire inspect FILE` reads it
    #[arg(long, value_name = "FILE")]
    pub(super) flight_recorder: Option<PathBuf>,
    /// Write how it ended, as a JSON object, to this file, which must exist [default: /dev/termination-log, where it exists]
    #[arg(long, value_name = "FILE")]
    pub(super) termination_log: Option<PathBuf>,
    #[command(flatten)]
    pub(super) capture: CaptureOptions,
    /// Keep capabilities and system calls that forwarding does not need
    #[arg(long)]
    pub(super) no_sandbox: bool,
}

/// Ports that most modes join, and that a pod without an option uses at most.
pub(super) const PAIR: usize = 2;
/// More than one process polls well.
const PORTS_MAX: usize = 16;
/// No device has more queue pairs for one function than that.
const WORKERS_MAX: i64 = 256;

impl Options {
    /// Those of a command line without options.
    pub(super) fn defaults() -> Result<Self, Failure> {
        let empty = Self::augment_args(clap::Command::new("forward")).try_get_matches_from(["forward"]);
        empty.and_then(|matches| Self::from_arg_matches(&matches)).map_err(Failure::failed)
    }

    /// Refuses what cannot be, whatever the machine.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let ports = self.ports();
        if ports.len() > PORTS_MAX {
            return Err(Failure::usage(format!("--port was given {} times: one vfwire takes {PORTS_MAX} ports at most", ports.len())));
        }
        self.modes.check(ports.len())?;
        // Each `sim:` is a function of its own.
        let twice = ports.iter().enumerate().find(|(at, port)| matches!(port, Address::Pci(_)) && ports[..*at].contains(port));
        if let Some((_, port)) = twice {
            return Err(Failure::usage(format!("--port {port} was given twice: name each port once")));
        }
        if self.mac.is_some() && ports.len() != 1 {
            return Err(Failure::usage("--mac needs exactly one --port: two ports with one address would be one station"));
        }
        if let Some(mac) = self.mac.filter(|mac| !mac.is_unicast()) {
            return Err(Failure::usage(format!(
                "--mac {mac} is not the address of one station: its first byte must be even, and not all zero"
            )));
        }
        if let Some(mac) = self.multicast.iter().find(|mac| !mac.is_multicast()) {
            return Err(Failure::usage(format!("--multicast {mac} is no multicast address: its first byte must be odd")));
        }
        Ok(())
    }

    /// Whether no port needs a privilege: simulated ones need none.
    pub(super) fn is_simulated(&self) -> bool {
        self.ports().iter().all(|port| matches!(port, Address::Sim(_)))
    }

    pub(super) fn intent(&self) -> Intent {
        Intent {
            mac: self.mac,
            mtu_bytes: self.mtu,
            vlans: self.vlans.iter().copied().collect(),
            multicast: self.multicast.iter().copied().collect(),
            promiscuous: self.promiscuous,
            ..Intent::default()
        }
    }

    /// Most ports that are taken of those that a pod was granted: where a mode joins pairs, which two of several is not clear.
    pub(super) fn most_granted(&self) -> usize {
        if self.modes.mode.topology() == Topology::Paired { PAIR } else { PORTS_MAX }
    }

    /// The ports, once they are found; none: a simulated pair.
    pub(super) fn ports(&self) -> &[Address] {
        &self.wanted.ports
    }

    /// What DMA memory is made of, where hugepages would be `hugepages`.
    pub(super) fn pages(&self, hugepages: HugepageChoice) -> HugepageChoice {
        if self.no_hugepages { HugepageChoice::None } else { hugepages }
    }

    /// Queue pairs of each port: one a worker.
    pub(super) fn queue_pairs(&self) -> u16 {
        self.workers.unwrap_or(1)
    }

    /// The CPUs that the user names.
    pub(super) fn cores(&self) -> &[usize] {
        self.cores.as_ref().map_or(&[], |cores| &cores.0)
    }

    pub(super) fn path(&self) -> Option<Path> {
        self.path
    }
}

fn parse_path(text: &str) -> Result<Path, String> {
    let names = || Path::all().iter().map(|path| path.name()).collect::<Vec<_>>().join(", ");
    Path::named(text).ok_or_else(|| format!("this CPU has {}", names()))
}

/// How long to run; nothing: until a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RunTime(pub(super) Option<Duration>);

impl FromStr for RunTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self(None));
        }
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        let length_ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)).filter(|ms| (1..=MAX_MS).contains(ms));
        length_ms.map(|ms| Self(Some(Duration::from_millis(ms)))).ok_or_else(|| "give 500ms, 10s, 2m, 1h or forever".to_owned())
    }
}

/// Ten years: far beyond what `Instant` is sure to hold is an error, not a panic.
const MAX_MS: u64 = 10 * 365 * 24 * 3_600_000;

/// CPU numbers, each once, in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CoreList(pub(super) Vec<usize>);

impl FromStr for CoreList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// More than any Linux has.
        const CORES_MAX: usize = 8192;
        let refused = || format!("give CPU numbers below {CORES_MAX}, each once, such as 2 or 2,3 or 4-7");
        let number = |text: &str| text.parse().ok().filter(|&core: &usize| core < CORES_MAX).ok_or_else(refused);
        let mut cores = Vec::new();
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            cores.extend(number(first)?..=number(last)?);
        }
        let distinct: BTreeSet<_> = cores.iter().collect();
        if cores.is_empty() || distinct.len() != cores.len() { Err(refused()) } else { Ok(Self(cores)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(text.parse(), Ok(RunTime(Some(Duration::from_millis(ms)))));
        }
        assert_eq!("forever".parse(), Ok(RunTime(None)));
        for text in ["", "10", "s", "0s", "-1s", "1.5s", "1d", "99999999999999999999h", "18446744073709551615h", "é"] {
            assert!(text.parse::<RunTime>().unwrap_err().contains("forever"), "{text}");
        }
    }

    #[test]
    fn lists_of_cores_are_read() {
        for (text, cores) in [("3", &[3][..]), ("2,1", &[2, 1]), ("0,4-6", &[0, 4, 5, 6])] {
            assert_eq!(text.parse(), Ok(CoreList(cores.to_vec())));
        }
        for text in ["", ",", "a", "1,1", "3-1", "0-3,2", "-1", "0-99999999999", "8192"] {
            assert!(text.parse::<CoreList>().is_err(), "{text}");
        }
    }
}
