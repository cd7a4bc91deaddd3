//! A wire that delays, loses, repeats, damages and disorders frames on their way to the device, as one is told, the same at each run.

use super::Wire;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Frames that are on their way at most. More are lost, unless the far side pauses.
const FRAMES_MAX: usize = 65_536;
/// Frames that are taken from the wire below at a time.
const TAKEN_MAX: usize = 256;
/// How much later than due a frame comes that is to be overtaken.
pub const OVERTAKEN_NS: u64 = 100_000;
/// Bytes that a frame takes on a line beside those that a device gives: FCS, preamble, gap (IEEE 802.3, 3.1.1 and 4A.4.2).
const LINE_OVERHEAD_BYTES: u64 = 24;

/// What time a wire goes by.
#[derive(Clone, Debug)]
pub enum WireClock {
    /// The system's.
    System(Instant),
    /// Nanoseconds that whoever simulates counts up.
    Simulated(Arc<AtomicU64>),
}

impl WireClock {
    /// The system's monotonic clock.
    pub fn system() -> Self {
        Self::System(Instant::now())
    }

    fn now_ns(&self) -> u64 {
        match self {
            Self::System(origin) => u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Self::Simulated(now) => now.load(Ordering::Relaxed),
        }
    }
}

/// What is wrong with a wire. Shares are from 0 to 1; each frame's fate is drawn by itself.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Impairment {
    /// Every frame comes so much later.
    pub delay_ns: u64,
    /// And by up to this time more, all times alike. Frames may overtake one another by it.
    pub jitter_ns: u64,
    /// Share of the frames that are lost.
    pub loss: f64,
    /// Share of the others that come twice.
    pub duplicate: f64,
    /// Share that comes [`OVERTAKEN_NS`] later, so that those behind overtake it.
    pub reorder: f64,
    /// Share in which one bit is wrong.
    pub corrupt: f64,
    /// Speed of the line in bits a second: frames follow one another at the distance that it takes; zero: none.
    pub bits_per_s: u64,
    /// Where the draws begin.
    pub seed: u64,
}

/// A wire with an [`Impairment`] towards the device. What the device sends goes out as it is.
#[derive(Debug)]
pub struct ImperfectWire<W> {
    wire: W,
    wrong: Impairment,
    clock: WireClock,
    random: u64,
    /// When the line will be free.
    free_ns: u64,
    taken: u64,
    /// By the time when they come, then in the order in which they were taken.
    coming: BinaryHeap<Reverse<(u64, u64, Vec<u8>)>>,
    current: Vec<u8>,
    lost: Arc<AtomicU64>,
}

impl<W: Wire> ImperfectWire<W> {
    /// `wire`, but so.
    pub fn new(wire: W, wrong: Impairment, clock: WireClock) -> Self {
        let random = wrong.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { wire, wrong, clock, random, free_ns: 0, taken: 0, coming: BinaryHeap::new(), current: Vec::new(), lost: Arc::default() }
    }

    /// How many frames it has lost, for whoever simulates.
    pub fn lost(&self) -> Arc<AtomicU64> {
        self.lost.clone()
    }

    fn take(&mut self, now_ns: u64) {
        for _ in 0..TAKEN_MAX {
            if self.wire.pauses() && self.coming.len() >= FRAMES_MAX {
                return;
            }
            let Some(frame) = self.wire.receive() else { return };
            let mut frame = frame.to_vec();
            let wrong = self.wrong;
            let bits = (frame.len() as u64 + LINE_OVERHEAD_BYTES) * 8;
            let on_line_ns = (bits * 1_000_000_000).checked_div(wrong.bits_per_s).unwrap_or(0);
            self.free_ns = self.free_ns.max(now_ns) + on_line_ns;
            if self.draw(wrong.loss) || self.coming.len() >= FRAMES_MAX {
                self.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if self.draw(wrong.corrupt) && !frame.is_empty() {
                let at = usize::try_from(self.next() % frame.len() as u64).unwrap_or(0);
                frame[at] ^= 1 << (self.next() % 8);
            }
            let late_ns = if wrong.jitter_ns == 0 { 0 } else { self.next() % (wrong.jitter_ns + 1) };
            let overtaken_ns = if self.draw(wrong.reorder) { OVERTAKEN_NS } else { 0 };
            let at_ns = self.free_ns.saturating_add(wrong.delay_ns).saturating_add(late_ns + overtaken_ns);
            if self.draw(wrong.duplicate) {
                self.put(at_ns, frame.clone());
            }
            self.put(at_ns, frame);
        }
    }

    fn put(&mut self, at_ns: u64, frame: Vec<u8>) {
        self.taken += 1;
        self.coming.push(Reverse((at_ns, self.taken, frame)));
    }

    /// Whether something happens that happens to this share.
    fn draw(&mut self, share: f64) -> bool {
        share > 0.0 && (self.next() >> 11) as f64 / (1u64 << 53) as f64 <= share
    }

    /// xorshift64* (Vigna 2016).
    fn next(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

impl<W: Wire> Wire for ImperfectWire<W> {
    fn send(&mut self, frame: &[u8]) {
        self.wire.send(frame);
    }

    fn receive(&mut self) -> Option<&[u8]> {
        let now_ns = self.clock.now_ns();
        self.take(now_ns);
        if self.coming.peek().is_none_or(|Reverse((at_ns, ..))| *at_ns > now_ns) {
            return None;
        }
        let Reverse((_, _, frame)) = self.coming.pop()?;
        self.current = frame;
        Some(&self.current)
    }

    fn pauses(&self) -> bool {
        self.wire.pauses()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::TestWire;

    fn through(wrong: Impairment, frames: u32) -> (Vec<(u64, Vec<u8>)>, u64) {
        let (below, now) = (TestWire::new(), Arc::new(AtomicU64::new(0)));
        let mut wire = ImperfectWire::new(below.clone(), wrong, WireClock::Simulated(now.clone()));
        let mut came = Vec::new();
        for frame in 0..frames {
            below.push(frame.to_be_bytes().repeat(15));
            // A frame every 10 us.
            for _ in 0..10 {
                while let Some(frame) = wire.receive() {
                    came.push((now.load(Ordering::Relaxed), frame.to_vec()));
                }
                now.fetch_add(1000, Ordering::Relaxed);
            }
        }
        let sent = now.fetch_add(1_000_000_000, Ordering::Relaxed);
        while let Some(frame) = wire.receive() {
            came.push((u64::MAX, frame.to_vec()));
        }
        (came, sent)
    }

    #[test]
    fn frames_come_when_they_are_due() {
        let (came, _) = through(Impairment { delay_ns: 25_000, ..Impairment::default() }, 10);
        let times: Vec<_> = came.iter().map(|(at, _)| *at).collect();
        assert_eq!(times[..7], [25_000, 35_000, 45_000, 55_000, 65_000, 75_000, 85_000]);
        assert_eq!(came.len(), 10);
        // 84 bytes at 33.6 Mbit/s take 20 us: each frame waits for the one before.
        let (came, _) = through(Impairment { bits_per_s: 33_600_000, ..Impairment::default() }, 10);
        assert_eq!(came.iter().map(|(at, _)| *at).take(4).collect::<Vec<_>>(), [20_000, 40_000, 60_000, 80_000]);
    }

    #[test]
    fn shares_are_what_was_asked_for_and_the_same_at_each_run() {
        let wrong = Impairment { loss: 0.1, seed: 7, ..Impairment::default() };
        let (came, _) = through(wrong, 20_000);
        assert!(came.len().abs_diff(18_000) < 180, "{}", came.len());
        assert_eq!(came, through(wrong, 20_000).0);
        assert_ne!(came, through(Impairment { seed: 8, ..wrong }, 20_000).0);
        let (came, _) = through(Impairment { duplicate: 0.1, ..wrong }, 20_000);
        assert!(came.len().abs_diff(19_800) < 200, "{}", came.len());
        let damaged = |came: &[(u64, Vec<u8>)]| came.iter().filter(|(_, frame)| frame[..4].repeat(15) != *frame).count();
        let (came, _) = through(Impairment { corrupt: 0.1, ..Impairment::default() }, 20_000);
        assert!((came.len(), damaged(&came).abs_diff(2000) < 150) == (20_000, true), "{}", damaged(&came));
    }

    #[test]
    fn frames_are_overtaken() {
        let (came, _) = through(Impairment { reorder: 0.01, ..Impairment::default() }, 1000);
        let back = came.windows(2).filter(|pair| pair[0].1 > pair[1].1).count();
        assert!((3..30).contains(&back) && came.len() == 1000, "{back}");
    }
}
