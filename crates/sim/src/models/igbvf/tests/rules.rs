//! What the data sheet forbids is recorded and stops the queue; what the IOMMU refuses is recorded and stops the queue.

use super::*;
use crate::fault::FaultKind;
use vfwire_core::bar::Bar;
use vfwire_spec::intel::adv::tx::Context;

/// Breaks a rule while the RX queue is set up; it must not come on.
fn refused_rx(change: impl FnOnce(&Rig)) -> Vec<&'static str> {
    let rig = Rig::new(Rig::options());
    rig.ask(Request::Reset);
    rig.set_up_rx();
    change(&rig);
    assert!(!rig.enable_rx(), "{:?}", rig.rules_broken());
    rig.rules_broken()
}

#[test]
fn a_ring_is_aligned_and_its_length_too() {
    let base = refused_rx(|rig| rig.regs.modify(regs::RDBAL.index(0), |low| low + 64));
    assert_eq!(base, ["a ring lies at a multiple of 128 bytes, not at 0"]);
    for length in [0, 64, 129] {
        let rules = refused_rx(|rig| rig.regs.write(regs::RDLEN.index(0), length));
        assert_eq!(rules, ["the length of a ring is a multiple of 128 bytes, not 0"], "{length}");
    }
    assert_eq!(refused_rx(|rig| rig.regs.write(regs::RDH.index(0), RING_DESC)), ["a head lies in its ring"]);
}

#[test]
fn a_ring_begins_empty_and_rests_before_it_is_turned_on_again() {
    let rig = Rig::up(Rig::options());
    rig.regs.write(regs::RXDCTL.index(0), regs::dctl_thresholds(16, 8, 1));
    rig.regs.write(regs::RXDCTL.index(0), regs::DCTL_ENABLE | regs::dctl_thresholds(16, 8, 1));
    assert_eq!(rig.rules_broken(), ["a queue is enabled again after it is off"]);
    let rig = Rig::up(Rig::options());
    rig.regs.write(regs::CTRL, regs::CTRL_RST);
    // The tail is still where the last run left it.
    assert!(!rig.enable_rx());
    assert_eq!(rig.rules_broken(), ["head and tail are the same when a queue is enabled"]);
}

/// A stream of numbers, the same every time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A transmit descriptor that looks right: data three times in four, else a context.
    fn descriptor(&mut self, buffer: u64) -> [u64; 2] {
        let value = self.next();
        let [length, what, ..] = value.to_le_bytes();
        if what & 3 == 0 {
            return [value >> 40, tx::TYPE_CONTEXT | tx::DEXT | self.next() & (tx::IPV4 | 3 << tx::L4_TYPE_SHIFT)];
        }
        let offloads = if what & 4 == 0 { tx::IXSM | tx::TXSM | tx::VLE | tx::RS | 1 << tx::INDEX_SHIFT } else { tx::RS };
        [buffer, tx::data(length.into(), length.into()) | tx::EOP | self.next() & offloads]
    }
}

#[test]
fn no_sequence_of_writes_panics() {
    let rig = Rig::up(IgbvfOptions { spoofchk: false, ..Rig::options() });
    let bar = rig.function.map_bar(BarIndex::ZERO).expect("a BAR");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let value = random.next();
        let [low, high, what, ..] = value.to_le_bytes();
        let (offset, small) = (u32::from(u16::from_le_bytes([low, high]) & 0x3ffc), u32::from(low));
        match what % 16 {
            0 => bar.write(offset, small),
            1 => bar.write(offset, u32::from_le_bytes([low, high, what, low])),
            2 => bar.write(if high & 1 == 0 { 0x2800 } else { 0x3800 } + offset % 0x40, small),
            3 => raw::set_descriptor(&rig.rx_ring, usize::from(what / 16), [random.next(), value & 1]),
            4..8 => {
                rig.start_over();
                (0..RING_DESC as usize).for_each(|index| raw::set_descriptor(&rig.tx_ring, index, random.descriptor(rig.buffer_iova(0))));
            }
            8..12 => rig.wire.push(frame_to(MAC, 14 + usize::from(low))),
            _ => rig.regs.doorbell(regs::TDT.index(0)).ring(small % RING_DESC),
        }
        rig.host.step();
    }
    let counters = rig.device.with(|model| model.counters());
    assert!(counters.received_frames > 1000 && counters.sent_frames > 1000, "the queues did run: {counters:?}");
}

#[test]
fn the_split_control_is_right() {
    let good = 2 | regs::SRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER | regs::SRRCTL_DROP_EN;
    let cases = [
        (good & !regs::SRRCTL_BSIZEPACKET_MASK, "SRRCTL.BSIZEPACKET is not 0"),
        (good & !regs::SRRCTL_DESCTYPE_MASK, "only advanced one-buffer descriptors are modelled"),
        (good & !regs::SRRCTL_DROP_EN, "SRRCTL.DROP_EN is set, or a full ring blocks the other functions"),
    ];
    for (value, rule) in cases {
        assert_eq!(refused_rx(|rig| rig.regs.write(regs::SRRCTL.index(0), value)), [rule]);
    }
}

#[test]
fn a_tail_lies_in_its_ring_and_follows_the_enable_bit() {
    let rig = Rig::up(Rig::options());
    rig.regs.doorbell(regs::TDT.index(0)).ring(RING_DESC);
    assert_eq!(rig.rules_broken(), ["a tail lies in its ring"]);
    let early = Rig::new(Rig::options());
    early.set_up_tx();
    early.regs.doorbell(regs::TDT.index(0)).ring(1);
    assert_eq!(early.rules_broken(), ["a tail is written after its queue was enabled"]);
}

#[test]
fn a_queue_is_on_only_after_its_bit_was_read() {
    let rig = Rig::new(Rig::options());
    rig.ask(Request::Reset);
    rig.set_up_tx();
    rig.regs.write(regs::TXDCTL.index(0), regs::DCTL_ENABLE);
    rig.regs.doorbell(regs::TDT.index(0)).ring(1);
    assert_eq!(rig.rules_broken(), ["a tail is written after its queue was enabled"]);
}

#[test]
fn a_ring_is_left_alone_while_it_is_on() {
    let rig = Rig::up(Rig::options());
    rig.regs.write(regs::RDLEN.index(0), RING_DESC * 16);
    rig.regs.write(regs::SRRCTL.index(0), 0);
    assert_eq!(rig.rules_broken(), ["a ring is set up while its queue is off", "SRRCTL is written while the queue is off"]);
}

#[test]
fn registers_are_words_that_exist() {
    let rig = Rig::new(Rig::options());
    let bar = rig.function.map_bar(BarIndex::ZERO).expect("a BAR");
    assert_eq!(bar.read::<u32>(0x4), 0);
    bar.write::<u16>(regs::CTRL.offset(), 0);
    bar.write::<u32>(regs::STATUS.offset(), 0);
    let rules = ["the device has the register", "registers are accessed by 32-bit words", "a read-only register is not written"];
    assert_eq!(rig.rules_broken(), rules);
    let single = Rig::new(IgbvfOptions { queues: 1, ..Rig::options() });
    single.regs.write(regs::RDLEN.index(1), 512);
    assert_eq!(single.rules_broken(), ["the device has the register"]);
    assert_eq!(single.function.id(), vfwire_spec::igbvf::ID_I350);
}

/// Posts these descriptors; the queue must stop without having sent anything.
fn refused_tx(descriptors: impl FnOnce(&Rig) -> Vec<[u64; 2]>) -> Vec<&'static str> {
    let mut rig = Rig::up(Rig::options());
    raw::write(&rig.buffers, 0, &frame(OTHER, MAC, 1000));
    for words in descriptors(&rig) {
        rig.post(words);
    }
    rig.ring_tx();
    rig.host.settle(4);
    assert_eq!(rig.wire.pop(), None);
    assert_eq!(rig.host.faults(), []);
    let head = rig.regs.read(regs::TDH.index(0));
    rig.send(&frame(OTHER, MAC, 60), 0);
    assert_eq!(rig.regs.read(regs::TDH.index(0)), head, "the queue has stopped");
    rig.rules_broken()
}

#[test]
fn data_descriptors_are_as_the_data_sheet_wants_them() {
    let good = tx::data(60, 60) | tx::EOP;
    let cases = [
        (good & !tx::DEXT, "transmit descriptors are advanced"),
        (good & !tx::TYPE_MASK | 0x1 << 20, "a transmit descriptor is of type data or context"),
        (good | 1 << 28, "reserved bits of a data descriptor are 0"),
        (good | tx::DD, "reserved bits of a data descriptor are 0"),
        (good & !tx::EOP | tx::RS, "RS is set on the last descriptor of a frame only"),
        (good | tx::TSE, "segmentation is not modelled"),
        (good & !0xffff, "a data descriptor has bytes"),
        (good & !tx::IFCS, "IFCS is set, or the frame leaves without its FCS"),
        (tx::data(60, 61) | tx::EOP, "PAYLEN is the length of the frame"),
        (tx::data(16, 16) | tx::EOP, "a frame has at least 17 bytes"),
        (good | tx::TXSM, "a frame with offloads refers to a context that was set"),
    ];
    for (word1, rule) in cases {
        assert_eq!(refused_tx(|rig| vec![[rig.buffer_iova(0), word1]]), [rule], "{word1:#x}");
    }
    assert_eq!(refused_tx(|_| vec![[0, good]]), ["a data descriptor has a buffer"]);
}

#[test]
fn contexts_are_as_the_data_sheet_wants_them() {
    let context = |context: Context| context.encode().expect("it fits");
    let third = context(Context { index: 2, ..Context::PLAIN });
    assert_eq!(refused_tx(|_| vec![third]), ["a queue has two contexts"]);
    let short = context(Context { maclen_bytes: 13, ..Context::PLAIN });
    assert_eq!(refused_tx(|_| vec![short]), ["MACLEN of a context is at least 14"]);
    let plain = context(Context::PLAIN);
    let with_rs = [plain[0], plain[1] | tx::RS];
    assert_eq!(refused_tx(|_| vec![with_rs]), ["reserved bits of a context descriptor are 0"]);
    let inside = |rig: &Rig| vec![[rig.buffer_iova(0), tx::data(60, 120)], plain];
    assert_eq!(refused_tx(inside), ["a context descriptor stands between frames"]);
    let no_ip = |rig: &Rig| vec![plain, [rig.buffer_iova(0), tx::data(60, 60) | tx::EOP | tx::IXSM]];
    assert_eq!(refused_tx(no_ip), ["IXSM goes with a context for IPv4 whose header lies in the frame"]);
}

#[test]
fn posted_receive_descriptors_are_in_the_read_format() {
    for (descriptor, rule) in
        [([0, 0], "a receive descriptor has a buffer"), ([0x1_0000_0000, rx::DD], "the second word of a posted receive descriptor is 0")]
    {
        let rig = Rig::up(Rig::options());
        raw::set_descriptor(&rig.rx_ring, 0, descriptor);
        rig.wire.push(frame_to(MAC, 60));
        rig.host.step();
        assert_eq!(rig.rules_broken(), [rule]);
    }
}

#[test]
fn a_fault_is_recorded_once_and_stops_the_queue() {
    let mut rig = Rig::up(Rig::options());
    rig.post([0x10, tx::data(60, 60) | tx::EOP | tx::RS]);
    rig.ring_tx();
    rig.host.settle(4);
    let faults: Vec<_> = rig.host.faults().iter().map(|fault| (fault.iova.0, fault.len_bytes, fault.write, fault.kind)).collect();
    assert_eq!(faults, [(0x10, 60, false, FaultKind::Unmapped)]);
    assert_eq!(raw::descriptor(&rig.tx_ring, 0)[1] & tx::DD, 0, "it is not done");
    rig.wire.push(frame_to(MAC, 60));
    rig.host.step();
    assert_eq!(rig.received(0).len(), 60, "the other queue goes on");
}

#[test]
fn a_ring_that_was_freed_faults() {
    let Rig { host, wire, device, rx_ring, function: _function, .. } = Rig::up(Rig::options());
    let iova = rx_ring.iova();
    drop(rx_ring);
    wire.push(frame_to(MAC, 60));
    host.step();
    let fault = host.faults().pop().expect("a fault");
    assert_eq!((fault.iova, fault.write, fault.kind), (iova, false, FaultKind::Unmapped));
    assert_eq!(device.with(|model| model.counters().received_frames), 0);
}
