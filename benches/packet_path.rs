//! `cargo bench`: TSC cycles of the packet path, a burst and a frame, on simulated devices.
//!
//! Only the calls that a group names are timed. Between them the device, which is stepped in the same thread, completes what it was given,
//! so its cost is not in the figures and every burst is full. Caches are as warm as such a loop keeps them: compare these figures with one
//! another; `cargo xtask bench --peers` compares with DPDK.

mod cycles;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cycles::Cycles;
use std::hint::black_box;
use std::time::Duration;
use vfwire::forward::{Io, MacSwap, Stage};
use vfwire::{BufCache, Burst, MacAddr, Pool, PoolConfig, Port, PortConfig, RxQueue, TxQueue};
use vfwire_core::port::Driver;
use vfwire_sim::{
    DeviceModel, IgbvfModel, IgbvfOptions, IxgbevfModel, IxgbevfOptions, SimFunction, SimHost, TrafficConfig, TrafficSource,
    VirtioNetModel, VirtioNetOptions,
};

const BURSTS: [usize; 8] = [1, 4, 8, 16, 32, 64, 128, 256];
const VF_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x10]);

/// What there is to time.
#[derive(Clone, Copy)]
enum Work {
    Receive,
    Transmit,
    ForwardIo,
    ForwardMacSwap,
}

/// A started port, stepped by hand, with traffic without end.
struct Rig<P: Port> {
    host: SimHost,
    rx: P::Rx,
    tx: P::Tx,
    cache: BufCache,
    burst: Burst,
    _port: P,
}

// Frames keep their source address in io mode, which a PF that checks it would drop.

fn igbvf() -> IgbvfModel {
    IgbvfModel::new(IgbvfOptions { pf_mac: Some(VF_MAC), spoofchk: false, ..IgbvfOptions::default() })
}

fn ixgbevf() -> IxgbevfModel {
    IxgbevfModel::new(IxgbevfOptions { pf_mac: Some(VF_MAC), spoofchk: false, ..IxgbevfOptions::default() })
}

fn split() -> VirtioNetModel {
    virtio_net(false)
}

fn packed() -> VirtioNetModel {
    virtio_net(true)
}

fn virtio_net(packed: bool) -> VirtioNetModel {
    // Rings as long as those of the others.
    VirtioNetModel::new(VirtioNetOptions { mac: Some(VF_MAC), packed, queue_size: 512, ..VirtioNetOptions::default() })
}

/// A machine with one device, whose wire sends without end, opened.
fn plug(model: impl DeviceModel) -> (SimHost, SimFunction) {
    let host = SimHost::new();
    let (wire, _) = TrafficSource::new(TrafficConfig::to(VF_MAC));
    let function = host.add("simulated", model, wire).open().expect("nobody else opened it");
    (host, function)
}

impl<P: Port> Rig<P> {
    fn new(host: SimHost, mut port: P, burst_frames: usize) -> Self {
        let pool = Pool::new(&*host.dma(), PoolConfig::new(2048)).expect("a pool of simulated memory");
        let mut queues = port.start(&PortConfig::new(&pool)).expect("a port that starts");
        let (rx, tx) = (queues.rx.swap_remove(0), queues.tx.swap_remove(0));
        let rig = Self { host, rx, tx, cache: pool.cache(), burst: pool.burst(burst_frames), _port: port };
        rig.settle();
        rig
    }

    /// Lets the device fill every receive descriptor and complete every transmit descriptor.
    fn settle(&self) {
        while self.host.step() {}
    }

    /// One full burst: untimed what comes before and after, and the cycles of the work.
    #[inline(always)]
    fn turn(&mut self, work: Work) -> u64 {
        // A virtio device sleeps when it has used all buffers, and is told of new ones when a call finds nothing: such calls do not count.
        for _ in 0..4 {
            self.settle();
            let (cycles, received) = self.burst(work);
            if received == self.burst.limit() {
                return cycles;
            }
        }
        panic!("bursts are not full")
    }

    /// Cycles of the work, and frames received.
    #[inline(always)]
    fn burst(&mut self, work: Work) -> (u64, usize) {
        let timed = match work {
            Work::Receive => {
                let start = vfwire::cycles();
                let received = self.rx.rx_burst(&mut self.cache, &mut self.burst);
                (vfwire::cycles() - start, received)
            }
            Work::Transmit => {
                let received = self.rx.rx_burst(&mut self.cache, &mut self.burst);
                let start = vfwire::cycles();
                self.tx.tx_burst(&mut self.cache, &mut self.burst);
                (vfwire::cycles() - start, received)
            }
            Work::ForwardIo => self.forward(&mut Io),
            Work::ForwardMacSwap => self.forward(&mut MacSwap),
        };
        self.burst.clear(&mut self.cache);
        timed
    }

    #[inline(always)]
    fn forward<S: Stage>(&mut self, stage: &mut S) -> (u64, usize) {
        let start = vfwire::cycles();
        let received = self.rx.rx_burst(&mut self.cache, &mut self.burst);
        stage.process(&mut self.burst, &mut self.cache);
        self.tx.tx_burst(&mut self.cache, &mut self.burst);
        (vfwire::cycles() - start, received)
    }

    /// An error here would make every figure meaningless.
    fn check(&mut self, burst_frames: usize) {
        let mut full = 0;
        for _ in 0..64 {
            self.settle();
            let received = self.rx.rx_burst(&mut self.cache, &mut self.burst);
            let sent = self.tx.tx_burst(&mut self.cache, &mut self.burst);
            assert_eq!(received, sent, "what was received is sent");
            full += usize::from(sent == burst_frames);
        }
        // As `turn` has it: a ring of 512 is used up by two bursts of 256, of which the second may be shorter.
        assert!(full >= 16, "{full} of 64 bursts are full");
    }
}

fn driver<D: Driver, M: DeviceModel>(criterion: &mut Criterion<Cycles>, what: &str, model: fn() -> M) {
    let works =
        [("rx", Work::Receive), ("tx", Work::Transmit), ("forward io", Work::ForwardIo), ("forward mac-swap", Work::ForwardMacSwap)];
    let reading = cycles::reading();
    for (name, work) in works {
        let mut group = quick(criterion, &format!("{what} {name}"));
        for burst_frames in BURSTS {
            let (host, function) = plug(model());
            let port = D::probe(function).expect("a port of a simulated function");
            let mut rig = Rig::new(host, port, burst_frames);
            rig.check(burst_frames);
            group.throughput(Throughput::Elements(burst_frames as u64));
            group.bench_function(BenchmarkId::from_parameter(burst_frames), |bencher| {
                bencher.iter_custom(|turns| cycles::typical(turns, || rig.turn(work)).saturating_sub(turns * reading));
            });
        }
    }
}

/// Buffers out of a worker's cache and back, and through the overflow that workers share.
fn pool(criterion: &mut Criterion<Cycles>) {
    let host = SimHost::new();
    let pool = Pool::new(&*host.dma(), PoolConfig::new(4096)).expect("a pool of simulated memory");
    let mut group = quick(criterion, "pool take and give");
    for frames in [32, 256] {
        let mut burst = pool.burst(frames);
        let fill = |burst: &mut Burst, cache: &mut BufCache| {
            while let Some(packet) = burst.push_empty(cache) {
                black_box(packet.len());
            }
        };
        group.throughput(Throughput::Elements(frames as u64));
        let mut cache = pool.cache();
        group.bench_function(BenchmarkId::new("cache", frames), |bencher| {
            bencher.iter(|| {
                fill(&mut burst, &mut cache);
                burst.clear(&mut cache);
            });
        });
        drop(cache);
        // What one worker receives and another sends: the first runs dry, the second overflows.
        let (mut from, mut to) = (pool.cache(), pool.cache());
        group.bench_function(BenchmarkId::new("overflow", frames), |bencher| {
            bencher.iter(|| {
                fill(&mut burst, &mut from);
                burst.clear(&mut to);
            });
        });
    }
}

/// Short runs: a device is stepped between any two timed sections, so a second of wall time holds few of them however long it is.
fn quick<'a>(criterion: &'a mut Criterion<Cycles>, name: &str) -> BenchmarkGroup<'a, Cycles> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    group
}

fn drivers(criterion: &mut Criterion<Cycles>) {
    driver::<vfwire_igbvf::Igbvf, _>(criterion, "igbvf", igbvf);
    driver::<vfwire_ixgbevf::Ixgbevf, _>(criterion, "ixgbevf", ixgbevf);
    driver::<vfwire_virtio_net::VirtioNet, _>(criterion, "virtio-net split", split);
    driver::<vfwire_virtio_net::VirtioNet, _>(criterion, "virtio-net packed", packed);
}

criterion_group! {
    name = packet_path;
    config = Criterion::default().with_measurement(Cycles);
    targets = drivers, pool
}
criterion_main!(packet_path);
