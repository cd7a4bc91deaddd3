//! `vfwire generate` as a process.
#![cfg(feature = "cli")]

#[path = "running/mod.rs"]
mod running;

use running::{Running, folder, json, vfwire};
use serde_json::Value;
use std::fs;

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = vfwire(&[&["generate"], arguments].concat()).output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn summary(arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = run(&[&["--json"], arguments].concat());
    assert_eq!(code, Some(0), "{stderr}");
    json(&stdout)
}

/// The one line that a wrong command line ends with, and its code.
fn refusal(arguments: &[&str], code: i32) -> String {
    let (ended, stdout, stderr) = run(arguments);
    assert_eq!((ended, stdout.as_str()), (Some(code), ""), "{arguments:?}: {stderr}");
    stderr
}

/// Frames of pcap, nanoseconds, little end first, a millisecond apart.
fn pcap(frames: usize) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4du32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for at in 0..u32::try_from(frames).expect("few") {
        for word in [1, at * 1_000_000, 60, 60] {
            file.extend(word.to_le_bytes());
        }
        file.extend([0xff; 6].into_iter().chain([2, 0, 0, 0, 0, 7]).chain([0; 48]));
    }
    file
}

#[test]
fn a_simulated_pair_loses_nothing() {
    let summary =
        summary(&["--rate", "1kpps", "--duration", "300ms", "--size", "imix", "--flows", "5", "--latency-per-flow", "--drain", "5s"]);
    assert_eq!((&summary["simulated"], &summary["partial"], &summary["rate"]), (&true.into(), &false.into(), &"1kpps".into()));
    let directions = summary["directions"].as_array().expect("directions");
    assert_eq!(directions.len(), 2);
    for direction in directions {
        let count = |name: &str| direction[name].as_u64().expect(name);
        assert_eq!(count("sent_frames") + count("shortfall_frames"), 300);
        assert!(count("sent_frames") > 0);
        assert_eq!((count("lost_frames"), count("foreign_frames"), count("corrupt_frames")), (0, 0, 0));
        assert_eq!((direction["latency_ns"]["count"].as_u64(), count("flow_count")), (Some(count("received_frames")), 5));
        assert_eq!(direction["flows"].as_array().map(Vec::len), Some(5));
    }
}

#[test]
fn a_wire_that_loses_everything_is_seen() {
    for driver in ["igbvf", "ixgbevf", "virtio-net"] {
        let port = format!("sim:{driver},loop,loss=100%");
        let all = summary(&["--port", &port, "--rate", "1kpps", "--duration", "100ms", "--drain", "1ms"]);
        assert_eq!((&all["directions"][0]["loss"], &all["directions"][0]["received_frames"]), (&1.0.into(), &0.into()));
        let port = format!("sim:{driver},loop");
        let none = summary(&["--port", &port, "--rate", "1kpps", "--duration", "100ms", "--drain", "5s"]);
        assert_eq!(none["directions"][0]["loss"], 0.0, "{driver}");
    }
}

#[test]
fn every_lost_frame_was_counted_somewhere() {
    let summary = summary(&["--port", "sim:igbvf,loop,loss=20%", "--rate", "2kpps", "--duration", "500ms", "--drain", "2s"]);
    let (one, count) = (&summary["directions"][0], |value: &Value| value.as_u64().expect("a count"));
    let (lost, wires, at) = (count(&one["lost_frames"]), count(&summary["lost_on_simulated_wires"]), &one["lost_at"]);
    assert!(wires > 0 && lost > 0, "{summary}");
    assert_eq!(lost, wires + count(&at["receiver_no_descriptor"]) + count(&at["receiver_damaged"]), "{summary}");
    assert_eq!((&at["receiver_reset"], &at["sender_reset"], &at["sender_unsendable"]), (&0.into(), &0.into(), &0.into()), "{summary}");
    let (_, text, _) = run(&["--port", "sim:igbvf,loop,loss=100%", "--rate", "1kpps", "--duration", "100ms", "--drain", "200ms"]);
    assert!(text.contains("counted at the receiver: 0 without a descriptor") && text.contains("\nlost on simulated wires: "), "{text}");
}

#[test]
fn what_cannot_be_is_one_line_and_a_code() {
    for (arguments, words) in [
        (&["--rate", "0pps"][..], "rate 0pps"),
        (&["--rate", "fast"], "rate `fast`"),
        (&["--rate", "200%"], "100% at most"),
        (&["--size", "63"], "64 to 16384"),
        (&["--size", "1519"], "give 1518 or less"),
        (&["--size", "64", "--vlan", "5"], "give 68 or more"),
        (&["--src-port", "1-5,4-9"], "`4-9` and `1-5` overlap"),
        (&["--src-port", "1-3", "--flows", "4"], "flows 0 and 3 overlap"),
        (&["--src-ip", "::1"], "one version"),
        (&["--no-checksum", "--protocol", "tcp"], "leave checksums on"),
        (&["--port", "sim:igbvf", "--port", "sim:igbvf", "--port", "sim:igbvf"], "3 times"),
        (&["--loop", "2"], "--replay"),
        (&["--port", "sim:igbvf,delay=1h"], "up to 2s"),
    ] {
        let said = refusal(arguments, 2);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn a_signal_ends_it_and_the_summary_says_so() {
    let mut running = Running::start(&mut vfwire(&["generate", "--rate", "1kpps", "--duration", "forever", "--json"]));
    running.wait_for("Mframes/s sent");
    running.signal("INT");
    let (status, stdout, _) = running.end();
    let summary = json(&stdout);
    assert!(status.success() && summary["partial"] == true && summary["ended_by"] == "SIGINT", "{stdout}");
    assert!(summary["directions"][0]["sent_frames"].as_u64() > Some(0));
}

#[test]
fn a_file_is_sent_again() {
    let folder = folder("replay");
    let file = folder.join("three.pcap");
    let path = file.to_str().expect("UTF-8");
    fs::write(&file, pcap(3)).expect("a file");
    for (speed, loops, frames) in [("original", "1", 3), ("max", "5", 15), ("2x", "2", 6)] {
        let summary = summary(&["--port", "sim:igbvf,loop,spoofchk=off", "--replay", path, "--replay-speed", speed, "--loop", loops]);
        let one = &summary["directions"][0];
        assert_eq!((&one["sent_frames"], &one["received_frames"]), (&frames.into(), &frames.into()), "{speed}");
        assert_eq!((&one["matched"], &summary["partial"]), (&false.into(), &false.into()));
    }
    // Cut in the middle of the third frame.
    fs::write(&file, &pcap(3)[..24 + 2 * 76 + 40]).expect("a file");
    let (code, stdout, stderr) = run(&["--port", "sim:igbvf,loop,spoofchk=off", "--replay", path, "--json"]);
    let summary = json(&stdout);
    assert_eq!((code, &summary["partial"], &summary["directions"][0]["sent_frames"]), (Some(0), &true.into(), &2.into()), "{stderr}");
    assert!(stderr.contains("three.pcap") && stderr.contains("the 2 frames before it are sent"), "{stderr}");
}

#[test]
fn files_that_hold_no_frame_are_named() {
    let folder = folder("no-replay");
    let file = folder.join("bad");
    let path = file.to_str().expect("UTF-8");
    assert!(refusal(&["--replay", path], 1).contains("No such file"));
    for bytes in [&b""[..], b"not a pcap at all", &pcap(0), &pcap(1)[..30], &[0xff; 100]] {
        fs::write(&file, bytes).expect("a file");
        let said = refusal(&["--replay", path], 1);
        assert!(said.contains("--replay") && said.contains("bad") && said.lines().count() == 1, "{said}");
    }
}
