//! Receive-side scaling: the Toeplitz hash ("Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, 7.1, RSS hash function).

use super::headers::{Headers, Network, Transport};
use vfwire_spec::intel::adv::rx::RssType;

/// Bytes of a key.
const KEY_BYTES: usize = 40;
const KEY: [u8; KEY_BYTES] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b,
    0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];
/// The longest input: two IPv6 addresses and two ports.
const INPUT_BYTES: usize = 36;

/// The hash with a key, as a table: what each value of each input byte contributes.
#[derive(Debug)]
pub struct Rss {
    table: Box<[[u32; 256]]>,
    /// Which kinds of frames are hashed: bit n for [`RssType`] n.
    kinds: u16,
}

impl Rss {
    /// The hash of every kind of frame, with its published key.
    pub fn new() -> Self {
        Self::with_key(&Self::PUBLISHED_KEY)
    }

    /// The key of the hash's published verification suite (Microsoft, "Verifying the RSS Hash Calculation").
    pub const PUBLISHED_KEY: [u8; KEY_BYTES] = KEY;

    /// The hash of every kind of frame.
    pub fn with_key(key: &[u8; KEY_BYTES]) -> Self {
        Self { table: (0..INPUT_BYTES).map(|at| table_of_byte(key, at)).collect(), kinds: u16::MAX }
    }

    /// Hashes these kinds of frames only. Without its own kind, TCP and UDP count as the IP that they are in.
    #[must_use]
    pub fn only(self, kinds: &[RssType]) -> Self {
        Self { kinds: kinds.iter().fold(0, |kinds, kind| kinds | 1 << (kind.0 & 0xf)), ..self }
    }

    /// Which fields the hash of `frame` covers, and the hash.
    pub fn hash(&self, headers: &Headers, frame: &[u8]) -> (RssType, u32) {
        let (with_ports, plain) = match (headers.network, headers.transport) {
            (Network::Other, _) => return (RssType::NONE, 0),
            (Network::V4 { .. }, Transport::Tcp) => (Some(RssType::IPV4_TCP), RssType::IPV4),
            (Network::V4 { .. }, Transport::Udp) => (Some(RssType::IPV4_UDP), RssType::IPV4),
            (Network::V4 { .. }, _) => (None, RssType::IPV4),
            (Network::V6 { .. }, Transport::Tcp) => (Some(RssType::IPV6_TCP), RssType::IPV6),
            (Network::V6 { .. }, Transport::Udp) => (Some(RssType::IPV6_UDP), RssType::IPV6),
            (Network::V6 { .. }, _) => (None, RssType::IPV6),
        };
        let addresses = headers.addresses(frame).iter();
        match with_ports.filter(|kind| self.hashes(*kind)) {
            Some(kind) => (kind, self.sum(addresses.chain(&frame[headers.transport_at..headers.transport_at + 4]))),
            None if self.hashes(plain) => (plain, self.sum(addresses)),
            None => (RssType::NONE, 0),
        }
    }

    fn hashes(&self, kind: RssType) -> bool {
        self.kinds >> (kind.0 & 0xf) & 1 != 0
    }

    fn sum<'b>(&self, input: impl Iterator<Item = &'b u8>) -> u32 {
        self.table.iter().zip(input).fold(0, |hash, (table, byte)| hash ^ table[usize::from(*byte)])
    }
}

impl Default for Rss {
    fn default() -> Self {
        Self::new()
    }
}

/// Each set bit of the input byte at `at` contributes the 32 bits of the key that begin at its own position.
fn table_of_byte(key: &[u8; KEY_BYTES], at: usize) -> [u32; 256] {
    let window = key[at..].iter().chain(&[0; 5]).take(5).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    let mut table = [0; 256];
    for value in 1..256usize {
        // One bit more than an entry that is there already.
        let bit = value.trailing_zeros();
        let bits = (window >> (bit + 1)) & 0xffff_ffff;
        table[value] = table[value & (value - 1)] ^ u32::try_from(bits).unwrap_or(0);
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

    #[test]
    fn kinds_that_are_not_hashed_fall_back_to_their_addresses() {
        let mut frame = vec![0; 60];
        frame[12..16].copy_from_slice(&[0x08, 0, 0x45, 0]);
        frame[16..24].copy_from_slice(&[0, 46, 0, 0, 0, 0, 64, 17]);
        frame[26..38].copy_from_slice(&[66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6]);
        let headers = Headers::parse(&frame);
        let hash = |kinds: &[RssType]| Rss::new().only(kinds).hash(&headers, &frame);
        assert_eq!(hash(&[RssType::IPV4_UDP, RssType::IPV4]), (RssType::IPV4_UDP, 0x51cc_c178));
        assert_eq!(hash(&[RssType::IPV4_TCP, RssType::IPV4]), (RssType::IPV4, 0x323e_8fc2));
        assert_eq!(hash(&[RssType::IPV6]), (RssType::NONE, 0));
        assert_eq!(Rss::with_key(&[0; KEY_BYTES]).hash(&headers, &frame), (RssType::IPV4_UDP, 0));
    }
}
