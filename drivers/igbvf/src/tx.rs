//! Transmit: the registers of a queue and the format of its descriptors. The loop is core's.

use vfwire_core::{
    bar::{Bar, Regs},
    dma::Iova,
    error::PortError,
    format::{Desc, TxFormat},
    meta::TxOffload,
    poll::{Wait, poll_until},
};
use vfwire_intel_vf::{
    offload,
    port::{QUEUE_LIMIT, halves, has_bit},
    queue::AdvTx,
};
use vfwire_spec::{
    igbvf::regs::{self, DCTL_ENABLE, TXCTL_DESC_WRITEBACK_RELAXED},
    intel::adv::tx::{DATA_FIXED, DD, EOP, PAYLEN_SHIFT, RS},
};

/// A transmit queue.
pub type Tx<B> = AdvTx<B, TxDesc>;

/// Advanced transmit descriptors.
#[derive(Debug)]
pub struct TxDesc;

impl TxFormat for TxDesc {
    const DONE: u64 = DD;
    const FIXED: u64 = DATA_FIXED;
    const END: u64 = EOP;
    const REPORT: u64 = RS;
    const LENGTH_AT: u32 = 0;
    const TOTAL_AT: u32 = PAYLEN_SHIFT;
    // The device pads to 60 bytes, but only what is longer than 16 (82576EB data sheet, register TCTL, field PSP; Linux `igb_main.c`).
    const MIN_FRAME_BYTES: u32 = 17;

    fn context(asked: TxOffload) -> Option<Desc> {
        offload::context(asked)
    }

    fn request(asked: TxOffload, total_bytes: u64) -> (u64, u64) {
        offload::request(asked, total_bytes)
    }
}

/// Write-back 0: a descriptor with RS is written back at once, which is what the ring waits for.
const THRESHOLDS: u32 = regs::dctl_thresholds(8, 1, 0);

const ENABLED: Wait = Wait {
    what: "a transmit queue to be enabled",
    limit: QUEUE_LIMIT,
    remedy: "the device does not follow its data sheet; reset it (stop what uses it, start again)",
};
const DISABLED: Wait = Wait { what: "a transmit queue to be disabled", ..ENABLED };

/// Tells the device of a ring. The queue is disabled.
pub(crate) fn configure_tx<B: Bar>(regs: &Regs<B>, queue: u32, iova: Iova, len_bytes: u32) {
    let [low, high] = halves(iova);
    regs.write(regs::TDBAL.index(queue), low);
    regs.write(regs::TDBAH.index(queue), high);
    regs.write(regs::TDLEN.index(queue), len_bytes);
    regs.write(regs::TDH.index(queue), 0);
    regs.write(regs::TDT.index(queue), 0);
    // An earlier user may have left head write-back on: then no DD would ever come.
    regs.write(regs::TDWBAL.index(queue), 0);
    regs.write(regs::TDWBAH.index(queue), 0);
    // DD must not pass the reads that it reports.
    regs.modify(regs::TXCTL.index(queue), |control| control & !TXCTL_DESC_WRITEBACK_RELAXED);
}

/// Enables a configured queue and waits until the device has taken it. Only then may its tail be written.
pub(crate) fn enable<B: Bar>(regs: &Regs<B>, queue: u32) -> Result<(), PortError> {
    let register = regs::TXDCTL.index(queue);
    regs.write(register, THRESHOLDS | DCTL_ENABLE);
    poll_until(ENABLED, || Ok(has_bit(regs.read(register), DCTL_ENABLE)?.then_some(())))
}

/// Disables a queue and waits until the device has let go of its ring.
pub(crate) fn disable<B: Bar>(regs: &Regs<B>, queue: u32) -> Result<(), PortError> {
    let register = regs::TXDCTL.index(queue);
    regs.write(register, THRESHOLDS);
    poll_until(DISABLED, || Ok((!has_bit(regs.read(register), DCTL_ENABLE)?).then_some(())))
}
