//! Receive: the registers of a queue and the format of its descriptors. The loop is core's.

use vfwire_core::{
    bar::{Bar, Regs},
    dma::Iova,
    error::PortError,
    format::RxFormat,
    meta::{RxMeta, RxWords},
    poll::{Wait, poll_until},
};
use vfwire_intel_vf::{
    decode::{self, ErrorBits},
    port::{QUEUE_LIMIT, halves, has_bit},
    queue::AdvRx,
};
use vfwire_spec::{
    igbvf::{
        Family,
        desc::{RX_DROP_MASK, RX_IPE, RX_L4E},
        regs::{
            self, DCTL_ENABLE, SRRCTL_BSIZEPACKET_MASK, SRRCTL_BSIZEPACKET_UNIT_BYTES, SRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER, SRRCTL_DROP_EN,
        },
    },
    intel::adv::rx::{DD, EOP, LENGTH_SHIFT},
};

/// A receive queue.
pub type Rx<B> = AdvRx<B, RxDesc>;

/// Advanced receive descriptors with one buffer each.
#[derive(Debug)]
pub struct RxDesc;

impl RxFormat for RxDesc {
    const DONE: u64 = DD;
    const END: u64 = EOP;
    const LENGTH_AT: u32 = LENGTH_SHIFT;
    const ERROR: u64 = RX_DROP_MASK;
    const WORDS: &'static RxWords = &I82576_WORDS;
}

const ERRORS: ErrorBits = ErrorBits { ip: RX_IPE, l4: RX_L4E };
static I82576_WORDS: RxWords = RxWords { name: "igbvf 82576", decode: i82576 };
static I350_WORDS: RxWords = RxWords { name: "igbvf I350", decode: i350 };

fn i82576(words: &[u64; 2]) -> RxMeta {
    decode::meta(words, ERRORS)
}

fn i350(words: &[u64; 2]) -> RxMeta {
    decode::meta_with_swapped_loopback(words, ERRORS)
}

/// How the family's descriptors are read.
pub(crate) fn words(family: Family) -> &'static RxWords {
    match family {
        Family::I82576 => &I82576_WORDS,
        Family::I350 => &I350_WORDS,
    }
}

/// Prefetch and host thresholds as Linux' driver has them. Write-back 1: with others an 82576 VF sometimes does not write back (its
/// erratum; DPDK `igb_rxtx.c`, `eth_igbvf_rx_init`).
const THRESHOLDS: u32 = regs::dctl_thresholds(16, 8, 1);

const ENABLED: Wait = Wait {
    what: "a receive queue to be enabled",
    limit: QUEUE_LIMIT,
    remedy: "the device does not follow its data sheet; reset it (stop what uses it, start again)",
};
const DISABLED: Wait = Wait { what: "a receive queue to be disabled", ..ENABLED };

#[expect(clippy::cast_possible_truncation, reason = "1024")]
const UNIT_BYTES: u32 = SRRCTL_BSIZEPACKET_UNIT_BYTES as u32;

/// Tells the device of a ring whose buffers take `room_bytes`. The queue is disabled.
pub(crate) fn configure_rx<B: Bar>(regs: &Regs<B>, queue: u32, iova: Iova, len_bytes: u32, room_bytes: u32) {
    let [low, high] = halves(iova);
    regs.write(regs::RDBAL.index(queue), low);
    regs.write(regs::RDBAH.index(queue), high);
    regs.write(regs::RDLEN.index(queue), len_bytes);
    regs.write(regs::RDH.index(queue), 0);
    regs.write(regs::RDT.index(queue), 0);
    // The unit is a KiB, so a remainder of the buffer stays unused; a frame longer than that goes on in the next one.
    let size = (room_bytes / UNIT_BYTES).min(SRRCTL_BSIZEPACKET_MASK);
    regs.write(regs::SRRCTL.index(queue), size | SRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER | SRRCTL_DROP_EN);
}

/// Enables a configured queue and waits until the device has taken it. Only then may its tail be written.
pub(crate) fn enable<B: Bar>(regs: &Regs<B>, queue: u32) -> Result<(), PortError> {
    let register = regs::RXDCTL.index(queue);
    regs.write(register, THRESHOLDS | DCTL_ENABLE);
    poll_until(ENABLED, || Ok(has_bit(regs.read(register), DCTL_ENABLE)?.then_some(())))
}

/// Disables a queue and waits until the device has let go of its ring.
pub(crate) fn disable<B: Bar>(regs: &Regs<B>, queue: u32) -> Result<(), PortError> {
    let register = regs::RXDCTL.index(queue);
    regs.write(register, THRESHOLDS);
    poll_until(DISABLED, || Ok((!has_bit(regs.read(register), DCTL_ENABLE)?).then_some(())))
}

/// Whether the device serves a queue.
pub(crate) fn is_enabled<B: Bar>(regs: &Regs<B>, queue: u32) -> Result<bool, PortError> {
    has_bit(regs.read(regs::RXDCTL.index(queue)), DCTL_ENABLE)
}
