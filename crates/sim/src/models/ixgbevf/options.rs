//! What is chosen before the device is made.

use crate::models::intel::options::{ReplyDelay, on_off, one_of, unicast, whole_ms};
use vfwire_spec::{
    ixgbevf::{
        Family,
        control::{ApiVersion, HashBits},
    },
    net::MacAddr,
};

/// Options of an [`IxgbevfModel`](super::IxgbevfModel).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IxgbevfOptions {
    /// Which controller.
    pub device: Family,
    /// The MAC address that the PF assigned to the VF. Without one the VF picks its own.
    pub pf_mac: Option<MacAddr>,
    /// The PF drops frames that the VF sends with another source address, or in a VLAN that it has not joined.
    pub spoofchk: bool,
    /// The PF trusts the VF: it may receive every multicast frame, have further addresses, and change an assigned MAC address.
    pub trusted: bool,
    /// Speed of the link in Mbit/s: 100, 1000 or 10000; on the X550 and E610 also 2500 and 5000.
    pub link_mbps: u32,
    /// Queue pairs that the PF grants: 1, 2, 4 or 8. Registers are there for 8.
    pub queues: usize,
    /// The highest version of the messages that the PF accepts, up to 1.6; 2.0 and 1.5 never.
    pub api: ApiVersion,
    /// The PF tells its redirection table and RSS key (`query_rss on`). The X550 and E610 have no such messages.
    pub query_rss: bool,
    /// The PF's MTU in bytes. On the 82599 all VFs share it.
    pub pf_mtu_bytes: u16,
    /// The PF is promiscuous, without which no VF can be.
    pub pf_promiscuous: bool,
    /// The PF hashes the ports of UDP too. On the X550 and E610 that is the VF's own choice.
    pub rss_udp: bool,
    /// Which bits of a multicast address the PF hashes.
    pub hash_bits: HashBits,
    /// The PF clears groups of its multicast table that nobody listens to any more at once. Linux' does so only when it next writes the
    /// table for another reason.
    pub forgets_groups: bool,
    /// Broadcast is received in every mode. On older PFs the mode NONE takes it away.
    pub none_keeps_broadcast: bool,
    /// Further unicast addresses that the PF has room for.
    pub mac_filters: usize,
    /// Malicious-driver detection; without a choice, on for the X550 and E610.
    pub mdd: Option<bool>,
    /// How long the PF takes to answer.
    pub reply_delay: ReplyDelay,
    /// The PF reads requests but never answers, nor acknowledges.
    pub silent: bool,
    /// Reads of VFRXDCTL and VFTXDCTL that still show the old state after the enable bit was changed.
    pub enable_polls: u32,
    /// What the frame counters begin with; near 2^32 to see them wrap.
    pub frames_start: u32,
    /// What the octet counters begin with; near 2^36 to see them wrap.
    pub octets_start: u64,
}

impl Default for IxgbevfOptions {
    /// An 82599 whose PF is up, assigned no address, grants four queue pairs, checks for spoofing and answers after a few polls.
    fn default() -> Self {
        Self {
            device: Family::I82599,
            pf_mac: None,
            spoofchk: true,
            trusted: false,
            link_mbps: 10_000,
            queues: 4,
            api: ApiVersion::V1_6,
            query_rss: false,
            pf_mtu_bytes: 1500,
            pf_promiscuous: false,
            rss_udp: false,
            hash_bits: HashBits::BITS_47_36,
            forgets_groups: false,
            none_keeps_broadcast: true,
            mac_filters: 30,
            mdd: None,
            reply_delay: ReplyDelay::Polls(2),
            silent: false,
            enable_polls: 1,
            frames_start: 0,
            octets_start: 0,
        }
    }
}

impl IxgbevfOptions {
    /// Sets the option called `key` from text, as a user gives it. `device` comes before `mbps`, which depends on it.
    ///
    /// # Errors
    /// A text that names the option, the value and what is allowed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "device" => self.device = device(value)?,
            "mac" => self.pf_mac = Some(unicast(value)?),
            "spoofchk" => self.spoofchk = on_off(key, value)?,
            "trusted" => self.trusted = on_off(key, value)?,
            "silent" => self.silent = on_off(key, value)?,
            "query_rss" => self.query_rss = on_off(key, value)?,
            "pf_promisc" => self.pf_promiscuous = on_off(key, value)?,
            "rss_udp" => self.rss_udp = on_off(key, value)?,
            "mdd" => self.mdd = Some(on_off(key, value)?),
            "mbps" if self.device.has_middle_speeds() => self.link_mbps = one_of(key, value, &[100, 1000, 2500, 5000, 10_000])?,
            "mbps" => self.link_mbps = one_of(key, value, &[100, 1000, 10_000])?,
            "queues" => self.queues = one_of(key, value, &[1, 2, 4, 8])? as usize,
            "api" => self.api = version(value)?,
            "pf_mtu" => {
                let mtu = value.parse().ok().filter(|mtu| (68..=9710).contains(mtu));
                self.pf_mtu_bytes = mtu.ok_or_else(|| format!("{key}={value}: give 68 to 9710 bytes"))?;
            }
            "delay_ms" => self.reply_delay = ReplyDelay::Time(whole_ms(key, value)?),
            _ => {
                return Err(format!(
                    "{key} is no option of this device: it has device, mac, spoofchk, trusted, silent, query_rss, pf_promisc, rss_udp, mdd, \
                     mbps, queues, api, pf_mtu, delay_ms"
                ));
            }
        }
        Ok(())
    }

    /// Malicious-driver detection is on.
    pub(super) fn detects_malice(&self) -> bool {
        self.mdd.unwrap_or(matches!(self.device, Family::X550 | Family::E610))
    }
}

fn device(value: &str) -> Result<Family, String> {
    match value.to_ascii_lowercase().as_str() {
        "82599" => Ok(Family::I82599),
        "x540" => Ok(Family::X540),
        "x550" => Ok(Family::X550),
        "e610" => Ok(Family::E610),
        _ => Err(format!("device={value}: give 82599, x540, x550 or e610")),
    }
}

fn version(value: &str) -> Result<ApiVersion, String> {
    const ALL: [ApiVersion; 6] =
        [ApiVersion::V1_0, ApiVersion::V1_1, ApiVersion::V1_2, ApiVersion::V1_3, ApiVersion::V1_4, ApiVersion::V1_6];
    let found = ALL.into_iter().find(|version| version.to_string() == value);
    found.ok_or_else(|| format!("api={value}: give 1.0, 1.1, 1.2, 1.3, 1.4 or 1.6"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn options_are_set_from_text() {
        let mut options = IxgbevfOptions::default();
        let pairs = [
            ("device", "X550"),
            ("mac", "02:00:00:00:00:07"),
            ("spoofchk", "off"),
            ("trusted", "on"),
            ("silent", "on"),
            ("query_rss", "on"),
            ("pf_promisc", "on"),
            ("rss_udp", "on"),
            ("mdd", "off"),
            ("mbps", "2500"),
            ("queues", "2"),
            ("api", "1.3"),
            ("pf_mtu", "9000"),
            ("delay_ms", "3"),
        ];
        pairs.into_iter().for_each(|(key, value)| options.set(key, value).expect("allowed"));
        let expected = IxgbevfOptions {
            device: Family::X550,
            pf_mac: Some(MacAddr([2, 0, 0, 0, 0, 7])),
            spoofchk: false,
            trusted: true,
            silent: true,
            query_rss: true,
            pf_promiscuous: true,
            rss_udp: true,
            mdd: Some(false),
            link_mbps: 2500,
            queues: 2,
            api: ApiVersion::V1_3,
            pf_mtu_bytes: 9000,
            reply_delay: ReplyDelay::Time(Duration::from_millis(3)),
            ..IxgbevfOptions::default()
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut options = IxgbevfOptions::default();
        let wrong = [
            ("device", "e1000"),
            ("mac", "01:00:5e:00:00:01"),
            ("spoofchk", "maybe"),
            ("mbps", "2500"),
            ("queues", "3"),
            ("api", "1.5"),
            ("api", "2.0"),
            ("api", "1.7"),
            ("pf_mtu", "67"),
            ("pf_mtu", "9711"),
            ("delay_ms", "-1"),
            ("colour", "blue"),
        ];
        for (key, value) in wrong {
            let error = options.set(key, value).expect_err("not allowed");
            assert!(error.contains(key), "{error}");
        }
        assert_eq!(options, IxgbevfOptions::default());
    }

    #[test]
    fn malice_is_detected_where_the_hardware_does() {
        let of = |device, mdd| IxgbevfOptions { device, mdd, ..IxgbevfOptions::default() }.detects_malice();
        let all = [Family::I82599, Family::X540, Family::X550, Family::E610];
        assert_eq!(all.map(|device| of(device, None)), [false, false, true, true]);
        assert!(of(Family::I82599, Some(true)) && !of(Family::X550, Some(false)));
    }
}
