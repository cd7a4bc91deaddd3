//! The life of a port: one state machine for every driver. What a driver does to its device at each step is a [`Hardware`].
//!
//! ```text
//!              start                 a reset is noticed              queues at rest, PF answers
//!   Stopped ──────────▶ Running ───────────────────────▶ Resetting ─────────────────────────────▶ Recovering
//!      ▲ ▲                 ▲  ResetStarted                   ▲        reset again                   │ │
//!      │ │ stop            └─────────────────────────────────┼──────────────────────────────────────┘ │
//!      │ └── (from any)        Recovered                     └── ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┘
//!      │                                                                                            │
//!      └─────────────────────────────────────── Failed ◀────────────────────────────────────────────┘
//!             stop                                        Failed: it went on failing for too long
//!
//!   From every state: the bus says that the function is gone ──▶ Removed, for ever
//! ```
//!
//! Whoever leaves `Running` first makes the device let go of the rings (disabled, or else reset), and only then closes the gate, at which
//! the queues take their buffers back; so a ring is never in use on both sides of a reset, and the application's loop goes on polling as if
//! nothing had happened. Where the device cannot be made to let go, the gate stays open, the rings are never freed, and the port has
//! failed: a leak is better than memory that a device writes after it was given to somebody else.
//!
//! What the application asked for is kept as an [`Intent`] and is asked for again, the latest wish included, at every recovery; what came of
//! it is in [`PortEvent::Recovered`].

use crate::{
    bus::{BusEvent, PciFunction},
    clock,
    dma::DmaSpace,
    error::{BusError, PortError},
    event::{PortEvent, Step},
    gate::{Gate, Pass},
    path::Path,
    poll::{Wait, poll_until},
    port::{Granted, Intent, Link, Port, PortConfig, PortInfo, PortState, Queues, Rss},
    queue::{Counted, RxQueue, TxQueue, rx_counter, tx_counter},
    ring::Deposit,
    stall::Stall,
    stats::{DeviceStats, PortStats},
    totals::Totals,
};
use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};
use vfwire_spec::net::MacAddr;

/// How often a start is tried anew because the function was reset in the middle of it.
const STARTS_MAX: usize = 3;

/// Why something asked of the device or its PF did not come about.
#[derive(Debug)]
pub enum Setback {
    /// The function was reset, is in reset, or was forgotten by its PF: begin again. Says how it was noticed.
    BeginAgain(&'static str),
    /// Everything else.
    Failed(PortError),
}

impl From<PortError> for Setback {
    fn from(error: PortError) -> Self {
        Self::Failed(error)
    }
}
impl From<BusError> for Setback {
    fn from(error: BusError) -> Self {
        Self::Failed(error.into())
    }
}

/// A device of some family, as the life of a port needs it: its registers, its conversation with its PF, its counters. Made at probe, lives
/// as long as the port.
pub trait Hardware: Send + 'static {
    /// Its receive queues.
    type Rx: RxQueue + Counted<{ rx_counter::COUNT }>;
    /// Its transmit queues.
    type Tx: TxQueue + Counted<{ tx_counter::COUNT }>;
    /// What the device has to be told of the rings of a start, at each time that it is set up with them.
    type Layout: Send + 'static;
    /// The rings of a start, before they are queues.
    type Rings;
    /// The driver's name.
    const NAME: &'static str;
    /// Sizes of a ring in descriptors.
    const RING_DESC: RangeInclusive<usize>;

    /// The function's own address: the one in force, or the one that it will have.
    fn mac(&self) -> MacAddr;
    /// Most queue pairs, as far as is known.
    fn max_queue_pairs(&self) -> u16;
    /// The greatest MTU in bytes.
    fn max_mtu_bytes(&self) -> u16;
    /// Whether it can have as many queue pairs as are asked for.
    ///
    /// # Errors
    /// [`PortError::Setting`], which says why not.
    fn check_queue_pairs(&self, asked: u16) -> Result<(), PortError> {
        let most = self.max_queue_pairs();
        if asked == 0 || asked > most {
            return Err(PortError::setting("the number of queue pairs", asked, format!("1 to {most} on this device")));
        }
        Ok(())
    }

    /// Resets the function, where that takes time. How long: it is not spoken to until that is over, and then [`begin`](Self::begin) follows.
    ///
    /// # Errors
    /// [`Setback`].
    fn reset(&mut self) -> Result<Duration, Setback> {
        Ok(Duration::ZERO)
    }
    /// Resets the function, unless [`reset`](Self::reset) has, and learns what its PF or the device has for it. With an intent, asks for all
    /// of it that can be asked for before there are rings.
    ///
    /// # Errors
    /// [`Setback`].
    fn begin(&mut self, intent: Option<&Intent>) -> Result<Granted, Setback>;
    /// The rings of a start.
    ///
    /// # Errors
    /// [`PortError`] where a size is impossible or the memory cannot be had.
    fn rings(&mut self, config: &PortConfig, space: &dyn DmaSpace, deposit: &Deposit) -> Result<(Self::Layout, Self::Rings), PortError>;
    /// Tells the device of the rings, which are as after [`rings`](Self::rings), and enables the queues.
    ///
    /// # Errors
    /// [`Setback`].
    fn enable(&mut self, layout: &Self::Layout) -> Result<(), Setback>;
    /// Asks for what can only be asked for of a device that is enabled.
    ///
    /// # Errors
    /// [`Setback`].
    fn settle(&mut self, _intent: &Intent, granted: Granted) -> Result<Granted, Setback> {
        Ok(granted)
    }
    /// Queues of enabled rings, with buffers posted: a receive and a transmit queue for each pair of passes.
    fn queues(&mut self, rings: Self::Rings, passes: Vec<(Pass, Pass)>, config: &PortConfig, path: Path) -> (Vec<Self::Rx>, Vec<Self::Tx>);
    /// Makes the device let go of all rings.
    ///
    /// # Errors
    /// [`PortError`] where the device does not follow.
    fn disable(&mut self) -> Result<(), PortError>;
    /// The device did not let go, and may use what it was given for ever: whatever of it the driver owns itself is never freed.
    fn abandon(&mut self) {}
    /// Whether the device can be spoken to after a reset. False: its PF is still in reset.
    ///
    /// # Errors
    /// [`PortError`].
    fn is_back(&mut self) -> Result<bool, PortError> {
        Ok(true)
    }
    /// Hears what the PF or the device has to say, and looks whether it was reset without a word.
    ///
    /// # Errors
    /// [`Setback::BeginAgain`] where it must be set up again.
    fn listen(&mut self) -> Result<(), Setback>;
    /// Asks for what is not in force yet, and gives up what is not wanted any more, of a device that is enabled.
    ///
    /// # Errors
    /// [`Setback`].
    fn ask(&mut self, intent: &Intent) -> Result<Granted, Setback>;
    /// The link now.
    ///
    /// # Errors
    /// [`PortError`].
    fn link(&mut self) -> Result<Link, PortError>;
    /// How frames are spread over the queues.
    ///
    /// # Errors
    /// [`Setback`]; a refusal is a [`PortError`] that says what to do.
    fn rss(&mut self) -> Result<Rss, Setback> {
        Err(Setback::Failed(PortError::State("this device does not say how it spreads frames over its queues")))
    }

    /// The counters were cleared, or were not ours until now: from here on they count.
    fn begin_counters(&mut self) {}
    /// Takes in the device's counters, unless a reset may have cleared them: there must be no sign of one after they were read.
    ///
    /// # Errors
    /// [`PortError`].
    fn update_counters(&mut self) -> Result<(), PortError> {
        Ok(())
    }
    /// The counters, widened, since the port was opened.
    fn device_stats(&self) -> DeviceStats {
        DeviceStats::default()
    }
    /// Frames that the device has dropped because a queue had no descriptor. Zero where it does not count them.
    fn no_descriptor_frames(&self, _queue: usize) -> u64 {
        0
    }
}

/// A port on a device.
#[derive(Debug)]
pub struct LivePort<F: PciFunction, H: Hardware> {
    // It maps BARs, and is dropped before the function: a mapping keeps the device from being given back.
    hardware: H,
    info: PortInfo,
    life: Life<H::Layout>,
    totals: Totals,
    link: Link,
    function: F,
}

enum Life<L> {
    /// With the gate of the last start, whose queues may still be in the middle of a burst.
    Stopped(Option<Gate>),
    Running(Box<Run<L>>),
    /// Recovery was given up; the device has let go.
    Failed(Gate),
    /// The device did not let go of its rings, which the queues still use.
    Lost,
    Removed,
}

impl<L> std::fmt::Debug for Life<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stopped(_) => "Stopped",
            Self::Running(_) => "Running",
            Self::Failed(_) => "Failed",
            Self::Lost => "Lost",
            Self::Removed => "Removed",
        })
    }
}

/// One start.
struct Run<L> {
    gate: Gate,
    deposit: Deposit,
    intent: Intent,
    queue_pairs: u16,
    layout: L,
    phase: Phase,
    recovery_limit: Duration,
    stall: Stall,
    /// The function was reset, and may be spoken to from then on.
    reset_until: Option<Instant>,
    /// The bus reported an error: the function is reset before it is set up again.
    needs_bus_reset: bool,
    /// It has been tried since then to make the device let go.
    clinging_since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Frames pass.
    Up,
    /// The function must be set up again. Says how it was noticed.
    ResetDue(&'static str),
    /// The application knows of it, the device has let go, and the queues are on their way to rest.
    Waiting,
    /// It has been tried since then.
    Recovering(Instant),
}

impl<F: PciFunction, H: Hardware> LivePort<F, H> {
    /// Speaks to the device and makes a stopped port.
    ///
    /// # Errors
    /// [`PortError`] where the device or its PF does not answer as it should.
    pub fn probe(function: F, hardware: H) -> Result<Self, PortError> {
        let info = PortInfo {
            address: function.address().into(),
            driver: H::NAME,
            id: function.id(),
            mac: MacAddr::ZERO,
            max_queue_pairs: 0,
            max_mtu_bytes: hardware.max_mtu_bytes(),
            simulated: function.address().starts_with("sim:"),
        };
        let mut port = Self { hardware, info, life: Life::Stopped(None), totals: Totals::default(), link: Link::default(), function };
        port.begin(None)?;
        port.hardware.begin_counters();
        Ok(port)
    }

    /// Resets the function and asks for what is wanted. Begins again, a few times, where it is reset meanwhile.
    fn begin(&mut self, intent: Option<&Intent>) -> Result<Granted, PortError> {
        self.persistently(|port| port.begin_once(intent))
    }

    fn begin_once(&mut self, intent: Option<&Intent>) -> Result<Granted, Setback> {
        let quiet = self.hardware.reset()?;
        if !quiet.is_zero() {
            clock::pause(quiet);
        }
        let granted = self.hardware.begin(intent)?;
        self.learn();
        Ok(granted)
    }

    /// Tries a few times where the function is reset meanwhile.
    fn persistently<T>(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<T, Setback>) -> Result<T, PortError> {
        for _ in 0..STARTS_MAX {
            match attempt(self) {
                Err(Setback::BeginAgain(_)) => {}
                Err(Setback::Failed(error)) => return Err(error),
                Ok(done) => return Ok(done),
            }
        }
        Err(PortError::State(
            "the function was reset again and again while this port began to talk to it: leave its PF alone and try again",
        ))
    }

    /// What the device and its PF have to say about the port itself.
    fn learn(&mut self) {
        self.info.mac = self.hardware.mac();
        self.info.max_queue_pairs = self.hardware.max_queue_pairs();
        self.info.max_mtu_bytes = self.hardware.max_mtu_bytes();
    }

    /// What the device cannot do is said before anything is touched.
    fn check(&self, config: &PortConfig) -> Result<(), PortError> {
        match &self.life {
            Life::Stopped(gate) => at_rest(gate.as_ref())?,
            Life::Failed(gate) => at_rest(Some(gate))?,
            Life::Running(_) => return Err(PortError::State("the port is running: stop it before it is started again")),
            Life::Lost => {
                return Err(PortError::State("the device did not let go of its memory when it was stopped: close and open the port anew"));
            }
            Life::Removed => return Err(BusError::Gone.into()),
        }
        config.pool.fits(self.function.dma().domain(), &self.info.address)?;
        self.hardware.check_queue_pairs(config.queue_pairs)?;
        for (what, size_desc) in [("the receive ring's size", config.rx_desc), ("the transmit ring's size", config.tx_desc)] {
            if !size_desc.is_power_of_two() || !H::RING_DESC.contains(&usize::from(size_desc)) {
                let allowed = format!("a power of two from {} to {} descriptors", H::RING_DESC.start(), H::RING_DESC.end());
                return Err(PortError::setting(what, size_desc, allowed));
            }
        }
        config.intent.check(self.info.max_mtu_bytes)
    }

    /// Makes the device let go of all memory: by disabling its queues, else by resetting it. That it cannot be read does not mean that it
    /// cannot write: only the bus knows that a function is gone.
    fn let_go(&mut self) -> Result<(), PortError> {
        match self.hardware.disable() {
            Ok(()) => Ok(()),
            Err(_) => match self.function.reset() {
                Ok(()) | Err(BusError::Gone) => Ok(()),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Ends the current start, if there is one.
    fn end(&mut self) -> Result<(), PortError> {
        let run = match std::mem::replace(&mut self.life, Life::Stopped(None)) {
            Life::Running(run) => run,
            Life::Failed(gate) => {
                self.life = Life::Stopped(Some(gate));
                return Ok(());
            }
            other => {
                self.life = other;
                return Ok(());
            }
        };
        self.link = Link::default();
        if let Err(error) = self.let_go() {
            run.deposit.lost();
            self.hardware.abandon();
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

    /// The port does not work any more, until it is stopped and started anew.
    fn fail(&mut self, step: Step, error: &PortError) -> PortEvent {
        // Where the device does not let go, the rings are kept for ever.
        if self.end().is_ok()
            && let Life::Stopped(Some(gate)) = std::mem::replace(&mut self.life, Life::Lost)
        {
            self.life = Life::Failed(gate);
        }
        PortEvent::Failed { step, cause: error.to_string() }
    }

    /// The function was reset, or is about to be: brings the queues to rest. A device that does not let go at once is asked again: the
    /// kernel may be busy with it.
    fn begin_reset(&mut self, cause: &'static str) -> Option<PortEvent> {
        if let Err(error) = self.let_go() {
            let Life::Running(run) = &mut self.life else { return None };
            let since = *run.clinging_since.get_or_insert_with(clock::now);
            let is_over = clock::now().duration_since(since) >= run.recovery_limit;
            return is_over.then(|| self.fail(Step::LetGo, &error));
        }
        if let Life::Running(run) = &mut self.life {
            run.phase = Phase::Waiting;
            run.clinging_since = None;
            run.gate.close();
        }
        self.totals.resets += 1;
        Some(PortEvent::ResetStarted { cause })
    }

    /// Sets the device up again, if it is back and the queues are at rest.
    fn recover(&mut self) -> Result<Option<PortEvent>, PortError> {
        let Life::Running(run) = &mut self.life else { return Ok(None) };
        if !run.gate.all_idle() || (!run.needs_bus_reset && !self.hardware.is_back()?) {
            run.phase = Phase::Waiting;
            run.reset_until = None;
            return Ok(None);
        }
        let since = match run.phase {
            Phase::Recovering(since) => since,
            _ => clock::now(),
        };
        run.phase = Phase::Recovering(since);
        let is_over = clock::now().duration_since(since) >= run.recovery_limit;
        match self.set_up() {
            Ok(granted) => Ok(granted.map(|granted| PortEvent::Recovered { granted })),
            Err((_, Setback::Failed(PortError::Bus(BusError::Gone)))) => Err(BusError::Gone.into()),
            Err((step, Setback::Failed(error))) if is_over => Ok(Some(self.fail(step, &error))),
            Err((step, Setback::BeginAgain(cause))) if is_over => Ok(Some(self.fail(step, &PortError::State(cause)))),
            // It may have been enabled in part.
            Err((_, setback)) => match (self.let_go(), setback) {
                (Err(error), _) => Ok(Some(self.fail(Step::LetGo, &error))),
                (Ok(()), Setback::Failed(error)) => Err(error),
                // Reset once more: at a later call.
                (Ok(()), Setback::BeginAgain(_)) => Ok(None),
            },
        }
    }

    /// One attempt to set the device up again as it was; nothing where a later call goes on with it.
    fn set_up(&mut self) -> Result<Option<Granted>, (Step, Setback)> {
        let Life::Running(run) = &mut self.life else { return Ok(None) };
        let hardware = &mut self.hardware;
        if run.needs_bus_reset {
            self.function.reset().map_err(|error| (Step::Negotiate, error.into()))?;
            (run.needs_bus_reset, run.reset_until) = (false, None);
        }
        let until = match run.reset_until {
            Some(until) => until,
            None => clock::now() + hardware.reset().map_err(|setback| (Step::Negotiate, setback))?,
        };
        run.reset_until = (clock::now() < until).then_some(until);
        if run.reset_until.is_some() {
            return Ok(None);
        }
        let granted = hardware.begin(Some(&run.intent)).map_err(|setback| (Step::Negotiate, setback))?;
        hardware.check_queue_pairs(run.queue_pairs).map_err(|error| (Step::Negotiate, error.into()))?;
        hardware.enable(&run.layout).map_err(|setback| (Step::Enable, setback))?;
        let granted = hardware.settle(&run.intent, granted).map_err(|setback| (Step::Negotiate, setback))?;
        hardware.begin_counters();
        run.phase = Phase::Up;
        run.stall.forget();
        run.gate.open();
        let mut granted = granted.complete(&run.intent);
        let before = self.info.mac;
        self.learn();
        granted.new_mac = (self.info.mac != before).then_some(self.info.mac);
        Ok(Some(granted))
    }

    /// What the port is due: removal is the caller's.
    fn look_after(&mut self) -> Result<Option<PortEvent>, PortError> {
        match self.phase() {
            None => return Ok(None),
            Some(Phase::Waiting | Phase::Recovering(_)) => return self.recover(),
            Some(Phase::ResetDue(_)) => {}
            Some(Phase::Up) => {
                self.hardware.update_counters()?;
                match self.hardware.listen() {
                    Ok(()) => self.look_at_transmit(),
                    Err(Setback::BeginAgain(cause)) => self.reset_is_due(cause),
                    Err(Setback::Failed(error)) => return Err(error),
                }
            }
        }
        match self.phase() {
            Some(Phase::ResetDue(cause)) => Ok(self.begin_reset(cause)),
            _ => self.look_at_link(),
        }
    }

    fn phase(&self) -> Option<Phase> {
        match &self.life {
            Life::Running(run) => Some(run.phase),
            _ => None,
        }
    }

    fn reset_is_due(&mut self, cause: &'static str) {
        if let Life::Running(run) = &mut self.life
            && run.phase == Phase::Up
        {
            run.phase = Phase::ResetDue(cause);
        }
    }

    /// A device that hangs says nothing of it.
    fn look_at_transmit(&mut self) {
        let Life::Running(run) = &mut self.life else { return };
        if !self.link.up {
            // Without a link nothing is sent, and nobody is to blame.
            run.stall.forget();
        } else if run.stall.look(&mut self.totals.tx, clock::now()) {
            self.reset_is_due("a transmit queue was full for as long as the stall limit: its frames were never reported as sent");
        }
    }

    fn look_at_link(&mut self) -> Result<Option<PortEvent>, PortError> {
        let now = self.hardware.link()?;
        let before = std::mem::replace(&mut self.link, now);
        Ok(match (before.up, now.up) {
            (false, true) => Some(PortEvent::LinkUp { mbps: now.mbps }),
            (true, false) => Some(PortEvent::LinkDown),
            _ => None,
        })
    }

    /// The bus reports an error of the function: a reset may bring it back.
    fn bus_error(&mut self) {
        if let Life::Running(run) = &mut self.life {
            run.needs_bus_reset = true;
        }
        self.reset_is_due("the function reported an error that it cannot recover from by itself");
    }

    /// Asks something of the device or the PF of a running port.
    fn request<T>(&mut self, ask: impl FnOnce(&mut H) -> Result<T, Setback>) -> Result<T, PortError> {
        match ask(&mut self.hardware) {
            Ok(answer) => Ok(answer),
            Err(Setback::Failed(error)) => Err(error),
            Err(Setback::BeginAgain(cause)) => {
                self.reset_is_due(cause);
                Err(PortError::State(
                    "the function was reset meanwhile: what was asked for is asked for when the port recovers, and its event says what came of it",
                ))
            }
        }
    }

    /// Rings, registers, buffers: what follows when the PF has been asked. From `enable` on the device may use the rings.
    fn bring_up(&mut self, config: &PortConfig, path: Path, granted: Granted) -> Result<Queues<H::Rx, H::Tx>, Setback> {
        self.hardware.check_queue_pairs(config.queue_pairs)?;
        let deposit = Deposit::new();
        let (gate, passes) = Gate::open_for(usize::from(config.queue_pairs) * 2);
        let (layout, rings) = self.hardware.rings(config, &*self.function.dma(), &deposit)?;
        let run = Run {
            gate,
            deposit,
            intent: config.intent.clone(),
            queue_pairs: config.queue_pairs,
            layout,
            phase: Phase::Up,
            recovery_limit: config.recovery_limit,
            stall: Stall::new(config.queue_pairs, config.stall_limit),
            reset_until: None,
            needs_bus_reset: false,
            clinging_since: None,
        };
        self.life = Life::Running(Box::new(run));
        let Life::Running(run) = &self.life else { return Err(PortError::State("the port was not started").into()) };
        let enabled = self.hardware.enable(&run.layout).and_then(|()| self.hardware.settle(&config.intent, granted));
        let granted = match enabled {
            Ok(granted) => granted.complete(&config.intent),
            Err(setback) => {
                // The first error is the one that says why.
                let _ = self.end();
                return Err(setback);
            }
        };
        self.learn();
        let mut passes = passes.into_iter();
        let passes = std::iter::from_fn(|| passes.next().zip(passes.next())).collect();
        let (rx, tx) = self.hardware.queues(rings, passes, config, path);
        rx.iter().enumerate().for_each(|(at, queue)| self.totals.rx(at).add(queue.counters()));
        tx.iter().enumerate().for_each(|(at, queue)| self.totals.tx_of(at).add(queue.counters()));
        self.hardware.begin_counters();
        Ok(Queues { rx, tx, granted })
    }
}

impl<F: PciFunction, H: Hardware> Port for LivePort<F, H> {
    type Rx = H::Rx;
    type Tx = H::Tx;

    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn start(&mut self, config: &PortConfig) -> Result<Queues<Self::Rx, Self::Tx>, PortError> {
        self.check(config)?;
        let path = config.path()?;
        self.persistently(|port| {
            let granted = port.begin_once(Some(&config.intent))?;
            port.bring_up(config, path, granted)
        })
    }

    fn stop(&mut self) -> Result<(), PortError> {
        if self.phase() == Some(Phase::Up) {
            // What the counters say before the end; a device that does not answer is the next line's to judge.
            let _ = self.hardware.update_counters();
        }
        self.end()
    }

    fn apply(&mut self, intent: &Intent) -> Result<Granted, PortError> {
        intent.check(self.info.max_mtu_bytes)?;
        let Life::Running(run) = &mut self.life else { return Err(PortError::State("the port is not running: start it first")) };
        if intent.mtu_bytes != run.intent.mtu_bytes {
            let allowed = format!("{} as long as the port runs: stop it and start it with the other", run.intent.mtu_bytes);
            return Err(PortError::setting("the MTU", intent.mtu_bytes, allowed));
        }
        run.intent = intent.clone();
        if run.phase != Phase::Up {
            return Err(PortError::State("the port is in reset: this is asked for when it recovers, and its event says what came of it"));
        }
        let granted = self.request(|hardware| hardware.ask(intent))?;
        self.learn();
        Ok(granted.complete(intent))
    }

    fn poll_control(&mut self) -> Result<Option<PortEvent>, PortError> {
        if matches!(self.life, Life::Removed) {
            return Ok(None);
        }
        match self.function.poll_event() {
            Some(BusEvent::RemoveRequested) => return Ok(Some(self.remove("the kernel asks for the function back"))),
            Some(BusEvent::Error) => self.bus_error(),
            None => {}
        }
        match self.look_after() {
            Err(PortError::Bus(BusError::Gone)) => {
                Ok(Some(self.remove("the function does not answer any more: its registers read as all ones")))
            }
            other => other,
        }
    }

    fn state(&self) -> PortState {
        match &self.life {
            Life::Stopped(_) => PortState::Stopped,
            Life::Failed(_) | Life::Lost => PortState::Failed,
            Life::Removed => PortState::Removed,
            Life::Running(run) => match run.phase {
                Phase::Up | Phase::ResetDue(_) => PortState::Running,
                Phase::Waiting => PortState::Resetting,
                Phase::Recovering(_) => PortState::Recovering,
            },
        }
    }

    fn link(&self) -> Link {
        // The link's bit stays set while the PF is down.
        if self.phase() == Some(Phase::Up) { self.link } else { Link::default() }
    }

    fn stats(&mut self) -> PortStats {
        if self.phase() == Some(Phase::Up) {
            // A device that is gone has nothing to add; `poll_control` says that it is gone.
            let _ = self.hardware.update_counters();
        }
        let hardware = &self.hardware;
        let rx = self.totals.rx_stats(|queue| hardware.no_descriptor_frames(queue));
        PortStats { rx, tx: self.totals.tx_stats(), device: hardware.device_stats(), resets: self.totals.resets }
    }

    fn rss(&mut self) -> Result<Rss, PortError> {
        if self.phase() != Some(Phase::Up) {
            return Err(PortError::State("only a running port spreads frames: start it, or wait until it has recovered"));
        }
        self.request(H::rss)
    }
}

impl<F: PciFunction, H: Hardware> Drop for LivePort<F, H> {
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
