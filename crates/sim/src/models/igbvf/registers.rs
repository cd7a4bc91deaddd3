//! Which register lies where.

use crate::models::intel::{index_of, ring::RingPart};
use vfwire_spec::igbvf::regs;

/// Registers that only hold what was written.
pub(super) const SCRATCH: usize = 11;

/// A register of the VF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Register {
    Ctrl,
    Status,
    Mailbox,
    MailboxMemory(usize),
    Rx(usize, RxPart),
    Tx(usize, RingPart),
    Statistic(Statistic),
    Scratch(usize),
    WriteOnly,
}

/// What an RX queue has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RxPart {
    Ring(RingPart),
    SplitControl,
    Dropped,
}

/// A statistics register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Statistic {
    RxFrames,
    RxBytes,
    RxMulticast,
    TxFrames,
    TxBytes,
    /// Frames and bytes between functions of one device: the wire of a model is the only way out.
    Loopback,
}

impl Register {
    /// The register at `offset` bytes, if there is one.
    pub(super) fn at(offset: u32) -> Option<Self> {
        Self::general(offset)
            .or_else(|| Self::scratch(offset))
            .or_else(|| Self::receive(offset))
            .or_else(|| Self::transmit(offset))
            .or_else(|| Some(Self::MailboxMemory(index_of(regs::VMBMEM, offset)?)))
    }

    /// The queue that it belongs to.
    pub(super) fn queue(self) -> Option<usize> {
        match self {
            Self::Rx(queue, _) | Self::Tx(queue, _) => Some(queue),
            _ => None,
        }
    }

    fn general(offset: u32) -> Option<Self> {
        const CTRL: u32 = regs::CTRL.offset();
        const STATUS: u32 = regs::STATUS.offset();
        const MAILBOX: u32 = regs::VFMAILBOX.offset();
        const EICS: u32 = regs::EICS.offset();
        const EIMC: u32 = regs::EIMC.offset();
        const GPRC: u32 = regs::VFGPRC.offset();
        const GORC: u32 = regs::VFGORC.offset();
        const MPRC: u32 = regs::VFMPRC.offset();
        const GPTC: u32 = regs::VFGPTC.offset();
        const GOTC: u32 = regs::VFGOTC.offset();
        const GPRLBC: u32 = regs::VFGPRLBC.offset();
        const GPTLBC: u32 = regs::VFGPTLBC.offset();
        const GORLBC: u32 = regs::VFGORLBC.offset();
        const GOTLBC: u32 = regs::VFGOTLBC.offset();
        Some(match offset {
            CTRL => Self::Ctrl,
            STATUS => Self::Status,
            MAILBOX => Self::Mailbox,
            EICS | EIMC => Self::WriteOnly,
            GPRC => Self::Statistic(Statistic::RxFrames),
            GORC => Self::Statistic(Statistic::RxBytes),
            MPRC => Self::Statistic(Statistic::RxMulticast),
            GPTC => Self::Statistic(Statistic::TxFrames),
            GOTC => Self::Statistic(Statistic::TxBytes),
            GPRLBC | GPTLBC | GORLBC | GOTLBC => Self::Statistic(Statistic::Loopback),
            _ => return None,
        })
    }

    fn scratch(offset: u32) -> Option<Self> {
        let single = [
            regs::EIMS.offset(),
            regs::EIAC.offset(),
            regs::EIAM.offset(),
            regs::EICR.offset(),
            regs::IVAR.offset(),
            regs::IVAR_MISC.offset(),
            regs::PBACL.offset(),
            regs::PSRTYPE.offset(),
        ];
        let at = single.iter().position(|known| *known == offset);
        at.or_else(|| Some(single.len() + index_of(regs::EITR, offset)?)).map(Self::Scratch)
    }

    fn receive(offset: u32) -> Option<Self> {
        let parts = [
            (regs::RDBAL, RingPart::BaseLow),
            (regs::RDBAH, RingPart::BaseHigh),
            (regs::RDLEN, RingPart::Length),
            (regs::RDH, RingPart::Head),
            (regs::RXDCTL, RingPart::Control),
            (regs::RXCTL, RingPart::Hints),
        ];
        let of_ring = parts.iter().find_map(|(array, part)| Some(Self::Rx(index_of(*array, offset)?, RxPart::Ring(*part))));
        of_ring
            .or_else(|| Some(Self::Rx(index_of(regs::RDT, offset)?, RxPart::Ring(RingPart::Tail))))
            .or_else(|| Some(Self::Rx(index_of(regs::SRRCTL, offset)?, RxPart::SplitControl)))
            .or_else(|| Some(Self::Rx(index_of(regs::RQDPC, offset)?, RxPart::Dropped)))
    }

    fn transmit(offset: u32) -> Option<Self> {
        let parts = [
            (regs::TDBAL, RingPart::BaseLow),
            (regs::TDBAH, RingPart::BaseHigh),
            (regs::TDLEN, RingPart::Length),
            (regs::TDH, RingPart::Head),
            (regs::TXDCTL, RingPart::Control),
            (regs::TXCTL, RingPart::Hints),
            (regs::TDWBAL, RingPart::WriteBackLow),
            (regs::TDWBAH, RingPart::WriteBackHigh),
        ];
        let of_ring = parts.iter().find_map(|(array, part)| Some(Self::Tx(index_of(*array, offset)?, *part)));
        of_ring.or_else(|| Some(Self::Tx(index_of(regs::TDT, offset)?, RingPart::Tail)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_is_found_once() {
        let known: Vec<Register> = (0..vfwire_spec::igbvf::REGISTER_BAR_BYTES).step_by(4).filter_map(Register::at).collect();
        for (at, register) in known.iter().enumerate() {
            let is_shared = matches!(register, Register::WriteOnly | Register::Statistic(Statistic::Loopback));
            assert!(is_shared || !known[..at].contains(register), "{register:?} twice");
        }
        let scratch = known.iter().filter(|register| matches!(register, Register::Scratch(_))).count();
        assert_eq!(scratch, SCRATCH);
        // 3 general, 16 of the mailbox, 2 x 9 RX, 2 x 9 TX, 9 statistics, 2 write-only.
        assert_eq!(known.len() - scratch, 3 + 16 + 18 + 18 + 9 + 2);
        assert_eq!(Register::at(0x2918), Some(Register::Rx(1, RxPart::Ring(RingPart::Tail))));
        assert_eq!(Register::at(0x4), None);
    }
}
