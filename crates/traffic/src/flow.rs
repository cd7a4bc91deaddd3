//! Flows: what the headers of a stream's frames say.

use crate::{
    error::TrafficError,
    range::{Field, Ranges, Vlan},
};
use std::{collections::HashMap, fmt, net::IpAddr, net::Ipv4Addr, str::FromStr};
use vfwire_spec::net::{MacAddr, VlanId};

/// Most flows of one stream: their templates and windows then take some tens of megabytes.
pub const FLOWS_MAX: u64 = 65_536;

/// What carries the payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Protocol {
    /// UDP (RFC 768).
    #[default]
    Udp,
    /// TCP segments with the ACK flag, of no connection (RFC 9293).
    Tcp,
}

impl FromStr for Protocol {
    type Err = TrafficError;

    fn from_str(text: &str) -> Result<Self, TrafficError> {
        match text {
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            _ => Err(TrafficError::new(format!("protocol `{text}`"), "is not known", "give udp or tcp")),
        }
    }
}

/// How ranges are put together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Combine {
    /// Flow `i` has the `i`-th value of every range; shorter ranges begin again. As many flows as the longest range has values.
    #[default]
    Zip,
    /// Every value with every other. The destination port changes fastest, then source port, destination address, source address, VLAN,
    /// source MAC, destination MAC.
    Mix,
}

impl FromStr for Combine {
    type Err = TrafficError;

    fn from_str(text: &str) -> Result<Self, TrafficError> {
        match text {
            "zip" => Ok(Self::Zip),
            "mix" => Ok(Self::Mix),
            _ => Err(TrafficError::new(format!("combining ranges by `{text}`"), "is not known", "give zip or mix")),
        }
    }
}

/// One flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    /// Where its frames go.
    pub dst_mac: MacAddr,
    /// Where they come from.
    pub src_mac: MacAddr,
    /// The tag that they carry.
    pub vlan: Option<VlanId>,
    /// Of the same version as `dst_ip`.
    pub src_ip: IpAddr,
    /// Of the same version as `src_ip`.
    pub dst_ip: IpAddr,
    /// What carries the payload.
    pub protocol: Protocol,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.protocol == Protocol::Udp { "udp" } else { "tcp" };
        write!(f, "{protocol} {} port {} to {} port {}", self.src_ip, self.src_port, self.dst_ip, self.dst_port)?;
        if let Some(vlan) = self.vlan {
            write!(f, ", VLAN {vlan}")?;
        }
        write!(f, ", {} to {}", self.src_mac, self.dst_mac)
    }
}

/// The flows of a stream, as ranges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowConfig {
    /// Destination MAC addresses.
    pub dst_mac: Ranges<MacAddr>,
    /// Source MAC addresses. PFs drop frames whose source is not the VF's own, unless their check is off.
    pub src_mac: Ranges<MacAddr>,
    /// VLANs; nothing: frames without a tag.
    pub vlan: Option<Ranges<Vlan>>,
    /// Source addresses.
    pub src_ip: Ranges<IpAddr>,
    /// Destination addresses.
    pub dst_ip: Ranges<IpAddr>,
    /// What carries the payload.
    pub protocol: Protocol,
    /// Source ports.
    pub src_port: Ranges<u16>,
    /// Destination ports.
    pub dst_port: Ranges<u16>,
    /// How the ranges are put together.
    pub combine: Combine,
    /// How many flows; nothing: as many as the ranges give. With [`Combine::Mix`] the first of them. Where no range has more than one
    /// value, source ports count up from theirs.
    pub count: Option<u64>,
}

impl FlowConfig {
    /// One flow between two stations: UDP over IPv4, the addresses for benchmarks (RFC 2544, C.2.2), from port 49152 to the discard port
    /// (RFC 863).
    pub fn between(src_mac: MacAddr, dst_mac: MacAddr) -> Self {
        let ip = |a, b, c, d| Ranges::one(IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
        Self {
            dst_mac: Ranges::one(dst_mac),
            src_mac: Ranges::one(src_mac),
            vlan: None,
            src_ip: ip(198, 18, 0, 1),
            dst_ip: ip(198, 19, 0, 1),
            protocol: Protocol::Udp,
            src_port: Ranges::one(49_152),
            dst_port: Ranges::one(9),
            combine: Combine::Zip,
            count: None,
        }
    }

    /// All flows, in the order in which frames are sent.
    ///
    /// # Errors
    /// Too many flows, addresses of two versions, or two flows that are the same.
    pub fn flows(&self) -> Result<Vec<Flow>, TrafficError> {
        let lens = [
            self.dst_port.len(),
            self.src_port.len(),
            self.dst_ip.len(),
            self.src_ip.len(),
            self.vlan.as_ref().map_or(1, Ranges::len),
            self.src_mac.len(),
            self.dst_mac.len(),
        ];
        let is_one = lens.iter().all(|&len| len == 1);
        let count = self.count.unwrap_or_else(|| match self.combine {
            Combine::Zip => lens.iter().copied().max().unwrap_or(1),
            Combine::Mix => lens.iter().fold(1, |product: u64, &len| product.saturating_mul(len)),
        });
        if count == 0 || count > FLOWS_MAX {
            return Err(TrafficError::new(
                format!("{count} flows"),
                format!("a stream has 1 to {FLOWS_MAX}"),
                "give narrower ranges, or a number of flows",
            ));
        }
        let src_port = if is_one { Ranges::counted(self.src_port.get(0), count) } else { self.src_port.clone() };
        let flows = (0..count).map(|at| {
            let places = self.places(at, &lens);
            Flow {
                dst_port: self.dst_port.get(places[0]),
                src_port: src_port.get(places[1]),
                dst_ip: self.dst_ip.get(places[2]),
                src_ip: self.src_ip.get(places[3]),
                vlan: self.vlan.as_ref().map(|vlans| vlans.get(places[4]).0),
                src_mac: self.src_mac.get(places[5]),
                dst_mac: self.dst_mac.get(places[6]),
                protocol: self.protocol,
            }
        });
        check(flows.collect())
    }

    /// The place in each range of flow `at`.
    fn places(&self, at: u64, lens: &[u64; 7]) -> [u64; 7] {
        // A single value is the same everywhere; only counted source ports look further.
        if self.combine == Combine::Zip || lens.iter().all(|&len| len == 1) {
            return [at; 7];
        }
        let mut rest = at;
        lens.map(|len| {
            let place = rest % len;
            rest /= len;
            place
        })
    }
}

fn check(flows: Vec<Flow>) -> Result<Vec<Flow>, TrafficError> {
    let mut seen = HashMap::new();
    for (at, flow) in flows.iter().enumerate() {
        if flow.src_ip.is_ipv4() != flow.dst_ip.is_ipv4() {
            let (source, destination) = (flow.src_ip, flow.dst_ip);
            return Err(TrafficError::new(
                format!("addresses {source} and {destination}"),
                "are of IPv4 and IPv6",
                "give source and destination addresses of one version",
            ));
        }
        if let Some(first) = seen.insert(flow, at) {
            return Err(TrafficError::new(
                format!("flows {first} and {at} overlap"),
                format!("both are {flow}"),
                "give fewer flows, wider ranges, or combine the ranges by mix",
            ));
        }
    }
    Ok(flows)
}

impl<T: Field> From<T> for Ranges<T> {
    fn from(value: T) -> Self {
        Self::one(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> FlowConfig {
        FlowConfig::between(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]))
    }

    fn ports(config: &FlowConfig) -> Vec<(u16, u16)> {
        config.flows().expect("flows").iter().map(|flow| (flow.src_port, flow.dst_port)).collect()
    }

    #[test]
    fn ranges_are_zipped_mixed_and_counted() {
        let ranges = FlowConfig { src_port: "1-3".parse().expect("a range"), dst_port: "7-8".parse().expect("a range"), ..config() };
        assert_eq!(ports(&ranges), [(1, 7), (2, 8), (3, 7)]);
        let mixed = FlowConfig { combine: Combine::Mix, ..ranges.clone() };
        assert_eq!(ports(&mixed), [(1, 7), (1, 8), (2, 7), (2, 8), (3, 7), (3, 8)]);
        assert_eq!(ports(&FlowConfig { count: Some(2), ..mixed }), [(1, 7), (1, 8)]);
        assert_eq!(ports(&FlowConfig { count: Some(6), ..ranges }), [(1, 7), (2, 8), (3, 7), (1, 8), (2, 7), (3, 8)]);
        for combine in [Combine::Zip, Combine::Mix] {
            assert_eq!(ports(&FlowConfig { count: Some(3), combine, ..config() }), [(49_152, 9), (49_153, 9), (49_154, 9)]);
        }
    }

    #[test]
    fn flows_that_are_the_same_are_refused() {
        let ranges = FlowConfig { src_port: "1-3".parse().expect("a range"), count: Some(4), ..config() };
        let error = ranges.flows().unwrap_err().to_string();
        assert!(error.contains("flows 0 and 3 overlap") && error.contains("port 1 to") && error.contains("mix"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_named() {
        let six = FlowConfig { src_ip: "2001:db8::1".parse().expect("an address"), ..config() };
        assert!(six.flows().unwrap_err().to_string().contains("2001:db8::1 and 198.19.0.1"));
        let many = FlowConfig { src_port: "0-65535".parse().expect("a range"), dst_port: "1-2".parse().expect("a range"), ..config() };
        assert_eq!(many.flows().expect("flows").len(), 65_536);
        let mixed = FlowConfig { combine: Combine::Mix, ..many };
        assert!(mixed.flows().unwrap_err().to_string().contains("131072 flows"));
        assert!(FlowConfig { count: Some(0), ..config() }.flows().is_err());
        // The source ports that would be counted up end.
        assert!(FlowConfig { count: Some(20_000), ..config() }.flows().unwrap_err().to_string().contains("overlap"));
    }
}
