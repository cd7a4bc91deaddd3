//! What is measured of each size of frame, in which order, and how long it takes.
//!
//! Of each size: a trial that warms up, the search for NDR and PDR, latency at shares of the PDR, the loss curve (RFC 2544, 26.3: from the
//! highest load down, until two loads in a row lose nothing), and the longest burst back to back (26.4, by bisection).

use crate::{
    result::{BackToBack, LatencyPoint, LossPoint, Purpose, SizeResult, Throughput, Trial},
    search::{self, Ended, Found, Goal, Observed, Tester},
};
use std::time::Duration;

/// What is to be measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Lengths of frames with their FCS, in bytes.
    pub sizes: Vec<u32>,
    /// The goal for throughput without loss.
    pub ndr: Goal,
    /// The goal for throughput with little loss.
    pub pdr: Goal,
    /// Searches of each throughput; their median counts. Bursts are searched as often.
    pub repeat: u32,
    /// Length of the trials for latency and loss.
    pub trial: Duration,
    /// Shares of the PDR at which latency is measured.
    pub latency_shares: Vec<f64>,
    /// In how many steps the loss curve goes from the highest load to nothing. 0: no curve.
    pub loss_steps: u32,
    /// Longest burst that is tried, as time at the highest load. Zero: no bursts.
    pub longest_burst: Duration,
    /// Lowest load that is tried, frames a second.
    pub min_load_fps: u64,
    /// Trials of one search at most: a device that never behaves the same twice is not searched for ever.
    pub trials_max: usize,
}

/// What is offered in a trial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    /// Frames a second in each direction, evenly, for that long.
    Load {
        /// Frames a second.
        fps: u64,
        /// How long.
        duration: Duration,
    },
    /// That many frames in each direction, as fast as they can be sent.
    Burst {
        /// Frames.
        frames: u64,
    },
}

/// What is known of a size before it is measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// What the line carries, frames a second.
    pub line_rate_fps: Option<f64>,
    /// The highest load that is to be tried.
    pub max_load_fps: u64,
}

/// Whoever makes the trials.
pub trait Bench {
    /// Why a measurement ends early.
    type Error;

    /// From now on frames of this length are sent. Makes the trials that it takes to know the limits.
    ///
    /// # Errors
    /// Where the measurement cannot go on.
    fn size(&mut self, frame_bytes: u32) -> Result<(Limits, Vec<Trial>), Self::Error>;

    /// Makes a trial.
    ///
    /// # Errors
    /// Where the measurement cannot go on.
    fn trial(&mut self, purpose: Purpose, offer: Offer) -> Result<Trial, Self::Error>;

    /// Cycles that the device spent on a frame since the last call of [`size`](Self::size), where that can be known.
    fn cycles_per_frame(&mut self) -> Option<f64>;

    /// A step is done: what there is so far, and about how long the rest takes.
    ///
    /// # Errors
    /// Where the measurement cannot go on.
    fn step_done(&mut self, sizes: &[SizeResult], left: Duration) -> Result<(), Self::Error>;
}

impl Plan {
    /// About how long all of it takes.
    pub fn expected_duration(&self) -> Duration {
        self.of_a_size() * u32::try_from(self.sizes.len()).unwrap_or(u32::MAX)
    }

    fn of_a_size(&self) -> Duration {
        self.steps().iter().sum()
    }

    /// Expected durations of the steps of a size.
    fn steps(&self) -> [Duration; STEPS] {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let search = search::expected_duration(&[self.ndr, self.pdr]) * self.repeat;
        let bursts = self.longest_burst * BURSTS_EXPECTED * self.repeat;
        [self.trial, search, self.trial * count(self.latency_shares.len()), self.trial * self.loss_steps, bursts]
    }

    /// Measures everything, and gives what was measured, even where it ends early.
    pub fn run<B: Bench>(&self, bench: &mut B) -> (Vec<SizeResult>, Result<(), B::Error>) {
        let mut sizes = Vec::new();
        let mut result = Ok(());
        for (at, &frame_bytes) in self.sizes.iter().enumerate() {
            let behind = self.of_a_size() * u32::try_from(self.sizes.len() - at - 1).unwrap_or(u32::MAX);
            result = self.measure(bench, frame_bytes, behind, &mut sizes);
            if result.is_err() {
                break;
            }
        }
        (sizes, result)
    }

    fn measure<B: Bench>(&self, bench: &mut B, frame_bytes: u32, behind: Duration, sizes: &mut Vec<SizeResult>) -> Result<(), B::Error> {
        let (limits, trials) = bench.size(frame_bytes)?;
        let Limits { line_rate_fps, max_load_fps } = limits;
        sizes.push(SizeResult { frame_bytes, line_rate_fps, max_load_fps, trials, ..SizeResult::empty() });
        for step in 0..STEPS {
            let Some(size) = sizes.last_mut() else { break };
            let mut run = Run { plan: self, bench, size };
            let done = match step {
                0 => run.warm_up(),
                1 => run.throughput(),
                2 => run.latency(),
                3 => run.loss(),
                _ => run.bursts(),
            };
            size.cycles_per_frame = bench.cycles_per_frame();
            done?;
            bench.step_done(sizes, behind + self.steps()[step + 1..].iter().sum())?;
        }
        Ok(())
    }
}

const STEPS: usize = 5;
/// How much time a search for the longest burst takes, in longest bursts: those it tries become shorter, and what they leave behind takes time.
const BURSTS_EXPECTED: u32 = 4;
/// A burst is known once the next longer one that was tried is longer by no more than this share.
const BURST_WIDTH: f64 = 0.02;
/// The shortest burst that is tried.
const BURST_MIN: u64 = 1;

/// The measurement of one size.
struct Run<'a, B> {
    plan: &'a Plan,
    bench: &'a mut B,
    size: &'a mut SizeResult,
}

impl<B: Bench> Run<'_, B> {
    fn trial(&mut self, purpose: Purpose, offer: Offer) -> Result<&Trial, B::Error> {
        let trial = self.bench.trial(purpose, offer)?;
        self.size.trials.push(trial);
        // Just pushed.
        Ok(&self.size.trials[self.size.trials.len() - 1])
    }

    fn at_load(&mut self, purpose: Purpose, fps: u64) -> Result<&Trial, B::Error> {
        let duration = self.plan.trial;
        self.trial(purpose, Offer::Load { fps, duration })
    }

    fn warm_up(&mut self) -> Result<(), B::Error> {
        let half = (self.size.max_load_fps / 2).max(self.plan.min_load_fps);
        self.at_load(Purpose::WarmUp, half).map(drop)
    }

    fn throughput(&mut self) -> Result<(), B::Error> {
        let mut found = [Vec::new(), Vec::new()];
        let goals = [self.plan.ndr, self.plan.pdr];
        for _ in 0..self.plan.repeat {
            let max = self.size.max_load_fps.max(self.plan.min_load_fps);
            let (loads, trials_max) = (self.plan.min_load_fps..=max, self.plan.trials_max);
            let results = search::search(self, &loads, &goals, trials_max)?;
            found.iter_mut().zip(results).for_each(|(all, one)| all.push(one));
            // Kept after each, so that an early end costs one search.
            let [ndr, pdr] = &found;
            (self.size.ndr, self.size.pdr) = (throughput(&goals[0], ndr), throughput(&goals[1], pdr));
        }
        Ok(())
    }

    fn latency(&mut self) -> Result<(), B::Error> {
        let Some(pdr_fps) = self.size.pdr.as_ref().and_then(|pdr| pdr.lower_fps) else { return Ok(()) };
        for share_of_pdr in self.plan.latency_shares.clone() {
            let load_fps = search::whole(pdr_fps as f64 * share_of_pdr).max(1);
            let trial = self.at_load(Purpose::Latency, load_fps)?;
            let point = LatencyPoint { share_of_pdr, load_fps, loss_ratio: trial.loss_ratio, latency: trial.latency.clone() };
            self.size.latency.push(point);
        }
        Ok(())
    }

    fn loss(&mut self) -> Result<(), B::Error> {
        let (max, steps, mut without_loss) = (self.size.max_load_fps, self.plan.loss_steps, 0);
        for step in (1..=steps).rev() {
            let share_of_max = f64::from(step) / f64::from(steps);
            let load_fps = search::whole(max as f64 * share_of_max).max(1);
            let trial = self.at_load(Purpose::Loss, load_fps)?;
            let point = LossPoint {
                share_of_max,
                load_fps,
                loss_ratio: trial.loss_ratio,
                received_fps: load_fps as f64 * (1.0 - trial.loss_ratio),
            };
            without_loss = if trial.loss_ratio > 0.0 { 0 } else { without_loss + 1 };
            self.size.loss.push(point);
            if without_loss == 2 {
                break;
            }
        }
        self.size.loss.reverse();
        Ok(())
    }

    fn bursts(&mut self) -> Result<(), B::Error> {
        let max_frames = search::whole(self.size.max_load_fps as f64 * self.plan.longest_burst.as_secs_f64());
        if max_frames < BURST_MIN {
            return Ok(());
        }
        let (mut each_frames, mut sent_fps) = (Vec::new(), 0.0_f64);
        for _ in 0..self.plan.repeat {
            // Known to be borne, and known not to be.
            let (mut borne, mut lost) = (0, max_frames + 1);
            let mut frames = max_frames;
            while ((lost - borne) as f64 > BURST_WIDTH * lost as f64 && lost - borne > 1) || lost > max_frames && borne < max_frames {
                let trial = self.trial(Purpose::BackToBack, Offer::Burst { frames })?;
                if trial.loss_ratio > 0.0 {
                    lost = frames
                } else {
                    borne = frames
                }
                if trial.duration_s > 0.0 {
                    sent_fps = sent_fps.max(frames as f64 / trial.duration_s);
                }
                frames = borne + (lost - borne) / 2;
            }
            each_frames.push(borne);
            let frames = each_frames.iter().sum::<u64>() as f64 / each_frames.len() as f64;
            self.size.back_to_back = Some(BackToBack { frames, each_frames: each_frames.clone(), max_frames, sent_fps });
        }
        Ok(())
    }
}

impl<B: Bench> Tester for Run<'_, B> {
    type Error = B::Error;

    fn trial(&mut self, fps: u64, duration: Duration) -> Result<Observed, B::Error> {
        let trial = Self::trial(self, Purpose::Search, Offer::Load { fps, duration })?;
        Ok(Observed { duration, loss_ratio: trial.loss_ratio })
    }
}

/// One throughput of several searches: that of the search whose lower bound is the median.
fn throughput(goal: &Goal, found: &[Found]) -> Option<Throughput> {
    let mut order: Vec<&Found> = found.iter().collect();
    order.sort_by_key(|found| found.lower_fps);
    // Of an even number the lower one.
    let Found { lower_fps, upper_fps, conditional_fps, ended } = **order.get(order.len().saturating_sub(1) / 2)?;
    let each_fps = found.iter().map(|found| found.lower_fps.unwrap_or(0)).collect();
    let ended = if found.iter().any(|found| found.ended == Ended::Trials) { Ended::Trials } else { ended };
    Some(Throughput { loss_ratio: goal.loss_ratio, lower_fps, upper_fps, conditional_fps, ended, each_fps })
}

#[cfg(test)]
mod tests;
