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

use crate::sync::AtomicU32;
use crossbeam::utils::CachePadded;
use std::sync::{
    Arc,
    atomic::Ordering::{Acquire, Release},
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

#[cfg(all(test, not(loom)))]
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

/// Every order in which a port and its queues may see one another, up to three preemptions.
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::{cell::UnsafeCell, model::Builder, thread};

    /// A ring: its queue uses it while the gate is open, the port sets it up while the queue is at rest. Loom fails a test in which the one
    /// does so without having seen what the other did before.
    type Rings = Arc<Vec<UnsafeCell<()>>>;

    /// A burst of a queue, as drivers write it. What was done.
    fn burst(pass: &mut Pass, ring: &UnsafeCell<()>) -> Option<Turn> {
        if pass.is_open() {
            ring.with_mut(|_| ());
            return None;
        }
        let turn = pass.turn();
        if turn != Turn::Stay {
            ring.with_mut(|_| ());
        }
        pass.agree(turn);
        Some(turn)
    }

    /// `bursts` bursts, after which the queue is dropped, as a worker that ends does.
    fn worker(mut pass: Pass, rings: Rings, queue: usize, bursts: usize) {
        for _ in 0..bursts {
            if burst(&mut pass, &rings[queue]) == Some(Turn::Stay) {
                thread::yield_now();
            }
        }
    }

    /// A reset, as a port does it.
    fn reset(gate: &Gate, rings: &Rings) {
        gate.close();
        while !gate.all_idle() {
            thread::yield_now();
        }
        rings.iter().for_each(|ring| ring.with_mut(|_| ()));
        gate.open();
    }

    fn resets(queues: usize, bursts: usize, resets: usize) {
        let mut model = Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let (gate, passes) = Gate::open_for(queues);
            let rings: Rings = Arc::new((0..queues).map(|_| UnsafeCell::new(())).collect());
            let workers: Vec<_> = passes
                .into_iter()
                .enumerate()
                .map(|(queue, pass)| {
                    let rings = rings.clone();
                    thread::spawn(move || worker(pass, rings, queue, bursts))
                })
                .collect();
            for _ in 0..resets {
                reset(&gate, &rings);
            }
            workers.into_iter().for_each(|worker| worker.join().unwrap());
            assert!(!gate.all_idle(), "the gate is open, and says nothing of queues that are gone");
        });
    }

    #[test]
    fn loom_no_ring_is_set_up_under_its_queue() {
        resets(1, 4, 2);
    }

    #[test]
    fn loom_a_port_waits_for_every_queue() {
        resets(2, 2, 1);
    }

    /// Whatever a queue saw of a reset, it ends up either open or on its way there, and takes its ring into use only after the port has set
    /// it up.
    #[test]
    fn loom_a_queue_finds_its_way_out_of_a_reset() {
        let mut model = Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let (gate, mut passes) = Gate::open_for(1);
            let rings: Rings = Arc::new(vec![UnsafeCell::new(())]);
            let mut pass = passes.remove(0);
            let port = {
                let rings = rings.clone();
                thread::spawn(move || reset(&gate, &rings))
            };
            let mut turns = Vec::new();
            while turns.last() != Some(&Turn::Restart) {
                match burst(&mut pass, &rings[0]) {
                    None | Some(Turn::Stay) => thread::yield_now(),
                    Some(turn) => turns.push(turn),
                }
            }
            port.join().unwrap();
            assert_eq!(turns, [Turn::Quiesce, Turn::Restart]);
            assert!(pass.is_open());
        });
    }
}
