//! One direction of a tester: a transmit queue, the receive queue where its frames are expected, and what becomes of them.

use crate::{
    error::TrafficError,
    live::{LatencyReader, LatencySoFar, LiveLatency},
    mark::{self, Mark},
    outcome::{FlowOutcome, Outcome, flow_histogram},
    rate::{Due, Interval},
    stream::{Cursor, Stream, low_32},
    track::{Arrival, Track},
};
use hdrhistogram::Histogram;
use vfwire_core::{
    burst::Burst,
    packet::PacketMut,
    pool::{BufCache, Pool},
    queue::{RxQueue, TxQueue},
    stats::{Counters, CountersReader},
};
use vfwire_spec::net::ETH_FCS_BYTES;

/// Most frames handed over or taken at once, unless told.
const BURST: usize = 32;
/// Most flows whose latency is kept one by one: a histogram takes 23 KiB.
const LATENCY_FLOWS_MAX: usize = 1024;
/// Bytes of a frame that spans buffers.
const SCRATCH_BYTES: usize = 16_384;

/// Where frames are sent and where they are expected.
pub struct Direction {
    /// The queue that they leave by.
    pub tx: Box<dyn TxQueue>,
    /// The queue where they come back; nothing: nobody looks.
    pub rx: Option<Box<dyn RxQueue>>,
    /// What is sent.
    pub stream: Stream,
    /// Speed of the line in bits a second, for rates that are a share of it.
    pub line_bits_per_s: Option<u64>,
    /// Keep the latency of every flow by itself, too.
    pub latency_per_flow: bool,
}

impl std::fmt::Debug for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Direction({} flows, sizes {})", self.stream.flows().len(), self.stream.sizes())
    }
}

const SENT: usize = 0;
const SENT_BYTES: usize = 1;
const RECEIVED: usize = 2;
const RECEIVED_BYTES: usize = 3;
const DUPLICATE: usize = 4;
const REORDERED: usize = 5;
const CORRUPT: usize = 6;
const FOREIGN: usize = 7;
const LATENCY_NS: usize = 8;
const POLLS: usize = 9;
const COUNTERS: usize = 10;

/// What a direction has done so far, over all trials. Each value is exact; they need not be of the same instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DirectionStats {
    /// Frames given to the device.
    pub sent_frames: u64,
    /// Their bytes, FCS counted.
    pub sent_bytes: u64,
    /// Own frames that arrived whole, each counted once.
    pub received_frames: u64,
    /// Their bytes, FCS counted.
    pub received_bytes: u64,
    /// Own frames that arrived again.
    pub duplicate_frames: u64,
    /// Own frames that arrived after later ones.
    pub reordered_frames: u64,
    /// Own frames that arrived damaged.
    pub corrupt_frames: u64,
    /// Frames that are not ours, or not of this direction and trial.
    pub foreign_frames: u64,
    /// Sum of the latencies of the frames received.
    pub latency_sum_ns: u64,
    /// Looks at the queue that found frames.
    pub polls: u64,
}

/// The reading end of a direction's counters, for any thread.
#[derive(Clone, Debug)]
pub struct DirectionReader {
    counters: CountersReader<COUNTERS>,
    latency: LatencyReader,
}

impl DirectionReader {
    /// The counters now.
    pub fn read(&self) -> DirectionStats {
        let now = self.counters.read();
        DirectionStats {
            sent_frames: now[SENT],
            sent_bytes: now[SENT_BYTES],
            received_frames: now[RECEIVED],
            received_bytes: now[RECEIVED_BYTES],
            duplicate_frames: now[DUPLICATE],
            reordered_frames: now[REORDERED],
            corrupt_frames: now[CORRUPT],
            foreign_frames: now[FOREIGN],
            latency_sum_ns: now[LATENCY_NS],
            polls: now[POLLS],
        }
    }

    /// The latencies so far. None of a replay.
    pub fn latency(&self) -> LatencySoFar {
        self.latency.read()
    }
}

/// What a lane is to send.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) trial: u8,
    /// Times between frames; nothing: as fast as possible.
    pub(crate) intervals: Option<Vec<Interval>>,
    /// Frames due from here on are not sent any more.
    pub(crate) end_ns: u64,
    /// No more frames than that.
    pub(crate) frames: u64,
}

pub(crate) struct Lane {
    number: u8,
    pub(crate) direction: Direction,
    counters: Counters<COUNTERS>,
    live: LiveLatency,
    pub(crate) tx_burst: Burst,
    pub(crate) rx_burst: Burst,
    scratch: Vec<u8>,
    order: Order,
    /// The next frame to be built, and how many were: those in `tx_burst` are among them.
    cursor: Cursor,
    built: u64,
    due: Due,
    last_departure_ns: Option<u64>,
    tracks: Vec<Track>,
    latencies: Vec<Histogram<u64>>,
    outcome: Outcome,
}

impl Lane {
    pub(crate) fn new(number: u8, direction: Direction, pool: &Pool) -> Result<Self, TrafficError> {
        let mut lane = Self {
            number,
            counters: Counters::new(),
            live: LiveLatency::new(),
            tx_burst: pool.burst(BURST),
            rx_burst: pool.burst(BURST),
            scratch: Vec::with_capacity(SCRATCH_BYTES),
            order: Order { trial: 0, intervals: None, end_ns: 0, frames: 0 },
            cursor: Cursor::default(),
            built: 0,
            due: Due::at(0),
            last_departure_ns: None,
            tracks: Vec::new(),
            latencies: Vec::new(),
            outcome: Outcome::new(true),
            direction,
        };
        lane.fit(pool)?;
        Ok(lane)
    }

    /// Makes room for what the stream needs.
    fn fit(&mut self, pool: &Pool) -> Result<(), TrafficError> {
        let (stream, room) = (&self.direction.stream, pool.data_bytes() as usize);
        let (flows, longest) = (stream.flows().len(), stream.longest_host_bytes());
        if longest > room {
            let remedy = format!("make a pool with buffers of {longest} bytes or more");
            return Err(TrafficError::new(
                format!("size {}", stream.sizes().longest()),
                format!("beyond the pool's buffers of {room} bytes"),
                remedy,
            ));
        }
        if self.direction.latency_per_flow && flows > LATENCY_FLOWS_MAX {
            let why = format!("{flows} flows are too many to keep one by one");
            return Err(TrafficError::new("latency per flow", why, format!("give {LATENCY_FLOWS_MAX} flows or fewer")));
        }
        self.tracks.resize(flows, Track::default());
        self.latencies.resize_with(if self.direction.latency_per_flow { flows } else { 0 }, flow_histogram);
        Ok(())
    }

    pub(crate) fn set_stream(&mut self, stream: Stream, pool: &Pool) -> Result<(), TrafficError> {
        let before = std::mem::replace(&mut self.direction.stream, stream);
        self.fit(pool).inspect_err(|_| self.direction.stream = before)
    }

    /// Between trials: both bursts are empty.
    pub(crate) fn set_burst(&mut self, frames: usize, pool: &Pool) {
        (self.tx_burst, self.rx_burst) = (pool.burst(frames), pool.burst(frames));
    }

    pub(crate) fn reader(&self) -> DirectionReader {
        DirectionReader { counters: self.counters.reader(), latency: self.live.reader() }
    }

    /// Forgets the last trial. Sending begins at `start_ns`.
    pub(crate) fn begin(&mut self, order: Order, start_ns: u64) {
        self.order = order;
        (self.cursor, self.built, self.due, self.last_departure_ns) = (Cursor::default(), 0, Due::at(start_ns), None);
        self.tracks.fill(Track::default());
        self.latencies.iter_mut().for_each(Histogram::reset);
        self.outcome = Outcome::new(true);
    }

    /// Sends what is due. Whether there is more to be sent.
    #[inline(always)]
    pub(crate) fn send(&mut self, now_ns: u64, cache: &mut BufCache) -> bool {
        self.build(now_ns, cache);
        if self.tx_burst.is_empty() {
            self.direction.tx.reclaim(cache);
        } else {
            self.hand_over(now_ns, cache);
        }
        !self.tx_burst.is_empty() || self.wants_more()
    }

    #[inline(always)]
    fn wants_more(&self) -> bool {
        self.built < self.order.frames && self.due.ns() < self.order.end_ns
    }

    /// Builds the frames that are due, unless the device has yet to take those before them.
    #[inline(always)]
    fn build(&mut self, now_ns: u64, cache: &mut BufCache) {
        if !self.tx_burst.is_empty() {
            return;
        }
        let stamp = (self.order.trial, self.number, low_32(now_ns));
        let stream = &self.direction.stream;
        while self.built < self.order.frames && self.due.ns() < self.order.end_ns && self.tx_burst.room() != 0 {
            if self.order.intervals.is_some() {
                if self.due.ns() > now_ns {
                    return;
                }
            } else if now_ns >= self.order.end_ns {
                self.due = Due::at(self.order.end_ns);
                return;
            }
            let Some(mut frame) = self.tx_burst.push_empty(cache) else { return };
            let Some(bytes) = frame.append(stream.host_bytes_at(self.cursor)) else { return };
            stream.write(self.cursor, stamp, bytes);
            if let Some(intervals) = &self.order.intervals {
                self.outcome.lateness_ns.saturating_record(now_ns - self.due.ns());
                self.due.go_on(intervals[stream.pattern_place(self.cursor)]);
            }
            stream.go_on(&mut self.cursor);
            self.built += 1;
        }
    }

    #[inline(always)]
    fn hand_over(&mut self, now_ns: u64, cache: &mut BufCache) {
        let had = self.tx_burst.len();
        let mut bytes: u64 = 0;
        for frame in self.tx_burst.iter_mut() {
            bytes += (frame.len() + ETH_FCS_BYTES) as u64;
        }
        let sent = self.direction.tx.tx_burst(cache, &mut self.tx_burst);
        let left = self.tx_burst.len();
        for frame in self.tx_burst.iter_mut() {
            bytes -= (frame.len() + ETH_FCS_BYTES) as u64;
        }
        let outcome = &mut self.outcome;
        outcome.refused_frames += (had - left).saturating_sub(sent) as u64;
        if sent == 0 {
            return;
        }
        outcome.sent_frames += sent as u64;
        outcome.sent_bytes += bytes;
        if let Some(last) = self.last_departure_ns {
            outcome.interdeparture_ns.saturating_record(now_ns - last);
        }
        outcome.interdeparture_ns.saturating_record_n(0, sent as u64 - 1);
        self.last_departure_ns = Some(now_ns);
        self.counters.add::<SENT>(sent as u64);
        self.counters.add::<SENT_BYTES>(bytes);
    }

    /// Takes what has arrived: how many frames. `now` is asked after it was taken.
    #[inline(always)]
    pub(crate) fn receive(&mut self, now: impl FnOnce() -> u64, cache: &mut BufCache) -> usize {
        let Some(rx) = &mut self.direction.rx else { return 0 };
        let received = rx.rx_burst(cache, &mut self.rx_burst);
        if received != 0 {
            let now_ns = now();
            self.counters.add::<POLLS>(1);
            self.take(now_ns);
            self.rx_burst.clear(cache);
        }
        received
    }

    /// Gives back what has arrived, as far as a few polls find it.
    pub(crate) fn discard(&mut self, cache: &mut BufCache) {
        const POLLS_MAX: usize = 1024;
        let Some(rx) = &mut self.direction.rx else { return };
        for _ in 0..POLLS_MAX {
            let received = rx.rx_burst(cache, &mut self.rx_burst);
            self.rx_burst.clear(cache);
            if received == 0 {
                return;
            }
        }
    }

    /// Books the frames of the receive burst, which arrived at `now_ns`.
    #[inline(always)]
    fn take(&mut self, now_ns: u64) {
        let handed = self.built - self.tx_burst.len() as u64;
        let flows = self.tracks.len() as u64;
        let book = &mut Book {
            number: self.number,
            trial: self.order.trial,
            rounds: handed / flows,
            rest: handed % flows,
            now_ns,
            stream: &self.direction.stream,
            tracks: &mut self.tracks,
            latencies: &mut self.latencies,
            outcome: &mut self.outcome,
            counters: &mut self.counters,
            live: &mut self.live,
        };
        for frame in self.rx_burst.iter_mut() {
            let bytes = frame.total_len();
            if bytes == frame.len() {
                book.take(frame.data());
            } else {
                gather(&frame, &mut self.scratch);
                book.take(&self.scratch);
            }
        }
    }

    /// Counts what a replay has sent.
    pub(crate) fn count_sent(&mut self, frames: u64, bytes: u64) {
        self.counters.add::<SENT>(frames);
        self.counters.add::<SENT_BYTES>(bytes);
    }

    /// Counts what a replay has received at one look.
    pub(crate) fn count_received(&mut self, frames: u64, bytes: u64) {
        self.counters.add::<POLLS>(1);
        self.counters.add::<RECEIVED>(frames);
        self.counters.add::<RECEIVED_BYTES>(bytes);
    }

    /// Whether every frame that was sent has come back, or none is expected.
    pub(crate) fn is_complete(&self) -> bool {
        self.direction.rx.is_none() || self.outcome.received_frames == self.outcome.sent_frames
    }

    /// Drops what the device did not take: it was never sent.
    pub(crate) fn end_sending(&mut self, cache: &mut BufCache) {
        self.built -= self.tx_burst.len() as u64;
        self.tx_burst.clear(cache);
        self.order.frames = self.built;
    }

    /// What came of it. `offered`: what was due.
    pub(crate) fn finish(&mut self, start_ns: u64, end_ns: u64, offered: u64) -> Outcome {
        let mut outcome = std::mem::replace(&mut self.outcome, Outcome::new(true));
        outcome.offered_frames = offered.max(outcome.sent_frames);
        outcome.sending_ns = end_ns.saturating_sub(start_ns);
        outcome.sent_line_bytes = outcome.sent_bytes + outcome.sent_frames * crate::size::LINE_OVERHEAD_BYTES;
        let flows = self.tracks.len() as u64;
        let of = |(flow, (track, latency)): (u64, (&Track, &Histogram<u64>))| FlowOutcome {
            sent_frames: self.built / flows + u64::from(self.built % flows > flow),
            received_frames: track.received,
            latency_ns: latency.clone(),
        };
        outcome.flows = (0..).zip(self.tracks.iter().zip(&self.latencies)).map(of).collect();
        outcome
    }
}

/// The bytes of a frame that spans buffers, end to end; what is beyond any frame is left off.
#[cold]
fn gather(frame: &PacketMut<'_>, scratch: &mut Vec<u8>) {
    scratch.clear();
    for segment in frame.segments() {
        let room = SCRATCH_BYTES - scratch.len();
        scratch.extend_from_slice(&segment[..segment.len().min(room)]);
    }
}

/// What one look at the receive queue is written into.
struct Book<'a> {
    number: u8,
    trial: u8,
    /// Frames that every flow has sent, and how many of the first flows one more.
    rounds: u64,
    rest: u64,
    now_ns: u64,
    stream: &'a Stream,
    tracks: &'a mut [Track],
    latencies: &'a mut [Histogram<u64>],
    outcome: &'a mut Outcome,
    counters: &'a mut Counters<COUNTERS>,
    live: &'a mut LiveLatency,
}

impl Book<'_> {
    #[inline(always)]
    fn take(&mut self, frame: &[u8]) {
        // A frame whose headers were damaged may still end with a mark.
        let payload = mark::payload(frame).unwrap_or(frame);
        let Some((mark, crc)) = Mark::decode(payload).or_else(|| Mark::decode(frame)) else {
            self.outcome.foreign_frames += 1;
            return self.counters.add::<FOREIGN>(1);
        };
        let flow = mark.flow as usize;
        let sequence = self.tracks.get(flow).and_then(|track| track.sequence(mark.sequence));
        let whole = |sequence| self.stream.is_whole(mark.flow, sequence, payload, crc);
        // Only a mark that is whole is believed when it names another trial or direction.
        if mark.trial != self.trial || mark.direction != self.number {
            if mark::is_sound(payload, crc) {
                let which =
                    if mark.direction == self.number { &mut self.outcome.earlier_frames } else { &mut self.outcome.misdirected_frames };
                *which += 1;
                return self.counters.add::<FOREIGN>(1);
            }
            return self.corrupt();
        }
        let Some(sequence) = sequence.filter(|&sequence| whole(sequence)) else { return self.corrupt() };
        let sent = self.rounds + u64::from(u64::from(mark.flow) < self.rest);
        match self.tracks[flow].arrive(sequence, sent) {
            Arrival::InOrder => self.received(mark, frame.len()),
            Arrival::Reordered(behind) => {
                self.outcome.reordered_frames += 1;
                self.outcome.reordered_most = self.outcome.reordered_most.max(behind);
                self.counters.add::<REORDERED>(1);
                self.received(mark, frame.len());
            }
            Arrival::Duplicate => {
                self.outcome.duplicate_frames += 1;
                self.counters.add::<DUPLICATE>(1);
            }
            Arrival::Stale => self.outcome.stale_frames += 1,
            Arrival::Impossible => self.corrupt(),
        }
    }

    #[inline(always)]
    fn received(&mut self, mark: Mark, host_bytes: usize) {
        let latency_32 = low_32(self.now_ns).wrapping_sub(mark.time_ns);
        let latency_ns = u64::from(latency_32);
        let bytes = (host_bytes + ETH_FCS_BYTES) as u64;
        self.outcome.received_frames += 1;
        self.outcome.received_bytes += bytes;
        self.outcome.latency_ns.saturating_record(latency_ns);
        if let Some(latencies) = self.latencies.get_mut(mark.flow as usize) {
            latencies.saturating_record(latency_ns);
        }
        self.counters.add::<RECEIVED>(1);
        self.counters.add::<RECEIVED_BYTES>(bytes);
        self.counters.add::<LATENCY_NS>(latency_ns);
        self.live.record(latency_32);
    }

    fn corrupt(&mut self) {
        self.outcome.corrupt_frames += 1;
        self.counters.add::<CORRUPT>(1);
    }
}
