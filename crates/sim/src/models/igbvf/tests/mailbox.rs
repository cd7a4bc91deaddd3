use super::*;
use crate::models::igbvf::ReplyDelay;
use std::time::Duration;
use vfwire_core::poll::{Wait, poll_until};
use vfwire_spec::{
    igbvf::control::{self, HashList, Promisc},
    intel::mailbox::{RSTD, RSTI, Verdict},
    net::VlanId,
};

fn verdict(message: Message) -> (Verdict, bool) {
    (message.header().verdict(), message.header().is_clear_to_send())
}

const GRANTED: (Verdict, bool) = (Verdict::Ack, true);
const REFUSED: (Verdict, bool) = (Verdict::Nack, true);

#[test]
fn an_assigned_mac_is_told_and_cannot_be_changed() {
    let rig = Rig::new(Rig::options());
    let answer = rig.ask(Request::Reset);
    assert_eq!((verdict(answer), MacAddr::from_words(answer.pair(1))), ((Verdict::Ack, false), MAC));
    assert_eq!(verdict(rig.ask(Request::SetMac(OTHER))), REFUSED);
    assert_eq!(verdict(rig.ask(Request::SetMac(MAC))), REFUSED);
    assert_eq!(rig.device.with(|model| model.mac()), Some(MAC));
    rig.assert_clean();
}

#[test]
fn without_an_assigned_mac_the_vf_sets_its_own_after_every_reset() {
    let rig = Rig::new(IgbvfOptions::default());
    let answer = rig.ask(Request::Reset);
    assert_eq!((verdict(answer), MacAddr::from_words(answer.pair(1))), ((Verdict::Nack, false), MacAddr::ZERO));
    assert_eq!(verdict(rig.ask(Request::SetMac(MacAddr::BROADCAST))), REFUSED);
    assert_eq!(verdict(rig.ask(Request::SetMac(OTHER))), GRANTED);
    assert_eq!(rig.device.with(|model| model.mac()), Some(OTHER));
    rig.regs.write(regs::CTRL, regs::CTRL_RST);
    assert_eq!(rig.device.with(|model| model.mac()), None);
    assert_eq!(verdict(rig.ask(Request::Reset)), (Verdict::Nack, false));
    rig.assert_clean();
}

#[test]
fn before_reset_everything_is_refused() {
    let rig = Rig::new(Rig::options());
    assert_eq!(verdict(rig.ask(Request::SetLpe { max_frame_bytes: 9022 })), (Verdict::Nack, false));
    rig.ask(Request::Reset);
    assert_eq!(verdict(rig.ask(Request::SetLpe { max_frame_bytes: 9022 })), GRANTED);
    rig.device.with(|model| model.forget_vf());
    assert_eq!(verdict(rig.ask(Request::SetLpe { max_frame_bytes: 9022 })), (Verdict::Nack, false));
    rig.assert_clean();
}

#[test]
fn promiscuous_unicast_is_for_trusted_vfs() {
    let both = Promisc { unicast: true, multicast: true };
    let rig = Rig::new(Rig::options());
    rig.ask(Request::Reset);
    assert_eq!(verdict(rig.ask(Request::SetPromisc(both))), REFUSED);
    assert_eq!(verdict(rig.ask(Request::SetPromisc(Promisc { unicast: false, multicast: true }))), GRANTED);
    let trusted = Rig::new(IgbvfOptions { trusted: true, ..Rig::options() });
    trusted.ask(Request::Reset);
    assert_eq!(verdict(trusted.ask(Request::SetPromisc(both))), GRANTED);
    assert_eq!(verdict(trusted.ask(Request::SetMac(OTHER))), GRANTED);
}

#[test]
fn the_other_requests_are_granted_unless_told_otherwise() {
    let rig = Rig::new(Rig::options());
    rig.ask(Request::Reset);
    let vlan = VlanId::new(100).expect("a VLAN");
    let requests = [Request::SetVlan { vlan, join: true }, Request::SetMulticast(HashList::EMPTY)];
    for request in requests {
        assert_eq!(verdict(rig.ask(request)), GRANTED);
        rig.device.with(|model| model.refuse(request.code(), true));
        assert_eq!(verdict(rig.ask(request)), REFUSED);
        rig.device.with(|model| model.refuse(request.code(), false));
        assert_eq!(verdict(rig.ask(request)), GRANTED);
    }
    assert_eq!(verdict(rig.ask(Request::Unknown(Message::new([0x42])))), REFUSED);
    rig.assert_clean();
}

#[test]
fn flags_are_cleared_by_reading() {
    let rig = Rig::new(IgbvfOptions { reply_delay: ReplyDelay::Polls(0), ..Rig::options() });
    rig.write_message(&Request::Reset.encode());
    assert_eq!(rig.regs.read(regs::VFMAILBOX), PFACK | PFSTS);
    assert_eq!(rig.regs.read(regs::VFMAILBOX), 0);
}

#[test]
fn the_acknowledgement_comes_before_the_answer() {
    let rig = Rig::new(IgbvfOptions { reply_delay: ReplyDelay::Polls(2), ..Rig::options() });
    rig.write_message(&Request::Reset.encode());
    let flags: Vec<u32> = (0..5).map(|_| rig.regs.read(regs::VFMAILBOX)).collect();
    assert_eq!(flags, [0, PFACK, 0, PFSTS, 0]);
}

#[test]
fn an_answer_may_take_its_time() {
    let rig = Rig::new(IgbvfOptions { reply_delay: ReplyDelay::Time(Duration::from_millis(5)), ..Rig::options() });
    rig.write_message(&Request::Reset.encode());
    assert_eq!(rig.regs.read(regs::VFMAILBOX), 0);
    let seen =
        poll_until(Wait { what: "the answer", limit: Duration::from_secs(10), remedy: "none: this is a test" }, || Ok(rig.poll(PFSTS)));
    assert!(seen.is_ok(), "{seen:?}");
}

#[test]
fn a_silent_pf_stays_silent() {
    let rig = Rig::new(IgbvfOptions { silent: true, ..Rig::options() });
    rig.write_message(&Request::Reset.encode());
    assert_eq!(rig.poll(PFACK), None);
    rig.device.with(|model| model.set_silent(false));
    assert!(rig.poll(PFACK | PFSTS).is_some());
}

#[test]
fn the_pf_waits_while_the_vf_holds_the_memory() {
    let rig = Rig::new(Rig::options());
    rig.write_message(&Request::Reset.encode());
    rig.regs.write(regs::VFMAILBOX, VFU);
    assert_eq!(rig.poll(PFSTS), None);
    assert_eq!(rig.read_message().header().0, u32::from(control::RESET), "still the request");
    rig.regs.write(regs::VFMAILBOX, 0);
    assert!(rig.poll(PFSTS).is_some());
    rig.assert_clean();
}

#[test]
fn a_pf_that_goes_down_says_so_and_a_pf_that_is_back_too() {
    let rig = Rig::up(Rig::options());
    rig.device.with(|model| model.set_pf_down(true));
    assert_eq!(rig.poll(PFSTS | RSTI), Some(PFSTS | RSTI));
    assert_eq!(rig.read_message().header().0, 0x100);
    rig.write_message(&Request::Reset.encode());
    assert_eq!(rig.poll(PFACK), None);
    assert_eq!(rig.regs.read(regs::STATUS) & regs::STATUS_LU, regs::STATUS_LU, "link up does not mean usable");
    assert_eq!(rig.regs.read(regs::RXDCTL.index(0)) & regs::DCTL_ENABLE, 0);
    assert_eq!(rig.regs.read(regs::RDLEN.index(0)), 0, "the rings are wiped");
    rig.device.with(|model| model.set_pf_down(false));
    assert_eq!(rig.regs.read(regs::VFMAILBOX), RSTD);
    assert_eq!(rig.regs.read(regs::VFMAILBOX), 0);
    assert_eq!(verdict(rig.ask(Request::SetLpe { max_frame_bytes: 9022 })), (Verdict::Nack, false));
    assert_eq!(verdict(rig.ask(Request::Reset)), (Verdict::Ack, false));
    rig.assert_clean();
}

#[test]
fn a_pf_reset_ends_by_itself() {
    let rig = Rig::up(Rig::options());
    rig.device.with(|model| model.reset_pf(3));
    let flags: Vec<u32> = (0..5).map(|_| rig.regs.read(regs::VFMAILBOX)).collect();
    assert_eq!(flags, [PFSTS | RSTI, RSTI, RSTI, RSTD, 0]);
}

#[test]
fn link_changes_are_told_to_initialised_vfs() {
    let rig = Rig::up(Rig::options());
    rig.device.with(|model| model.set_link(false));
    assert!(rig.poll(PFSTS).is_some());
    assert_eq!(rig.read_message().header().0, 0x2000_0100);
    assert_eq!(regs::link_mbps(rig.regs.read(regs::STATUS)), None);
    rig.device.with(|model| model.set_link(true));
    assert_eq!(regs::link_mbps(rig.regs.read(regs::STATUS)), Some(1000));
}

#[test]
fn the_mailbox_is_taken_before_it_is_written() {
    let rig = Rig::new(Rig::options());
    rig.regs.write(regs::VMBMEM.index(0), 1);
    rig.regs.write(regs::VFMAILBOX, REQ);
    let rules = ["the mailbox is written while the VF holds it", "a request is made while the VF holds the mailbox"];
    assert_eq!(rig.rules_broken(), rules);
}

#[test]
fn what_the_pf_writes_may_be_nonsense() {
    let rig = Rig::new(Rig::options());
    rig.device.with(|model| model.inject(Message::new([u32::MAX; WORDS])));
    assert!(rig.poll(PFSTS).is_some());
    assert_eq!(rig.read_message(), Message::new([u32::MAX; WORDS]));
}
