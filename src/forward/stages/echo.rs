//! A station that answers.

use super::checksum;
use crate::{
    BufCache, Burst, Checksum, MacAddr, PacketMut, TxOffload,
    forward::{Stage, Station},
};
use std::net::Ipv4Addr;

const MACS_BYTES: usize = 12;
const ARP_BYTES: usize = 28;
const IPV4_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
/// Where fields of an IPv4 header are (RFC 791, 3.1).
const FRAGMENT_AT: usize = 6;
const TTL_AT: usize = 8;
const PROTOCOL_AT: usize = 9;
const CHECKSUM_AT: usize = 10;
const SOURCE_AT: usize = 12;
const DESTINATION_AT: usize = 16;
/// Every answer but those to UDP starts with this.
const TTL: u8 = 64;
const ICMP: u8 = 1;
const UDP: u8 = 17;

/// Answers ARP (RFC 826), ping (RFC 792) and UDP on any port (as RFC 862 does on port 7) for some IPv4 addresses; drops everything else.
///
/// It answers whole, unfragmented packets without options. A checksum that was wrong in the question is wrong in the answer. Answers to UDP
/// leave with one hop less to live than the question had, so that two stations that answer each other come to an end.
#[derive(Clone, Debug)]
pub struct Echo {
    station: Station,
    addresses: Vec<Ipv4Addr>,
}

impl Echo {
    /// For these addresses, from this port, which is the one that frames come by and leave by.
    pub fn new(station: Station, addresses: Vec<Ipv4Addr>) -> Self {
        Self { station, addresses }
    }

    /// Turns a question into its answer; false where it is none that is answered.
    #[inline]
    fn answer(&self, mac: MacAddr, frame: &mut PacketMut<'_>) -> bool {
        let meta = frame.meta();
        if meta.ip_checksum == Checksum::Bad || meta.l4_checksum == Checksum::Bad {
            return false;
        }
        let data = frame.data_mut();
        let Some(head) = data.first_chunk::<MACS_BYTES>() else { return false };
        let (to_us, to_all, from_one) = (head[..6] == mac.0, head[..6] == MacAddr::BROADCAST.0, head[6] & 1 == 0);
        // A tag that the device has left in the frame stays where it is.
        let at = if data.get(MACS_BYTES..MACS_BYTES + 2) == Some(&[0x81, 0x00]) { MACS_BYTES + 4 } else { MACS_BYTES };
        let Some((kind, payload)) = data[at..].split_first_chunk_mut::<2>() else { return false };
        let answered = match *kind {
            [0x08, 0x06] if to_us || to_all => self.answer_arp(mac, payload),
            [0x08, 0x00] if to_us => self.answer_ipv4(payload),
            _ => None,
        };
        if answered.is_none() || !from_one {
            return false;
        }
        data.copy_within(6..12, 0);
        data[6..12].copy_from_slice(&mac.0);
        if let Some(tci) = meta.vlan_tci {
            frame.offload(TxOffload::default().vlan(tci & 0xfff));
        }
        true
    }

    fn is_ours(&self, address: &[u8]) -> bool {
        self.addresses.iter().any(|ours| ours.octets() == *address)
    }

    fn answer_arp(&self, mac: MacAddr, payload: &mut [u8]) -> Option<()> {
        // Ethernet, IPv4, lengths 6 and 4, request.
        const REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
        let arp = payload.first_chunk_mut::<ARP_BYTES>()?;
        if arp[..8] != REQUEST || !self.is_ours(&arp[24..28]) {
            return None;
        }
        let asked = [arp[24], arp[25], arp[26], arp[27]];
        arp[7] = 2;
        arp.copy_within(8..18, 18);
        arp[8..14].copy_from_slice(&mac.0);
        arp[14..18].copy_from_slice(&asked);
        Some(())
    }

    fn answer_ipv4(&self, payload: &mut [u8]) -> Option<()> {
        let (ip, rest) = payload.split_first_chunk_mut::<IPV4_BYTES>()?;
        let is_whole = ip[0] == 0x45 && ip[FRAGMENT_AT] & 0x3f == 0 && ip[FRAGMENT_AT + 1] == 0;
        let source = &ip[SOURCE_AT..DESTINATION_AT];
        // From one station that is not us (RFC 1122, 3.2.1.3): nobody else can be answered.
        let is_answerable = source[0] != 0 && source[0] < 224 && !self.is_ours(source);
        if !is_whole || !is_answerable || !self.is_ours(&ip[DESTINATION_AT..]) {
            return None;
        }
        let ttl = match ip[PROTOCOL_AT] {
            ICMP => {
                let [kind @ 8, code @ 0, high, low, ..] = rest else { return None };
                [*high, *low] = checksum::follow([*high, *low], [*kind, *code], [0, *code]);
                *kind = 0;
                TTL
            }
            UDP => {
                let ports = rest.first_chunk_mut::<UDP_BYTES>()?.first_chunk_mut::<4>()?;
                let left = ip[TTL_AT].checked_sub(1).filter(|&left| left > 0)?;
                ports.rotate_left(2);
                left.min(TTL)
            }
            _ => return None,
        };
        let old = [ip[TTL_AT], ip[PROTOCOL_AT]];
        let changed = checksum::follow([ip[CHECKSUM_AT], ip[CHECKSUM_AT + 1]], old, [ttl, old[1]]);
        ip[TTL_AT] = ttl;
        ip[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&changed);
        // Neither this nor the ports that changed places alter a sum.
        ip[SOURCE_AT..].rotate_left(4);
        Some(())
    }
}

impl Stage for Echo {
    fn process(&mut self, burst: &mut Burst, cache: &mut BufCache) {
        burst.prefetch();
        let mac = self.station.mac();
        burst.retain(cache, |frame| self.answer(mac, frame));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::test_frames::Bench, *};
    use vfwire_sim::frame::{Headers, checksum::Sum};

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const PEER: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

    fn echo() -> Echo {
        Echo::new(Station::new(MAC), vec![Ipv4Addr::new(10, 0, 0, 1), OURS])
    }

    fn ask(frame: &[u8]) -> Option<Vec<u8>> {
        Bench::new().process(&mut echo(), &[frame.to_vec()]).pop()
    }

    fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
        [&MAC.0[..], &PEER, &kind.to_be_bytes(), payload].concat()
    }

    /// A packet with right checksums.
    fn ipv4(protocol: u8, ttl: u8, mut l4: Vec<u8>) -> Vec<u8> {
        let length = u16::try_from(IPV4_BYTES + l4.len()).expect("short").to_be_bytes();
        let mut ip = [&[0x45, 0], &length[..], &[0, 1, 0x40, 0, ttl, protocol, 0, 0, 198, 18, 0, 1], &OURS.octets()].concat();
        let sum = Sum::of(&ip).checksum().to_be_bytes();
        ip[10..12].copy_from_slice(&sum);
        if protocol == ICMP {
            let sum = Sum::of(&l4).checksum().to_be_bytes();
            l4[2..4].copy_from_slice(&sum);
        } else {
            let pseudo = vfwire_sim::frame::checksum::pseudo_header_v4([198, 18, 0, 1], OURS.octets(), UDP, l4.len());
            let sum = pseudo.and(Sum::of(&l4)).udp_checksum().to_be_bytes();
            l4[6..8].copy_from_slice(&sum);
        }
        ethernet(0x0800, &[ip, l4].concat())
    }

    fn udp() -> Vec<u8> {
        ipv4(UDP, 9, [&[0x12, 0x34, 0, 53, 0, 13, 0, 0][..], b"hello"].concat())
    }

    #[test]
    fn arp_is_answered_for_our_addresses_alone() {
        let request = |target: Ipv4Addr| {
            let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &PEER, &[198, 18, 0, 1], &[0; 6], &target.octets()].concat();
            let mut frame = ethernet(0x0806, &arp);
            frame[..6].fill(0xff);
            frame
        };
        let answer = ask(&request(OURS)).expect("an answer");
        assert_eq!(answer[..12], [PEER, MAC.0].concat());
        assert_eq!(answer[12..], [&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2][..], &MAC.0, &OURS.octets(), &PEER, &[198, 18, 0, 1]].concat());
        assert_eq!(ask(&request(Ipv4Addr::new(198, 18, 0, 3))), None);
        assert_eq!(ask(&answer), None, "an answer is no question");
    }

    #[test]
    fn a_ping_comes_back_with_its_payload_and_right_checksums() {
        let answer = ask(&ipv4(ICMP, 1, [&[8, 0, 0, 0, 7, 7, 0, 1][..], &[0xab; 56]].concat())).expect("an answer");
        let headers = Headers::parse(&answer);
        assert_eq!(headers.ip_checksum_is_good(&answer), Some(true));
        assert_eq!((answer[22], &answer[26..34]), (64, &[198, 18, 0, 2, 198, 18, 0, 1][..]));
        assert_eq!((answer[34], &answer[38..]), (0, &[&[7, 7, 0, 1][..], &[0xab; 56]].concat()[..]));
        assert!(checksum::is_good(&answer[34..]));
        assert_eq!(ask(&answer), None, "an answer is no question");
    }

    #[test]
    fn udp_comes_back_from_any_port_and_not_for_ever() {
        let answer = ask(&udp()).expect("an answer");
        let headers = Headers::parse(&answer);
        assert_eq!((headers.ip_checksum_is_good(&answer), headers.l4_checksum_is_good(&answer)), (Some(true), Some(true)));
        assert_eq!((answer[22], &answer[34..38], &answer[42..]), (8, &[0, 53, 0x12, 0x34][..], &b"hello"[..]));
        let last = ipv4(UDP, 1, udp()[34..].to_vec());
        assert_eq!(ask(&last), None, "it would not live to arrive");
    }

    #[test]
    fn what_was_wrong_stays_wrong() {
        let mut frame = udp();
        frame[24] ^= 1;
        let answer = ask(&frame).expect("an answer");
        assert_eq!(Headers::parse(&answer).ip_checksum_is_good(&answer), Some(false));
    }

    #[test]
    fn what_is_not_for_us_gets_no_answer() {
        let changed = |at: usize, bytes: &[u8]| {
            let mut frame = udp();
            frame[at..at + bytes.len()].copy_from_slice(bytes);
            frame
        };
        assert!(ask(&changed(0, &MAC.0)).is_some(), "nothing is changed");
        for (at, bytes, what) in [
            (0, &[2, 0, 0, 0, 0, 3][..], "another station"),
            (0, &[0xff; 6], "a broadcast"),
            (6, &[3], "from a group"),
            (12, &[0x86, 0xdd], "IPv6"),
            (14, &[0x46], "options"),
            (20, &[0x20, 0], "a fragment"),
            (20, &[0, 1], "the last fragment"),
            (23, &[6], "TCP"),
            (26, &[0, 0, 0, 0], "from nobody"),
            (26, &[224, 0, 0, 1], "from a group"),
            (26, &OURS.octets(), "from us"),
            (30, &[198, 18, 0, 7], "to another"),
        ] {
            assert_eq!(ask(&changed(at, bytes)), None, "{what}");
        }
    }

    #[test]
    fn short_frames_are_no_trouble() {
        let frame = udp();
        for length in 0..frame.len() {
            let answer = ask(&frame[..length]);
            assert!(answer.is_none() || length >= 42, "{length}");
        }
    }

    #[test]
    fn a_tag_in_the_frame_stays() {
        let mut frame = udp();
        frame.splice(12..12, [0x81, 0, 0, 5]);
        let answer = ask(&frame).expect("an answer");
        assert_eq!((&answer[12..18], &answer[38..42]), (&[0x81, 0, 0, 5, 8, 0][..], &[0, 53, 0x12, 0x34][..]));
    }
}
