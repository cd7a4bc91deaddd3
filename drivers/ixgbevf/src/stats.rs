//! Statistics: the VF's counters, widened. What the queues count is `vfwire-intel-vf`'s.
//!
//! Frames are counted in 32 bits and bytes in 36, and both wrap (at 10 Gbit/s, frames of the smallest size after five minutes, bytes
//! after a minute): `poll_control` reads them, so that a port that is looked after loses nothing. The counters survive a reset of the VF
//! and not one of the PF; after either, counting begins anew from what the registers say then.

use vfwire_core::{
    bar::{Bar, Regs},
    stats::{DeviceStats, Wrapping, Wrapping32},
};
use vfwire_spec::{
    ixgbevf::regs::{self, OCTETS_BITS, VFGORC_LSB, VFGORC_MSB, VFGOTC_LSB, VFGOTC_MSB, VFGPRC, VFGPTC, VFMPRC},
    reg::{Reg, Ro},
};

/// The VF's counters as the registers have them.
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    rx_frames: u32,
    rx_bytes: u64,
    rx_multicast: u32,
    tx_frames: u32,
    tx_bytes: u64,
}

/// Reads the VF's counters.
pub(crate) fn read<B: Bar>(regs: &Regs<B>) -> Raw {
    Raw {
        rx_frames: regs.read(VFGPRC),
        rx_bytes: octets(regs, VFGORC_LSB, VFGORC_MSB),
        rx_multicast: regs.read(VFMPRC),
        tx_frames: regs.read(VFGPTC),
        tx_bytes: octets(regs, VFGOTC_LSB, VFGOTC_MSB),
    }
}

/// A counter of two registers. Where the lower one has wrapped in between, it has just begun anew, and is read again.
fn octets<B: Bar>(regs: &Regs<B>, lsb: Reg<u32, Ro>, msb: Reg<u32, Ro>) -> u64 {
    let before = regs.read(msb);
    let low = regs.read(lsb);
    let high = regs.read(msb);
    let low = if high == before { low } else { regs.read(lsb) };
    regs::octets(low, high)
}

/// All that the VF counted since the port was opened.
#[derive(Debug, Default)]
pub(crate) struct Device {
    rx_frames: Wrapping32,
    rx_bytes: Wrapping<OCTETS_BITS>,
    rx_multicast: Wrapping32,
    tx_frames: Wrapping32,
    tx_bytes: Wrapping<OCTETS_BITS>,
}

impl Device {
    /// The counters were cleared, or were not ours until now: from here on they count.
    pub(crate) fn begin(&mut self, now: Raw) {
        self.rx_frames.start(now.rx_frames);
        self.rx_bytes.start(now.rx_bytes);
        self.rx_multicast.start(now.rx_multicast);
        self.tx_frames.start(now.tx_frames);
        self.tx_bytes.start(now.tx_bytes);
    }

    /// The counters, no reset between the last time and now.
    pub(crate) fn update(&mut self, now: Raw) {
        self.rx_frames.update(now.rx_frames);
        self.rx_bytes.update(now.rx_bytes);
        self.rx_multicast.update(now.rx_multicast);
        self.tx_frames.update(now.tx_frames);
        self.tx_bytes.update(now.tx_bytes);
    }

    /// As the application sees them.
    pub(crate) fn stats(&self) -> DeviceStats {
        DeviceStats {
            rx_frames: self.rx_frames.total(),
            rx_bytes: self.rx_bytes.total(),
            rx_multicast: self.rx_multicast.total(),
            tx_frames: self.tx_frames.total(),
            tx_bytes: self.tx_bytes.total(),
        }
    }
}
