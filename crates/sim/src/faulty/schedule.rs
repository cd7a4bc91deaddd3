//! What goes wrong, and when: small values that are written into a command line and read back, so that a run can be repeated exactly.

use std::{fmt, str::FromStr};

/// What a device did at a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StepKind {
    /// The driver read a register.
    Read,
    /// The driver wrote a register.
    Write,
    /// A doorbell was rung since the device last looked.
    Ring,
    /// The device wrote to memory: a frame, a descriptor.
    Dma,
}

/// Something that goes wrong at a step. Durations are in ticks: a tick is a step, or a pass in which the device had nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// The write, and every one after it, takes effect so many ticks later.
    Delay(u32),
    /// The write, the doorbell or the completion is swallowed.
    Drop,
    /// One to three bits of what was read, or of what the device writes to memory, are flipped: this seed says which.
    Corrupt(u64),
    /// The device is reset behind its driver's back.
    Reset,
    /// Reads give all ones, writes go nowhere, no work is done, for so many ticks; then the device is back, reset. [`Fault::FOR_EVER`]: it does
    /// not come back.
    Vanish(u32),
    /// Reads give all ones for so many ticks, while writes arrive and the device goes on with its work.
    Blind(u32),
    /// The doorbell, or else the whole device, does nothing for so many ticks.
    Stall(u32),
    /// What the owner of the device chose to happen: its event of this number begins.
    Event(usize),
}

impl Fault {
    /// A duration without end.
    pub const FOR_EVER: u32 = u32::MAX;

    /// Whether it means something at a step of this kind.
    pub const fn is_possible_at(self, kind: StepKind) -> bool {
        match (self, kind) {
            (Self::Delay(_), kind) => matches!(kind, StepKind::Write),
            (Self::Drop, kind) => !matches!(kind, StepKind::Read),
            (Self::Corrupt(_), kind) => matches!(kind, StepKind::Read | StepKind::Dma),
            (Self::Blind(_), kind) => matches!(kind, StepKind::Read),
            (Self::Stall(_), kind) => matches!(kind, StepKind::Ring | StepKind::Dma),
            (Self::Reset | Self::Vanish(_) | Self::Event(_), _) => true,
        }
    }

    /// Its name, as in a schedule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Drop => "drop",
            Self::Corrupt(_) => "corrupt",
            Self::Reset => "reset",
            Self::Vanish(_) => "vanish",
            Self::Blind(_) => "blind",
            Self::Stall(_) => "stall",
            Self::Event(_) => "event",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Drop | Self::Reset | Self::Vanish(Self::FOR_EVER) => Ok(()),
            Self::Delay(ticks) | Self::Vanish(ticks) | Self::Blind(ticks) | Self::Stall(ticks) => write!(f, "-{ticks}"),
            Self::Corrupt(seed) => write!(f, "-{seed}"),
            Self::Event(which) => write!(f, "-{which}"),
        }
    }
}

/// Text that is no schedule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a fault at a step, such as 120:drop, 120:delay-8 or 120:corrupt-77")]
pub struct BadSchedule(String);

impl FromStr for Fault {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        let bad = || BadSchedule(text.into());
        let (name, number) = text.split_once('-').map_or((text, None), |(name, number)| (name, Some(number)));
        let ticks = || number.and_then(|number| number.parse().ok()).ok_or_else(bad);
        Ok(match (name, number) {
            ("drop", None) => Self::Drop,
            ("reset", None) => Self::Reset,
            ("vanish", None) => Self::Vanish(Self::FOR_EVER),
            ("delay", _) => Self::Delay(ticks()?),
            ("vanish", _) => Self::Vanish(ticks()?),
            ("blind", _) => Self::Blind(ticks()?),
            ("stall", _) => Self::Stall(ticks()?),
            ("corrupt", Some(seed)) => Self::Corrupt(seed.parse().map_err(|_| bad())?),
            ("event", Some(which)) => Self::Event(which.parse().map_err(|_| bad())?),
            _ => return Err(bad()),
        })
    }
}

/// Faults at steps, in order: `120:drop,340:stall-64`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Schedule(Vec<(u64, Fault)>);

impl Schedule {
    /// These faults; at one step, the first of them.
    pub fn new(faults: impl IntoIterator<Item = (u64, Fault)>) -> Self {
        let mut faults: Vec<_> = faults.into_iter().collect();
        faults.sort_by_key(|(step, _)| *step);
        faults.dedup_by_key(|(step, _)| *step);
        Self(faults)
    }

    /// The faults, in order.
    pub fn faults(&self) -> &[(u64, Fault)] {
        &self.0
    }

    /// The fault at `step`. Steps are asked for in order.
    pub(super) fn take(&mut self, step: u64) -> Option<Fault> {
        (self.0.first()?.0 == step).then(|| self.0.remove(0).1)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (step, fault)) in self.0.iter().enumerate() {
            write!(f, "{}{step}:{fault}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Schedule {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        let fault = |part: &str| {
            let (step, fault) = part.split_once(':').ok_or_else(|| BadSchedule(part.into()))?;
            Ok((step.trim().parse().map_err(|_| BadSchedule(part.into()))?, fault.trim().parse()?))
        };
        Ok(Self::new(text.split(',').map(fault).collect::<Result<Vec<_>, BadSchedule>>()?))
    }
}

/// A small generator of random numbers (SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`, which is not 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Flips one to three of the bits.
pub(super) fn flip(bytes: &mut [u8], seed: u64) {
    let mut random = Random::new(seed);
    if bytes.is_empty() {
        return;
    }
    for _ in 0..=random.below(3) {
        let bit = random.below(bytes.len() as u64 * 8);
        if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1 << (bit % 8);
        }
    }
}
