//! Answers ARP (RFC 826), ping (RFC 792) and UDP echo (RFC 862) for one IPv4 address; the device computes the checksums.
//!
//! `echo ADDRESS IPV4 [--vlan ID] [--mtu BYTES]`, where ADDRESS is a PCI address or `sim:igbvf`. It runs until it is killed or the
//! function is taken away.

use std::error::Error;
use std::net::Ipv4Addr;
use vfwire::{Checksum, Host, L4, MacAddr, PacketMut, PoolConfig, Port, PortConfig, PortEvent, RxQueue, TxOffload, TxQueue};

const ETHERNET_BYTES: u8 = 14;
const IPV4_BYTES: u16 = 20;
const IPV4_AT: usize = ETHERNET_BYTES as usize;
const L4_AT: usize = IPV4_AT + IPV4_BYTES as usize;
const UDP: u8 = 17;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(ip)) = (args.next(), args.next()) else {
        return Err("usage: echo ADDRESS IPV4 [--vlan ID] [--mtu BYTES]".into());
    };
    let (mut vlan, mut mtu_bytes) = (None, 1500);
    while let (Some(option), Some(value)) = (args.next(), args.next()) {
        match option.as_str() {
            "--vlan" => vlan = Some(value.parse()?),
            "--mtu" => mtu_bytes = value.parse()?,
            other => return Err(format!("unknown option {other}").into()),
        }
    }

    let mut host = Host::new();
    let mut port = host.open(&address)?;
    let pool = host.pool(PoolConfig::new(4096))?;
    let mut config = PortConfig::new(&pool);
    config.intent.mtu_bytes = mtu_bytes;
    config.intent.vlans.extend(vlan);
    let mut queues = port.start(&config)?;
    for refusal in &queues.granted.refused {
        eprintln!("echo: {refusal}");
    }
    let station = Station { mac: port.info().mac, ip: ip.parse()?, vlan };
    eprintln!("echo: answering for {ip} at {address}, {}", station.mac);

    let (rx, tx) = (&mut queues.rx[0], &mut queues.tx[0]);
    let (mut cache, mut burst) = (pool.cache(), pool.burst(32));
    for round in 0_u64.. {
        rx.rx_burst(&mut cache, &mut burst);
        burst.retain(&mut cache, |frame| station.answer(frame));
        tx.tx_burst(&mut cache, &mut burst);
        burst.clear(&mut cache);
        if round % 4096 == 0
            && let Some(event) = port.poll_control()?
        {
            eprintln!("echo: {event:?}");
            if matches!(event, PortEvent::Removed { .. }) {
                break;
            }
        }
    }
    Ok(())
}

/// Whom we answer for.
struct Station {
    mac: MacAddr,
    ip: Ipv4Addr,
    vlan: Option<u16>,
}

impl Station {
    /// Turns a request into its answer; false where it is none that we answer.
    fn answer(&self, frame: &mut PacketMut<'_>) -> bool {
        let meta = frame.meta();
        // The low 12 bits of the tag are the VLAN (IEEE 802.1Q); the device has taken it out of the frame.
        if meta.vlan_tci.map(|tci| tci & 0xfff) != self.vlan {
            return false;
        }
        // What short frames were padded with must not reach the checksums.
        if let [0x08, 0x00, _, _, high, low] = frame.data().get(12..18).unwrap_or_default() {
            frame.truncate(IPV4_AT + usize::from(u16::from_be_bytes([*high, *low])));
        }
        let (ip_good, l4_good) = (is_ip_good(frame, meta.ip_checksum), is_udp_good(frame, meta.l4_checksum));
        let data = frame.data_mut();
        let asked = match data.get(12..14) {
            Some([0x08, 0x06]) => self.answer_arp(data),
            Some([0x08, 0x00]) if ip_good => self.answer_ipv4(data, l4_good),
            _ => None,
        };
        let Some(asked) = asked else { return false };
        data.copy_within(6..12, 0);
        data[6..12].copy_from_slice(&self.mac.0);
        frame.offload(self.vlan.map_or(asked, |id| asked.vlan(id)));
        true
    }

    fn answer_arp(&self, data: &mut [u8]) -> Option<TxOffload> {
        // Ethernet, IPv4, lengths 6 and 4, request.
        let request = [0, 1, 8, 0, 6, 4, 0, 1];
        let arp = data.get_mut(IPV4_AT..IPV4_AT + 28)?;
        if arp[..8] != request || arp[24..28] != self.ip.octets() {
            return None;
        }
        arp[7] = 2;
        arp.copy_within(8..18, 18);
        arp[8..14].copy_from_slice(&self.mac.0);
        arp[14..18].copy_from_slice(&self.ip.octets());
        Some(TxOffload::default())
    }

    fn answer_ipv4(&self, data: &mut [u8], l4_good: bool) -> Option<TxOffload> {
        let (headers, l4) = data.split_at_mut_checked(L4_AT)?;
        let ip = &mut headers[IPV4_AT..];
        // No options, not a fragment, to us.
        if ip[0] != 0x45 || ip[6] & 0x3f != 0 || ip[7] != 0 || ip[16..20] != self.ip.octets() {
            return None;
        }
        let asked = TxOffload::default().ipv4_checksum(ETHERNET_BYTES, IPV4_BYTES);
        let asked = match (ip[9], l4) {
            (1, [kind @ 8, 0, high, low, ..]) => {
                // One word changes by 0x0800, and so does the checksum (RFC 1624).
                *kind = 0;
                let sum = fold(u32::from(u16::from_be_bytes([*high, *low])) + 0x0800);
                [*high, *low] = sum.to_be_bytes();
                asked
            }
            (UDP, l4) => answer_udp(ip, l4, l4_good, asked)?,
            _ => return None,
        };
        ip.copy_within(12..16, 16);
        ip[12..16].copy_from_slice(&self.ip.octets());
        ip[10..12].fill(0);
        Some(asked)
    }
}

/// Port 7. A datagram without a checksum gets an answer without one.
fn answer_udp(ip: &[u8], l4: &mut [u8], good: bool, asked: TxOffload) -> Option<TxOffload> {
    let udp = l4.get_mut(..8)?;
    if udp[2..4] != [0, 7] {
        return None;
    }
    let has_checksum = udp[6..8] != [0, 0];
    udp.copy_within(0..2, 2);
    udp[0..2].copy_from_slice(&[0, 7]);
    if !has_checksum {
        return Some(asked);
    }
    // The sum of the pseudo-header (RFC 768), which does not change when the addresses change places; the device adds the rest.
    let words = ip[12..20].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let length = u32::from(u16::from_be_bytes([udp[4], udp[5]]));
    let sum = fold(words.sum::<u32>() + u32::from(UDP) + length);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    good.then(|| asked.l4_checksum(L4::Udp, false, ETHERNET_BYTES, IPV4_BYTES))
}

/// Whether an IPv4 header is right: what the device does not look at is summed here.
fn is_ip_good(frame: &PacketMut<'_>, found: Checksum) -> bool {
    match found {
        Checksum::Unknown => frame.data().get(IPV4_AT..L4_AT).is_some_and(|header| ones_sum([header].into_iter(), 0, 0) == 0xffff),
        found => found == Checksum::Good,
    }
}

/// The same of a UDP datagram.
fn is_udp_good(frame: &PacketMut<'_>, found: Checksum) -> bool {
    match found {
        // The pseudo-header (RFC 768): both addresses, which lie before the datagram, the protocol and the length.
        Checksum::Unknown => {
            let others = frame.total_len().saturating_sub(L4_AT) as u64 + u64::from(UDP);
            ones_sum(frame.segments(), L4_AT - 8, others) == 0xffff
        }
        found => found == Checksum::Good,
    }
}

/// Ones' complement sum of the bytes of all segments but the first `skip`, and of `others`.
fn ones_sum<'a>(segments: impl Iterator<Item = &'a [u8]>, skip: usize, others: u64) -> u16 {
    let bytes = segments.flatten().skip(skip).enumerate();
    let mut sum = others + bytes.map(|(at, byte)| u64::from(*byte) << if at % 2 == 0 { 8 } else { 0 }).sum::<u64>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Ones' complement sum in 16 bits (RFC 1071).
#[expect(clippy::cast_possible_truncation, reason = "folded into 16 bits")]
fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}
