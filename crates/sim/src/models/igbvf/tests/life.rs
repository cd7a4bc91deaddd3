//! Opening, resetting, turning off; RSS; two VFs on a link; a thread.

use super::*;
use crate::{Link, TrafficConfig, TrafficSource};
use std::time::Duration;
use vfwire_core::poll::{Wait, poll_until};

#[test]
fn one_driver_at_a_time() {
    let Rig { host, device, function, .. } = Rig::up(Rig::options());
    let busy = device.open().expect_err("open already");
    assert!(busy.to_string().contains("open already"), "{busy}");
    assert!(device.is_open());
    drop(function);
    assert!(!device.is_open());
    let again = device.open().expect("closed");
    assert_eq!(again.config_read::<u16>(vfwire_spec::pci::COMMAND).expect("inside"), vfwire_spec::pci::COMMAND_BUS_MASTER);
    assert!(again.config_read::<u32>(254).is_err() && again.map_bar(BarIndex::new(1).expect("a BAR")).is_err());
    assert_eq!(host.faults(), []);
}

#[test]
fn a_closed_or_reset_function_does_no_dma() {
    for close in [false, true] {
        let Rig { host, device, wire, regs, function, rx_ring, tx_ring, buffers, .. } = Rig::up(Rig::options());
        if close {
            drop(function);
        } else {
            regs.write(regs::CTRL, regs::CTRL_RST);
        }
        drop((rx_ring, tx_ring, buffers));
        wire.push(frame_to(MAC, 60));
        host.settle(4);
        assert_eq!(host.faults(), []);
        assert_eq!(device.with(|model| model.counters().received_frames), 0);
    }
}

#[test]
fn without_bus_mastering_there_is_no_dma() {
    let rig = Rig::up(Rig::options());
    rig.function.config_write(vfwire_spec::pci::COMMAND, 0u16).expect("inside");
    rig.wire.push(frame_to(MAC, 60));
    assert!(!rig.host.step());
    rig.function.config_write(vfwire_spec::pci::COMMAND, vfwire_spec::pci::COMMAND_BUS_MASTER).expect("inside");
    assert!(rig.host.step());
    assert_eq!(rig.received(0).len(), 60);
}

#[test]
fn a_queue_goes_on_until_it_was_seen_off() {
    let rig = Rig::up(Rig::options());
    rig.regs.write(regs::RXDCTL.index(0), regs::dctl_thresholds(16, 8, 1));
    rig.wire.push(frame_to(MAC, 60));
    rig.host.step();
    assert_eq!(rig.received(0).len(), 60, "still in use");
    let on = [0, 1].map(|_| rig.regs.read(regs::RXDCTL.index(0)) & regs::DCTL_ENABLE != 0);
    assert_eq!(on, [true, false]);
    rig.wire.push(frame_to(MAC, 60));
    rig.host.step();
    assert_eq!(rig.rx_word1(1), 0);
    rig.assert_clean();
}

#[test]
fn after_a_vf_reset_nothing_is_sent_before_the_pf_was_told() {
    let mut rig = Rig::up(Rig::options());
    rig.regs.write(regs::CTRL, regs::CTRL_RST);
    assert_eq!(rig.regs.read(regs::TDLEN.index(0)), RING_DESC * 16, "ring registers survive");
    rig.tx_tail = 0;
    rig.set_up_tx();
    assert!(rig.enable_tx());
    rig.send(&frame(OTHER, MAC, 60), tx::RS);
    assert_eq!(rig.wire.pop(), None);
    rig.ask(Request::Reset);
    rig.host.step();
    assert_eq!(rig.wire.pop(), Some(frame(OTHER, MAC, 60)));
    rig.assert_clean();
}

#[test]
fn the_hash_spreads_flows_over_both_queues() {
    let rig = Rig::up(Rig::options());
    let ring = rig.function.dma().alloc(RING_DESC as usize * 16, 128).expect("memory");
    for index in 0..RING_DESC as usize {
        raw::set_descriptor(&ring, index, rx::read_format(rig.buffer_iova(RING_DESC as usize + index)));
    }
    let [a, b, c, d, e, f, g, h] = ring.iova().0.to_le_bytes();
    rig.regs.write(regs::RDBAL.index(1), u32::from_le_bytes([a, b, c, d]));
    rig.regs.write(regs::RDBAH.index(1), u32::from_le_bytes([e, f, g, h]));
    rig.regs.write(regs::RDLEN.index(1), RING_DESC * 16);
    rig.regs.write(regs::SRRCTL.index(1), 2 | regs::SRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER | regs::SRRCTL_DROP_EN);
    rig.regs.write(regs::RXDCTL.index(1), regs::DCTL_ENABLE | regs::dctl_thresholds(16, 8, 1));
    while rig.regs.read(regs::RXDCTL.index(1)) & regs::DCTL_ENABLE == 0 {}
    rig.regs.doorbell(regs::RDT.index(1)).ring(RING_DESC - 1);
    let (mut source, _) = TrafficSource::new(TrafficConfig { flows: 24, ..TrafficConfig::to(MAC) });
    use crate::Wire;
    for _ in 0..24 {
        rig.wire.push(source.receive().expect("endless"));
    }
    rig.host.settle(4);
    let heads = [0, 1].map(|queue| rig.regs.read(regs::RDH.index(queue)));
    assert_eq!(heads[0] + heads[1], 24);
    assert!(heads[0] >= 4 && heads[1] >= 4, "{heads:?}");
    for index in 0..heads[1] as usize {
        assert_eq!(rx::rss_hash(raw::descriptor(&ring, index)[0]) & 1, 1);
    }
    rig.assert_clean();
}

#[test]
fn two_functions_reach_each_other_and_one_memory() {
    let host = SimHost::new();
    let (left, right) = Link::pair(64);
    let add = |address, mac, wire| host.add(address, IgbvfModel::new(IgbvfOptions { pf_mac: Some(mac), ..IgbvfOptions::default() }), wire);
    let (a, b) = (add("sim:a", MAC, left), add("sim:b", OTHER, right));
    let [mut a, b] = [a, b].map(|device| Rig::of(host.clone(), device, TestWire::new()));
    a.start();
    b.start();
    assert_eq!(a.function.dma().domain(), b.function.dma().domain());
    let sent = frame(OTHER, MAC, 200);
    a.send(&sent, tx::RS);
    host.settle(4);
    assert_eq!(b.received(0), sent);
    assert_eq!((a.device.with(|model| model.violations().len()), b.device.with(|model| model.violations().len())), (0, 0));
    assert_eq!(host.faults(), []);
}

#[test]
fn a_thread_steps_until_it_is_dropped() {
    let rig = Rig::up(Rig::options());
    let thread = rig.host.spawn();
    rig.wire.push(frame_to(MAC, 60));
    let head = || Ok((rig.regs.read(regs::RDH.index(0)) == 1).then_some(()));
    poll_until(Wait { what: "the frame", limit: Duration::from_secs(10), remedy: "none: this is a test" }, head).expect("received");
    drop(thread);
    rig.wire.push(frame_to(MAC, 60));
    assert_eq!((rig.wire.waiting(), rig.regs.read(regs::RDH.index(0))), (1, 1));
    rig.assert_clean();
}
