//! A device in which something goes wrong at chosen steps, around any model.
//!
//! Everything that passes between a driver and the model is a numbered step: a register read or written, a doorbell, a write of the device
//! to memory. A [`Schedule`] says what goes wrong at which of them; the same schedule on the same run goes wrong in the same way. With an
//! empty schedule the model does what it does without the wrapper, and the wrapper lists the steps.
//!
//! | file | what |
//! |---|---|
//! | `schedule` | faults and schedules as values and as text |
//! | `state` | what is going wrong at the moment |
//! | `memory` | memory as a faulty device writes it |
//!
//! Doorbells: a driver rings the wrapper's, which are handed on before anything else that the model sees. Several rings of one doorbell in
//! between are one step.

mod memory;
mod schedule;
mod state;

pub use schedule::{BadSchedule, Fault, Random, Schedule, StepKind};
pub use state::Damage;

use crate::{
    fault::DmaFault,
    model::{DeviceModel, Doorbell, DoorbellAt, HostMemory, Width},
    wire::Wire,
};
use memory::FaultyMemory;
use state::{State, Verdict};
use std::{collections::VecDeque, fmt, sync::Arc};
use vfwire_core::bus::BarIndex;
use vfwire_spec::pci::PciId;

/// Something that an owner lets happen to a model: called once a tick with its age in ticks, from 0 on, until it says false.
pub type Event<M> = Box<dyn FnMut(&mut M, u32) -> bool + Send>;

/// A model in which something goes wrong.
pub struct Faulty<M> {
    model: M,
    state: State,
    bells: Vec<Bell>,
    /// Register writes that have not taken effect.
    late: VecDeque<Write>,
    late_until: u64,
    events: Vec<Event<M>>,
    /// Events that are under way, and the tick at which each began.
    active: Vec<(usize, u64)>,
}

/// A doorbell as the driver has it, and as the model has it.
struct Bell {
    at: DoorbellAt,
    model: Arc<Doorbell>,
    rings: u64,
    /// It is handed on from this tick on.
    stalled_until: u64,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    bar: BarIndex,
    offset: u32,
    width: Width,
    value: u64,
}

impl<M: DeviceModel> Faulty<M> {
    /// A model in which nothing goes wrong yet.
    pub fn new(model: M) -> Self {
        let bell = |at: DoorbellAt| {
            // What is misuse is for the model to say.
            let driver = Arc::new(Doorbell::default());
            driver.ignore();
            Bell { model: at.doorbell, at: DoorbellAt { doorbell: driver, ..at }, rings: 0, stalled_until: 0 }
        };
        Self {
            bells: model.doorbells().into_iter().map(bell).collect(),
            model,
            state: State::default(),
            late: VecDeque::new(),
            late_until: 0,
            events: Vec::new(),
            active: Vec::new(),
        }
    }

    /// From the next step on, which is number 0, things go wrong as `schedule` says.
    pub fn arm(&mut self, schedule: Schedule, events: Vec<Event<M>>) {
        self.state = State::new(schedule);
        self.events = events;
    }

    /// Nothing goes wrong any more: what is late comes now, who is away comes back, events end.
    pub fn disarm(&mut self) {
        self.state.disarm();
        self.come_back();
        self.release_late();
        self.bells.iter_mut().for_each(|bell| bell.stalled_until = 0);
        for (event, _) in std::mem::take(&mut self.active) {
            // An event that is told that it is old puts things right.
            let _ = self.events[event](&mut self.model, u32::MAX);
        }
    }

    /// Every fault of the schedule has begun.
    pub fn is_spent(&self) -> bool {
        self.state.is_spent()
    }

    /// The model itself.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model itself, past all faults.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.model
    }

    /// What the steps were since it was armed with an empty schedule.
    pub fn steps(&self) -> &[StepKind] {
        self.state.steps()
    }

    /// What has been lost or changed since it was armed.
    pub fn damage(&self) -> Damage {
        self.state.damage()
    }

    /// A tick passes: what became due happens.
    fn tick(&mut self) {
        let now = self.state.tick();
        self.come_back();
        if !self.late.is_empty() && now >= self.late_until {
            self.release_late();
        }
        self.run_events(now);
    }

    fn come_back(&mut self) {
        if self.state.take_reset() {
            self.reset_model();
        }
    }

    fn reset_model(&mut self) {
        self.late.clear();
        self.model.reset();
    }

    fn release_late(&mut self) {
        for write in std::mem::take(&mut self.late) {
            self.model.mmio_write(write.bar, write.offset, write.width, write.value);
        }
    }

    fn run_events(&mut self, now: u64) {
        self.active.extend(self.state.take_event().filter(|event| *event < self.events.len()).map(|event| (event, now)));
        let (model, events) = (&mut self.model, &mut self.events);
        self.active.retain(|(event, began)| events[*event](model, u32::try_from(now - began).unwrap_or(u32::MAX)));
    }

    /// Hands on what was rung, unless it waits behind late writes. A register write pushes what is stalled: writes stay in order.
    fn ring_bells(&mut self, pushes: bool) {
        if !self.late.is_empty() {
            return;
        }
        for at in 0..self.bells.len() {
            let rings = self.bells[at].at.doorbell.rings();
            if rings == self.bells[at].rings || !pushes && self.state.now() < self.bells[at].stalled_until {
                continue;
            }
            self.bells[at].rings = rings;
            self.tick();
            match self.state.step(StepKind::Ring) {
                Verdict::Stall(ticks) if !pushes => {
                    // To be looked at again.
                    self.bells[at].rings = rings - 1;
                    self.bells[at].stalled_until = self.state.now() + u64::from(ticks);
                }
                Verdict::Lost => {}
                _ => {
                    self.come_back();
                    self.bells[at].model.ring(self.bells[at].at.doorbell.value());
                }
            }
        }
    }
}

impl<M: DeviceModel> DeviceModel for Faulty<M> {
    fn id(&self) -> PciId {
        self.model.id()
    }

    fn class(&self) -> u32 {
        self.model.class()
    }

    fn bar_len_bytes(&self, bar: BarIndex) -> Option<u32> {
        self.model.bar_len_bytes(bar)
    }

    fn capabilities(&self) -> Vec<Vec<u8>> {
        self.model.capabilities()
    }

    fn doorbells(&self) -> Vec<DoorbellAt> {
        self.bells.iter().map(|bell| bell.at.clone()).collect()
    }

    fn mmio_read(&mut self, bar: BarIndex, offset: u32, width: Width) -> u64 {
        self.ring_bells(false);
        self.tick();
        let verdict = self.state.step(StepKind::Read);
        self.come_back();
        match verdict {
            Verdict::Lost => width.all_ones(),
            Verdict::Corrupt(seed) => {
                let mut bytes = self.model.mmio_read(bar, offset, width).to_le_bytes();
                schedule::flip(&mut bytes[..width.bytes()], seed);
                u64::from_le_bytes(bytes)
            }
            _ => self.model.mmio_read(bar, offset, width),
        }
    }

    fn mmio_write(&mut self, bar: BarIndex, offset: u32, width: Width, value: u64) {
        self.ring_bells(true);
        self.tick();
        let verdict = self.state.step(StepKind::Write);
        self.come_back();
        match verdict {
            Verdict::Lost => return,
            Verdict::Delay(ticks) if self.late.is_empty() => self.late_until = self.state.now() + u64::from(ticks),
            _ if !self.late.is_empty() => {}
            _ => return self.model.mmio_write(bar, offset, width, value),
        }
        self.late.push_back(Write { bar, offset, width, value });
    }

    fn has_to_serve(&self) -> bool {
        self.model.has_to_serve()
    }

    fn serve(&mut self, memory: &dyn HostMemory) -> Result<(), DmaFault> {
        if !self.state.works() {
            return Ok(());
        }
        let memory = FaultyMemory::new(memory, &mut self.state);
        let served = self.model.serve(&memory);
        let finished = memory.finish();
        self.state.end_pass();
        self.come_back();
        served.and(finished)
    }

    fn step(&mut self, memory: &dyn HostMemory, wire: &mut dyn Wire) -> Result<bool, DmaFault> {
        self.ring_bells(false);
        self.tick();
        if !self.state.works() {
            return Ok(false);
        }
        let memory = FaultyMemory::new(memory, &mut self.state);
        let stepped = self.model.step(&memory, wire);
        let finished = memory.finish();
        self.state.end_pass();
        self.come_back();
        stepped.and_then(|moved| finished.map(|()| moved))
    }

    fn reset(&mut self) {
        if !self.state.is_gone() {
            self.reset_model();
        }
    }
}

impl<M: fmt::Debug> fmt::Debug for Faulty<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("model", &self.model).field("state", &self.state).finish_non_exhaustive()
    }
}
