//! Mailbox messages of the VF.
//!
//! Source: Linux `drivers/net/ethernet/intel/igbvf/{mbx.h,vf.c}` for the VF and `igb/igb_main.c` for the PF; the protocol has no
//! version and no data sheet. Every request gets one answer: its first word with the verdict added.
//!
//! | code | request | words | answer |
//! |---|---|---|---|
//! | 1 | RESET | 1 | words 1 and 2: the MAC that the PF assigned; refused, with zeros, where it assigned none (the VF then sets its own) |
//! | 2 | SET_MAC | 3 | refused where the PF assigned a MAC, even the same one |
//! | 3 | SET_MULTICAST | 16 | |
//! | 4 | SET_VLAN | 2 | refused where the PF has put the VF into a VLAN, or its table is full |
//! | 5 | SET_LPE | 2 | |
//! | 6 | SET_PROMISC | 1 | refused for unicast by Linux |

use crate::intel::mailbox::{Header, Message, Reply, Verdict};
use crate::intel::request;
pub use crate::intel::request::{HashList, MAX_MULTICAST_HASHES, RESET, SET_LPE, SET_MAC, SET_MULTICAST, SET_VLAN};
use crate::net::{MacAddr, VlanId};

/// Code of SET_PROMISC: which kinds of foreign frames the VF receives.
pub const SET_PROMISC: u16 = 0x06;

/// What a request with this code is called; nothing where there is none.
pub const fn code_name(code: u16) -> Option<&'static str> {
    Some(match code {
        RESET => "RESET",
        SET_MAC => "SET_MAC",
        SET_MULTICAST => "SET_MULTICAST",
        SET_VLAN => "SET_VLAN",
        SET_LPE => "SET_LPE",
        SET_PROMISC => "SET_PROMISC",
        _ => return None,
    })
}

/// SET_MAC, info: the VF's own address. Other values manage further addresses, which not every PF offers.
const SET_MAC_PLAIN: u8 = 0;
/// SET_PROMISC, info: every unicast frame.
const PROMISC_UNICAST: u8 = 1;
/// SET_PROMISC, info: every multicast frame.
const PROMISC_MULTICAST: u8 = 2;

/// The 12-bit hash of a multicast address, which selects a bit of the device's multicast table array: the upper bits of the last two
/// bytes ("Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, register MTA, with RCTL.MO = 0: bits 47:36).
pub const fn multicast_hash(group: MacAddr) -> u16 {
    request::HashBits::BITS_47_36.hash(group)
}

/// Which kinds of foreign frames a VF asks to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promisc {
    /// Frames to unicast addresses of others.
    pub unicast: bool,
    /// Frames to any multicast group.
    pub multicast: bool,
}

/// A request of the VF. Drivers encode it, models of a PF decode it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// [`RESET`].
    Reset,
    /// [`SET_MAC`].
    SetMac(MacAddr),
    /// [`SET_MULTICAST`].
    SetMulticast(HashList),
    /// [`SET_VLAN`].
    SetVlan {
        /// The VLAN.
        vlan: VlanId,
        /// Join it, or leave it.
        join: bool,
    },
    /// [`SET_LPE`]: the longest frame, VLAN tag and FCS included, in bytes.
    SetLpe {
        /// At most [`MAX_FRAME_BYTES`](super::MAX_FRAME_BYTES); the PF cuts it to what the port allows.
        max_frame_bytes: u16,
    },
    /// [`SET_PROMISC`].
    SetPromisc(Promisc),
    /// Anything else: a PF refuses it.
    Unknown(Message),
}

impl Request {
    /// The message.
    pub fn encode(&self) -> Message {
        match *self {
            Self::Reset => request::reset(),
            Self::SetMac(mac) => request::set_mac(mac),
            Self::SetMulticast(list) => request::set_multicast(&list),
            Self::SetVlan { vlan, join } => request::set_vlan(vlan, join),
            Self::SetLpe { max_frame_bytes } => request::set_lpe(max_frame_bytes),
            Self::SetPromisc(promisc) => {
                let unicast = if promisc.unicast { PROMISC_UNICAST } else { 0 };
                let multicast = if promisc.multicast { PROMISC_MULTICAST } else { 0 };
                Message::new([Header::request(SET_PROMISC, unicast | multicast).0])
            }
            Self::Unknown(message) => message,
        }
    }

    /// What a PF reads from the mailbox memory. Words that a request does not have are ignored.
    pub fn decode(message: Message) -> Self {
        let info = message.header().info();
        match message.header().code() {
            RESET => Self::Reset,
            SET_MAC if info == SET_MAC_PLAIN => Self::SetMac(request::mac_of(&message)),
            SET_MULTICAST => Self::SetMulticast(request::hashes_of(&message)),
            SET_VLAN => match request::vlan_of(&message) {
                Some((vlan, join)) => Self::SetVlan { vlan, join },
                None => Self::Unknown(message),
            },
            SET_LPE if message.pair(1)[0] <= u32::from(super::MAX_FRAME_BYTES) => {
                Self::SetLpe { max_frame_bytes: request::half_of(&message) }
            }
            SET_PROMISC => Self::SetPromisc(Promisc { unicast: info & PROMISC_UNICAST != 0, multicast: info & PROMISC_MULTICAST != 0 }),
            _ => Self::Unknown(message),
        }
    }

    /// The code of the request: its answer has the same.
    pub fn code(&self) -> u16 {
        self.encode().header().code()
    }
}

/// The MAC that the PF assigned, in the answer to RESET. `None` where it assigned none or the answer holds no unicast address: the
/// VF then picks its own and asks with [`Request::SetMac`].
pub fn assigned_mac(reply: &Reply) -> Option<MacAddr> {
    let mac = request::mac_of(reply.message());
    let assigned = reply.code() == RESET && reply.verdict() == Verdict::Ack && mac.is_unicast();
    assigned.then_some(mac)
}

/// A PF's answer to RESET: the MAC that it assigned, or the refusal that says it assigned none. It is never clear to send.
pub fn reset_reply(mac: Option<MacAddr>) -> Message {
    let verdict = if mac.is_some() { Verdict::Ack } else { Verdict::Nack };
    let [low, high] = mac.unwrap_or(MacAddr::ZERO).to_words();
    Message::new([Header::request(RESET, 0).answered(verdict, false).0, low, high])
}

/// A PF's answer to any other request: the request's first word, the verdict added.
pub fn reply(request: &Message, verdict: Verdict, clear_to_send: bool) -> Message {
    Message::new([request.header().answered(verdict, clear_to_send).0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intel::mailbox::{FromPf, WORDS};
    use std::vec::Vec;

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);

    fn bytes(message: &Message) -> Vec<u8> {
        message.words().iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn answer(message: Message) -> Reply {
        match FromPf::decode(message) {
            FromPf::Reply(reply) => reply,
            FromPf::Control { .. } => panic!("an answer"),
        }
    }

    /// DPDK `e1000_vf.c`, `e1000_reset_hw_vf`: one word, E1000_VF_RESET.
    #[test]
    fn reset() {
        assert_eq!(bytes(&Request::Reset.encode()), [1, 0, 0, 0]);
    }

    /// DPDK `e1000_vf.c`, `e1000_rar_set_vf`: three words, the address copied to the memory of the second.
    #[test]
    fn set_mac() {
        let message = Request::SetMac(MAC).encode();
        assert_eq!(bytes(&message), [2, 0, 0, 0, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0, 0]);
    }

    /// DPDK `e1000_vf.c`, `e1000_update_mc_addr_list_vf`: 16 words, the count at bit 16 of the first, then 16-bit hashes in memory order.
    #[test]
    fn set_multicast() {
        let groups = [
            MacAddr([0x01, 0x00, 0x5e, 0x00, 0x00, 0x01]),
            MacAddr([0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb]),
            MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]),
        ];
        let message = Request::SetMulticast(HashList::of(&groups).expect("three fit")).encode();
        let mut expected = [0; 64];
        expected[..10].copy_from_slice(&[0x03, 0x00, 0x03, 0x00, 0x10, 0x00, 0xb0, 0x0f, 0x63, 0x05]);
        assert_eq!(bytes(&message), expected);
    }

    /// DPDK `e1000_mbx.h`: E1000_VF_SET_VLAN 4, E1000_VF_SET_VLAN_ADD 1 << 16; `e1000_vf.c`, `e1000_vfta_set_vf`.
    #[test]
    fn set_vlan() {
        let vlan = VlanId::new(100).expect("a VLAN");
        assert_eq!(bytes(&Request::SetVlan { vlan, join: true }.encode()), [4, 0, 1, 0, 100, 0, 0, 0]);
        assert_eq!(bytes(&Request::SetVlan { vlan, join: false }.encode()), [4, 0, 0, 0, 100, 0, 0, 0]);
    }

    /// DPDK `e1000_vf.c`, `e1000_rlpml_set_vf`.
    #[test]
    fn set_lpe() {
        assert_eq!(bytes(&Request::SetLpe { max_frame_bytes: 9022 }.encode()), [5, 0, 0, 0, 0x3e, 0x23, 0, 0]);
    }

    /// DPDK `e1000_mbx.h`: E1000_VF_SET_PROMISC 6, _UNICAST 1 << 16, _MULTICAST 2 << 16.
    #[test]
    fn set_promisc() {
        let head = |unicast, multicast| Request::SetPromisc(Promisc { unicast, multicast }).encode().header().0;
        assert_eq!([head(false, false), head(true, false), head(false, true), head(true, true)], [0x6, 0x1_0006, 0x2_0006, 0x3_0006]);
    }

    /// Linux' PF, `igb_main.c`, `igb_vf_reset_msg`: E1000_VF_RESET | ACK and the address, or | NACK and no address.
    #[test]
    fn answers_to_reset() {
        assert_eq!(bytes(&reset_reply(Some(MAC))), [1, 0, 0, 0x80, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0, 0]);
        assert_eq!(bytes(&reset_reply(None)), [1, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(assigned_mac(&answer(Message::new([0x8000_0001, 0x1200_5452, 0x5634]))), Some(MAC));
        assert_eq!(assigned_mac(&answer(reset_reply(None))), None);
        assert_eq!(assigned_mac(&answer(Message::new([0x8000_0001, 0, 0]))), None);
        assert_eq!(assigned_mac(&answer(Message::new([0x8000_0001, 0xff, 0]))), None);
    }

    #[test]
    fn other_answers() {
        let request = Request::SetPromisc(Promisc { unicast: true, multicast: true });
        let refused = answer(reply(&request.encode(), Verdict::Nack, true));
        assert_eq!((refused.code(), refused.verdict(), refused.is_clear_to_send()), (request.code(), Verdict::Nack, true));
    }

    #[test]
    fn requests_go_both_ways() {
        let vlan = VlanId::new(4094).expect("a VLAN");
        let requests = [
            Request::Reset,
            Request::SetMac(MAC),
            Request::SetMulticast(HashList::EMPTY),
            Request::SetVlan { vlan, join: true },
            Request::SetVlan { vlan, join: false },
            Request::SetLpe { max_frame_bytes: 1522 },
            Request::SetPromisc(Promisc { unicast: false, multicast: true }),
            Request::Unknown(Message::new([0x42, 1, 2])),
        ];
        for request in requests {
            assert_eq!(Request::decode(request.encode()), request);
        }
    }

    #[test]
    fn nothing_that_a_vf_writes_panics() {
        for code in 0..=16 {
            for fill in [0, 1, u32::MAX] {
                let mut words = [fill; WORDS];
                words[0] = code | 0xff00_0000 | (fill & 0xff) << 16;
                let _ = Request::decode(Message::new(words));
            }
        }
        assert!(matches!(Request::decode(Message::new([4, 4095])), Request::Unknown(_)));
        assert!(matches!(Request::decode(Message::new([5, 0x1_0000])), Request::Unknown(_)));
    }
}
