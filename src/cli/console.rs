//! What goes to stderr: lines that stay, and a status that on a terminal is redrawn in place.

use super::log::{self, Level};
use std::{
    collections::HashSet,
    io::{self, IsTerminal, Write},
};

/// Moves to the start of the line and clears it (ECMA-48, 8.3.41: EL).
const CLEAR_LINE: &str = "\r\x1b[K";

/// stderr while something runs.
pub(super) struct Console {
    terminal: bool,
    status_shown: bool,
    said: HashSet<String>,
    /// While a view has the terminal: what it is to show, and what is said when it is gone.
    held: Option<Vec<String>>,
}

/// Lines that are kept while a view has the terminal; the oldest go.
const HELD: usize = 1000;

impl Console {
    pub(super) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal() && !log::is_json(), status_shown: false, said: HashSet::new(), held: None }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, text: &str) {
        self.message(Level::Info, text);
    }

    /// A line that stays, of what somebody should do something about.
    pub(super) fn warn(&mut self, text: &str) {
        self.message(Level::Warning, text);
    }

    fn message(&mut self, level: Level, text: &str) {
        self.line(&log::message_line(level, text));
    }

    /// From now on a view has the terminal, and lines wait.
    pub(super) fn hold(&mut self) {
        self.end_status();
        self.held.get_or_insert_default();
    }

    /// The lines that wait.
    pub(super) fn held(&self) -> &[String] {
        self.held.as_deref().unwrap_or_default()
    }

    /// The terminal is free again: says what has waited.
    pub(super) fn release(&mut self) {
        self.held.take().into_iter().flatten().for_each(|line| log::line(&line));
    }

    /// A line that stays, for programs that read it: nothing is put before it.
    pub(super) fn line(&mut self, text: &str) {
        if let Some(held) = &mut self.held {
            if held.len() == HELD {
                held.remove(0);
            }
            held.push(text.to_owned());
            return;
        }
        self.end_status();
        log::line(text);
    }

    /// A warning, unless the same was given before.
    pub(super) fn warn_once(&mut self, text: String) {
        if !self.said.contains(&text) {
            self.warn(&text);
            self.said.insert(text);
        }
    }

    /// How things are now: takes the place of the last status on a terminal, and is a line of its own elsewhere.
    pub(super) fn status(&mut self, text: &str) {
        if self.held.is_some() {
            return;
        }
        if self.terminal {
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "{CLEAR_LINE}{text}").and_then(|()| stderr.flush());
            self.status_shown = true;
        } else {
            log::line(text);
        }
    }

    /// Removes a status that is still shown.
    pub(super) fn end_status(&mut self) {
        if std::mem::take(&mut self.status_shown) {
            let _ = write!(io::stderr().lock(), "{CLEAR_LINE}");
        }
    }
}

impl Drop for Console {
    /// An error ends a view, too.
    fn drop(&mut self) {
        self.release();
    }
}
