//! The queues of a VF, and the frames that go through them.

use super::{
    Hostile, Rules,
    counters::Counters,
    filters::{Filters, Longest, Refused},
    ring::{Ring, Stop},
    rx::{Info, RxQueue, TAG_AT, tag},
    tx::{Taken, TxQueue},
};
use crate::{
    fault::DmaFault,
    frame::{Headers, Network, Rss, Transport},
    model::{DoorbellAt, HostMemory, Width},
    models::Violations,
    wire::Wire,
};
use vfwire_core::bus::BarIndex;
use vfwire_spec::{
    intel::adv::{rx, tx},
    net::VLAN_TAG_BYTES,
};

/// Frames that one step receives, and descriptors that it sends, at most, a queue.
const STEP_BUDGET: usize = 256;

/// Queues, and what all of them share.
#[derive(Debug)]
pub(crate) struct DataPath {
    pub(crate) rules: Rules,
    pub(crate) violations: Violations,
    pub(crate) rx: Vec<RxQueue>,
    pub(crate) tx: Vec<TxQueue>,
    pub(crate) rss: Rss,
    pub(crate) spread: Spread,
    pub(crate) counters: Counters,
    pub(crate) hostile: Option<Hostile>,
    /// A received frame without its VLAN tag.
    stripped: Vec<u8>,
}

/// Which queue a hash selects.
#[derive(Debug)]
pub(crate) struct Spread {
    /// A queue for each value of the hash's lowest bits. A power of two of entries.
    pub(crate) table: Vec<u8>,
    /// Which bits of an entry count.
    pub(crate) mask: u8,
    /// What would go to a queue that is off goes to the first. Otherwise it is lost.
    pub(crate) avoids_queues_that_are_off: bool,
}

impl Spread {
    fn queue(&self, hash: u32) -> usize {
        let at = hash as usize & (self.table.len() - 1);
        usize::from(self.table[at] & self.mask)
    }
}

/// Which ways frames pass now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Passing {
    pub(crate) receives: bool,
    pub(crate) sends: bool,
}

impl DataPath {
    pub(crate) fn new(queue_pairs: usize, rules: Rules, rss: Rss, spread: Spread, counters: Counters) -> Self {
        Self {
            rules,
            violations: Violations::default(),
            rx: (0..queue_pairs).map(|_| RxQueue::default()).collect(),
            tx: (0..queue_pairs).map(|_| TxQueue::default()).collect(),
            rss,
            spread,
            counters,
            hostile: None,
            stripped: Vec::new(),
        }
    }

    /// Off at once. Ring addresses, heads and tails stay as they were: a driver that does not program them again works on a ring that is
    /// gone.
    pub(crate) fn stop(&mut self) {
        self.rx.iter_mut().for_each(RxQueue::stop);
        self.tx.iter_mut().for_each(TxQueue::stop);
    }

    /// The PF was reset, behind the driver's back.
    pub(crate) fn wipe(&mut self) {
        self.rx.iter_mut().for_each(RxQueue::wipe);
        self.tx.iter_mut().for_each(TxQueue::wipe);
    }

    /// Tails that were written outside their ring or before their queue was enabled.
    pub(crate) fn collect_misuse(&mut self) {
        let [rdt, tdt] = self.rules.tails;
        let rings = self.rx.iter().map(|queue| (rdt, &queue.ring)).chain(self.tx.iter().map(|queue| (tdt, &queue.ring)));
        for (name, ring) in rings {
            if let Some(tail) = ring.doorbell().take_misuse() {
                let detail = format_args!("{name} = {tail} where the ring has {} descriptors", ring.len_desc());
                let rule = if ring.is_running() { "a tail lies in its ring" } else { "a tail is written after its queue was enabled" };
                self.violations.record(rule, detail);
            }
        }
    }

    /// The doorbells of all queues; the functions say where each queue has its tail.
    pub(crate) fn doorbells(&self, rdt: impl Fn(u32) -> u32, tdt: impl Fn(u32) -> u32) -> Vec<DoorbellAt> {
        let at = |offset, ring: &Ring| DoorbellAt { bar: BarIndex::ZERO, offset, width: Width::Word, doorbell: ring.doorbell().clone() };
        let rx = (0..).zip(&self.rx).map(|(queue, rx)| at(rdt(queue), &rx.ring));
        let tx = (0..).zip(&self.tx).map(|(queue, tx)| at(tdt(queue), &tx.ring));
        rx.chain(tx).collect()
    }

    /// One pass. Says whether anything moved.
    pub(crate) fn step(
        &mut self,
        filters: &Filters,
        passing: Passing,
        memory: &dyn HostMemory,
        wire: &mut dyn Wire,
    ) -> Result<bool, DmaFault> {
        self.collect_misuse();
        let sent = passing.sends && self.transmit(filters, memory, wire)?;
        let received = self.receive(filters, passing.receives, memory, wire)?;
        self.spurious_completions(memory)?;
        Ok(sent || received)
    }

    /// Takes frames from the wire. Says whether there were any.
    fn receive(&mut self, filters: &Filters, is_passing: bool, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, DmaFault> {
        let pauses = wire.pauses();
        let mut moved = false;
        for _ in 0..STEP_BUDGET {
            if pauses && !(is_passing && self.has_room(filters.longest)) {
                break;
            }
            let Some(frame) = wire.receive() else { break };
            moved = true;
            if is_passing {
                self.receive_frame(frame, filters, memory)?;
            } else {
                self.counters.of.off_frames += 1;
            }
        }
        Ok(moved)
    }

    /// Every queue that is on takes a frame of any allowed length; and one is on.
    fn has_room(&self, longest: Longest) -> bool {
        let frame_bytes = longest.bytes(true).min(self.rules.longest.0);
        let mut running = self.rx.iter().filter(|queue| queue.ring.is_running()).peekable();
        running.peek().is_some() && running.all(|queue| queue.has_room(frame_bytes))
    }

    fn receive_frame(&mut self, frame: &[u8], filters: &Filters, memory: &dyn HostMemory) -> Result<(), DmaFault> {
        let tci = tag(frame);
        if let Err(refused) = filters.receive(frame, tci) {
            match refused {
                Refused::Filtered => self.counters.of.filtered_frames += 1,
                Refused::Size => self.counters.of.wrong_size_frames += 1,
            }
            return Ok(());
        }
        let headers = Headers::parse(frame);
        let mut info = self.describe(&headers, frame);
        let at = self.queue_of(info.hash);
        let queue = &mut self.rx[at];
        if !queue.ring.is_running() {
            self.counters.of.off_frames += 1;
            return Ok(());
        }
        if queue.longest_bytes.is_some_and(|longest| frame.len() + vfwire_spec::net::ETH_FCS_BYTES > longest) {
            self.counters.of.wrong_size_frames += 1;
            return Ok(());
        }
        let delivered = match tci.filter(|tci| queue.strips.unwrap_or_else(|| filters.strips(*tci))) {
            None => queue.deliver(frame, info, memory, self.hostile),
            Some(tci) => {
                info.tci = tci;
                info.status |= rx::VP;
                self.stripped.clear();
                self.stripped.extend_from_slice(&frame[..TAG_AT]);
                self.stripped.extend_from_slice(&frame[TAG_AT + VLAN_TAG_BYTES..]);
                queue.deliver(&self.stripped, info, memory, self.hostile)
            }
        };
        match delivered {
            Ok(true) => self.counters.count_received(frame),
            Ok(false) => self.counters.of.no_descriptor_frames += 1,
            Err(stop) => {
                queue.ring.halt();
                self.counters.of.off_frames += 1;
                self.report(stop)?;
            }
        }
        Ok(())
    }

    /// Frames without a hash go to the first queue.
    fn queue_of(&self, hash: u32) -> usize {
        let queue = if hash == 0 { 0 } else { self.spread.queue(hash) };
        let is_on = self.rx.get(queue).is_some_and(|queue| queue.ring.is_running());
        if !is_on && self.spread.avoids_queues_that_are_off { 0 } else { queue.min(self.rx.len() - 1) }
    }

    fn describe(&self, headers: &Headers, frame: &[u8]) -> Info {
        let (kind, hash) = self.rss.hash(headers, frame);
        let network = match headers.network {
            Network::Other => 0,
            Network::V4 { options } => rx::PACKET_IPV4 | if options { rx::PACKET_IPV4_EXTENDED } else { 0 },
            Network::V6 { extensions } => rx::PACKET_IPV6 | if extensions { rx::PACKET_IPV6_EXTENDED } else { 0 },
        };
        let (transport, udp) = match headers.transport {
            Transport::Other => (0, 0),
            Transport::Tcp => (rx::PACKET_TCP, 0),
            Transport::Udp => (rx::PACKET_UDP, rx::UDPCS),
            Transport::Sctp => (rx::PACKET_SCTP, 0),
        };
        let ip = match headers.ip_checksum_is_good(frame) {
            None => 0,
            Some(good) => rx::IPCS | if good { 0 } else { self.rules.ip_error },
        };
        let l4 = match headers.l4_checksum_is_good(frame) {
            None if self.rules.missing_checksum_is_wrong && headers.transport == Transport::Udp => rx::L4CS | udp | self.rules.l4_error,
            None => 0,
            Some(good) => rx::L4CS | udp | if good { 0 } else { self.rules.l4_error },
        };
        Info { packet: network | transport | u64::from(kind.0), hash, status: ip | l4, tci: 0 }
    }

    /// Sends what was posted. Says whether there was anything.
    fn transmit(&mut self, filters: &Filters, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, DmaFault> {
        let mut moved = false;
        for queue in 0..self.tx.len() {
            for _ in 0..STEP_BUDGET {
                if !self.tx[queue].ring.is_running() {
                    break;
                }
                match self.transmit_one(queue, filters, memory, wire) {
                    Ok(true) => moved = true,
                    Ok(false) => break,
                    Err(stop) => {
                        self.tx[queue].ring.halt();
                        self.report(stop)?;
                    }
                }
            }
        }
        Ok(moved)
    }

    /// One descriptor, and the frame that it completes.
    fn transmit_one(&mut self, queue: usize, filters: &Filters, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, Stop> {
        let Self { tx, rules, counters, .. } = self;
        match tx[queue].take(rules, memory)? {
            Taken::Nothing => return Ok(false),
            Taken::Part => return Ok(true),
            Taken::Frame => {}
        }
        tx[queue].finish(rules, &mut |frame| {
            if filters.may_send(frame, tag(frame)) {
                counters.count_sent(frame);
                wire.send(frame);
            } else {
                counters.of.spoofed_frames += 1;
            }
        })?;
        Ok(true)
    }

    /// [`Hostile::OutOfNowhere`]: completes the descriptor at each tail, which is the driver's.
    fn spurious_completions(&self, memory: &dyn HostMemory) -> Result<(), DmaFault> {
        if self.hostile != Some(Hostile::OutOfNowhere) {
            return Ok(());
        }
        let rx = self.rx.iter().map(|queue| (&queue.ring, [0, rx::DD | rx::EOP | 60 << rx::LENGTH_SHIFT]));
        let tx = self.tx.iter().map(|queue| (&queue.ring, [0, tx::DD]));
        for (ring, words) in rx.chain(tx).filter(|(ring, _)| ring.is_running()) {
            memory.write_back(ring.tail_iova(), words)?;
        }
        Ok(())
    }

    /// Records a broken rule; hands a fault on.
    fn report(&mut self, stop: Stop) -> Result<(), DmaFault> {
        match stop {
            Stop::Fault(fault) => Err(fault),
            Stop::Rule(rule, detail) => {
                self.violations.record(rule, detail);
                Ok(())
            }
        }
    }
}
