//! What is asked of the PF, and what becomes of it.
//!
//! Owns the mailbox and the memory of what is in force: after every reset ([`Control::begin`]) nothing, and [`Control::ask`] asks for what
//! differs from it. A PF that answers "no" to something that the port can live without leads to a [`Refusal`] whose advice is true for
//! these devices; a PF that does not answer leads to a time-out that says what to do about it. Deliberately not here: rings and queues.

use std::{collections::BTreeSet, time::Duration};
use vfwire_core::{
    bar::{Bar, Regs},
    error::PortError,
    life::Setback,
    poll::{Wait, poll_until},
    port::{Granted, Intent, Refusal, Setting},
};
use vfwire_intel_vf::{
    local_mac,
    mailbox::{Mailbox, MailboxAt},
};
use vfwire_spec::{
    igbvf::{
        control::{self, HashList, Promisc, Request},
        regs::{self, CTRL_RST, EI_ALL},
    },
    intel::mailbox::{Reply, Verdict},
    net::{ETH_FCS_BYTES, ETH_HEADER_BYTES, ETH_MTU_BYTES, JUMBO_MTU_BYTES, MacAddr, VLAN_TAG_BYTES, VlanId},
};

/// The greatest MTU in bytes.
#[expect(clippy::cast_possible_truncation, reason = "9000")]
pub(crate) const MAX_MTU_BYTES: u16 = JUMBO_MTU_BYTES as u16;
/// Bytes that a frame has beyond its MTU, FCS not counted: header and one VLAN tag.
#[expect(clippy::cast_possible_truncation, reason = "18")]
const OVERHEAD_BYTES: u16 = (ETH_HEADER_BYTES + VLAN_TAG_BYTES) as u16;
#[expect(clippy::cast_possible_truncation, reason = "4")]
const FCS_BYTES: u16 = ETH_FCS_BYTES as u16;
#[expect(clippy::cast_possible_truncation, reason = "1500")]
const STANDARD_MTU_BYTES: u16 = ETH_MTU_BYTES as u16;

const PF_BACK: Wait = Wait {
    what: "the PF to come out of its reset",
    limit: Duration::from_secs(2),
    remedy: "its interface must be up, on the host: ip link set PF up",
};

/// An answer takes 0.02 to 28 ms; a PF that is busy with its own reset takes longer.
const fn answer(what: &'static str) -> Wait {
    Wait {
        what,
        limit: Duration::from_secs(1),
        remedy: "the PF is silent: its interface must be up (on the host: ip link set PF up), under the kernel's igb driver",
    }
}

/// What the PF has been asked for and has granted since the last reset.
#[derive(Debug, Default)]
struct InForce {
    mac: Option<MacAddr>,
    mtu_bytes: Option<u16>,
    vlans: BTreeSet<u16>,
    multicast: BTreeSet<MacAddr>,
    promisc: Promisc,
}

/// The VF's side of the conversation with its PF.
#[derive(Debug)]
pub(crate) struct Control<B> {
    regs: Regs<B>,
    pub(crate) mailbox: Mailbox<B>,
    /// Ours where the PF gives none: the same one for the life of the port.
    own_mac: MacAddr,
    /// The PF's, as its last answer to RESET said.
    assigned_mac: Option<MacAddr>,
    in_force: InForce,
}

impl<B: Bar> Control<B> {
    pub(crate) fn new(regs: Regs<B>) -> Self {
        let mailbox = Mailbox::new(regs.clone(), MailboxAt { flags: regs::VFMAILBOX, memory: regs::VMBMEM });
        Self { regs, mailbox, own_mac: local_mac(), assigned_mac: None, in_force: InForce::default() }
    }

    /// The VF's own address: the one in force, or the one that it will have.
    pub(crate) fn mac(&self) -> MacAddr {
        self.in_force.mac.or(self.assigned_mac).unwrap_or(self.own_mac)
    }

    /// The longest frame that the PF lets through, FCS not counted.
    pub(crate) fn max_frame_bytes(&self) -> u32 {
        u32::from(self.in_force.mtu_bytes.unwrap_or(STANDARD_MTU_BYTES) + OVERHEAD_BYTES)
    }

    /// Resets the VF, tells the PF so, and learns the address that it assigned. No interrupt is wanted.
    pub(crate) fn begin(&mut self) -> Result<(), Setback> {
        self.regs.write(regs::CTRL, CTRL_RST);
        self.in_force = InForce::default();
        poll_until(PF_BACK, || Ok((!self.mailbox.pf_in_reset()?).then_some(())))?;
        self.regs.write(regs::EIMC, EI_ALL);
        self.mailbox.forget()?;
        let reply = self.mailbox.request(&Request::Reset.encode(), answer("the PF's answer to RESET"))?;
        verdict(&reply)?;
        self.assigned_mac = control::assigned_mac(&reply);
        Ok(())
    }

    /// Says once more how long frames may be: a PF that does not know the VF any more says so in its answer.
    pub(crate) fn confirm(&mut self) -> Result<(), Setback> {
        let max_frame_bytes = self.in_force.mtu_bytes.unwrap_or(STANDARD_MTU_BYTES) + OVERHEAD_BYTES + FCS_BYTES;
        self.agrees(Request::SetLpe { max_frame_bytes }, "the PF's answer to SET_LPE").map(drop)
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
        let wanted = intent.mac.or(self.assigned_mac).unwrap_or(self.own_mac);
        // After a reset, an address that the PF assigned is in force by itself, and setting it would be refused.
        if self.in_force.mac.or(self.assigned_mac) == Some(wanted) {
            self.in_force.mac = Some(wanted);
            return Ok(());
        }
        if self.agrees(Request::SetMac(wanted), "the PF's answer to SET_MAC")? {
            self.in_force.mac = Some(wanted);
            return Ok(());
        }
        let Some(assigned) = self.assigned_mac else {
            return Err(Setback::Failed(PortError::Refused {
                what: format!("MAC address {wanted}"),
                by: "the PF",
                remedy: format!("give this VF an address on the host: ip link set PF vf N mac {wanted}"),
            }));
        };
        self.in_force.mac = Some(assigned);
        let remedy =
            format!("the PF has assigned {assigned}, which is used; on the host: ip link set PF vf N mac {wanted}, then start again");
        granted.refused.push(Refusal { setting: Setting::Mac(wanted), remedy });
        Ok(())
    }

    /// Always said, even for an ordinary MTU: what the PF had in force before is not known.
    fn ask_mtu(&mut self, intent: &Intent, granted: &mut Granted) -> Result<(), Setback> {
        if self.in_force.mtu_bytes == Some(intent.mtu_bytes) {
            return Ok(());
        }
        let max_frame_bytes = intent.mtu_bytes + OVERHEAD_BYTES + FCS_BYTES;
        if self.agrees(Request::SetLpe { max_frame_bytes }, "the PF's answer to SET_LPE")? {
            self.in_force.mtu_bytes = Some(intent.mtu_bytes);
            return Ok(());
        }
        let remedy = format!(
            "the PF takes no frames of {max_frame_bytes} bytes, longer ones than of MTU {STANDARD_MTU_BYTES} are dropped; on the host: \
             ip link set PF mtu {}, then start again",
            intent.mtu_bytes
        );
        granted.refused.push(Refusal { setting: Setting::Mtu(intent.mtu_bytes), remedy });
        Ok(())
    }

    fn ask_vlans(&mut self, intent: &Intent, granted: &mut Granted) -> Result<(), Setback> {
        let changed: Vec<u16> = intent.vlans.symmetric_difference(&self.in_force.vlans).copied().collect();
        for id in changed {
            let join = intent.vlans.contains(&id);
            let Some(vlan) = VlanId::new(id) else { continue };
            if !self.agrees(Request::SetVlan { vlan, join }, "the PF's answer to SET_VLAN")? {
                let remedy = "the PF has put this VF into a VLAN of its own (on the host: ip link set PF vf N vlan 0 ends that), or its \
                              table of 32 VLANs is full";
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
        let list = HashList::of(&groups);
        let wanted = Promisc { unicast: intent.promiscuous, multicast: intent.promiscuous || intent.all_multicast || list.is_none() };
        if let Some(list) = list.filter(|_| self.in_force.multicast != intent.multicast) {
            if self.agrees(Request::SetMulticast(list), "the PF's answer to SET_MULTICAST")? {
                self.in_force.multicast.clone_from(&intent.multicast);
            } else {
                let remedy = "the PF's driver takes no multicast list from this VF; ask for all multicast frames instead";
                granted.refused.push(Refusal { setting: Setting::Multicast, remedy: remedy.into() });
            }
        }
        self.ask_promiscuous(wanted, list.is_none(), granted)
    }

    /// The PF grants the multicast half of a request even where it refuses it because of the other half; so what is refused is asked for
    /// again without the unicast half, to know.
    fn ask_promiscuous(&mut self, wanted: Promisc, too_many_groups: bool, granted: &mut Granted) -> Result<(), Setback> {
        const WHAT: &str = "the PF's answer to SET_PROMISC";
        if wanted == self.in_force.promisc {
            return Ok(());
        }
        let mut wanted = wanted;
        if wanted.unicast {
            if self.agrees(Request::SetPromisc(wanted), WHAT)? {
                self.in_force.promisc = wanted;
                return Ok(());
            }
            let remedy = "the PF of an 82576 or I350 lets no VF receive the frames of other addresses, and `trust on` changes nothing about it: \
                          send to the VF's own address, or use the PF itself";
            granted.refused.push(Refusal { setting: Setting::Promiscuous, remedy: remedy.into() });
            wanted.unicast = false;
        }
        if self.agrees(Request::SetPromisc(wanted), WHAT)? {
            self.in_force.promisc = wanted;
            return Ok(());
        }
        let setting = if too_many_groups { Setting::Multicast } else { Setting::AllMulticast };
        let remedy = format!(
            "the PF's driver does not let this VF receive all multicast frames; list the groups, up to {} of them",
            control::MAX_MULTICAST_HASHES
        );
        granted.refused.push(Refusal { setting, remedy });
        Ok(())
    }

    /// Whether the PF grants a request.
    fn agrees(&mut self, request: Request, what: &'static str) -> Result<bool, Setback> {
        let reply = self.mailbox.request(&request.encode(), answer(what))?;
        Ok(verdict(&reply)?)
    }
}

/// Whether an answer is a yes. One that is neither yes nor no breaks the protocol.
fn verdict(reply: &Reply) -> Result<bool, PortError> {
    match reply.verdict() {
        Verdict::Ack => Ok(true),
        Verdict::Nack => Ok(false),
        Verdict::Unclear => Err(PortError::Protocol {
            what: "a mailbox request",
            detail: format!("the answer {:?} is neither granted nor refused", reply.message().header()),
        }),
    }
}
