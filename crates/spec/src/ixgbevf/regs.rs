//! Registers of the VF, BAR 0.
//!
//! Source: "Intel 82599 10 GbE Controller Datasheet", rev. 3.4, chapter 9, Device Registers - VF; "Intel Ethernet Controller X550
//! Datasheet", chapter of the same title, for what only the X550 and E610 have. Each register is given with the name that it has there.
//! Everything is 32 bits wide.

use super::{Family, MAX_QUEUE_PAIRS};
use crate::intel::mailbox::WORDS;
use crate::reg::{Reg, RegArray, Ro, Rw, RwClearOnRead, Wo, register_names};

// General.

/// VFCTRL, VF control: [`VFCTRL_RST`] only.
pub const VFCTRL: Reg<u32, Wo> = Reg::at(0x0000);
/// VFSTATUS, VF status: the PF's, read-only. Reading it flushes posted writes.
pub const VFSTATUS: Reg<u32, Ro> = Reg::at(0x0008);
/// VFLINKS, link status. Bits `VFLINKS_*`.
pub const VFLINKS: Reg<u32, Ro> = Reg::at(0x0010);
/// VFFRTIMER, free running timer.
pub const VFFRTIMER: Reg<u32, Ro> = Reg::at(0x0048);

/// [`VFCTRL`]: resets this VF's queues and interrupts; clears itself.
pub const VFCTRL_RST: u32 = 1 << 26;
/// [`VFLINKS`]: the link is up.
pub const VFLINKS_UP: u32 = 1 << 30;
/// [`VFLINKS`]: the speed's two bits.
pub const VFLINKS_SPEED_MASK: u32 = 0b11 << 28;
/// [`VFLINKS`]: 100 Mbit/s, or 5 Gbit/s with [`VFLINKS_NON_STANDARD`].
pub const VFLINKS_SPEED_100M: u32 = 0b01 << 28;
/// [`VFLINKS`]: 1 Gbit/s.
pub const VFLINKS_SPEED_1G: u32 = 0b10 << 28;
/// [`VFLINKS`]: 10 Gbit/s, or 2.5 Gbit/s with [`VFLINKS_NON_STANDARD`].
pub const VFLINKS_SPEED_10G: u32 = 0b11 << 28;
/// [`VFLINKS`]: the speed is 2.5 or 5 Gbit/s. X550 and later.
pub const VFLINKS_NON_STANDARD: u32 = 1 << 27;

/// The link's speed in a [`VFLINKS`] value, in Mbit/s; `None` while the link is down.
pub const fn link_mbps(family: Family, vflinks: u32) -> Option<u32> {
    if vflinks & VFLINKS_UP == 0 {
        return None;
    }
    let non_standard = family.has_middle_speeds() && vflinks & VFLINKS_NON_STANDARD != 0;
    match (vflinks & VFLINKS_SPEED_MASK, non_standard) {
        (VFLINKS_SPEED_10G, false) => Some(10_000),
        (VFLINKS_SPEED_10G, true) => Some(2_500),
        (VFLINKS_SPEED_1G, _) => Some(1_000),
        (VFLINKS_SPEED_100M, false) => Some(100),
        (VFLINKS_SPEED_100M, true) => Some(5_000),
        _ => Some(10),
    }
}

// Interrupts. Bit n of the cause and mask registers is MSI-X vector n, 0 to 2.

/// VTEICR, extended interrupt cause: cleared by reading, and by writing ones.
pub const VTEICR: Reg<u32, RwClearOnRead> = Reg::at(0x0100);
/// VTEICS, extended interrupt cause set.
pub const VTEICS: Reg<u32, Wo> = Reg::at(0x0104);
/// VTEIMS, extended interrupt mask set and read.
pub const VTEIMS: Reg<u32, Rw> = Reg::at(0x0108);
/// VTEIMC, extended interrupt mask clear.
pub const VTEIMC: Reg<u32, Wo> = Reg::at(0x010c);
/// VTEIAC, extended interrupt auto clear: causes that the interrupt message itself clears.
pub const VTEIAC: Reg<u32, Rw> = Reg::at(0x0110);
/// VTEIAM, extended interrupt auto mask enable: causes that the interrupt message masks.
pub const VTEIAM: Reg<u32, Rw> = Reg::at(0x0114);
/// VTIVAR, interrupt vector allocation: register n has one byte each for RX 2n, TX 2n, RX 2n + 1, TX 2n + 1, lowest first.
pub const VTIVAR: RegArray<u32, Rw> = RegArray::at(0x0120, 4, MAX_QUEUE_PAIRS / 2);
/// VTIVAR_MISC, interrupt vector allocation of the mailbox, lowest byte.
pub const VTIVAR_MISC: Reg<u32, Rw> = Reg::at(0x0140);
/// VTEITR, interrupt throttle, one a vector.
pub const VTEITR: RegArray<u32, Rw> = RegArray::at(0x0820, 4, super::MSIX_VECTORS);

/// [`VTEICR`] to [`VTEIAM`]: every vector.
pub const VTEI_ALL: u32 = (1 << super::MSIX_VECTORS) - 1;
/// [`VTIVAR`], [`VTIVAR_MISC`]: the entry's vector is valid.
pub const VTIVAR_VALID: u8 = 1 << 7;
/// [`VTEITR`]: the least time between interrupts, from bit 3; the unit depends on the link's speed, 2 microseconds at 10 Gbit/s.
pub const VTEITR_INTERVAL_MASK: u32 = 0x0ff8;
/// [`VTEITR`]: the write leaves the running counter alone.
pub const VTEITR_COUNTER_KEEP: u32 = 1 << 31;

/// The [`VTIVAR`] register of a queue.
pub const fn vtivar_index(queue: u32) -> u32 {
    queue / 2
}

/// Where the entry of an RX queue begins in its [`VTIVAR`] register, in bits.
pub const fn vtivar_rx_shift(queue: u32) -> u32 {
    queue % 2 * 16
}

/// Where the entry of a TX queue begins in its [`VTIVAR`] register, in bits.
pub const fn vtivar_tx_shift(queue: u32) -> u32 {
    queue % 2 * 16 + 8
}

// Mailbox.

/// VFMailbox: the flags of [`crate::intel::mailbox`].
pub const VFMAILBOX: Reg<u32, RwClearOnRead> = Reg::at(0x02fc);
/// VFMBMEM: the mailbox memory.
#[expect(clippy::cast_possible_truncation, reason = "16 words")]
pub const VFMBMEM: RegArray<u32, Rw> = RegArray::at(0x0200, 4, WORDS as u32);

// Receive queues.

/// Bytes from a queue's register to the same register of the next queue.
pub const QUEUE_STRIDE: u32 = 0x40;

/// VFPSRTYPE, packet split receive type: which headers are split, and over how many queues RSS spreads.
pub const VFPSRTYPE: Reg<u32, Rw> = Reg::at(0x0300);
/// VFRDBAL, receive descriptor ring address, low half.
pub const VFRDBAL: RegArray<u32, Rw> = queue(0x1000);
/// VFRDBAH, receive descriptor ring address, high half.
pub const VFRDBAH: RegArray<u32, Rw> = queue(0x1004);
/// VFRDLEN, receive descriptor ring length, in bytes.
pub const VFRDLEN: RegArray<u32, Rw> = queue(0x1008);
/// VFDCA_RXCTRL, receive DCA control: processor hints and PCI Express ordering.
pub const VFDCA_RXCTRL: RegArray<u32, Rw> = queue(0x100c);
/// VFRDH, receive descriptor head: the next descriptor that the device takes.
pub const VFRDH: RegArray<u32, Rw> = queue(0x1010);
/// VFSRRCTL, split and replication receive control. Bits `VFSRRCTL_*`.
pub const VFSRRCTL: RegArray<u32, Rw> = queue(0x1014);
/// VFRDT, receive descriptor tail: the first descriptor that the device may not take. The doorbell: a driver never needs to read it.
pub const VFRDT: RegArray<u32, Wo> = queue(0x1018);
/// VFRXDCTL, receive descriptor control. Bits `VFRXDCTL_*` and [`DCTL_ENABLE`].
pub const VFRXDCTL: RegArray<u32, Rw> = queue(0x1028);
/// VFRSCCTL, receive side coalescing control. Off here: it merges frames, which a forwarder must not.
pub const VFRSCCTL: RegArray<u32, Rw> = queue(0x102c);

/// [`VFPSRTYPE`]: where the binary logarithm of the number of RSS queues begins.
pub const VFPSRTYPE_RQPL_SHIFT: u32 = 29;
/// [`VFSRRCTL`]: the size of each packet buffer in KiB, 1 to 16.
pub const VFSRRCTL_BSIZEPACKET_MASK: u32 = 0x7f;
/// [`VFSRRCTL`]: frames without a free descriptor are dropped, so that a full ring cannot block other functions. Bit 28, not 31 as
/// on the 82576.
pub const VFSRRCTL_DROP_EN: u32 = 1 << 28;
/// [`VFSRRCTL`]: bits of the descriptor type.
pub const VFSRRCTL_DESCTYPE_MASK: u32 = 0b111 << 25;
/// [`VFSRRCTL`]: advanced descriptors, one buffer.
pub const VFSRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER: u32 = 0b001 << 25;
/// Unit of [`VFSRRCTL_BSIZEPACKET_MASK`], in bytes.
pub const VFSRRCTL_BSIZEPACKET_UNIT_BYTES: usize = 1024;
/// [`VFRXDCTL`]: the longest frame of this queue, in bytes. X540 and later, with [`VFRXDCTL_RLPML_EN`].
pub const VFRXDCTL_RLPML_MASK: u32 = 0x3fff;
/// [`VFRXDCTL`]: [`VFRXDCTL_RLPML_MASK`] holds. X540 and later.
pub const VFRXDCTL_RLPML_EN: u32 = 1 << 15;
/// [`VFRXDCTL`]: strips VLAN tags.
pub const VFRXDCTL_VME: u32 = 1 << 30;

// Transmit queues.

/// VFTDBAL, transmit descriptor ring address, low half.
pub const VFTDBAL: RegArray<u32, Rw> = queue(0x2000);
/// VFTDBAH, transmit descriptor ring address, high half.
pub const VFTDBAH: RegArray<u32, Rw> = queue(0x2004);
/// VFTDLEN, transmit descriptor ring length, in bytes.
pub const VFTDLEN: RegArray<u32, Rw> = queue(0x2008);
/// VFDCA_TXCTRL, transmit DCA control: processor hints and PCI Express ordering.
pub const VFDCA_TXCTRL: RegArray<u32, Rw> = queue(0x200c);
/// VFTDH, transmit descriptor head: the next descriptor that the device takes.
pub const VFTDH: RegArray<u32, Rw> = queue(0x2010);
/// VFTDT, transmit descriptor tail: the first descriptor that the device may not take. The doorbell: a driver never needs to read it.
pub const VFTDT: RegArray<u32, Wo> = queue(0x2018);
/// VFTXDCTL, transmit descriptor control. Bits `VFTXDCTL_*` and [`DCTL_ENABLE`].
pub const VFTXDCTL: RegArray<u32, Rw> = queue(0x2028);
/// VFTDWBAL, transmit descriptor write-back address, low half: where the head is written instead of DD bits.
pub const VFTDWBAL: RegArray<u32, Rw> = queue(0x2038);
/// VFTDWBAH, transmit descriptor write-back address, high half.
pub const VFTDWBAH: RegArray<u32, Rw> = queue(0x203c);

/// [`VFDCA_TXCTRL`]: descriptor write-backs may pass other writes (PCI Express relaxed ordering). Off where DD tells that a frame is
/// done.
pub const VFDCA_TXCTRL_DESC_WRITEBACK_RELAXED: u32 = 1 << 11;
/// [`VFTXDCTL`]: bits of each threshold.
pub const VFTXDCTL_THRESHOLD_MASK: u32 = 0x7f;
/// [`VFRXDCTL`], [`VFTXDCTL`]: the queue is enabled. It reads as set once the device has taken it.
pub const DCTL_ENABLE: u32 = 1 << 25;
/// [`VFTXDCTL`]: writes gathered descriptors back at once; clears itself.
pub const VFTXDCTL_SWFLSH: u32 = 1 << 26;

/// The three thresholds of [`VFTXDCTL`], each 0 to 127. With more than one frame a report-status bit, `write_back` must be 0.
pub const fn vftxdctl_thresholds(prefetch: u32, host: u32, write_back: u32) -> u32 {
    let widest = VFTXDCTL_THRESHOLD_MASK;
    assert!(prefetch <= widest && host <= widest && write_back <= widest, "7-bit fields");
    prefetch | host << 8 | write_back << 16
}

// Statistics: they wrap, and reading does not clear them.

/// VFGPRC, good packets received count, 32 bits.
pub const VFGPRC: Reg<u32, Ro> = Reg::at(0x101c);
/// VFGPTC, good packets transmitted count, 32 bits.
pub const VFGPTC: Reg<u32, Ro> = Reg::at(0x201c);
/// VFGORC_LSB, good octets received count, lower 32 of 36 bits.
pub const VFGORC_LSB: Reg<u32, Ro> = Reg::at(0x1020);
/// VFGORC_MSB, good octets received count, upper 4 of 36 bits.
pub const VFGORC_MSB: Reg<u32, Ro> = Reg::at(0x1024);
/// VFGOTC_LSB, good octets transmitted count, lower 32 of 36 bits.
pub const VFGOTC_LSB: Reg<u32, Ro> = Reg::at(0x2020);
/// VFGOTC_MSB, good octets transmitted count, upper 4 of 36 bits.
pub const VFGOTC_MSB: Reg<u32, Ro> = Reg::at(0x2024);
/// VFMPRC, multicast packets received count, 32 bits.
pub const VFMPRC: Reg<u32, Ro> = Reg::at(0x1034);

/// Bits of the two octet counters.
pub const OCTETS_BITS: u32 = 36;

/// An octet counter from its two registers.
pub const fn octets(lsb: u32, msb: u32) -> u64 {
    lsb as u64 | (msb as u64 & 0xf) << 32
}

// RSS: X550 and later.

/// VFMRQC, multiple receive queues command. Bits `VFMRQC_*`. X550 and later.
pub const VFMRQC: Reg<u32, Rw> = Reg::at(0x3000);
/// VFRSSRK, RSS key: 40 bytes, the first in the lowest byte of the first register. X550 and later.
pub const VFRSSRK: RegArray<u32, Rw> = RegArray::at(0x3100, 4, 10);
/// VFRETA, redirection table: 64 entries of a byte, four a register, lowest first. X550 and later.
pub const VFRETA: RegArray<u32, Rw> = RegArray::at(0x3200, 4, 16);

/// Entries of [`VFRETA`].
pub const VFRETA_ENTRIES: usize = 64;
/// [`VFMRQC`]: RSS is on.
pub const VFMRQC_RSS_EN: u32 = 1 << 0;
/// [`VFMRQC`]: hashes IPv4 addresses and TCP ports.
pub const VFMRQC_IPV4_TCP: u32 = 1 << 16;
/// [`VFMRQC`]: hashes IPv4 addresses.
pub const VFMRQC_IPV4: u32 = 1 << 17;
/// [`VFMRQC`]: hashes IPv6 addresses.
pub const VFMRQC_IPV6: u32 = 1 << 20;
/// [`VFMRQC`]: hashes IPv6 addresses and TCP ports.
pub const VFMRQC_IPV6_TCP: u32 = 1 << 21;

/// A register that each queue has.
const fn queue<A>(base: u32) -> RegArray<u32, A> {
    let registers = RegArray::at(base, QUEUE_STRIDE, MAX_QUEUE_PAIRS);
    assert!(base + QUEUE_STRIDE * MAX_QUEUE_PAIRS <= super::REGISTER_BAR_BYTES, "the queue's registers lie in the BAR");
    registers
}

register_names! {
    in "regs.rs", indented "";
    one:
        VFCTRL VFSTATUS VFLINKS VFFRTIMER VTEICR VTEICS VTEIMS VTEIMC VTEIAC VTEIAM VTIVAR_MISC VFMAILBOX VFPSRTYPE VFGPRC VFGPTC
        VFGORC_LSB VFGORC_MSB VFGOTC_LSB VFGOTC_MSB VFMPRC VFMRQC;
    array:
        VTIVAR VTEITR VFMBMEM VFRDBAL VFRDBAH VFRDLEN VFDCA_RXCTRL VFRDH VFSRRCTL VFRDT VFRXDCTL VFRSCCTL VFTDBAL VFTDBAH VFTDLEN
        VFDCA_TXCTRL VFTDH VFTDT VFTXDCTL VFTDWBAL VFTDWBAH VFRSSRK VFRETA
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DPDK `ixgbe_vf.h`.
    #[test]
    fn general_and_interrupt_offsets() {
        assert_eq!([VFCTRL.offset(), VFSTATUS.offset(), VFLINKS.offset(), VFFRTIMER.offset()], [0x0, 0x8, 0x10, 0x48]);
        assert_eq!([VTEICR.offset(), VTEICS.offset(), VTEIMS.offset()], [0x100, 0x104, 0x108]);
        assert_eq!([VTEIMC.offset(), VTEIAC.offset(), VTEIAM.offset()], [0x10c, 0x110, 0x114]);
        assert_eq!([VTIVAR.index(3).offset(), VTIVAR_MISC.offset(), VTEITR.index(2).offset()], [0x12c, 0x140, 0x828]);
    }

    /// DPDK `ixgbe_mbx.h`.
    #[test]
    fn mailbox_offsets() {
        assert_eq!([VFMAILBOX.offset(), VFMBMEM.index(0).offset(), VFMBMEM.index(15).offset()], [0x2fc, 0x200, 0x23c]);
    }

    /// DPDK `ixgbe_vf.h`, written out for queue 7.
    #[test]
    fn queue_offsets() {
        let rx = [VFRDBAL, VFRDBAH, VFRDLEN, VFDCA_RXCTRL, VFRDH, VFSRRCTL, VFRXDCTL, VFRSCCTL].map(|register| register.index(7).offset());
        assert_eq!(rx, [0x11c0, 0x11c4, 0x11c8, 0x11cc, 0x11d0, 0x11d4, 0x11e8, 0x11ec]);
        let tx = [VFTDBAL, VFTDBAH, VFTDLEN, VFDCA_TXCTRL, VFTDH, VFTXDCTL, VFTDWBAL, VFTDWBAH].map(|register| register.index(7).offset());
        assert_eq!(tx, [0x21c0, 0x21c4, 0x21c8, 0x21cc, 0x21d0, 0x21e8, 0x21f8, 0x21fc]);
        assert_eq!([VFRDT.index(7).offset(), VFTDT.index(7).offset(), VFPSRTYPE.offset()], [0x11d8, 0x21d8, 0x300]);
    }

    /// DPDK `ixgbe_vf.h`.
    #[test]
    fn statistics_and_rss_offsets() {
        let offsets = [VFGPRC, VFGPTC, VFGORC_LSB, VFGORC_MSB, VFGOTC_LSB, VFGOTC_MSB, VFMPRC].map(Reg::offset);
        assert_eq!(offsets, [0x101c, 0x201c, 0x1020, 0x1024, 0x2020, 0x2024, 0x1034]);
        assert_eq!([VFMRQC.offset(), VFRSSRK.index(9).offset(), VFRETA.index(15).offset()], [0x3000, 0x3124, 0x323c]);
        assert_eq!(usize::try_from(VFRETA.count()), Ok(VFRETA_ENTRIES / 4));
    }

    /// DPDK `ixgbe_type.h`: IXGBE_CTRL_RST, IXGBE_LINKS_*, IXGBE_SRRCTL_*, IXGBE_RXDCTL_*, IXGBE_TXDCTL_*, IXGBE_DCA_TXCTRL_DESC_WRO_EN.
    #[test]
    fn bits() {
        assert_eq!(VFCTRL_RST, 0x0400_0000);
        assert_eq!([VFLINKS_UP, VFLINKS_SPEED_MASK, VFLINKS_NON_STANDARD], [0x4000_0000, 0x3000_0000, 0x0800_0000]);
        assert_eq!([VFLINKS_SPEED_100M, VFLINKS_SPEED_1G, VFLINKS_SPEED_10G], [0x1000_0000, 0x2000_0000, 0x3000_0000]);
        assert_eq!([VFSRRCTL_BSIZEPACKET_MASK, VFSRRCTL_DESCTYPE_MASK, VFSRRCTL_DROP_EN], [0x7f, 0x0e00_0000, 0x1000_0000]);
        assert_eq!([VFSRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER, DCTL_ENABLE, VFTXDCTL_SWFLSH], [0x0200_0000, 0x0200_0000, 0x0400_0000]);
        assert_eq!([VFRXDCTL_RLPML_MASK, VFRXDCTL_RLPML_EN, VFRXDCTL_VME], [0x3fff, 0x8000, 0x4000_0000]);
        assert_eq!([VFDCA_TXCTRL_DESC_WRITEBACK_RELAXED, VTEI_ALL, u32::from(VTIVAR_VALID)], [0x800, 7, 0x80]);
        assert_eq!(
            [VFMRQC_RSS_EN, VFMRQC_IPV4_TCP, VFMRQC_IPV4, VFMRQC_IPV6, VFMRQC_IPV6_TCP],
            [1, 0x1_0000, 0x2_0000, 0x10_0000, 0x20_0000]
        );
    }

    /// DPDK `ixgbe_rxtx.c`, `ixgbevf_dev_tx_init` and `_rxtx_start`: 7-bit fields at bits 0, 8 and 16.
    #[test]
    fn thresholds_are_packed() {
        assert_eq!(vftxdctl_thresholds(32, 1, 0), 0x0120);
        assert_eq!(vftxdctl_thresholds(127, 127, 127), 0x007f_7f7f);
    }

    /// DPDK `ixgbe_ethdev.c`, `ixgbevf_set_ivar_map`: register queue >> 1, bit 16 * (queue & 1) + 8 * direction.
    #[test]
    fn vector_entries() {
        let entry = |queue| (vtivar_index(queue), vtivar_rx_shift(queue), vtivar_tx_shift(queue));
        assert_eq!([entry(0), entry(1), entry(2), entry(7)], [(0, 0, 8), (0, 16, 24), (1, 0, 8), (3, 16, 24)]);
    }

    /// DPDK `ixgbe_vf.c`, `ixgbe_check_mac_link_vf`.
    #[test]
    fn link_speed() {
        let mbps = |family, bits| link_mbps(family, VFLINKS_UP | bits);
        assert_eq!(link_mbps(Family::I82599, VFLINKS_SPEED_10G), None);
        assert_eq!(mbps(Family::I82599, VFLINKS_SPEED_10G), Some(10_000));
        assert_eq!(mbps(Family::X540, VFLINKS_SPEED_1G), Some(1_000));
        assert_eq!(mbps(Family::X540, VFLINKS_SPEED_100M), Some(100));
        assert_eq!(mbps(Family::X550, VFLINKS_SPEED_10G | VFLINKS_NON_STANDARD), Some(2_500));
        assert_eq!(mbps(Family::X550, VFLINKS_SPEED_100M | VFLINKS_NON_STANDARD), Some(5_000));
        assert_eq!(mbps(Family::I82599, VFLINKS_SPEED_10G | VFLINKS_NON_STANDARD), Some(10_000));
        assert_eq!(mbps(Family::X550, 0), Some(10));
    }

    #[test]
    fn octet_counters_have_36_bits() {
        assert_eq!(octets(0xffff_ffff, 0xffff_ffff), (1 << OCTETS_BITS) - 1);
        assert_eq!(octets(2, 1), 0x1_0000_0002);
    }

    #[test]
    fn registers_are_found_by_offset() {
        use std::string::ToString;
        let name = |offset| name_of(offset).map(|name| name.to_string());
        assert_eq!(name(VFTDT.index(7).offset()).as_deref(), Some("VFTDT[7]"));
        assert_eq!(name(VFMAILBOX.offset()).as_deref(), Some("VFMAILBOX"));
        assert_eq!(name(0x3ffc), None);
    }
}
