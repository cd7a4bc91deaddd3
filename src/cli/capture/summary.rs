//! What a capture says at its end: a part of the JSON summary, or a few lines.

use super::{Shared, tap::InOut};
use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The object `capture` of a summary.
#[derive(Debug, serde::Serialize)]
pub(in crate::cli) struct Captured {
    /// As it was asked for; of a ring, without the numbers.
    file: PathBuf,
    /// Frames that were written.
    frames: u64,
    /// Frames that were not, because the file could not be written.
    not_written: u64,
    /// Why it could not.
    failure: Option<String>,
    ports: Vec<Side>,
}

/// What was captured on a port in one direction.
#[derive(Debug, serde::Serialize)]
struct Side {
    address: String,
    direction: &'static str,
    /// Frames that were looked at.
    seen: u64,
    filtered_out: u64,
    /// Frames that found no room because the file was written too slowly.
    lost: u64,
}

impl Captured {
    /// Of a capture whose threads have ended.
    pub(super) fn of(file: PathBuf, names: &[String], taps: &[Arc<[InOut]>], shared: &Shared) -> Self {
        let mut ports = Vec::new();
        for (number, address) in names.iter().enumerate() {
            for (at, direction) in ["in", "out"].into_iter().enumerate() {
                let mut side = Side { address: address.clone(), direction, seen: 0, filtered_out: 0, lost: 0 };
                for counts in taps.iter().filter_map(|tap| tap.get(number)).map(|of_port| &of_port[at]) {
                    let seen = counts.seen.load(Relaxed);
                    side.seen += seen;
                    side.filtered_out += seen - counts.accepted.load(Relaxed);
                    side.lost += counts.lost.load(Relaxed);
                }
                ports.push(side);
            }
        }
        let sum = |counters: &[AtomicU64]| counters.iter().map(|counter| counter.load(Relaxed)).sum();
        let failure = shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        Self { file, frames: sum(&shared.written), not_written: sum(&shared.not_written), failure, ports }
    }

    /// Why not all of it could be written.
    pub(in crate::cli) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "captured {} frames", self.frames)?;
        if self.not_written > 0 {
            write!(f, ", {} not written because the file could not be", self.not_written)?;
        }
        for Side { address, direction, seen, filtered_out, lost } in self.ports.iter().filter(|side| side.seen > 0) {
            write!(
                f,
                "\n{address} {direction}: {seen} frames, {filtered_out} filtered out, {lost} not written because the disk was too slow"
            )?;
        }
        Ok(())
    }
}
