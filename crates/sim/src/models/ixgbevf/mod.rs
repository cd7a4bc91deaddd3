//! The VF of the Intel 82599, X540, X550 and E610, and the PF behind its mailbox.
//!
//! Source: "Intel 82599 10 GbE Controller Datasheet", rev. 3.4, chapters 7.1, 7.2, 7.10 and 9; "Intel Ethernet Controller X540 Datasheet"
//! and "Intel Ethernet Controller X550 Datasheet", chapters of the same titles, for what these have beyond it (RLPML; registers for RSS,
//! malicious-driver detection). The PF answers as Linux' ixgbe does (`drivers/net/ethernet/intel/ixgbe/ixgbe_sriov.c`).
//!
//! The model is strict. Where a real device would silently misbehave (a ring that is not aligned, a reserved bit, a tail before the
//! queue is enabled) it records a [`Violation`](super::Violation) and stops the queue.
//!
//! | file | what |
//! |---|---|
//! | `options` | what is set before the device is made |
//! | `registers` | which register lies where |
//! | `pf` | what the PF decides |
//! | `rss` | hash and redirection, the PF's or the VF's own |
//! | `control` | what a test may look at and do |
//!
//! Rings, frames, filters and the mailbox are those of [`intel`](super::intel).
//!
//! Not modelled: interrupts (their registers take what is written), header split, receive side coalescing, SCTP checksums, UDP
//! segmentation, IPsec, head write-back, timestamps, VLANs and traffic classes that the PF imposes; using one of these is a violation
//! that says so, or a refusal. Frames from the VF to itself go to the wire.

mod control;
mod options;
mod pf;
mod registers;
mod rss;

pub use super::intel::{FrameCounters as IxgbevfCounters, Hostile, ReplyDelay};
pub use options::IxgbevfOptions;

use super::intel::{
    Rules,
    counters::{Counters, low_half},
    mailbox::Mailbox,
    path::{DataPath, Passing},
    ring::RingPart,
};
use crate::{
    fault::DmaFault,
    model::{DeviceModel, DoorbellAt, HostMemory, Width},
    wire::Wire,
};
use pf::Pf;
use registers::{Register, RxPart, Statistic};
use rss::RssUnit;
use vfwire_core::bus::BarIndex;
use vfwire_spec::{
    ixgbevf::{Family, ID_82599, ID_E610, ID_X540, ID_X550, MAX_FRAME_BYTES, MAX_QUEUE_PAIRS, REGISTER_BAR_BYTES, desc, regs},
    pci::PciId,
};

/// The most descriptors of a frame (7.2, Transmit Path in the 82599: data descriptors of a packet).
const FRAME_DESC: usize = 40;
/// Descriptors of a TX queue that fit on the chip (register TXDCTL: WTHRESH and PTHRESH together).
const ON_CHIP_DESC: u32 = 40;
/// VFRSCCTL: coalescing is on.
const COALESCES: u32 = 1;

/// A VF of an 82599, X540, X550 or E610, and its PF.
#[derive(Debug)]
pub struct IxgbevfModel {
    options: IxgbevfOptions,
    mailbox: Mailbox,
    pf: Pf,
    path: DataPath,
    rss: RssUnit,
    /// VFRSCCTL of each queue.
    coalescing: [u32; MAX_QUEUE_PAIRS as usize],
    timer: u32,
    /// Interrupt registers: they hold what was written.
    scratch: [u32; registers::SCRATCH],
}

impl IxgbevfModel {
    /// A VF whose PF is up and whose link is up.
    pub fn new(options: IxgbevfOptions) -> Self {
        let rules = Rules {
            longest: (usize::from(MAX_FRAME_BYTES), "a frame has at most 9728 bytes"),
            frame_desc: FRAME_DESC,
            l4_error: desc::RX_L4E,
            ip_error: desc::RX_IPE,
            // Linux ixgbe_main.c, ixgbe_rx_checksum: "82599 errata".
            missing_checksum_is_wrong: options.device == Family::I82599,
            segments: true,
            checks_context: true,
            detects_malice: options.detects_malice(),
            reports_need_no_threshold: true,
            tails: ["VFRDT", "VFTDT"],
        };
        let rss = RssUnit::new(&options);
        let counters = Counters::starting_at(options.frames_start.into(), options.octets_start);
        let mut model = Self {
            mailbox: Mailbox::new(options.reply_delay),
            pf: Pf::new(&options),
            path: DataPath::new(MAX_QUEUE_PAIRS as usize, rules, rss.hash(), rss.spread(), counters),
            rss,
            coalescing: [0; MAX_QUEUE_PAIRS as usize],
            timer: 0,
            scratch: [0; registers::SCRATCH],
            options,
        };
        model.reset_hints();
        model
    }

    /// What VFCTRL.RST and a function-level reset have in common. Ring addresses, heads and tails stay as they were: a driver that does
    /// not program them again works on a ring that is gone.
    fn reset_function(&mut self) {
        self.path.stop();
        self.reset_hints();
        self.mailbox.reset();
        self.pf.vf_was_reset();
    }

    /// Register DCA_TXCTRL: relaxed ordering of write-backs is on until software turns it off.
    fn reset_hints(&mut self) {
        self.path.tx.iter_mut().for_each(|queue| queue.ring.set_hints(regs::VFDCA_TXCTRL_DESC_WRITEBACK_RELAXED));
    }

    /// VFLINKS. That of the E610 tells nothing: its VFs ask the PF.
    fn links(&self) -> u32 {
        if !self.pf.link.up || self.options.device == Family::E610 {
            return 0;
        }
        let speed = match self.options.link_mbps {
            100 => regs::VFLINKS_SPEED_100M,
            1000 => regs::VFLINKS_SPEED_1G,
            2500 => regs::VFLINKS_SPEED_10G | regs::VFLINKS_NON_STANDARD,
            5000 => regs::VFLINKS_SPEED_100M | regs::VFLINKS_NON_STANDARD,
            _ => regs::VFLINKS_SPEED_10G,
        };
        regs::VFLINKS_UP | speed
    }

    fn statistic(&self, which: Statistic) -> u32 {
        let counters = &self.path.counters;
        let high = |octets: u64| low_half(octets >> 32) & 0xf;
        match which {
            Statistic::RxFrames => low_half(counters.rx_frames),
            Statistic::RxOctetsLow => low_half(counters.rx_octets),
            Statistic::RxOctetsHigh => high(counters.rx_octets),
            Statistic::RxMulticast => low_half(counters.rx_multicast),
            Statistic::TxFrames => low_half(counters.tx_frames),
            Statistic::TxOctetsLow => low_half(counters.tx_octets),
            Statistic::TxOctetsHigh => high(counters.tx_octets),
        }
    }

    fn read_register(&mut self, register: Register) -> u32 {
        match register {
            // The reset bit clears itself. VFSTATUS is the PF's.
            Register::Ctrl | Register::Status | Register::WriteOnly => 0,
            Register::Links => self.links(),
            Register::Timer => {
                self.timer = self.timer.wrapping_add(1);
                self.timer
            }
            Register::Mailbox => self.mailbox.read_flags(&mut self.pf),
            Register::MailboxMemory(word) => self.mailbox.memory[word],
            Register::Rx(queue, RxPart::Ring(part)) => self.path.rx[queue].ring.read(part),
            Register::Rx(queue, RxPart::SplitControl) => self.path.rx[queue].split_control,
            Register::Rx(queue, RxPart::Coalescing) => self.coalescing[queue],
            Register::Tx(queue, part) => self.path.tx[queue].read(part),
            Register::Statistic(which) => self.statistic(which),
            Register::PacketSplit => self.rss.packet_split,
            Register::RssControl => self.rss.control,
            Register::RssKey(word) => self.rss.key[word],
            Register::RssTable(word) => self.rss.table[word],
            Register::Scratch(at) => self.scratch[at],
        }
    }

    fn write_register(&mut self, register: Register, value: u32) {
        let violations = &mut self.path.violations;
        match register {
            Register::Ctrl if value & regs::VFCTRL_RST != 0 => self.reset_function(),
            Register::Ctrl | Register::WriteOnly => {}
            Register::Status | Register::Links | Register::Timer | Register::Statistic(_) => {
                violations.record("a read-only register is not written", format_args!("{register:?}"))
            }
            Register::Mailbox => self.mailbox.write_flags(value, &mut self.pf, violations),
            Register::MailboxMemory(word) => self.mailbox.write_memory(word, value, violations),
            Register::Rx(queue, RxPart::Ring(part)) => self.write_rx(queue, part, value),
            Register::Rx(queue, RxPart::SplitControl) => self.path.rx[queue].write_split_control(value, violations),
            Register::Rx(queue, RxPart::Coalescing) => self.coalescing[queue] = value,
            Register::Tx(queue, part) => self.write_tx(queue, part, value),
            Register::PacketSplit => {
                let queues = 1 << (value >> regs::VFPSRTYPE_RQPL_SHIFT);
                if queues > self.options.queues {
                    let detail = format_args!("{queues} queues by VFPSRTYPE = {value:#x}, of {}", self.options.queues);
                    violations.record("RSS spreads over no more queues than the PF grants", detail);
                }
                self.rss.packet_split = value;
                self.path.spread = self.rss.spread();
            }
            Register::RssControl => self.rss.write_control(value),
            Register::RssKey(word) => self.rss.write_key(word, value),
            Register::RssTable(word) => self.rss.write_table(word, value),
            Register::Scratch(at) => self.scratch[at] = value,
        }
    }

    fn write_rx(&mut self, queue: usize, part: RingPart, value: u32) {
        let (rx, violations) = (&mut self.path.rx[queue], &mut self.path.violations);
        let came_on = rx.write(part, value, self.options.enable_polls, violations);
        if part != RingPart::Control {
            return;
        }
        let limits = value & regs::VFRXDCTL_RLPML_EN != 0 && self.options.device != Family::I82599;
        rx.strips = Some(value & regs::VFRXDCTL_VME != 0);
        rx.longest_bytes = limits.then_some((value & regs::VFRXDCTL_RLPML_MASK) as usize);
        if came_on {
            let no_limit = value & (regs::VFRXDCTL_RLPML_EN | regs::VFRXDCTL_RLPML_MASK) == 0;
            let more = [
                (queue < self.options.queues, "a queue is one of those that the PF grants"),
                (self.coalescing[queue] & COALESCES == 0, "receive side coalescing is not modelled"),
                (no_limit || self.options.device != Family::I82599, "RXDCTL.RLPML does nothing on the 82599"),
            ];
            rx.check_enabled(regs::VFSRRCTL_DROP_EN, &more, violations);
        }
    }

    fn write_tx(&mut self, queue: usize, part: RingPart, value: u32) {
        let (tx, violations) = (&mut self.path.tx[queue], &mut self.path.violations);
        if tx.write(part, value, self.options.enable_polls, violations) {
            let threshold = |shift: u32| value >> shift & regs::VFTXDCTL_THRESHOLD_MASK;
            let relaxed = tx.ring.hints() & regs::VFDCA_TXCTRL_DESC_WRITEBACK_RELAXED != 0;
            let rules = [
                (queue < self.options.queues, "a queue is one of those that the PF grants"),
                (threshold(0) + threshold(16) <= ON_CHIP_DESC, "TXDCTL.PTHRESH and WTHRESH are at most 40 together"),
                (!relaxed, "DCA_TXCTRL lets no write-back pass another where DD tells that a frame is done"),
            ];
            tx.check_enabled(&rules, violations);
        }
    }

    /// The register of an access, or a violation.
    fn register(&mut self, bar: BarIndex, offset: u32, width: Width) -> Option<Register> {
        let violations = &mut self.path.violations;
        if width != Width::Word {
            violations.record("registers are accessed by 32-bit words", format_args!("{width:?} at {offset:#x}"));
            return None;
        }
        let register = Register::at(self.options.device, offset);
        if register.is_none() || bar != BarIndex::ZERO {
            violations.record("the device has the register", format_args!("{bar} {offset:#x}"));
        }
        register
    }
}

impl DeviceModel for IxgbevfModel {
    fn id(&self) -> PciId {
        match self.options.device {
            Family::I82599 => ID_82599,
            Family::X540 => ID_X540,
            Family::X550 => ID_X550,
            Family::E610 => ID_E610,
        }
    }

    fn bar_len_bytes(&self, bar: BarIndex) -> Option<u32> {
        (bar == BarIndex::ZERO).then_some(REGISTER_BAR_BYTES)
    }

    fn doorbells(&self) -> Vec<DoorbellAt> {
        self.path.doorbells(|queue| regs::VFRDT.index(queue).offset(), |queue| regs::VFTDT.index(queue).offset())
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
        if self.rss.take_changed() {
            (self.path.rss, self.path.spread) = (self.rss.hash(), self.rss.spread());
        }
        let is_up = self.pf.link.up && !self.pf.is_down();
        let passing = Passing { receives: is_up && self.pf.receives, sends: is_up && self.pf.sends };
        self.path.step(&self.pf.filters, passing, memory, wire)
    }

    fn reset(&mut self) {
        self.reset_function();
        self.rss.reset();
        (self.path.rss, self.path.spread) = (self.rss.hash(), self.rss.spread());
        self.coalescing = [0; MAX_QUEUE_PAIRS as usize];
        self.scratch = [0; registers::SCRATCH];
    }
}

#[cfg(test)]
mod tests;
