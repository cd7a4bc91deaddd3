//! What a recorded device answers.
//!
//! The words of a call that were written, and whatever else changes a device, are its spine. A read is answered with what the same word read
//! at the same place of the spine, in the recorded order. Among the answers between two writes, one that was read many times in turn gives
//! way to the next after a few: a wait that ended ends. The last one stays: a wait that was given up is given up.

use crate::recording::{Access, Call, Failure, Operation, Space, Step, What};
use std::collections::{BTreeMap, VecDeque};
use vfwire_core::bus::BusEvent;

/// How often an answer is given at most, where another one follows it.
const POLLS_MAX: u32 = 8;
/// How far the driver may skip along the spine.
const SKIP_MAX: usize = 16;

/// A word, whatever its value.
type Place = (Space, u32, u8);

/// An answer, and how often it was given.
struct Answer {
    /// After so many things of the spine.
    after: usize,
    value: Result<u64, Failure>,
    times: u32,
}

#[derive(Default)]
struct Answers {
    all: Vec<Answer>,
    at: usize,
    given: u32,
}

/// A call's script, and what the driver has made of it.
#[derive(Default)]
pub(crate) struct Script {
    answers: BTreeMap<Place, Answers>,
    spine: Vec<What>,
    /// How far the driver is.
    reached: usize,
    events: VecDeque<BusEvent>,
    /// What each word read last, in all calls so far.
    last: BTreeMap<Place, u64>,
    bars: BTreeMap<u8, u32>,
    /// What the driver does.
    done: Vec<What>,
}

fn place(access: &Access) -> Place {
    (access.space, access.offset, access.width_bytes)
}

impl Script {
    /// The next call.
    pub(crate) fn begin(&mut self, call: &Call) {
        self.answers.clear();
        self.spine.clear();
        self.events.clear();
        self.done.clear();
        self.reached = 0;
        call.steps.iter().for_each(|Step { what, .. }| self.learn(what));
    }

    fn learn(&mut self, what: &What) {
        let after = self.spine.len();
        match what {
            What::Read { access, times } => {
                let answer = Answer { after, value: Ok(access.value), times: *times };
                self.answers.entry(place(access)).or_default().all.push(answer);
            }
            What::Failed(failure) if matches!(failure.operation, Operation::ConfigRead { .. }) => {
                if let Operation::ConfigRead { offset, width_bytes } = failure.operation {
                    let answer = Answer { after, value: Err((**failure).clone()), times: 1 };
                    self.answers.entry((Space::Config, offset.into(), width_bytes)).or_default().all.push(answer);
                }
            }
            What::Event(event) => self.events.push_back(*event),
            What::Bar { index, len_bytes } => {
                self.bars.insert(*index, *len_bytes);
                self.spine.push(what.clone());
            }
            other => self.spine.push(other.clone()),
        }
    }

    /// The call has returned: what the driver did.
    pub(crate) fn end(&mut self) -> Vec<What> {
        std::mem::take(&mut self.done)
    }

    /// The driver reads a word; `access` has no value yet.
    pub(crate) fn read(&mut self, access: Access) -> Result<u64, Failure> {
        let place = place(&access);
        let last = self.last.get(&place).copied();
        let value = match self.answers.get_mut(&place) {
            Some(answers) => answers.next(self.reached, last),
            // A word that was not read in this call: what it read before, if ever.
            None => Ok(last.unwrap_or(0)),
        };
        match &value {
            Ok(value) => {
                self.last.insert(place, *value);
                self.push(What::Read { access: Access { value: *value, ..access }, times: 1 });
            }
            Err(failure) => self.push(What::Failed(Box::new(failure.clone()))),
        }
        value
    }

    /// The driver does something that changes the device. A failure where that failed.
    pub(crate) fn change(&mut self, what: What) -> Result<(), Failure> {
        let ahead = self.spine.iter().enumerate().skip(self.reached).take(SKIP_MAX);
        let is_next = self.spine.get(self.reached).is_some_and(|next| is_alike(next, &what));
        // The next thing may have another value, one further on may not.
        let met = if is_next { Some(self.reached) } else { ahead.filter(|(_, other)| **other == what).map(|(at, _)| at).next() };
        let failure = met.and_then(|at| match &self.spine[at] {
            What::Failed(failure) => Some((**failure).clone()),
            _ => None,
        });
        self.reached = met.map_or(self.reached, |at| at + 1);
        match failure {
            Some(failure) => {
                self.push(What::Failed(Box::new(failure.clone())));
                Err(failure)
            }
            None => {
                self.push(what);
                Ok(())
            }
        }
    }

    /// The driver asks the bus whether something happened.
    pub(crate) fn poll_event(&mut self) -> Option<BusEvent> {
        let event = self.events.pop_front()?;
        self.push(What::Event(event));
        Some(event)
    }

    /// The length of a BAR, if it was ever mapped.
    pub(crate) fn bar_len_bytes(&self, index: u8) -> Option<u32> {
        self.bars.get(&index).copied()
    }

    fn push(&mut self, what: What) {
        // Equal reads in turn are one step, as in a recording.
        if let (What::Read { access, .. }, Some(What::Read { access: last, times })) = (&what, self.done.last_mut())
            && access == last
        {
            *times = times.saturating_add(1);
            return;
        }
        self.done.push(what);
    }
}

impl Answers {
    fn next(&mut self, reached: usize, last: Option<u64>) -> Result<u64, Failure> {
        let after = |at: usize| self.all[at].after;
        let mut ahead = self.at..self.all.len();
        let current = if after(self.at) == reached {
            self.at
        } else {
            // The first of those that belong here, else the latest of those before.
            let first = ahead.clone().find(|at| after(*at) == reached);
            first.or_else(|| ahead.rfind(|at| after(*at) < reached)).unwrap_or(self.at)
        };
        if current != self.at {
            (self.at, self.given) = (current, 0);
        }
        let current = &self.all[self.at];
        if let Some(next) = self.all.get(self.at + 1)
            && next.after == current.after
            && self.given >= current.times.min(POLLS_MAX)
        {
            (self.at, self.given) = (self.at + 1, 0);
        }
        let current = &self.all[self.at];
        if current.after > reached {
            // Earlier than ever recorded in this call.
            return last.map_or_else(|| current.value.clone(), Ok);
        }
        self.given += 1;
        current.value.clone()
    }
}

/// The same operation, whatever the value or the outcome.
fn is_alike(recorded: &What, today: &What) -> bool {
    match (recorded, today) {
        (What::Write(recorded), What::Write(today)) => recorded.is_at(today),
        (What::Bar { index: recorded, .. }, What::Bar { index: today, .. }) => recorded == today,
        (What::Dma { .. }, What::Dma { .. }) | (What::Reset, What::Reset) => true,
        (What::Failed(failure), today) => match (failure.operation, today) {
            (Operation::ConfigWrite { offset, width_bytes }, What::Write(access)) => {
                place(access) == (Space::Config, offset.into(), width_bytes)
            }
            (Operation::Bar(recorded), What::Bar { index, .. }) => recorded == *index,
            (Operation::Reset, What::Reset) | (Operation::Dma { .. }, What::Dma { .. }) => true,
            _ => false,
        },
        _ => false,
    }
}
