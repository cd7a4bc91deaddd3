//! The run that every fault is put into: a port is opened, moves frames, is changed, goes through a reset, is stopped, started and closed.
//!
//! It is an application that does not give up: it goes on polling whatever it is told, and what is refused it tries again. Time is simulated:
//! it passes only while somebody waits.

use super::fixture::{Ends, Faulted};
use crate::{
    bench::{Bench, Setup},
    filters::GROUP,
    fixture::Fixture,
    frames::{frame, tagged},
};
use std::time::Duration;
use vfwire_core::{
    burst::Burst,
    clock,
    error::PortError,
    event::PortEvent,
    pool::PoolConfig,
    port::{Intent, Port, PortState},
    queue::{RxQueue, TxQueue},
};
use vfwire_spec::net::MacAddr;

/// Between two rounds of the application's control loop.
const ROUND: Duration = Duration::from_millis(10);
/// Rounds after which a port must have come to an end: a minute, which is six times what a recovery may take.
const PATIENCE_ROUNDS: usize = 6000;
/// Rounds that frames get to come through.
const TRAFFIC_ROUNDS: usize = 12;
/// What every life asks for.
const VLAN: u16 = 100;
const WISHED: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 0xbb]);

/// What the run is of.
pub(super) struct Life<F: Fixture> {
    pub bench: Bench<Faulted<F>>,
    /// Brings about a reset from outside, and takes back what brought it about.
    pub outside: Outside<F>,
    pub moved: Moved,
    /// Errors that calls gave, in order.
    pub errors: Vec<String>,
    /// `Failed` and `Removed`.
    pub ends: Vec<String>,
    next: usize,
    burst: Option<Burst>,
}

/// Resets the function from outside (true), and makes it usable again (false).
pub(super) type Outside<F> = fn(&mut Bench<Faulted<F>>, bool);

/// Frames, as the application and the far end of the wire count them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    pub injected: u64,
    pub received: u64,
    pub sent: u64,
    pub arrived: u64,
    pub rx_errors: u64,
    pub rx_lost_in_reset: u64,
    pub rx_no_descriptor: u64,
    pub tx_lost_in_reset: u64,
}

/// What it took to make a port work at the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Help {
    /// Nothing.
    None,
    /// A reset from outside.
    Reset,
    /// `stop` and `start`.
    Restart,
    /// A new port.
    Reopen,
}

pub(super) fn setup<F: Fixture>() -> Setup {
    let intent = Intent { mac: Some(WISHED), vlans: [VLAN].into(), multicast: [GROUP].into(), ..Intent::default() };
    Setup { pool: PoolConfig::new(256), ..Setup::new::<Faulted<F>>().rings(32) }.intent(intent)
}

impl<F: Fixture> Life<F> {
    pub(super) fn new(bench: Bench<Faulted<F>>, outside: Outside<F>) -> Self {
        let burst = Some(bench.pool.burst(32));
        Self { bench, outside, moved: Moved::default(), errors: Vec::new(), ends: Vec::new(), next: 0, burst }
    }

    /// Everything that a port goes through, in turn.
    pub(super) const PHASES: [fn(&mut Self); 5] = [
        |life| {
            life.open();
            life.rounds(3);
        },
        |life| {
            life.traffic(3, 60);
        },
        |life| {
            life.apply();
            life.traffic(4, 300);
        },
        |life| {
            (life.outside)(&mut life.bench, true);
            life.rounds(3);
            (life.outside)(&mut life.bench, false);
            life.until(PATIENCE_ROUNDS, |life| life.is_running());
            life.traffic(5, 1500);
        },
        |life| {
            life.restart();
            life.traffic(2, 60);
        },
    ];

    pub(super) fn state(&mut self) -> Option<PortState> {
        self.bench.port.as_ref().map(Port::state)
    }

    fn is_running(&mut self) -> bool {
        self.state() == Some(PortState::Running)
    }

    /// A port that runs, if it can be had.
    fn open(&mut self) {
        for _ in 0..3 {
            let result = self.bench.probe();
            if self.note(result) {
                break;
            }
            self.round();
        }
        self.start();
    }

    fn start(&mut self) {
        let config = setup::<F>().config(&self.bench.pool);
        for _ in 0..3 {
            if self.bench.port.is_none() || self.is_running() {
                return;
            }
            let result = self.bench.try_start(&config);
            self.note(result);
            self.round();
        }
    }

    fn stop(&mut self) {
        if let Some(port) = &mut self.bench.port {
            let result = port.stop();
            self.note(result);
        }
        self.round();
    }

    fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Ends the port, and keeps what it counted.
    pub(super) fn close(&mut self) {
        self.stop();
        if self.bench.port.is_some() {
            let (stats, moved) = (self.bench.stats(), &mut self.moved);
            moved.rx_errors += stats.rx_total().errors;
            moved.rx_lost_in_reset += stats.rx_total().lost_in_reset;
            moved.rx_no_descriptor += stats.rx_total().no_descriptor;
            moved.tx_lost_in_reset += stats.tx_total().lost_in_reset;
        }
        self.bench.close();
    }

    fn apply(&mut self) {
        let Some(port) = &mut self.bench.port else { return };
        let intent = Intent { vlans: [VLAN, 200].into(), ..setup::<F>().intent };
        let result = port.apply(&intent).map(drop);
        self.note(result);
    }

    fn note(&mut self, result: Result<(), PortError>) -> bool {
        let is_good = result.is_ok();
        if let Err(error) = result {
            self.errors.push(error.to_string());
        }
        is_good
    }

    fn rounds(&mut self, rounds: usize) {
        (0..rounds).for_each(|_| self.round());
    }

    /// Rounds until something holds, so many at most. Says whether it did.
    pub(super) fn until(&mut self, rounds: usize, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        (0..rounds).any(|_| {
            let done = holds(self);
            if !done {
                self.round();
            }
            done
        })
    }

    /// What an application does again and again: it looks after the port, and sends back what it receives.
    fn round(&mut self) {
        self.control();
        self.bench.host.step();
        let mut burst = self.burst.take().expect("it is put back");
        for (rx, tx) in self.bench.rx.iter_mut().zip(&mut self.bench.tx) {
            self.moved.received += rx.rx_burst(&mut self.bench.cache, &mut burst) as u64;
            self.moved.sent += tx.tx_burst(&mut self.bench.cache, &mut burst) as u64;
            burst.clear(&mut self.bench.cache);
            tx.reclaim(&mut self.bench.cache);
        }
        self.burst = Some(burst);
        self.bench.host.step();
        clock::pause(ROUND);
    }

    fn control(&mut self) {
        let Some(port) = &mut self.bench.port else { return };
        match port.poll_control() {
            Ok(Some(end @ (PortEvent::Failed { .. } | PortEvent::Removed { .. }))) => self.ends.push(format!("{end:?}")),
            Ok(_) => {}
            Err(error) => self.errors.push(error.to_string()),
        }
    }

    /// Groups of four frames of `len_bytes`; whether every one came back.
    fn traffic(&mut self, groups: usize, len_bytes: usize) -> bool {
        (0..groups).all(|_| self.come_back(4, len_bytes))
    }

    /// Whether `count` frames that go in now come out as they were, in order, and nothing else does.
    fn come_back(&mut self, count: usize, len_bytes: usize) -> bool {
        self.arrivals();
        let Some(port) = &self.bench.port else { return false };
        let to = port.info().mac;
        let frames: Vec<_> = (self.next..self.next + count).map(|number| frame(to, len_bytes, number)).collect();
        self.next += count;
        self.moved.injected += count as u64;
        self.bench.inject(frames.clone());
        let mut arrived = Vec::new();
        for _ in 0..TRAFFIC_ROUNDS {
            self.round();
            arrived.extend(self.arrivals());
            if arrived.len() >= count {
                break;
            }
        }
        arrived == frames
    }

    /// Whether a frame of the VLAN that was asked for comes out again, with its tag or without.
    pub(super) fn hears_its_vlan(&mut self) -> bool {
        self.arrivals();
        let Some(port) = &self.bench.port else { return false };
        let tagged = tagged(&frame(port.info().mac, 200, self.next), VLAN);
        self.next += 1;
        self.moved.injected += 1;
        self.bench.inject([tagged]);
        (0..TRAFFIC_ROUNDS).any(|_| {
            self.round();
            !self.arrivals().is_empty()
        })
    }

    fn arrivals(&mut self) -> Vec<Vec<u8>> {
        let arrived = self.bench.sent();
        self.moved.arrived += arrived.len() as u64;
        arrived
    }

    /// Waits until frames pass, by itself or with ever more help; what it took. An error says in what the port is stuck.
    pub(super) fn works_again(&mut self, most: Help) -> Result<Help, String> {
        for help in [Help::None, Help::Reset, Help::Restart, Help::Reopen] {
            self.help(help);
            let rounds = if help == Help::None { PATIENCE_ROUNDS } else { PATIENCE_ROUNDS / 4 };
            if self.passes_within(rounds) {
                return if help <= most { Ok(help) } else { Err(format!("frames pass again only after {help:?}")) };
            }
        }
        Err("nothing makes frames pass again".into())
    }

    fn help(&mut self, help: Help) {
        match help {
            // What was refused while something was wrong is asked for again.
            Help::None if self.bench.port.is_none() => self.open(),
            Help::None => {
                if self.state() == Some(PortState::Stopped) {
                    self.start();
                }
            }
            Help::Reset => {
                (self.outside)(&mut self.bench, true);
                self.rounds(3);
                (self.outside)(&mut self.bench, false);
            }
            Help::Restart => self.restart(),
            Help::Reopen => {
                self.close();
                self.open();
            }
        }
    }

    /// Whether frames pass before so many rounds are over. A port that has come to an end does not get there.
    fn passes_within(&mut self, rounds: usize) -> bool {
        let mut failed = 0;
        for _ in 0..rounds / TRAFFIC_ROUNDS {
            match self.state() {
                Some(PortState::Running) if self.traffic(3, 200) => return true,
                Some(PortState::Running) => failed += 1,
                Some(PortState::Resetting | PortState::Recovering) => self.rounds(TRAFFIC_ROUNDS),
                // A device that has not let go shows it now.
                None | Some(PortState::Stopped | PortState::Failed | PortState::Removed) => return self.traffic(2, 60),
            }
            // What moves nothing for twice as long as a transmit queue may be stalled has not noticed.
            if failed > 100 {
                return false;
            }
        }
        false
    }

    /// Whether the port has ended as `ends` allows.
    pub(super) fn has_ended(&mut self, ends: Ends) -> bool {
        match self.state() {
            Some(PortState::Removed) => ends >= Ends::Removed,
            None | Some(PortState::Stopped | PortState::Failed) => ends >= Ends::Refused && !self.errors.is_empty(),
            Some(PortState::Running | PortState::Resetting | PortState::Recovering) => false,
        }
    }

    /// Frames that were put on the wire to the device and that it has taken.
    pub(super) fn taken(&self) -> u64 {
        self.moved.injected - self.bench.wire.waiting() as u64
    }

    /// `what`, and what the port said meanwhile.
    pub(super) fn told(&mut self, what: &str) -> String {
        let (state, errors) = (self.state(), &self.errors[self.errors.len().saturating_sub(3)..]);
        format!("{what}; the port is {state:?}, ended with {:?}, last errors: {errors:?}", self.ends)
    }
}
