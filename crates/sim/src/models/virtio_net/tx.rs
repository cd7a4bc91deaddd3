//! Transmit: chains, the header, checksums and segmentation (5.1.6.2).

use super::{
    Hostile, STEP_BUDGET, VirtioNetModel,
    chain::{Chain, Used},
    hostile::NO_ID,
    segments,
};
use crate::{model::HostMemory, models::Stop, wire::Wire};
use vfwire_spec::{
    net::{ETH_HEADER_BYTES, MAC_BYTES, VLAN_TAG_BYTES},
    virtio::{
        features::Features,
        net::{self, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, HEADER_BYTES, Header, NEEDS_CSUM},
    },
};

/// The longest run: what an IP packet can have, and the header of Ethernet with two tags.
const LONGEST_BYTES: usize = 65_535 + ETH_HEADER_BYTES + 2 * VLAN_TAG_BYTES;

impl VirtioNetModel {
    /// Sends what the driver has notified the device of. Says whether there was anything.
    pub(super) fn transmit(&mut self, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, Stop> {
        let mut moved = false;
        for pair in 0..self.options.pairs {
            let at = usize::from(net::tx_queue(pair));
            if !self.transport.is_live() || !self.transport.queues[at].is_awake() {
                continue;
            }
            // A queue that is not used (5.1.6.5.6) is not looked at.
            if pair >= self.steering.pairs {
                self.violations.record("a driver sends on pairs that are used", format_args!("pair {pair} of {}", self.steering.pairs));
                self.transport.queues[at].sleep();
                continue;
            }
            let mut used = std::mem::take(&mut self.used);
            used.clear();
            let sent = self.transmit_queue(at, pair, &mut used, memory, wire);
            // What was sent is given back even where the next one broke the queue.
            moved |= !used.is_empty();
            if self.hostile == Some(Hostile::IdOutOfRange) {
                used.iter_mut().for_each(|used| used.id = NO_ID);
            }
            let queue = &mut self.transport.queues[at];
            let given = if self.options.in_order { queue.put_batch(memory, &used) } else { queue.put(memory, &used) };
            let is_any = !used.is_empty();
            self.used = used;
            sent.and(given)?;
            if is_any {
                self.interrupt(at, memory)?;
            }
        }
        Ok(moved)
    }

    fn transmit_queue(
        &mut self,
        at: usize,
        pair: u16,
        used: &mut Vec<Used>,
        memory: &dyn HostMemory,
        wire: &mut dyn Wire,
    ) -> Result<(), Stop> {
        for _ in 0..STEP_BUDGET {
            let Some(chain) = self.transport.queues[at].take(memory)? else { break };
            let sent = self.send(&chain, pair, memory, wire);
            used.push(Used { id: u32::from(chain.id), len_bytes: 0, slots: chain.slots });
            self.transport.queues[at].recycle(chain);
            sent?;
        }
        Ok(())
    }

    fn send(&mut self, chain: &Chain, pair: u16, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<(), Stop> {
        let is_read = chain.parts.iter().all(|part| !part.write);
        Stop::unless(is_read, "the device reads transmit buffers, it does not write them", || format!("{chain:?}"))?;
        let header_bytes = self.header_bytes();
        self.frame.clear();
        let is_whole = chain.read(memory, &mut self.frame, header_bytes + LONGEST_BYTES)?;
        let len_bytes = self.frame.len();
        let has_frame = is_whole && len_bytes >= header_bytes + ETH_HEADER_BYTES;
        Stop::unless(has_frame, "a buffer has a header, and a frame of 14 bytes to what IP can have", || {
            format!("{len_bytes} bytes read")
        })?;
        let header = self.frame.first_chunk::<HEADER_BYTES>().map_or(Header::default(), |bytes| Header::decode(*bytes));
        self.check_header(&header, len_bytes - header_bytes)?;
        let frame = &mut self.frame[header_bytes..];
        self.steering.learn(frame, pair);
        if self.options.spoofchk && self.filters.mac.is_some_and(|mac| frame[MAC_BYTES..2 * MAC_BYTES] != mac.octets()) {
            self.counters.spoofed_frames += 1;
            return Ok(());
        }
        let counters = &mut self.counters;
        let mut leave = |frame: &[u8]| {
            counters.sent_frames += 1;
            wire.send(frame);
        };
        if header.gso_type != GSO_NONE {
            let exact = self.transport.has(Features::GUEST_HDRLEN);
            return segments::cut(frame, &header, exact, &mut self.segment, &mut leave);
        }
        if header.flags & NEEDS_CSUM != 0 {
            segments::complete(frame, &header)?;
        }
        leave(frame);
        Ok(())
    }

    /// What 5.1.6.2.1 demands.
    fn check_header(&self, header: &Header, frame_bytes: usize) -> Result<(), Stop> {
        let detail = || format!("{header:?}, {frame_bytes} bytes");
        let has = |feature| self.transport.has(feature);
        Stop::unless(header.num_buffers == 0, "num_buffers is 0 in what is sent", detail)?;
        Stop::unless(header.flags & !NEEDS_CSUM == 0, "NEEDS_CSUM is the only flag of what is sent", detail)?;
        Stop::unless(header.flags == 0 || has(Features::CSUM), "NEEDS_CSUM goes with CSUM", detail)?;
        let segments = match header.gso_type & !GSO_ECN {
            GSO_NONE => true,
            GSO_TCPV4 => has(Features::HOST_TSO4),
            GSO_TCPV6 => has(Features::HOST_TSO6),
            _ => false,
        };
        Stop::unless(segments, "segmentation goes with its feature", detail)?;
        Stop::unless(header.gso_type & GSO_ECN == 0 || has(Features::HOST_ECN), "ECN goes with HOST_ECN", detail)?;
        let is_summed = header.gso_type == GSO_NONE || header.flags & NEEDS_CSUM != 0;
        Stop::unless(is_summed, "segmentation goes with NEEDS_CSUM", detail)?;
        let mtu = self.options.mtu.filter(|_| has(Features::MTU) && header.gso_type == GSO_NONE);
        let longest = mtu.map_or(LONGEST_BYTES, |mtu| usize::from(mtu) + ETH_HEADER_BYTES + VLAN_TAG_BYTES);
        Stop::unless(frame_bytes <= longest, "a frame is no longer than the MTU allows", detail)
    }
}
