//! Receive: the registers of a queue, the spread of frames over queues, and the format of descriptors. The loop is core's.

use vfwire_core::{
    bar::{Bar, Regs},
    dma::Iova,
    error::PortError,
    format::RxFormat,
    meta::{Checksum, RxMeta, RxWords},
    poll::{Wait, poll_until},
    port::Rss,
};
use vfwire_intel_vf::{
    decode::{self, ErrorBits},
    port::{QUEUE_LIMIT, halves, has_bit},
    queue::AdvRx,
};
use vfwire_spec::{
    intel::adv::rx::{DD, EOP, LENGTH_SHIFT, PACKET_UDP},
    ixgbevf::{
        Family,
        control::RSS_KEY_BYTES,
        desc::{RX_DROP_MASK, RX_IPE, RX_L4E},
        regs::{
            self, DCTL_ENABLE, VFMRQC_IPV4, VFMRQC_IPV4_TCP, VFMRQC_IPV6, VFMRQC_IPV6_TCP, VFMRQC_RSS_EN, VFPSRTYPE_RQPL_SHIFT,
            VFRETA_ENTRIES, VFRXDCTL_RLPML_EN, VFRXDCTL_RLPML_MASK, VFRXDCTL_VME, VFSRRCTL_BSIZEPACKET_UNIT_BYTES,
            VFSRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER, VFSRRCTL_DROP_EN,
        },
    },
    net::ETH_FCS_BYTES,
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
    const WORDS: &'static RxWords = &X540_WORDS;
}

const ERRORS: ErrorBits = ErrorBits { ip: RX_IPE, l4: RX_L4E };
static I82599_WORDS: RxWords = RxWords { name: "ixgbevf 82599", decode: i82599 };
static X540_WORDS: RxWords = RxWords { name: "ixgbevf", decode: x540 };

fn x540(words: &[u64; 2]) -> RxMeta {
    decode::meta(words, ERRORS)
}

/// An erratum sets the error bit for UDP frames that carry no checksum (Linux `ixgbe_main.c`, `ixgbe_rx_checksum`).
fn i82599(words: &[u64; 2]) -> RxMeta {
    match x540(words) {
        meta if meta.l4_checksum == Checksum::Bad && words[0] & PACKET_UDP != 0 => RxMeta { l4_checksum: Checksum::Unknown, ..meta },
        meta => meta,
    }
}

/// How the family's descriptors are read.
pub(crate) fn words(family: Family) -> &'static RxWords {
    match family {
        Family::I82599 => &I82599_WORDS,
        Family::X540 | Family::X550 | Family::E610 => &X540_WORDS,
    }
}

const ENABLED: Wait = Wait {
    what: "a receive queue to be enabled",
    limit: QUEUE_LIMIT,
    remedy: "the device does not follow its data sheet; reset it (stop what uses it, start again)",
};
const DISABLED: Wait = Wait { what: "a receive queue to be disabled", ..ENABLED };

#[expect(clippy::cast_possible_truncation, reason = "1024")]
const UNIT_BYTES: u32 = VFSRRCTL_BSIZEPACKET_UNIT_BYTES as u32;
#[expect(clippy::cast_possible_truncation, reason = "4")]
const FCS_BYTES: u32 = ETH_FCS_BYTES as u32;
/// The field takes 1 to 16.
const MAX_UNITS: u32 = 16;

/// Tells the device of a ring whose buffers take `room_bytes`. The queue is disabled.
pub(crate) fn configure_rx<B: Bar>(regs: &Regs<B>, queue: u32, iova: Iova, len_bytes: u32, room_bytes: u32) {
    let [low, high] = halves(iova);
    regs.write(regs::VFRDBAL.index(queue), low);
    regs.write(regs::VFRDBAH.index(queue), high);
    regs.write(regs::VFRDLEN.index(queue), len_bytes);
    regs.write(regs::VFRDH.index(queue), 0);
    regs.write(regs::VFRDT.index(queue), 0);
    // The unit is a KiB, so a remainder of the buffer stays unused; a frame longer than that goes on in the next one.
    let size = (room_bytes / UNIT_BYTES).min(MAX_UNITS);
    regs.write(regs::VFSRRCTL.index(queue), size | VFSRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER | VFSRRCTL_DROP_EN);
    // An earlier user may have left frames being merged.
    regs.write(regs::VFRSCCTL.index(queue), 0);
}

/// Enables a configured queue and waits until the device has taken it. Only then may its tail be written. Tags are stripped. The X540 and
/// later drop what is longer than `max_frame_bytes`, FCS not counted, which another VF's MTU may let through; the 82599 cannot.
pub(crate) fn enable<B: Bar>(regs: &Regs<B>, family: Family, queue: u32, max_frame_bytes: u32) -> Result<(), PortError> {
    let register = regs::VFRXDCTL.index(queue);
    let limit = match family {
        Family::I82599 => 0,
        Family::X540 | Family::X550 | Family::E610 => (max_frame_bytes + FCS_BYTES).min(VFRXDCTL_RLPML_MASK) | VFRXDCTL_RLPML_EN,
    };
    regs.modify(register, |control| control & !(VFRXDCTL_RLPML_MASK | VFRXDCTL_RLPML_EN) | limit | VFRXDCTL_VME | DCTL_ENABLE);
    poll_until(ENABLED, || Ok(has_bit(regs.read(register), DCTL_ENABLE)?.then_some(())))
}

/// Disables a queue and waits until the device has let go of its ring.
pub(crate) fn disable<B: Bar>(regs: &Regs<B>, queue: u32) -> Result<(), PortError> {
    let register = regs::VFRXDCTL.index(queue);
    regs.modify(register, |control| control & !DCTL_ENABLE);
    poll_until(DISABLED, || Ok((!has_bit(regs.read(register), DCTL_ENABLE)?).then_some(())))
}

/// Whether the device serves a queue.
pub(crate) fn is_enabled<B: Bar>(regs: &Regs<B>, queue: u32) -> Result<bool, PortError> {
    has_bit(regs.read(regs::VFRXDCTL.index(queue)), DCTL_ENABLE)
}

/// The key of the X550's own RSS: the one with which Microsoft's "Verifying the RSS Hash Calculation" tells how to check a hash, so that
/// a queue can be foretold from a frame's addresses and ports.
const RSS_KEY: [u8; RSS_KEY_BYTES] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b,
    0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// Spreads frames over the first `queues` queues: by the device's own table where it has one, else by the PF's, of which the device uses
/// as many bits as it is told here.
pub(crate) fn spread<B: Bar>(regs: &Regs<B>, family: Family, queues: u32) {
    regs.write(regs::VFPSRTYPE, queues.next_power_of_two().ilog2() << VFPSRTYPE_RQPL_SHIFT);
    if !family.has_own_rss() {
        return;
    }
    for (at, bytes) in (0..).zip(RSS_KEY.as_chunks::<4>().0) {
        regs.write(regs::VFRSSRK.index(at), u32::from_le_bytes(*bytes));
    }
    for at in 0..regs::VFRETA.count() {
        let entries = [0, 1, 2, 3].map(|entry| ((at * 4 + entry) % queues).to_le_bytes()[0]);
        regs.write(regs::VFRETA.index(at), u32::from_le_bytes(entries));
    }
    let hashes = VFMRQC_RSS_EN | VFMRQC_IPV4 | VFMRQC_IPV4_TCP | VFMRQC_IPV6 | VFMRQC_IPV6_TCP;
    regs.write(regs::VFMRQC, if queues > 1 { hashes } else { 0 });
}

/// The device's own key and table.
pub(crate) fn own_rss<B: Bar>(regs: &Regs<B>) -> Rss {
    let key = (0..regs::VFRSSRK.count()).flat_map(|at| regs.read(regs::VFRSSRK.index(at)).to_le_bytes()).collect();
    let table: Vec<u8> = (0..regs::VFRETA.count()).flat_map(|at| regs.read(regs::VFRETA.index(at)).to_le_bytes()).collect();
    debug_assert_eq!(table.len(), VFRETA_ENTRIES);
    Rss { key, table }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vfwire_spec::intel::adv::rx::{L4CS, PACKET_TCP, write_back};

    #[test]
    fn udp_errors_of_the_82599_are_doubted() {
        let words = |packet| write_back(packet, 0, u32::try_from(DD | EOP | L4CS | RX_L4E).expect("32 bits"), 100, 0);
        let l4 = |family, packet| (self::words(family).decode)(&words(packet)).l4_checksum;
        assert_eq!(l4(Family::I82599, PACKET_UDP), Checksum::Unknown);
        assert_eq!(l4(Family::I82599, PACKET_TCP), Checksum::Bad);
        assert_eq!(l4(Family::X540, PACKET_UDP), Checksum::Bad);
    }
}
