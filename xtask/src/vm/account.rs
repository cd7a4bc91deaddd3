//! The account of a load: no frame is missing but those that were under way while the port reported that it did not work.
//!
//! **When the port did not work** is what it said: from `well_us` of `ResetStarted` (the last time that its control thread found it well) to
//! `FirstFrame`, and from `well_us` of `LinkDown` to `LinkUp`. Those are times of the guest's clock; [`Clock`] says how wrong they may be here.
//!
//! **When a frame was under way** is from the moment it was offered to the wire until it should have come back. It may have waited in the
//! socket between us and the machine until as many frames as that holds were taken after it; and then in the device's rings, for as long as
//! the slowest frame did before anything happened to the port, or for a turn of the emulation, in which one CPU of the guest runs and the
//! other does not.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::clock::Clock;
use super::forwarder::Event;
use super::load::{Journal, Sent};

/// How long single-threaded emulation runs one CPU before it gives another a turn.
const TURN: Duration = Duration::from_millis(100);

/// A time in which a port reported that it did not work, on the host's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    start: Instant,
    /// Nothing: to the end.
    end: Option<Instant>,
}

impl Interval {
    /// How long it was; zero where it did not end.
    pub(super) fn length(&self) -> Duration {
        self.end.map_or(Duration::ZERO, |end| end.saturating_duration_since(self.start))
    }
}

/// The times in which a port was in reset, without link, or gone.
pub(super) fn intervals(events: &[Event], clock: &Clock) -> Result<Vec<Interval>> {
    let of = |begin: &[&str], end: &str| {
        let mut intervals: Vec<Interval> = Vec::new();
        for event in events {
            let open = intervals.last_mut().filter(|interval| interval.end.is_none());
            match open {
                Some(interval) if event.is(end) => interval.end = Some(clock.host_time(event.time("monotonic_us")?)),
                None if begin.iter().any(|begin| event.is(begin)) => {
                    intervals.push(Interval { start: clock.host_time(event.time("well_us")?), end: None });
                }
                _ => {}
            }
        }
        Ok::<_, anyhow::Error>(intervals)
    };
    Ok([of(&["ResetStarted", "Removed"], "FirstFrame")?, of(&["LinkDown"], "LinkUp")?].concat())
}

/// An error where a frame is missing that was under way only while the port said that it worked. `error` is that of the clock.
pub(super) fn close(journal: &Journal, intervals: &[Interval], error: Duration) -> Result<()> {
    let Some(last) = journal.sent.last() else { bail!("nothing was sent") };
    let in_the_rings = journal.slowest.max(TURN);
    let unexcused = |sequence: &&u32| {
        let at = **sequence as usize;
        let sent = journal.sent[at];
        let taken = journal.sent.get(at + journal.waiting_max).unwrap_or(last).done;
        let (from, to) = (sent.begun, taken + in_the_rings);
        !intervals.iter().any(|interval| to + error >= interval.start && interval.end.is_none_or(|end| from <= end + error))
    };
    let lost: Vec<_> = journal.missing.iter().filter(unexcused).collect();
    let Some(first) = lost.first() else { return Ok(()) };
    let Sent { begun, .. } = journal.sent[**first as usize];
    let away = |interval: &Interval| match interval.end {
        Some(end) if end < begun => format!("{:?} after the end of a reported outage", begun - end),
        _ => format!("{:?} before the begin of a reported outage", interval.start.saturating_duration_since(begun)),
    };
    bail!(
        "of {} missing frames, {} were lost while the port said that it worked, first frame {first} of {}: {}",
        journal.missing.len(),
        lost.len(),
        journal.sent.len(),
        intervals.iter().map(away).collect::<Vec<_>>().join(", "),
    )
}

/// What all rounds of an event amount to.
#[derive(Default)]
pub(super) struct Totals {
    sent: usize,
    missing: usize,
}

impl Totals {
    /// An error where traffic did not flow at the end of a load.
    pub(super) fn add(&mut self, journal: &Journal, last_frames: usize) -> Result<()> {
        let flowing = journal.sent.len().saturating_sub(last_frames);
        let missing = journal.missing.iter().filter(|sequence| **sequence as usize >= flowing).count();
        ensure!(missing == 0, "{missing} of the last {last_frames} frames are missing");
        self.sent += journal.sent.len();
        self.missing += journal.missing.len();
        Ok(())
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} frames, {} missing, all while the port said that it did not run", self.sent, self.missing)
    }
}

#[cfg(test)]
mod tests {
    use super::{Interval, TURN, close};
    use crate::vm::load::{Journal, Sent};
    use std::time::{Duration, Instant};

    const WAITING: usize = 12;
    const MS: Duration = Duration::from_millis(1);

    /// A frame each 10 ms for 10 s, and an outage in the fifth second.
    fn closes(missing: &[u32]) -> Result<(), String> {
        let start = Instant::now();
        let sent = (0..1000).map(|at| Sent { begun: start + 10 * at * MS, done: start + (10 * at + 1) * MS }).collect();
        let journal = Journal { sent, missing: missing.to_vec(), slowest: Duration::ZERO, waiting_max: WAITING };
        let outage = Interval { start: start + 4000 * MS, end: Some(start + 5000 * MS) };
        close(&journal, &[outage], 5 * MS).map_err(|error| error.to_string())
    }

    #[test]
    fn frames_may_be_missing_while_the_port_said_that_it_did_not_run() {
        assert_eq!(closes(&[]), Ok(()));
        assert_eq!(closes(&(400..=500).collect::<Vec<_>>()), Ok(()));
    }

    #[test]
    fn a_frame_may_have_waited_before_the_outage() {
        let waits = u32::try_from(WAITING).unwrap() + u32::try_from(TURN.as_millis()).unwrap() / 10;
        assert_eq!(closes(&[400 - waits]), Ok(()));
        assert!(closes(&[400 - waits - 2]).unwrap_err().contains("before the begin"));
    }

    #[test]
    fn a_frame_that_was_sent_after_the_outage_is_lost() {
        assert!(closes(&[450, 502]).unwrap_err().contains("1 were lost"));
        assert!(closes(&[999]).unwrap_err().contains("after the end"));
    }
}
