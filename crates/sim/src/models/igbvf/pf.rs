//! The PF: what it answers, and what it allows its VF. Decides as Linux' igb does.

use super::IgbvfOptions;
use crate::models::intel::{
    filters::{Filters, Longest},
    mailbox::AnswersVf,
};
use std::collections::BTreeSet;
use vfwire_spec::{
    igbvf::control::{self, Request},
    intel::mailbox::{Message, Verdict},
    net::MacAddr,
};

#[derive(Debug)]
pub(super) struct Pf {
    assigned: Option<MacAddr>,
    trusted: bool,
    silent: bool,
    down: bool,
    /// It has seen RESET since it, or the VF, was last reset. Until then it refuses everything else and no frame passes.
    clear_to_send: bool,
    pub(super) filters: Filters,
    /// Codes of requests that it refuses in any case.
    pub(super) refused: BTreeSet<u16>,
}

impl Pf {
    pub(super) fn new(options: &IgbvfOptions) -> Self {
        Self {
            assigned: options.pf_mac,
            trusted: options.trusted,
            silent: options.silent,
            down: false,
            clear_to_send: false,
            filters: Filters::new(options.spoofchk),
            refused: BTreeSet::new(),
        }
    }

    pub(super) fn set_silent(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// Frames may pass.
    pub(super) fn lets_pass(&self) -> bool {
        self.clear_to_send && !self.down
    }

    pub(super) fn is_clear_to_send(&self) -> bool {
        self.clear_to_send
    }

    /// The VF was reset: what it had asked for is forgotten, its own MAC address too.
    pub(super) fn vf_was_reset(&mut self) {
        self.clear_to_send = false;
        self.filters.mac = self.assigned;
        self.filters.reset();
    }

    /// Forgets that the VF has sent RESET.
    pub(super) fn forget(&mut self) {
        self.clear_to_send = false;
    }

    pub(super) fn assign(&mut self, mac: Option<MacAddr>) {
        self.assigned = mac;
    }

    fn answer_reset(&mut self) -> Message {
        if self.assigned.is_some() {
            self.filters.mac = self.assigned;
        }
        self.filters.reset();
        self.clear_to_send = true;
        control::reset_reply(self.filters.mac)
    }

    fn grant(&mut self, request: Request) -> bool {
        match request {
            Request::SetMac(mac) => self.set_mac(mac),
            Request::SetMulticast(list) => {
                self.filters.set_multicast(list.as_slice());
                true
            }
            Request::SetVlan { vlan, join } => {
                self.filters.set_vlan(vlan, join);
                true
            }
            Request::SetLpe { max_frame_bytes } => {
                self.filters.longest = Longest::WithTag(max_frame_bytes);
                true
            }
            Request::SetPromisc(promisc) => {
                // Multicast is granted even where the request as a whole is refused for its unicast part.
                self.filters.promiscuous_multicast = promisc.multicast;
                self.filters.promiscuous_unicast = promisc.unicast && self.trusted;
                !promisc.unicast || self.trusted
            }
            Request::Reset | Request::Unknown(_) => false,
        }
    }

    fn set_mac(&mut self, mac: MacAddr) -> bool {
        let allowed = mac.is_unicast() && (self.assigned.is_none() || self.trusted);
        if allowed {
            self.filters.mac = Some(mac);
        }
        allowed
    }
}

impl AnswersVf for Pf {
    fn is_silent(&self) -> bool {
        self.silent || self.down
    }

    fn set_down(&mut self, down: bool) {
        self.down = down;
        if down {
            self.vf_was_reset();
        }
    }

    /// Nothing to what is itself an answer.
    fn answer(&mut self, message: Message) -> Option<Message> {
        if message.header().verdict() != Verdict::Unclear {
            return None;
        }
        let request = Request::decode(message);
        if matches!(request, Request::Reset) {
            return Some(self.answer_reset());
        }
        if !self.clear_to_send {
            return Some(control::reply(&message, Verdict::Nack, false));
        }
        let granted = !self.refused.contains(&message.header().code()) && self.grant(request);
        Some(control::reply(&message, if granted { Verdict::Ack } else { Verdict::Nack }, true))
    }

    /// Nothing: what igb says to a VF that it does not know, it says at most once in two seconds.
    fn message_was_read(&mut self) -> Option<Message> {
        None
    }
}
