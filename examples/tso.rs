//! Sends TCP super-frames for the device to cut into segments (TSO).
//!
//! `tso ADDRESS [--payload BYTES] [--mss BYTES] [--ipv6] [--count N]`, where ADDRESS is a PCI address or `sim:ixgbevf`. Each frame goes to everybody: from
//! 10.0.0.2 to 10.0.0.1 or fd00::2 to fd00::1, port 7 to 12345; its payload counts up from zero, byte by byte, and begins anew after 251.

use std::{collections::BTreeSet, error::Error, time::Duration};
use vfwire::{BufCache, Burst, Host, Intent, L4, MacAddr, Offload, Pool, PoolConfig, Port, PortConfig, Setting, TxOffload, TxQueue};

const ETHERNET_BYTES: u8 = 14;
const TCP_BYTES: u8 = 20;
const TCP: u8 = 6;
/// What a buffer takes. Devices read a frame from 16 buffers or a few more, so that ordinary ones are too small for the longest.
const BUFFER_BYTES: u32 = 4096;
const PIECE_BYTES: usize = BUFFER_BYTES as usize;

struct Wanted {
    payload_bytes: u16,
    mss_bytes: u16,
    ipv6: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut address, mut count) = ("sim:ixgbevf".to_owned(), 1);
    let mut wanted = Wanted { payload_bytes: 30_000, mss_bytes: 1448, ipv6: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().ok_or(format!("{argument} needs a number"))?.parse::<u16>().map_err(Box::<dyn Error>::from);
        match argument.as_str() {
            "--payload" => wanted.payload_bytes = number()?,
            "--mss" => wanted.mss_bytes = number()?,
            "--count" => count = number()?,
            "--ipv6" => wanted.ipv6 = true,
            _ => address = argument,
        }
    }
    let mut host = Host::new();
    let mut port = host.open(&address)?;
    let pool = host.pool(PoolConfig { data_bytes: BUFFER_BYTES, ..PoolConfig::new(2048) })?;
    let intent = Intent { offloads: BTreeSet::from([Offload::TxChecksum, Offload::Tso]), ..Intent::default() };
    let mut queues = port.start(&PortConfig { intent, ..PortConfig::new(&pool) })?;
    if let Some(missing) = queues.granted.refused.iter().find(|refusal| matches!(refusal.setting, Setting::Offload(_))) {
        return Err(format!("{address} does not segment: {missing}").into());
    }

    let (mut cache, mut burst) = (pool.cache(), pool.burst(32));
    for _ in 0..count {
        super_frame(&wanted, port.info().mac, &pool, &mut cache, &mut burst)?;
        while !burst.is_empty() {
            queues.tx[0].tx_burst(&mut cache, &mut burst);
            port.poll_control()?;
        }
    }
    // The device reads the frames while it sends them; stopping would end that.
    std::thread::sleep(Duration::from_millis(500));
    let unsendable = port.stats().tx_total().unsendable;
    if unsendable > 0 {
        return Err(format!("{unsendable} frames are too long for {address}, or span too many buffers").into());
    }
    println!("{count} frames of {} bytes of payload left for segments of {}", wanted.payload_bytes, wanted.mss_bytes);
    Ok(())
}

/// Puts one frame into the burst: headers and the first piece, and further pieces behind.
fn super_frame(wanted: &Wanted, mac: MacAddr, pool: &Pool, cache: &mut BufCache, burst: &mut Burst) -> Result<(), Box<dyn Error>> {
    let (headers, offload) = headers(wanted, mac);
    let payload: Vec<u8> = (0..usize::from(wanted.payload_bytes)).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let (first, rest) = payload.split_at(payload.len().min(PIECE_BYTES - headers.len()));
    let mut frame = burst.push_empty(cache).ok_or("no buffer is free")?;
    frame.append(headers.len() + first.len()).ok_or("a buffer holds the first piece")?.copy_from_slice(&[&headers, first].concat());
    frame.offload(offload);
    let mut pieces = pool.burst(rest.len().div_ceil(PIECE_BYTES).max(1));
    for piece in rest.chunks(PIECE_BYTES) {
        let mut segment = pieces.push_empty(cache).ok_or("no buffer is free")?;
        segment.append(piece.len()).ok_or("a buffer holds a piece")?.copy_from_slice(piece);
    }
    // Taken from the end, where none takes another's place.
    let mut segments: Vec<_> = (0..pieces.len()).rev().map(|at| pieces.swap_take(at)).collect();
    let frame = burst.len() - 1;
    while let Some(segment) = segments.pop() {
        burst.append_segment(frame, segment);
    }
    Ok(())
}

/// Ethernet, IP and TCP headers, with what the device leaves to us: the pseudo-header's sum without the length.
fn headers(wanted: &Wanted, mac: MacAddr) -> (Vec<u8>, TxOffload) {
    let (ethertype, ip, addresses) = if wanted.ipv6 { ([0x86, 0xdd], ipv6(), 8..40) } else { ([0x08, 0x00], ipv4(), 12..20) };
    let sum = ones_sum(&[&ip[addresses], &[0, TCP]].concat());
    let mut tcp = [0; TCP_BYTES as usize];
    tcp[..4].copy_from_slice(&[0, 7, 0x30, 0x39]);
    // Sequence number 1, five words of header, ACK and PSH.
    tcp[7] = 1;
    tcp[12..14].copy_from_slice(&[0x50, 0x18]);
    tcp[14..16].copy_from_slice(&[0x10, 0]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let headers = [&[0xff; 6][..], &mac.0, &ethertype, &ip, &tcp].concat();
    let ip_bytes = u16::try_from(ip.len()).expect("20 or 40 bytes");
    let asked = TxOffload::default().l4_checksum(L4::Tcp, wanted.ipv6, ETHERNET_BYTES, ip_bytes).segment(TCP_BYTES, wanted.mss_bytes);
    (headers, if wanted.ipv6 { asked } else { asked.ipv4_checksum(ETHERNET_BYTES, ip_bytes) })
}

/// Length and checksum are each segment's own.
fn ipv4() -> Vec<u8> {
    vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, TCP, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]
}

fn ipv6() -> Vec<u8> {
    let mut ip = vec![0x60, 0, 0, 0, 0, 0, TCP, 64];
    for last in [2, 1] {
        let mut address = [0; 16];
        (address[0], address[15]) = (0xfd, last);
        ip.extend(address);
    }
    ip
}

/// Ones' complement sum in 16 bits (RFC 1071).
#[expect(clippy::cast_possible_truncation, reason = "folded into 16 bits")]
fn ones_sum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}
