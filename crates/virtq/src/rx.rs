//! Receive: used buffers go to the burst, and fresh ones take their ids, in one loop. What is not simple is in [`Rest`].
//!
//! A device that has run out of buffers sleeps until it is told of more. It is looked at for that when a call finds nothing: as long as
//! frames come, it is awake.

use crate::{
    header::{Front, NetHeader, Simple, WORDS},
    ids::Ids,
    notify::Notify,
    offload,
    packed::Packed,
    ring::{AnyBase, Base, Either, Places, Shape, Virtqueue, both},
    split::Split,
};
use vfwire_core::{
    bar::Bar,
    burst::Burst,
    dma::DmaSpace,
    error::PortError,
    gate::{Pass, Turn},
    path::{Isa, Kernel, Path},
    pool::{BufCache, Pool},
    queue::{Counted, RxQueue, rx_counter},
    ring::{
        Deposit,
        table::{Bad, Receiving, Words},
    },
    stats::{Counters, CountersReader},
};

/// Buffers that the worker keeps when a ring is filled: a frame is taken in exchange for a fresh buffer, so a ring that had all of a small
/// pool would never give a frame out.
const RESERVE: usize = 8;
/// Buffers that one frame may span. A device that says more is not believed.
const SEGMENTS_MAX: usize = 16;

/// A receive ring that no worker has yet.
#[derive(Debug)]
pub struct RxRing {
    base: AnyBase,
    header: NetHeader,
}

impl RxRing {
    /// A ring whose buffers come from `pool`.
    ///
    /// # Errors
    /// [`PortError`] where the shape is impossible or the memory cannot be had.
    pub fn new(space: &dyn DmaSpace, pool: &Pool, shape: Shape, header: NetHeader, deposit: &Deposit) -> Result<Self, PortError> {
        let base = if shape.is_packed {
            Either::Packed(Base::<Packed>::new(space, pool, shape, 0, deposit)?.0)
        } else {
            Either::Split(Base::<Split>::new(space, pool, shape, 0, deposit)?.0)
        };
        Ok(Self { base, header })
    }

    /// Where the device finds it.
    pub fn places(&self) -> Places {
        both!(&self.base, base => base.ring.places())
    }
}

/// A receive queue.
// Queues are written at every burst, each by its own worker: no two share a pair of cache lines (which some processors fetch together).
#[derive(Debug)]
#[repr(align(128))]
pub struct VirtRx<B> {
    base: AnyBase,
    header: NetHeader,
    notify: Notify<B>,
    pass: Pass,
    path: Path,
    counters: Counters<{ rx_counter::COUNT }>,
    state: State,
}

/// What lasts from call to call.
#[derive(Debug, Default)]
struct State {
    /// Buffers were given since it was last looked whether the device sleeps.
    is_unsure: bool,
    /// Buffers to come that belong to a frame that was dropped.
    skip: u64,
}

/// What one call did.
#[derive(Default)]
struct Got {
    frames: usize,
    bytes: u64,
    errors: u64,
    starved: bool,
}

impl<B: Bar> VirtRx<B> {
    /// A queue of a ring that an enabled device has been told of, with buffers posted as far as `cache` has any.
    pub fn new(ring: RxRing, notify: Notify<B>, pass: Pass, path: Path, cache: &mut BufCache) -> Self {
        let RxRing { base, header } = ring;
        let mut queue = Self { base, header, notify, pass, path, counters: Counters::new(), state: State::default() };
        queue.fill(cache);
        queue
    }

    /// Posts buffers under all free ids, as far as there are any, and tells the device.
    #[cold]
    #[inline(never)]
    fn fill(&mut self, cache: &mut BufCache) {
        let (header, notify) = (self.header, &self.notify);
        both!(&mut self.base, base => {
            if base.fill(header, cache) {
                self.state.is_unsure = false;
                base.tell(notify);
            }
        });
    }

    /// The gate is not open: does what it asks for. True where the queue may go on.
    #[cold]
    #[inline(never)]
    fn turn(&mut self, cache: &mut BufCache) -> bool {
        let turn = self.pass.turn();
        if turn == Turn::Stay {
            return false;
        }
        let header = self.header;
        let lost = both!(&mut self.base, base => {
            let lost = base.unfetched(header);
            base.reset(cache);
            lost
        });
        self.counters.add::<{ rx_counter::LOST_IN_RESET }>(lost);
        self.state = State::default();
        if turn == Turn::Restart {
            self.fill(cache);
        }
        self.pass.agree(turn);
        turn == Turn::Restart
    }

    #[inline(always)]
    fn receive(&mut self, cache: &mut BufCache, out: &mut Burst) -> usize {
        let (header, state, notify) = (self.header, &mut self.state, &self.notify);
        let (got, is_short) = both!(&mut self.base, base => {
            let got = base.receive(header, state, cache, out);
            if got.frames == 0 && state.is_unsure {
                state.is_unsure = false;
                base.tell(notify);
            }
            (got, base.ids.free() != 0)
        });
        if got.frames != 0 {
            self.counters.add::<{ rx_counter::FRAMES }>(got.frames as u64);
            self.counters.add::<{ rx_counter::BYTES }>(got.bytes);
        }
        if is_short | (got.errors != 0) | got.starved {
            self.unusual(&got, is_short, cache);
        }
        got.frames
    }

    #[cold]
    #[inline(never)]
    fn unusual(&mut self, got: &Got, is_short: bool, cache: &mut BufCache) {
        self.counters.add::<{ rx_counter::ERRORS }>(got.errors);
        self.counters.add::<{ rx_counter::STARVED_POLLS }>(u64::from(got.starved));
        if is_short {
            self.fill(cache);
        }
    }
}

impl<Q: Virtqueue> Base<Q> {
    /// Posts buffers under all free ids. True where any was.
    fn fill(&mut self, header: NetHeader, cache: &mut BufCache) -> bool {
        let len_bytes = self.table.room_bytes() + header.bytes();
        let before = self.ids.free();
        while cache.ready(RESERVE + 1) > RESERVE {
            let Some(id) = self.ids.take() else { break };
            let Some(address) = self.table.post(u32::from(id), cache, header.bytes()) else {
                self.ids.put(id);
                break;
            };
            self.ring.offer(id, (address, len_bytes), true);
        }
        self.ring.publish();
        self.ids.free() != before
    }

    /// Tells the device, if it wants to know.
    pub(crate) fn tell<B: Bar>(&self, notify: &Notify<B>) {
        if self.ring.wants_notice() {
            notify.ring(self.ring.next_offset());
        }
    }

    /// Frames that have arrived and that nobody has fetched.
    fn unfetched(&mut self, header: NetHeader) -> u64 {
        self.ring.look();
        let (mut frames, mut ahead) = (0, 0);
        while usize::from(ahead) < self.table.held() {
            let Some((id, _)) = self.ring.used(ahead) else { break };
            let buffers =
                self.table.ahead(id).map_or(1, |bytes| Front::of(bytes, header.has_hash).num_buffers().clamp(1, SEGMENTS_MAX as u64));
            ahead += if header.is_mergeable { u16::try_from(buffers).unwrap_or(1) } else { 1 };
            frames += 1;
        }
        frames
    }

    #[inline(always)]
    fn receive(&mut self, header: NetHeader, state: &mut State, cache: &mut BufCache, out: &mut Burst) -> Got {
        let mut got = Got::default();
        let (ahead_bytes, len_bytes) = (header.bytes(), self.table.room_bytes() + header.bytes());
        let mut session = self.table.receiving(cache, out);
        session.at_hand(session.room());
        got.errors += u64::from(self.ring.look());
        let simple = Simple::new(header.is_mergeable);
        // Twice where a packed ring goes on at its beginning.
        loop {
            if state.skip != 0 {
                break;
            }
            let mut run = self.ring.run(len_bytes);
            let most = run.most_used().min(run.most_offered());
            let ran = if header.has_hash {
                session.run(ahead_bytes, &mut run, |ahead| Front::with_hash(ahead).simple(simple))
            } else {
                session.run(ahead_bytes, &mut run, |ahead| Front::without_hash(ahead).simple(simple))
            };
            self.ring.ran(ran.frames, ran.frames);
            got.frames += ran.frames;
            got.bytes += ran.bytes;
            if ran.frames < most || ran.frames == 0 {
                break;
            }
        }
        let mut is_any = got.frames != 0;
        if session.room() != 0 && self.ring.used(0).is_some() {
            let Self { ring, ids, shape, .. } = self;
            let mut rest = Rest { ring, ids, session: &mut session, header, got: &mut got, state, size: u64::from(shape.size) };
            is_any |= rest.receive(ahead_bytes, len_bytes);
        }
        session.finish(&WORDS);
        if is_any {
            self.ring.publish();
            state.is_unsure = true;
        }
        got
    }
}

/// An id that the table knows, as the ring's words have it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "an id of a table of at most 4,096")]
const fn id_of(id: u32) -> u16 {
    id as u16
}

/// From a frame on that is not as simple as most: it spans buffers, lacks its checksum, is no frame, or there is no buffer for it.
struct Rest<'a, 'b, Q> {
    ring: &'a mut Q,
    ids: &'a mut Ids,
    session: &'a mut Receiving<'b>,
    header: NetHeader,
    got: &'a mut Got,
    state: &'a mut State,
    /// Descriptors of the ring.
    size: u64,
}

/// Ids of a frame's buffers.
#[derive(Default)]
struct IdList {
    ids: [u32; SEGMENTS_MAX],
    len: usize,
}

impl IdList {
    fn push(&mut self, id: u32) {
        if let Some(place) = self.ids.get_mut(self.len) {
            *place = id;
            self.len += 1;
        }
    }

    fn as_slice(&self) -> &[u32] {
        &self.ids[..self.len]
    }
}

impl<Q: Virtqueue> Rest<'_, '_, Q> {
    /// Takes what there is, as far as the burst takes it. True where the ring has changed.
    #[cold]
    #[inline(never)]
    fn receive(&mut self, ahead_bytes: u32, len_bytes: u32) -> bool {
        let mut is_any = false;
        while self.session.room() != 0 && self.got.errors <= self.size {
            let Some((id, written)) = self.ring.used(0) else { break };
            if self.session.at_hand(1) == 0 {
                self.got.starved = true;
                break;
            }
            let Some(front) = self.session.ahead(id).map(|ahead| Front::of(ahead, self.header.has_hash)) else {
                // It names nothing that is out.
                self.ring.advance(1);
                self.got.errors += 1;
                continue;
            };
            let used = if self.state.skip == 0 && front.simple(Simple::new(self.header.is_mergeable)).is_some() {
                self.take_one(front, id, written)
            } else {
                let Some(used) = self.take_unusual(front) else { break };
                used
            };
            for &id in used.as_slice() {
                match self.session.post(id, ahead_bytes) {
                    Some(address) => self.ring.offer(id_of(id), (address, len_bytes), true),
                    None => self.ids.put(id_of(id)),
                }
            }
            is_any = true;
        }
        is_any
    }

    /// Takes a frame in one buffer.
    fn take_one(&mut self, front: Front, id: u32, written: u32) -> IdList {
        match self.session.take(id, self.header.bytes(), written, |_| front.words()) {
            Ok(len_bytes) => {
                self.got.bytes += u64::from(len_bytes);
                self.got.frames += 1;
            }
            Err(_) => self.got.errors += 1,
        }
        self.ring.advance(1);
        let mut ids = IdList::default();
        ids.push(id);
        ids
    }

    /// Takes the buffers of the frame at hand, or one of a frame that was dropped. Their ids; nothing where not all of them were used yet.
    fn take_unusual(&mut self, front: Front) -> Option<IdList> {
        if self.state.skip != 0 {
            self.state.skip -= 1;
            return Some(self.discard());
        }
        let buffers = if self.header.is_mergeable { front.num_buffers() } else { 1 };
        if buffers == 0 || buffers > SEGMENTS_MAX as u64 {
            self.got.errors += 1;
            // The rest of a frame that is too long is no frame. What is longer than the ring is a lie, and not believed in anything.
            self.state.skip = if buffers > self.size { 0 } else { buffers.saturating_sub(1) };
            return Some(self.discard());
        }
        let buffers = u16::try_from(buffers).unwrap_or(1);
        // The device uses all buffers of a frame before it shows any (5.1.6.4).
        self.ring.used(buffers - 1)?;
        let mut used = [(u32::MAX, 0); SEGMENTS_MAX];
        let used = &mut used[..usize::from(buffers)];
        for (place, ahead) in used.iter_mut().zip(0..) {
            *place = self.ring.used(ahead)?;
        }
        (0..buffers).for_each(|_| self.ring.advance(1));
        let taken = self.take(front, used);
        match taken {
            Some(bytes) => {
                self.got.frames += 1;
                self.got.bytes += bytes;
            }
            None => self.got.errors += 1,
        }
        // A number that the device has said twice comes back once.
        used.sort_unstable_by_key(|(id, _)| *id);
        let mut ids = IdList::default();
        for &(id, _) in &*used {
            if self.session.is_free(id) && ids.as_slice().last() != Some(&id) {
                ids.push(id);
            }
        }
        Some(ids)
    }

    /// The frame's bytes, where it is good. All of its buffers were taken.
    fn take(&mut self, front: Front, used: &[(u32, u32)]) -> Option<u64> {
        let ahead_bytes = self.header.bytes();
        let ((first, written), rest) = used.split_first().map(|(first, rest)| (*first, rest))?;
        let mut bytes = match self.session.take(first, ahead_bytes, written, |_| front.words()) {
            Ok(bytes) => u64::from(bytes),
            Err(_) => {
                rest.iter().for_each(|&(id, _)| {
                    self.session.discard(id);
                });
                return None;
            }
        };
        let mut is_good = true;
        for &(id, written) in rest {
            match self.session.extend(id, ahead_bytes, written) {
                Ok(more) => bytes += u64::from(more),
                Err(Bad::Id | Bad::Length) => is_good = false,
            }
        }
        if is_good && front.needs_checksum() {
            let (start, at) = front.checksum();
            is_good = self.session.newest().is_some_and(|mut frame| offload::complete(&mut frame, start, at));
        }
        if !is_good {
            self.session.drop_newest();
            return None;
        }
        Some(bytes)
    }

    /// Takes the buffer at hand home.
    fn discard(&mut self) -> IdList {
        let mut ids = IdList::default();
        if let Some((id, _)) = self.ring.used(0) {
            self.ring.advance(1);
            if self.session.discard(id) {
                ids.push(id);
            }
        }
        ids
    }
}

impl<B> Counted<{ rx_counter::COUNT }> for VirtRx<B> {
    fn counters(&self) -> CountersReader<{ rx_counter::COUNT }> {
        self.counters.reader()
    }
}

impl<B: Bar> RxQueue for VirtRx<B> {
    #[inline(always)]
    fn rx_burst(&mut self, cache: &mut BufCache, out: &mut Burst) -> usize {
        if !self.pass.is_open() && !self.turn(cache) {
            return 0;
        }
        self.path.run(Receive { queue: self, cache, out })
    }

    fn path(&self) -> Path {
        self.path
    }
}

struct Receive<'a, B> {
    queue: &'a mut VirtRx<B>,
    cache: &'a mut BufCache,
    out: &'a mut Burst,
}

impl<B: Bar> Kernel for Receive<'_, B> {
    type Out = usize;
    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) -> usize {
        self.queue.receive(self.cache, self.out)
    }
}
