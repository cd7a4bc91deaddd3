//! Transmit: the burst's frames become available, oldest first, and what was sent goes home to the worker's cache.
//!
//! A frame in one buffer has its header in front of it, in the buffer's headroom: one descriptor. Every other frame (several buffers, too
//! little headroom) has a header of its own in the ring's memory: a chain.

use crate::{
    header::NetHeader,
    ids::Ids,
    notify::Notify,
    offload::{self, TAG_BYTES},
    packed::Packed,
    ring::{AnyBase, Base, Either, PARTS_MAX, Part, Places, Shape, Virtqueue, both},
    split::Split,
};
use vfwire_core::{
    bar::Bar,
    burst::Burst,
    cells::DmaCells,
    dma::DmaSpace,
    error::PortError,
    gate::{Pass, Turn},
    path::{Isa, Kernel, Path},
    pool::{BufCache, Pool},
    queue::{Counted, TxQueue, tx_counter},
    ring::{
        Deposit,
        table::{AHEAD_BYTES, Plain, Sending, Words},
    },
    stats::{Counters, CountersReader},
};

/// Shortest frame that is sent, in bytes: an Ethernet header.
pub const MIN_FRAME_BYTES: u32 = 14;
/// Longest frame of which the device cuts the payload itself.
const SEGMENTED_BYTES_MAX: usize = 64 * 1024;
/// Buffers that one frame may span; its header may take another descriptor.
const SEGMENTS_MAX: usize = PARTS_MAX - 1;
/// Bytes of a header of its own.
const HEADER_STRIDE_BYTES: usize = 32;
/// Frames in flight before it is looked whether any was sent; fewer in small rings.
const BATCH: u16 = 32;

/// A transmit ring that no worker has yet.
#[derive(Debug)]
pub struct TxRing {
    base: AnyBase,
    header: NetHeader,
    headers: DmaCells<u64>,
    size: u16,
}

impl TxRing {
    /// A ring for frames of buffers of `pool`.
    ///
    /// # Errors
    /// [`PortError`] where the shape is impossible or the memory cannot be had.
    pub fn new(space: &dyn DmaSpace, pool: &Pool, shape: Shape, header: NetHeader, deposit: &Deposit) -> Result<Self, PortError> {
        let bytes = usize::from(shape.size) * HEADER_STRIDE_BYTES;
        let words = bytes / size_of::<u64>();
        let (base, headers) = if shape.is_packed {
            let (base, at) = Base::<Packed>::new(space, pool, shape, bytes, deposit)?;
            let headers = base.table.cells(at, words)?;
            (Either::Packed(base), headers)
        } else {
            let (base, at) = Base::<Split>::new(space, pool, shape, bytes, deposit)?;
            let headers = base.table.cells(at, words)?;
            (Either::Split(base), headers)
        };
        Ok(Self { base, header, headers, size: shape.size })
    }

    /// Where the device finds it.
    pub fn places(&self) -> Places {
        both!(&self.base, base => base.ring.places())
    }
}

/// A transmit queue.
// As `VirtRx`.
#[derive(Debug)]
#[repr(align(128))]
pub struct VirtTx<B> {
    base: AnyBase,
    state: State,
    notify: Notify<B>,
    pass: Pass,
    path: Path,
    counters: Counters<{ tx_counter::COUNT }>,
}

/// What a transmit ring knows besides its buffers.
#[derive(Debug)]
struct State {
    header: NetHeader,
    headers: DmaCells<u64>,
    /// Descriptors that nothing is out in.
    vacant: u16,
    /// Descriptors of the frame that is out under each id: 1 for nearly all.
    descs: Box<[u8]>,
    /// For each id of a chain of a split ring: the next one.
    next_id: Box<[u16]>,
    /// Frames in flight before it is looked.
    batch: u16,
}

impl State {
    fn new(header: NetHeader, headers: DmaCells<u64>, size: u16) -> Self {
        Self {
            header,
            headers,
            vacant: size,
            descs: vec![1; usize::from(size)].into(),
            next_id: vec![0; usize::from(size)].into(),
            batch: (size / 8).min(BATCH),
        }
    }

    fn size(&self) -> u16 {
        u16::try_from(self.descs.len()).unwrap_or(u16::MAX)
    }

    #[inline(always)]
    fn in_flight(&self) -> u16 {
        self.size() - self.vacant
    }

    fn reset(&mut self) {
        self.vacant = self.size();
        self.descs.fill(1);
    }
}

/// What one call did.
#[derive(Default)]
struct Sent {
    frames: usize,
    bytes: u64,
    dropped: u64,
    bad_completions: u64,
}

impl<B: Bar> VirtTx<B> {
    /// A queue of a ring that an enabled device has been told of.
    pub fn new(ring: TxRing, notify: Notify<B>, pass: Pass, path: Path) -> Self {
        let TxRing { base, header, headers, size } = ring;
        Self { base, state: State::new(header, headers, size), notify, pass, path, counters: Counters::new() }
    }

    /// The gate is not open: does what it asks for. True where the queue may go on.
    #[cold]
    #[inline(never)]
    fn turn(&mut self, cache: &mut BufCache) -> bool {
        let turn = self.pass.turn();
        if turn == Turn::Stay {
            return false;
        }
        let state = &mut self.state;
        let lost = both!(&mut self.base, base => {
            // What the device has reported was sent; only the rest is in doubt.
            let bad = base.reclaim(state, cache);
            self.counters.add::<{ tx_counter::BAD_COMPLETIONS }>(bad);
            base.reset(cache)
        });
        state.reset();
        self.counters.add::<{ tx_counter::LOST_IN_RESET }>(lost as u64);
        self.pass.agree(turn);
        turn == Turn::Restart
    }

    #[inline(always)]
    fn transmit(&mut self, cache: &mut BufCache, burst: &mut Burst) -> usize {
        let (state, notify) = (&mut self.state, &self.notify);
        let sent = both!(&mut self.base, base => {
            let mut sent = Sent::default();
            if state.in_flight() >= state.batch || usize::from(state.vacant) < burst.len() {
                sent.bad_completions = base.reclaim(state, cache);
            }
            base.post(state, cache, burst, &mut sent);
            if sent.frames != 0 {
                base.ring.publish();
                base.tell(notify);
            }
            sent
        });
        if sent.frames != 0 {
            self.counters.add::<{ tx_counter::FRAMES }>(sent.frames as u64);
            self.counters.add::<{ tx_counter::BYTES }>(sent.bytes);
        } else if !burst.is_empty() {
            self.counters.add::<{ tx_counter::FULL_POLLS }>(1);
        }
        if (sent.dropped | sent.bad_completions) != 0 {
            self.counters.add::<{ tx_counter::UNSENDABLE }>(sent.dropped);
            self.counters.add::<{ tx_counter::BAD_COMPLETIONS }>(sent.bad_completions);
        }
        sent.frames
    }
}

impl<Q: Virtqueue> Base<Q> {
    /// Takes back what the device is done with. How often the device named something that is not out.
    #[inline(always)]
    fn reclaim(&mut self, state: &mut State, cache: &mut BufCache) -> u64 {
        let bad = u64::from(self.ring.look());
        // Twice where the ids or a packed ring go on at their beginning.
        loop {
            let run = self.ring.run(0);
            let ids = self.ids.piece_out();
            let most = run.most_used().min(ids.len());
            let count = self.table.complete_run(cache, ids, self.shape.is_in_order, &run);
            self.ring.ran(count, 0);
            self.ids.came_back(count_of(count));
            state.vacant += count_of(count);
            if count < most || count == 0 {
                break;
            }
        }
        if self.table.held() != 0 && self.ring.used(0).is_some() { bad + self.reclaim_rest(state, cache) } else { bad }
    }

    /// From a frame on that is not as simple as most: it has several descriptors, the device names the last of several in order, or nothing
    /// that is out; or the cache is full.
    #[cold]
    #[inline(never)]
    fn reclaim_rest(&mut self, state: &mut State, cache: &mut BufCache) -> u64 {
        let mut bad = 0;
        while self.table.held() != 0 && bad <= u64::from(self.shape.size) {
            let Some((id, _)) = self.ring.used(0) else { break };
            if self.shape.is_in_order {
                if !self.complete_to(id, state, cache) {
                    bad += 1;
                }
            } else if self.table.complete(id, cache) {
                let descs = self.give_back(id, state);
                self.ring.advance(descs);
            } else {
                self.ring.advance(1);
                bad += 1;
            }
        }
        bad
    }

    /// The ids of a frame that was completed are free. How many descriptors they were.
    fn give_back(&mut self, id: u32, state: &mut State) -> u16 {
        #[expect(clippy::cast_possible_truncation, reason = "an id that the table knew: below 4,096")]
        let id = id as u16;
        let descs = u16::from(state.descs[usize::from(id)]);
        state.vacant += descs;
        self.ids.put(id);
        state.descs[usize::from(id)] = 1;
        let mut at = id;
        for _ in 1..Q::ids_of(usize::from(descs)) {
            at = state.next_id[usize::from(at)];
            self.ids.put(at);
        }
        descs
    }

    /// A device that uses buffers in order may name the last one of several (2.7.9, 2.8.9). In a split ring its index says how many there
    /// are at most.
    fn complete_to(&mut self, named: u32, state: &mut State, cache: &mut BufCache) -> bool {
        if !self.table.is_out(named) {
            self.ring.advance(1);
            return false;
        }
        loop {
            let id = self.ids.oldest_out();
            if !self.table.complete(u32::from(id), cache) {
                return false;
            }
            let descs = self.give_back(u32::from(id), state);
            self.ring.advance(descs);
            if u32::from(id) == named || Q::COUNTS_ALL && self.ring.used(0).is_none() {
                return true;
            }
        }
    }

    #[inline(always)]
    fn post(&mut self, state: &mut State, cache: &mut BufCache, burst: &mut Burst, sent: &mut Sent) {
        let header = state.header;
        let plain = Plain { ahead_bytes: header.bytes(), min_bytes: MIN_FRAME_BYTES, max_bytes: header.max_frame_bytes };
        let mut session = self.table.sending(cache, burst);
        if session.is_plain() {
            // Twice where the ids or a packed ring go on at their beginning.
            while session.left() != 0 {
                let mut run = self.ring.run(0);
                let ids = self.ids.piece();
                let ids = &ids[..ids.len().min(usize::from(state.vacant))];
                let most = run.most_offered().min(ids.len());
                let ran = session.run(plain, ids, &mut run);
                self.ring.ran(0, ran.frames);
                self.ids.skip(count_of(ran.frames));
                state.vacant -= count_of(ran.frames);
                sent.frames += ran.frames;
                sent.bytes += ran.bytes;
                if ran.frames < most || ran.frames == 0 {
                    break;
                }
            }
        }
        if session.left() != 0 {
            let mut slow = Slow { ring: &mut self.ring, ids: &mut self.ids, session, state };
            slow.post(sent);
        }
    }
}

/// A count of frames of one run.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most as many as a ring has descriptors")]
const fn count_of(frames: usize) -> u16 {
    frames as u16
}

/// Frames that are not as simple as that: they span buffers, ask for something, lack headroom, do not fit, or cannot be sent.
struct Slow<'a, 'b, Q> {
    ring: &'a mut Q,
    ids: &'a mut Ids,
    session: Sending<'b>,
    state: &'a mut State,
}

impl<Q: Virtqueue> Slow<'_, '_, Q> {
    #[cold]
    #[inline(never)]
    fn post(&mut self, sent: &mut Sent) {
        let header = self.state.header;
        while self.session.left() != 0 {
            let asked = self.session.asked();
            let Some(mut frame) = self.session.frame() else { break };
            let (mut segments, mut bytes, mut is_any_empty) = (0, 0, false);
            for segment in frame.segments() {
                segments += 1;
                bytes += segment.len();
                is_any_empty |= segment.is_empty();
            }
            let longest = if asked.segmentation().is_some() { SEGMENTED_BYTES_MAX } else { header.max_frame_bytes as usize };
            if is_any_empty || segments > SEGMENTS_MAX || !(MIN_FRAME_BYTES as usize..=longest).contains(&bytes) {
                self.session.drop_frame();
                sent.dropped += 1;
                continue;
            }
            // Seen before anything of the frame is changed: what stays in the burst must be as it was.
            let has_room = segments == 1 && frame.headroom() >= TAG_BYTES + AHEAD_BYTES;
            let descs = if has_room { 1 } else { segments + 1 };
            if usize::from(self.state.vacant) < descs {
                break;
            }
            let Some(said) = offload::prepare(&mut frame, asked, header) else {
                self.session.drop_frame();
                sent.dropped += 1;
                continue;
            };
            let Some(id) = self.ids.peek() else { break };
            let simple = if has_room { self.session.post(u32::from(id), said.ahead(header.has_hash), header.bytes()) } else { None };
            match simple {
                Some(part) => {
                    self.ids.skip(1);
                    self.ring.offer(id, part, false);
                    self.state.vacant -= 1;
                }
                None => self.chain(said.alone(header.has_hash), segments),
            }
            sent.frames += 1;
            sent.bytes += bytes as u64;
        }
    }

    /// A frame behind a header of its own. The caller has seen that there are descriptors and, where the ring is split, as many ids.
    fn chain(&mut self, header: [u64; 3], segments: usize) {
        let parts_count = segments + 1;
        let mut ids = [0; PARTS_MAX];
        let ids_count = Q::ids_of(parts_count);
        for id in &mut ids[..ids_count] {
            *id = self.ids.take().unwrap_or(0);
        }
        let first = usize::from(ids[0]);
        let at = first * (HEADER_STRIDE_BYTES / size_of::<u64>());
        for (word, value) in header.into_iter().enumerate() {
            self.state.headers.set(at + word, value);
        }
        let address = self.state.headers.iova().0 + (first * HEADER_STRIDE_BYTES) as u64;
        let mut parts: [Part; PARTS_MAX] = [(address, self.state.header.bytes()); PARTS_MAX];
        let mut count = 1;
        self.session.post_segments(u32::from(ids[0]), |address, len_bytes| {
            if let Some(part) = parts.get_mut(count) {
                *part = (address, len_bytes);
            }
            count += 1;
        });
        self.ring.offer_chain(&ids[..ids_count], &parts[..parts_count], parts_count);
        for pair in ids[..ids_count].windows(2) {
            self.state.next_id[usize::from(pair[0])] = pair[1];
        }
        let descs = u8::try_from(parts_count).unwrap_or(u8::MAX);
        self.state.descs[first] = descs;
        self.state.vacant -= u16::from(descs);
    }
}

impl<B> Counted<{ tx_counter::COUNT }> for VirtTx<B> {
    fn counters(&self) -> CountersReader<{ tx_counter::COUNT }> {
        self.counters.reader()
    }
}

impl<B: Bar> TxQueue for VirtTx<B> {
    #[inline(always)]
    fn tx_burst(&mut self, cache: &mut BufCache, burst: &mut Burst) -> usize {
        if !self.pass.is_open() && !self.turn(cache) {
            return 0;
        }
        self.path.run(Transmit { queue: self, cache, burst })
    }

    #[inline(always)]
    fn reclaim(&mut self, cache: &mut BufCache) -> usize {
        if !self.pass.is_open() && !self.turn(cache) {
            return 0;
        }
        let state = &mut self.state;
        let before = state.vacant;
        let bad = both!(&mut self.base, base => {
            base.table.fits(cache);
            base.reclaim(state, cache)
        });
        self.counters.add::<{ tx_counter::BAD_COMPLETIONS }>(bad);
        usize::from(self.state.vacant - before)
    }

    fn in_flight(&self) -> usize {
        usize::from(self.state.in_flight())
    }

    fn path(&self) -> Path {
        self.path
    }
}

struct Transmit<'a, B> {
    queue: &'a mut VirtTx<B>,
    cache: &'a mut BufCache,
    burst: &'a mut Burst,
}

impl<B: Bar> Kernel for Transmit<'_, B> {
    type Out = usize;
    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) -> usize {
        self.queue.transmit(self.cache, self.burst)
    }
}
