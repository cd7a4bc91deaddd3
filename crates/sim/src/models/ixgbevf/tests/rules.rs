//! What the data sheet forbids is recorded and stops the queue; what the IOMMU refuses is recorded and stops the queue.

use super::*;
use crate::fault::FaultKind;
use vfwire_core::bar::Bar;
use vfwire_spec::ixgbevf::{ID_82599, ID_E610, ID_X540, ID_X550};

/// Breaks a rule while RX queue 0 is set up; it must not come on.
fn refused_rx(options: IxgbevfOptions, flags: u32, change: impl FnOnce(&Rig)) -> Vec<&'static str> {
    let rig = Rig::new(options);
    rig.ask(Request::Reset);
    rig.set_up_rx(0);
    change(&rig);
    assert!(!rig.enable_rx(0, flags), "{:?}", rig.rules_broken());
    rig.rules_broken()
}

#[test]
fn a_ring_is_aligned_and_its_length_too() {
    let refused = |change: fn(&Rig)| refused_rx(Rig::options(), 0, change);
    let base = refused(|rig| rig.regs.modify(regs::VFRDBAL.index(0), |low| low + 64));
    assert_eq!(base, ["a ring lies at a multiple of 128 bytes, not at 0"]);
    for length in [0, 64, 129] {
        let rules = refused_rx(Rig::options(), 0, |rig| rig.regs.write(regs::VFRDLEN.index(0), length));
        assert_eq!(rules, ["the length of a ring is a multiple of 128 bytes, not 0"]);
    }
    assert_eq!(refused(|rig| rig.regs.write(regs::VFRDH.index(0), RING_DESC)), ["a head lies in its ring"]);
    let stale = refused(|rig| rig.regs.doorbell(regs::VFRDT.index(0)).ring(3));
    assert!(stale.contains(&"head and tail are the same when a queue is enabled"), "{stale:?}");
}

#[test]
fn the_split_control_is_right() {
    let cases = [
        (SPLIT & !regs::VFSRRCTL_BSIZEPACKET_MASK, "SRRCTL.BSIZEPACKET is not 0"),
        (SPLIT & !regs::VFSRRCTL_DESCTYPE_MASK, "only advanced one-buffer descriptors are modelled"),
        (SPLIT & !regs::VFSRRCTL_DROP_EN, "SRRCTL.DROP_EN is set, or a full ring blocks the other functions"),
        // Where the 82576 has it.
        (SPLIT & !regs::VFSRRCTL_DROP_EN | 1 << 31, "SRRCTL.DROP_EN is set, or a full ring blocks the other functions"),
    ];
    for (value, rule) in cases {
        assert_eq!(refused_rx(Rig::options(), 0, |rig| rig.regs.write(regs::VFSRRCTL.index(0), value)), [rule]);
    }
}

#[test]
fn what_this_device_has_not_is_not_turned_on() {
    let limited = regs::VFRXDCTL_RLPML_EN | 1518;
    assert_eq!(refused_rx(Rig::options(), limited, |_| {}), ["RXDCTL.RLPML does nothing on the 82599"]);
    let coalescing = refused_rx(Rig::options(), 0, |rig| rig.regs.write(regs::VFRSCCTL.index(0), 1));
    assert_eq!(coalescing, ["receive side coalescing is not modelled"]);
    let rig = Rig::new(IxgbevfOptions { queues: 2, ..Rig::options() });
    rig.ask(Request::Reset);
    rig.set_up_rx(2);
    assert!(!rig.enable_rx(2, 0));
    rig.regs.write(regs::VFPSRTYPE, 2 << regs::VFPSRTYPE_RQPL_SHIFT);
    let rules = ["a queue is one of those that the PF grants", "RSS spreads over no more queues than the PF grants"];
    assert_eq!(rig.rules_broken(), rules);
}

#[test]
fn a_transmit_queue_is_right() {
    let refused = |thresholds: u32, change: fn(&Rig)| {
        let rig = Rig::new(Rig::options());
        rig.ask(Request::Reset);
        rig.set_up_tx();
        change(&rig);
        assert!(!rig.enable_tx(thresholds));
        rig.rules_broken()
    };
    let relaxed = |rig: &Rig| rig.regs.write(regs::VFDCA_TXCTRL.index(0), regs::VFDCA_TXCTRL_DESC_WRITEBACK_RELAXED);
    assert_eq!(refused(0, relaxed), ["DCA_TXCTRL lets no write-back pass another where DD tells that a frame is done"]);
    let much = regs::vftxdctl_thresholds(32, 1, 9);
    assert_eq!(refused(much, |_| {}), ["TXDCTL.PTHRESH and WTHRESH are at most 40 together"]);
    let misaligned = refused(0, |rig| rig.regs.modify(regs::VFTDBAL.index(0), |low| low + 16));
    assert_eq!(misaligned, ["a ring lies at a multiple of 128 bytes, not at 0"]);
    // As the device comes out of its reset.
    let rig = Rig::new(Rig::options());
    assert_eq!(rig.regs.read(regs::VFDCA_TXCTRL.index(7)), regs::VFDCA_TXCTRL_DESC_WRITEBACK_RELAXED);
}

#[test]
fn a_tail_lies_in_its_ring_and_follows_the_enable_bit() {
    let rig = Rig::up(Rig::options());
    rig.regs.doorbell(regs::VFTDT.index(0)).ring(RING_DESC);
    assert_eq!(rig.rules_broken(), ["a tail lies in its ring"]);
    let early = Rig::new(Rig::options());
    early.set_up_tx();
    early.regs.write(regs::VFTXDCTL.index(0), regs::DCTL_ENABLE);
    early.regs.doorbell(regs::VFTDT.index(0)).ring(1);
    assert_eq!(early.rules_broken(), ["a tail is written after its queue was enabled"]);
}

#[test]
fn a_ring_is_left_alone_while_it_is_on() {
    let rig = Rig::up(Rig::options());
    rig.regs.write(regs::VFRDLEN.index(0), RING_DESC * 16);
    rig.regs.write(regs::VFSRRCTL.index(0), 0);
    assert_eq!(rig.rules_broken(), ["a ring is set up while its queue is off", "SRRCTL is written while the queue is off"]);
}

#[test]
fn registers_are_words_that_exist() {
    let rig = Rig::new(Rig::options());
    let bar = rig.function.map_bar(BarIndex::ZERO).expect("a BAR");
    assert_eq!(bar.read::<u32>(0x4), 0);
    bar.write::<u16>(regs::VFCTRL.offset(), 0);
    bar.write::<u32>(regs::VFLINKS.offset(), 0);
    rig.regs.write(regs::VFMRQC, 0);
    let rules = [
        "the device has the register",
        "registers are accessed by 32-bit words",
        "a read-only register is not written",
        "the device has the register",
    ];
    assert_eq!(rig.rules_broken(), rules);
    assert_ne!(rig.regs.read(regs::VFFRTIMER), rig.regs.read(regs::VFFRTIMER));
    let x550 = Rig::new(Rig::of(Family::X550));
    x550.regs.write(regs::VFMRQC, 0);
    x550.assert_clean();
    let ids = [Family::I82599, Family::X540, Family::X550, Family::E610].map(|device| Rig::new(Rig::of(device)).function.id());
    assert_eq!(ids, [ID_82599, ID_X540, ID_X550, ID_E610]);
}

/// Posts these descriptors; the queue must stop without having sent anything.
fn refused_tx(options: IxgbevfOptions, descriptors: impl FnOnce(&Rig) -> Vec<[u64; 2]>) -> Vec<&'static str> {
    refused_with(options, 0, descriptors)
}

fn refused_with(options: IxgbevfOptions, thresholds: u32, descriptors: impl FnOnce(&Rig) -> Vec<[u64; 2]>) -> Vec<&'static str> {
    let mut rig = Rig::new(options);
    rig.ask(Request::Reset);
    rig.set_up_tx();
    assert!(rig.enable_tx(thresholds));
    raw::write(&rig.buffers, 0, &frame(OTHER, MAC, 1000));
    for words in descriptors(&rig) {
        rig.post(words);
    }
    rig.ring_tx();
    rig.host.settle(4);
    assert_eq!(rig.wire.pop(), None);
    assert_eq!(rig.host.faults(), []);
    let head = rig.regs.read(regs::VFTDH.index(0));
    rig.post_context(Context::PLAIN);
    rig.send(&frame(OTHER, MAC, 60), TX_CC | tx::RS);
    assert_eq!(rig.regs.read(regs::VFTDH.index(0)), head, "the queue has stopped");
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
        (good & !0xffff, "a data descriptor has bytes"),
        (good & !tx::IFCS, "IFCS is set, or the frame leaves without its FCS"),
        (tx::data(60, 61) | tx::EOP, "PAYLEN is the length of the frame"),
        (tx::data(16, 16) | tx::EOP, "a frame has at least 17 bytes"),
        (tx::data(9729, 9729) | tx::EOP, "a frame has at most 9728 bytes"),
        (good | tx::TXSM, "a frame with offloads refers to a context that was set"),
        (good | TX_CC, "CC goes with a context that was set"),
        (good | TX_CC | 2 << tx::INDEX_SHIFT, "CC goes with a context that was set"),
        (good | tx::TSE, "TSE goes with a context that was set"),
    ];
    for (word1, rule) in cases {
        assert_eq!(refused_tx(Rig::options(), |rig| vec![[rig.buffer_iova(0), word1]]), [rule], "{word1:#x}");
    }
    assert_eq!(refused_tx(Rig::options(), |_| vec![[0, good]]), ["a data descriptor has a buffer"]);
}

#[test]
fn contexts_are_as_the_data_sheet_wants_them() {
    let context = |context: Context| context.encode().expect("it fits");
    let plain = context(Context::PLAIN);
    let cases = [
        (context(Context { index: 2, ..Context::PLAIN }), "a queue has two contexts"),
        (context(Context { maclen_bytes: 13, ..Context::PLAIN }), "MACLEN of a context is at least 14"),
        ([plain[0], plain[1] | tx::RS], "reserved bits of a context descriptor are 0"),
    ];
    for (words, rule) in cases {
        assert_eq!(refused_tx(Rig::options(), |_| vec![words]), [rule]);
    }
    let inside = |rig: &Rig| vec![[rig.buffer_iova(0), tx::data(60, 120)], plain];
    assert_eq!(refused_tx(Rig::options(), inside), ["a context descriptor stands between frames"]);
}

#[test]
fn a_frame_has_at_most_forty_descriptors() {
    for (parts, goes) in [(31, true), (41, false)] {
        let mut rig = Rig::up(Rig::options());
        let len_bytes = parts * 20;
        let whole = frame(OTHER, MAC, len_bytes);
        raw::write(&rig.buffers, 0, &whole);
        for part in 0..parts {
            let last = if part + 1 == parts { tx::EOP | tx::RS } else { 0 };
            let data = tx::data(20, u32::try_from(len_bytes).expect("it fits")) | last;
            rig.post([rig.buffer_iova(0) + part as u64 * 20, data]);
            if part % 16 == 15 || last != 0 {
                rig.ring_tx();
                rig.host.step();
            }
        }
        assert_eq!(rig.wire.pop(), goes.then_some(whole));
        assert_eq!(rig.rules_broken(), if goes { vec![] } else { vec!["a frame has no more descriptors than the device takes"] });
    }
}

#[test]
fn reports_are_for_every_frame_where_write_backs_are_gathered() {
    let threshold = regs::vftxdctl_thresholds(32, 1, 1);
    let rules = refused_with(Rig::options(), threshold, |rig| vec![[rig.buffer_iova(0), tx::data(60, 60) | tx::EOP]]);
    assert_eq!(rules, ["RS is set on every frame where WTHRESH is not 0"]);
}

#[test]
fn a_malicious_driver_is_stopped() {
    let good = tx::data(60, 60) | tx::EOP | tx::RS;
    let plain = Context::PLAIN.encode().expect("it fits");
    let x550 = || Rig::of(Family::X550);
    let without = |rig: &Rig| vec![plain, [rig.buffer_iova(0), good]];
    assert_eq!(refused_tx(x550(), without), ["malicious driver: a data descriptor without CC"]);
    let before = |rig: &Rig| vec![[rig.buffer_iova(0), good | TX_CC]];
    assert_eq!(refused_tx(x550(), before), ["malicious driver: a data descriptor before its context"]);
    let second = |rig: &Rig| vec![plain, [rig.buffer_iova(0), tx::data(30, 60) | TX_CC], [rig.buffer_iova(0), tx::data(30, 60) | tx::EOP]];
    assert_eq!(refused_tx(x550(), second), ["malicious driver: a data descriptor without CC"]);
    // A context is the queue's only until the queue is off.
    let mut rig = Rig::up(x550());
    rig.post_context(Context::PLAIN);
    rig.send(&frame(OTHER, MAC, 60), tx::RS | TX_CC);
    assert_eq!(rig.sent().len(), 1);
    rig.assert_clean();
    rig.regs.write(regs::VFTXDCTL.index(0), 0);
    while rig.regs.read(regs::VFTXDCTL.index(0)) & regs::DCTL_ENABLE != 0 {}
    rig.tx_tail = 0;
    rig.set_up_tx();
    assert!(rig.enable_tx(0));
    rig.send(&frame(OTHER, MAC, 60), tx::RS | TX_CC);
    assert_eq!(rig.rules_broken(), ["malicious driver: a data descriptor before its context"]);
}

#[test]
fn posted_receive_descriptors_are_in_the_read_format() {
    for (descriptor, rule) in
        [([0, 0], "a receive descriptor has a buffer"), ([0x1_0000_0000, rx::DD], "the second word of a posted receive descriptor is 0")]
    {
        let rig = Rig::up(Rig::options());
        raw::set_descriptor(&rig.rx_rings[0], 0, descriptor);
        assert!(!rig.takes(frame_to(MAC, 60)));
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
    assert!(rig.takes(frame_to(MAC, 60)), "the other queue goes on");
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
        let [length, what, mss, ..] = value.to_le_bytes();
        if what & 3 == 0 {
            let sizes = u64::from(what & 0x38) << tx::L4LEN_SHIFT | u64::from(mss) << tx::MSS_SHIFT;
            return [
                value >> 40 & 0x1ff | 14 << tx::MACLEN_SHIFT,
                tx::TYPE_CONTEXT | tx::DEXT | sizes | self.next() & (tx::IPV4 | 3 << tx::L4_TYPE_SHIFT | 1 << tx::INDEX_SHIFT),
            ];
        }
        let offloads = match what & 0xc {
            0 => tx::IXSM | tx::TXSM | tx::VLE | tx::RS | 1 << tx::INDEX_SHIFT | TX_CC | tx::TSE,
            _ => tx::RS,
        };
        [buffer, tx::data(length.into(), length.into()) | tx::EOP | self.next() & offloads]
    }
}

#[test]
fn no_sequence_of_writes_panics() {
    for device in [Family::I82599, Family::X550] {
        let rig = Rig::up(IxgbevfOptions { spoofchk: false, mdd: Some(false), ..Rig::of(device) });
        let bar = rig.function.map_bar(BarIndex::ZERO).expect("a BAR");
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..20_000 {
            let value = random.next();
            let [low, high, what, ..] = value.to_le_bytes();
            let (offset, small) = (u32::from(u16::from_le_bytes([low, high]) & 0x3ffc), u32::from(low));
            match what % 16 {
                0 => bar.write(offset, small),
                1 => bar.write(offset, u32::from_le_bytes([low, high, what, low])),
                2 => bar.write(if high & 1 == 0 { 0x1000 } else { 0x2000 } + offset % 0x40, small),
                3 => raw::set_descriptor(&rig.rx_rings[0], usize::from(what / 16), [random.next(), value & 1]),
                4 => {
                    rig.write_message(&Message::new([u32::from(low % 18), high.into(), small, offset]));
                    rig.poll(PFSTS);
                }
                5..8 => {
                    rig.regs.write(regs::VFCTRL, regs::VFCTRL_RST);
                    rig.write_message(&Request::Reset.encode());
                    rig.poll(PFACK | PFSTS);
                    rig.set_up_rx(0);
                    rig.enable_rx(0, 0);
                    rig.set_up_tx();
                    rig.enable_tx(0);
                    rig.regs.doorbell(regs::VFRDT.index(0)).ring(RING_DESC - 1);
                    (0..RING_DESC as usize)
                        .for_each(|index| raw::set_descriptor(&rig.tx_ring, index, random.descriptor(rig.buffer_iova(0))));
                }
                8..12 => rig.wire.push(frame_to(MAC, 14 + usize::from(low))),
                _ => rig.regs.doorbell(regs::VFTDT.index(0)).ring(small % RING_DESC),
            }
            rig.host.step();
        }
        let counters = rig.device.with(|model| model.counters());
        assert!(counters.received_frames > 1000 && counters.sent_frames > 1000, "the queues did run: {counters:?}");
    }
}
