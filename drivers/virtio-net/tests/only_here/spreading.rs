//! Several queues: RSS that the driver sets, the hash that the device reports.

use super::{BOTH, Device, remedy, running, setup};
use vfwire_conformance::{
    bench::{Bench, Setup},
    frames::{Datagram, PEER, frame},
};
use vfwire_core::{
    meta::L4,
    port::{Intent, Port, Rss, Setting},
};
use vfwire_spec::net::MacAddr;

fn with_rss(queue_pairs: u16, rss: Option<Rss>, packed: bool) -> Bench<Device> {
    let setup = Setup { queue_pairs, ..setup() }.intent(Intent { rss, ..Intent::default() });
    running(&setup, |options| (options.rss, options.hash_report, options.packed) = (true, true, packed))
}

/// How many of 200 flows come on each queue.
fn spread(bench: &mut Bench<Device>) -> Vec<usize> {
    let to = bench.mac();
    let flow = |source_port| Datagram { ipv6: source_port % 2 == 0, l4: L4::Tcp, source_port, payload_bytes: 30 };
    bench.inject((0..200).map(|port| flow(port).frame(to, PEER)));
    (0..bench.rx.len()).map(|queue| bench.receive(queue).len()).collect()
}

#[test]
fn flows_are_spread_over_all_queues() {
    for packed in BOTH {
        for queue_pairs in 1..=4 {
            let mut bench = with_rss(queue_pairs, None, packed);
            let rss = bench.port().rss().expect("it was set");
            assert_eq!((rss.key.len(), rss.table.len()), (40, 128));
            assert!(rss.table.iter().zip((0..queue_pairs).cycle()).all(|(queue, expected)| u16::from(*queue) == expected));
            let got = spread(&mut bench);
            assert_eq!(got.iter().sum::<usize>(), 200);
            assert!(got.iter().all(|frames| *frames > 200 / usize::from(queue_pairs) / 2), "{got:?}");
        }
    }
}

#[test]
fn the_table_and_the_key_are_those_asked_for() {
    let rss = |table: &[u8]| Some(Rss { key: vec![0x6d; 40], table: table.to_vec() });
    let mut bench = with_rss(3, rss(&[2, 2]), false);
    assert!(bench.granted.applied.contains(&Setting::Rss), "{:?}", bench.granted);
    assert_eq!(spread(&mut bench), [0, 0, 200]);
    let granted = bench.port().apply(&Intent { rss: rss(&[1, 0, 1, 0]), ..Intent::default() }).expect("it answers");
    assert!(granted.applied.contains(&Setting::Rss), "{granted:?}");
    assert_eq!(Some(bench.port().rss().expect("it was set")), rss(&[1, 0, 1, 0]));
    let got = spread(&mut bench);
    assert!(got[0] > 0 && got[1] > 0 && got[2] == 0, "{got:?}");
    // What cannot be told or done is refused, with what can; what was in force stays.
    let long_key = Some(Rss { key: vec![1; 41], table: vec![0] });
    for bad in [rss(&[0, 1, 2]), rss(&[]), rss(&[3, 0]), rss(&[0; 256]), long_key] {
        let granted = bench.port().apply(&Intent { rss: bad, ..Intent::default() }).expect("it answers");
        let text = remedy(&granted.refused, Setting::Rss).expect("refused");
        assert!(text.contains("40 bytes") && text.contains("128 entries") && text.contains("below 3"), "{text}");
    }
    assert_eq!(Some(bench.port().rss().expect("it was set")), rss(&[1, 0, 1, 0]));
    assert_eq!(spread(&mut bench), got);
}

#[test]
fn a_device_without_rss_says_so() {
    let rss = Some(Rss { key: vec![1; 40], table: vec![0, 1] });
    let setup = Setup { queue_pairs: 2, ..setup() }.intent(Intent { rss, ..Intent::default() });
    let mut bench = running(&setup, |_| {});
    assert!(remedy(&bench.granted.unsupported, Setting::Rss).is_some(), "{:?}", bench.granted);
    assert!(bench.port().rss().expect_err("it has none").to_string().contains("by itself"));
    let got = spread(&mut bench);
    assert!(got.iter().all(|frames| *frames > 50), "MQ spreads them all the same: {got:?}");
}

/// "Receive Side Scaling", Microsoft, verification suite: the hashes of these flows with the key that everybody has.
#[test]
fn the_reported_hash_is_the_published_one() {
    let suite = [
        ([66, 9, 149, 187], 2794, [161, 142, 100, 80], 1766, 0x51cc_c178_u32),
        ([199, 92, 111, 2], 14230, [65, 69, 140, 83], 4739, 0xc626_b0ea),
        ([24, 19, 198, 95], 12898, [12, 22, 207, 184], 38024, 0x5c2b_394a),
        ([38, 27, 205, 30], 48228, [209, 142, 163, 6], 2217, 0xafc7_327f),
        ([153, 39, 163, 191], 44251, [202, 188, 127, 2], 1303, 0x10e8_28a2),
    ];
    for packed in BOTH {
        let mut bench = with_rss(1, None, packed);
        let to = bench.mac();
        for (source, source_port, destination, destination_port, hash) in suite {
            let got = bench.receive_of([tcp(to, (source, source_port), (destination, destination_port))]).remove(0);
            assert_eq!(got.meta.rss_hash, Some(hash), "{source:?}, packed {packed}");
        }
        let got = bench.receive_of([frame(to, 60, 1)]).remove(0);
        assert_eq!(got.meta.rss_hash, None, "nothing to hash");
    }
}

/// Without RSS the hash is reported all the same.
#[test]
fn a_hash_without_rss() {
    let mut bench = running(&setup(), |options| options.hash_report = true);
    let to = bench.mac();
    let got = bench.receive_of([tcp(to, ([66, 9, 149, 187], 2794), ([161, 142, 100, 80], 1766))]).remove(0);
    assert_eq!(got.meta.rss_hash, Some(0x51cc_c178));
    bench.assert_traffic_flows(60);
}

/// A TCP segment without payload.
fn tcp(to: MacAddr, (source, source_port): ([u8; 4], u16), (destination, destination_port): ([u8; 4], u16)) -> Vec<u8> {
    let mut frame = Datagram { ipv6: false, l4: L4::Tcp, source_port, payload_bytes: 6 }.frame(to, PEER);
    frame[26..30].copy_from_slice(&source);
    frame[30..34].copy_from_slice(&destination);
    frame[36..38].copy_from_slice(&destination_port.to_be_bytes());
    frame
}
