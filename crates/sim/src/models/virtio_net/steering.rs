//! Which receive queue a frame goes to, and the hash that is reported of it (5.1.6.4.3, 5.1.6.5.6, 5.1.6.5.7).

use crate::frame::{Headers, Rss, Transport};
use vfwire_spec::{
    intel::adv::rx::RssType,
    virtio::net::{RSS_KEY_BYTES, hash_report, hash_type},
};

/// What the device hashes: everything without extension headers.
pub(super) const HASH_TYPES: u32 =
    hash_type::IPV4 | hash_type::TCPV4 | hash_type::UDPV4 | hash_type::IPV6 | hash_type::TCPV6 | hash_type::UDPV6;

/// Kinds of the hash, in the order of the reports: 1 is IPv4.
const KINDS: [(RssType, u16); 6] = [
    (RssType::IPV4, hash_report::IPV4),
    (RssType::IPV4_TCP, hash_report::TCPV4),
    (RssType::IPV4_UDP, hash_report::UDPV4),
    (RssType::IPV6, hash_report::IPV6),
    (RssType::IPV6_TCP, hash_report::TCPV6),
    (RssType::IPV6_UDP, hash_report::UDPV6),
];
/// Flows that are remembered for automatic steering.
const FLOWS: usize = 256;

/// A hash, as it is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hashed {
    pub(super) value: u32,
    pub(super) report: u16,
}

impl Hashed {
    pub(super) const NONE: Self = Self { value: 0, report: hash_report::NONE };
}

/// Receive-side scaling as the driver has configured it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) queues: Vec<u16>,
    pub(super) unclassified: u16,
}

#[derive(Debug)]
pub(super) struct Steering {
    /// Pairs that are used.
    pub(super) pairs: u16,
    /// Without one, flows go where the driver sends theirs.
    pub(super) table: Option<Table>,
    /// Nothing is hashed until the driver says what.
    hash: Option<Rss>,
    flows: Vec<Option<u16>>,
}

impl Steering {
    pub(super) fn new() -> Self {
        Self { pairs: 1, table: None, hash: None, flows: vec![None; FLOWS] }
    }

    /// Hashes these types of frames from now on. A shorter key is followed by zeros.
    pub(super) fn set_hash(&mut self, types: u32, key: &[u8]) {
        let mut whole = [0; RSS_KEY_BYTES];
        for (to, from) in whole.iter_mut().zip(key) {
            *to = *from;
        }
        let chosen = KINDS.iter().filter(|(_, report)| hash_report::to_type(*report) & types != 0);
        let kinds: Vec<_> = chosen.map(|(kind, _)| *kind).collect();
        self.hash = (!kinds.is_empty()).then(|| Rss::with_key(&whole).only(&kinds));
    }

    pub(super) fn hash(&self, headers: &Headers, frame: &[u8]) -> Hashed {
        let Some(hash) = &self.hash else { return Hashed::NONE };
        let (kind, value) = hash.hash(headers, frame);
        KINDS.iter().find(|(known, _)| *known == kind).map_or(Hashed::NONE, |(_, report)| Hashed { value, report: *report })
    }

    /// The pair whose receive queue gets the frame.
    pub(super) fn pair(&self, headers: &Headers, frame: &[u8], hashed: Hashed) -> u16 {
        match &self.table {
            Some(table) if hashed.report == hash_report::NONE => table.unclassified,
            Some(table) => table.queues[hashed.value as usize & (table.queues.len() - 1)],
            None if self.pairs == 1 => 0,
            None => {
                let flow = flow(headers, frame);
                let spread = u16::try_from(flow).unwrap_or(0) % self.pairs;
                self.flows[flow].filter(|pair| *pair < self.pairs).unwrap_or(spread)
            }
        }
    }

    /// The driver has sent a frame of a flow by this pair: what comes back goes there too (5.1.6.5.6).
    pub(super) fn learn(&mut self, frame: &[u8], pair: u16) {
        if self.table.is_none() && self.pairs > 1 {
            self.flows[flow(&Headers::parse(frame), frame)] = Some(pair);
        }
    }
}

/// A number of the flow, the same both ways: below [`FLOWS`].
fn flow(headers: &Headers, frame: &[u8]) -> usize {
    let ports = match headers.transport {
        Transport::Tcp | Transport::Udp => &frame[headers.transport_at..headers.transport_at + 4],
        Transport::Other | Transport::Sctp => &[][..],
    };
    let folded = headers
        .addresses(frame)
        .chunks(2)
        .chain(ports.chunks(2))
        .fold(0u16, |sum, pair| sum ^ pair.first_chunk().map_or(0, |pair: &[u8; 2]| u16::from_be_bytes(*pair)));
    usize::from((folded ^ folded >> 8) & 0xff)
}
