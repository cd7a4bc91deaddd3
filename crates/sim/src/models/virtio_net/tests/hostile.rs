use super::*;

/// What the first used word of a frame of 60 bytes says, and the first bytes of its buffer.
fn first(options: VirtioNetOptions, hostile: Hostile) -> (u32, u32, Vec<u8>) {
    let mut rig = Rig::up(options);
    rig.wire.push(frame(MAC, OTHER, 60));
    rig.host.step();
    rig.received(0).expect("a good one first");
    rig.device.with(|model| model.set_hostile(Some(hostile)));
    rig.wire.push(frame(MAC, OTHER, 60));
    rig.host.step();
    let (id, len_bytes) = rig.queues[0].used().expect("given back");
    rig.assert_clean();
    (id, len_bytes, raw::read(&rig.buffers, rig.buffer_at(0, 1), 14))
}

#[test]
fn it_says_what_it_should_not() {
    for options in both() {
        let good = (1, 72);
        let of = |hostile| first(options.clone(), hostile);
        let said = |hostile| {
            let (id, len_bytes, _) = of(hostile);
            (id, len_bytes)
        };
        assert_eq!(said(Hostile::LengthBeyondBuffer), (1, 2049));
        assert_eq!(said(Hostile::ZeroLength), (1, 12));
        assert_eq!(said(Hostile::LessThanHeader), (1, 11));
        assert_eq!(said(Hostile::UsedTwice), (0, 72));
        let (id, len_bytes, bytes) = of(Hostile::NeverEnds);
        assert_eq!(((id, len_bytes), &bytes[10..12]), (good, &[0xff; 2][..]));
        let (id, len_bytes, bytes) = of(Hostile::AllOnes);
        assert_eq!((id, len_bytes, &bytes[..12]), (1, u32::MAX, &[0xff; 12][..]));
        let id = said(Hostile::IdOutOfRange).0;
        assert!(id >= u32::from(SIZE), "{id}");
        assert_ne!(of(Hostile::Random(7)).2[..12], of(Hostile::Random(8)).2[..12]);
        assert_eq!(of(Hostile::Random(7)), of(Hostile::Random(7)), "the same again");
    }
}

#[test]
fn what_comes_out_of_nowhere_lies_where_nobody_posted() {
    for options in both() {
        let rig = Rig::up(options.clone());
        rig.device.with(|model| model.set_hostile(Some(Hostile::OutOfNowhere)));
        rig.host.step();
        rig.assert_clean();
        if options.packed {
            let [_, word1] = raw::descriptor(&rig.queues[1].desc, 0);
            assert!(vfwire_spec::virtio::packed::is_used(vfwire_spec::virtio::packed::flags(word1), true));
        } else {
            assert_eq!(raw::read(&rig.queues[1].device, 2, 2), [1, 0]);
        }
    }
}

/// A full queue has no such place: what was posted is still used.
#[test]
fn what_was_posted_stays() {
    for options in both() {
        for in_order in [false, true] {
            let rig = Rig::up(VirtioNetOptions { in_order, ..options.clone() });
            rig.device.with(|model| model.set_hostile(Some(Hostile::OutOfNowhere)));
            rig.host.step();
            rig.device.with(|model| model.set_hostile(None));
            (0..SIZE).for_each(|_| rig.wire.push(frame(MAC, OTHER, 60)));
            rig.host.step();
            assert_eq!(rig.device.with(|model| model.counters().received_frames), u64::from(SIZE));
            rig.assert_clean();
        }
    }
}
