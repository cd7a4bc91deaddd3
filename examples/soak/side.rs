//! One port, its device, and what an application and an administrator do with them.

use crate::{
    Result,
    subject::{Rng, Subject},
    worker::{Queues, Worker},
};
use std::{
    fmt,
    time::{Duration, Instant},
};
use vfwire::{Intent, MacAddr, Pool, Port, PortConfig, PortEvent, PortState, RxQueue, TxQueue};
use vfwire_core::{bus::BusEvent, port::Driver};
use vfwire_sim::{SimDevice, SimFunction, SimHost, TrafficConfig, TrafficSource};

/// What happened on one side, or on all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub disturbances: u64,
    pub resets: u64,
    pub recovered: u64,
    pub failed: u64,
    pub removed: u64,
    pub starts: u64,
    pub errors: u64,
    pub forwarded: u64,
    pub slowest_return: Duration,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.disturbances += other.disturbances;
        self.resets += other.resets;
        self.recovered += other.recovered;
        self.failed += other.failed;
        self.removed += other.removed;
        self.starts += other.starts;
        self.errors += other.errors;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} frames forwarded, {} disturbances, {} resets, {} recoveries, {} failures, {} removals, {} starts, {} errors answered, slowest \
             return {:.1} s",
            self.forwarded,
            self.disturbances,
            self.resets,
            self.recovered,
            self.failed,
            self.removed,
            self.starts,
            self.errors,
            self.slowest_return.as_secs_f64()
        )
    }
}

/// A side without its types.
pub(crate) trait Ops {
    fn start(&mut self, worker: &Worker, number: usize, rng: &mut Rng) -> Result<()>;
    /// Something goes wrong or is changed.
    fn disturb(&mut self, worker: &Worker, number: usize, rng: &mut Rng) -> Result<()>;
    fn heal(&mut self);
    /// What an application does: listens, starts anew what failed, opens anew what was removed.
    fn look_after(&mut self, worker: &Worker, number: usize, rng: &mut Rng) -> Result<()>;
    /// Stops, drops everything, and compares what the port counted with what passed.
    fn close(&mut self, worker: &Worker, number: usize) -> Result<()>;
    fn tally(&self) -> Tally;
    fn describe(&self) -> String;
}

type PortOf<S> = <<S as Subject>::Driver as Driver>::Port<SimFunction>;

pub(crate) struct Side<S: Subject> {
    device: SimDevice<S::Model>,
    pool: Pool,
    port: Option<PortOf<S>>,
    intent: Intent,
    /// What had passed before this port was opened.
    before: [u64; 2],
    /// When the port was last tried to be opened or started in vain.
    tried: Option<Instant>,
    said: String,
    tally: Tally,
}

/// Frames to everybody: whatever address the port has at the moment.
fn traffic() -> TrafficSource {
    TrafficSource::new(TrafficConfig::to(MacAddr([0xff; 6]))).0
}

impl<S: Subject> Side<S> {
    pub(crate) fn new(host: &SimHost, name: &str, pool: &Pool, rng: &mut Rng) -> Result<Self> {
        let device = host.add(name, S::model(rng), traffic());
        let port = Some(S::Driver::probe(device.open()?)?);
        let (intent, tally) = (Intent::default(), Tally::default());
        Ok(Self { device, pool: pool.clone(), port, intent, before: [0; 2], tried: None, said: String::new(), tally })
    }

    /// Counts an error that an application would report and get over.
    fn note<T, E: fmt::Display>(&mut self, result: std::result::Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.tally.errors += 1;
                self.said = error.to_string();
                None
            }
        }
    }

    fn restart(&mut self, worker: &Worker, number: usize, rng: &mut Rng) {
        let Some(port) = &mut self.port else { return };
        let stopped = port.stop();
        self.note(stopped);
        let _ = self.start(worker, number, rng);
    }

    fn reopen(&mut self, worker: &Worker, number: usize, rng: &mut Rng) -> Result<()> {
        self.close(worker, number)?;
        let opened = self.device.open();
        let Some(function) = self.note(opened) else { return Ok(()) };
        let probed = S::Driver::probe(function);
        self.port = self.note(probed);
        let _ = self.start(worker, number, rng);
        Ok(())
    }
}

impl<S: Subject> Ops for Side<S> {
    fn start(&mut self, worker: &Worker, number: usize, rng: &mut Rng) -> Result<()> {
        let Some(port) = &mut self.port else { return Ok(()) };
        let desc = [64, 128, 256, 512];
        let config = PortConfig {
            rx_desc: desc[rng.below(4)],
            tx_desc: desc[rng.below(4)],
            queue_pairs: 1,
            intent: self.intent.clone(),
            recovery_limit: Duration::from_secs(2),
            ..PortConfig::new(&self.pool)
        };
        let started = port.start(&config);
        self.tried = Some(Instant::now());
        if let Some(queues) = self.note(started) {
            self.tally.starts += 1;
            let rx = queues.rx.into_iter().map(|queue| Box::new(queue) as Box<dyn RxQueue>).collect();
            let tx = queues.tx.into_iter().map(|queue| Box::new(queue) as Box<dyn TxQueue>).collect();
            worker.replace(number, Queues { rx, tx });
        }
        Ok(())
    }

    fn disturb(&mut self, worker: &Worker, number: usize, rng: &mut Rng) -> Result<()> {
        self.tally.disturbances += 1;
        match rng.below(12) {
            0..=5 => self.device.with(|model| S::fault(model, rng)),
            6 => self.device.set_gone(true),
            7 => self.device.raise(BusEvent::RemoveRequested),
            8 => self.heal(),
            9 => self.restart(worker, number, rng),
            10 => self.reopen(worker, number, rng)?,
            _ => {
                self.intent = Intent {
                    vlans: (0..rng.below(4)).map(|id| 10 + u16::try_from(id).expect("small")).collect(),
                    multicast: (0..rng.below(8)).map(|last| MacAddr([1, 0, 0x5e, 0, 0, u8::try_from(last).expect("small")])).collect(),
                    ..Intent::default()
                };
                let intent = self.intent.clone();
                if let Some(port) = &mut self.port {
                    let applied = port.apply(&intent);
                    self.note(applied);
                }
            }
        }
        Ok(())
    }

    fn heal(&mut self) {
        self.device.set_gone(false);
        self.device.with(S::heal);
    }

    fn look_after(&mut self, worker: &Worker, number: usize, rng: &mut Rng) -> Result<()> {
        while let Some(port) = &mut self.port {
            let said = port.poll_control();
            match self.note(said).flatten() {
                Some(PortEvent::ResetStarted { .. }) => self.tally.resets += 1,
                Some(PortEvent::Recovered { .. }) => self.tally.recovered += 1,
                Some(PortEvent::Failed { .. }) => self.tally.failed += 1,
                Some(PortEvent::Removed { .. }) => self.tally.removed += 1,
                Some(_) => {}
                None => break,
            }
        }
        // What does not work is tried again now and then, as an operator would.
        if self.tried.is_some_and(|tried| tried.elapsed() < Duration::from_millis(100)) {
            return Ok(());
        }
        match self.port.as_ref().map(Port::state) {
            None | Some(PortState::Removed) => {
                self.tried = Some(Instant::now());
                self.reopen(worker, number, rng)?;
            }
            Some(PortState::Failed | PortState::Stopped) => self.restart(worker, number, rng),
            Some(_) => {}
        }
        Ok(())
    }

    fn close(&mut self, worker: &Worker, number: usize) -> Result<()> {
        if let Some(mut port) = self.port.take() {
            let stopped = port.stop();
            self.note(stopped);
            worker.replace(number, Queues::default());
            let books = &worker.books()[number];
            let (stats, now) = (port.stats(), [books.received(), books.sent()]);
            let passed = [now[0] - self.before[0], now[1] - self.before[1]];
            let counted = [stats.rx_total().frames, stats.tx_total().frames];
            self.before = now;
            if passed != counted {
                return Err(format!("{}: counted {counted:?}, passed {passed:?} (received, sent)", port.info().address).into());
            }
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        self.tally
    }

    fn describe(&self) -> String {
        let state = self.port.as_ref().map(|port| (port.state(), port.link()));
        format!("{}: {state:?}, last error: {}", S::Driver::NAME, self.said)
    }
}
