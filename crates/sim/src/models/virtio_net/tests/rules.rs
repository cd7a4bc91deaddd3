use super::*;
use vfwire_spec::{
    reg::Wo,
    virtio::{net::NEEDS_CSUM, split},
};

/// The rules that `does` breaks on a device whose features were agreed on.
fn broken(does: impl Fn(&Rig)) -> Vec<&'static str> {
    let mut rig = Rig::new(Rig::options());
    rig.negotiate(Features(u64::MAX));
    does(&rig);
    rig.rules_broken()
}

#[test]
fn the_status_goes_its_way() {
    let steps: [(&[u8], &str); 6] = [
        (&[2], "ACKNOWLEDGE comes before DRIVER"),
        (&[1, 9], "DRIVER comes before FEATURES_OK"),
        (&[1, 3, 7], "FEATURES_OK comes before DRIVER_OK"),
        (&[1, 3, 1], "a bit of the status is not cleared"),
        (&[1, 3, 0x83, 3 | 0x80 | 8], "after FAILED comes a reset"),
        (&[1, 0, 1], "after a reset the status is read until it is 0"),
    ];
    for (writes, rule) in steps {
        let rig = Rig::new(Rig::options());
        writes.iter().for_each(|status| rig.write(common::DEVICE_STATUS, *status));
        assert_eq!(rig.rules_broken(), [rule], "{writes:?}");
    }
    let rig = Rig::up(Rig::options());
    rig.write_status(status::DRIVER_OK);
    assert_eq!(rig.rules_broken(), ["DRIVER_OK is set once"]);
}

#[test]
fn features_are_agreed_on_in_their_time() {
    const WHEN: &str = "features are accepted between DRIVER and FEATURES_OK";
    assert_eq!(broken(|rig| rig.accept(Features::NONE)), [WHEN; 2]);
    let rig = Rig::new(Rig::options());
    rig.accept(Features::NONE);
    assert_eq!(rig.rules_broken(), [WHEN; 2]);
    for (features, rule) in [
        (Features::VERSION_1 | Features::ACCESS_PLATFORM | Features::RING_PACKED, "a driver accepts what is offered"),
        (Features::VERSION_1 | Features::ACCESS_PLATFORM | Features::HOST_TSO4, "a feature is accepted with what it requires"),
    ] {
        let rig = Rig::new(Rig::options());
        rig.write_status(status::ACKNOWLEDGE);
        rig.write_status(status::DRIVER);
        rig.accept(features);
        assert_eq!(rig.write_status(status::FEATURES_OK) & status::FEATURES_OK, 0);
        assert_eq!(rig.rules_broken(), [rule]);
    }
}

#[test]
fn queues_are_set_up_in_their_time_and_right() {
    let rig = Rig::new(Rig::options());
    rig.write(common::QUEUE_SIZE, 64);
    assert_eq!(rig.rules_broken()[0], "queues are set up after FEATURES_OK");
    assert_eq!(broken(|rig| rig.write(common::QUEUE_ENABLE, 0)), ["queue_enable is only ever set to 1"]);
    assert_eq!(broken(|rig| rig.write(common::QUEUE_ENABLE, 1)), ["a queue is enabled with its three addresses"]);
    assert_eq!(broken(|rig| rig.write(common::QUEUE_SIZE, 48)), ["a split queue's size is a power of two"]);
    assert_eq!(broken(|rig| rig.write(common::QUEUE_SIZE, 512)), ["a queue's size is from 1 to the device's"]);
    assert_eq!(broken(|rig| rig.write(Reg::<u16, Wo>::at(common::NUM_QUEUES.offset()), 1)), ["a read-only register is not written"]);
    let misaligned = broken(|rig| {
        let [desc, driver, device] = [common::QUEUE_DESC_LO, common::QUEUE_DRIVER_LO, common::QUEUE_DEVICE_LO];
        rig.write(desc, 0x1008);
        rig.write(driver, 0x2000);
        rig.write(device, 0x3000);
        rig.write(common::QUEUE_ENABLE, 1);
    });
    assert_eq!(misaligned, ["the parts of a queue are aligned"]);
    let enabled = broken(|rig| {
        let hand = rig.set_up_queue(0);
        rig.write(common::QUEUE_DESC_LO, 0x1000);
        drop(hand);
    });
    assert_eq!(enabled, ["a queue is not changed while it is enabled"]);
    let late = broken(|rig| {
        rig.write_status(status::DRIVER_OK);
        drop(rig.set_up_queue(0));
    });
    assert_eq!(late, ["queues are set up before DRIVER_OK"]);
    assert_eq!(broken(|rig| drop(rig.set_up_queue(7))).first(), Some(&"the device has the queue"));
}

#[test]
fn fields_have_their_widths() {
    let rig = Rig::new(Rig::options());
    rig.read(Reg::<u32, vfwire_spec::reg::Ro>::at(common::DEVICE_STATUS.offset()));
    rig.write(Reg::<u8, Wo>::at(common::QUEUE_SIZE.offset()), 1);
    rig.config(Reg::<u32, vfwire_spec::reg::Ro>::at(0));
    assert_eq!(rig.rules_broken(), ["a field is accessed by its own width"; 3]);
}

#[test]
fn notifications_have_their_time_and_width() {
    let early = broken(|rig| {
        drop(rig.set_up_queue(0));
        rig.write(Reg::<u16, Wo>::at(NOTIFY_AT), 0);
        rig.write_status(status::DRIVER_OK);
    });
    assert_eq!(early, ["a device is notified after DRIVER_OK"]);
    let rig = Rig::up(Rig::options());
    rig.write(Reg::<u32, Wo>::at(NOTIFY_AT), 0);
    assert_eq!(rig.rules_broken(), ["a notification has 16 bits, with NOTIFICATION_DATA 32"]);
    let rig = Rig::up(Rig::options());
    rig.write(Reg::<u16, Wo>::at(NOTIFY_AT), 1);
    rig.host.step();
    assert_eq!(rig.rules_broken(), ["a notification names its queue"]);
    for options in both() {
        let rig = Rig::up(VirtioNetOptions { notification_data: true, ..options });
        rig.write(Reg::<u32, Wo>::at(NOTIFY_AT + 4), net::notification(1, 5));
        rig.host.step();
        assert_eq!(rig.rules_broken(), ["what a notification tells of is available"]);
    }
}

/// What a driver does to its transmit queue, and the rule that this breaks; the device needs a reset then.
fn breaks(options: VirtioNetOptions, rule: &str, does: impl FnOnce(&mut Rig)) {
    let mut rig = Rig::up(options);
    does(&mut rig);
    rig.notify(1);
    rig.host.step();
    assert_eq!(rig.rules_broken(), [rule]);
    assert_ne!(rig.read(common::DEVICE_STATUS) & status::NEEDS_RESET, 0, "{rule}");
    assert_eq!(rig.host.faults(), []);
}

#[test]
fn chains_end_and_are_sorted() {
    for options in both() {
        breaks(options.clone(), "the device reads transmit buffers, it does not write them", |rig| {
            let part = (rig.buffer_iova(1, 0), 100, true);
            rig.queues[1].post(&[part]);
        });
        breaks(options.clone(), "what the device reads comes before what it writes", |rig| {
            let iova = rig.buffer_iova(1, 0);
            rig.queues[1].post(&[(iova, 12, true), (iova, 60, false)]);
        });
        breaks(options, "a buffer has a header, and a frame of 14 bytes to what IP can have", |rig| {
            let part = (rig.buffer_iova(1, 0), 25, false);
            rig.queues[1].post(&[part]);
        });
    }
}

/// The device holds both at once: its frame needs two buffers.
#[test]
fn a_buffer_is_made_available_once() {
    for options in both() {
        let mut rig = Rig::new(options);
        rig.negotiate(Features(u64::MAX));
        rig.set_up_queues();
        rig.write_status(status::DRIVER_OK);
        let part = (rig.buffer_iova(0, 0), 2048, true);
        let id = rig.queues[0].post(&[part]);
        rig.queues[0].post_as(id, &[part]);
        rig.notify(0);
        rig.wire.push(frame(MAC, OTHER, 3000));
        rig.host.step();
        assert_eq!(rig.rules_broken(), ["a buffer is made available once"]);
    }
}

#[test]
fn a_split_chain_that_never_ends() {
    breaks(Rig::options(), "a chain ends, inside its table", |rig| {
        let part = (rig.buffer_iova(1, 0), 100, false);
        rig.queues[1].post(&[part]);
        raw::set_descriptor(&rig.queues[1].desc, 0, [part.0, split::word1(1, split::NEXT, 0)]);
    });
    breaks(Rig::options(), "a chain ends, inside its table", |rig| {
        rig.queues[1].post_as(SIZE, &[(rig.buffers.iova().0, 100, false)]);
    });
    breaks(Rig::options(), "the available index is at most the queue's size ahead", |rig| {
        raw::write(&rig.queues[1].driver, split::AVAIL_INDEX, &(SIZE + 1).to_le_bytes());
    });
}

#[test]
fn headers_keep_the_rules() {
    let cases = [
        (Header { num_buffers: 1, ..Header::default() }, "num_buffers is 0 in what is sent"),
        (Header { flags: 2, ..Header::default() }, "NEEDS_CSUM is the only flag of what is sent"),
        (Header { gso_type: 3, ..Header::default() }, "segmentation goes with its feature"),
        (Header { gso_type: 1, ..Header::default() }, "segmentation goes with NEEDS_CSUM"),
        (Header { flags: NEEDS_CSUM, csum_start: 59, ..Header::default() }, "the checksum lies in the frame, and in what it covers"),
        (Header { flags: NEEDS_CSUM, gso_type: 1, gso_size: 9, ..Header::default() }, "a run is TCP over the IP that its type names"),
    ];
    for (header, rule) in cases {
        breaks(Rig::options(), rule, |rig| {
            rig.post_frame(0, header, &frame(OTHER, MAC, 60));
        });
    }
    let without = VirtioNetOptions { csum: false, ..Rig::options() };
    breaks(without, "NEEDS_CSUM goes with CSUM", |rig| {
        rig.post_frame(0, Header { flags: NEEDS_CSUM, ..Header::default() }, &frame(OTHER, MAC, 60));
    });
    breaks(VirtioNetOptions { mtu: Some(100), ..Rig::options() }, "a frame is no longer than the MTU allows", |rig| {
        rig.post_frame(0, Header::default(), &frame(OTHER, MAC, 119));
    });
}

/// DMA to what is not mapped is a fault of the IOMMU, whoever makes the access: rust-vmm or our own code.
#[test]
fn bad_addresses_fault() {
    for options in both() {
        let mut rig = Rig::up(options.clone());
        rig.queues[1].post(&[(0x1000, 100, false)]);
        rig.notify(1);
        rig.host.step();
        assert_eq!(rig.host.faults().len(), 1);
        assert_ne!(rig.read(common::DEVICE_STATUS) & status::NEEDS_RESET, 0);
        assert_eq!(rig.rules_broken(), [""; 0]);

        // The ring itself goes away under the device.
        let mut rig = Rig::up(options);
        rig.queues.remove(1);
        rig.write(Reg::<u16, Wo>::at(NOTIFY_AT + 4), 1);
        rig.host.step();
        assert_eq!(rig.host.faults().len(), 1, "{:?}", rig.rules_broken());
        assert_eq!(rig.rules_broken(), [""; 0]);
    }
}

/// The available index can be read, the entries behind it cannot.
#[test]
fn an_available_ring_that_is_cut_off_faults() {
    let mut rig = Rig::new(Rig::options());
    rig.negotiate(Features(u64::MAX));
    let (desc, device) = (rig.set_up_queue(0), rig.set_up_queue(2));
    let cut = rig.function.dma().alloc(64, 64).expect("memory");
    let at = cut.len_bytes() - split::AVAIL_RING;
    raw::write(&cut, at + split::AVAIL_INDEX, &1u16.to_le_bytes());
    rig.write(common::QUEUE_SELECT, 1);
    rig.write(common::QUEUE_SIZE, SIZE);
    let driver = cut.iova().0 + at as u64;
    let addresses = [desc.addresses()[0], driver, device.addresses()[2]].map(|address| Features(address).to_words());
    rig.write(common::QUEUE_DESC_LO, addresses[0][0]);
    rig.write(common::QUEUE_DESC_HI, addresses[0][1]);
    rig.write(common::QUEUE_DRIVER_LO, addresses[1][0]);
    rig.write(common::QUEUE_DRIVER_HI, addresses[1][1]);
    rig.write(common::QUEUE_DEVICE_LO, addresses[2][0]);
    rig.write(common::QUEUE_DEVICE_HI, addresses[2][1]);
    rig.write(common::QUEUE_ENABLE, 1);
    rig.write_status(status::DRIVER_OK);
    rig.write(Reg::<u16, Wo>::at(NOTIFY_AT + 4), 1);
    rig.host.step();
    assert_eq!((rig.host.faults().len(), rig.rules_broken()), (1, vec![]));
}

#[test]
fn pairs_that_are_not_used_send_nothing() {
    let mut rig = Rig::up(VirtioNetOptions { pairs: 2, ..Rig::options() });
    rig.post_frame(1, Header::default(), &frame(OTHER, MAC, 60));
    rig.notify(3);
    rig.host.step();
    assert!(rig.sent().is_empty());
    assert_eq!(rig.rules_broken(), ["a driver sends on pairs that are used"]);
}
