//! A VF as the life of a port wants it, the same for every family. What a family does at each step is a [`Vf`].

use crate::{
    mailbox::{Mailbox, Notice},
    queue::{AdvRx, AdvTx},
};
use std::{ops::RangeInclusive, time::Duration};
use vfwire_core::{
    bar::{Bar, Doorbell, Regs},
    bus::{BarIndex, PciFunction},
    dma::{DmaSpace, Iova},
    error::{BusError, PortError},
    format::{RxFormat, TxFormat},
    gate::Pass,
    life::{Hardware, LivePort, Setback},
    meta::RxWords,
    path::Path,
    port::{Granted, Intent, Link, PortConfig, Refusal, Rss, Setting},
    ring::{Deposit, RxRing, TxRing},
    stats::DeviceStats,
};
use vfwire_spec::net::MacAddr;

/// How long a queue may take to be enabled or disabled. Data sheets give no figure; Linux waits 10 ms.
pub const QUEUE_LIMIT: Duration = Duration::from_millis(100);
/// Where the rings of a queue pair are: address and length in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// The receive ring.
    pub rx: (Iova, u32),
    /// The transmit ring.
    pub tx: (Iova, u32),
}

/// A VF of some family: its registers, its conversation with its PF, its counters. Made at probe, lives as long as the port.
pub trait Vf: Send + 'static {
    /// Its register BAR.
    type Bar: Bar;
    /// Its receive descriptors.
    type RxDesc: RxFormat;
    /// Its transmit descriptors.
    type TxDesc: TxFormat;
    /// Its counters as the registers have them.
    type Raw: Copy;
    /// The driver's name.
    const NAME: &'static str;
    /// The greatest MTU in bytes.
    const MAX_MTU_BYTES: u16;
    /// Sizes of a ring in descriptors.
    const RING_DESC: RangeInclusive<usize>;

    /// Its end of the mailbox.
    fn mailbox(&mut self) -> &mut Mailbox<Self::Bar>;
    /// The VF's own address: the one in force, or the one that it will have.
    fn mac(&self) -> MacAddr;
    /// The longest frame that the PF lets through, FCS not counted.
    fn max_frame_bytes(&self) -> u32;
    /// Most queue pairs, as far as the PF has said so.
    fn max_queue_pairs(&self) -> u16;
    /// Whether it can have as many queue pairs as are asked for.
    ///
    /// # Errors
    /// [`PortError::Setting`], which says why not.
    fn check_queue_pairs(&self, asked: u16) -> Result<(), PortError>;
    /// How received frames' descriptors are read.
    fn rx_words(&self) -> &'static RxWords;
    /// The receive and the transmit doorbell of a queue pair.
    fn doorbells(&self, queue: u32) -> [Doorbell<Self::Bar>; 2];

    /// As [`Hardware::reset`].
    fn reset(&mut self) -> Duration {
        Duration::ZERO
    }
    /// Resets the VF, unless [`reset`](Self::reset) has, tells the PF so, and learns what the PF has for it. No interrupt is wanted.
    ///
    /// # Errors
    /// [`Setback`].
    fn begin(&mut self) -> Result<(), Setback>;
    /// Asks the PF for what is not in force yet, and gives up what is not wanted any more.
    ///
    /// # Errors
    /// [`Setback`].
    fn ask(&mut self, intent: &Intent) -> Result<Granted, Setback>;
    /// Why no device of the family can do this, where none can.
    fn impossible(setting: Setting) -> Option<&'static str>;
    /// The PF says that something has changed.
    ///
    /// # Errors
    /// [`Setback`].
    fn heard_of_change(&mut self) -> Result<(), Setback> {
        Ok(())
    }

    /// Tells the device of the rings, whose buffers take `room_bytes`, and enables the queues.
    ///
    /// # Errors
    /// [`PortError`] where the device does not follow.
    fn enable(&self, rings: &[Pair], room_bytes: u32) -> Result<(), PortError>;
    /// Asks the PF, when the queues are enabled, whether it still knows the VF: a reset between its last answer and the enabling of the
    /// queues leaves no other sign.
    ///
    /// # Errors
    /// [`Setback::BeginAgain`] where it does not.
    fn confirm(&mut self) -> Result<(), Setback>;
    /// Disables every queue that the device may have.
    ///
    /// # Errors
    /// [`PortError`] where the device does not follow.
    fn disable(&self) -> Result<(), PortError>;
    /// Whether the device serves the first queue: a reset from outside turns it off without a word.
    ///
    /// # Errors
    /// [`BusError::Gone`].
    fn is_enabled(&self) -> Result<bool, PortError>;
    /// The link now.
    ///
    /// # Errors
    /// [`BusError::Gone`].
    fn link(&self) -> Result<Link, BusError>;
    /// How frames are spread over the queues.
    ///
    /// # Errors
    /// [`Setback`]; a refusal is a [`PortError`] that says what to do.
    fn rss(&mut self) -> Result<Rss, Setback>;

    /// Reads the VF's counters.
    fn read_counters(&self) -> Self::Raw;
    /// The counters were cleared, or were not ours until now: from here on they count.
    fn begin_counters(&mut self, now: Self::Raw);
    /// The counters, no reset between the last time and now.
    fn update_counters(&mut self, now: Self::Raw);
    /// The counters, widened, since the port was opened.
    fn device_stats(&self) -> DeviceStats;
    /// Frames that the device has dropped because a queue had no descriptor. Zero where it does not count them.
    fn no_descriptor_frames(&self, _queue: usize) -> u64 {
        0
    }
}

/// A port on a VF.
pub type VfPort<F, V> = LivePort<F, IntelVf<V>>;

/// Speaks to the PF and makes a stopped port.
///
/// # Errors
/// [`PortError`] where the PF does not answer as it should.
pub fn probe<F: PciFunction, V: Vf>(function: F, vf: V) -> Result<VfPort<F, V>, PortError> {
    LivePort::probe(function, IntelVf(vf))
}

/// A VF whose rings hold advanced descriptors and whose PF is behind a mailbox.
#[derive(Debug)]
pub struct IntelVf<V>(V);

/// What the device is told of the rings of a start.
#[derive(Debug)]
pub struct Layout {
    pairs: Vec<Pair>,
    room_bytes: u32,
}

impl<V: Vf> Hardware for IntelVf<V> {
    type Rx = AdvRx<V::Bar, V::RxDesc>;
    type Tx = AdvTx<V::Bar, V::TxDesc>;
    type Layout = Layout;
    type Rings = Vec<(RxRing<V::RxDesc>, TxRing<V::TxDesc>)>;
    const NAME: &'static str = V::NAME;
    const RING_DESC: RangeInclusive<usize> = V::RING_DESC;

    fn mac(&self) -> MacAddr {
        self.0.mac()
    }

    fn max_queue_pairs(&self) -> u16 {
        self.0.max_queue_pairs()
    }

    fn max_mtu_bytes(&self) -> u16 {
        V::MAX_MTU_BYTES
    }

    fn check_queue_pairs(&self, asked: u16) -> Result<(), PortError> {
        self.0.check_queue_pairs(asked)
    }

    fn reset(&mut self) -> Result<Duration, Setback> {
        Ok(self.0.reset())
    }

    fn begin(&mut self, intent: Option<&Intent>) -> Result<Granted, Setback> {
        self.0.begin()?;
        intent.map_or_else(|| Ok(Granted::default()), |intent| self.ask(intent))
    }

    fn rings(&mut self, config: &PortConfig, space: &dyn DmaSpace, deposit: &Deposit) -> Result<(Layout, Self::Rings), PortError> {
        let (pool, mut rings, mut pairs) = (&config.pool, Vec::new(), Vec::new());
        for _ in 0..config.queue_pairs {
            let rx = RxRing::new(space, pool, config.rx_desc, deposit)?.with_words(self.0.rx_words());
            let tx = TxRing::new(space, pool, config.tx_desc, self.0.max_frame_bytes(), deposit)?;
            pairs.push(Pair { rx: (rx.iova(), rx.len_bytes()), tx: (tx.iova(), tx.len_bytes()) });
            rings.push((rx, tx));
        }
        Ok((Layout { pairs, room_bytes: pool.data_bytes() }, rings))
    }

    fn enable(&mut self, layout: &Layout) -> Result<(), Setback> {
        Ok(self.0.enable(&layout.pairs, layout.room_bytes)?)
    }

    fn settle(&mut self, _: &Intent, granted: Granted) -> Result<Granted, Setback> {
        self.0.confirm()?;
        Ok(granted)
    }

    fn queues(&mut self, rings: Self::Rings, passes: Vec<(Pass, Pass)>, config: &PortConfig, path: Path) -> (Vec<Self::Rx>, Vec<Self::Tx>) {
        let mut cache = config.pool.cache();
        let (mut rx, mut tx) = (Vec::new(), Vec::new());
        for ((at, rings), (rx_pass, tx_pass)) in (0..).zip(rings).zip(passes) {
            let [rx_bell, tx_bell] = self.0.doorbells(at);
            rx.push(AdvRx::new(rings.0, rx_bell, rx_pass, path, &mut cache));
            tx.push(AdvTx::new(rings.1, tx_bell, tx_pass, path));
        }
        (rx, tx)
    }

    fn disable(&mut self) -> Result<(), PortError> {
        self.0.disable()
    }

    fn is_back(&mut self) -> Result<bool, PortError> {
        Ok(!self.0.mailbox().pf_in_reset()?)
    }

    fn listen(&mut self) -> Result<(), Setback> {
        match self.0.mailbox().notice()? {
            Some(Notice::Changed) => self.0.heard_of_change()?,
            Some(Notice::BeginAgain(cause)) => return Err(Setback::BeginAgain(cause)),
            None => {}
        }
        if self.0.is_enabled()? {
            return Ok(());
        }
        Err(Setback::BeginAgain("the function was reset by somebody else: its queues are off"))
    }

    fn ask(&mut self, intent: &Intent) -> Result<Granted, Setback> {
        let mut granted = self.0.ask(intent)?;
        let impossible = intent.settings().into_iter().filter_map(|setting| V::impossible(setting).map(|remedy| (setting, remedy)));
        granted.unsupported.extend(impossible.map(|(setting, remedy)| Refusal { setting, remedy: remedy.into() }));
        Ok(granted)
    }

    fn link(&mut self) -> Result<Link, PortError> {
        Ok(self.0.link()?)
    }

    fn rss(&mut self) -> Result<Rss, Setback> {
        self.0.rss()
    }

    fn begin_counters(&mut self) {
        let now = self.0.read_counters();
        self.0.begin_counters(now);
    }

    fn update_counters(&mut self) -> Result<(), PortError> {
        let now = self.0.read_counters();
        if !self.0.mailbox().has_news()? && self.0.is_enabled()? {
            self.0.update_counters(now);
        }
        Ok(())
    }

    fn device_stats(&self) -> DeviceStats {
        self.0.device_stats()
    }

    fn no_descriptor_frames(&self, queue: usize) -> u64 {
        self.0.no_descriptor_frames(queue)
    }
}

/// The registers in BAR `index`, which is at least as long as the data sheet says.
///
/// # Errors
/// [`PortError`] where the BAR cannot be mapped or is shorter.
pub fn map_registers<F: PciFunction>(function: &F, index: u8, len_bytes: u32) -> Result<Regs<F::Bar>, PortError> {
    let bar = function.map_bar(BarIndex::new(index).unwrap_or(BarIndex::ZERO))?;
    if bar.len_bytes() < len_bytes {
        let detail = format!("BAR {index} of {} bytes, instead of {len_bytes}", bar.len_bytes());
        return Err(PortError::Protocol { what: "its configuration space", detail });
    }
    Ok(Regs::new(bar))
}

/// Low and high half of an address.
#[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
pub fn halves(iova: Iova) -> [u32; 2] {
    [iova.0 as u32, (iova.0 >> 32) as u32]
}

/// Whether a register has a bit set.
///
/// # Errors
/// [`BusError::Gone`] where it reads as all ones.
pub fn has_bit(value: u32, bit: u32) -> Result<bool, PortError> {
    match value {
        u32::MAX => Err(BusError::Gone.into()),
        value => Ok(value & bit != 0),
    }
}
