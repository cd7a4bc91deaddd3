//! The termination message: what a cluster shows of a container that has ended. One JSON object, in a file that is there already.
//!
//! Kubernetes makes `/dev/termination-log` and reads at most [`MOST_BYTES`] of it when the process is gone (Pod, `terminationMessagePath`).
//! Outside a pod there is no such file, and none is made. The file is opened before anything else: a command in its sandbox opens nothing.

use super::{Failure, life::Life, log, summary::Summary};
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Where Kubernetes looks unless told otherwise.
const DEFAULT: &str = "/dev/termination-log";
/// What Kubernetes keeps of a message.
const MOST_BYTES: usize = 4096;
/// Bytes of an error's text that are kept: even where each becomes an escape of six characters, the message stays below [`MOST_BYTES`].
const ERROR_BYTES: usize = 600;

/// The object, in this order.
#[derive(serde::Serialize)]
pub(super) struct Message<'a> {
    /// `ok` or `failed`.
    verdict: &'static str,
    exit_code: u8,
    /// What ended a run that went well: a signal's name, or that the time was over.
    ended_by: Option<&'static str>,
    error: Option<&'a str>,
    /// From the first queue that ran until something asked to end it was ready; false where it failed before.
    was_ready: bool,
    /// From the wish to end until ports were closed and memory was unmapped.
    ending_us: Option<u64>,
    summary: Option<&'a Summary>,
}

impl<'a> Message<'a> {
    /// Of a command that is over but for this.
    pub(super) fn of(result: &'a Result<&'static str, Failure>, life: &Life, summary: Option<&'a Summary>) -> Self {
        let ending_us = life.ending().map(log::whole_us);
        Self { was_ready: life.to_forwarding().is_some(), ending_us, summary, ..Self::in_short(result) }
    }

    /// Of a command that did not even begin.
    fn in_short(result: &'a Result<&'static str, Failure>) -> Self {
        let (verdict, exit_code, ended_by, error) = match result {
            Ok(ended_by) => ("ok", 0, Some(*ended_by), None),
            Err(failure) => ("failed", failure.code, None, Some(shortened(&failure.text))),
        };
        Self { verdict, exit_code, ended_by, error, was_ready: false, ending_us: None, summary: None }
    }

    /// One line of JSON that Kubernetes keeps whole: where it would not, the summary goes, which is on stdout too.
    fn to_json(&self) -> Result<String, serde_json::Error> {
        let whole = serde_json::to_string(self)?;
        if whole.len() < MOST_BYTES { Ok(whole) } else { serde_json::to_string(&Self { summary: None, ..*self }) }
    }
}

/// The beginning of a text.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_BYTES)]
}

/// The open file, if there is one.
pub(super) struct TerminationLog(Option<(PathBuf, File)>);

impl TerminationLog {
    /// Opens the file that was asked for, or the default one where it exists. Nothing is created.
    pub(super) fn open(asked: Option<&Path>) -> Result<Self, Failure> {
        // A pipe without a reader is an error, not a wait.
        let open = |path: &Path| OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
        let path = asked.unwrap_or(Path::new(DEFAULT));
        match open(path) {
            Ok(file) => Ok(Self(Some((path.to_owned(), file)))),
            Err(error) if asked.is_some() => Err(Failure::usage(format!(
                "--termination-log {}: {error}: name a file that exists and can be written; none is created",
                path.display()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(None)),
            Err(error) => {
                log::message(log::Level::Warning, &format!("no termination message, since {DEFAULT} cannot be written: {error}"));
                Ok(Self(None))
            }
        }
    }

    /// Writes the message in place of what the file held.
    pub(super) fn write(self, message: &Message<'_>) {
        let Some((path, mut file)) = self.0 else { return };
        let written = message.to_json().map_err(io::Error::from).and_then(|json| {
            // What is no regular file has no length to be set.
            let _ = file.set_len(0);
            file.write_all(json.as_bytes())
        });
        if let Err(error) = written {
            log::message(log::Level::Warning, &format!("the termination message was not written to {}: {error}", path.display()));
        }
    }
}

/// The message of a command line that cannot be understood, where it is one of a command that leaves messages.
pub(super) fn of_misuse(arguments: &[OsString], failure: Failure) {
    if !arguments.iter().any(|argument| argument == "forward") {
        return;
    }
    let asked = log::value_of(arguments.iter().cloned(), "--termination-log");
    // Where the file cannot be opened, stderr has the error that matters.
    if let Ok(file) = TerminationLog::open(asked.as_deref().map(Path::new)) {
        file.write(&Message::in_short(&Err(failure)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_error_the_message_is_whole() {
        for text in ["\u{1}".repeat(5000), "é\u{1}".repeat(3000), "short".to_owned(), String::new()] {
            let result = Err(Failure::failed(&text));
            let json = Message::in_short(&result).to_json().expect("JSON");
            assert!(json.len() < MOST_BYTES, "{} bytes", json.len());
            let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            let kept = value["error"].as_str().expect("a text");
            assert!(text.starts_with(kept) && (kept.len() == text.len() || kept.len() > ERROR_BYTES - 4), "{kept}");
            assert_eq!((&value["verdict"], &value["exit_code"]), (&"failed".into(), &1.into()));
        }
    }
}
