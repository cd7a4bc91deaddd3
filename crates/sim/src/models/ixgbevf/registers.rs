//! Which register lies where.

use crate::models::intel::{index_of, ring::RingPart};
use vfwire_spec::ixgbevf::{Family, regs};

/// Registers that only hold what was written.
pub(super) const SCRATCH: usize = 12;

/// A register of the VF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Register {
    Ctrl,
    Status,
    Links,
    Timer,
    Mailbox,
    MailboxMemory(usize),
    PacketSplit,
    Rx(usize, RxPart),
    Tx(usize, RingPart),
    Statistic(Statistic),
    /// VFMRQC.
    RssControl,
    /// VFRSSRK.
    RssKey(usize),
    /// VFRETA.
    RssTable(usize),
    Scratch(usize),
    WriteOnly,
}

/// What an RX queue has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RxPart {
    Ring(RingPart),
    SplitControl,
    Coalescing,
}

/// A statistics register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Statistic {
    RxFrames,
    RxOctetsLow,
    RxOctetsHigh,
    RxMulticast,
    TxFrames,
    TxOctetsLow,
    TxOctetsHigh,
}

impl Register {
    /// The register at `offset` bytes, if this device has one there.
    pub(super) fn at(device: Family, offset: u32) -> Option<Self> {
        Self::general(offset)
            .or_else(|| Self::scratch(offset))
            .or_else(|| Self::receive(offset))
            .or_else(|| Self::transmit(offset))
            .or_else(|| Self::statistic(offset))
            .or_else(|| Self::rss(offset).filter(|_| device.has_own_rss()))
            .or_else(|| Some(Self::MailboxMemory(index_of(regs::VFMBMEM, offset)?)))
    }

    fn general(offset: u32) -> Option<Self> {
        let known = [
            (regs::VFCTRL.offset(), Self::Ctrl),
            (regs::VFSTATUS.offset(), Self::Status),
            (regs::VFLINKS.offset(), Self::Links),
            (regs::VFFRTIMER.offset(), Self::Timer),
            (regs::VFMAILBOX.offset(), Self::Mailbox),
            (regs::VFPSRTYPE.offset(), Self::PacketSplit),
            (regs::VTEICS.offset(), Self::WriteOnly),
            (regs::VTEIMC.offset(), Self::WriteOnly),
        ];
        find(&known, offset)
    }

    fn statistic(offset: u32) -> Option<Self> {
        let known = [
            (regs::VFGPRC.offset(), Statistic::RxFrames),
            (regs::VFGORC_LSB.offset(), Statistic::RxOctetsLow),
            (regs::VFGORC_MSB.offset(), Statistic::RxOctetsHigh),
            (regs::VFMPRC.offset(), Statistic::RxMulticast),
            (regs::VFGPTC.offset(), Statistic::TxFrames),
            (regs::VFGOTC_LSB.offset(), Statistic::TxOctetsLow),
            (regs::VFGOTC_MSB.offset(), Statistic::TxOctetsHigh),
        ];
        find(&known, offset).map(Self::Statistic)
    }

    fn rss(offset: u32) -> Option<Self> {
        if offset == regs::VFMRQC.offset() {
            return Some(Self::RssControl);
        }
        let key = index_of(regs::VFRSSRK, offset).map(Self::RssKey);
        key.or_else(|| Some(Self::RssTable(index_of(regs::VFRETA, offset)?)))
    }

    fn scratch(offset: u32) -> Option<Self> {
        let single =
            [regs::VTEICR.offset(), regs::VTEIMS.offset(), regs::VTEIAC.offset(), regs::VTEIAM.offset(), regs::VTIVAR_MISC.offset()];
        let at = single.iter().position(|known| *known == offset);
        at.or_else(|| Some(single.len() + index_of(regs::VTEITR, offset)?))
            .or_else(|| Some(single.len() + 3 + index_of(regs::VTIVAR, offset)?))
            .map(Self::Scratch)
    }

    fn receive(offset: u32) -> Option<Self> {
        let parts = [
            (regs::VFRDBAL, RxPart::Ring(RingPart::BaseLow)),
            (regs::VFRDBAH, RxPart::Ring(RingPart::BaseHigh)),
            (regs::VFRDLEN, RxPart::Ring(RingPart::Length)),
            (regs::VFRDH, RxPart::Ring(RingPart::Head)),
            (regs::VFRXDCTL, RxPart::Ring(RingPart::Control)),
            (regs::VFDCA_RXCTRL, RxPart::Ring(RingPart::Hints)),
            (regs::VFSRRCTL, RxPart::SplitControl),
            (regs::VFRSCCTL, RxPart::Coalescing),
        ];
        let found = parts.iter().find_map(|(array, part)| Some(Self::Rx(index_of(*array, offset)?, *part)));
        found.or_else(|| Some(Self::Rx(index_of(regs::VFRDT, offset)?, RxPart::Ring(RingPart::Tail))))
    }

    fn transmit(offset: u32) -> Option<Self> {
        let parts = [
            (regs::VFTDBAL, RingPart::BaseLow),
            (regs::VFTDBAH, RingPart::BaseHigh),
            (regs::VFTDLEN, RingPart::Length),
            (regs::VFTDH, RingPart::Head),
            (regs::VFTXDCTL, RingPart::Control),
            (regs::VFDCA_TXCTRL, RingPart::Hints),
            (regs::VFTDWBAL, RingPart::WriteBackLow),
            (regs::VFTDWBAH, RingPart::WriteBackHigh),
        ];
        let found = parts.iter().find_map(|(array, part)| Some(Self::Tx(index_of(*array, offset)?, *part)));
        found.or_else(|| Some(Self::Tx(index_of(regs::VFTDT, offset)?, RingPart::Tail)))
    }
}

fn find<T: Copy>(known: &[(u32, T)], offset: u32) -> Option<T> {
    known.iter().find(|(at, _)| *at == offset).map(|(_, register)| *register)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(device: Family) -> Vec<Register> {
        (0..vfwire_spec::ixgbevf::REGISTER_BAR_BYTES).step_by(4).filter_map(|offset| Register::at(device, offset)).collect()
    }

    #[test]
    fn every_register_is_found_once() {
        let of_82599 = known(Family::I82599);
        for (at, register) in of_82599.iter().enumerate() {
            assert!(*register == Register::WriteOnly || !of_82599[..at].contains(register), "{register:?} twice");
        }
        let scratch = of_82599.iter().filter(|register| matches!(register, Register::Scratch(_))).count();
        assert_eq!(scratch, SCRATCH);
        // 6 general, 2 write-only, 16 of the mailbox, 8 x 9 RX, 8 x 9 TX, 7 statistics.
        assert_eq!(of_82599.len() - scratch, 6 + 2 + 16 + 72 + 72 + 7);
        // VFMRQC, VFRSSRK, VFRETA.
        assert_eq!(known(Family::X550).len() - of_82599.len(), 1 + 10 + 16);
        assert_eq!(known(Family::X540), of_82599);
        assert_eq!(Register::at(Family::I82599, 0x11d8), Some(Register::Rx(7, RxPart::Ring(RingPart::Tail))));
        assert_eq!(Register::at(Family::I82599, 0x101c), Some(Register::Statistic(Statistic::RxFrames)));
        assert_eq!(Register::at(Family::I82599, 0x4), None);
    }
}
