//! Runs one schedule and says whether the port did what it promises.

use super::{
    fixture::{Ends, Happening},
    life::{Help, Life, Outside, setup},
};
use crate::fixture::Fixture;
use vfwire_core::{clock::SimulatedTime, port::PortState};
use vfwire_sim::{Damage, Fault, Faulty, Schedule, SimDevice, StepKind};

/// What happens to a device, besides the faults of its schedule.
pub(super) type Happenings<F> = fn(&SimDevice<Faulty<<F as Fixture>::Model>>) -> Vec<Happening<<F as Fixture>::Model>>;

/// What a walk is over: a function, and what happens to it from outside.
pub struct Scene<F: Fixture> {
    /// Resets it from outside, and makes it usable again.
    pub outside: Outside<F>,
    /// What may happen to it.
    pub happenings: Happenings<F>,
}

impl<F: Fixture> Clone for Scene<F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<F: Fixture> Copy for Scene<F> {}

/// How a run went that went as it should.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it took to make frames pass again; nothing where the port ended.
    pub help: Option<Help>,
    /// What the calls said meanwhile.
    pub errors: Vec<String>,
    /// What had to be excused, by name.
    pub excuses: Vec<&'static str>,
    /// The steps, of a run in which nothing goes wrong.
    pub steps: Vec<StepKind>,
}

/// What a schedule excuses.
#[derive(Clone, Copy, Debug)]
struct Excuse {
    ends: Ends,
    help: Help,
    /// The device was told something else than the driver said, or the driver something else than the device: rules may be broken.
    misled: bool,
    /// The device may reach for wrong memory.
    wild: bool,
    /// It was reset behind the driver's back, who may not know it yet.
    reset: bool,
    /// The driver was told lies about frames: the account need not close.
    lied: bool,
    for_ever: bool,
}

impl Excuse {
    fn of<M>(schedule: &Schedule, happenings: &[Happening<M>]) -> Self {
        let none = Self { ends: Ends::Running, help: Help::None, misled: false, wild: false, reset: false, lied: false, for_ever: false };
        schedule.faults().iter().fold(none, |excuse, (_, fault)| excuse.and(*fault, happenings))
    }

    /// Whether everything that was asked for must be in force after this much help.
    fn replays(self, help: Help) -> bool {
        !self.misled && self.ends != Ends::Refused && (self.ends == Ends::Running || help >= Help::Reset)
    }

    /// The port has found its way back before; now it must only go on.
    fn now_over(self) -> Self {
        // A completion that was lost may be missed much later.
        let help = if self.wild || self.ends == Ends::Refused { self.help } else { Help::None };
        Self { for_ever: false, help, ..self }
    }

    fn and<M>(mut self, fault: Fault, happenings: &[Happening<M>]) -> Self {
        match fault {
            Fault::Delay(_) => self.misled = true,
            Fault::Drop => {
                self.help = self.help.max(Help::Reset);
                (self.misled, self.wild) = (true, true);
            }
            Fault::Corrupt(_) => {
                self.help = Help::Reopen;
                (self.misled, self.wild, self.lied) = (true, true, true);
            }
            Fault::Reset => self.reset = true,
            Fault::Stall(_) => {}
            Fault::Vanish(ticks) => {
                self.ends = self.ends.max(Ends::Removed);
                self.help = Help::Reopen;
                // What the driver writes meanwhile goes nowhere.
                (self.misled, self.reset) = (true, true);
                self.for_ever |= ticks == Fault::FOR_EVER;
            }
            Fault::Blind(_) => {
                self.ends = self.ends.max(Ends::Removed);
                self.help = Help::Reopen;
                self.misled = true;
            }
            Fault::Event(which) => {
                self.reset = true;
                self.ends = self.ends.max(happenings.get(which).map_or(Ends::Running, |happening| happening.ends));
                self.help = self.help.max(match self.ends {
                    Ends::Running => Help::None,
                    Ends::Unaware => Help::Reset,
                    Ends::Removed | Ends::Refused => Help::Reopen,
                });
            }
        }
        self
    }
}

/// Puts the faults of `schedule` into a life, and judges it.
///
/// # Errors
/// What the port did not do that it promises.
pub(super) fn run<F: Fixture>(scene: Scene<F>, schedule: &Schedule) -> Result<Outcome, String> {
    let _time = SimulatedTime::begin(|| {});
    let mut bench = setup::<F>().plug::<super::Faulted<F>>();
    bench.is_judged_elsewhere();
    let happenings = (scene.happenings)(&bench.device);
    let excuse = Excuse::of(schedule, &happenings);
    bench.model(|model| model.arm(schedule.clone(), happenings.into_iter().map(|happening| happening.event).collect()));
    let mut life = Life::new(bench, scene.outside);
    let mut help = None;
    for phase in Life::PHASES {
        phase(&mut life);
        // As soon as nothing new goes wrong, the port must find its way back; and then go on.
        if help.is_none() && !schedule.faults().is_empty() && life.bench.model(|model| model.is_spent()) {
            help = Some(ending(&mut life, excuse).map_err(|what| life.told(&what))?);
        }
    }
    let steps = life.bench.model(|model| model.steps().to_vec());
    let last = ending(&mut life, if help.is_some() { excuse.now_over() } else { excuse }).map_err(|what| life.told(&what))?;
    let help = help.unwrap_or(last);
    let errors = life.errors.clone();
    life.close();
    let excuses = judge(&mut life, excuse).map_err(|what| life.told(&what))?;
    Ok(Outcome { help, errors, excuses, steps })
}

/// A device that is gone for ever must have been noticed; with any other, frames must pass in the end.
fn ending<F: Fixture>(life: &mut Life<F>, excuse: Excuse) -> Result<Option<Help>, String> {
    if excuse.for_ever {
        let is_over = |life: &mut Life<F>| !matches!(life.state(), Some(PortState::Running | PortState::Resetting | PortState::Recovering));
        if !life.until(100, is_over) {
            return Err("the device is gone and the port has not noticed".into());
        }
        life.bench.model(Faulty::disarm);
        return life.works_again(Help::Reopen).map(Some);
    }
    life.bench.model(Faulty::disarm);
    match life.works_again(excuse.help) {
        // A recovery asks for everything again: where nothing has kept it from that, it shows.
        Ok(help) if excuse.replays(help) && !life.hears_its_vlan() => Err(format!("frames pass, with {help:?}, but not those of its VLAN")),
        Ok(help) => Ok(Some(help)),
        Err(_) if excuse.ends == Ends::Refused && life.has_ended(excuse.ends) => Ok(None),
        Err(stuck) => Err(stuck),
    }
}

/// Everything is closed: what is left is looked at. Gives what had to be excused.
fn judge<F: Fixture>(life: &mut Life<F>, excuse: Excuse) -> Result<Vec<&'static str>, String> {
    let damage = life.bench.model(|model| model.damage());
    let mut excuses = Vec::new();
    let total = setup::<F>().pool.buffers as usize;
    let home = life.bench.pool.free_buffers() + life.bench.cache.len();
    if home != total {
        return Err(format!("{home} of {total} buffers came home"));
    }
    let faults = life.bench.host.faults();
    if !faults.is_empty() {
        if !excuse.wild {
            return Err(format!("the IOMMU refused: {faults:?}"));
        }
        excuses.push("the IOMMU refused a device that was told of other memory");
    }
    let mut unexplained = life.bench.model(<super::Faulted<F> as Fixture>::violations);
    unexplained.retain(|rule| {
        let explained = explanation(rule, excuse);
        excuses.extend(explained);
        explained.is_none()
    });
    if !unexplained.is_empty() {
        return Err(format!("the driver broke the data sheet: {unexplained:?}"));
    }
    excuses.extend(account(life, excuse, damage)?);
    excuses.sort_unstable();
    excuses.dedup();
    Ok(excuses)
}

/// Rules that a driver cannot help breaking: it enables, writes a tail or asks the PF, and the reset comes in between.
const OF_A_RESET: &[&str] = &[
    "a tail is written after its queue was enabled",
    "while the VF holds",
    "a ring lies at",
    "of a ring is",
    // The bits that were cleared are set again by the reset.
    "DCA_TXCTRL lets no write-back pass another",
    // Of a virtio device, which forgets features and queues.
    "queues are set up after FEATURES_OK",
    "a queue's size is from 1 to the device's",
    "comes before",
    "is read back before",
    "features are accepted between DRIVER and FEATURES_OK",
    "a device is notified after DRIVER_OK",
];

/// What excuses that a rule was broken.
fn explanation(rule: &str, excuse: Excuse) -> Option<&'static str> {
    let of_a_reset = OF_A_RESET.iter().find(|part| excuse.reset && rule.contains(**part)).copied();
    of_a_reset.or_else(|| excuse.misled.then_some("a rule was broken by a driver or before a device that was misled"))
}

/// Received and dropped by cause is what was sent, to the frame, in both directions.
fn account<F: Fixture>(life: &mut Life<F>, excuse: Excuse, damage: Damage) -> Result<Option<&'static str>, String> {
    let lost = life.bench.model(|model| <super::Faulted<F> as Fixture>::lost_frames(model));
    let moved = life.moved;
    let known = moved.received + moved.rx_errors + moved.rx_lost_in_reset + lost.rx_frames + lost.no_descriptor_frames;
    let taken = life.taken();
    // A completion that never came is a frame that nobody knows of; one that was changed may say anything of a ring's frames.
    let ring = u64::from(setup::<F>().rx_desc.max(64));
    let hidden = if damage.lost_dma > 0 && F::TRAITS.lost_completion_hides_others { ring } else { damage.lost_dma };
    let unknown = hidden + if excuse.lied { ring } else { 0 };
    if known.abs_diff(taken) > unknown || known > taken && !excuse.lied {
        return Err(format!("received: {known} frames are accounted for, the device took {taken}: {moved:?}, {lost:?}"));
    }
    let left = moved.arrived + lost.tx_frames;
    if left > moved.sent || left + moved.tx_lost_in_reset + unknown < moved.sent {
        return Err(format!("sent: {} frames were given to the device, {left} left it: {moved:?}, {lost:?}", moved.sent));
    }
    let is_closed = known == taken && left + moved.tx_lost_in_reset >= moved.sent;
    let why = if excuse.lied { "frames unaccounted for: the device lied" } else { "frames unaccounted for: completions never came" };
    Ok((!is_closed).then_some(why))
}
