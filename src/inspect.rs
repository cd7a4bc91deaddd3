//! A recording for people: registers by their names, messages to the PF in words, times since the function was opened.
//!
//! Nothing here knows a device: what a driver's registers and messages are called comes from its `Language`, of which `registry.rs` has one for
//! each.

mod dictionary;
mod mailbox;
mod replay;
#[cfg(test)]
mod tests;

pub(crate) use dictionary::{Language, Registers};
pub(crate) use mailbox::MailboxWords;
pub use replay::{compare_model, describe_model, describe_replay, replay};

use dictionary::Dictionary;
use mailbox::Talk;
use std::fmt;
use vfwire_recorder::{Access, Call, CallKind, Operation, Recording, StartShape, Step, What};

/// A recording as lines for people.
pub fn describe(recording: &Recording) -> String {
    let mut page = Page::of(recording);
    page.head(recording);
    recording.calls.iter().for_each(|call| page.call(call));
    page.lines.join("\n")
}

struct Page {
    dictionary: Dictionary,
    lines: Vec<String>,
}

impl Page {
    fn of(recording: &Recording) -> Self {
        Self { dictionary: Dictionary::of(recording), lines: Vec::new() }
    }

    fn head(&mut self, recording: &Recording) {
        let port = &recording.port;
        let driver = if port.driver.is_empty() { "no driver" } else { &port.driver };
        self.lines.push(format!("{}: {driver}, {}, {} calls", port.address, port.id, recording.calls.len()));
        if recording.lost_calls() != 0 {
            self.lines.push(format!("{} more calls had to make room", recording.lost_calls()));
        }
    }

    /// A line of what happened at a time, nanoseconds since the function was opened.
    fn at(&mut self, at_ns: u64, text: impl fmt::Display) {
        self.lines.push(format!("{} {text}", Seconds(at_ns)));
    }

    /// A line of what it meant.
    fn note(&mut self, text: impl fmt::Display) {
        self.lines.push(format!("{:16} {text}", ""));
    }

    fn call(&mut self, call: &Call) {
        if call.lost_before != 0 {
            self.note(format_args!("… {} calls had to make room", call.lost_before));
        }
        let times = match call.times {
            1 => String::new(),
            times => format!(" ({times} times with nothing to say; this is the last)"),
        };
        self.at(call.at_ns, format_args!("{}{times}", asked(&call.kind)));
        let mut talk = Talk::new(self.dictionary.mailbox());
        for (at, step) in call.steps.iter().enumerate() {
            if call.lost_steps != 0 && at == vfwire_recorder::recording::FIRST_STEPS {
                self.note(format_args!("  … {} steps had to make room", call.lost_steps));
            }
            self.step(step, &mut talk);
        }
        talk.end().into_iter().for_each(|line| self.note(line));
        match &call.outcome {
            Some(outcome) => self.note(format_args!("= {}", outcome.text)),
            None if matches!(call.kind, CallKind::Close) => {}
            None => self.note("= did not return"),
        }
    }

    fn step(&mut self, step: &Step, talk: &mut Talk) {
        let (taken, said) = talk.hear(&step.what);
        said.into_iter().for_each(|line| self.note(line));
        if !taken {
            self.at(step.at_ns, format_args!("  {}", self.what(&step.what)));
        }
    }

    fn what(&self, what: &What) -> String {
        match what {
            What::Read { access, times } => {
                let times = if *times == 1 { String::new() } else { format!("  ({times} times)") };
                format!("read  {}{times}", self.access(access))
            }
            What::Write(access) => format!("write {}", self.access(access)),
            What::Bar { index, len_bytes } => format!("BAR {index} mapped: {len_bytes} bytes"),
            What::Dma { iova, len_bytes } => format!("DMA memory: {len_bytes} bytes at {iova:#x}"),
            What::Reset => "function-level reset".to_owned(),
            What::Event(event) => format!("event of the bus: {event:?}"),
            What::Failed(failure) => {
                let operation = match failure.operation {
                    Operation::ConfigRead { offset, .. } => format!("reading config {offset:#x}"),
                    Operation::ConfigWrite { offset, .. } => format!("writing config {offset:#x}"),
                    Operation::Bar(index) => format!("mapping BAR {index}"),
                    Operation::Reset => "function-level reset".to_owned(),
                    Operation::Dma { len_bytes } => format!("DMA memory of {len_bytes} bytes"),
                };
                format!("{operation} failed: {}", failure.text)
            }
        }
    }

    fn access(&self, access: &Access) -> String {
        let flags = self.dictionary.mailbox().and_then(|mailbox| mailbox.flags_of(access));
        let flags = flags.map_or_else(String::new, |flags| format!("  {flags}"));
        let digits = usize::from(access.width_bytes) * 2 + 2;
        format!("{:<16} {:#0digits$x}{flags}", self.dictionary.word(access), access.value)
    }
}

/// What an application asked for.
pub(crate) fn asked(kind: &CallKind) -> String {
    match kind {
        CallKind::Start(shape) => {
            let StartShape { queue_pairs, rx_desc, tx_desc, room_bytes, recovery_limit_ms, intent } = &**shape;
            format!(
                "start: {queue_pairs} queue pairs, rings of {rx_desc} and {tx_desc} descriptors, buffers of {room_bytes} bytes, {recovery_limit_ms} ms to recover, {intent:?}"
            )
        }
        CallKind::Apply(intent) => format!("apply: {intent:?}"),
        other => other.name().to_owned(),
    }
}

/// A time in seconds, to the microsecond.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0 / 1000;
        write!(f, "{:>7}.{:06} s", us / 1_000_000, us % 1_000_000)
    }
}
