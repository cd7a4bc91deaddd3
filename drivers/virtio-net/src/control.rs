//! What is asked of the device: features first, then commands through its control queue (virtio 1.2, 5.1.6.5), and what becomes of each.

use std::{collections::BTreeSet, time::Duration};
use vfwire_core::{
    bar::Bar,
    error::PortError,
    intent::local_mac,
    poll::Wait,
    port::{Granted, Intent, Link, Offload, Refusal, Rss, Setting},
};
use vfwire_spec::{
    net::{JUMBO_MTU_BYTES, MacAddr, VlanId},
    virtio::{
        control::{Command, RssConfig, rx},
        features::Features,
        net::{RSS_KEY_BYTES, config, hash_type},
        pci::status,
    },
};
use vfwire_virtq::{Ack, CommandQueue, NetHeader, Notify, Transport, command::COMMAND_MAX_BYTES};

/// The greatest MTU in bytes, whatever the device allows.
#[expect(clippy::cast_possible_truncation, reason = "9000")]
pub(crate) const MAX_MTU_BYTES: u16 = JUMBO_MTU_BYTES as u16;
/// Multicast addresses of one command; where more are wanted, all multicast frames are.
const GROUPS_MAX: usize = (COMMAND_MAX_BYTES - Command::mac_table_bytes(0)) / 6;
/// Entries of the RSS table, where the device takes as many.
const TABLE_ENTRIES: u16 = 128;
const ANSWER: Wait = Wait {
    what: "the device's answer to a control command",
    limit: Duration::from_secs(1),
    remedy: "the device's control queue hangs: the port resets the device when it is started anew",
};

/// What is accepted where it is offered.
const WANTED: Features = Features(
    Features::VERSION_1.0
        | Features::ACCESS_PLATFORM.0
        | Features::ORDER_PLATFORM.0
        | Features::RING_PACKED.0
        | Features::IN_ORDER.0
        | Features::NOTIFICATION_DATA.0
        | Features::SR_IOV.0
        | Features::CSUM.0
        | Features::GUEST_CSUM.0
        | Features::HOST_TSO4.0
        | Features::HOST_TSO6.0
        | Features::MTU.0
        | Features::MAC.0
        | Features::MRG_RXBUF.0
        | Features::STATUS.0
        | Features::CTRL_VQ.0
        | Features::CTRL_RX.0
        | Features::CTRL_VLAN.0
        | Features::CTRL_MAC_ADDR.0
        | Features::GUEST_ANNOUNCE.0
        | Features::MQ.0
        | Features::RSS.0
        | Features::HASH_REPORT.0
        | Features::SPEED_DUPLEX.0,
);

/// The key of the Toeplitz hash where none is asked for: the one of Microsoft's specification of RSS, which tools know.
const KEY: [u8; RSS_KEY_BYTES] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b,
    0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];
/// Of the kinds of frames that can be hashed: addresses, and ports where there are any.
const HASH_TYPES: u32 = hash_type::IPV4 | hash_type::TCPV4 | hash_type::UDPV4 | hash_type::IPV6 | hash_type::TCPV6 | hash_type::UDPV6;

/// What the device says of itself.
#[derive(Clone, Copy, Debug)]
struct Told {
    mac: Option<MacAddr>,
    max_pairs: u16,
    mtu_bytes: u16,
    key_max: usize,
    table_max: u16,
    hash_types: u32,
}

/// What the device has been asked for since its reset.
#[derive(Debug, Default)]
struct InForce {
    mac: Option<MacAddr>,
    promiscuous: Option<bool>,
    all_multicast: Option<bool>,
    groups: BTreeSet<MacAddr>,
    vlans: BTreeSet<u16>,
    spread: Option<(u16, Option<Rss>)>,
}

/// The conversation with the device.
#[derive(Debug)]
pub(crate) struct Control<B> {
    pub(crate) transport: Transport<B>,
    pub(crate) features: Features,
    told: Told,
    in_force: InForce,
    commands: Option<(CommandQueue, Option<Notify<B>>)>,
    /// The address, where the device has none: the same after every reset.
    own_mac: MacAddr,
    pairs: u16,
}

impl<B: Bar> Control<B> {
    pub(crate) fn new(transport: Transport<B>) -> Self {
        let told = Told { mac: None, max_pairs: 1, mtu_bytes: MAX_MTU_BYTES, key_max: 0, table_max: 0, hash_types: 0 };
        Self { transport, features: Features::NONE, told, in_force: InForce::default(), commands: None, own_mac: local_mac(), pairs: 1 }
    }

    fn has(&self, feature: Features) -> bool {
        self.features.contains(feature)
    }

    pub(crate) fn mac(&self) -> MacAddr {
        self.in_force.mac.or(self.told.mac).unwrap_or(self.own_mac)
    }

    pub(crate) fn max_queue_pairs(&self) -> u16 {
        self.told.max_pairs
    }

    pub(crate) fn max_mtu_bytes(&self) -> u16 {
        self.told.mtu_bytes.min(MAX_MTU_BYTES)
    }

    /// What lies in front of frames of this MTU.
    pub(crate) fn header(&self, max_frame_bytes: u32) -> NetHeader {
        NetHeader {
            has_hash: self.has(Features::HASH_REPORT),
            is_mergeable: self.has(Features::MRG_RXBUF),
            max_frame_bytes,
            has_checksum: self.has(Features::CSUM),
            has_tso: self.has(Features::HOST_TSO4 | Features::HOST_TSO6),
        }
    }

    /// The index of the control queue, where the device has one (5.1.2).
    pub(crate) fn command_queue_index(&self) -> Option<u16> {
        let pairs = if self.features.0 & (Features::MQ | Features::RSS).0 != 0 { self.told.max_pairs } else { 1 };
        self.has(Features::CTRL_VQ).then_some(2 * pairs)
    }

    /// The control queue: made once, kept for the life of the port.
    pub(crate) fn commands(&mut self) -> &mut Option<(CommandQueue, Option<Notify<B>>)> {
        &mut self.commands
    }

    /// Queue pairs of the start.
    pub(crate) fn set_pairs(&mut self, pairs: u16) {
        self.pairs = pairs;
    }

    /// Resets the device, accepts features, and reads what it says of itself (3.1.1, up to FEATURES_OK).
    pub(crate) fn begin(&mut self) -> Result<(), PortError> {
        self.transport.reset()?;
        self.in_force = InForce::default();
        if let Some((queue, notify)) = &mut self.commands {
            queue.reset();
            *notify = None;
        }
        self.transport.add_status(status::ACKNOWLEDGE)?;
        self.transport.add_status(status::DRIVER)?;
        let offered = self.transport.offered();
        if !offered.contains(Features::VERSION_1) {
            let remedy =
                "it is a legacy virtio device, which is not supported: turn modern virtio on (disable-legacy=on) on the host".to_owned();
            return Err(PortError::Refused { what: "VIRTIO_F_VERSION_1".into(), by: "the device", remedy });
        }
        let mut features = offered & WANTED;
        while let Some((feature, _)) = features.unmet_requirement() {
            features = features.without(feature);
        }
        self.transport.accept(features)?;
        self.transport.no_config_vector();
        self.features = features;
        self.told = self.read_config()?;
        Ok(())
    }

    fn read_config(&self) -> Result<Told, PortError> {
        let has = |feature| self.has(feature);
        let has_pairs = self.features.0 & (Features::MQ | Features::RSS).0 != 0;
        let has_hash = self.features.0 & (Features::RSS | Features::HASH_REPORT).0 != 0;
        let needs = [
            (has_hash, 24),
            (has(Features::SPEED_DUPLEX), 17),
            (has(Features::MTU), 12),
            (has_pairs, 10),
            (has(Features::STATUS), 8),
            (has(Features::MAC), 6),
        ];
        let need = needs.into_iter().find_map(|(wanted, bytes)| wanted.then_some(bytes)).unwrap_or(0);
        if self.transport.config_bytes() < need {
            let detail = format!("{} bytes of it, but features whose fields need {need}", self.transport.config_bytes());
            return Err(PortError::Protocol { what: "its configuration", detail });
        }
        let mut told = self.transport.config(|regs| Told {
            mac: has(Features::MAC)
                .then(|| MacAddr(std::array::from_fn(|at| regs.read(config::MAC.index(u32::try_from(at).unwrap_or(0)))))),
            max_pairs: if has_pairs { regs.read(config::MAX_VIRTQUEUE_PAIRS) } else { 1 },
            mtu_bytes: if has(Features::MTU) { regs.read(config::MTU) } else { MAX_MTU_BYTES },
            key_max: if has_hash { usize::from(regs.read(config::RSS_MAX_KEY_SIZE)) } else { 0 },
            table_max: if has(Features::RSS) { regs.read(config::RSS_MAX_INDIRECTION_TABLE_LENGTH) } else { 0 },
            hash_types: if has_hash { regs.read(config::SUPPORTED_HASH_TYPES) } else { 0 },
        })?;
        told.mac = told.mac.filter(|mac| mac.is_unicast());
        let queues = self.transport.queues();
        let most = queues.saturating_sub(u16::from(self.has(Features::CTRL_VQ))) / 2;
        if told.max_pairs == 0 || told.max_pairs > most {
            let detail = format!("{} queue pairs, and {queues} queues", told.max_pairs);
            return Err(PortError::Protocol { what: "its configuration", detail });
        }
        Ok(told)
    }

    /// Has the device carry a command out. False where it refuses.
    fn command(&mut self, command: &Command<'_>) -> Result<bool, PortError> {
        let Some((queue, Some(notify))) = &mut self.commands else { return Ok(false) };
        let mut bytes = [0; COMMAND_MAX_BYTES];
        let Some(len) = command.encode(&mut bytes) else { return Ok(false) };
        Ok(queue.request(notify, &bytes[..len], ANSWER)? == Ack::Ok)
    }

    /// Asks for what is not in force yet, and gives up what is not wanted any more.
    pub(crate) fn ask(&mut self, intent: &Intent) -> Result<Granted, PortError> {
        let mut granted = Granted::default();
        self.ask_mac(intent, &mut granted)?;
        self.ask_modes(intent, &mut granted)?;
        self.ask_vlans(intent, &mut granted)?;
        self.ask_spread(intent, &mut granted)?;
        self.say_offloads(intent, &mut granted);
        if intent.mtu_bytes > self.max_mtu_bytes() {
            refuse(
                &mut granted,
                Setting::Mtu(intent.mtu_bytes),
                format!("the device allows {} bytes now: raise its MTU on the host", self.max_mtu_bytes()),
            );
        }
        Ok(granted)
    }

    fn ask_mac(&mut self, intent: &Intent, granted: &mut Granted) -> Result<(), PortError> {
        let wanted = intent.mac.or(self.told.mac).unwrap_or(self.own_mac);
        let now = self.in_force.mac.or(self.told.mac);
        if now == Some(wanted) {
            return Ok(());
        }
        if !self.has(Features::CTRL_MAC_ADDR) {
            // A device without an address receives everything.
            if let Some(mac) = intent.mac {
                impossible(granted, Setting::Mac(mac), "the device has no command for it (CTRL_MAC_ADDR): set the address on the host");
            }
            return Ok(());
        }
        if self.command(&Command::Mac(wanted))? {
            self.in_force.mac = Some(wanted);
        } else {
            refuse(
                granted,
                Setting::Mac(wanted),
                "the device refuses it: allow this function another address on the host (trust on)".into(),
            );
        }
        Ok(())
    }

    fn ask_modes(&mut self, intent: &Intent, granted: &mut Granted) -> Result<(), PortError> {
        if !self.has(Features::CTRL_RX) {
            // Without the command a device has no filter that could be turned off, nor one that could be set: what it lets through is its
            // own affair.
            const WHY: &str = "the device has no receive modes (CTRL_RX): it gives what its host lets through";
            for (wanted, setting) in [(intent.promiscuous, Setting::Promiscuous), (intent.all_multicast, Setting::AllMulticast)] {
                if wanted {
                    impossible(granted, setting, WHY);
                }
            }
            return Ok(());
        }
        let too_many = intent.multicast.len() > GROUPS_MAX;
        let all_multicast = intent.all_multicast || too_many;
        if self.in_force.promiscuous != Some(intent.promiscuous) {
            if self.command(&Command::Rx(rx::PROMISC, intent.promiscuous))? {
                self.in_force.promiscuous = Some(intent.promiscuous);
            } else if intent.promiscuous {
                refuse(granted, Setting::Promiscuous, "the device refuses it: allow it for this function on the host (trust on)".into());
                // After a reset a device may receive everything until it is told otherwise (5.1.6.5.1).
                if self.command(&Command::Rx(rx::PROMISC, false))? {
                    self.in_force.promiscuous = Some(false);
                }
            }
        }
        if self.in_force.all_multicast != Some(all_multicast) {
            if self.command(&Command::Rx(rx::ALLMULTI, all_multicast))? {
                self.in_force.all_multicast = Some(all_multicast);
            } else if all_multicast {
                let setting = if intent.all_multicast { Setting::AllMulticast } else { Setting::Multicast };
                refuse(granted, setting, "the device refuses it: allow it for this function on the host (trust on)".into());
            }
        }
        let groups: Vec<MacAddr> = if too_many { Vec::new() } else { intent.multicast.iter().copied().collect() };
        if !self.in_force.groups.iter().eq(&groups) {
            if self.command(&Command::MacTable { unicast: &[], multicast: &groups })? {
                self.in_force.groups = groups.into_iter().collect();
            } else {
                refuse(granted, Setting::Multicast, "the device refuses so many: ask for all-multicast mode".into());
            }
        }
        Ok(())
    }

    fn ask_vlans(&mut self, intent: &Intent, granted: &mut Granted) -> Result<(), PortError> {
        if !self.has(Features::CTRL_VLAN) {
            // No filter: frames of every VLAN come.
            return Ok(());
        }
        let joined = self.in_force.vlans.clone();
        for &id in joined.symmetric_difference(&intent.vlans) {
            let joins = intent.vlans.contains(&id);
            let Some(vlan) = VlanId::new(id) else { continue };
            if !self.command(&Command::Vlan(vlan, joins))? {
                if joins {
                    refuse(granted, Setting::Vlan(id), "the device refuses it: allow this function the VLAN on the host".into());
                }
            } else if joins {
                self.in_force.vlans.insert(id);
            } else {
                self.in_force.vlans.remove(&id);
            }
        }
        Ok(())
    }

    /// How many queues receive, and which frames each.
    fn ask_spread(&mut self, intent: &Intent, granted: &mut Granted) -> Result<(), PortError> {
        let rss = match (&intent.rss, self.has(Features::RSS)) {
            (Some(_), false) => {
                impossible(granted, Setting::Rss, "the device has no RSS that could be set");
                None
            }
            (Some(rss), true) => Some(rss.clone()),
            (None, true) if self.pairs > 1 || self.has(Features::HASH_REPORT) => Some(self.default_rss()),
            (None, _) => None,
        };
        let wanted = (self.pairs, rss);
        if self.in_force.spread.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let is_done = match &wanted.1 {
            Some(rss) => self.set_rss(rss)?,
            None => {
                let is_hashed = !self.has(Features::HASH_REPORT) || self.hash_only()?;
                // One pair is what a device begins with.
                is_hashed && ((self.pairs == 1 && self.in_force.spread.is_none()) || self.command(&Command::Pairs(self.pairs))?)
            }
        };
        if is_done {
            self.in_force.spread = Some(wanted);
            return Ok(());
        }
        if intent.rss.is_some() {
            let (key, table) = (self.told.key_max, self.told.table_max);
            refuse(
                granted,
                Setting::Rss,
                format!(
                    "the device takes keys of up to {key} bytes, and tables of up to {table} entries, a power of two, that name queues below {}",
                    self.pairs
                ),
            );
            return Ok(());
        }
        let remedy = "it offers several queues and does not turn them on: use one queue pair".to_owned();
        Err(PortError::Refused { what: format!("the use of {} queue pairs", self.pairs), by: "the device", remedy })
    }

    fn default_rss(&self) -> Rss {
        let entries = TABLE_ENTRIES.min(
            self.told
                .table_max
                .checked_next_power_of_two()
                .map_or(TABLE_ENTRIES, |next| if next == self.told.table_max { next } else { next / 2 }),
        );
        let table = (0..entries.max(1)).map(|entry| u8::try_from(entry % self.pairs).unwrap_or(0)).collect();
        Rss { key: KEY[..RSS_KEY_BYTES.min(self.told.key_max)].to_vec(), table }
    }

    fn set_rss(&mut self, rss: &Rss) -> Result<bool, PortError> {
        let names_queues = rss.table.iter().all(|&queue| u16::from(queue) < self.pairs);
        let entries = rss.table.len();
        if !names_queues || rss.key.len() > self.told.key_max || !entries.is_power_of_two() || entries > usize::from(self.told.table_max) {
            return Ok(false);
        }
        let table: Vec<u16> = rss.table.iter().map(|&queue| u16::from(queue)).collect();
        let hash_types = HASH_TYPES & self.told.hash_types;
        let config = RssConfig { hash_types, unclassified_queue: 0, table: &table, max_tx_vq: self.pairs, key: &rss.key };
        self.command(&Command::Rss(config))
    }

    fn hash_only(&mut self) -> Result<bool, PortError> {
        let key = &KEY[..RSS_KEY_BYTES.min(self.told.key_max)];
        self.command(&Command::Hash { hash_types: HASH_TYPES & self.told.hash_types, key })
    }

    fn say_offloads(&self, intent: &Intent, granted: &mut Granted) {
        for &offload in &intent.offloads {
            let (has, why) = match offload {
                Offload::RxChecksum => (self.has(Features::GUEST_CSUM), "the device does not look at checksums (GUEST_CSUM)"),
                // Ours, where it is not the device's.
                Offload::TxChecksum => (true, ""),
                Offload::Tso => {
                    (self.has(Features::HOST_TSO4 | Features::HOST_TSO6), "the device does not cut TCP payload (HOST_TSO4, HOST_TSO6)")
                }
                Offload::RssHash => (self.has(Features::HASH_REPORT), "the device does not report the hash (HASH_REPORT)"),
                _ => (false, "this driver does not know it"),
            };
            if !has {
                impossible(granted, Setting::Offload(offload), why);
            }
        }
    }

    /// How frames are spread.
    pub(crate) fn rss(&self) -> Result<Rss, PortError> {
        match &self.in_force.spread {
            Some((_, Some(rss))) => Ok(rss.clone()),
            _ => Err(PortError::State("the device spreads frames by itself, if at all: it has no RSS that could be set")),
        }
    }

    /// The link, and whether the device asks to be announced.
    pub(crate) fn link(&self) -> Result<(Link, bool), PortError> {
        // A device that is gone says all ones, also of its link.
        self.transport.status()?;
        let (has_status, has_speed) = (self.has(Features::STATUS), self.has(Features::SPEED_DUPLEX));
        let (bits, mbps) = self.transport.config(|regs| {
            let bits = if has_status { regs.read(config::STATUS) } else { config::LINK_UP };
            (bits, if has_speed { regs.read(config::SPEED) } else { config::SPEED_UNKNOWN })
        })?;
        let up = bits & config::LINK_UP != 0;
        let mbps = if up && mbps <= config::SPEED_MAX_MBPS { mbps } else { 0 };
        Ok((Link { up, mbps }, self.has(Features::GUEST_ANNOUNCE) && bits & config::ANNOUNCE != 0))
    }

    /// Says that the announcement is on its way: the application's frames are it.
    pub(crate) fn acknowledge_announcement(&mut self) -> Result<(), PortError> {
        self.command(&Command::AnnounceAck).map(drop)
    }
}

fn refuse(granted: &mut Granted, setting: Setting, remedy: String) {
    granted.refused.push(Refusal { setting, remedy });
}

fn impossible(granted: &mut Granted, setting: Setting, remedy: &str) {
    granted.unsupported.push(Refusal { setting, remedy: remedy.into() });
}
