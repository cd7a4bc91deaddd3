//! Where a frame's headers are.

use super::checksum::{self, Sum};
use vfwire_spec::net::{ETH_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, VLAN_TAG_BYTES};

const IPV6_HEADER_BYTES: usize = 40;
/// IP protocol numbers (IANA): the transports, and the IPv6 extension headers that may stand before them.
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
/// Extension headers that are walked at most.
const MAX_EXTENSIONS: usize = 8;

/// A frame's network header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// Neither IPv4 nor IPv6, or cut short.
    Other,
    /// IPv4.
    V4 {
        /// It has options.
        options: bool,
    },
    /// IPv6.
    V6 {
        /// It has extension headers.
        extensions: bool,
    },
}

/// A frame's transport header. Of a fragment none is seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// None of the others, a fragment, or cut short.
    Other,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Where a frame's headers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headers {
    /// The tag control information of the outer VLAN tag.
    pub vlan_tci: Option<u16>,
    /// Where the network header begins, in bytes.
    pub network_at: usize,
    /// The network header.
    pub network: Network,
    /// Where the transport header begins, in bytes.
    pub transport_at: usize,
    /// Where the IP packet ends, in bytes: padding of the frame may follow.
    pub packet_end: usize,
    /// The transport header.
    pub transport: Transport,
}

impl Headers {
    /// Finds the headers of `frame`.
    pub fn parse(frame: &[u8]) -> Self {
        let mut ethertype = word(frame, ETH_HEADER_BYTES - 2);
        let mut network_at = ETH_HEADER_BYTES;
        let mut vlan_tci = None;
        if ethertype == Some(ETHERTYPE_VLAN) {
            vlan_tci = word(frame, network_at);
            ethertype = word(frame, network_at + 2);
            network_at += VLAN_TAG_BYTES;
        }
        let nothing = Self {
            vlan_tci,
            network_at,
            network: Network::Other,
            transport_at: network_at,
            packet_end: frame.len(),
            transport: Transport::Other,
        };
        let found = match ethertype {
            Some(ETHERTYPE_IPV4) => nothing.parse_v4(frame),
            Some(ETHERTYPE_IPV6) => nothing.parse_v6(frame),
            _ => None,
        };
        found.unwrap_or(nothing)
    }

    fn parse_v4(self, frame: &[u8]) -> Option<Self> {
        let header = frame.get(self.network_at..self.network_at + 20)?;
        let header_bytes = usize::from(header[0] & 0xf) * 4;
        if header[0] >> 4 != 4 || header_bytes < 20 || self.network_at + header_bytes > frame.len() {
            return None;
        }
        let transport_at = self.network_at + header_bytes;
        let packet_end = self.network_at + usize::from(word(header, 2)?);
        let found = Self { network: Network::V4 { options: header_bytes > 20 }, transport_at, packet_end, ..self };
        // More fragments, or an offset that is not 0.
        let is_fragment = word(header, 6)? & 0x3fff != 0;
        Some(found.with_transport(frame, if is_fragment { FRAGMENT } else { header[9] }))
    }

    fn parse_v6(self, frame: &[u8]) -> Option<Self> {
        let header = frame.get(self.network_at..self.network_at + IPV6_HEADER_BYTES)?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let mut next = header[6];
        let mut at = self.network_at + IPV6_HEADER_BYTES;
        let packet_end = at + usize::from(word(header, 4)?);
        let extensions = matches!(next, HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | FRAGMENT);
        for _ in 0..MAX_EXTENSIONS {
            if !matches!(next, HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS) {
                break;
            }
            let Some(&[following, units]) = frame.get(at..at + 2) else { break };
            next = following;
            at += (usize::from(units) + 1) * 8;
        }
        let found = Self { network: Network::V6 { extensions }, transport_at: at, packet_end, ..self };
        Some(found.with_transport(frame, next))
    }

    /// Adds the transport, if its header is whole and inside the packet.
    fn with_transport(self, frame: &[u8], protocol: u8) -> Self {
        let (transport, header_bytes) = match protocol {
            TCP => (Transport::Tcp, 20),
            UDP => (Transport::Udp, 8),
            SCTP => (Transport::Sctp, 12),
            _ => return self,
        };
        let whole = self.packet_end <= frame.len() && self.transport_at + header_bytes <= self.packet_end;
        if whole { Self { transport, ..self } } else { self }
    }

    /// Is the IPv4 header checksum right? Nothing without an IPv4 header.
    pub fn ip_checksum_is_good(&self, frame: &[u8]) -> Option<bool> {
        matches!(self.network, Network::V4 { .. }).then(|| Sum::of(&frame[self.network_at..self.transport_at]).checksum() == 0)
    }

    /// Is the TCP or UDP checksum right? Nothing where there is none to check.
    pub fn l4_checksum_is_good(&self, frame: &[u8]) -> Option<bool> {
        let segment = frame.get(self.transport_at..self.packet_end)?;
        let protocol = match self.transport {
            Transport::Tcp => TCP,
            Transport::Udp if self.is_v4() && word(segment, 6) == Some(0) => return None,
            Transport::Udp => UDP,
            Transport::Other | Transport::Sctp => return None,
        };
        Some(self.pseudo_header(frame, protocol, segment.len())?.and(Sum::of(segment)).checksum() == 0)
    }

    /// The frame with the pseudo header's sum where its TCP or UDP checksum is, and where that is.
    pub fn without_l4_checksum(&self, frame: &[u8]) -> Option<(Vec<u8>, usize)> {
        let (protocol, offset) = match self.transport {
            Transport::Tcp => (TCP, 16),
            Transport::Udp => (UDP, 6),
            Transport::Other | Transport::Sctp => return None,
        };
        let at = self.transport_at + offset;
        let sum = !self.pseudo_header(frame, protocol, self.packet_end.checked_sub(self.transport_at)?)?.checksum();
        let mut frame = frame.to_vec();
        frame.get_mut(at..at + 2)?.copy_from_slice(&sum.to_be_bytes());
        Some((frame, at))
    }

    /// Source and destination address, one after the other.
    pub fn addresses<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        let (from, to) = match self.network {
            Network::V4 { .. } => (12, 20),
            Network::V6 { .. } => (8, 40),
            Network::Other => (0, 0),
        };
        &frame[self.network_at.min(frame.len())..][from..to]
    }

    fn is_v4(&self) -> bool {
        matches!(self.network, Network::V4 { .. })
    }

    fn pseudo_header(&self, frame: &[u8], protocol: u8, length_bytes: usize) -> Option<Sum> {
        let addresses = self.addresses(frame);
        if let [a, b, c, d, e, f, g, h] = *addresses {
            return Some(checksum::pseudo_header_v4([a, b, c, d], [e, f, g, h], protocol, length_bytes));
        }
        Some(checksum::pseudo_header_v6(addresses.try_into().ok()?, protocol, length_bytes))
    }
}

/// The 16-bit word at `at`, most significant byte first.
fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
