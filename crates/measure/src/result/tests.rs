use super::*;
use crate::search::Ended;

pub(crate) fn latency(base_ns: u64) -> Latency {
    let percentiles_ns = (0..PERCENTILES.len() as u64).map(|at| base_ns * (at + 1)).collect();
    Latency { frames: 1000, mean_ns: base_ns as f64 * 4.0, deviation_ns: 10.0, percentiles_ns }
}

fn throughput(loss_ratio: f64, fps: u64) -> Throughput {
    let (lower_fps, upper_fps) = (Some(fps), Some(fps + fps / 200));
    Throughput { loss_ratio, lower_fps, upper_fps, conditional_fps: Some(fps as f64), ended: Ended::Width, each_fps: vec![fps] }
}

fn size(frame_bytes: u32, fps: u64) -> SizeResult {
    let counts = TrialCounts { intended: 1000, sent: 1000, received: 999, ..TrialCounts::default() };
    let trial = Trial {
        purpose: Purpose::Search,
        at_s: 0.5,
        load_fps: fps,
        duration_s: 1.0,
        counts,
        loss_ratio: 0.001,
        longest_gap_ns: 12_345,
        latency: Some(latency(1000)),
        events: vec!["link down".to_owned()],
    };
    let of_pdr = |share_of_pdr: f64, base_ns| LatencyPoint { share_of_pdr, load_fps: 7, loss_ratio: 0.0, latency: Some(latency(base_ns)) };
    let loss = |share_of_max: f64, loss_ratio| LossPoint { share_of_max, load_fps: 9, loss_ratio, received_fps: 8.0 };
    SizeResult {
        frame_bytes,
        line_rate_fps: Some(line_rate_fps(10_000, frame_bytes)),
        max_load_fps: 2 * fps,
        ndr: Some(throughput(0.0, fps)),
        pdr: Some(throughput(0.005, fps + fps / 10)),
        latency: vec![of_pdr(0.1, 900), of_pdr(0.5, 1100), of_pdr(0.9, 5000)],
        loss: vec![loss(0.4, 0.0), loss(0.5, 0.0), loss(0.6, 0.1), loss(1.0, 0.5)],
        back_to_back: Some(BackToBack { frames: 512.0, each_frames: vec![512], max_frames: 9999, sent_fps: 3e6 }),
        cycles_per_frame: Some(123.4),
        trials: vec![trial],
    }
}

/// A whole measurement.
pub(crate) fn example(label: &str, fps: u64) -> Measurement {
    let sizes = vec![size(64, fps), size(512, fps / 2), size(1518, fps / 5)];
    let port = PortFacts {
        role: Role::Tester,
        address: "sim:igbvf".to_owned(),
        driver: "igbvf".to_owned(),
        function: "8086:10ca".to_owned(),
        numa_node: None,
        link_mbps: Some(1000),
        rx_path: "avx2".to_owned(),
        tx_path: "avx2".to_owned(),
        rx_desc: 512,
        tx_desc: 512,
        burst: 32,
    };
    let threads = vec![ThreadFacts { role: Role::Tester, cpu: Some(2), numa_node: Some(0), smt_siblings: Some("6".to_owned()) }];
    let host = Host { cpu_model: Some("Example <CPU> & Co".to_owned()), kernel: Some("Linux 6.1".to_owned()), ..Host::default() };
    Measurement {
        kind: Measurement::kind(),
        schema: SCHEMA,
        vfwire: "0.1.0".to_owned(),
        started: "2026-11-25T13:00:00Z".to_owned(),
        elapsed_s: 61.5,
        label: label.to_owned(),
        arguments: vec!["bench".to_owned()],
        simulated: true,
        partial: None,
        verdict: judge(Requirements::default(), &sizes, &[]),
        warnings: vec![Warning { about: WarningKind::Simulated, text: "ports are simulated".to_owned(), distrust: true }],
        method: Method {
            topology: Topology::Embedded,
            directions: 1,
            initial_trial_s: 0.25,
            trial_s: 1.0,
            duration_sum_s: 1.0,
            exceed_ratio: 0.5,
            relative_width: 0.005,
            repeat: 1,
            pdr_loss_ratio: 0.005,
            min_load_fps: 1000,
            flows: 1,
        },
        environment: Environment { host, threads, ports: vec![port] },
        sizes,
    }
}

fn refusal(text: &str) -> String {
    Measurement::from_json(text).expect_err("a refusal").to_string()
}

#[test]
fn what_is_written_is_read() {
    let written = example("a", 3_000_000);
    let text = written.to_json().expect("a text");
    assert_eq!(Measurement::from_json(&text).expect("our own"), written);
}

#[test]
fn a_file_that_is_cut_short_anywhere_is_refused() {
    let text = example("a", 3_000_000).to_json().expect("a text");
    let end = text.trim_end().len();
    for length in (0..end).step_by(7) {
        let why = refusal(&text[..length]);
        assert!(why.contains("no complete JSON") && why.contains("cut short"), "{length}: {why}");
    }
}

#[test]
fn what_is_not_ours_is_said_to_be_so() {
    for text in ["{}", "[1,2]", "7", "{\"kind\":\"other\",\"schema\":1}"] {
        assert!(refusal(text).contains("no result of `vfwire bench`"), "{text}");
    }
    let text = example("a", 3_000_000).to_json().expect("a text");
    assert!(refusal(&text.replacen("\"schema\": 1", "\"schema\": 2", 1)).contains("schema 2"));
    assert!(refusal(&text.replacen("\"schema\": 1", "\"schema\": \"x\"", 1)).contains("`schema`"));
}

#[test]
fn a_field_that_is_missing_unknown_or_impossible_is_named() {
    let text = example("a", 3_000_000).to_json().expect("a text");
    for (from, to, word) in [
        ("\"started\"", "\"begun\"", "begun"),
        ("\"elapsed_s\": 61.5,", "", "elapsed_s"),
        ("\"max_load_fps\": 6000000", "\"max_load_fps\": -1", "-1"),
        ("\"outcome\": \"measured\"", "\"outcome\": \"fine\"", "fine"),
        ("\"loss_ratio\": 0.001", "\"loss_ratio\": 1.5", "1.5"),
        ("\"lower_fps\": 3000000", "\"lower_fps\": 9000000", "9000000"),
        ("\"frame_bytes\": 512", "\"frame_bytes\": 64", "twice"),
        ("\"frame_bytes\": 512", "\"frame_bytes\": 3", "length"),
    ] {
        assert!(text.contains(from), "{from}");
        let why = refusal(&text.replacen(from, to, 1));
        assert!(why.contains(word), "{from}: {why}");
    }
}

#[test]
fn line_rates_are_those_of_rfc_2544() {
    // Appendix B's figures for Ethernet, of 10 Mbit/s: 14880 and 812 frames a second.
    assert_eq!(line_rate_fps(10, 64).floor().to_string(), "14880");
    assert_eq!(line_rate_fps(10, 1518).floor().to_string(), "812");
}

#[test]
fn percentiles_are_those_of_the_histogram() {
    let mut histogram = hdrhistogram::Histogram::<u64>::new(3).expect("three digits");
    assert_eq!(Latency::of(&histogram), None);
    (1..=10_000).for_each(|ns| histogram.record(ns).expect("in bounds"));
    let latency = Latency::of(&histogram).expect("frames");
    for (percentile, truth) in [(0.0, 1.0), (50.0, 5000.0), (99.0, 9900.0), (99.99, 9999.0), (100.0, 10_000.0)] {
        let told = latency.percentile_ns(percentile).expect("kept") as f64;
        assert!((told / truth - 1.0).abs() < 0.002, "{told} for {truth}");
    }
    assert_eq!(latency.percentile_ns(42.0), None);
}

fn asked(ndr_fps: Option<u64>, pdr_fps: Option<u64>, p99_ns: Option<u64>) -> Requirements {
    Requirements { ndr_fps, pdr_fps, p99_ns }
}

#[test]
fn what_is_required_is_asked_of_every_size() {
    let sizes = example("a", 3_000_000).sizes;
    let of = |requirements| judge(requirements, &sizes, &[]);
    assert_eq!(of(asked(None, None, None)).outcome, Outcome::Measured);
    assert_eq!(of(asked(Some(600_000), Some(660_000), None)).outcome, Outcome::Pass);
    let missed = of(asked(Some(600_001), None, None));
    assert_eq!((missed.outcome, missed.reasons.len()), (Outcome::Fail, 1));
    assert!(missed.reasons[0].contains("1518 byte") && missed.reasons[0].contains("600001"), "{missed:?}");
    // The p99 at 10 and 50 % of PDR, not at 90 %.
    assert_eq!(of(asked(None, None, Some(8800))).outcome, Outcome::Pass);
    assert_eq!(of(asked(None, None, Some(8799))).outcome, Outcome::Fail);
}

#[test]
fn what_was_not_measured_is_no_pass() {
    let mut size = example("a", 3_000_000).sizes.remove(0);
    (size.ndr, size.pdr) = (None, None);
    size.latency.clear();
    for asked in [asked(Some(1), None, None), asked(None, Some(1), None), asked(None, None, Some(u64::MAX))] {
        assert_eq!(judge(asked, std::slice::from_ref(&size), &[]).outcome, Outcome::Fail, "{asked:?}");
        assert_eq!(judge(asked, &[], &[]).outcome, Outcome::Fail, "{asked:?}");
    }
}

#[test]
fn what_cannot_be_trusted_is_no_pass() {
    let sizes = example("a", 3_000_000).sizes;
    let warning = |distrust| Warning { about: WarningKind::Throttled, text: "throttled".to_owned(), distrust };
    let met = asked(Some(1), None, None);
    assert_eq!(judge(met, &sizes, &[warning(false)]).outcome, Outcome::Pass);
    let verdict = judge(met, &sizes, &[warning(true)]);
    assert_eq!((verdict.outcome, verdict.reasons), (Outcome::Untrusted, vec!["throttled".to_owned()]));
    assert_eq!(judge(asked(None, None, None), &sizes, &[warning(true)]).outcome, Outcome::Untrusted);
}
