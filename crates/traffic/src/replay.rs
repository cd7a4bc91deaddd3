//! Frames of a file, sent again: at the times that they had, faster or slower, or as fast as possible.
//!
//! Nothing is put into them, so what comes back is counted and not matched: of frames that are lost, repeated or changed only the
//! number can be told.

use crate::{clock::Clock, error::TrafficError, lane::Lane, outcome::Outcome, size::LINE_OVERHEAD_BYTES};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};
use vfwire_core::{pool::BufCache, turns::Turns};
use vfwire_spec::net::ETH_FCS_BYTES;

/// Most bytes of frames that are kept.
pub const RECORDING_BYTES_MAX: usize = 1 << 30;
/// Shortest frame that is sent: devices fill shorter ones up, or refuse them.
const FRAME_BYTES_MIN: usize = 14;

/// Frames and when each of them is due.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    bytes: Vec<u8>,
    /// Where each frame ends, and when it is due, from the first one's time on.
    frames: Vec<(usize, u64)>,
    first_ns: u64,
}

impl Recording {
    /// No frame yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a frame, without FCS, of this time. One that is earlier than the frame before it is due with that one.
    ///
    /// # Errors
    /// A frame that no port can send (shorter than its Ethernet header, or longer than `longest` bytes), or more than a GiB of them.
    pub fn push(&mut self, time_ns: u64, frame: &[u8], longest: usize) -> Result<(), TrafficError> {
        let number = self.frames.len() + 1;
        if frame.len() < FRAME_BYTES_MIN || frame.len() > longest {
            return Err(TrafficError::new(
                format!("frame {number} of the recording"),
                format!("{} bytes long", frame.len()),
                format!("a port sends {FRAME_BYTES_MIN} to {longest}: give a greater MTU, or leave it out of the file"),
            ));
        }
        if self.bytes.len() + frame.len() > RECORDING_BYTES_MAX {
            return Err(TrafficError::new("the recording", "more than 1 GiB of frames", "cut it into smaller files"));
        }
        if self.frames.is_empty() {
            self.first_ns = time_ns;
        }
        let due_ns = time_ns.saturating_sub(self.first_ns).max(self.frames.last().map_or(0, |last| last.1));
        self.bytes.extend_from_slice(frame);
        self.frames.push((self.bytes.len(), due_ns));
        Ok(())
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// There is no frame.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn get(&self, at: usize) -> (&[u8], u64) {
        let start = at.checked_sub(1).map_or(0, |before| self.frames[before].0);
        let (end, due_ns) = self.frames[at];
        (&self.bytes[start..end], due_ns)
    }
}

/// How a recording is sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Replay {
    /// 1: at its own times; 2: twice as fast; nothing: as fast as possible.
    pub speed: Option<f64>,
    /// How often.
    pub loops: u64,
    /// No frame is sent after this time.
    pub limit: Duration,
    /// How long frames are waited for after the last was sent.
    pub drain: Duration,
}

/// Sends a recording on a lane's queue, and counts what comes to it.
pub(crate) fn run(
    lane: &mut Lane,
    recording: &Recording,
    replay: &Replay,
    (cache, clock, turns, stop): (&mut BufCache, &mut dyn Clock, &mut Turns, &AtomicBool),
) -> Outcome {
    let mut outcome = Outcome::new(false);
    let whole = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let start_ns = clock.now_ns();
    let end_ns = start_ns.saturating_add(whole(replay.limit));
    outcome.offered_frames = (recording.len() as u64).saturating_mul(replay.loops);
    let (mut at, mut round, mut round_ns) = (0, 0, start_ns);
    let (mut last_ns, mut departed_ns, mut drain_since_ns) = (start_ns, None, None);
    loop {
        let now_ns = clock.now_ns();
        turns.next();
        outcome.longest_gap_ns = outcome.longest_gap_ns.max(now_ns - last_ns);
        last_ns = now_ns;
        outcome.stopped |= stop.load(Relaxed) && drain_since_ns.is_none();
        let over = outcome.stopped || now_ns >= end_ns;
        while !over && lane.tx_burst.room() != 0 && round < replay.loops && at < recording.len() {
            let (bytes, offset_ns) = recording.get(at);
            let due_ns = replay.speed.map(|speed| round_ns.saturating_add(scaled(offset_ns, speed)));
            if due_ns.is_some_and(|due_ns| due_ns > now_ns) {
                break;
            }
            let Some(mut frame) = lane.tx_burst.push_empty(cache) else { break };
            let Some(place) = frame.append(bytes.len()) else { break };
            place.copy_from_slice(bytes);
            if let Some(due_ns) = due_ns {
                outcome.lateness_ns.saturating_record(now_ns - due_ns);
            }
            at += 1;
            if at == recording.len() {
                (at, round) = (0, round + 1);
                round_ns = due_ns.unwrap_or(now_ns);
            }
        }
        if over {
            lane.tx_burst.clear(cache);
        }
        let had = lane.tx_burst.len();
        let bytes: usize = lane.tx_burst.iter_mut().map(|frame| frame.len() + ETH_FCS_BYTES).sum();
        if had == 0 {
            lane.direction.tx.reclaim(cache);
        }
        let sent = lane.direction.tx.tx_burst(cache, &mut lane.tx_burst);
        let left: usize = lane.tx_burst.iter_mut().map(|frame| frame.len() + ETH_FCS_BYTES).sum();
        outcome.refused_frames += (had - lane.tx_burst.len()).saturating_sub(sent) as u64;
        if sent != 0 {
            outcome.sent_frames += sent as u64;
            outcome.sent_bytes += (bytes - left) as u64;
            lane.count_sent(sent as u64, (bytes - left) as u64);
            if let Some(before) = departed_ns.replace(now_ns) {
                outcome.interdeparture_ns.saturating_record(now_ns - before);
            }
            outcome.interdeparture_ns.saturating_record_n(0, sent as u64 - 1);
            outcome.sending_ns = now_ns - start_ns;
        }
        let received = lane.direction.rx.as_mut().map_or(0, |rx| rx.rx_burst(cache, &mut lane.rx_burst)) as u64;
        if received != 0 {
            let bytes = lane.rx_burst.iter_mut().map(|frame| (frame.total_len() + ETH_FCS_BYTES) as u64).sum::<u64>();
            outcome.received_frames += received;
            outcome.received_bytes += bytes;
            lane.count_received(received, bytes);
            lane.rx_burst.clear(cache);
        }
        let done = lane.tx_burst.is_empty() && (over || round == replay.loops || recording.is_empty());
        if done && now_ns - *drain_since_ns.get_or_insert(now_ns) >= whole(replay.drain) {
            outcome.sent_line_bytes = outcome.sent_bytes + outcome.sent_frames * LINE_OVERHEAD_BYTES;
            return outcome;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a float that is too large becomes the greatest integer")]
fn scaled(time_ns: u64, speed: f64) -> u64 {
    (time_ns as f64 / speed) as u64
}
