//! Writing.

use super::{MAGIC, NONE};
use crate::recording::{Access, Call, CallKind, Failure, Operation, Recording, StartShape, Step, What};
use std::{fmt, fmt::Write};
use vfwire_core::{
    bus::BusEvent,
    port::{Intent, Rss},
};

/// The text of a file that holds these recordings.
pub fn encode(recordings: &[Recording]) -> String {
    let mut lines = vec![MAGIC.to_owned()];
    for recording in recordings {
        let first = lines.len();
        let port = &recording.port;
        let driver = if port.driver.is_empty() { NONE } else { &port.driver };
        lines.push(format!("port {driver} {} {}", port.id, port.address));
        recording.calls.iter().for_each(|call| push_call(&mut lines, call));
        lines.push(format!("end {}", lines.len() - first - 1));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn push_call(lines: &mut Vec<String>, call: &Call) {
    let Call { at_ns, kind, times, lost_before, lost_steps, steps, outcome } = call;
    let arguments = match kind {
        CallKind::Start(shape) => start(shape),
        CallKind::Apply(wanted) => intent(wanted),
        CallKind::Probe | CallKind::Stop | CallKind::Poll | CallKind::Stats | CallKind::Rss | CallKind::Close => String::new(),
    };
    lines.push(format!("call {at_ns} times={times} lost={lost_before} lost-steps={lost_steps} {}{arguments}", kind.name()));
    lines.extend(steps.iter().map(step));
    if let Some(outcome) = outcome {
        let quiet = if outcome.quiet { "quiet" } else { "said" };
        lines.push(format!("done {quiet} mac={} {}", optional(outcome.mac), outcome.text));
    }
}

fn start(shape: &StartShape) -> String {
    let StartShape { queue_pairs, rx_desc, tx_desc, room_bytes, recovery_limit_ms, intent: wanted } = shape;
    format!(" pairs={queue_pairs} rx-desc={rx_desc} tx-desc={tx_desc} room={room_bytes} recovery-ms={recovery_limit_ms}{}", intent(wanted))
}

fn intent(wanted: &Intent) -> String {
    // Every field by its name: a new one is not to be forgotten here.
    let Intent { mac, mtu_bytes, vlans, multicast, all_multicast, promiscuous, rss, offloads } = wanted;
    format!(
        " mac={} mtu={mtu_bytes} vlans={} multicast={} all-multicast={} promiscuous={} rss={} offloads={}",
        optional(*mac),
        list(vlans),
        list(multicast),
        switch(*all_multicast),
        switch(*promiscuous),
        optional(rss.as_ref().map(spread)),
        list(offloads.iter().map(|offload| format!("{offload:?}")))
    )
}

/// Key and table, as hexadecimal bytes.
fn spread(rss: &Rss) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{}:{}", hex(&rss.key), hex(&rss.table))
}

fn optional(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

fn list(values: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    if values.is_empty() { NONE.to_owned() } else { values.join(",") }
}

fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn step(step: &Step) -> String {
    let mut line = format!("{} ", step.at_ns);
    // Writing to a string cannot fail.
    let _ = match &step.what {
        What::Read { access, times: 1 } => write!(line, "read {}", word(access)),
        What::Read { access, times } => write!(line, "read {} x{times}", word(access)),
        What::Write(access) => write!(line, "write {}", word(access)),
        What::Bar { index, len_bytes } => write!(line, "bar {index} {len_bytes}"),
        What::Dma { iova, len_bytes } => write!(line, "dma {iova:#x} {len_bytes}"),
        What::Reset => write!(line, "reset"),
        What::Event(event) => write!(line, "event {}", event_name(*event)),
        What::Failed(failure) => write!(line, "failed {}", failed(failure)),
    };
    line
}

fn word(access: &Access) -> String {
    let Access { space, width_bytes, offset, value } = access;
    format!("{space} {offset:#06x} {width_bytes} {value:#0digits$x}", digits = usize::from(*width_bytes) * 2 + 2)
}

fn event_name(event: BusEvent) -> &'static str {
    match event {
        BusEvent::RemoveRequested => "remove-requested",
        // An event that a later version knows ends the port as this one does.
        _ => "error",
    }
}

fn failed(failure: &Failure) -> String {
    let operation = match failure.operation {
        Operation::ConfigRead { offset, width_bytes } => format!("config-read {offset} {width_bytes}"),
        Operation::ConfigWrite { offset, width_bytes } => format!("config-write {offset} {width_bytes}"),
        Operation::Bar(index) => format!("bar {index}"),
        Operation::Reset => "reset".to_owned(),
        Operation::Dma { len_bytes } => format!("dma {len_bytes}"),
    };
    format!("{operation} {} {}", if failure.gone { "gone" } else { "other" }, failure.text)
}
