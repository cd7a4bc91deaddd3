//! `vfwire capture` and `vfwire forward --capture`: tshark reads the files, and they have what the summaries say.

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
        (&["forward", "--mode", "flood", "--capture", path], 2, "does not know mode flood"),
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
    let mut command = Command::new(env!("CARGO_BIN_EXE_vfwire"));
    command.args(["capture", "--port", "sim:igbvf", "-w", "-", "--duration", "2s"]).stdout(Stdio::piped()).stderr(Stdio::piped());
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
    assert!(text(&bytes).contains(&format!("{lost} frames of sim:igbvf could not be written")));
}
