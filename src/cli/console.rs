//! What goes to stderr: lines that stay, and a status that on a terminal is redrawn in place.

use std::{
    collections::HashSet,
    io::{self, IsTerminal, Write},
};

/// Moves to the start of the line and clears it (ECMA-48, 8.3.41: EL).
const CLEAR_LINE: &str = "\r\x1b[K";

/// Says something. Where stderr cannot be written, nobody listens.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "vfwire: {text}");
}

/// stderr while something runs.
pub(super) struct Console {
    terminal: bool,
    status_shown: bool,
    said: HashSet<String>,
}

impl Console {
    pub(super) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), status_shown: false, said: HashSet::new() }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, text: &str) {
        self.end_status();
        say(text);
    }

    /// A line that stays, for programs that read it: nothing is put before it.
    pub(super) fn line(&mut self, text: &str) {
        self.end_status();
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A line that stays, unless the same was said before.
    pub(super) fn say_once(&mut self, text: String) {
        if !self.said.contains(&text) {
            self.say(&text);
            self.said.insert(text);
        }
    }

    /// How things are now: takes the place of the last status on a terminal, and is a line of its own elsewhere.
    pub(super) fn status(&mut self, text: &str) {
        let mut stderr = io::stderr().lock();
        if self.terminal {
            let _ = write!(stderr, "{CLEAR_LINE}{text}").and_then(|()| stderr.flush());
            self.status_shown = true;
        } else {
            let _ = writeln!(stderr, "{text}");
        }
    }

    /// Removes a status that is still shown.
    pub(super) fn end_status(&mut self) {
        if std::mem::take(&mut self.status_shown) {
            let _ = write!(io::stderr().lock(), "{CLEAR_LINE}");
        }
    }
}
