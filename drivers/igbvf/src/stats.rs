//! Statistics: the device's counters, widened, and those of the queues, over all starts and resets of the port.
//!
//! The VF's counters are 32 bits wide and wrap (bytes, at 1 Gbit/s, after 34 s): `poll_control` reads them, so that a port that is looked
//! after loses nothing. A reset of the PF or of the function clears them behind our back. A value is therefore believed only where nothing
//! that is read after it shows a sign of a reset; after a reset counting begins anew from what the registers say then.

use vfwire_core::{
    bar::{Bar, Regs},
    stats::{DeviceStats, PortStats, RxStats, TxStats, Wrapping32},
};
use vfwire_intel_vf::{
    queue::{rx_counter, tx_counter},
    tally::Tally,
};
use vfwire_spec::{
    igbvf::regs::{RQDPC, VFGORC, VFGOTC, VFGPRC, VFGPTC, VFMPRC},
    reg::{Reg, Ro},
};

/// In the order of [`Totals::device`].
const REGISTERS: [Reg<u32, Ro>; 5] = [VFGPRC, VFGORC, VFMPRC, VFGPTC, VFGOTC];

/// The VF's counters as the registers have them.
pub(crate) type Raw = [u32; REGISTERS.len()];

/// Reads the VF's counters.
pub(crate) fn read<B: Bar>(regs: &Regs<B>) -> Raw {
    REGISTERS.map(|register| regs.read(register))
}

#[derive(Debug, Default)]
struct RxTotal {
    queue: Tally<{ rx_counter::COUNT }>,
    no_descriptor: u64,
}

/// All that was counted since the port was opened.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    device: [Wrapping32; REGISTERS.len()],
    rx: Vec<RxTotal>,
    tx: Vec<Tally<{ tx_counter::COUNT }>>,
    pub(crate) resets: u64,
}

impl Totals {
    /// The counters were cleared, or were not ours until now: from here on they count.
    pub(crate) fn begin(&mut self, now: Raw) {
        self.device.iter_mut().zip(now).for_each(|(counter, now)| counter.start(now));
    }

    /// The counters, no reset between the last time and now.
    pub(crate) fn update(&mut self, now: Raw) {
        self.device.iter_mut().zip(now).for_each(|(counter, now)| {
            counter.update(now);
        });
    }

    /// Takes in what a read of RQDPC clears.
    pub(crate) fn update_drops<B: Bar>(&mut self, regs: &Regs<B>) {
        for (queue, total) in (0..RQDPC.count()).zip(&mut self.rx) {
            let dropped = regs.read(RQDPC.index(queue));
            // All ones: the device is gone, which others notice.
            if dropped != u32::MAX {
                total.no_descriptor += u64::from(dropped);
            }
        }
    }

    /// The total of receive queue `queue`.
    pub(crate) fn rx(&mut self, queue: usize) -> &mut Tally<{ rx_counter::COUNT }> {
        if self.rx.len() <= queue {
            self.rx.resize_with(queue + 1, RxTotal::default);
        }
        &mut self.rx[queue].queue
    }

    /// The total of transmit queue `queue`.
    pub(crate) fn tx(&mut self, queue: usize) -> &mut Tally<{ tx_counter::COUNT }> {
        if self.tx.len() <= queue {
            self.tx.resize_with(queue + 1, Tally::default);
        }
        &mut self.tx[queue]
    }

    /// Everything, as the application sees it.
    pub(crate) fn stats(&mut self) -> PortStats {
        let [rx_frames, rx_bytes, rx_multicast, tx_frames, tx_bytes] = self.device.map(Wrapping32::total);
        PortStats {
            rx: self.rx.iter_mut().map(rx_stats).collect(),
            tx: self.tx.iter_mut().map(tx_stats).collect(),
            device: DeviceStats { rx_frames, rx_bytes, rx_multicast, tx_frames, tx_bytes },
            resets: self.resets,
        }
    }
}

fn rx_stats(total: &mut RxTotal) -> RxStats {
    let counted = total.queue.read();
    RxStats {
        frames: counted[rx_counter::FRAMES],
        bytes: counted[rx_counter::BYTES],
        errors: counted[rx_counter::ERRORS],
        no_descriptor: total.no_descriptor,
        lost_in_reset: counted[rx_counter::LOST_IN_RESET],
        starved_polls: counted[rx_counter::STARVED_POLLS],
    }
}

fn tx_stats(total: &mut Tally<{ tx_counter::COUNT }>) -> TxStats {
    let counted = total.read();
    TxStats {
        frames: counted[tx_counter::FRAMES],
        bytes: counted[tx_counter::BYTES],
        unsendable: counted[tx_counter::UNSENDABLE],
        lost_in_reset: counted[tx_counter::LOST_IN_RESET],
    }
}
