//! Something goes wrong at every step: the port ends in `Running`, or says that it cannot; nothing is lost, hangs or panics.
//!
//! A run without faults ([`life`]) lists the steps between driver and device: every register access, doorbell and write to memory. The walk
//! puts every fault that is possible at a step there, one a run, and then several at random steps. The device is anybody's: faults come
//! from [`Faulty`](vfwire_sim::Faulty), which knows no device, and from what the fixture's PF can do. Time is simulated, so that a time-out costs
//! nothing and a run is the same every time.
//!
//! What must hold after every run ([`judge`]): frames pass again in both directions, by itself where the fault was passing and the driver
//! could know of it, else after a reset from outside, a restart or a new port; or the port says that it has ended where the fault
//! excuses that. Every buffer is home. The IOMMU refused nothing and the driver broke no rule of the data sheet, unless the device never
//! got what it was told. Received and dropped by cause is sent, to the frame, unless the device lied about frames.
//!
//! The ordinary run takes a part of the walk, drawn at random. `VFWIRE_FAULTS=all` takes all of it; `VFWIRE_FAULTS=120:drop` the one schedule that a
//! failure has printed.

mod fixture;
mod judge;
mod life;
mod report;

pub use fixture::{Ends, Faulted, Happening, happenings, happenings_of_pf};
pub use judge::{Outcome, Scene};

use crate::fixture::{Fixture, PfFixture};
use report::Report;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use vfwire_core::bus::BusEvent;
use vfwire_sim::{Fault, Schedule, StepKind, faulty::Random};

/// Which part of the walk is taken, or the schedule that is repeated.
const VARIABLE: &str = "VFWIRE_FAULTS";
/// The ordinary run takes one run of so many.
const STRIDE: usize = 25;
/// Random schedules of an ordinary run, and of a whole one.
const RANDOM: [usize; 2] = [100, 4000];

/// What is to be run.
enum Part {
    Some,
    All,
    One(Schedule),
}

impl Part {
    fn from_environment() -> Self {
        match std::env::var(VARIABLE) {
            Err(_) => Self::Some,
            Ok(text) if text == "all" => Self::All,
            Ok(text) => Self::One(text.parse().unwrap_or_else(|error| panic!("{VARIABLE}: {error}; or say all"))),
        }
    }
}

/// The faults that are put into one step.
fn faults_at(step: usize, kind: StepKind, happenings: usize) -> impl Iterator<Item = Fault> {
    let seed = step as u64 * 8;
    let devices = [
        Fault::Drop,
        Fault::Corrupt(seed),
        Fault::Corrupt(seed + 1),
        Fault::Corrupt(seed + 2),
        Fault::Delay(1),
        Fault::Delay(8),
        Fault::Delay(300),
        Fault::Reset,
        Fault::Vanish(1),
        Fault::Vanish(30),
        Fault::Vanish(2000),
        Fault::Vanish(Fault::FOR_EVER),
        Fault::Blind(1),
        Fault::Blind(30),
        Fault::Stall(3),
        Fault::Stall(60),
        Fault::Stall(600),
    ];
    devices.into_iter().chain((0..happenings).map(Fault::Event)).filter(move |fault| fault.is_possible_at(kind))
}

/// Two to five faults at random steps.
fn random_schedule(seed: u64, steps: &[StepKind], happenings: usize) -> Schedule {
    let mut random = Random::new(seed);
    let mut pick = |limit: usize| usize::try_from(random.below(limit as u64)).unwrap_or_default();
    let count = 2 + pick(4);
    Schedule::new((0..count).map(|_| {
        let step = pick(steps.len());
        let possible: Vec<_> = faults_at(step, steps[step], happenings).filter(|fault| *fault != Fault::Vanish(Fault::FOR_EVER)).collect();
        (step as u64, possible[pick(possible.len())])
    }))
}

/// One fault a run, at every step.
pub fn every_fault_at_every_step<F: PfFixture>() {
    every_fault(scene_of_pf::<F>());
}

/// Several faults in one run.
pub fn several_faults_at_random_steps<F: PfFixture>() {
    several_faults(scene_of_pf::<F>());
}

pub(crate) fn every_fault<F: Fixture>(scene: Scene<F>) {
    walk(scene, |steps, happenings, stride| {
        let all = steps
            .iter()
            .enumerate()
            .flat_map(|(step, kind)| faults_at(step, *kind, happenings).map(move |fault| Schedule::new([(step as u64, fault)])));
        // Drawn, because a fixed stride would miss what repeats with it.
        let mut random = Random::new(0);
        all.filter(|_| random.below(stride as u64) == 0).collect()
    });
}

pub(crate) fn several_faults<F: Fixture>(scene: Scene<F>) {
    walk(scene, |steps, happenings, stride| {
        let seeds = RANDOM[usize::from(stride == 1)] as u64;
        (0..seeds).map(|seed| random_schedule(seed, steps, happenings)).collect()
    });
}

fn scene_of_pf<F: PfFixture>() -> Scene<F> {
    Scene {
        outside: |bench, begins| bench.model(|model| F::set_pf_up(model.model_mut(), !begins)),
        happenings: |device| {
            let mut all = happenings::<F>(device);
            all.extend(happenings_of_pf::<F>());
            all
        },
    }
}

/// The scene of a function without a PF: what resets it from outside is an error of the bus.
pub fn scene_without_pf<F: Fixture>() -> Scene<F> {
    Scene {
        outside: |bench, begins| {
            if begins {
                bench.device.raise(BusEvent::Error);
            }
        },
        happenings: happenings::<F>,
    }
}

/// Runs a clean life twice, and then what `schedules` makes of its steps; fails with what did not go as it should.
fn walk<F: Fixture>(scene: Scene<F>, schedules: impl Fn(&[StepKind], usize, usize) -> Vec<Schedule>) {
    let clean = judge::run(scene, &Schedule::default()).unwrap_or_else(|wrong| panic!("without any fault: {wrong}"));
    let again = judge::run(scene, &Schedule::default()).unwrap_or_else(|wrong| panic!("without any fault: {wrong}"));
    assert!(clean.steps == again.steps, "two runs differ");
    assert!(clean.errors.is_empty() && clean.excuses.is_empty() && clean.help == Some(life::Help::None), "without any fault: {clean:?}");
    let names: Vec<_> = {
        let bench = life::setup::<F>().plug::<Faulted<F>>();
        (scene.happenings)(&bench.device).iter().map(|happening| happening.name).collect()
    };
    let schedules = match Part::from_environment() {
        Part::Some => schedules(&clean.steps, names.len(), STRIDE),
        Part::All => schedules(&clean.steps, names.len(), 1),
        Part::One(schedule) => vec![schedule],
    };
    let report = Mutex::new(Report::new::<F>(clean.steps.len(), names));
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(schedule) = schedules.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let run = catch_unwind(AssertUnwindSafe(|| judge::run(scene, schedule)));
                    let result = run.unwrap_or_else(|_| Err("it panicked".into()));
                    report.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(schedule, result);
                }
            });
        }
    });
    report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).conclude();
}
