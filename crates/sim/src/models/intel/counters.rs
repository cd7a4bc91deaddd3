//! What became of the frames.

use vfwire_spec::net::{ETH_FCS_BYTES, MacAddr};

/// What became of the frames of a model, beyond what its registers tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameCounters {
    /// Written into the driver's buffers.
    pub received_frames: u64,
    /// Given to the wire.
    pub sent_frames: u64,
    /// Not for this VF: another address, a VLAN that it has not joined.
    pub filtered_frames: u64,
    /// Longer than the VF may receive, or shorter than a header.
    pub wrong_size_frames: u64,
    /// Arrived while the queue, the PF or the link was off, or made the queue stop.
    pub off_frames: u64,
    /// Found too few descriptors.
    pub no_descriptor_frames: u64,
    /// Sent by the driver, dropped by the PF's anti-spoofing.
    pub spoofed_frames: u64,
}

/// Counters, and what the statistics registers are made of: they wrap, and no reset clears them.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) of: FrameCounters,
    pub(crate) rx_frames: u64,
    pub(crate) rx_octets: u64,
    pub(crate) rx_multicast: u64,
    pub(crate) tx_frames: u64,
    pub(crate) tx_octets: u64,
}

impl Counters {
    pub(crate) fn starting_at(frames: u64, octets: u64) -> Self {
        let of = FrameCounters::default();
        Self { of, rx_frames: frames, rx_octets: octets, rx_multicast: frames, tx_frames: frames, tx_octets: octets }
    }

    #[inline]
    pub(crate) fn count_received(&mut self, frame: &[u8]) {
        self.of.received_frames += 1;
        self.rx_frames = self.rx_frames.wrapping_add(1);
        self.rx_octets = self.rx_octets.wrapping_add(octets(frame));
        let destination = frame.first_chunk().map_or(MacAddr::ZERO, |octets| MacAddr(*octets));
        if destination.is_multicast() && !destination.is_broadcast() {
            self.rx_multicast = self.rx_multicast.wrapping_add(1);
        }
    }

    #[inline]
    pub(crate) fn count_sent(&mut self, frame: &[u8]) {
        self.of.sent_frames += 1;
        self.tx_frames = self.tx_frames.wrapping_add(1);
        self.tx_octets = self.tx_octets.wrapping_add(octets(frame));
    }
}

/// The octet counters go from the destination address through the FCS (registers VFGORC, VFGOTC).
fn octets(frame: &[u8]) -> u64 {
    (frame.len() + ETH_FCS_BYTES) as u64
}

/// Bits 31:0.
pub(crate) fn low_half(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
