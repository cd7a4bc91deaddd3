//! Lanes between queues of these tests: what is kept, dropped and counted.

use super::*;
use crate::{Host, PoolConfig, Port, PortConfig};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize},
};
use vfwire_core::path::Path;

/// Gives numbered frames, as many as it is told to.
struct Source {
    left: Arc<AtomicUsize>,
    next: u8,
}

impl RxQueue for Source {
    fn rx_burst(&mut self, cache: &mut BufCache, out: &mut Burst) -> usize {
        let count = self.left.load(Relaxed).min(out.room());
        for _ in 0..count {
            let mut frame = out.push_empty(cache).expect("a buffer");
            frame.append(60).expect("room").fill(self.next);
            self.next = self.next.wrapping_add(1);
        }
        self.left.fetch_sub(count, Relaxed);
        count
    }
    fn path(&self) -> Path {
        Path::SCALAR
    }
}

/// Takes frames while it has room.
struct Sink {
    room: Arc<AtomicUsize>,
    got: Arc<Mutex<Vec<Vec<u8>>>>,
    reclaims: Arc<AtomicU64>,
}

impl TxQueue for Sink {
    fn tx_burst(&mut self, cache: &mut BufCache, burst: &mut Burst) -> usize {
        let count = self.room.load(Relaxed).min(burst.len());
        let mut at = 0;
        let mut got = self.got.lock().expect("a test");
        burst.retain(cache, |frame| {
            at += 1;
            if at <= count {
                got.push(frame.data().to_vec());
            }
            at > count
        });
        self.room.fetch_sub(count, Relaxed);
        count
    }
    fn reclaim(&mut self, _cache: &mut BufCache) -> usize {
        self.reclaims.fetch_add(1, Relaxed);
        0
    }
    fn in_flight(&self) -> usize {
        0
    }
    fn path(&self) -> Path {
        Path::SCALAR
    }
}

/// A lane of these queues, and what the test holds of them.
struct Bench {
    pool: Pool,
    cache: BufCache,
    lane: Lane,
    left: Arc<AtomicUsize>,
    room: Arc<AtomicUsize>,
    got: Arc<Mutex<Vec<Vec<u8>>>>,
    reclaims: Arc<AtomicU64>,
}

const BUFFERS: u32 = 64;

impl Bench {
    fn new(frames: usize, room: usize) -> Self {
        let pool = Pool::new(&*vfwire_sim::SimHost::new().dma(), PoolConfig::new(BUFFERS)).expect("memory");
        let (left, room) = (Arc::new(AtomicUsize::new(frames)), Arc::new(AtomicUsize::new(room)));
        let (got, reclaims) = (Arc::default(), Arc::default());
        let source = Source { left: Arc::clone(&left), next: 0 };
        let sink = Sink { room: Arc::clone(&room), got: Arc::clone(&got), reclaims: Arc::clone(&reclaims) };
        let lane = Lane::new(Box::new(source), Box::new(sink), &pool, 8);
        Self { cache: pool.cache(), lane, left, room, got, reclaims, pool }
    }

    /// One poll, as a worker does it: what was received and what was sent.
    fn poll(&mut self) -> (usize, usize) {
        let moved = self.lane.turn(&mut MacSwap, &mut self.cache, 0);
        (moved.received, moved.sent)
    }

    /// The numbers of the frames that were sent.
    fn numbers(&self) -> Vec<u8> {
        self.got.lock().expect("a test").iter().map(|frame| frame[20]).collect()
    }
}

#[test]
fn frames_that_fit_go_through_at_once() {
    let mut bench = Bench::new(11, usize::MAX);
    assert_eq!([bench.poll(), bench.poll(), bench.poll()], [(8, 8), (3, 3), (0, 0)]);
    assert_eq!(bench.numbers(), (0..11).collect::<Vec<_>>());
    assert_eq!(bench.lane.reader().read(), LaneStats { frames: 11, polls: 2, dropped: 0, dropped_by_stage: 0 });
    assert_eq!(bench.reclaims.load(Relaxed), 1, "an idle poll takes sent buffers back");
}

#[test]
fn what_does_not_fit_is_kept_in_order_and_nothing_is_received_meanwhile() {
    let mut bench = Bench::new(11, 5);
    assert_eq!([bench.poll(), bench.poll(), bench.poll()], [(8, 5), (0, 0), (0, 0)]);
    assert_eq!(bench.left.load(Relaxed), 3);
    bench.room.store(100, Relaxed);
    assert_eq!([bench.poll(), bench.poll()], [(0, 3), (3, 3)]);
    assert_eq!(bench.numbers(), (0..11).collect::<Vec<_>>());
    assert_eq!(bench.lane.reader().read(), LaneStats { frames: 11, polls: 2, dropped: 0, dropped_by_stage: 0 });
}

#[test]
fn a_ring_that_stays_full_costs_counted_frames_and_does_not_stop_the_lane() {
    let mut bench = Bench::new(9, 6);
    assert_eq!(bench.poll(), (8, 6));
    for _ in 0..RETRIES - 1 {
        assert_eq!(bench.poll(), (0, 0));
    }
    assert_eq!(bench.lane.reader().read().dropped, 0);
    assert_eq!(bench.poll(), (0, 0));
    assert_eq!(bench.lane.reader().read().dropped, 2);
    assert_eq!(bench.poll(), (1, 0), "the lane receives again");
}

#[test]
fn every_frame_is_accounted_for_and_every_buffer_comes_home() {
    for room in [0, 3, 20, 100] {
        let Bench { pool, cache, lane, left, got, .. } = Bench::new(20, room);
        drop(cache);
        let (reader, stop) = (lane.reader(), AtomicBool::new(false));
        let mut worker = Worker::new(vec![lane], &pool);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| worker.run(&mut Io, &stop));
            // Until all frames are received, or none can be.
            while left.load(Relaxed) > 0 && got.lock().expect("a test").len() < room {
                std::thread::yield_now();
            }
            stop.store(true, Relaxed);
            running.join().expect("no panic");
        });
        let stats = reader.read();
        let sent = got.lock().expect("a test").len() as u64;
        assert_eq!(stats.frames, sent + stats.dropped, "{stats:?}");
        assert_eq!(stats.frames, 20 - left.load(Relaxed) as u64);
        drop(worker);
        assert_eq!(pool.free_buffers(), BUFFERS as usize);
    }
}

/// Time is simulated here: it passes in pauses only.
#[test]
fn several_stuck_links_end_as_soon_as_one() {
    let pool = Pool::new(&*vfwire_sim::SimHost::new().dma(), PoolConfig::new(BUFFERS)).expect("memory");
    let mut cache = pool.cache();
    let lane = || {
        let source = Source { left: Arc::new(AtomicUsize::new(5)), next: 0 };
        let sink = Sink { room: Arc::default(), got: Arc::default(), reclaims: Arc::default() };
        let mut lane = Lane::new(Box::new(source), Box::new(sink), &pool, 8);
        assert_eq!(lane.turn(&mut Io, &mut cache, 0).received, 5);
        lane
    };
    let lanes: Vec<_> = std::iter::repeat_with(lane).take(4).collect();
    let readers: Vec<_> = lanes.iter().map(Lane::reader).collect();
    let _time = vfwire_core::clock::SimulatedTime::begin(|| {});
    let start = vfwire_core::clock::now();
    Worker::new(lanes, &pool).run(&mut Io, &AtomicBool::new(true));
    let took = vfwire_core::clock::now() - start;
    assert!(took >= DRAIN.limit && took < 2 * DRAIN.limit, "{took:?}");
    assert!(readers.iter().all(|lane| lane.read().dropped == 5));
    drop(cache);
    assert_eq!(pool.free_buffers(), BUFFERS as usize);
}

/// A whole run of a worker over real queues, with the device in another thread: bursts full and partial, idle polls, timed and untimed ones,
/// the end. (Allocations are counted for each thread by itself.)
#[test]
fn a_worker_allocates_nothing() {
    let control = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(control.count_total, 1, "allocations are counted");
    let mut host = Host::new();
    let mut ports = ["sim:igbvf,spoofchk=off", "sim:ixgbevf,spoofchk=off"].map(|address| host.open(address).expect("a simulated port"));
    let pool = host.pool(PoolConfig::new(4096)).expect("memory");
    let mut lanes = Vec::new();
    for port in &mut ports {
        let queues = port.start(&PortConfig { queue_pairs: 2, ..PortConfig::new(&pool) }).expect("a port that starts");
        let pairs = queues.rx.into_iter().zip(queues.tx);
        lanes.extend(pairs.map(|(rx, tx)| Lane::new(rx, tx, &pool, 32)));
    }
    let readers: Vec<_> = lanes.iter().map(Lane::reader).collect();
    let (mut worker, stop) = (Worker::new(lanes, &pool), AtomicBool::new(false));
    let made = std::thread::scope(|scope| {
        scope.spawn(|| {
            let polls = || readers.iter().map(|lane| lane.read().polls).sum::<u64>();
            let start = std::time::Instant::now();
            while polls() < 3000 && start.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Relaxed);
        });
        allocation_counter::measure(|| worker.run(&mut MacSwap, &stop))
    });
    let frames: u64 = readers.iter().map(|lane| lane.read().frames).sum();
    assert!(frames > 3000, "{frames} frames in a minute");
    assert!(cycles_per_frame(readers.iter()) > 0.0);
    assert_eq!(made.count_total, 0, "{frames} frames");
}

/// Two ports of these queues; everything that one receives leaves by the other.
struct Cross;

impl Switch for Cross {
    fn switch(&mut self, from: usize, burst: &mut Burst, out: &mut Outputs, cache: &mut BufCache) {
        // The frame with the number 3 has no way out.
        out.deal(burst, cache, |frame| (frame.data()[0] != 3).then_some(1 - from));
    }
}

#[test]
fn a_hub_sends_where_the_switch_says_and_one_stuck_port_stops_no_other() {
    let pool = Pool::new(&*vfwire_sim::SimHost::new().dma(), PoolConfig::new(1024)).expect("memory");
    let left = [300, 40].map(|frames| Arc::new(AtomicUsize::new(frames)));
    // Port 1 takes nothing.
    let room = [usize::MAX, 0].map(|room| Arc::new(AtomicUsize::new(room)));
    let got: [Arc<Mutex<Vec<Vec<u8>>>>; 2] = Default::default();
    let pair = |port: usize| -> (Box<dyn RxQueue>, Box<dyn TxQueue>) {
        let source = Source { left: Arc::clone(&left[port]), next: 0 };
        let sink = Sink { room: Arc::clone(&room[port]), got: Arc::clone(&got[port]), reclaims: Arc::default() };
        (Box::new(source), Box::new(sink))
    };
    let mut hub = Hub::new(vec![pair(0), pair(1)], &pool, 8);
    let readers = hub.readers();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| hub.run(&mut Cross, &stop));
        while left.iter().any(|left| left.load(Relaxed) > 0) {
            std::thread::yield_now();
        }
        stop.store(true, Relaxed);
        running.join().expect("no panic");
    });
    let [first, second] = [readers[0].read(), readers[1].read()];
    assert_eq!((first.frames, second.frames), (300, 40));
    // Numbers are of a byte, so 3 comes twice among 300.
    assert_eq!((first.dropped_by_stage, second.dropped_by_stage), (2, 1));
    assert_eq!((first.dropped, second.dropped), (0, 298), "each on the port that it was to leave by");
    let sent = got[0].lock().expect("a test").iter().map(|frame| frame[20]).collect::<Vec<_>>();
    assert_eq!(sent, (0..40).filter(|number| *number != 3).collect::<Vec<_>>());
    assert!(got[1].lock().expect("a test").is_empty());
    drop(hub);
    assert_eq!(pool.free_buffers(), 1024);
}
