//! Sends test frames at a load, and matches those that come back.
//!
//! A test frame is Ethernet, IPv4 and UDP between addresses for benchmarks (RFC 2544, C.2.2; RFC 6815). Its payload begins with the number of the
//! trial, the number of the frame, the time at which it was built, and a check of these 16 bytes. Late frames of an earlier trial are so told
//! apart. A frame of a later number than the next one that is expected makes those before it, should they still come, reordered (RFC 4737, 3.3).

use hdrhistogram::Histogram;
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use vfwire::{BufCache, Burst, MacAddr, PacketMut, Pool, RxQueue, TxQueue};
use vfwire_measure::{plan::Offer, result::TrialCounts};

/// Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 14 + 20 + 8;
/// Trial, frame, time and check.
const PAYLOAD: usize = 4 + 4 + 8 + 2;
/// The shortest frame without its FCS: it just holds all of it.
const FRAME_MIN: usize = HEADERS + PAYLOAD;
const FCS_BYTES: usize = 4;
/// UDP ports: the source's is the first of the flows'.
const PORTS: (u16, u16) = (49_152, 49_151);
/// Longest latency that is told from longer ones.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// One way through the device.
pub(super) struct Direction {
    pub(super) tx: Box<dyn TxQueue>,
    pub(super) rx: Box<dyn RxQueue>,
    /// The station that frames are sent to, and the one that sends them.
    pub(super) macs: (MacAddr, MacAddr),
}

/// Whose frames they are, and where they are expected.
struct Way {
    direction: Direction,
    frame: Vec<u8>,
    burst: Burst,
    seen: Seen,
}

/// What became of a trial.
pub(super) struct Outcome {
    pub(super) counts: TrialCounts,
    /// How long frames were sent.
    pub(super) sending: Duration,
    pub(super) longest_gap: Duration,
    pub(super) latency_ns: Histogram<u64>,
}

pub(super) struct Tester {
    ways: Vec<Way>,
    cache: BufCache,
    arrived: Burst,
    epoch: Instant,
    trial: u32,
    flows: u16,
    /// How long late frames are waited for.
    drain: Duration,
    /// Whether other threads need this CPU.
    yields: bool,
}

/// The user wants it to end.
pub(super) struct Interrupted;

impl Tester {
    pub(super) fn new(directions: Vec<Direction>, pool: &Pool, burst: usize, flows: u16, drain: Duration, yields: bool) -> Self {
        let way = |direction| Way { direction, frame: Vec::new(), burst: pool.burst(burst), seen: Seen::default() };
        let ways = directions.into_iter().map(way).collect();
        Self { ways, cache: pool.cache(), arrived: pool.burst(burst), epoch: Instant::now(), trial: 0, flows: flows.max(1), drain, yields }
    }

    pub(super) fn directions(&self) -> u64 {
        self.ways.len() as u64
    }

    /// From now on frames are that long, with their FCS.
    pub(super) fn frames_of(&mut self, frame_bytes: u32) {
        let bytes = (frame_bytes as usize).saturating_sub(FCS_BYTES).max(FRAME_MIN);
        for way in &mut self.ways {
            way.frame = template(bytes, way.direction.macs);
        }
    }

    /// Makes a trial. A `Load` of `u64::MAX` frames a second is as many as can be sent.
    pub(super) fn trial(&mut self, offer: Offer, stop: &AtomicBool) -> Result<Outcome, Interrupted> {
        self.trial += 1;
        let (intended, pace) = match offer {
            Offer::Load { fps: u64::MAX, duration } => (u64::MAX, Pace { fps: f64::INFINITY, duration }),
            Offer::Load { fps, duration } => {
                // Whole frames of a short trial, at least one.
                let frames = u64::try_from(u128::from(fps) * duration.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX).max(1);
                (frames, Pace { fps: fps as f64, duration })
            }
            // As long as it takes: a ring that takes nothing more ends it.
            Offer::Burst { frames } => (frames, Pace { fps: f64::INFINITY, duration: BURST_LIMIT }),
        };
        let mut run = Running::begin(self, intended);
        let sending = run.send(&pace, stop)?;
        let outcome = run.drain(sending, stop)?;
        Ok(outcome)
    }
}

/// Of a trial of a second, 2 %: so much may be sent after its end, at most.
const CATCH_UP_MAX: Duration = Duration::from_millis(20);
/// A burst that could not be sent within that time never will be.
const BURST_LIMIT: Duration = Duration::from_secs(10);

struct Pace {
    fps: f64,
    duration: Duration,
}

/// A trial that runs.
struct Running<'a> {
    tester: &'a mut Tester,
    intended: u64,
    start: Instant,
    looked: Instant,
    longest_gap: Duration,
    /// Frames built, of each way.
    built: Vec<u64>,
    counts: TrialCounts,
    latency_ns: Histogram<u64>,
}

impl<'a> Running<'a> {
    fn begin(tester: &'a mut Tester, intended: u64) -> Self {
        tester.ways.iter_mut().for_each(|way| way.seen.clear());
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("these bounds are valid");
        let (now, built) = (Instant::now(), vec![0; tester.ways.len()]);
        Self { tester, intended, start: now, looked: now, longest_gap: Duration::ZERO, built, counts: TrialCounts::default(), latency_ns }
    }

    /// Sends what is due until all is sent, or the time is over. Gives how long that took.
    fn send(&mut self, pace: &Pace, stop: &AtomicBool) -> Result<Duration, Interrupted> {
        loop {
            let past = self.look(stop)?;
            // A tester that was kept from its CPU may catch up, for as long as that, and no longer: what it cannot send then is lost.
            if past >= pace.duration + self.longest_gap.min(CATCH_UP_MAX) {
                return Ok(past);
            }
            let due = frames_due(past, pace.fps).min(self.intended);
            let mut all = true;
            for at in 0..self.built.len() {
                self.feed(at, due);
                all &= self.built[at] == self.intended && self.tester.ways[at].burst.is_empty();
            }
            if all {
                return Ok(self.start.elapsed());
            }
            if !self.receive() && self.tester.yields {
                thread::yield_now();
            }
        }
    }

    /// Time since the start. Notes how long the tester did not look.
    fn look(&mut self, stop: &AtomicBool) -> Result<Duration, Interrupted> {
        if stop.load(Relaxed) {
            self.give_up();
            return Err(Interrupted);
        }
        let now = Instant::now();
        self.longest_gap = self.longest_gap.max(now - self.looked);
        self.looked = now;
        Ok(now - self.start)
    }

    fn feed(&mut self, at: usize, due: u64) {
        let Tester { ways, cache, epoch, trial, flows, .. } = &mut *self.tester;
        let (way, built) = (&mut ways[at], &mut self.built[at]);
        let built_ns = nanos(epoch.elapsed());
        while *built < due && way.burst.room() > 0 {
            let Some(mut frame) = way.burst.push_empty(cache) else { break };
            let Some(bytes) = frame.append(way.frame.len()) else { break };
            bytes.copy_from_slice(&way.frame);
            stamp(bytes, *trial, *built, built_ns, *flows);
            *built += 1;
        }
        if way.burst.is_empty() {
            way.direction.tx.reclaim(cache);
        } else {
            let before = way.burst.len();
            way.direction.tx.tx_burst(cache, &mut way.burst);
            self.counts.sent += (before - way.burst.len()) as u64;
        }
    }

    /// Takes what has come. Whether anything had.
    fn receive(&mut self) -> bool {
        let Tester { ways, cache, arrived, epoch, trial, .. } = &mut *self.tester;
        let mut any = false;
        for (way, &built) in ways.iter_mut().zip(&self.built) {
            if way.direction.rx.rx_burst(cache, arrived) == 0 {
                continue;
            }
            any = true;
            let now_ns = nanos(epoch.elapsed());
            for frame in arrived.iter_mut() {
                match read(&frame, way.frame.len(), *trial) {
                    // Whoever knows the check may still say what was never sent: it must not make us remember it.
                    Arrived::Ours { number, built_ns } if u64::from(number) < built => {
                        let fresh = way.seen.take(number, &mut self.counts);
                        if fresh {
                            self.latency_ns.saturating_record(now_ns.saturating_sub(built_ns).max(1));
                        }
                    }
                    Arrived::Ours { .. } | Arrived::Damaged => self.counts.corrupted += 1,
                    Arrived::Foreign => self.counts.foreign += 1,
                }
            }
            arrived.clear(cache);
        }
        any
    }

    /// Waits for what is still under way.
    fn drain(mut self, sending: Duration, stop: &AtomicBool) -> Result<Outcome, Interrupted> {
        self.give_up();
        let all = self.counts.sent;
        let mut until = Instant::now() + self.tester.drain;
        while self.counts.received < all && Instant::now() < until {
            self.look(stop)?;
            if self.receive() {
                // As long as frames come there may be more.
                until = Instant::now() + self.tester.drain;
            } else if self.tester.yields {
                thread::yield_now();
            }
            let Tester { ways, cache, .. } = &mut *self.tester;
            ways.iter_mut().for_each(|way| _ = way.direction.tx.reclaim(cache));
        }
        let ways = self.tester.directions();
        let Self { mut counts, longest_gap, latency_ns, intended, .. } = self;
        counts.intended = if intended == u64::MAX { counts.sent } else { intended * ways };
        Ok(Outcome { counts, sending, longest_gap, latency_ns })
    }

    /// What the rings did not take is not sent.
    fn give_up(&mut self) {
        let Tester { ways, cache, .. } = &mut *self.tester;
        ways.iter_mut().for_each(|way| way.burst.clear(cache));
    }
}

/// Frames that are to be sent by then: the first one at once, each next one when its time has come.
fn frames_due(past: Duration, fps: f64) -> u64 {
    if fps.is_infinite() {
        return u64::MAX;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "meant, and saturating")]
    let due = (past.as_secs_f64() * fps) as u64;
    due + 1
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Which frames of a trial have come. Grows with what was sent.
#[derive(Default)]
struct Seen {
    words: Vec<u64>,
    next: u64,
}

impl Seen {
    fn clear(&mut self) {
        self.words.clear();
        self.next = 0;
    }

    /// Whether this one had not come yet.
    fn take(&mut self, number: u32, counts: &mut TrialCounts) -> bool {
        let (word, bit) = (number as usize / 64, 1_u64 << (number % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if self.words[word] & bit != 0 {
            counts.duplicates += 1;
            return false;
        }
        self.words[word] |= bit;
        counts.received += 1;
        let number = u64::from(number);
        if number < self.next {
            counts.reordered += 1;
        } else {
            self.next = number + 1;
        }
        true
    }
}

enum Arrived {
    Ours {
        number: u32,
        built_ns: u64,
    },
    Damaged,
    /// Not a test frame, or one of an earlier trial.
    Foreign,
}

/// A frame without stamp.
fn template(bytes: usize, (to, from): (MacAddr, MacAddr)) -> Vec<u8> {
    let ip_bytes = u16::try_from(bytes - 14).unwrap_or(u16::MAX);
    let mut frame = vec![0x5a; bytes];
    frame[..6].copy_from_slice(&to.octets());
    frame[6..12].copy_from_slice(&from.octets());
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let [high, low] = ip_bytes.to_be_bytes();
    // RFC 791, 3.1: version 4, five words, time to live 64, UDP; RFC 2544's networks 198.18.0.0 and 198.19.0.0.
    let header = [0x45, 0, high, low, 0, 0, 0x40, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 19, 0, 1];
    frame[14..34].copy_from_slice(&header);
    let checksum = ip_checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame[34..36].copy_from_slice(&PORTS.0.to_be_bytes());
    frame[36..38].copy_from_slice(&PORTS.1.to_be_bytes());
    frame[38..40].copy_from_slice(&(ip_bytes - 20).to_be_bytes());
    // No checksum, which UDP over IPv4 allows (RFC 768): the stamp has its own check.
    frame[40..42].copy_from_slice(&[0, 0]);
    frame
}

/// The ones' complement of the ones' complement sum of the words (RFC 1071).
fn ip_checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

fn stamp(frame: &mut [u8], trial: u32, number: u64, built_ns: u64, flows: u16) {
    // Numbers begin again after four thousand million frames; no trial is so long.
    let number = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0);
    let flow = u16::try_from(number % u32::from(flows)).unwrap_or(0);
    frame[34..36].copy_from_slice(&PORTS.0.wrapping_add(flow).to_be_bytes());
    let payload = &mut frame[HEADERS..FRAME_MIN];
    payload[..4].copy_from_slice(&trial.to_be_bytes());
    payload[4..8].copy_from_slice(&number.to_be_bytes());
    payload[8..16].copy_from_slice(&built_ns.to_be_bytes());
    payload[16..].copy_from_slice(&check(trial, number, built_ns).to_be_bytes());
}

/// 16 bits of a product: a flipped bit anywhere changes about half of them.
fn check(trial: u32, number: u32, built_ns: u64) -> u16 {
    let mixed = ((u64::from(trial) << 32 | u64::from(number)) ^ built_ns.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let [high, low, ..] = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes();
    u16::from_be_bytes([high, low])
}

fn read(frame: &PacketMut<'_>, bytes: usize, trial: u32) -> Arrived {
    let data = frame.data();
    let Some(payload) = data.get(HEADERS..FRAME_MIN) else { return Arrived::Foreign };
    if data[12..14] != [0x08, 0x00] || data[36..38] != PORTS.1.to_be_bytes() {
        return Arrived::Foreign;
    }
    let word = |at: usize| u32::from_be_bytes([payload[at], payload[at + 1], payload[at + 2], payload[at + 3]]);
    let (of, number, built_ns) = (word(0), word(4), u64::from(word(8)) << 32 | u64::from(word(12)));
    if check(of, number, built_ns).to_be_bytes() != payload[16..] {
        return Arrived::Damaged;
    }
    match (of == trial, data.len() == bytes) {
        (false, _) => Arrived::Foreign,
        (true, false) => Arrived::Damaged,
        (true, true) => Arrived::Ours { number, built_ns },
    }
}

#[cfg(test)]
mod tests;
