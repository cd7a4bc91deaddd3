//! Whether what was asked for was met, and whether that can be said.

use super::SizeResult;
use serde::{Deserialize, Serialize};

/// What a measurement is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing was asked for.
    Measured,
    /// Everything that was asked for is met.
    Pass,
    /// Something that was asked for is not met.
    Fail,
    /// The measurement is not to be trusted: it is no pass, whatever the figures.
    Untrusted,
}

impl Outcome {
    /// In a word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Untrusted => "untrusted",
        }
    }
}

/// What was asked for. Each of it is asked of every size of frame.
#[derive(Clone, Copy, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// Least NDR, frames a second.
    pub ndr_fps: Option<u64>,
    /// Least PDR, frames a second.
    pub pdr_fps: Option<u64>,
    /// Most latency of 99 % of the frames, in nanoseconds, at each load at which latency is measured up to [`P99_SHARE_OF_PDR`].
    pub p99_ns: Option<u64>,
}

/// The highest share of the PDR at which latency is held against a requirement. Nearer to it, queues are what is measured.
pub const P99_SHARE_OF_PDR: f64 = 0.5;

impl Requirements {
    /// Whether anything is asked for.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// What was asked for, and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// In a word.
    pub outcome: Outcome,
    /// What was asked for.
    pub requirements: Requirements,
    /// Why it is no pass.
    pub reasons: Vec<String>,
}

/// What a warning is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningKind {
    /// A port was simulated: the figures are of a model, not of a device.
    Simulated,
    /// The cgroup was throttled while it was measured.
    Throttled,
    /// Threads that poll had to share a CPU.
    SharedCpu,
    /// The tester was kept from its CPU for so long that its figures are of that.
    LostTimer,
    /// A thread polls on another node of memory than its port's.
    WrongNode,
    /// CPUs may change their frequency.
    Governor,
    /// The other CPU of a core is another polling thread's.
    SmtSibling,
    /// Links or ports changed during a trial.
    PortEvent,
    /// The tester, not the device, was what limited.
    TesterLimit,
    /// Trials are shorter than the practice has them.
    ShortTrials,
    /// Frames came back damaged.
    Damage,
    /// The measurement was ended early.
    Partial,
}

/// What is to be known before a figure is believed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warning {
    /// What it is about.
    pub about: WarningKind,
    /// What was seen, and what to do.
    pub text: String,
    /// Whether the measurement cannot be trusted, so that it is no pass.
    pub distrust: bool,
}

/// Judges figures by what was asked for and what was warned of.
pub fn judge(requirements: Requirements, sizes: &[SizeResult], warnings: &[Warning]) -> Verdict {
    let mut reasons: Vec<String> = warnings.iter().filter(|warning| warning.distrust).map(|warning| warning.text.clone()).collect();
    let trusted = reasons.is_empty();
    let missed: Vec<String> = sizes.iter().flat_map(|size| missed(&requirements, size)).collect();
    let nothing = requirements.is_any() && sizes.is_empty();
    let outcome = match (trusted, requirements.is_any(), missed.is_empty() && !nothing) {
        (false, ..) => Outcome::Untrusted,
        (true, false, _) => Outcome::Measured,
        (true, true, true) => Outcome::Pass,
        (true, true, false) => Outcome::Fail,
    };
    reasons.extend(missed);
    if nothing {
        reasons.push("nothing was measured".to_owned());
    }
    Verdict { outcome, requirements, reasons }
}

/// What a size misses of what was asked for. What was not measured is missed, too.
fn missed(requirements: &Requirements, size: &SizeResult) -> Vec<String> {
    let mut missed = Vec::new();
    let bytes = size.frame_bytes;
    for (name, asked, found) in [("NDR", requirements.ndr_fps, &size.ndr), ("PDR", requirements.pdr_fps, &size.pdr)] {
        let Some(asked) = asked else { continue };
        match found.as_ref().map(|found| found.lower_fps) {
            Some(Some(fps)) if fps >= asked => {}
            Some(fps) => missed.push(format!("{name} of {bytes} byte frames is {} frames/s, and {asked} are required", fps.unwrap_or(0))),
            None => missed.push(format!("{name} of {bytes} byte frames was not measured, and {asked} frames/s are required")),
        }
    }
    if let Some(asked) = requirements.p99_ns {
        let held: Vec<_> = size.latency.iter().filter(|point| point.share_of_pdr <= P99_SHARE_OF_PDR + 1e-9).collect();
        if held.is_empty() {
            missed.push(format!("latency of {bytes} byte frames was not measured, and a p99 of {asked} ns is required"));
        }
        for point in held {
            let load = point.share_of_pdr * 100.0;
            match point.latency.as_ref().and_then(|latency| latency.percentile_ns(99.0)) {
                Some(p99) if p99 <= asked => {}
                Some(p99) => {
                    missed.push(format!("p99 of {bytes} byte frames at {load:.0} % of PDR is {p99} ns, and at most {asked} are required"))
                }
                None => missed.push(format!("no {bytes} byte frame came back at {load:.0} % of PDR, and a p99 of {asked} ns is required")),
            }
        }
    }
    missed
}
