//! TSC cycles a frame of receive, stage and transmit, on the software 82599 VF of `benches/peers`: what `peerbench.c` there does with
//! DPDK, done with vfwire. `cargo xtask bench --peers` runs both in turn.
//!
//! `with-peer.sh OUT peer_bench [mode=io|mac-swap] [burst=32] [step=0|1] [reps=7] [ms=500] [ring=512] [path=NAME] [port=ADDRESS]`
//!
//! `step=1`: the model runs on this core between the timed bursts. `step=0`: it polls on a core of its own. Only full bursts count. Their
//! cycles are summed over 64 bursts; a repetition's figure is the median of these sums, one reading of the counter taken off.
#![expect(unsafe_code, reason = "the model is preloaded into this process, and what it exports is found by name")]

use std::error::Error;
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use vfwire::forward::{Io, MacSwap, Stage};
use vfwire::{BufCache, Burst, Host, Path, PoolConfig, Port, PortConfig, RxQueue, TxQueue, cycles};

/// Bursts whose cycles are summed.
const BURSTS_A_SUM: u32 = 64;
/// Buffers beside those of the rings and the burst, as `vfwire forward` has them.
const WORKER_BUFFERS: u32 = 512;

fn main() -> ExitCode {
    let Err(error) = measure() else { return ExitCode::SUCCESS };
    eprintln!("peer_bench: {error}");
    ExitCode::FAILURE
}

fn measure() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    match options.mode.as_str() {
        "io" => run(&options, Io),
        "mac-swap" => run(&options, MacSwap),
        other => Err(format!("mode={other}: there are io and mac-swap").into()),
    }
}

struct Options {
    mode: String,
    burst: usize,
    lock_step: bool,
    repetitions: u32,
    length_ms: u64,
    ring: u16,
    path: Option<Path>,
    port: String,
}

impl Options {
    fn parse(words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            mode: "io".into(),
            burst: 32,
            lock_step: false,
            repetitions: 7,
            length_ms: 500,
            ring: 512,
            path: None,
            port: "0000:01:10.0".into(),
        };
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}` is not NAME=VALUE"))?;
            match name {
                "mode" => options.mode = value.into(),
                "burst" => options.burst = value.parse()?,
                "step" => options.lock_step = value == "1",
                "reps" => options.repetitions = value.parse()?,
                "ms" => options.length_ms = value.parse()?,
                "ring" => options.ring = value.parse()?,
                "path" => options.path = Some(Path::named(value).ok_or_else(|| format!("this processor has no path {value}"))?),
                "port" => options.port = value.into(),
                _ => return Err(format!("there is no option {name}").into()),
            }
        }
        Ok(options)
    }
}

fn run<S: Stage>(options: &Options, mut stage: S) -> Result<(), Box<dyn Error>> {
    let peer = Peer::find()?;
    let mut host = Host::new();
    let mut port = host.open(&options.port)?;
    let burst_frames = u32::try_from(options.burst)?;
    let pool = host.pool(PoolConfig::new(2 * u32::from(options.ring) + burst_frames + WORKER_BUFFERS))?;
    let config = PortConfig { rx_desc: options.ring, tx_desc: options.ring, path: options.path, ..PortConfig::new(&pool) };
    let queues = port.start(&config)?;
    let (Some(rx), Some(tx)) = (queues.rx.into_iter().next(), queues.tx.into_iter().next()) else {
        return Err(format!("{}: the port gave no queue pair", options.port).into());
    };
    let mut lane = Lane { rx, tx, cache: pool.cache(), burst: pool.burst(options.burst) };

    let counter = Counter::calibrate();
    (peer.mode)(c_int::from(!options.lock_step));
    println!(
        "peer_bench {} mode={} burst={} step={} rx_path={} tx_path={} read={:.1}",
        port.info().driver,
        options.mode,
        options.burst,
        u8::from(options.lock_step),
        lane.rx.path(),
        lane.tx.path(),
        counter.read_cycles
    );
    for _ in 0..options.repetitions {
        // The distance of the two cores, which a virtual machine's host may change at any time.
        let round_trip = if options.lock_step { 0 } else { (peer.rtt)() };
        let outcome = lane.repetition(&mut stage, options, &peer, &counter);
        println!("REP sum={:.2} rtt={round_trip} full={} other={}", outcome.cycles_a_frame, outcome.full, outcome.other);
    }
    Ok(())
}

/// A queue pair and what a worker holds.
struct Lane<R, T> {
    rx: R,
    tx: T,
    cache: BufCache,
    burst: Burst,
}

/// What a repetition gave.
struct Outcome {
    cycles_a_frame: f64,
    /// Full bursts, which count, and polls that moved fewer frames or none.
    full: u64,
    other: u64,
}

impl<R: RxQueue, T: TxQueue> Lane<R, T> {
    fn repetition<S: Stage>(&mut self, stage: &mut S, options: &Options, peer: &Peer, counter: &Counter) -> Outcome {
        let (mut full, mut other) = (0_u64, 0_u64);
        let (mut sum, mut summed) = (0_u64, 0_u32);
        let mut sums = Vec::with_capacity(1 << 20);
        let end = cycles() + counter.cycles_a_ms * options.length_ms;
        let mut now = 0;
        while now < end && sums.len() < sums.capacity() {
            if options.lock_step {
                (peer.step)();
            }
            let start = cycles();
            let received = self.rx.rx_burst(&mut self.cache, &mut self.burst);
            let mut sent = 0;
            if received != 0 {
                stage.process(&mut self.burst, &mut self.cache);
                sent = self.tx.tx_burst(&mut self.cache, &mut self.burst);
            }
            now = cycles();
            if received != options.burst || sent != options.burst {
                other += 1;
                self.burst.clear(&mut self.cache);
                continue;
            }
            full += 1;
            sum += now - start;
            summed += 1;
            if summed == BURSTS_A_SUM {
                sums.push(sum);
                (sum, summed) = (0, 0);
            }
        }
        sums.sort_unstable();
        let median = sums.get(sums.len().saturating_sub(1) / 2).map_or(f64::NAN, |sum| *sum as f64);
        let cycles_a_frame = (median / f64::from(BURSTS_A_SUM) - counter.read_cycles) / options.burst as f64;
        Outcome { cycles_a_frame, full, other }
    }
}

/// The cycle counter: its rate, and what a reading costs that ends an interval.
struct Counter {
    cycles_a_ms: u64,
    read_cycles: f64,
}

impl Counter {
    fn calibrate() -> Self {
        const READINGS: u32 = 20_000;
        let (clock, start) = (Instant::now(), cycles());
        std::thread::sleep(Duration::from_millis(20));
        let cycles_a_ms = (cycles() - start) * 1000 / u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
        let start = cycles();
        let mut now = start;
        for _ in 0..READINGS {
            now = cycles();
        }
        Self { cycles_a_ms, read_cycles: (now - start) as f64 / f64::from(READINGS) }
    }
}

/// What the model exports to the program that it is preloaded into.
struct Peer {
    /// 1: the model's thread moves frames; 0: the caller does, with `step`. Returns when it is so.
    mode: extern "C" fn(c_int),
    /// One pass over all devices on the calling core; gives the frames moved.
    step: extern "C" fn() -> c_uint,
    /// Round trip of a cache line between this core and the model's, in cycles.
    rtt: extern "C" fn() -> c_uint,
}

impl Peer {
    fn find() -> Result<Self, Box<dyn Error>> {
        let (mode, step, rtt) = (symbol(c"peer_mode")?, symbol(c"peer_step")?, symbol(c"peer_rtt")?);
        // SAFETY: `shim.c` declares `void peer_mode(int)`; the pointer is not null, and a preloaded library is never unloaded.
        let mode = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn(c_int)>(mode) };
        // SAFETY: `shim.c` declares `unsigned peer_step(void)`; as above.
        let step = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> c_uint>(step) };
        // SAFETY: `shim.c` declares `unsigned peer_rtt(void)`; as above.
        let rtt = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> c_uint>(rtt) };
        Ok(Self { mode, step, rtt })
    }
}

fn symbol(name: &CStr) -> Result<*mut c_void, Box<dyn Error>> {
    // SAFETY: `name` ends in a zero byte, and the default scope is always there.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if address.is_null() {
        return Err(format!("this process has no {}: start it with benches/peers/with-peer.sh", name.to_string_lossy()).into());
    }
    Ok(address)
}
