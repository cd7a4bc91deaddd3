use super::*;
use vfwire_spec::{
    net::VlanId,
    virtio::{
        control::{RssConfig, announce, mac, mq, rx, vlan},
        net::config,
    },
};

/// How many of the frames get through.
fn passing(rig: &Rig, frames: &[Vec<u8>]) -> Vec<bool> {
    let count = || rig.device.with(|model| model.counters().received_frames);
    let pass = |frame: &Vec<u8>| {
        let before = count();
        rig.wire.push(frame.clone());
        rig.host.step();
        count() != before
    };
    frames.iter().map(pass).collect()
}

const GROUP: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0, 1]);

#[test]
fn receive_modes() {
    for options in both() {
        let mut rig = Rig::up(options);
        let frames: Vec<_> = [MAC, OTHER, GROUP, MacAddr::BROADCAST].map(|to| frame(to, OTHER, 60)).into();
        assert_eq!(passing(&rig, &frames), [true, false, false, true]);
        let steps = [
            (rx::ALLMULTI, true, [true, false, true, true]),
            (rx::NOMULTI, true, [true, false, false, true]),
            (rx::NOBCAST, true, [true, false, false, false]),
            (rx::ALLUNI, true, [true, true, false, false]),
            (rx::NOUNI, true, [false, false, false, false]),
            (rx::PROMISC, true, [true; 4]),
        ];
        for (mode, on, expected) in steps {
            assert!(rig.command(Command::Rx(mode, on)));
            assert_eq!(passing(&rig, &frames), expected, "mode {mode}");
        }
        rig.assert_clean();
    }
}

#[test]
fn addresses() {
    let mut rig = Rig::up(Rig::options());
    let frames: Vec<_> = [MAC, OTHER, GROUP].map(|to| frame(to, OTHER, 60)).into();
    assert!(rig.command(Command::MacTable { unicast: &[OTHER], multicast: &[GROUP] }));
    assert_eq!(passing(&rig, &frames), [true, true, true]);
    assert!(rig.command(Command::MacTable { unicast: &[], multicast: &[] }));
    assert_eq!(passing(&rig, &frames), [true, false, false]);
    let many: Vec<_> = (0..65).map(|number| MacAddr([2, 1, 0, 0, 0, number])).collect();
    assert!(rig.command(Command::MacTable { unicast: &many, multicast: &[] }));
    assert_eq!(passing(&rig, &frames), [true, true, false], "too many to tell apart");
    assert!(rig.command(Command::MacTable { unicast: &[], multicast: &[] }));

    let generation = rig.read(common::CONFIG_GENERATION);
    assert!(rig.command(Command::Mac(OTHER)));
    assert_eq!(passing(&rig, &frames), [false, true, false]);
    assert_eq!((0..6).map(|at| rig.config(config::MAC.index(at))).collect::<Vec<_>>(), OTHER.0);
    assert_ne!(rig.read(common::CONFIG_GENERATION), generation);
    rig.assert_clean();
}

#[test]
fn vlans() {
    let mut rig = Rig::up(Rig::options());
    let plain = frame(MAC, OTHER, 60);
    let tagged = [&plain[..12], &[0x81, 0, 0x20, 0x64], &plain[12..]].concat();
    let frames = [plain, tagged];
    assert_eq!(passing(&rig, &frames), [true, false]);
    let id = VlanId::new(100).expect("a VLAN");
    assert!(rig.command(Command::Vlan(id, true)));
    assert_eq!(passing(&rig, &frames), [true, true]);
    assert!(rig.command(Command::Vlan(id, false)));
    assert_eq!(passing(&rig, &frames), [true, false]);
    rig.assert_clean();
}

#[test]
fn an_announcement_is_asked_for_and_acknowledged() {
    let mut rig = Rig::up(Rig::options());
    assert_eq!(rig.config(config::STATUS), config::LINK_UP);
    rig.device.with(VirtioNetModel::ask_for_announcement);
    assert_eq!(rig.config(config::STATUS), config::LINK_UP | config::ANNOUNCE);
    assert!(rig.command(Command::AnnounceAck));
    assert_eq!(rig.config(config::STATUS), config::LINK_UP);
    assert!(!rig.device.with(|model| model.awaits_announcement()));
    rig.assert_clean();
}

#[test]
fn what_is_refused_is_answered() {
    let mut rig = Rig::up(Rig::options());
    rig.device.with(|model| model.refuse(rx::CLASS, rx::PROMISC, true));
    assert!(!rig.command(Command::Rx(rx::PROMISC, true)));
    rig.device.with(|model| model.refuse(rx::CLASS, rx::PROMISC, false));
    assert!(rig.command(Command::Rx(rx::PROMISC, true)));
    assert!(!rig.raw_command(&[77, 0]), "no such class");
    rig.assert_clean();
}

#[test]
fn commands_without_their_feature_or_data_are_violations() {
    const DATA: &str = "a command has the data that belong to it";
    const FEATURE: &str = "a command is given only with its feature";
    let bad: [(&[u8], &str); 12] = [
        (&[0], "a command has a class and a number"),
        (&[rx::CLASS, rx::PROMISC], DATA),
        (&[rx::CLASS, rx::PROMISC, 2], DATA),
        (&[rx::CLASS, rx::PROMISC, 1, 1], DATA),
        (&[mac::CLASS, mac::ADDR_SET, 1, 2, 3], DATA),
        (&[mac::CLASS, mac::TABLE_SET, 0xff, 0xff, 0xff, 0xff], DATA),
        (&[mac::CLASS, mac::TABLE_SET, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], DATA),
        (&[vlan::CLASS, vlan::ADD, 0, 0x10], DATA),
        (&[announce::CLASS, announce::ACK, 0], DATA),
        (&[mq::CLASS, mq::VQ_PAIRS_SET, 1, 0], FEATURE),
        (&[mq::CLASS, mq::RSS_CONFIG, 1, 0], FEATURE),
        (&[mq::CLASS, mq::HASH_CONFIG, 1, 0], FEATURE),
    ];
    for (bytes, rule) in bad {
        let mut rig = Rig::up(Rig::options());
        rig.raw_command(bytes);
        assert_eq!(rig.rules_broken(), [rule], "{bytes:x?}");
    }
}

#[test]
fn pairs_and_tables_lie_in_the_device() {
    let key = [1; 40];
    let good = RssConfig { hash_types: 1, unclassified_queue: 0, table: &[0, 1], max_tx_vq: 2, key: &key };
    let bad = [
        Command::Pairs(0),
        Command::Pairs(3),
        Command::Rss(RssConfig { table: &[0, 2], ..good }),
        Command::Rss(RssConfig { unclassified_queue: 2, ..good }),
        Command::Rss(RssConfig { table: &[0; 256], ..good }),
        Command::Rss(RssConfig { max_tx_vq: 3, ..good }),
        Command::Rss(RssConfig { hash_types: 1 << 6, ..good }),
        Command::Rss(RssConfig { key: &[0; 41], ..good }),
    ];
    for command in bad {
        let mut rig = Rig::up(VirtioNetOptions { pairs: 2, rss: true, ..Rig::options() });
        assert!(rig.command(Command::Rss(good)) && rig.command(Command::Pairs(1)));
        rig.assert_clean();
        assert!(!rig.command(command), "{command:?}");
        assert_eq!(rig.rules_broken().len(), 1);
    }
}

#[test]
fn a_silent_device_answers_nothing() {
    let mut rig = Rig::up(Rig::options());
    rig.device.with(|model| model.set_silent(true));
    let part = (rig.buffer_iova(2, 0), 3, false);
    rig.queues[2].post(&[part, (part.0 + 64, 1, true)]);
    rig.notify(2);
    rig.host.settle(4);
    assert_eq!(rig.queues[2].used(), None);
    rig.assert_clean();
}
