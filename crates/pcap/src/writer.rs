//! Writes pcapng: one section, nanoseconds, and for each frame its direction and what was lost before it.
//!
//! Why by hand: a block is a few words around the frame, and it is written in the thread that has to keep up with a forwarder. The crate that
//! writes pcapng, `pcap-file`, allocates for each block's options, and says nothing of how much of a file is whole when its disk is full.

use crate::format::{BYTE_ORDER, ETHERNET, INTERFACE, PACKET, SECTION, STATISTICS, if_opt, isb_opt, opt, packet_opt, shb_opt};
use std::{
    io::{self, Write},
    iter,
};

/// Blocks are given to the operating system once they are as much as this, in bytes.
const BATCH: usize = 1 << 17;
/// Longest text of an option, in bytes: its length has 16 bits, and padding must not lead beyond them.
const TEXT_MAX: usize = 65_532;

/// An interface, as a file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// What it is called.
    pub name: String,
    /// How many bytes of a frame are kept at most.
    pub snap_len: u32,
    /// Which frames were captured, in the syntax of pcap-filter(7).
    pub filter: Option<String>,
}

/// Whether a frame came in or went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    In,
    /// Transmitted.
    Out,
}

/// A frame that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it was captured, in nanoseconds since 1970-01-01 UTC.
    pub time_ns: u64,
    /// Which of the writer's interfaces it was captured on.
    pub interface: u32,
    /// Whether it came in or went out.
    pub direction: Direction,
    /// How long it was, in bytes.
    pub original_len: u32,
    /// What was captured of it.
    pub data: &'a [u8],
    /// How many frames of this interface were lost since the one before.
    pub lost_before: u64,
    /// A remark on it.
    pub comment: Option<&'a str>,
}

/// What a file says of an interface at its end. All counts are since the capture began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Since when, in nanoseconds since 1970-01-01 UTC.
    pub start_ns: u64,
    /// Until when, in nanoseconds since 1970-01-01 UTC.
    pub end_ns: u64,
    /// Frames that were looked at.
    pub seen: u64,
    /// Frames that passed the filter.
    pub accepted: u64,
    /// Frames that passed the filter and could not be written.
    pub lost: u64,
    /// Frames that were written.
    pub written: u64,
    /// A remark.
    pub comment: Option<String>,
}

/// Writes frames to a pcapng file. What it holds back is at most 128 KiB, or a frame.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    /// Whole blocks that the sink does not have yet.
    waiting: Vec<u8>,
    whole_len: u64,
    /// Frames of each interface that were in hand when the sink failed.
    failed: Vec<u64>,
}

impl<W: Write> Writer<W> {
    /// Begins a file: `application` is who writes it. Interfaces have the numbers 0, 1, … in this order.
    pub fn new(sink: W, application: &str, interfaces: &[Interface]) -> Self {
        let mut writer = Self { sink, waiting: Vec::with_capacity(BATCH + 4096), whole_len: 0, failed: vec![0; interfaces.len()] };
        block(&mut writer.waiting, SECTION, |body| {
            put(body, &[BYTE_ORDER, 1, u32::MAX, u32::MAX]);
            text(body, shb_opt::APPLICATION, application);
            end(body);
        });
        for interface in interfaces {
            block(&mut writer.waiting, INTERFACE, |body| {
                put(body, &[ETHERNET, interface.snap_len]);
                text(body, if_opt::NAME, &interface.name);
                option(body, if_opt::TIME_RESOLUTION, &[9]);
                if let Some(filter) = &interface.filter {
                    // 0: it is an expression of libpcap's language. It is no text to the format, so that a length fits.
                    let mut value = vec![0];
                    value.extend_from_slice(shortened(filter, TEXT_MAX - 1).as_bytes());
                    option(body, if_opt::FILTER, &value);
                }
                end(body);
            });
        }
        writer
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// Where the sink fails. [`whole_len`](Self::whole_len) tells how much it has that can be read.
    pub fn write(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        block(&mut self.waiting, PACKET, |body| {
            let [high, low] = halves(packet.time_ns);
            put(body, &[packet.interface, high, low, len_of(packet.data), packet.original_len]);
            body.extend_from_slice(packet.data);
            pad(body);
            if let Some(comment) = packet.comment {
                text(body, opt::COMMENT, comment);
            }
            let direction: u32 = match packet.direction {
                Direction::In => 1,
                Direction::Out => 2,
            };
            option(body, packet_opt::FLAGS, &direction.to_le_bytes());
            if packet.lost_before > 0 {
                option(body, packet_opt::LOST, &packet.lost_before.to_le_bytes());
            }
            end(body);
        });
        if self.waiting.len() >= BATCH { self.give() } else { Ok(()) }
    }

    /// Adds what there is to say of an interface at the end.
    pub fn statistics(&mut self, interface: u32, statistics: &Statistics) {
        block(&mut self.waiting, STATISTICS, |body| {
            let time = |ns| {
                let [high, low] = halves(ns);
                [high.to_le_bytes(), low.to_le_bytes()].concat()
            };
            let [high, low] = halves(statistics.end_ns);
            put(body, &[interface, high, low]);
            if let Some(comment) = &statistics.comment {
                text(body, opt::COMMENT, comment);
            }
            option(body, isb_opt::START, &time(statistics.start_ns));
            option(body, isb_opt::END, &time(statistics.end_ns));
            for (code, count) in [
                (isb_opt::RECEIVED, statistics.seen),
                (isb_opt::ACCEPTED, statistics.accepted),
                (isb_opt::LOST, statistics.lost),
                (isb_opt::DELIVERED, statistics.written),
            ] {
                option(body, code, &count.to_le_bytes());
            }
            end(body);
        });
    }

    /// Gives the sink everything that was written so far.
    ///
    /// # Errors
    /// Where the sink fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.give()?;
        self.sink.flush()
    }

    /// Bytes of whole blocks that the sink has taken. After an error the file can be read up to here.
    pub fn whole_len(&self) -> u64 {
        self.whole_len
    }

    /// Of each interface, frames that were [written](Self::write) and that the sink has failed to take whole. None before an error.
    pub fn failed(&self) -> &[u64] {
        &self.failed
    }

    /// Bytes of the file, whether or not the sink has them yet.
    pub fn len(&self) -> u64 {
        self.whole_len + self.waiting.len() as u64
    }

    /// Whether there is nothing in the file, which cannot be: it has a header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sink, without what it was not given yet.
    pub fn into_sink(self) -> W {
        self.sink
    }

    fn give(&mut self) -> io::Result<()> {
        let mut given = 0;
        let result = loop {
            match self.sink.write(&self.waiting[given..]) {
                _ if given == self.waiting.len() => break Ok(()),
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => given += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let whole = blocks(&self.waiting[..given]).map(<[u8]>::len).sum::<usize>();
        self.whole_len += whole as u64;
        for block in blocks(&self.waiting[whole..]).filter(|block| word(block, 0) == Some(PACKET)) {
            let interface = word(block, 8).and_then(|interface| self.failed.get_mut(interface as usize));
            interface.into_iter().for_each(|failed| *failed += 1);
        }
        self.waiting.clear();
        result
    }
}

/// Those blocks that are whole in the first bytes of a run of blocks.
fn blocks(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || {
        let (block, rest) = bytes.split_at_checked(word(bytes, 4)? as usize)?;
        bytes = rest;
        Some(block)
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|word| u32::from_le_bytes(*word))
}

/// A block: its type, its length, what `body` adds, and its length again.
fn block(into: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let from = into.len();
    put(into, &[kind, 0]);
    body(into);
    let len = len_of(&into[from..]) + 4;
    into[from + 4..from + 8].copy_from_slice(&len.to_le_bytes());
    put(into, &[len]);
}

fn put(into: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        into.extend_from_slice(&word.to_le_bytes());
    }
}

/// Every block begins at a multiple of 4 from the start of the run, so that padding can count from there.
fn pad(into: &mut Vec<u8>) {
    into.resize(into.len().next_multiple_of(4), 0);
}

fn option(into: &mut Vec<u8>, code: u16, value: &[u8]) {
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    into.extend_from_slice(&code.to_le_bytes());
    into.extend_from_slice(&len.to_le_bytes());
    into.extend_from_slice(&value[..len.into()]);
    pad(into);
}

fn text(into: &mut Vec<u8>, code: u16, text: &str) {
    option(into, code, shortened(text, TEXT_MAX).as_bytes());
}

/// The start of a text that fits, whole characters of it.
fn shortened(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

fn end(into: &mut Vec<u8>) {
    put(into, &[opt::END.into()]);
}

fn len_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn halves(time_ns: u64) -> [u32; 2] {
    [time_ns >> 32, time_ns & u64::from(u32::MAX)].map(|half| u32::try_from(half).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn frames_that_a_disk_does_not_take_whole_are_told_of() {
        let interface = Interface { name: "a".into(), snap_len: 0, filter: None };
        let interfaces = [interface.clone(), interface];
        let head_len = usize::try_from(Writer::new(Vec::new(), "test", &interfaces).len()).unwrap();
        // Each frame is a block of 56 bytes: 28 before it, 12 of its own, and 16 behind it.
        for (room, whole, failed) in [(0, 0, [2, 2]), (55, 0, [2, 2]), (56, 1, [1, 2]), (167, 2, [1, 1]), (224, 4, [0, 0])] {
            let mut writer = Writer::new(Disk(head_len + room), "test", &interfaces);
            for at in 0..4_u8 {
                let (interface, data) = (u32::from(at % 2), &[at; 12]);
                let packet =
                    Packet { time_ns: 0, interface, direction: Direction::In, original_len: 12, data, lost_before: 0, comment: None };
                writer.write(&packet).unwrap();
            }
            assert_eq!(writer.failed(), [0, 0], "nothing was given to the disk yet");
            assert_eq!(writer.flush().is_ok(), whole == 4);
            assert_eq!((writer.whole_len(), writer.failed()), ((head_len + whole * 56) as u64, &failed[..]), "room for {room}");
        }
    }
}
