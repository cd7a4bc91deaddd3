//! A recording run again: against the driver of today, and against the simulated model of the device.

use super::{Dictionary, Page, asked};
use crate::{
    Address, AddressError, OpenError,
    address::SimAddress,
    host::DynPort,
    registry::{self, driver_of, language_of},
};
use vfwire_core::error::PortError;
use vfwire_recorder::{
    FlightRecorder, Recording,
    replay::{
        Report,
        drive::{Answered, drive},
    },
};
use vfwire_sim::{Link, SimHost};
use vfwire_spec::net::MacAddr;

/// Runs today's driver on what the device answered then, and says where it does something else than it did.
///
/// # Errors
/// [`OpenError::NoDriver`] where no driver knows the function, [`OpenError::Port`] where its driver cannot be run on a recording.
pub fn replay(recording: &Recording) -> Result<Report, OpenError> {
    let port = &recording.port;
    if driver_of(port.id).is_none() {
        return Err(OpenError::NoDriver { address: port.address.clone(), id: port.id });
    }
    if let Some(why) = language_of(&port.driver).and_then(|language| language.not_replayed) {
        return Err(OpenError::Port { address: port.address.clone(), source: PortError::State(why) });
    }
    let probe = |function| match registry::probe(function, &FlightRecorder::default()) {
        Ok(port) => Ok(DynPort::of(port)),
        Err(OpenError::Port { source, .. }) => Err(source),
        Err(_) => Err(PortError::State("no driver knows this function")),
    };
    Ok(vfwire_recorder::replay::replay(recording, &SimHost::new().dma(), probe))
}

/// Drives a simulated device as the recorded one was driven, and says where it answers something else than that did. Without an address it
/// is the model of the recorded function, with the address that this had.
///
/// # Errors
/// [`OpenError`] where there is no such model.
pub fn compare_model(recording: &Recording, address: Option<&SimAddress>) -> Result<Answered, OpenError> {
    let own;
    let address = match address {
        Some(address) => address,
        None => {
            own = model_of(recording)?;
            &own
        }
    };
    let macs = || recording.calls.iter().filter_map(|call| call.outcome.as_ref()?.mac).filter(|mac| mac.is_unicast());
    // The last: a port gets its address at its start.
    let mac = address.mac.or_else(|| macs().next_back()).unwrap_or(MacAddr([2, 0, 0, 0, 0, 1]));
    let host = SimHost::new();
    // Nobody is at the other end.
    let (wire, _end) = Link::pair(1);
    let function = registry::plug(address, mac, (&host, "the model"), wire)?;
    Ok(drive(recording, &function, || {
        host.step();
    }))
}

/// The recorded simulated function, or the plain one of the recorded driver.
fn model_of(recording: &Recording) -> Result<SimAddress, OpenError> {
    let port = &recording.port;
    let recorded = port.address.split('#').next().unwrap_or_default();
    let text = if recorded.starts_with("sim:") { recorded.to_owned() } else { format!("sim:{}", port.driver) };
    match text.parse()? {
        Address::Sim(address) => Ok(address),
        Address::Pci(_) => Err(OpenError::Address(AddressError::new(format!("`{text}` is no simulated function")))),
    }
}

/// What a replay saw, for people.
pub fn describe_replay(recording: &Recording, report: &Report) -> String {
    let page = Page::of(recording);
    let mut lines = vec![match report.differences.len() {
        0 => format!("{}: {} calls were replayed, and the driver did what was recorded", recording.port.address, report.calls),
        calls => format!(
            "{}: {} calls were replayed, and in {calls} the driver did something else (- recorded, + today)",
            recording.port.address, report.calls
        ),
    }];
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    for difference in &report.differences {
        if let Some(call) = recording.calls.get(difference.call) {
            lines.push(format!("call {} at {}: {}", difference.call, super::Seconds(call.at_ns).to_string().trim(), asked(&call.kind)));
        }
        for hunk in &difference.hunks {
            lines.extend(hunk.after.iter().map(|what| format!("    {}", page.what(what))));
            lines.extend(hunk.recorded.iter().map(|what| format!("  - {}", page.what(what))));
            lines.extend(hunk.today.iter().map(|what| format!("  + {}", page.what(what))));
        }
        if let Some([recorded, today]) = &difference.outcomes {
            lines.push(format!("  - = {recorded}"));
            lines.push(format!("  + = {today}"));
        }
    }
    lines.join("\n")
}

/// What a model answered, for people.
pub fn describe_model(recording: &Recording, answered: &Answered) -> String {
    let dictionary = Dictionary::of(recording);
    let Answered { reads, disagreements, notes } = answered;
    let others: u64 = disagreements.iter().map(|other| other.times).sum();
    let mut lines = vec![format!("{}: the model answered {} of {reads} reads as recorded", recording.port.address, reads - others)];
    lines.extend(notes.iter().map(|note| format!("note: {note}")));
    for other in disagreements {
        let digits = usize::from(other.recorded.width_bytes) * 2 + 2;
        let answer = other.answered.map_or_else(|| "nothing".to_owned(), |value| format!("{value:#0digits$x}"));
        lines.push(format!(
            "{:<16} recorded {:#0digits$x}, the model {answer} (first in call {}; {} times)",
            dictionary.word(&other.recorded),
            other.recorded.value,
            other.call,
            other.times
        ));
    }
    lines.join("\n")
}
