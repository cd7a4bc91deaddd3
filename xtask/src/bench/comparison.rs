//! What is compared with what, and the ratio that vfwire has set itself; what a comparison gave, and the verdict.

use std::fmt;

use super::spread::Spread;

/// Round trip of a cache line between the two cores, in TSC cycles, beyond which a figure of thread mode says more about where the host has
/// put the virtual CPUs than about the driver.
const ROUND_TRIP_LIMIT: u32 = 500;

/// What is done with a frame between receive and transmit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Io,
    MacSwap,
}

/// Where the model of the device runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Model {
    /// On the measured core, between the timed bursts: the cost of the driver alone.
    LockStep,
    /// On a core of its own: descriptors miss the cache as with DMA.
    Thread,
}

/// Which compilation of the packet path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Path {
    /// What the side chooses by itself.
    Best,
    Scalar,
}

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Vfwire,
    Dpdk,
}

/// One comparison.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Comparison {
    pub(super) mode: Mode,
    pub(super) model: Model,
    pub(super) burst: u32,
    pub(super) vfwire: Path,
    pub(super) dpdk: Path,
    /// Greatest ratio of our cycles to theirs; nothing: for the plot only.
    pub(super) limit: Option<f64>,
}

/// Every comparison; only those that have a limit where it has to be quick.
pub(super) fn comparisons(quick: bool) -> Vec<Comparison> {
    use {Mode::*, Model::*, Path::*};
    let limits = [
        (Io, LockStep, Best, [0.30, 0.45, 0.75]),
        (MacSwap, LockStep, Best, [0.50, 0.65, 0.80]),
        (Io, LockStep, Scalar, [0.40, 0.50, 0.60]),
        (Io, Thread, Best, [0.80, 0.80, 0.80]),
    ];
    let limited = limits.into_iter().flat_map(|(mode, model, path, limits)| {
        [32, 8, 4].into_iter().zip(limits).map(move |(burst, limit)| Comparison {
            mode,
            model,
            burst,
            vfwire: path,
            dpdk: path,
            limit: Some(limit),
        })
    });
    // DPDK's vector path serves bursts of 4 to 32; for others its scalar path is what there is.
    let plotted = [Io, MacSwap].into_iter().flat_map(|mode| {
        [(1, Scalar), (16, Best), (64, Scalar)].map(|(burst, dpdk)| Comparison {
            mode,
            model: LockStep,
            burst,
            vfwire: Best,
            dpdk,
            limit: None,
        })
    });
    limited.chain(plotted.filter(|_| !quick)).collect()
}

impl Comparison {
    /// The figure's name in records: `lock-step/io/32/vfwire-best`.
    pub(super) fn figure(&self, side: Side) -> String {
        let (side, path) = match side {
            Side::Vfwire => ("vfwire", self.vfwire),
            Side::Dpdk => ("dpdk", self.dpdk),
        };
        format!("{}/{side}-{path}", self.place())
    }

    /// The ratio's name in records.
    pub(super) fn ratio_figure(&self) -> String {
        format!("{}/ratio-{}", self.place(), self.vfwire)
    }

    fn place(&self) -> String {
        format!("{}/{}/{}", self.model, self.mode, self.burst)
    }
}

/// One repetition of one side.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Repetition {
    pub(super) cycles_a_frame: f64,
    /// TSC cycles; 0 in lock-step.
    pub(super) round_trip: u32,
}

/// A comparison and what its rounds gave: `vfwire[i]` and `dpdk[i]` are of one round.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Measured {
    pub(super) comparison: Comparison,
    pub(super) vfwire: Vec<Repetition>,
    pub(super) dpdk: Vec<Repetition>,
}

/// What a ratio is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Pass,
    Miss,
    /// The cores were too far apart in too many rounds.
    Far,
    /// There is no limit.
    None,
}

impl Measured {
    pub(super) fn new(comparison: Comparison) -> Self {
        Self { comparison, vfwire: Vec::new(), dpdk: Vec::new() }
    }

    /// The rounds that count: both sides' cores were near.
    fn near(&self) -> impl Iterator<Item = (&Repetition, &Repetition)> {
        let near = |repetition: &Repetition| repetition.round_trip < ROUND_TRIP_LIMIT;
        self.vfwire.iter().zip(&self.dpdk).filter(move |(ours, theirs)| near(ours) && near(theirs))
    }

    /// Whether most rounds count. Otherwise all of them are shown, without a verdict.
    pub(super) fn is_near(&self) -> bool {
        self.near().count() * 2 > self.vfwire.len()
    }

    fn rounds(&self) -> Vec<(&Repetition, &Repetition)> {
        if self.is_near() { self.near().collect() } else { self.vfwire.iter().zip(&self.dpdk).collect() }
    }

    /// Cycles a frame of one side.
    pub(super) fn cycles(&self, side: Side) -> Option<Spread> {
        let value =
            |(ours, theirs): (&Repetition, &Repetition)| if side == Side::Vfwire { ours.cycles_a_frame } else { theirs.cycles_a_frame };
        Spread::of(&self.rounds().into_iter().map(value).collect::<Vec<_>>())
    }

    /// Greatest round trip of the rounds shown, of both sides.
    pub(super) fn round_trip(&self) -> u32 {
        self.rounds().into_iter().map(|(ours, theirs)| ours.round_trip.max(theirs.round_trip)).max().unwrap_or(0)
    }

    /// Ratio of the medians; its spread is that of the rounds' own ratios, since what slows the machine slows both sides of a round.
    pub(super) fn ratio(&self) -> Option<Spread> {
        let ratios: Vec<_> = self.rounds().into_iter().map(|(ours, theirs)| ours.cycles_a_frame / theirs.cycles_a_frame).collect();
        let median = self.cycles(Side::Vfwire)?.median / self.cycles(Side::Dpdk)?.median;
        Spread::of(&ratios).map(|spread| Spread { median, ..spread })
    }

    pub(super) fn verdict(&self) -> Verdict {
        match (self.comparison.limit, self.ratio()) {
            (None, _) | (_, None) => Verdict::None,
            _ if !self.is_near() => Verdict::Far,
            (Some(limit), Some(ratio)) if ratio.median <= limit => Verdict::Pass,
            _ => Verdict::Miss,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Io { "io" } else { "mac-swap" })
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::LockStep { "lock-step" } else { "thread" })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Best { "best" } else { "scalar" })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A comparison at burst 32 and its rounds: our cycles, their cycles, both round trips.
    pub(in crate::bench) fn measured(model: Model, rounds: &[(f64, f64, u32)]) -> Measured {
        let comparison = comparisons(true).into_iter().find(|comparison| comparison.model == model && comparison.burst == 32);
        let mut measured = Measured::new(comparison.expect("both models are compared at burst 32"));
        for &(ours, theirs, round_trip) in rounds {
            measured.vfwire.push(Repetition { cycles_a_frame: ours, round_trip });
            measured.dpdk.push(Repetition { cycles_a_frame: theirs, round_trip });
        }
        measured
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = comparisons(false).iter().map(Comparison::ratio_figure).collect();
        assert!(names.contains(&"lock-step/io/32/ratio-best".to_owned()));
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!((names.len(), count), (18, 18));
        assert!(comparisons(true).iter().all(|comparison| comparison.limit.is_some()));
    }

    #[test]
    fn the_ratio_is_that_of_the_medians_and_spreads_by_rounds() {
        // The second round was slow for both.
        let measured = measured(Model::LockStep, &[(2.0, 10.0, 0), (4.0, 16.0, 0), (3.0, 10.0, 0)]);
        assert_eq!(measured.ratio(), Some(Spread { median: 0.3, min: 0.2, max: 0.3 }));
        assert_eq!(measured.verdict(), Verdict::Pass);
    }

    #[test]
    fn a_limit_is_missed_by_more_than_it() {
        assert_eq!(measured(Model::LockStep, &[(3.1, 10.0, 0)]).verdict(), Verdict::Miss);
        assert_eq!(measured(Model::LockStep, &[]).verdict(), Verdict::None);
    }

    #[test]
    fn far_cores_give_no_verdict() {
        let mostly_far = measured(Model::Thread, &[(5.0, 10.0, 156), (50.0, 10.0, 900), (50.0, 10.0, 500)]);
        assert_eq!(mostly_far.verdict(), Verdict::Far);
        assert_eq!(mostly_far.round_trip(), 900);
        let mostly_near = measured(Model::Thread, &[(5.0, 10.0, 156), (6.0, 10.0, 499), (50.0, 10.0, 500)]);
        assert_eq!(mostly_near.verdict(), Verdict::Pass);
        assert_eq!((mostly_near.round_trip(), mostly_near.cycles(Side::Vfwire).unwrap().max), (499, 6.0));
    }
}
