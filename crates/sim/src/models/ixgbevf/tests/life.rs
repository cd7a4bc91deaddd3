//! Resetting and turning off.

use super::*;

#[test]
fn a_closed_or_reset_function_does_no_dma() {
    for close in [false, true] {
        let Rig { host, device, wire, regs, function, rx_rings, tx_ring, buffers, .. } = Rig::up(Rig::options());
        if close {
            drop(function);
        } else {
            regs.write(regs::VFCTRL, regs::VFCTRL_RST);
        }
        drop((rx_rings, tx_ring, buffers));
        wire.push(frame_to(MAC, 60));
        host.settle(4);
        assert_eq!(host.faults(), []);
        assert_eq!(device.with(|model| model.counters().received_frames), 0);
    }
}

#[test]
fn after_a_vf_reset_no_frame_passes_before_the_pf_was_told() {
    let mut rig = Rig::up(Rig::options());
    rig.regs.write(regs::VFCTRL, regs::VFCTRL_RST);
    assert_eq!(rig.regs.read(regs::VFTDLEN.index(0)), RING_DESC * 16, "ring registers survive");
    rig.tx_tail = 0;
    rig.set_up_tx();
    assert!(rig.enable_tx(0));
    rig.send(&frame(OTHER, MAC, 60), tx::RS);
    assert_eq!(rig.wire.pop(), None);
    rig.ask(Request::Reset);
    rig.host.step();
    assert_eq!(rig.wire.pop(), Some(frame(OTHER, MAC, 60)));
    rig.assert_clean();
}

#[test]
fn a_queue_goes_on_until_it_was_seen_off() {
    let rig = Rig::up(Rig::options());
    rig.regs.write(regs::VFRXDCTL.index(0), 0);
    assert!(rig.takes(frame_to(MAC, 60)), "still in use");
    let on = [0, 1].map(|_| rig.regs.read(regs::VFRXDCTL.index(0)) & regs::DCTL_ENABLE != 0);
    assert_eq!(on, [true, false]);
    assert!(!rig.takes(frame_to(MAC, 60)));
    rig.assert_clean();
}

#[test]
fn a_function_reset_clears_what_the_vf_had_set() {
    let rig = Rig::up(Rig::of(Family::X550));
    rig.regs.write(regs::VFMRQC, regs::VFMRQC_RSS_EN);
    rig.regs.write(regs::VFRETA.index(3), 7);
    rig.regs.write(regs::VTEIMS, 7);
    rig.function.reset().expect("it is there");
    let seen = [regs::VFMRQC, regs::VFRETA.index(3), regs::VTEIMS].map(|register| rig.regs.read(register));
    assert_eq!((seen, rig.device.with(|model| (model.mac(), model.receives()))), ([0; 3], (None, false)));
}

#[test]
fn a_doorbell_is_counted() {
    let rig = Rig::up(Rig::options());
    let rings = || rig.device.doorbell_rings(BarIndex::ZERO, regs::VFTDT.index(0).offset());
    let before = rings();
    // The model is locked meanwhile: a doorbell that went through it would never return.
    rig.device.with(|_| rig.ring_tx());
    assert_eq!(rings(), before + 1);
}

#[test]
fn a_device_without_its_link_moves_nothing() {
    let mut rig = Rig::up(Rig::options());
    rig.device.with(|model| model.set_link(false));
    rig.send(&frame(OTHER, MAC, 60), tx::RS);
    assert!(rig.sent().is_empty() && !rig.takes(frame_to(MAC, 60)));
    rig.device.with(|model| model.set_link(true));
    rig.host.step();
    assert_eq!(rig.sent().len(), 1);
    assert_eq!(rig.device.with(|model| model.counters().off_frames), 1);
}
