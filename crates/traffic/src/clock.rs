//! Time as traffic sees it, in nanoseconds.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// A clock that never goes back.
pub trait Clock: Send + 'static {
    /// Nanoseconds since a moment that stays the same.
    fn now_ns(&mut self) -> u64;
}

/// The system's monotonic clock (`CLOCK_MONOTONIC`).
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// Begins to count now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[inline(always)]
    fn now_ns(&mut self) -> u64 {
        // 584 years of nanoseconds fit.
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock that goes on by a step at each reading, after everything else had its turn: simulated devices are stepped, and their wires read
/// the same time. So a run takes no real time and is the same whenever it is repeated.
pub struct SimulatedClock {
    now_ns: Arc<AtomicU64>,
    step_ns: u64,
    on_step: Box<dyn FnMut() + Send>,
}

impl SimulatedClock {
    /// A clock on `now_ns`, which others may read. At each reading `on_step` is called, and time goes on by `step_ns`.
    pub fn new(now_ns: Arc<AtomicU64>, step_ns: u64, on_step: impl FnMut() + Send + 'static) -> Self {
        Self { now_ns, step_ns, on_step: Box::new(on_step) }
    }
}

impl Clock for SimulatedClock {
    fn now_ns(&mut self) -> u64 {
        (self.on_step)();
        self.now_ns.fetch_add(self.step_ns, Relaxed) + self.step_ns
    }
}

impl fmt::Debug for SimulatedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedClock({} ns)", self.now_ns.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_clock_goes_on_when_it_is_read() {
        let shared = Arc::new(AtomicU64::new(5));
        let (seen, calls) = (shared.clone(), Arc::new(AtomicU64::new(0)));
        let counted = calls.clone();
        let mut clock = SimulatedClock::new(shared, 10, move || {
            counted.fetch_add(seen.load(Relaxed), Relaxed);
        });
        assert_eq!((clock.now_ns(), clock.now_ns()), (15, 25));
        assert_eq!(calls.load(Relaxed), 5 + 15, "others see the time before it goes on");
    }

    #[test]
    fn the_systems_clock_goes_on() {
        let mut clock = SystemClock::new();
        let before = clock.now_ns();
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(clock.now_ns() - before >= 1_000_000);
    }
}
