//! What `vfwire generate` takes.

use crate::cli::{Failure, given::Wanted, observe::ObserveOptions, options::RunTime};
use std::{net::IpAddr, path::PathBuf, str::FromStr, time::Duration};
use vfwire::{Address, MacAddr};
use vfwire_traffic::{Combine, FlowConfig, Protocol, Ranges, Rate, Sizes, Stream, StreamConfig, TrafficError, Vlan};

/// Send test frames at a rate, and say what became of them: loss, order, duplicates, damage, latency
///
/// With one port its frames are expected back on it, with two each one's frames at the other. Without --port it takes the VFs that this pod
/// was granted; outside a pod, a simulated pair that is wired to each other, on any machine.
///
/// Sizes are counted as RFC 2544 counts them, with the FCS: 64 is the shortest frame. Ranges such as 10.0.0.1-10.0.0.254 make flows;
/// several are separated by commas.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// How fast, in each direction: 1Mpps, 250kpps, 2Gbps (on the line, preamble and gap counted), 40% of the line, or max
    #[arg(long, value_name = "RATE", default_value = "10kpps")]
    pub(super) rate: Rate,
    /// Lengths of frames, FCS counted: one, a list that is taken in turn, or imix (7 of 64, 4 of 570, 1 of 1518)
    #[arg(long, value_name = "BYTES", default_value = "64")]
    size: Sizes,
    /// How long to send: 500ms, 10s, 2m, 1h or forever (until SIGINT or SIGTERM)
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(super) duration: RunTime,
    /// How long frames are waited for after the last was sent
    #[arg(long, value_name = "TIME", default_value = "500ms")]
    pub(super) drain: RunTime,
    /// How many flows [default: as many as the ranges give]
    #[arg(long, value_name = "N")]
    flows: Option<u64>,
    /// How ranges are put together: zip (the n-th value of each) or mix (every value with every other)
    #[arg(long, value_name = "HOW", default_value = "zip")]
    combine: Combine,
    /// Destination MAC addresses [default: those of the port where the frames are expected]
    #[arg(long, value_name = "MACS")]
    dst_mac: Option<Ranges<MacAddr>>,
    /// Source MAC addresses [default: the port's own; PFs drop others unless spoofchk is off]
    #[arg(long, value_name = "MACS")]
    src_mac: Option<Ranges<MacAddr>>,
    /// VLANs of the frames; the ports join them
    #[arg(long, value_name = "IDS")]
    vlan: Option<Ranges<Vlan>>,
    /// Source addresses, IPv4 or IPv6
    #[arg(long, value_name = "ADDRESSES", default_value = "198.18.0.1")]
    src_ip: Ranges<IpAddr>,
    /// Destination addresses
    #[arg(long, value_name = "ADDRESSES", default_value = "198.19.0.1")]
    dst_ip: Ranges<IpAddr>,
    /// udp or tcp
    #[arg(long, value_name = "NAME", default_value = "udp")]
    protocol: Protocol,
    /// Source ports; with --flows and no range they count up from here
    #[arg(long, value_name = "PORTS", default_value = "49152")]
    src_port: Ranges<u16>,
    /// Destination ports
    #[arg(long, value_name = "PORTS", default_value = "9")]
    dst_port: Ranges<u16>,
    /// Send the frames of this pcap or pcapng file from the first port, in place of test frames, and count what comes back
    #[arg(long, value_name = "FILE")]
    pub(super) replay: Option<PathBuf>,
    /// How fast they are sent: original, 2x, 0.5x or max
    #[arg(long, value_name = "SPEED", default_value = "original", requires = "replay")]
    pub(super) replay_speed: Speed,
    /// How often they are sent, within --duration
    #[arg(long = "loop", value_name = "N", default_value_t = 1, requires = "replay", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) loops: u64,
    /// Leave out the checksums of UDP and payload: cheaper, and damage is seen by the length alone
    #[arg(long)]
    no_checksum: bool,
    /// Keep the latency of every flow by itself, of up to 1024
    #[arg(long)]
    pub(super) latency_per_flow: bool,
    /// Send from the first port only
    #[arg(long)]
    pub(super) one_way: bool,
    /// Longest payload of a frame in bytes, without Ethernet header and VLAN tag
    #[arg(long, value_name = "BYTES", default_value_t = 1500)]
    pub(super) mtu: u16,
    /// CPU to poll on [default: in a pod the first of its own; elsewhere wherever the scheduler puts it]
    #[arg(long, value_name = "CPU")]
    pub(super) core: Option<usize>,
    /// Print the summary as one JSON object on stdout
    #[arg(long)]
    pub(super) json: bool,
    /// DMA memory on normal pages: nothing to reserve on the host, but slower
    #[arg(long)]
    pub(super) no_hugepages: bool,
    #[command(flatten)]
    pub(super) observe: ObserveOptions,
    /// Keep capabilities and system calls that generating does not need
    #[arg(long)]
    pub(super) no_sandbox: bool,
}

/// How fast a recording is sent; nothing: as fast as possible.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed(pub(super) Option<f64>);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let times = |text: &str| text.strip_suffix('x')?.parse().ok().filter(|times| (0.001..=1000.0).contains(times));
        match text {
            "original" => Ok(Self(Some(1.0))),
            "max" => Ok(Self(None)),
            _ => times(text).map(|times| Self(Some(times))).ok_or_else(|| "give original, max, or 0.001x to 1000x".to_owned()),
        }
    }
}

/// Joining takes the PF a request each; no PF of ours grants more.
const VLANS_MAX: u64 = 64;

impl Options {
    /// What is sent from a station to another.
    pub(super) fn stream(&self, from: MacAddr, to: MacAddr) -> Result<Stream, TrafficError> {
        let flows = FlowConfig {
            dst_mac: self.dst_mac.clone().unwrap_or_else(|| Ranges::one(to)),
            src_mac: self.src_mac.clone().unwrap_or_else(|| Ranges::one(from)),
            vlan: self.vlan.clone(),
            src_ip: self.src_ip.clone(),
            dst_ip: self.dst_ip.clone(),
            protocol: self.protocol,
            src_port: self.src_port.clone(),
            dst_port: self.dst_port.clone(),
            combine: self.combine,
            count: self.flows,
        };
        let checksums = !self.no_checksum;
        Stream::new(&StreamConfig { flows, sizes: self.size.clone(), mtu_bytes: self.mtu, checksums })
    }

    /// Refuses what cannot be, whatever the ports are.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let station = |last| MacAddr([2, 0, 0, 0, 0, last]);
        self.stream(station(1), station(2)).map_err(Failure::usage)?;
        if self.wanted.ports.len() > 2 {
            return Err(Failure::usage(format!("--port was given {} times: give one, or two", self.wanted.ports.len())));
        }
        // Each `sim:` is a function of its own.
        if let [first @ Address::Pci(_), second] = &self.wanted.ports[..]
            && first == second
        {
            return Err(Failure::usage(format!("--port {first} was given twice: name each port once")));
        }
        if self.vlan.as_ref().is_some_and(|vlans| vlans.len() > VLANS_MAX) {
            return Err(Failure::usage(format!("--vlan has more than {VLANS_MAX} VLANs: a port cannot join so many")));
        }
        Ok(())
    }

    /// The VLANs that ports join.
    pub(super) fn vlans(&self) -> impl Iterator<Item = u16> {
        let vlans = self.vlan.iter();
        vlans.flat_map(|vlans| (0..vlans.len()).map(|at| vlans.get(at).0.get()).filter(|&id| id != 0))
    }

    pub(super) fn longest_host_bytes(&self) -> u32 {
        u32::from(self.size.longest())
    }

    pub(super) fn sizes(&self) -> &Sizes {
        &self.size
    }

    /// As long as that; ten years where it is to go on for ever.
    pub(super) fn time(&self) -> Duration {
        self.duration.0.unwrap_or(Duration::from_secs(10 * 365 * 24 * 3600))
    }
}
