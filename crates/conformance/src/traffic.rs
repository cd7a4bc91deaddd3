//! Frames go in and come out: every size, every burst, in order, round and round the rings.

use crate::{
    bench::{Bench, Setup, assert_same},
    fixture::Fixture,
    frames::{self, frame},
};
use std::{
    panic::{self, AssertUnwindSafe},
    thread,
};
use vfwire_core::{
    pool::{BURST_MAX, HEADROOM_BYTES, Pool, PoolConfig},
    port::{Driver, Port},
    queue::{RxQueue, TxQueue},
};
use vfwire_sim::TestWire;
use vfwire_spec::net::{ETH_MAX_FRAME_BYTES, ETH_MIN_FRAME_BYTES, MacAddr};

/// The same bytes come out, whatever the length of the frame.
pub fn every_size_comes_back_unchanged<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let to = bench.mac();
        let sizes: Vec<_> = (ETH_MIN_FRAME_BYTES..=ETH_MAX_FRAME_BYTES).collect();
        for sizes in sizes.chunks(100) {
            let frames: Vec<_> = sizes.iter().map(|&len_bytes| frame(to, len_bytes, len_bytes)).collect();
            bench.assert_comes_back(&frames, 32, format_args!("{}: frames of {} bytes and more", setup.path, sizes[0]));
        }
    }
}

/// A burst of any length is served in one call, each way, and keeps its order.
pub fn every_burst_length_is_served_in_one_call<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let (to, mut burst) = (bench.mac(), bench.pool.burst(BURST_MAX));
        for count in 1..=BURST_MAX {
            let frames = numbered(to, count);
            bench.inject(frames.clone());
            bench.settle();
            assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), count, "{}: received at once", setup.path);
            assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), count, "{}: given to the device at once", setup.path);
            assert!(burst.is_empty());
            bench.settle();
            assert_same(&bench.sent(), &frames, format_args!("{}: a burst of {count}", setup.path));
        }
    }
}

/// Whatever the limit of the burst, what is there is served now, and nothing is held back.
pub fn any_limit_serves_what_is_there<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let to = bench.mac();
        for limit in [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 255, 256] {
            let mut burst = bench.pool.burst(limit);
            for count in [1, 2, 5, 8, limit, limit + 1, limit + 7, 2 * limit].map(|count| count.min(400)) {
                bench.inject(numbered(to, count));
                bench.settle();
                let mut left = count;
                let mut numbers = Vec::new();
                while left > 0 {
                    let got = bench.rx[0].rx_burst(&mut bench.cache, &mut burst);
                    assert_eq!(got, left.min(limit), "{}: limit {limit}, {left} frames waiting", setup.path);
                    numbers.extend(burst.iter_mut().filter_map(|frame| frames::number_of(frame.data())));
                    burst.clear(&mut bench.cache);
                    left -= got;
                }
                assert!(numbers.into_iter().eq(0..count), "{}: order", setup.path);
                assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), 0);
            }
        }
    }
}

/// Rings of every size go round more than ten times; no frame is lost, changed or overtaken.
pub fn rings_of_every_size_go_round<F: Fixture>() {
    for size_desc in [32, 64, 128, 256, 512, 1024, 2048, 4096] {
        for setup in Setup::on_every_path::<F>() {
            let setup = Setup { pool: PoolConfig::new(3 * u32::from(size_desc) + 600), ..setup.rings(size_desc) };
            let mut bench = setup.start::<F>();
            let (to, total) = (bench.mac(), 10 * usize::from(size_desc) + 13);
            let (mut at, mut window) = (0, 1);
            while at < total {
                // 5 and 251 are coprime: windows of every length, in a mixed order.
                window = (window * 5 + 3) % 251;
                // Eight descriptors are never posted, and of as many as an eighth of the ring (32 at most) the device need not know yet.
                let certain = usize::from(size_desc) - 8 - usize::from(size_desc / 8).min(32);
                let end = (at + 1 + window % certain).min(total);
                let frames: Vec<_> = (at..end).map(|number| frame(to, sizes(number), number)).collect();
                let what = format_args!("rings of {size_desc}, {}: frames {at} to {end}", setup.path);
                bench.assert_comes_back(&frames, 1 + (window * 7) % 64, what);
                at = end;
            }
        }
    }
}

/// At most one doorbell a burst, and none where nothing was moved.
pub fn one_doorbell_a_burst<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let (to, mut burst) = (bench.mac(), bench.pool.burst(BURST_MAX));
    for count in [1, 3, 8, 32, 33, 200, 256] {
        bench.inject(numbered(to, count));
        bench.settle();
        let before = rings(&bench);
        assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), count);
        let received = rings(&bench);
        assert!(received.0 <= before.0 + 1, "a burst of {count}: {} receive doorbells", received.0 - before.0);
        assert_eq!(received.1, before.1, "receiving rings no transmit doorbell");
        assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), count);
        assert_eq!(rings(&bench), (received.0, received.1 + 1), "a burst of {count}: one transmit doorbell");
        bench.settle();
        for _ in 0..5 {
            assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), 0);
            assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), 0);
            bench.tx[0].reclaim(&mut bench.cache);
        }
        let (rx, tx) = rings(&bench);
        assert_eq!(tx, received.1 + 1, "empty bursts ring no transmit doorbell");
        assert!(rx <= before.0 + 1, "the device is told of fresh buffers at once or at the next call, and once");
        assert_eq!(bench.sent().len(), count);
    }
}

/// A burst that holds frames already keeps them in front; a full one takes nothing and loses nothing.
pub fn received_frames_follow_those_in_the_burst<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let (to, mut burst) = (bench.mac(), bench.pool.burst(20));
        let all = numbered(to, 30);
        for (part, got) in [(0..7, 7), (7..18, 11), (18..30, 2)] {
            bench.inject(all[part].to_vec());
            bench.settle();
            assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), got);
        }
        assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), 0, "the burst is full");
        assert!(burst.iter_mut().map(|frame| frame.data().to_vec()).eq(all[..20].iter().cloned()));
        bench.flush(0, &mut burst);
        bench.forward(20);
        assert_same(&bench.sent(), &all, format_args!("{}: the others had stayed with the device", setup.path));
    }
}

/// Bytes may be put in front of a received frame and behind it, and cut off, before it is sent.
pub fn frames_grow_and_shrink<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let (to, mut burst) = (bench.mac(), bench.pool.burst(4));
    bench.inject(numbered(to, 3));
    bench.settle();
    assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), 3);
    let original = frame(to, sizes(0), 0);
    let mut packets = burst.iter_mut();
    let mut first = packets.next().expect("three frames");
    assert_eq!(first.headroom(), HEADROOM_BYTES as usize);
    first.prepend(HEADROOM_BYTES as usize).expect("the headroom is free")[..HEADROOM_BYTES as usize].fill(0xa5);
    assert!(first.prepend(1).is_none(), "the headroom is used up");
    let mut second = packets.next().expect("three frames");
    second.append(11).expect("there is room behind").fill(0x5a);
    let mut third = packets.next().expect("three frames");
    third.truncate(ETH_MIN_FRAME_BYTES);
    drop(packets);
    bench.flush(0, &mut burst);
    let expected = vec![
        [vec![0xa5; HEADROOM_BYTES as usize], original].concat(),
        [frame(to, sizes(1), 1), vec![0x5a; 11]].concat(),
        frame(to, sizes(2), 2)[..ETH_MIN_FRAME_BYTES].to_vec(),
    ];
    assert_same(&bench.sent(), &expected, "grown and shrunk");
}

/// A frame may leave its burst, outlive it on another thread, and be sent later.
pub fn packets_are_kept_and_sent_later<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let (to, mut burst) = (bench.mac(), bench.pool.burst(32));
    let frames = numbered(to, 32);
    bench.inject(frames.clone());
    bench.settle();
    assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), 32);
    let kept: Vec<_> = (0..32).rev().map(|at| burst.swap_take(at)).collect();
    assert!(burst.is_empty());
    bench.assert_traffic_flows(100);
    let kept = thread::spawn(move || kept).join().expect("the thread only hands them back");
    for packet in kept.into_iter().rev() {
        burst.push(packet).expect("the burst has room");
    }
    bench.flush(0, &mut burst);
    assert_same(&bench.sent(), &frames, "kept and sent later");
}

/// A buffer that was received on one port is sent on another of the same host, both ways.
pub fn frames_cross_from_port_to_port<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let wire = TestWire::new();
        let device = bench.host.add("sim:second", F::model(&setup.options), wire.clone());
        let mut second = F::Driver::probe(device.open().expect("nobody has it")).expect("it answers");
        let mut queues = second.start(&setup.config(&bench.pool)).expect("the pool is of the same host");
        let (near, far) = (bench.mac(), second.info().mac);
        let mut burst = bench.pool.burst(32);
        for round in 0..40 {
            let [ours, theirs] = [near, far].map(|to| numbered(to, 1 + round));
            bench.inject(ours.clone());
            theirs.iter().for_each(|frame| wire.push(frame.clone()));
            bench.settle();
            while bench.rx[0].rx_burst(&mut bench.cache, &mut burst) > 0 {
                queues.tx[0].tx_burst(&mut bench.cache, &mut burst);
            }
            while queues.rx[0].rx_burst(&mut bench.cache, &mut burst) > 0 {
                bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
            }
            bench.settle();
            assert_same(&bench.sent(), &theirs, format_args!("{}: from the second to the first", setup.path));
            let crossed: Vec<_> = std::iter::from_fn(|| wire.pop()).collect();
            assert_same(&crossed, &ours, format_args!("{}: from the first to the second", setup.path));
        }
        assert!(device.with(|model| F::violations(model)).is_empty());
    }
}

/// The cache, the burst and the queue of one call are of one pool, or the call says so before it touches anything.
pub fn pools_are_not_mixed<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let to = bench.mac();
    bench.inject(numbered(to, 4));
    bench.settle();
    let other = Pool::new(&*bench.host.dma(), PoolConfig::new(64)).expect("a simulated host has memory");
    let (mut cache, mut burst) = (other.cache(), other.burst(8));
    let mut own = bench.pool.burst(8);
    let panics = [
        panic::catch_unwind(AssertUnwindSafe(|| bench.rx[0].rx_burst(&mut cache, &mut own))),
        panic::catch_unwind(AssertUnwindSafe(|| bench.rx[0].rx_burst(&mut bench.cache, &mut burst))),
        panic::catch_unwind(AssertUnwindSafe(|| bench.tx[0].tx_burst(&mut cache, &mut own))),
        panic::catch_unwind(AssertUnwindSafe(|| bench.tx[0].tx_burst(&mut bench.cache, &mut burst))),
        panic::catch_unwind(AssertUnwindSafe(|| bench.tx[0].reclaim(&mut cache))),
    ];
    for panic in panics {
        let payload = panic.expect_err("the pools are different");
        assert!(payload.downcast_ref::<&str>().is_some_and(|text| text.contains("different pools")));
    }
    drop((cache, burst));
    assert_eq!(other.free_buffers(), 64);
    assert_eq!(bench.forward(8), 4, "nothing was taken");
}

/// `count` numbered frames of mixed sizes.
pub(crate) fn numbered(to: MacAddr, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| frame(to, sizes(number), number)).collect()
}

/// Mostly short, now and then long.
fn sizes(number: usize) -> usize {
    ETH_MIN_FRAME_BYTES + if number % 11 == 3 { (number * 97) % 1400 } else { number % 5 + 1 }
}

/// How often the doorbells of queue pair 0 were rung: receive, transmit.
fn rings<F: Fixture>(bench: &Bench<F>) -> (u64, u64) {
    let [rx, tx] = [F::rx_doorbell(0), F::tx_doorbell(0)].map(|(bar, offset)| bench.device.doorbell_rings(bar, offset));
    (rx, tx)
}
