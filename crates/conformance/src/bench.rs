//! A port on a simulated host, with everything around it that a scenario needs.
//!
//! One thread: the device moves when the scenario steps it and at no other time. When a bench is dropped it drops its queues and its port,
//! and then fails the test unless the IOMMU refused nothing, the driver broke no rule of the data sheet, and every buffer is home.

use crate::{
    fixture::{Fixture, Options, PortOf, RxOf, TxOf},
    frames,
};
use std::{
    fmt,
    time::{Duration, Instant},
};
use vfwire_core::{
    burst::Burst,
    clock,
    error::PortError,
    event::PortEvent,
    meta::{RxMeta, TxOffload},
    packet::Packet,
    path::Path,
    pool::{BURST_MAX, BufCache, Pool, PoolConfig},
    port::{Driver, Granted, Intent, Port, PortConfig, PortInfo, PortState},
    queue::{RxQueue, TxQueue},
    stats::{DeviceStats, PortStats},
};
use vfwire_sim::{SimDevice, SimHost, TestWire};
use vfwire_spec::net::MacAddr;

/// Passes after which a device must have come to rest.
const SETTLE_PASSES: usize = 10_000;
/// The longest that a scenario waits for a port to do something by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Shape of a bench: the function, the pool, the start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The function.
    pub options: Options,
    /// The pool.
    pub pool: PoolConfig,
    /// Queue pairs of the start.
    pub queue_pairs: u16,
    /// Descriptors of each receive ring.
    pub rx_desc: u16,
    /// Descriptors of each transmit ring.
    pub tx_desc: u16,
    /// The compilation of the packet path.
    pub path: Path,
    /// What is asked of the port.
    pub intent: Intent,
    /// How long a recovery may go on failing.
    pub recovery_limit: Duration,
}

impl Setup {
    /// As [`new`](Self::new), of a function that may have every multicast frame.
    pub fn for_all_multicast<F: Fixture>() -> Self {
        let options = Options { trusted: F::TRAITS.all_multicast_needs_trust, ..F::TRAITS.options };
        Self { options, ..Self::new::<F>() }
    }

    /// An ordinary function, one queue pair of 512 descriptors, the fastest path.
    pub fn new<F: Fixture>() -> Self {
        Self {
            options: F::TRAITS.options,
            pool: PoolConfig::new(4096),
            queue_pairs: 1,
            rx_desc: 512,
            tx_desc: 512,
            path: Path::best(),
            intent: Intent::default(),
            recovery_limit: Duration::from_secs(10),
        }
    }

    /// The same, once a path of this processor.
    pub fn on_every_path<F: Fixture>() -> impl Iterator<Item = Self> {
        Path::all().into_iter().map(|path| Self { path, ..Self::new::<F>() })
    }

    /// The same with rings of `desc` descriptors.
    #[must_use]
    pub fn rings(&self, desc: u16) -> Self {
        Self { rx_desc: desc, tx_desc: desc, ..self.clone() }
    }

    /// The same with this intent.
    #[must_use]
    pub fn intent(&self, intent: Intent) -> Self {
        Self { intent, ..self.clone() }
    }

    /// The configuration of the start.
    pub fn config(&self, pool: &Pool) -> PortConfig {
        PortConfig {
            queue_pairs: self.queue_pairs,
            rx_desc: self.rx_desc,
            tx_desc: self.tx_desc,
            path: Some(self.path),
            intent: self.intent.clone(),
            recovery_limit: self.recovery_limit,
            ..PortConfig::new(pool)
        }
    }

    /// A port that runs.
    pub fn start<F: Fixture>(&self) -> Bench<F> {
        let mut bench = self.probe();
        bench.start();
        bench
    }

    /// A port that was probed and not started.
    pub fn probe<F: Fixture>(&self) -> Bench<F> {
        let mut bench = self.plug();
        bench.probe().unwrap_or_else(|error| panic!("probe: {error}"));
        bench
    }

    /// A function that no driver has taken.
    pub fn plug<F: Fixture>(&self) -> Bench<F> {
        let (host, wire) = (SimHost::new(), TestWire::new());
        let device = host.add("sim:conformance", F::model(&self.options), wire.clone());
        let pool = Pool::new(&*host.dma(), self.pool).expect("a simulated host has memory");
        Bench {
            cache: pool.cache(),
            host,
            device,
            wire,
            pool,
            port: None,
            rx: Vec::new(),
            tx: Vec::new(),
            granted: Granted::default(),
            setup: self.clone(),
            leaks: false,
            is_judged: true,
        }
    }
}

/// Fails where `got` is not `expected`, and says where they part without printing thousands of bytes.
#[track_caller]
pub fn assert_same(got: &[Vec<u8>], expected: &[Vec<u8>], what: impl fmt::Display) {
    if got == expected {
        return;
    }
    let at = got.iter().zip(expected).take_while(|(got, expected)| got == expected).count();
    let shape = |frame: Option<&Vec<u8>>| match frame {
        Some(frame) => format!("{} bytes, {:02x?}…", frame.len(), &frame[..frame.len().min(32)]),
        None => "nothing".into(),
    };
    let (left, right) = (shape(got.get(at)), shape(expected.get(at)));
    panic!("{what}: {} frames for {}; frame {at} is {left}; expected {right}", got.len(), expected.len());
}

/// A frame as a scenario received it.
#[derive(Clone, PartialEq, Eq)]
pub struct Arrived {
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// What the device said of it.
    pub meta: RxMeta,
}

impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {:?}", self.bytes.len(), self.meta)
    }
}

/// A port on a simulated host.
pub struct Bench<F: Fixture> {
    /// The machine.
    pub host: SimHost,
    /// The function.
    pub device: SimDevice<F::Model>,
    /// The other end of its cable.
    pub wire: TestWire,
    /// Where its buffers come from.
    pub pool: Pool,
    /// The worker's free buffers.
    pub cache: BufCache,
    /// The port.
    pub port: Option<PortOf<F>>,
    /// Its receive queues.
    pub rx: Vec<RxOf<F>>,
    /// Its transmit queues.
    pub tx: Vec<TxOf<F>>,
    /// What became of the intent at the last start.
    pub granted: Granted,
    setup: Setup,
    leaks: bool,
    is_judged: bool,
}

impl<F: Fixture> Bench<F> {
    /// Probes the function.
    ///
    /// # Errors
    /// The driver's.
    pub fn probe(&mut self) -> Result<(), PortError> {
        self.port = Some(F::Driver::probe(self.device.open()?)?);
        Ok(())
    }

    /// Starts the port as the setup says, which must succeed.
    pub fn start(&mut self) {
        let config = self.setup.config(&self.pool);
        self.try_start(&config).unwrap_or_else(|error| panic!("start: {error}"));
    }

    /// Starts the port.
    ///
    /// # Errors
    /// The driver's.
    pub fn try_start(&mut self, config: &PortConfig) -> Result<(), PortError> {
        let queues = self.port().start(config)?;
        assert_eq!((queues.rx.len(), queues.tx.len()), (usize::from(config.queue_pairs), usize::from(config.queue_pairs)));
        (self.rx, self.tx, self.granted) = (queues.rx, queues.tx, queues.granted);
        Ok(())
    }

    /// The port.
    pub fn port(&mut self) -> &mut PortOf<F> {
        self.port.as_mut().expect("the port is there")
    }

    /// What the port says of itself.
    pub fn info(&mut self) -> PortInfo {
        self.port().info().clone()
    }

    /// The port's own address.
    pub fn mac(&mut self) -> MacAddr {
        self.info().mac
    }

    /// The port's statistics.
    pub fn stats(&mut self) -> PortStats {
        self.port().stats()
    }

    /// What the function counted.
    pub fn device_stats(&mut self) -> DeviceStats {
        self.stats().device
    }

    /// Changes the model, or looks at it.
    pub fn model<T>(&self, access: impl FnOnce(&mut F::Model) -> T) -> T {
        self.device.with(access)
    }

    /// The device works until it has nothing more to do.
    pub fn settle(&self) {
        let passes = self.host.settle(SETTLE_PASSES);
        assert!(passes < SETTLE_PASSES, "the device has not come to rest after {passes} passes");
    }

    /// Puts frames on the wire to the device.
    pub fn inject(&self, frames: impl IntoIterator<Item = Vec<u8>>) {
        frames.into_iter().for_each(|frame| self.wire.push(frame));
    }

    /// What the device has sent since the last call.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.wire.pop()).collect()
    }

    /// Receives on queue `queue` until nothing more comes.
    pub fn receive(&mut self, queue: usize) -> Vec<Arrived> {
        let mut arrived = Vec::new();
        let mut burst = self.pool.burst(BURST_MAX);
        loop {
            self.settle();
            if self.rx[queue].rx_burst(&mut self.cache, &mut burst) == 0 {
                return arrived;
            }
            arrived.extend(burst.iter_mut().map(|frame| Arrived { bytes: join(frame.segments()), meta: frame.meta() }));
            burst.clear(&mut self.cache);
        }
    }

    /// Receives on queue 0 what `frames` become when they are put on the wire now.
    pub fn receive_of(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Arrived> {
        self.inject(frames);
        self.receive(0)
    }

    /// Whether `frame` comes through to the application.
    pub fn gets(&mut self, frame: &[u8]) -> bool {
        !self.receive_of([frame.to_vec()]).is_empty()
    }

    /// Sends what queue 0 receives on queue 0, in bursts of at most `limit`, until nothing more comes. Returns how many frames it were.
    pub fn forward(&mut self, limit: usize) -> usize {
        let mut burst = self.pool.burst(limit);
        let mut total = 0;
        loop {
            self.settle();
            let received = self.rx[0].rx_burst(&mut self.cache, &mut burst);
            if received == 0 {
                self.tx[0].reclaim(&mut self.cache);
                return total;
            }
            total += received;
            self.flush(0, &mut burst);
        }
    }

    /// Sends all of `burst` on queue `queue`; the device works in between.
    pub fn flush(&mut self, queue: usize, burst: &mut Burst) {
        let mut idle = 0;
        while !burst.is_empty() {
            let before = burst.len();
            self.tx[queue].tx_burst(&mut self.cache, burst);
            self.settle();
            idle = if burst.len() == before { idle + 1 } else { 0 };
            assert!(idle < 8, "{} frames stay in the burst although the device has nothing to do", burst.len());
        }
    }

    /// Sends `frames` on queue `queue`, each with its requests, and returns what came out of the device.
    pub fn send(&mut self, queue: usize, frames: &[(Vec<u8>, TxOffload)]) -> Vec<Vec<u8>> {
        let mut burst = self.pool.burst(64);
        for (frame, asked) in frames {
            if burst.room() == 0 {
                self.flush(queue, &mut burst);
            }
            self.load(&mut burst, frame, *asked);
        }
        self.flush(queue, &mut burst);
        self.tx[queue].reclaim(&mut self.cache);
        self.sent()
    }

    /// Sends plain frames on queue 0 and returns what came out of the device.
    pub fn send_plain(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        let frames: Vec<_> = frames.into_iter().map(|frame| (frame, TxOffload::default())).collect();
        self.send(0, &frames)
    }

    /// Puts `frame` at the end of `burst`, in as many buffers as it takes.
    pub fn load(&mut self, burst: &mut Burst, frame: &[u8], asked: TxOffload) {
        let room_bytes = self.pool.data_bytes() as usize;
        let mut parts = frame.chunks(room_bytes);
        let first = parts.next().unwrap_or(&[]);
        let mut packet = burst.push_empty(&mut self.cache).expect("the pool has a buffer and the burst has room");
        packet.append(first.len()).expect("a buffer takes this much").copy_from_slice(first);
        if !asked.is_empty() {
            packet.offload(asked);
        }
        for part in parts {
            let segment = self.packet(part);
            burst.append_segment(burst.len() - 1, segment);
        }
    }

    /// A packet of these bytes, which fit one buffer.
    pub fn packet(&mut self, bytes: &[u8]) -> Packet {
        let mut burst = self.pool.burst(1);
        let mut packet = burst.push_empty(&mut self.cache).expect("the pool has a buffer");
        packet.append(bytes.len()).expect("a buffer takes this much").copy_from_slice(bytes);
        burst.swap_take(0)
    }

    /// Frames go in and come out again: `count` frames of `len_bytes`.
    pub fn assert_traffic_flows(&mut self, len_bytes: usize) {
        let to = self.mac();
        let frames: Vec<_> = (0..20).map(|number| frames::frame(to, len_bytes, number)).collect();
        self.sent();
        self.assert_comes_back(&frames, 32, format_args!("frames of {len_bytes} bytes"));
    }

    /// `frames` go in, are forwarded in bursts of at most `limit`, and come out as they were.
    #[track_caller]
    pub fn assert_comes_back(&mut self, frames: &[Vec<u8>], limit: usize, what: impl fmt::Display) {
        self.inject(frames.to_vec());
        assert_eq!(self.forward(limit), frames.len(), "{what}: received");
        assert_same(&self.sent(), frames, what);
    }

    /// What the port has to tell now. Errors fail the test.
    pub fn events(&mut self) -> Vec<PortEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.port().poll_control().unwrap_or_else(|error| panic!("poll_control: {error}")) {
            events.push(event);
            assert!(events.len() < 100, "events without end: {:?}", &events[90..]);
        }
        events
    }

    /// Receives into nothing and sends nothing, on every queue.
    fn poll_queues(&mut self, burst: &mut Burst) {
        for rx in &mut self.rx {
            rx.rx_burst(&mut self.cache, burst);
            burst.clear(&mut self.cache);
        }
        for tx in &mut self.tx {
            tx.tx_burst(&mut self.cache, burst);
        }
    }

    /// Lets every queue notice what the port wants of it. They must move nothing.
    pub fn poll_queues_in_reset(&mut self) {
        let mut burst = self.pool.burst(BURST_MAX);
        for rx in &mut self.rx {
            assert_eq!(rx.rx_burst(&mut self.cache, &mut burst), 0, "a queue received although its port is in reset");
        }
        for tx in &mut self.tx {
            assert_eq!(tx.tx_burst(&mut self.cache, &mut burst), 0);
        }
    }

    /// Looks after the port, queues and device until an event is there that `wanted` takes; all events up to it. Errors of `poll_control`
    /// are borne: recovery is tried again.
    pub fn await_event(&mut self, what: &str, wanted: impl Fn(&PortEvent) -> bool) -> Vec<PortEvent> {
        let (start, mut events, mut last_error) = (Instant::now(), Vec::new(), None);
        let mut burst = self.pool.burst(BURST_MAX);
        while start.elapsed() < PATIENCE {
            match self.port().poll_control() {
                Ok(Some(event)) => {
                    let found = wanted(&event);
                    events.push(event);
                    if found {
                        return events;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => last_error = Some(error),
            }
            self.host.step();
            self.poll_queues(&mut burst);
            clock::pause(Duration::from_micros(100));
        }
        panic!("no {what} came; events: {events:?}; last error: {last_error:?}");
    }

    /// Waits until the port has recovered and every queue has begun again, and says what was granted.
    pub fn await_recovered(&mut self) -> Granted {
        let granted = self.await_recovered_event();
        self.poll_queues(&mut self.pool.burst(BURST_MAX));
        granted
    }

    fn await_recovered_event(&mut self) -> Granted {
        match self.await_event("Recovered", |event| matches!(event, PortEvent::Recovered { .. })).pop() {
            Some(PortEvent::Recovered { granted }) => granted,
            other => panic!("{other:?}"),
        }
    }

    /// Looks after the port until it has nothing more to tell, whatever it tells.
    pub fn await_quiet(&mut self) {
        let mut quiet = 0;
        for _ in 0..1000 {
            let is_quiet = matches!(self.port().poll_control(), Ok(None));
            let is_on_its_way = matches!(self.port().state(), PortState::Resetting | PortState::Recovering);
            quiet = if is_quiet && !is_on_its_way { quiet + 1 } else { 0 };
            if quiet == 5 {
                return;
            }
            if is_on_its_way {
                clock::pause(Duration::from_millis(1));
            }
            self.settle();
            self.poll_queues(&mut self.pool.burst(BURST_MAX));
        }
        panic!("the port does not come to rest");
    }

    /// The device may keep buffers for ever: it is gone, or does not let go.
    pub fn may_keep_buffers(&mut self) {
        self.leaks = true;
    }

    /// What is left at the end is somebody else's to judge.
    pub fn is_judged_elsewhere(&mut self) {
        self.is_judged = false;
    }

    /// Drops queues and port.
    pub fn close(&mut self) {
        self.rx.clear();
        self.tx.clear();
        self.port = None;
    }

    /// Whether every buffer that this bench does not hold itself is home.
    pub fn assert_all_home(&self) {
        let total = self.setup.pool.buffers as usize;
        assert_eq!(self.pool.free_buffers() + self.cache.len(), total, "buffers in the pool and in the cache");
    }
}

impl<F: Fixture> Drop for Bench<F> {
    fn drop(&mut self) {
        if std::thread::panicking() || !self.is_judged {
            return;
        }
        self.close();
        self.host.settle(SETTLE_PASSES);
        let faults = self.host.faults();
        assert!(faults.is_empty(), "the IOMMU refused: {faults:?}");
        let violations = self.device.with(|model| F::violations(model));
        assert!(violations.is_empty(), "the driver broke the data sheet: {violations:?}");
        if !self.leaks {
            self.assert_all_home();
        }
    }
}

/// The bytes of a frame.
pub fn join<'a>(segments: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    segments.flatten().copied().collect()
}
