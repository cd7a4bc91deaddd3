//! Where rings wait until the device has let go of them.
//!
//! A queue may be dropped by a worker at any time, while the device still reads and writes its ring. So a ring that is dropped leaves
//! its memory and its buffers here, and the port, which owns the other end, frees them once the device has acknowledged that it is
//! disabled or reset. What is dropped after that is freed at once. Where a device never lets go, nothing is ever freed: a leak is better
//! than memory that a device writes after it was given to somebody else.

use crate::{dma::DmaRegion, pool::ArenaRef};
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

/// What a ring left.
pub(super) struct Deposited {
    pub(super) buffers: Vec<u32>,
    pub(super) _region: Option<Arc<DmaRegion>>,
    pub(super) arena: Arc<ArenaRef>,
}

impl Drop for Deposited {
    fn drop(&mut self) {
        #[cfg(feature = "audit")]
        self.buffers.iter().for_each(|&buffer| self.arena.owners.set(buffer, crate::audit::Owner::Cpu));
        // Not the last ones: this holds the arena.
        let _ = self.arena.home.give(&self.buffers);
    }
}

enum State {
    /// The device may use the rings.
    Waiting(Vec<Deposited>),
    /// The device has let go.
    Quiet,
    /// The device did not let go within its limit: it may write for ever.
    Lost,
}

/// The rings that a start of a port made; the port and its rings share it.
#[derive(Clone)]
pub struct Deposit(Arc<Mutex<State>>);

impl Deposit {
    /// For the rings of one start.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State::Waiting(Vec::new()))))
    }

    pub(super) fn put(&self, ring: Deposited) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Waiting(rings) => rings.push(ring),
            State::Quiet => drop(ring),
            State::Lost => mem::forget(ring),
        }
    }

    /// The device has acknowledged that it uses none of the rings any more.
    pub fn quiet(&self) {
        self.become_(State::Quiet);
    }

    /// The device did not acknowledge: what it may still write is kept for ever.
    pub fn lost(&self) {
        if let State::Waiting(rings) = self.become_(State::Lost) {
            mem::forget(rings);
        }
    }

    fn become_(&self, state: State) -> State {
        mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), state)
    }
}

impl Default for Deposit {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Deposit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deposit")
    }
}
