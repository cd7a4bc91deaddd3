//! How the command begins and ends in a container: what it is asked to do, what it says, what it leaves, and what memory it takes.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Lines, Read},
    path::PathBuf,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};

/// A folder of this test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("life-cycle").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn vfwire(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vfwire"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A command that runs, and what it says meanwhile.
struct Running {
    child: Child,
    said: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the command runs");
        let said = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, said }
    }

    /// Waits for a line with these words.
    fn wait_for(&mut self, words: &str) -> String {
        let mut before = Vec::new();
        for line in self.said.by_ref().map_while(Result::ok) {
            if line.contains(words) {
                return line;
            }
            before.push(line);
        }
        panic!("it ended without saying {words:?}: {before:?}")
    }

    fn signal(&self, name: &str) {
        let killed = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(killed.expect("kill, of procps: apt-get install procps").success());
    }

    /// A file of its own in `/proc`.
    fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("it still runs")
    }

    /// How it ended, its summary, and what else it said.
    fn end(mut self) -> (ExitStatus, String, Vec<String>) {
        let said = self.said.map_while(Result::ok).collect();
        let mut stdout = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("UTF-8");
        (self.child.wait().expect("it ends"), stdout, said)
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn count(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} is no count: {value}"))
}

#[test]
fn asked_to_end_it_accounts_for_every_frame_and_leaves_a_message() {
    for (signal, ports) in [("TERM", 2), ("INT", 1)] {
        let log = folder(signal).join("termination-log");
        fs::write(&log, "what was there before ".repeat(200)).expect("a file");
        let path = log.to_str().expect("UTF-8");
        let mut options = vec!["forward", "--duration", "forever", "--json", "--termination-log", path];
        options.extend(["--port", "sim:igbvf,spoofchk=off"].repeat(ports));
        let mut running = Running::start(vfwire(&options));
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
