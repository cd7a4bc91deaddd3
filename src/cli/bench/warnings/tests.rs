use super::*;
use vfwire_measure::result::{Host, PortFacts, ThreadFacts, Throughput, TrialCounts};

/// A measurement that nothing is to be said about, and what is changed of it.
fn warned(change: impl FnOnce(&mut Environment, &mut SizeResult, &mut Facts)) -> Vec<(WarningKind, bool, String)> {
    let mut environment = Environment {
        host: Host { governor: Some("performance".to_owned()), ..Host::default() },
        threads: vec![ThreadFacts { role: Role::Tester, cpu: Some(2), numa_node: Some(0), smt_siblings: None }],
        ports: vec![port(Role::Tester)],
    };
    let mut size = size();
    let mut facts = Facts {
        simulated: false,
        polling: (1, 1),
        trial_s: 1.0,
        elapsed_s: 10.0,
        counters: (counted(None, None), counted(None, None)),
        partial: None,
    };
    change(&mut environment, &mut size, &mut facts);
    let Facts { simulated, polling, trial_s, elapsed_s, counters, partial } = facts;
    let sizes = &[size];
    let warnings = all(&Seen { simulated, environment: &environment, polling, trial_s, elapsed_s, counters, sizes, partial });
    warnings.into_iter().map(|warning| (warning.about, warning.distrust, warning.text)).collect()
}

struct Facts {
    simulated: bool,
    polling: (usize, usize),
    trial_s: f64,
    elapsed_s: f64,
    counters: (Counters, Counters),
    partial: Option<&'static str>,
}

fn port(role: Role) -> PortFacts {
    PortFacts {
        role,
        address: "0000:3b:02.1".to_owned(),
        driver: "igbvf".to_owned(),
        function: "8086:10ca".to_owned(),
        numa_node: Some(0),
        link_mbps: Some(1000),
        rx_path: "scalar".to_owned(),
        tx_path: "scalar".to_owned(),
        rx_desc: 512,
        tx_desc: 512,
        burst: 32,
    }
}

fn trial(purpose: Purpose) -> Trial {
    Trial {
        purpose,
        at_s: 0.0,
        load_fps: 1000,
        duration_s: 1.0,
        counts: TrialCounts::default(),
        loss_ratio: 0.0,
        longest_gap_ns: GAP_MAX_NS,
        latency: None,
        events: Vec::new(),
    }
}

/// At the line's rate nothing is lost.
fn size() -> SizeResult {
    let ndr = Throughput {
        loss_ratio: 0.0,
        lower_fps: Some(1_488_095),
        upper_fps: None,
        conditional_fps: None,
        ended: Ended::MaxLoad,
        each_fps: vec![1_488_095],
    };
    SizeResult {
        frame_bytes: 64,
        line_rate_fps: Some(1_488_095.2),
        max_load_fps: 1_488_095,
        ndr: Some(ndr),
        pdr: None,
        latency: Vec::new(),
        loss: Vec::new(),
        back_to_back: None,
        cycles_per_frame: None,
        trials: vec![trial(Purpose::WarmUp), trial(Purpose::Search)],
    }
}

/// One warning of that kind, with these words.
fn one(found: &[(WarningKind, bool, String)], kind: WarningKind, distrust: bool, words: &str) {
    let [(about, distrusts, text)] = found else { panic!("{found:?}") };
    assert!((*about, *distrusts) == (kind, distrust) && text.contains(words), "{found:?}");
}

fn counted(throttled: Option<u64>, preempted: Option<u64>) -> Counters {
    Counters { throttled, preempted }
}

#[test]
fn of_a_quiet_machine_nothing_is_said() {
    assert_eq!(warned(|_, _, _| ()), []);
    // What a warm-up shows counts for nothing, what is unknown is no fault, and what was counted before is not of this measurement.
    let found = warned(|environment, size, facts| {
        let warm_up = &mut size.trials[0];
        (warm_up.longest_gap_ns, warm_up.events, warm_up.counts.corrupted) = (u64::MAX, vec!["reset".to_owned()], 5);
        (environment.host.governor, environment.ports[0].numa_node) = (None, None);
        facts.counters = (counted(Some(4), Some(100)), counted(Some(4), Some(120)));
    });
    assert_eq!(found, []);
}

#[test]
fn what_the_kernel_did_to_the_threads_is_no_figure_of_the_device() {
    one(&warned(|_, _, facts| facts.polling = (3, 2)), WarningKind::SharedCpu, true, "3 threads poll on 2 CPUs");
    let throttled = warned(|_, _, facts| facts.counters = (counted(Some(4), None), counted(Some(6), None)));
    one(&throttled, WarningKind::Throttled, true, "stopped 2 times");
    let preempted = warned(|_, _, facts| facts.counters = (counted(None, Some(100)), counted(None, Some(121))));
    one(&preempted, WarningKind::SharedCpu, true, "let others run 21 times");
    let late = warned(|_, size, _| size.trials[1].longest_gap_ns = GAP_MAX_NS + 1);
    one(&late, WarningKind::LostTimer, true, "in 1 of 1 trials");
    let governor = warned(|environment, _, _| environment.host.governor = Some("powersave".to_owned()));
    one(&governor, WarningKind::Governor, true, "powersave");
}

#[test]
fn the_place_of_a_thread_is_looked_at() {
    let far = warned(|environment, _, _| environment.ports[0].numa_node = Some(1));
    one(&far, WarningKind::WrongNode, true, "0000:3b:02.1 is on node 1");
    // A port of the device under test is not near to or far from the tester.
    let other = warned(|environment, _, _| environment.ports.push(PortFacts { numa_node: Some(1), ..port(Role::DeviceUnderTest) }));
    assert_eq!(other, []);
    let sibling = warned(|environment, _, _| environment.threads[0].smt_siblings = Some("6".to_owned()));
    one(&sibling, WarningKind::SmtSibling, false, "CPU 6");
}

#[test]
fn what_happened_on_the_way_is_told() {
    one(&warned(|_, _, facts| facts.partial = Some("SIGINT")), WarningKind::Partial, true, "SIGINT");
    one(&warned(|_, _, facts| facts.simulated = true), WarningKind::Simulated, true, "model");
    let events = warned(|_, size, _| size.trials[1].events = vec!["link down".to_owned(), "link up".to_owned()]);
    one(&events, WarningKind::PortEvent, true, "2 times a port or its link changed during trials (link down)");
    one(&warned(|_, size, _| size.trials[1].counts.corrupted = 7), WarningKind::Damage, true, "7 frames");
    one(&warned(|_, _, facts| facts.trial_s = 0.25), WarningKind::ShortTrials, false, "0.25 s");
    let limit = warned(|_, size, _| size.max_load_fps = 1_000_000);
    one(&limit, WarningKind::TesterLimit, false, "more than 1000000 frames/s");
}
