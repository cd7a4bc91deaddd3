//! Statistics are what happened, to the frame and to the byte.

use crate::{
    bench::Setup,
    fixture::{Fixture, Options},
    frames::{PEER, STRANGER, frame},
    traffic::numbered,
};
use vfwire_core::{
    port::{Intent, Port},
    queue::TxQueue,
    stats::{DeviceStats, RxStats, TxStats},
};
use vfwire_spec::net::{ETH_FCS_BYTES, MacAddr};

/// What the function has counted, where it counts at all.
fn counted<F: Fixture>(moved: DeviceStats) -> DeviceStats {
    if F::TRAITS.counts_frames { moved } else { DeviceStats::default() }
}

/// Nothing was counted before anything moved.
pub fn counters_begin_at_zero<F: Fixture>() {
    for counters_start in [0, 12_345, u32::MAX] {
        let options = Options { counters_start, ..F::TRAITS.options };
        let setup = Setup { options, queue_pairs: F::TRAITS.options.queue_pairs, ..Setup::new::<F>() };
        let mut bench = setup.probe::<F>();
        assert_eq!(bench.stats().device, DeviceStats::default(), "before the start");
        bench.start();
        let (stats, pairs) = (bench.stats(), usize::from(setup.queue_pairs));
        assert_eq!((stats.rx, stats.tx), (vec![RxStats::default(); pairs], vec![TxStats::default(); pairs]));
        assert_eq!((stats.device, stats.resets), (DeviceStats::default(), 0));
    }
}

/// Frames and bytes of queues, port and device are those that moved.
pub fn statistics_are_what_moved<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.start::<F>();
        let to = bench.mac();
        let (mut frames, mut bytes) = (0, 0);
        for count in [1, 7, 8, 100, 256] {
            let batch = numbered(to, count);
            frames += count as u64;
            bytes += batch.iter().map(|frame| frame.len() as u64).sum::<u64>();
            bench.inject(batch);
            bench.forward(37);
            bench.sent();
            let stats = bench.stats();
            assert_eq!(stats.rx, [RxStats { frames, bytes, ..RxStats::default() }], "{}", setup.path);
            assert_eq!(stats.tx, [TxStats { frames, bytes, ..TxStats::default() }], "{}", setup.path);
            let wire_bytes = bytes + frames * ETH_FCS_BYTES as u64;
            let device = DeviceStats { rx_frames: frames, rx_bytes: wire_bytes, rx_multicast: 0, tx_frames: frames, tx_bytes: wire_bytes };
            assert_eq!(stats.device, counted::<F>(device));
        }
    }
}

/// What was not for the port is not counted as received; multicast is.
pub fn only_what_came_is_counted<F: Fixture>() {
    let mut bench = Setup::for_all_multicast::<F>().intent(Intent { all_multicast: true, ..Intent::default() }).start::<F>();
    let (to, group) = (bench.mac(), MacAddr([0x01, 0, 0x5e, 1, 2, 3]));
    let before = bench.model(|model| F::filtered_frames(model));
    let got =
        bench.receive_of([frame(to, 60, 1), frame(STRANGER, 60, 2), frame(group, 60, 3), frame(STRANGER, 60, 4), frame(group, 60, 5)]);
    assert_eq!(got.len(), 3);
    assert_eq!(bench.model(|model| F::filtered_frames(model)) - before, 2);
    let stats = bench.stats();
    let device = counted::<F>(DeviceStats { rx_frames: 3, rx_multicast: 2, ..DeviceStats::default() });
    let counts = (stats.rx[0].frames, stats.device.rx_frames, stats.device.rx_multicast);
    assert_eq!(counts, (3, device.rx_frames, device.rx_multicast));
}

/// The device's counters wrap, ours do not, as long as they are read once a wrap.
pub fn wrapping_counters_are_widened<F: Fixture>() {
    for start in [u32::MAX - 2, u32::MAX - 5000, u32::MAX] {
        let options = Options { counters_start: start, ..F::TRAITS.options };
        let mut bench = Setup { options, ..Setup::new::<F>() }.start::<F>();
        let to = bench.mac();
        for round in 1..=20 {
            bench.inject(numbered(to, 30));
            bench.forward(32);
            bench.sent();
            let stats = bench.stats();
            let (frames, fcs_bytes) = (30 * round, 30 * round * ETH_FCS_BYTES as u64);
            let (rx_bytes, tx_bytes) = (stats.rx[0].bytes + fcs_bytes, stats.tx[0].bytes + fcs_bytes);
            let device = DeviceStats { rx_frames: frames, rx_bytes, rx_multicast: 0, tx_frames: frames, tx_bytes };
            assert_eq!(stats.device, counted::<F>(device), "a start at {start}");
        }
    }
}

/// A port's numbers never go back, whatever becomes of its queues.
pub fn statistics_survive_starts<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    for round in 1..=4 {
        bench.assert_traffic_flows(200);
        let running = bench.stats();
        assert_eq!((running.rx_total().frames, running.tx_total().frames), (20 * round, 20 * round));
        bench.port().stop().expect("it runs");
        let stopped = bench.stats();
        assert_eq!((stopped.rx_total().frames, stopped.tx_total().bytes), (20 * round, 4000 * round));
        if round % 2 == 0 {
            bench.rx.clear();
            bench.tx.clear();
        } else {
            bench.poll_queues_in_reset();
        }
        bench.start();
        let started = bench.stats();
        assert_eq!(started.device.rx_frames, if F::TRAITS.counts_frames { 20 * round } else { 0 });
        assert_eq!((started.rx_total().frames, started.tx_total().frames), (20 * round, 20 * round));
    }
}

/// Asking for statistics changes nothing, however often, and moves nothing.
pub fn reading_statistics_changes_nothing<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let to = bench.mac();
    bench.inject(numbered(to, 50));
    bench.forward(32);
    let first = bench.stats();
    for _ in 0..5 {
        assert_eq!(bench.stats(), first);
    }
    assert_eq!(bench.tx[0].in_flight(), 0);
    let sent = bench.sent();
    assert_eq!(sent.len(), 50);
    assert_eq!(bench.send_plain([frame(PEER, 60, 1)]).len(), 1);
    assert_eq!(bench.stats().tx[0].frames, first.tx[0].frames + 1);
}

/// A burst moves frames without asking the allocator for anything.
pub fn bursts_do_not_allocate<F: Fixture>() {
    use vfwire_core::{meta::TxOffload, pool::BURST_MAX, queue::RxQueue};
    let control = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(control.count_total, 1, "allocations are counted");
    for setup in Setup::on_every_path::<F>() {
        for (intent, lengths) in [(Intent::default(), [60, 300, 1514]), (Intent { mtu_bytes: 9000, ..Intent::default() }, [60, 5000, 9014])]
        {
            let mut bench = setup.clone().intent(intent).start::<F>();
            let (to, mut burst) = (bench.mac(), bench.pool.burst(BURST_MAX));
            for (round, len_bytes) in (0..60).zip(lengths.into_iter().cycle()) {
                bench.inject((0..40).map(|number| frame(to, len_bytes, number)));
                bench.settle();
                let made = allocation_counter::measure(|| {
                    assert_eq!(bench.rx[0].rx_burst(&mut bench.cache, &mut burst), 40);
                    assert_eq!(bench.tx[0].tx_burst(&mut bench.cache, &mut burst), 40);
                });
                assert_eq!(made.count_total, 0, "{}, round {round}, {len_bytes} bytes", setup.path);
                bench.settle();
                assert_eq!(bench.sent().len(), 40);
            }
            // Requests to the device, a ring that runs full, and empty calls.
            let checksummed = crate::frames::Datagram { ipv6: false, l4: vfwire_core::meta::L4::Udp, source_port: 1, payload_bytes: 40 };
            for _ in 0..4 {
                for _ in 0..BURST_MAX {
                    bench.load(&mut burst, &checksummed.unsummed(PEER, to), TxOffload::default().ipv4_checksum(14, 20));
                }
                let mut out = bench.pool.burst(32);
                let made = allocation_counter::measure(|| {
                    bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
                    bench.tx[0].tx_burst(&mut bench.cache, &mut burst);
                    bench.tx[0].reclaim(&mut bench.cache);
                    bench.rx[0].rx_burst(&mut bench.cache, &mut out);
                    burst.clear(&mut bench.cache);
                });
                assert_eq!(made.count_total, 0, "{}", setup.path);
            }
            bench.settle();
        }
    }
}
