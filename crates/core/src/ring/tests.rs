//! Rings against a device of a few lines, on random schedules: every path gives what the portable one gives, no buffer is lost or had
//! twice, and no frame is unaccounted for, whatever the device writes.

use super::*;
use crate::{
    burst::Burst,
    dma::DomainId,
    format::{RxFormat, TxFormat},
    meta::{Checksum, L4, RxMeta, RxWords, TxOffload},
    packet::Packet,
    path::{Kernel, Path},
    pool::{BURST_MAX, BufCache, HEADROOM_BYTES, PoolConfig},
};
use proptest::prelude::*;
use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Ordinary memory that plays DMA memory; the device's addresses are ours plus an offset, so that mixing the two up is seen.
pub(crate) struct TestSpace(DomainId);

impl TestSpace {
    pub(crate) fn new() -> Self {
        Self(DomainId::unique())
    }
}

const IOVA_OFFSET: u64 = 1 << 50;

struct Block(NonNull<u8>, Layout);
// SAFETY: plain memory.
unsafe impl Send for Block {}
// SAFETY: plain memory; tests use one thread.
unsafe impl Sync for Block {}
impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `alloc` with this layout.
        unsafe { dealloc(self.0.as_ptr(), self.1) }
    }
}

impl DmaSpace for TestSpace {
    fn domain(&self) -> DomainId {
        self.0
    }
    fn alloc(&self, len_bytes: usize, align_bytes: usize) -> Result<DmaRegion, DmaError> {
        let layout = Layout::from_size_align(len_bytes, align_bytes).unwrap();
        // SAFETY: no caller asks for zero bytes.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap();
        let iova = Iova(start.as_ptr() as u64 + IOVA_OFFSET);
        // SAFETY: the block lives as long as the Arc; the "device" of these tests adds the offset back.
        Ok(unsafe { DmaRegion::new(start, iova, len_bytes, Arc::new(Block(start, layout))) })
    }
}

/// A format with every constant elsewhere than in any real one.
struct Odd;
const DONE: u64 = 1 << 63;
const END: u64 = 1 << 5;
const ERROR: u64 = 0b11 << 40;
static ODD_WORDS: RxWords = RxWords {
    name: "odd",
    decode: |words| RxMeta { rss_hash: u32::try_from(words[0] >> 32).ok(), ip_checksum: Checksum::Good, ..RxMeta::default() },
};
impl RxFormat for Odd {
    const DONE: u64 = DONE;
    const END: u64 = END;
    const LENGTH_AT: u32 = 12;
    const ERROR: u64 = ERROR;
    const WORDS: &'static RxWords = &ODD_WORDS;
}
const TX_DONE: u64 = 1 << 1;
const REPORT: u64 = 1 << 2;
const TX_END: u64 = 1 << 3;
const TX_CONTEXT: u64 = 1 << 4;
const MAX_FRAME: u32 = 9018;
impl TxFormat for Odd {
    const DONE: u64 = TX_DONE;
    const FIXED: u64 = 1 << 60;
    const END: u64 = TX_END;
    const REPORT: u64 = REPORT;
    const LENGTH_AT: u32 = 8;
    const TOTAL_AT: u32 = 32;
    const MIN_FRAME_BYTES: u32 = 17;
    fn context(asked: TxOffload) -> Option<Desc> {
        (!asked.is_empty()).then_some([asked.to_word(), TX_CONTEXT])
    }
    fn request(asked: TxOffload, total_bytes: u64) -> (u64, u64) {
        (u64::from(!asked.is_empty()) << 59, total_bytes)
    }
}

const BUFFERS: u32 = 160;
const RING: u16 = 64;

fn all_received(got: Result<Taken, Unusual>, rx: &mut RxRing<Odd>, cache: &mut BufCache, burst: &mut Burst) -> Received {
    match got {
        Ok(Taken { frames, bytes, posted }) => Received { frames, bytes, posted, ..Received::default() },
        Err(begun) => rx.receive_rest(begun, cache, burst),
    }
}

fn all_sent<F: TxFormat>(sent: Result<u64, NotSimple>, frames: usize, tx: &mut TxRing<F>, cache: &mut BufCache, burst: &mut Burst) -> Sent {
    match sent {
        Ok(bytes) => Sent { frames, bytes, dropped: 0, posted: frames > 0 },
        Err(NotSimple) => tx.post_rest(cache, burst),
    }
}

struct Receive<'a>(&'a mut RxRing<Odd>, &'a mut BufCache, &'a mut Burst);
impl Kernel for Receive<'_> {
    type Out = Received;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Received {
        let got = self.0.receive(isa, self.1, self.2);
        all_received(got, self.0, self.1, self.2)
    }
}
struct Post<'a>(&'a mut TxRing<Odd>, &'a mut BufCache, &'a mut Burst);
impl Kernel for Post<'_> {
    type Out = Sent;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Sent {
        let frames = self.2.len();
        let sent = self.0.post(isa, self.1, self.2);
        all_sent(sent, frames, self.0, self.1, self.2)
    }
}

/// A worker and its device.
struct World {
    pool: Pool,
    cache: BufCache,
    burst: Burst,
    rx: RxRing<Odd>,
    tx: TxRing<Odd>,
    path: Path,
    /// Frames are moved one by one.
    few: bool,
    kept: Vec<Packet>,
    /// What the device has used of each ring.
    rx_used: u32,
    tx_used: u32,
    completed_frames: u64,
    received: Received,
    sent: Sent,
    wire: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// The device writes back `count` descriptors, each as the next of these says.
    Complete(u8, u64),
    Receive(u16),
    Post,
    /// The device sends all that was posted.
    Send,
    Keep(u8),
    PutBack,
    Forget,
    Chain,
    Ask(u8),
    Cut(u8, u16),
    DropSome,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..70u8, any::<u64>()).prop_map(|(n, seed)| Op::Complete(n, seed)),
        2 => (1..=256u16).prop_map(Op::Receive),
        2 => (1..=9u16).prop_map(Op::Receive),
        3 => Just(Op::Post),
        3 => Just(Op::Send),
        1 => any::<u8>().prop_map(Op::Keep),
        1 => Just(Op::PutBack),
        1 => Just(Op::Forget),
        1 => Just(Op::Chain),
        1 => any::<u8>().prop_map(Op::Ask),
        1 => (any::<u8>(), any::<u16>()).prop_map(|(i, n)| Op::Cut(i, n)),
        1 => Just(Op::DropSome),
    ]
}

impl World {
    /// One for each path, and one that moves frames one by one. The first is the reference.
    fn all() -> Vec<Self> {
        let mut worlds: Vec<Self> = Path::all().into_iter().map(Self::new).collect();
        worlds.push(Self { few: true, ..Self::new(Path::SCALAR) });
        worlds
    }

    fn new(path: Path) -> Self {
        let space = TestSpace::new();
        let pool = Pool::new(&space, PoolConfig::new(BUFFERS)).unwrap();
        let deposit = Deposit::new();
        deposit.quiet();
        let mut cache = pool.cache();
        let mut rx = RxRing::new(&space, &pool, RING, &deposit).unwrap();
        assert!(rx.fill(&mut cache));
        let tx = TxRing::new(&space, &pool, RING, MAX_FRAME, &deposit).unwrap();
        let burst = pool.burst(BURST_MAX);
        Self {
            pool,
            cache,
            burst,
            rx,
            tx,
            path,
            few: false,
            kept: Vec::new(),
            rx_used: 0,
            tx_used: 0,
            completed_frames: 0,
            received: Received::default(),
            sent: Sent::default(),
            wire: Vec::new(),
        }
    }

    fn receive(&mut self) -> Received {
        if self.few && self.burst.room() > 0 {
            let mut all = Received::default();
            // As many calls as it takes, as a worker would make them.
            loop {
                let got = self.rx.receive_one(&mut self.cache, &mut self.burst);
                let got = all_received(got, &mut self.rx, &mut self.cache, &mut self.burst);
                all.frames += got.frames;
                all.bytes += got.bytes;
                all.errors += got.errors;
                all.posted |= got.posted;
                all.starved = got.starved;
                if got.frames == 0 || self.burst.room() == 0 {
                    return all;
                }
            }
        }
        self.path.run(Receive(&mut self.rx, &mut self.cache, &mut self.burst))
    }

    fn desc(ring: &Ring, cursor: u32) -> *mut Desc {
        ring.desc.as_ptr().wrapping_add(ring.slot(cursor))
    }

    /// Mostly whole frames; now and then damage, impossible lengths, frames without an end. `mean` is how mean it is.
    fn complete(&mut self, count: u8, seed: u64, mean: bool) {
        let mut random = seed | 1;
        for _ in 0..count {
            if self.rx_used == self.rx.ring.tail {
                return;
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut word = DONE | END | (17 + random % 2000) << 12;
            if mean && random >> 20 & 15 == 0 {
                word ^= END;
            }
            if mean && random >> 24 & 15 == 0 {
                word |= ERROR & random;
            }
            if mean && random >> 28 & 31 == 0 {
                word |= 0xffff << 12;
            }
            let desc = Self::desc(&self.rx.ring, self.rx_used);
            // SAFETY: inside the ring; the test is the device here.
            assert_eq!(unsafe { (*desc)[1] }, 0, "a posted descriptor is clean");
            // SAFETY: as above.
            unsafe { *desc = [random, word] };
            self.completed_frames += u64::from(word & END != 0);
            self.rx_used = self.rx_used.wrapping_add(1);
        }
    }

    fn send(&mut self) {
        while self.tx_used != self.tx.ring.tail {
            let desc = Self::desc(&self.tx.ring, self.tx_used);
            // SAFETY: inside the ring; the test is the device here.
            let words = unsafe { *desc };
            // Which buffer it is may differ between two worlds; where in the buffer may not.
            let address = if words[1] & TX_CONTEXT != 0 {
                words[0]
            } else {
                (words[0] - self.pool.0.iova().0) % u64::from(self.pool.0.stride_bytes())
            };
            self.wire.push((address, words[1]));
            if words[1] & REPORT != 0 {
                // SAFETY: as above.
                unsafe { (*desc)[1] = TX_DONE };
            }
            self.tx_used = self.tx_used.wrapping_add(1);
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Complete(count, seed) => self.complete(count, seed, true),
            Op::Receive(limit) => {
                self.burst.limit = usize::from(limit).max(self.burst.len);
                let got = self.receive();
                self.received.frames += got.frames;
                self.received.bytes += got.bytes;
                self.received.errors += got.errors;
            }
            Op::Post => {
                self.tx.reclaim(&mut self.cache);
                let sent = if self.few {
                    let (frames, sent) = (self.burst.len(), self.tx.post_one(&self.cache, &mut self.burst));
                    all_sent(sent, frames, &mut self.tx, &mut self.cache, &mut self.burst)
                } else {
                    self.path.run(Post(&mut self.tx, &mut self.cache, &mut self.burst))
                };
                self.sent.frames += sent.frames;
                self.sent.bytes += sent.bytes;
                self.sent.dropped += sent.dropped;
            }
            Op::Send => self.send(),
            Op::Keep(index) if self.kept.len() < 20 && !self.burst.is_empty() => {
                let index = usize::from(index) % self.burst.len();
                self.kept.push(self.burst.swap_take(index));
            }
            Op::PutBack => {
                self.burst.limit = BURST_MAX;
                if let Some(packet) = self.kept.pop() {
                    self.kept.extend(self.burst.push(packet).err());
                }
            }
            Op::Forget => drop(self.kept.pop()),
            Op::Chain if !self.burst.is_empty() => {
                if let Some(packet) = self.kept.pop() {
                    self.burst.append_segment(0, packet);
                }
            }
            Op::Ask(index) if !self.burst.is_empty() => {
                let index = usize::from(index) % self.burst.len();
                let asked = TxOffload::default().l4_checksum(L4::Udp, index.is_multiple_of(2), 14, 20);
                self.burst.get_mut(index).unwrap().offload(asked);
            }
            Op::Cut(index, len) if !self.burst.is_empty() => {
                let index = usize::from(index) % self.burst.len();
                self.burst.get_mut(index).unwrap().truncate(usize::from(len));
            }
            Op::DropSome => {
                let mut index = 0;
                self.burst.retain(&mut self.cache, |_| {
                    index += 1;
                    index % 3 != 0
                });
            }
            _ => {}
        }
    }

    fn frames_in_hand(&mut self) -> Vec<(Vec<usize>, RxMeta, TxOffload)> {
        let frames = self.burst.iter_mut();
        frames.map(|frame| (frame.segments().map(<[u8]>::len).collect(), frame.meta(), frame.asked())).collect()
    }

    /// Every posted receive descriptor that the device has not written yet leads to its slot's buffer.
    fn check_posted(&self) {
        let ring = &self.rx.ring;
        for ahead in 0..ring.tail.wrapping_sub(self.rx_used) {
            let cursor = self.rx_used.wrapping_add(ahead);
            // SAFETY: a masked cursor is inside the ring; one thread.
            let desc = unsafe { *Self::desc(ring, cursor) };
            // SAFETY: as above.
            let buffer = unsafe { ring.buffer(ring.slot(cursor)) };
            assert_eq!(desc, [ring.address(buffer, HEADROOM_BYTES), 0]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_path_does_what_the_portable_one_does(ops in prop::collection::vec(op(), 1..120)) {
        let mut worlds = World::all();
        for op in ops {
            worlds.iter_mut().for_each(|world| world.run(op));
            let (reference, others) = worlds.split_first_mut().unwrap();
            for other in others {
                prop_assert_eq!(reference.frames_in_hand(), other.frames_in_hand(), "after {:?} on {}", op, other.path);
                prop_assert_eq!(reference.received, other.received);
                prop_assert_eq!(reference.sent, other.sent);
                prop_assert_eq!(&reference.wire, &other.wire);
                prop_assert_eq!(reference.cache.len(), other.cache.len());
            }
            for world in &worlds {
                world.check_posted();
            }
        }
    }

    #[test]
    fn no_buffer_is_lost_and_no_frame_unaccounted(ops in prop::collection::vec(op(), 1..200)) {
        for mut world in World::all() {
            ops.iter().for_each(|&op| world.run(op));
            // Drain: frames that were completed are received, or counted as errors.
            loop {
                world.burst.clear(&mut world.cache);
                world.kept.clear();
                world.send();
                world.tx.reclaim(&mut world.cache);
                let before = (world.received, world.rx.ring.head);
                world.run(Op::Receive(256));
                if before == (world.received, world.rx.ring.head) {
                    break;
                }
            }
            let accounted = world.received.frames as u64 + world.received.errors;
            prop_assert_eq!(accounted, world.completed_frames);
            let pool = world.pool.clone();
            drop(world);
            prop_assert_eq!(pool.free_buffers(), BUFFERS as usize);
        }
    }
}

#[test]
fn any_burst_size_is_served_at_once() {
    for path in Path::all() {
        for size in (1..=56).chain([64, 100, 256]) {
            let mut world = World::new(path);
            world.complete(56, 7, false);
            let mut got = 0;
            while got < 56 {
                world.burst.clear(&mut world.cache);
                world.burst.limit = size;
                let frames = world.receive().frames;
                assert_eq!(frames, size.min(56 - got), "burst {size} on {path}");
                got += frames;
            }
        }
    }
}

#[test]
fn lengths_beyond_the_buffer_are_errors() {
    for path in Path::all() {
        let mut world = World::new(path);
        for _ in 0..9 {
            let desc = World::desc(&world.rx.ring, world.rx_used);
            // SAFETY: inside the ring; the test is the device here.
            unsafe { *desc = [0, DONE | END | 0xffff << 12] };
            world.rx_used += 1;
        }
        world.run(Op::Receive(32));
        assert_eq!((world.received.frames, world.received.errors), (0, 9));
    }
}

#[test]
fn a_frame_without_an_end_does_not_eat_the_pool() {
    for path in Path::all() {
        let mut world = World::new(path);
        for _ in 0..1000 {
            let desc = World::desc(&world.rx.ring, world.rx_used);
            // SAFETY: inside the ring; the test is the device here.
            unsafe { *desc = [0, DONE | 100 << 12] };
            world.rx_used += 1;
            assert_eq!(world.receive().frames, 0);
        }
        let held = BUFFERS as usize - world.pool.free_buffers() - world.cache.len() - world.rx.ring.posted();
        assert!(held <= 16, "{held} buffers are held");
        world.complete(1, 7, false);
        world.run(Op::Receive(32));
        assert_eq!((world.received.frames, world.received.errors), (0, 1), "the endless frame ended, and is one error");
        world.complete(1, 7, false);
        world.run(Op::Receive(32));
        assert_eq!(world.received.frames, 1);
    }
}

#[test]
fn an_empty_pool_starves_and_recovers() {
    let mut world = World::new(Path::SCALAR);
    let mut hoard = Vec::new();
    while let Some(buffer) = world.cache.take_one() {
        hoard.push(buffer);
    }
    world.complete(4, 7, false);
    let got = world.receive();
    assert!(got.starved && got.frames == 0);
    hoard.into_iter().for_each(|buffer| world.cache.put(buffer));
    let got = world.receive();
    assert!(!got.starved && got.frames == 4);
}

#[test]
fn a_ring_that_found_no_buffer_takes_those_of_its_worker() {
    for path in Path::all() {
        let mut world = World::new(path);
        let mut cache = std::mem::replace(&mut world.cache, world.pool.cache());
        world.rx.reset(&mut cache);
        cache.refill(BUFFERS as usize);
        assert!(!world.rx.fill(&mut world.cache), "the other worker has them all");
        world.cache = cache;
        world.burst.limit = 32;
        assert!(world.receive().posted);
        assert!(!world.rx.is_short());
    }
}

#[test]
fn what_no_device_can_send_is_dropped_and_counted() {
    for path in Path::all() {
        let mut world = World::new(path);
        for len in [16, 17, 1500, 0] {
            let mut frame = world.burst.push_empty(&mut world.cache).unwrap();
            frame.append(len).unwrap();
        }
        world.run(Op::Post);
        assert_eq!((world.sent.frames, world.sent.dropped), (2, 2));
        assert!(world.burst.is_empty());
    }
}

#[test]
fn a_full_ring_leaves_the_rest_in_order() {
    for path in Path::all() {
        let mut world = World::new(path);
        for number in 0..80u16 {
            let mut frame = world.burst.push_empty(&mut world.cache).unwrap();
            frame.append(20 + usize::from(number)).unwrap();
        }
        world.run(Op::Post);
        assert_eq!((world.sent.frames, world.burst.len()), (63, 17));
        assert_eq!(world.burst.get_mut(0).unwrap().len(), 83);
        world.run(Op::Post);
        assert_eq!(world.burst.len(), 17, "nothing was sent, so nothing fits");
        world.send();
        world.run(Op::Post);
        assert_eq!(world.burst.len(), 0);
        assert_eq!(world.tx.in_flight(), 17, "what was sent has gone home");
    }
}

#[test]
fn a_ring_that_is_dropped_waits_for_the_device() {
    let space = TestSpace::new();
    let pool = Pool::new(&space, PoolConfig::new(BUFFERS)).unwrap();
    let deposit = Deposit::new();
    let mut cache = pool.cache();
    let mut rx = RxRing::<Odd>::new(&space, &pool, RING, &deposit).unwrap();
    rx.fill(&mut cache);
    drop((rx, cache));
    assert_eq!(pool.free_buffers(), BUFFERS as usize - 56, "the device may still write into 56 buffers");
    deposit.quiet();
    assert_eq!(pool.free_buffers(), BUFFERS as usize);
}

#[test]
fn a_packet_outlives_its_pool() {
    let mut world = World::new(Path::SCALAR);
    world.complete(3, 7, false);
    world.run(Op::Receive(32));
    let mut packet = world.burst.swap_take(1);
    drop(world);
    packet.data_mut()[0] = 7;
    assert_eq!(packet.data()[0], 7);
    assert_eq!(packet.headroom(), HEADROOM_BYTES as usize);
    std::thread::spawn(move || drop(packet)).join().unwrap();
}

#[test]
fn meta_survives_leaving_and_mixing() {
    let mut world = World::new(Path::best());
    world.complete(4, 99, false);
    world.run(Op::Receive(32));
    let before: Vec<_> = world.burst.iter_mut().map(|frame| frame.meta()).collect();
    assert!(before.iter().all(|meta| meta.rss_hash.is_some()));
    let packet = world.burst.swap_take(3);
    assert_eq!(packet.meta(), before[3]);
    world.burst.push(packet).unwrap();
    world.complete(2, 98, false);
    world.run(Op::Receive(256));
    let after: Vec<_> = world.burst.iter_mut().map(|frame| frame.meta()).collect();
    assert_eq!(after[..4], before[..]);
    assert_eq!(after.len(), 6);
    assert!(after[4..].iter().all(|meta| meta.rss_hash.is_some()));
}

#[test]
#[should_panic(expected = "different pools")]
fn pools_do_not_mix() {
    let mut world = World::new(Path::SCALAR);
    let other = World::new(Path::SCALAR);
    let mut cache = other.pool.cache();
    world.path.run(Receive(&mut world.rx, &mut cache, &mut world.burst));
}

/// As `Odd`, for a device that wants a context before anything else.
struct Opened;
const OPENING: Desc = [7, TX_CONTEXT];
impl TxFormat for Opened {
    const DONE: u64 = TX_DONE;
    const FIXED: u64 = Odd::FIXED;
    const END: u64 = TX_END;
    const REPORT: u64 = REPORT;
    const LENGTH_AT: u32 = 8;
    const TOTAL_AT: u32 = 32;
    const MIN_FRAME_BYTES: u32 = 17;
    const OPENING: Option<Desc> = Some(OPENING);
    fn context(asked: TxOffload) -> Option<Desc> {
        Odd::context(asked)
    }
    fn request(asked: TxOffload, total_bytes: u64) -> (u64, u64) {
        Odd::request(asked, total_bytes)
    }
}
struct PostOpened<'a>(&'a mut TxRing<Opened>, &'a mut BufCache, &'a mut Burst);
impl Kernel for PostOpened<'_> {
    type Out = Sent;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Sent {
        let frames = self.2.len();
        let sent = self.0.post(isa, self.1, self.2);
        all_sent(sent, frames, self.0, self.1, self.2)
    }
}

/// What the device finds of a posted burst of 8 frames, and that all buffers come home.
fn send_eight(tx: &mut TxRing<Opened>, cache: &mut BufCache, burst: &mut Burst, path: Path, asked: TxOffload) -> Vec<Desc> {
    for _ in 0..8 {
        let mut frame = burst.push_empty(cache).expect("a free buffer");
        assert!(frame.append(60).is_some());
        frame.offload(asked);
    }
    let first = tx.ring.tail;
    let sent = path.run(PostOpened(tx, cache, burst));
    assert_eq!((sent.frames, sent.bytes, sent.dropped, sent.posted), (8, 480, 0, true));
    let descs = (0..tx.ring.tail.wrapping_sub(first)).map(|ahead| {
        let desc = tx.ring.desc.as_ptr().wrapping_add(tx.ring.slot(first.wrapping_add(ahead)));
        // SAFETY: inside the ring; one thread.
        let words = unsafe { *desc };
        if words[1] & REPORT != 0 {
            // SAFETY: as above; the test is the device here.
            unsafe { (*desc)[1] = TX_DONE };
        }
        words
    });
    let descs: Vec<Desc> = descs.collect();
    assert_eq!(tx.reclaim(cache), descs.len());
    descs
}

#[test]
fn a_ring_begins_with_what_its_format_wants() {
    for path in Path::all() {
        let space = TestSpace::new();
        let pool = Pool::new(&space, PoolConfig::new(BUFFERS)).unwrap();
        let deposit = Deposit::new();
        deposit.quiet();
        let (mut cache, mut burst) = (pool.cache(), pool.burst(BURST_MAX));
        let mut tx = TxRing::<Opened>::new(&space, &pool, RING, MAX_FRAME, &deposit).unwrap();
        let plain = TxOffload::default();
        let tagged = plain.vlan(5);
        for _ in 0..2 {
            let contexts = |descs: &[Desc]| descs.iter().filter(|desc| desc[1] & TX_CONTEXT != 0).count();
            let begun = send_eight(&mut tx, &mut cache, &mut burst, path, plain);
            assert_eq!((begun[0], contexts(&begun), begun.len()), (OPENING, 1, 9), "{path}");
            // Round the end of the ring, too.
            for _ in 0..20 {
                assert_eq!(contexts(&send_eight(&mut tx, &mut cache, &mut burst, path, plain)), 0);
            }
            assert_eq!(contexts(&send_eight(&mut tx, &mut cache, &mut burst, path, tagged)), 1);
            assert_eq!(contexts(&send_eight(&mut tx, &mut cache, &mut burst, path, plain)), 0);
            assert_eq!(tx.reset(&mut cache), 0);
        }
        // A first frame that asks for something brings its own.
        let begun = send_eight(&mut tx, &mut cache, &mut burst, path, tagged);
        assert_eq!(begun[0], Odd::context(tagged).expect("a context"));
        drop(cache);
        assert_eq!(pool.free_buffers(), BUFFERS as usize, "{path}");
    }
}
