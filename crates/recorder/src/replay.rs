//! Running a driver against a recording: the recorded device answers, and what the driver does is compared with what was done.
//!
//! Each recorded call is made again with what it asked for. Reads are answered from the recording ([`answers`]), so polling loops end as
//! they did; registers written, resets, BARs and DMA memory asked for, and what the call answers must be the recorded ones. Two things differ
//! from run to run and are no differences: how often a register was polled, and where DMA memory lies, which is translated. A random MAC
//! address is asked for as the one that it was. Time is the recorded one, and passes at once.
//!
//! The workers' part of a reset, bringing the queues to rest, is played by polling each queue once after every call.

mod answers;
mod diff;
pub mod drive;
mod function;
#[cfg(test)]
mod tests;

pub use diff::Hunk;
pub use function::ReplayFunction;

use crate::recording::{Call, CallKind, Recording, StartShape, one_line};
use answers::Script;
use diff::Translation;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vfwire_core::{
    clock::{self, SimulatedTime},
    dma::DmaSpace,
    error::PortError,
    event::PortEvent,
    pool::{BufCache, Pool, PoolConfig},
    port::{Granted, Intent, Port, PortConfig, Queues, Setting},
    queue::{RxQueue, TxQueue},
};
use vfwire_spec::net::MacAddr;

/// Calls with differences that are told: what follows a difference is most often its consequence.
const CALLS_MAX: usize = 20;
/// Buffers that a replayed start may have: a recording is somebody else's.
const BUFFERS_MAX: u32 = 1 << 16;

/// What a replay saw.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Calls that were made again.
    pub calls: usize,
    /// What must be known to judge it.
    pub notes: Vec<String>,
    /// Calls in which something else was done or answered, in their order.
    pub differences: Vec<Difference>,
}

/// A call in which something else was done or answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Which call of the recording, from 0.
    pub call: usize,
    /// Steps that are not the recorded ones.
    pub hunks: Vec<Hunk>,
    /// What it answered, recorded and today, where that is not the same.
    pub outcomes: Option<[String; 2]>,
}

/// What the replay shares with its function.
pub(crate) type Shared = Arc<Mutex<Script>>;

pub(crate) fn lock(script: &Shared) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes every recorded call again. `probe` makes a port of the function that it is given; `space` is where DMA memory comes from.
pub fn replay<P: Port>(
    recording: &Recording,
    space: &Arc<dyn DmaSpace>,
    probe: impl FnOnce(ReplayFunction) -> Result<P, PortError>,
) -> Report {
    let shared: Shared = Arc::new(Mutex::new(Script::default()));
    let _time = SimulatedTime::begin(|| {});
    let opened = clock::now();
    let mut run = Run {
        space,
        shared: shared.clone(),
        port: None,
        queues: None,
        translation: Translation::default(),
        own_mac: None,
        report: Report::default(),
    };
    let function = ReplayFunction::new(&recording.port, space.clone(), shared);
    let mut probe = Some(|| probe(function));
    for (at, call) in recording.calls.iter().enumerate() {
        if call.lost_before != 0 {
            run.report.notes.push(format!(
                "{} calls before call {at} are not in the recording: what differs after them may come from what they did",
                call.lost_before
            ));
        }
        // What neither did anything nor had anything to say has nothing to be compared with.
        if call.is_quiet() && call.steps.is_empty() {
            continue;
        }
        wait_until(opened, call.at_ns);
        lock(&run.shared).begin(call);
        let answered = match &call.kind {
            CallKind::Probe => match probe.take() {
                Some(probe) => run.probe(probe(), call),
                None => continue,
            },
            kind => match run.call(kind, call) {
                Some(answered) => answered,
                None => {
                    run.report.notes.push(format!("there is no port for call {at} and those after it"));
                    break;
                }
            },
        };
        run.report.calls += 1;
        run.compare(at, call, answered);
        run.poll_queues();
        if run.report.differences.len() == CALLS_MAX {
            run.report.notes.push(format!("ended after {CALLS_MAX} calls with differences, at call {at}"));
            break;
        }
    }
    // Whatever is dropped now was not recorded.
    run.queues = None;
    run.port = None;
    run.report
}

/// Lets time pass until so many nanoseconds after the function was opened.
fn wait_until(opened: Instant, at_ns: u64) {
    let left = Duration::from_nanos(at_ns).saturating_sub(clock::now() - opened);
    if !left.is_zero() {
        clock::pause(left);
    }
}

/// The queues of a start, and their pool.
type Started<P> = (Queues<<P as Port>::Rx, <P as Port>::Tx>, Pool);

struct Run<'r, P: Port> {
    space: &'r Arc<dyn DmaSpace>,
    shared: Shared,
    queues: Option<Started<P>>,
    port: Option<P>,
    translation: Translation,
    /// The address of a start that asked for none.
    own_mac: Option<MacAddr>,
    report: Report,
}

impl<P: Port> Run<'_, P> {
    fn probe(&mut self, result: Result<P, PortError>, recorded: &Call) -> String {
        let told_of = |port: &P| {
            let mut info = port.info().clone();
            // It may be a random one until the port is started.
            let was = recorded.outcome.as_ref().and_then(|outcome| outcome.mac);
            info.mac = was.filter(|was| was.is_local() && info.mac.is_local()).unwrap_or(info.mac);
            format!("{info:?}")
        };
        let answered = told(&result.as_ref().map(|port| Some(told_of(port))));
        self.port = result.ok();
        answered
    }

    /// Makes a call again; nothing where there is no port to call.
    fn call(&mut self, kind: &CallKind, recorded: &Call) -> Option<String> {
        let port = self.port.as_mut()?;
        match kind {
            CallKind::Start(shape) => {
                self.queues = None;
                let was = recorded.outcome.as_ref().and_then(|outcome| outcome.mac);
                self.own_mac = was.filter(|mac| shape.intent.mac.is_none() && mac.is_unicast());
            }
            CallKind::Apply(intent) if intent.mac.is_some() => self.own_mac = None,
            _ => {}
        }
        let mac = self.own_mac;
        Some(match kind {
            CallKind::Probe => return None,
            CallKind::Start(shape) => {
                let started = start(port, self.space, shape, mac).map(|(queues, pool)| {
                    let answered = format!("{:?}", without(mac, &queues.granted));
                    self.queues = Some((queues, pool));
                    Some(answered)
                });
                told(&started.as_ref().map(Clone::clone))
            }
            CallKind::Stop => told(&port.stop().as_ref().map(|()| None)),
            CallKind::Apply(intent) => {
                let applied = port.apply(&with_mac(intent, mac));
                told(&applied.as_ref().map(|granted| Some(format!("{:?}", without(mac, granted)))))
            }
            CallKind::Poll => told(&port.poll_control().as_ref().map(|event| event.as_ref().map(|event| told_event(mac, event)))),
            CallKind::Stats => {
                port.stats();
                told::<PortError>(&Ok(None))
            }
            CallKind::Rss => told(&port.rss().as_ref().map(|rss| Some(format!("{rss:?}")))),
            CallKind::Close => {
                self.port = None;
                String::new()
            }
        })
    }

    fn compare(&mut self, at: usize, call: &Call, answered: String) {
        let today = lock(&self.shared).end();
        let hunks = diff::compare(&call.steps, &today, call.lost_steps, &mut self.translation);
        let outcomes = call.outcome.as_ref().filter(|outcome| outcome.text != answered).map(|outcome| [outcome.text.clone(), answered]);
        if !hunks.is_empty() || outcomes.is_some() {
            self.report.differences.push(Difference { call: at, hunks, outcomes });
        }
    }

    /// Lets every queue take notice of what has become of its port.
    fn poll_queues(&mut self) {
        let Some((queues, pool)) = &mut self.queues else { return };
        let mut cache: BufCache = pool.cache();
        let mut burst = pool.burst(1);
        for queue in &mut queues.rx {
            queue.rx_burst(&mut cache, &mut burst);
            burst.clear(&mut cache);
        }
        for queue in &mut queues.tx {
            queue.tx_burst(&mut cache, &mut burst);
        }
    }
}

/// What a call answers, as recorders write it down.
fn told<E: std::fmt::Display>(result: &Result<Option<String>, &E>) -> String {
    one_line(match result {
        Ok(Some(text)) => text.clone(),
        Ok(None) => "ok".to_owned(),
        Err(error) => format!("error: {error}"),
    })
}

/// A start of this shape, with a pool of its own.
fn start<P: Port>(port: &mut P, space: &Arc<dyn DmaSpace>, shape: &StartShape, mac: Option<MacAddr>) -> Result<Started<P>, PortError> {
    let rings = u32::from(shape.rx_desc) + u32::from(shape.tx_desc);
    let buffers = u32::from(shape.queue_pairs).saturating_mul(rings).clamp(1, BUFFERS_MAX);
    let pool = Pool::new(&**space, PoolConfig { buffers, data_bytes: shape.room_bytes })?;
    let config = PortConfig {
        queue_pairs: shape.queue_pairs,
        rx_desc: shape.rx_desc,
        tx_desc: shape.tx_desc,
        recovery_limit: Duration::from_millis(shape.recovery_limit_ms),
        intent: with_mac(&shape.intent, mac),
        ..PortConfig::new(&pool)
    };
    Ok((port.start(&config)?, pool))
}

/// An event, as recorders write it down.
fn told_event(mac: Option<MacAddr>, event: &PortEvent) -> String {
    match event {
        PortEvent::Recovered { granted } => format!("{:?}", PortEvent::Recovered { granted: without(mac, granted) }),
        other => format!("{other:?}"),
    }
}

/// What was granted, but for an address that only the replay asked for.
fn without(mac: Option<MacAddr>, granted: &Granted) -> Granted {
    let mut granted = granted.clone();
    granted.applied.retain(|setting| mac.is_none_or(|mac| *setting != Setting::Mac(mac)));
    granted
}

/// Where nothing was asked for, the address that came of it: it may have been a random one.
fn with_mac(intent: &Intent, mac: Option<MacAddr>) -> Intent {
    Intent { mac: intent.mac.or(mac), ..intent.clone() }
}
