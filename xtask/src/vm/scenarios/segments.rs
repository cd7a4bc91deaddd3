//! TCP super-frames: what the tap's kernel cuts as the device asked it to must be right segments, byte for byte.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::checksums::ones_sum;
use super::virtio::at;
use crate::vm::lab::Lab;

const MSS: usize = 1448;
const TCP: u8 = 6;
/// Flags of the last segment: ACK and PSH; the others have ACK alone.
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const ETHERNET_BYTES: usize = 14;
const TCP_BYTES: usize = 20;

pub(super) fn segmented(lab: &mut Lab) -> Result<()> {
    for name in ["tap", "tap-packed"] {
        for is_ipv6 in [false, true] {
            for payload_bytes in [30_000, 2 * MSS, 100] {
                cut(lab, name, is_ipv6, payload_bytes)
                    .with_context(|| format!("{name}, IPv6: {is_ipv6}, {payload_bytes} bytes of payload"))?;
            }
        }
    }
    Ok(())
}

fn cut(lab: &mut Lab, name: &str, is_ipv6: bool, payload_bytes: usize) -> Result<()> {
    let at = at(name);
    let option = if is_ipv6 { " --ipv6" } else { "" };
    let command = format!("exec tso {} --payload {payload_bytes} --mss {MSS}{option}", lab.function(at).address);
    let program = lab.guest.start(&command)?;
    let mut received = 0;
    while received < payload_bytes {
        let segment = lab.wire(at).receive_where(|frame| Segment::of(frame, is_ipv6))?;
        let Some(segment) = segment else { break };
        let wanted = MSS.min(payload_bytes - received);
        ensure!(segment.payload.len() == wanted, "{} bytes in the segment at {received} instead of {wanted}", segment.payload.len());
        ensure!(segment.sequence == u32::try_from(1 + received)?, "sequence number {} at {received}", segment.sequence);
        let is_last = received + wanted == payload_bytes;
        ensure!(segment.flags == if is_last { ACK | PSH } else { ACK }, "flags {:#x} at {received}", segment.flags);
        let is_right = segment.payload.iter().zip(received..).all(|(byte, at)| usize::from(*byte) == at % 251);
        ensure!(is_right, "wrong payload at {received}");
        ensure!(segment.problem.is_empty(), "{} at {received}", segment.problem);
        received += wanted;
    }
    let ended = program.wait(&mut lab.guest, Duration::from_secs(10))?;
    ensure!(ended.code == 0, "tso ended with {}: {}", ended.code, ended.stderr);
    ensure!(received == payload_bytes, "{received} bytes came in segments");
    Ok(())
}

/// A TCP segment as it came.
#[derive(Debug)]
struct Segment {
    sequence: u32,
    flags: u8,
    payload: Vec<u8>,
    /// What is wrong with its headers.
    problem: &'static str,
}

impl Segment {
    /// What the example sent, from port 7; nothing where it is something else.
    fn of(frame: &[u8], is_ipv6: bool) -> Option<Self> {
        let (ethertype, ip_bytes, protocol_at) = if is_ipv6 { ([0x86, 0xdd], 40, 6) } else { ([0x08, 0x00], 20, 9) };
        let ip = frame.get(ETHERNET_BYTES..).filter(|ip| ip.len() >= ip_bytes + TCP_BYTES)?;
        let field = |at: usize| usize::from(u16::from_be_bytes([ip[at], ip[at + 1]]));
        if frame[12..14] != ethertype || ip[protocol_at] != TCP || ip[ip_bytes..ip_bytes + 2] != [0, 7] {
            return None;
        }
        let packet_bytes = if is_ipv6 { field(4) + ip_bytes } else { field(2) };
        let tcp = ip.get(ip_bytes..packet_bytes).filter(|tcp| tcp.len() >= TCP_BYTES)?;
        let addresses = if is_ipv6 { &ip[8..40] } else { &ip[12..20] };
        let tcp_bytes = u16::try_from(tcp.len()).ok()?;
        let pseudo = [addresses, &[0, TCP], &tcp_bytes.to_be_bytes(), tcp].concat();
        // A frame may be padded to 60 bytes.
        let problem = match () {
            () if frame.len() != (ETHERNET_BYTES + packet_bytes).max(60) && frame.len() != ETHERNET_BYTES + packet_bytes => {
                "another length"
            }
            () if !is_ipv6 && ones_sum(&ip[..ip_bytes]) != 0xffff => "a wrong IPv4 checksum",
            () if ones_sum(&pseudo) != 0xffff => "a wrong TCP checksum",
            () => "",
        };
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        Some(Self { sequence, flags: tcp[13], payload: tcp[TCP_BYTES..].to_vec(), problem })
    }
}
