//! The thread that writes: empties the taps' rings into the file. A disk that is slow or full costs frames, which are counted, and nothing else.

use super::{
    file::{Files, Sink},
    tap::{Counts, HEAD, Tapped},
};
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed},
        },
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use vfwire_pcap::{Direction, Interface, Packet, Statistics, Writer};

/// How long it sleeps where nothing is to be written.
const PAUSE: Duration = Duration::from_millis(1);
const APPLICATION: &str = concat!("vfwire ", env!("CARGO_PKG_VERSION"));

/// What the threads share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The workers have ended.
    pub(super) is_ending: AtomicBool,
    /// By interface.
    pub(super) written: Vec<AtomicU64>,
    pub(super) not_written: Vec<AtomicU64>,
    /// As many as were asked for are written.
    pub(super) is_complete: AtomicBool,
    pub(super) failure: Mutex<Option<String>>,
}

pub(super) struct WriterThread {
    pub(super) taps: Vec<Tapped>,
    pub(super) files: Files,
    pub(super) interfaces: Vec<Interface>,
    pub(super) count: u64,
    pub(super) shared: Arc<Shared>,
}

pub(super) fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

impl WriterThread {
    /// Until the workers have ended and the rings are empty.
    pub(super) fn run(mut self) {
        let start_ns = now_ns();
        let mut data = Vec::new();
        let mut total = 0;
        let mut writer = match self.files.take() {
            Ok(sink) => Some(Writer::new(sink, APPLICATION, &self.interfaces)),
            Err(error) => {
                self.fail(&error);
                None
            }
        };
        loop {
            // Before the rings are looked at: what was put in before it was set is found then.
            let is_ending = self.shared.is_ending.load(Acquire);
            let mut found = false;
            for at in 0..self.taps.len() {
                // So many of one ring, then of the next: their frames stay nearly in order.
                for _ in 0..1024 {
                    let Some(packet) = pop(&mut self.taps[at], &mut data) else { break };
                    found = true;
                    if total >= self.count {
                        // The command ends, and this came after the last one that was asked for.
                        continue;
                    }
                    let number = packet.interface as usize;
                    let Some(into) = &mut writer else {
                        self.shared.not_written[number].fetch_add(1, Relaxed);
                        continue;
                    };
                    let result = into.write(&packet);
                    self.shared.written[number].fetch_add(1, Relaxed);
                    total += 1;
                    if let Err(error) = result {
                        self.give_up(writer.take(), &error);
                    } else if total == self.count {
                        self.shared.is_complete.store(true, Relaxed);
                    }
                    if writer.as_ref().is_some_and(|writer| writer.len() >= self.files.max_len) {
                        writer = self.rotate(writer.take(), start_ns);
                    }
                }
            }
            if !found {
                if let Some(Err(error)) = writer.as_mut().map(Writer::flush) {
                    self.give_up(writer.take(), &error);
                }
                if is_ending {
                    break;
                }
                thread::sleep(PAUSE);
            }
        }
        if let Some(writer) = writer {
            self.finish(writer, start_ns);
        }
    }

    /// Writes what there is to say at the end of a file, and gives its sink back.
    fn finish(&mut self, mut writer: Writer<Sink>, start_ns: u64) -> Option<Sink> {
        for (number, interface) in self.interfaces.iter().enumerate() {
            let counts = || self.taps.iter().filter_map(|tap| tap.counts.get(number)).flatten();
            let sum = |of: fn(&Counts) -> &AtomicU64| counts().map(|counts| of(counts).load(Relaxed)).sum::<u64>();
            let written = self.shared.written[number].load(Relaxed);
            let lost = sum(|counts| &counts.lost) + self.shared.not_written[number].load(Relaxed);
            let comment = (lost > 0).then(|| format!("{lost} frames of {} could not be written: the disk did not keep up", interface.name));
            let (seen, accepted) = (sum(|counts| &counts.seen), sum(|counts| &counts.accepted));
            let statistics = Statistics { start_ns, end_ns: now_ns(), seen, accepted, lost, written, comment };
            writer.statistics(u32::try_from(number).unwrap_or(u32::MAX), &statistics);
        }
        match writer.flush() {
            Ok(()) => Some(writer.into_sink()),
            Err(error) => {
                self.give_up(Some(writer), &error);
                None
            }
        }
    }

    fn rotate(&mut self, writer: Option<Writer<Sink>>, start_ns: u64) -> Option<Writer<Sink>> {
        let sink = self.finish(writer?, start_ns)?;
        self.files.next(sink);
        match self.files.take() {
            Ok(sink) => Some(Writer::new(sink, APPLICATION, &self.interfaces)),
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    /// Nothing more is written. What is whole stays.
    fn give_up(&self, writer: Option<Writer<Sink>>, error: &io::Error) {
        self.fail(error);
        let Some(writer) = writer else { return };
        for (number, failed) in writer.failed().iter().enumerate() {
            self.shared.written[number].fetch_sub(*failed, Relaxed);
            self.shared.not_written[number].fetch_add(*failed, Relaxed);
        }
        let len = writer.whole_len();
        if let Sink::File(file) = writer.into_sink() {
            // Where that fails too, the file ends within a block, which readers say.
            let _ = file.set_len(len);
        }
    }

    fn fail(&self, error: &io::Error) {
        let path = self.files.path().display();
        let text = format!("{path}: {error}; the capture ends here, what was written can be read");
        self.shared.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(text);
    }
}

/// The next frame of a tap.
fn pop<'a>(tap: &mut Tapped, data: &'a mut Vec<u8>) -> Option<Packet<'a>> {
    let mut head = [0; HEAD];
    tap.ring.pop_entire_slice(&mut head).ok()?;
    let u64_at = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let u32_at = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    data.resize(u32_at(20) as usize, 0);
    // Head and bytes were put in together.
    tap.ring.pop_entire_slice(data).ok()?;
    let is_out = head[26] != 0;
    let packet = Packet {
        time_ns: u64_at(0),
        interface: u16::from_le_bytes([head[24], head[25]]).into(),
        direction: if is_out { Direction::Out } else { Direction::In },
        original_len: u32_at(16),
        data,
        lost_before: u64_at(8),
        comment: None,
    };
    Some(packet)
}
