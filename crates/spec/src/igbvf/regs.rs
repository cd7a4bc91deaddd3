//! Registers of the VF, BAR 0.
//!
//! Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, chapter 8, the virtual function register descriptions;
//! each register is given with the name that it has there. Everything is 32 bits wide. Queue registers exist once a queue pair; an I350
//! VF has the first only.

use super::MAX_QUEUE_PAIRS;
use crate::intel::mailbox::WORDS;
use crate::reg::{ClearOnRead, Reg, RegArray, Ro, Rw, RwClearOnRead, Wo, register_names};

// General.

/// VTCTRL, device control: [`CTRL_RST`] only.
pub const CTRL: Reg<u32, Rw> = Reg::at(0x0000);
/// STATUS, device status: the PF's register, shown read-only. Bits `STATUS_*`.
pub const STATUS: Reg<u32, Ro> = Reg::at(0x0008);
/// VTFRTIMER, free running timer: the PF's, in microseconds (chapter 8, "Free Running Timer - FRTIMER").
pub const FRTIMER: Reg<u32, Ro> = Reg::at(0x1048);

/// [`CTRL`]: resets this VF's queues and interrupts; clears itself.
pub const CTRL_RST: u32 = 1 << 26;
/// [`STATUS`]: full duplex.
pub const STATUS_FD: u32 = 1 << 0;
/// [`STATUS`]: the link is up.
pub const STATUS_LU: u32 = 1 << 1;
/// [`STATUS`]: the speed's two bits.
pub const STATUS_SPEED_MASK: u32 = 0b11 << 6;
/// [`STATUS`]: 100 Mbit/s. No speed bit set means 10 Mbit/s.
pub const STATUS_SPEED_100: u32 = 0b01 << 6;
/// [`STATUS`]: 1000 Mbit/s. Both speed bits set mean it too.
pub const STATUS_SPEED_1000: u32 = 0b10 << 6;

/// The link's speed in a [`STATUS`] value, in Mbit/s; `None` while the link is down.
pub const fn link_mbps(status: u32) -> Option<u32> {
    if status & STATUS_LU == 0 {
        return None;
    }
    match status & STATUS_SPEED_MASK {
        0 => Some(10),
        STATUS_SPEED_100 => Some(100),
        _ => Some(1000),
    }
}

// Interrupts. Bit n of the cause and mask registers is MSI-X vector n, 0 to 2.

/// VTEICS, extended interrupt cause set.
pub const EICS: Reg<u32, Wo> = Reg::at(0x1520);
/// VTEIMS, extended interrupt mask set and read.
pub const EIMS: Reg<u32, Rw> = Reg::at(0x1524);
/// VTEIMC, extended interrupt mask clear.
pub const EIMC: Reg<u32, Wo> = Reg::at(0x1528);
/// VTEIAC, extended interrupt auto clear: causes that the interrupt message itself clears.
pub const EIAC: Reg<u32, Rw> = Reg::at(0x152c);
/// VTEIAM, extended interrupt auto mask enable: causes that the interrupt message masks.
pub const EIAM: Reg<u32, Rw> = Reg::at(0x1530);
/// VTEICR, extended interrupt cause: cleared by reading, and by writing ones.
pub const EICR: Reg<u32, RwClearOnRead> = Reg::at(0x1580);
/// EITR0 to EITR2, interrupt throttle, one a vector.
pub const EITR: RegArray<u32, Rw> = RegArray::at(0x1680, 4, super::MSIX_VECTORS);
/// VTIVAR, interrupt vector allocation: one byte each for RX 0, TX 0, RX 1, TX 1, lowest first.
pub const IVAR: Reg<u32, Rw> = Reg::at(0x1700);
/// VTIVAR_MISC, interrupt vector allocation of the mailbox, lowest byte.
pub const IVAR_MISC: Reg<u32, Rw> = Reg::at(0x1740);
/// PBACL, MSI-X pending bit array clear.
pub const PBACL: Reg<u32, Rw> = Reg::at(0x0f04);

/// [`EIMS`], [`EIMC`], [`EIAC`], [`EIAM`], [`EICR`]: every vector.
pub const EI_ALL: u32 = (1 << super::MSIX_VECTORS) - 1;
/// [`EITR`]: the least time between interrupts, in units of a microsecond from bit 2.
pub const EITR_INTERVAL_MASK: u32 = 0x7ffc;
/// [`IVAR`], [`IVAR_MISC`]: the entry's vector is valid.
pub const IVAR_VALID: u8 = 1 << 7;

/// Where the entry of an RX queue begins in [`IVAR`], in bits.
pub const fn ivar_rx_shift(queue: u32) -> u32 {
    queue * 16
}

/// Where the entry of a TX queue begins in [`IVAR`], in bits.
pub const fn ivar_tx_shift(queue: u32) -> u32 {
    queue * 16 + 8
}

// Mailbox.

/// VFMailbox: the flags of [`crate::intel::mailbox`].
pub const VFMAILBOX: Reg<u32, RwClearOnRead> = Reg::at(0x0c40);
/// VMBMEM: the mailbox memory.
#[expect(clippy::cast_possible_truncation, reason = "16 words")]
pub const VMBMEM: RegArray<u32, Rw> = RegArray::at(0x0800, 4, WORDS as u32);

// Receive queues.

/// Bytes from a queue's register to the same register of the next queue.
pub const QUEUE_STRIDE: u32 = 0x100;

/// PSRTYPE, packet split receive type: which headers are split. Not used without header split.
pub const PSRTYPE: Reg<u32, Rw> = Reg::at(0x0f0c);
/// RDBAL, receive descriptor ring address, low half.
pub const RDBAL: RegArray<u32, Rw> = queue(0x2800);
/// RDBAH, receive descriptor ring address, high half.
pub const RDBAH: RegArray<u32, Rw> = queue(0x2804);
/// RDLEN, receive descriptor ring length, in bytes.
pub const RDLEN: RegArray<u32, Rw> = queue(0x2808);
/// SRRCTL, split and replication receive control. Bits `SRRCTL_*`.
pub const SRRCTL: RegArray<u32, Rw> = queue(0x280c);
/// RDH, receive descriptor head: the next descriptor that the device takes.
pub const RDH: RegArray<u32, Rw> = queue(0x2810);
/// RXCTL (DCA_RXCTRL), receive DCA control: processor hints and PCI Express ordering.
pub const RXCTL: RegArray<u32, Rw> = queue(0x2814);
/// RDT, receive descriptor tail: the first descriptor that the device may not take. The doorbell: a driver never needs to read it.
pub const RDT: RegArray<u32, Wo> = queue(0x2818);
/// RXDCTL, receive descriptor control. Bits `DCTL_*`.
pub const RXDCTL: RegArray<u32, Rw> = queue(0x2828);
/// RQDPC, receive queue drop packet count: frames dropped for want of descriptors.
pub const RQDPC: RegArray<u32, ClearOnRead> = queue(0x2830);

/// [`SRRCTL`]: the size of each packet buffer in KiB, 7 bits.
pub const SRRCTL_BSIZEPACKET_MASK: u32 = 0x7f;
/// [`SRRCTL`]: bits of the descriptor type.
pub const SRRCTL_DESCTYPE_MASK: u32 = 0b111 << 25;
/// [`SRRCTL`]: advanced descriptors, one buffer.
pub const SRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER: u32 = 0b001 << 25;
/// [`SRRCTL`]: frames without a free descriptor are dropped (and counted), so that a full ring cannot block other functions.
pub const SRRCTL_DROP_EN: u32 = 1 << 31;
/// Unit of [`SRRCTL_BSIZEPACKET_MASK`], in bytes.
pub const SRRCTL_BSIZEPACKET_UNIT_BYTES: usize = 1024;

// Transmit queues.

/// TDBAL, transmit descriptor ring address, low half.
pub const TDBAL: RegArray<u32, Rw> = queue(0x3800);
/// TDBAH, transmit descriptor ring address, high half.
pub const TDBAH: RegArray<u32, Rw> = queue(0x3804);
/// TDLEN, transmit descriptor ring length, in bytes.
pub const TDLEN: RegArray<u32, Rw> = queue(0x3808);
/// TDH, transmit descriptor head: the next descriptor that the device takes.
pub const TDH: RegArray<u32, Rw> = queue(0x3810);
/// TXCTL (DCA_TXCTRL), transmit DCA control: processor hints and PCI Express ordering.
pub const TXCTL: RegArray<u32, Rw> = queue(0x3814);
/// TDT, transmit descriptor tail: the first descriptor that the device may not take. The doorbell: a driver never needs to read it.
pub const TDT: RegArray<u32, Wo> = queue(0x3818);
/// TXDCTL, transmit descriptor control. Bits `DCTL_*`.
pub const TXDCTL: RegArray<u32, Rw> = queue(0x3828);
/// TDWBAL, transmit descriptor write-back address, low half: where the head is written instead of DD bits.
pub const TDWBAL: RegArray<u32, Rw> = queue(0x3838);
/// TDWBAH, transmit descriptor write-back address, high half.
pub const TDWBAH: RegArray<u32, Rw> = queue(0x383c);

/// [`TXCTL`]: descriptor write-backs may pass other writes (PCI Express relaxed ordering). Off where DD tells that a frame is done.
pub const TXCTL_DESC_WRITEBACK_RELAXED: u32 = 1 << 11;
/// [`TDWBAL`]: head write-back is on. The address is a multiple of 4 bytes.
pub const TDWBAL_HEAD_WB_EN: u32 = 1 << 0;

/// [`RXDCTL`], [`TXDCTL`]: bits of each threshold.
pub const DCTL_THRESHOLD_MASK: u32 = 0x1f;
/// [`RXDCTL`], [`TXDCTL`]: where the prefetch threshold begins: descriptors left on chip below which more are fetched.
pub const DCTL_PTHRESH_SHIFT: u32 = 0;
/// [`RXDCTL`], [`TXDCTL`]: where the host threshold begins: the fewest descriptors that are fetched at once.
pub const DCTL_HTHRESH_SHIFT: u32 = 8;
/// [`RXDCTL`], [`TXDCTL`]: where the write-back threshold begins: descriptors gathered before they are written back.
pub const DCTL_WTHRESH_SHIFT: u32 = 16;
/// [`RXDCTL`], [`TXDCTL`]: the queue is enabled. It reads as set once the device has taken it.
pub const DCTL_ENABLE: u32 = 1 << 25;
/// [`RXDCTL`], [`TXDCTL`]: writes gathered descriptors back at once; clears itself.
pub const DCTL_SWFLUSH: u32 = 1 << 26;

/// The three thresholds of [`RXDCTL`] or [`TXDCTL`], each 0 to 31.
pub const fn dctl_thresholds(prefetch: u32, host: u32, write_back: u32) -> u32 {
    assert!(prefetch <= DCTL_THRESHOLD_MASK && host <= DCTL_THRESHOLD_MASK && write_back <= DCTL_THRESHOLD_MASK, "5-bit fields");
    prefetch << DCTL_PTHRESH_SHIFT | host << DCTL_HTHRESH_SHIFT | write_back << DCTL_WTHRESH_SHIFT
}

// Statistics: 32 bits, they wrap, and reading does not clear them.

/// VFGPRC, good packets received count.
pub const VFGPRC: Reg<u32, Ro> = Reg::at(0x0f10);
/// VFGPTC, good packets transmitted count.
pub const VFGPTC: Reg<u32, Ro> = Reg::at(0x0f14);
/// VFGORC, good octets received count.
pub const VFGORC: Reg<u32, Ro> = Reg::at(0x0f18);
/// VFGOTC, good octets transmitted count.
pub const VFGOTC: Reg<u32, Ro> = Reg::at(0x0f34);
/// VFMPRC, multicast packets received count.
pub const VFMPRC: Reg<u32, Ro> = Reg::at(0x0f3c);
/// VFGPRLBC, good packets received in loopback count: from other functions of the device.
pub const VFGPRLBC: Reg<u32, Ro> = Reg::at(0x0f40);
/// VFGPTLBC, good packets transmitted in loopback count: to other functions of the device.
pub const VFGPTLBC: Reg<u32, Ro> = Reg::at(0x0f44);
/// VFGORLBC, good octets received in loopback count.
pub const VFGORLBC: Reg<u32, Ro> = Reg::at(0x0f48);
/// VFGOTLBC, good octets transmitted in loopback count.
pub const VFGOTLBC: Reg<u32, Ro> = Reg::at(0x0f50);

/// A register that each queue has.
const fn queue<A>(base: u32) -> RegArray<u32, A> {
    let registers = RegArray::at(base, QUEUE_STRIDE, MAX_QUEUE_PAIRS);
    assert!(base + QUEUE_STRIDE * MAX_QUEUE_PAIRS <= super::REGISTER_BAR_BYTES, "the queue's registers lie in the BAR");
    registers
}

register_names! {
    in "regs.rs", indented "";
    one:
        CTRL STATUS FRTIMER EICS EIMS EIMC EIAC EIAM EICR IVAR IVAR_MISC PBACL VFMAILBOX PSRTYPE VFGPRC VFGPTC VFGORC VFGOTC VFMPRC
        VFGPRLBC VFGPTLBC VFGORLBC VFGOTLBC;
    array:
        EITR VMBMEM RDBAL RDBAH RDLEN SRRCTL RDH RXCTL RDT RXDCTL RQDPC TDBAL TDBAH TDLEN TDH TXCTL TDT TXDCTL TDWBAL TDWBAH
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QEMU `igbvf.c`, `vf_to_pf_addr`, with the values of `igb_regs.h` and `e1000x_regs.h`.
    #[test]
    fn general_and_interrupt_offsets() {
        assert_eq!([CTRL.offset(), STATUS.offset(), FRTIMER.offset()], [0x0, 0x8, 0x1048]);
        assert_eq!([EICS.offset(), EIMS.offset(), EIMC.offset(), EIAC.offset(), EIAM.offset()], [0x1520, 0x1524, 0x1528, 0x152c, 0x1530]);
        assert_eq!([EICR.offset(), EITR.index(0).offset(), EITR.index(2).offset()], [0x1580, 0x1680, 0x1688]);
        assert_eq!([IVAR.offset(), IVAR_MISC.offset(), PBACL.offset(), PSRTYPE.offset()], [0x1700, 0x1740, 0xf04, 0xf0c]);
        assert_eq!([VFMAILBOX.offset(), VMBMEM.index(0).offset(), VMBMEM.index(15).offset()], [0xc40, 0x800, 0x83c]);
    }

    /// DPDK `e1000_regs.h`, the macros of queues 0 to 3.
    #[test]
    fn queue_offsets() {
        let rx = [RDBAL, RDBAH, RDLEN, SRRCTL, RDH, RXCTL, RXDCTL].map(|register| register.index(1).offset());
        assert_eq!(rx, [0x2900, 0x2904, 0x2908, 0x290c, 0x2910, 0x2914, 0x2928]);
        assert_eq!([RDT.index(1).offset(), RQDPC.index(0).offset(), RQDPC.index(1).offset()], [0x2918, 0x2830, 0x2930]);
        let tx = [TDBAL, TDBAH, TDLEN, TDH, TXCTL, TXDCTL, TDWBAL, TDWBAH].map(|register| register.index(1).offset());
        assert_eq!(tx, [0x3900, 0x3904, 0x3908, 0x3910, 0x3914, 0x3928, 0x3938, 0x393c]);
        assert_eq!(TDT.index(0).offset(), 0x3818);
    }

    /// QEMU `igb_regs.h`: the VF's addresses, and the PF's mirrors (PVFGPRC and so on), whose order is the same.
    #[test]
    fn statistics_offsets() {
        let offsets = [VFGPRC, VFGPTC, VFGORC, VFGOTC, VFMPRC, VFGPRLBC, VFGPTLBC, VFGORLBC, VFGOTLBC].map(Reg::offset);
        assert_eq!(offsets, [0xf10, 0xf14, 0xf18, 0xf34, 0xf3c, 0xf40, 0xf44, 0xf48, 0xf50]);
        assert_eq!(offsets.map(|offset| offset & 0xff), [0x10, 0x14, 0x18, 0x34, 0x3c, 0x40, 0x44, 0x48, 0x50]);
    }

    /// DPDK `e1000_defines.h` (E1000_CTRL_RST, E1000_STATUS_*), `e1000_vf.h` and `e1000_82575.h` (E1000_SRRCTL_*, E1000_RXDCTL_*,
    /// E1000_DCA_TXCTRL_TX_WB_RO_EN, E1000_TX_HEAD_WB_ENABLE).
    #[test]
    fn bits() {
        assert_eq!(CTRL_RST, 0x0400_0000);
        assert_eq!([STATUS_FD, STATUS_LU, STATUS_SPEED_100, STATUS_SPEED_1000], [1, 2, 0x40, 0x80]);
        assert_eq!([SRRCTL_BSIZEPACKET_MASK, SRRCTL_DESCTYPE_MASK, SRRCTL_DROP_EN], [0x7f, 0x0e00_0000, 0x8000_0000]);
        assert_eq!(SRRCTL_DESCTYPE_ADVANCED_ONE_BUFFER, 0x0200_0000);
        assert_eq!(SRRCTL_BSIZEPACKET_UNIT_BYTES, 1 << 10);
        assert_eq!([DCTL_ENABLE, DCTL_SWFLUSH, TXCTL_DESC_WRITEBACK_RELAXED, TDWBAL_HEAD_WB_EN], [0x0200_0000, 0x0400_0000, 0x800, 1]);
        assert_eq!([EI_ALL, u32::from(IVAR_VALID)], [7, 0x80]);
    }

    /// DPDK `igb_ethdev.c` packs PTHRESH, HTHRESH and WTHRESH at bits 0, 8 and 16 of RXDCTL.
    #[test]
    fn thresholds_are_packed() {
        assert_eq!(dctl_thresholds(16, 8, 1), 0x0001_0810);
    }

    /// QEMU `igb_regs.h`, `igb_ivar_entry_rx` and `_tx`: VF 0 has queues 0 and 8, whose entries are bytes 0, 2 and 1, 3.
    #[test]
    fn vector_entries() {
        assert_eq!([ivar_rx_shift(0), ivar_rx_shift(1), ivar_tx_shift(0), ivar_tx_shift(1)], [0, 16, 8, 24]);
    }

    #[test]
    fn link_speed() {
        assert_eq!(link_mbps(STATUS_SPEED_1000), None);
        assert_eq!(link_mbps(STATUS_LU | STATUS_SPEED_1000), Some(1000));
        assert_eq!(link_mbps(STATUS_LU | STATUS_SPEED_MASK), Some(1000));
        assert_eq!(link_mbps(STATUS_LU | STATUS_SPEED_100), Some(100));
        assert_eq!(link_mbps(STATUS_LU), Some(10));
    }

    #[test]
    fn registers_are_found_by_offset() {
        use std::string::ToString;
        let name = |offset| name_of(offset).map(|name| name.to_string());
        assert_eq!(name(TDT.index(1).offset()).as_deref(), Some("TDT[1]"));
        assert_eq!(name(VFMAILBOX.offset()).as_deref(), Some("VFMAILBOX"));
        assert_eq!(name(0x3ffc), None);
    }
}
