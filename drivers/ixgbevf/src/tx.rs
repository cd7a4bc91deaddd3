//! Transmit: the registers of a queue and the format of its descriptors. The loop is core's.
//!
//! The X550 watches what a VF asks of it (malicious driver detection) and turns the queue off where a frame does not refer to a context.
//! So every ring begins with a context descriptor that says no more than where the network header begins, and every data descriptor says
//! that it refers to one (CC), with index 0. The other controllers take the same.

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
    intel::adv::tx::{Context, DATA_FIXED, DD, EOP, PAYLEN_SHIFT, RS},
    ixgbevf::{
        desc::TX_CC,
        regs::{self, DCTL_ENABLE, VFDCA_TXCTRL_DESC_WRITEBACK_RELAXED},
    },
};

/// A transmit queue.
pub type Tx<B> = AdvTx<B, TxDesc>;

/// Advanced transmit descriptors.
#[derive(Debug)]
pub struct TxDesc;

impl TxFormat for TxDesc {
    const DONE: u64 = DD;
    const FIXED: u64 = DATA_FIXED | TX_CC;
    const END: u64 = EOP;
    const REPORT: u64 = RS;
    const LENGTH_AT: u32 = 0;
    const TOTAL_AT: u32 = PAYLEN_SHIFT;
    // The payload length field must say 17 or more (Linux `ixgbe_main.c`, `ixgbe_xmit_frame`).
    const MIN_FRAME_BYTES: u32 = 17;
    const OPENING: Option<Desc> = Context::PLAIN.encode();

    fn context(asked: TxOffload) -> Option<Desc> {
        offload::context(asked)
    }

    fn request(asked: TxOffload, total_bytes: u64) -> (u64, u64) {
        offload::request(asked, total_bytes)
    }
}

/// Write-back 0: with anything else, several frames a report are forbidden. Prefetch and host as Linux' driver has them.
const THRESHOLDS: u32 = regs::vftxdctl_thresholds(32, 1, 0);

const ENABLED: Wait = Wait {
    what: "a transmit queue to be enabled",
    limit: QUEUE_LIMIT,
    remedy: "the device does not follow its data sheet; reset it (stop what uses it, start again)",
};
const DISABLED: Wait = Wait { what: "a transmit queue to be disabled", ..ENABLED };

/// Tells the device of a ring. The queue is disabled.
pub(crate) fn configure_tx<B: Bar>(regs: &Regs<B>, queue: u32, iova: Iova, len_bytes: u32) {
    let [low, high] = halves(iova);
    regs.write(regs::VFTDBAL.index(queue), low);
    regs.write(regs::VFTDBAH.index(queue), high);
    regs.write(regs::VFTDLEN.index(queue), len_bytes);
    regs.write(regs::VFTDH.index(queue), 0);
    regs.write(regs::VFTDT.index(queue), 0);
    // An earlier user may have left head write-back on, which a reset does not end: then no DD would ever come.
    regs.write(regs::VFTDWBAL.index(queue), 0);
    regs.write(regs::VFTDWBAH.index(queue), 0);
    // DD must not pass the reads that it reports.
    regs.modify(regs::VFDCA_TXCTRL.index(queue), |control| control & !VFDCA_TXCTRL_DESC_WRITEBACK_RELAXED);
}

/// Enables a configured queue and waits until the device has taken it. Only then may its tail be written.
pub(crate) fn enable<B: Bar>(regs: &Regs<B>, queue: u32) -> Result<(), PortError> {
    let register = regs::VFTXDCTL.index(queue);
    regs.write(register, THRESHOLDS | DCTL_ENABLE);
    poll_until(ENABLED, || Ok(has_bit(regs.read(register), DCTL_ENABLE)?.then_some(())))
}

/// Disables a queue and waits until the device has let go of its ring.
pub(crate) fn disable<B: Bar>(regs: &Regs<B>, queue: u32) -> Result<(), PortError> {
    let register = regs::VFTXDCTL.index(queue);
    regs.write(register, THRESHOLDS);
    poll_until(DISABLED, || Ok((!has_bit(regs.read(register), DCTL_ENABLE)?).then_some(())))
}
