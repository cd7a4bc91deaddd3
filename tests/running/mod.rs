//! The command as a process that runs: signals, what it says, how it ends.

#![allow(dead_code, reason = "each test binary uses what it needs of it")]

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Lines, Read},
    path::PathBuf,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};

/// A folder of this test's own, empty.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("running").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

pub(crate) fn vfwire(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vfwire"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A command that runs, and what it says meanwhile.
pub(crate) struct Running {
    child: Child,
    said: Lines<BufReader<ChildStderr>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the command runs");
        let said = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, said }
    }

    /// Waits for a line with these words.
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        let mut before = Vec::new();
        for line in self.said.by_ref().map_while(Result::ok) {
            if line.contains(words) {
                return line;
            }
            before.push(line);
        }
        panic!("it ended without saying {words:?}: {before:?}")
    }

    pub(crate) fn signal(&self, name: &str) {
        let killed = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(killed.expect("kill, of procps: apt-get install procps").success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, its summary, and what else it said.
    pub(crate) fn end(mut self) -> (ExitStatus, String, Vec<String>) {
        let said = self.said.by_ref().map_while(Result::ok).collect();
        let mut stdout = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("UTF-8");
        (self.child.wait().expect("it ends"), stdout, said)
    }
}

impl Drop for Running {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn count(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} is no count: {value}"))
}
