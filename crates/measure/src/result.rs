//! The file of a measurement: JSON, with everything that is needed to judge it, and every trial.
//!
//! Reading is strict. A field that is missing, is not known, or has a value that cannot be, is an error that says where it stands: a report of
//! half-understood figures would be worse than none.

mod environment;
mod figures;
mod verdict;

pub use environment::{Environment, Host, PortFacts, Role, ThreadFacts};
pub use figures::{
    BackToBack, Latency, LatencyPoint, LossPoint, PERCENTILES, Purpose, SizeResult, Throughput, Trial, TrialCounts, line_rate_fps,
};
use serde::{Deserialize, Serialize};
pub use verdict::{Outcome, P99_SHARE_OF_PDR, Requirements, Verdict, Warning, WarningKind, judge};

/// What a file of ours begins with.
const KIND: &str = "vfwire-bench";
/// The only version of the format so far.
pub const SCHEMA: u32 = 1;
/// More than that no file of ours has. Whoever reads need not try to.
pub const BYTES_MAX: u64 = 64 << 20;

/// A measurement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// `vfwire-bench`.
    pub kind: String,
    /// Version of this format: [`SCHEMA`].
    pub schema: u32,
    /// Version of the vfwire that measured.
    pub vfwire: String,
    /// When it began: RFC 3339, UTC.
    pub started: String,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
    /// What to call it, beside others.
    pub label: String,
    /// The arguments that it was started with.
    pub arguments: Vec<String>,
    /// Whether any port was simulated.
    pub simulated: bool,
    /// Why it is not complete; nothing where it is.
    pub partial: Option<String>,
    /// What was asked for, and whether it was met.
    pub verdict: Verdict,
    /// What is to be known before a figure is believed.
    pub warnings: Vec<Warning>,
    /// How it was measured.
    pub method: Method,
    /// Where it was measured.
    pub environment: Environment,
    /// What was measured, for each size of frame.
    pub sizes: Vec<SizeResult>,
}

/// What was between the tester's ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// A device under test between two ports.
    TwoPorts,
    /// One port, whose frames come back to it.
    Loop,
    /// A forwarder of this process, between simulated ports.
    Embedded,
}

impl Topology {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::TwoPorts => "a device between two ports",
            Self::Loop => "a loop on one port",
            Self::Embedded => "a forwarder of the same process, between simulated ports",
        }
    }
}

/// How it was measured. Times are in seconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// What was between the tester's ports.
    pub topology: Topology,
    /// Directions of traffic at once: 1 or 2. Loads are of each.
    pub directions: u32,
    /// Length of the search's first trials.
    pub initial_trial_s: f64,
    /// Length of a trial.
    pub trial_s: f64,
    /// How long a load was tried before it counted as borne.
    pub duration_sum_s: f64,
    /// Share of that time in which more may have been lost.
    pub exceed_ratio: f64,
    /// How near bounds were to one another, as a share of the upper one.
    pub relative_width: f64,
    /// Searches of each throughput.
    pub repeat: u32,
    /// Share of frames that PDR allows to be lost.
    pub pdr_loss_ratio: f64,
    /// Lowest load tried, frames a second.
    pub min_load_fps: u64,
    /// Flows in the traffic.
    pub flows: u64,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON, or ends too early.
    #[error("is no complete JSON ({0}): it was cut short, or is no result of `vfwire bench`; measure again")]
    Json(serde_json::Error),
    /// It is JSON, of something else.
    #[error("is JSON, but no result of `vfwire bench`: it has no `\"kind\": \"{KIND}\"`")]
    Foreign,
    /// It is of another version of the format.
    #[error("is a result of schema {0}, and this vfwire reads schema {SCHEMA}: use the vfwire that wrote it, or measure again")]
    Schema(u64),
    /// A field is not as it must be.
    #[error("is a result of `vfwire bench`, but {0}: it was changed by hand, or by a fault; measure again")]
    Field(String),
}

impl Measurement {
    /// The name of the kind, for whoever makes one.
    pub fn kind() -> String {
        KIND.to_owned()
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Where a figure is no number.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Where it is not one of ours, in every detail.
    pub fn from_json(text: &str) -> Result<Self, ReadError> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(ReadError::Json)?;
        if value.get("kind").and_then(|kind| kind.as_str()) != Some(KIND) {
            return Err(ReadError::Foreign);
        }
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(schema) if schema == u64::from(SCHEMA) => {}
            Some(schema) => return Err(ReadError::Schema(schema)),
            None => return Err(ReadError::Field("its `schema` is no number".to_owned())),
        }
        // From the text again: only so has an error its line.
        let read: Self = serde_json::from_str(text).map_err(|error| ReadError::Field(error.to_string()))?;
        read.check().map_err(ReadError::Field)?;
        Ok(read)
    }

    /// What types do not say.
    fn check(&self) -> Result<(), String> {
        for size in &self.sizes {
            figures::check(size).map_err(|why| format!("at {} bytes {why}", size.frame_bytes))?;
        }
        let mut lengths: Vec<_> = self.sizes.iter().map(|size| size.frame_bytes).collect();
        lengths.sort_unstable();
        lengths.dedup();
        if lengths.len() == self.sizes.len() { Ok(()) } else { Err("a size of frame is in it twice".to_owned()) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
