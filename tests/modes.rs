//! Every mode of `vfwire forward` between simulated ports: what becomes of the frames, and what is refused.

use serde_json::Value;
use std::{fs, path::PathBuf, process::Command};

const OPEN: &str = "sim:igbvf,spoofchk=off";

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vfwire")).arg("forward").args(arguments).output().expect("the command runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The ports of the summary of a run that must succeed.
fn ports(arguments: &[&str]) -> Vec<Value> {
    let (code, stdout, stderr) = run(&[arguments, &["--json", "--duration", "300ms"]].concat());
    assert_eq!(code, Some(0), "{stderr}");
    let summary: Value = serde_json::from_str(&stdout).expect("JSON");
    summary["ports"].as_array().expect("ports").clone()
}

fn count(port: &Value, name: &str) -> u64 {
    port[name].as_u64().unwrap_or_else(|| panic!("{name} is no count: {port}"))
}

fn left(port: &Value) -> u64 {
    count(port, "tx_frames") + count(port, "tx_dropped")
}

fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let (status, _, said) = run(arguments);
    assert_eq!(status, Some(code), "{arguments:?}: {said}");
    assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
}

/// A file of the test's own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("the folder is there");
    path
}

#[test]
fn drop_receives_and_sends_nothing() {
    for port in ports(&["--mode", "drop", "--port", OPEN]) {
        assert!(count(&port, "rx_frames") > 0);
        assert_eq!((count(&port, "rx_dropped_by_mode"), left(&port)), (count(&port, "rx_frames"), 0), "{port}");
    }
}

#[test]
fn mac_sends_everything_on() {
    let ports = ports(&["--mode", "mac", "--dst-mac", "02:00:00:00:00:aa", "--port", "sim:igbvf", "--port", "sim:igbvf"]);
    for (port, other) in [(&ports[0], &ports[1]), (&ports[1], &ports[0])] {
        assert!(count(port, "rx_frames") > 0);
        assert_eq!(count(port, "rx_frames"), left(other), "{ports:?}");
    }
}

#[test]
fn echo_answers_the_address_it_is_for() {
    for (address, answers) in [("198.19.0.1", true), ("198.19.0.2", false)] {
        for port in ports(&["--mode", "echo", "--ip", address, "--port", "sim:igbvf"]) {
            let by_mode = count(&port, "rx_dropped_by_mode");
            assert_eq!(by_mode == 0, answers, "{port}");
            assert_eq!(count(&port, "rx_frames"), left(&port) + by_mode, "{port}");
        }
    }
}

#[test]
fn l3_routes_by_the_longest_prefix() {
    let text = "198.0.0.0/8 0 02:00:00:00:00:aa\n198.19.0.0/16 1 02:00:00:00:00:ab # what the traffic sources send to\n";
    let path = file("routes.txt", text);
    let ports = ports(&["--mode", "l3", "--routes", path.to_str().expect("UTF-8"), "--port", "sim:igbvf", "--port", "sim:virtio-net"]);
    let received: u64 = ports.iter().map(|port| count(port, "rx_frames")).sum();
    assert!(received > 0);
    assert_eq!((left(&ports[0]), left(&ports[1])), (0, received), "{ports:?}");
    assert!(ports.iter().all(|port| count(port, "rx_dropped_by_mode") == 0));
}

#[test]
fn what_has_no_route_is_dropped_by_the_mode() {
    let path = file("elsewhere.txt", "10.0.0.0/8 0 02:00:00:00:00:aa\n");
    for port in ports(&["--mode", "l3", "--routes", path.to_str().expect("UTF-8"), "--port", "sim:igbvf"]) {
        assert!(count(&port, "rx_frames") > 0);
        assert_eq!((count(&port, "rx_dropped_by_mode"), left(&port)), (count(&port, "rx_frames"), 0), "{port}");
    }
}

#[test]
fn flood_copies_to_all_other_ports_of_any_driver() {
    let ports =
        ports(&["--mode", "flood", "--touch", "2", "--port", OPEN, "--port", "sim:virtio-net", "--port", "sim:ixgbevf,spoofchk=off"]);
    let received: u64 = ports.iter().map(|port| count(port, "rx_frames")).sum();
    for port in &ports {
        assert!(count(port, "rx_frames") > 0);
        assert_eq!(left(port), received - count(port, "rx_frames"), "{ports:?}");
    }
}

#[test]
fn four_ports_are_two_pairs() {
    let all = ports(&["--touch", "1", "--port", OPEN, "--port", OPEN, "--port", OPEN, "--port", OPEN]);
    for (port, other) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
        assert_eq!(count(&all[port], "rx_frames"), left(&all[other]), "{all:?}");
    }
}

#[test]
fn what_does_not_fit_the_mode_is_refused() {
    let bad = file("bad.txt", "10.0.0.0/8 7 02:00:00:00:00:aa\n");
    let bad = bad.to_str().expect("UTF-8");
    let three = ["--port", OPEN, "--port", OPEN, "--port", OPEN];
    refused(&three, 2, &["3 times", "--mode flood"]);
    refused(&["--mode", "flood", "--port", OPEN], 2, &["--mode flood", "twice"]);
    refused(&["--mode", "mac"], 2, &["--dst-mac"]);
    refused(&["--mode", "mac", "--dst-mac", "02:00:00:00:00:01", "--dst-mac", "02:00:00:00:00:02", "--port", OPEN], 2, &["2 times for 1"]);
    refused(&["--mode", "l3"], 2, &["--routes", "PREFIX"]);
    refused(&["--mode", "l3", "--routes", "nowhere.txt"], 1, &["nowhere.txt", "No such file"]);
    refused(&["--mode", "l3", "--routes", bad], 2, &["line 1", "`7` is no port", "0 (sim:igbvf"]);
    refused(&["--dst-mac", "02:00:00:00:00:01"], 2, &["--mode mac"]);
    refused(&["--ip", "10.0.0.1"], 2, &["--mode echo"]);
    refused(&["--routes", bad], 2, &["--mode l3"]);
    refused(&["--touch", "0"], 2, &["--touch"]);
    refused(&["--mode", "echo", "--port", "0000:00:1f.6"], 2, &["--mode echo needs --ip"]);
}
