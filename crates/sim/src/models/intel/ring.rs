//! What RX and TX rings have in common: base, length, head, tail, and turning on and off.

pub(crate) use crate::models::Stop;
use crate::{
    fault::DmaFault,
    model::{Doorbell, HostMemory},
    models::Violations,
};
use std::sync::Arc;
use vfwire_spec::{
    igbvf,
    intel::adv::{DESC_BYTES, Desc},
    ixgbevf,
};

/// Descriptors that are fetched at once, at most.
const FETCH_DESC: usize = 64;

/// What every queue has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RingPart {
    BaseLow,
    BaseHigh,
    Length,
    Head,
    Tail,
    Control,
    /// Processor hints and PCI Express ordering (DCA_RXCTRL, DCA_TXCTRL).
    Hints,
    WriteBackLow,
    WriteBackHigh,
}

/// The enable bit. A change takes effect when a read of the control register first shows it: until then the old state goes on, and a
/// driver that does not wait works with a queue that is still off, or frees a ring that is still in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Off,
    /// Reads left until it is on.
    TurningOn(u32),
    On,
    /// Reads left until it is off.
    TurningOff(u32),
}

#[derive(Debug)]
pub(crate) struct Ring {
    base_low: u32,
    base_high: u32,
    len_bytes: u32,
    head: u32,
    control: u32,
    hints: u32,
    state: State,
    /// A fault or a broken rule has stopped it; it goes on after it was turned off and on.
    halted: bool,
    doorbell: Arc<Doorbell>,
    fetched: Box<[Desc]>,
    /// The fetched descriptors from here on are not used up yet.
    next: usize,
    /// How many were fetched.
    count: usize,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            base_low: 0,
            base_high: 0,
            len_bytes: 0,
            head: 0,
            control: 0,
            hints: 0,
            state: State::Off,
            halted: false,
            doorbell: Arc::default(),
            fetched: vec![[0; 2]; FETCH_DESC].into(),
            next: 0,
            count: 0,
        }
    }
}

impl Ring {
    pub(crate) fn doorbell(&self) -> &Arc<Doorbell> {
        &self.doorbell
    }

    pub(crate) fn len_desc(&self) -> u32 {
        self.len_bytes / DESC_DWORD_BYTES
    }

    /// It is on and nothing has stopped it.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, State::On | State::TurningOff(_)) && !self.halted
    }

    /// Hints as they are after a reset.
    pub(crate) fn set_hints(&mut self, hints: u32) {
        self.hints = hints;
    }

    pub(crate) fn hints(&self) -> u32 {
        self.hints
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state == State::Off
    }

    /// What was last written into the control register.
    pub(crate) fn control(&self) -> u32 {
        self.control
    }

    /// The VF was reset: off at once.
    pub(crate) fn stop(&mut self) {
        self.state = State::Off;
        self.halted = false;
        self.next = self.count;
        self.doorbell.allow_below(0);
    }

    /// The PF was reset, behind the driver's back: off, and its registers are cleared. Tails that a driver writes before it knows are
    /// no fault of its own.
    pub(crate) fn wipe(&mut self) {
        self.stop();
        (self.base_low, self.base_high, self.len_bytes, self.head, self.control) = (0, 0, 0, 0, 0);
        self.doorbell.ignore();
    }

    pub(crate) fn halt(&mut self) {
        self.halted = true;
        self.doorbell.ignore();
    }

    pub(crate) fn read(&mut self, part: RingPart) -> u32 {
        match part {
            RingPart::BaseLow => self.base_low,
            RingPart::BaseHigh => self.base_high,
            RingPart::Length => self.len_bytes,
            RingPart::Head => self.head,
            RingPart::Tail => self.doorbell.value(),
            RingPart::Control => self.read_control(),
            RingPart::Hints => self.hints,
            RingPart::WriteBackLow | RingPart::WriteBackHigh => 0,
        }
    }

    pub(crate) fn write(&mut self, part: RingPart, value: u32, enable_polls: u32, violations: &mut Violations) {
        if !self.is_off() && matches!(part, RingPart::BaseLow | RingPart::BaseHigh | RingPart::Length | RingPart::Head) {
            violations.record("a ring is set up while its queue is off", format_args!("{part:?} = {value:#x}"));
            return;
        }
        match part {
            RingPart::BaseLow => self.base_low = value,
            RingPart::BaseHigh => self.base_high = value,
            RingPart::Length => self.len_bytes = value,
            RingPart::Head => self.head = value,
            RingPart::Tail => self.doorbell.ring(value),
            RingPart::Control => self.write_control(value, enable_polls, violations),
            RingPart::Hints => self.hints = value,
            RingPart::WriteBackLow | RingPart::WriteBackHigh if value == 0 => {}
            RingPart::WriteBackLow | RingPart::WriteBackHigh => {
                violations.record("head write-back is not modelled", format_args!("{part:?} = {value:#x}"));
            }
        }
    }

    fn read_control(&mut self) -> u32 {
        let on = match self.state {
            State::Off => false,
            State::On => true,
            State::TurningOn(reads) => {
                self.state = State::TurningOn(reads - 1);
                if reads == 1 {
                    self.turn_on();
                }
                false
            }
            State::TurningOff(reads) => {
                self.state = State::TurningOff(reads - 1);
                if reads == 1 {
                    self.stop();
                }
                true
            }
        };
        self.control & !ENABLE | if on { ENABLE } else { 0 }
    }

    fn write_control(&mut self, value: u32, enable_polls: u32, violations: &mut Violations) {
        self.control = value & !FLUSH;
        let enable = value & ENABLE != 0;
        match (enable, self.state) {
            (true, State::Off) => match self.check() {
                Ok(()) if enable_polls == 0 => self.turn_on(),
                Ok(()) => self.state = State::TurningOn(enable_polls),
                Err(wrong) => violations.record(wrong, self.describe()),
            },
            (false, State::On) if enable_polls > 0 => self.state = State::TurningOff(enable_polls),
            (false, State::On | State::TurningOn(_)) => self.stop(),
            (true, State::TurningOff(_)) => violations.record("a queue is enabled again after it is off", self.describe()),
            (true, State::On | State::TurningOn(_)) | (false, State::Off | State::TurningOff(_)) => {}
        }
    }

    fn turn_on(&mut self) {
        self.state = State::On;
        self.halted = false;
        (self.next, self.count) = (0, 0);
        self.doorbell.allow_below(self.len_desc());
    }

    /// Registers RDBAL, RDLEN, RDH and their twins: what they must be when the queue is enabled.
    fn check(&self) -> Result<(), &'static str> {
        let align = u64::from(ALIGN_BYTES);
        if self.base() == 0 || !self.base().is_multiple_of(align) {
            Err("a ring lies at a multiple of 128 bytes, not at 0")
        } else if self.len_bytes == 0 || !self.len_bytes.is_multiple_of(ALIGN_BYTES) {
            Err("the length of a ring is a multiple of 128 bytes, not 0")
        } else if self.head >= self.len_desc() {
            Err("a head lies in its ring")
        } else if self.doorbell.value() != self.head {
            Err("head and tail are the same when a queue is enabled")
        } else {
            Ok(())
        }
    }

    fn describe(&self) -> String {
        let tail = self.doorbell.value();
        format!("base {:#x}, {} bytes, head {}, tail {tail}, state {:?}", self.base(), self.len_bytes, self.head, self.state)
    }

    fn base(&self) -> u64 {
        u64::from(self.base_high) << 32 | u64::from(self.base_low)
    }

    /// Descriptors from head to tail. None where the tail is outside the ring.
    #[inline]
    pub(crate) fn available(&self) -> u32 {
        let (tail, len) = (self.doorbell.value(), self.len_desc());
        if tail >= len {
            return 0;
        }
        if tail >= self.head { tail - self.head } else { tail + len - self.head }
    }

    /// The descriptor at the head, if the driver has posted it.
    #[inline]
    pub(crate) fn fetch(&mut self, memory: &dyn HostMemory) -> Result<Option<Desc>, DmaFault> {
        if self.next == self.count && !self.fetch_more(memory)? {
            return Ok(None);
        }
        Ok(self.fetched.get(self.next).copied())
    }

    fn fetch_more(&mut self, memory: &dyn HostMemory) -> Result<bool, DmaFault> {
        let up_to_end = self.len_desc() - self.head;
        let count = FETCH_DESC.min(self.available().min(up_to_end) as usize);
        if count != 0 {
            memory.read_descriptors(self.head_iova(), &mut self.fetched[..count])?;
            (self.next, self.count) = (0, count);
        }
        Ok(count != 0)
    }

    /// Where the descriptor at the head is.
    #[inline]
    pub(crate) fn head_iova(&self) -> u64 {
        self.base() + u64::from(self.head) * u64::from(DESC_DWORD_BYTES)
    }

    /// Where the first descriptor is that the driver has not posted.
    pub(crate) fn tail_iova(&self) -> u64 {
        self.base() + u64::from(self.doorbell.value()) * u64::from(DESC_DWORD_BYTES)
    }

    /// The descriptor at the head is used up.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.next += 1;
        self.head += 1;
        if self.head == self.len_desc() {
            self.head = 0;
        }
    }
}

/// [`DESC_BYTES`] in the width of the registers.
const DESC_DWORD_BYTES: u32 = 16;
const _: () = assert!(DESC_DWORD_BYTES as usize == DESC_BYTES);
/// [`RING_ALIGN_BYTES`] in the width of the registers.
const ALIGN_BYTES: u32 = 128;
const _: () = assert!(ALIGN_BYTES as usize == igbvf::RING_ALIGN_BYTES && ALIGN_BYTES as usize == ixgbevf::RING_ALIGN_BYTES);
/// The bits of the control registers that both devices have in the same place.
const ENABLE: u32 = igbvf::regs::DCTL_ENABLE;
const FLUSH: u32 = igbvf::regs::DCTL_SWFLUSH;
const _: () = assert!(ENABLE == ixgbevf::regs::DCTL_ENABLE && FLUSH == ixgbevf::regs::VFTXDCTL_SWFLSH);
