//! The port: how the VF is set up, looked after, and let go of.
//!
//! ```text
//!            start              PF reset, PF down           PF back, queues quiet
//!   stopped ───────▶ running ─────────────────────▶ waiting ──────────────────────▶ running
//!      ▲                │ stop                         │ stop                           bus event: removed, for ever
//!      └────────────────┴──────────────────────────────┘
//! ```
//!
//! Whoever leaves `running` first makes the device let go of the rings ([`IgbvfPort::let_go`]: disabled, or else reset), and only then
//! closes the gate, at which the queues take their buffers back. Where the device cannot be made to let go, the gate stays open and the
//! rings are never freed: a leak is better than memory that a device writes after it was given to somebody else.

use crate::{
    control::{self, Control, MAX_MTU_BYTES},
    rx::{self, Rx, RxDesc},
    stats::{self, Totals},
    tx::{self, Tx, TxDesc},
};
use std::time::Duration;
use vfwire_core::{
    bar::Regs,
    bus::{BarIndex, BusEvent, PciFunction},
    dma::Iova,
    error::{BusError, PortError},
    event::PortEvent,
    gate::{Gate, Pass},
    path::Path,
    poll::{Wait, poll_until},
    pool::Pool,
    port::{Granted, Intent, Link, Port, PortConfig, PortInfo, Queues},
    ring::{Deposit, RxRing, TxRing},
    stats::PortStats,
};
use vfwire_intel_vf::mailbox::{Notice, Setback};
use vfwire_spec::igbvf::{
    Family, IDS, REGISTER_BAR, REGISTER_BAR_BYTES, RING_MAX_DESC, RING_MIN_DESC,
    regs::{self, DCTL_ENABLE, EI_ALL},
};

/// How long a queue may take to be enabled or disabled. Data sheets give no figure; Linux waits 10 ms.
pub(crate) const QUEUE_LIMIT: Duration = Duration::from_millis(100);
/// How often a start is tried anew because the PF was reset in the middle of it.
const STARTS_MAX: usize = 3;

/// A port on an 82576 or I350 VF.
#[derive(Debug)]
pub struct IgbvfPort<F: PciFunction> {
    // Everything that maps the BAR is dropped before the function: a mapping keeps the device from being given back.
    regs: Regs<F::Bar>,
    control: Control<F::Bar>,
    family: Family,
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

/// Where the rings of a queue pair are.
#[derive(Clone, Copy, Debug)]
struct Pair {
    rx: (Iova, u32),
    tx: (Iova, u32),
}

impl<F: PciFunction> IgbvfPort<F> {
    pub(crate) fn probe(function: F) -> Result<Self, PortError> {
        let id = function.id();
        let family = Family::of(id).ok_or_else(|| PortError::setting("the function", id, format!("one of {IDS:?} for this driver")))?;
        let bar = function.map_bar(BarIndex::new(REGISTER_BAR).unwrap_or(BarIndex::ZERO))?;
        let regs = checked(bar)?;
        let info = PortInfo {
            address: function.address().into(),
            driver: <crate::Igbvf as vfwire_core::port::Driver>::NAME,
            id,
            mac: vfwire_spec::net::MacAddr::ZERO,
            max_queue_pairs: if family == Family::I350 { 1 } else { 2 },
            max_mtu_bytes: MAX_MTU_BYTES,
            simulated: function.address().starts_with("sim:"),
        };
        let control = Control::new(regs.clone());
        let (life, totals, link) = (Life::Stopped(None), Totals::default(), Link::default());
        let mut port = Self { regs, control, family, info, life, totals, link, function };
        port.negotiate(None)?;
        port.totals.begin(stats::read(&port.regs));
        Ok(port)
    }

    /// Resets the VF and speaks to the PF: with an intent, asks for all of it. Begins again, a few times, where the PF is reset meanwhile.
    fn negotiate(&mut self, intent: Option<&Intent>) -> Result<Granted, PortError> {
        for _ in 0..STARTS_MAX {
            let done = match intent {
                Some(intent) => self.control.negotiate(intent),
                None => self.control.begin().map(|()| Granted::default()),
            };
            match done {
                Err(Setback::BeginAgain(_)) => {}
                Err(Setback::Failed(error)) => return Err(error),
                Ok(granted) => {
                    self.info.mac = self.control.mac();
                    return Ok(granted);
                }
            }
        }
        Err(PortError::State("the PF was reset again and again while this port began to talk to it: leave the PF alone and try again"))
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
        if config.queue_pairs == 0 || config.queue_pairs > self.info.max_queue_pairs {
            let allowed = format!("1 to {} on this device", self.info.max_queue_pairs);
            return Err(PortError::setting("the number of queue pairs", config.queue_pairs, allowed));
        }
        for (what, size_desc) in [("the receive ring's size", config.rx_desc), ("the transmit ring's size", config.tx_desc)] {
            if !size_desc.is_power_of_two() || !(RING_MIN_DESC..=RING_MAX_DESC).contains(&usize::from(size_desc)) {
                let allowed = format!("a power of two from {RING_MIN_DESC} to {RING_MAX_DESC} descriptors");
                return Err(PortError::setting(what, size_desc, allowed));
            }
        }
        control::check(&config.intent)
    }

    /// Tells the device of the rings and enables the queues: transmit first, so that what is received can be answered.
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

    /// Disables every queue that the device has.
    fn disable(&self) -> Result<(), PortError> {
        for queue in 0..self.family.queue_pairs() {
            rx::disable(&self.regs, queue)?;
            tx::disable(&self.regs, queue)?;
        }
        Ok(())
    }

    /// Makes the device let go of all memory: by disabling its queues, else by resetting it. A device that is gone has let go.
    fn let_go(&self) -> Result<(), PortError> {
        match self.disable() {
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
        if !run.gate.all_idle() || self.control.pf_in_reset()? {
            return Ok(None);
        }
        let granted = match self.control.negotiate(&run.intent) {
            Ok(granted) => granted,
            // Reset once more: at a later call.
            Err(Setback::BeginAgain(_)) => return Ok(None),
            Err(Setback::Failed(error)) => return Err(error),
        };
        let (rings, room_bytes) = (run.rings.clone(), run.room_bytes);
        self.enable(&rings, room_bytes)?;
        self.totals.begin(stats::read(&self.regs));
        self.info.mac = self.control.mac();
        if let Life::Running(run) = &mut self.life {
            run.phase = Phase::Up;
            run.gate.open();
        }
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
        let cause = match self.control.notice()? {
            Some(Notice::BeginAgain(cause)) => Some(cause),
            _ if !rx::is_enabled(&self.regs, 0)? => Some("the function was reset by somebody else: its queues are off"),
            Some(Notice::Changed) | None => None,
        };
        if let (Life::Running(run), Some(cause)) = (&mut self.life, cause) {
            run.phase = Phase::ResetDue(cause);
        }
        Ok(())
    }

    fn look_at_link(&mut self) -> Result<Option<PortEvent>, PortError> {
        let status = self.regs.read(regs::STATUS);
        if status == u32::MAX {
            return Err(BusError::Gone.into());
        }
        let mbps = regs::link_mbps(status);
        let before = std::mem::replace(&mut self.link, Link { up: mbps.is_some(), mbps: mbps.unwrap_or(0) });
        Ok(match (before.up, mbps) {
            (false, Some(mbps)) => Some(PortEvent::LinkUp { mbps }),
            (true, None) => Some(PortEvent::LinkDown),
            _ => None,
        })
    }

    /// Takes in the device's counters, unless a reset may have cleared them: there must be no sign of one after they were read.
    fn update_counters(&mut self) -> Result<(), PortError> {
        let raw = stats::read(&self.regs);
        if !self.control.has_news()? && rx::is_enabled(&self.regs, 0)? {
            self.totals.update(raw);
            self.totals.update_drops(&self.regs);
        }
        Ok(())
    }
}

impl<F: PciFunction> Port for IgbvfPort<F> {
    type Rx = Rx<F::Bar>;
    type Tx = Tx<F::Bar>;

    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn start(&mut self, config: &PortConfig) -> Result<Queues<Rx<F::Bar>, Tx<F::Bar>>, PortError> {
        // 1. Nothing is touched where the configuration cannot work.
        self.check(config)?;
        let path = config.path()?;
        // 2. Reset, and ask the PF for everything. No interrupt is wanted.
        let granted = self.negotiate(Some(&config.intent))?;
        self.regs.write(regs::EIMC, EI_ALL);
        // 3. Rings.
        let deposit = Deposit::new();
        let (gate, passes) = Gate::open_for(usize::from(config.queue_pairs) * 2);
        let (rx, tx) = self.rings(config, &deposit)?;
        let at = |rx: &RxRing<RxDesc>, tx: &TxRing<TxDesc>| Pair { rx: (rx.iova(), rx.len_bytes()), tx: (tx.iova(), tx.len_bytes()) };
        let rings: Vec<Pair> = rx.iter().zip(&tx).map(|(rx, tx)| at(rx, tx)).collect();
        let run = Run { gate, deposit, intent: config.intent.clone(), rings, room_bytes: config.pool.data_bytes(), phase: Phase::Up };
        // 4. Registers, and enabled. From here on the device may use the rings.
        let (rings, room_bytes) = (run.rings.clone(), run.room_bytes);
        self.life = Life::Running(Box::new(run));
        if let Err(error) = self.enable(&rings, room_bytes) {
            // The first error is the one that says why.
            let _ = self.end();
            return Err(error);
        }
        // 5. Buffers, and the tails, which mean nothing before their queue is enabled.
        let (rx, tx) = self.queues((rx, tx), passes, &config.pool, path);
        // 6. Counters, from what the registers say now.
        self.totals.begin(stats::read(&self.regs));
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
        control::check(intent)?;
        let Life::Running(run) = &mut self.life else { return Err(PortError::State("the port is not running: start it first")) };
        if intent.mtu_bytes != run.intent.mtu_bytes {
            let allowed = format!("{} as long as the port runs: stop it and start it with the other", run.intent.mtu_bytes);
            return Err(PortError::setting("the MTU", intent.mtu_bytes, allowed));
        }
        run.intent = intent.clone();
        if run.phase != Phase::Up {
            return Err(PortError::State("the port is in reset: this is asked for when it recovers, and its event says what came of it"));
        }
        match self.control.ask(intent) {
            Ok(granted) => {
                self.info.mac = self.control.mac();
                Ok(granted)
            }
            Err(Setback::Failed(error)) => Err(error),
            Err(Setback::BeginAgain(cause)) => {
                run.phase = Phase::ResetDue(cause);
                Err(PortError::State(
                    "the PF was reset meanwhile: this is asked for when the port recovers, and its event says what came of it",
                ))
            }
        }
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
        self.totals.stats()
    }
}

/// The rings of a start, and the queues that are made of them.
type Rings = (Vec<RxRing<RxDesc>>, Vec<TxRing<TxDesc>>);
type BothQueues<B> = (Vec<Rx<B>>, Vec<Tx<B>>);

impl<F: PciFunction> IgbvfPort<F> {
    fn rings(&self, config: &PortConfig, deposit: &Deposit) -> Result<Rings, PortError> {
        let (space, pool): (_, &Pool) = (self.function.dma(), &config.pool);
        let (mut rx, mut tx) = (Vec::new(), Vec::new());
        for _ in 0..config.queue_pairs {
            rx.push(RxRing::new(&*space, pool, config.rx_desc, deposit)?.with_words(rx::words(self.family)));
            tx.push(TxRing::new(&*space, pool, config.tx_desc, self.control.max_frame_bytes(), deposit)?);
        }
        Ok((rx, tx))
    }

    /// Queues of enabled rings, with buffers posted.
    fn queues(&mut self, (rx, tx): Rings, passes: Vec<Pass>, pool: &Pool, path: Path) -> BothQueues<F::Bar> {
        let (regs, totals) = (&self.regs, &mut self.totals);
        let mut cache = pool.cache();
        let mut passes = passes.into_iter();
        let rx = (0..)
            .zip(rx)
            .zip(&mut passes)
            .map(|((queue, ring), pass)| Rx::new(ring, regs.doorbell(regs::RDT.index(queue)), pass, path, &mut cache));
        let rx: Vec<_> = rx.collect();
        let tx = (0..).zip(tx).zip(passes).map(|((queue, ring), pass)| Tx::new(ring, regs.doorbell(regs::TDT.index(queue)), pass, path));
        let tx: Vec<_> = tx.collect();
        rx.iter().enumerate().for_each(|(queue, rx)| totals.rx(queue).add(rx.counters()));
        tx.iter().enumerate().for_each(|(queue, tx)| totals.tx(queue).add(tx.counters()));
        (rx, tx)
    }
}

impl<F: PciFunction> Drop for IgbvfPort<F> {
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

/// The registers of a BAR that is as long as the data sheet says.
fn checked<B: vfwire_core::bar::Bar>(bar: B) -> Result<Regs<B>, PortError> {
    if bar.len_bytes() < REGISTER_BAR_BYTES {
        let detail = format!("BAR {REGISTER_BAR} of {} bytes, instead of {REGISTER_BAR_BYTES}", bar.len_bytes());
        return Err(PortError::Protocol { what: "its configuration space", detail });
    }
    Ok(Regs::new(bar))
}

/// Low and high half of an address.
#[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
pub(crate) fn halves(iova: Iova) -> [u32; 2] {
    [iova.0 as u32, (iova.0 >> 32) as u32]
}

/// Whether a queue's RXDCTL or TXDCTL says that it is enabled.
pub(crate) fn is_enabled(control: u32) -> Result<bool, PortError> {
    match control {
        u32::MAX => Err(BusError::Gone.into()),
        control => Ok(control & DCTL_ENABLE != 0),
    }
}
