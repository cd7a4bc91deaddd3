//! Receive: filters, the choice of a queue, the header, buffers (5.1.6.3, 5.1.6.4).

use super::{STEP_BUDGET, VirtioNetModel, chain::Used, steering::Hashed};
use crate::{frame::Headers, model::HostMemory, models::Stop, wire::Wire};
use vfwire_spec::{
    net::{ETH_HEADER_BYTES, VLAN_TAG_BYTES},
    virtio::{
        features::Features,
        net::{self, DATA_VALID, HEADER_BYTES, HEADER_HASH_BYTES, Header, NEEDS_CSUM},
    },
};

/// The longest frame where nothing says how long one is: the header, and what an IP packet can have.
const LONGEST_BYTES: usize = 65_550;

impl VirtioNetModel {
    /// Takes frames from the wire. Says whether there were any.
    pub(super) fn receive(&mut self, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, Stop> {
        let pauses = wire.pauses();
        let mut moved = false;
        for _ in 0..STEP_BUDGET {
            let is_passing = self.link_up && self.transport.is_live();
            if pauses && !(is_passing && self.has_room(memory)?) {
                break;
            }
            let Some(frame) = wire.receive() else { break };
            moved = true;
            if is_passing {
                self.receive_frame(frame, memory)?;
            } else {
                self.counters.off_frames += 1;
            }
        }
        Ok(moved)
    }

    pub(super) fn header_bytes(&self) -> usize {
        if self.transport.has(Features::HASH_REPORT) { HEADER_HASH_BYTES } else { HEADER_BYTES }
    }

    /// The longest frame that is received, where the MTU is agreed on.
    fn longest_bytes(&self) -> usize {
        let mtu = self.options.mtu.filter(|_| self.transport.has(Features::MTU));
        mtu.map_or(LONGEST_BYTES, |mtu| usize::from(mtu) + ETH_HEADER_BYTES + VLAN_TAG_BYTES)
    }

    /// Every queue that may get a frame takes one of any length that is usual; and one is on.
    fn has_room(&mut self, memory: &dyn HostMemory) -> Result<bool, Stop> {
        let usual = usize::from(self.options.mtu.unwrap_or(9000)) + ETH_HEADER_BYTES + VLAN_TAG_BYTES;
        let bytes = self.header_bytes() + usual.min(self.longest_bytes());
        let is_mergeable = self.transport.has(Features::MRG_RXBUF);
        let mut is_any = false;
        for pair in 0..self.options.pairs {
            let queue = &mut self.transport.queues[usize::from(net::rx_queue(pair))];
            if !queue.is_enabled() {
                continue;
            }
            is_any = true;
            let has_room = if is_mergeable { queue.make_room(bytes, memory)? } else { queue.next_room(memory)?.is_some() };
            if !has_room {
                return Ok(false);
            }
        }
        Ok(is_any)
    }

    fn receive_frame(&mut self, frame: &[u8], memory: &dyn HostMemory) -> Result<(), Stop> {
        if !self.filters.receives(frame) {
            self.counters.filtered_frames += 1;
            return Ok(());
        }
        if !(ETH_HEADER_BYTES..=self.longest_bytes()).contains(&frame.len()) {
            self.counters.wrong_size_frames += 1;
            return Ok(());
        }
        let headers = Headers::parse(frame);
        let hashed = self.steering.hash(&headers, frame);
        let pair = self.steering.pair(&headers, frame, hashed);
        let queue = usize::from(net::rx_queue(pair));
        if !self.transport.queues[queue].is_enabled() {
            self.counters.off_frames += 1;
            return Ok(());
        }
        let is_good = self.transport.has(Features::GUEST_CSUM) && headers.l4_checksum_is_good(frame) == Some(true);
        let unsummed = if is_good && self.options.partial_csum { headers.without_l4_checksum(frame) } else { None };
        let (header, frame) = match &unsummed {
            Some((frame, at)) => {
                let low = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
                let (csum_start, csum_offset) = (low(headers.transport_at), low(at - headers.transport_at));
                (Header { flags: NEEDS_CSUM, csum_start, csum_offset, ..Header::default() }, &frame[..])
            }
            None => (Header { flags: if is_good { DATA_VALID } else { 0 }, ..Header::default() }, frame),
        };
        // What breaks the queue is lost with it.
        if !self.deliver(queue, (header, hashed), frame, memory).inspect_err(|_| self.counters.off_frames += 1)? {
            self.counters.no_buffer_frames += 1;
            return Ok(());
        }
        // From here on the frame is the driver's, even where the driver's wish about interrupts cannot be read.
        self.counters.received_frames += 1;
        self.interrupt(queue, memory)
    }

    /// Writes a frame into as many buffers as it takes. Says whether there were enough.
    fn deliver(&mut self, at: usize, (header, hashed): (Header, Hashed), frame: &[u8], memory: &dyn HostMemory) -> Result<bool, Stop> {
        let header_bytes = self.header_bytes();
        let is_mergeable = self.transport.has(Features::MRG_RXBUF);
        let queue = &mut self.transport.queues[at];
        let bytes = header_bytes + frame.len();
        let fits = if is_mergeable { queue.make_room(bytes, memory)? } else { queue.next_room(memory)?.is_some_and(|room| room >= bytes) };
        if !fits {
            return Ok(false);
        }
        let buffers = queue.buffers_for(bytes);
        let num_buffers = u16::try_from(buffers).unwrap_or(u16::MAX);
        self.frame.clear();
        self.frame.extend_from_slice(&Header { num_buffers, ..header }.encode());
        if header_bytes == HEADER_HASH_BYTES {
            self.frame.extend_from_slice(&hashed.value.to_le_bytes());
            self.frame.extend_from_slice(&hashed.report.to_le_bytes());
            self.frame.extend_from_slice(&[0; 2]);
        }
        if let Some(hostile) = self.hostile {
            hostile.change_header(&mut self.frame);
        }
        self.frame.extend_from_slice(frame);
        self.used.clear();
        let (mut rest, mut first_room) = (&self.frame[..], None);
        while !rest.is_empty() {
            let Some(chain) = queue.take(memory)? else { break };
            let is_written = chain.parts.iter().all(|part| part.write);
            Stop::unless(is_written, "the device writes receive buffers, it does not read them", || format!("{chain:?}"))?;
            let room_bytes = chain.room_bytes();
            let is_long_enough = !is_mergeable || room_bytes >= header_bytes;
            Stop::unless(is_long_enough, "a mergeable buffer has room for a header", || format!("{chain:?}"))?;
            first_room.get_or_insert(room_bytes);
            let written = chain.write(memory, rest)?;
            rest = &rest[written..];
            let len_bytes = u32::try_from(written).unwrap_or(u32::MAX);
            self.used.push(Used { id: u32::from(chain.id), len_bytes, slots: chain.slots });
            queue.recycle(chain);
        }
        let last_id = self.used.last().map_or(self.last_id, |used| used.id);
        if let Some(hostile) = self.hostile {
            hostile.change_used(&mut self.used, first_room.unwrap_or(0), header_bytes, self.last_id);
        }
        self.last_id = last_id;
        queue.put(memory, &self.used)?;
        Ok(true)
    }
}
