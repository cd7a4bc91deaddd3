//! How a running command is doing: one value that metrics, the live view and the status line are made from.
//!
//! The control thread takes it a few times a second from counters that ports and workers keep anyway, so polling pays nothing for it. All
//! counts are since the command began; a rate is the difference of two samples.

use super::ports::LaneDrops;
use std::time::Duration;
use vfwire::{Link, PortState, PortStats};

/// How a command is doing, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Since the command's queues ran.
    pub(super) at: Duration,
    pub(super) ports: Vec<PortSample>,
    pub(super) workers: Vec<WorkerSample>,
    /// Nothing where the command measures none.
    pub(super) latencies: Vec<LatencySample>,
}

/// One port.
#[derive(Clone, Debug)]
pub(super) struct PortSample {
    pub(super) address: String,
    pub(super) driver: &'static str,
    pub(super) mac: String,
    pub(super) simulated: bool,
    pub(super) link: Link,
    pub(super) state: PortState,
    pub(super) counts: PortCounts,
}

/// All states of a port, in the order of its life.
pub(super) const STATES: [PortState; 6] =
    [PortState::Stopped, PortState::Running, PortState::Resetting, PortState::Recovering, PortState::Failed, PortState::Removed];

pub(super) fn state_name(state: PortState) -> &'static str {
    match state {
        PortState::Stopped => "stopped",
        PortState::Running => "running",
        PortState::Resetting => "resetting",
        PortState::Recovering => "recovering",
        PortState::Failed => "failed",
        PortState::Removed => "removed",
    }
}

/// What a port counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PortCounts {
    pub(super) rx_frames: u64,
    /// FCS not counted.
    pub(super) rx_bytes: u64,
    pub(super) tx_frames: u64,
    /// FCS not counted.
    pub(super) tx_bytes: u64,
    /// Frames by the cause of their loss: [`Drop::ALL`]'s order.
    pub(super) drops: [u64; Drop::ALL.len()],
    pub(super) resets: u64,
    /// Polls that found no buffer to receive into.
    pub(super) starved_polls: u64,
    /// Polls that found no room to send.
    pub(super) full_polls: u64,
    /// Completions that the device made up.
    pub(super) bad_completions: u64,
}

/// Why a frame did not get through a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Drop {
    /// The device had no descriptor for it.
    NoDescriptor,
    /// It arrived damaged, too long or without an end.
    Damaged,
    /// It had arrived when the device was reset.
    RxReset,
    /// The stage dropped it.
    Stage,
    /// The transmit ring stayed full.
    RingFull,
    /// No device can send it.
    Unsendable,
    /// The device had it, unsent for all that is known, when it was reset.
    TxReset,
}

impl Drop {
    pub(super) const ALL: [Self; 7] =
        [Self::NoDescriptor, Self::Damaged, Self::RxReset, Self::Stage, Self::RingFull, Self::Unsendable, Self::TxReset];

    /// The label `cause` of metrics.
    pub(super) fn cause(self) -> &'static str {
        match self {
            Self::NoDescriptor => "no_descriptor",
            Self::Damaged => "damaged",
            Self::RxReset | Self::TxReset => "reset",
            Self::Stage => "stage",
            Self::RingFull => "ring_full",
            Self::Unsendable => "unsendable",
        }
    }

    /// The label `direction` of metrics.
    pub(super) fn direction(self) -> &'static str {
        match self {
            Self::NoDescriptor | Self::Damaged | Self::RxReset | Self::Stage => "receive",
            Self::RingFull | Self::Unsendable | Self::TxReset => "transmit",
        }
    }
}

impl PortCounts {
    /// Of a port's statistics, and what its lanes dropped.
    pub(super) fn of(stats: &PortStats, lanes: LaneDrops) -> Self {
        let (rx, tx) = (stats.rx_total(), stats.tx_total());
        let count = |drop| match drop {
            Drop::NoDescriptor => rx.no_descriptor,
            Drop::Damaged => rx.errors,
            Drop::RxReset => rx.lost_in_reset,
            Drop::Stage => lanes.by_stage,
            Drop::RingFull => lanes.ring_full,
            Drop::Unsendable => tx.unsendable,
            Drop::TxReset => tx.lost_in_reset,
        };
        Self {
            rx_frames: rx.frames,
            rx_bytes: rx.bytes,
            tx_frames: tx.frames,
            tx_bytes: tx.bytes,
            drops: Drop::ALL.map(count),
            resets: stats.resets,
            starved_polls: rx.starved_polls,
            full_polls: tx.full_polls,
            bad_completions: tx.bad_completions,
        }
    }

    /// Frames lost, whatever the cause.
    pub(super) fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Frames lost for this reason.
    pub(super) fn lost(&self, drop: Drop) -> u64 {
        self.drops[drop as usize]
    }

    /// What was counted since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut drops = self.drops;
        drops.iter_mut().zip(before.drops).for_each(|(now, before)| *now = now.saturating_sub(before));
        Self {
            rx_frames: self.rx_frames.saturating_sub(before.rx_frames),
            rx_bytes: self.rx_bytes.saturating_sub(before.rx_bytes),
            tx_frames: self.tx_frames.saturating_sub(before.tx_frames),
            tx_bytes: self.tx_bytes.saturating_sub(before.tx_bytes),
            drops,
            resets: self.resets.saturating_sub(before.resets),
            starved_polls: self.starved_polls.saturating_sub(before.starved_polls),
            full_polls: self.full_polls.saturating_sub(before.full_polls),
            bad_completions: self.bad_completions.saturating_sub(before.bad_completions),
        }
    }
}

/// One worker.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct WorkerSample {
    /// The CPU it is pinned to, if any.
    pub(super) cpu: Option<usize>,
    pub(super) counts: WorkerCounts,
    /// Median since it began, 0 before the first measurement; nothing where the command does not measure it.
    pub(super) cycles_per_frame: Option<f64>,
}

/// What a worker counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WorkerCounts {
    /// Frames received.
    pub(super) frames: u64,
    /// Polls that received any.
    pub(super) polls: u64,
    /// Turns of its loop, each a poll of every queue that it has.
    pub(super) turns: u64,
}

impl WorkerCounts {
    /// What was counted since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(before.frames),
            polls: self.polls.saturating_sub(before.polls),
            turns: self.turns.saturating_sub(before.turns),
        }
    }

    /// Frames received by a poll that received any; 0 where none did.
    pub(super) fn mean_burst(&self) -> f64 {
        if self.polls == 0 { 0.0 } else { self.frames as f64 / self.polls as f64 }
    }
}

/// The quantiles that are told of a latency.
pub(super) const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// A latency that was measured, of a flow or of all.
#[derive(Clone, Debug)]
pub(super) struct LatencySample {
    /// What it is of.
    pub(super) name: String,
    /// Frames that it was measured of.
    pub(super) count: u64,
    /// In the order of [`QUANTILES`], in nanoseconds.
    pub(super) quantiles_ns: [u64; QUANTILES.len()],
    pub(super) max_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use vfwire::{RxStats, TxStats};

    #[test]
    fn every_cause_of_a_loss_is_told_apart_and_counted() {
        let labels: BTreeSet<_> = Drop::ALL.iter().map(|drop| (drop.direction(), drop.cause())).collect();
        assert_eq!(labels.len(), Drop::ALL.len());
        let rx = RxStats { frames: 10, bytes: 600, errors: 2, no_descriptor: 1, lost_in_reset: 3, starved_polls: 99 };
        let tx = TxStats { frames: 5, bytes: 300, unsendable: 6, lost_in_reset: 7, bad_completions: 98, full_polls: 97 };
        let stats = PortStats { rx: vec![rx], tx: vec![tx], ..PortStats::default() };
        let counts = PortCounts::of(&stats, LaneDrops { ring_full: 5, by_stage: 4 });
        assert_eq!(counts.drops, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(counts.dropped(), 28, "what is not a frame is not in it");
        assert_eq!(counts.since(&counts), PortCounts::default());
        assert_eq!(counts.since(&PortCounts::default()), counts);
    }
}
