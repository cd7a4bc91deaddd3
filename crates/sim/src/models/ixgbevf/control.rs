//! What a test may look at, and do to the device and to its PF, while a driver holds it.

use super::{Hostile, IxgbevfCounters, IxgbevfModel};
use crate::models::{Violation, intel::mailbox::AnswersVf};
use vfwire_spec::{
    intel::mailbox::{FromPf, Message},
    ixgbevf::control::{ApiVersion, XcastMode},
    net::MacAddr,
};

impl IxgbevfModel {
    /// What the driver did that the data sheet forbids: the first 64. Tests assert that there is nothing.
    pub fn violations(&mut self) -> &[Violation] {
        self.path.collect_misuse();
        self.path.violations.as_slice()
    }

    /// What became of the frames.
    pub fn counters(&self) -> IxgbevfCounters {
        self.path.counters.of
    }

    /// The VF's MAC address, as the device filters by it now.
    pub fn mac(&self) -> Option<MacAddr> {
        self.pf.filters.mac
    }

    /// The VF's further addresses.
    pub fn mac_filters(&self) -> Vec<MacAddr> {
        self.pf.filters.others.iter().copied().collect()
    }

    /// The longest frame that the device takes, FCS included, without its VLAN tag, in bytes.
    pub fn longest_frame_bytes(&self) -> usize {
        self.pf.filters.longest.bytes(false)
    }

    /// The version of the messages that was negotiated since the last RESET.
    pub fn api(&self) -> ApiVersion {
        self.pf.api
    }

    /// Which kinds of foreign frames the PF lets the VF receive.
    pub fn xcast_mode(&self) -> XcastMode {
        self.pf.xcast
    }

    /// The device takes frames for the VF. On the 82599 under a PF with a great MTU it does so only after SET_LPE.
    pub fn receives(&self) -> bool {
        self.pf.receives
    }

    /// The PF regards the VF as initialised.
    pub fn is_clear_to_send(&self) -> bool {
        self.pf.is_clear_to_send()
    }

    /// The PF's interface goes down (its control message, then RSTI; the VF's rings are wiped), or comes up again (RSTD).
    pub fn set_pf_down(&mut self, down: bool) {
        if down {
            self.take_pf_down(None);
        } else {
            self.pf.set_down(false);
            self.mailbox.pf_is_up();
        }
    }

    /// The PF is reset: it goes down as with [`set_pf_down`](Self::set_pf_down) and is back after so many reads of the mailbox register,
    /// so that a driver that waits for it in the only thread gets there.
    pub fn reset_pf(&mut self, back_after_polls: u32) {
        self.take_pf_down(Some(back_after_polls));
    }

    fn take_pf_down(&mut self, back_after_polls: Option<u32>) {
        self.mailbox.post(FromPf::control(false));
        self.mailbox.pf_is_down(back_after_polls);
        self.pf.set_down(true);
        self.path.wipe();
    }

    /// Takes the link down or up. The PF tells its VFs (`ixgbe_ping_all_vfs`).
    pub fn set_link(&mut self, up: bool) {
        self.pf.link.up = up;
        self.mailbox.post(FromPf::control(self.pf.is_clear_to_send()));
    }

    /// The administrator forbids the VF's link, or allows it again (`ip link set PF vf N state`): the VF has to begin again.
    pub fn allow_link(&mut self, allowed: bool) {
        self.pf.allow_link(allowed);
        self.mailbox.post(FromPf::control(false));
    }

    /// The PF forgets that the VF is initialised, without a word: it refuses the next request without CTS.
    pub fn forget_vf(&mut self) {
        self.pf.forget();
    }

    /// From now on the PF refuses requests of this code (`vfwire_spec::ixgbevf::control`), or no longer.
    pub fn refuse(&mut self, code: u16, refuse: bool) {
        if refuse {
            self.pf.refused.insert(code);
        } else {
            self.pf.refused.remove(&code);
        }
    }

    /// From now on the PF refuses SET_LPE above so many bytes, FCS included, which on the 82599 stops receiving.
    pub fn refuse_frames_above(&mut self, bytes: Option<u16>) {
        self.pf.refused_above_bytes = bytes;
    }

    /// From now on the PF answers nothing, or answers again.
    pub fn set_silent(&mut self, silent: bool) {
        self.pf.set_silent(silent);
    }

    /// The PF assigns another MAC address, or none. It is in force at once; the VF learns of it when it next sends RESET.
    pub fn assign_mac(&mut self, mac: Option<MacAddr>) {
        self.pf.assign(mac);
    }

    /// The PF writes this message, whatever it means.
    pub fn inject(&mut self, message: Message) {
        self.mailbox.post(message);
    }

    /// Makes the device misbehave, or behave again.
    pub fn set_hostile(&mut self, hostile: Option<Hostile>) {
        self.path.hostile = hostile;
    }
}
