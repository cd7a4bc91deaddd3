//! Makes trials of a plan with the traffic crate's tester: one stream of UDP over IPv4 for each direction, all frames of one length.

use crate::cli::Failure;
use std::{sync::atomic::AtomicBool, time::Duration};
use vfwire::{MacAddr, Pool, RxQueue, TxQueue};
use vfwire_measure::{plan::Offer, result::TrialCounts};
use vfwire_traffic::{
    self as traffic, FlowConfig, Histogram, Rate, Sizes, Stream, StreamConfig, SystemClock, TrafficError, Trial, Until,
    outcome::TIME_MAX_NS,
};

/// How long late frames are waited for.
const DRAIN: Duration = Duration::from_millis(50);
/// A burst that could not be sent within that time never will be.
const BURST_LIMIT: Duration = Duration::from_secs(10);
/// Header and FCS of a frame; the rest is its payload, on any port at least so much.
const FRAME_OVERHEAD: u16 = 18;
const MTU_MIN: u16 = 1500;

/// One way through the device.
pub(super) struct Direction {
    pub(super) tx: Box<dyn TxQueue>,
    pub(super) rx: Box<dyn RxQueue>,
    /// The station that frames are sent to, and the one that sends them.
    pub(super) macs: (MacAddr, MacAddr),
}

/// What became of a trial.
pub(super) struct Outcome {
    pub(super) counts: TrialCounts,
    /// How long frames were sent.
    pub(super) sending: Duration,
    pub(super) longest_gap_ns: u64,
    pub(super) latency_ns: Histogram<u64>,
}

/// Why a trial has no outcome.
pub(super) enum Ended {
    /// The user wants it to end.
    Interrupted,
    /// A load that cannot be sent.
    Impossible(TrafficError),
}

pub(super) struct Tester {
    tester: traffic::Tester<SystemClock>,
    macs: Vec<(MacAddr, MacAddr)>,
    flows: u16,
}

impl Tester {
    /// `shared`: other threads need this CPU.
    pub(super) fn new(directions: Vec<Direction>, pool: &Pool, (burst, flows): (u16, u16), shared: bool) -> Result<Self, Failure> {
        let macs = directions.iter().map(|direction| direction.macs).collect();
        let direction = |Direction { tx, rx, macs }: Direction| {
            let stream = stream(SHORTEST, macs, flows)?;
            Ok(traffic::Direction { tx, rx: Some(rx), stream, line_bits_per_s: None, latency_per_flow: false })
        };
        let directions = directions.into_iter().map(direction).collect::<Result<_, _>>().map_err(impossible)?;
        let mut tester = traffic::Tester::new(directions, pool, SystemClock::new()).map_err(impossible)?;
        tester.set_burst(usize::from(burst));
        tester.share_cpu(shared);
        Ok(Self { tester, macs, flows })
    }

    pub(super) fn directions(&self) -> u64 {
        self.macs.len() as u64
    }

    /// From now on frames are that long, with their FCS.
    pub(super) fn frames_of(&mut self, frame_bytes: u32) -> Result<(), Failure> {
        let bytes = u16::try_from(frame_bytes).unwrap_or(u16::MAX);
        let mut set = |at, &macs| self.tester.set_stream(at, stream(bytes, macs, self.flows)?);
        self.macs.iter().enumerate().try_for_each(|(at, macs)| set(at, macs)).map_err(impossible)
    }

    /// Makes a trial. A `Load` of `u64::MAX` frames a second is as many as can be sent.
    pub(super) fn trial(&mut self, offer: Offer, stop: &AtomicBool) -> Result<Outcome, Ended> {
        let (rate, until) = match offer {
            Offer::Load { fps: u64::MAX, duration } => (Rate::Max, Until::After(duration)),
            Offer::Load { fps, duration } => (Rate::FramesPerSecond(fps as f64), Until::After(duration)),
            Offer::Burst { frames } => (Rate::Max, Until::Frames { frames, limit: BURST_LIMIT }),
        };
        let outcomes = self.tester.trial(&Trial { rate, until, drain: DRAIN }, stop).map_err(Ended::Impossible)?;
        if outcomes.iter().any(|outcome| outcome.stopped) {
            return Err(Ended::Interrupted);
        }
        let mut all = sum(&outcomes);
        if let Offer::Burst { frames } = offer {
            // What the rings did not take within the limit counts, too.
            all.counts.intended = frames * self.directions();
        }
        Ok(all)
    }
}

/// What is sent before a size is set.
const SHORTEST: u16 = traffic::size::SIZE_MIN;

fn impossible(error: TrafficError) -> Failure {
    Failure::usage(error)
}

/// Flows are told apart by their source port.
fn stream(frame_bytes: u16, (to, from): (MacAddr, MacAddr), flows: u16) -> Result<Stream, TrafficError> {
    let flows = FlowConfig { count: Some(u64::from(flows)), ..FlowConfig::between(from, to) };
    let mtu_bytes = frame_bytes.saturating_sub(FRAME_OVERHEAD).max(MTU_MIN);
    Stream::new(&StreamConfig { mtu_bytes, ..StreamConfig::new(flows, Sizes::fixed(frame_bytes)?) })
}

/// All directions together.
fn sum(outcomes: &[traffic::Outcome]) -> Outcome {
    let latency_ns = Histogram::new_with_bounds(1, TIME_MAX_NS, 3).expect("these bounds are valid");
    let mut all = Outcome { counts: TrialCounts::default(), sending: Duration::ZERO, longest_gap_ns: 0, latency_ns };
    for one in outcomes {
        let counts = &mut all.counts;
        counts.intended += one.offered_frames;
        counts.sent += one.sent_frames;
        counts.received += one.received_frames;
        counts.duplicates += one.duplicate_frames;
        counts.reordered += one.reordered_frames;
        counts.corrupted += one.corrupt_frames;
        // Late frames of an earlier trial do not belong to this one.
        counts.foreign += one.foreign_frames + one.earlier_frames + one.misdirected_frames;
        all.sending = all.sending.max(one.sending());
        all.longest_gap_ns = all.longest_gap_ns.max(one.longest_gap_ns);
        all.latency_ns.add(&one.latency_ns).expect("its bounds are the same");
    }
    all
}

#[cfg(test)]
mod tests;
