//! What an application wants of a port, apart from what the device was told, and what came of it.
//!
//! An [`Intent`] is a value. It is asked for at every start, and again, all of it, after every reset; each time a [`Granted`] says what is in
//! force, what the PF or the device refused, and what this device cannot do at all.

use crate::{error::PortError, port::Rss};
use std::{
    collections::BTreeSet,
    fmt,
    hash::{BuildHasher, RandomState},
};
use vfwire_spec::net::{MIN_MTU_BYTES, MacAddr, VlanId};

/// Something that a device may do to frames in place of the processor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Offload {
    /// Says whether the checksums of received frames are right.
    RxChecksum,
    /// Puts checksums into sent frames.
    TxChecksum,
    /// Cuts TCP payload into segments.
    Tso,
    /// Says the RSS hash of received frames.
    RssHash,
}

impl Offload {
    /// What it is called in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RxChecksum => "checking checksums on receive",
            Self::TxChecksum => "inserting checksums on transmit",
            Self::Tso => "TCP segmentation",
            Self::RssHash => "the RSS hash of received frames",
        }
    }
}

/// What an application wants of a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    /// The address to have; nothing: the one that the PF gives, or a random local one where it gives none.
    pub mac: Option<MacAddr>,
    /// Longest payload of a frame in bytes, Ethernet header, VLAN tags and FCS not counted.
    pub mtu_bytes: u16,
    /// VLANs to join (ids 1 to 4094).
    pub vlans: BTreeSet<u16>,
    /// Multicast addresses to receive. A device may filter by a hash and let others through.
    pub multicast: BTreeSet<MacAddr>,
    /// Receive frames to every multicast address.
    pub all_multicast: bool,
    /// Receive frames to every address.
    pub promiscuous: bool,
    /// How received frames are to be spread over the queues; nothing: as the device does by itself.
    pub rss: Option<Rss>,
    /// What the application relies on. A device does what it can in any case; what it cannot do of these is reported.
    pub offloads: BTreeSet<Offload>,
}

impl Default for Intent {
    fn default() -> Self {
        Self {
            mac: None,
            mtu_bytes: 1500,
            vlans: BTreeSet::new(),
            multicast: BTreeSet::new(),
            all_multicast: false,
            promiscuous: false,
            rss: None,
            offloads: BTreeSet::new(),
        }
    }
}

impl Intent {
    /// Whether it means something for a device with this greatest MTU.
    ///
    /// # Errors
    /// [`PortError::Setting`], which names the first setting that does not.
    pub fn check(&self, max_mtu_bytes: u16) -> Result<(), PortError> {
        let lowest = MIN_MTU_BYTES;
        if usize::from(self.mtu_bytes) < lowest || self.mtu_bytes > max_mtu_bytes {
            return Err(PortError::setting("the MTU", self.mtu_bytes, format!("{lowest} to {max_mtu_bytes} bytes")));
        }
        if let Some(mac) = self.mac.filter(|mac| !mac.is_unicast()) {
            return Err(PortError::setting("the MAC address", mac, "one of a single station (even first byte, not all zeros)"));
        }
        if let Some(id) = self.vlans.iter().find(|id| **id == 0 || **id > VlanId::MAX.get()) {
            return Err(PortError::setting("a VLAN id", id, format!("1 to {}", VlanId::MAX.get())));
        }
        if let Some(group) = self.multicast.iter().find(|group| !group.is_multicast()) {
            return Err(PortError::setting("a multicast address", group, "one of a group (odd first byte)"));
        }
        Ok(())
    }

    /// Everything that it asks for.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings: Vec<Setting> = self.mac.map(Setting::Mac).into_iter().collect();
        settings.push(Setting::Mtu(self.mtu_bytes));
        settings.extend(self.vlans.iter().copied().map(Setting::Vlan));
        let switches = [
            (!self.multicast.is_empty(), Setting::Multicast),
            (self.all_multicast, Setting::AllMulticast),
            (self.promiscuous, Setting::Promiscuous),
            (self.rss.is_some(), Setting::Rss),
        ];
        settings.extend(switches.into_iter().filter_map(|(wanted, setting)| wanted.then_some(setting)));
        settings.extend(self.offloads.iter().copied().map(Setting::Offload));
        settings
    }
}

/// A random unicast address, locally administered (IEEE 802, 8.4.2): for a function whose PF or device gives it none. Its bits come from
/// the keys that the standard library draws from the system for its hash maps.
pub fn local_mac() -> MacAddr {
    let [a, b, c, d, e, f, ..] = RandomState::new().hash_one("a MAC address").to_ne_bytes();
    MacAddr::local_from([a, b, c, d, e, f])
}

/// One thing of an [`Intent`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Setting {
    /// Its own address.
    Mac(MacAddr),
    /// Longest payload in bytes.
    Mtu(u16),
    /// A VLAN.
    Vlan(u16),
    /// The list of multicast addresses.
    Multicast,
    /// All multicast frames.
    AllMulticast,
    /// All frames.
    Promiscuous,
    /// How frames are spread over the queues.
    Rss,
    /// Something that the device is to do to frames.
    Offload(Offload),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "MAC address {mac}"),
            Self::Mtu(bytes) => write!(f, "MTU {bytes}"),
            Self::Vlan(id) => write!(f, "VLAN {id}"),
            Self::Multicast => f.write_str("the multicast list"),
            Self::AllMulticast => f.write_str("all-multicast mode"),
            Self::Promiscuous => f.write_str("promiscuous mode"),
            Self::Rss => f.write_str("the RSS key and table"),
            Self::Offload(offload) => f.write_str(offload.name()),
        }
    }
}

/// A setting that did not come about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Which.
    pub setting: Setting,
    /// Who refused and what to do about it: advice that is true for this device.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not granted: {}", self.setting, self.remedy)
    }
}

/// What became of an [`Intent`]: each of its settings is in one of the three lists.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Granted {
    /// What is in force.
    pub applied: Vec<Setting>,
    /// What the PF or the device refused: it could grant it.
    pub refused: Vec<Refusal>,
    /// What this device cannot do, whoever is asked.
    pub unsupported: Vec<Refusal>,
    /// The address that the port has now, where it is another than before: PFs change a VF's address without telling it.
    pub new_mac: Option<MacAddr>,
}

impl Granted {
    /// Everything that did not come about.
    pub fn missing(&self) -> impl Iterator<Item = &Refusal> {
        self.refused.iter().chain(&self.unsupported)
    }

    /// What of `intent` is neither refused nor impossible is in force.
    #[must_use]
    pub fn complete(mut self, intent: &Intent) -> Self {
        let is_missing = |setting: &Setting| self.missing().any(|refusal| refusal.setting == *setting);
        self.applied = intent.settings().into_iter().filter(|setting| !is_missing(setting)).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_local_and_differ() {
        let (one, other) = (local_mac(), local_mac());
        assert!(one.is_local() && one.is_unicast());
        assert_ne!(one, other);
    }

    #[test]
    fn every_setting_is_in_one_list() {
        let intent = Intent { vlans: [5, 7].into(), promiscuous: true, offloads: [Offload::Tso].into(), ..Intent::default() };
        let refusal = |setting| Refusal { setting, remedy: "none".into() };
        let granted = Granted {
            refused: vec![refusal(Setting::Vlan(7)), refusal(Setting::Promiscuous)],
            unsupported: vec![refusal(Setting::Offload(Offload::Tso))],
            ..Granted::default()
        };
        let granted = granted.complete(&intent);
        assert_eq!(granted.applied, [Setting::Mtu(1500), Setting::Vlan(5)]);
        assert_eq!(granted.applied.len() + granted.missing().count(), intent.settings().len());
    }
}
