//! All trials of a search, by load, and what they say.

use super::{Goal, Observed};
use std::collections::BTreeMap;

/// What the trials at a load say of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The goal holds.
    Lower,
    /// The goal does not hold.
    Upper,
    /// It has to be tried again.
    Undecided,
}

/// What trials at one load say of it (appendix A of the draft). Shorter ones than the goal's count only where they are worse than allowed.
pub fn classify(trials: &[Observed], goal: &Goal) -> Class {
    let sum = |long: bool, good: bool| -> f64 {
        let chosen =
            trials.iter().filter(|trial| (trial.duration >= goal.final_trial) == long && (trial.loss_ratio <= goal.loss_ratio) == good);
        chosen.map(|trial| trial.duration.as_secs_f64()).sum()
    };
    let (good_long, exceed) = (sum(true, true), goal.exceed_ratio);
    // Good short trials make up for as many bad ones as the goal allows.
    let excess = (sum(false, false) - sum(false, true) * exceed / (1.0 - exceed)).max(0.0);
    let bad = sum(true, false) + excess;
    let whole = (good_long + bad).max(goal.duration_sum.as_secs_f64());
    let allowed = whole * exceed;
    match (bad <= allowed + ROUNDING, whole - good_long <= allowed + ROUNDING) {
        (true, true) => Class::Lower,
        (false, false) => Class::Upper,
        _ => Class::Undecided,
    }
}

/// Seconds by which sums of durations may be off for being rounded.
const ROUNDING: f64 = 1e-9;

#[derive(Debug, Default)]
pub(super) struct Database {
    by_load: BTreeMap<u64, Vec<Observed>>,
}

impl Database {
    pub(super) fn add(&mut self, load: u64, observed: Observed) {
        self.by_load.entry(load).or_default().push(observed);
    }

    pub(super) fn class(&self, load: u64, goal: &Goal) -> Class {
        self.by_load.get(&load).map_or(Class::Undecided, |trials| classify(trials, goal))
    }

    /// The highest lower bound below the lowest upper bound, and that.
    pub(super) fn bounds(&self, goal: &Goal) -> (Option<u64>, Option<u64>) {
        let mut lower = None;
        for (&load, trials) in &self.by_load {
            match classify(trials, goal) {
                Class::Upper => return (lower, Some(load)),
                Class::Lower => lower = Some(load),
                Class::Undecided => {}
            }
        }
        (lower, None)
    }

    /// The least that came back a second in a trial at a load.
    pub(super) fn least_forwarded(&self, load: u64) -> f64 {
        let most_lost = self.by_load.get(&load).into_iter().flatten().map(|trial| trial.loss_ratio).fold(0.0, f64::max);
        load as f64 * (1.0 - most_lost)
    }

    /// Frames a second that came back at this load, in all of the time but the share that the goal lets go (appendix B of the draft).
    pub(super) fn conditional_throughput(&self, load: u64, goal: &Goal) -> f64 {
        let trials = self.by_load.get(&load).into_iter().flatten();
        let mut long: Vec<_> = trials.filter(|trial| trial.duration >= goal.final_trial).collect();
        long.sort_by(|a, b| a.loss_ratio.total_cmp(&b.loss_ratio));
        let sum: f64 = long.iter().map(|trial| trial.duration.as_secs_f64()).sum();
        let mut remaining = sum.max(goal.duration_sum.as_secs_f64()) * (1.0 - goal.exceed_ratio);
        let mut lost = 0.0;
        for trial in long {
            if remaining <= ROUNDING {
                break;
            }
            lost = trial.loss_ratio;
            remaining -= trial.duration.as_secs_f64();
        }
        if remaining > ROUNDING { 0.0 } else { load as f64 * (1.0 - lost) }
    }
}
