//! The VF as the shared port life cycle wants it ([`Vf`]): what is done to it at each step of its life.

use crate::{
    Igbvf,
    control::{Control, MAX_MTU_BYTES},
    rx::{self, RxDesc},
    stats::{self, Device, Raw},
    tx::{self, TxDesc},
};
use std::ops::RangeInclusive;
use vfwire_core::{
    bar::{Bar, Doorbell, Regs},
    bus::PciFunction,
    error::{BusError, PortError},
    life::Setback,
    meta::RxWords,
    port::{Driver, Granted, Intent, Link, Offload, Rss, Setting},
    stats::DeviceStats,
};
use vfwire_intel_vf::{
    mailbox::Mailbox,
    port::{self, Pair, Vf, VfPort, map_registers},
};
use vfwire_spec::{
    igbvf::{Family, IDS, REGISTER_BAR, REGISTER_BAR_BYTES, RING_MAX_DESC, RING_MIN_DESC, regs},
    net::MacAddr,
};

/// A port on an 82576 or I350 VF.
pub type IgbvfPort<F> = VfPort<F, IgbVf<<F as PciFunction>::Bar>>;

/// Takes a function and makes a stopped port of it.
pub(crate) fn probe<F: PciFunction>(function: F) -> Result<IgbvfPort<F>, PortError> {
    let id = function.id();
    let family = Family::of(id).ok_or_else(|| PortError::setting("the function", id, format!("one of {IDS:?} for this driver")))?;
    let regs = map_registers(&function, REGISTER_BAR, REGISTER_BAR_BYTES)?;
    let vf = IgbVf { control: Control::new(regs.clone()), regs, family, counters: Device::default() };
    port::probe(function, vf)
}

/// An 82576 or I350 VF.
#[derive(Debug)]
pub struct IgbVf<B> {
    regs: Regs<B>,
    control: Control<B>,
    family: Family,
    counters: Device,
}

impl<B: Bar> Vf for IgbVf<B> {
    type Bar = B;
    type RxDesc = RxDesc;
    type TxDesc = TxDesc;
    type Raw = Raw;
    const NAME: &'static str = Igbvf::NAME;
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
        u16::try_from(self.family.queue_pairs()).unwrap_or(1)
    }

    fn check_queue_pairs(&self, asked: u16) -> Result<(), PortError> {
        let most = self.max_queue_pairs();
        if asked == 0 || asked > most {
            return Err(PortError::setting("the number of queue pairs", asked, format!("1 to {most} on this device")));
        }
        Ok(())
    }

    fn rx_words(&self) -> &'static RxWords {
        rx::words(self.family)
    }

    fn doorbells(&self, queue: u32) -> [Doorbell<B>; 2] {
        [self.regs.doorbell(regs::RDT.index(queue)), self.regs.doorbell(regs::TDT.index(queue))]
    }

    fn begin(&mut self) -> Result<(), Setback> {
        self.control.begin()
    }

    fn ask(&mut self, intent: &Intent) -> Result<Granted, Setback> {
        self.control.ask(intent)
    }

    /// Transmit first, so that what is received can be answered.
    fn impossible(setting: Setting) -> Option<&'static str> {
        match setting {
            Setting::Rss => Some("RSS of an 82576 or I350 VF is its PF's to set: ethtool -X PF, on the host"),
            Setting::Offload(Offload::RssHash) => {
                Some("an 82576 or I350 VF receives on one queue, and its descriptors carry no hash that means anything")
            }
            _ => None,
        }
    }

    fn enable(&self, rings: &[Pair], room_bytes: u32) -> Result<(), PortError> {
        for (queue, pair) in (0..).zip(rings) {
            tx::disable(&self.regs, queue)?;
            rx::disable(&self.regs, queue)?;
            tx::configure_tx(&self.regs, queue, pair.tx.0, pair.tx.1);
            rx::configure_rx(&self.regs, queue, pair.rx.0, pair.rx.1, room_bytes);
        }
        for (queue, _) in (0..).zip(rings) {
            tx::enable(&self.regs, queue)?;
            rx::enable(&self.regs, queue)?;
        }
        Ok(())
    }

    fn confirm(&mut self) -> Result<(), Setback> {
        self.control.confirm()
    }

    fn disable(&self) -> Result<(), PortError> {
        for queue in 0..self.family.queue_pairs() {
            rx::disable(&self.regs, queue)?;
            tx::disable(&self.regs, queue)?;
        }
        Ok(())
    }

    fn is_enabled(&self) -> Result<bool, PortError> {
        rx::is_enabled(&self.regs, 0)
    }

    fn link(&self) -> Result<Link, BusError> {
        let status = self.regs.read(regs::STATUS);
        if status == u32::MAX {
            return Err(BusError::Gone);
        }
        let mbps = regs::link_mbps(status);
        Ok(Link { up: mbps.is_some(), mbps: mbps.unwrap_or(0) })
    }

    fn rss(&mut self) -> Result<Rss, Setback> {
        let what = "an 82576 or I350 VF cannot look at its PF's RSS table and key: ethtool -x PF shows them on the host";
        Err(Setback::Failed(PortError::State(what)))
    }

    fn read_counters(&self) -> Raw {
        stats::read(&self.regs)
    }

    fn begin_counters(&mut self, now: Raw) {
        self.counters.begin(now);
    }

    fn update_counters(&mut self, now: Raw) {
        self.counters.update(now);
        self.counters.update_drops(&self.regs, self.family.queue_pairs());
    }

    fn device_stats(&self) -> DeviceStats {
        self.counters.stats()
    }

    fn no_descriptor_frames(&self, queue: usize) -> u64 {
        self.counters.no_descriptor_frames(queue)
    }
}
