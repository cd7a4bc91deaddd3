//! The stages of a command that runs: it opens, forwards, and ends; and how long the way to the first frame was.
//!
//! **Readiness** is one value, [`Phase::Ready`] exactly while all queues run and nobody has asked to end. It falls before anything is taken
//! down, so that whoever asks (`--metrics` holds a clone of it) hears of an end before frames stop.

use super::console::Console;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};
use vfwire::forward::LaneReader;

/// The line that says that all queues run.
const READY: &str = "forwarding";
/// How often the first frame is looked for, and for how long: later it is not the start that takes its time.
const PERIOD: Duration = Duration::from_millis(1);
const HURRY: Duration = Duration::from_secs(2);

/// Where a command is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Not all queues run yet.
    Starting,
    /// All queues run, and nobody has asked to end.
    Ready,
    /// Something has asked to end.
    Ending,
}

/// The phase of a life, for any thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness(Arc<AtomicU8>);

impl Readiness {
    const PHASES: [Phase; 3] = [Phase::Starting, Phase::Ready, Phase::Ending];

    pub(super) fn phase(&self) -> Phase {
        Self::PHASES[usize::from(self.0.load(Ordering::Acquire))]
    }

    pub(super) fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }
}

/// One life of a command.
pub(super) struct Life {
    begun: Instant,
    readiness: Readiness,
    forwarding: Option<Duration>,
    first_frame: Option<Duration>,
    ending: Option<Instant>,
}

impl Life {
    /// Of a command that began then.
    pub(super) fn since(begun: Instant) -> Self {
        Self { begun, readiness: Readiness::default(), forwarding: None, first_frame: None, ending: None }
    }

    /// All queues run.
    pub(super) fn forwards(&mut self, console: &mut Console) {
        self.forwarding = Some(self.begun.elapsed());
        self.readiness.set(Phase::Ready);
        console.say(READY);
    }

    /// Something asks to end, which has not been begun.
    pub(super) fn ends(&mut self, why: &str, console: &mut Console) {
        self.readiness.set(Phase::Ending);
        self.ending = Some(Instant::now());
        console.say(&format!("no longer ready: {why}"));
    }

    /// Its phase, for whoever asks from another thread.
    pub(super) fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Whether frames are forwarded.
    fn is_ready(&self) -> bool {
        self.readiness.phase() == Phase::Ready
    }

    /// Notes the first frame received. `lanes` are all of them.
    pub(super) fn look_for_first_frame(&mut self, lanes: &[LaneReader]) {
        if self.first_frame.is_none() && lanes.iter().any(|lane| lane.read().frames > 0) {
            self.first_frame = Some(self.begun.elapsed());
        }
    }

    /// How soon to look again, while the first frame is due.
    pub(super) fn urgent_period(&self) -> Option<Duration> {
        let since = self.begun.elapsed().saturating_sub(self.forwarding?);
        (self.is_ready() && self.first_frame.is_none() && since < HURRY).then_some(PERIOD)
    }

    /// From the start of the command until all queues ran; nothing where they never did.
    pub(super) fn to_forwarding(&self) -> Option<Duration> {
        self.forwarding
    }

    /// From the start of the command to the first frame received.
    pub(super) fn to_first_frame(&self) -> Option<Duration> {
        self.first_frame
    }

    /// From the moment at which it was to end until now.
    pub(super) fn ending(&self) -> Option<Duration> {
        self.ending.map(|ending| ending.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_from_the_first_queue_to_the_wish_to_end() {
        let (mut life, mut console) = (Life::since(Instant::now()), Console::new());
        assert!(!life.is_ready() && life.urgent_period().is_none() && life.to_forwarding().is_none());
        life.forwards(&mut console);
        assert!(life.is_ready() && life.urgent_period() == Some(PERIOD) && life.ending().is_none());
        life.ends("a test", &mut console);
        assert!(!life.is_ready() && life.urgent_period().is_none());
        assert!(life.ending().is_some() && life.to_first_frame().is_none());
    }
}
