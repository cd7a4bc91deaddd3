//! pcapng: sections, interfaces, and the three blocks that hold frames.

use super::{
    Head, NS_PER_S, ReadError, check_link, read_frame,
    source::{Order, Source},
    with_fcs,
};
use crate::format::{AROUND_BODY, BYTE_ORDER, FRAME_MAX, INTERFACE, OLD_PACKET, PACKET, SECTION, SIMPLE_PACKET, if_opt, opt};
use std::io::Read;

/// Most bytes of an interface description, whose options have to be held.
const DESCRIPTION_MAX: u32 = 1 << 20;
/// Most interfaces of a file.
const INTERFACES_MAX: usize = 1 << 16;
const BLOCK: &str = "a block";

/// The section that is being read.
pub(super) struct Sections {
    order: Order,
    interfaces: Vec<Interface>,
    /// How many interfaces the sections before had.
    before: usize,
}

struct Interface {
    /// 0: everything.
    snap_len: u32,
    resolution: u8,
    offset_s: i64,
}

/// One block, as far as its header says.
#[derive(Clone, Copy)]
struct Block {
    total_len: u32,
    body_len: u32,
    offset: u64,
}

impl Block {
    fn malformed<T>(&self, reason: impl Into<String>) -> Result<T, ReadError> {
        Err(ReadError::Malformed { offset: self.offset, reason: reason.into() })
    }

    /// Bytes of the body behind a fixed part of `len`.
    fn behind(&self, len: u32, what: &str) -> Result<u32, ReadError> {
        match self.body_len.checked_sub(len) {
            Some(rest) => Ok(rest),
            None => self.malformed(format!("{what} of {} bytes is too short", self.total_len)),
        }
    }
}

impl Sections {
    /// Reads a section's header, of which only the first word has been read. It began at `offset`.
    pub(super) fn begin<R: Read>(source: &mut Source<R>, offset: u64) -> Result<Self, ReadError> {
        let mut sections = Self { order: Order::Little, interfaces: Vec::new(), before: 0 };
        sections.section(source, offset)?;
        Ok(sections)
    }

    /// The next frame.
    pub(super) fn next<R: Read>(&mut self, source: &mut Source<R>, frame: &mut Vec<u8>) -> Result<Option<Head>, ReadError> {
        loop {
            if source.is_at_end()? {
                return Ok(None);
            }
            let offset = source.offset;
            let kind = self.order.u32(source.take(offset, BLOCK)?);
            if kind == SECTION {
                self.section(source, offset)?;
                continue;
            }
            let total_len = self.order.u32(source.take(offset, BLOCK)?);
            let block = block(kind, total_len, offset)?;
            let head = match kind {
                INTERFACE => {
                    self.interface(source, &block)?;
                    None
                }
                PACKET => Some(self.packet(source, &block, frame, false)?),
                OLD_PACKET => Some(self.packet(source, &block, frame, true)?),
                SIMPLE_PACKET => Some(self.simple_packet(source, &block, frame)?),
                _ => {
                    source.skip(block.body_len, offset, BLOCK)?;
                    None
                }
            };
            self.end(source, &block)?;
            if head.is_some() {
                return Ok(head);
            }
        }
    }

    /// The length that ends a block.
    fn end<R: Read>(&self, source: &mut Source<R>, block: &Block) -> Result<(), ReadError> {
        let again = self.order.u32(source.take(block.offset, BLOCK)?);
        if again == block.total_len {
            return Ok(());
        }
        block.malformed(format!("a block's length is {} at its start and {again} at its end", block.total_len))
    }

    /// A section's header after its first word.
    fn section<R: Read>(&mut self, source: &mut Source<R>, offset: u64) -> Result<(), ReadError> {
        let what = "a section's header";
        let len: [u8; 4] = source.take(offset, what)?;
        let order: [u8; 4] = source.take(offset, what)?;
        self.order = match (u32::from_le_bytes(order), u32::from_be_bytes(order)) {
            (BYTE_ORDER, _) => Order::Little,
            (_, BYTE_ORDER) => Order::Big,
            (word, _) => {
                let reason = format!("a section's byte order is {word:#010x}, which is no order");
                return Err(ReadError::Malformed { offset, reason });
            }
        };
        let block = block(SECTION, self.order.u32(len), offset)?;
        let options = block.behind(16, what)?;
        let version: [u8; 4] = source.take(offset, what)?;
        let major = self.order.u16([version[0], version[1]]);
        if major != 1 {
            return block.malformed(format!("pcapng version {major}, but version 1 is the only one"));
        }
        // The section's length, which nobody needs who reads on.
        source.skip(8 + options, offset, what)?;
        self.end(source, &block)?;
        self.before += self.interfaces.len();
        self.interfaces.clear();
        Ok(())
    }

    fn interface<R: Read>(&mut self, source: &mut Source<R>, block: &Block) -> Result<(), ReadError> {
        let what = "an interface's description";
        block.behind(8, what)?;
        if block.body_len > DESCRIPTION_MAX {
            return block.malformed(format!("{what} has {} bytes", block.body_len));
        }
        if self.before + self.interfaces.len() >= INTERFACES_MAX {
            return block.malformed(format!("more than {INTERFACES_MAX} interfaces"));
        }
        let mut body = vec![0; block.body_len as usize];
        source.fill(&mut body, block.offset, what)?;
        check_link(block.offset, self.order.u16([body[0], body[1]]).into())?;
        let [snap_len] = self.order.words(&body[4..8]);
        let mut interface = Interface { snap_len, resolution: 6, offset_s: 0 };
        let mut options = &body[8..];
        while let Some((head, rest)) = options.split_first_chunk::<4>() {
            let (code, len) = (self.order.u16([head[0], head[1]]), self.order.u16([head[2], head[3]]));
            if code == opt::END {
                break;
            }
            let Some((value, rest)) = rest.split_at_checked(len.into()) else {
                return block.malformed(format!("option {code} of {what} has {len} bytes, more than are there"));
            };
            match (code, value) {
                (if_opt::TIME_RESOLUTION, &[resolution]) => interface.resolution = resolution,
                (if_opt::TIME_OFFSET, value) if value.len() == 8 => interface.offset_s = self.i64(value),
                (if_opt::FCS_LEN, &[len]) if len != 0 => return Err(with_fcs(block.offset)),
                _ => {}
            }
            options = rest.get(value.len().next_multiple_of(4) - value.len()..).unwrap_or_default();
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// A number of 8 bytes, whose halves stand in the section's order, too.
    fn i64(&self, bytes: &[u8]) -> i64 {
        let mut value = [0; 8];
        value.copy_from_slice(bytes);
        match self.order {
            Order::Little => i64::from_le_bytes(value),
            Order::Big => i64::from_be_bytes(value),
        }
    }

    /// An enhanced packet block, or its forerunner, which differs in the first word: interface and a count of drops, 16 bits each.
    fn packet<R: Read>(&self, source: &mut Source<R>, block: &Block, frame: &mut Vec<u8>, is_old: bool) -> Result<Head, ReadError> {
        let what = "a packet block";
        let room = block.behind(20, what)?;
        let fixed: [u8; 20] = source.take(block.offset, what)?;
        let [first, high, low, captured_len, original_len] = self.order.words(&fixed);
        let id = if is_old { self.order.u16([fixed[0], fixed[1]]).into() } else { first };
        let interface = self.described(block, id)?;
        let time = u64::from(high) << 32 | u64::from(low);
        let Some(time_ns) = interface.time_ns(time) else {
            return block.malformed(format!("time {time} lies before 1970 or after 2554"));
        };
        let head = Head { time_ns: Some(time_ns), interface: self.number(id), original_len, captured_len, offset: block.offset };
        self.frame(source, block, (&head, room), frame)?;
        Ok(head)
    }

    fn simple_packet<R: Read>(&self, source: &mut Source<R>, block: &Block, frame: &mut Vec<u8>) -> Result<Head, ReadError> {
        let what = "a simple packet block";
        let room = block.behind(4, what)?;
        let original_len = self.order.u32(source.take(block.offset, what)?);
        let snap_len = match self.described(block, 0)?.snap_len {
            0 => FRAME_MAX,
            snap_len => snap_len,
        };
        let head =
            Head { time_ns: None, interface: self.number(0), original_len, captured_len: original_len.min(snap_len), offset: block.offset };
        self.frame(source, block, (&head, room), frame)?;
        Ok(head)
    }

    /// Reads a frame's bytes and passes over what is behind them; the body has `room` for both.
    fn frame<R: Read>(
        &self,
        source: &mut Source<R>,
        block: &Block,
        (head, room): (&Head, u32),
        frame: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let Some(rest) = room.checked_sub(head.captured_len) else {
            return block.malformed(format!("{} bytes captured in a block of {}", head.captured_len, block.total_len));
        };
        read_frame(source, head, frame)?;
        source.skip(rest, block.offset, "a packet block")
    }

    fn described(&self, block: &Block, id: u32) -> Result<&Interface, ReadError> {
        match self.interfaces.get(id as usize) {
            Some(interface) => Ok(interface),
            None => block.malformed(format!("a frame of interface {id}, but its section describes {}", self.interfaces.len())),
        }
    }

    /// The file's number of a section's interface. Both are at most `INTERFACES_MAX`.
    fn number(&self, id: u32) -> u32 {
        u32::try_from(self.before).unwrap_or(u32::MAX).saturating_add(id)
    }
}

fn block(kind: u32, total_len: u32, offset: u64) -> Result<Block, ReadError> {
    match total_len.checked_sub(AROUND_BODY) {
        Some(body_len) if total_len.is_multiple_of(4) => Ok(Block { total_len, body_len, offset }),
        _ => Err(ReadError::Malformed { offset, reason: format!("a block of type {kind:#x} has length {total_len}") }),
    }
}

impl Interface {
    /// A time of this interface in nanoseconds since 1970, if there is such a number.
    fn time_ns(&self, time: u64) -> Option<u64> {
        let exponent = u32::from(self.resolution & 0x7f);
        // 2^64 times 10^9 fits easily; a unit that is smaller than all of it makes every time nothing.
        let scaled = u128::from(time) * u128::from(NS_PER_S);
        let ns =
            if self.resolution & 0x80 == 0 { 10_u128.checked_pow(exponent).map_or(0, |units| scaled / units) } else { scaled >> exponent };
        let offset_ns = i128::from(self.offset_s) * i128::from(NS_PER_S);
        u64::try_from(i128::try_from(ns).ok()? + offset_ns).ok()
    }
}
