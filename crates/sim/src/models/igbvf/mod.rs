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
//! | `mailbox`, `pf` | the flags and memory between VF and PF; what the PF decides |
//! | `filters` | which frames the PF lets the VF receive and send |
//! | `queue`, `rx`, `tx`, `offload` | rings, and the frames that go through them |
//! | `hostile` | what a broken or evil device writes |
//! | `control` | what a test may look at and do |
//!
//! Not modelled: interrupts (their registers take what is written), header split, TCP segmentation, SCTP checksums, head write-back,
//! timestamps; using one of these is a violation that says so. RX queue 1 is fed by RSS, which a VF of a real 82576 gets only where its
//! PF says so.

mod control;
mod filters;
mod hostile;
mod mailbox;
mod offload;
mod options;
mod pf;
mod queue;
mod registers;
mod rx;
mod tx;

pub use control::IgbvfCounters;
pub use hostile::Hostile;
pub use options::{IgbvfOptions, ReplyDelay};

use super::Violations;
use crate::{
    fault::DmaFault,
    frame::Rss,
    model::{DeviceModel, DoorbellAt, HostMemory, Width},
    wire::Wire,
};
use control::Counters;
use mailbox::Mailbox;
use pf::Pf;
use registers::Register;
use rx::RxQueue;
use tx::TxQueue;
use vfwire_core::bus::BarIndex;
use vfwire_spec::{
    igbvf::{ID_82576, ID_I350, REGISTER_BAR_BYTES, regs},
    pci::PciId,
};

/// Frames that one step receives, and descriptors that it sends, at most, a queue.
const STEP_BUDGET: usize = 256;

/// A VF of an 82576 (or, with one queue pair, of an I350) and its PF.
#[derive(Debug)]
pub struct IgbvfModel {
    options: IgbvfOptions,
    violations: Violations,
    mailbox: Mailbox,
    pf: Pf,
    rx: Vec<RxQueue>,
    tx: Vec<TxQueue>,
    rss: Rss,
    counters: Counters,
    link_up: bool,
    /// Interrupt and hint registers: they hold what was written.
    scratch: [u32; registers::SCRATCH],
    hostile: Option<Hostile>,
    /// A received frame without its VLAN tag.
    stripped: Vec<u8>,
}

impl IgbvfModel {
    /// A VF whose PF is up and whose link is up.
    pub fn new(options: IgbvfOptions) -> Self {
        Self {
            violations: Violations::default(),
            mailbox: Mailbox::new(options.reply_delay),
            pf: Pf::new(&options),
            rx: (0..options.queues).map(|_| RxQueue::default()).collect(),
            tx: (0..options.queues).map(|_| TxQueue::default()).collect(),
            rss: Rss::new(),
            counters: Counters::starting_at(options.counters_start),
            link_up: true,
            scratch: [0; registers::SCRATCH],
            hostile: None,
            stripped: Vec::new(),
            options,
        }
    }

    /// What CTRL.RST and a function-level reset have in common. Ring addresses, heads and tails stay as they were: a driver that does
    /// not program them again works on a ring that is gone.
    fn reset_function(&mut self) {
        self.stop_queues();
        self.mailbox.reset();
        self.pf.vf_was_reset();
    }

    fn stop_queues(&mut self) {
        self.rx.iter_mut().for_each(RxQueue::stop);
        self.tx.iter_mut().for_each(TxQueue::stop);
    }

    /// Tails that were written outside their ring or before their queue was enabled.
    fn collect_misuse(&mut self) {
        let rings = self.rx.iter().map(|queue| ("RDT", &queue.ring)).chain(self.tx.iter().map(|queue| ("TDT", &queue.ring)));
        for (name, ring) in rings {
            if let Some(tail) = ring.doorbell().take_misuse() {
                let detail = format_args!("{name} = {tail} where the ring has {} descriptors", ring.len_desc());
                let rule = if ring.is_running() { "a tail lies in its ring" } else { "a tail is written after its queue was enabled" };
                self.violations.record(rule, detail);
            }
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

    fn read_register(&mut self, register: Register) -> u32 {
        match register {
            // The reset bit clears itself.
            Register::Ctrl | Register::WriteOnly => 0,
            Register::Status => self.status(),
            Register::Mailbox => self.mailbox.read_flags(&mut self.pf),
            Register::MailboxMemory(word) => self.mailbox.memory[word],
            Register::Rx(queue, part) => self.rx[queue].read(part),
            Register::Tx(queue, part) => self.tx[queue].read(part),
            Register::Statistic(which) => self.counters.register(which),
            Register::Scratch(at) => self.scratch[at],
        }
    }

    fn write_register(&mut self, register: Register, value: u32) {
        let violations = &mut self.violations;
        match register {
            Register::Ctrl if value & regs::CTRL_RST != 0 => self.reset_function(),
            Register::Ctrl | Register::WriteOnly => {}
            Register::Status | Register::Statistic(_) => {
                violations.record("a read-only register is not written", format_args!("{register:?}"))
            }
            Register::Mailbox => self.mailbox.write_flags(value, violations),
            Register::MailboxMemory(word) => self.mailbox.write_memory(word, value, violations),
            Register::Rx(queue, part) => self.rx[queue].write(part, value, &self.options, violations),
            Register::Tx(queue, part) => self.tx[queue].write(part, value, &self.options, violations),
            Register::Scratch(at) => self.scratch[at] = value,
        }
    }

    /// The register of an access, or a violation.
    fn register(&mut self, bar: BarIndex, offset: u32, width: Width) -> Option<Register> {
        if width != Width::Word {
            self.violations.record("registers are accessed by 32-bit words", format_args!("{width:?} at {offset:#x}"));
            return None;
        }
        let register = Register::at(offset).filter(|register| register.queue().is_none_or(|queue| queue < self.rx.len()));
        if register.is_none() || bar != BarIndex::ZERO {
            self.violations.record("the device has the register", format_args!("{bar} {offset:#x}"));
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
        let at = |offset, ring: &queue::Ring| DoorbellAt { bar: BarIndex::ZERO, offset, doorbell: ring.doorbell().clone() };
        let rx = (0..).zip(&self.rx).map(|(queue, rx)| at(regs::RDT.index(queue).offset(), &rx.ring));
        let tx = (0..).zip(&self.tx).map(|(queue, tx)| at(regs::TDT.index(queue).offset(), &tx.ring));
        rx.chain(tx).collect()
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
        self.collect_misuse();
        let sent = self.transmit(memory, wire)?;
        let received = self.receive(memory, wire)?;
        self.spurious_completions(memory)?;
        Ok(sent || received)
    }

    fn reset(&mut self) {
        self.reset_function();
        self.scratch = [0; registers::SCRATCH];
    }
}

#[cfg(test)]
mod tests;
