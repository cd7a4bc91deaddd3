//! How a port stops its queues without a lock: a word that every burst looks at.
//!
//! A queue remembers the word that it last agreed to. As long as the port's word is the same, one load a burst is all that this costs.
//! When the port changes the word, the queue notices at its next burst and does what the word says:
//!
//! ```text
//!            open(2)          close            open(4)
//!   port:   ────────▶ running ─────▶ quiescing ────────▶ running
//!   queue:            bursts         gives its buffers    posts fresh
//!                                    back, acknowledges   ones, bursts
//! ```
//!
//! The port sets its device up again only when every queue has acknowledged ([`Gate::all_idle`]), so no queue ever uses a ring whose
//! registers change under it, and a worker that does not poll delays the recovery but cannot break it. Words only grow: a queue that
//! missed several changes goes by the last.

use crossbeam::utils::CachePadded;
use std::sync::{
    Arc,
    atomic::{
        AtomicU32,
        Ordering::{Acquire, Release},
    },
};

/// Acknowledged by a queue that is gone.
const GONE: u32 = u32::MAX;

#[derive(Debug)]
struct Shared {
    /// Odd: quiescing. Even: running.
    word: CachePadded<AtomicU32>,
    /// The word that each queue has acted on.
    agreed: Box<[CachePadded<AtomicU32>]>,
}

/// The port's end.
#[derive(Debug)]
pub struct Gate(Arc<Shared>);

/// A queue's end.
#[derive(Debug)]
pub struct Pass {
    shared: Arc<Shared>,
    queue: usize,
    agreed: u32,
}

/// What a queue has to do before anything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Give all buffers back and forget the ring's state, then [`Pass::agree`]; move nothing.
    Quiesce,
    /// The device was set up again and starts at slot 0: post buffers, then [`Pass::agree`] and go on.
    Restart,
    /// Nothing has changed since it quiesced: move nothing.
    Stay,
}

impl Gate {
    /// A gate for `queues` queues, which all run, and their ends.
    pub fn open_for(queues: usize) -> (Self, Vec<Pass>) {
        const FIRST: u32 = 2;
        let agreed = (0..queues).map(|_| CachePadded::new(AtomicU32::new(FIRST))).collect();
        let shared = Arc::new(Shared { word: CachePadded::new(AtomicU32::new(FIRST)), agreed });
        let passes = (0..queues).map(|queue| Pass { shared: shared.clone(), queue, agreed: FIRST }).collect();
        (Self(shared), passes)
    }

    /// The queues are to quiesce. Does nothing where they are.
    pub fn close(&self) {
        let word = self.0.word.load(Acquire);
        self.0.word.store(word | 1, Release);
    }

    /// The queues may run again; the device starts at slot 0 of every ring. Does nothing where they run.
    pub fn open(&self) {
        let word = self.0.word.load(Acquire);
        if word & 1 == 1 {
            self.0.word.store(word.wrapping_add(1), Release);
        }
    }

    /// Every queue has quiesced, or is gone.
    pub fn all_idle(&self) -> bool {
        let word = self.0.word.load(Acquire);
        word & 1 == 1
            && self.0.agreed.iter().all(|agreed| {
                let agreed = agreed.load(Acquire);
                agreed == word || agreed == GONE
            })
    }
}

impl Pass {
    /// Nothing has changed: go on.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        self.shared.word.load(Acquire) == self.agreed
    }

    /// What to do, where [`is_open`](Self::is_open) said no (or the queue is quiesced).
    #[cold]
    pub fn turn(&self) -> Turn {
        let word = self.shared.word.load(Acquire);
        match word {
            _ if word & 1 == 0 => Turn::Restart,
            _ if self.shared.agreed[self.queue].load(Acquire) == word => Turn::Stay,
            _ => Turn::Quiesce,
        }
    }

    /// The turn was done.
    #[cold]
    pub fn agree(&mut self, turn: Turn) {
        let word = self.shared.word.load(Acquire);
        match turn {
            // A queue that quiesced never finds the gate open by itself: no even word equals an odd one.
            Turn::Quiesce => {
                let odd = word | 1;
                self.agreed = GONE;
                self.shared.agreed[self.queue].store(odd, Release);
            }
            Turn::Restart => {
                self.agreed = word & !1;
                self.shared.agreed[self.queue].store(self.agreed, Release);
            }
            Turn::Stay => {}
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.shared.agreed[self.queue].store(GONE, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_goes_through_a_reset() {
        let (gate, mut passes) = Gate::open_for(2);
        let mut pass = passes.remove(0);
        assert!(pass.is_open() && !gate.all_idle());
        gate.close();
        assert!(!pass.is_open());
        assert_eq!(pass.turn(), Turn::Quiesce);
        pass.agree(Turn::Quiesce);
        assert_eq!(pass.turn(), Turn::Stay);
        assert!(!pass.is_open() && !gate.all_idle(), "the other queue has not quiesced");
        drop(passes);
        assert!(gate.all_idle());
        gate.open();
        assert_eq!(pass.turn(), Turn::Restart);
        pass.agree(Turn::Restart);
        assert!(pass.is_open());
    }

    #[test]
    fn closing_and_opening_twice_changes_nothing() {
        let (gate, passes) = Gate::open_for(1);
        gate.close();
        gate.close();
        assert_eq!(passes[0].turn(), Turn::Quiesce);
        gate.open();
        gate.open();
        // It missed the whole reset: its ring is stale, and `Restart` must come after it gave its buffers back.
        assert_eq!(passes[0].turn(), Turn::Restart);
    }
}
