//! What came of a trial.

use hdrhistogram::Histogram;
use std::time::Duration;

/// The greatest time that histograms hold, in nanoseconds: what marks can tell. Longer ones count as that.
pub const TIME_MAX_NS: u64 = u32::MAX as u64;
/// Significant digits of the histograms: 0.1 %.
const DIGITS: u8 = 3;
/// Significant digits of the histograms of single flows: 1 %.
const FLOW_DIGITS: u8 = 2;

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, TIME_MAX_NS, DIGITS).expect("these bounds are valid")
}

pub(crate) fn flow_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, TIME_MAX_NS, FLOW_DIGITS).expect("these bounds are valid")
}

/// What one direction did in a trial. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Frames that were due. More than `sent`: the device or this thread could not keep up ([`Outcome::shortfall`]).
    pub offered_frames: u64,
    /// Frames given to the device.
    pub sent_frames: u64,
    /// Their bytes, FCS counted.
    pub sent_bytes: u64,
    /// Their time on the line in bytes: FCS, preamble and gap counted.
    pub sent_line_bytes: u64,
    /// Frames that the device refused to send, whatever is said of them is in its statistics.
    pub refused_frames: u64,
    /// Own frames that arrived whole, each counted once. Of a replay: all frames that arrived.
    pub received_frames: u64,
    /// Their bytes, FCS counted.
    pub received_bytes: u64,
    /// Own frames that arrived again (RFC 5560).
    pub duplicate_frames: u64,
    /// Frames that arrived whole after one that was sent later in their flow (RFC 4737, 3.3). They are received frames, too.
    pub reordered_frames: u64,
    /// The most that a reordered frame lay behind the next sequence number that was expected.
    pub reordered_most: u64,
    /// Frames that came more than [`WINDOW`](crate::WINDOW) sequence numbers late; they are lost frames, too.
    pub stale_frames: u64,
    /// Own frames that arrived damaged: wrong CRC, wrong length, a number that was never sent. They are lost frames, too.
    pub corrupt_frames: u64,
    /// Own frames of an earlier trial.
    pub earlier_frames: u64,
    /// Own frames of another direction.
    pub misdirected_frames: u64,
    /// Frames that are not ours.
    pub foreign_frames: u64,
    /// Whether received frames were known one by one: not so for a replay.
    pub matched: bool,
    /// From departure to arrival of every frame that was received.
    pub latency_ns: Histogram<u64>,
    /// From each departure to the next one. Frames that are given to the device together leave together: zero.
    pub interdeparture_ns: Histogram<u64>,
    /// How much later than due each frame left; empty where frames are not paced.
    pub lateness_ns: Histogram<u64>,
    /// From the first frame due to the last departure, or as long as sending was tried.
    pub sending_ns: u64,
    /// The longest time between two looks at the queues: where the thread was not on its CPU, or a call took long.
    pub longest_gap_ns: u64,
    /// One a flow, where that was asked for.
    pub flows: Vec<FlowOutcome>,
    /// The trial was ended before its time.
    pub stopped: bool,
}

/// What became of one flow.
#[derive(Clone, Debug)]
pub struct FlowOutcome {
    /// Frames given to the device.
    pub sent_frames: u64,
    /// Frames that arrived whole, each counted once.
    pub received_frames: u64,
    /// From departure to arrival, to 1 %.
    pub latency_ns: Histogram<u64>,
}

impl Outcome {
    /// A direction that has done nothing.
    pub(crate) fn new(matched: bool) -> Self {
        Self {
            offered_frames: 0,
            sent_frames: 0,
            sent_bytes: 0,
            sent_line_bytes: 0,
            refused_frames: 0,
            received_frames: 0,
            received_bytes: 0,
            duplicate_frames: 0,
            reordered_frames: 0,
            reordered_most: 0,
            stale_frames: 0,
            corrupt_frames: 0,
            earlier_frames: 0,
            misdirected_frames: 0,
            foreign_frames: 0,
            matched,
            latency_ns: histogram(),
            interdeparture_ns: histogram(),
            lateness_ns: histogram(),
            sending_ns: 0,
            longest_gap_ns: 0,
            flows: Vec::new(),
            stopped: false,
        }
    }

    /// Frames that were sent and did not arrive whole.
    pub fn lost_frames(&self) -> u64 {
        self.sent_frames.saturating_sub(self.received_frames)
    }

    /// Share of the frames sent that did not arrive whole; zero where none was sent.
    pub fn loss(&self) -> f64 {
        if self.sent_frames == 0 { 0.0 } else { self.lost_frames() as f64 / self.sent_frames as f64 }
    }

    /// Frames that were due and could not be given to the device in time.
    pub fn shortfall(&self) -> u64 {
        self.offered_frames.saturating_sub(self.sent_frames)
    }

    /// Time of sending.
    pub fn sending(&self) -> Duration {
        Duration::from_nanos(self.sending_ns)
    }

    /// Frames sent a second; zero where none was sent.
    pub fn sent_frames_per_s(&self) -> f64 {
        if self.sending_ns == 0 { 0.0 } else { self.sent_frames as f64 * 1e9 / self.sending_ns as f64 }
    }
}
