//! Where a virtio function has its structures, and the common configuration (4.1.4).
//!
//! Each structure is named by a vendor capability: BAR, offset and length, which are the device's choice. The registers here are
//! relative to the start of their structure.

use crate::{
    pci::CAPABILITY_VENDOR,
    reg::{ClearOnRead, Reg, Ro, Rw},
};
use core::fmt;

/// Where the fields of a capability lie, in bytes (4.1.4).
const LEN_AT: usize = 2;
const TYPE_AT: usize = 3;
const BAR_AT: usize = 4;
const ID_AT: usize = 5;
const OFFSET_AT: usize = 8;
const LENGTH_AT: usize = 12;
/// What follows the 16 bytes: the multiplier of a notification capability (4.1.4.4), the high halves of `virtio_pci_cap64` (4.1.4).
const EXTRA_AT: usize = 16;

/// Bytes of a capability (4.1.4).
pub const CAPABILITY_BYTES: usize = 16;
/// Bytes of a notification capability (4.1.4.4), and of one for access through configuration space (4.1.4.9).
pub const CAPABILITY_NOTIFY_BYTES: usize = 20;
/// Bytes of a capability with 64-bit offset and length (4.1.4, `virtio_pci_cap64`).
pub const CAPABILITY_64_BYTES: usize = 24;
/// The most bytes of a capability that are looked at.
pub const CAPABILITY_MAX_BYTES: usize = CAPABILITY_64_BYTES;

/// Which structure a capability names (4.1.4, field `cfg_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Structure {
    /// Common configuration, [`common`] (4.1.4.3).
    Common,
    /// Where queues are notified (4.1.4.4).
    Notify {
        /// Bytes from one queue's notification register to the next's, see [`notify_offset`].
        off_multiplier: u32,
    },
    /// Interrupt status, [`ISR`] (4.1.4.5).
    Isr,
    /// Configuration of the kind of device (4.1.4.6), for a network device [`net::config`](super::net::config).
    Device,
    /// Access to BARs through configuration space (4.1.4.9).
    PciAccess,
    /// A region of shared memory, with 64-bit offset and length (4.1.4.7).
    SharedMemory,
}

impl Structure {
    /// The value of `cfg_type` (4.1.4).
    pub const fn cfg_type(self) -> u8 {
        match self {
            Self::Common => 1,
            Self::Notify { .. } => 2,
            Self::Isr => 3,
            Self::Device => 4,
            Self::PciAccess => 5,
            Self::SharedMemory => 8,
        }
    }

    /// Bytes of its capability.
    pub const fn capability_bytes(self) -> usize {
        match self {
            Self::Common | Self::Isr | Self::Device => CAPABILITY_BYTES,
            Self::Notify { .. } | Self::PciAccess => CAPABILITY_NOTIFY_BYTES,
            Self::SharedMemory => CAPABILITY_64_BYTES,
        }
    }
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Common => "common configuration",
            Self::Notify { .. } => "notification",
            Self::Isr => "ISR status",
            Self::Device => "device configuration",
            Self::PciAccess => "PCI configuration access",
            Self::SharedMemory => "shared memory",
        })
    }
}

/// What a vendor capability says (4.1.4). Nothing of it is checked against the BAR: offset and length are the device's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capability {
    /// Which structure.
    pub structure: Structure,
    /// In which BAR: 0 to 5.
    pub bar: u8,
    /// Tells apart several of a kind, where the kind of device says how.
    pub id: u8,
    /// Where the structure begins in the BAR, in bytes.
    pub offset: u64,
    /// How long it is, in bytes. It may be longer than what is used of it.
    pub len_bytes: u64,
}

/// Why the bytes are no capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CapabilityError {
    /// The ID of the capability is not that of vendor capabilities.
    NotVendor(u8),
    /// Its length field is too small for what it names.
    TooShort {
        /// The type field.
        cfg_type: u8,
        /// The length field, in bytes.
        len_bytes: u8,
        /// What it would have to be at least, in bytes.
        needed_bytes: usize,
    },
    /// Configuration space ends inside it.
    Cut {
        /// How many bytes there are.
        available_bytes: usize,
        /// How many there would have to be.
        needed_bytes: usize,
    },
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVendor(id) => write!(f, "capability {id:#04x} is not a vendor capability ({CAPABILITY_VENDOR:#04x})"),
            Self::TooShort { cfg_type, len_bytes, needed_bytes } => {
                write!(f, "a virtio capability of type {cfg_type} says it has {len_bytes} bytes, it needs {needed_bytes}")
            }
            Self::Cut { available_bytes, needed_bytes } => {
                write!(f, "configuration space ends inside a virtio capability: {available_bytes} of {needed_bytes} bytes are there")
            }
        }
    }
}

impl core::error::Error for CapabilityError {}

impl Capability {
    /// Decodes `bytes`, which begin with the capability and end with it or with configuration space. `None` for what a driver must ignore
    /// (4.1.4.1): a reserved type, a reserved BAR, the vendor's own data.
    ///
    /// # Errors
    /// [`CapabilityError`] where it is too short for what it names.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, CapabilityError> {
        let cut = |needed_bytes| CapabilityError::Cut { available_bytes: bytes.len(), needed_bytes };
        let &[id, _, cap_len, cfg_type] = bytes.first_chunk().ok_or(cut(BAR_AT))?;
        if id != CAPABILITY_VENDOR {
            return Err(CapabilityError::NotVendor(id));
        }
        let needed_bytes = match cfg_type {
            1 | 3 | 4 => CAPABILITY_BYTES,
            2 | 5 => CAPABILITY_NOTIFY_BYTES,
            8 => CAPABILITY_64_BYTES,
            _ => return Ok(None),
        };
        if usize::from(cap_len) < needed_bytes {
            return Err(CapabilityError::TooShort { cfg_type, len_bytes: cap_len, needed_bytes });
        }
        let bytes = bytes.get(..needed_bytes).ok_or(cut(needed_bytes))?;
        let structure = match cfg_type {
            1 => Structure::Common,
            2 => Structure::Notify { off_multiplier: word(bytes, EXTRA_AT) },
            3 => Structure::Isr,
            4 => Structure::Device,
            5 => Structure::PciAccess,
            _ => Structure::SharedMemory,
        };
        let high = |at| if structure == Structure::SharedMemory { u64::from(word(bytes, at)) << 32 } else { 0 };
        let found = Self {
            structure,
            bar: bytes[BAR_AT],
            id: bytes[ID_AT],
            offset: u64::from(word(bytes, OFFSET_AT)) | high(EXTRA_AT),
            len_bytes: u64::from(word(bytes, LENGTH_AT)) | high(EXTRA_AT + 4),
        };
        Ok((found.bar < 6).then_some(found))
    }

    /// The capability as it lies in configuration space, with the offset of the next one, and how many bytes of the array it has. Halves
    /// that its form has no room for are left out.
    pub fn encode(&self, next: u8) -> ([u8; CAPABILITY_MAX_BYTES], usize) {
        let mut bytes = [0; CAPABILITY_MAX_BYTES];
        let len_bytes = self.structure.capability_bytes();
        bytes[0] = CAPABILITY_VENDOR;
        bytes[1] = next;
        bytes[LEN_AT] = len_bytes.to_le_bytes()[0];
        bytes[TYPE_AT] = self.structure.cfg_type();
        bytes[BAR_AT] = self.bar;
        bytes[ID_AT] = self.id;
        let (offset, length) = (self.offset.to_le_bytes(), self.len_bytes.to_le_bytes());
        bytes[OFFSET_AT..OFFSET_AT + 4].copy_from_slice(&offset[..4]);
        bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length[..4]);
        match self.structure {
            Structure::Notify { off_multiplier } => bytes[EXTRA_AT..EXTRA_AT + 4].copy_from_slice(&off_multiplier.to_le_bytes()),
            Structure::SharedMemory => {
                bytes[EXTRA_AT..EXTRA_AT + 4].copy_from_slice(&offset[4..]);
                bytes[EXTRA_AT + 4..].copy_from_slice(&length[4..]);
            }
            _ => {}
        }
        (bytes, len_bytes)
    }
}

/// The 32-bit word at `at`; 0 where there is none.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word))
}

/// Where in the notification structure a queue is notified, in bytes (4.1.4.4).
pub const fn notify_offset(queue_notify_off: u16, off_multiplier: u32) -> u64 {
    queue_notify_off as u64 * off_multiplier as u64
}

/// Interrupt status, relative to its structure (4.1.4.5).
pub const ISR: Reg<u8, ClearOnRead> = Reg::at(0);
/// [`ISR`]: a queue has used buffers.
pub const ISR_QUEUE: u8 = 1 << 0;
/// [`ISR`]: the device's configuration has changed.
pub const ISR_CONFIG: u8 = 1 << 1;
/// Bytes of the structure that [`ISR`] needs.
pub const ISR_BYTES: u64 = 1;

/// Vector number that means none (4.1.5.1.2).
pub const NO_VECTOR: u16 = 0xffff;

/// The common configuration (4.1.4.3), relative to its structure. Each field is accessed by its natural width; addresses of 64 bits by
/// two words of 32 (4.1.3.1).
pub mod common {
    use super::{Reg, Ro, Rw};

    /// `device_feature_select`: which word [`DEVICE_FEATURE`] shows.
    pub const DEVICE_FEATURE_SELECT: Reg<u32, Rw> = Reg::at(0x00);
    /// `device_feature`: what the device offers.
    pub const DEVICE_FEATURE: Reg<u32, Ro> = Reg::at(0x04);
    /// `driver_feature_select`: which word [`DRIVER_FEATURE`] is.
    pub const DRIVER_FEATURE_SELECT: Reg<u32, Rw> = Reg::at(0x08);
    /// `driver_feature`: what the driver accepts.
    pub const DRIVER_FEATURE: Reg<u32, Rw> = Reg::at(0x0c);
    /// `config_msix_vector`: vector of configuration changes.
    pub const CONFIG_MSIX_VECTOR: Reg<u16, Rw> = Reg::at(0x10);
    /// `num_queues`: the most queues that the device has.
    pub const NUM_QUEUES: Reg<u16, Ro> = Reg::at(0x12);
    /// `device_status`, bits of [`status`](super::status). Writing 0 resets the device; it reads as 0 when that is done.
    pub const DEVICE_STATUS: Reg<u8, Rw> = Reg::at(0x14);
    /// `config_generation`: changes with the device's configuration.
    pub const CONFIG_GENERATION: Reg<u8, Ro> = Reg::at(0x15);
    /// `queue_select`: which queue the registers below are of.
    pub const QUEUE_SELECT: Reg<u16, Rw> = Reg::at(0x16);
    /// `queue_size`: in descriptors. After a reset the most that the queue can have; 0: there is no such queue.
    pub const QUEUE_SIZE: Reg<u16, Rw> = Reg::at(0x18);
    /// `queue_msix_vector`: vector of the queue.
    pub const QUEUE_MSIX_VECTOR: Reg<u16, Rw> = Reg::at(0x1a);
    /// `queue_enable`: 1 enables. 0 is never written.
    pub const QUEUE_ENABLE: Reg<u16, Rw> = Reg::at(0x1c);
    /// `queue_notify_off`: see [`notify_offset`](super::notify_offset).
    pub const QUEUE_NOTIFY_OFF: Reg<u16, Ro> = Reg::at(0x1e);
    /// `queue_desc`, low half: address of the descriptor table or ring.
    pub const QUEUE_DESC_LO: Reg<u32, Rw> = Reg::at(0x20);
    /// `queue_desc`, high half.
    pub const QUEUE_DESC_HI: Reg<u32, Rw> = Reg::at(0x24);
    /// `queue_driver`, low half: address of the available ring, or of the driver's event suppression.
    pub const QUEUE_DRIVER_LO: Reg<u32, Rw> = Reg::at(0x28);
    /// `queue_driver`, high half.
    pub const QUEUE_DRIVER_HI: Reg<u32, Rw> = Reg::at(0x2c);
    /// `queue_device`, low half: address of the used ring, or of the device's event suppression.
    pub const QUEUE_DEVICE_LO: Reg<u32, Rw> = Reg::at(0x30);
    /// `queue_device`, high half.
    pub const QUEUE_DEVICE_HI: Reg<u32, Rw> = Reg::at(0x34);
    /// Bytes of the structure up to here: what every device has.
    pub const BYTES: u64 = 0x38;
    /// `queue_notify_data`: what notifications name the queue by; only with NOTIF_CONFIG_DATA.
    pub const QUEUE_NOTIFY_DATA: Reg<u16, Ro> = Reg::at(0x38);
    /// `queue_reset`: 1 resets the queue; only with RING_RESET.
    pub const QUEUE_RESET: Reg<u16, Rw> = Reg::at(0x3a);
    /// Bytes of the structure with what version 1.2 added.
    pub const BYTES_1_2: u64 = 0x3c;

    crate::reg::register_names! {
        in "pci.rs", indented "    ";
        one:
            DEVICE_FEATURE_SELECT DEVICE_FEATURE DRIVER_FEATURE_SELECT DRIVER_FEATURE CONFIG_MSIX_VECTOR NUM_QUEUES DEVICE_STATUS
            CONFIG_GENERATION QUEUE_SELECT QUEUE_SIZE QUEUE_MSIX_VECTOR QUEUE_ENABLE QUEUE_NOTIFY_OFF QUEUE_DESC_LO QUEUE_DESC_HI
            QUEUE_DRIVER_LO QUEUE_DRIVER_HI QUEUE_DEVICE_LO QUEUE_DEVICE_HI QUEUE_NOTIFY_DATA QUEUE_RESET;
        array:

    }
}

/// Bits of [`common::DEVICE_STATUS`] (2.1).
pub mod status {
    /// The device was found.
    pub const ACKNOWLEDGE: u8 = 1;
    /// There is a driver for it.
    pub const DRIVER: u8 = 2;
    /// The driver is ready: the device is live.
    pub const DRIVER_OK: u8 = 4;
    /// Features are agreed on. Reads as clear after it was set where the device refuses them.
    pub const FEATURES_OK: u8 = 8;
    /// The device has an error from which only a reset leads out.
    pub const NEEDS_RESET: u8 = 0x40;
    /// The driver has given up.
    pub const FAILED: u8 = 0x80;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    /// What QEMU `hw/virtio/virtio-pci.c` puts together, by hand: virtio_pci_modern_regions_init (structures at 0, 0x1000, 0x2000 and
    /// 0x3000 of the modern BAR, which is 4), virtio_pci_queue_mem_mult (4), virtio_pci_add_mem_cap from 0x40 on, each before the last.
    const QEMU: [(Structure, &[u8]); 5] = [
        (Structure::PciAccess, &[0x09, 0x70, 0x14, 0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (Structure::Notify { off_multiplier: 4 }, &[0x09, 0x60, 0x14, 0x02, 4, 0, 0, 0, 0, 0x30, 0, 0, 0, 0x10, 0, 0, 4, 0, 0, 0]),
        (Structure::Device, &[0x09, 0x50, 0x10, 0x04, 4, 0, 0, 0, 0, 0x20, 0, 0, 0, 0x10, 0, 0]),
        (Structure::Isr, &[0x09, 0x40, 0x10, 0x03, 4, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 0]),
        (Structure::Common, &[0x09, 0x00, 0x10, 0x01, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0]),
    ];

    #[test]
    fn capabilities_of_qemu() {
        for (at, (structure, bytes)) in QEMU.iter().enumerate() {
            let found = Capability::decode(bytes).expect("long enough").expect("known");
            assert_eq!(found.structure, *structure);
            let place = [(0, 0, 0), (4, 0x3000, 0x1000), (4, 0x2000, 0x1000), (4, 0x1000, 0x1000), (4, 0, 0x1000)][at];
            assert_eq!((found.bar, found.offset, found.len_bytes), place);
            let (encoded, len_bytes) = found.encode(bytes[1]);
            assert_eq!(&encoded[..len_bytes], *bytes);
        }
    }

    /// Linux `virtio_pci.h`, struct virtio_pci_cap64: the high halves follow, offset first.
    #[test]
    fn shared_memory_has_64_bits() {
        let bytes = [0x09, 0, 24, 8, 2, 7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0];
        let found = Capability::decode(&bytes).expect("long enough").expect("known");
        assert_eq!((found.bar, found.id, found.offset, found.len_bytes), (2, 7, 0x3_0000_0001, 0x4_0000_0002));
        assert_eq!(found.encode(0), (bytes, 24));
    }

    #[test]
    fn what_is_too_short_is_an_error() {
        for (_, whole) in QEMU {
            for len in 0..whole.len() {
                let error = Capability::decode(&whole[..len]).expect_err("cut");
                assert!(matches!(error, CapabilityError::Cut { available_bytes, .. } if available_bytes == len), "{error}");
                let mut shorter = whole.to_vec();
                shorter[LEN_AT] = len.to_le_bytes()[0];
                let error = Capability::decode(&shorter).expect_err("its length is too small");
                assert!(matches!(error, CapabilityError::TooShort { .. }), "{error}");
            }
        }
        let error = Capability::decode(&[0x11, 0, 0, 0]).expect_err("MSI-X").to_string();
        assert!(error.contains("0x11"), "{error}");
    }

    /// 4.1.4.1: reserved types and BARs, and the vendor's own data, are passed over; a greater length is taken.
    #[test]
    fn what_must_be_ignored() {
        let with = |at: usize, value: u8| {
            let mut bytes = QEMU[4].1.to_vec();
            bytes[at] = value;
            bytes
        };
        for ignored in [with(TYPE_AT, 0), with(TYPE_AT, 6), with(TYPE_AT, 9), with(TYPE_AT, 0xff), with(BAR_AT, 6)] {
            assert_eq!(Capability::decode(&ignored), Ok(None));
        }
        assert_eq!(Capability::decode(&with(LEN_AT, 0x20)), Capability::decode(QEMU[4].1));
    }

    /// Linux `virtio_pci.h`, VIRTIO_PCI_COMMON_*.
    #[test]
    fn common_configuration() {
        use common::*;
        let words = [DEVICE_FEATURE_SELECT, DRIVER_FEATURE_SELECT, DRIVER_FEATURE].map(Reg::offset);
        assert_eq!((words, DEVICE_FEATURE.offset()), ([0, 8, 12], 4));
        assert_eq!([CONFIG_MSIX_VECTOR, QUEUE_SELECT, QUEUE_SIZE, QUEUE_MSIX_VECTOR, QUEUE_ENABLE].map(Reg::offset), [16, 22, 24, 26, 28]);
        assert_eq!((NUM_QUEUES.offset(), QUEUE_NOTIFY_OFF.offset()), (18, 30));
        assert_eq!((DEVICE_STATUS.offset(), CONFIG_GENERATION.offset()), (20, 21));
        let addresses = [QUEUE_DESC_LO, QUEUE_DESC_HI, QUEUE_DRIVER_LO, QUEUE_DRIVER_HI, QUEUE_DEVICE_LO, QUEUE_DEVICE_HI];
        assert_eq!(addresses.map(Reg::offset), [32, 36, 40, 44, 48, 52]);
        assert_eq!((QUEUE_NOTIFY_DATA.offset(), QUEUE_RESET.offset(), BYTES, BYTES_1_2), (56, 58, 56, 60));
    }

    /// Linux `virtio_config.h`, VIRTIO_CONFIG_S_*; `virtio_pci.h`, VIRTIO_PCI_ISR_CONFIG, VIRTIO_MSI_NO_VECTOR.
    #[test]
    fn bits() {
        use status::*;
        assert_eq!([ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED], [1, 2, 4, 8, 0x40, 0x80]);
        assert_eq!((ISR_QUEUE, ISR_CONFIG, ISR.offset(), NO_VECTOR), (1, 2, 0, 0xffff));
    }

    #[test]
    fn notification_offsets_do_not_wrap() {
        assert_eq!((notify_offset(3, 4), notify_offset(7, 0)), (12, 0));
        assert_eq!(notify_offset(u16::MAX, u32::MAX), 0xffff * 0xffff_ffff);
    }
}
