//! TCP segmentation: one run of payload with one set of headers leaves as frames of at most MSS bytes of payload ("Intel 82599 10 GbE
//! Controller Datasheet", rev. 3.4, 7.2, Transmit Segmentation).
//!
//! As the hardware does: the length fields of IP are written anew, the IPv4 identification counts up, the sequence number grows by the
//! payload that went before, FIN and PSH are in the last segment only, CWR in the first only (register DTXTCPFLGL and DTXTCPFLGH). Software
//! has cleared the IPv4 header checksum and has put the sum of the pseudo header without the length into that of TCP.

use super::{Rules, offload, ring::Stop};
use crate::frame::checksum::Sum;
use vfwire_spec::{
    intel::adv::tx::{self, Context, L4Type},
    net::{ETH_FCS_BYTES, ETH_MIN_FRAME_BYTES, MAC_BYTES},
};

const IPV6_HEADER_BYTES: usize = 40;
const TCP_HEADER_BYTES: usize = 20;
/// Where fields lie: in the IPv4 header, the IPv6 header, the TCP header.
const IPV4_LENGTH_AT: usize = 2;
const IPV4_ID_AT: usize = 4;
const IPV6_LENGTH_AT: usize = 4;
const TCP_SEQUENCE_AT: usize = 4;
const TCP_FLAGS_AT: usize = 13;
const TCP_CHECKSUM_AT: usize = 16;
/// Flags that a segment keeps: the first, those between, the last.
const FIRST: u8 = 0xf6;
const MIDDLE: u8 = 0x76;
const LAST: u8 = 0x7f;

/// Cuts `run`, whose first descriptor's word 1 is `word1`, with `segment` as the memory of one frame.
pub(crate) fn cut(
    run: &[u8],
    word1: u64,
    context: &Context,
    rules: &Rules,
    segment: &mut Vec<u8>,
    leave: &mut impl FnMut(&[u8]),
) -> Result<(), Stop> {
    check(run, word1, context, rules)?;
    let (headers, payload) = run.split_at(headers_bytes(context));
    let mss_bytes = usize::from(context.mss_bytes);
    let count = payload.len().div_ceil(mss_bytes);
    for (number, part) in payload.chunks(mss_bytes).enumerate() {
        segment.clear();
        segment.extend_from_slice(headers);
        segment.extend_from_slice(part);
        let position = match (number == 0, number + 1 == count) {
            (true, true) => 0xff,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        rewrite(segment, context, number, position);
        offload::insert_checksums(segment, word1, context)?;
        if word1 & tx::VLE != 0 {
            segment.splice(2 * MAC_BYTES..2 * MAC_BYTES, offload::tag_bytes(context));
        }
        if segment.len() < ETH_MIN_FRAME_BYTES {
            segment.resize(ETH_MIN_FRAME_BYTES, 0);
        }
        leave(segment);
    }
    Ok(())
}

fn headers_bytes(context: &Context) -> usize {
    usize::from(context.maclen_bytes) + usize::from(context.iplen_bytes) + usize::from(context.l4len_bytes)
}

fn check(run: &[u8], word1: u64, context: &Context, rules: &Rules) -> Result<(), Stop> {
    let headers_bytes = headers_bytes(context);
    let detail = || format!("{} bytes, first descriptor {word1:#x}, {context:?}", run.len());
    Stop::unless(context.l4 == L4Type::TCP, "TSE goes with a context for TCP", detail)?;
    Stop::unless(word1 & tx::TXSM != 0, "TSE goes with TXSM", detail)?;
    Stop::unless(context.ipv4 == (word1 & tx::IXSM != 0), "TSE goes with IXSM for IPv4, and without it for IPv6", detail)?;
    Stop::unless(context.mss_bytes != 0, "TSE goes with an MSS", detail)?;
    Stop::unless(headers_bytes < run.len(), "a run has headers and payload", detail)?;
    Stop::unless(tx::payload_bytes(word1) as usize == run.len() - headers_bytes, "PAYLEN with TSE is the length without headers", detail)?;
    let ip = &run[usize::from(context.maclen_bytes)..];
    let tcp = &ip[usize::from(context.iplen_bytes).min(ip.len())..];
    let (version, ip_bytes) = if context.ipv4 { (4, usize::from(ip[0] & 0xf) * 4) } else { (6, usize::from(context.iplen_bytes)) };
    let is_described = ip[0] >> 4 == version
        && ip_bytes == usize::from(context.iplen_bytes)
        && ip_bytes >= if context.ipv4 { 20 } else { IPV6_HEADER_BYTES }
        && usize::from(context.l4len_bytes) >= TCP_HEADER_BYTES
        && usize::from(tcp[12] >> 4) * 4 == usize::from(context.l4len_bytes);
    Stop::unless(is_described, "a context describes the headers of its run", detail)?;
    let (longest_bytes, rule) = rules.longest;
    Stop::unless(headers_bytes + usize::from(context.mss_bytes) + ETH_FCS_BYTES <= longest_bytes, rule, detail)
}

/// The headers of segment `number`; `position` are the flags that it keeps.
fn rewrite(segment: &mut [u8], context: &Context, number: usize, position: u8) {
    let network_at = usize::from(context.maclen_bytes);
    let transport_at = network_at + usize::from(context.iplen_bytes);
    let transport_bytes = segment.len() - transport_at;
    // No segment is longer than the longest frame, and what counts wraps where its field ends.
    let low = |value: usize| u16::try_from(value & 0xffff).unwrap_or(0);
    let ip = &mut segment[network_at..transport_at];
    if context.ipv4 {
        put(ip, IPV4_LENGTH_AT, low(usize::from(context.iplen_bytes) + transport_bytes));
        let identification = word(ip, IPV4_ID_AT).wrapping_add(low(number));
        put(ip, IPV4_ID_AT, identification);
    } else {
        put(ip, IPV6_LENGTH_AT, low(usize::from(context.iplen_bytes) - IPV6_HEADER_BYTES + transport_bytes));
    }
    let tcp = &mut segment[transport_at..];
    let sequence = u32::from(word(tcp, TCP_SEQUENCE_AT)) << 16 | u32::from(word(tcp, TCP_SEQUENCE_AT + 2));
    let before = u32::try_from(number * usize::from(context.mss_bytes)).unwrap_or(0);
    tcp[TCP_SEQUENCE_AT..TCP_SEQUENCE_AT + 4].copy_from_slice(&sequence.wrapping_add(before).to_be_bytes());
    tcp[TCP_FLAGS_AT] &= position;
    // The pseudo header gets its length.
    let seed = Sum::of(&tcp[TCP_CHECKSUM_AT..TCP_CHECKSUM_AT + 2]).and(Sum::of(&low(transport_bytes).to_be_bytes()));
    put(tcp, TCP_CHECKSUM_AT, !seed.checksum());
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
