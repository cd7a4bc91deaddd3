//! How a line on stderr looks: text for people, or (`--log-format json`) one JSON object a line for a cluster's log collector.
//!
//! An object is an event (`event`, and what belongs to it) or a message (`level` and `message`). Times are of `CLOCK_MONOTONIC`, which all
//! programs of a system share, in microseconds.

use rustix::time::{ClockId, clock_gettime};
use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    sync::OnceLock,
    time::Duration,
};

/// What stderr looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Format {
    /// Lines for people
    Text,
    /// One JSON object a line: every event, warning and error
    Json,
}

/// How much a message matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    Info,
    Warning,
    Error,
}

/// A process has one stderr, hence one format of it. Text until it is set.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// From now on lines look like this. The first choice stays.
pub(super) fn set_format(format: Format) {
    let _ = FORMAT.set(format);
}

pub(super) fn is_json() -> bool {
    FORMAT.get() == Some(&Format::Json)
}

/// The format that a command line asks for which cannot be understood as a whole: an error of usage is logged like any other.
pub(super) fn format_of(arguments: impl IntoIterator<Item = OsString>) -> Format {
    let json = value_of(arguments, "--log-format").is_some_and(|value| value == "json");
    if json { Format::Json } else { Format::Text }
}

/// The value of an option, as `--option value` or `--option=value`.
pub(super) fn value_of(arguments: impl IntoIterator<Item = OsString>, option: &str) -> Option<OsString> {
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == option {
            return arguments.next();
        }
        let value = argument.to_str().and_then(|text| text.strip_prefix(option)?.strip_prefix('='));
        if let Some(value) = value {
            return Some(OsStr::new(value).to_owned());
        }
    }
    None
}

/// Time of the system's monotonic clock.
pub(super) fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

pub(super) fn whole_us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[derive(serde::Serialize)]
struct Message<'a> {
    level: &'static str,
    message: &'a str,
    monotonic_us: u64,
}

/// Says something. Where stderr cannot be written, nobody listens.
pub(super) fn message(level: Level, text: &str) {
    line(&message_line(level, text));
}

/// As [`message`] says it.
pub(super) fn message_line(level: Level, text: &str) -> String {
    let level = match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    match serde_json::to_string(&Message { level, message: text, monotonic_us: whole_us(now()) }) {
        Ok(json) if is_json() => json,
        _ => format!("vfwire: {text}"),
    }
}

/// A line as it is, in one write, so that the lines of two threads do not mix.
pub(super) fn line(text: &str) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_format_is_found_in_any_command_line() {
        for text in ["forward --log-format json --nonsense", "--log-format=json fly", "fly --log-format=json"] {
            assert_eq!(format_of(words(text)), Format::Json, "{text}");
        }
        for text in ["forward", "forward --log-format", "forward --log-format text", "--log-formatjson", "--log-format=xml"] {
            assert_eq!(format_of(words(text)), Format::Text, "{text}");
        }
    }
}
