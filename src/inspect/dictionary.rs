//! What words are called: registers of a device, wherever it has them, and configuration space.

use super::MailboxWords;
use crate::registry;
use vfwire_recorder::{Access, Recording, Space, What};
use vfwire_spec::{
    pci::{self, CAPABILITY_NEXT, CAPABILITY_VENDOR, CONFIG_BYTES, MAX_CAPABILITIES},
    reg::RegName,
    virtio,
};

/// What a driver's registers and messages are called.
pub(crate) struct Language {
    /// Its registers.
    pub(crate) registers: Registers,
    /// The mailbox, where there is one.
    pub(crate) mailbox: Option<MailboxWords>,
    /// Why the driver cannot be run on a recording; nothing where it can.
    pub(crate) not_replayed: Option<&'static str>,
}

/// Where a device has its registers.
pub(crate) enum Registers {
    /// In this BAR, at offsets that have names.
    InBar(u8, NameOf),
    /// Where the virtio capabilities say, for a network device.
    Virtio,
}

/// The name of the register at an offset.
pub(crate) type NameOf = fn(u32) -> Option<RegName>;

/// The words of one recording.
pub(super) struct Dictionary {
    language: Option<&'static Language>,
    windows: Vec<Window>,
}

/// A part of a BAR in which offsets have names.
struct Window {
    bar: u8,
    from: u64,
    len_bytes: u64,
    prefix: &'static str,
    name_of: NameOf,
}

impl Dictionary {
    pub(super) fn of(recording: &Recording) -> Self {
        let language = registry::language_of(&recording.port.driver);
        let windows = match language.map(|language| &language.registers) {
            Some(Registers::InBar(bar, name_of)) => {
                vec![Window { bar: *bar, from: 0, len_bytes: u64::MAX, prefix: "", name_of: *name_of }]
            }
            Some(Registers::Virtio) => virtio_windows(&config_space(recording)),
            None => Vec::new(),
        };
        Self { language, windows }
    }

    pub(super) fn mailbox(&self) -> Option<&'static MailboxWords> {
        self.language?.mailbox.as_ref()
    }

    /// What a word is called.
    pub(super) fn word(&self, access: &Access) -> String {
        let Access { space, offset, .. } = access;
        let name = match space {
            Space::Bar(bar) => self.windows.iter().filter(|window| window.bar == *bar).find_map(|window| window.name(*offset)),
            Space::Config => config_name(*offset).map(str::to_owned),
        };
        name.unwrap_or_else(|| format!("{space} {offset:#06x}"))
    }
}

impl Window {
    fn name(&self, offset: u32) -> Option<String> {
        let inside = u64::from(offset).checked_sub(self.from).filter(|inside| *inside < self.len_bytes)?;
        let name = (self.name_of)(u32::try_from(inside).ok()?)?;
        Some(format!("{}{name}", self.prefix))
    }
}

/// As much of the standard configuration space as was read; zeros elsewhere.
fn config_space(recording: &Recording) -> Vec<u8> {
    let mut space = vec![0; usize::from(CONFIG_BYTES)];
    for step in recording.calls.iter().flat_map(|call| &call.steps) {
        if let What::Read { access: access @ Access { space: Space::Config, .. }, .. } = &step.what {
            let from = usize::try_from(access.offset).unwrap_or(usize::MAX);
            let bytes = access.value.to_le_bytes();
            space.iter_mut().skip(from).zip(&bytes[..usize::from(access.width_bytes.min(8))]).for_each(|(to, from)| *to = *from);
        }
    }
    space
}

/// Where the structures are, by the capabilities (virtio 1.2, 4.1.4). What makes no sense has no names.
fn virtio_windows(space: &[u8]) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut at = usize::from(space[usize::from(pci::CAPABILITIES_POINTER)] & !3);
    for _ in 0..MAX_CAPABILITIES {
        let bytes = space.get(at..).unwrap_or_default();
        if at == 0 || bytes.len() <= usize::from(CAPABILITY_NEXT) {
            break;
        }
        if bytes[0] == CAPABILITY_VENDOR
            && let Ok(Some(found)) = virtio::pci::Capability::decode(bytes)
            && let Some((prefix, name_of)) = virtio_names(found.structure)
        {
            windows.push(Window { bar: found.bar, from: found.offset, len_bytes: found.len_bytes, prefix, name_of });
        }
        at = usize::from(bytes[usize::from(CAPABILITY_NEXT)] & !3);
    }
    windows
}

fn virtio_names(structure: virtio::pci::Structure) -> Option<(&'static str, NameOf)> {
    use virtio::pci::Structure;
    match structure {
        Structure::Common => Some(("", virtio::pci::common::name_of)),
        Structure::Device => Some(("net ", virtio::net::config::name_of)),
        Structure::Isr => Some(("", |offset| (offset == 0).then_some(RegName { name: "ISR", index: None }))),
        _ => None,
    }
}

fn config_name(offset: u32) -> Option<&'static str> {
    const NAMES: [(u16, &str); 10] = [
        (pci::VENDOR_ID, "VENDOR_ID"),
        (pci::DEVICE_ID, "DEVICE_ID"),
        (pci::COMMAND, "COMMAND"),
        (pci::STATUS, "STATUS"),
        (pci::REVISION_ID, "REVISION_ID"),
        (pci::HEADER_TYPE, "HEADER_TYPE"),
        (pci::BAR0, "BAR0"),
        (pci::SUBSYSTEM_VENDOR_ID, "SUBSYSTEM_VENDOR_ID"),
        (pci::SUBSYSTEM_ID, "SUBSYSTEM_ID"),
        (pci::CAPABILITIES_POINTER, "CAPABILITIES_POINTER"),
    ];
    NAMES.iter().find(|(at, _)| u32::from(*at) == offset).map(|(_, name)| *name)
}
