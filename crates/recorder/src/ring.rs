//! The recording in memory: as much of it as fits, the telling parts first.
//!
//! - A run of equal reads is one step with a count: a wait of a second is one line.
//! - A quiet call takes the place of the last quiet one of its kind, with a count: a port that idles for a day records two calls.
//! - The oldest calls make room for new ones. Those of the first successful start never do, since nothing can be replayed without them.

use crate::recording::{Access, Call, CallKind, FIRST_STEPS, Outcome, Step, What};

/// Bytes that the calls and steps of one port may take.
const BUDGET_BYTES: usize = 128 << 10;
/// Steps of one call that are kept after the first [`FIRST_STEPS`].
const LAST_STEPS: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Ring {
    calls: Vec<Call>,
    /// The first calls, which stay.
    pinned: usize,
    started: bool,
    lost_calls: u64,
    bytes: usize,
}

impl Ring {
    pub(crate) fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, at_ns: u64, kind: CallKind) {
        let mut call = Call::new(at_ns, kind);
        call.lost_before = std::mem::take(&mut self.lost_calls);
        self.bytes += size(&call);
        self.calls.push(call);
        self.make_room();
    }

    /// The call has taken a step.
    pub(crate) fn step(&mut self, at_ns: u64, what: What) {
        let Some(call) = self.calls.last_mut() else {
            self.begin(at_ns, CallKind::Probe);
            return self.step(at_ns, what);
        };
        if let (What::Read { access, times: 1 }, Some(Step { what: What::Read { access: last, times }, .. })) =
            (&what, call.steps.last_mut())
            && access == last
        {
            *times = times.saturating_add(1);
            return;
        }
        let step = Step { at_ns, what };
        self.bytes += step_size(&step);
        call.steps.push(step);
        if call.steps.len() > FIRST_STEPS + LAST_STEPS {
            self.bytes -= step_size(&call.steps.remove(FIRST_STEPS));
            call.lost_steps += 1;
        }
        self.make_room();
    }

    /// The call returns.
    pub(crate) fn end(&mut self, outcome: Outcome, success: bool) {
        let Some(call) = self.calls.last_mut() else { return };
        self.bytes += outcome.text.len();
        call.outcome = Some(outcome);
        if matches!(call.kind, CallKind::Start(_)) && success && !self.started {
            self.started = true;
            self.pinned = if self.bytes <= BUDGET_BYTES / 2 { self.calls.len() } else { 0 };
        }
        self.fold();
        self.make_room();
    }

    /// Lets the last call take the place of an equally quiet one, if nothing has happened in between.
    fn fold(&mut self) {
        let Some((last, before)) = self.calls.split_last_mut() else { return };
        if !last.is_quiet() {
            return;
        }
        let quiet = before.iter().rev().take_while(|call| call.is_quiet()).count();
        let first = (before.len() - quiet).max(self.pinned);
        let Some(same) = (first..before.len()).find(|at| before[*at].kind == last.kind) else { return };
        last.times += before[same].times;
        // Whatever was lost before it is lost before what follows it.
        self.calls[same + 1].lost_before += self.calls[same].lost_before;
        self.bytes -= size(&self.calls.remove(same));
    }

    /// Gives up the oldest calls, but never the one that goes on.
    fn make_room(&mut self) {
        while self.bytes > BUDGET_BYTES && self.calls.len() > self.pinned + 1 {
            let call = self.calls.remove(self.pinned);
            self.bytes -= size(&call);
            self.calls[self.pinned].lost_before += call.lost_before + call.times;
        }
    }
}

fn size(call: &Call) -> usize {
    let text = call.outcome.as_ref().map_or(0, |outcome| outcome.text.len());
    size_of::<Call>() + text + call.steps.iter().map(step_size).sum::<usize>()
}

fn step_size(step: &Step) -> usize {
    size_of::<Step>()
        + match &step.what {
            What::Failed(failure) => size_of_val(&**failure) + failure.text.len(),
            _ => 0,
        }
}

// What a budget holds depends on it.
const _: () = assert!(size_of::<Step>() <= 32 && size_of::<Access>() <= 16);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Space;

    fn access(offset: u32, value: u64) -> Access {
        Access { space: Space::Bar(0), width_bytes: 4, offset, value }
    }

    fn read(offset: u32, value: u64) -> What {
        What::Read { access: access(offset, value), times: 1 }
    }

    fn outcome(quiet: bool) -> Outcome {
        Outcome { quiet, mac: None, text: "nothing".into() }
    }

    fn call(ring: &mut Ring, kind: CallKind, quiet: bool, steps: impl IntoIterator<Item = What>) {
        ring.begin(0, kind);
        steps.into_iter().for_each(|what| ring.step(0, what));
        ring.end(outcome(quiet), true);
    }

    fn start() -> CallKind {
        let intent = vfwire_core::port::Intent::default();
        CallKind::Start(Box::new(crate::StartShape {
            queue_pairs: 1,
            rx_desc: 64,
            tx_desc: 64,
            room_bytes: 2048,
            recovery_limit_ms: 10_000,
            intent,
        }))
    }

    fn bytes_counted(ring: &Ring) -> bool {
        ring.bytes == ring.calls.iter().map(size).sum::<usize>()
    }

    #[test]
    fn a_run_of_equal_reads_is_one_step() {
        let mut ring = Ring::default();
        call(&mut ring, CallKind::Poll, false, [read(0, 1), read(0, 1), read(0, 1), read(4, 1), read(0, 1), read(0, 2)]);
        let times: Vec<_> =
            ring.calls[0].steps.iter().map(|step| if let What::Read { times, .. } = step.what { times } else { 0 }).collect();
        assert_eq!(times, [3, 1, 1, 1]);
        assert!(bytes_counted(&ring));
    }

    #[test]
    fn quiet_calls_are_folded_until_something_happens() {
        let mut ring = Ring::default();
        for value in 0..10 {
            call(&mut ring, CallKind::Poll, true, [read(0, value)]);
            call(&mut ring, CallKind::Stats, true, [read(4, value)]);
        }
        call(&mut ring, CallKind::Poll, false, [read(0, 77)]);
        call(&mut ring, CallKind::Poll, true, [What::Write(access(0, 1))]);
        call(&mut ring, CallKind::Poll, true, [read(0, 78)]);
        call(&mut ring, CallKind::Poll, true, [read(0, 79)]);
        let told: Vec<_> = ring.calls.iter().map(|call| (call.kind.name(), call.times)).collect();
        assert_eq!(told, [("poll", 10), ("stats", 10), ("poll", 1), ("poll", 1), ("poll", 2)]);
        assert_eq!(ring.calls[0].steps, [Step { at_ns: 0, what: read(0, 9) }], "the last one's steps");
        assert!(bytes_counted(&ring));
    }

    #[test]
    fn the_oldest_make_room_but_for_the_start() {
        let mut ring = Ring::default();
        call(&mut ring, CallKind::Probe, false, [read(0, 1)]);
        call(&mut ring, start(), false, [read(0, 2)]);
        for value in 0..10_000 {
            call(&mut ring, CallKind::Poll, false, (0..10).map(|register| read(register * 4, value)));
        }
        let names: Vec<_> = ring.calls[..3].iter().map(|call| call.kind.name()).collect();
        assert_eq!(names, ["probe", "start", "poll"]);
        let lost: u64 = ring.calls.iter().map(|call| call.lost_before).sum();
        assert_eq!(lost, 10_000 + 2 - ring.calls.len() as u64);
        assert_eq!(ring.calls[2].lost_before, lost, "where they were");
        assert!(ring.bytes <= BUDGET_BYTES && ring.calls.len() > 100 && bytes_counted(&ring));
    }

    #[test]
    fn one_endless_call_stays_within_bounds() {
        let mut ring = Ring::default();
        call(&mut ring, CallKind::Poll, false, (0..100_000).map(|value| read(0, value)));
        let call = &ring.calls[0];
        assert_eq!(call.steps.len() as u64 + call.lost_steps, 100_000);
        assert_eq!(call.steps[0].what, read(0, 0));
        assert_eq!(call.steps.last().map(|step| &step.what), Some(&read(0, 99_999)));
        assert!(bytes_counted(&ring));
    }
}
