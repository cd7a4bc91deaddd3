//! What a port receives: its address, VLANs, multicast groups, everything. What is not granted is said, with what to do about it.

use crate::{
    bench::{Bench, Setup, assert_same},
    fixture::{Fixture, Options},
    frames::{PEER, STRANGER, frame, tagged},
};
use std::collections::BTreeSet;
use vfwire_core::{
    meta::TxOffload,
    port::{Granted, Intent, Port, Setting},
};
use vfwire_spec::net::MacAddr;

const ASSIGNED: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 0xaa]);
const WISHED: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x53, 0xbb]);
/// RFC 9542, 2.1.2: for documentation.
pub(crate) const GROUP: MacAddr = MacAddr([0x01, 0, 0x5e, 0x90, 0x10, 0]);
/// Far from [`GROUP`] in any hash that uses the last bytes.
pub(crate) const OTHER_GROUP: MacAddr = MacAddr([0x01, 0, 0x5e, 0x90, 0x65, 0x43]);

pub(crate) fn vlans(ids: &[u16]) -> Intent {
    Intent { vlans: ids.iter().copied().collect(), ..Intent::default() }
}

pub(crate) fn refusal(granted: &Granted, setting: Setting) -> bool {
    let found = granted.refused.iter().find(|refusal| refusal.setting == setting);
    assert!(found.is_none_or(|refusal| refusal.remedy.len() > 10), "a refusal says what to do: {found:?}");
    found.is_some()
}

/// A joined VLAN's frames come, without their tag where the device takes it out, which the metadata has then; others do not come.
pub fn joined_vlans_are_received<F: Fixture>() {
    for setup in Setup::on_every_path::<F>() {
        let mut bench = setup.intent(vlans(&[1, 100, 4094])).start::<F>();
        assert!(bench.granted.refused.is_empty());
        let to = bench.mac();
        for tci in [1, 100, 0x6064, 0xf064, 4094] {
            let plain = frame(to, 80, usize::from(tci));
            let got = bench.receive_of([tagged(&plain, tci)]);
            assert_eq!(got.len(), 1, "TCI {tci:#x}");
            let expected = if F::TRAITS.strips_tags { (plain, Some(tci)) } else { (tagged(&plain, tci), None) };
            assert_eq!((&got[0].bytes, got[0].meta.vlan_tci), (&expected.0, expected.1));
        }
        for tci in [2, 99, 101, 200, 4093, 0x6065] {
            assert!(!bench.gets(&tagged(&frame(to, 80, 1), tci)), "VLAN {} was not joined", tci & 0xfff);
        }
        let got = bench.receive_of([frame(to, 80, 1)]);
        assert_eq!(got[0].meta.vlan_tci, None, "untagged frames still come, and say so");
    }
}

/// VLANs are joined and left while the port runs.
pub fn vlans_change_at_run_time<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let to = bench.mac();
    let of = |id: u16| tagged(&frame(to, 80, usize::from(id)), id);
    for joined in [&[10][..], &[10, 20], &[20, 30], &[], &[10]] {
        let granted = bench.port().apply(&vlans(joined)).expect("the PF answers");
        assert!(granted.refused.is_empty());
        for id in [10, 20, 30] {
            assert_eq!(bench.gets(&of(id)), joined.contains(&id), "VLAN {id} of {joined:?}");
        }
        assert!(bench.gets(&frame(to, 60, 0)));
    }
}

/// The device puts a tag into frames that ask for one, long ones too.
pub fn tags_are_inserted<F: Fixture>() {
    let mut bench = Setup::new::<F>().intent(vlans(&[5, 100])).start::<F>();
    let plain = |number: usize| frame(PEER, 60 + 1454 * (number % 2), number);
    let asked = [None, Some(0x6064), Some(0x6064), None, Some(5), Some(0xe005), None];
    let frames: Vec<_> = (0..)
        .zip(asked)
        .map(|(number, tci)| (plain(number), tci.map_or(TxOffload::default(), |tci| TxOffload::default().vlan(tci))))
        .collect();
    let expected: Vec<_> = (0..).zip(asked).map(|(number, tci)| tci.map_or(plain(number), |tci| tagged(&plain(number), tci))).collect();
    for _ in 0..100 {
        assert_same(&bench.send(0, &frames), &expected, "tags");
    }
}

/// A tag that the application wrote itself leaves as it is, on the longest frame too.
pub fn tags_of_the_application_pass<F: Fixture>() {
    let mut bench = Setup::new::<F>().intent(vlans(&[100])).start::<F>();
    let frames = [tagged(&frame(PEER, 60, 1), 100), tagged(&frame(PEER, 1514, 2), 100)];
    assert_same(&bench.send_plain(frames.clone()), &frames, "tags of the application");
}

/// Broadcast always comes; multicast where it was asked for; other stations' frames do not.
pub fn only_what_was_asked_for_comes<F: Fixture>() {
    let mut bench = Setup::new::<F>().start::<F>();
    let to = bench.mac();
    for (destination, comes) in [(to, true), (MacAddr::BROADCAST, true), (STRANGER, false), (GROUP, false), (OTHER_GROUP, false)] {
        assert_eq!(bench.gets(&frame(destination, 60, 1)), comes, "a frame to {destination}");
    }
}

/// The multicast list is kept, at start and at run time.
pub fn multicast_groups_come_and_go<F: Fixture>() {
    let groups = |groups: &[MacAddr]| Intent { multicast: groups.iter().copied().collect(), ..Intent::default() };
    let mut bench = Setup::new::<F>().intent(groups(&[GROUP])).start::<F>();
    assert!(bench.granted.refused.is_empty());
    assert!(bench.gets(&frame(GROUP, 60, 1)));
    assert!(!bench.gets(&frame(OTHER_GROUP, 60, 1)));
    for joined in [&[OTHER_GROUP][..], &[GROUP, OTHER_GROUP], &[]] {
        assert!(bench.port().apply(&groups(joined)).expect("the PF answers").refused.is_empty());
        for group in [GROUP, OTHER_GROUP] {
            assert_eq!(bench.gets(&frame(group, 60, 1)), joined.contains(&group), "{group} of {joined:?}");
        }
        assert!(bench.gets(&frame(MacAddr::BROADCAST, 60, 1)));
    }
}

/// More groups than any device lists: all of them come, or the refusal says so.
pub fn many_multicast_groups<F: Fixture>() {
    let many: BTreeSet<_> = (0..100).map(|number| MacAddr([0x01, 0, 0x5e, 0x11, number, number ^ 0x5a])).collect();
    let intent = Intent { multicast: many.clone(), ..Intent::default() };
    let mut bench = Setup::new::<F>().intent(intent).start::<F>();
    let granted = bench.granted.clone();
    let missing = many.iter().filter(|group| !bench.gets(&frame(**group, 60, 1))).count();
    assert!(missing == 0 || refusal(&granted, Setting::Multicast), "{missing} of 100 groups do not come, and nobody said so");
}

/// Every group, and back.
pub fn all_multicast<F: Fixture>() {
    let all = Intent { all_multicast: true, ..Intent::default() };
    let mut bench = Setup::for_all_multicast::<F>().intent(all).start::<F>();
    assert!(!refusal(&bench.granted, Setting::AllMulticast));
    assert!(bench.gets(&frame(GROUP, 60, 1)) && bench.gets(&frame(OTHER_GROUP, 60, 1)));
    assert!(!bench.gets(&frame(STRANGER, 60, 1)));
    bench.port().apply(&Intent::default()).expect("the PF answers");
    assert!(!bench.gets(&frame(GROUP, 60, 1)), "no longer");
}

/// Promiscuous mode is refused to an ordinary function, with what to do; multicast is granted all the same where that needs no trust.
pub fn promiscuous_mode_is_refused_with_a_remedy<F: Fixture>() {
    let intent = Intent { promiscuous: true, all_multicast: true, ..Intent::default() };
    let mut bench = Setup::new::<F>().intent(intent).start::<F>();
    assert!(refusal(&bench.granted, Setting::Promiscuous), "{:?}", bench.granted);
    let needs_trust = F::TRAITS.all_multicast_needs_trust;
    assert_eq!(refusal(&bench.granted, Setting::AllMulticast), needs_trust, "{:?}", bench.granted);
    assert!(!bench.gets(&frame(STRANGER, 60, 1)));
    assert_eq!(bench.gets(&frame(GROUP, 60, 1)), !needs_trust);
    let to = bench.mac();
    assert!(bench.gets(&frame(to, 60, 1)), "the port works without it");
}

/// Promiscuous mode of a function that is trusted, and back. Where trust does not give it either, the refusal says so.
pub fn promiscuous_mode_of_a_trusted_function<F: Fixture>() {
    let options = Options { trusted: true, ..F::TRAITS.options };
    let intent = Intent { promiscuous: true, ..Intent::default() };
    let mut bench = Setup { options, ..Setup::new::<F>() }.intent(intent).start::<F>();
    let gets = F::TRAITS.trust_gives_promiscuous;
    assert_eq!(refusal(&bench.granted, Setting::Promiscuous), !gets, "{:?}", bench.granted);
    assert_eq!(bench.gets(&frame(STRANGER, 60, 1)), gets);
    assert!(bench.gets(&frame(GROUP, 60, 1)), "every multicast frame is a part of it that is granted");
    bench.port().apply(&Intent::default()).expect("the PF answers");
    assert!(!bench.gets(&frame(STRANGER, 60, 1)), "no longer");
    assert!(!bench.gets(&frame(GROUP, 60, 1)), "no longer");
}

fn with_mac<F: Fixture>(options: Options, wish: Option<MacAddr>) -> Bench<F> {
    let intent = Intent { mac: wish, ..Intent::default() };
    Setup { options, ..Setup::new::<F>() }.intent(intent).start::<F>()
}

fn assert_is_mac<F: Fixture>(bench: &mut Bench<F>, mac: MacAddr) {
    assert_eq!(bench.mac(), mac, "what the port says");
    assert_eq!(bench.model(|model| F::mac(model)), Some(mac), "what the device filters by");
    assert!(bench.gets(&frame(mac, 60, 1)), "frames to {mac}");
    bench.assert_traffic_flows(60);
}

/// An assigned address is taken over as it is, known as soon as the port was probed.
pub fn the_assigned_address_is_used<F: Fixture>() {
    let options = Options { assigned_mac: Some(ASSIGNED), ..F::TRAITS.options };
    for wish in [None, Some(ASSIGNED)] {
        let mut bench = with_mac::<F>(options, wish);
        assert!(bench.granted.refused.is_empty(), "{:?}: it is in force", bench.granted);
        assert_is_mac(&mut bench, ASSIGNED);
    }
    let mut probed = Setup { options, ..Setup::new::<F>() }.probe::<F>();
    assert_eq!(probed.mac(), ASSIGNED);
}

/// Where none is assigned, each port has a random local one, which the device filters by.
pub fn a_random_address_where_none_is_assigned<F: Fixture>() {
    let options = Options { assigned_mac: None, ..F::TRAITS.options };
    let mut benches: Vec<_> = (0..4).map(|_| with_mac::<F>(options, None)).collect();
    let macs: BTreeSet<_> = benches.iter_mut().map(Bench::mac).collect();
    assert_eq!(macs.len(), benches.len(), "each has its own: {macs:?}");
    for (bench, mac) in benches.iter_mut().map(|bench| (bench.mac(), bench)).map(|(mac, bench)| (bench, mac)) {
        assert!(mac.is_unicast() && mac.is_local(), "{mac}");
        assert!(bench.granted.refused.is_empty());
        assert_is_mac(bench, mac);
    }
}

/// The random address stays the port's over starts.
pub fn the_random_address_stays<F: Fixture>() {
    let options = Options { assigned_mac: None, ..F::TRAITS.options };
    let mut bench = with_mac::<F>(options, None);
    let mac = bench.mac();
    for _ in 0..3 {
        bench.port().stop().expect("it runs");
        bench.poll_queues_in_reset();
        bench.start();
        assert_is_mac(&mut bench, mac);
    }
}

/// The application's address, at start and at run time.
pub fn the_application_chooses_an_address<F: Fixture>() {
    let options = Options { assigned_mac: None, ..F::TRAITS.options };
    let mut bench = with_mac::<F>(options, Some(WISHED));
    assert!(bench.granted.refused.is_empty());
    assert_is_mac(&mut bench, WISHED);
    let granted = bench.port().apply(&Intent { mac: Some(ASSIGNED), ..Intent::default() }).expect("the PF answers");
    assert!(granted.refused.is_empty());
    assert_is_mac(&mut bench, ASSIGNED);
    assert!(!bench.gets(&frame(WISHED, 60, 1)), "the old address is given up");
}

/// Where the PF keeps to the address that it assigned, the port says so and has that one.
pub fn a_refused_address_is_reported<F: Fixture>() {
    let options = Options { assigned_mac: Some(ASSIGNED), ..F::TRAITS.options };
    let mut bench = with_mac::<F>(options, Some(WISHED));
    assert!(refusal(&bench.granted, Setting::Mac(WISHED)), "{:?}", bench.granted);
    assert_is_mac(&mut bench, ASSIGNED);
    assert!(!bench.gets(&frame(WISHED, 60, 1)));
}

/// A function that checks for spoofing sends frames of its own address and no others; none of them blocks the queue.
pub fn anti_spoofing_is_survived<F: Fixture>() {
    let options = Options { anti_spoofing: true, ..F::TRAITS.options };
    let mut bench = Setup { options, ..Setup::new::<F>() }.start::<F>();
    let own = bench.mac();
    let from = |source: MacAddr, number| {
        let mut frame = frame(PEER, 60, number);
        frame[6..12].copy_from_slice(&source.0);
        frame
    };
    let sent = bench.send_plain([from(own, 1), from(STRANGER, 2), from(own, 3), from(STRANGER, 4), from(own, 5)]);
    assert_eq!(sent, [from(own, 1), from(own, 3), from(own, 5)]);
    assert_eq!(bench.stats().tx[0].frames, 5, "all were given to the device");
}
