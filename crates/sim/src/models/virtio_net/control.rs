//! What a test may look at, and do to the device, while a driver holds it.

use super::{Hostile, VirtioNetModel};
use crate::models::Violation;
use vfwire_spec::{net::MacAddr, virtio::features::Features};

/// What became of the frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VirtioNetCounters {
    /// Written into the driver's buffers.
    pub received_frames: u64,
    /// Given to the wire; segments count one each.
    pub sent_frames: u64,
    /// Not for this function: another address, a VLAN that it has not joined.
    pub filtered_frames: u64,
    /// Longer than the MTU that was agreed on, or shorter than a header.
    pub wrong_size_frames: u64,
    /// Arrived while the queue, the device or the link was off.
    pub off_frames: u64,
    /// Not sent, because they came from another address than the function's.
    pub spoofed_frames: u64,
    /// Found too few buffers.
    pub no_buffer_frames: u64,
    /// Commands that were answered.
    pub commands: u64,
    /// Times that buffers were given back while the driver asked for an interrupt.
    pub interrupts: u64,
}

impl VirtioNetModel {
    /// What the driver did that the specification forbids: the first 64. Tests assert that there is nothing.
    pub fn violations(&mut self) -> &[Violation] {
        self.collect_misuse();
        self.violations.as_slice()
    }

    /// What became of the frames.
    pub fn counters(&self) -> VirtioNetCounters {
        self.counters
    }

    /// The address that the device receives frames for now.
    pub fn mac(&self) -> Option<MacAddr> {
        self.filters.mac
    }

    /// What driver and device agreed on; nothing before FEATURES_OK.
    pub fn features(&self) -> Features {
        self.transport.agreed()
    }

    /// The device is live: DRIVER_OK, and nothing is broken.
    pub fn is_live(&self) -> bool {
        self.transport.is_live()
    }

    /// Queue pairs that the driver uses.
    pub fn pairs(&self) -> u16 {
        self.steering.pairs
    }

    /// The device receives every frame.
    pub fn is_promiscuous(&self) -> bool {
        self.filters.promiscuous
    }

    /// Takes the link down or up.
    pub fn set_link(&mut self, up: bool) {
        if std::mem::replace(&mut self.link_up, up) != up {
            self.config_changed();
        }
    }

    /// The device has an error that only a reset mends: it does nothing more until then.
    pub fn set_needs_reset(&mut self) {
        self.transport.need_reset();
        self.config_changed();
    }

    /// The device is reset behind the driver's back, as when its hypervisor restarts it.
    pub fn restart(&mut self) {
        self.reset_function(false);
        self.config_changed();
    }

    /// The driver is asked to announce itself.
    pub fn ask_for_announcement(&mut self) {
        self.announce = true;
        self.config_changed();
    }

    /// The driver has not yet acknowledged that.
    pub fn awaits_announcement(&self) -> bool {
        self.announce
    }

    /// From now on the device refuses commands of this class and number (`vfwire_spec::virtio::control`), or no longer.
    pub fn refuse(&mut self, class: u8, command: u8, refuse: bool) {
        if refuse {
            self.refused.insert((class, command));
        } else {
            self.refused.remove(&(class, command));
        }
    }

    /// From now on the device answers no command, or again.
    pub fn set_silent(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// Makes the device misbehave, or behave again.
    pub fn set_hostile(&mut self, hostile: Option<Hostile>) {
        self.hostile = hostile;
    }
}
