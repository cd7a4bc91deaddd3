//! Frames that span buffers, both ways, and frames that are too long or too short.

use crate::{
    bench::{Setup, assert_same},
    fixture::Fixture,
    frames::{self, PEER, frame},
};
use vfwire_core::{
    pool::PoolConfig,
    port::{Intent, Port},
};
use vfwire_spec::net::{ETH_HEADER_BYTES, JUMBO_MTU_BYTES, VLAN_TAG_BYTES};

/// The longest untagged frame of jumbo Ethernet.
const JUMBO_BYTES: usize = ETH_HEADER_BYTES + JUMBO_MTU_BYTES;

fn jumbo() -> Intent {
    Intent { mtu_bytes: 9000, ..Intent::default() }
}

/// Frames up to an MTU of 9000 come in over several buffers and go out of them again, whatever the size of the buffers.
pub fn long_frames_span_buffers<F: Fixture>() {
    for data_bytes in [1024, 2048, 2112, 4096, 9216] {
        for setup in Setup::on_every_path::<F>() {
            let setup = Setup { pool: PoolConfig { buffers: 4096, data_bytes }, ..setup.intent(jumbo()) };
            let mut bench = setup.start::<F>();
            assert!(bench.granted.refused.is_empty(), "{:?}", bench.granted);
            let (to, room) = (bench.mac(), bench.pool.data_bytes() as usize);
            let edges = [1024, room, room & !1023, 2 * room, 2 * (room & !1023), 4096, 8192, JUMBO_BYTES];
            let sizes = edges.into_iter().flat_map(|edge| edge - 2..edge + 3).chain((60..JUMBO_BYTES).step_by(487));
            let frames: Vec<_> = sizes.filter(|&len| len <= JUMBO_BYTES).map(|len_bytes| frame(to, len_bytes, len_bytes)).collect();
            for frames in frames.chunks(12) {
                bench.assert_comes_back(frames, 5, format_args!("buffers of {data_bytes}, {}", setup.path));
            }
            let bytes: usize = frames.iter().map(Vec::len).sum();
            let stats = bench.stats();
            assert_eq!((stats.rx[0].frames, stats.rx[0].bytes), (frames.len() as u64, bytes as u64));
            assert_eq!((stats.tx[0].frames, stats.tx[0].bytes), (frames.len() as u64, bytes as u64));
            assert_eq!(stats.rx[0].errors, 0);
        }
    }
}

/// An ordinary frame in buffers smaller than it.
pub fn ordinary_frames_in_small_buffers<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = Setup { pool: PoolConfig { buffers: 2048, data_bytes: 1024 }, ..setup.clone() }.start::<F>();
        let to = bench.mac();
        let frames: Vec<_> = (0..200).map(|number| frame(to, 900 + 3 * number, number)).collect();
        bench.assert_comes_back(&frames, 17, setup.path);
    }
}

/// Rings go round with short and long frames mixed.
pub fn long_and_short_frames_mixed<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.rings(64).intent(jumbo()).start::<F>();
        let to = bench.mac();
        for round in 0..150 {
            let lengths = [60, 8999, 61, 1514, 2048, 2049, 300, 4500][..1 + round % 8].iter();
            let frames: Vec<_> = lengths.map(|&len_bytes| frame(to, len_bytes, round)).collect();
            bench.assert_comes_back(&frames, 3, format_args!("{}, round {round}", setup.path));
        }
    }
}

/// What is longer than the MTU is not received as if it were whole, nor does it harm what follows.
pub fn received_frames_above_the_mtu_do_no_harm<F: Fixture>() {
    for mtu_bytes in [1500u16, 3000] {
        let intent = Intent { mtu_bytes, ..Intent::default() };
        let mut bench = Setup::new::<F>().intent(intent).start::<F>();
        let to = bench.mac();
        let longest = usize::from(mtu_bytes) + ETH_HEADER_BYTES;
        for len_bytes in [longest, longest + VLAN_TAG_BYTES + 1, longest + 700, 9018, 16_000] {
            let long = frame(to, len_bytes, 1);
            let got = bench.receive_of([frame(to, 60, 0), long.clone(), frame(to, 60, 2)]);
            assert!(got.iter().all(|got| [&long, &frame(to, 60, 0), &frame(to, 60, 2)].contains(&&got.bytes)), "a piece of a frame");
            let comes_whole = len_bytes <= longest || (!F::TRAITS.limits_received_frames && got.len() == 3);
            assert_eq!(got.len(), if comes_whole { 3 } else { 2 }, "MTU {mtu_bytes}: a frame of {len_bytes}");
        }
        bench.assert_traffic_flows(longest);
    }
}

/// What no device can send is dropped, counted, and holds up nothing.
pub fn unsendable_frames_are_counted<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let longest = ETH_HEADER_BYTES + 1500;
        let good = [frame(PEER, 60, 1), frame(PEER, longest, 2), frame(PEER, 100, 3)];
        let bad = [
            frame(PEER, F::TRAITS.min_frame_bytes - 1, 0),
            frame(PEER, longest + VLAN_TAG_BYTES + 1, 0),
            frame(PEER, 9000, 0),
            frame(PEER, 1, 0),
        ];
        let mixed = [&bad[0], &good[0], &bad[1], &bad[2], &good[1], &good[2], &bad[3]];
        assert_same(&bench.send_plain(mixed.map(Clone::clone)), &good, setup.path);
        let stats = bench.stats().tx[0];
        assert_eq!((stats.frames, stats.unsendable), (3, 4));
        assert_eq!(stats.bytes, good.iter().map(|frame| frame.len() as u64).sum::<u64>());
        // Alone in their burst: the call returns, with nothing sent.
        assert!(bench.send_plain(bad).is_empty());
        assert_eq!(bench.stats().tx[0].unsendable, 8);
        bench.assert_traffic_flows(60);
    }
}

/// A frame of too many segments is dropped and counted, and one of as many as a frame may have is sent.
pub fn chains_of_many_segments<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let one = [frame(PEER, 1514, 5)];
    for (part_bytes, sent) in [(95, true), (700, true), (20, false)] {
        let mut burst = bench.pool.burst(4);
        let mut parts = one[0].chunks(part_bytes);
        let first = bench.packet(parts.next().expect("1514 bytes"));
        burst.push(first).expect("it has room");
        for part in parts {
            let segment = bench.packet(part);
            burst.append_segment(0, segment);
        }
        bench.flush(0, &mut burst);
        assert_same(&bench.sent(), if sent { &one } else { &[] }, format_args!("segments of {part_bytes} bytes"));
    }
    assert_eq!(bench.stats().tx[0].unsendable, 1);
    bench.assert_traffic_flows(60);
}

/// The shortest frames that a device takes leave it, padded where it pads.
pub fn the_shortest_frames_are_sent<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    for len_bytes in [F::TRAITS.min_frame_bytes, 20, 59, 60] {
        let short = frame(PEER, len_bytes, 9);
        let sent = bench.send_plain([short.clone()]);
        let expected_bytes = if F::TRAITS.pads_frames { 60 } else { len_bytes };
        assert!(sent.len() == 1 && sent[0].starts_with(&short) && sent[0].len() == expected_bytes, "{len_bytes} bytes: {sent:?}");
    }
}

/// The longest MTU that the port claims to have works.
pub fn the_longest_mtu_works<F: Fixture>() {
    let probed = Setup::new::<F>().probe::<F>();
    let mtu_bytes = probed.port.as_ref().map_or(0, |port| port.info().max_mtu_bytes);
    drop(probed);
    assert!(usize::from(mtu_bytes) >= JUMBO_MTU_BYTES);
    let mut bench = Setup::new::<F>().intent(Intent { mtu_bytes, ..Intent::default() }).start::<F>();
    assert!(bench.granted.refused.is_empty(), "{:?}", bench.granted);
    bench.assert_traffic_flows(usize::from(mtu_bytes) + ETH_HEADER_BYTES);
    let to = bench.mac();
    assert_eq!(bench.receive_of([frame(to, 60, 1)])[0].bytes, frames::frame(to, 60, 1));
}
