//! What was measured.

use crate::search::Ended;
use serde::{Deserialize, Serialize};

/// Bytes of a frame on the wire that are not the frame's: preamble, start delimiter and the gap between frames (IEEE 802.3, 4.4.2).
const GAP_BYTES: u32 = 20;

/// Frames a second that a line of `mbps` carries, of frames with `frame_bytes` including the FCS.
pub fn line_rate_fps(mbps: u32, frame_bytes: u32) -> f64 {
    f64::from(mbps) * 1e6 / (f64::from(frame_bytes + GAP_BYTES) * 8.0)
}

/// All that was measured with frames of one size.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeResult {
    /// Length of the frames with their FCS, in bytes.
    pub frame_bytes: u32,
    /// What the line carries, frames a second; nothing where the port does not say its speed.
    pub line_rate_fps: Option<f64>,
    /// The highest load that was tried.
    pub max_load_fps: u64,
    /// Throughput without loss.
    pub ndr: Option<Throughput>,
    /// Throughput with little loss.
    pub pdr: Option<Throughput>,
    /// Latency at shares of the PDR.
    pub latency: Vec<LatencyPoint>,
    /// Loss at shares of the highest load.
    pub loss: Vec<LossPoint>,
    /// The longest burst that is borne.
    pub back_to_back: Option<BackToBack>,
    /// Cycles of the processor's counter that the forwarder of this process spent on a frame; of a device elsewhere nobody knows.
    pub cycles_per_frame: Option<f64>,
    /// Every trial, in order.
    pub trials: Vec<Trial>,
}

impl SizeResult {
    /// Nothing measured yet.
    pub(crate) fn empty() -> Self {
        Self {
            frame_bytes: 0,
            line_rate_fps: None,
            max_load_fps: 0,
            ndr: None,
            pdr: None,
            latency: Vec::new(),
            loss: Vec::new(),
            back_to_back: None,
            cycles_per_frame: None,
            trials: Vec::new(),
        }
    }
}

/// A throughput, frames a second in each direction.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// Share of frames that may be lost.
    pub loss_ratio: f64,
    /// The highest load that is borne: of several searches the median. Nothing where not even the lowest one is.
    pub lower_fps: Option<u64>,
    /// The lowest load that is not borne; nothing where the highest one is.
    pub upper_fps: Option<u64>,
    /// What came through at the lower bound.
    pub conditional_fps: Option<f64>,
    /// Why the search ended.
    pub ended: Ended,
    /// The lower bound of each search, 0 for none, in order.
    pub each_fps: Vec<u64>,
}

/// What a trial was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Filling caches and tables. Its figures count for nothing.
    WarmUp,
    /// The search for throughput.
    Search,
    /// Latency.
    Latency,
    /// The loss curve.
    Loss,
    /// A burst back to back.
    BackToBack,
}

/// A trial.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// What it was for.
    pub purpose: Purpose,
    /// When it began, in seconds since the measurement did.
    pub at_s: f64,
    /// Intended load, frames a second in each direction; 0 for as fast as possible.
    pub load_fps: u64,
    /// How long frames were sent, in seconds.
    pub duration_s: f64,
    /// What became of the frames.
    pub counts: TrialCounts,
    /// Share of the intended frames that did not come back.
    pub loss_ratio: f64,
    /// The longest the tester did not look at its ports, in nanoseconds: how long it was kept from its CPU.
    pub longest_gap_ns: u64,
    /// Latency, of what came back.
    pub latency: Option<Latency>,
    /// What happened to ports meanwhile: resets, changes of the link.
    pub events: Vec<String>,
}

/// Frames of a trial, all directions together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialCounts {
    /// To be sent.
    pub intended: u64,
    /// Sent.
    pub sent: u64,
    /// Came back: each once, whole.
    pub received: u64,
    /// Came back more often than once.
    pub duplicates: u64,
    /// Came after one that was sent later.
    pub reordered: u64,
    /// Came back damaged.
    pub corrupted: u64,
    /// Not of this trial.
    pub foreign: u64,
}

/// Percentiles that are kept of a distribution.
pub const PERCENTILES: [f64; 14] = [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999, 100.0];

/// A distribution of latencies, in nanoseconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Frames in it.
    pub frames: u64,
    /// Mean.
    pub mean_ns: f64,
    /// Standard deviation.
    pub deviation_ns: f64,
    /// [`PERCENTILES`], in order.
    pub percentiles_ns: Vec<u64>,
}

impl Latency {
    /// A percentile that is kept.
    pub fn percentile_ns(&self, percentile: f64) -> Option<u64> {
        let at = PERCENTILES.iter().position(|kept| (kept - percentile).abs() < 1e-9)?;
        self.percentiles_ns.get(at).copied()
    }

    /// What is kept of a histogram of nanoseconds; nothing of an empty one.
    pub fn of(histogram: &hdrhistogram::Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            frames: histogram.len(),
            mean_ns: histogram.mean(),
            deviation_ns: histogram.stdev(),
            percentiles_ns: PERCENTILES.iter().map(|&percentile| percentile_of(histogram, percentile)).collect(),
        })
    }
}

/// The ends are the least and the most that were seen, to the histogram's resolution.
fn percentile_of(histogram: &hdrhistogram::Histogram<u64>, percentile: f64) -> u64 {
    match percentile {
        0.0 => histogram.min(),
        100.0 => histogram.max(),
        _ => histogram.value_at_percentile(percentile),
    }
}

/// Latency at a load.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyPoint {
    /// Share of the PDR, above 0, up to 1.
    pub share_of_pdr: f64,
    /// That load, frames a second.
    pub load_fps: u64,
    /// Share that was lost.
    pub loss_ratio: f64,
    /// The latencies; nothing where nothing came back.
    pub latency: Option<Latency>,
}

/// Loss at a load (RFC 2544, 26.3).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossPoint {
    /// Share of the highest load.
    pub share_of_max: f64,
    /// That load, frames a second.
    pub load_fps: u64,
    /// Share that was lost.
    pub loss_ratio: f64,
    /// What came back, frames a second in each direction.
    pub received_fps: f64,
}

/// The longest burst that is borne without loss (RFC 2544, 26.4; RFC 9004).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackToBack {
    /// Frames of the longest burst without loss: the mean of the repetitions.
    pub frames: f64,
    /// Of each repetition.
    pub each_frames: Vec<u64>,
    /// The longest that was tried. What is as long may be longer.
    pub max_frames: u64,
    /// How fast the tester sent it, frames a second.
    pub sent_fps: f64,
}

/// Whether figures can be.
pub(super) fn check(size: &SizeResult) -> Result<(), String> {
    let share = |name: &str, value: f64| if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("{name} is {value}, not 0 to 1")) };
    if !(64..=16_384).contains(&size.frame_bytes) {
        return Err("the frames have an impossible length".to_owned());
    }
    for throughput in [&size.ndr, &size.pdr].into_iter().flatten() {
        share("loss_ratio", throughput.loss_ratio)?;
        if let (Some(lower), Some(upper)) = (throughput.lower_fps, throughput.upper_fps)
            && lower > upper
        {
            return Err(format!("a lower bound of {lower} is above its upper bound of {upper}"));
        }
    }
    for point in &size.loss {
        share("loss_ratio", point.loss_ratio)?;
        share("share_of_max", point.share_of_max)?;
    }
    for point in &size.latency {
        share("loss_ratio", point.loss_ratio)?;
        share("share_of_pdr", point.share_of_pdr)?;
    }
    for trial in &size.trials {
        share("a trial's loss_ratio", trial.loss_ratio)?;
    }
    let latencies =
        size.latency.iter().filter_map(|point| point.latency.as_ref()).chain(size.trials.iter().filter_map(|trial| trial.latency.as_ref()));
    for latency in latencies {
        let values = &latency.percentiles_ns;
        if values.len() != PERCENTILES.len() || values.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(format!("there are not {} percentiles that grow", PERCENTILES.len()));
        }
    }
    Ok(())
}
