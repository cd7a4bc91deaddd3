use super::*;
use std::sync::{Arc, Mutex};
use vfwire_core::{
    bus::{BusEvent, ConfigWord},
    dma::DmaSpace,
};
use vfwire_spec::pci::PciId;

/// Bytes of the one BAR, which is BAR 4.
const BAR_BYTES: u32 = 0x4000;

/// A BAR that is memory.
#[derive(Clone)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Bar for Memory {
    fn len_bytes(&self) -> u32 {
        BAR_BYTES
    }

    fn read<V: MmioWord>(&self, offset: u32) -> V {
        let bytes = self.0.lock().expect("one thread");
        let word = &bytes[offset as usize..][..V::BYTES as usize];
        V::from_u64(word.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn write<V: MmioWord>(&self, offset: u32, value: V) {
        let len = V::BYTES as usize;
        self.0.lock().expect("one thread")[offset as usize..][..len].copy_from_slice(&value.to_u64().to_le_bytes()[..len]);
    }
}

/// A function that has a configuration space and a BAR, and nothing else.
struct Function {
    config: [u8; CONFIG_BYTES as usize],
    bar: Memory,
}

impl PciFunction for Function {
    type Bar = Memory;
    fn address(&self) -> &str {
        "test"
    }
    fn id(&self) -> PciId {
        vfwire_spec::virtio::ID_NET
    }
    fn config_read<V: ConfigWord>(&self, offset: u16) -> Result<V, BusError> {
        let word = self.config.get(usize::from(offset)..usize::from(offset) + V::BYTES as usize);
        let word = word.ok_or_else(|| BusError::NotThere("outside".into()))?;
        Ok(V::from_u64(word.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))))
    }
    fn config_write<V: ConfigWord>(&self, _: u16, _: V) -> Result<(), BusError> {
        Ok(())
    }
    fn poll_event(&self) -> Option<BusEvent> {
        None
    }
    fn map_bar(&self, index: BarIndex) -> Result<Memory, BusError> {
        if index.get() == 4 { Ok(self.bar.clone()) } else { Err(BusError::NotThere(format!("there is no {index}"))) }
    }
    fn dma(&self) -> Arc<dyn DmaSpace> {
        unreachable!("no test asks for memory")
    }
    fn reset(&self) -> Result<(), BusError> {
        Ok(())
    }
}

fn capability(structure: Structure, offset: u64, len_bytes: u64) -> Capability {
    Capability { structure, bar: 4, id: 0, offset, len_bytes }
}

/// As QEMU has them.
fn good() -> Vec<Capability> {
    vec![
        capability(Structure::Notify { off_multiplier: 4 }, 0x3000, 0x1000),
        capability(Structure::Device, 0x2000, 0x1000),
        capability(Structure::Common, 0, 0x1000),
    ]
}

fn function(list: &[Capability]) -> Function {
    let mut config = [0; CONFIG_BYTES as usize];
    config[usize::from(STATUS)] = STATUS_CAPABILITY_LIST.to_le_bytes()[0];
    config[usize::from(CAPABILITIES_POINTER)] = 0x40;
    for (at, one) in (0x40_u8..).step_by(24).zip(list) {
        let is_last = usize::from((at - 0x40) / 24) + 1 == list.len();
        let (bytes, len) = one.encode(if is_last { 0 } else { at + 24 });
        config[usize::from(at)..][..len].copy_from_slice(&bytes[..len]);
    }
    Function { config, bar: Memory(Arc::new(Mutex::new(vec![0; BAR_BYTES as usize]))) }
}

fn refused(function: &Function) -> String {
    Transport::find(function).map(drop).expect_err("it cannot be used").to_string()
}

#[test]
fn structures_are_found() {
    let found = Transport::find(&function(&good())).expect("a good device");
    assert_eq!(found.config_bytes(), 0x1000);
    // Of two the first: it is the one that the device prefers (4.1.4).
    let mut two = good();
    two.insert(0, capability(Structure::Device, 0x2800, 0x20));
    assert_eq!(Transport::find(&function(&two)).expect("a good device").config_bytes(), 0x20);
}

#[test]
fn what_is_missing_is_named() {
    for (at, name) in [(0, "notification"), (1, "device configuration"), (2, "common configuration")] {
        let mut list = good();
        list.remove(at);
        let text = refused(&function(&list));
        assert!(text.contains(&format!("no {name} structure")), "{text}");
    }
    let mut without = function(&good());
    without.config[usize::from(STATUS)] = 0;
    assert!(refused(&without).contains("no common configuration"), "it has no list");
}

#[test]
fn what_lies_outside_its_bar_is_named() {
    let places = [(0x4000, 0x1000), (0x3fff, 2), (0x3000, 0x1001), (u64::from(u32::MAX), 0x1000), (0x10, u64::from(u32::MAX))];
    for (offset, len_bytes) in places {
        let mut list = good();
        list[0] = capability(Structure::Notify { off_multiplier: 4 }, offset, len_bytes);
        let text = refused(&function(&list));
        assert!(text.contains("notification") && text.contains("BAR"), "{offset:#x}, {len_bytes:#x}: {text}");
    }
    let mut list = good();
    list[2].bar = 2;
    assert!(refused(&function(&list)).contains("no BAR2"));
    for (at, len_bytes, need) in [(0, 1, "needs 2"), (1, 7, "needs 8"), (2, 0x37, "needs 56")] {
        let mut list = good();
        list[at].len_bytes = len_bytes;
        assert!(refused(&function(&list)).contains(need), "{}", refused(&function(&list)));
    }
}

#[test]
fn lists_without_an_end_and_into_the_header_are_errors() {
    let mut endless = function(&good());
    endless.config[0x40 + usize::from(CAPABILITY_NEXT)] = 0x40;
    assert!(refused(&endless).contains("without an end"));
    for pointer in [0x04, 0x3c] {
        let mut header = function(&good());
        header.config[usize::from(CAPABILITIES_POINTER)] = pointer;
        assert!(refused(&header).contains("inside the header"));
    }
    // The last bytes of configuration space, in the middle of a capability.
    let mut cut = function(&good());
    cut.config[usize::from(CAPABILITIES_POINTER)] = 0xfc;
    cut.config[0xfc..].copy_from_slice(&[CAPABILITY_VENDOR, 0, 16, 1]);
    assert!(refused(&cut).contains("ends inside"));
    let mut short = function(&good());
    short.config[0x42] = 19;
    assert!(refused(&short).contains("19 bytes, it needs 20"));
    let gone = Function { config: [0xff; CONFIG_BYTES as usize], ..function(&[]) };
    assert!(matches!(Transport::find(&gone), Err(PortError::Bus(BusError::Gone))));
}

#[test]
fn a_device_that_is_gone_takes_no_features() {
    let function = function(&good());
    let transport = Transport::find(&function).expect("a good device");
    // Memory takes whatever is written.
    transport.accept(Features::VERSION_1).expect("taken");
    function.bar.0.lock().expect("one thread").fill(0xff);
    assert!(matches!(transport.status(), Err(BusError::Gone)), "all ones");
    assert!(transport.accept(Features::VERSION_1).is_err());
}

#[test]
fn notifications_lie_in_their_structure() {
    let function = function(&good());
    let transport = Transport::find(&function).expect("a good device");
    let set = |off: u16| function.bar.write(common::QUEUE_NOTIFY_OFF.offset(), off);
    for (off, with_data, is_inside) in
        [(0, false, true), (0x3ff, false, true), (0x3ff, true, true), (0x400, false, false), (0xffff, true, false)]
    {
        set(off);
        assert_eq!(transport.notify(1, with_data).is_ok(), is_inside, "{off:#x}");
    }
}
