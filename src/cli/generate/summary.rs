//! What `vfwire generate` says at its end: one JSON object, or a few lines.

use crate::cli::sample::{Drop, PortCounts};
use std::fmt;
use vfwire_traffic::{Flow, Histogram, Outcome};

/// The object that `--json` prints, in this order. Sizes and bytes count the FCS.
#[derive(serde::Serialize)]
pub(super) struct Summary {
    pub(super) version: &'static str,
    pub(super) simulated: bool,
    /// It was ended before its time.
    pub(super) partial: bool,
    /// Why it ended.
    pub(super) ended_by: String,
    pub(super) rate: String,
    pub(super) sizes: String,
    /// The longest time between two looks at the queues.
    pub(super) longest_gap_us: f64,
    /// Frames that the wires of simulated ports have lost, on purpose or because they were full; of real ports nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost_on_simulated_wires: Option<u64>,
    pub(super) directions: Vec<Direction>,
}

/// Where ports have counted frames that did not get through, whoever had sent those that were received.
#[derive(Clone, Copy, serde::Serialize)]
pub(super) struct LostAt {
    /// The receiving port's device had no descriptor for them: this process did not look in time.
    receiver_no_descriptor: u64,
    receiver_damaged: u64,
    receiver_reset: u64,
    /// Frames that no device can send: they do not count as sent.
    sender_unsendable: u64,
    /// Buffers that the sending port's device had when it was reset: their frames may or may not have left.
    sender_reset: u64,
}

impl LostAt {
    /// Of what the two ports counted meanwhile.
    pub(super) fn of(sender: &PortCounts, receiver: &PortCounts) -> Self {
        Self {
            receiver_no_descriptor: receiver.lost(Drop::NoDescriptor),
            receiver_damaged: receiver.lost(Drop::Damaged),
            receiver_reset: receiver.lost(Drop::RxReset),
            sender_unsendable: sender.lost(Drop::Unsendable),
            sender_reset: sender.lost(Drop::TxReset),
        }
    }

    fn is_nowhere(&self) -> bool {
        self.receiver_no_descriptor + self.receiver_damaged + self.receiver_reset + self.sender_unsendable + self.sender_reset == 0
    }
}

impl fmt::Display for LostAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "receiver: {} without a descriptor, {} damaged, {} in a reset; sender: {} unsendable, {} in a reset",
            self.receiver_no_descriptor, self.receiver_damaged, self.receiver_reset, self.sender_unsendable, self.sender_reset
        )
    }
}

#[derive(serde::Serialize)]
pub(super) struct Direction {
    from: String,
    to: String,
    /// Whether frames were known one by one: not those of a replay, whose loss is a difference of two counts.
    matched: bool,
    flow_count: usize,
    sending_s: f64,
    offered_frames: u64,
    sent_frames: u64,
    sent_bytes: u64,
    sent_frames_per_s: f64,
    /// On the line: preamble and gap counted.
    sent_line_bits_per_s: f64,
    /// Frames that were due and could not be given to the device in time.
    shortfall_frames: u64,
    refused_frames: u64,
    received_frames: u64,
    received_bytes: u64,
    lost_frames: u64,
    loss: f64,
    /// As far as the ports have counted it.
    lost_at: LostAt,
    duplicate_frames: u64,
    reordered_frames: u64,
    reordered_most: u64,
    stale_frames: u64,
    corrupt_frames: u64,
    misdirected_frames: u64,
    foreign_frames: u64,
    latency_ns: Quantiles,
    interdeparture_ns: Quantiles,
    lateness_ns: Quantiles,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flows: Vec<FlowSummary>,
}

#[derive(serde::Serialize)]
struct FlowSummary {
    flow: String,
    sent_frames: u64,
    received_frames: u64,
    latency_ns: Quantiles,
}

/// A histogram in short: all zero where nothing was counted.
#[derive(serde::Serialize)]
struct Quantiles {
    count: u64,
    min: u64,
    mean: f64,
    p50: u64,
    p90: u64,
    p99: u64,
    p99_9: u64,
    max: u64,
}

impl Quantiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |percentile| histogram.value_at_percentile(percentile);
        let is_empty = histogram.is_empty();
        Self {
            count: histogram.len(),
            min: if is_empty { 0 } else { histogram.min() },
            mean: if is_empty { 0.0 } else { histogram.mean() },
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            p99_9: at(99.9),
            max: histogram.max(),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |ns: u64| ns as f64 / 1e3;
        let [p50, p90, p99, p99_9, max] = [self.p50, self.p90, self.p99, self.p99_9, self.max].map(us);
        write!(f, "p50 {p50:.2} us, p90 {p90:.2} us, p99 {p99:.2} us, p99.9 {p99_9:.2} us, longest {max:.2} us")
    }
}

impl Direction {
    pub(super) fn of((from, to): (String, String), flows: &[Flow], outcome: &Outcome, lost_at: LostAt) -> Self {
        let seconds = outcome.sending().as_secs_f64().max(1e-9);
        let of_flow = |(flow, outcome): (&Flow, &vfwire_traffic::FlowOutcome)| FlowSummary {
            flow: flow.to_string(),
            sent_frames: outcome.sent_frames,
            received_frames: outcome.received_frames,
            latency_ns: Quantiles::of(&outcome.latency_ns),
        };
        Self {
            from,
            to,
            matched: outcome.matched,
            flow_count: flows.len(),
            sending_s: outcome.sending().as_secs_f64(),
            offered_frames: outcome.offered_frames,
            sent_frames: outcome.sent_frames,
            sent_bytes: outcome.sent_bytes,
            sent_frames_per_s: outcome.sent_frames_per_s(),
            sent_line_bits_per_s: outcome.sent_line_bytes as f64 * 8.0 / seconds,
            shortfall_frames: outcome.shortfall(),
            refused_frames: outcome.refused_frames,
            received_frames: outcome.received_frames,
            received_bytes: outcome.received_bytes,
            lost_frames: outcome.lost_frames(),
            loss: outcome.loss(),
            lost_at,
            duplicate_frames: outcome.duplicate_frames,
            reordered_frames: outcome.reordered_frames,
            reordered_most: outcome.reordered_most,
            stale_frames: outcome.stale_frames,
            corrupt_frames: outcome.corrupt_frames,
            misdirected_frames: outcome.misdirected_frames,
            foreign_frames: outcome.foreign_frames,
            latency_ns: Quantiles::of(&outcome.latency_ns),
            interdeparture_ns: Quantiles::of(&outcome.interdeparture_ns),
            lateness_ns: Quantiles::of(&outcome.lateness_ns),
            flows: flows.iter().zip(&outcome.flows).map(of_flow).collect(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let simulated = if self.simulated { ", simulated" } else { "" };
        let partial = if self.partial { format!(", partial: {}", self.ended_by) } else { String::new() };
        write!(f, "{} of {} bytes (FCS counted){simulated}{partial}", self.rate, self.sizes)?;
        for one in &self.directions {
            write!(f, "\n{} to {}, {} flows, {:.3} s", one.from, one.to, one.flow_count, one.sending_s)?;
            let (mpps, gbps) = (one.sent_frames_per_s / 1e6, one.sent_line_bits_per_s / 1e9);
            write!(f, "\n  sent       {} frames, {mpps:.6} Mframes/s, {gbps:.3} Gbit/s on the line", one.sent_frames)?;
            write!(f, ", {} due and not sent", one.shortfall_frames)?;
            write!(f, "\n  received   {} frames, {} lost ({:.4} %)", one.received_frames, one.lost_frames, one.loss * 100.0)?;
            if one.lost_frames != 0 || !one.lost_at.is_nowhere() {
                write!(f, "\n             counted at the {}", one.lost_at)?;
            }
            write!(
                f,
                "\n             {} duplicates, {} reordered (by up to {})",
                one.duplicate_frames, one.reordered_frames, one.reordered_most
            )?;
            write!(f, ", {} damaged, {} too late to tell, {} foreign", one.corrupt_frames, one.stale_frames, one.foreign_frames)?;
            write!(f, "\n  latency    {}", one.latency_ns)?;
            write!(f, "\n  departures {} apart", one.interdeparture_ns)?;
            if one.lateness_ns.count != 0 {
                write!(f, "\n  late by    {}", one.lateness_ns)?;
            }
            for flow in &one.flows {
                write!(f, "\n  {}: {} of {}, {}", flow.flow, flow.received_frames, flow.sent_frames, flow.latency_ns)?;
            }
        }
        if let Some(lost) = self.lost_on_simulated_wires.filter(|lost| *lost != 0) {
            write!(f, "\nlost on simulated wires: {lost} frames")?;
        }
        write!(f, "\nlongest time between two looks at the queues: {:.1} us", self.longest_gap_us)
    }
}
