//! The VF as the shared port life cycle wants it ([`Vf`]): what is done to it at each step of its life.

use crate::{
    Ixgbevf,
    control::{Control, MAX_MTU_BYTES},
    rx::{self, RxDesc},
    stats::{self, Device, Raw},
    tx::{self, TxDesc},
};
use std::{ops::RangeInclusive, time::Duration};
use vfwire_core::{
    bar::{Bar, Doorbell, Regs},
    bus::PciFunction,
    error::{BusError, PortError},
    life::Setback,
    meta::RxWords,
    port::{Driver, Granted, Intent, Link, Rss, Setting},
    stats::DeviceStats,
};
use vfwire_intel_vf::{
    mailbox::Mailbox,
    port::{self, Pair, Vf, VfPort, map_registers},
};
use vfwire_spec::{
    ixgbevf::{Family, IDS, REGISTER_BAR, REGISTER_BAR_BYTES, RING_MAX_DESC, RING_MIN_DESC, regs},
    net::MacAddr,
};

/// A port on an 82599, X540, X550 or E610 VF.
pub type IxgbevfPort<F> = VfPort<F, IxgbeVf<<F as PciFunction>::Bar>>;

/// Takes a function and makes a stopped port of it.
pub(crate) fn probe<F: PciFunction>(function: F) -> Result<IxgbevfPort<F>, PortError> {
    let id = function.id();
    let family = Family::of(id).ok_or_else(|| PortError::setting("the function", id, format!("one of {IDS:?} for this driver")))?;
    let regs = map_registers(&function, REGISTER_BAR, REGISTER_BAR_BYTES)?;
    let vf = IxgbeVf { control: Control::new(regs.clone(), family), regs, family, counters: Device::default() };
    port::probe(function, vf)
}

/// An 82599, X540, X550 or E610 VF.
#[derive(Debug)]
pub struct IxgbeVf<B> {
    regs: Regs<B>,
    control: Control<B>,
    family: Family,
    counters: Device,
}

impl<B: Bar> Vf for IxgbeVf<B> {
    type Bar = B;
    type RxDesc = RxDesc;
    type TxDesc = TxDesc;
    type Raw = Raw;
    const NAME: &'static str = Ixgbevf::NAME;
    const MAX_MTU_BYTES: u16 = MAX_MTU_BYTES;
    const RING_DESC: RangeInclusive<usize> = RING_MIN_DESC..=RING_MAX_DESC;

    fn mailbox(&mut self) -> &mut Mailbox<B> {
        &mut self.control.mailbox
    }

    fn mac(&self) -> MacAddr {
        self.control.mac()
    }

    fn max_frame_bytes(&self) -> u32 {
        self.control.max_frame_bytes()
    }

    fn max_queue_pairs(&self) -> u16 {
        self.control.max_queue_pairs()
    }

    fn check_queue_pairs(&self, asked: u16) -> Result<(), PortError> {
        self.control.check_queue_pairs(asked)
    }

    fn rx_words(&self) -> &'static RxWords {
        rx::words(self.family)
    }

    fn doorbells(&self, queue: u32) -> [Doorbell<B>; 2] {
        [self.regs.doorbell(regs::VFRDT.index(queue)), self.regs.doorbell(regs::VFTDT.index(queue))]
    }

    fn reset(&mut self) -> Duration {
        self.control.reset()
    }

    fn begin(&mut self) -> Result<(), Setback> {
        self.control.begin()
    }

    fn ask(&mut self, intent: &Intent) -> Result<Granted, Setback> {
        self.control.ask(intent)
    }

    fn heard_of_change(&mut self) -> Result<(), Setback> {
        self.control.learn_link()
    }

    /// Transmit first, so that what is received can be answered.
    fn impossible(setting: Setting) -> Option<&'static str> {
        match setting {
            Setting::Rss => {
                Some("an 82599's or X540's RSS is its PF's to set (ethtool -X PF, on the host), and an X550's is fixed by this driver")
            }
            _ => None,
        }
    }

    fn enable(&self, rings: &[Pair], room_bytes: u32) -> Result<(), PortError> {
        let queues = u32::try_from(rings.len()).unwrap_or(u32::MAX);
        rx::spread(&self.regs, self.family, queues);
        for (queue, pair) in (0..).zip(rings) {
            tx::disable(&self.regs, queue)?;
            rx::disable(&self.regs, queue)?;
            tx::configure_tx(&self.regs, queue, pair.tx.0, pair.tx.1);
            rx::configure_rx(&self.regs, queue, pair.rx.0, pair.rx.1, room_bytes);
        }
        for queue in 0..queues {
            tx::enable(&self.regs, queue)?;
            rx::enable(&self.regs, self.family, queue, self.control.max_frame_bytes())?;
        }
        Ok(())
    }

    fn confirm(&mut self) -> Result<(), Setback> {
        self.control.confirm()
    }

    fn disable(&self) -> Result<(), PortError> {
        for queue in 0..u32::from(self.control.max_queue_pairs()) {
            rx::disable(&self.regs, queue)?;
            tx::disable(&self.regs, queue)?;
        }
        Ok(())
    }

    fn is_enabled(&self) -> Result<bool, PortError> {
        rx::is_enabled(&self.regs, 0)
    }

    fn link(&self) -> Result<Link, BusError> {
        let links = self.regs.read(regs::VFLINKS);
        if links == u32::MAX {
            return Err(BusError::Gone);
        }
        let mbps = match self.control.pf_link() {
            Some(link) => link.mbps(),
            None => regs::link_mbps(self.family, links),
        };
        let mbps = mbps.filter(|_| self.control.link_allowed());
        Ok(Link { up: mbps.is_some(), mbps: mbps.unwrap_or(0) })
    }

    fn rss(&mut self) -> Result<Rss, Setback> {
        if self.family.has_own_rss() { Ok(rx::own_rss(&self.regs)) } else { self.control.shared_rss() }
    }

    fn read_counters(&self) -> Raw {
        stats::read(&self.regs)
    }

    fn begin_counters(&mut self, now: Raw) {
        self.counters.begin(now);
    }

    fn update_counters(&mut self, now: Raw) {
        self.counters.update(now);
    }

    fn device_stats(&self) -> DeviceStats {
        self.counters.stats()
    }
}
