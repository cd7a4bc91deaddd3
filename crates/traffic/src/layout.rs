//! Which headers the frames of a stream have, and what is in them.

use crate::{
    error::TrafficError,
    flow::{Flow, Protocol},
    mark::{MARK_BYTES, PROTOCOL_TCP, PROTOCOL_UDP},
    sum::Sum,
};
use std::net::IpAddr;
use vfwire_spec::net::{ETH_FCS_BYTES, ETH_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, VLAN_TAG_BYTES};

const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;
const UDP_HEADER_BYTES: usize = 8;
const TCP_HEADER_BYTES: usize = 20;
/// Routers that a frame may pass.
const TTL: u8 = 64;

/// The same for all flows of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    tagged: bool,
    pub(crate) six: bool,
    protocol: Protocol,
}

impl Layout {
    pub(crate) fn of(flow: &Flow) -> Self {
        Self { tagged: flow.vlan.is_some(), six: flow.dst_ip.is_ipv6(), protocol: flow.protocol }
    }

    fn ethernet_bytes(self) -> usize {
        ETH_HEADER_BYTES + if self.tagged { VLAN_TAG_BYTES } else { 0 }
    }

    fn l4_at(self) -> usize {
        self.ethernet_bytes() + if self.six { IPV6_HEADER_BYTES } else { IPV4_HEADER_BYTES }
    }

    /// All headers.
    pub(crate) fn header_bytes(self) -> usize {
        self.l4_at() + if self.protocol == Protocol::Udp { UDP_HEADER_BYTES } else { TCP_HEADER_BYTES }
    }

    /// Whether frames of this size hold headers and mark, and fit the MTU.
    pub(crate) fn check(self, size: u16, mtu_bytes: u16) -> Result<(), TrafficError> {
        let (size_bytes, mtu) = (usize::from(size), usize::from(mtu_bytes));
        let least = self.header_bytes() + MARK_BYTES + ETH_FCS_BYTES;
        if size_bytes < least {
            let tag = if self.tagged { "a VLAN tag, " } else { "" };
            let (ip, l4) = (if self.six { "IPv6" } else { "IPv4" }, if self.protocol == Protocol::Udp { "UDP" } else { "TCP" });
            return Err(TrafficError::new(
                format!("size {size}"),
                format!("too short for {tag}{ip}, {l4} and the {MARK_BYTES} bytes that frames are known by"),
                format!("give {least} or more"),
            ));
        }
        let most = self.ethernet_bytes() + mtu + ETH_FCS_BYTES;
        if size_bytes > most {
            return Err(TrafficError::new(
                format!("size {size}"),
                format!("beyond the MTU of {mtu} bytes"),
                format!("give {most} or less, or a greater MTU ({} or more)", size_bytes - self.ethernet_bytes() - ETH_FCS_BYTES),
            ));
        }
        Ok(())
    }

    /// The headers of a frame whose payload is `fill` and a mark, the checksum of UDP or TCP zero; and the sum that it begins with.
    pub(crate) fn header(self, flow: &Flow, fill: &[u8]) -> (Vec<u8>, Sum) {
        let mut header = Vec::with_capacity(self.header_bytes());
        header.extend(flow.dst_mac.0);
        header.extend(flow.src_mac.0);
        if let Some(vlan) = flow.vlan {
            header.extend(ETHERTYPE_VLAN.to_be_bytes());
            header.extend(vlan.get().to_be_bytes());
        }
        let l4_bytes = self.header_bytes() - self.l4_at() + fill.len() + MARK_BYTES;
        let protocol = if self.protocol == Protocol::Udp { PROTOCOL_UDP } else { PROTOCOL_TCP };
        let pseudo = match (flow.src_ip, flow.dst_ip) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                header.extend(ETHERTYPE_IPV6.to_be_bytes());
                header.extend([0x60, 0, 0, 0]);
                header.extend(word(l4_bytes));
                header.extend([protocol, TTL]);
                header.extend(source.octets());
                header.extend(destination.octets());
                Sum::of(&source.octets()).and(Sum::of(&destination.octets()))
            }
            (source, destination) => {
                let (source, destination) = (four(source), four(destination));
                header.extend(ETHERTYPE_IPV4.to_be_bytes());
                let begin = header.len();
                header.extend([0x45, 0]);
                header.extend(word(IPV4_HEADER_BYTES + l4_bytes));
                // Never fragmented: an identification of zero will do (RFC 6864).
                header.extend([0, 0, 0x40, 0, TTL, protocol, 0, 0]);
                header.extend(source);
                header.extend(destination);
                let checksum = Sum::of(&header[begin..]).checksum();
                header[begin + 10..begin + 12].copy_from_slice(&checksum.to_be_bytes());
                Sum::of(&source).and(Sum::of(&destination))
            }
        };
        header.extend(flow.src_port.to_be_bytes());
        header.extend(flow.dst_port.to_be_bytes());
        match self.protocol {
            Protocol::Udp => {
                header.extend(word(l4_bytes));
                header.extend([0, 0]);
            }
            // Sequence and acknowledgement zero, five words of header, ACK, the greatest window, no urgent data.
            Protocol::Tcp => header.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]),
        }
        let sum = pseudo.and(Sum::of(&[0, protocol])).and(Sum::of(&word(l4_bytes)));
        let sum = sum.and(Sum::of(&header[self.l4_at()..])).and(Sum::of(fill));
        (header, sum)
    }
}

fn word(length: usize) -> [u8; 2] {
    // Frames are shorter than 16 KiB.
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn four(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(address) => address.octets(),
        // Flows of mixed versions were refused.
        IpAddr::V6(_) => [0; 4],
    }
}
