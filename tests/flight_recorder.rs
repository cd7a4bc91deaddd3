//! The flight recorder of the command: a file is written however it ends, and `vfwire inspect` reads it or says why not.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A file of this test's own.
fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("flight-recorder");
    fs::create_dir_all(&folder).expect("a folder");
    folder.join(name)
}

fn vfwire(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vfwire"));
    command.args(arguments);
    command
}

fn path(file: &Path) -> &str {
    file.to_str().expect("UTF-8")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn inspect(file: &Path) -> Output {
    vfwire(&["inspect", path(file)]).output().expect("the command runs")
}

/// What `vfwire inspect` says of a file, which it must be able to read.
fn told(file: &Path) -> String {
    let output = inspect(file);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn it_is_written_at_the_end_with_every_port() {
    let file = file("end");
    let output = vfwire(&["forward", "--duration", "300ms", "--flight-recorder", path(&file)]).output().expect("the command runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = told(&file);
    for words in ["igbvf,spoofchk=off: igbvf", "igbvf,spoofchk=off#2: igbvf", "→ PF  RESET", "LinkUp", "stop", "close"] {
        assert!(told.contains(words), "no {words:?}: {told}");
    }
}

#[test]
fn it_is_written_on_a_failure() {
    let file = file("failure");
    let options = ["forward", "--port", "sim:igbvf", "--mtu", "60", "--flight-recorder", path(&file)];
    let output = vfwire(&options).output().expect("the command runs");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let told = told(&file);
    assert!(told.contains("probe") && told.contains("= error: the MTU is 60"), "{told}");
}

#[test]
fn it_is_written_when_a_signal_asks() {
    let file = file("signal");
    let mut command = vfwire(&["forward", "--port", "sim:igbvf", "--duration", "60s", "--flight-recorder", path(&file)]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the command runs");
    let mut said = BufReader::new(child.stderr.take().expect("stderr")).lines().map(|line| line.expect("UTF-8"));
    let mut wait_for = |words: &str| said.find(|line| line.contains(words)).unwrap_or_else(|| panic!("it ended without saying {words:?}"));
    let signal = |name: &str| {
        let killed = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
        assert!(killed.expect("kill, of procps: apt-get install procps").success());
    };
    wait_for("forwarding");
    assert_eq!(fs::read_to_string(&file).expect("the file is made at once").lines().count(), 1, "nothing in it yet");
    signal("USR1");
    wait_for("flight recorder was written");
    let while_it_ran = told(&file);
    assert!(while_it_ran.contains("start") && !while_it_ran.contains("close"), "{while_it_ran}");
    signal("TERM");
    assert!(child.wait().expect("it ends").success());
    assert!(told(&file).contains("close"));
}

#[test]
fn a_file_that_cannot_be_written_is_refused_at_once() {
    let output = vfwire(&["forward", "--flight-recorder", "/proc/no/such/folder"]).output().expect("the command runs");
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("/proc/no/such/folder") && !said.contains("forwarding"), "{said}");
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    let good = file("good");
    let output = vfwire(&["forward", "--duration", "100ms", "--flight-recorder", path(&good)]).output().expect("the command runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let good = fs::read_to_string(&good).expect("a recording");
    let cases = [
        ("empty", Vec::new(), "cut short"),
        ("other", b"GIF89a\n".to_vec(), "not a flight recording"),
        ("binary", vec![0xff; 5000], "not a text"),
        ("cut", good[..good.len() / 2].into(), "cut short"),
        ("later", good.replacen("recording 1", "recording 9", 1).into(), "format 9"),
        ("wrong", good.replacen(" bar 0 ", " bar 9 ", 1).into(), "line 4: there is no BAR 9"),
        ("nothing", b"vfwire flight recording 1\n".to_vec(), "no port was opened"),
    ];
    for (name, bytes, words) in cases {
        let file = file(name);
        fs::write(&file, bytes).expect("a file");
        let output = inspect(&file);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(words) && said.contains(path(&file)) && !said.contains("panicked"), "{name}: {said}");
    }
    let endless = inspect(Path::new("/dev/zero"));
    assert!(text(&endless.stderr).contains("longer than 64 MiB"), "{}", text(&endless.stderr));
}
