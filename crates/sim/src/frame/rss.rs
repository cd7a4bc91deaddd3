//! Receive-side scaling: the Toeplitz hash ("Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, 7.1, RSS hash function).

use super::headers::{Headers, Network, Transport};
use vfwire_spec::intel::adv::rx::RssType;

/// The key of the hash's published verification suite (Microsoft, "Verifying the RSS Hash Calculation").
const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b,
    0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];
/// The longest input: two IPv6 addresses and two ports.
const INPUT_BYTES: usize = 36;

/// The hash with the PF's key, as a table: what each value of each input byte contributes.
#[derive(Debug)]
pub struct Rss(Box<[[u32; 256]]>);

impl Rss {
    /// The hash with its published key.
    pub fn new() -> Self {
        Self((0..INPUT_BYTES).map(table_of_byte).collect())
    }

    /// Which fields the hash of `frame` covers, and the hash.
    pub fn hash(&self, headers: &Headers, frame: &[u8]) -> (RssType, u32) {
        let kind = match (headers.network, headers.transport) {
            (Network::Other, _) => return (RssType::NONE, 0),
            (Network::V4 { .. }, Transport::Tcp) => RssType::IPV4_TCP,
            (Network::V4 { .. }, Transport::Udp) => RssType::IPV4_UDP,
            (Network::V4 { .. }, _) => RssType::IPV4,
            (Network::V6 { .. }, Transport::Tcp) => RssType::IPV6_TCP,
            (Network::V6 { .. }, Transport::Udp) => RssType::IPV6_UDP,
            (Network::V6 { .. }, _) => RssType::IPV6,
        };
        let has_ports = matches!(headers.transport, Transport::Tcp | Transport::Udp);
        let ports = if has_ports { &frame[headers.transport_at..headers.transport_at + 4] } else { &[] };
        (kind, self.sum(headers.addresses(frame).iter().chain(ports)))
    }

    fn sum<'b>(&self, input: impl Iterator<Item = &'b u8>) -> u32 {
        self.0.iter().zip(input).fold(0, |hash, (table, byte)| hash ^ table[usize::from(*byte)])
    }
}

impl Default for Rss {
    fn default() -> Self {
        Self::new()
    }
}

/// Each set bit of the input byte at `at` contributes the 32 bits of the key that begin at its own position.
fn table_of_byte(at: usize) -> [u32; 256] {
    let window = KEY[at..].iter().chain(&[0; 5]).take(5).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    let mut table = [0; 256];
    for (value, entry) in table.iter_mut().enumerate() {
        for bit in (0..8).filter(|bit| value & 0x80 >> bit != 0) {
            let key = (window >> (8 - bit)) & 0xffff_ffff;
            *entry ^= u32::try_from(key).unwrap_or(0);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microsoft, "Verifying the RSS Hash Calculation": the first and second rows of its IPv4 and IPv6 tables.
    #[test]
    fn the_published_verification_suite() {
        let rss = Rss::new();
        let v4 = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        assert_eq!(rss.sum(v4.iter()), 0x51cc_c178);
        assert_eq!(rss.sum(v4[..8].iter()), 0x323e_8fc2);
        let source = [0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7];
        let destination = [0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1];
        let ports = [0x0a, 0xea, 0x06, 0xe6];
        assert_eq!(rss.sum(source.iter().chain(&destination).chain(&ports)), 0x4020_7d3d);
        assert_eq!(rss.sum(source.iter().chain(&destination)), 0x2cc1_8cd5);
    }
}
