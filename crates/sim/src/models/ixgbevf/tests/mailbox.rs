//! Golden transcripts: every word of the PF's answers, from Linux' `ixgbe_sriov.c`.

use super::*;
use crate::models::ixgbevf::ReplyDelay;
use std::time::Duration;
use vfwire_core::poll::{Wait, poll_until};
use vfwire_spec::{
    intel::mailbox::{ACK, RSTD, RSTI},
    ixgbevf::control::{ApiVersion, HashBits, HashList, RETA_ENTRIES, XcastMode},
    net::VlanId,
};

/// The words of a message, and zeros behind them.
fn words<const N: usize>(words: [u32; N]) -> Message {
    Message::new(*Message::new(words).memory())
}

fn raw_request(rig: &Rig, request: &[u32]) -> Message {
    let message = request.iter().enumerate().fold(Message::new([0; WORDS]), |message, (at, word)| message.with(at, *word));
    rig.write_message(&message);
    rig.poll(PFACK | PFSTS).expect("the PF answers");
    rig.read_message()
}

/// After RESET, with this version.
fn talking(options: IxgbevfOptions, version: u32) -> Rig {
    let rig = Rig::new(options);
    rig.ask(Request::Reset);
    if version != 0 {
        assert_eq!(raw_request(&rig, &[8, version, 0]), words([0xa000_0008, version]));
    }
    rig
}

/// `ixgbe_vf_reset_msg`: ACK, the address in memory order, the multicast filter type; without CTS. Everything else is cleared.
#[test]
fn reset_tells_the_assigned_address() {
    let rig = Rig::new(IxgbevfOptions { hash_bits: HashBits::BITS_45_34, ..Rig::options() });
    assert_eq!(raw_request(&rig, &[1, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff]), words([0x8000_0001, 2, 0x1100, 2]));
    assert!(rig.device.with(|model| model.is_clear_to_send() && model.mac() == Some(MAC) && model.receives()));
    rig.assert_clean();
}

/// `ixgbe_vf_reset_msg`: NACK and no address where the administrator chose none.
#[test]
fn reset_without_an_assigned_address() {
    let rig = Rig::new(IxgbevfOptions::default());
    assert_eq!(raw_request(&rig, &[1]), words([0x4000_0001]));
    assert!(rig.device.with(|model| model.is_clear_to_send()), "a refusal of the address is no refusal of the VF");
    assert_eq!(raw_request(&rig, &[2, 2, 0x2200]), words([0xa000_0002, 2, 0x2200]));
    // The VF's own address is not told, but is in force again after the next RESET.
    rig.regs.write(regs::VFCTRL, regs::VFCTRL_RST);
    assert_eq!(rig.device.with(|model| model.mac()), None);
    assert_eq!(raw_request(&rig, &[1]), words([0x4000_0001]));
    assert_eq!(rig.device.with(|model| model.mac()), Some(OTHER));
}

/// `ixgbe_rcv_msg_from_vf`: only the bare word is RESET.
#[test]
fn reset_is_one_exact_word() {
    let rig = talking(Rig::options(), 0);
    assert_eq!(raw_request(&rig, &[0x0001_0001]), words([0x6001_0001]));
}

/// `ixgbe_rcv_msg_from_vf`: one word to a VF that has not sent RESET; the rest of the memory stays. Nothing to an answer.
#[test]
fn before_reset_everything_is_refused_without_cts() {
    let rig = Rig::new(Rig::options());
    assert_eq!(raw_request(&rig, &[5, 1518, 7]), words([0x4000_0005, 1518, 7]));
    rig.ask(Request::Reset);
    assert_eq!(raw_request(&rig, &[5, 1518, 7]), words([0xa000_0005, 1518, 7]));
    rig.device.with(|model| model.forget_vf());
    assert_eq!(raw_request(&rig, &[5, 1518]), words([0x4000_0005, 1518]));
    rig.write_message(&Message::new([0x8000_0001]));
    assert_eq!(rig.poll(PFSTS), None);
}

/// `ixgbe_rcv_ack_from_vf`: a VF that reads before it has sent RESET is told so, in one word.
#[test]
fn a_vf_that_reads_before_reset_is_refused() {
    let rig = talking(Rig::options(), 0);
    rig.device.with(|model| model.allow_link(false));
    assert!(rig.poll(PFSTS).is_some());
    assert_eq!(rig.read_message().header().0, 0x0000_0100);
    rig.regs.write(regs::VFMAILBOX, ACK);
    assert!(rig.poll(PFSTS).is_some());
    assert_eq!(rig.read_message().header().0, 0x4000_0000);
    rig.ask(Request::Reset);
    rig.regs.write(regs::VFMAILBOX, ACK);
    assert_eq!(rig.poll(PFSTS), None, "after RESET reading is all right");
}

/// `ixgbe_set_vf_mac_addr`: the assigned address itself, another one, no address of a station.
#[test]
fn an_assigned_address_is_kept() {
    let rig = talking(Rig::options(), 0);
    assert_eq!(raw_request(&rig, &[2, 2, 0x1100]), words([0xa000_0002, 2, 0x1100]));
    assert_eq!(raw_request(&rig, &[2, 2, 0x2200]), words([0x6000_0002, 2, 0x2200]));
    assert_eq!(raw_request(&rig, &[2, 0xffff_ffff, 0xffff]), words([0x6000_0002, 0xffff_ffff, 0xffff]));
    assert_eq!(rig.device.with(|model| model.mac()), Some(MAC));
    let trusted = talking(IxgbevfOptions { trusted: true, ..Rig::options() }, 0);
    assert_eq!(raw_request(&trusted, &[2, 2, 0x2200]), words([0xa000_0002, 2, 0x2200]));
    // `ixgbe_vf_reset_msg` now tells the address that the VF chose.
    assert_eq!(raw_request(&trusted, &[1]), words([0x8000_0001, 2, 0x2200]));
}

/// `ixgbe_ndo_set_vf_mac`: at once, without a word; `ixgbe_vf_reset_msg` tells it.
#[test]
fn the_administrator_changes_an_address() {
    let rig = talking(Rig::options(), 0);
    rig.device.with(|model| model.assign_mac(Some(OTHER)));
    assert_eq!((rig.poll(PFSTS), rig.device.with(|model| model.mac())), (None, Some(OTHER)));
    assert_eq!(raw_request(&rig, &[1]), words([0x8000_0001, 2, 0x2200]));
    rig.device.with(|model| model.assign_mac(None));
    assert_eq!(raw_request(&rig, &[1]), words([0x4000_0001]));
}

/// `ixgbe_set_vf_vlan_msg`: VLAN 0 is never left; 64 fit, VLAN 0 among them.
#[test]
fn vlans() {
    let rig = talking(Rig::options(), 0);
    assert_eq!(raw_request(&rig, &[0x0001_0004, 100]), words([0xa001_0004, 100]));
    assert_eq!(raw_request(&rig, &[0x0000_0004, 100]), words([0xa000_0004, 100]));
    assert_eq!(raw_request(&rig, &[0x0000_0004, 0]), words([0xa000_0004, 0]));
    for id in 1..64 {
        assert_eq!(raw_request(&rig, &[0x0001_0004, id]), words([0xa001_0004, id]));
    }
    assert_eq!(raw_request(&rig, &[0x0001_0004, 64]), words([0x6001_0004, 64]));
    assert_eq!(raw_request(&rig, &[0x0001_0004, 63]), words([0xa001_0004, 63]));
}

/// `ixgbe_set_vf_lpe`: 68 to 9728 bytes; on the 82599 under an ordinary PF, ordinary frames only, and a refusal stops receiving.
#[test]
fn long_frames_of_an_82599_follow_the_pf() {
    let rig = talking(Rig::options(), 4);
    assert_eq!(raw_request(&rig, &[5, 67]), words([0x6000_0005, 67]));
    assert!(rig.device.with(|model| model.receives()), "out of range is refused before anything is done");
    assert_eq!(raw_request(&rig, &[5, 1518]), words([0xa000_0005, 1518]));
    assert_eq!(raw_request(&rig, &[5, 1519]), words([0x6000_0005, 1519]));
    assert!(!rig.device.with(|model| model.receives()));
    assert_eq!(raw_request(&rig, &[5, 1518]), words([0xa000_0005, 1518]));
    assert!(rig.device.with(|model| model.receives()));
}

/// `ixgbe_set_vf_rx_tx`, `ixgbe_set_vf_lpe`: under a PF with a great MTU, RESET leaves receiving off until SET_LPE, which needs 1.1.
#[test]
fn a_jumbo_pf_waits_for_set_lpe() {
    let options = IxgbevfOptions { pf_mtu_bytes: 9000, ..Rig::options() };
    let old = talking(options.clone(), 0);
    assert!(!old.device.with(|model| model.receives()));
    assert_eq!(raw_request(&old, &[5, 1518]), words([0x6000_0005, 1518]));
    let rig = talking(options.clone(), 2);
    assert_eq!(raw_request(&rig, &[5, 1518]), words([0xa000_0005, 1518]));
    assert!(rig.device.with(|model| model.receives()));
    assert_eq!(rig.device.with(|model| model.longest_frame_bytes()), 9018, "the PF's frames come, whatever the VF asked for");
    assert_eq!(raw_request(&rig, &[5, 9729]), words([0x6000_0005, 9729]));
    assert_eq!(raw_request(&rig, &[5, 0x1_0000]), words([0x6000_0005, 0x1_0000]));
    rig.device.with(|model| model.refuse_frames_above(Some(1518)));
    assert_eq!((raw_request(&rig, &[5, 9018]), rig.device.with(|model| model.receives())), (words([0x6000_0005, 9018]), false));
    assert_eq!((raw_request(&rig, &[5, 1518]), rig.device.with(|model| model.receives())), (words([0xa000_0005, 1518]), true));
    let x540 = talking(IxgbevfOptions { device: Family::X540, ..options }, 0);
    assert!(x540.device.with(|model| model.receives()));
    assert_eq!(raw_request(&x540, &[5, 9728]), words([0xa000_0005, 9728]));
    assert_eq!(x540.device.with(|model| model.longest_frame_bytes()), 9728);
}

/// `ixgbe_set_vf_macvlan_msg`, `ixgbe_set_vf_macvlan`.
#[test]
fn further_addresses() {
    let assigned = talking(Rig::options(), 0);
    assert_eq!(raw_request(&assigned, &[0x0001_0006, 2, 0x2200]), words([0x6001_0006, 2, 0x2200]));
    assert_eq!(raw_request(&assigned, &[0x0000_0006]), words([0xa000_0006]));
    let rig = talking(IxgbevfOptions { mac_filters: 2, ..IxgbevfOptions::default() }, 0);
    assert_eq!(raw_request(&rig, &[0x0001_0006, 2, 0x3300]), words([0xa001_0006, 2, 0x3300]));
    assert_eq!(raw_request(&rig, &[0x0002_0006, 2, 0x4400]), words([0xa002_0006, 2, 0x4400]));
    assert_eq!(raw_request(&rig, &[0x0003_0006, 2, 0x5500]), words([0x6003_0006, 2, 0x5500]));
    assert_eq!(raw_request(&rig, &[0x0001_0006, 1, 0x0001]), words([0x6001_0006, 1, 0x0001]), "a group");
    assert_eq!(rig.device.with(|model| model.mac_filters().len()), 2);
    assert_eq!(raw_request(&rig, &[0x0001_0006, 2, 0x5500]), words([0xa001_0006, 2, 0x5500]));
    assert_eq!(rig.device.with(|model| model.mac_filters()), [MacAddr([2, 0, 0, 0, 0, 0x55])]);
}

/// `ixgbe_negotiate_vf_api`: what is not spoken is refused and changes nothing; RESET drops to 1.0 (`ixgbe_vf_reset_event`).
#[test]
fn versions_are_negotiated() {
    let rig = talking(Rig::options(), 0);
    for (code, accepted) in
        [(8, false), (6, false), (7, true), (5, true), (4, true), (3, true), (1, false), (2, true), (0, true), (99, false)]
    {
        let verdict = if accepted { 0xa000_0008 } else { 0x6000_0008 };
        assert_eq!(raw_request(&rig, &[8, code, 0]), words([verdict, code]), "wire code {code}");
        assert_eq!(rig.device.with(|model| model.api() == ApiVersion(code)), accepted);
    }
    raw_request(&rig, &[8, 7, 0]);
    rig.ask(Request::Reset);
    assert_eq!(rig.device.with(|model| model.api()), ApiVersion::V1_0);
    for (highest, accepted) in [(ApiVersion::V1_0, vec![0]), (ApiVersion::V1_3, vec![0, 2, 3, 4]), (ApiVersion::V1_4, vec![0, 2, 3, 4, 5])]
    {
        let rig = talking(IxgbevfOptions { api: highest, ..Rig::options() }, 0);
        let seen: Vec<u32> = (0..9).filter(|code| raw_request(&rig, &[8, *code, 0]) == words([0xa000_0008, *code])).collect();
        assert_eq!(seen, accepted);
    }
}

/// `ixgbe_get_vf_queues`: TX, RX, no VLAN of the PF's, default queue; from 1.1 on.
#[test]
fn queues_are_granted() {
    assert_eq!(raw_request(&talking(Rig::options(), 0), &[9, 0, 0, 0, 0]), words([0x6000_0009]));
    assert_eq!(raw_request(&talking(Rig::options(), 2), &[9, 0, 0, 7, 7]), words([0xa000_0009, 4, 4, 0, 0]));
    let two = IxgbevfOptions { queues: 2, ..Rig::options() };
    assert_eq!(raw_request(&talking(two, 7), &[9, 0, 0, 0, 0]), words([0xa000_0009, 2, 2, 0, 0]));
}

/// `ixgbe_get_vf_reta`: 128 entries of two bits, those of four queues in turn; `ixgbe_get_vf_rss_key`: 40 bytes. Both from 1.2 on,
/// where `query_rss` is on, and never on the X550.
#[test]
fn rss_is_told() {
    let open = IxgbevfOptions { query_rss: true, ..Rig::options() };
    let reta = [0xa000_000a, 0xe4e4_e4e4, 0xe4e4_e4e4, 0xe4e4_e4e4, 0xe4e4_e4e4, 0xe4e4_e4e4, 0xe4e4_e4e4, 0xe4e4_e4e4, 0xe4e4_e4e4];
    let key = [
        0xa000_000b,
        0xda56_5a6d,
        0xc20e_5b25,
        0x3d25_6741,
        0xb08f_a343,
        0xcb2b_cad0,
        0xb430_7bae,
        0xa32d_cb77,
        0x0cf2_3080,
        0x3bb7_426a,
        0xfa01_acbe,
    ];
    let rig = talking(open.clone(), 3);
    assert_eq!((raw_request(&rig, &[10]), raw_request(&rig, &[11])), (words(reta), words(key)));
    assert_eq!(RETA_ENTRIES, 8 * 16);
    let refused = [talking(open.clone(), 2), talking(Rig::options(), 3), talking(IxgbevfOptions { device: Family::X550, ..open }, 3)];
    for rig in refused {
        assert_eq!((raw_request(&rig, &[10]), raw_request(&rig, &[11])), (words([0x6000_000a]), words([0x6000_000b])));
    }
}

/// `ixgbe_update_vf_xcast_mode`: consent to a lower mode for the untrusted; promiscuous never on the 82599, elsewhere where the PF is.
#[test]
fn modes_are_granted() {
    // Mode asked for, header of the answer, mode told.
    type Requests = &'static [(u32, u32, u32)];
    let cases: [(IxgbevfOptions, u32, Requests); 6] = [
        // Before 1.2 there is no such request; 1.2 does not know promiscuous.
        (Rig::options(), 2, &[(1, 0x6000_000c, 1)]),
        (Rig::options(), 3, &[(3, 0x6000_000c, 3), (2, 0xa000_000c, 1), (0, 0xa000_000c, 0), (1, 0xa000_000c, 1)]),
        (Rig::options(), 4, &[(3, 0xa000_000c, 1), (2, 0xa000_000c, 1), (77, 0xa000_000c, 1), (u32::MAX, 0x6000_000c, u32::MAX)]),
        (
            IxgbevfOptions { trusted: true, pf_promiscuous: true, ..Rig::options() },
            4,
            &[(2, 0xa000_000c, 2), (3, 0x6000_000c, 3), (4, 0x6000_000c, 4)],
        ),
        (IxgbevfOptions { trusted: true, ..Rig::of(Family::X540) }, 7, &[(2, 0xa000_000c, 2), (3, 0x6000_000c, 3)]),
        (IxgbevfOptions { trusted: true, pf_promiscuous: true, ..Rig::of(Family::X540) }, 7, &[(3, 0xa000_000c, 3), (1, 0xa000_000c, 1)]),
    ];
    for (options, version, requests) in cases {
        let rig = talking(options, version);
        for (mode, verdict, told) in requests {
            assert_eq!(raw_request(&rig, &[12, *mode]), words([*verdict, *told]), "mode {mode}, version {version}");
            if verdict & 0x8000_0000 != 0 {
                assert_eq!(rig.device.with(|model| model.xcast_mode()), XcastMode(*told));
            }
        }
    }
}

/// `ixgbe_get_vf_link_state`; `ixgbe_set_vf_link_state` makes the VF begin again.
#[test]
fn the_administrator_forbids_the_link() {
    assert_eq!(raw_request(&talking(Rig::options(), 2), &[16, 0]), words([0x6000_0010]));
    let rig = talking(Rig::options(), 3);
    assert_eq!(raw_request(&rig, &[16, 0]), words([0xa000_0010, 1]));
    rig.device.with(|model| model.allow_link(false));
    assert!(rig.poll(PFSTS).is_some());
    assert_eq!(rig.read_message().header().0, 0x100);
    assert_eq!(raw_request(&rig, &[16, 0]), words([0x4000_0010]));
    rig.ask(Request::Reset);
    raw_request(&rig, &[8, 3, 0]);
    assert_eq!(raw_request(&rig, &[16, 9]), words([0xa000_0010, 0]));
    assert_ne!(rig.regs.read(regs::VFLINKS) & regs::VFLINKS_UP, 0, "the port's link is what the register shows");
    assert!(!rig.device.with(|model| model.receives()));
}

/// `ixgbe_get_pf_link_state`: speed and state, of the E610 since 1.6.
#[test]
fn an_e610_tells_its_link() {
    let e610 = || IxgbevfOptions { link_mbps: 2500, ..Rig::of(Family::E610) };
    let rig = talking(e610(), 7);
    assert_eq!(rig.regs.read(regs::VFLINKS), 0);
    assert_eq!(raw_request(&rig, &[0x11, 0, 0]), words([0xa000_0011, 0x400, 1]));
    rig.device.with(|model| model.set_link(false));
    assert!(rig.poll(PFSTS).is_some());
    assert_eq!(raw_request(&rig, &[0x11, 0, 0]), words([0xa000_0011, 0x400, 0]));
    for (options, version) in [(e610(), 5), (Rig::of(Family::X550), 7)] {
        assert_eq!(raw_request(&talking(options, version), &[0x11, 0, 0]), words([0x6000_0011]));
    }
}

/// `ixgbe_rcv_msg_from_vf`: what it does not know, and what is the E610's (`ixgbe_get_pf_link_state`) or 1.7's.
#[test]
fn the_unknown_is_refused() {
    let rig = talking(Rig::options(), 7);
    for code in [0, 7, 0xd, 0xe, 0xf, 0x11, 0x12, 0x42] {
        assert_eq!(raw_request(&rig, &[code, 3, 4]), words([0x6000_0000 | code, 3, 4]));
    }
    rig.device.with(|model| model.refuse(4, true));
    assert_eq!(raw_request(&rig, &[0x0001_0004, 100]), words([0x6001_0004, 100]));
    rig.assert_clean();
}

/// `ixgbe_set_vf_multicasts`: the table is shared and keeps what was once in it; RESET clears it (`ixgbe_vf_reset_event`).
#[test]
fn multicast_groups() {
    let group = MacAddr([0x01, 0, 0x5e, 0, 0, 0xfb]);
    for forgets_groups in [false, true] {
        let rig = Rig::up(IxgbevfOptions { forgets_groups, hash_bits: HashBits::BITS_43_32, ..Rig::options() });
        assert!(!rig.takes(frame_to(group, 60)));
        let hashes = HashList::select(&[group], HashBits::BITS_43_32).expect("one fits");
        assert_eq!(rig.ask(Request::SetMulticast(hashes)).header().0, 0xa001_0003);
        assert!(rig.takes(frame_to(group, 60)));
        rig.ask(Request::SetMulticast(HashList::EMPTY));
        assert_eq!(rig.takes(frame_to(group, 60)), !forgets_groups);
        rig.ask(Request::Reset);
        assert!(!rig.takes(frame_to(group, 60)) && rig.takes(frame_to(MacAddr::BROADCAST, 60)));
        rig.assert_clean();
    }
}

#[test]
fn modes_open_and_close_the_filters() {
    let group = MacAddr([0x01, 0, 0x5e, 0, 0, 0xfb]);
    let options = IxgbevfOptions { trusted: true, pf_promiscuous: true, none_keeps_broadcast: false, ..Rig::of(Family::X540) };
    let rig = Rig::up(options);
    raw_request(&rig, &[8, 4, 0]);
    for (mode, [own, broadcast, multicast, foreign]) in
        [(3, [true, true, true, true]), (2, [true, true, true, false]), (1, [true, true, false, false]), (0, [true, false, false, false])]
    {
        raw_request(&rig, &[12, mode]);
        let frames = [MAC, MacAddr::BROADCAST, group, OTHER].map(|to| rig.takes(frame_to(to, 60)));
        assert_eq!(frames, [own, broadcast, multicast, foreign], "mode {mode}");
    }
    rig.assert_clean();
}

#[test]
fn the_acknowledgement_comes_before_the_answer() {
    let rig = Rig::new(IxgbevfOptions { reply_delay: ReplyDelay::Polls(2), ..Rig::options() });
    rig.write_message(&Request::Reset.encode());
    let flags: Vec<u32> = (0..5).map(|_| rig.regs.read(regs::VFMAILBOX)).collect();
    assert_eq!(flags, [0, PFACK, 0, PFSTS, 0]);
}

#[test]
fn an_answer_may_take_its_time_or_never_come() {
    let rig = Rig::new(IxgbevfOptions { reply_delay: ReplyDelay::Time(Duration::from_millis(5)), ..Rig::options() });
    rig.write_message(&Request::Reset.encode());
    let wait = Wait { what: "the answer", limit: Duration::from_secs(10), remedy: "none: this is a test" };
    assert!(poll_until(wait, || Ok(rig.poll(PFSTS))).is_ok());
    let silent = Rig::new(IxgbevfOptions { silent: true, ..Rig::options() });
    silent.write_message(&Request::Reset.encode());
    assert_eq!(silent.poll(PFACK), None);
    silent.device.with(|model| model.set_silent(false));
    assert!(silent.poll(PFACK | PFSTS).is_some());
}

/// `ixgbe_ping_all_vfs`, and RSTI and RSTD of the data sheet.
#[test]
fn a_pf_that_goes_down_and_comes_back() {
    let rig = Rig::up(Rig::options());
    raw_request(&rig, &[8, 7, 0]);
    rig.device.with(|model| model.set_pf_down(true));
    assert_eq!(rig.poll(PFSTS | RSTI), Some(PFSTS | RSTI));
    assert_eq!(rig.read_message().header().0, 0x100);
    rig.write_message(&Request::Reset.encode());
    assert_eq!(rig.poll(PFACK), None);
    assert_eq!(rig.regs.read(regs::VFRXDCTL.index(0)) & regs::DCTL_ENABLE, 0);
    assert_eq!(rig.regs.read(regs::VFRDLEN.index(0)), 0, "the rings are wiped");
    rig.device.with(|model| model.set_pf_down(false));
    assert_eq!([rig.regs.read(regs::VFMAILBOX), rig.regs.read(regs::VFMAILBOX)], [RSTD, 0]);
    assert_eq!(raw_request(&rig, &[5, 1518]), words([0x4000_0005, 1518]));
    assert_eq!(raw_request(&rig, &[1]), words([0x8000_0001, 2, 0x1100]));
    assert_eq!(rig.device.with(|model| model.api()), ApiVersion::V1_0);
    rig.device.with(|model| model.reset_pf(3));
    let flags: Vec<u32> = (0..5).map(|_| rig.regs.read(regs::VFMAILBOX)).collect();
    assert_eq!(flags, [PFSTS | RSTI, RSTI, RSTI, RSTD, 0]);
}

/// `ixgbe_ping_all_vfs`: with CTS.
#[test]
fn link_changes_are_told() {
    let rig = Rig::up(IxgbevfOptions { link_mbps: 1000, ..Rig::options() });
    rig.device.with(|model| model.set_link(false));
    assert!(rig.poll(PFSTS).is_some());
    assert_eq!(rig.read_message().header().0, 0x2000_0100);
    assert_eq!(regs::link_mbps(Family::I82599, rig.regs.read(regs::VFLINKS)), None);
    rig.device.with(|model| model.set_link(true));
    assert_eq!(regs::link_mbps(Family::I82599, rig.regs.read(regs::VFLINKS)), Some(1000));
    for mbps in [100, 1000, 2500, 5000, 10_000] {
        let rig = Rig::new(IxgbevfOptions { link_mbps: mbps, ..Rig::of(Family::X550) });
        assert_eq!(regs::link_mbps(Family::X550, rig.regs.read(regs::VFLINKS)), Some(mbps));
    }
}

#[test]
fn the_mailbox_is_taken_before_it_is_written() {
    let rig = Rig::new(Rig::options());
    rig.regs.write(regs::VFMBMEM.index(0), 1);
    rig.regs.write(regs::VFMAILBOX, REQ);
    let rules = ["the mailbox is written while the VF holds it", "a request is made while the VF holds the mailbox"];
    assert_eq!(rig.rules_broken(), rules);
    let vlan = VlanId::new(4094).expect("a VLAN");
    assert_eq!(talking(Rig::options(), 0).ask(Request::SetVlan { vlan, join: true }).words()[..2], [0xa001_0004, 4094]);
}
