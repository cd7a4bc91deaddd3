//! Whether a command lives, and whether it is ready: what `/livez` and `/readyz` say, each with the reason where it is not.

use crate::cli::{
    life::{Phase, Readiness},
    sample::{Sample, state_name},
};
use std::time::{Duration, Instant};
use vfwire::{PortState, forward::TurnsReader};

/// How long a worker's loop may not turn. A turn takes microseconds; a worker that shares its CPU may wait for tens of milliseconds.
pub(super) const WORKER_LIMIT: Duration = Duration::from_secs(5);
/// How long the control thread may take for one round: a request to a PF, and a reset of the function, have their own limits below this.
pub(super) const CONTROL_LIMIT: Duration = Duration::from_secs(15);

/// Something that counts while it lives.
#[derive(Debug)]
struct Pulse {
    count: u64,
    since: Instant,
}

impl Pulse {
    fn new(now: Instant) -> Self {
        Self { count: 0, since: now }
    }

    /// How long its count has been `count`, as far as it was looked at.
    fn still_for(&mut self, count: u64, now: Instant) -> Duration {
        if count != self.count {
            *self = Self { count, since: now };
        }
        now - self.since
    }
}

/// What is known of a command's life.
#[derive(Debug)]
pub(super) struct Health {
    readiness: Readiness,
    workers: Vec<(TurnsReader, Pulse)>,
    control: Pulse,
}

impl Health {
    pub(super) fn new(readiness: Readiness, workers: Vec<TurnsReader>, now: Instant) -> Self {
        let workers = workers.into_iter().map(|worker| (worker, Pulse::new(now))).collect();
        Self { readiness, workers, control: Pulse::new(now) }
    }

    pub(super) fn is_ready(&self, sample: &Sample) -> bool {
        self.ready(sample).is_ok()
    }

    /// Why it is not ready: queues run, nobody has asked to end, and every port runs with its link up.
    pub(super) fn ready(&self, sample: &Sample) -> Result<(), String> {
        match self.readiness.phase() {
            Phase::Starting => return Err("starting: the queues do not run yet".to_owned()),
            Phase::Ending => return Err("asked to end".to_owned()),
            Phase::Ready => {}
        }
        for port in &sample.ports {
            let address = &port.address;
            if port.state != PortState::Running {
                return Err(format!("{address} does not run: it is {}", state_name(port.state)));
            }
            if !port.link.up {
                return Err(format!("{address} has no link"));
            }
        }
        Ok(())
    }

    /// Which thread is stuck. To be called every now and then, whether somebody asks or not: a standstill is only as long as it was seen.
    /// `rounds` are those of the control thread.
    pub(super) fn live(&mut self, rounds: u64, now: Instant) -> Result<(), String> {
        let still = self.control.still_for(rounds, now);
        let stuck: Vec<_> =
            self.workers.iter_mut().enumerate().map(|(at, (turns, pulse))| (at, pulse.still_for(turns.read(), now))).collect();
        // Workers that end turn no more, and whoever ends a pod has a limit of its own.
        if self.readiness.phase() == Phase::Ending {
            return Ok(());
        }
        if still > CONTROL_LIMIT {
            return Err(format!("the control thread has not looked after the ports for {} s", still.as_secs()));
        }
        match stuck.into_iter().find(|(_, still)| *still > WORKER_LIMIT) {
            Some((worker, still)) => Err(format!("worker {worker} has not polled for {} s", still.as_secs())),
            None => Ok(()),
        }
    }
}
