//! A virtio network function with modern virtio over PCI, as SmartNICs, DPUs and hypervisors hand them out.
//!
//! Source: "Virtual I/O Device (VIRTIO) Version 1.2". Section numbers without another title are of it. Where the specification leaves a
//! choice (what is filtered, where structures lie) the device does as QEMU's `virtio-net-pci` does.
//!
//! The model is strict. What the specification forbids a driver, and what a device of hardware could not bear, is a
//! [`Violation`](super::Violation): queues that are set up out of order, chains that do not end, notifications that were not sent. A queue
//! that is broken makes the device need a reset, as QEMU's does.
//!
//! | file | what |
//! |---|---|
//! | `options`, `layout` | what is set before the device is made; where its structures are |
//! | `transport`, `config` | common configuration and status; configuration of the network device |
//! | `queue`, `chain` | a queue, and buffers in it |
//! | `split`, `guest` | split queues, which are rust-vmm's `virtio-queue` over the simulated IOMMU |
//! | `packed` | packed queues |
//! | `rx`, `tx`, `segments` | what becomes of frames |
//! | `commands`, `filters`, `steering` | the control queue and what it changes |
//! | `control` | what a test may look at and do |
//! | `hostile` | what a broken or evil device writes |
//!
//! Commands are answered right after their notification, so a driver in the only thread sees the answer.
//!
//! Not modelled: interrupts (whether they are asked for is counted), EVENT_IDX, INDIRECT_DESC, RING_RESET, large received segments, access
//! through configuration space, the legacy interface. None of these is offered.

mod chain;
mod commands;
mod config;
mod control;
mod filters;
mod guest;
mod hostile;
mod layout;
mod options;
mod packed;
mod queue;
mod rx;
mod segments;
mod split;
mod steering;
mod transport;
mod tx;

pub use control::VirtioNetCounters;
pub use hostile::Hostile;
pub use layout::{Layout, Place};
pub use options::VirtioNetOptions;

use super::{Stop, Violations};
use crate::{
    fault::DmaFault,
    model::{DeviceModel, DoorbellAt, HostMemory, Width},
    wire::Wire,
};
use chain::Used;
use config::{Generation, Now};
use filters::Filters;
use layout::At;
use std::collections::HashSet;
use steering::Steering;
use transport::{Asked, Transport};
use vfwire_core::bus::BarIndex;
use vfwire_spec::{
    net::MacAddr,
    pci::PciId,
    virtio::{
        ID_NET,
        control::{ACK_ERR, ACK_OK},
        features::Features,
        net,
        pci::{ISR_CONFIG, ISR_QUEUE},
    },
};

/// Frames that one step receives, and that it sends, at most, a queue.
const STEP_BUDGET: usize = 256;
/// The longest command.
const COMMAND_BYTES: usize = 64 * 1024;

/// A virtio network function.
#[derive(Debug)]
pub struct VirtioNetModel {
    options: VirtioNetOptions,
    transport: Transport,
    generation: Generation,
    isr: u8,
    link_up: bool,
    announce: bool,
    filters: Filters,
    steering: Steering,
    violations: Violations,
    counters: VirtioNetCounters,
    hostile: Option<Hostile>,
    refused: HashSet<(u8, u8)>,
    silent: bool,
    /// The driver has notified the device of a command.
    command_waits: bool,
    /// Memory of a frame with its header, of a segment, of what is given back.
    frame: Vec<u8>,
    segment: Vec<u8>,
    used: Vec<Used>,
    /// The ID that was given back last on a receive queue.
    last_id: u32,
}

impl VirtioNetModel {
    /// A function whose link is up.
    pub fn new(options: VirtioNetOptions) -> Self {
        Self {
            transport: Transport::new(&options),
            generation: Generation::new(options.unsettled),
            isr: 0,
            link_up: true,
            announce: false,
            filters: Filters::new(options.mac, false),
            steering: Steering::new(),
            violations: Violations::default(),
            counters: VirtioNetCounters::default(),
            hostile: None,
            refused: HashSet::new(),
            silent: options.silent,
            command_waits: false,
            frame: Vec::new(),
            segment: Vec::new(),
            used: Vec::new(),
            last_id: 0,
            options,
        }
    }

    /// What a reset through the status and a function-level reset have in common. The address that a driver has set is gone too.
    fn reset_function(&mut self, with_polls: bool) {
        self.transport.reset(with_polls);
        self.filters = Filters::new(self.options.mac, false);
        self.steering = Steering::new();
        self.isr = 0;
        self.announce = false;
        self.command_waits = false;
    }

    fn now(&self) -> Now {
        Now { mac: self.filters.mac.unwrap_or(MacAddr::ZERO), link_up: self.link_up, announce: self.announce }
    }

    /// The configuration has changed: the driver may be told.
    fn config_changed(&mut self) {
        self.generation.changed = true;
        self.isr |= ISR_CONFIG;
    }

    fn at(&mut self, bar: BarIndex, offset: u32, width: Width) -> Option<At> {
        let found = self.options.layout.at(bar, offset);
        if found.is_none() {
            self.violations.record("the device has the register", format_args!("{bar} {offset:#x}, {width:?}"));
        }
        found
    }

    fn write_notification(&mut self, at: u32, width: Width, value: u64) {
        let with_data = self.transport.has(Features::NOTIFICATION_DATA);
        let expected = if with_data { Width::Word } else { Width::Half };
        if width != expected {
            self.violations.record("a notification has 16 bits, with NOTIFICATION_DATA 32", format_args!("{width:?} at {at:#x}"));
        }
        match self.transport.notify(at, u32::try_from(value).unwrap_or(u32::MAX)) {
            None => self.violations.record("a notification names a queue", format_args!("{value:#x} at {at:#x}")),
            found => self.command_waits |= found == self.transport.control_index(),
        }
    }

    /// A queue is broken: the device does nothing more until it is reset.
    fn break_down(&mut self, stop: Stop) -> Result<(), DmaFault> {
        self.transport.need_reset();
        self.config_changed();
        match stop {
            Stop::Fault(fault) => Err(fault),
            Stop::Rule(rule, detail) => {
                self.violations.record(rule, detail);
                Ok(())
            }
        }
    }

    /// Looks at every doorbell.
    fn look(&mut self) {
        let (with_data, control) = (self.transport.has(Features::NOTIFICATION_DATA), self.transport.control_queue());
        let last = self.transport.control_index();
        for (index, queue) in self.transport.queues.iter_mut().enumerate() {
            let number = if Some(index) == last { control } else { queue.number };
            queue.look(number, with_data, &mut self.violations);
        }
    }

    /// Notifications that came before the device was live.
    fn collect_misuse(&mut self) {
        if !self.transport.is_live() && self.transport.agreed().is_empty() {
            return;
        }
        if !self.transport.is_live() && !self.transport.is_broken() {
            self.transport.queues.iter_mut().for_each(|queue| queue.check_early(&mut self.violations));
        }
    }

    /// Answers what lies in the control queue.
    fn answer(&mut self, memory: &dyn HostMemory) -> Result<(), Stop> {
        self.command_waits = false;
        let Some(control) = self.transport.control_index() else { return Ok(()) };
        if !self.transport.is_live() || self.silent {
            return Ok(());
        }
        while let Some(chain) = self.transport.queues[control].take(memory)? {
            self.frame.clear();
            let is_whole = chain.read(memory, &mut self.frame, COMMAND_BYTES)?;
            let room_bytes = chain.room_bytes();
            Stop::unless(is_whole && room_bytes > 0, "a command has room for its acknowledgement", || format!("{chain:?}"))?;
            let bytes = std::mem::take(&mut self.frame);
            let done = self.run(&bytes);
            self.frame = bytes;
            // The last byte is the acknowledgement.
            chain.write_at(memory, room_bytes - 1, if done { ACK_OK } else { ACK_ERR })?;
            let used = Used { id: u32::from(chain.id), len_bytes: 1, slots: chain.slots };
            self.counters.commands += 1;
            let queue = &mut self.transport.queues[control];
            queue.recycle(chain);
            queue.put(memory, &[used])?;
            self.interrupt(control, memory)?;
        }
        Ok(())
    }

    fn run(&mut self, bytes: &[u8]) -> bool {
        let mut changed = false;
        let mut net = commands::Net {
            agreed: self.transport.agreed(),
            max_pairs: self.options.pairs,
            filters: &mut self.filters,
            steering: &mut self.steering,
            announce: &mut self.announce,
            changed: &mut changed,
            violations: &mut self.violations,
            refused: &self.refused,
            trusted: self.options.trusted,
            assigned_mac: self.options.mac,
        };
        let done = net.run(bytes);
        if changed {
            self.config_changed();
        }
        done
    }

    /// Buffers of a queue were given back: an interrupt, where the driver asks for one.
    fn interrupt(&mut self, queue: usize, memory: &dyn HostMemory) -> Result<(), Stop> {
        if self.transport.queues[queue].wants_interrupt(memory)? {
            self.isr |= ISR_QUEUE;
            self.counters.interrupts += 1;
        }
        Ok(())
    }

    fn pass(&mut self, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, Stop> {
        let sent = self.link_up && self.transmit(memory, wire)?;
        let received = self.receive(memory, wire)?;
        if self.hostile == Some(Hostile::OutOfNowhere) && self.transport.is_live() {
            let pairs = 0..net::control_queue(self.options.pairs);
            for queue in pairs.map(usize::from) {
                self.transport.queues[queue].put_out_of_nowhere(memory)?;
            }
        }
        Ok(sent || received)
    }
}

impl DeviceModel for VirtioNetModel {
    fn id(&self) -> PciId {
        ID_NET
    }

    fn bar_len_bytes(&self, bar: BarIndex) -> Option<u32> {
        self.options.layout.bar_len_bytes(bar)
    }

    fn capabilities(&self) -> Vec<Vec<u8>> {
        self.options.layout.capabilities()
    }

    fn doorbells(&self) -> Vec<DoorbellAt> {
        let width = if self.options.notification_data { Width::Word } else { Width::Half };
        self.transport.doorbells(&self.options.layout, width)
    }

    fn mmio_read(&mut self, bar: BarIndex, offset: u32, width: Width) -> u64 {
        match self.at(bar, offset, width) {
            Some(At::Common(at)) => {
                let generation = self.generation.number();
                self.transport.read(at, width, generation, &mut self.violations)
            }
            Some(At::Isr(_)) => u64::from(std::mem::take(&mut self.isr)),
            Some(At::Device(at)) => {
                let (offered, now) = (self.transport.offered(), self.now());
                config::read((at, width), (&self.options, offered), now, &mut self.generation, &mut self.violations)
            }
            Some(At::Notify(at)) => {
                self.violations.record("a notification register is not read", format_args!("{width:?} at {at:#x}"));
                0
            }
            None => 0,
        }
    }

    fn mmio_write(&mut self, bar: BarIndex, offset: u32, width: Width, value: u64) {
        match self.at(bar, offset, width) {
            Some(At::Common(at)) => match self.transport.write(at, width, value, &mut self.violations) {
                Asked::Reset => self.reset_function(true),
                Asked::Live => self.filters = Filters::new(self.options.mac, self.transport.has(Features::CTRL_VLAN)),
                Asked::Nothing => {}
            },
            Some(At::Notify(at)) => self.write_notification(at, width, value),
            Some(At::Isr(at) | At::Device(at)) => {
                self.violations.record("a read-only register is not written", format_args!("{bar} {offset:#x}, {at:#x} of its structure"));
            }
            None => {}
        }
    }

    fn has_to_serve(&self) -> bool {
        self.command_waits
    }

    fn serve(&mut self, memory: &dyn HostMemory) -> Result<(), DmaFault> {
        if !self.transport.is_live() {
            self.command_waits = false;
            return Ok(());
        }
        self.look();
        self.answer(memory).or_else(|stop| self.break_down(stop))
    }

    fn step(&mut self, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, DmaFault> {
        self.collect_misuse();
        if self.transport.is_live() {
            self.look();
        }
        self.pass(memory, wire).or_else(|stop| self.break_down(stop).map(|()| true))
    }

    fn reset(&mut self) {
        self.reset_function(false);
    }
}

#[cfg(test)]
mod tests;
