//! The heartbeat of a polling loop: how often it has turned, whether frames came or not.
//!
//! A store a turn into cache lines that nobody else writes: no read-modify-write, no system call. Whoever asks whether a worker still polls
//! reads the count twice.

use crate::sync::AtomicU64;
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// Alone in a pair of cache lines, which some processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shared(AtomicU64);

/// The writing end, which the loop owns.
#[derive(Debug, Default)]
pub struct Turns {
    count: u64,
    shared: Arc<Shared>,
}

/// The reading end, for any thread.
#[derive(Clone, Debug)]
pub struct TurnsReader(Arc<Shared>);

impl Turns {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// The loop has turned once more.
    #[inline(always)]
    pub fn next(&mut self) {
        self.count += 1;
        self.shared.0.store(self.count, Relaxed);
    }

    /// A reading end.
    pub fn reader(&self) -> TurnsReader {
        TurnsReader(self.shared.clone())
    }
}

impl TurnsReader {
    /// Turns so far.
    pub fn read(&self) -> u64 {
        self.0.0.load(Relaxed)
    }
}
