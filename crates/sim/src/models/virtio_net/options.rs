//! What is chosen before the device is made.

use super::layout::Layout;
use crate::models::intel::options::{on_off, one_of, unicast};
use vfwire_spec::{net::MacAddr, virtio::features::Features};

/// Options of a [`VirtioNetModel`](super::VirtioNetModel).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VirtioNetOptions {
    /// Packed queues, otherwise split ones.
    pub packed: bool,
    /// Buffers are used in order, and frames that were sent are reported by one entry a step.
    pub in_order: bool,
    /// A received frame may lie in several buffers.
    pub mrg_rxbuf: bool,
    /// Checksums: completed when sent, found right when received.
    pub csum: bool,
    /// TCP segmentation.
    pub tso: bool,
    /// Queue pairs, 1 to 128. Several are offered by MQ.
    pub pairs: u16,
    /// Receive-side scaling that the driver configures.
    pub rss: bool,
    /// The hash of received frames.
    pub hash_report: bool,
    /// The largest MTU in bytes, in the configuration.
    pub mtu: Option<u16>,
    /// The MAC address, in the configuration. Without one the driver chooses.
    pub mac: Option<MacAddr>,
    /// There is a control queue.
    pub ctrl: bool,
    /// Notifications carry the position.
    pub notification_data: bool,
    /// The link's state is in the configuration; otherwise it is always up.
    pub link_status: bool,
    /// The link's speed in Mbit/s, in the configuration; `None`: it does not say.
    pub link_mbps: Option<u32>,
    /// Size of RX and TX queues, in descriptors.
    pub queue_size: u16,
    /// The host lets the function receive every frame, and have another address than `mac` (`trust on` of a SmartNIC's VF).
    pub trusted: bool,
    /// The host drops frames that are sent from another address than the function's.
    pub spoofchk: bool,
    /// Where the structures are.
    pub layout: Layout,
    /// Register accesses until the device has answered a command, or has seen a reset.
    pub reply_polls: u32,
    /// The device takes commands but never answers.
    pub silent: bool,
    /// These are not offered, whatever else is said: VERSION_1, say, which no modern device may leave out.
    pub withheld: Features,
    /// The configuration changes whenever it is looked at.
    pub unsettled: bool,
    /// Frames come without their transport checksum, for the driver to put in, as from another machine on the same host (5.1.6.4.1).
    pub partial_csum: bool,
    /// The device takes no set of features that lacks one of these.
    pub required: Features,
}

impl Default for VirtioNetOptions {
    /// Split queues, mergeable buffers, checksums and segmentation, one pair: what a hypervisor offers.
    fn default() -> Self {
        Self {
            packed: false,
            in_order: false,
            mrg_rxbuf: true,
            csum: true,
            tso: true,
            pairs: 1,
            rss: false,
            hash_report: false,
            mtu: None,
            mac: Some(MacAddr([0x02, 0, 0x5e, 0x10, 0, 0x41])),
            ctrl: true,
            notification_data: false,
            link_status: true,
            link_mbps: Some(10_000),
            queue_size: 256,
            trusted: true,
            spoofchk: false,
            layout: Layout::default(),
            reply_polls: 2,
            silent: false,
            withheld: Features::NONE,
            unsettled: false,
            partial_csum: false,
            required: Features::VERSION_1 | Features::ACCESS_PLATFORM,
        }
    }
}

impl VirtioNetOptions {
    /// Sets the option called `key` from text, as a user gives it.
    ///
    /// # Errors
    /// A text that names the option, the value and what is allowed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = |from: u16, to: u16| {
            let number = value.parse().ok().filter(|number| (from..=to).contains(number));
            number.ok_or_else(|| format!("{key}={value}: give a number from {from} to {to}"))
        };
        match key {
            "packed" => self.packed = on_off(key, value)?,
            "in_order" => self.in_order = on_off(key, value)?,
            "mrg_rxbuf" => self.mrg_rxbuf = on_off(key, value)?,
            "csum" => self.csum = on_off(key, value)?,
            "tso" => self.tso = on_off(key, value)?,
            "rss" => self.rss = on_off(key, value)?,
            "hash" => self.hash_report = on_off(key, value)?,
            "ctrl" => self.ctrl = on_off(key, value)?,
            "notification_data" => self.notification_data = on_off(key, value)?,
            "trusted" => self.trusted = on_off(key, value)?,
            "spoofchk" => self.spoofchk = on_off(key, value)?,
            "silent" => self.silent = on_off(key, value)?,
            "unsettled" => self.unsettled = on_off(key, value)?,
            "partial_csum" => self.partial_csum = on_off(key, value)?,
            "version_1" => {
                let withheld = if on_off(key, value)? { Features::NONE } else { Features::VERSION_1 };
                self.withheld = self.withheld.without(Features::VERSION_1) | withheld;
            }
            "queues" => self.pairs = number(1, MAX_PAIRS)?,
            "mtu" => self.mtu = Some(number(68, u16::MAX)?),
            "queue_size" => self.queue_size = number(0, 32768)?,
            "mac" => self.mac = Some(unicast(value)?),
            "mbps" => self.link_mbps = Some(one_of(key, value, &[10, 100, 1000, 10_000, 25_000, 40_000, 100_000])?),
            "layout" => self.layout = Layout::parse(value)?,
            _ => return Err(format!("{key} is no option of this device: it has {KEYS}")),
        }
        Ok(())
    }

    /// What the device offers.
    pub(super) fn features(&self) -> Features {
        let chosen = [
            (true, Features::VERSION_1 | Features::ACCESS_PLATFORM | Features::ORDER_PLATFORM),
            (self.packed, Features::RING_PACKED),
            (self.in_order, Features::IN_ORDER),
            (self.notification_data, Features::NOTIFICATION_DATA),
            (self.mrg_rxbuf, Features::MRG_RXBUF),
            (self.csum, Features::CSUM | Features::GUEST_CSUM),
            (self.csum && self.tso, Features::HOST_TSO4 | Features::HOST_TSO6),
            (self.mac.is_some(), Features::MAC),
            (self.mtu.is_some(), Features::MTU),
            (self.link_status, Features::STATUS),
            (self.link_mbps.is_some(), Features::SPEED_DUPLEX),
            (self.hash_report && self.ctrl, Features::HASH_REPORT),
            (self.ctrl, Features::CTRL_VQ | Features::CTRL_RX | Features::CTRL_RX_EXTRA | Features::CTRL_VLAN | Features::CTRL_MAC_ADDR),
            (self.ctrl && self.link_status, Features::GUEST_ANNOUNCE),
            (self.ctrl && self.pairs > 1, Features::MQ),
            (self.ctrl && self.rss, Features::RSS),
        ];
        let offered = chosen.into_iter().filter(|(on, _)| *on).fold(Features::NONE, |all, (_, features)| all | features);
        offered.without(self.withheld)
    }
}

/// More pairs than any test has; each queue has a page for its notifications in some layouts.
const MAX_PAIRS: u16 = 128;
const KEYS: &str = "packed, in_order, mrg_rxbuf, csum, tso, queues, rss, hash, mtu, mac, ctrl, notification_data, mbps, queue_size, \
                    trusted, spoofchk, layout, silent, unsettled, partial_csum, version_1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set_from_text() {
        let mut options = VirtioNetOptions::default();
        let given = [
            ("packed", "on"),
            ("in_order", "on"),
            ("mrg_rxbuf", "off"),
            ("queues", "4"),
            ("mtu", "9000"),
            ("mac", "02:00:00:00:00:07"),
            ("queue_size", "48"),
            ("layout", "scattered"),
            ("version_1", "off"),
        ];
        for (key, value) in given {
            options.set(key, value).expect("allowed");
        }
        let expected = VirtioNetOptions {
            packed: true,
            in_order: true,
            mrg_rxbuf: false,
            pairs: 4,
            mtu: Some(9000),
            mac: Some(MacAddr([2, 0, 0, 0, 0, 7])),
            queue_size: 48,
            layout: Layout::scattered(),
            withheld: Features::VERSION_1,
            ..VirtioNetOptions::default()
        };
        assert_eq!(options, expected);
        options.set("version_1", "on").expect("allowed");
        assert_eq!(options.withheld, Features::NONE);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut options = VirtioNetOptions::default();
        let wrong =
            [("packed", "maybe"), ("queues", "0"), ("queues", "999"), ("mtu", "67"), ("mac", "x"), ("layout", "none"), ("colour", "1")];
        for (key, value) in wrong {
            let error = options.set(key, value).expect_err("not allowed");
            assert!(error.contains(key), "{error}");
        }
        assert_eq!(options, VirtioNetOptions::default());
    }

    /// The control queue's features go with it; what is offered never lacks what it requires.
    #[test]
    fn offers_are_consistent() {
        for bits in 0..64u32 {
            let on = |bit: u32| bits >> bit & 1 != 0;
            let options = VirtioNetOptions {
                csum: on(0),
                tso: on(1),
                ctrl: on(2),
                rss: on(3),
                hash_report: on(4),
                pairs: if on(5) { 2 } else { 1 },
                ..VirtioNetOptions::default()
            };
            assert_eq!(options.features().unmet_requirement(), None, "{options:?}");
        }
    }
}
