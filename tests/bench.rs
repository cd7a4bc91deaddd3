//! `vfwire bench` and `vfwire report` as commands: trials are short, and no figure is held against a clock.

mod running;

use running::{Running, folder, vfwire};
use serde_json::Value;
use std::{fs, path::Path, process::Output};

/// A measurement of the embedded forwarder that takes a second.
const SHORT: [&str; 9] = ["bench", "--trial", "20ms", "--longest-burst", "5ms", "--width", "0.2", "--sizes", "64"];

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = vfwire(arguments).output().expect("the command runs");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
}

fn short(more: &[&str]) -> (Option<i32>, String, String) {
    run(&[&SHORT[..], more].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

#[test]
fn what_is_measured_is_reported() {
    let folder = folder("reported");
    let [result, page, table] = ["out.json", "report.html", "out.csv"].map(|name| folder.join(name));
    let (code, stdout, stderr) = short(&["--label", "mine", "-o", text(&result)]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("simulated ports") && stdout.contains("verdict: untrusted"), "{stdout}");
    let measured = read(&result);
    assert_eq!((&measured["simulated"], &measured["partial"], &measured["schema"]), (&Value::Bool(true), &Value::Null, &1.into()));
    let size = &measured["sizes"][0];
    assert!(size["trials"].as_array().is_some_and(|trials| trials.len() > 5), "every trial is kept");
    assert!(
        size["trials"].as_array().into_iter().flatten().any(|trial| trial["counts"]["received"].as_u64() > Some(0)),
        "frames came back"
    );
    for fact in ["cpu_model", "cpus_allowed", "kernel", "iommu"] {
        assert!(measured["environment"]["host"][fact].is_string(), "{fact}");
    }
    assert_eq!(measured["environment"]["ports"].as_array().map(Vec::len), Some(4));
    let (code, stdout, stderr) = run(&["report", text(&result), "-o", text(&page), "--csv", text(&table)]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 2), "{stderr}");
    let page = fs::read_to_string(page).expect("a page");
    assert!(page.contains("vfwire bench: mine") && page.contains("<svg") && !page.contains("<script"));
    assert!(fs::read_to_string(table).expect("a table").contains(",64,max_load,,"));
}

#[test]
fn what_is_simulated_is_never_a_pass() {
    let (code, _, stderr) = short(&["--require-pdr", "1pps", "--require-p99", "1h"]);
    assert_eq!(code, Some(2), "an hour is no time here: {stderr}");
    let (code, _, stderr) = short(&["--require-pdr", "1pps"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("untrusted: ") && stderr.contains("simulated"), "{stderr}");
}

#[test]
fn two_ports_have_the_device_between_them_and_one_has_a_loop() {
    let folder = folder("topologies");
    let result = folder.join("out.json");
    let received = |result: &Value| -> u64 {
        let trials = result["sizes"][0]["trials"].as_array().expect("trials");
        trials.iter().filter_map(|trial| trial["counts"]["received"].as_u64()).sum()
    };
    // A wire is the device.
    let (code, _, stderr) = short(&["--port", "sim:igbvf,link=a", "--port", "sim:igbvf,link=a", "-o", text(&result)]);
    assert_eq!(code, Some(0), "{stderr}");
    let measured = read(&result);
    assert_eq!(measured["method"]["topology"], "two-ports");
    assert!(received(&measured) > 0, "frames went from one to the other");
    // At the other end of the wire is nobody: nothing comes back, and that is no throughput.
    let (code, stdout, stderr) = short(&["--port", "sim:igbvf,link=a", "--max-load", "2kpps", "-o", text(&result)]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("< 1000"), "{stdout}");
    let measured = read(&result);
    assert_eq!((&measured["method"]["topology"], received(&measured)), (&"loop".into(), 0));
}

#[test]
fn what_was_measured_until_a_signal_is_kept_and_said_to_be_partial() {
    let folder = folder("partial");
    let result = folder.join("out.json");
    let mut command = vfwire(&["bench", "--trial", "10s", "--sizes", "64,128", "-o", text(&result)]);
    let mut running = Running::start(&mut command);
    // The second line of status: trials have been made.
    running.wait_for("about ");
    running.wait_for("about ");
    running.signal("INT");
    let (status, stdout, said) = running.end();
    assert_eq!(status.code(), Some(0), "{said:?}");
    assert!(stdout.contains("partial (SIGINT)"), "{stdout}");
    let measured = read(&result);
    assert_eq!((&measured["partial"], &measured["verdict"]["outcome"]), (&"SIGINT".into(), &"untrusted".into()));
    assert_ne!(measured["sizes"][0]["trials"], Value::Array(Vec::new()));
    let (code, _, stderr) = run(&["report", text(&result), "-o", text(&folder.join("report.html"))]);
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn what_cannot_be_is_one_line_and_a_code() {
    let folder = folder("refused");
    for (arguments, code, words) in [
        (&["--sizes", "63"][..], 2, "63"),
        (&["--sizes", "64,64"], 2, "twice"),
        (&["--sizes", "1600,9018"], 2, "does not fit a buffer"),
        (&["--trial", "0s"], 2, "more than nothing"),
        (&["--max-load", "fast"], 2, "no rate"),
        (&["--max-load", "10"], 2, "lowest load"),
        (&["--loss-tolerance", "2"], 2, "no share"),
        (&["--bidirectional"], 2, "two --port"),
        (&["--cores", "9999"], 2, "9999"),
        (&["--port", "sim:nic"], 2, "nic"),
        (&["-o", "/no/such/folder/out.json"], 2, "/no/such/folder/out.json"),
        (&["--trial", "20ms", "--longest-burst", "0s", "--sizes", "64", "-o", "/dev/full"], 1, "/dev/full"),
    ] {
        let arguments = [&["bench"], arguments].concat();
        let (found, stdout, stderr) = run(&arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.lines().any(|line| line.contains(words)), "{arguments:?}: {stderr} {stdout}");
    }
    let broken = folder.join("broken.json");
    for (content, words) in
        [("{\"kind\": \"vfwire-bench\",", "cut short"), ("{}", "no result of"), ("{\"kind\": \"vfwire-bench\", \"schema\": 9}", "schema 9")]
    {
        fs::write(&broken, content).expect("a file");
        let (code, _, stderr) = run(&["report", text(&broken), "-o", text(&folder.join("report.html"))]);
        assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains(words) && stderr.contains("broken.json"), "{stderr}");
    }
    let (code, _, stderr) = run(&["report", "/no/such.json", "-o", text(&broken)]);
    assert!(code == Some(1) && stderr.contains("/no/such.json cannot be read"), "{stderr}");
    let (code, _, stderr) = run(&["report", text(&broken), "-o", text(&broken)]);
    assert!(code == Some(2) && stderr.contains("read and written"), "{stderr}");
}
