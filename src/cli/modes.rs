//! What `vfwire forward` can do with frames: its modes with their options, and the stages that they are.

use super::{Failure, given::Given};
use std::{fs, net::IpAddr, net::Ipv4Addr, path::PathBuf, sync::Arc};
use vfwire::{
    Address, MacAddr,
    forward::{
        Stage, Station,
        stages::{Drop, Echo, Io, L3, Mac, MacSwap, Routes},
    },
};

/// Whom a simulated traffic source sends to.
const SIMULATED_PEER: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
/// Lines of a frame of 9014 bytes.
const TOUCH_MAX: i64 = 141;

/// What is done with frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Mode {
    /// Nothing is touched
    Io,
    /// Source and destination MAC addresses are exchanged
    MacSwap,
    /// Sent to --dst-mac, from the port's own MAC address
    Mac,
    /// Received and dropped
    Drop,
    /// ARP, ping and UDP for --ip are answered, by the port that asked
    Echo,
    /// IPv4 and IPv6 are routed by --routes, between all ports
    L3,
    /// Copied to all other ports
    Flood,
}

/// By which port a frame leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Topology {
    /// One port: by itself. Several: by the other one of its pair, the first with the second, the third with the fourth.
    Paired,
    /// By the port that it came by.
    Own,
    /// By any.
    Any,
}

impl Topology {
    /// The port that frames of port `from` leave by, where it is one alone.
    pub(super) fn leaves_by(self, from: usize, ports: usize) -> usize {
        if self == Self::Paired && ports > 1 { from ^ 1 } else { from }
    }
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::MacSwap => "mac-swap",
            Self::Mac => "mac",
            Self::Drop => "drop",
            Self::Echo => "echo",
            Self::L3 => "l3",
            Self::Flood => "flood",
        }
    }

    pub(super) fn topology(self) -> Topology {
        match self {
            Self::Io | Self::MacSwap | Self::Mac => Topology::Paired,
            Self::Drop | Self::Echo => Topology::Own,
            Self::L3 | Self::Flood => Topology::Any,
        }
    }

    /// What it does that a PF's check of source addresses objects to.
    pub(super) fn spoofs(self) -> Option<&'static str> {
        match self {
            Self::Io | Self::Flood => Some("keeps source MACs that are not the VF's"),
            Self::MacSwap => Some("sends frames that were not sent to the VF's own address with a source MAC that is not the VF's"),
            Self::Mac | Self::Drop | Self::Echo | Self::L3 => None,
        }
    }
}

/// The mode, and what only some modes take.
#[derive(Clone, clap::Args)]
pub(super) struct ModeOptions {
    /// What is done with the frames
    #[arg(long, value_enum, default_value_t = Mode::Io)]
    pub(super) mode: Mode,
    /// Of mode mac: the station that frames are sent to; once, or once for each port that they leave by
    #[arg(long = "dst-mac", value_name = "MAC")]
    destinations: Vec<MacAddr>,
    /// Of mode echo: an IPv4 address to answer for; may be given several times [default: those that this pod's networks gave the VF; on
    /// simulated ports 198.19.0.1, which their traffic sources send to]
    #[arg(long = "ip", value_name = "IPV4")]
    addresses: Vec<Ipv4Addr>,
    /// Of mode l3: a file of routes, each a line `PREFIX PORT NEXT-HOP-MAC`, such as `10.1.0.0/16 0 02:00:00:00:00:01`; ports count from 0 or
    /// are named by address
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
    /// Read so many cache lines of every frame first, as an application that looks at its payload does
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u16).range(1..=TOUCH_MAX))]
    pub(super) touch: Option<u16>,
}

impl ModeOptions {
    /// Refuses what cannot be, for so many ports (none: a simulated pair).
    pub(super) fn check(&self, ports: usize) -> Result<(), Failure> {
        let mode = self.mode.name();
        match (self.mode.topology(), ports) {
            (Topology::Paired, 3..) if !ports.is_multiple_of(2) => {
                return Err(Failure::usage(format!(
                    "--port was given {ports} times, but mode {mode} sends frames back (one port) or between the two ports of a pair: give one port more or less, or --mode flood or l3, which take any number"
                )));
            }
            (Topology::Any, 1) if self.mode == Mode::Flood => {
                return Err(Failure::usage(
                    "--mode flood copies frames to all other ports, and one port was given: give --port twice or more",
                ));
            }
            _ => {}
        }
        let foreign = [
            (!self.destinations.is_empty() && self.mode != Mode::Mac, "--dst-mac", "mac"),
            (!self.addresses.is_empty() && self.mode != Mode::Echo, "--ip", "echo"),
            (self.routes.is_some() && self.mode != Mode::L3, "--routes", "l3"),
        ];
        if let Some((_, option, of)) = foreign.iter().find(|(is_foreign, ..)| *is_foreign) {
            return Err(Failure::usage(format!(
                "{option} is of --mode {of}, and the mode is {mode}: give --mode {of}, or leave {option} out"
            )));
        }
        let ports = if ports == 0 { 2 } else { ports };
        match self.mode {
            Mode::Mac if self.destinations.is_empty() => {
                Err(Failure::usage("--mode mac needs --dst-mac: the MAC address of the station that frames are sent to"))
            }
            Mode::Mac if self.destinations.len() > 1 && self.destinations.len() != ports => Err(Failure::usage(format!(
                "--dst-mac was given {} times for {ports} ports: give it once, or once for each port that frames leave by",
                self.destinations.len()
            ))),
            Mode::L3 if self.routes.is_none() => {
                Err(Failure::usage("--mode l3 needs --routes: a file with a line `PREFIX PORT NEXT-HOP-MAC` for each route"))
            }
            _ => Ok(()),
        }
    }

    /// What the modes need to know beside the options, before anything is opened.
    pub(super) fn read(&self, given: &Given) -> Result<Plan, Failure> {
        let routes = match &self.routes {
            Some(path) => Some(fs::read_to_string(path).map_err(|error| Failure::failed(format!("--routes {}: {error}", path.display())))?),
            None => None,
        };
        let ports = given.ports.len().max(1);
        let answers = (0..ports).map(|port| self.answers_for(given, port)).collect::<Result<_, _>>()?;
        Ok(Plan { options: self.clone(), answers, text: routes, routes: Arc::default(), stations: Vec::new() })
    }

    /// The addresses that a port answers for.
    fn answers_for(&self, given: &Given, port: usize) -> Result<Vec<Ipv4Addr>, Failure> {
        if self.mode != Mode::Echo || !self.addresses.is_empty() {
            return Ok(self.addresses.clone());
        }
        let Some(Address::Pci(address)) = given.ports.get(port) else { return Ok(vec![SIMULATED_PEER]) };
        let vf = given.vfs.iter().find(|vf| vf.address == *address);
        let all = vf.into_iter().flat_map(|vf| &vf.networks).flat_map(|network| &network.ips);
        let ours: Vec<_> = all.filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None }).collect();
        if ours.is_empty() {
            return Err(Failure::usage(format!("--mode echo needs --ip: no network of a pod says which IPv4 address {address} has")));
        }
        Ok(ours)
    }
}

/// A mode with all that its stages need.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) options: ModeOptions,
    /// Of each port, or of all simulated ones.
    answers: Vec<Vec<Ipv4Addr>>,
    text: Option<String>,
    routes: Arc<Routes>,
    stations: Vec<Station>,
}

impl Plan {
    /// The ports run, at these addresses.
    pub(super) fn run_on(&mut self, addresses: &[&str], stations: Vec<Station>) -> Result<(), Failure> {
        if let (Some(text), Some(path)) = (self.text.take(), &self.options.routes) {
            let routes = Routes::parse(&text, addresses);
            self.routes = Arc::new(routes.map_err(|error| Failure::usage(format!("--routes {}: {error}", path.display())))?);
        }
        self.stations = stations;
        Ok(())
    }

    /// The stage of mode mac for frames that leave by this port.
    pub(super) fn mac(&self, leaves_by: usize) -> Mac {
        let all = &self.options.destinations;
        let destination = all.get(leaves_by).or(all.last()).copied().unwrap_or(MacAddr::BROADCAST);
        Mac::new(destination, self.stations[leaves_by].clone())
    }

    /// The stage of mode echo for this port.
    pub(super) fn echo(&self, port: usize) -> Echo {
        let answers = self.answers.get(port).or(self.answers.last()).cloned().unwrap_or_default();
        Echo::new(self.stations[port].clone(), answers)
    }

    /// The switch of mode l3.
    pub(super) fn l3(&self) -> L3 {
        L3::new(self.routes.clone(), self.stations.clone())
    }

    /// The stage of any mode that has one, for frames that come by one port and leave by another.
    pub(super) fn stage(&self, from: usize, leaves_by: usize) -> Box<dyn Stage> {
        match self.options.mode {
            Mode::Io | Mode::L3 | Mode::Flood => Box::new(Io),
            Mode::MacSwap => Box::new(MacSwap),
            Mode::Mac => Box::new(self.mac(leaves_by)),
            Mode::Drop => Box::new(Drop),
            Mode::Echo => Box::new(self.echo(from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_back_or_to_the_other_of_the_pair() {
        let all = |topology: Topology, ports| (0..ports).map(|from| topology.leaves_by(from, ports)).collect::<Vec<_>>();
        assert_eq!((all(Topology::Paired, 1), all(Topology::Paired, 2)), (vec![0], vec![1, 0]));
        assert_eq!(all(Topology::Paired, 4), [1, 0, 3, 2]);
        assert_eq!((all(Topology::Own, 3), all(Topology::Any, 2)), (vec![0, 1, 2], vec![0, 1]));
    }
}
