//! Mailbox messages of the VF.
//!
//! Source: Linux `drivers/net/ethernet/intel/ixgbevf/{mbx.h,vf.c}` for the VF and `ixgbe/ixgbe_sriov.c` for the PF; no data sheet has
//! them. Every request gets one answer: the request's words, with the verdict in the first and results in those that follow.
//! RESET drops the version to 1.0: it is negotiated again after each.
//!
//! | code | request | words | since | answer |
//! |---|---|---|---|---|
//! | 0x01 | RESET | 1 | | words 1 and 2: the MAC that the PF assigned (refused where it assigned none), word 3: [`HashBits`] |
//! | 0x02 | SET_MAC | 3 | | refused where the PF assigned a MAC and does not trust the VF |
//! | 0x03 | SET_MULTICAST | 16 | | |
//! | 0x04 | SET_VLAN | 2 | | refused where the PF has put the VF into a VLAN, or its table is full |
//! | 0x05 | SET_LPE | 2 | 1.0 | on the 82599 refused unless it suits the PF's own MTU |
//! | 0x06 | SET_MACVLAN | 3 | 1.0 | refused without a free filter or the right to use one |
//! | 0x08 | NEGOTIATE | 3 | 1.0 | refused for versions that the PF does not speak |
//! | 0x09 | GET_QUEUES | 5 | 1.1 | [`Queues`] |
//! | 0x0a | GET_RETA | 1 | 1.2 | [`reta`]; 82599 and X540 only; refused without `query_rss on` |
//! | 0x0b | GET_RSS_KEY | 1 | 1.2 | [`rss_key`]; as GET_RETA |
//! | 0x0c | UPDATE_XCAST | 2 | 1.2 | word 1: the mode granted, which may be lower than the one asked; PROMISC since 1.3 |
//! | 0x10 | GET_LINK_STATE | 2 | 1.2 | word 1: the PF's administrator lets the VF's link be up |
//! | 0x11 | GET_PF_LINK_STATE | 3 | 1.6 | [`PfLink`]; E610 only |
//! | 0x12 | NEGOTIATE_FEATURES | 2 | 1.7 | word 1: the features that both have |

use crate::intel::mailbox::{Header, Message, Reply, Verdict, WORDS};
use crate::intel::request;
pub use crate::intel::request::{HashBits, HashList, MAX_MULTICAST_HASHES, RESET, SET_LPE, SET_MAC, SET_MULTICAST, SET_VLAN};
use crate::net::{MacAddr, VlanId};

/// Code of SET_MACVLAN: the VF's further unicast addresses.
pub const SET_MACVLAN: u16 = 0x06;
/// Code of NEGOTIATE: the version of the messages.
pub const NEGOTIATE: u16 = 0x08;
/// Code of GET_QUEUES: how many queues the VF may use.
pub const GET_QUEUES: u16 = 0x09;
/// Code of GET_RETA: the PF's redirection table.
pub const GET_RETA: u16 = 0x0a;
/// Code of GET_RSS_KEY: the PF's RSS key.
pub const GET_RSS_KEY: u16 = 0x0b;
/// Code of UPDATE_XCAST: which kinds of foreign frames the VF receives.
pub const UPDATE_XCAST: u16 = 0x0c;
/// Code of GET_LINK_STATE: whether the administrator lets the VF's link be up.
pub const GET_LINK_STATE: u16 = 0x10;
/// Code of GET_PF_LINK_STATE: the link of the port.
pub const GET_PF_LINK_STATE: u16 = 0x11;
/// Code of NEGOTIATE_FEATURES: what both drivers have beyond the version.
pub const NEGOTIATE_FEATURES: u16 = 0x12;

/// What a request with this code is called; nothing where there is none.
pub const fn code_name(code: u16) -> Option<&'static str> {
    Some(match code {
        RESET => "RESET",
        SET_MAC => "SET_MAC",
        SET_MULTICAST => "SET_MULTICAST",
        SET_VLAN => "SET_VLAN",
        SET_LPE => "SET_LPE",
        SET_MACVLAN => "SET_MACVLAN",
        NEGOTIATE => "NEGOTIATE",
        GET_QUEUES => "GET_QUEUES",
        GET_RETA => "GET_RETA",
        GET_RSS_KEY => "GET_RSS_KEY",
        UPDATE_XCAST => "UPDATE_XCAST",
        GET_LINK_STATE => "GET_LINK_STATE",
        GET_PF_LINK_STATE => "GET_PF_LINK_STATE",
        NEGOTIATE_FEATURES => "NEGOTIATE_FEATURES",
        _ => return None,
    })
}

/// A version of the messages, by its wire code. Open: a later PF may know others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiVersion(pub u32);

impl ApiVersion {
    /// 1.0: what holds after RESET.
    pub const V1_0: Self = Self(0);
    /// 2.0: Solaris' VF driver; later codes are not above it in features.
    pub const V2_0: Self = Self(1);
    /// 1.1: GET_QUEUES.
    pub const V1_1: Self = Self(2);
    /// 1.2: GET_RETA, GET_RSS_KEY, UPDATE_XCAST, GET_LINK_STATE.
    pub const V1_2: Self = Self(3);
    /// 1.3: promiscuous mode in UPDATE_XCAST.
    pub const V1_3: Self = Self(4);
    /// 1.4: IPsec.
    pub const V1_4: Self = Self(5);
    /// 1.5: another handshake of the mailbox registers. Linux' PF refuses it.
    pub const V1_5: Self = Self(6);
    /// 1.6: GET_PF_LINK_STATE.
    pub const V1_6: Self = Self(7);
    /// 1.7: NEGOTIATE_FEATURES.
    pub const V1_7: Self = Self(8);

    /// GET_QUEUES may be asked.
    pub const fn has_queues(self) -> bool {
        self.0 >= Self::V2_0.0
    }

    /// GET_RETA, GET_RSS_KEY, UPDATE_XCAST and GET_LINK_STATE may be asked.
    pub const fn has_xcast(self) -> bool {
        self.0 >= Self::V1_2.0
    }

    /// UPDATE_XCAST knows [`XcastMode::PROMISC`].
    pub const fn has_promiscuous(self) -> bool {
        self.0 >= Self::V1_3.0
    }
}

impl core::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::V1_0 => f.write_str("1.0"),
            Self::V2_0 => f.write_str("2.0"),
            Self(code @ 2..=8) => write!(f, "1.{}", code - 1),
            Self(code) => write!(f, "wire code {code}"),
        }
    }
}

/// Which kinds of foreign frames a VF receives; each mode has those below it. Open: a PF may answer other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct XcastMode(pub u32);

impl XcastMode {
    /// The VF's own address. Older PFs take broadcast away too: ask for [`XcastMode::MULTI`] instead.
    pub const NONE: Self = Self(0);
    /// Broadcast, and the groups of SET_MULTICAST.
    pub const MULTI: Self = Self(1);
    /// Every multicast frame. Needs the PF's trust.
    pub const ALLMULTI: Self = Self(2);
    /// Every frame. Needs the PF's trust and its own promiscuous mode; the 82599 has none for VFs.
    pub const PROMISC: Self = Self(3);
}

/// Features that NEGOTIATE_FEATURES compares, a bit each. Open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u32);

impl Features {
    /// IPsec offload.
    pub const IPSEC: Self = Self(1 << 0);
    /// The other handshake of the mailbox registers, as in version 1.5.
    pub const OTHER_HANDSHAKE: Self = Self(1 << 1);
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
    /// [`SET_LPE`]: the longest frame, FCS included, in bytes.
    SetLpe {
        /// At most [`MAX_FRAME_BYTES`](super::MAX_FRAME_BYTES).
        max_frame_bytes: u16,
    },
    /// [`SET_MACVLAN`].
    SetMacFilter {
        /// 0 drops every filter and ignores the address; 1 drops every filter and adds one; 2 and above add one.
        index: u8,
        /// The address.
        mac: MacAddr,
    },
    /// [`NEGOTIATE`].
    Negotiate(ApiVersion),
    /// [`GET_QUEUES`].
    GetQueues,
    /// [`GET_RETA`].
    GetReta,
    /// [`GET_RSS_KEY`].
    GetRssKey,
    /// [`UPDATE_XCAST`].
    UpdateXcast(XcastMode),
    /// [`GET_LINK_STATE`].
    GetLinkState,
    /// [`GET_PF_LINK_STATE`].
    GetPfLinkState,
    /// [`NEGOTIATE_FEATURES`].
    NegotiateFeatures(Features),
    /// Anything else: a PF refuses it.
    Unknown(Message),
}

impl Request {
    /// The message.
    pub fn encode(&self) -> Message {
        let head = |code| Header::request(code, 0).0;
        match *self {
            Self::Reset => request::reset(),
            Self::SetMac(mac) => request::set_mac(mac),
            Self::SetMulticast(list) => request::set_multicast(&list),
            Self::SetVlan { vlan, join } => request::set_vlan(vlan, join),
            Self::SetLpe { max_frame_bytes } => request::set_lpe(max_frame_bytes),
            Self::SetMacFilter { index, mac } => {
                let [low, high] = mac.to_words();
                Message::new([Header::request(SET_MACVLAN, index).0, low, high])
            }
            Self::Negotiate(version) => Message::new([head(NEGOTIATE), version.0, 0]),
            Self::GetQueues => Message::new([head(GET_QUEUES), 0, 0, 0, 0]),
            Self::GetReta => Message::new([head(GET_RETA)]),
            Self::GetRssKey => Message::new([head(GET_RSS_KEY)]),
            Self::UpdateXcast(mode) => Message::new([head(UPDATE_XCAST), mode.0]),
            Self::GetLinkState => Message::new([head(GET_LINK_STATE), 0]),
            Self::GetPfLinkState => Message::new([head(GET_PF_LINK_STATE), 0, 0]),
            Self::NegotiateFeatures(features) => Message::new([head(NEGOTIATE_FEATURES), features.0]),
            Self::Unknown(message) => message,
        }
    }

    /// What a PF reads from the mailbox memory. Words that a request does not have are ignored.
    pub fn decode(message: Message) -> Self {
        let [word, _] = message.pair(1);
        match message.header().code() {
            RESET => Self::Reset,
            SET_MAC => Self::SetMac(request::mac_of(&message)),
            SET_MULTICAST => Self::SetMulticast(request::hashes_of(&message)),
            SET_VLAN => match request::vlan_of(&message) {
                Some((vlan, join)) => Self::SetVlan { vlan, join },
                None => Self::Unknown(message),
            },
            SET_LPE if word <= u32::from(u16::MAX) => Self::SetLpe { max_frame_bytes: request::half_of(&message) },
            SET_MACVLAN => Self::SetMacFilter { index: message.header().info(), mac: request::mac_of(&message) },
            NEGOTIATE => Self::Negotiate(ApiVersion(word)),
            GET_QUEUES => Self::GetQueues,
            GET_RETA => Self::GetReta,
            GET_RSS_KEY => Self::GetRssKey,
            UPDATE_XCAST => Self::UpdateXcast(XcastMode(word)),
            GET_LINK_STATE => Self::GetLinkState,
            GET_PF_LINK_STATE => Self::GetPfLinkState,
            NEGOTIATE_FEATURES => Self::NegotiateFeatures(Features(word)),
            _ => Self::Unknown(message),
        }
    }

    /// The code of the request: its answer has the same.
    pub fn code(&self) -> u16 {
        self.encode().header().code()
    }
}

/// The answer to RESET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetAnswer {
    /// The MAC that the PF assigned; `None` where it assigned none. The VF then picks its own and asks with [`Request::SetMac`].
    pub mac: Option<MacAddr>,
    /// Which bits of a multicast address the PF hashes; `None` where the answer names no such choice.
    pub hash_bits: Option<HashBits>,
}

impl ResetAnswer {
    /// `None` where it is no answer to RESET. A refusal is one: it says that no MAC was assigned.
    pub fn decode(reply: &Reply) -> Option<Self> {
        if reply.code() != RESET || reply.verdict() == Verdict::Unclear {
            return None;
        }
        let mac = request::mac_of(reply.message());
        let assigned = reply.verdict() == Verdict::Ack && mac.is_unicast();
        let [hash_bits, _] = reply.message().pair(3);
        Some(Self { mac: assigned.then_some(mac), hash_bits: HashBits::from_wire(hash_bits) })
    }

    /// The PF's message; never clear to send.
    pub fn encode(&self) -> Message {
        let verdict = if self.mac.is_some() { Verdict::Ack } else { Verdict::Nack };
        let [low, high] = self.mac.unwrap_or(MacAddr::ZERO).to_words();
        Message::new([Header::request(RESET, 0).answered(verdict, false).0, low, high, self.hash_bits.unwrap_or_default().to_wire()])
    }
}

/// The answer to GET_QUEUES, as the PF gave it: nothing is checked against what the device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Transmit queues that the VF may use.
    pub tx: u32,
    /// Receive queues that the VF may use.
    pub rx: u32,
    /// Not zero: the PF has put the VF into a VLAN, or has this many traffic classes.
    pub transparent_vlan: u32,
    /// The first queue of the VF's default traffic class.
    pub default_queue: u32,
}

impl Queues {
    /// `None` where it is not the PF's consent to GET_QUEUES.
    pub fn decode(reply: &Reply) -> Option<Self> {
        let ([tx, rx], [transparent_vlan, default_queue]) = (granted(reply, GET_QUEUES)?.pair(1), reply.message().pair(3));
        Some(Self { tx, rx, transparent_vlan, default_queue })
    }

    /// The PF's message.
    pub fn encode(&self) -> Message {
        let words = [Header::request(GET_QUEUES, 0).0, self.tx, self.rx, self.transparent_vlan, self.default_queue];
        Message::new(words).answered(Verdict::Ack, true)
    }
}

/// Entries of the redirection table of the 82599 and X540.
pub const RETA_ENTRIES: usize = 128;
/// Bytes of an RSS key.
pub const RSS_KEY_BYTES: usize = 40;
/// Entries of the redirection table in a word of the answer: two bits each.
const RETA_ENTRIES_PER_WORD: usize = 16;

/// The redirection table in the answer to GET_RETA: a queue, 0 to 3, for each of the hash's lowest 7 bits.
pub fn reta(reply: &Reply) -> Option<[u8; RETA_ENTRIES]> {
    let words = &granted(reply, GET_RETA)?.memory()[1..];
    let mut table = [0; RETA_ENTRIES];
    for (entries, word) in table.chunks_exact_mut(RETA_ENTRIES_PER_WORD).zip(words) {
        for (at, entry) in (0u32..).zip(entries) {
            *entry = (word >> (2 * at)).to_le_bytes()[0] & 0b11;
        }
    }
    Some(table)
}

/// The PF's answer to GET_RETA. Of each entry it holds two bits.
pub fn reta_reply(table: &[u8; RETA_ENTRIES]) -> Message {
    let mut message = Message::new([Header::request(GET_RETA, 0).0]).answered(Verdict::Ack, true);
    for (at, entries) in (1..).zip(table.chunks_exact(RETA_ENTRIES_PER_WORD)) {
        let word = entries.iter().rev().fold(0, |word, entry| word << 2 | u32::from(entry & 0b11));
        message = message.with(at, word);
    }
    message
}

/// The RSS key in the answer to GET_RSS_KEY, first byte first.
pub fn rss_key(reply: &Reply) -> Option<[u8; RSS_KEY_BYTES]> {
    let words = &granted(reply, GET_RSS_KEY)?.memory()[1..];
    let mut key = [0; RSS_KEY_BYTES];
    for (bytes, word) in key.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Some(key)
}

/// The PF's answer to GET_RSS_KEY.
pub fn rss_key_reply(key: &[u8; RSS_KEY_BYTES]) -> Message {
    let mut message = Message::new([Header::request(GET_RSS_KEY, 0).0]).answered(Verdict::Ack, true);
    for (at, bytes) in (1..).zip(key.as_chunks::<4>().0) {
        message = message.with(at, u32::from_le_bytes(*bytes));
    }
    message
}

/// The mode that the PF granted in its answer to UPDATE_XCAST. An untrusted VF that asks for more than [`XcastMode::MULTI`] may get
/// consent to less: compare. `None` where the PF refused.
pub fn granted_xcast(reply: &Reply) -> Option<XcastMode> {
    let [mode, _] = granted(reply, UPDATE_XCAST)?.pair(1);
    Some(XcastMode(mode))
}

/// Whether the PF's administrator lets the VF's link be up, in the answer to GET_LINK_STATE.
pub fn link_allowed(reply: &Reply) -> Option<bool> {
    let [state, _] = granted(reply, GET_LINK_STATE)?.pair(1);
    Some(state != 0)
}

/// The features that both drivers have, in the answer to NEGOTIATE_FEATURES.
pub fn common_features(reply: &Reply) -> Option<Features> {
    let [features, _] = granted(reply, NEGOTIATE_FEATURES)?.pair(1);
    Some(Features(features))
}

/// The link of the port, in the answer to GET_PF_LINK_STATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PfLink {
    /// The speed's bit, as Linux' PF driver numbers speeds.
    pub speed: u32,
    /// The link is up.
    pub up: bool,
}

impl PfLink {
    /// `None` where it is not the PF's consent to GET_PF_LINK_STATE.
    pub fn decode(reply: &Reply) -> Option<Self> {
        let [speed, up] = granted(reply, GET_PF_LINK_STATE)?.pair(1);
        Some(Self { speed, up: up != 0 })
    }

    /// The speed in Mbit/s; `None` while the link is down or for an unknown speed.
    pub const fn mbps(self) -> Option<u32> {
        match (self.up, self.speed) {
            (true, 0x0002) => Some(10),
            (true, 0x0008) => Some(100),
            (true, 0x0020) => Some(1_000),
            (true, 0x0400) => Some(2_500),
            (true, 0x0800) => Some(5_000),
            (true, 0x0080) => Some(10_000),
            _ => None,
        }
    }
}

/// The message, where it is the PF's consent to a request with this code.
fn granted(reply: &Reply, code: u16) -> Option<&Message> {
    (reply.code() == code && reply.verdict() == Verdict::Ack).then_some(reply.message())
}

const _: () = assert!(RETA_ENTRIES / RETA_ENTRIES_PER_WORD < WORDS && RSS_KEY_BYTES / 4 < WORDS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intel::mailbox::FromPf;
    use std::string::ToString;
    use std::vec::Vec;

    const MAC: MacAddr = MacAddr([0x02, 0x09, 0xc0, 0xaa, 0xbb, 0xcc]);

    fn bytes(message: &Message) -> Vec<u8> {
        message.words().iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn answer(message: Message) -> Reply {
        match FromPf::decode(message) {
            FromPf::Reply(reply) => reply,
            FromPf::Control { .. } => panic!("an answer"),
        }
    }

    /// DPDK `ixgbe_mbx.h`, IXGBE_VF_*; Linux' later codes 0x10 to 0x12 from `ixgbe_mbx.h`.
    #[test]
    fn codes() {
        assert_eq!([RESET, SET_MAC, SET_MULTICAST, SET_VLAN, SET_LPE, SET_MACVLAN], [1, 2, 3, 4, 5, 6]);
        assert_eq!([NEGOTIATE, GET_QUEUES, GET_RETA, GET_RSS_KEY, UPDATE_XCAST], [8, 9, 10, 11, 12]);
        assert_eq!([GET_LINK_STATE, GET_PF_LINK_STATE, NEGOTIATE_FEATURES], [0x10, 0x11, 0x12]);
    }

    /// DPDK `ixgbe_vf.c`: `ixgbe_reset_hw_vf`, `ixgbe_set_rar_vf`, `ixgbe_set_vfta_vf`, `ixgbevf_rlpml_set_vf`, `ixgbevf_set_uc_addr_vf`.
    #[test]
    fn requests_of_version_1_0() {
        assert_eq!(bytes(&Request::Reset.encode()), [1, 0, 0, 0]);
        assert_eq!(bytes(&Request::SetMac(MAC).encode()), [2, 0, 0, 0, 0x02, 0x09, 0xc0, 0xaa, 0xbb, 0xcc, 0, 0]);
        let vlan = VlanId::new(0x123).expect("a VLAN");
        assert_eq!(bytes(&Request::SetVlan { vlan, join: true }.encode()), [4, 0, 1, 0, 0x23, 0x01, 0, 0]);
        assert_eq!(bytes(&Request::SetLpe { max_frame_bytes: 1518 }.encode()), [5, 0, 0, 0, 0xee, 0x05, 0, 0]);
        let filter = Request::SetMacFilter { index: 2, mac: MAC };
        assert_eq!(bytes(&filter.encode()), [6, 0, 2, 0, 0x02, 0x09, 0xc0, 0xaa, 0xbb, 0xcc, 0, 0]);
    }

    /// DPDK `ixgbe_vf.c`: `ixgbe_update_mc_addr_list_vf`, 16 words.
    #[test]
    fn multicast() {
        let group = MacAddr([0x01, 0x00, 0x5e, 0x7f, 0x34, 0x56]);
        let list = HashList::select(&[group], HashBits::BITS_43_32).expect("one fits");
        let mut expected = [0; 64];
        expected[..6].copy_from_slice(&[3, 0, 1, 0, 0x34, 0x06]);
        assert_eq!(bytes(&Request::SetMulticast(list).encode()), expected);
    }

    /// DPDK `ixgbe_vf.c`: `ixgbevf_negotiate_api_version`, `ixgbevf_get_queues`, `ixgbevf_update_xcast_mode`.
    #[test]
    fn requests_of_later_versions() {
        assert_eq!(Request::Negotiate(ApiVersion::V1_3).encode().words(), [8, 4, 0]);
        assert_eq!(Request::GetQueues.encode().words(), [9, 0, 0, 0, 0]);
        assert_eq!(Request::UpdateXcast(XcastMode::ALLMULTI).encode().words(), [12, 2]);
    }

    /// DPDK `ixgbe_mbx.h`, `enum ixgbe_pfvf_api_rev`, up to 1.3; Linux `ixgbe_mbx.h` beyond.
    #[test]
    fn wire_codes_of_versions() {
        use ApiVersion as V;
        let all = [V::V1_0, V::V2_0, V::V1_1, V::V1_2, V::V1_3, V::V1_4, V::V1_5, V::V1_6, V::V1_7];
        assert_eq!(all.map(|version| version.0), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let names = all.map(|version| version.to_string());
        assert_eq!(names, ["1.0", "2.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7"]);
        assert_eq!(V(9).to_string(), "wire code 9");
        assert_eq!(all.map(V::has_queues), [false, true, true, true, true, true, true, true, true]);
        assert_eq!(all.map(V::has_xcast), [false, false, false, true, true, true, true, true, true]);
        assert_eq!(all.map(V::has_promiscuous), [false, false, false, false, true, true, true, true, true]);
    }

    /// Linux' PF, `ixgbe_sriov.c`, `ixgbe_vf_reset_msg`: four words, the filter type in the last, whether or not a MAC was assigned.
    #[test]
    fn answers_to_reset() {
        let assigned = answer(Message::new([0x8000_0001, 0xaac0_0902, 0xccbb, 2]));
        assert_eq!(ResetAnswer::decode(&assigned), Some(ResetAnswer { mac: Some(MAC), hash_bits: HashBits::from_wire(2) }));
        let none = ResetAnswer { mac: None, hash_bits: Some(HashBits::BITS_47_36) };
        assert_eq!(ResetAnswer::decode(&answer(Message::new([0x4000_0001, 0, 0, 0]))), Some(none));
        assert_eq!(none.encode().words(), [0x4000_0001, 0, 0, 0]);
        let odd = answer(Message::new([0x8000_0001, 0xaac0_0902, 0xccbb, 77]));
        assert_eq!(ResetAnswer::decode(&odd).and_then(|answer| answer.hash_bits), None);
        assert_eq!(ResetAnswer::decode(&answer(Message::new([1]))), None);
        assert_eq!(ResetAnswer::decode(&answer(Message::new([0x8000_0002]))), None);
    }

    /// DPDK `ixgbe_mbx.h`: IXGBE_VF_TX_QUEUES 1, _RX_QUEUES 2, _TRANS_VLAN 3, _DEF_QUEUE 4.
    #[test]
    fn answers_to_get_queues() {
        let reply = answer(Message::new([0xa000_0009, 4, 2, 1, 3]));
        let queues = Queues { tx: 4, rx: 2, transparent_vlan: 1, default_queue: 3 };
        assert_eq!(Queues::decode(&reply), Some(queues));
        assert_eq!(queues.encode(), *reply.message());
        assert_eq!(Queues::decode(&answer(Message::new([0x6000_0009, 4, 2, 1, 3]))), None);
    }

    /// Linux' PF, `ixgbe_sriov.c`, `ixgbe_get_vf_reta`: entry 16 i + j is bits 2 j + 1 : 2 j of word 1 + i.
    #[test]
    fn the_redirection_table() {
        let mut words = [0; WORDS];
        words[0] = 0xa000_000a;
        words[1] = 0b11_01_00;
        words[8] = 0x8000_0000;
        let mut expected = [0; RETA_ENTRIES];
        (expected[1], expected[2], expected[127]) = (1, 3, 2);
        assert_eq!(reta(&answer(Message::new(words))), Some(expected));
        assert_eq!(reta_reply(&expected).words(), &words[..9]);
    }

    /// Linux' PF, `ixgbe_sriov.c`, `ixgbe_get_vf_rss_key`: the key copied to the memory of word 1.
    #[test]
    fn the_rss_key() {
        let mut words = [0; WORDS];
        words[0] = 0xa000_000b;
        (words[1], words[10]) = (0x6d5a_56da, 0x0102_0304);
        let key = rss_key(&answer(Message::new(words))).expect("a key");
        assert_eq!((&key[..4], &key[36..]), (&[0xda, 0x56, 0x5a, 0x6d][..], &[4, 3, 2, 1][..]));
        assert_eq!(rss_key_reply(&key).words(), &words[..11]);
    }

    /// Linux' PF, `ixgbe_sriov.c`, `ixgbe_update_vf_xcast_mode`: consent with a lower mode for an untrusted VF.
    #[test]
    fn a_lower_mode_is_seen() {
        let granted = granted_xcast(&answer(Message::new([0xa000_000c, 1]))).expect("consent");
        assert_eq!(granted, XcastMode::MULTI);
        assert!(granted < XcastMode::PROMISC);
        assert_eq!(granted_xcast(&answer(Message::new([0x6000_000c, 3]))), None);
    }

    /// Linux' PF, `ixgbe_sriov.c`: `ixgbe_get_vf_link_state`, `ixgbe_send_vf_link_status`, `ixgbe_negotiate_vf_features`; DPDK
    /// `ixgbe_type.h`, IXGBE_LINK_SPEED_*.
    #[test]
    fn answers_about_link_and_features() {
        assert_eq!(link_allowed(&answer(Message::new([0xa000_0010, 0]))), Some(false));
        assert_eq!(link_allowed(&answer(Message::new([0xa000_0010, 1]))), Some(true));
        let link = PfLink::decode(&answer(Message::new([0xa000_0011, 0x80, 1]))).expect("consent");
        assert_eq!((link.mbps(), PfLink { up: false, ..link }.mbps()), (Some(10_000), None));
        assert_eq!(
            common_features(&answer(Message::new([0xa000_0012, 3]))),
            Some(Features(Features::IPSEC.0 | Features::OTHER_HANDSHAKE.0))
        );
    }

    #[test]
    fn requests_go_both_ways() {
        let vlan = VlanId::new(1).expect("a VLAN");
        let requests = [
            Request::Reset,
            Request::SetMac(MAC),
            Request::SetMulticast(HashList::EMPTY),
            Request::SetVlan { vlan, join: false },
            Request::SetLpe { max_frame_bytes: 9018 },
            Request::SetMacFilter { index: 1, mac: MAC },
            Request::Negotiate(ApiVersion(77)),
            Request::GetQueues,
            Request::GetReta,
            Request::GetRssKey,
            Request::UpdateXcast(XcastMode::PROMISC),
            Request::GetLinkState,
            Request::GetPfLinkState,
            Request::NegotiateFeatures(Features::IPSEC),
            Request::Unknown(Message::new([0x42])),
        ];
        for request in requests {
            assert_eq!(Request::decode(request.encode()), request);
        }
    }

    #[test]
    fn nothing_that_the_other_side_writes_panics() {
        for code in 0..=0x14 {
            for fill in [0, 1, u32::MAX] {
                let mut words = [fill; WORDS];
                words[0] = code | 0x8000_0000 | (fill & 0xff) << 16;
                let _ = Request::decode(Message::new(words));
                let reply = answer(Message::new(words));
                let _ = (ResetAnswer::decode(&reply), Queues::decode(&reply), reta(&reply), rss_key(&reply));
                let _ = (granted_xcast(&reply), link_allowed(&reply), PfLink::decode(&reply).map(PfLink::mbps));
            }
        }
    }
}
