//! What must hold whatever the device does: frames lie inside their buffers, counters count what moved and never go back, events come in
//! the order that their contract says.

use vfwire_core::{
    burst::Burst,
    event::PortEvent,
    packet::PacketMut,
    pool::{HEADROOM_BYTES, Pool},
    stats::{PortStats, RxStats, TxStats},
};

/// Most buffers that a frame spans.
const SEGMENTS_MAX: usize = 256;

/// After which events of a port end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Failed,
    Removed,
}

/// The books of one port.
#[derive(Debug, Default)]
pub struct Ledger {
    received: u64,
    sent: u64,
    last: PortStats,
    link_up: bool,
    resetting: bool,
    /// Nothing may follow but, after a failure, the removal.
    ended: Option<End>,
}

impl Ledger {
    /// A burst came, of which the frames from `before` on are new.
    pub fn receive(&mut self, burst: &mut Burst, before: usize, said: usize, pool: &Pool) {
        assert_eq!(burst.len(), before + said, "a queue said {said} frames");
        assert!(burst.len() <= burst.limit());
        self.received += said as u64;
        for frame in burst.iter_mut().skip(before) {
            look_at(&frame, pool);
        }
    }

    /// So many frames were given to the device.
    pub fn send(&mut self, said: usize, before: usize, burst: &Burst) {
        assert!(said + burst.len() <= before, "{before} frames became {said} sent and {} left", burst.len());
        self.sent += said as u64;
    }

    /// A look at the port's counters.
    pub fn count(&mut self, now: PortStats) {
        let (rx, tx) = (now.rx_total(), now.tx_total());
        assert_eq!((rx.frames, tx.frames), (self.received, self.sent), "counted, moved");
        assert!(is_not_less(&self.last, &now), "a counter went back: {:?} before, now {now:?}", self.last);
        self.last = now;
    }

    /// The port said something.
    pub fn event(&mut self, event: &PortEvent) {
        let may_come = self.ended.is_none_or(|end| end == End::Failed && matches!(event, PortEvent::Removed { .. }));
        assert!(may_come, "{event:?} after {:?}", self.ended);
        match event {
            PortEvent::LinkUp { .. } => assert!(!std::mem::replace(&mut self.link_up, true), "the link was up before"),
            PortEvent::LinkDown => assert!(std::mem::replace(&mut self.link_up, false), "the link was down before"),
            PortEvent::ResetStarted { .. } => assert!(!std::mem::replace(&mut self.resetting, true), "a reset in a reset"),
            PortEvent::Recovered { .. } => assert!(std::mem::replace(&mut self.resetting, false), "recovered from nothing"),
            PortEvent::Failed { .. } => self.ended = Some(End::Failed),
            PortEvent::Removed { .. } => self.ended = Some(End::Removed),
            _ => {}
        }
    }

    /// The port was stopped, by whom ever.
    pub fn stopped(&mut self) {
        (self.link_up, self.resetting) = (false, false);
        if self.ended != Some(End::Removed) {
            self.ended = None;
        }
    }
}

/// Reads every byte that a frame is said to have.
fn look_at(frame: &PacketMut<'_>, pool: &Pool) {
    // The first buffer keeps its headroom; in those that continue a frame a device may begin where its header would be.
    let (mut segments, mut most) = (0, pool.data_bytes() as usize);
    let mut sum = 0u64;
    for segment in frame.segments() {
        assert!(segment.len() <= most, "a segment of {} bytes in a buffer of {most}", segment.len());
        most = (pool.data_bytes() + HEADROOM_BYTES) as usize;
        sum += segment.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        segments += 1;
        assert!(segments <= SEGMENTS_MAX, "a frame without an end");
    }
    std::hint::black_box((sum, frame.meta(), frame.asked()));
}

fn rx(stats: &RxStats) -> [u64; 6] {
    [stats.frames, stats.bytes, stats.errors, stats.no_descriptor, stats.lost_in_reset, stats.starved_polls]
}

fn tx(stats: &TxStats) -> [u64; 6] {
    [stats.frames, stats.bytes, stats.unsendable, stats.lost_in_reset, stats.bad_completions, stats.full_polls]
}

fn is_not_less(before: &PortStats, now: &PortStats) -> bool {
    let device = |stats: &PortStats| {
        let device = &stats.device;
        [device.rx_frames, device.rx_bytes, device.rx_multicast, device.tx_frames, device.tx_bytes, stats.resets]
    };
    let totals = |stats: &PortStats| (rx(&stats.rx_total()), tx(&stats.tx_total()));
    let le = |before: &[u64], now: &[u64]| before.iter().zip(now).all(|(before, now)| before <= now);
    let ((rx_before, tx_before), (rx_now, tx_now)) = (totals(before), totals(now));
    le(&rx_before, &rx_now) && le(&tx_before, &tx_now) && le(&device(before), &device(now))
}
