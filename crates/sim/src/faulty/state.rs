//! What is going wrong at the moment, and what has been lost by it.

use super::schedule::{Fault, Schedule, StepKind};

/// What has been lost or changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Damage {
    /// Writes of the device to memory that never came.
    pub lost_dma: u64,
    /// Writes of the device to memory that came with other bits.
    pub corrupted_dma: u64,
    /// Doorbells and register writes that never came.
    pub lost_writes: u64,
    /// Resets behind the driver's back.
    pub resets: u64,
}

/// What becomes of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Normal,
    Lost,
    Corrupt(u64),
    Delay(u32),
    Stall(u32),
}

#[derive(Debug, Default)]
pub(super) struct State {
    schedule: Schedule,
    steps: u64,
    /// What the steps were, where somebody wants to know.
    trace: Option<Vec<StepKind>>,
    ticks: u64,
    gone_until: u64,
    blind_until: u64,
    rests_until: u64,
    reset_due: bool,
    event_due: Option<usize>,
    /// What this pass would still write to memory is lost.
    pass_is_lost: bool,
    damage: Damage,
}

impl State {
    /// With an empty schedule, the steps are listed.
    pub(super) fn new(schedule: Schedule) -> Self {
        let trace = schedule.faults().is_empty().then(Vec::new);
        Self { schedule, trace, ..Self::default() }
    }

    pub(super) fn disarm(&mut self) {
        self.schedule = Schedule::default();
        (self.blind_until, self.rests_until, self.event_due) = (0, 0, None);
        if std::mem::take(&mut self.gone_until) != 0 {
            self.reset_due = true;
        }
    }

    pub(super) fn steps(&self) -> &[StepKind] {
        self.trace.as_deref().unwrap_or_default()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.schedule.faults().is_empty()
    }

    pub(super) fn damage(&self) -> Damage {
        self.damage
    }

    pub(super) fn now(&self) -> u64 {
        self.ticks
    }

    /// A tick passes. The number of it.
    pub(super) fn tick(&mut self) -> u64 {
        self.ticks += 1;
        if self.gone_until != 0 && self.ticks >= self.gone_until {
            // A link that was down resets what is behind it (PCI Express Base 6.0, 6.6.1).
            self.gone_until = 0;
            self.reset_due = true;
        }
        self.ticks
    }

    /// Whether the model is to be reset now.
    pub(super) fn take_reset(&mut self) -> bool {
        let due = std::mem::take(&mut self.reset_due);
        self.damage.resets += u64::from(due);
        due
    }

    pub(super) fn take_event(&mut self) -> Option<usize> {
        self.event_due.take()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone_until != 0
    }

    /// The device does its work.
    pub(super) fn works(&self) -> bool {
        !self.is_gone() && self.ticks >= self.rests_until
    }

    pub(super) fn end_pass(&mut self) {
        self.pass_is_lost = false;
    }

    /// The next step, which is of this kind: what becomes of it.
    pub(super) fn step(&mut self, kind: StepKind) -> Verdict {
        let fault = self.schedule.take(self.steps).filter(|fault| fault.is_possible_at(kind));
        self.steps += 1;
        if let Some(trace) = &mut self.trace {
            trace.push(kind);
        }
        if kind == StepKind::Dma {
            self.ticks += 1;
        }
        let verdict = fault.map_or(Verdict::Normal, |fault| self.begin(fault, kind));
        let is_lost = match kind {
            StepKind::Dma => self.pass_is_lost,
            StepKind::Read => self.is_gone() || self.ticks < self.blind_until,
            StepKind::Write | StepKind::Ring => self.is_gone(),
        };
        let verdict = if is_lost { Verdict::Lost } else { verdict };
        self.count(verdict, kind);
        verdict
    }

    fn begin(&mut self, fault: Fault, kind: StepKind) -> Verdict {
        let until = |ticks: u32| if ticks == Fault::FOR_EVER { u64::MAX } else { self.ticks + u64::from(ticks) };
        match fault {
            Fault::Delay(ticks) => return Verdict::Delay(ticks),
            Fault::Drop => return Verdict::Lost,
            Fault::Corrupt(seed) => return Verdict::Corrupt(seed),
            Fault::Stall(ticks) if kind == StepKind::Ring => return Verdict::Stall(ticks),
            Fault::Stall(ticks) => self.rests_until = until(ticks),
            Fault::Blind(ticks) => self.blind_until = until(ticks),
            Fault::Event(which) => self.event_due = Some(which),
            Fault::Vanish(ticks) => {
                self.gone_until = until(ticks);
                self.pass_is_lost = kind == StepKind::Dma;
            }
            Fault::Reset => {
                self.reset_due = true;
                self.pass_is_lost = kind == StepKind::Dma;
            }
        }
        Verdict::Normal
    }

    fn count(&mut self, verdict: Verdict, kind: StepKind) {
        match (verdict, kind) {
            (Verdict::Lost, StepKind::Dma) => self.damage.lost_dma += 1,
            (Verdict::Lost, StepKind::Write | StepKind::Ring) => self.damage.lost_writes += 1,
            (Verdict::Corrupt(_), StepKind::Dma) => self.damage.corrupted_dma += 1,
            _ => {}
        }
    }
}
