//! What the device does to a frame that is sent: completes its checksum, cuts it into segments (5.1.6.2).
//!
//! As Linux does it behind a hypervisor's device: the checksum field holds the sum of the pseudo header, that of a run with the run's own
//! length. Segments get new lengths, IPv4 identifications that count up, sequence numbers that grow by the payload before; FIN and PSH are in
//! the last one only, CWR in the first one only.

use crate::{
    frame::{Headers, Network, Transport, checksum::Sum},
    models::Stop,
};
use vfwire_spec::virtio::net::{GSO_ECN, GSO_TCPV4, GSO_TCPV6, Header};

const IPV4_LENGTH_AT: usize = 2;
const IPV4_ID_AT: usize = 4;
const IPV4_CHECKSUM_AT: usize = 10;
const IPV6_LENGTH_AT: usize = 4;
const IPV6_HEADER_BYTES: usize = 40;
const TCP_SEQUENCE_AT: usize = 4;
const TCP_OFFSET_AT: usize = 12;
const TCP_FLAGS_AT: usize = 13;
const TCP_CHECKSUM_AT: usize = 16;
/// TCP flags that a segment keeps: the first, those between, the last.
const FIRST: u8 = 0xf6;
const MIDDLE: u8 = 0x76;
const LAST: u8 = 0x7f;

/// Completes the checksum that the header tells of.
pub(super) fn complete(frame: &mut [u8], header: &Header) -> Result<(), Stop> {
    let start = usize::from(header.csum_start);
    let at = start + usize::from(header.csum_offset);
    let rule = "the checksum lies in the frame, and in what it covers";
    Stop::unless(at + 2 <= frame.len(), rule, || format!("{header:?}, {} bytes", frame.len()))?;
    let checksum = Sum::of(&frame[start..]).udp_checksum();
    put(frame, at, checksum);
    Ok(())
}

/// Where the parts of a run of TCP are.
struct Run {
    network_at: usize,
    transport_at: usize,
    payload_at: usize,
    is_v4: bool,
}

/// Cuts `run`, with `segment` as the memory of one frame. `exact`: the driver says how long the headers are.
pub(super) fn cut(run: &[u8], header: &Header, exact: bool, segment: &mut Vec<u8>, leave: &mut impl FnMut(&[u8])) -> Result<(), Stop> {
    let parts = check(run, header, exact)?;
    let (headers, payload) = run.split_at(parts.payload_at);
    let mss_bytes = usize::from(header.gso_size);
    let count = payload.len().div_ceil(mss_bytes);
    for (number, part) in payload.chunks(mss_bytes).enumerate() {
        segment.clear();
        segment.extend_from_slice(headers);
        segment.extend_from_slice(part);
        let kept = match (number == 0, number + 1 == count) {
            (true, true) => 0xff,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        rewrite(segment, &parts, run.len(), number, mss_bytes);
        segment[parts.transport_at + TCP_FLAGS_AT] &= kept;
        let checksum = Sum::of(&segment[parts.transport_at..]).checksum();
        put(segment, parts.transport_at + TCP_CHECKSUM_AT, checksum);
        leave(segment);
    }
    Ok(())
}

fn check(run: &[u8], header: &Header, exact: bool) -> Result<Run, Stop> {
    let headers = Headers::parse(run);
    let detail = || format!("{header:?}, {} bytes, {headers:?}", run.len());
    let is_v4 = matches!(headers.network, Network::V4 { .. });
    let kind = if is_v4 { GSO_TCPV4 } else { GSO_TCPV6 };
    let is_described = headers.transport == Transport::Tcp && header.gso_type & !GSO_ECN == kind && headers.packet_end == run.len();
    Stop::unless(is_described, "a run is TCP over the IP that its type names", detail)?;
    let transport_at = headers.transport_at;
    let payload_at = transport_at + usize::from(run[transport_at + TCP_OFFSET_AT] >> 4) * 4;
    Stop::unless(payload_at >= transport_at + 20 && payload_at < run.len(), "a run has headers and payload", detail)?;
    Stop::unless(header.gso_size != 0, "segmentation goes with a size of segments", detail)?;
    let is_checksum = usize::from(header.csum_start) == transport_at && usize::from(header.csum_offset) == TCP_CHECKSUM_AT;
    Stop::unless(is_checksum, "the checksum of a run is that of TCP", detail)?;
    let is_exact = !exact || usize::from(header.hdr_len) == payload_at;
    Stop::unless(is_exact, "with GUEST_HDRLEN the length of the headers is exact", detail)?;
    Ok(Run { network_at: headers.network_at, transport_at, payload_at, is_v4 })
}

/// The headers of segment `number`, and the sum of its pseudo header.
fn rewrite(segment: &mut [u8], parts: &Run, run_bytes: usize, number: usize, mss_bytes: usize) {
    // No run is longer than its 16-bit length, and what counts wraps where its field ends.
    let low = |value: usize| u16::try_from(value & 0xffff).unwrap_or(0);
    let transport_bytes = segment.len() - parts.transport_at;
    let ip = &mut segment[parts.network_at..];
    if parts.is_v4 {
        put(ip, IPV4_LENGTH_AT, low(parts.transport_at - parts.network_at + transport_bytes));
        let identification = word(ip, IPV4_ID_AT).wrapping_add(low(number));
        put(ip, IPV4_ID_AT, identification);
        put(ip, IPV4_CHECKSUM_AT, 0);
        let checksum = Sum::of(&ip[..parts.transport_at - parts.network_at]).checksum();
        put(ip, IPV4_CHECKSUM_AT, checksum);
    } else {
        put(ip, IPV6_LENGTH_AT, low(parts.transport_at - parts.network_at - IPV6_HEADER_BYTES + transport_bytes));
    }
    let tcp = &mut segment[parts.transport_at..];
    let sequence = u32::from(word(tcp, TCP_SEQUENCE_AT)) << 16 | u32::from(word(tcp, TCP_SEQUENCE_AT + 2));
    let before = u32::try_from(number * mss_bytes).unwrap_or(0);
    tcp[TCP_SEQUENCE_AT..TCP_SEQUENCE_AT + 4].copy_from_slice(&sequence.wrapping_add(before).to_be_bytes());
    // The run's length goes out of the sum (its complement comes in), the segment's comes in.
    let seed = Sum::of(&tcp[TCP_CHECKSUM_AT..TCP_CHECKSUM_AT + 2])
        .and(Sum::of(&(!low(run_bytes - parts.transport_at)).to_be_bytes()))
        .and(Sum::of(&low(transport_bytes).to_be_bytes()));
    put(tcp, TCP_CHECKSUM_AT, !seed.checksum());
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
