//! Statistics: the device's counters, widened. What the queues count is `vfwire-intel-vf`'s.
//!
//! The VF's counters are 32 bits wide and wrap (bytes, at 1 Gbit/s, after 34 s): `poll_control` reads them, so that a port that is looked
//! after loses nothing. A reset of the PF clears them behind our back; after a reset counting begins anew from what the registers say
//! then.

use vfwire_core::{
    bar::{Bar, Regs},
    stats::{DeviceStats, Wrapping32},
};
use vfwire_spec::{
    igbvf::{
        MAX_QUEUE_PAIRS,
        regs::{RQDPC, VFGORC, VFGOTC, VFGPRC, VFGPTC, VFMPRC},
    },
    reg::{Reg, Ro},
};

/// In the order of [`Device::counters`].
const REGISTERS: [Reg<u32, Ro>; 5] = [VFGPRC, VFGORC, VFMPRC, VFGPTC, VFGOTC];

/// The VF's counters as the registers have them.
pub(crate) type Raw = [u32; REGISTERS.len()];

/// Reads the VF's counters.
pub(crate) fn read<B: Bar>(regs: &Regs<B>) -> Raw {
    REGISTERS.map(|register| regs.read(register))
}

/// All that the VF counted since the port was opened.
#[derive(Debug, Default)]
pub(crate) struct Device {
    counters: [Wrapping32; REGISTERS.len()],
    /// Per receive queue.
    no_descriptor_frames: [u64; MAX_QUEUE_PAIRS as usize],
}

impl Device {
    /// The counters were cleared, or were not ours until now: from here on they count.
    pub(crate) fn begin(&mut self, now: Raw) {
        self.counters.iter_mut().zip(now).for_each(|(counter, now)| counter.start(now));
    }

    /// The counters, no reset between the last time and now.
    pub(crate) fn update(&mut self, now: Raw) {
        self.counters.iter_mut().zip(now).for_each(|(counter, now)| {
            counter.update(now);
        });
    }

    /// Takes in what a read of RQDPC clears, of a VF with so many queue pairs.
    pub(crate) fn update_drops<B: Bar>(&mut self, regs: &Regs<B>, queue_pairs: u32) {
        for (queue, total) in (0..queue_pairs).zip(&mut self.no_descriptor_frames) {
            let dropped = regs.read(RQDPC.index(queue));
            // All ones: the device is gone, which others notice.
            if dropped != u32::MAX {
                *total += u64::from(dropped);
            }
        }
    }

    /// Frames that the device has dropped because receive queue `queue` had no descriptor.
    pub(crate) fn no_descriptor_frames(&self, queue: usize) -> u64 {
        self.no_descriptor_frames.get(queue).copied().unwrap_or(0)
    }

    /// As the application sees them.
    pub(crate) fn stats(&self) -> DeviceStats {
        let [rx_frames, rx_bytes, rx_multicast, tx_frames, tx_bytes] = self.counters.map(Wrapping32::total);
        DeviceStats { rx_frames, rx_bytes, rx_multicast, tx_frames, tx_bytes }
    }
}
