//! Driving another device as the recorded one was driven, and comparing its answers: a simulated model, most usefully.
//!
//! Everything that was written is written again, in the same order, with the addresses of DMA memory translated. A word that was polled is
//! polled until it reads what the poll ended with, a bounded number of times. Doorbells are not recorded and so not rung: counters of frames
//! differ where there was traffic.

use super::diff::Translation;
use crate::recording::{Access, Recording, Space, What};
use std::collections::BTreeMap;
use vfwire_core::{
    bar::Bar,
    bus::{BarIndex, PciFunction},
    dma::DmaRegion,
};

/// How often a word is polled for what it read then.
const POLLS_MAX: u32 = 256;
/// The largest region of DMA memory that is made for a recording, which is somebody else's; and most of them.
const REGION_MAX_BYTES: u64 = 1 << 20;
const REGIONS_MAX: usize = 256;

/// A word that did not read as recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disagreement {
    /// The first call in which it did not.
    pub call: usize,
    /// What was recorded then.
    pub recorded: Access,
    /// What the device answered, if it did.
    pub answered: Option<u64>,
    /// How often it did not, in all calls.
    pub times: u64,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answered {
    /// Words that were read, each run of polls counted once.
    pub reads: u64,
    /// Those that did not read as recorded, in the order in which they were first seen.
    pub disagreements: Vec<Disagreement>,
    /// What could not be done.
    pub notes: Vec<String>,
}

/// Drives `function`; `settle` lets it do its work while a word is polled.
pub fn drive<F: PciFunction>(recording: &Recording, function: &F, settle: impl FnMut()) -> Answered {
    let translation = Translation::default();
    let mut drive = Drive { function, settle, bars: BTreeMap::new(), regions: Vec::new(), translation, answered: Answered::default() };
    for (at, call) in recording.calls.iter().enumerate() {
        let mut steps = call.steps.iter().map(|step| &step.what).peekable();
        while let Some(what) = steps.next() {
            if let (What::Read { access, .. }, Some(What::Read { access: next, .. })) = (what, steps.peek())
                && access.is_at(next)
            {
                // Only the last of a poll's answers says what it came to.
                continue;
            }
            drive.step(at, what);
        }
    }
    drive.answered
}

struct Drive<'f, F: PciFunction, S> {
    function: &'f F,
    settle: S,
    bars: BTreeMap<u8, F::Bar>,
    regions: Vec<DmaRegion>,
    translation: Translation,
    answered: Answered,
}

impl<F: PciFunction, S: FnMut()> Drive<'_, F, S> {
    fn step(&mut self, call: usize, what: &What) {
        match what {
            What::Read { access, .. } => self.read(call, *access),
            What::Write(access) => self.write(call, *access),
            What::Bar { index, .. } => self.map(call, *index),
            What::Dma { iova, len_bytes } => self.alloc(call, *iova, *len_bytes),
            What::Reset => {
                let result = self.function.reset();
                self.note(call, "the function-level reset", result.err());
            }
            // The bus's own doing.
            What::Event(_) | What::Failed(_) => {}
        }
    }

    fn note(&mut self, call: usize, what: &str, error: Option<impl std::fmt::Display>) {
        if let Some(error) = error {
            let note = format!("{what} of call {call} could not be done again: {error}");
            if self.answered.notes.len() < REGIONS_MAX {
                self.answered.notes.push(note);
            }
        }
    }

    fn map(&mut self, call: usize, index: u8) {
        let mapped = BarIndex::new(index).map(|index| self.function.map_bar(index));
        match mapped {
            Some(Ok(bar)) => {
                self.bars.insert(index, bar);
            }
            Some(Err(error)) => self.note(call, "mapping a BAR", Some(error)),
            None => {}
        }
    }

    fn alloc(&mut self, call: usize, iova: u64, len_bytes: u64) {
        if len_bytes > REGION_MAX_BYTES || self.regions.len() == REGIONS_MAX {
            return self.note(call, "getting DMA memory", Some(format!("{len_bytes} bytes, or too many regions")));
        }
        let len = usize::try_from(len_bytes).unwrap_or(usize::MAX);
        match self.function.dma().alloc(len, PAGE_BYTES) {
            Ok(region) => {
                self.translation.learn_recorded(iova, len_bytes);
                self.translation.learn_today(region.iova().0);
                self.regions.push(region);
            }
            Err(error) => self.note(call, "getting DMA memory", Some(error)),
        }
    }

    /// The BAR of a word that lies in it.
    fn bar(&self, access: &Access) -> Option<&F::Bar> {
        let Space::Bar(index) = access.space else { return None };
        let width = u32::from(access.width_bytes);
        let bar = self.bars.get(&index)?;
        let inside = access.offset.checked_add(width).is_some_and(|end| end <= bar.len_bytes());
        (inside && access.offset.is_multiple_of(width)).then_some(bar)
    }

    fn write(&mut self, call: usize, access: Access) {
        // The last is the translated one, where there is one.
        let value = self.translation.of(access.value, access.width_bytes).last().unwrap_or(access.value);
        if access.space == Space::Config {
            let result = config_write(self.function, &access, value);
            return self.note(call, "writing configuration space", result.err());
        }
        match self.bar(&access) {
            Some(bar) => bar_write(bar, &access, value),
            None => self.note(call, "a write", Some("there is no such register")),
        }
    }

    fn read(&mut self, call: usize, access: Access) {
        self.answered.reads += 1;
        let mut answered = None;
        for _ in 0..POLLS_MAX {
            answered = match access.space {
                Space::Config => config_read(self.function, &access),
                Space::Bar(_) => self.bar(&access).map(|bar| bar_read(bar, &access)),
            };
            if answered.is_none_or(|value| self.translation.of(access.value, access.width_bytes).any(|wanted| wanted == value)) {
                break;
            }
            (self.settle)();
        }
        let agrees = answered.is_some_and(|value| self.translation.of(access.value, access.width_bytes).any(|wanted| wanted == value));
        if !agrees {
            let known = self.answered.disagreements.iter_mut().find(|known| known.recorded.is_at(&access));
            match known {
                Some(known) => known.times += 1,
                None => self.answered.disagreements.push(Disagreement { call, recorded: access, answered, times: 1 }),
            }
        }
    }
}

/// Every ring is aligned to less.
const PAGE_BYTES: usize = 4096;

#[expect(clippy::cast_possible_truncation, reason = "a value of the width that it was recorded with")]
fn bar_write<B: Bar>(bar: &B, access: &Access, value: u64) {
    match access.width_bytes {
        1 => bar.write(access.offset, value as u8),
        2 => bar.write(access.offset, value as u16),
        4 => bar.write(access.offset, value as u32),
        _ => bar.write(access.offset, value),
    }
}

fn bar_read<B: Bar>(bar: &B, access: &Access) -> u64 {
    match access.width_bytes {
        1 => bar.read::<u8>(access.offset).into(),
        2 => bar.read::<u16>(access.offset).into(),
        4 => bar.read::<u32>(access.offset).into(),
        _ => bar.read::<u64>(access.offset),
    }
}

fn config_read<F: PciFunction>(function: &F, access: &Access) -> Option<u64> {
    let offset = u16::try_from(access.offset).ok()?;
    match access.width_bytes {
        1 => function.config_read::<u8>(offset).ok().map(u64::from),
        2 => function.config_read::<u16>(offset).ok().map(u64::from),
        _ => function.config_read::<u32>(offset).ok().map(u64::from),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a value of the width that it was recorded with")]
fn config_write<F: PciFunction>(function: &F, access: &Access, value: u64) -> Result<(), String> {
    let offset = u16::try_from(access.offset).map_err(|error| error.to_string())?;
    let result = match access.width_bytes {
        1 => function.config_write(offset, value as u8),
        2 => function.config_write(offset, value as u16),
        _ => function.config_write(offset, value as u32),
    };
    result.map_err(|error| error.to_string())
}
