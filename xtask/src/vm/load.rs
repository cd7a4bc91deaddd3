//! Frames at a steady pace through everything that happens to a port, and when each of them left and came back.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::stream::{Checker, Stream};
use super::wire::Wire;

/// Between two frames while they come back.
const PACE: Duration = Duration::from_millis(1);
/// Between two frames while none comes back: a guest that merely did not run for seconds must find room for all of them in its ring.
const PACE_UNANSWERED: Duration = Duration::from_millis(20);
/// Between two looks at the wire.
const NAP: Duration = Duration::from_micros(200);
/// Frames after which none is coming back.
const UNANSWERED: u32 = 200;
/// How long what is still under way is waited for.
const LAST_FRAMES: Duration = Duration::from_secs(3);
/// The same where nobody is left who sends: what it sent is in our socket, or at most in QEMU's hands.
const LAST_FRAMES_UNANSWERED: Duration = Duration::from_millis(200);

/// What other threads may know of a load, and tell it.
#[derive(Default)]
pub(super) struct Progress {
    returned: AtomicU32,
    over: AtomicBool,
    unanswered: AtomicBool,
}

impl Progress {
    /// Frames that have come back.
    pub(super) fn returned(&self) -> u32 {
        self.returned.load(Ordering::Relaxed)
    }

    /// From now on nobody is there who could answer.
    pub(super) fn nobody_answers(&self) {
        self.unanswered.store(true, Ordering::Relaxed);
    }

    /// Ends the load.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// When a frame was put on the wire: between these two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) begun: Instant,
    pub(super) done: Instant,
}

/// What became of a load.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) sent: Vec<Sent>,
    /// Sequence numbers, in order.
    pub(super) missing: Vec<u32>,
    /// How long frames that were sent before anything happened took at most.
    pub(super) slowest: Duration,
    /// Frames that may have been sent and not yet taken by the device.
    pub(super) waiting_max: usize,
}

/// Sends a stream until told to end. An error unless what came back did so once, whole and in order. `quiet` are the first frames, while
/// nothing happens to the port yet.
pub(super) fn run(stream: &Stream, quiet: u32, wire: &Wire, progress: &Progress) -> Result<Journal> {
    wire.drain()?;
    wire.set_nonblocking(true)?;
    let journal = Journal { waiting_max: Wire::waiting_max()?, ..Journal::default() };
    let mut load = Load { wire, checker: Checker::new(stream), journal, quiet };
    let result = load.run(progress);
    wire.set_nonblocking(false)?;
    result?;
    let Load { checker, mut journal, .. } = load;
    checker.verdict_but_for_losses()?;
    let sent = journal.sent.len();
    journal.missing = checker.missing().filter(|sequence| (*sequence as usize) < sent).collect();
    Ok(journal)
}

struct Load<'a> {
    wire: &'a Wire,
    checker: Checker<'a>,
    journal: Journal,
    quiet: u32,
}

impl Load<'_> {
    fn run(&mut self, progress: &Progress) -> Result<()> {
        // One frame is always taken from the stream and not sent yet.
        let (mut frame, mut due) = (self.checker.next(), Instant::now());
        while let Some(next) = frame.as_ref().filter(|_| !progress.over.load(Ordering::Relaxed)) {
            let begun = Instant::now();
            if begun >= due && self.wire.offer_now(next)? {
                self.journal.sent.push(Sent { begun, done: Instant::now() });
                let ahead = self.checker.sent() - self.checker.newest().map_or(0, |newest| newest + 1);
                due = begun + if ahead < UNANSWERED { PACE } else { PACE_UNANSWERED };
                frame = self.checker.next();
            }
            self.take()?;
            progress.returned.store(self.checker.good(), Ordering::Relaxed);
            thread::sleep(NAP);
        }
        let patience = if progress.unanswered.load(Ordering::Relaxed) { LAST_FRAMES_UNANSWERED } else { LAST_FRAMES };
        let (sent, deadline) = (self.journal.sent.len(), Instant::now() + patience);
        while self.checker.newest().is_none_or(|newest| newest as usize + 1 < sent) && Instant::now() < deadline {
            self.take()?;
            thread::sleep(NAP);
        }
        // Duplicates of the last frames would come about now.
        thread::sleep(PACE_UNANSWERED);
        self.take()
    }

    /// Takes what has come back.
    fn take(&mut self) -> Result<()> {
        while let Some(frame) = self.wire.take()? {
            let before = self.checker.newest();
            self.checker.take(&frame);
            let newest = self.checker.newest().filter(|newest| Some(*newest) != before && *newest < self.quiet);
            if let Some(sent) = newest.and_then(|newest| self.journal.sent.get(newest as usize)) {
                self.journal.slowest = self.journal.slowest.max(sent.begun.elapsed());
            }
        }
        Ok(())
    }
}
