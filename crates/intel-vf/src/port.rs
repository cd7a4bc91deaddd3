//! The port: the life of a VF, the same for every family. What a family does at each step is a [`Vf`].
//!
//! ```text
//!            start              PF reset, PF down           PF back, queues quiet
//!   stopped ───────▶ running ─────────────────────▶ waiting ──────────────────────▶ running
//!      ▲                │ stop                         │ stop                           bus event: removed, for ever
//!      └────────────────┴──────────────────────────────┘
//! ```
//!
//! Whoever leaves `running` first makes the device let go of the rings (`VfPort::let_go`: disabled, or else reset), and only then
//! closes the gate, at which the queues take their buffers back. Where the device cannot be made to let go, the gate stays open and the
//! rings are never freed: a leak is better than memory that a device writes after it was given to somebody else.

use crate::{
    mailbox::{Mailbox, Notice, Setback},
    queue::{AdvRx, AdvTx},
    totals::Totals,
};
use std::{ops::RangeInclusive, time::Duration};
use vfwire_core::{
    bar::{Bar, Doorbell, Regs},
    bus::{BarIndex, BusEvent, PciFunction},
    dma::Iova,
    error::{BusError, PortError},
    event::PortEvent,
    format::{RxFormat, TxFormat},
    gate::{Gate, Pass},
    meta::RxWords,
    path::Path,
    poll::{Wait, poll_until},
    pool::Pool,
    port::{Granted, Intent, Link, Port, PortConfig, PortInfo, Queues, Rss},
    ring::{Deposit, RxRing, TxRing},
    stats::{DeviceStats, PortStats},
};
use vfwire_spec::net::{MIN_MTU_BYTES, MacAddr, VlanId};

/// How long a queue may take to be enabled or disabled. Data sheets give no figure; Linux waits 10 ms.
pub const QUEUE_LIMIT: Duration = Duration::from_millis(100);
/// How often a start is tried anew because the PF was reset in the middle of it.
const STARTS_MAX: usize = 3;

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

    /// Resets the VF, tells the PF so, and learns what the PF has for it. No interrupt is wanted.
    ///
    /// # Errors
    /// [`Setback`].
    fn begin(&mut self) -> Result<(), Setback>;
    /// Asks the PF for what is not in force yet, and gives up what is not wanted any more.
    ///
    /// # Errors
    /// [`Setback`].
    fn ask(&mut self, intent: &Intent) -> Result<Granted, Setback>;
    /// Begins, and asks for everything.
    ///
    /// # Errors
    /// [`Setback`].
    fn negotiate(&mut self, intent: &Intent) -> Result<Granted, Setback> {
        self.begin()?;
        self.ask(intent)
    }
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
#[derive(Debug)]
pub struct VfPort<F: PciFunction, V: Vf<Bar = F::Bar>> {
    // It maps the BAR, and is dropped before the function: a mapping keeps the device from being given back.
    vf: V,
    info: PortInfo,
    life: Life,
    totals: Totals,
    link: Link,
    function: F,
}

#[derive(Debug)]
enum Life {
    /// With the gate of the last start, whose queues may still be in the middle of a burst.
    Stopped(Option<Gate>),
    Running(Box<Run>),
    /// The device did not let go of its rings, which the queues still use.
    Lost,
    Removed,
}

/// One start.
#[derive(Debug)]
struct Run {
    gate: Gate,
    deposit: Deposit,
    intent: Intent,
    rings: Vec<Pair>,
    room_bytes: u32,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Frames pass.
    Up,
    /// The PF was reset and must be told of this VF again. Says how it was noticed.
    ResetDue(&'static str),
    /// The application knows of it, the device has let go, and the queues are on their way to rest.
    Waiting,
}

impl<F: PciFunction, V: Vf<Bar = F::Bar>> VfPort<F, V> {
    /// Speaks to the PF and makes a stopped port.
    ///
    /// # Errors
    /// [`PortError`] where the PF does not answer as it should.
    pub fn probe(function: F, vf: V) -> Result<Self, PortError> {
        let info = PortInfo {
            address: function.address().into(),
            driver: V::NAME,
            id: function.id(),
            mac: MacAddr::ZERO,
            max_queue_pairs: 0,
            max_mtu_bytes: V::MAX_MTU_BYTES,
            simulated: function.address().starts_with("sim:"),
        };
        let mut port = Self { vf, info, life: Life::Stopped(None), totals: Totals::default(), link: Link::default(), function };
        port.negotiate(None)?;
        port.vf.begin_counters(port.vf.read_counters());
        Ok(port)
    }

    /// Resets the VF and speaks to the PF: with an intent, asks for all of it. Begins again, a few times, where the PF is reset meanwhile.
    fn negotiate(&mut self, intent: Option<&Intent>) -> Result<Granted, PortError> {
        for _ in 0..STARTS_MAX {
            let done = match intent {
                Some(intent) => self.vf.negotiate(intent),
                None => self.vf.begin().map(|()| Granted::default()),
            };
            match done {
                Err(Setback::BeginAgain(_)) => {}
                Err(Setback::Failed(error)) => return Err(error),
                Ok(granted) => {
                    self.learn();
                    return Ok(granted);
                }
            }
        }
        Err(PortError::State("the PF was reset again and again while this port began to talk to it: leave the PF alone and try again"))
    }

    /// What the PF has to say about the port itself.
    fn learn(&mut self) {
        self.info.mac = self.vf.mac();
        self.info.max_queue_pairs = self.vf.max_queue_pairs();
    }

    /// What the device cannot do is said before anything is touched.
    fn check(&self, config: &PortConfig) -> Result<(), PortError> {
        match &self.life {
            Life::Stopped(gate) => at_rest(gate.as_ref())?,
            Life::Running(_) => return Err(PortError::State("the port is running: stop it before it is started again")),
            Life::Lost => {
                return Err(PortError::State("the device did not let go of its memory when it was stopped: close and open the port anew"));
            }
            Life::Removed => return Err(BusError::Gone.into()),
        }
        config.pool.fits(self.function.dma().domain(), &self.info.address)?;
        self.vf.check_queue_pairs(config.queue_pairs)?;
        for (what, size_desc) in [("the receive ring's size", config.rx_desc), ("the transmit ring's size", config.tx_desc)] {
            if !size_desc.is_power_of_two() || !V::RING_DESC.contains(&usize::from(size_desc)) {
                let allowed = format!("a power of two from {} to {} descriptors", V::RING_DESC.start(), V::RING_DESC.end());
                return Err(PortError::setting(what, size_desc, allowed));
            }
        }
        check_intent(&config.intent, V::MAX_MTU_BYTES)
    }

    /// Makes the device let go of all memory: by disabling its queues, else by resetting it. A device that is gone has let go.
    fn let_go(&self) -> Result<(), PortError> {
        match self.vf.disable() {
            Ok(()) | Err(PortError::Bus(BusError::Gone)) => Ok(()),
            Err(_) => match self.function.reset() {
                Ok(()) | Err(BusError::Gone) => Ok(()),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Ends the current start, if there is one.
    fn end(&mut self) -> Result<(), PortError> {
        let Life::Running(run) = std::mem::replace(&mut self.life, Life::Stopped(None)) else { return Ok(()) };
        self.link = Link::default();
        if let Err(error) = self.let_go() {
            run.deposit.lost();
            self.life = Life::Lost;
            return Err(error);
        }
        run.gate.close();
        run.deposit.quiet();
        self.life = Life::Stopped(Some(run.gate));
        Ok(())
    }

    /// The function is lost: whatever of it still works is stopped.
    fn remove(&mut self, cause: &'static str) -> PortEvent {
        // An error here means that the rings are kept for ever; there is nothing else to do about a device that leaves.
        let _ = self.end();
        self.life = Life::Removed;
        PortEvent::Removed { cause }
    }

    /// The PF has reset the function, or is about to: brings the queues to rest.
    fn begin_reset(&mut self, cause: &'static str) -> Result<Option<PortEvent>, PortError> {
        self.let_go()?;
        let Life::Running(run) = &mut self.life else { return Ok(None) };
        run.phase = Phase::Waiting;
        run.gate.close();
        self.totals.resets += 1;
        Ok(Some(PortEvent::ResetStarted { cause }))
    }

    /// Sets the device up again, if the PF is back and the queues are at rest.
    fn recover(&mut self) -> Result<Option<PortEvent>, PortError> {
        let Life::Running(run) = &mut self.life else { return Ok(None) };
        if !run.gate.all_idle() || self.vf.mailbox().pf_in_reset()? {
            return Ok(None);
        }
        let granted = match self.vf.negotiate(&run.intent) {
            Ok(granted) => granted,
            // Reset once more: at a later call.
            Err(Setback::BeginAgain(_)) => return Ok(None),
            Err(Setback::Failed(error)) => return Err(error),
        };
        self.vf.check_queue_pairs(u16::try_from(run.rings.len()).unwrap_or(u16::MAX))?;
        self.vf.enable(&run.rings, run.room_bytes)?;
        self.vf.begin_counters(self.vf.read_counters());
        run.phase = Phase::Up;
        run.gate.open();
        self.learn();
        Ok(Some(PortEvent::Recovered { granted }))
    }

    /// What the port is due: removal is the caller's.
    fn look_after(&mut self) -> Result<Option<PortEvent>, PortError> {
        match self.phase() {
            None => return Ok(None),
            Some(Phase::Waiting) => return self.recover(),
            Some(Phase::ResetDue(_)) => {}
            Some(Phase::Up) => {
                self.update_counters()?;
                self.listen()?;
            }
        }
        match self.phase() {
            Some(Phase::ResetDue(cause)) => self.begin_reset(cause),
            _ => self.look_at_link(),
        }
    }

    fn phase(&self) -> Option<Phase> {
        match &self.life {
            Life::Running(run) => Some(run.phase),
            _ => None,
        }
    }

    /// Hears what the PF has to say, and looks whether the device was reset without a word, as a function-level reset from outside does.
    fn listen(&mut self) -> Result<(), PortError> {
        let notice = self.vf.mailbox().notice()?;
        let heard = match notice {
            Some(Notice::Changed) => self.vf.heard_of_change(),
            Some(Notice::BeginAgain(cause)) => Err(Setback::BeginAgain(cause)),
            None => Ok(()),
        };
        match heard {
            Err(Setback::BeginAgain(cause)) => self.reset_is_due(cause),
            Err(Setback::Failed(error)) => return Err(error),
            Ok(()) if !self.vf.is_enabled()? => self.reset_is_due("the function was reset by somebody else: its queues are off"),
            Ok(()) => {}
        }
        Ok(())
    }

    fn reset_is_due(&mut self, cause: &'static str) {
        if let Life::Running(run) = &mut self.life {
            run.phase = Phase::ResetDue(cause);
        }
    }

    fn look_at_link(&mut self) -> Result<Option<PortEvent>, PortError> {
        let now = self.vf.link()?;
        let before = std::mem::replace(&mut self.link, now);
        Ok(match (before.up, now.up) {
            (false, true) => Some(PortEvent::LinkUp { mbps: now.mbps }),
            (true, false) => Some(PortEvent::LinkDown),
            _ => None,
        })
    }

    /// Takes in the device's counters, unless a reset may have cleared them: there must be no sign of one after they were read.
    fn update_counters(&mut self) -> Result<(), PortError> {
        let now = self.vf.read_counters();
        if !self.vf.mailbox().has_news()? && self.vf.is_enabled()? {
            self.vf.update_counters(now);
        }
        Ok(())
    }

    /// Asks something of the PF of a running port.
    fn request<T>(&mut self, ask: impl FnOnce(&mut V) -> Result<T, Setback>) -> Result<T, PortError> {
        match ask(&mut self.vf) {
            Ok(answer) => Ok(answer),
            Err(Setback::Failed(error)) => Err(error),
            Err(Setback::BeginAgain(cause)) => {
                self.reset_is_due(cause);
                Err(PortError::State(
                    "the PF was reset meanwhile: what was asked for is asked for when the port recovers, and its event says what came of it",
                ))
            }
        }
    }
}

impl<F: PciFunction, V: Vf<Bar = F::Bar>> Port for VfPort<F, V> {
    type Rx = AdvRx<F::Bar, V::RxDesc>;
    type Tx = AdvTx<F::Bar, V::TxDesc>;

    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn start(&mut self, config: &PortConfig) -> Result<Queues<Self::Rx, Self::Tx>, PortError> {
        // 1. Nothing is touched where the configuration cannot work.
        self.check(config)?;
        let path = config.path()?;
        // 2. Reset, and ask the PF for everything. It may have fewer queues for this VF than it had.
        let granted = self.negotiate(Some(&config.intent))?;
        self.vf.check_queue_pairs(config.queue_pairs)?;
        // 3. Rings.
        let deposit = Deposit::new();
        let (gate, passes) = Gate::open_for(usize::from(config.queue_pairs) * 2);
        let (rx, tx) = self.rings(config, &deposit)?;
        let at = |rx: &RxRing<_>, tx: &TxRing<_>| Pair { rx: (rx.iova(), rx.len_bytes()), tx: (tx.iova(), tx.len_bytes()) };
        let rings: Vec<Pair> = rx.iter().zip(&tx).map(|(rx, tx)| at(rx, tx)).collect();
        let room_bytes = config.pool.data_bytes();
        let run = Run { gate, deposit, intent: config.intent.clone(), rings: rings.clone(), room_bytes, phase: Phase::Up };
        // 4. Registers, and enabled. From here on the device may use the rings.
        self.life = Life::Running(Box::new(run));
        if let Err(error) = self.vf.enable(&rings, room_bytes) {
            // The first error is the one that says why.
            let _ = self.end();
            return Err(error);
        }
        // 5. Buffers, and the tails, which mean nothing before their queue is enabled.
        let (rx, tx) = self.queues((rx, tx), passes, &config.pool, path);
        // 6. Counters, from what the registers say now.
        self.vf.begin_counters(self.vf.read_counters());
        Ok(Queues { rx, tx, granted })
    }

    fn stop(&mut self) -> Result<(), PortError> {
        if self.phase() == Some(Phase::Up) {
            // What the counters say before the end; a device that does not answer is the next line's to judge.
            let _ = self.update_counters();
        }
        self.end()
    }

    fn apply(&mut self, intent: &Intent) -> Result<Granted, PortError> {
        check_intent(intent, V::MAX_MTU_BYTES)?;
        let Life::Running(run) = &mut self.life else { return Err(PortError::State("the port is not running: start it first")) };
        if intent.mtu_bytes != run.intent.mtu_bytes {
            let allowed = format!("{} as long as the port runs: stop it and start it with the other", run.intent.mtu_bytes);
            return Err(PortError::setting("the MTU", intent.mtu_bytes, allowed));
        }
        run.intent = intent.clone();
        if run.phase != Phase::Up {
            return Err(PortError::State("the port is in reset: this is asked for when it recovers, and its event says what came of it"));
        }
        let granted = self.request(|vf| vf.ask(intent))?;
        self.learn();
        Ok(granted)
    }

    fn poll_control(&mut self) -> Result<Option<PortEvent>, PortError> {
        if matches!(self.life, Life::Removed) {
            return Ok(None);
        }
        match self.function.poll_event() {
            Some(BusEvent::RemoveRequested) => return Ok(Some(self.remove("the kernel asks for the function back"))),
            Some(BusEvent::Error) => return Ok(Some(self.remove("the function reported an error that it cannot recover from"))),
            Some(_) | None => {}
        }
        match self.look_after() {
            Err(PortError::Bus(BusError::Gone)) => {
                Ok(Some(self.remove("the function does not answer any more: its registers read as all ones")))
            }
            other => other,
        }
    }

    fn link(&self) -> Link {
        // The link's bit stays set while the PF is down.
        if self.phase() == Some(Phase::Up) { self.link } else { Link::default() }
    }

    fn stats(&mut self) -> PortStats {
        if self.phase() == Some(Phase::Up) {
            // A device that is gone has nothing to add; `poll_control` says that it is gone.
            let _ = self.update_counters();
        }
        let vf = &self.vf;
        let rx = self.totals.rx_stats(|queue| vf.no_descriptor_frames(queue));
        PortStats { rx, tx: self.totals.tx_stats(), device: vf.device_stats(), resets: self.totals.resets }
    }

    fn rss(&mut self) -> Result<Rss, PortError> {
        if self.phase() != Some(Phase::Up) {
            return Err(PortError::State("only a running port spreads frames: start it, or wait until it has recovered"));
        }
        self.request(V::rss)
    }
}

/// The rings of a start, and the queues that are made of them.
type Rings<V> = (Vec<RxRing<<V as Vf>::RxDesc>>, Vec<TxRing<<V as Vf>::TxDesc>>);
type BothQueues<V> = (Vec<AdvRx<<V as Vf>::Bar, <V as Vf>::RxDesc>>, Vec<AdvTx<<V as Vf>::Bar, <V as Vf>::TxDesc>>);

impl<F: PciFunction, V: Vf<Bar = F::Bar>> VfPort<F, V> {
    fn rings(&self, config: &PortConfig, deposit: &Deposit) -> Result<Rings<V>, PortError> {
        let (space, pool): (_, &Pool) = (self.function.dma(), &config.pool);
        let (mut rx, mut tx) = (Vec::new(), Vec::new());
        for _ in 0..config.queue_pairs {
            rx.push(RxRing::new(&*space, pool, config.rx_desc, deposit)?.with_words(self.vf.rx_words()));
            tx.push(TxRing::new(&*space, pool, config.tx_desc, self.vf.max_frame_bytes(), deposit)?);
        }
        Ok((rx, tx))
    }

    /// Queues of enabled rings, with buffers posted.
    fn queues(&mut self, (rx_rings, tx_rings): Rings<V>, passes: Vec<Pass>, pool: &Pool, path: Path) -> BothQueues<V> {
        let mut cache = pool.cache();
        let (mut rx, mut tx) = (Vec::new(), Vec::new());
        let mut passes = passes.into_iter();
        let passes = std::iter::from_fn(|| passes.next().zip(passes.next()));
        for ((at, rings), (rx_pass, tx_pass)) in rx_rings.into_iter().zip(tx_rings).enumerate().zip(passes) {
            let [rx_bell, tx_bell] = self.vf.doorbells(u32::try_from(at).unwrap_or(u32::MAX));
            rx.push(AdvRx::new(rings.0, rx_bell, rx_pass, path, &mut cache));
            tx.push(AdvTx::new(rings.1, tx_bell, tx_pass, path));
            self.totals.rx(at).add(rx[at].counters());
            self.totals.tx(at).add(tx[at].counters());
        }
        (rx, tx)
    }
}

impl<F: PciFunction, V: Vf<Bar = F::Bar>> Drop for VfPort<F, V> {
    fn drop(&mut self) {
        // Where the device does not let go, its memory is kept for ever (`end`); nobody is left to be told.
        let _ = self.end();
    }
}

/// Waits until no queue of an earlier start is in the middle of a burst: it could ring a doorbell of the new rings.
fn at_rest(gate: Option<&Gate>) -> Result<(), PortError> {
    const WAIT: Wait = Wait {
        what: "the queues of the last start to come to rest",
        limit: Duration::from_secs(1),
        remedy: "drop them, or poll each once more",
    };
    poll_until(WAIT, || Ok(gate.is_none_or(Gate::all_idle).then_some(())))
}

/// Whether an intent means something for a device with this greatest MTU.
fn check_intent(intent: &Intent, max_mtu_bytes: u16) -> Result<(), PortError> {
    let lowest = MIN_MTU_BYTES;
    if usize::from(intent.mtu_bytes) < lowest || intent.mtu_bytes > max_mtu_bytes {
        return Err(PortError::setting("the MTU", intent.mtu_bytes, format!("{lowest} to {max_mtu_bytes} bytes")));
    }
    if let Some(mac) = intent.mac.filter(|mac| !mac.is_unicast()) {
        return Err(PortError::setting("the MAC address", mac, "one of a single station (even first byte, not all zeros)"));
    }
    if let Some(id) = intent.vlans.iter().find(|id| **id == 0 || **id > VlanId::MAX.get()) {
        return Err(PortError::setting("a VLAN id", id, format!("1 to {}", VlanId::MAX.get())));
    }
    if let Some(group) = intent.multicast.iter().find(|group| !group.is_multicast()) {
        return Err(PortError::setting("a multicast address", group, "one of a group (odd first byte)"));
    }
    Ok(())
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
