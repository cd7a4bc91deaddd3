//! Where the device's structures are.

use vfwire_core::bus::BarIndex;
use vfwire_spec::virtio::pci::{Capability, Structure};

/// Bytes of every structure but the notifications: a page each, as hypervisors do.
const STRUCTURE_BYTES: u32 = 0x1000;

/// Where a structure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// In which BAR.
    pub bar: u8,
    /// Where it begins, in bytes.
    pub offset: u32,
    /// How long it is, in bytes.
    pub len_bytes: u32,
}

impl Place {
    const fn page(bar: u8, offset: u32) -> Self {
        Self { bar, offset, len_bytes: STRUCTURE_BYTES }
    }

    /// The offset in the structure of an access to its BAR.
    fn find(self, bar: BarIndex, offset: u32) -> Option<u32> {
        offset.checked_sub(self.offset).filter(|inside| bar.get() == self.bar && *inside < self.len_bytes)
    }

    fn end(self) -> u64 {
        u64::from(self.offset) + u64::from(self.len_bytes)
    }
}

/// Where all of them are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The common configuration.
    pub common: Place,
    /// Interrupt status.
    pub isr: Place,
    /// The configuration of the network device.
    pub device: Place,
    /// Notifications.
    pub notify: Place,
    /// Bytes from one queue's notification to the next's. 0: all queues have the same.
    pub notify_multiplier: u32,
    /// The BARs are shorter than the capabilities say: of so many bytes.
    pub cut_bytes: Option<u32>,
}

/// Which structure an access is to, and where in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    Common(u32),
    Isr(u32),
    Device(u32),
    Notify(u32),
}

impl Default for Layout {
    /// As QEMU's: four pages of BAR 4, and no other BAR.
    fn default() -> Self {
        Self {
            common: Place::page(4, 0),
            isr: Place::page(4, 0x1000),
            device: Place::page(4, 0x2000),
            notify: Place::page(4, 0x3000),
            notify_multiplier: 4,
            cut_bytes: None,
        }
    }
}

impl Layout {
    /// Each structure in a BAR of its own, none at its start; a page for each queue's notifications.
    pub fn scattered() -> Self {
        Self {
            common: Place { bar: 2, offset: 0x134, len_bytes: 0x100 },
            isr: Place { bar: 5, offset: 0x7, len_bytes: 1 },
            device: Place { bar: 0, offset: 0x2_0010, len_bytes: 0x40 },
            notify: Place { bar: 1, offset: 0x8000, len_bytes: 0x10_1000 },
            notify_multiplier: 0x1000,
            cut_bytes: None,
        }
    }

    /// As the default, but one notification register for all queues.
    pub fn shared_notification() -> Self {
        Self { notify_multiplier: 0, ..Self::default() }
    }

    /// As the default, but the notifications lie behind the end of the BAR.
    pub fn outside() -> Self {
        Self { cut_bytes: Some(0x3000), ..Self::default() }
    }

    /// The layout called so.
    pub(super) fn parse(value: &str) -> Result<Self, String> {
        match value {
            "default" => Ok(Self::default()),
            "scattered" => Ok(Self::scattered()),
            "shared" => Ok(Self::shared_notification()),
            "outside" => Ok(Self::outside()),
            _ => Err(format!("layout={value}: give default, scattered, shared or outside")),
        }
    }

    pub(super) fn at(&self, bar: BarIndex, offset: u32) -> Option<At> {
        let find = |place: Place| place.find(bar, offset);
        let common = find(self.common).map(At::Common).or_else(|| find(self.isr).map(At::Isr));
        common.or_else(|| find(self.device).map(At::Device)).or_else(|| find(self.notify).map(At::Notify))
    }

    /// The notification of a queue: BAR and offset.
    pub(super) fn notification(&self, queue: u16) -> (Option<BarIndex>, u32) {
        (BarIndex::new(self.notify.bar), self.notify.offset + u32::from(queue) * self.notify_multiplier)
    }

    pub(super) fn bar_len_bytes(&self, bar: BarIndex) -> Option<u32> {
        let places = [self.common, self.isr, self.device, self.notify];
        let end = places.into_iter().filter(|place| place.bar == bar.get()).map(Place::end).max()?;
        let len_bytes = u32::try_from(end).unwrap_or(1 << 31).next_power_of_two().max(STRUCTURE_BYTES);
        Some(self.cut_bytes.map_or(len_bytes, |cut| cut.min(len_bytes)))
    }

    /// The capabilities, in QEMU's order.
    pub(super) fn capabilities(&self) -> Vec<Vec<u8>> {
        let notify = Structure::Notify { off_multiplier: self.notify_multiplier };
        let structures = [
            (Structure::PciAccess, Place { bar: 0, offset: 0, len_bytes: 0 }),
            (notify, self.notify),
            (Structure::Device, self.device),
            (Structure::Isr, self.isr),
            (Structure::Common, self.common),
        ];
        let encode = |(structure, place): (Structure, Place)| {
            let (offset, len_bytes) = (u64::from(place.offset), u64::from(place.len_bytes));
            let (bytes, used) = Capability { structure, bar: place.bar, id: 0, offset, len_bytes }.encode(0);
            bytes[..used].to_vec()
        };
        structures.into_iter().map(encode).collect()
    }
}
