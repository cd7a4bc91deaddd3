//! `vfwire capture` and `vfwire forward --capture`: tshark reads the files, and they have what the summaries say.

mod running;

use running::{count, json};
use std::{
    fs,
    io::{BufRead, Read},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const OPEN: &str = "sim:igbvf,spoofchk=off";

fn vfwire(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vfwire")).args(arguments).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What tshark says of a file's frames, a line each. It must read all of the file.
fn tshark(path: &Path, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args(["-T", "fields", "-E", "separator=|"]).stdin(Stdio::null());
    fields.iter().for_each(|field| _ = command.args(["-e", field]));
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("tshark: {error}; install it with: apt-get install -y --no-install-recommends tshark tcpdump"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("cut short"), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

const FIELDS: [&str; 5] = ["frame.interface_name", "frame.packet_flags_direction", "frame.len", "frame.cap_len", "frame.time_epoch"];

fn captured(stdout: &str) -> usize {
    let number = stdout.split("captured ").nth(1).and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number in: {stdout}"))
}

#[test]
fn a_port_is_captured_and_as_many_frames_as_asked_for() {
    let path = file("count.pcapng");
    let output = vfwire(&["capture", "--port", "sim:igbvf", "-w", path.to_str().unwrap(), "--snap", "40", "--count", "500"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(captured(&text(&output.stdout)), 500);
    let lines = tshark(&path, &FIELDS);
    assert_eq!(lines.len(), 500);
    assert!(lines.iter().all(|line| line.starts_with("sim:igbvf|0x00000001|60|40|")), "{}", lines[0]);
    let nanoseconds = |line: &String| line.rsplit('.').next().unwrap().to_owned();
    assert!(lines.iter().map(nanoseconds).all(|digits| digits.len() == 9));
    assert!(lines.iter().any(|line| !nanoseconds(line).ends_with("000")), "no time has nanoseconds");
}

#[test]
fn a_forwarder_captures_what_comes_and_what_goes() {
    let path = file("forward.pcapng");
    let arguments = [
        "forward",
        "--port",
        OPEN,
        "--mode",
        "mac-swap",
        "--duration",
        "200ms",
        "--capture",
        path.to_str().unwrap(),
        "--capture-snap",
        "64",
    ];
    let output = vfwire(&arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let lines = tshark(&path, &["frame.packet_flags_direction", "eth.src", "eth.dst"]);
    assert_eq!(lines.len(), captured(&said), "{said}");
    let came = lines.iter().find(|line| line.starts_with("0x00000001")).expect("one came");
    let [_, from, to] = came.split('|').collect::<Vec<_>>()[..] else { panic!("{came}") };
    // Behind the stage: the addresses are exchanged.
    assert!(lines.contains(&format!("0x00000002|{to}|{from}")), "{came}");
    assert!(text(&output.stdout).contains("mode mac-swap"));
}

#[test]
fn a_filter_chooses_and_the_summary_counts() {
    let path = file("filter.pcapng");
    let capture =
        |filter: &str| vfwire(&["capture", "--port", "sim:igbvf", "-w", path.to_str().unwrap(), "--filter", filter, "--duration", "200ms"]);
    let output = capture("not udp and less 20");
    assert_eq!((output.status.code(), captured(&text(&output.stdout))), (Some(0), 0));
    assert!(tshark(&path, &FIELDS).is_empty());
    let said = text(&output.stdout);
    let line = said.lines().nth(1).expect("a line of the port");
    let frames = line.split(' ').nth(2).unwrap();
    assert!(frames != "0" && line.contains(&format!("{frames} filtered out")), "{line}");
    let output = capture("udp prot 53");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("`prot` is not understood"), "{}", text(&output.stderr));
}

#[test]
fn stdout_takes_a_capture() {
    let path = file("stdout.pcapng");
    let output = vfwire(&["capture", "--port", "sim:igbvf", "-w", "-", "--count", "100"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    fs::write(&path, &output.stdout).unwrap();
    assert_eq!(tshark(&path, &FIELDS).len(), 100);
    assert_eq!(captured(&text(&output.stderr)), 100);
    let output = vfwire(&["capture", "--json", "--port", "sim:igbvf", "-w", "-", "--count", "100"]);
    fs::write(&path, &output.stdout).unwrap();
    assert_eq!(tshark(&path, &FIELDS).len(), 100);
    let said = text(&output.stderr);
    let summary = said.lines().find(|line| line.contains("\"capture\":")).unwrap_or_else(|| panic!("no summary: {said}"));
    assert_eq!(count(&json(summary)["capture"], "frames"), 100);
}

#[test]
fn a_ring_of_files_keeps_the_newest() {
    let path = file("ring.pcapng");
    let arguments = ["--files", "3", "--file-size", "64KiB", "--count", "9000"];
    let output = vfwire(&[&["capture", "--port", "sim:igbvf", "-w", path.to_str().unwrap()][..], &arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mut frames = 0;
    let mut all_lines = Vec::new();
    for at in 0..3 {
        let path = file(&format!("ring_{at:02}.pcapng"));
        assert!(fs::metadata(&path).unwrap().len() < 70_000);
        let lines = tshark(&path, &["frame.time_epoch"]);
        frames += lines.len();
        all_lines.push(lines);
    }
    // Each frame has 60 bytes and 44 around them, so that some 630 fit a file; the rest was written over.
    assert!((700..2000).contains(&frames), "{frames}");
    let first = |at: usize| all_lines[at].first().cloned().unwrap_or_default();
    let newest = (0..3).max_by_key(|at| first(*at)).unwrap();
    assert!(all_lines[newest].len() <= all_lines[(newest + 2) % 3].len());
}

#[test]
fn a_full_disk_is_one_line() {
    for (arguments, code) in [(&["capture", "-w"][..], 1), (&["forward", "--duration", "300ms", "--capture"], 0)] {
        let output = vfwire(&[arguments, &["/dev/full", "--port", OPEN]].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        let lines = said.lines().filter(|line| line.contains("No space left on device")).count();
        assert_eq!(lines, if code == 1 { 2 } else { 1 }, "{said}");
    }
}

/// A disk of 64 KiB, as far as the command can tell: a limit to the size of its files.
#[test]
fn a_disk_that_fills_up_keeps_what_is_there() {
    let path = file("filled.pcapng");
    for (arguments, code) in [
        (&["capture", "--json", "--duration", "5s", "-w"][..], 1),
        (&["forward", "--json", "--duration", "300ms", "--capture-snap", "60", "--capture"], 0),
    ] {
        // In blocks of 512 bytes; `exec` keeps the limit.
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -f 128; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_vfwire")]);
        let output = shell.args(arguments).arg(&path).args(["--port", OPEN]).output().expect("the command runs");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{:?}: {said}", output.status);
        assert!(said.contains("filled.pcapng: File too large"), "{said}");
        let lines = tshark(&path, &["frame.cap_len"]);
        let len = fs::metadata(&path).unwrap().len();
        // To the last block that is whole.
        assert!((65_000..=65_536).contains(&len) && lines.iter().all(|len| len == "60"), "{len}: {said}");
        let captured = &json(&text(&output.stdout))["capture"];
        assert_eq!(count(captured, "frames"), lines.len() as u64, "{captured}");
        assert!(captured["failure"].as_str().is_some_and(|failure| failure.contains("File too large")), "{captured}");
        let ports = captured["ports"].as_array().expect("ports").iter();
        let (seen, lost) = ports.fold((0, 0), |(seen, lost), port| (seen + count(port, "seen"), lost + count(port, "lost")));
        assert_eq!(seen, lost + count(captured, "frames") + count(captured, "not_written"), "{captured}");
        assert!(count(captured, "not_written") > 0, "{captured}");
    }
}

/// By port and direction, the frames of a file and those that the summary counts.
fn frames_of(mode: &[&str], name: &str) -> Vec<(String, String, usize)> {
    let path = file(name);
    let run = ["forward", "--json", "--duration", "200ms", "--capture-snap", "40", "--capture", path.to_str().unwrap()];
    let output = vfwire(&[&run[..], mode].concat());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let summary = json(&text(&output.stdout));
    let lines = tshark(&path, &["frame.interface_id", "frame.packet_flags_direction"]);
    assert_eq!(count(&summary["capture"], "frames"), lines.len() as u64);
    let sides = summary["capture"]["ports"].as_array().expect("ports").iter().enumerate().map(|(at, side)| {
        let line = format!("{}|0x0000000{}", at / 2, at % 2 + 1);
        let found = lines.iter().filter(|found| **found == line).count();
        let port = &summary["ports"][at / 2];
        assert_eq!(found as u64 + count(side, "lost"), count(side, "seen"), "{side}");
        let (direction, of_port) =
            if at % 2 == 0 { ("in", count(port, "rx_frames")) } else { ("out", count(port, "tx_frames") + count(port, "tx_dropped")) };
        assert_eq!(side["direction"], direction);
        // What finds a port's burst full is dropped before it is captured.
        let (seen, dropped) = (count(side, "seen"), count(port, "tx_dropped"));
        assert!(seen <= of_port && seen + if at % 2 == 0 { 0 } else { dropped } >= of_port, "{side} of {port}");
        (side["address"].as_str().expect("text").to_owned(), direction.to_owned(), found)
    });
    sides.collect()
}

#[test]
fn a_router_captures_each_port_in_each_direction() {
    let routes = file("capture-routes.txt");
    fs::write(&routes, "198.19.0.0/16 1 02:00:00:00:00:ab\n").unwrap();
    let routes = routes.to_str().unwrap();
    let sides = frames_of(&["--mode", "l3", "--routes", routes, "--port", "sim:igbvf", "--port", "sim:virtio-net"], "l3.pcapng");
    let found: Vec<_> = sides.iter().map(|(address, direction, found)| (address.as_str(), direction.as_str(), *found > 0)).collect();
    let [a, b] = ["sim:igbvf", "sim:virtio-net#2"];
    assert_eq!(found, [(a, "in", true), (a, "out", false), (b, "in", true), (b, "out", true)], "{sides:?}");
    let lines = tshark(&file("l3.pcapng"), &["frame.packet_flags_direction", "eth.dst", "ip.ttl"]);
    // Behind the switch: routed, and one hop on.
    assert!(lines.iter().any(|line| line.starts_with("0x00000001|") && line.ends_with("|64")), "{:?}", lines.first());
    assert!(lines.iter().filter(|line| line.starts_with("0x00000002|")).all(|line| line.ends_with("|02:00:00:00:00:ab|63")));
}

#[test]
fn a_repeater_captures_every_copy_once() {
    let ports = ["--mode", "flood", "--touch", "1", "--workers", "2", "--port", OPEN, "--port", OPEN, "--port", OPEN];
    let sides = frames_of(&ports, "flood.pcapng");
    assert_eq!(sides.len(), 6);
    assert!(sides.iter().all(|(.., found)| *found > 0), "{sides:?}");
}

#[test]
fn what_cannot_be_is_refused() {
    let path = file("refused.pcapng");
    let path = path.to_str().unwrap();
    for (arguments, code, word) in [
        (&["capture", "--port", "sim:igbvf", "-w", "/no/such/folder/x"][..], 1, "/no/such/folder/x: cannot be written"),
        (&["capture", "--port", "sim:igbvf", "-w", path, "--snap", "0"], 2, "--snap"),
        (&["capture", "--port", "sim:igbvf", "-w", path, "--file-size", "1"], 2, "64KiB or more"),
        (&["capture", "--port", "sim:igbvf", "-w", "-", "--files", "2"], 2, "stdout is no ring"),
        (&["forward", "--capture", "-"], 2, "would mix with the summary"),
        (&["forward", "--capture-filter", "ip"], 2, "--capture"),
    ] {
        let output = vfwire(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

/// Nobody reads stdout, so that the file cannot be written: the worker goes on, and what has no room in the ring is counted.
#[test]
fn who_does_not_read_costs_frames_and_nothing_else() {
    let path = file("slow.pcapng");
    // Some 2,700 long frames fill the ring, which a crowded machine receives in the time, too.
    let mut command = Command::new(env!("CARGO_BIN_EXE_vfwire"));
    command
        .args(["capture", "--port", "sim:igbvf,frame=1514", "-w", "-", "--duration", "2s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command runs");
    // Until it says that it ends: then nothing more comes from the port.
    let mut said = String::new();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    while !said.contains("the time is over") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    let mut bytes = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    fs::write(&path, &bytes).unwrap();
    let line = said.lines().find(|line| line.contains(" in: ")).expect("the port's line");
    let numbers: Vec<usize> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    let [seen, filtered, lost] = numbers[..] else { panic!("{line}") };
    let lines = tshark(&path, &["frame.drop_count"]);
    assert!(lost > 0 && filtered == 0, "{line}");
    assert_eq!((lines.len(), lines.len()), (seen - lost, captured(&said)), "{line}");
    assert!(text(&bytes).contains(&format!("{lost} frames of sim:igbvf,frame=1514 could not be written")));
}
