//! Which load a device bears: Multiple Loss Ratio search (MLRsearch, `draft-ietf-bmwg-mlrsearch`), for several goals at once.
//!
//! A goal says how much may be lost, how long trials must be for their word to count, and how long a load must have been tried altogether.
//! A load is classified by all trials at it ([`classify`], appendix A of the draft). It is a lower bound where the goal holds whatever
//! trials that are still owed would show, an upper bound where it fails whatever they would show, and undecided otherwise: then it is tried
//! again. The search narrows the gap between the lowest upper bound and the highest lower bound below it, in stages from short trials and
//! wide gaps to the goal's own. Trials are shared by all goals and stages.
//!
//! Where a device loses at a load and not at a higher one (loss inversion), the lower one bounds: what a load higher than an upper bound
//! shows is not used. This is what keeps the answer conservative.

mod database;

use database::Database;
pub use database::{Class, classify};
use std::{ops::RangeInclusive, time::Duration};

/// What is to be found: the highest load at which no more than a share of the frames is lost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Goal {
    /// Share of the frames that may be lost, 0 to less than 1: 0 for NDR.
    pub loss_ratio: f64,
    /// Length of the first, coarse trials. No longer than `final_trial`.
    pub initial_trial: Duration,
    /// Trials at least that long count in full.
    pub final_trial: Duration,
    /// How long trials at one load must be altogether before it counts as borne.
    pub duration_sum: Duration,
    /// Share of that time in which more may be lost than `loss_ratio` says, 0 to less than 1. RFC 2544 has 0; on processors that others
    /// share, 0.5 (the median) is far more repeatable.
    pub exceed_ratio: f64,
    /// The search ends where upper and lower bound differ by no more than this share of the upper one.
    pub relative_width: f64,
}

/// What one trial showed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Observed {
    /// How long frames were offered.
    pub duration: Duration,
    /// Share of the frames of the intended load that did not come back, whyever: those that could not be sent in time count as lost.
    pub loss_ratio: f64,
}

/// Whatever can offer a load to the device.
pub trait Tester {
    /// Why a trial could not be made.
    type Error;

    /// Offers `load_fps` frames a second for `duration`.
    ///
    /// # Errors
    /// Where there is no result. The search ends with it.
    fn trial(&mut self, load_fps: u64, duration: Duration) -> Result<Observed, Self::Error>;
}

/// Why a search ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The bounds are as near to one another as the goal says.
    Width,
    /// The highest load is borne: the device may bear more.
    MaxLoad,
    /// Not even the lowest load is borne.
    MinLoad,
    /// No more trials were to be made. The bounds hold, but are wider apart than the goal says, or are missing.
    Trials,
}

/// What was found for one goal.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Found {
    /// The highest load that is borne, in frames a second.
    pub lower_fps: Option<u64>,
    /// The lowest load that is not borne.
    pub upper_fps: Option<u64>,
    /// Frames a second that were forwarded at the lower bound (appendix B of the draft): less than it by what may be lost.
    pub conditional_fps: Option<f64>,
    /// Why it ended.
    pub ended: Ended,
}

/// Stages before the last one. Each has shorter trials and a wider gap than the next.
const EARLIER_STAGES: u32 = 2;
/// How much wider the gap of a stage is than that of the next.
const WIDENING: f64 = 4.0;

impl Goal {
    /// The goal as it stands `before_last` stages before the last one.
    fn stage(&self, before_last: u32) -> Self {
        if before_last == 0 {
            return *self;
        }
        let back = f64::from(before_last) / f64::from(EARLIER_STAGES);
        let (initial, last, sum) = (self.initial_trial, self.final_trial, self.duration_sum);
        Self {
            final_trial: between(last, initial, back),
            duration_sum: between(sum, initial, back),
            relative_width: (self.relative_width * WIDENING.powi(i32::try_from(before_last).unwrap_or(0))).min(0.5),
            ..*self
        }
    }
}

/// From `from` to `to` in equal ratios.
fn between(from: Duration, to: Duration, share: f64) -> Duration {
    from.mul_f64((to.as_secs_f64() / from.as_secs_f64()).powf(share))
}

/// Searches for all `goals`, between the lowest and the highest of `loads_fps`, with at most `trials_max` trials.
///
/// # Errors
/// Those of the tester.
pub fn search<T: Tester>(
    tester: &mut T,
    loads_fps: &RangeInclusive<u64>,
    goals: &[Goal],
    trials_max: usize,
) -> Result<Vec<Found>, T::Error> {
    let mut run = Run { tester, database: Database::default(), loads_fps: loads_fps.clone(), trials_left: trials_max };
    let mut found = vec![None; goals.len()];
    for before_last in (0..=EARLIER_STAGES).rev() {
        for (goal, found) in goals.iter().zip(&mut found) {
            *found = Some(run.stage(goal, before_last)?);
        }
    }
    let results = goals.iter().zip(found).map(|(goal, ended)| {
        let (lower_fps, upper_fps) = run.database.bounds(goal);
        let conditional_fps = lower_fps.map(|load| run.database.conditional_throughput(load, goal));
        Found { lower_fps, upper_fps, conditional_fps, ended: ended.unwrap_or(Ended::Trials) }
    });
    Ok(results.collect())
}

/// How long a search takes, about: from experience with devices that lose nothing up to a load and all that is beyond it.
pub fn expected_duration(goals: &[Goal]) -> Duration {
    /// Loads that are new to a stage, for one goal.
    const LOADS: u32 = 3;
    let stages = (0..=EARLIER_STAGES).flat_map(|before_last| goals.iter().map(move |goal| goal.stage(before_last)));
    stages.map(|stage| stage.duration_sum.max(stage.final_trial) * LOADS).sum()
}

struct Run<'a, T> {
    tester: &'a mut T,
    database: Database,
    loads_fps: RangeInclusive<u64>,
    trials_left: usize,
}

impl<T: Tester> Run<'_, T> {
    /// Narrows the bounds of one goal at one stage.
    fn stage(&mut self, goal: &Goal, before_last: u32) -> Result<Ended, T::Error> {
        let stage = goal.stage(before_last);
        // What the stage before held for true is tried first.
        let mut hints: Vec<u64> = if before_last == EARLIER_STAGES {
            Vec::new()
        } else {
            let (lower, upper) = self.database.bounds(&goal.stage(before_last + 1));
            upper.into_iter().chain(lower).collect()
        };
        let mut step = stage.relative_width;
        loop {
            let load = match self.next(&stage, &mut hints, &mut step) {
                Next::Try(load) => load,
                Next::End(ended) => return Ok(ended),
            };
            // At least one trial for each load, so that the search ends whatever is proposed.
            loop {
                if self.trials_left == 0 {
                    return Ok(Ended::Trials);
                }
                self.trials_left -= 1;
                let observed = self.tester.trial(load, stage.final_trial)?;
                self.database.add(load, observed);
                if self.database.class(load, &stage) != Class::Undecided {
                    break;
                }
            }
        }
    }

    /// Which load is to be classified next. `hints` are loads worth trying, the next one last; `step` is how far the next step beyond known
    /// bounds goes, and is doubled by each.
    fn next(&self, stage: &Goal, hints: &mut Vec<u64>, step: &mut f64) -> Next {
        let (min, max) = (*self.loads_fps.start(), *self.loads_fps.end());
        let (lower, upper) = self.database.bounds(stage);
        let unknown = |load: u64| lower.is_none_or(|lower| load > lower) && upper.is_none_or(|upper| load < upper);
        while let Some(hint) = hints.pop() {
            if unknown(hint) {
                return Next::Try(hint);
            }
        }
        match (lower, upper) {
            (None, None) => Next::Try(max),
            (Some(lower), None) if lower >= max => Next::End(Ended::MaxLoad),
            (Some(lower), None) => {
                let load = whole(lower as f64 * (1.0 + *step)).clamp(lower + 1, max);
                *step *= 2.0;
                Next::Try(load)
            }
            (None, Some(upper)) if upper <= min => Next::End(Ended::MinLoad),
            (None, Some(upper)) => {
                // A device that is offered too much forwards about as much as it can.
                let forwarded = self.database.least_forwarded(upper) * (1.0 - stage.relative_width / 2.0);
                let load = whole((upper as f64 / (1.0 + *step)).min(forwarded)).clamp(min, upper - 1);
                *step *= 2.0;
                Next::Try(load)
            }
            (Some(lower), Some(upper)) => {
                if (upper - lower) as f64 <= stage.relative_width * upper as f64 || upper - lower < 2 {
                    return Next::End(Ended::Width);
                }
                let middle = (lower as f64 * upper as f64).sqrt();
                Next::Try(whole(middle).clamp(lower + 1, upper - 1))
            }
        }
    }
}

enum Next {
    Try(u64),
    End(Ended),
}

/// The whole frames of a rate.
pub(crate) fn whole(rate: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "meant, and saturating")]
    let whole = rate as u64;
    whole
}

#[cfg(test)]
mod tests;
