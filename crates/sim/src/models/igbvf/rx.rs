//! Receive: from the wire through the filters into the descriptors' buffers ("Intel 82576EB Gigabit Ethernet Controller Datasheet",
//! rev. 2.63, 7.1).

use super::{
    Hostile, IgbvfModel, IgbvfOptions, STEP_BUDGET,
    filters::Refused,
    queue::{Ring, Stop},
    registers::RxPart,
};
use crate::{
    fault::DmaFault,
    frame::{Headers, Network, Transport},
    model::HostMemory,
    models::Violations,
    wire::Wire,
};
use vfwire_spec::{
    igbvf::{MAX_FRAME_BYTES, desc, regs},
    intel::adv::{Desc, rx},
    net::{ETHERTYPE_VLAN, MAC_BYTES, VLAN_TAG_BYTES},
};

/// Where a VLAN tag begins: behind both addresses.
const TAG_AT: usize = 2 * MAC_BYTES;

/// An RX queue.
#[derive(Debug, Default)]
pub(super) struct RxQueue {
    pub(super) ring: Ring,
    split_control: u32,
    /// RQDPC: frames dropped for want of descriptors.
    dropped: u32,
}

/// What the device says of a frame, in its last descriptor.
#[derive(Clone, Copy, Debug)]
struct Info {
    packet: u64,
    hash: u32,
    status: u64,
    tci: u16,
}

impl RxQueue {
    pub(super) fn stop(&mut self) {
        self.ring.stop();
    }

    pub(super) fn wipe(&mut self) {
        self.ring.wipe();
        self.split_control = 0;
    }

    pub(super) fn read(&mut self, part: RxPart) -> u32 {
        match part {
            RxPart::Ring(part) => self.ring.read(part),
            RxPart::SplitControl => self.split_control,
            RxPart::Dropped => std::mem::take(&mut self.dropped),
        }
    }

    pub(super) fn write(&mut self, part: RxPart, value: u32, options: &IgbvfOptions, violations: &mut Violations) {
        match part {
            RxPart::Ring(part) => {
                let was_off = self.ring.is_off();
                self.ring.write(part, value, options, violations);
                if was_off && !self.ring.is_off() {
                    self.check_enabled(options, violations);
                }
            }
            RxPart::SplitControl if self.ring.is_off() => self.split_control = value,
            RxPart::SplitControl => violations.record("SRRCTL is written while the queue is off", format_args!("{value:#x}")),
            RxPart::Dropped => violations.record("a read-only register is not written", format_args!("RQDPC = {value:#x}")),
        }
    }

    /// What must be right when the queue is enabled, beyond its ring.
    fn check_enabled(&mut self, options: &IgbvfOptions, violations: &mut Violations) {
        let control = self.split_control;
        let rules = [
            (control & regs::SRRCTL_BSIZEPACKET_MASK != 0, "SRRCTL.BSIZEPACKET is not 0"),
            (
                control & regs::SRRCTL_DESCTYPE_MASK == regs::SRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER,
                "only advanced one-buffer descriptors are modelled",
            ),
            (control & regs::SRRCTL_DROP_EN != 0, "SRRCTL.DROP_EN is set, or a full ring blocks the other functions"),
            (options.queues == 1 || self.write_back_threshold() == 1, "RXDCTL.WTHRESH is 1, or write-backs stall (82576 erratum)"),
        ];
        for (_, rule) in rules.iter().filter(|(holds, _)| !holds) {
            violations.record(rule, format_args!("SRRCTL = {control:#x}, RXDCTL = {:#x}", self.ring.thresholds()));
            self.ring.stop();
        }
    }

    fn write_back_threshold(&self) -> u32 {
        self.ring.thresholds() >> regs::DCTL_WTHRESH_SHIFT & regs::DCTL_THRESHOLD_MASK
    }

    fn buffer_bytes(&self) -> usize {
        (self.split_control & regs::SRRCTL_BSIZEPACKET_MASK) as usize * regs::SRRCTL_BSIZEPACKET_UNIT_BYTES
    }

    fn has_room(&self, frame_bytes: usize) -> bool {
        self.ring.available() as usize * self.buffer_bytes() >= frame_bytes
    }

    /// Writes a frame into as many buffers as it takes. Says whether there were enough.
    fn deliver(&mut self, frame: &[u8], info: Info, memory: &dyn HostMemory, hostile: Option<Hostile>) -> Result<bool, Stop> {
        if !self.has_room(frame.len()) {
            self.dropped = self.dropped.wrapping_add(1);
            return Ok(false);
        }
        let mut rest = frame;
        while !rest.is_empty() {
            let Some(descriptor) = self.ring.fetch(memory)? else { return Ok(false) };
            check_descriptor(descriptor)?;
            let (part, behind) = rest.split_at(rest.len().min(self.buffer_bytes()));
            memory.write(descriptor[0], part)?;
            let words = write_back(part.len(), info, behind.is_empty());
            let words = hostile.map_or(words, |hostile| hostile.change(words));
            memory.write_back(self.ring.head_iova(), words)?;
            self.ring.advance();
            rest = behind;
        }
        Ok(true)
    }
}

/// The read format: a buffer, and nothing in the second word. What a completion left there is still DD.
#[inline]
fn check_descriptor([buffer, header]: Desc) -> Result<(), Stop> {
    Stop::unless(buffer != 0, "a receive descriptor has a buffer", || "address 0".into())?;
    Stop::unless(header == 0, "the second word of a posted receive descriptor is 0", || format!("{header:#x}"))
}

/// Everything but DD and the length is in the last descriptor only.
#[inline]
fn write_back(len_bytes: usize, info: Info, is_last: bool) -> Desc {
    let length = u16::try_from(len_bytes).unwrap_or(u16::MAX);
    if !is_last {
        return rx::write_back(0, 0, low_half(rx::DD), length, 0);
    }
    rx::write_back(info.packet, info.hash, low_half(info.status | rx::DD | rx::EOP), length, info.tci)
}

/// Status and errors are in the low half of their word.
fn low_half(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The tag control information of the frame's VLAN tag.
#[inline]
pub(super) fn tag(frame: &[u8]) -> Option<u16> {
    let &[a, b, c, d] = frame.get(TAG_AT..TAG_AT + VLAN_TAG_BYTES)? else { return None };
    (u16::from_be_bytes([a, b]) == ETHERTYPE_VLAN).then_some(u16::from_be_bytes([c, d]))
}

impl IgbvfModel {
    /// Takes frames from the wire. Says whether there were any.
    pub(super) fn receive(&mut self, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, DmaFault> {
        let pauses = wire.pauses();
        let mut moved = false;
        for _ in 0..STEP_BUDGET {
            if pauses && !self.has_room() {
                break;
            }
            let Some(frame) = wire.receive() else { break };
            moved = true;
            self.receive_frame(frame, memory)?;
        }
        Ok(moved)
    }

    /// Every queue that is on takes a frame of any allowed length; and one is on.
    fn has_room(&self) -> bool {
        let frame_bytes = usize::from(self.pf.filters.long_frame_bytes.unwrap_or(1522).min(MAX_FRAME_BYTES));
        let mut running = self.rx.iter().filter(|queue| queue.ring.is_running()).peekable();
        self.is_passing() && running.peek().is_some() && running.all(|queue| queue.has_room(frame_bytes))
    }

    pub(super) fn is_passing(&self) -> bool {
        self.link_up && self.pf.lets_pass()
    }

    fn receive_frame(&mut self, frame: &[u8], memory: &dyn HostMemory) -> Result<(), DmaFault> {
        if !self.is_passing() {
            self.counters.of.off_frames += 1;
            return Ok(());
        }
        let tci = tag(frame);
        if let Err(refused) = self.pf.filters.receive(frame, tci) {
            match refused {
                Refused::Filtered => self.counters.of.filtered_frames += 1,
                Refused::Size => self.counters.of.wrong_size_frames += 1,
            }
            return Ok(());
        }
        let headers = Headers::parse(frame);
        let mut info = self.describe(&headers, frame);
        let queue = self.queue_of(info.hash);
        if !self.rx[queue].ring.is_running() {
            self.counters.of.off_frames += 1;
            return Ok(());
        }
        let delivered = match tci.filter(|tci| self.pf.filters.strips(*tci)) {
            None => self.rx[queue].deliver(frame, info, memory, self.hostile),
            Some(tci) => {
                info.tci = tci;
                info.status |= rx::VP;
                self.stripped.clear();
                self.stripped.extend_from_slice(&frame[..TAG_AT]);
                self.stripped.extend_from_slice(&frame[TAG_AT + VLAN_TAG_BYTES..]);
                self.rx[queue].deliver(&self.stripped, info, memory, self.hostile)
            }
        };
        match delivered {
            Ok(true) => self.counters.count_received(frame),
            Ok(false) => self.counters.of.no_descriptor_frames += 1,
            Err(stop) => {
                self.rx[queue].ring.halt();
                self.report(stop)?;
            }
        }
        Ok(())
    }

    /// The RSS hash picks the queue where the second is on. Frames without a hash go to the first.
    fn queue_of(&self, hash: u32) -> usize {
        usize::from(hash & 1 != 0 && self.rx.get(1).is_some_and(|queue| queue.ring.is_running()))
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
            Some(good) => rx::IPCS | if good { 0 } else { desc::RX_IPE },
        };
        let l4 = match headers.l4_checksum_is_good(frame) {
            None => 0,
            Some(good) => rx::L4CS | udp | if good { 0 } else { desc::RX_L4E },
        };
        Info { packet: network | transport | u64::from(kind.0), hash, status: ip | l4, tci: 0 }
    }

    /// Records a broken rule; hands a fault on.
    pub(super) fn report(&mut self, stop: Stop) -> Result<(), DmaFault> {
        match stop {
            Stop::Fault(fault) => Err(fault),
            Stop::Rule(rule, detail) => {
                self.violations.record(rule, detail);
                Ok(())
            }
        }
    }
}
