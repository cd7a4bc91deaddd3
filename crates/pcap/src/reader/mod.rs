//! Reads files of frames: pcap and pcapng.
//!
//! Why by hand: of the crates that read pcapng, `pcap-parser` 0.17 has no obsolete packet blocks, reads past the frame of a simple packet block
//! whose interface has a snap length, refuses every resolution of time that is a power of two, takes a time's offset in the wrong byte order and asks
//! for more bytes where a length is wrong; `pcap-file` has had release candidates only since its 2.0. Neither says at which byte a file is damaged.
//! Both formats are a few headers; what is below is all that a reader of frames needs of them.

mod error;
mod ng;
mod source;

pub use error::ReadError;

use crate::format::{ETHERNET, FRAME_MAX, PCAP_MICROS, PCAP_NANOS, SECTION};
use ng::Sections;
use source::{Order, Source};
use std::{fmt, io::Read};

const NS_PER_S: u64 = 1_000_000_000;

/// One captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was captured, in nanoseconds since 1970-01-01 UTC. A simple packet block has no time: it gets that of the record before, 0 if none is.
    pub time_ns: u64,
    /// Which of the file's interfaces it was captured on, counted from 0 through all sections.
    pub interface: u32,
    /// How long the frame was, in bytes: more than `data` has if it was captured in part.
    pub original_len: u32,
    /// What was captured of the frame, from its destination MAC address on: 1 to 262,144 bytes.
    pub data: &'a [u8],
    /// Where the record begins, in bytes from the start of the file.
    pub offset: u64,
}

/// Reads the frames of a pcap or pcapng file, one after the other, in bounded memory.
///
/// Read are: pcap of both byte orders, in micro- and nanoseconds; pcapng with any number of sections and interfaces, of both byte
/// orders and every resolution of time, with enhanced, simple and obsolete packet blocks. Other blocks are passed over.
pub struct Reader<R> {
    source: Source<R>,
    format: Format,
    frame: Vec<u8>,
    last_time_ns: u64,
    is_over: bool,
}

enum Format {
    Classic { order: Order, ns_per_unit: u64 },
    Ng(Sections),
}

/// A record without its bytes, which are in the reader's buffer.
struct Head {
    /// None where the format gives none.
    time_ns: Option<u64>,
    interface: u32,
    original_len: u32,
    captured_len: u32,
    offset: u64,
}

impl<R: Read> Reader<R> {
    /// A reader of `bytes`, which need not be buffered and may be a pipe.
    ///
    /// # Errors
    /// Where it does not begin as a pcap or pcapng file of Ethernet frames does.
    pub fn new(bytes: R) -> Result<Self, ReadError> {
        let mut source = Source::new(bytes);
        if source.is_at_end()? {
            return Err(ReadError::NotACapture { found: "the file is empty".into(), remedy: "give a file that has frames" });
        }
        let first: [u8; 4] = source.take(0, "its first word")?;
        let format = match (u32::from_le_bytes(first), u32::from_be_bytes(first)) {
            (SECTION, _) => Format::Ng(Sections::begin(&mut source, 0)?),
            (PCAP_MICROS, _) => classic(&mut source, Order::Little, 1000)?,
            (PCAP_NANOS, _) => classic(&mut source, Order::Little, 1)?,
            (_, PCAP_MICROS) => classic(&mut source, Order::Big, 1000)?,
            (_, PCAP_NANOS) => classic(&mut source, Order::Big, 1)?,
            _ => return Err(not_a_capture(first)),
        };
        Ok(Self { source, format, frame: Vec::new(), last_time_ns: 0, is_over: false })
    }

    /// The next frame, or None at the end of the file.
    ///
    /// # Errors
    /// Where the file is damaged, cut off, or cannot be read. After an error nothing more comes.
    // Not an `Iterator`: a record borrows the reader's buffer.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        if self.is_over {
            return Ok(None);
        }
        self.is_over = true;
        let head = match &mut self.format {
            Format::Classic { order, ns_per_unit } => classic_record(&mut self.source, *order, *ns_per_unit, &mut self.frame)?,
            Format::Ng(sections) => sections.next(&mut self.source, &mut self.frame)?,
        };
        let Some(head) = head else { return Ok(None) };
        self.is_over = false;
        self.last_time_ns = head.time_ns.unwrap_or(self.last_time_ns);
        Ok(Some(Record {
            time_ns: self.last_time_ns,
            interface: head.interface,
            original_len: head.original_len,
            data: &self.frame,
            offset: head.offset,
        }))
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = if matches!(self.format, Format::Ng(_)) { "pcapng" } else { "pcap" };
        write!(f, "Reader({format}, at byte {})", self.source.offset)
    }
}

fn not_a_capture(first: [u8; 4]) -> ReadError {
    let remedy = match first {
        [0x1f, 0x8b, ..] => "it is compressed with gzip: decompress it first",
        [0x28, 0xb5, 0x2f, 0xfd] => "it is compressed with zstd: decompress it first",
        _ => "`editcap -F pcapng` converts other formats",
    };
    let [a, b, c, d] = first;
    ReadError::NotACapture { found: format!("it begins with {a:02x} {b:02x} {c:02x} {d:02x}"), remedy }
}

/// The rest of the header of a pcap file: version, zone, accuracy, snap length, link type.
fn classic<R: Read>(source: &mut Source<R>, order: Order, ns_per_unit: u64) -> Result<Format, ReadError> {
    let rest: [u8; 20] = source.take(0, "the header of a pcap file")?;
    let major = order.u16([rest[0], rest[1]]);
    if major != 2 {
        return Err(ReadError::Malformed { offset: 0, reason: format!("pcap version {major}, but version 2 is the only one in use") });
    }
    let [link] = order.words(&rest[16..]);
    // The upper half tells of a frame check sequence: bit 26 that it is known, from bit 28 on how many 16-bit words.
    if link & 1 << 26 != 0 && link >> 28 != 0 {
        return Err(with_fcs(0));
    }
    check_link(0, link & 0xffff)?;
    Ok(Format::Classic { order, ns_per_unit })
}

fn with_fcs(offset: u64) -> ReadError {
    ReadError::Malformed { offset, reason: "the frames carry a frame check sequence, which the NIC adds itself".into() }
}

fn check_link(offset: u64, found: u32) -> Result<(), ReadError> {
    if found == ETHERNET { Ok(()) } else { Err(ReadError::LinkType { offset, found }) }
}

fn classic_record<R: Read>(source: &mut Source<R>, order: Order, ns_per_unit: u64, frame: &mut Vec<u8>) -> Result<Option<Head>, ReadError> {
    if source.is_at_end()? {
        return Ok(None);
    }
    let offset = source.offset;
    let [seconds, fraction, captured_len, original_len] = order.words(&source.take::<16>(offset, "a record's header")?);
    let fraction_ns = u64::from(fraction) * ns_per_unit;
    if fraction_ns >= NS_PER_S {
        return Err(ReadError::Malformed { offset, reason: format!("a time's fraction of a second is {fraction_ns} ns") });
    }
    let time_ns = Some(u64::from(seconds) * NS_PER_S + fraction_ns);
    let head = Head { time_ns, interface: 0, original_len, captured_len, offset };
    read_frame(source, &head, frame)?;
    Ok(Some(head))
}

/// Reads the bytes of the frame that `head` tells of.
fn read_frame<R: Read>(source: &mut Source<R>, head: &Head, frame: &mut Vec<u8>) -> Result<(), ReadError> {
    let &Head { captured_len, original_len, offset, .. } = head;
    let malformed = |reason| Err(ReadError::Malformed { offset, reason });
    if captured_len == 0 {
        return malformed("a frame of no bytes".into());
    }
    if captured_len > FRAME_MAX {
        return malformed(format!("a frame of {captured_len} bytes, but none is longer than {FRAME_MAX}"));
    }
    if captured_len > original_len {
        return malformed(format!("{captured_len} bytes captured of a frame of {original_len}"));
    }
    // At most FRAME_MAX.
    frame.resize(captured_len as usize, 0);
    source.fill(frame, offset, "a frame")
}

#[cfg(test)]
mod tests;
