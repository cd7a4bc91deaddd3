//! TCP segmentation: what leaves is what a host would have sent segment by segment.

use super::*;
use crate::frame::{Headers, Transport, checksum};
use vfwire_spec::{intel::adv::tx::L4Type, net::VlanId};

const TCP_BYTES: u8 = 32;
const SEQUENCE: u32 = 0xffff_f000;
/// CWR, ACK, PSH, FIN.
const FLAGS: u8 = 0x80 | 0x10 | 0x08 | 0x01;

/// Headers of a run, with the sum of the pseudo header without its length; then a payload.
fn run(ipv6: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(OTHER, MAC, 14);
    if ipv6 {
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame.extend([0x60, 0, 0, 0, 0xab, 0xcd, 6, 64]);
        frame.extend([0x20; 16]);
        frame.extend([0x31; 16]);
    } else {
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame.extend([0x45, 0, 0xab, 0xcd, 0xff, 0xfe, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    }
    let seed = if ipv6 {
        checksum::pseudo_header_v6(frame[22..54].try_into().expect("32 bytes"), 6, 0)
    } else {
        checksum::pseudo_header_v4([192, 0, 2, 1], [192, 0, 2, 2], 6, 0)
    };
    frame.extend([0x12, 0x34, 0, 80]);
    frame.extend(SEQUENCE.to_be_bytes());
    frame.extend([0, 0, 0, 1, (TCP_BYTES / 4) << 4, FLAGS, 0x10, 0]);
    frame.extend((!seed.checksum()).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend([1; TCP_BYTES as usize - 20]);
    frame.extend(payload);
    frame
}

fn context(ipv6: bool, mss_bytes: u16) -> Context {
    let iplen_bytes = if ipv6 { 40 } else { 20 };
    Context { iplen_bytes, ipv4: !ipv6, l4: L4Type::TCP, l4len_bytes: TCP_BYTES, mss_bytes, ..Context::PLAIN }
}

fn headers_bytes(ipv6: bool) -> usize {
    14 + if ipv6 { 40 } else { 20 } + usize::from(TCP_BYTES)
}

fn flags_of(ipv6: bool) -> u64 {
    tx::TSE | tx::TXSM | TX_CC | if ipv6 { 0 } else { tx::IXSM }
}

/// Posts a run in pieces of at most 2000 bytes, from a memory of its own.
fn send_run(rig: &mut Rig, run: &[u8], ipv6: bool, flags: u64) -> DmaRegion {
    let memory = rig.function.dma().alloc(run.len(), 64).expect("memory");
    raw::write(&memory, 0, run);
    let payload = u32::try_from(run.len() - headers_bytes(ipv6)).expect("it fits");
    let pieces = run.chunks(8000).count();
    for (number, piece) in run.chunks(8000).enumerate() {
        let last = if number + 1 == pieces { tx::EOP | tx::RS } else { 0 };
        let data = tx::data(u16::try_from(piece.len()).expect("8000"), payload) | flags | last;
        rig.post([memory.iova().0 + number as u64 * 8000, data]);
    }
    rig.ring_tx();
    rig.host.step();
    memory
}

#[test]
fn a_run_leaves_as_segments() {
    for ipv6 in [false, true] {
        for payload_bytes in [1, 1448, 1449, 4344, 65_000] {
            let mut rig = Rig::up(Rig::of(Family::X550));
            let payload: Vec<u8> = (0..payload_bytes).map(|at: usize| (at * 7).to_le_bytes()[0]).collect();
            rig.post_context(context(ipv6, 1448));
            let _memory = send_run(&mut rig, &run(ipv6, &payload), ipv6, flags_of(ipv6));
            let sent = rig.sent();
            assert_eq!(sent.len(), payload_bytes.div_ceil(1448));
            let mut got = Vec::new();
            for (number, segment) in sent.iter().enumerate() {
                let headers = Headers::parse(segment);
                assert_eq!(headers.transport, Transport::Tcp);
                assert_eq!(headers.l4_checksum_is_good(segment), Some(true), "segment {number}");
                assert_eq!(headers.ip_checksum_is_good(segment), (!ipv6).then_some(true));
                let tcp = &segment[headers.transport_at..headers.packet_end];
                assert_eq!(tcp[4..8], SEQUENCE.wrapping_add(u32::try_from(got.len()).expect("it fits")).to_be_bytes());
                let (first, last) = (number == 0, number + 1 == sent.len());
                assert_eq!(tcp[13], 0x10 | if first { 0x80 } else { 0 } | if last { 0x09 } else { 0 }, "flags of segment {number}");
                if !ipv6 {
                    let identification = 0xfffe_u16.wrapping_add(u16::try_from(number).expect("few"));
                    assert_eq!(segment[18..20], identification.to_be_bytes());
                }
                got.extend_from_slice(&tcp[usize::from(TCP_BYTES)..]);
            }
            assert!(got == payload);
            assert_eq!(rig.regs.read(regs::VFGPTC) as usize, sent.len());
            rig.assert_clean();
        }
    }
}

#[test]
fn every_segment_is_tagged() {
    let mut rig = Rig::up(Rig::options());
    rig.ask(Request::SetVlan { vlan: VlanId::new(7).expect("a VLAN"), join: true });
    rig.post_context(Context { vlan_tci: 0x4007, ..context(false, 100) });
    let _memory = send_run(&mut rig, &run(false, &[9; 250]), false, flags_of(false) | tx::VLE);
    let sent = rig.sent();
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [70 + 100, 70 + 100, 70 + 50]);
    for segment in sent {
        let headers = Headers::parse(&segment);
        assert_eq!((headers.vlan_tci, headers.l4_checksum_is_good(&segment)), (Some(0x4007), Some(true)));
    }
    rig.assert_clean();
}

#[test]
fn a_run_is_described_rightly() {
    let good = context(false, 1000);
    let cases = [
        (Context { l4: L4Type::UDP, ..good }, flags_of(false), "TSE goes with a context for TCP"),
        (good, tx::TSE | tx::IXSM, "TSE goes with TXSM"),
        (good, tx::TSE | tx::TXSM, "TSE goes with IXSM for IPv4, and without it for IPv6"),
        (Context { mss_bytes: 0, ..good }, flags_of(false), "TSE goes with an MSS"),
        (Context { l4len_bytes: 20, ..good }, flags_of(false), "PAYLEN with TSE is the length without headers"),
        (Context { ipv4: false, ..good }, tx::TSE | tx::TXSM, "a context describes the headers of its run"),
        (Context { mss_bytes: 9700, ..good }, flags_of(false), "a frame has at most 9728 bytes"),
        (Context { iplen_bytes: 511, l4len_bytes: 255, ..good }, flags_of(false), "a run has headers and payload"),
    ];
    for (context, flags, rule) in cases {
        let mut rig = Rig::up(Rig::options());
        rig.post_context(context);
        let _memory = send_run(&mut rig, &run(false, &[1; 500]), false, flags);
        assert_eq!((rig.sent(), rig.rules_broken()), (vec![], vec![rule]));
    }
}
