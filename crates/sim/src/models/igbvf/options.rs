//! What is chosen before the device is made.

use crate::models::intel::options::{ReplyDelay, on_off, one_of, unicast, whole_ms};
use std::time::Duration;
use vfwire_spec::{igbvf::MAX_QUEUE_PAIRS, net::MacAddr};

/// Options of an [`IgbvfModel`](super::IgbvfModel).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IgbvfOptions {
    /// The MAC address that the PF assigned to the VF. Without one the VF picks its own.
    pub pf_mac: Option<MacAddr>,
    /// The PF drops frames that the VF sends with another source address, or in a VLAN that it has not joined.
    pub spoofchk: bool,
    /// The PF trusts the VF: it may receive every unicast frame, and change an assigned MAC address.
    pub trusted: bool,
    /// Speed of the link in Mbit/s: 10, 100 or 1000.
    pub link_mbps: u32,
    /// Queue pairs: 2 is an 82576, 1 an I350.
    pub queues: usize,
    /// How long the PF takes to answer.
    pub reply_delay: ReplyDelay,
    /// The PF reads requests but never answers, nor acknowledges.
    pub silent: bool,
    /// The PF resets itself each time that the VF has worked for so long.
    pub reset_after: Option<Duration>,
    /// Reads of RXDCTL and TXDCTL that still show the old state after the enable bit was changed.
    pub enable_polls: u32,
    /// What the statistics registers begin with; near 2^32 to see them wrap.
    pub counters_start: u32,
}

impl Default for IgbvfOptions {
    /// An 82576 whose PF is up, assigned no address, checks for spoofing and answers after a few polls.
    fn default() -> Self {
        Self {
            pf_mac: None,
            spoofchk: true,
            trusted: false,
            link_mbps: 1000,
            queues: 2,
            reply_delay: ReplyDelay::Polls(2),
            silent: false,
            reset_after: None,
            enable_polls: 1,
            counters_start: 0,
        }
    }
}

impl IgbvfOptions {
    /// Sets the option called `key` from text, as a user gives it.
    ///
    /// # Errors
    /// A text that names the option, the value and what is allowed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "mac" => self.pf_mac = Some(unicast(value)?),
            "spoofchk" => self.spoofchk = on_off(key, value)?,
            "trusted" => self.trusted = on_off(key, value)?,
            "silent" => self.silent = on_off(key, value)?,
            "mbps" => self.link_mbps = one_of(key, value, &[10, 100, 1000])?,
            "queues" => self.queues = one_of(key, value, &[1, MAX_QUEUE_PAIRS])? as usize,
            "delay_ms" => self.reply_delay = ReplyDelay::Time(whole_ms(key, value)?),
            "reset_ms" => self.reset_after = Some(whole_ms(key, value)?),
            _ => {
                let all = "mac, spoofchk, trusted, silent, mbps, queues, delay_ms, reset_ms";
                return Err(format!("{key} is no option of this device: it has {all}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set_from_text() {
        let mut options = IgbvfOptions::default();
        for (key, value) in [("mac", "02:00:00:00:00:07"), ("spoofchk", "off"), ("trusted", "on"), ("mbps", "100"), ("queues", "1")] {
            options.set(key, value).expect("allowed");
        }
        options.set("delay_ms", "3").expect("allowed");
        options.set("reset_ms", "250").expect("allowed");
        options.set("silent", "on").expect("allowed");
        let expected = IgbvfOptions {
            pf_mac: Some(MacAddr([2, 0, 0, 0, 0, 7])),
            spoofchk: false,
            trusted: true,
            silent: true,
            link_mbps: 100,
            queues: 1,
            reply_delay: ReplyDelay::Time(Duration::from_millis(3)),
            reset_after: Some(Duration::from_millis(250)),
            ..IgbvfOptions::default()
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut options = IgbvfOptions::default();
        let wrong = [
            ("mac", "nonsense"),
            ("mac", "01:00:5e:00:00:01"),
            ("spoofchk", "maybe"),
            ("mbps", "999"),
            ("queues", "3"),
            ("queues", ""),
            ("delay_ms", "-1"),
            ("colour", "blue"),
        ];
        for (key, value) in wrong {
            let error = options.set(key, value).expect_err("not allowed");
            assert!(error.contains(key), "{error}");
        }
        assert_eq!(options, IgbvfOptions::default());
    }
}
