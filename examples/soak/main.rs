//! Forwards between pairs of simulated ports for as long as one likes, while everything goes wrong that a PF, a device, a bus or an
//! administrator can do; then looks whether anything leaked. `cargo xtask soak` runs it.
//!
//! `cargo run --release --example soak -- SECONDS [SEED]`. The seed decides what happens; threads and time decide the rest.

mod side;
mod subject;
mod worker;

use side::{Ops, Side};
use std::{
    env,
    error::Error,
    fs,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};
use subject::{Igbvf, Ixgbevf, Rng, VirtioNet};
use vfwire::{Pool, PoolConfig};
use vfwire_sim::SimHost;
use worker::{Books, Worker};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BUFFERS: u32 = 4096;
/// A device has its turn so often: it must leave the worker some of the processor.
const DEVICE_PAUSE: Duration = Duration::from_micros(100);
/// How long both ports may take until frames pass again once nothing goes wrong any more.
const BACK_LIMIT: Duration = Duration::from_secs(20);
/// Frames that must pass each way then.
const BACK_FRAMES: u64 = 200;
/// The process may have grown by so much between the first rounds and the last.
const GROWTH_MAX_KIB: i64 = 16 * 1024;
/// Rounds whose memory is not looked at: allocators and lazily made tables settle.
const WARM_UP_ROUNDS: usize = 4;

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let seconds = words.next().and_then(|word| word.parse().ok()).unwrap_or(60);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = words.next().and_then(|word| word.parse().ok()).unwrap_or(clock.as_secs() ^ u64::from(clock.subsec_nanos()) << 20);
    println!("soak: {seconds} s, seed {seed}");
    match soak(Duration::from_secs(seconds), seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("soak: {error} (seed {seed})");
            ExitCode::FAILURE
        }
    }
}

/// What the process has of the system.
#[derive(Clone, Copy, Debug)]
struct Sample {
    resident_kib: i64,
    descriptors: usize,
    threads: usize,
}

impl Sample {
    fn now() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
        let resident_kib = resident.trim().trim_end_matches(" kB").parse()?;
        let count = |folder| fs::read_dir(folder).map(Iterator::count);
        Ok(Self { resident_kib, descriptors: count("/proc/self/fd")?, threads: count("/proc/self/task")? })
    }
}

fn soak(length: Duration, seed: u64) -> Result<()> {
    let mut rng = Rng(seed);
    let (start, mut totals, mut samples) = (Instant::now(), side::Tally::default(), Vec::new());
    while start.elapsed() < length || samples.len() < WARM_UP_ROUNDS + 2 {
        let number = samples.len();
        round(&mut rng, &mut totals).map_err(|error| format!("round {number}: {error}"))?;
        samples.push(Sample::now()?);
    }
    println!("{} rounds in {:.0} s: {totals}", samples.len(), start.elapsed().as_secs_f64());
    no_drift(&samples)
}

/// Compares the rounds after the warm-up with the last ones.
fn no_drift(samples: &[Sample]) -> Result<()> {
    let settled = &samples[WARM_UP_ROUNDS..];
    let part = settled.len().div_ceil(4);
    // The least of several rounds: what is left when nothing is in use.
    let least = |part: &[Sample]| part.iter().map(|sample| sample.resident_kib).min().unwrap_or(0);
    let (before, after) = (least(&settled[..part]), least(&settled[settled.len() - part..]));
    let [first, last] = [settled[0], settled[settled.len() - 1]];
    println!(
        "resident memory {before} KiB before, {after} KiB after; file descriptors {} and {}; threads {} and {}",
        first.descriptors, last.descriptors, first.threads, last.threads
    );
    if after - before > GROWTH_MAX_KIB {
        return Err(format!("memory grew by {} KiB", after - before).into());
    }
    if (first.descriptors, first.threads) != (last.descriptors, last.threads) {
        return Err(format!("file descriptors or threads drifted: {first:?} then {last:?}").into());
    }
    Ok(())
}

/// A thread that gives the devices of a machine their turns until it is dropped.
struct Turns(Arc<AtomicBool>, Option<thread::JoinHandle<()>>);

impl Turns {
    fn new(host: &SimHost) -> Self {
        let (host, stop) = (host.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                host.step();
                thread::sleep(DEVICE_PAUSE);
            }
        });
        Self(stop, Some(thread))
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.1.take() {
            thread.join().expect("a model does not panic");
        }
    }
}

fn plug(host: &SimHost, name: &str, pool: &Pool, rng: &mut Rng) -> Result<Box<dyn Ops>> {
    Ok(match rng.below(3) {
        0 => Box::new(Side::<Igbvf>::new(host, name, pool, rng)?),
        1 => Box::new(Side::<Ixgbevf>::new(host, name, pool, rng)?),
        _ => Box::new(Side::<VirtioNet>::new(host, name, pool, rng)?),
    })
}

/// One pair of ports, from nothing to nothing.
fn round(rng: &mut Rng, totals: &mut side::Tally) -> Result<()> {
    let host = SimHost::new();
    let turns = Turns::new(&host);
    let pool = Pool::new(&*host.dma(), PoolConfig::new(BUFFERS))?;
    let worker = Worker::new(&pool);
    let mut sides = [plug(&host, "sim:0", &pool, rng)?, plug(&host, "sim:1", &pool, rng)?];
    for (number, side) in sides.iter_mut().enumerate() {
        side.start(&worker, number, rng)?;
    }
    for _ in 0..5 + rng.below(10) {
        let number = rng.below(2);
        sides[number].disturb(&worker, number, rng)?;
        let pause = Instant::now() + Duration::from_millis(5 + rng.below(150) as u64);
        while Instant::now() < pause {
            for (number, side) in sides.iter_mut().enumerate() {
                side.look_after(&worker, number, rng)?;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
    let came_back = come_back(&mut sides, &worker, rng)?;
    totals.slowest_return = totals.slowest_return.max(came_back);
    for (number, side) in sides.iter_mut().enumerate() {
        side.close(&worker, number)?;
        totals.add(side.tally());
    }
    totals.forwarded += worker.books().iter().map(Books::sent).sum::<u64>();
    drop((worker, sides, turns));
    if pool.free_buffers() != BUFFERS as usize {
        return Err(format!("{} of {BUFFERS} buffers are home", pool.free_buffers()).into());
    }
    Ok(())
}

/// Nothing goes wrong any more: traffic flows both ways, by itself or, where a port said that it had failed or was removed, after what an
/// application does then.
fn come_back(sides: &mut [Box<dyn Ops>; 2], worker: &Worker, rng: &mut Rng) -> Result<Duration> {
    sides.iter_mut().for_each(|side| side.heal());
    let start = Instant::now();
    let before = [0, 1].map(|number| worker.books()[number].received());
    loop {
        for (number, side) in sides.iter_mut().enumerate() {
            side.look_after(worker, number, rng)?;
        }
        let flows = |number: usize| worker.books()[number].received() >= before[number] + BACK_FRAMES;
        if flows(0) && flows(1) {
            return Ok(start.elapsed());
        }
        if start.elapsed() > BACK_LIMIT {
            let states: Vec<String> = sides.iter().map(|side| side.describe()).collect();
            return Err(format!("no traffic {BACK_LIMIT:?} after the last fault: {}", states.join("; ")).into());
        }
        thread::sleep(Duration::from_millis(2));
    }
}
