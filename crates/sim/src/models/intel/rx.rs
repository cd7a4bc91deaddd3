//! Receive: from a frame that was let through into the descriptors' buffers ("Intel 82576EB Gigabit Ethernet Controller Datasheet", rev.
//! 2.63, and "Intel 82599 10 GbE Controller Datasheet", rev. 3.4: 7.1 of both).

use super::{
    Hostile,
    counters::low_half,
    ring::{Ring, RingPart, Stop},
};
use crate::{model::HostMemory, models::Violations};
use vfwire_spec::{
    igbvf,
    intel::adv::{Desc, rx},
    ixgbevf,
    net::{ETHERTYPE_VLAN, MAC_BYTES, VLAN_TAG_BYTES},
};

/// Where a VLAN tag begins: behind both addresses.
pub(crate) const TAG_AT: usize = 2 * MAC_BYTES;

/// SRRCTL: fields that both devices have in the same place.
const BUFFER_MASK: u32 = igbvf::regs::SRRCTL_BSIZEPACKET_MASK;
const BUFFER_UNIT_BYTES: usize = igbvf::regs::SRRCTL_BSIZEPACKET_UNIT_BYTES;
const TYPE_MASK: u32 = igbvf::regs::SRRCTL_DESCTYPE_MASK;
const TYPE_ADVANCED: u32 = igbvf::regs::SRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER;
const _: () = assert!(BUFFER_MASK == ixgbevf::regs::VFSRRCTL_BSIZEPACKET_MASK);
const _: () = assert!(BUFFER_UNIT_BYTES == ixgbevf::regs::VFSRRCTL_BSIZEPACKET_UNIT_BYTES);
const _: () = assert!(TYPE_MASK == ixgbevf::regs::VFSRRCTL_DESCTYPE_MASK);
const _: () = assert!(TYPE_ADVANCED == ixgbevf::regs::VFSRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER);

/// An RX queue.
#[derive(Debug, Default)]
pub(crate) struct RxQueue {
    pub(crate) ring: Ring,
    pub(crate) split_control: u32,
    /// Frames dropped for want of descriptors.
    pub(crate) dropped: u32,
    /// Whether VLAN tags are taken out, where that is the queue's own choice.
    pub(crate) strips: Option<bool>,
    /// The longest frame of this queue, FCS included, in bytes.
    pub(crate) longest_bytes: Option<usize>,
}

/// What the device says of a frame, in its last descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Info {
    pub(crate) packet: u64,
    pub(crate) hash: u32,
    pub(crate) status: u64,
    pub(crate) tci: u16,
}

impl RxQueue {
    pub(crate) fn stop(&mut self) {
        self.ring.stop();
    }

    pub(crate) fn wipe(&mut self) {
        self.ring.wipe();
        self.split_control = 0;
    }

    /// A register that every queue has. Says whether the queue was off and no longer is: then the device checks the rest.
    pub(crate) fn write(&mut self, part: RingPart, value: u32, enable_polls: u32, violations: &mut Violations) -> bool {
        let was_off = self.ring.is_off();
        self.ring.write(part, value, enable_polls, violations);
        was_off && !self.ring.is_off()
    }

    pub(crate) fn write_split_control(&mut self, value: u32, violations: &mut Violations) {
        if self.ring.is_off() {
            self.split_control = value;
        } else {
            violations.record("SRRCTL is written while the queue is off", format_args!("{value:#x}"));
        }
    }

    /// What must be right when the queue is enabled, beyond its ring: this, and what the device adds. Otherwise it stays off.
    pub(crate) fn check_enabled(&mut self, drop_enable: u32, more: &[(bool, &'static str)], violations: &mut Violations) {
        let control = self.split_control;
        let rules = [
            (control & BUFFER_MASK != 0, "SRRCTL.BSIZEPACKET is not 0"),
            (control & TYPE_MASK == TYPE_ADVANCED, "only advanced one-buffer descriptors are modelled"),
            (control & drop_enable != 0, "SRRCTL.DROP_EN is set, or a full ring blocks the other functions"),
        ];
        for (_, rule) in rules.iter().chain(more).filter(|(holds, _)| !holds) {
            violations.record(rule, format_args!("SRRCTL = {control:#x}, RXDCTL = {:#x}", self.ring.control()));
            self.ring.stop();
        }
    }

    fn buffer_bytes(&self) -> usize {
        (self.split_control & BUFFER_MASK) as usize * BUFFER_UNIT_BYTES
    }

    #[inline]
    pub(crate) fn has_room(&self, frame_bytes: usize) -> bool {
        self.ring.available() as usize * self.buffer_bytes() >= frame_bytes
    }

    /// Writes a frame into as many buffers as it takes. Says whether there were enough.
    pub(crate) fn deliver(&mut self, frame: &[u8], info: Info, memory: &dyn HostMemory, hostile: Option<Hostile>) -> Result<bool, Stop> {
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

/// The tag control information of the frame's VLAN tag.
#[inline]
pub(crate) fn tag(frame: &[u8]) -> Option<u16> {
    let &[a, b, c, d] = frame.get(TAG_AT..TAG_AT + VLAN_TAG_BYTES)? else { return None };
    (u16::from_be_bytes([a, b]) == ETHERTYPE_VLAN).then_some(u16::from_be_bytes([c, d]))
}
