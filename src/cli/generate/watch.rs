//! What the control thread does while `vfwire generate` sends: looks after the ports, and shows how things are.

use super::PERIOD;
use crate::cli::{
    Failure,
    console::Console,
    control::{Signals, TIME_IS_OVER},
    life::{Phase, Readiness},
    observe::Observers,
    ports::LaneDrops,
    sample::{LatencySample, PortCounts, PortSample, QUANTILES, Sample, WorkerCounts, WorkerSample},
};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};
use vfwire::{DynPort, Port, PortEvent, forward::TurnsReader};
use vfwire_traffic::DirectionReader;

const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// What is looked at.
pub(super) struct Watch<'a> {
    pub(super) readers: &'a [DirectionReader],
    /// From where to where each direction goes.
    pub(super) names: &'a [(String, String)],
    pub(super) turns: &'a TurnsReader,
    /// The CPU that the sending thread is pinned to.
    pub(super) core: Option<usize>,
    pub(super) readiness: &'a Readiness,
    /// Ends sending.
    pub(super) stop: &'a AtomicBool,
}

impl Watch<'_> {
    /// Until the trial is over. Gives why it ended.
    pub(super) fn look_after(
        &self,
        ports: &mut [DynPort],
        is_over: impl Fn() -> bool,
        signals: &Signals,
        (observers, console): (&mut Observers, &mut Console),
    ) -> Result<&'static str, Failure> {
        let begun = Instant::now();
        let mut status = Status { begun, last: begun, sent: 0, received: 0, latency_sum_ns: 0 };
        let mut ended = Ok(TIME_IS_OVER);
        while !is_over() {
            observers.wait(PERIOD, signals, console);
            if !self.stop.load(Relaxed) {
                if let Some(signal) = signals.asked() {
                    ended = Ok(signal);
                    self.end();
                }
                if let Err(failure) = ports.iter_mut().try_for_each(|port| look_at(port, console)) {
                    ended = Err(failure);
                    self.end();
                }
            }
            if status.last.elapsed() >= STATUS_PERIOD {
                status.next(self.readers, console);
            }
            if observers.is_due() {
                observers.take(self.sample(begun.elapsed(), ports), console);
            }
        }
        ended
    }

    /// Whoever asks hears of it before frames stop.
    fn end(&self) {
        self.readiness.set(Phase::Ending);
        self.stop.store(true, Relaxed);
    }

    /// How things are now.
    fn sample(&self, at: Duration, ports: &mut [DynPort]) -> Sample {
        let ports: Vec<_> = ports
            .iter_mut()
            .map(|port| {
                let counts = PortCounts::of(&port.stats(), LaneDrops::default());
                let info = port.info();
                PortSample {
                    address: info.address.clone(),
                    driver: info.driver,
                    mac: info.mac.to_string(),
                    simulated: info.simulated,
                    link: port.link(),
                    state: port.state(),
                    counts,
                }
            })
            .collect();
        let worker = WorkerCounts {
            frames: ports.iter().map(|port| port.counts.rx_frames).sum(),
            polls: self.readers.iter().map(|reader| reader.read().polls).sum(),
            turns: self.turns.read(),
        };
        let latencies = self.names.iter().zip(self.readers).filter_map(|((from, to), reader)| {
            let latency = reader.latency();
            // A replay has none.
            (latency.count() != 0).then(|| LatencySample {
                name: format!("{from} to {to}"),
                count: latency.count(),
                quantiles_ns: QUANTILES.map(|share| latency.at_quantile(share)),
                max_ns: latency.max_ns(),
            })
        });
        Sample {
            at,
            latencies: latencies.collect(),
            ports,
            workers: vec![WorkerSample { cpu: self.core, counts: worker, cycles_per_frame: None }],
        }
    }
}

/// Says what has happened to a port. An error where it is gone.
fn look_at(port: &mut DynPort, console: &mut Console) -> Result<(), Failure> {
    /// Said at a time.
    const EVENTS_MAX: usize = 16;
    for _ in 0..EVENTS_MAX {
        let address = port.info().address.clone();
        match port.poll_control() {
            Ok(None) => break,
            Ok(Some(PortEvent::Failed { step, cause })) => return Err(Failure::failed(format!("{address}: failed: {step}: {cause}"))),
            Ok(Some(PortEvent::Removed { cause })) => return Err(Failure::failed(format!("{address}: removed: {cause}"))),
            Ok(Some(event)) => console.say(&format!("{address}: {event:?}")),
            Err(error) => {
                console.warn_once(format!("{address}: {error}"));
                break;
            }
        }
    }
    Ok(())
}

/// What is shown every second.
struct Status {
    begun: Instant,
    last: Instant,
    sent: u64,
    received: u64,
    latency_sum_ns: u64,
}

impl Status {
    fn next(&mut self, readers: &[DirectionReader], console: &mut Console) {
        let stats: Vec<_> = readers.iter().map(DirectionReader::read).collect();
        let now = Instant::now();
        let seconds = (now - self.last).as_secs_f64();
        let (mut sent, mut received, mut latency_sum_ns) = (0, 0, 0);
        for one in stats {
            sent += one.sent_frames;
            received += one.received_frames;
            latency_sum_ns += one.latency_sum_ns;
        }
        let came = received.saturating_sub(self.received);
        let mean_us = (latency_sum_ns - self.latency_sum_ns) as f64 / came.max(1) as f64 / 1e3;
        console.status(&format!(
            "{:4} s  {:9.4} Mframes/s sent, {:9.4} received, {} not back, mean latency {mean_us:.1} us",
            self.begun.elapsed().as_secs(),
            sent.saturating_sub(self.sent) as f64 / seconds / 1e6,
            came as f64 / seconds / 1e6,
            sent.saturating_sub(received),
        ));
        (self.last, self.sent, self.received, self.latency_sum_ns) = (now, sent, received, latency_sum_ns);
    }
}
