//! Several queues: frames of many flows, which queue each came by, and its hash, against a hash computed here.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::checksums::datagram;
use super::traffic::HOST_A;
use super::virtio::end;
use crate::vm::forwarder::{self, Forwarder, START_LIMIT};
use crate::vm::lab::Lab;
use crate::vm::stream::Mac;
use crate::vm::wire::Wire;

const FLOWS: u16 = 64;
const FRAMES_PER_FLOW: u16 = 50;
/// Frames under way at once. What relays a tap device does one thing at a time: answers that find our socket full (10 frames, those of the host's
/// kernel among them) keep it from taking what we send.
const WINDOW: usize = 6;
const FIRST_PORT: u16 = 20_000;
const SOURCE_PORT_AT: usize = 34;
const NUMBER_AT: usize = 42;
const PATIENCE: Duration = Duration::from_secs(3);

/// Two workers on two queue pairs: every frame of 64 flows comes back whole and in the order of its flow, and both workers had a good share.
pub(super) fn two_queues(lab: &mut Lab) -> Result<()> {
    ["tap", "tap-packed"].into_iter().try_for_each(|name| workers_share(lab, name).with_context(|| name.to_owned()))
}

fn workers_share(lab: &mut Lab, name: &str) -> Result<()> {
    let (at, mac) = end(name);
    let command = forwarder::command(&[&lab.function(at)], "mac-swap", "--workers 2");
    let forwarder = Forwarder::start(&mut lab.guest, &command)?;
    return_in_order(lab.wire(at), mac)?;
    let (summary, said) = forwarder.stop_and_hear(&mut lab.guest)?;
    let frames = u64::from(FLOWS) * u64::from(FRAMES_PER_FLOW);
    summary.expect_frames(0, frames, frames)?;
    let shares: Vec<u64> = said.lines().filter_map(worker_frames).collect();
    ensure!(shares.len() == 2 && shares.iter().sum::<u64>() == frames, "not all frames are some worker's: {said}");
    // With a hash that is any good a share below a quarter has a chance of less than one in 10,000.
    ensure!(shares.iter().all(|share| *share >= frames / 4), "one worker had nearly all: {said}");
    Ok(())
}

/// `vfwire: worker 1 on CPU 1: 1600 frames, …`
fn worker_frames(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("worker ")?.1.split_once(": ")?;
    rest.split_once(" frames")?.0.parse().ok()
}

fn return_in_order(wire: &Wire, mac: Mac) -> Result<()> {
    wire.drain()?;
    let mut sent = (0..FRAMES_PER_FLOW).flat_map(|number| (0..FLOWS).map(move |flow| (flow, number))).peekable();
    let mut next_of_flow = vec![0; usize::from(FLOWS)];
    let mut under_way = 0;
    loop {
        while under_way < WINDOW
            && let Some((flow, number)) = sent.next()
        {
            wire.send(&frame(mac, HOST_A, flow, number))?;
            under_way += 1;
        }
        if under_way == 0 {
            return Ok(());
        }
        let back = wire.receive_where(|bytes| Some((flow_of(bytes)?, bytes.to_vec())))?;
        let Some((flow, bytes)) = back else { bail!("{under_way} frames are lost; {} were to follow", sent.count()) };
        let next = &mut next_of_flow[usize::from(flow)];
        let expected = frame(HOST_A, mac, flow, *next);
        ensure!(bytes == expected, "flow {flow}, frame {next}: {bytes:02x?} instead of {expected:02x?}");
        *next += 1;
        under_way -= 1;
    }
}

/// A datagram of a flow, numbered.
fn frame(to: Mac, from: Mac, flow: u16, number: u16) -> Vec<u8> {
    datagram(to, from, [FIRST_PORT + flow, 9], &number.to_be_bytes().repeat(32))
}

fn flow_of(bytes: &[u8]) -> Option<u16> {
    let port = bytes.get(SOURCE_PORT_AT..NUMBER_AT)?;
    u16::from_be_bytes([port[0], port[1]]).checked_sub(FIRST_PORT).filter(|flow| *flow < FLOWS && bytes[12..14] == [0x08, 0x00])
}

/// The hash that the device reports for each frame is Toeplitz's over its addresses and ports, and the queue is what the table has for it.
pub(super) fn hashes(lab: &mut Lab) -> Result<()> {
    ["tap", "tap-packed"].into_iter().try_for_each(|name| hashes_of(lab, name).with_context(|| name.to_owned()))
}

fn hashes_of(lab: &mut Lab, name: &str) -> Result<()> {
    let (at, mac) = end(name);
    let function = lab.function(at);
    let command = format!("exec rx_queues {} --queues 2 --count {FLOWS}", function.address);
    let program = lab.guest.start(&command)?;
    program.wait_for_words(&mut lab.guest, "receiving", START_LIMIT)?;
    for flow in 0..FLOWS {
        lab.wire(at).send(&frame(mac, HOST_A, flow, 0))?;
        std::thread::sleep(Duration::from_millis(2));
    }
    let ended = program.wait(&mut lab.guest, PATIENCE)?;
    ensure!(ended.code == 0, "rx_queues ended with {}: {}", ended.code, ended.stderr);
    judge(&ended.stdout).with_context(|| ended.stdout.clone())
}

fn judge(said: &str) -> Result<()> {
    let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("it does not say its {name}"));
    let key = bytes_of(field("key ")?)?;
    let table: Vec<usize> = field("table ")?.split(',').map(str::parse).collect::<Result<_, _>>()?;
    ensure!(table.len().is_power_of_two(), "a table of {} entries", table.len());
    let mut seen = BTreeMap::new();
    for line in said.lines().filter(|line| line.starts_with("queue ")) {
        let words: Vec<_> = line.split_whitespace().collect();
        let ["queue", queue, "hash", hash, "ip", _, "l4", _, "flow", flow] = words[..] else { bail!("{line:?}") };
        let expected = toeplitz(&key, &bytes_of(flow)?);
        let reported = u32::from_str_radix(hash, 16).with_context(|| format!("no hash: {line:?}"))?;
        ensure!(reported == expected, "the hash is {expected:08x}: {line:?}");
        let entry = table[usize::try_from(expected)? % table.len()];
        ensure!(queue.parse::<usize>()? == entry, "the table sends it to queue {entry}: {line:?}");
        *seen.entry(entry).or_insert(0) += 1;
    }
    ensure!(seen.len() == 2 && seen.values().sum::<u16>() >= FLOWS, "frames by queue: {seen:?}");
    Ok(())
}

fn bytes_of(hex: &str) -> Result<Vec<u8>> {
    ensure!(hex.is_ascii() && hex.len().is_multiple_of(2), "{hex:?} are no bytes");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).context("a hexadecimal digit")).collect()
}

/// The Toeplitz hash (virtio 1.2, 5.1.6.4.3; the same as in Microsoft's RSS specification).
fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
    let bit = |bytes: &[u8], at: usize| bytes.get(at / 8).is_some_and(|byte| byte << (at % 8) & 0x80 != 0);
    let window = |at: usize| (0..32).fold(0, |window, offset| window << 1 | u32::from(bit(key, at + offset)));
    (0..8 * input.len()).filter(|at| bit(input, *at)).fold(0, |hash, at| hash ^ window(at))
}

#[cfg(test)]
mod tests {
    use super::{FLOWS, judge, toeplitz, worker_frames};

    const KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b,
        0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    #[test]
    fn the_hash_is_that_of_the_specification() {
        // The first of Microsoft's examples for verification: 66.9.149.187:2794 to 161.142.100.80:1766.
        let input = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        assert_eq!(toeplitz(&KEY, &input), 0x51cc_c178);
        assert_eq!(toeplitz(&KEY, &input[..8]), 0x323e_8fc2);
    }

    #[test]
    fn a_wrong_hash_or_queue_is_noticed() {
        let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        let said = |change: u32, queue: usize| {
            let frames = (0..FLOWS).map(|flow| {
                let input = [&[10, 0, 0, 1, 10, 0, 0, 2][..], &flow.to_be_bytes(), &[0, 9]].concat();
                let hash = toeplitz(&KEY, &input);
                let flow: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("queue {} hash {:08x} ip Unknown l4 Good flow {flow}\n", (hash as usize + queue) % 2, hash ^ change)
            });
            format!("key {key}\ntable 0,1\n{}", frames.collect::<String>())
        };
        judge(&said(0, 0)).unwrap();
        assert!(judge(&said(1, 0)).is_err());
        assert!(judge(&said(0, 1)).is_err());
        assert!(judge("").is_err());
    }

    #[test]
    fn the_frames_of_a_worker_are_read() {
        assert_eq!(worker_frames("vfwire: worker 1 on CPU 1: 1600 frames, 9.0 cycles a frame"), Some(1600));
        assert_eq!(worker_frames("vfwire: worker 0: 0 frames: the device gave its queues none"), Some(0));
        assert_eq!(worker_frames("vfwire: forwarding"), None);
    }
}
