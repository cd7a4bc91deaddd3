//! The whole command: what it prints where, and how it ends.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Output, Stdio},
};

/// Fields of the summary, in the order in which they are printed.
const FIELDS: [&str; 13] = [
    "version",
    "simulated",
    "mode",
    "burst",
    "elapsed_s",
    "frames_per_s",
    "cycles_per_frame",
    "mean_burst",
    "start_to_forwarding_us",
    "start_to_first_frame_us",
    "start_in_resets_us",
    "dma_mapped_bytes",
    "ports",
];
const PORT_FIELDS: [&str; 15] = [
    "address",
    "driver",
    "rx_path",
    "tx_path",
    "mac",
    "link_mbps",
    "rx_frames",
    "rx_bytes",
    "rx_dropped",
    "rx_errors",
    "rx_dropped_by_mode",
    "tx_frames",
    "tx_bytes",
    "tx_dropped",
    "reset_to_first_frame_us",
];

fn vfwire(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vfwire"));
    command.args(arguments.split_whitespace());
    command
}

fn run(arguments: &str) -> Output {
    vfwire(arguments).output().expect("the command runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a forwarder that must succeed; its summary, and what it said.
fn forward(options: &str) -> (Value, String) {
    let output = run(&format!("forward --json {options}"));
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(stdout.lines().count(), 1, "more than one object: {stdout}");
    (serde_json::from_str(&stdout).expect("JSON"), said)
}

/// Runs a command that must fail with `code` and say all of `words`.
fn refused(arguments: &str, code: i32, words: &[&str]) {
    let output = run(arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {said}");
    assert!(output.stdout.is_empty(), "{arguments} printed a result");
    assert!(!said.contains("panicked"), "{arguments}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments} does not say {word:?}: {said}");
    }
}

fn count(port: &Value, name: &str) -> u64 {
    port[name].as_u64().unwrap_or_else(|| panic!("{name} is no count: {port}"))
}

#[test]
fn without_a_port_it_forwards_simulated_traffic_both_ways() {
    let (summary, said) = forward("--duration 1s");
    assert!(said.lines().next().is_some_and(|line| line.contains("simulated") && line.contains("traffic source")), "{said}");
    assert_eq!(said.lines().filter(|line| *line == "vfwire: forwarding").count(), 1, "{said}");
    assert_eq!(summary["simulated"], true);
    assert_eq!((&summary["mode"], &summary["burst"]), (&"io".into(), &32.into()));
    for name in ["elapsed_s", "frames_per_s", "cycles_per_frame", "mean_burst"] {
        assert!(summary[name].as_f64().is_some_and(|value| value > 0.0), "{name}: {summary}");
    }
    let ports = summary["ports"].as_array().expect("ports");
    assert_eq!(ports.len(), 2);
    for (port, other) in [(&ports[0], &ports[1]), (&ports[1], &ports[0])] {
        assert!(count(port, "rx_frames") > 0, "{summary}");
        // What arrived at one left by the other, or is counted there.
        assert_eq!(count(port, "rx_frames"), count(other, "tx_frames") + count(other, "tx_dropped"), "{summary}");
        assert_eq!(count(port, "rx_bytes"), 60 * count(port, "rx_frames"));
        assert_eq!((count(port, "rx_errors"), count(port, "rx_dropped"), count(port, "link_mbps")), (0, 0, 1000));
    }
}

#[test]
fn the_summary_has_its_fields_in_order() {
    let output = run("forward --duration 200ms --json");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut from = 0;
    for field in FIELDS.iter().chain(&PORT_FIELDS).chain(&PORT_FIELDS) {
        let name = format!("\"{field}\":");
        from += text[from..].find(&name).unwrap_or_else(|| panic!("{field} is missing or out of order: {text}"));
    }
    let summary: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(summary.as_object().map(serde_json::Map::len), Some(FIELDS.len()));
    assert_eq!(summary["ports"][1].as_object().map(serde_json::Map::len), Some(PORT_FIELDS.len()));
}

#[test]
fn events_are_a_json_object_a_line() {
    let (summary, said) = forward("--duration 300ms --port sim:igbvf");
    let events: Vec<Value> =
        said.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [up] = &events[..] else { panic!("other events than LinkUp: {said}") };
    assert_eq!((&up["event"], &up["port"]), (&"LinkUp".into(), &summary["ports"][0]["address"]));
    assert!(up["monotonic_us"].as_u64().is_some_and(|time| time > 0), "{up}");
    assert_eq!(summary["ports"][0]["reset_to_first_frame_us"]["count"], 0);
}

#[test]
fn one_port_sends_back_what_it_receives() {
    let options = "--duration 300ms --port sim:igbvf,frame=1514 --mode mac-swap --burst 8 --path scalar --mac 02:00:00:00:00:77";
    let (summary, said) = forward(options);
    let port = &summary["ports"][0];
    assert!(count(port, "rx_frames") > 0, "{summary} {said}");
    assert_eq!(count(port, "rx_frames"), count(port, "tx_frames") + count(port, "tx_dropped"));
    assert_eq!((&port["mac"], &port["rx_path"], &port["tx_path"]), (&"02:00:00:00:00:77".into(), &"scalar".into(), &"scalar".into()));
    assert!(summary["mean_burst"].as_f64().is_some_and(|mean| (1.0..=8.0).contains(&mean)), "{summary}");
}

#[test]
fn workers_can_be_pinned() {
    // The first CPU of this process's own.
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list of CPUs").trim();
    let first: String = list.chars().take_while(char::is_ascii_digit).collect();
    let (summary, _) = forward(&format!("--duration 300ms --cores {first}"));
    assert!(count(&summary["ports"][0], "rx_frames") > 0, "{summary}");
}

/// The last CPUs that this process may use, as `vfwire` counts them.
fn cpus() -> Vec<usize> {
    core_affinity::get_core_ids().expect("Linux").into_iter().map(|core| core.id).collect()
}

/// The frames of each worker, as told.
fn frames_of_workers(said: &str) -> Vec<u64> {
    let of = |line: &str| line.strip_prefix("vfwire: worker ")?.split_once(": ")?.1.split(' ').next()?.parse().ok();
    said.lines().filter_map(of).collect()
}

#[test]
fn each_of_two_workers_has_a_queue_pair_of_each_port() {
    // The 16 flows of the traffic source are spread over both queues of a simulated 82576 VF.
    let (summary, said) = forward("--duration 1s --workers 2");
    let workers = frames_of_workers(&said);
    assert_eq!(workers.len(), 2, "{said}");
    assert!(workers.iter().all(|frames| *frames > 0), "a worker had nothing to do: {said}");
    let ports = summary["ports"].as_array().expect("ports");
    let received: u64 = ports.iter().map(|port| count(port, "rx_frames")).sum();
    assert_eq!(received, workers.iter().sum::<u64>(), "{summary} {said}");
    for (port, other) in [(&ports[0], &ports[1]), (&ports[1], &ports[0])] {
        assert_eq!(count(port, "rx_frames"), count(other, "tx_frames") + count(other, "tx_dropped"), "{summary}");
    }
    assert!(said.contains("2 workers") || said.contains("warning: 2 workers poll on 1 CPUs"), "{said}");
    assert!(summary["cycles_per_frame"].as_f64().is_some_and(|cycles| cycles > 0.0), "{summary}");
}

#[test]
fn workers_go_to_the_cpus_that_are_named() {
    let cpus = cpus();
    let [first, .., last] = cpus[..] else { return };
    let (_, said) = forward(&format!("--duration 300ms --workers 2 --cores {last},{first} --port sim:igbvf,spoofchk=off"));
    assert!(said.contains(&format!("2 workers, on CPUs {last},{first}")), "{said}");
    assert!(said.contains(&format!("worker 0 on CPU {last}: ")) && said.contains(&format!("worker 1 on CPU {first}: ")), "{said}");
}

#[test]
fn one_worker_is_the_default_and_not_told_apart() {
    let (_, said) = forward("--duration 300ms --workers 1");
    assert!(frames_of_workers(&said).is_empty() && !said.contains("workers"), "{said}");
}

#[test]
fn workers_without_a_queue_pair_each_are_refused() {
    refused("forward --workers 2 --port sim:igbvf,queues=1", 2, &["sim:igbvf,queues=1", "--workers 2", "has 1", "--workers 1"]);
    refused("forward --workers 3", 2, &["--workers 3", "has 2"]);
    refused("forward --workers 200 --port sim:ixgbevf", 2, &["--workers 200", "has 4"]);
    // As many as there are, but not such a number.
    refused("forward --workers 3 --port sim:ixgbevf", 2, &["queue pairs", "1, 2 or 4"]);
    // Two buffers a worker too few: each has rings of its own.
    refused("forward --workers 2 --buffers 2175", 2, &["2176", "buffers"]);
}

/// More workers than CPUs work, slowly, which is said.
#[test]
fn workers_that_share_a_cpu_are_warned_of() {
    let cpus = cpus();
    if cpus.len() >= 4 {
        return;
    }
    let (_, said) = forward("--duration 1s --workers 4 --port sim:ixgbevf,spoofchk=off");
    let warning = format!("warning: 4 workers poll on {} CPUs", cpus.len());
    assert!(said.contains(&warning) && said.contains(&format!("--workers {}", cpus.len())), "{said}");
    assert_eq!(frames_of_workers(&said).len(), 4, "{said}");
}

/// The paths that this processor has, the portable one first.
fn paths() -> Vec<&'static str> {
    vfwire::Path::all().into_iter().map(vfwire::Path::name).collect()
}

/// The paths of all ports of a run that must succeed.
fn paths_of(options: &str, environment: Option<&str>) -> Vec<String> {
    let mut command = vfwire(&format!("forward --json --duration 200ms {options}"));
    command.env_remove("VFWIRE_SIMD");
    command.envs(environment.map(|value| ("VFWIRE_SIMD", value)));
    let output = command.output().expect("the command runs");
    assert_eq!(output.status.code(), Some(0), "{options} {environment:?}: {}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let of = |port: &Value| ["rx_path", "tx_path"].map(|name| port[name].as_str().expect("a name").to_owned());
    summary["ports"].as_array().expect("ports").iter().flat_map(of).collect()
}

#[test]
fn a_path_can_be_forced() {
    let all = paths();
    let fastest = all[all.len() - 1];
    assert_eq!(paths_of("", None), vec![fastest; 4], "the fastest, unasked");
    for port in ["sim:igbvf", "sim:ixgbevf"] {
        for &path in &all {
            assert_eq!(paths_of(&format!("--port {port} --path {path}"), None), vec![path; 2]);
            assert_eq!(paths_of(&format!("--port {port}"), Some(path)), vec![path; 2]);
        }
        assert_eq!(paths_of(&format!("--port {port} --path scalar"), Some(fastest)), vec!["scalar"; 2], "the option goes first");
        // Whatever the environment says: it is not asked.
        assert_eq!(paths_of(&format!("--port {port} --path scalar"), Some("mmx")), vec!["scalar"; 2]);
    }
}

#[test]
fn a_path_that_the_cpu_lacks_is_wrong_usage() {
    let lacking: Vec<_> = ["avx2", "avx512"].into_iter().filter(|path| !paths().contains(path)).collect();
    for path in lacking.into_iter().chain(["mmx", "AVX2"]) {
        for port in ["sim:igbvf", "sim:ixgbevf"] {
            let output = vfwire(&format!("forward --port {port}")).env("VFWIRE_SIMD", path).output().expect("the command runs");
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "VFWIRE_SIMD={path}: {said}");
            assert!(output.stdout.is_empty() && !said.contains("panicked"), "{said}");
            assert!(said.contains("VFWIRE_SIMD") && said.contains(path) && said.contains(&paths().join(", ")), "{said}");
        }
        let output = vfwire("forward --path").arg(path).output().expect("the command runs");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "--path {path}: {said}");
        assert!(said.contains("--path") && said.contains(path), "{said}");
        assert!(said.contains(&paths().join(", ")), "{said}");
    }
}

#[test]
fn wrong_usage_is_2_and_says_what_is_right() {
    let twice = "forward --port 0000:3b:02.1 --port 3b:02.1";
    for (arguments, words) in [
        ("", &["Usage"][..]),
        ("fly", &["fly"]),
        ("forward --port eth0", &["eth0", "0000:3b:02.1"]),
        ("forward --port sim:nic", &["`nic`", "igbvf"]),
        ("forward --port sim:igbvf,colour=blue", &["colour"]),
        (twice, &["0000:3b:02.1", "twice"]),
        ("forward --port sim:igbvf --port sim:igbvf --port sim:igbvf", &["3 times", "pair", "--mode flood"]),
        ("forward --port sim:igbvf --port 0000:3b:02.1", &["0000:3b:02.1", "simulated and real"]),
        ("forward --burst 0", &["burst", "1..=256"]),
        ("forward --burst 100000", &["burst", "1..=256"]),
        ("forward --mode sideways", &["mode", "mac-swap"]),
        ("forward --duration soon", &["duration", "10s"]),
        ("forward --cores 0,0", &["cores"]),
        ("forward --cores 8191", &["CPU 8191"]),
        ("forward --workers 0", &["workers", "1..=256"]),
        ("forward --workers 2 --cores 8191", &["CPU 8191"]),
        ("forward --rx-desc 7", &["7"]),
        ("forward --tx-desc 60000", &["60000"]),
        ("forward --mtu 60000", &["MTU", "60000"]),
        ("forward --vlan 4095", &["vlan", "4094"]),
        ("forward --multicast 02:00:00:00:00:01", &["02:00:00:00:00:01", "multicast"]),
        ("forward --mac 02:00:00:00:00:01", &["--mac", "--port"]),
        ("forward --port sim:igbvf --mac ff:ff:ff:ff:ff:ff", &["ff:ff:ff:ff:ff:ff"]),
        ("forward --path mmx", &["mmx", "scalar"]),
        ("forward --buffers 1087", &["1088", "buffers"]),
    ] {
        refused(arguments, 2, words);
    }
}

#[test]
fn a_function_that_is_not_there_is_1() {
    refused("forward --port ffff:ff:1f.7 --duration 1s", 1, &["ffff:ff:1f.7", "vfwire list"]);
}

#[test]
fn a_signal_ends_it_with_the_summary() {
    for signal in ["-TERM", "-INT"] {
        let mut command = vfwire("forward --duration forever --json");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command runs");
        let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
        let ready = said.by_ref().find(|line| line.as_ref().is_ok_and(|line| line == "vfwire: forwarding"));
        assert!(ready.is_some(), "it never said that it forwards");
        let killed = Command::new("kill").arg(signal).arg(child.id().to_string()).status().expect("kill runs");
        assert!(killed.success());
        // Read on, so that it is never blocked on a full pipe.
        let rest: Vec<_> = said.map_while(Result::ok).collect();
        let mut stdout = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("UTF-8");
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(0), "{signal}: {rest:?}");
        let summary: Value = serde_json::from_str(&stdout).expect("one JSON object");
        assert_eq!(summary["simulated"], true);
    }
}

#[test]
fn it_says_every_second_how_it_goes() {
    let (_, said) = forward("--duration 2500ms");
    assert!(said.lines().filter(|line| line.contains("Mframes/s")).count() >= 1, "{said}");
}

#[test]
fn people_get_words_instead_of_json() {
    let output = run("forward --duration 200ms");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(text.contains("Mframes/s") && text.contains("sim:igbvf") && text.contains("dropped"), "{text}");
}

#[test]
fn help_and_the_first_line_speak_of_spoofchk() {
    let help = run("forward --help");
    assert!(String::from_utf8_lossy(&help.stdout).contains("spoofchk off"));
    let (_, said) = forward("--duration 100ms --port sim:igbvf");
    assert!(said.lines().next().is_some_and(|line| line.contains("spoofchk")), "{said}");
}

/// Runs a command as a pod that was given these variables.
fn in_pod(arguments: &str, variables: &[(&str, &str)]) -> Output {
    vfwire(arguments).envs(variables.iter().copied()).output().expect("the command runs")
}

#[test]
fn in_a_pod_no_port_is_named_and_what_is_wrong_shows_variable_and_value() {
    const LIST: (&str, &str) = ("PCIDEVICE_EXAMPLE_COM_VF-VFIO", "ffff:ff:1f.7");
    const INFO: &str = "PCIDEVICE_EXAMPLE_COM_VF-VFIO_INFO";
    for (variables, code, words) in [
        (&[LIST][..], 1, &["granted", "PCIDEVICE_EXAMPLE_COM_VF-VFIO", "no PCI function ffff:ff:1f.7"][..]),
        (&[("PCIDEVICE_A", "eth0")], 1, &["PCIDEVICE_A: `eth0`", "expected PCI addresses"]),
        (&[LIST, (INFO, "{\"ffff")], 1, &[INFO, "`{\"ffff`", "expected a JSON object"]),
        (&[LIST, (INFO, "{\"ffff:ff:1f.6\":{}}")], 1, &["`ffff:ff:1f.6` was not granted", "which is `ffff:ff:1f.7`"]),
        (&[LIST, (INFO, "{\"ffff:ff:1f.7\":{\"vfio\":{\"dev-mount\":\"/dev/vfio/no\"}}}")], 1, &[INFO, "`/dev/vfio/no`", "ffff:ff:1f.7"]),
        (&[LIST, ("PCIDEVICE_B", "ffff:ff:1f.6")], 2, &["ffff:ff:1f.7 (environment", "PCIDEVICE_B", "--network"]),
        (&[("KUBERNETES_SERVICE_HOST", "10.96.0.1")], 1, &["no VF", "resources.limits", "sim:igbvf"]),
    ] {
        let output = in_pod("forward --duration 1s", variables);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{variables:?}: {said}");
        assert!(output.stdout.is_empty() && !said.contains("panicked") && !said.contains("simulated"), "{variables:?}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{variables:?} does not say {word:?}: {said}"));
    }
    refused("forward --network vf-net", 2, &["--network vf-net", "/etc/podnetinfo/annotations"]);
    refused("forward --network vf-net --port sim:igbvf", 2, &["--network", "--port"]);
}

#[test]
fn in_a_pod_a_simulated_port_polls_on_the_pods_cpus() {
    let output = in_pod("forward --duration 300ms --port sim:igbvf --workers 2", &[("PCIDEVICE_A", "ffff:ff:1f.7")]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let mut cpus = cpus();
    cpus.reverse();
    let first = cpus[0];
    assert!(said.contains(&format!("2 workers, on CPUs {first},")) || said.contains("2 workers poll on 1 CPUs"), "{said}");
}

/// The verdicts of `vfwire doctor --json`, by id.
fn verdicts(output: &Output) -> (Value, std::collections::BTreeMap<String, String>) {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let by_id = report["checks"].as_array().expect("checks").iter().map(|check| (text(&check["id"]), text(&check["verdict"]))).collect();
    (report, by_id)
}

#[test]
fn doctor_says_what_there_is_where_there_is_no_vf() {
    let output = run("doctor --json");
    let (report, verdicts) = verdicts(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!((&report["schema"], &report["pod"]), (&1.into(), &Value::Null));
    assert_eq!((verdicts["pod.vf"].as_str(), verdicts["sim.forward"].as_str()), ("skipped", "ok"), "{report}");
    assert!(!verdicts.contains_key("vfio.open"), "{report}");
    let text = run("doctor");
    let shown = String::from_utf8_lossy(&text.stdout).into_owned();
    assert_eq!(shown.lines().filter(|line| !line.starts_with("  ")).count(), verdicts.len() + 1, "a line a check, and the sum: {shown}");
    assert!(shown.lines().last().is_some_and(|line| line.starts_with("doctor: ") && line.contains(" 0 failures")), "{shown}");
}

#[test]
fn doctor_fails_where_something_is_missing_and_names_the_remedy() {
    for arguments in ["doctor --json", "doctor --json --port ffff:ff:1f.7"] {
        let output = in_pod(arguments, &[("PCIDEVICE_A", "ffff:ff:1f.7")]);
        let (report, verdicts) = verdicts(&output);
        assert_eq!((output.status.code(), &report["verdict"]), (Some(1), &"failure".into()), "{report}");
        assert_eq!((verdicts["vfio.function"].as_str(), verdicts["vfio.open"].as_str()), ("failure", "skipped"), "{report}");
        for check in report["checks"].as_array().expect("checks") {
            let bad = ["warning", "failure"].contains(&check["verdict"].as_str().expect("a verdict"));
            assert!(!bad || check["remedy"].as_str().is_some_and(|remedy| remedy.len() > 10), "{check}");
        }
    }
    let none = in_pod("doctor --json", &[("KUBERNETES_SERVICE_HOST", "10.96.0.1")]);
    assert_eq!((none.status.code(), verdicts(&none).1["pod.vf"].as_str()), (Some(1), "failure"));
    refused("doctor --port sim:igbvf", 2, &["sim:igbvf", "simulated"]);
    refused("doctor --port eth0", 2, &["eth0"]);
}

#[test]
fn list_prints_functions_or_that_there_are_none() {
    let json = run("list --json");
    assert_eq!(json.status.code(), Some(0), "{}", stderr(&json));
    let functions: Vec<Value> = serde_json::from_slice(&json.stdout).expect("an array");
    for function in &functions {
        assert_eq!(function["usable"].as_bool(), Some(function["why_not"].is_null()), "{function}");
    }
    let table = run("list");
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert_eq!(table.status.code(), Some(0));
    if functions.is_empty() {
        assert!(text.contains("no network functions"), "{text}");
    } else {
        assert_eq!(text.lines().count(), functions.len() + 1, "{text}");
    }
}

/// The README's table is what the drivers say of themselves.
#[test]
fn the_readme_has_the_table_of_what_is_supported() {
    let output = run("list --supported");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(table.lines().count() > 9, "{table}");
    let readme = include_str!("../README.md");
    assert!(readme.contains(&format!("\n\n{table}\n")), "README.md has another table than `vfwire list --supported`:\n{table}");
}
