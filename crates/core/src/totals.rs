//! What the queues of a port counted, over all its starts and resets. The device's own counters are the driver's.

use crate::{
    queue::{rx_counter, tx_counter},
    stats::{RxStats, TxStats},
    tally::Tally,
};

/// All that the queues counted since the port was opened.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    rx: Vec<Tally<{ rx_counter::COUNT }>>,
    pub(crate) tx: Vec<Tally<{ tx_counter::COUNT }>>,
    /// Resets that the port has seen.
    pub(crate) resets: u64,
}

impl Totals {
    /// The total of receive queue `queue`.
    pub(crate) fn rx(&mut self, queue: usize) -> &mut Tally<{ rx_counter::COUNT }> {
        of(&mut self.rx, queue)
    }

    /// The total of transmit queue `queue`.
    pub(crate) fn tx_of(&mut self, queue: usize) -> &mut Tally<{ tx_counter::COUNT }> {
        of(&mut self.tx, queue)
    }

    /// The receive queues; `missed` says how many frames the device dropped for want of a descriptor.
    pub(crate) fn rx_stats(&mut self, missed: impl Fn(usize) -> u64) -> Vec<RxStats> {
        self.rx.iter_mut().enumerate().map(|(queue, total)| rx_stats(total.read(), missed(queue))).collect()
    }

    /// The transmit queues.
    pub(crate) fn tx_stats(&mut self) -> Vec<TxStats> {
        self.tx.iter_mut().map(|total| tx_stats(total.read())).collect()
    }
}

fn of<const N: usize>(totals: &mut Vec<Tally<N>>, queue: usize) -> &mut Tally<N> {
    if totals.len() <= queue {
        totals.resize_with(queue + 1, Tally::default);
    }
    &mut totals[queue]
}

fn rx_stats(counted: [u64; rx_counter::COUNT], no_descriptor: u64) -> RxStats {
    RxStats {
        frames: counted[rx_counter::FRAMES],
        bytes: counted[rx_counter::BYTES],
        errors: counted[rx_counter::ERRORS],
        no_descriptor,
        lost_in_reset: counted[rx_counter::LOST_IN_RESET],
        starved_polls: counted[rx_counter::STARVED_POLLS],
    }
}

fn tx_stats(counted: [u64; tx_counter::COUNT]) -> TxStats {
    TxStats {
        frames: counted[tx_counter::FRAMES],
        bytes: counted[tx_counter::BYTES],
        unsendable: counted[tx_counter::UNSENDABLE],
        lost_in_reset: counted[tx_counter::LOST_IN_RESET],
        bad_completions: counted[tx_counter::BAD_COMPLETIONS],
        full_polls: counted[tx_counter::FULL_POLLS],
    }
}
