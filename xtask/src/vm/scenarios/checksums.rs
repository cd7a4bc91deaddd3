//! Checksums that the device checks and computes, against sums computed here.

use anyhow::{Context, Result, ensure};

use super::peer::start_echo;
use super::traffic::HOST_A;
use crate::vm::devices::At;
use crate::vm::lab::Lab;
use crate::vm::stream::{BROADCAST, Mac};

const IPV4_AT: usize = 14;
const UDP_AT: usize = 34;
const PAYLOAD_AT: usize = 42;
const CLIENT_PORT: [u8; 2] = [0x30, 0x39];
const ECHO_PORT: [u8; 2] = [0, 7];

pub(super) fn checksums(lab: &mut Lab) -> Result<()> {
    checksums_at(lab, At::Pf(0))
}

/// Answers of `echo` carry the checksums computed here; requests with wrong ones are not answered.
pub(super) fn checksums_at(lab: &mut Lab, at: At) -> Result<()> {
    let vf = lab.function(at);
    let echo = start_echo(lab, &vf, "")?;
    for bytes in [0, 1, 2, 17, 18, 19, 100, 999, 1471, 1472] {
        answered(lab, at, bytes).with_context(|| format!("a datagram of {bytes} bytes"))?;
    }
    for (what, byte) in [("the header", IPV4_AT + 10), ("UDP", UDP_AT + 6), ("UDP, in its payload", PAYLOAD_AT + 50)] {
        let mut request = request(100);
        request[byte] ^= 0x40;
        lab.wire(at).send(&request)?;
        // The next good one is answered, so the bad one was seen before and not answered.
        answered(lab, at, 101).with_context(|| format!("after a wrong checksum of {what}"))?;
    }
    echo.signal(&mut lab.guest, "TERM")
}

/// Sends a datagram; its answer must be the next one to come, and right in every byte.
fn answered(lab: &Lab, at: At, payload_bytes: usize) -> Result<()> {
    let request = request(payload_bytes);
    lab.wire(at).send(&request)?;
    let from_echo = |frame: &[u8]| (frame.len() >= PAYLOAD_AT && frame[UDP_AT..UDP_AT + 2] == ECHO_PORT).then(|| frame.to_vec());
    let answer = lab.wire(at).receive_where(from_echo)?.context("no answer")?;
    ensure!(answer[..6] == HOST_A, "the answer goes to another station: {answer:02x?}");
    let (ip, length) = (&answer[IPV4_AT..], 28 + payload_bytes);
    ensure!(usize::from(u16::from_be_bytes([ip[2], ip[3]])) == length && answer.len() >= IPV4_AT + length, "other length: {answer:02x?}");
    let udp = &ip[20..length];
    ensure!(ip[12..16] == request[30..34] && ip[16..20] == request[26..30], "other addresses: {answer:02x?}");
    ensure!(udp[..4] == [ECHO_PORT, CLIENT_PORT].concat(), "other ports: {answer:02x?}");
    ensure!(udp[8..] == request[PAYLOAD_AT..PAYLOAD_AT + payload_bytes], "other payload: {answer:02x?}");
    ensure!(ones_sum(&ip[..20]) == 0xffff, "wrong header checksum: {answer:02x?}");
    ensure!(udp[6..8] != [0, 0], "no UDP checksum: {answer:02x?}");
    ensure!(ones_sum(&pseudo_header(ip, udp)) == 0xffff, "wrong UDP checksum: {answer:02x?}");
    Ok(())
}

/// A datagram to the echo port. To everybody, since we have not asked for the MAC.
fn request(payload_bytes: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload_bytes).map(|at| (at * 31 % 251).to_le_bytes()[0]).collect();
    datagram(BROADCAST, HOST_A, [CLIENT_PORT, ECHO_PORT].map(u16::from_be_bytes), &payload)
}

/// An Ethernet frame with a UDP datagram from 10.0.0.1 to 10.0.0.2, all checksums right.
pub(super) fn datagram(to: Mac, from: Mac, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let udp_bytes = u16::try_from(8 + payload.len()).expect("a datagram fits a frame");
    let mut udp = [ports.map(u16::to_be_bytes).concat(), udp_bytes.to_be_bytes().to_vec(), vec![0, 0], payload.to_vec()].concat();
    let mut ip = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    ip[2..4].copy_from_slice(&(20 + udp_bytes).to_be_bytes());
    let sum = !ones_sum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let sum = !ones_sum(&pseudo_header(&ip, &udp));
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [&to[..], &from, &[0x08, 0x00], &ip, &udp].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// What a UDP checksum is computed over (RFC 768), with the datagram as it is.
fn pseudo_header(ip: &[u8], udp: &[u8]) -> Vec<u8> {
    [&ip[12..20], &[0, 17], &udp[4..6], udp].concat()
}

/// Ones' complement sum (RFC 1071).
pub(super) fn ones_sum(bytes: &[u8]) -> u16 {
    let sum: u64 = bytes.chunks(2).map(|word| u64::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]))).sum();
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded")
}

#[cfg(test)]
mod tests {
    use super::{ones_sum, pseudo_header, request};

    #[test]
    fn sums_are_those_of_the_rfc() {
        // The example of RFC 1071, section 3.
        assert_eq!(ones_sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(ones_sum(&[0x12]), 0x1200);
    }

    #[test]
    fn requests_carry_right_sums() {
        let frame = request(33);
        let (ip, udp) = (&frame[14..34], &frame[34..34 + 41]);
        assert_eq!(ones_sum(ip), 0xffff);
        assert_eq!(ones_sum(&pseudo_header(ip, udp)), 0xffff);
    }
}
