use super::*;
use crate::models::virtio_net::Layout;
use vfwire_core::bus::ConfigWord;
use vfwire_spec::{
    pci,
    virtio::{
        net::config,
        pci::{Capability, Structure},
    },
};

fn word<V: ConfigWord>(rig: &Rig, at: u16) -> V {
    rig.function.config_read(at).expect("inside")
}

/// The capabilities, as a driver finds them.
fn capabilities(rig: &Rig) -> Vec<Capability> {
    assert_ne!(word::<u16>(rig, pci::STATUS) & pci::STATUS_CAPABILITY_LIST, 0);
    let mut at = u16::from(word::<u8>(rig, pci::CAPABILITIES_POINTER));
    let mut found = Vec::new();
    while at != 0 {
        let bytes: Vec<u8> = (at..(at + 24).min(256)).map(|at| word(rig, at)).collect();
        found.extend(Capability::decode(&bytes).expect("a virtio capability"));
        at = u16::from(word::<u8>(rig, at + pci::CAPABILITY_NEXT));
    }
    found
}

#[test]
fn structures_are_where_the_capabilities_say() {
    let rig = Rig::new(Rig::options());
    let found = capabilities(&rig);
    let place = |structure| {
        let found = found.iter().find(|found| found.structure == structure).expect("there is one");
        (found.bar, found.offset, found.len_bytes)
    };
    assert_eq!(place(Structure::Common), (4, 0, 0x1000));
    assert_eq!(place(Structure::Isr), (4, 0x1000, 0x1000));
    assert_eq!(place(Structure::Device), (4, 0x2000, 0x1000));
    assert_eq!(place(Structure::Notify { off_multiplier: 4 }), (4, 0x3000, 0x1000));
    assert!(rig.function.map_bar(BarIndex::ZERO).is_err(), "BAR 0 is empty");
    assert_eq!(rig.function.id().to_string(), "1af4:1041");
    rig.assert_clean();
}

#[test]
fn scattered_structures_lie_in_their_bars() {
    let rig_options = VirtioNetOptions { layout: Layout::default(), ..Rig::options() };
    drop(Rig::new(rig_options));
    let host = SimHost::new();
    let options = VirtioNetOptions { layout: Layout::scattered(), pairs: 128, ..Rig::options() };
    let device = host.add("sim:virtio-net", VirtioNetModel::new(options), TestWire::new());
    let function = device.open().expect("closed");
    let layout = Layout::scattered();
    for place in [layout.common, layout.isr, layout.device, layout.notify] {
        let bar = function.map_bar(BarIndex::new(place.bar).expect("a BAR")).expect("there is one");
        assert!(Regs::new(bar).window(place.offset & !3, place.len_bytes).is_ok());
    }
    let common = Regs::new(function.map_bar(BarIndex::new(2).expect("a BAR")).expect("there is one"));
    let common = common.window(layout.common.offset, layout.common.len_bytes).expect("inside");
    common.write(common::QUEUE_SELECT, 256);
    let last = u64::from(common.read(common::QUEUE_NOTIFY_OFF)) * u64::from(layout.notify_multiplier) + 4;
    assert!(last <= u64::from(layout.notify.len_bytes), "every queue's notification lies in the structure");
    assert_eq!(device.with(|model| model.violations().to_vec()), []);
}

#[test]
fn a_shared_notification_register_wakes_the_queue_that_is_named() {
    let mut rig = Rig::new(VirtioNetOptions { layout: Layout::shared_notification(), pairs: 2, ..Rig::options() });
    rig.negotiate(Features(u64::MAX));
    rig.set_up_queues();
    rig.write_status(status::DRIVER_OK);
    rig.post_frame(0, Header::default(), &frame(OTHER, MAC, 60));
    let notify = Reg::<u16, vfwire_spec::reg::Wo>::at(NOTIFY_AT);
    rig.write(notify, 0);
    rig.host.step();
    assert!(rig.sent().is_empty());
    rig.write(notify, 1);
    rig.host.step();
    assert_eq!(rig.sent().len(), 1);
    rig.assert_clean();
}

#[test]
fn the_configuration_tells_what_is_offered() {
    let options = VirtioNetOptions { pairs: 2, rss: true, mtu: Some(9000), link_mbps: Some(25_000), ..Rig::options() };
    let rig = Rig::new(options);
    assert_eq!(rig.config(config::MAX_VIRTQUEUE_PAIRS), 2);
    assert_eq!((rig.config(config::MTU), rig.config(config::SPEED), rig.config(config::DUPLEX)), (9000, 25_000, config::FULL_DUPLEX));
    assert_eq!((rig.config(config::RSS_MAX_KEY_SIZE), rig.config(config::RSS_MAX_INDIRECTION_TABLE_LENGTH)), (40, 128));
    assert_eq!(rig.config(config::SUPPORTED_HASH_TYPES), 0x3f);
    assert_eq!(rig.read(common::NUM_QUEUES), 5);
    rig.assert_clean();
    let rig = Rig::new(Rig::options());
    rig.config(config::MTU);
    assert_eq!(rig.rules_broken(), ["a field is read where its feature is offered"]);
}

#[test]
fn features_that_the_device_needs_are_demanded() {
    for missing in [Features::VERSION_1, Features::ACCESS_PLATFORM] {
        let mut rig = Rig::new(Rig::options());
        assert!(!rig.negotiate(Features(u64::MAX).without(missing)), "{missing}");
        rig.reset();
        assert!(rig.negotiate(Features(u64::MAX)));
        rig.assert_clean();
    }
    let rig = Rig::new(VirtioNetOptions { withheld: Features::VERSION_1, ..Rig::options() });
    assert!(!rig.offered().contains(Features::VERSION_1));
}

#[test]
fn a_reset_takes_its_time_and_forgets() {
    for options in both() {
        let mut rig = Rig::up(VirtioNetOptions { reply_polls: 3, ..options });
        assert!(rig.command(Command::Mac(OTHER)));
        rig.write(common::DEVICE_STATUS, 0);
        let reads: Vec<_> = (0..4).map(|_| rig.read(common::DEVICE_STATUS)).collect();
        assert_eq!(reads, [15, 15, 15, 0]);
        assert!(!rig.device.with(|model| model.is_live()));
        assert_eq!(rig.device.with(|model| model.mac()), Some(MAC));
        rig.write(common::QUEUE_SELECT, 0);
        assert_eq!((rig.read(common::QUEUE_ENABLE), rig.read(common::QUEUE_SIZE), rig.read(common::QUEUE_DESC_LO)), (0, 256, 0));
        rig.wire.push(frame(MAC, OTHER, 60));
        rig.host.step();
        assert_eq!(rig.device.with(|model| model.counters().off_frames), 1);
        rig.assert_clean();
        // And again.
        rig.negotiate(Features(u64::MAX));
        rig.set_up_queues();
        rig.write_status(status::DRIVER_OK);
        rig.post_receive_buffers();
        rig.wire.push(frame(OTHER, OTHER, 60));
        rig.host.step();
        assert!(rig.received(0).is_some(), "a device that nobody told anything receives everything");
        rig.assert_clean();
    }
}

#[test]
fn a_device_that_needs_a_reset_does_nothing() {
    let mut rig = Rig::up(Rig::options());
    rig.device.with(VirtioNetModel::set_needs_reset);
    assert_eq!(rig.read(common::DEVICE_STATUS), 15 | status::NEEDS_RESET);
    rig.wire.push(frame(MAC, OTHER, 60));
    rig.post_frame(0, Header::default(), &frame(OTHER, MAC, 60));
    rig.notify(1);
    rig.host.settle(4);
    assert_eq!((rig.received(0), rig.sent().len()), (None, 0));
    rig.reset();
    assert!(rig.negotiate(Features(u64::MAX)));
    rig.assert_clean();
}

#[test]
fn a_generation_that_never_settles() {
    let rig = Rig::new(VirtioNetOptions { unsettled: true, ..Rig::options() });
    for _ in 0..8 {
        let before = rig.read(common::CONFIG_GENERATION);
        rig.config(config::STATUS);
        assert_ne!(rig.read(common::CONFIG_GENERATION), before);
    }
    let rig = Rig::new(Rig::options());
    let before = rig.read(common::CONFIG_GENERATION);
    rig.config(config::STATUS);
    assert_eq!(rig.read(common::CONFIG_GENERATION), before);
    rig.device.with(|model| model.set_link(false));
    assert_eq!(rig.config(config::STATUS), 0);
    assert_ne!(rig.read(common::CONFIG_GENERATION), before);
}

/// Without MQ the control queue is queue 2, however many pairs there are.
#[test]
fn the_control_queue_has_its_place() {
    for (features, number) in [(Features(u64::MAX), 8), (Features(u64::MAX).without(Features::MQ), 2)] {
        let mut rig = Rig::new(VirtioNetOptions { pairs: 4, ..Rig::options() });
        rig.negotiate(features);
        assert_eq!(rig.queue_count() - 1, number);
        rig.set_up_queues();
        rig.write_status(status::DRIVER_OK);
        assert!(rig.command(Command::Rx(0, false)));
        rig.write(common::QUEUE_SELECT, number + 1);
        assert_eq!(rig.read(common::QUEUE_SIZE), 0);
        rig.assert_clean();
    }
}
