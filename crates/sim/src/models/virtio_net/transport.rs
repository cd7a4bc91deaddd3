//! The common configuration (4.1.4.3): features, status, queues. Strict: what 3.1.1 and 4.1.4.3.2 forbid a driver is a violation.

use super::{
    layout::Layout,
    options::VirtioNetOptions,
    packed::PackedRing,
    queue::{Queue, Ring},
    split::SplitRing,
};
use crate::{
    model::{DoorbellAt, Width},
    models::Violations,
};
use vfwire_spec::{
    reg::{MmioWord, Reg},
    virtio::{
        features::Features,
        net, packed,
        pci::{common, status},
        split,
    },
};

/// Size of the control queue.
const CONTROL_SIZE: u16 = 64;

#[derive(Debug)]
pub(super) struct Transport {
    offered: Features,
    accepted: Features,
    device_select: u32,
    driver_select: u32,
    status: u8,
    /// Reads of the status that still show what was before a reset; and that.
    resetting: Option<(u32, u8)>,
    reset_polls: u32,
    /// The device has an error that only a reset mends.
    needs_reset: bool,
    config_vector: u16,
    pub(super) queues: Vec<Queue>,
    queue_select: u16,
    pairs: u16,
    /// No set of features is taken without these.
    required: Features,
    notify_multiplier: u32,
}

/// What a write asks the device to do beyond the transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Nothing,
    Reset,
    /// DRIVER_OK was set.
    Live,
}

impl Transport {
    pub(super) fn new(options: &VirtioNetOptions) -> Self {
        let control = net::control_queue(options.pairs);
        let size = |number| if number == control { CONTROL_SIZE } else { options.queue_size };
        Self {
            offered: options.features(),
            accepted: Features::NONE,
            device_select: 0,
            driver_select: 0,
            status: 0,
            resetting: None,
            reset_polls: options.reply_polls,
            needs_reset: false,
            config_vector: vfwire_spec::virtio::pci::NO_VECTOR,
            queues: (0..control + u16::from(options.ctrl)).map(|number| Queue::new(number, size(number))).collect(),
            queue_select: 0,
            pairs: options.pairs,
            required: options.required,
            notify_multiplier: options.layout.notify_multiplier,
        }
    }

    pub(super) fn offered(&self) -> Features {
        self.offered
    }

    /// What was agreed on; nothing before FEATURES_OK.
    pub(super) fn agreed(&self) -> Features {
        if self.status & status::FEATURES_OK != 0 { self.accepted } else { Features::NONE }
    }

    pub(super) fn has(&self, feature: Features) -> bool {
        self.agreed().contains(feature)
    }

    /// The driver is ready and nothing is wrong: buffers are used.
    pub(super) fn is_live(&self) -> bool {
        self.status & status::DRIVER_OK != 0 && !self.needs_reset
    }

    /// Only a reset helps.
    pub(super) fn is_broken(&self) -> bool {
        self.needs_reset
    }

    pub(super) fn need_reset(&mut self) {
        self.needs_reset = true;
    }

    /// The control queue's number, as it was agreed on (5.1.2).
    pub(super) fn control_queue(&self) -> u16 {
        let several = self.agreed().0 & (Features::MQ | Features::RSS).0 != 0;
        net::control_queue(if several { self.pairs } else { 1 })
    }

    /// Where queue `number` of the driver's lies among ours: without MQ the control queue has another number.
    fn index(&self, number: u16) -> Option<usize> {
        let control = self.control_queue();
        let last = self.queues.len().checked_sub(1)?;
        let has_control = self.offered.contains(Features::CTRL_VQ);
        match number {
            _ if has_control && number == control => Some(last),
            _ if number < control => Some(usize::from(number)),
            _ => None,
        }
    }

    pub(super) fn queue(&mut self, number: u16) -> Option<&mut Queue> {
        let index = self.index(number)?;
        self.queues.get_mut(index)
    }

    pub(super) fn reset(&mut self, with_polls: bool) {
        let shown = self.shown_status();
        // Where it is 0 already, nothing shows a driver that it has to wait.
        self.resetting = (with_polls && shown != 0).then_some((self.reset_polls, shown));
        self.status = 0;
        self.needs_reset = false;
        self.accepted = Features::NONE;
        self.device_select = 0;
        self.driver_select = 0;
        self.queue_select = 0;
        self.queues.iter_mut().for_each(Queue::reset);
    }

    fn shown_status(&self) -> u8 {
        self.status | if self.needs_reset { status::NEEDS_RESET } else { 0 }
    }

    pub(super) fn doorbells(&self, layout: &Layout, width: Width) -> Vec<DoorbellAt> {
        // One register for all queues cannot tell who was notified last: it is an ordinary one then.
        if layout.notify_multiplier == 0 {
            return Vec::new();
        }
        // So is the control queue's, which is answered at once.
        let at = |queue: &Queue| {
            let (bar, offset) = layout.notification(self.notify_off(queue));
            Some(DoorbellAt { bar: bar?, offset, width, doorbell: queue.doorbell().clone() })
        };
        self.queues.iter().filter(|queue| queue.number < net::control_queue(self.pairs)).filter_map(at).collect()
    }

    /// Notifications keep their place whatever is agreed on.
    fn notify_off(&self, queue: &Queue) -> u16 {
        queue.number
    }

    /// A notification that came through an ordinary register. Whose it is: the queue's index; or there is none.
    pub(super) fn notify(&mut self, at: u32, value: u32) -> Option<usize> {
        let [a, b, ..] = value.to_le_bytes();
        let found = match self.notify_multiplier {
            0 => self.index(u16::from_le_bytes([a, b])),
            multiplier => self.queues.iter().position(|queue| u32::from(queue.number) * multiplier == at),
        };
        found.inspect(|index| self.queues[*index].doorbell().ring(value))
    }

    /// The control queue's index, where the driver accepts to have one.
    pub(super) fn control_index(&self) -> Option<usize> {
        self.has(Features::CTRL_VQ).then(|| self.queues.len() - 1)
    }

    pub(super) fn read(&mut self, at: u32, width: Width, generation: u8, violations: &mut Violations) -> u64 {
        let selected = self.index(self.queue_select).and_then(|index| self.queues.get(index));
        let part = |value: u64, high: bool| if high { value >> 32 } else { value & 0xffff_ffff };
        let address = |index: usize, high| selected.map_or(0, |queue| part(queue.addresses[index], high));
        let word = |features: Features, select: u32| features.to_words().get(select as usize).map_or(0, |word| u64::from(*word));
        let is = |register: (u32, u32)| (at, width) == (register.0, Width::of_bytes(register.1));
        match () {
            () if is(of(common::DEVICE_FEATURE_SELECT)) => u64::from(self.device_select),
            () if is(of(common::DEVICE_FEATURE)) => word(self.offered, self.device_select),
            () if is(of(common::DRIVER_FEATURE_SELECT)) => u64::from(self.driver_select),
            () if is(of(common::DRIVER_FEATURE)) => word(self.accepted, self.driver_select),
            () if is(of(common::CONFIG_MSIX_VECTOR)) => u64::from(self.config_vector),
            () if is(of(common::NUM_QUEUES)) => self.queues.len() as u64,
            () if is(of(common::DEVICE_STATUS)) => u64::from(self.read_status()),
            () if is(of(common::CONFIG_GENERATION)) => u64::from(generation),
            () if is(of(common::QUEUE_SELECT)) => u64::from(self.queue_select),
            () if is(of(common::QUEUE_SIZE)) => selected.map_or(0, |queue| u64::from(queue.size)),
            () if is(of(common::QUEUE_MSIX_VECTOR)) => selected.map_or(0, |queue| u64::from(queue.vector)),
            () if is(of(common::QUEUE_ENABLE)) => selected.map_or(0, |queue| u64::from(queue.is_enabled())),
            () if is(of(common::QUEUE_NOTIFY_OFF)) => selected.map_or(0, |queue| u64::from(self.notify_off(queue))),
            () if is(of(common::QUEUE_DESC_LO)) => address(0, false),
            () if is(of(common::QUEUE_DESC_HI)) => address(0, true),
            () if is(of(common::QUEUE_DRIVER_LO)) => address(1, false),
            () if is(of(common::QUEUE_DRIVER_HI)) => address(1, true),
            () if is(of(common::QUEUE_DEVICE_LO)) => address(2, false),
            () if is(of(common::QUEUE_DEVICE_HI)) => address(2, true),
            () => {
                violations.record(FIELD, format_args!("common configuration, read of {width:?} at {at:#x}"));
                0
            }
        }
    }

    fn read_status(&mut self) -> u8 {
        match self.resetting {
            None => self.shown_status(),
            Some((0, _)) => {
                self.resetting = None;
                self.status
            }
            Some((polls, before)) => {
                self.resetting = Some((polls - 1, before));
                before
            }
        }
    }

    pub(super) fn write(&mut self, at: u32, width: Width, value: u64, violations: &mut Violations) -> Asked {
        let [a, b, c, d, ..] = value.to_le_bytes();
        let (half, word) = (u16::from_le_bytes([a, b]), u32::from_le_bytes([a, b, c, d]));
        let is = |register: (u32, u32)| (at, width) == (register.0, Width::of_bytes(register.1));
        match () {
            () if is(of(common::DEVICE_FEATURE_SELECT)) => self.device_select = word,
            () if is(of(common::DRIVER_FEATURE_SELECT)) => self.driver_select = word,
            () if is(of(common::DRIVER_FEATURE)) => self.write_features(word, violations),
            () if is(of(common::CONFIG_MSIX_VECTOR)) => self.config_vector = half,
            () if is(of(common::DEVICE_STATUS)) => return self.write_status(a, violations),
            () if is(of(common::QUEUE_SELECT)) => self.queue_select = half,
            () if is(of(common::QUEUE_SIZE)) => self.write_size(half, violations),
            () if is(of(common::QUEUE_MSIX_VECTOR)) => self.change_queue(violations, |queue| queue.vector = half),
            () if is(of(common::QUEUE_ENABLE)) => self.enable(half, violations),
            () if is(of(common::QUEUE_DESC_LO)) => self.change_queue(violations, |queue| set_low(&mut queue.addresses[0], word)),
            () if is(of(common::QUEUE_DESC_HI)) => self.change_queue(violations, |queue| set_high(&mut queue.addresses[0], word)),
            () if is(of(common::QUEUE_DRIVER_LO)) => self.change_queue(violations, |queue| set_low(&mut queue.addresses[1], word)),
            () if is(of(common::QUEUE_DRIVER_HI)) => self.change_queue(violations, |queue| set_high(&mut queue.addresses[1], word)),
            () if is(of(common::QUEUE_DEVICE_LO)) => self.change_queue(violations, |queue| set_low(&mut queue.addresses[2], word)),
            () if is(of(common::QUEUE_DEVICE_HI)) => self.change_queue(violations, |queue| set_high(&mut queue.addresses[2], word)),
            () if [of(common::NUM_QUEUES), of(common::QUEUE_NOTIFY_OFF)].into_iter().any(is)
                || [of(common::DEVICE_FEATURE), of(common::CONFIG_GENERATION)].into_iter().any(is) =>
            {
                violations.record("a read-only register is not written", format_args!("common configuration at {at:#x}"));
            }
            () => violations.record(FIELD, format_args!("common configuration, write of {width:?} at {at:#x}")),
        }
        Asked::Nothing
    }

    fn write_features(&mut self, word: u32, violations: &mut Violations) {
        if self.status & status::FEATURES_OK != 0 || self.status & status::DRIVER == 0 {
            let detail = format_args!("status {:#x}, word {} = {word:#x}", self.status, self.driver_select);
            violations.record("features are accepted between DRIVER and FEATURES_OK", detail);
            return;
        }
        let mut words = self.accepted.to_words();
        match words.get_mut(self.driver_select as usize) {
            Some(chosen) => *chosen = word,
            None if word != 0 => violations.record(OFFERED, format_args!("word {} = {word:#x}", self.driver_select)),
            None => {}
        }
        self.accepted = Features::from_words(words);
    }

    fn write_status(&mut self, value: u8, violations: &mut Violations) -> Asked {
        use status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED, FEATURES_OK, NEEDS_RESET};
        if value == 0 {
            return Asked::Reset;
        }
        if self.resetting.is_some() {
            violations.record("after a reset the status is read until it is 0", format_args!("{value:#x} was written"));
        }
        let new = value & !self.status;
        let mut check = |holds: bool, rule: &'static str| {
            if !holds {
                violations.record(rule, format_args!("{:#x} over {:#x}", value, self.status));
            }
        };
        let kept = self.status & !NEEDS_RESET;
        check(value & kept == kept, "a bit of the status is not cleared");
        check(new & DRIVER == 0 || value & ACKNOWLEDGE != 0, "ACKNOWLEDGE comes before DRIVER");
        check(new & FEATURES_OK == 0 || value & DRIVER != 0, "DRIVER comes before FEATURES_OK");
        check(new & FEATURES_OK == 0 || value & DRIVER_OK == 0, "FEATURES_OK is read back before DRIVER_OK");
        check(new & DRIVER_OK == 0 || self.status & FEATURES_OK != 0, "FEATURES_OK comes before DRIVER_OK");
        check(value & FAILED != 0 || value & DRIVER_OK == 0 || new & DRIVER_OK != 0, "DRIVER_OK is set once");
        check(self.status & FAILED == 0, "after FAILED comes a reset");
        let mut value = value & !NEEDS_RESET;
        if new & FEATURES_OK != 0 && !self.accepts(violations) {
            value &= !FEATURES_OK;
        }
        if new & DRIVER_OK != 0 {
            self.queues.iter_mut().for_each(|queue| queue.check_early(violations));
        }
        // A device that was not told what to do with features does not come alive.
        if value & FEATURES_OK == 0 {
            value &= !DRIVER_OK;
        }
        self.status = value;
        if new & value & DRIVER_OK != 0 { Asked::Live } else { Asked::Nothing }
    }

    /// The device works with what the driver accepts.
    fn accepts(&self, violations: &mut Violations) -> bool {
        let foreign = self.accepted.without(self.offered);
        if !foreign.is_empty() {
            violations.record(OFFERED, foreign);
        }
        let unmet = self.accepted.unmet_requirement();
        if let Some((feature, needs)) = unmet {
            violations.record("a feature is accepted with what it requires", format_args!("{feature} without {needs}"));
        }
        foreign.is_empty() && unmet.is_none() && self.accepted.contains(self.required)
    }

    /// Changes the selected queue, if it may be changed now.
    fn change_queue(&mut self, violations: &mut Violations, change: impl FnOnce(&mut Queue)) {
        let (select, status, agreed) = (self.queue_select, self.status, self.agreed());
        if agreed.is_empty() {
            violations.record("queues are set up after FEATURES_OK", format_args!("queue {select}, status {status:#x}"));
            return;
        }
        match self.queue(select) {
            Some(queue) if queue.is_enabled() => {
                violations.record("a queue is not changed while it is enabled", format_args!("queue {select}"));
            }
            Some(queue) if queue.max_size() > 0 => change(queue),
            _ => violations.record("the device has the queue", format_args!("queue {select}")),
        }
    }

    fn write_size(&mut self, size: u16, violations: &mut Violations) {
        let is_packed = self.has(Features::RING_PACKED);
        let mut most = 0;
        self.change_queue(violations, |queue| {
            most = queue.max_size();
            queue.size = size;
        });
        if !is_packed && !size.is_power_of_two() {
            violations.record("a split queue's size is a power of two", size);
        }
        if size == 0 || size > most {
            violations.record("a queue's size is from 1 to the device's", format_args!("{size} of {most}"));
        }
    }

    fn enable(&mut self, value: u16, violations: &mut Violations) {
        if value != 1 {
            violations.record("queue_enable is only ever set to 1", value);
            return;
        }
        if self.status & status::DRIVER_OK != 0 {
            violations.record("queues are set up before DRIVER_OK", format_args!("queue {}", self.queue_select));
        }
        let agreed = self.agreed();
        let mut wrong = None;
        self.change_queue(violations, |queue| match ring_of(queue, agreed) {
            Ok(ring) => queue.enable(ring),
            Err(rule) => wrong = Some((rule, format!("queue {}, size {}, addresses {:x?}", queue.number, queue.size, queue.addresses))),
        });
        if let Some((rule, detail)) = wrong {
            violations.record(rule, detail);
        }
    }
}

const FIELD: &str = "a field is accessed by its own width";
const OFFERED: &str = "a driver accepts what is offered";

/// Offset and width.
const fn of<V: MmioWord, A>(register: Reg<V, A>) -> (u32, u32) {
    (register.offset(), V::BYTES)
}

fn set_low(address: &mut u64, word: u32) {
    *address = *address & !0xffff_ffff | u64::from(word);
}

fn set_high(address: &mut u64, word: u32) {
    *address = *address & 0xffff_ffff | u64::from(word) << 32;
}

/// The queue's ring, or the rule that its registers break.
fn ring_of(queue: &Queue, agreed: Features) -> Result<Ring, &'static str> {
    if queue.size == 0 {
        return Err("a queue is enabled with a size");
    }
    if queue.addresses.contains(&0) {
        return Err("a queue is enabled with its three addresses");
    }
    let is_packed = agreed.contains(Features::RING_PACKED);
    let alignments = if is_packed {
        [packed::DESC_ALIGN_BYTES, packed::EVENT_ALIGN_BYTES, packed::EVENT_ALIGN_BYTES]
    } else {
        [split::DESC_ALIGN_BYTES, split::AVAIL_ALIGN_BYTES, split::USED_ALIGN_BYTES]
    };
    if queue.addresses.iter().zip(alignments).any(|(address, align)| !address.is_multiple_of(align as u64)) {
        return Err("the parts of a queue are aligned");
    }
    if is_packed {
        return Ok(Ring::Packed(PackedRing::new(queue.size, queue.addresses)));
    }
    let ring = SplitRing::new(queue.size, queue.addresses, agreed.contains(Features::IN_ORDER));
    ring.map(Ring::Split).ok_or("a split queue's size is a power of two")
}
