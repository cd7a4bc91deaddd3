//! Looks after one port of `vfwire forward`: says what happens to it, and measures what a reset took.
//!
//! Everything here is the control thread's: it reads counters that the workers keep anyway, so the packet path pays nothing for it.

use super::{
    Failure,
    console::Console,
    log::{self, now, whole_us},
    ports::Started,
};
use hdrhistogram::Histogram;
use std::time::Duration;
use vfwire::{Granted, Port, PortError, PortEvent, forward::LaneReader};

/// Events of one port that are said at a time.
const EVENTS_MAX: usize = 16;
/// How often a port in reset is looked after, at first and after [`HURRY`].
const PERIOD_HURRIED: Duration = Duration::from_millis(1);
const PERIOD_IN_RESET: Duration = Duration::from_millis(10);
/// Most resets are over by then; a PF that is down may stay so for days.
const HURRY: Duration = Duration::from_secs(2);
/// The histogram's range in microseconds, to an hour; what takes longer counts as that.
const LONGEST_US: u64 = 3_600_000_000;
/// Significant digits of the histogram: 1 %.
const DIGITS: u8 = 2;

/// An event as `--json` and `--log-format json` print it, a line each on stderr. Times are of `CLOCK_MONOTONIC`, in microseconds.
#[derive(Default, serde::Serialize)]
struct Line<'a> {
    event: &'static str,
    port: &'a str,
    monotonic_us: u64,
    /// When the port was last seen to work, where it does not any more: what it lost, it lost after this.
    #[serde(skip_serializing_if = "Option::is_none")]
    well_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mbps: Option<u32>,
    /// The port's own address from now on, where the PF has changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_mac: Option<String>,
    /// What was asked for and is not in force, each with the remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_to_first_frame_us: Option<u64>,
}

/// A reset, from its event to the first frame that is received after it.
#[derive(Clone, Copy)]
struct Outage {
    since: Duration,
    /// Frames received before it, once the port has recovered.
    recovered_at_frame: Option<u64>,
}

/// What is known of one port.
pub(super) struct Watch {
    json: bool,
    well: Duration,
    outage: Option<Outage>,
    reset_to_first_frame_us: Histogram<u64>,
}

impl Watch {
    pub(super) fn new(json: bool) -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("these bounds are valid");
        Self { json: json || log::is_json(), well: now(), outage: None, reset_to_first_frame_us: histogram }
    }

    /// From the event of a reset to the first frame received after the recovery, in microseconds.
    pub(super) fn reset_to_first_frame_us(&self) -> &Histogram<u64> {
        &self.reset_to_first_frame_us
    }

    /// How soon a port in reset wants to be looked after again: looking often makes an outage shorter, and its end known better.
    pub(super) fn urgent_period(&self) -> Option<Duration> {
        let is_new = |outage: Outage| now().saturating_sub(outage.since) < HURRY;
        self.outage.map(|outage| if is_new(outage) { PERIOD_HURRIED } else { PERIOD_IN_RESET })
    }

    /// Lets the port do what it is due, and says what happened. An error where it is gone. `lanes` receive from it.
    pub(super) fn look_after(&mut self, started: &mut Started, lanes: &[LaneReader], console: &mut Console) -> Result<(), Failure> {
        let frames_of = || lanes.iter().map(|lane| lane.read().frames).sum::<u64>();
        for _ in 0..EVENTS_MAX {
            self.look_for_first_frame(started.address(), frames_of(), console);
            // Before the port looks: what it finds then is later.
            let (looked, frames) = (now(), frames_of());
            let result = started.port.poll_control();
            let address = started.address().to_owned();
            match result {
                Ok(None) => {
                    if self.outage.is_none_or(|outage| outage.recovered_at_frame.is_some()) {
                        self.well = looked;
                    }
                    return Ok(());
                }
                Ok(Some(event)) => {
                    if let PortEvent::Recovered { granted: Granted { new_mac: Some(mac), .. } } = &event {
                        started.station.moves(*mac);
                    }
                    self.take(&address, event, frames, console)?;
                }
                Err(error) => {
                    self.trouble(&address, &error, console);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, address: &str, event: PortEvent, frames: u64, console: &mut Console) -> Result<(), Failure> {
        let at = now();
        let line = Line { port: address, monotonic_us: whole_us(at), ..Line::default() };
        let well_us = Some(whole_us(self.well));
        match event {
            PortEvent::LinkUp { mbps } => {
                let speed = if mbps == 0 { String::new() } else { format!(" at {mbps} Mbit/s") };
                self.say(Line { event: "LinkUp", mbps: Some(mbps), ..line }, &speed, console);
            }
            PortEvent::LinkDown => self.say(Line { event: "LinkDown", well_us, ..line }, "", console),
            PortEvent::ResetStarted { cause } => {
                // A reset before the last one's first frame prolongs the same outage.
                let since = self.outage.map_or(at, |outage| outage.since);
                self.outage = Some(Outage { since, recovered_at_frame: None });
                let line = Line { event: "ResetStarted", well_us, cause: Some(cause.to_string()), ..line };
                self.say(line, &format!(": {cause}"), console);
            }
            PortEvent::Recovered { granted } => {
                self.well = at;
                if let Some(outage) = &mut self.outage {
                    outage.recovered_at_frame = Some(frames);
                }
                self.recovered(line, &granted, console);
            }
            PortEvent::Failed { step, cause } => {
                return Err(self.ended(Line { event: "Failed", well_us, cause: Some(format!("{step}: {cause}")), ..line }, console));
            }
            PortEvent::Removed { cause } => {
                return Err(self.ended(Line { event: "Removed", well_us, cause: Some(cause.to_string()), ..line }, console));
            }
            other => console.say(&format!("{address}: {other:?}")),
        }
        Ok(())
    }

    /// Nothing comes after this event.
    fn ended(&self, line: Line<'_>, console: &mut Console) -> Failure {
        let failure = Failure::failed(format!("{}: {}: {}", line.port, line.event, line.cause.as_deref().unwrap_or_default()));
        if self.json {
            self.say(line, "", console);
        }
        failure
    }

    fn recovered(&mut self, line: Line<'_>, granted: &Granted, console: &mut Console) {
        let address = line.port;
        let missing: Vec<_> = granted.missing().map(ToString::to_string).collect();
        if self.json {
            let new_mac = granted.new_mac.map(|mac| mac.to_string());
            self.say(Line { event: "Recovered", new_mac, missing: Some(missing), ..line }, "", console);
            return;
        }
        self.say(Line { event: "Recovered", ..line }, "", console);
        if let Some(mac) = granted.new_mac {
            console.say(&format!("{address}: its address is now {mac}: the PF changed it"));
        }
        missing.into_iter().for_each(|missing| console.warn_once(format!("{address}: {missing}")));
    }

    fn look_for_first_frame(&mut self, address: &str, frames: u64, console: &mut Console) {
        let Some(Outage { since, recovered_at_frame: Some(before) }) = self.outage else { return };
        if frames == before {
            return;
        }
        let at = now();
        let took_us = whole_us(at.saturating_sub(since));
        self.outage = None;
        self.reset_to_first_frame_us.saturating_record(took_us);
        let line = Line {
            event: "FirstFrame",
            port: address,
            monotonic_us: whole_us(at),
            reset_to_first_frame_us: Some(took_us),
            ..Line::default()
        };
        self.say(line, &format!(" {:.1} ms after ResetStarted", took_us as f64 / 1e3), console);
    }

    /// The port tries again by itself; the same news ten times a second helps nobody.
    fn trouble(&self, address: &str, error: &PortError, console: &mut Console) {
        console.warn_once(format!("{address}: {error}"));
    }

    fn say(&self, line: Line<'_>, detail: &str, console: &mut Console) {
        match serde_json::to_string(&line) {
            Ok(json) if self.json => console.line(&json),
            _ => console.say(&format!("{}: {}{detail}", line.port, line.event)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESET: PortEvent = PortEvent::ResetStarted { cause: "for the test" };

    fn after(events: impl IntoIterator<Item = (PortEvent, u64)>) -> Watch {
        let (mut watch, mut console) = (Watch::new(false), Console::new());
        for (event, frames) in events {
            watch.take("port", event, frames, &mut console).expect("the port is still there");
        }
        watch
    }

    fn recovered() -> PortEvent {
        PortEvent::Recovered { granted: Granted::default() }
    }

    #[test]
    fn a_reset_is_measured_to_the_first_frame_after_the_recovery() {
        let mut watch = after([(RESET, 7), (recovered(), 9)]);
        let mut console = Console::new();
        watch.look_for_first_frame("port", 9, &mut console);
        assert_eq!((watch.reset_to_first_frame_us.len(), watch.urgent_period().is_some()), (0, true), "those were received before");
        watch.look_for_first_frame("port", 10, &mut console);
        watch.look_for_first_frame("port", 11, &mut console);
        assert_eq!((watch.reset_to_first_frame_us.len(), watch.urgent_period()), (1, None));
    }

    #[test]
    fn a_reset_before_the_first_frame_prolongs_the_outage() {
        let mut watch = after([(RESET, 0), (recovered(), 0)]);
        let since = watch.outage.map(|outage| outage.since);
        let mut console = Console::new();
        watch.take("port", RESET, 0, &mut console).expect("the port is still there");
        watch.look_for_first_frame("port", 1, &mut console);
        assert_eq!(watch.outage.map(|outage| outage.since), since, "frames in the middle of a reset end nothing");
    }

    #[test]
    fn what_a_port_ends_with_is_an_error() {
        let mut console = Console::new();
        let error = after([]).take("port", PortEvent::Removed { cause: "gone" }, 0, &mut console).expect_err("the port is gone");
        assert_eq!(error.text, "port: Removed: gone");
    }

    #[test]
    fn a_line_has_what_the_event_has() {
        let line = Line { event: "LinkUp", port: "sim:igbvf", monotonic_us: 5, mbps: Some(1000), ..Line::default() };
        let json = serde_json::to_string(&line).expect("a line is JSON");
        assert_eq!(json, r#"{"event":"LinkUp","port":"sim:igbvf","monotonic_us":5,"mbps":1000}"#);
    }
}
