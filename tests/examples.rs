//! Runs every example as a newcomer does, and looks at what it prints.

use std::{path::Path, process::Command};

/// Runs an example of this checkout as it is now, built beside this test.
fn run(name: &str, arguments: &[&str]) -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in cargo's target folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--manifest-path"]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target).args(["--example", name, "--"]).args(arguments);
    let output = cargo.output().expect("cargo runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name} ended with {}: {}{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn l2fwd_forwards() {
    let said = run("l2fwd", &[]);
    let forwarded = said.lines().last().and_then(|line| line.strip_suffix(" frames forwarded")?.parse::<u64>().ok());
    assert!(forwarded.is_some_and(|frames| frames >= 200_000), "{said}");
}

#[test]
fn receive_dump_prints_what_arrives() {
    let said = run("receive_dump", &["--count", "3"]);
    assert_eq!(said.lines().filter(|line| line.starts_with("frame ")).count(), 3, "{said}");
    // The traffic source sends IPv4 over Ethernet: EtherType and version, at bytes 12 to 14.
    let starts = said.lines().filter(|line| line.starts_with("  0000  "));
    assert_eq!(starts.filter(|line| line.ends_with("08 00 45 00")).count(), 3, "{said}");
}

#[test]
fn sim_pair_compares_every_frame() {
    let said = run("sim_pair", &[]);
    assert!(said.contains("1000 frames of 200 bytes"), "{said}");
}

#[test]
fn rx_queues_shows_hashes_and_checksums() {
    let said = run("rx_queues", &["--count", "3"]);
    let frames: Vec<_> = said.lines().filter(|line| line.starts_with("queue 0 hash ")).collect();
    assert!(frames.len() >= 3 && frames.iter().all(|line| line.contains(" ip Good l4 Good ")), "{said}");
}

#[test]
fn tso_sends_a_super_frame() {
    let said = run("tso", &["--payload", "20000", "--mss", "1000"]);
    assert!(said.contains("1 frames of 20000 bytes of payload left for segments of 1000"), "{said}");
}

#[test]
fn own_stage_denies_what_it_was_told_to() {
    let said = run("own_stage", &[]);
    let ports: Vec<_> = said.lines().filter(|line| line.ends_with(" of them denied")).collect();
    assert_eq!(ports.len(), 2, "{said}");
    for line in ports {
        let counts: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert!(counts.len() == 2 && counts[0] > 0 && counts[0] == counts[1], "{said}");
    }
}

/// What `cargo xtask` runs, because it needs more than this machine: a guest with VFs, a device to measure on, minutes.
const RUN_BY_XTASK: [&str; 4] = ["echo", "peer_bench", "soak", "vlans"];

#[test]
fn every_example_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let tests = include_str!("examples.rs");
    for example in std::fs::read_dir(folder).expect("examples/ is there") {
        let path = example.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(RUN_BY_XTASK.contains(&&*name) || tests.contains(&format!("run(\"{name}\"")), "no test runs {name}");
    }
}
