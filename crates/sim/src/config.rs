//! Configuration space of a simulated function: a type 0 header, of which a driver may write the command register, and capabilities.

use vfwire_spec::pci::{
    CAPABILITIES_POINTER, CAPABILITY_NEXT, CLASS_CODE, COMMAND, COMMAND_BUS_MASTER, COMMAND_INTX_DISABLE, COMMAND_MEMORY, CONFIG_BYTES,
    DEVICE_ID, PciId, STATUS, STATUS_CAPABILITY_LIST, VENDOR_ID,
};

/// Where capabilities begin: behind the header (PCI Local Bus 3.0, 6.7).
const CAPABILITIES_AT: u16 = 0x40;

/// The bits of the command register that take.
const COMMAND_WRITABLE: u16 = COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE;

#[derive(Debug)]
pub(crate) struct ConfigSpace([u8; CONFIG_BYTES as usize]);

impl ConfigSpace {
    /// `capabilities` follow one another behind the header; they must fit.
    pub(crate) fn new(id: PciId, class: u32, capabilities: &[Vec<u8>]) -> Self {
        let mut space = Self([0; CONFIG_BYTES as usize]);
        space.put(VENDOR_ID, &id.vendor.to_le_bytes());
        space.put(DEVICE_ID, &id.device.to_le_bytes());
        space.put(CLASS_CODE, &class.to_le_bytes()[..3]);
        let (mut pointer, mut at) = (CAPABILITIES_POINTER, CAPABILITIES_AT);
        for capability in capabilities {
            space.put(STATUS, &STATUS_CAPABILITY_LIST.to_le_bytes());
            space.put(pointer, &at.to_le_bytes()[..1]);
            space.put(at, capability);
            space.put(at + CAPABILITY_NEXT, &[0]);
            pointer = at + CAPABILITY_NEXT;
            at += u16::try_from(capability.len().next_multiple_of(4)).expect("a capability is shorter than configuration space");
        }
        space
    }

    /// The word of `bytes` bytes at `offset`, or nothing where it is not inside the space.
    pub(crate) fn read(&self, offset: u16, bytes: u32) -> Option<u64> {
        let start = usize::from(offset);
        let word = self.0.get(start..start + bytes as usize)?;
        Some(word.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// Writes; read-only bits stay as they are. Nothing where the word is not inside the space.
    pub(crate) fn write(&mut self, offset: u16, bytes: u32, value: u64) -> Option<()> {
        self.read(offset, bytes)?;
        for (at, byte) in (offset..).zip(value.to_le_bytes()).take(bytes as usize) {
            let mask = match at.checked_sub(COMMAND) {
                Some(half @ 0..=1) => COMMAND_WRITABLE.to_le_bytes()[usize::from(half)],
                _ => 0,
            };
            let kept = &mut self.0[usize::from(at)];
            *kept = *kept & !mask | byte & mask;
        }
        Some(())
    }

    pub(crate) fn set_bus_master(&mut self) {
        let command = self.command() | COMMAND_BUS_MASTER;
        self.put(COMMAND, &command.to_le_bytes());
    }

    pub(crate) fn is_bus_master(&self) -> bool {
        self.command() & COMMAND_BUS_MASTER != 0
    }

    /// A function-level reset clears the command register (PCI Express Base 6.0, 6.6.2).
    pub(crate) fn reset(&mut self) {
        self.put(COMMAND, &[0; 2]);
    }

    fn command(&self) -> u16 {
        let at = usize::from(COMMAND);
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn put(&mut self, offset: u16, bytes: &[u8]) {
        let start = usize::from(offset);
        self.0[start..start + bytes.len()].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_command_register_takes() {
        let mut space = ConfigSpace::new(PciId::intel(0x10ca), 0x02_0000, &[]);
        assert_eq!(space.read(0, 4), Some(0x10ca_8086));
        assert_eq!(space.read(0x8, 4), Some(0x0200_0000));
        space.write(0, 4, 0).expect("inside");
        assert_eq!(space.read(0, 4), Some(0x10ca_8086));
        space.write(4, 2, 0xffff).expect("inside");
        assert_eq!(space.read(4, 2), Some(0x0406));
        assert!(space.is_bus_master());
        space.reset();
        assert!(!space.is_bus_master());
    }

    #[test]
    fn the_end_is_an_end() {
        let mut space = ConfigSpace::new(PciId::intel(0x10ca), 0x02_0000, &[]);
        assert_eq!(space.read(255, 1), Some(0));
        assert_eq!(space.read(255, 2), None);
        assert_eq!(space.write(256, 1, 0), None);
    }

    #[test]
    fn capabilities_form_a_list() {
        let space = ConfigSpace::new(PciId::intel(0x10ca), 0x02_0000, &[vec![9, 0xff, 5, 1, 2], vec![0x11, 0xff]]);
        assert_eq!((space.read(6, 2), space.read(0x34, 1)), (Some(0x10), Some(0x40)));
        assert_eq!(space.read(0x40, 4), Some(0x01_05_48_09));
        assert_eq!((space.read(0x44, 4), space.read(0x48, 4)), (Some(2), Some(0x11)));
        assert_eq!(ConfigSpace::new(PciId::intel(0x10ca), 0x02_0000, &[]).read(6, 2), Some(0));
    }
}
