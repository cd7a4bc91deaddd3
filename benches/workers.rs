//! `cargo bench --bench workers`: what a second worker costs the first, in TSC cycles a frame.
//!
//! Two workers, each pinned to a CPU, each with a simulated port of its own. A turn is a ring's worth of full bursts, received, put through
//! a stage and sent; only that is timed. Before a turn each worker steps its own device, and then the two wait for one another, so that the
//! timed sections coincide. The first bursts of a turn are not timed: they fetch what the other worker's device may have touched. Three ways
//! take turns, so that whatever slows the machine for a while slows all of them:
//!
//! - `alone`: the other worker sleeps;
//! - `apart`: both work, each on a machine and a pool of its own: what two busy cores take from each other whatever they do;
//! - `together`: both work on one machine and one pool, as `vfwire forward --workers 2` does.
//!
//! The figures are lower quartiles over the turns: what workers take from each other is in every turn, what other processes take is not. (And
//! these find a CPU of their own while one worker sleeps, so that more of what they take would be in some ways than in others.) The growth
//! from `alone` to `together` is what the project wants below 10 %.

use core_affinity::CoreId;
use std::hint::spin_loop;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use vfwire::forward::{Io, MacSwap, Stage};
use vfwire::{BufCache, Burst, MacAddr, Pool, PoolConfig, Port, PortConfig, RxQueue, TxQueue, cycles, reading_cycles};
use vfwire_core::port::Driver;
use vfwire_sim::{DeviceModel, IgbvfModel, IgbvfOptions, IxgbevfModel, IxgbevfOptions, SimHost, TrafficConfig, TrafficSource};

const WORKERS: usize = 2;
/// As `vfwire forward` has them.
const RING_DESC: u16 = 512;
const BURSTS: [usize; 2] = [32, 8];
/// Frames of a turn: what a receive ring holds, in full bursts.
const TURN_FRAMES: usize = 480;
/// The first frames of a turn, which are not timed.
const UNTIMED_FRAMES: usize = 32;
/// Turns of one way before the next way has its turns, and how often each has them.
const TURNS: usize = 50;
const ROUNDS: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Alone,
    Apart,
    Together,
}

fn main() {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let [one, other, ..] = cpus[..] else {
        eprintln!("workers: two workers need two CPUs, and this process may use {}", cpus.len());
        return;
    };
    println!("TSC cycles a frame, lower quartiles on CPU {} / on CPU {}", one.id, other.id);
    println!("{:<28}{:>16}{:>16}{:>16}   growth: apart, together", "", "alone", "apart", "together");
    for burst in BURSTS {
        let cpus = [one, other];
        Bench { mode: "io", burst, cpus }.drivers(Io);
        Bench { mode: "mac-swap", burst, cpus }.drivers(MacSwap);
    }
}

struct Bench {
    mode: &'static str,
    burst: usize,
    cpus: [CoreId; WORKERS],
}

impl Bench {
    fn drivers<S: Stage + Copy>(&self, stage: S) {
        self.measure::<vfwire_igbvf::Igbvf, _, _>(stage, |mac| {
            IgbvfModel::new(IgbvfOptions { pf_mac: Some(mac), spoofchk: false, ..IgbvfOptions::default() })
        });
        self.measure::<vfwire_ixgbevf::Ixgbevf, _, _>(stage, |mac| {
            IxgbevfModel::new(IxgbevfOptions { pf_mac: Some(mac), spoofchk: false, ..IxgbevfOptions::default() })
        });
    }

    /// One line of the table.
    fn measure<D: Driver, M: DeviceModel, S: Stage + Copy>(&self, stage: S, model: fn(MacAddr) -> M) {
        let machine = |workers: usize| {
            let host = SimHost::new();
            // As `vfwire forward` has them.
            let buffers = u32::try_from(workers * (2 * usize::from(RING_DESC) + self.burst + 512)).expect("a few thousand");
            let pool = Pool::new(&*host.dma(), PoolConfig::new(buffers)).expect("a pool of simulated memory");
            (host, pool)
        };
        let one = machine(WORKERS);
        let together = [1, 2].map(|number| Rig::plug::<D, M>(&one, number, model));
        let apart = [3, 4].map(|number| Rig::plug::<D, M>(&machine(1), number, model));
        let (meeting, barrier) = (Meeting::default(), Barrier::new(WORKERS));
        let sums: Vec<[Vec<u64>; 3]> = thread::scope(|scope| {
            let start = |(worker, (together, apart)): (usize, (Rig, Rig))| {
                let (cpu, burst) = (self.cpus[worker], self.burst);
                let (meeting, barrier) = (&meeting, &barrier);
                scope.spawn(move || {
                    assert!(core_affinity::set_for_current(cpu), "a worker cannot be pinned to CPU {}", cpu.id);
                    let [together, apart] = [together, apart].map(|rig| Hand::new(rig, burst));
                    Worker { number: worker, stage, meeting, met: 0, together, apart }.run(barrier)
                })
            };
            let workers: Vec<_> = together.into_iter().zip(apart).enumerate().map(start).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
        });
        self.print(D::NAME, &sums);
    }

    fn print(&self, driver: &str, sums: &[[Vec<u64>; 3]]) {
        // One reading of the counter is in each turn.
        let (reading, frames) = (reading_cycles(), (TURN_FRAMES - UNTIMED_FRAMES) as f64);
        let costs = |way: Way| {
            [0, 1].map(|worker: usize| {
                let sums = &sums[worker][way as usize];
                sums[sums.len() / 4].saturating_sub(reading) as f64 / frames
            })
        };
        let [alone, apart, together] = [Way::Alone, Way::Apart, Way::Together].map(costs);
        let cell = |[one, other]: [f64; WORKERS]| format!("{one:.2} / {other:.2}");
        let growth = |costs: [f64; WORKERS]| (costs.iter().sum::<f64>() / alone.iter().sum::<f64>() - 1.0) * 100.0;
        let name = format!("{driver} {}, burst {}", self.mode, self.burst);
        let (a, b, c) = (cell(alone), cell(apart), cell(together));
        println!("{name:<28}{a:>16}{b:>16}{c:>16}   {:+.1} %, {:+.1} %", growth(apart), growth(together));
    }
}

/// A worker's port, which is stepped by hand, with traffic without end.
struct Rig {
    step: Box<dyn FnMut() -> bool + Send>,
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
    pool: Pool,
    _port: Box<dyn Send>,
}

impl Rig {
    fn plug<D: Driver, M: DeviceModel>((host, pool): &(SimHost, Pool), number: u8, model: fn(MacAddr) -> M) -> Self {
        let mac = MacAddr([2, 0, 0, 0, 0, number]);
        let (wire, _) = TrafficSource::new(TrafficConfig::to(mac));
        let device = host.add(&format!("sim:{number}"), model(mac), wire);
        let mut port = D::probe(device.open().expect("nobody else opened it")).expect("a port of a simulated function");
        let config = PortConfig { rx_desc: RING_DESC, tx_desc: RING_DESC, ..PortConfig::new(pool) };
        let mut queues = port.start(&config).expect("a port that starts");
        let (rx, tx) = (Box::new(queues.rx.swap_remove(0)), Box::new(queues.tx.swap_remove(0)));
        Self { step: Box::new(move || device.step()), rx, tx, pool: pool.clone(), _port: Box::new(port) }
    }
}

/// A rig, and what the worker holds while it works on it.
struct Hand {
    rig: Rig,
    cache: BufCache,
    burst: Burst,
}

impl Hand {
    fn new(rig: Rig, burst: usize) -> Self {
        Self { cache: rig.pool.cache(), burst: rig.pool.burst(burst), rig }
    }

    /// The device fills every receive descriptor and completes every transmit descriptor.
    fn settle(&mut self) {
        while (self.rig.step)() {}
    }

    /// Forwards a ring's worth of bursts: the cycles of what is timed.
    fn turn<S: Stage>(&mut self, stage: &mut S) -> u64 {
        self.forward(stage, UNTIMED_FRAMES);
        self.forward(stage, TURN_FRAMES - UNTIMED_FRAMES)
    }

    /// Forwards `frames` frames, a whole number of bursts: the cycles of it.
    #[inline(never)]
    fn forward<S: Stage>(&mut self, stage: &mut S, frames: usize) -> u64 {
        let limit = self.burst.limit();
        let (mut full, bursts) = (0, frames / limit);
        let start = cycles();
        for _ in 0..bursts {
            let received = self.rig.rx.rx_burst(&mut self.cache, &mut self.burst);
            stage.process(&mut self.burst, &mut self.cache);
            let sent = self.rig.tx.tx_burst(&mut self.cache, &mut self.burst);
            full += usize::from(received == limit && sent == limit);
        }
        let took = cycles() - start;
        assert_eq!(full * limit, frames, "bursts are not full, and the figures would mean nothing");
        took
    }
}

/// Where the workers wait for one another without sleeping.
#[derive(Default)]
struct Meeting {
    arrivals: AtomicUsize,
}

impl Meeting {
    /// Returns when every worker has come here for the `turn`-th time, counted from 1.
    fn wait(&self, turn: usize) {
        self.arrivals.fetch_add(1, Ordering::AcqRel);
        let mut spins = 0_u32;
        while self.arrivals.load(Ordering::Acquire) < turn * WORKERS {
            spins += 1;
            if spins.is_multiple_of(4096) {
                // Another process may have the CPU that the other worker needs.
                thread::yield_now();
            }
            spin_loop();
        }
    }
}

struct Worker<'a, S> {
    number: usize,
    stage: S,
    meeting: &'a Meeting,
    /// How often it has met the others.
    met: usize,
    together: Hand,
    apart: Hand,
}

impl<S: Stage> Worker<'_, S> {
    /// The sorted cycles of all turns, a list a way.
    fn run(mut self, barrier: &Barrier) -> [Vec<u64>; 3] {
        let mut sums = [const { Vec::new() }; 3];
        for round in 0..=ROUNDS {
            let now = [self.alone(barrier), self.coinciding(Way::Apart, barrier), self.coinciding(Way::Together, barrier)];
            // The first round warms caches, pools and branch predictors.
            if round > 0 {
                sums.iter_mut().zip(now).for_each(|(sums, now)| sums.extend(now));
            }
        }
        sums.iter_mut().for_each(|sums| sums.sort_unstable());
        sums
    }

    /// First the one works while the other sleeps, then the other.
    fn alone(&mut self, barrier: &Barrier) -> Vec<u64> {
        let mut sums = Vec::new();
        for number in 0..WORKERS {
            barrier.wait();
            if number == self.number {
                let (hand, stage) = (&mut self.together, &mut self.stage);
                let turn = |_| {
                    hand.settle();
                    hand.turn(stage)
                };
                sums = (0..TURNS).map(turn).collect();
            }
        }
        barrier.wait();
        sums
    }

    fn coinciding(&mut self, way: Way, barrier: &Barrier) -> Vec<u64> {
        let hand = if way == Way::Apart { &mut self.apart } else { &mut self.together };
        let turn = |_| {
            hand.settle();
            self.met += 1;
            self.meeting.wait(self.met);
            hand.turn(&mut self.stage)
        };
        let sums = (0..TURNS).map(turn).collect();
        barrier.wait();
        sums
    }
}
