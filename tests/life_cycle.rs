//! How the command begins and ends in a container: what it is asked to do, what it says, what it leaves, and what memory it takes.

mod running;

use running::{Running, count, folder, json, vfwire};
use serde_json::Value;
use std::{fs, process::Command};

#[test]
fn asked_to_end_it_accounts_for_every_frame_and_leaves_a_message() {
    for (signal, ports) in [("TERM", 2), ("INT", 1)] {
        let log = folder(signal).join("termination-log");
        fs::write(&log, "what was there before ".repeat(200)).expect("a file");
        let path = log.to_str().expect("UTF-8");
        let mut options = vec!["forward", "--duration", "forever", "--json", "--termination-log", path];
        options.extend(["--port", "sim:igbvf,spoofchk=off"].repeat(ports));
        let mut running = Running::start(&mut vfwire(&options));
        running.wait_for("forwarding");
        running.wait_for("Mframes/s");
        running.signal(signal);
        let (status, stdout, said) = running.end();
        assert_eq!(status.code(), Some(0), "{said:?}");
        assert!(said.iter().any(|line| line.contains(&format!("no longer ready: SIG{signal}"))), "{said:?}");

        let summary = json(&stdout);
        let all = summary["ports"].as_array().expect("ports");
        for at in 0..ports {
            let (from, to) = (&all[at], &all[(at + ports / 2) % ports]);
            assert!(count(from, "rx_frames") > 0, "{summary}");
            assert_eq!(count(from, "rx_frames"), count(to, "tx_frames") + count(to, "tx_dropped"), "{summary}");
        }

        let message = json(&fs::read_to_string(&log).expect("a message"));
        assert_eq!((&message["verdict"], &message["exit_code"]), (&"ok".into(), &0.into()));
        assert_eq!((&message["ended_by"], &message["error"]), (&format!("SIG{signal}").into(), &Value::Null));
        assert_eq!((&message["was_ready"], &message["summary"]), (&true.into(), &summary));
        assert!(count(&message, "ending_us") > 0, "{message}");
    }
}

#[test]
fn a_failure_leaves_its_text() {
    let log = folder("failure").join("log");
    let path = log.to_str().expect("UTF-8");
    for (options, code, words) in [
        (vec!["forward", "--port", "ffff:ff:1f.7"], 1, "ffff:ff:1f.7"),
        (vec!["forward", "--port", "sim:igbvf", "--mtu", "60"], 2, "the MTU is 60"),
        (vec!["forward", "--burst", "0"], 2, "--burst"),
        (vec!["forward", "--nonsense"], 2, "--nonsense"),
    ] {
        fs::write(&log, "").expect("a file");
        let output = vfwire(&options).args(["--termination-log", path]).output().expect("the command runs");
        assert_eq!(output.status.code(), Some(code), "{options:?}");
        let message = json(&fs::read_to_string(&log).expect("a message"));
        assert_eq!((&message["verdict"], &message["exit_code"]), (&"failed".into(), &code.into()), "{message}");
        let error = message["error"].as_str().expect("a text");
        assert!(error.contains(words) && String::from_utf8_lossy(&output.stderr).contains(error), "{error}");
        assert_eq!((&message["was_ready"], &message["summary"]), (&false.into(), &Value::Null));
    }
}

#[test]
fn a_message_is_never_a_new_file() {
    let folder = folder("new");
    let path = folder.join("log");
    let output = vfwire(&["forward", "--termination-log", path.to_str().expect("UTF-8")]).output().expect("the command runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--termination-log") && said.contains(path.to_str().expect("UTF-8")), "{said}");
    assert!(!path.exists());
    // A pipe that nobody reads is refused too, instead of waited for.
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let output = vfwire(&["forward", "--termination-log", path.to_str().expect("UTF-8")]).output().expect("the command runs");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn json_logs_are_an_object_a_line_whatever_happens() {
    let objects = |options: &[&str]| -> Vec<Value> {
        let output = vfwire(options).args(["--log-format", "json"]).output().expect("the command runs");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let lines: Vec<_> = said.lines().map(json).collect();
        for line in &lines {
            assert!(count(line, "monotonic_us") > 0, "{line}");
            assert_ne!(line["event"].is_string(), line["level"].is_string() && line["message"].is_string(), "{line}");
        }
        lines
    };
    let is_error =
        |line: &Value, words: &str| line["level"] == "error" && line["message"].as_str().is_some_and(|text| text.contains(words));
    for (options, words) in [
        (&["forward", "--port", "ffff:ff:1f.7"][..], "ffff:ff:1f.7"),
        (&["forward", "--burst", "0"], "--burst"),
        (&["inspect", "no such file"], "no such file"),
        (&["fly"], "fly"),
    ] {
        let said = objects(options);
        assert!(said.iter().any(|line| is_error(line, words)), "{options:?}: {said:?}");
    }
    let said = objects(&["forward", "--duration", "1500ms", "--port", "sim:igbvf,spoofchk=off"]);
    for event in ["LinkUp", "Status"] {
        assert!(said.iter().any(|line| line["event"] == event), "no {event}: {said:?}");
    }
    assert!(said.iter().any(|line| line["message"] == "forwarding" && line["level"] == "info"), "{said:?}");
}

const MIB: u64 = 1 << 20;
/// What a default port may have mapped: it then works under a limit of 8 MiB on locked memory, without any capability.
const DMA_LIMIT: u64 = 6 * MIB;
const HUGEPAGE: u64 = 2 * MIB;
/// What one port may have resident, its DMA memory included, which is on normal pages here.
const RSS_LIMIT_KIB: u64 = 10_000_000 / 1024;
/// What of it the program itself may take: its code and constants.
const PROGRAM_LIMIT_KIB: u64 = 5_000_000 / 1024;

#[test]
fn one_port_fits_the_usual_limit_on_locked_memory() {
    for port in ["sim:igbvf", "sim:ixgbevf", "sim:virtio-net"] {
        let output = vfwire(&["forward", "--json", "--duration", "200ms", "--port", port]).output().expect("the command runs");
        let summary = json(&String::from_utf8_lossy(&output.stdout));
        let mapped = count(&summary, "dma_mapped_bytes");
        // 512 + 512 descriptors of 16 bytes at least, and a buffer of 2 KiB for each.
        assert!(mapped > 1024 * (16 + 2048), "{port}: {mapped}");
        // On hugepages: the pool, rounded up, and where rings do not fit behind it one page more.
        assert!(mapped.next_multiple_of(HUGEPAGE) + HUGEPAGE <= DMA_LIMIT, "{port}: {mapped}");
    }
}

#[test]
fn one_port_is_small() {
    let mut running = Running::start(&mut vfwire(&["forward", "--duration", "forever", "--port", "sim:igbvf,spoofchk=off"]));
    running.wait_for("Mframes/s");
    let status = fs::read_to_string(format!("/proc/{}/status", running.id())).expect("it runs");
    let kib = |field: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_else(|| panic!("no {field}: {status}"));
        line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    };
    println!("VmHWM {} KiB, RssAnon {} KiB, RssFile {} KiB", kib("VmHWM:"), kib("RssAnon:"), kib("RssFile:"));
    // The simulated machine included.
    assert!(kib("RssAnon:") + kib("RssShmem:") <= RSS_LIMIT_KIB - PROGRAM_LIMIT_KIB, "{status}");
    if cfg!(not(debug_assertions)) {
        // The most that it ever was. A program that is not optimised is too large by itself.
        assert!(kib("VmHWM:") <= RSS_LIMIT_KIB && kib("RssFile:") <= PROGRAM_LIMIT_KIB, "{status}");
    }
    assert_eq!((kib("VmLck:"), kib("VmSwap:")), (0, 0), "only VFIO locks memory, for a real port");
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
}
