//! The configuration of the network device (5.1.4), and its generation (4.1.4.3.1).

use super::{options::VirtioNetOptions, steering::HASH_TYPES};
use crate::{model::Width, models::Violations};
use vfwire_spec::{
    net::MacAddr,
    reg::{MmioWord, Reg},
    virtio::{
        features::Features,
        net::{RSS_KEY_BYTES, RSS_TABLE_ENTRIES, config},
    },
};

/// What of the configuration can change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Now {
    pub(super) mac: MacAddr,
    pub(super) link_up: bool,
    pub(super) announce: bool,
}

#[derive(Debug, Default)]
pub(super) struct Generation {
    number: u8,
    /// Something has changed since it was last looked at.
    pub(super) changed: bool,
    /// It changes whenever it is looked at.
    unsettled: bool,
}

impl Generation {
    pub(super) fn new(unsettled: bool) -> Self {
        Self { unsettled, ..Self::default() }
    }

    /// A field is read: what has changed becomes visible.
    fn look(&mut self) {
        if std::mem::take(&mut self.changed) || self.unsettled {
            self.number = self.number.wrapping_add(1);
        }
    }

    pub(super) fn number(&self) -> u8 {
        self.number
    }
}

/// Reads a field.
pub(super) fn read(
    (at, width): (u32, Width),
    (options, offered): (&VirtioNetOptions, Features),
    now: Now,
    generation: &mut Generation,
    violations: &mut Violations,
) -> u64 {
    generation.look();
    let is = |register: (u32, u32)| (at, width) == (register.0, Width::of_bytes(register.1));
    let mac = (0..6).find(|index| is(of(config::MAC.index(*index))));
    let bit = |set: bool, value: u16| if set { value } else { 0 };
    let hashing = Features(Features::RSS.0 | Features::HASH_REPORT.0);
    let (needs_one_of, value) = match () {
        () if mac.is_some() => (Features::MAC, u64::from(now.mac.octets()[mac.unwrap_or(0) as usize])),
        () if is(of(config::STATUS)) => {
            let status = bit(now.link_up, config::LINK_UP) | bit(now.announce, config::ANNOUNCE);
            (Features::STATUS, u64::from(status))
        }
        () if is(of(config::MAX_VIRTQUEUE_PAIRS)) => (Features(Features::MQ.0 | Features::RSS.0), u64::from(options.pairs)),
        () if is(of(config::MTU)) => (Features::MTU, u64::from(options.mtu.unwrap_or(0))),
        () if is(of(config::SPEED)) => (Features::SPEED_DUPLEX, u64::from(options.link_mbps.unwrap_or(config::SPEED_UNKNOWN))),
        () if is(of(config::DUPLEX)) => (Features::SPEED_DUPLEX, u64::from(config::FULL_DUPLEX)),
        () if is(of(config::RSS_MAX_KEY_SIZE)) => (hashing, RSS_KEY_BYTES as u64),
        () if is(of(config::RSS_MAX_INDIRECTION_TABLE_LENGTH)) => (Features::RSS, u64::from(RSS_TABLE_ENTRIES)),
        () if is(of(config::SUPPORTED_HASH_TYPES)) => (hashing, u64::from(HASH_TYPES)),
        () => {
            violations.record("a field is accessed by its own width", format_args!("device configuration, {width:?} at {at:#x}"));
            return 0;
        }
    };
    if offered.0 & needs_one_of.0 == 0 {
        violations.record("a field is read where its feature is offered", format_args!("{at:#x} without {needs_one_of}"));
        return 0;
    }
    value
}

/// Offset and width.
const fn of<V: MmioWord, A>(register: Reg<V, A>) -> (u32, u32) {
    (register.offset(), V::BYTES)
}
