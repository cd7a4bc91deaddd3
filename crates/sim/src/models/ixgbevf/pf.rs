//! The PF: what it answers, and what it allows its VF. Decides as Linux' ixgbe does (`drivers/net/ethernet/intel/ixgbe/ixgbe_sriov.c`);
//! the function there is named at each answer. Version 1.6 is that of later kernels, in which it adds GET_PF_LINK_STATE for the E610.

use super::IxgbevfOptions;
use crate::{
    frame::Rss,
    models::intel::{
        filters::{Filters, Longest},
        mailbox::AnswersVf,
    },
};
use std::collections::BTreeSet;
use vfwire_spec::{
    intel::mailbox::{Header, Message, Verdict, WORDS},
    ixgbevf::{
        Family, MAX_FRAME_BYTES,
        control::{self, ApiVersion, PfLink, Queues, RESET, RETA_ENTRIES, RSS_KEY_BYTES, Request, ResetAnswer, XcastMode},
    },
    net::{ETH_FCS_BYTES, ETH_HEADER_BYTES, ETH_MAX_FRAME_BYTES, MacAddr, VlanId},
};

/// VLANs that the PF has room for (registers PFVLVF).
const VLANS: u32 = 64;
/// The shortest longest frame that the PF lets a VF ask for (Linux' ETH_MIN_MTU).
const LEAST_LONG_FRAME_BYTES: u16 = 68;

#[derive(Debug)]
pub(super) struct Pf {
    device: Family,
    trusted: bool,
    silent: bool,
    down: bool,
    query_rss: bool,
    promiscuous: bool,
    spoofchk: bool,
    forgets_groups: bool,
    none_keeps_broadcast: bool,
    mac_filters: usize,
    queues: usize,
    mtu_bytes: u16,
    highest: ApiVersion,
    /// It has seen RESET since it was last reset, or since the VF's link state was last set. Until then it refuses everything else.
    clear_to_send: bool,
    /// The VF's address, whoever chose it.
    mac: Option<MacAddr>,
    /// The administrator chose it.
    mac_is_assigned: bool,
    /// The administrator lets the VF's link be up.
    link_allowed: bool,
    /// The port's link.
    pub(super) link: PfLink,
    pub(super) api: ApiVersion,
    pub(super) xcast: XcastMode,
    /// The device takes frames for the VF, and from it (registers PFVFRE, PFVFTE).
    pub(super) receives: bool,
    pub(super) sends: bool,
    pub(super) filters: Filters,
    /// SET_LPE for longer frames, FCS included, is refused.
    pub(super) refused_above_bytes: Option<u16>,
    /// Codes of requests that it refuses in any case.
    pub(super) refused: BTreeSet<u16>,
}

impl Pf {
    pub(super) fn new(options: &IxgbevfOptions) -> Self {
        let mut filters = Filters::new(options.spoofchk);
        filters.hash_bits = options.hash_bits;
        let mut pf = Self {
            device: options.device,
            trusted: options.trusted,
            silent: options.silent,
            down: false,
            query_rss: options.query_rss,
            promiscuous: options.pf_promiscuous,
            spoofchk: options.spoofchk,
            forgets_groups: options.forgets_groups,
            none_keeps_broadcast: options.none_keeps_broadcast,
            mac_filters: options.mac_filters,
            queues: options.queues,
            mtu_bytes: options.pf_mtu_bytes,
            highest: options.api,
            clear_to_send: false,
            mac: options.pf_mac,
            mac_is_assigned: options.pf_mac.is_some(),
            link_allowed: true,
            link: PfLink { speed: speed_bit(options.link_mbps), up: true },
            api: ApiVersion::V1_0,
            xcast: XcastMode::NONE,
            receives: false,
            sends: false,
            filters,
            refused_above_bytes: None,
            refused: BTreeSet::new(),
        };
        pf.begin();
        pf
    }

    pub(super) fn set_silent(&mut self, silent: bool) {
        self.silent = silent;
    }

    pub(super) fn is_clear_to_send(&self) -> bool {
        self.clear_to_send
    }

    pub(super) fn is_down(&self) -> bool {
        self.down
    }

    /// Forgets that the VF has sent RESET.
    pub(super) fn forget(&mut self) {
        self.clear_to_send = false;
    }

    /// What the PF's own reset leaves (`ixgbe_configure_virtualization`).
    fn begin(&mut self) {
        self.clear_to_send = false;
        self.filters.spoofchk = self.spoofchk;
        self.filters.promiscuous_unicast = false;
        self.filters.promiscuous_multicast = false;
        self.xcast = XcastMode::NONE;
        self.filters.longest = Longest::BesideTag(self.mtu_bytes.saturating_add(FRAME_BYTES));
        self.vf_was_reset();
    }

    /// `ixgbe_vf_reset_event`: of what the VF asked for, only the mode of its multicast frames and its own address are remembered, and
    /// the latter takes effect with RESET. The device takes no frames until then.
    pub(super) fn vf_was_reset(&mut self) {
        self.filters.leave_all_vlans();
        if let Some(untagged) = VlanId::new(0) {
            self.filters.set_vlan(untagged, true);
        }
        self.filters.broadcast = true;
        self.filters.set_multicast(&[]);
        self.filters.uses_table = false;
        self.filters.mac = None;
        self.filters.others.clear();
        self.api = ApiVersion::V1_0;
        (self.receives, self.sends) = (false, false);
    }

    /// `ixgbe_ndo_set_vf_mac`: takes effect at once, and the VF is not told.
    pub(super) fn assign(&mut self, mac: Option<MacAddr>) {
        if self.filters.mac.is_some() {
            self.filters.mac = mac;
        }
        self.mac = mac;
        self.mac_is_assigned = mac.is_some();
    }

    /// `ixgbe_set_vf_link_state`: the VF has to begin again.
    pub(super) fn allow_link(&mut self, allowed: bool) {
        self.link_allowed = allowed;
        self.set_rx_tx();
        self.clear_to_send = false;
    }

    /// `ixgbe_set_vf_rx_tx`: on the 82599, all functions have frames of one length.
    fn set_rx_tx(&mut self) {
        self.sends = self.link_allowed;
        self.receives = self.link_allowed && !(self.device == Family::I82599 && self.is_jumbo());
    }

    fn is_jumbo(&self) -> bool {
        usize::from(self.mtu_bytes) + ETH_HEADER_BYTES > ETH_MAX_FRAME_BYTES
    }

    /// `ixgbe_vf_reset_msg`: clears the mailbox and answers with four words.
    fn answer_reset(&mut self) -> Message {
        self.vf_was_reset();
        self.filters.mac = self.mac;
        self.set_rx_tx();
        self.clear_to_send = true;
        let answer = ResetAnswer { mac: self.mac.filter(|_| self.mac_is_assigned), hash_bits: Some(self.filters.hash_bits) };
        Message::new(*answer.encode().memory())
    }

    /// What is done about a request: the answer's words after the first where they are not the request's, or a refusal.
    fn grant(&mut self, request: Request, message: Message) -> Option<Message> {
        let granted = |done: bool| done.then_some(message);
        match request {
            Request::SetMac(mac) => granted(self.set_mac(mac)),
            Request::SetMulticast(list) => {
                self.set_multicast(list.as_slice());
                Some(message)
            }
            Request::SetVlan { vlan, join } => granted(self.set_vlan(vlan, join)),
            Request::SetLpe { max_frame_bytes } => granted(self.set_lpe(max_frame_bytes)),
            Request::SetMacFilter { index, mac } => granted(self.set_mac_filter(index, mac)),
            Request::Negotiate(version) => granted(self.negotiate(version)),
            Request::GetQueues => self.queues(message),
            Request::GetReta => self.tells_rss().then(|| copied(message, &control::reta_reply(&reta()))),
            Request::GetRssKey => self.tells_rss().then(|| copied(message, &control::rss_key_reply(&KEY))),
            Request::UpdateXcast(mode) => self.update_xcast(mode).map(|granted| message.with(1, granted.0)),
            Request::GetLinkState => self.api.has_xcast().then(|| message.with(1, u32::from(self.link_allowed))),
            // `ixgbe_get_pf_link_state`: of the E610 only, since 1.6.
            Request::GetPfLinkState => {
                let tells = self.device == Family::E610 && self.api.0 >= ApiVersion::V1_6.0;
                tells.then(|| message.with(1, self.link.speed).with(2, u32::from(self.link.up)))
            }
            Request::NegotiateFeatures(_) | Request::Reset | Request::Unknown(_) => None,
        }
    }

    /// `ixgbe_set_vf_mac_addr`: the assigned address itself may be set.
    fn set_mac(&mut self, mac: MacAddr) -> bool {
        let allowed = mac.is_unicast() && (!self.mac_is_assigned || self.trusted || self.mac == Some(mac));
        if allowed {
            self.mac = Some(mac);
            self.filters.mac = Some(mac);
        }
        allowed
    }

    /// `ixgbe_set_vf_multicasts`: adds to a table that the PF and all VFs share.
    fn set_multicast(&mut self, hashes: &[u16]) {
        if self.forgets_groups {
            self.filters.set_multicast(hashes);
        } else {
            self.filters.add_multicast(hashes);
        }
        self.filters.uses_table = true;
    }

    /// `ixgbe_set_vf_vlan_msg`: VLAN 0, which are the untagged frames, is never left.
    fn set_vlan(&mut self, vlan: VlanId, join: bool) -> bool {
        if vlan.get() == 0 && !join {
            return true;
        }
        let has_room = self.filters.joined_vlans() < VLANS || self.filters.is_joined(vlan.get());
        if has_room || !join {
            self.filters.set_vlan(vlan, join);
        }
        has_room || !join
    }

    /// `ixgbe_set_vf_lpe`: a refusal for the PF's MTU on the 82599 stops receiving altogether.
    fn set_lpe(&mut self, max_frame_bytes: u16) -> bool {
        if !(LEAST_LONG_FRAME_BYTES..=MAX_FRAME_BYTES).contains(&max_frame_bytes) {
            return false;
        }
        if self.device == Family::I82599 {
            let knows_jumbo = self.api.has_queues();
            let standard = usize::from(max_frame_bytes) <= ETH_MAX_FRAME_BYTES + ETH_FCS_BYTES;
            self.receives = if self.is_jumbo() { knows_jumbo } else { standard };
            if !self.receives {
                return false;
            }
        }
        if self.refused_above_bytes.is_some_and(|bytes| max_frame_bytes > bytes) {
            self.receives &= self.device != Family::I82599;
            return false;
        }
        if let Longest::BesideTag(now) = self.filters.longest {
            // MAXFRS of all functions together: it only grows.
            self.filters.longest = Longest::BesideTag(now.max(max_frame_bytes));
        }
        true
    }

    /// `ixgbe_set_vf_macvlan_msg`: who may have further addresses is not checked for spoofing any more.
    fn set_mac_filter(&mut self, index: u8, mac: MacAddr) -> bool {
        if index > 0 && (self.mac_is_assigned && !self.trusted || !mac.is_unicast()) {
            return false;
        }
        if index <= 1 {
            self.filters.others.clear();
        }
        if index == 0 {
            return true;
        }
        self.filters.spoofchk = false;
        let has_room = self.filters.others.len() < self.mac_filters;
        if has_room {
            self.filters.others.insert(mac);
        }
        has_room
    }

    /// `ixgbe_negotiate_vf_api`: 2.0 and 1.5 are refused by every version of it.
    fn negotiate(&mut self, version: ApiVersion) -> bool {
        let accepted = version.0 <= self.highest.0 && ![ApiVersion::V2_0, ApiVersion::V1_5].contains(&version);
        if accepted {
            self.api = version;
        }
        accepted
    }

    /// `ixgbe_get_vf_queues`.
    fn queues(&self, message: Message) -> Option<Message> {
        let queues = u32::try_from(self.queues).unwrap_or(0);
        let answer = Queues { tx: queues, rx: queues, transparent_vlan: 0, default_queue: 0 };
        self.api.has_queues().then(|| copied(message, &answer.encode()))
    }

    /// `ixgbe_get_vf_reta`, `ixgbe_get_vf_rss_key`; `ixgbe_ndo_set_vf_rss_query_en` refuses to allow them on later devices.
    fn tells_rss(&self) -> bool {
        self.query_rss && !self.device.has_own_rss() && self.api.has_xcast()
    }

    /// `ixgbe_update_vf_xcast_mode`: the mode granted.
    fn update_xcast(&mut self, mode: XcastMode) -> Option<XcastMode> {
        if !self.api.has_xcast() || mode == XcastMode::PROMISC && !self.api.has_promiscuous() {
            return None;
        }
        // A mode is a signed number there.
        let is_above = mode.0.cast_signed() > XcastMode::MULTI.0.cast_signed();
        let mode = if is_above && !self.trusted { XcastMode::MULTI } else { mode };
        if mode == self.xcast {
            return Some(mode);
        }
        if mode == XcastMode::PROMISC && (self.device == Family::I82599 || !self.promiscuous) || mode > XcastMode::PROMISC {
            return None;
        }
        self.filters.broadcast = mode != XcastMode::NONE || self.none_keeps_broadcast;
        self.filters.uses_table = mode >= XcastMode::MULTI;
        self.filters.promiscuous_multicast = mode >= XcastMode::ALLMULTI;
        self.filters.promiscuous_unicast = mode == XcastMode::PROMISC;
        self.xcast = mode;
        Some(mode)
    }
}

impl AnswersVf for Pf {
    fn is_silent(&self) -> bool {
        self.silent || self.down
    }

    fn set_down(&mut self, down: bool) {
        self.down = down;
        if down {
            self.begin();
        }
    }

    /// `ixgbe_rcv_msg_from_vf`: nothing to what is itself an answer; one word to a VF that has not sent RESET; to others all sixteen,
    /// those of the request where nothing else is said.
    fn answer(&mut self, message: Message) -> Option<Message> {
        let header = message.header();
        if header.0 & (Header::ACK | Header::NACK) != 0 {
            return None;
        }
        if header.0 == u32::from(RESET) {
            return Some(self.answer_reset());
        }
        if !self.clear_to_send {
            return Some(Message::new([header.answered(Verdict::Nack, false).0]));
        }
        let granted = if self.refused.contains(&header.code()) { None } else { self.grant(Request::decode(message), message) };
        Some(match granted {
            Some(answer) => answer.answered(Verdict::Ack, true),
            None => message.answered(Verdict::Nack, true),
        })
    }

    /// `ixgbe_rcv_ack_from_vf`: a VF that has not sent RESET should not be reading either.
    fn message_was_read(&mut self) -> Option<Message> {
        (!self.clear_to_send && !self.is_silent()).then(|| Message::new([Header::NACK]))
    }
}

/// The bit of a speed (IXGBE_LINK_SPEED_*).
fn speed_bit(mbps: u32) -> u32 {
    match mbps {
        100 => 0x0008,
        1000 => 0x0020,
        2500 => 0x0400,
        5000 => 0x0800,
        _ => 0x0080,
    }
}

/// What a frame has beyond its MTU, in bytes.
#[expect(clippy::cast_possible_truncation, reason = "18")]
const FRAME_BYTES: u16 = (ETH_HEADER_BYTES + ETH_FCS_BYTES) as u16;

/// The key that the PF shares with its VFs.
pub(super) const KEY: [u8; RSS_KEY_BYTES] = Rss::PUBLISHED_KEY;

/// The table that the PF shares with its VFs: four queues in turn, however few of them a VF has (`ixgbe_store_reta`).
pub(super) fn reta() -> [u8; RETA_ENTRIES] {
    std::array::from_fn(|at| at.to_le_bytes()[0] & 0b11)
}

/// `request` with the words of `answer`.
fn copied(request: Message, answer: &Message) -> Message {
    answer.words().iter().enumerate().fold(request, |message, (at, word)| if at == 0 { message } else { message.with(at, *word) })
}

const _: () = assert!(WORDS == 16);
