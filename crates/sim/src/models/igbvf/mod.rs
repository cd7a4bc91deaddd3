//! The VF of the Intel 82576 and I350, and the PF behind its mailbox.
//!
//! Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, chapters 7.1, 7.2, 7.10 and 8. The PF answers as Linux'
//! igb does (`drivers/net/ethernet/intel/igb/igb_main.c`).
//!
//! The model is strict. Where a real device would silently misbehave (a ring that is not aligned, a reserved bit, a tail before the
//! queue is enabled) it records a [`Violation`](super::Violation) and stops the queue.
//!
//! | file | what |
//! |---|---|
//! | `options` | what is set before the device is made |
//! | `registers` | which register lies where |
//! | `pf` | what the PF decides |
//! | `control` | what a test may look at and do |
//!
//! Rings, frames, filters and the mailbox are those of [`intel`](super::intel).
//!
//! Not modelled: interrupts (their registers take what is written), header split, TCP segmentation, SCTP checksums, head write-back,
//! timestamps; using one of these is a violation that says so. RX queue 1 is fed by RSS, which a VF of a real 82576 gets only where its
//! PF says so.

mod control;
mod options;
mod pf;
mod registers;

pub use super::intel::{FrameCounters as IgbvfCounters, Hostile, ReplyDelay};
pub use options::IgbvfOptions;

use super::intel::{
    Rules,
    counters::{Counters, low_half},
    mailbox::Mailbox,
    path::{DataPath, Passing, Spread},
    ring::RingPart,
};
use crate::{
    fault::DmaFault,
    frame::Rss,
    model::{DeviceModel, DoorbellAt, HostMemory, Width},
    wire::Wire,
};
use pf::Pf;
use registers::{Register, RxPart, Statistic};
use std::time::{Duration, Instant};
use vfwire_core::bus::BarIndex;
use vfwire_spec::{
    igbvf::{ID_82576, ID_I350, MAX_FRAME_BYTES, REGISTER_BAR_BYTES, desc, regs},
    pci::PciId,
};

const RULES: Rules = Rules {
    longest: (MAX_FRAME_BYTES as usize, "a frame has at most 16383 bytes"),
    frame_desc: usize::MAX,
    l4_error: desc::RX_L4E,
    ip_error: desc::RX_IPE,
    missing_checksum_is_wrong: false,
    segments: false,
    checks_context: false,
    detects_malice: false,
    reports_need_no_threshold: false,
    tails: ["RDT", "TDT"],
};

/// Reads of the mailbox register after which the PF is back from a reset that it does by itself.
const RESET_POLLS: u32 = 8;

/// A VF of an 82576 (or, with one queue pair, of an I350) and its PF.
#[derive(Debug)]
pub struct IgbvfModel {
    options: IgbvfOptions,
    mailbox: Mailbox,
    pf: Pf,
    path: DataPath,
    link_up: bool,
    /// When the PF resets itself next, where it is to and the VF works.
    next_reset: Option<Instant>,
    /// Interrupt and hint registers: they hold what was written.
    scratch: [u32; registers::SCRATCH],
}

impl IgbvfModel {
    /// A VF whose PF is up and whose link is up.
    pub fn new(options: IgbvfOptions) -> Self {
        let spread = Spread { table: vec![0, 1], mask: u8::from(options.queues > 1), avoids_queues_that_are_off: true };
        let start = u64::from(options.counters_start);
        Self {
            mailbox: Mailbox::new(options.reply_delay),
            pf: Pf::new(&options),
            path: DataPath::new(options.queues, RULES, Rss::new(), spread, Counters::starting_at(start, start)),
            link_up: true,
            next_reset: None,
            scratch: [0; registers::SCRATCH],
            options,
        }
    }

    /// What CTRL.RST and a function-level reset have in common. Ring addresses, heads and tails stay as they were: a driver that does
    /// not program them again works on a ring that is gone.
    fn reset_function(&mut self) {
        self.path.stop();
        self.mailbox.reset();
        self.pf.vf_was_reset();
    }

    fn reset_when_due(&mut self, after: Duration) {
        let now = Instant::now();
        match self.next_reset {
            None => self.next_reset = now.checked_add(after),
            Some(due) if due <= now => {
                self.next_reset = None;
                self.reset_pf(RESET_POLLS);
            }
            Some(_) => {}
        }
    }

    fn status(&self) -> u32 {
        if !self.link_up {
            return regs::STATUS_FD;
        }
        let speed = match self.options.link_mbps {
            10 => 0,
            100 => regs::STATUS_SPEED_100,
            _ => regs::STATUS_SPEED_1000,
        };
        regs::STATUS_FD | regs::STATUS_LU | speed
    }

    fn statistic(&self, which: Statistic) -> u32 {
        let counters = &self.path.counters;
        low_half(match which {
            Statistic::RxFrames => counters.rx_frames,
            Statistic::RxBytes => counters.rx_octets,
            Statistic::RxMulticast => counters.rx_multicast,
            Statistic::TxFrames => counters.tx_frames,
            Statistic::TxBytes => counters.tx_octets,
            Statistic::Loopback => 0,
        })
    }

    fn read_register(&mut self, register: Register) -> u32 {
        match register {
            // The reset bit clears itself.
            Register::Ctrl | Register::WriteOnly => 0,
            Register::Status => self.status(),
            Register::Mailbox => self.mailbox.read_flags(&mut self.pf),
            Register::MailboxMemory(word) => self.mailbox.memory[word],
            Register::Rx(queue, RxPart::Ring(part)) => self.path.rx[queue].ring.read(part),
            Register::Rx(queue, RxPart::SplitControl) => self.path.rx[queue].split_control,
            Register::Rx(queue, RxPart::Dropped) => std::mem::take(&mut self.path.rx[queue].dropped),
            Register::Tx(queue, part) => self.path.tx[queue].read(part),
            Register::Statistic(which) => self.statistic(which),
            Register::Scratch(at) => self.scratch[at],
        }
    }

    fn write_register(&mut self, register: Register, value: u32) {
        let violations = &mut self.path.violations;
        match register {
            Register::Ctrl if value & regs::CTRL_RST != 0 => self.reset_function(),
            Register::Ctrl | Register::WriteOnly => {}
            Register::Status | Register::Statistic(_) | Register::Rx(_, RxPart::Dropped) => {
                violations.record("a read-only register is not written", format_args!("{register:?}"))
            }
            Register::Mailbox => self.mailbox.write_flags(value, &mut self.pf, violations),
            Register::MailboxMemory(word) => self.mailbox.write_memory(word, value, violations),
            Register::Rx(queue, RxPart::Ring(part)) => self.write_rx(queue, part, value),
            Register::Rx(queue, RxPart::SplitControl) => self.path.rx[queue].write_split_control(value, violations),
            Register::Tx(queue, part) => {
                self.path.tx[queue].write(part, value, self.options.enable_polls, violations);
            }
            Register::Scratch(at) => self.scratch[at] = value,
        }
    }

    fn write_rx(&mut self, queue: usize, part: RingPart, value: u32) {
        let (queue, violations) = (&mut self.path.rx[queue], &mut self.path.violations);
        if queue.write(part, value, self.options.enable_polls, violations) {
            let threshold = queue.ring.control() >> regs::DCTL_WTHRESH_SHIFT & regs::DCTL_THRESHOLD_MASK;
            let erratum = (self.options.queues == 1 || threshold == 1, "RXDCTL.WTHRESH is 1, or write-backs stall (82576 erratum)");
            queue.check_enabled(regs::SRRCTL_DROP_EN, &[erratum], violations);
        }
    }

    /// The register of an access, or a violation.
    fn register(&mut self, bar: BarIndex, offset: u32, width: Width) -> Option<Register> {
        let violations = &mut self.path.violations;
        if width != Width::Word {
            violations.record("registers are accessed by 32-bit words", format_args!("{width:?} at {offset:#x}"));
            return None;
        }
        let register = Register::at(offset).filter(|register| register.queue().is_none_or(|queue| queue < self.options.queues));
        if register.is_none() || bar != BarIndex::ZERO {
            violations.record("the device has the register", format_args!("{bar} {offset:#x}"));
        }
        register
    }
}

impl DeviceModel for IgbvfModel {
    fn id(&self) -> PciId {
        if self.options.queues == 1 { ID_I350 } else { ID_82576 }
    }

    fn bar_len_bytes(&self, bar: BarIndex) -> Option<u32> {
        (bar == BarIndex::ZERO).then_some(REGISTER_BAR_BYTES)
    }

    fn doorbells(&self) -> Vec<DoorbellAt> {
        self.path.doorbells(|queue| regs::RDT.index(queue).offset(), |queue| regs::TDT.index(queue).offset())
    }

    fn mmio_read(&mut self, bar: BarIndex, offset: u32, width: Width) -> u64 {
        self.register(bar, offset, width).map_or(0, |register| u64::from(self.read_register(register)))
    }

    fn mmio_write(&mut self, bar: BarIndex, offset: u32, width: Width, value: u64) {
        if let Some(register) = self.register(bar, offset, width)
            && let Ok(value) = u32::try_from(value)
        {
            self.write_register(register, value);
        }
    }

    fn step(&mut self, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, DmaFault> {
        let passes = self.link_up && self.pf.lets_pass();
        if let Some(after) = self.options.reset_after.filter(|_| passes) {
            self.reset_when_due(after);
        }
        self.path.step(&self.pf.filters, Passing { receives: passes, sends: passes }, memory, wire)
    }

    fn reset(&mut self) {
        self.reset_function();
        self.scratch = [0; registers::SCRATCH];
    }
}

#[cfg(test)]
mod tests;
