//! A router: frames leave by the port of the longest prefix that their destination is in.

use super::checksum;
use crate::{
    BufCache, Burst, Checksum, MacAddr, PacketMut,
    forward::{Outputs, Station, Switch},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

const MACS_BYTES: usize = 12;
const IPV4_AT: usize = MACS_BYTES + 2;
const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;

/// Where frames of a prefix go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop {
    /// By this port, counted from 0.
    pub port: usize,
    /// To this station: the next router, or the destination itself.
    pub mac: MacAddr,
}

/// What a router knows: prefixes of IPv4 and IPv6, each with its next hop.
///
/// As text, a line each: prefix, port (its number or its address), MAC address of the next hop. A word that begins with `#` begins a comment.
///
/// ```text
/// 10.1.0.0/16   0             02:00:00:00:00:01
/// 2001:db8::/32 0000:3b:02.1  02:00:00:00:00:02   # by the port that was named so
/// 0.0.0.0/0     1             02:00:00:00:00:02
/// ```
#[derive(Clone, Debug, Default)]
pub struct Routes {
    v4: PrefixMap<Ipv4Net, Hop>,
    v6: PrefixMap<Ipv6Net, Hop>,
}

/// A text that is no table of routes: which line, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct RoutesError(String);

impl Routes {
    /// The routes in `text`, by ports of these addresses.
    ///
    /// # Errors
    /// Names the line and what is wrong with it.
    pub fn parse(text: &str, ports: &[&str]) -> Result<Self, RoutesError> {
        let mut routes = Self::default();
        for (at, line) in text.lines().enumerate() {
            let refused = |why: &dyn fmt::Display| RoutesError(format!("line {}: {why}: `{}`", at + 1, line.trim()));
            // A `#` in a word belongs to the address of a port.
            let words: Vec<_> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
            match words[..] {
                [] => {}
                [prefix, port, mac] => {
                    let hop =
                        Hop { port: port_of(port, ports).map_err(|why| refused(&why))?, mac: station(mac).map_err(|why| refused(&why))? };
                    routes.add(prefix_of(prefix).map_err(|why| refused(&why))?, hop).map_err(|why| refused(&why))?;
                }
                _ => return Err(refused(&"a route is PREFIX PORT NEXT-HOP-MAC, such as 10.1.0.0/16 0 02:00:00:00:00:01")),
            }
        }
        if routes.is_empty() { Err(RoutesError("there is no route in it: a route is PREFIX PORT NEXT-HOP-MAC".into())) } else { Ok(routes) }
    }

    /// Adds a route. The prefix has no bits beyond its length.
    ///
    /// # Errors
    /// Where there is one for that prefix already.
    pub fn add(&mut self, prefix: IpNet, hop: Hop) -> Result<(), RoutesError> {
        let before = match prefix {
            IpNet::V4(prefix) => self.v4.insert(prefix, hop),
            IpNet::V6(prefix) => self.v6.insert(prefix, hop),
        };
        before.map_or(Ok(()), |_| Err(RoutesError(format!("{prefix} has a route already"))))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    fn hop_v4(&self, destination: [u8; 4]) -> Option<&Hop> {
        self.v4.get_lpm(&Ipv4Net::from(Ipv4Addr::from(destination))).map(|(_, hop)| hop)
    }

    fn hop_v6(&self, destination: [u8; 16]) -> Option<&Hop> {
        self.v6.get_lpm(&Ipv6Net::from(Ipv6Addr::from(destination))).map(|(_, hop)| hop)
    }
}

fn port_of(text: &str, ports: &[&str]) -> Result<usize, String> {
    let by_number = text.parse().ok().filter(|&port| port < ports.len());
    by_number.or_else(|| ports.iter().position(|address| *address == text)).ok_or_else(|| {
        format!(
            "`{text}` is no port: the ports are {}",
            ports.iter().enumerate().map(|(at, port)| format!("{at} ({port})")).collect::<Vec<_>>().join(", ")
        )
    })
}

fn station(text: &str) -> Result<MacAddr, String> {
    let mac: MacAddr = text.parse().map_err(|error| format!("`{text}` is {error}"))?;
    if mac.is_unicast() { Ok(mac) } else { Err(format!("{mac} is not the address of one station")) }
}

fn prefix_of(text: &str) -> Result<IpNet, String> {
    let prefix: IpNet = text.parse().map_err(|_| format!("`{text}` is no prefix, such as 10.1.0.0/16 or 2001:db8::/32"))?;
    let whole = prefix.trunc();
    if whole == prefix { Ok(prefix) } else { Err(format!("{prefix} has bits beyond its length: write {whole}")) }
}

/// Routes IPv4 (RFC 1812) and IPv6 (RFC 8200) frames that were sent to the port's own address.
///
/// A frame that it routes has one hop less to live, the next hop's address and that of the port that it leaves by. Everything else is dropped:
/// what is not IP, is damaged, has no route, or no hop to live. It sends no ICMP, and knows no ARP: next hops are in the table.
#[derive(Clone, Debug)]
pub struct L3 {
    routes: Arc<Routes>,
    stations: Vec<Station>,
}

impl L3 {
    /// By these routes, between these ports.
    pub fn new(routes: Arc<Routes>, stations: Vec<Station>) -> Self {
        Self { routes, stations }
    }

    /// The port that a frame leaves by, which is ready to be sent then.
    #[inline]
    fn route(&self, own: MacAddr, frame: &mut PacketMut<'_>) -> Option<usize> {
        let meta = frame.meta();
        let length = frame.total_len();
        let data = frame.data_mut();
        if data.first_chunk::<6>() != Some(&own.0) {
            return None;
        }
        let (head, packet) = data.split_at_mut_checked(IPV4_AT)?;
        let hop = match head[MACS_BYTES..] {
            [0x08, 0x00] => self.route_v4(packet, length - IPV4_AT, meta.ip_checksum),
            [0x86, 0xdd] => self.route_v6(packet, length - IPV4_AT),
            _ => None,
        }?;
        head[..6].copy_from_slice(&hop.mac.0);
        head[6..MACS_BYTES].copy_from_slice(&self.stations.get(hop.port)?.mac().0);
        Some(hop.port)
    }

    #[inline]
    fn route_v4(&self, packet: &mut [u8], room: usize, checksum: Checksum) -> Option<Hop> {
        let header_bytes = usize::from(packet.first()? & 0xf) * 4;
        let header = packet.get_mut(..header_bytes)?;
        let version = header[0] >> 4;
        if version != 4 || header_bytes < IPV4_BYTES {
            return None;
        }
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let is_good = match checksum {
            Checksum::Good => true,
            Checksum::Bad => false,
            Checksum::Unknown => checksum::is_good(header),
        };
        let destination = [header[16], header[17], header[18], header[19]];
        // One station elsewhere: no group, no broadcast, not this link's or this machine's own (RFC 1812, 5.3.7; RFC 3927, 2.7).
        let is_elsewhere = !matches!(destination, [0 | 127 | 224.., ..] | [169, 254, ..]);
        if total < header_bytes || total > room || !is_good || !is_elsewhere || header[8] <= 1 {
            return None;
        }
        let hop = *self.routes.hop_v4(destination)?;
        let (old, new) = ([header[8], header[9]], [header[8] - 1, header[9]]);
        let sum = checksum::follow([header[10], header[11]], old, new);
        header[8] = new[0];
        header[10..12].copy_from_slice(&sum);
        Some(hop)
    }

    #[inline]
    fn route_v6(&self, packet: &mut [u8], room: usize) -> Option<Hop> {
        let header = packet.first_chunk_mut::<IPV6_BYTES>()?;
        let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let destination: [u8; 16] = *header.last_chunk()?;
        // One station elsewhere (RFC 4291, 2.5.6: a router does not forward link-local addresses; 2.5.2, 2.5.3).
        let is_elsewhere =
            destination[0] != 0xff && (destination[0], destination[1] & 0xc0) != (0xfe, 0x80) && u128::from_be_bytes(destination) > 1;
        if header[0] >> 4 != 6 || IPV6_BYTES + payload > room || !is_elsewhere || header[7] <= 1 {
            return None;
        }
        let hop = *self.routes.hop_v6(destination)?;
        header[7] -= 1;
        Some(hop)
    }
}

impl Switch for L3 {
    fn switch(&mut self, from: usize, burst: &mut Burst, out: &mut Outputs, cache: &mut BufCache) {
        let Some(own) = self.stations.get(from).map(Station::mac) else { return };
        burst.prefetch();
        out.deal(burst, cache, |frame| self.route(own, frame));
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::test_frames::{Bench, contents},
        *,
    };
    use vfwire_sim::frame::{Headers, checksum::Sum};

    const PORTS: [&str; 3] = ["0000:3b:02.1", "sim:igbvf", "sim:igbvf#2"];
    const TEXT: &str = "# a table\n10.0.0.0/8 0 02:00:00:00:00:10\n\n10.1.0.0/16 1 02:00:00:00:00:11 # longer\n\
                        10.1.2.3/32 sim:igbvf#2 02:00:00:00:00:12\n2001:db8::/32 0000:3b:02.1 02:00:00:00:00:20\n2001:db8:1::/48 2 02:00:00:00:00:21\n";

    fn own(port: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 1, port])
    }

    fn l3() -> L3 {
        let routes = Routes::parse(TEXT, &PORTS).expect("routes");
        assert_eq!(routes.len(), 5);
        L3::new(Arc::new(routes), (0..3).map(|port| Station::new(own(port))).collect())
    }

    /// What leaves by each port of frames that port 0 received, and how many were refused.
    fn route(frames: &[Vec<u8>]) -> (Vec<Vec<Vec<u8>>>, usize) {
        let mut bench = Bench::new();
        let mut out = Outputs::new(3, &bench.pool);
        let mut burst = bench.burst(frames);
        l3().switch(0, &mut burst, &mut out, &mut bench.cache);
        let refused = burst.len();
        burst.clear(&mut bench.cache);
        let (bursts, full) = out.parts();
        assert_eq!(full, [0; 3]);
        let left = bursts.iter_mut().map(contents).collect();
        bursts.iter_mut().for_each(|burst| burst.clear(&mut bench.cache));
        bench.all_are_home();
        (left, refused)
    }

    fn v4(destination: [u8; 4]) -> Vec<u8> {
        let mut frame =
            [&own(0).0[..], &[2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1], &destination, &[0; 26]]
                .concat();
        let sum = Sum::of(&frame[14..34]).checksum().to_be_bytes();
        frame[24..26].copy_from_slice(&sum);
        frame
    }

    fn v6(destination: &str) -> Vec<u8> {
        let destination: Ipv6Addr = destination.parse().expect("an address");
        [&own(0).0[..], &[2, 0, 0, 0, 0, 9, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 6, 17, 64], &[0x20; 16], &destination.octets(), &[0; 6]].concat()
    }

    #[test]
    fn the_longest_prefix_decides_and_the_frame_is_made_ready() {
        for (frame, port, hop) in [
            (v4([10, 9, 9, 9]), 0, 0x10),
            (v4([10, 1, 9, 9]), 1, 0x11),
            (v4([10, 1, 2, 3]), 2, 0x12),
            (v6("2001:db8:2::1"), 0, 0x20),
            (v6("2001:db8:1::1"), 2, 0x21),
        ] {
            let (left, refused) = route(std::slice::from_ref(&frame));
            assert_eq!((left[port].len(), refused), (1, 0), "{hop:x}");
            let routed = &left[port][0];
            assert_eq!(routed[..12], [&[2, 0, 0, 0, 0, hop][..], &own(u8::try_from(port).expect("small")).0].concat());
            let ttl_at = if routed[12] == 8 { 22 } else { 21 };
            assert_eq!(routed[ttl_at], 63);
            assert_ne!(Headers::parse(routed).ip_checksum_is_good(routed), Some(false));
        }
    }

    #[test]
    fn several_frames_keep_their_order() {
        let numbered = |destination, number| {
            let mut frame = v4(destination);
            frame[50] = number;
            frame
        };
        let frames: Vec<_> = (0..12).map(|n| numbered([[10, 1, 0, 1], [10, 2, 0, 1], [11, 0, 0, 1]][usize::from(n) % 3], n)).collect();
        let (left, refused) = route(&frames);
        let numbers = |port: usize| left[port].iter().map(|frame| frame[50]).collect::<Vec<_>>();
        assert_eq!((numbers(0), numbers(1), numbers(2), refused), (vec![1, 4, 7, 10], vec![0, 3, 6, 9], vec![], 4));
    }

    #[test]
    fn what_cannot_be_routed_is_dropped() {
        let good = v4([10, 0, 0, 1]);
        let changed = |at: usize, byte: u8| {
            let mut frame = good.clone();
            frame[at] = byte;
            let sum = [0, 0];
            frame[24..26].copy_from_slice(&sum);
            let sum = Sum::of(&frame[14..34]).checksum().to_be_bytes();
            frame[24..26].copy_from_slice(&sum);
            frame
        };
        let mut damaged = good.clone();
        damaged[25] ^= 1;
        let mut hopless = v6("2001:db8::1");
        hopless[21] = 1;
        let mut long = v6("2001:db8::1");
        long[19] = 200;
        for (frame, what) in [
            (changed(0, 4), "to another station"),
            (changed(12, 9), "not IP"),
            (changed(14, 0x55), "version 5"),
            (changed(14, 0x44), "a short header"),
            (changed(16, 9), "longer than the frame"),
            (changed(17, 19), "shorter than its header"),
            (changed(22, 1), "its last hop"),
            (damaged, "a wrong checksum"),
            (v4([11, 0, 0, 1]), "no route"),
            (v4([224, 0, 0, 1]), "a group"),
            (v4([127, 0, 0, 1]), "loopback"),
            (v4([169, 254, 0, 1]), "link-local"),
            (v6("ff02::1"), "a group"),
            (v6("fe80::1"), "link-local"),
            (v6("::1"), "loopback"),
            (v6("2001:db9::1"), "no route"),
            (hopless, "its last hop"),
            (long, "longer than the frame"),
        ] {
            assert_eq!(route(&[frame]).1, 1, "{what}");
        }
        assert_eq!(route(&[changed(22, 64)]).1, 0, "nothing is changed");
        for length in 0..v6("2001:db8::1").len() {
            assert_eq!(route(&[v6("2001:db8::1")[..length].to_vec()]).1, 1, "{length}");
        }
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        for (text, words) in [
            ("", &["no route in it"][..]),
            ("# nothing\n", &["no route in it"]),
            ("10.0.0.0/8 0", &["line 1", "PREFIX PORT NEXT-HOP-MAC", "`10.0.0.0/8 0`"]),
            ("\n10.0.0.1/8 0 02:00:00:00:00:01", &["line 2", "write 10.0.0.0/8"]),
            ("10.0.0.0/33 0 02:00:00:00:00:01", &["is no prefix"]),
            ("10.0.0.0 0 02:00:00:00:00:01", &["is no prefix"]),
            ("10.0.0.0/8 3 02:00:00:00:00:01", &["`3` is no port", "1 (sim:igbvf)"]),
            ("10.0.0.0/8 0 02:00", &["`02:00` is not a MAC address"]),
            ("10.0.0.0/8 0 ff:ff:ff:ff:ff:ff", &["one station"]),
            ("10.0.0.0/8 0 02:00:00:00:00:01\n10.0.0.0/8 1 02:00:00:00:00:01", &["line 2", "has a route already"]),
        ] {
            let error = Routes::parse(text, &PORTS).expect_err(text).to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{text:?}: {error}");
        }
    }
}
