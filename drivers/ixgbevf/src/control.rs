//! What is asked of the PF, and what becomes of it.
//!
//! Owns the mailbox and the memory of what is in force. After every reset nothing is in force, not even the version of the messages:
//! [`Control::begin`] negotiates it and learns what the PF has for this VF, [`Control::ask`] asks for what differs from what is in force. A
//! PF that answers "no" (or consents to less than was asked) to something that the port can live without leads to a [`Refusal`] whose
//! advice is true for the device; a PF that does not answer leads to a time-out that says what to do about it. Deliberately not here:
//! rings and queues.

use std::{collections::BTreeSet, time::Duration};
use vfwire_core::{
    bar::{Bar, Regs},
    error::PortError,
    life::Setback,
    poll::{Wait, poll_until},
    port::{Granted, Intent, Refusal, Rss, Setting},
};
use vfwire_intel_vf::{
    local_mac,
    mailbox::{Mailbox, MailboxAt},
};
use vfwire_spec::{
    intel::mailbox::{Reply, Verdict},
    ixgbevf::{
        Family,
        control::{self, ApiVersion, HashBits, HashList, PfLink, Queues, Request, ResetAnswer, XcastMode},
        regs::{self, VFCTRL_RST, VTEI_ALL, VTEITR_INTERVAL_MASK},
    },
    net::{ETH_FCS_BYTES, ETH_HEADER_BYTES, ETH_MTU_BYTES, JUMBO_MTU_BYTES, MacAddr, VLAN_TAG_BYTES, VlanId},
};

/// The greatest MTU in bytes.
#[expect(clippy::cast_possible_truncation, reason = "9000")]
pub(crate) const MAX_MTU_BYTES: u16 = JUMBO_MTU_BYTES as u16;
#[expect(clippy::cast_possible_truncation, reason = "1500")]
const STANDARD_MTU_BYTES: u16 = ETH_MTU_BYTES as u16;
/// Bytes that a frame has beyond its MTU, as the PF counts: header and FCS. It allows for a tag by itself.
#[expect(clippy::cast_possible_truncation, reason = "18")]
const PF_OVERHEAD_BYTES: u16 = (ETH_HEADER_BYTES + ETH_FCS_BYTES) as u16;
/// Bytes that a frame has beyond its MTU, FCS not counted: header and one VLAN tag.
#[expect(clippy::cast_possible_truncation, reason = "18")]
const OVERHEAD_BYTES: u16 = (ETH_HEADER_BYTES + VLAN_TAG_BYTES) as u16;

/// The versions that are asked for, highest first; 1.0 holds without being asked for.
const VERSIONS: [ApiVersion; 5] = [ApiVersion::V1_6, ApiVersion::V1_4, ApiVersion::V1_3, ApiVersion::V1_2, ApiVersion::V1_1];
/// Most queue pairs of a VF: a PF that gives more means traffic classes, which are not served.
const MAX_QUEUE_PAIRS: u16 = 4;

/// What a reset takes before the mailbox means anything (Linux `vf.c`, `ixgbevf_reset_hw_vf`; DPDK `ixgbe_vf.c`, `ixgbe_reset_hw_vf`).
const RESET_TIME: Duration = Duration::from_millis(50);

/// What is written into the throttle of an interrupt that nobody wants, because a reset of the function clears it.
const MARK: u32 = 0x0550;
const _: () = assert!(MARK & !VTEITR_INTERVAL_MASK == 0);

const PF_BACK: Wait = Wait {
    what: "the PF to come out of its reset",
    limit: Duration::from_secs(2),
    remedy: "its interface must be up, on the host: ip link set PF up",
};

/// An answer takes well under a millisecond to some ten; a PF that is busy with its own reset takes longer.
const fn answer(what: &'static str) -> Wait {
    Wait {
        what,
        limit: Duration::from_secs(1),
        remedy: "the PF is silent: its interface must be up (on the host: ip link set PF up), under the kernel's ixgbe driver",
    }
}

/// What the PF has been asked for and has granted since the last reset.
#[derive(Debug, Default)]
struct InForce {
    mac: Option<MacAddr>,
    mtu_bytes: Option<u16>,
    vlans: BTreeSet<u16>,
    multicast: BTreeSet<MacAddr>,
    /// None: not asked yet. What an earlier user of the VF was granted may still be in force.
    xcast: Option<XcastMode>,
}

/// What the PF has told of itself since the last reset.
#[derive(Debug)]
struct Told {
    version: ApiVersion,
    /// The PF's address for this VF.
    mac: Option<MacAddr>,
    hash_bits: HashBits,
    queues: Option<Queues>,
    link_allowed: bool,
    /// The E610's link, whose register does not tell.
    pf_link: Option<PfLink>,
}

impl Default for Told {
    fn default() -> Self {
        Self { version: ApiVersion::V1_0, mac: None, hash_bits: HashBits::default(), queues: None, link_allowed: true, pf_link: None }
    }
}

/// The VF's side of the conversation with its PF.
#[derive(Debug)]
pub(crate) struct Control<B> {
    regs: Regs<B>,
    family: Family,
    pub(crate) mailbox: Mailbox<B>,
    /// Ours where the PF gives none: the same one for the life of the port.
    own_mac: MacAddr,
    told: Told,
    in_force: InForce,
    /// The device keeps [`MARK`].
    is_marked: bool,
}

impl<B: Bar> Control<B> {
    pub(crate) fn new(regs: Regs<B>, family: Family) -> Self {
        let mailbox = Mailbox::new(regs.clone(), MailboxAt { flags: regs::VFMAILBOX, memory: regs::VFMBMEM });
        Self { regs, family, mailbox, own_mac: local_mac(), told: Told::default(), in_force: InForce::default(), is_marked: false }
    }

    /// The VF's own address: the one in force, or the one that it will have.
    pub(crate) fn mac(&self) -> MacAddr {
        self.in_force.mac.or(self.told.mac).unwrap_or(self.own_mac)
    }

    /// The longest frame that the PF lets through, FCS not counted.
    pub(crate) fn max_frame_bytes(&self) -> u32 {
        u32::from(self.in_force.mtu_bytes.unwrap_or(STANDARD_MTU_BYTES) + OVERHEAD_BYTES)
    }

    /// Most queue pairs: what the PF gives, and one where it does not say.
    pub(crate) fn max_queue_pairs(&self) -> u16 {
        let given = self.told.queues.map_or(1, |queues| queues.rx.min(queues.tx));
        u16::try_from(given).unwrap_or(MAX_QUEUE_PAIRS).clamp(1, MAX_QUEUE_PAIRS)
    }

    /// Whether so many queue pairs can be had.
    pub(crate) fn check_queue_pairs(&self, asked: u16) -> Result<(), PortError> {
        const WHAT: &str = "the number of queue pairs";
        if let Some(classes) = self.told.queues.map(|queues| queues.transparent_vlan).filter(|classes| *classes > 1) {
            return Err(PortError::Refused {
                what: "a queue for all frames".into(),
                by: "the PF",
                remedy: format!("it sorts frames into {classes} traffic classes, each with a queue; on the host: dcbtool sc PF dcb off"),
            });
        }
        let most = self.max_queue_pairs();
        if asked == 0 || asked > most {
            let why = if self.told.queues.is_some() {
                "the PF gives a VF 4 queues where it has at most 31 VFs, else 2"
            } else {
                "the PF's driver is too old to give a VF more than one"
            };
            return Err(PortError::setting(WHAT, asked, format!("1 to {most} on this VF: {why}")));
        }
        if !self.family.has_own_rss() && !asked.is_power_of_two() {
            return Err(PortError::setting(WHAT, asked, "1, 2 or 4 on this device: frames are spread by bits of the PF's table"));
        }
        Ok(())
    }

    /// Whether the PF's administrator lets the VF's link be up.
    pub(crate) fn link_allowed(&self) -> bool {
        self.told.link_allowed
    }

    /// The link as the PF has told it: on an E610 only.
    pub(crate) fn pf_link(&self) -> Option<PfLink> {
        self.told.pf_link
    }

    /// Resets the VF. How long that takes.
    pub(crate) fn reset(&mut self) -> Duration {
        self.regs.write(regs::VFCTRL, VFCTRL_RST);
        self.in_force = InForce::default();
        // How many queues may be enabled is remembered until the PF has said it anew.
        self.told = Told { queues: self.told.queues, ..Told::default() };
        self.regs.read(regs::VFSTATUS); // The write must have arrived before the time runs.
        RESET_TIME
    }

    /// Tells the PF of a reset of the VF, negotiates the version of the messages, and learns what the PF has for this VF.
    pub(crate) fn begin(&mut self) -> Result<(), Setback> {
        poll_until(PF_BACK, || Ok((!self.mailbox.pf_in_reset()?).then_some(())))?;
        self.regs.write(regs::VTEIMC, VTEI_ALL);
        self.regs.write(regs::VTEITR.index(0), MARK);
        self.is_marked = self.regs.read(regs::VTEITR.index(0)) & VTEITR_INTERVAL_MASK == MARK;
        self.mailbox.forget()?;
        let reply = self.request(Request::Reset, "the PF's answer to RESET")?;
        let Some(told) = ResetAnswer::decode(&reply) else { return Err(unclear(&reply).into()) };
        self.told.mac = told.mac;
        self.told.hash_bits = told.hash_bits.unwrap_or_default();
        self.negotiate()?;
        self.learn()
    }

    /// Settles on the highest version of the messages that both sides speak.
    fn negotiate(&mut self) -> Result<(), Setback> {
        for version in VERSIONS {
            if self.agrees(Request::Negotiate(version), "the PF's answer to the version of the messages")? {
                self.told.version = version;
                return Ok(());
            }
        }
        Ok(())
    }

    /// What the PF has for this VF, as far as the version lets it be asked.
    fn learn(&mut self) -> Result<(), Setback> {
        self.told.queues = if self.told.version.has_queues() {
            Queues::decode(&self.request(Request::GetQueues, "the PF's answer to GET_QUEUES")?)
        } else {
            None
        };
        if self.told.version.has_xcast() {
            let reply = self.request(Request::GetLinkState, "the PF's answer to GET_LINK_STATE")?;
            self.told.link_allowed = control::link_allowed(&reply).unwrap_or(true);
        }
        self.learn_link()
    }

    /// The link of an E610, whose register does not tell it.
    pub(crate) fn learn_link(&mut self) -> Result<(), Setback> {
        if self.family == Family::E610 && self.told.version == ApiVersion::V1_6 {
            let reply = self.request(Request::GetPfLinkState, "the PF's answer to GET_PF_LINK_STATE")?;
            self.told.pf_link = PfLink::decode(&reply);
        }
        Ok(())
    }

    /// Whether nobody has reset the function since [`begin`](Self::begin): the PF, which answers as before, would let no frame pass (Linux
    /// `ixgbe_sriov.c`, `ixgbe_vf_reset_event`).
    pub(crate) fn confirm(&mut self) -> Result<(), Setback> {
        let mark = self.regs.read(regs::VTEITR.index(0)) & VTEITR_INTERVAL_MASK;
        if self.is_marked && mark != MARK {
            return Err(Setback::BeginAgain("the function was reset by somebody else while it was set up"));
        }
        Ok(())
    }

    /// Asks for what is not in force yet, and gives up what is not wanted any more.
    pub(crate) fn ask(&mut self, intent: &Intent) -> Result<Granted, Setback> {
        let mut granted = Granted::default();
        self.ask_mac(intent, &mut granted)?;
        self.ask_mtu(intent, &mut granted)?;
        self.ask_vlans(intent, &mut granted)?;
        self.ask_multicast(intent, &mut granted)?;
        Ok(granted)
    }

    fn ask_mac(&mut self, intent: &Intent, granted: &mut Granted) -> Result<(), Setback> {
        let wanted = intent.mac.or(self.told.mac).unwrap_or(self.own_mac);
        // After a reset, the address that the PF assigned is in force by itself.
        if self.in_force.mac.or(self.told.mac) == Some(wanted) {
            self.in_force.mac = Some(wanted);
            return Ok(());
        }
        if self.agrees(Request::SetMac(wanted), "the PF's answer to SET_MAC")? {
            self.in_force.mac = Some(wanted);
            return Ok(());
        }
        let Some(assigned) = self.in_force.mac.or(self.told.mac) else {
            return Err(Setback::Failed(PortError::Refused {
                what: format!("MAC address {wanted}"),
                by: "the PF",
                remedy: format!("give this VF an address on the host: ip link set PF vf N mac {wanted}"),
            }));
        };
        self.in_force.mac = Some(assigned);
        let remedy = format!(
            "the PF has assigned {assigned}, which is used; on the host: ip link set PF vf N mac {wanted}, or ip link set PF vf N trust on, \
             then start again"
        );
        granted.refused.push(Refusal { setting: Setting::Mac(wanted), remedy });
        Ok(())
    }

    /// Always said, even for an ordinary MTU: an 82599's PF whose own MTU is above that receives nothing for a VF that does not say it. A
    /// refusal turns its receiver off, too, so that the ordinary MTU has to be said after it.
    fn ask_mtu(&mut self, intent: &Intent, granted: &mut Granted) -> Result<(), Setback> {
        let wanted = intent.mtu_bytes;
        // Not asked again on a running port: it would be deaf meanwhile.
        let in_force = self.in_force.mtu_bytes;
        if in_force == Some(wanted) || (in_force.is_none() && self.takes_mtu(wanted)?) {
            return Ok(());
        }
        let has_ordinary = in_force.is_some() || (wanted > STANDARD_MTU_BYTES && self.takes_mtu(STANDARD_MTU_BYTES)?);
        if !has_ordinary && self.family == Family::I82599 {
            return Err(Setback::Failed(self.deaf(wanted)));
        }
        let why =
            if self.family == Family::I82599 { "an 82599 has one MTU for the PF and its VFs" } else { "the PF takes no longer frames" };
        let remedy =
            format!("MTU {STANDARD_MTU_BYTES} is in force, since {why}; on the host: ip link set PF mtu {wanted}, then start again");
        granted.refused.push(Refusal { setting: Setting::Mtu(wanted), remedy });
        Ok(())
    }

    /// An 82599's PF has refused even the ordinary MTU.
    fn deaf(&self, wanted: u16) -> PortError {
        PortError::Refused {
            what: format!("MTU {wanted}, and with it all that this VF could receive,"),
            by: "the PF",
            remedy: format!(
                "its driver (messages of version {}) serves VFs only while the PF's own MTU is {STANDARD_MTU_BYTES}; on the host: ip link set \
                 PF mtu {STANDARD_MTU_BYTES}",
                self.told.version
            ),
        }
    }

    fn takes_mtu(&mut self, mtu_bytes: u16) -> Result<bool, Setback> {
        let takes = self.agrees(Request::SetLpe { max_frame_bytes: mtu_bytes + PF_OVERHEAD_BYTES }, "the PF's answer to SET_LPE")?;
        if takes {
            self.in_force.mtu_bytes = Some(mtu_bytes);
        }
        Ok(takes)
    }

    fn ask_vlans(&mut self, intent: &Intent, granted: &mut Granted) -> Result<(), Setback> {
        let changed: Vec<u16> = intent.vlans.symmetric_difference(&self.in_force.vlans).copied().collect();
        for id in changed {
            let join = intent.vlans.contains(&id);
            let Some(vlan) = VlanId::new(id) else { continue };
            if !self.agrees(Request::SetVlan { vlan, join }, "the PF's answer to SET_VLAN")? {
                let remedy = "the PF has put this VF into a VLAN of its own (on the host: ip link set PF vf N vlan 0 ends that), or its \
                              table of 64 VLANs is full";
                granted.refused.push(Refusal { setting: Setting::Vlan(id), remedy: remedy.into() });
            } else if join {
                self.in_force.vlans.insert(id);
            } else {
                self.in_force.vlans.remove(&id);
            }
        }
        Ok(())
    }

    fn ask_multicast(&mut self, intent: &Intent, granted: &mut Granted) -> Result<(), Setback> {
        let groups: Vec<MacAddr> = intent.multicast.iter().copied().collect();
        // More groups than a message holds: all of them, which the intent allows.
        let list = HashList::select(&groups, self.told.hash_bits);
        if let Some(list) = list.filter(|_| self.in_force.multicast != intent.multicast) {
            if self.agrees(Request::SetMulticast(list), "the PF's answer to SET_MULTICAST")? {
                self.in_force.multicast.clone_from(&intent.multicast);
            } else {
                let remedy = "the PF's driver takes no multicast list from this VF; ask for all multicast frames instead";
                granted.refused.push(Refusal { setting: Setting::Multicast, remedy: remedy.into() });
            }
        }
        self.ask_xcast(intent, list.is_none(), granted)
    }

    /// Which kinds of foreign frames to receive. The ordinary mode is asked for, too: a VF may have inherited another one, and without any
    /// mode older PFs take broadcast away.
    fn ask_xcast(&mut self, intent: &Intent, too_many_groups: bool, granted: &mut Granted) -> Result<(), Setback> {
        let mut wanted = if intent.all_multicast || too_many_groups { XcastMode::ALLMULTI } else { XcastMode::MULTI };
        if intent.promiscuous {
            if self.promiscuous_is_in_force(granted)? {
                return Ok(());
            }
            // Next best, and no second refusal for it.
            wanted = XcastMode::ALLMULTI;
        }
        let got = self.update_xcast(wanted)?;
        if got.is_none_or(|got| got < wanted) {
            let remedy = if !self.told.version.has_xcast() {
                format!(
                    "its PF's driver is too old: with messages of version {} a VF has its address, broadcast and listed groups",
                    self.told.version
                )
            } else {
                format!(
                    "the PF does not trust this VF; on the host: ip link set PF vf N trust on; or list the groups, up to {} of them",
                    control::MAX_MULTICAST_HASHES
                )
            };
            let setting = match (intent.all_multicast, too_many_groups) {
                (true, _) => Setting::AllMulticast,
                (false, true) => Setting::Multicast,
                // Of a PF without modes, the ordinary one is what there is.
                (false, false) => return Ok(()),
            };
            granted.refused.push(Refusal { setting, remedy });
        }
        Ok(())
    }

    fn promiscuous_is_in_force(&mut self, granted: &mut Granted) -> Result<bool, Setback> {
        let remedy = if self.family == Family::I82599 {
            "an 82599 has no promiscuous mode for VFs, and `trust on` changes nothing about it: send to the VF's own address, or use the PF \
             itself"
        } else if !self.told.version.has_promiscuous() {
            "its PF's driver is too old for it: update the host's ixgbe driver"
        } else {
            match self.update_xcast(XcastMode::PROMISC)? {
                Some(got) if got >= XcastMode::PROMISC => return Ok(true),
                // Consent to less: that is how the PF says that it does not trust the VF.
                Some(_) => "the PF does not trust this VF; on the host: ip link set PF vf N trust on, and ip link set PF promisc on",
                None => "a VF can be promiscuous only while its PF is; on the host: ip link set PF promisc on",
            }
        };
        granted.refused.push(Refusal { setting: Setting::Promiscuous, remedy: remedy.into() });
        Ok(false)
    }

    /// Asks for a mode: the one that is in force then, or nothing where the PF refused.
    fn update_xcast(&mut self, wanted: XcastMode) -> Result<Option<XcastMode>, Setback> {
        if self.in_force.xcast == Some(wanted) {
            return Ok(Some(wanted));
        }
        if !self.told.version.has_xcast() {
            return Ok(None);
        }
        let reply = self.request(Request::UpdateXcast(wanted), "the PF's answer to UPDATE_XCAST")?;
        let got = control::granted_xcast(&reply);
        self.in_force.xcast = got.or(self.in_force.xcast);
        Ok(got)
    }

    /// The PF's key and table, which a VF without its own shares.
    pub(crate) fn shared_rss(&mut self) -> Result<Rss, Setback> {
        let refused =
            |remedy: String| Setback::Failed(PortError::Refused { what: "a look at its RSS table and key".into(), by: "the PF", remedy });
        if !self.told.version.has_xcast() {
            return Err(refused(format!("its driver is too old: messages of version {} cannot ask for them", self.told.version)));
        }
        let table = control::reta(&self.request(Request::GetReta, "the PF's answer to GET_RETA")?);
        let key = control::rss_key(&self.request(Request::GetRssKey, "the PF's answer to GET_RSS_KEY")?);
        let Some((table, key)) = table.zip(key) else {
            return Err(refused("on the host: ip link set PF vf N query_rss on".into()));
        };
        Ok(Rss { key: key.into(), table: table.into() })
    }

    fn request(&mut self, request: Request, what: &'static str) -> Result<Reply, Setback> {
        self.mailbox.request(&request.encode(), answer(what))
    }

    /// Whether the PF grants a request. An answer that is neither yes nor no breaks the protocol.
    fn agrees(&mut self, request: Request, what: &'static str) -> Result<bool, Setback> {
        let reply = self.request(request, what)?;
        match reply.verdict() {
            Verdict::Ack => Ok(true),
            Verdict::Nack => Ok(false),
            Verdict::Unclear => Err(unclear(&reply).into()),
        }
    }
}

fn unclear(reply: &Reply) -> PortError {
    let detail = format!("the answer {:?} is neither granted nor refused", reply.message().header());
    PortError::Protocol { what: "a mailbox request", detail }
}
