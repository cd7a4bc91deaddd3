//! What a test may look at, and do to the device and to its PF, while a driver holds it.

use super::{Hostile, IgbvfModel, registers::Statistic};
use crate::models::Violation;
use vfwire_spec::{
    intel::mailbox::{FromPf, Message},
    net::{ETH_FCS_BYTES, MacAddr},
};

/// What became of the frames of an [`IgbvfModel`], beyond what its registers tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IgbvfCounters {
    /// Written into the driver's buffers.
    pub received_frames: u64,
    /// Given to the wire.
    pub sent_frames: u64,
    /// Not for this VF: another address, a VLAN that it has not joined.
    pub filtered_frames: u64,
    /// Longer than the VF may receive, or shorter than a header.
    pub wrong_size_frames: u64,
    /// Arrived while the queue, the PF or the link was off.
    pub off_frames: u64,
    /// Found too few descriptors; RQDPC counts them too.
    pub no_descriptor_frames: u64,
    /// Sent by the driver, dropped by the PF's anti-spoofing.
    pub spoofed_frames: u64,
}

/// Counters, and the statistics registers: 32 bits that wrap and that no reset clears.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) of: IgbvfCounters,
    rx_frames: u32,
    rx_bytes: u32,
    rx_multicast: u32,
    tx_frames: u32,
    tx_bytes: u32,
}

impl Counters {
    pub(super) fn starting_at(start: u32) -> Self {
        let of = IgbvfCounters::default();
        Self { of, rx_frames: start, rx_bytes: start, rx_multicast: start, tx_frames: start, tx_bytes: start }
    }

    #[inline]
    pub(super) fn count_received(&mut self, frame: &[u8]) {
        self.of.received_frames += 1;
        self.rx_frames = self.rx_frames.wrapping_add(1);
        self.rx_bytes = self.rx_bytes.wrapping_add(octets(frame));
        let destination = frame.first_chunk().map_or(MacAddr::ZERO, |octets| MacAddr(*octets));
        if destination.is_multicast() && !destination.is_broadcast() {
            self.rx_multicast = self.rx_multicast.wrapping_add(1);
        }
    }

    #[inline]
    pub(super) fn count_sent(&mut self, frame: &[u8]) {
        self.of.sent_frames += 1;
        self.tx_frames = self.tx_frames.wrapping_add(1);
        self.tx_bytes = self.tx_bytes.wrapping_add(octets(frame));
    }

    pub(super) fn register(&self, which: Statistic) -> u32 {
        match which {
            Statistic::RxFrames => self.rx_frames,
            Statistic::RxBytes => self.rx_bytes,
            Statistic::RxMulticast => self.rx_multicast,
            Statistic::TxFrames => self.tx_frames,
            Statistic::TxBytes => self.tx_bytes,
            Statistic::Loopback => 0,
        }
    }
}

/// The octet counters go from the destination address through the FCS (register VFGORC).
fn octets(frame: &[u8]) -> u32 {
    u32::try_from(frame.len() + ETH_FCS_BYTES).unwrap_or(0)
}

impl IgbvfModel {
    /// What the driver did that the data sheet forbids: the first 64. Tests assert that there is nothing.
    pub fn violations(&mut self) -> &[Violation] {
        self.collect_misuse();
        self.violations.as_slice()
    }

    /// What became of the frames.
    pub fn counters(&self) -> IgbvfCounters {
        self.counters.of
    }

    /// The VF's MAC address, as its PF knows it.
    pub fn mac(&self) -> Option<MacAddr> {
        self.pf.filters.mac
    }

    /// The longest frame that the VF asked to receive, FCS and VLAN tag included, in bytes.
    pub fn long_frame_bytes(&self) -> Option<u16> {
        self.pf.filters.long_frame_bytes
    }

    /// The PF regards the VF as initialised: frames pass.
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
        self.rx.iter_mut().for_each(super::RxQueue::wipe);
        self.tx.iter_mut().for_each(super::TxQueue::wipe);
    }

    /// Takes the link down or up. The PF tells its VFs, if it regards them as initialised with the message that says so.
    pub fn set_link(&mut self, up: bool) {
        self.link_up = up;
        self.mailbox.post(FromPf::control(self.pf.is_clear_to_send()));
    }

    /// The PF forgets that the VF is initialised, without a word: it refuses the next request without CTS.
    pub fn forget_vf(&mut self) {
        self.pf.forget();
    }

    /// From now on the PF refuses requests of this code (`vfwire_spec::igbvf::control`), or no longer.
    pub fn refuse(&mut self, code: u16, refuse: bool) {
        if refuse {
            self.pf.refused.insert(code);
        } else {
            self.pf.refused.remove(&code);
        }
    }

    /// From now on the PF answers nothing, or answers again.
    pub fn set_silent(&mut self, silent: bool) {
        self.pf.set_silent(silent);
    }

    /// The PF assigns another MAC address, or none. As on the device, the VF learns of it when it next sends RESET.
    pub fn assign_mac(&mut self, mac: Option<MacAddr>) {
        self.pf.assign(mac);
    }

    /// The PF writes this message, whatever it means.
    pub fn inject(&mut self, message: Message) {
        self.mailbox.post(message);
    }

    /// Makes the device misbehave, or behave again.
    pub fn set_hostile(&mut self, hostile: Option<Hostile>) {
        self.hostile = hostile;
    }
}
