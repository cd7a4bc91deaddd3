//! What is measured is what was done to the frames: a simulated wire delays, loses, repeats, damages and disorders a known share of them, on a
//! simulated clock, so that every run is the same.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use std::time::Duration;
use vfwire_core::{
    pool::{Pool, PoolConfig},
    port::{Driver, Intent, Port, PortConfig, Queues},
};
use vfwire_igbvf::Igbvf;
use vfwire_sim::{IgbvfModel, IgbvfOptions, Impairment, ImperfectWire, Link, SimFunction, SimHost, WireClock};
use vfwire_spec::net::MacAddr;
use vfwire_traffic::{
    Combine, Direction, FlowConfig, Outcome, Protocol, Rate, Recording, Replay, SimulatedClock, Sizes, Stream, StreamConfig, Tester, Trial,
    Until,
};

/// What a look at the clock takes.
const STEP_NS: u64 = 100;
const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

struct Bench {
    tester: Tester<SimulatedClock>,
    pool: Pool,
    now: Arc<AtomicU64>,
    host: SimHost,
    /// Frames that the wire has lost.
    lost: Arc<AtomicU64>,
    port: <Igbvf as Driver>::Port<SimFunction>,
}

fn stream(sizes: &str, flows: impl FnOnce(&mut FlowConfig)) -> Stream {
    let mut config = StreamConfig::new(FlowConfig::between(OURS, OURS), sizes.parse::<Sizes>().expect(sizes));
    flows(&mut config.flows);
    Stream::new(&config).expect("a stream")
}

/// A port whose frames come back over a wire that is wrong in this way.
fn bench(wrong: Impairment, stream: Stream) -> Bench {
    bench_that(wrong, stream, |_| ())
}

/// One whose clock may leap: `on_step` gets it before it goes on.
fn bench_that(wrong: Impairment, stream: Stream, mut on_step: impl FnMut(&AtomicU64) + Send + 'static) -> Bench {
    let (host, now) = (SimHost::new(), Arc::new(AtomicU64::new(0)));
    let wire = ImperfectWire::new(Link::looped(4096), wrong, WireClock::Simulated(now.clone()));
    let lost = wire.lost();
    let options = IgbvfOptions { pf_mac: Some(OURS), ..IgbvfOptions::default() };
    let device = host.add("looped", IgbvfModel::new(options), wire);
    let mut port = Igbvf::probe(device.open().expect("a function")).expect("a port");
    let pool = Pool::new(&*host.dma(), PoolConfig::new(4096)).expect("a pool");
    let intent = Intent { vlans: [100].into_iter().collect(), ..Intent::default() };
    let Queues { mut rx, mut tx, .. } = port.start(&PortConfig { intent, ..PortConfig::new(&pool) }).expect("queues");
    let direction = Direction {
        tx: Box::new(tx.remove(0)),
        rx: Some(Box::new(rx.remove(0))),
        stream,
        line_bits_per_s: Some(1_000_000_000),
        latency_per_flow: true,
    };
    let (stepped, read) = (host.clone(), now.clone());
    let clock = SimulatedClock::new(now.clone(), STEP_NS, move || {
        stepped.step();
        on_step(&read);
    });
    Bench { tester: Tester::new(vec![direction], &pool, clock).expect("a tester"), pool, now, host, lost, port }
}

fn trial(rate: &str, ms: u64) -> Trial {
    let rate = rate.parse().expect("a rate");
    Trial { rate, until: Until::After(Duration::from_millis(ms)), drain: Duration::from_millis(20) }
}

fn run(bench: &mut Bench, trial: &Trial) -> Outcome {
    bench.tester.trial(trial, &AtomicBool::new(false)).expect("a rate that can be").remove(0)
}

fn near(measured: f64, expected: f64, share: f64) {
    assert!((measured - expected).abs() <= expected * share, "{measured} measured, {expected} expected");
}

const PERCENTILES: [f64; 6] = [1.0, 10.0, 50.0, 90.0, 99.0, 99.9];

#[test]
fn a_known_delay_is_measured_at_every_percentile() {
    let mut bench = bench(Impairment { delay_ns: 1_000_000, ..Impairment::default() }, stream("64", |_| ()));
    let outcome = run(&mut bench, &trial("100kpps", 100));
    assert_eq!((outcome.offered_frames, outcome.sent_frames, outcome.received_frames), (10_000, 10_000, 10_000));
    assert_eq!((outcome.lost_frames(), outcome.reordered_frames, outcome.duplicate_frames, outcome.corrupt_frames), (0, 0, 0, 0));
    for percentile in PERCENTILES {
        near(outcome.latency_ns.value_at_percentile(percentile) as f64, 1_000_000.0, 0.01);
    }
    near(outcome.latency_ns.max() as f64, 1_000_000.0, 0.01);
    let so_far = bench.tester.readers()[0].latency();
    assert_eq!(so_far.count(), outcome.received_frames);
    near(so_far.max_ns() as f64, outcome.latency_ns.max() as f64, 0.001);
    near(so_far.at_quantile(0.5) as f64, 1_000_000.0, 0.04);
    assert_eq!(bench.host.faults(), []);
}

#[test]
fn a_known_distribution_is_measured_at_every_percentile() {
    let wrong = Impairment { delay_ns: 1_000_000, jitter_ns: 1_000_000, ..Impairment::default() };
    let outcome = run(&mut bench(wrong, stream("64", |_| ())), &trial("200kpps", 100));
    assert_eq!(outcome.received_frames, 20_000);
    for percentile in PERCENTILES {
        let expected = 1_000_000.0 + 1_000_000.0 * percentile / 100.0;
        near(outcome.latency_ns.value_at_percentile(percentile) as f64, expected, 0.01);
    }
    assert!(outcome.reordered_frames > 0 && outcome.reordered_most <= 201, "{} behind", outcome.reordered_most);
}

#[test]
fn a_thread_that_was_kept_from_its_cpu_catches_up_but_not_for_ever() {
    let sent = |away_ns| {
        let mut is_due = true;
        let leap = move |now: &AtomicU64| {
            if is_due && now.load(Relaxed) > 95_000_000 {
                now.fetch_add(away_ns, Relaxed);
                is_due = false;
            }
        };
        let mut bench = bench_that(Impairment::default(), stream("64", |_| ()), leap);
        let outcome = run(&mut bench, &trial("1Mpps", 100));
        assert_eq!(outcome.offered_frames, 100_000);
        assert!((away_ns..away_ns + 1000).contains(&outcome.longest_gap_ns), "{}", outcome.longest_gap_ns);
        outcome.sent_frames
    };
    assert_eq!(sent(15_000_000), 100_000, "10 ms beyond the end, and back for as long");
    assert!(sent(50_000_000) < 96_000, "what was not sent 20 ms after the end is not sent any more");
}

#[test]
fn bursts_are_as_long_as_was_said() {
    let mut bench = bench(Impairment::default(), stream("64", |_| ()));
    let together = |bench: &mut Bench| run(bench, &trial("max", 1)).interdeparture_ns.value_at_quantile(0.5) == 0;
    assert!(together(&mut bench));
    bench.tester.set_burst(1);
    assert!(!together(&mut bench));
}

#[test]
fn a_known_loss_is_measured() {
    for loss in [0.1, 0.5] {
        let wrong = Impairment { loss, seed: 3, ..Impairment::default() };
        let mut bench = bench(wrong, stream("64", |_| ()));
        let outcome = run(&mut bench, &trial("1Mpps", 100));
        assert_eq!((outcome.sent_frames, outcome.lost_frames()), (100_000, bench.lost.load(Relaxed)));
        near(outcome.loss(), loss, 0.01);
    }
}

#[test]
fn what_a_wire_does_is_told_apart() {
    let one = |wrong| run(&mut bench(wrong, stream("64,570,1518", |flows| flows.count = Some(7))), &trial("50kpps", 100));
    let outcome = one(Impairment { duplicate: 0.1, ..Impairment::default() });
    assert_eq!((outcome.lost_frames(), outcome.corrupt_frames, outcome.reordered_frames), (0, 0, 0));
    near(outcome.duplicate_frames as f64, 500.0, 0.12);
    // Overtaken by five frames, of which one may be of the same flow.
    let outcome = one(Impairment { reorder: 0.1, ..Impairment::default() });
    assert_eq!((outcome.lost_frames(), outcome.duplicate_frames), (0, 0));
    assert_eq!(outcome.reordered_frames, 0, "none of its flow of seven has overtaken it");
    let wrong = Impairment { reorder: 0.1, ..Impairment::default() };
    let outcome = run(&mut bench(wrong, stream("64", |_| ())), &trial("50kpps", 100));
    near(outcome.reordered_frames as f64, 500.0, 0.12);
    assert_eq!((outcome.lost_frames(), outcome.reordered_most), (0, 5));
    // Of long frames nearly all is payload, which the CRC covers; headers may be changed on the way.
    let wrong = Impairment { corrupt: 0.1, ..Impairment::default() };
    let outcome = run(&mut bench(wrong, stream("1518", |_| ())), &trial("50kpps", 100));
    assert_eq!(outcome.duplicate_frames, 0);
    near(outcome.corrupt_frames as f64, 500.0, 0.15);
    assert!(outcome.lost_frames() >= outcome.corrupt_frames && outcome.lost_frames() - outcome.corrupt_frames < 10);
}

#[test]
fn frames_leave_at_even_distances() {
    for (rate, interval_ns) in [("10%", 6720), ("50%", 1344), ("90%", 747)] {
        let outcome = run(&mut bench(Impairment::default(), stream("64", |_| ())), &trial(rate, 100));
        assert!(outcome.sent_frames.abs_diff(100_000_000 / interval_ns) <= 100_000_000 / interval_ns / 500, "{}", outcome.sent_frames);
        assert_eq!(outcome.shortfall(), 0);
        for percentile in PERCENTILES {
            // A loop looks at the clock twice.
            assert!(outcome.interdeparture_ns.value_at_percentile(percentile).abs_diff(interval_ns) <= 4 * STEP_NS, "{rate}");
        }
        assert!(outcome.lateness_ns.max() <= 3 * STEP_NS);
    }
}

#[test]
fn every_kind_of_frame_is_known_again() {
    type Change = fn(&mut FlowConfig);
    let kinds: [(&str, Change); 6] = [
        ("64,65,1518", |_| ()),
        ("68,69,1522", |flows| flows.vlan = Some("100".parse().expect("a VLAN"))),
        ("76,77,1518", |flows| flows.protocol = Protocol::Tcp),
        ("84,85,1518", |flows| {
            (flows.src_ip, flows.dst_ip) = ("2001:db8::1-2001:db8::5".parse().expect("a range"), "2001:db8::9".parse().expect("one"));
        }),
        ("imix", |flows| {
            (flows.src_port, flows.dst_port) = ("1-20".parse().expect("a range"), "1-30".parse().expect("a range"));
            flows.combine = Combine::Mix;
        }),
        ("imix", |flows| flows.src_ip = "10.0.0.1-10.0.0.254".parse().expect("a range")),
    ];
    for (sizes, flows) in kinds {
        let mut bench = bench(Impairment::default(), stream(sizes, flows));
        let outcome = run(&mut bench, &trial("200kpps", 20));
        let known = (outcome.received_frames, outcome.corrupt_frames, outcome.foreign_frames, outcome.reordered_frames);
        assert_eq!(known, (4000, 0, 0, 0), "{sizes}");
        let sum: u64 = outcome.flows.iter().map(|flow| flow.received_frames).sum();
        assert_eq!((sum, outcome.flows.iter().all(|flow| flow.sent_frames == flow.received_frames)), (4000, true));
        // The device takes tags off.
        let tags = if sizes.starts_with("68") { 4 * 4000 } else { 0 };
        assert_eq!(outcome.received_bytes + tags, outcome.sent_bytes);
    }
}

#[test]
fn frames_of_an_earlier_trial_are_told_apart() {
    let wrong = Impairment { delay_ns: 5_000_000, ..Impairment::default() };
    let mut bench = bench(wrong, stream("64", |_| ()));
    let short = Trial { drain: Duration::ZERO, ..trial("100kpps", 2) };
    let first = run(&mut bench, &short);
    assert_eq!((first.sent_frames, first.received_frames), (200, 0));
    let second = run(&mut bench, &trial("100kpps", 10));
    assert_eq!((second.sent_frames, second.received_frames, second.earlier_frames, second.corrupt_frames), (1000, 1000, 200, 0));
}

#[test]
fn a_burst_is_as_many_frames_as_were_asked_for_and_nothing_is_allocated_for_good() {
    let mut bench = bench(Impairment { delay_ns: 10_000, ..Impairment::default() }, stream("64", |_| ()));
    let burst =
        Trial { rate: Rate::Max, until: Until::Frames { frames: 300, limit: Duration::from_secs(1) }, drain: Duration::from_millis(5) };
    for _ in 0..300 {
        let outcome = run(&mut bench, &burst);
        assert_eq!((outcome.offered_frames, outcome.sent_frames, outcome.received_frames, outcome.earlier_frames), (300, 300, 300, 0));
    }
    let free = bench.pool.free_buffers();
    assert!(free > 1000, "{free} buffers are left");
}

#[test]
fn a_device_that_sends_nothing_ends_no_later() {
    let mut bench = bench(Impairment::default(), stream("64", |_| ()));
    bench.port.stop().expect("it stops");
    let before = bench.now.load(Relaxed);
    let outcome = run(&mut bench, &trial("100kpps", 10));
    assert_eq!((outcome.offered_frames, outcome.sent_frames, outcome.shortfall()), (1000, 0, 1000));
    assert!(bench.now.load(Relaxed) - before < 40_000_000);
    let stopped = bench.tester.trial(&trial("1pps", 3_600_000), &AtomicBool::new(true)).expect("a rate").remove(0);
    assert!(stopped.stopped && stopped.sending_ns < 1_000_000);
}

#[test]
fn what_cannot_be_is_an_error() {
    let between = || FlowConfig::between(OURS, OURS);
    let refused = |sizes: &str, change: fn(&mut StreamConfig)| {
        let mut config = StreamConfig::new(between(), sizes.parse().expect(sizes));
        change(&mut config);
        Stream::new(&config).expect_err(sizes).to_string()
    };
    let tagged = |config: &mut StreamConfig| config.flows.vlan = Some("5".parse().expect("a VLAN"));
    assert!(refused("64", tagged).contains("give 68 or more"));
    assert!(refused("1519", |_| ()).contains("MTU of 1500 bytes: give 1518 or less") && refused("1523", tagged).contains("give 1522"));
    assert!(refused("76", |config| (config.flows.protocol, config.checksums) = (Protocol::Tcp, false)).contains("leave checksums on"));
    let mut bench = bench(Impairment::default(), stream("64", |_| ()));
    let nothing = Trial { rate: Rate::Share(2.0), ..trial("max", 1) };
    assert!(bench.tester.trial(&nothing, &AtomicBool::new(false)).unwrap_err().to_string().contains("100%"));
}

#[test]
fn a_recording_is_sent_at_its_times() {
    let bench = bench(Impairment::default(), stream("64", |_| ()));
    let Bench { mut tester, port: _port, .. } = bench;
    let mut frame = [0u8; 60];
    frame[..6].copy_from_slice(&OURS.0);
    frame[6..12].copy_from_slice(&OURS.0);
    let mut recording = Recording::new();
    for at in [5_000_000, 5_100_000, 5_050_000, 6_000_000] {
        recording.push(at, &frame, 1514).expect("a frame");
    }
    assert!(recording.push(0, &[0; 1515], 1514).unwrap_err().to_string().contains("frame 5"));
    let mut send = |speed, loops| {
        let how = Replay { speed, loops, limit: Duration::from_secs(1), drain: Duration::from_millis(1) };
        tester.replay(&recording, &how, &AtomicBool::new(false))
    };
    for (speed, length_ns) in [(Some(1.0), 1_000_000), (Some(2.0), 500_000), (Some(0.5), 2_000_000), (None, 0)] {
        let outcome = send(speed, 1);
        assert_eq!((outcome.sent_frames, outcome.received_frames, outcome.shortfall(), outcome.matched), (4, 4, 0, false));
        assert!(outcome.sending_ns.abs_diff(length_ns) <= 2 * STEP_NS, "{} ns at {speed:?}", outcome.sending_ns);
    }
    let outcome = send(Some(1.0), 10);
    assert_eq!((outcome.sent_frames, outcome.received_frames), (40, 40));
    assert!(outcome.sending_ns.abs_diff(10_000_000) < 1_000_000);
    let so_far = tester.readers()[0].read();
    assert_eq!((so_far.sent_frames, so_far.received_frames), (56, 56), "over all of them");
    assert!(so_far.polls > 0 && tester.turns().read() > so_far.polls);
}
