//! The threads that poll: started, pinned where asked, and ended together.

use super::{
    Failure,
    capture::{SwitchWithTap, Tap, WithTap},
    modes::{Mode, Plan, Topology},
    options::Options,
    ports::{JoinedHub, JoinedLane, Work},
};
use core_affinity::CoreId;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};
use vfwire::{
    Pool,
    forward::{
        Hub, Stage, Switch, TurnsReader, Worker,
        stages::{Drop as DropAll, Flood, Io, MacSwap, Touch},
    },
};

/// Threads that run until they are told to end.
pub(super) struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    turns: Vec<TurnsReader>,
    topology: Topology,
}

impl Workers {
    /// A worker for each place. What there is to poll is dealt out in turn. All of them poll when this returns.
    pub(super) fn start(work: Work, pool: &Pool, plan: &Plan, places: &[Place]) -> Result<Self, Failure> {
        let shares = shares(work, places.len());
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = Self { stop: stop.clone(), threads: Vec::new(), turns: Vec::new(), topology: plan.options.mode.topology() };
        let (ready, started) = mpsc::channel();
        for (at, (share, core)) in shares.into_iter().zip(places.iter().copied()).enumerate() {
            let (stop, ready, pool, plan) = (stop.clone(), ready.clone(), pool.clone(), plan.clone());
            let run = move || {
                let pinned = core.is_none_or(core_affinity::set_for_current);
                // Made here, so that a worker's own memory is near its CPU and not beside another worker's.
                let polled = Polled::new(share, &pool);
                // The receiver waits for every worker, so it is there.
                let _ = ready.send((at, polled.turns(), if pinned { None } else { core }));
                drop(ready);
                if pinned {
                    polled.poll(&plan, &stop);
                }
            };
            let thread = thread::Builder::new().name(format!("vfwire-{at}")).spawn(run);
            workers.threads.push(thread.map_err(|error| Failure::failed(format!("no thread for worker {at}: {error}")))?);
        }
        drop(ready);
        let mut started: Vec<_> = started.iter().collect();
        started.sort_unstable_by_key(|(at, ..)| *at);
        if let Some(unpinned) = started.iter().find_map(|(.., unpinned)| *unpinned) {
            return Err(Failure::failed(format!("a worker cannot be pinned to CPU {}: is it in this process's cpuset?", unpinned.id)));
        }
        workers.turns = started.into_iter().map(|(_, turns, _)| turns).collect();
        Ok(workers)
    }

    /// The heartbeat of each worker.
    pub(super) fn turns(&self) -> &[TurnsReader] {
        &self.turns
    }

    /// By which ports frames leave.
    pub(super) fn topology(&self) -> Topology {
        self.topology
    }

    /// Whether a worker has ended by itself, which only a panic does.
    pub(super) fn is_broken(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends them all. The queues are given back to their ports when this returns.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        self.end().then_some(()).ok_or_else(|| Failure::failed("a worker ended in a panic, which is a fault of vfwire: please report it"))
    }

    fn end(&mut self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = self.threads.drain(..).filter_map(|thread| thread.join().err()).count();
        panicked == 0
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end();
    }
}

/// What one worker polls.
enum Share {
    Lanes(Vec<JoinedLane>),
    Hubs(Vec<JoinedHub>),
}

/// Deals out in turn, see [`worker_of`].
fn shares(work: Work, workers: usize) -> Vec<Share> {
    fn deal<T>(all: Vec<T>, workers: usize) -> Vec<Vec<T>> {
        let mut shares: Vec<Vec<T>> = Vec::new();
        shares.resize_with(workers, Vec::new);
        for (at, one) in all.into_iter().enumerate() {
            shares[worker_of(at, workers)].push(one);
        }
        shares
    }
    match work {
        Work::Lanes(lanes) => deal(lanes, workers).into_iter().map(Share::Lanes).collect(),
        Work::Hubs(hubs) => deal(hubs, workers).into_iter().map(Share::Hubs).collect(),
    }
}

/// What one thread polls, ready to begin.
enum Polled {
    /// Of each lane its ports, that which it receives from and that which it sends by, and where it is captured.
    Lanes(Worker, Vec<(usize, usize)>, Vec<Option<Tap>>),
    Hub(Box<JoinedHub>),
}

impl Polled {
    fn new(share: Share, pool: &Pool) -> Self {
        let mut joined = match share {
            Share::Lanes(joined) => joined,
            // There is one hub for each worker, see `places`.
            Share::Hubs(hubs) => match hubs.into_iter().next() {
                Some(hub) => return Self::Hub(Box::new(hub)),
                None => Vec::new(),
            },
        };
        let ends = joined.iter().map(|lane| (lane.from, lane.leaves_by)).collect();
        let taps = joined.iter_mut().map(|lane| lane.tap.take()).collect();
        Self::Lanes(Worker::new(joined.into_iter().map(|joined| joined.lane).collect(), pool), ends, taps)
    }

    /// Its heartbeat.
    fn turns(&self) -> TurnsReader {
        match self {
            Self::Lanes(worker, ..) => worker.turns(),
            Self::Hub(joined) => joined.hub.turns(),
        }
    }

    /// Until told to stop.
    fn poll(self, plan: &Plan, stop: &AtomicBool) {
        match self {
            Self::Lanes(worker, ends, taps) => poll_lanes(worker, &ends, taps, plan, stop),
            Self::Hub(joined) => match plan.options.mode {
                Mode::L3 => poll_tapped_hub(*joined, plan.l3(), plan, stop),
                _ => poll_tapped_hub(*joined, Flood, plan, stop),
            },
        }
    }
}

fn poll_tapped_hub(joined: JoinedHub, switch: impl Switch, plan: &Plan, stop: &AtomicBool) {
    match joined.tap {
        Some(tap) => poll_hub(joined.hub, SwitchWithTap::new(tap, switch), plan, stop),
        None => poll_hub(joined.hub, switch, plan, stop),
    }
}

fn poll_hub(mut hub: Hub, mut switch: impl Switch, plan: &Plan, stop: &AtomicBool) {
    match plan.options.touch {
        Some(lines) => hub.run(&mut (Touch::lines(lines.into()), switch), stop),
        None => hub.run(&mut switch, stop),
    }
}

fn poll_lanes(mut worker: Worker, ends: &[(usize, usize)], taps: Vec<Option<Tap>>, plan: &Plan, stop: &AtomicBool) {
    let each = ends.iter().copied();
    if taps.iter().any(Option::is_some) {
        let stage = |from, leaves_by| match plan.options.touch {
            Some(lines) => Box::new((Touch::lines(lines.into()), plan.stage(from, leaves_by))) as Box<dyn Stage>,
            None => plan.stage(from, leaves_by),
        };
        let with_tap = |(tap, (from, leaves_by))| WithTap { tap, from, leaves_by, stage: stage(from, leaves_by) };
        let mut tapped: Vec<_> = taps.into_iter().zip(each).map(with_tap).collect();
        return worker.run_each(&mut tapped, stop);
    }
    // Each loop is compiled with its stage in it, but for the rarer combinations.
    match (plan.options.mode, plan.options.touch) {
        (_, Some(lines)) => {
            let touch = Touch::lines(lines.into());
            worker.run_each(&mut each.map(|(from, leaves_by)| (touch, plan.stage(from, leaves_by))).collect::<Vec<_>>(), stop);
        }
        (Mode::Io, None) => worker.run(&mut Io, stop),
        (Mode::MacSwap, None) => worker.run(&mut MacSwap, stop),
        (Mode::Drop, None) => worker.run(&mut DropAll, stop),
        (Mode::Mac, None) => worker.run_each(&mut each.map(|(_, leaves_by)| plan.mac(leaves_by)).collect::<Vec<_>>(), stop),
        (Mode::Echo, None) => worker.run_each(&mut each.map(|(from, _)| plan.echo(from)).collect::<Vec<_>>(), stop),
        (Mode::L3 | Mode::Flood, None) => unreachable!("these modes have hubs"),
    }
}

/// Where a worker polls: on this CPU alone, or wherever the scheduler puts it.
pub(super) type Place = Option<CoreId>;

/// The worker that polls lane `lane`: lanes are dealt out in turn, so that each of several workers has a queue pair of every port.
pub(super) fn worker_of(lane: usize, workers: usize) -> usize {
    lane % workers
}

/// Where the workers poll: as many as are asked for, at least one. In a pod they are pinned, in the order of `pods`.
pub(super) fn places(options: &Options, pods: Option<&[usize]>) -> Result<Vec<Place>, Failure> {
    let ours: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    // What can be dealt out: without a port there are two simulated ones; a hub is of all ports.
    let ports = match options.ports().len() {
        _ if options.modes.mode.topology() == Topology::Any => 1,
        0 => 2,
        ports => ports,
    };
    let places = place(options.cores(), (&ours, pods), options.workers.map(usize::from), ports).map_err(Failure::usage)?;
    Ok(places.into_iter().map(|id| id.map(|id| CoreId { id })).collect())
}

fn place(
    asked: &[usize],
    (ours, pods): (&[usize], Option<&[usize]>),
    workers: Option<usize>,
    ports: usize,
) -> Result<Vec<Option<usize>>, String> {
    if let Some(core) = asked.iter().find(|core| !ours.contains(core)) {
        return Err(format!("--cores: CPU {core} is not this process's to use; it has {}", list(ours)));
    }
    match workers {
        Some(workers) if !asked.is_empty() && asked.len() != workers => {
            Err(format!("--cores names {} CPUs for {workers} workers: name one for each of --workers", asked.len()))
        }
        None if asked.len() > ports => Err(format!(
            "--cores names {} CPUs, but there is work for {ports}: one for each port; --workers {} gives every port as many queue pairs",
            asked.len(),
            asked.len()
        )),
        _ if !asked.is_empty() => Ok(asked.iter().copied().map(Some).collect()),
        workers if pods.is_some_and(|cpus| !cpus.is_empty()) => {
            let cpus = pods.unwrap_or_default();
            Ok(cpus.iter().copied().cycle().map(Some).take(workers.unwrap_or(1)).collect())
        }
        // The last ones: the first CPU serves most interrupts.
        Some(workers @ 2..) if workers <= ours.len() => Ok(ours[ours.len() - workers..].iter().copied().map(Some).collect()),
        Some(workers @ 2..) if !ours.is_empty() => Ok((0..workers).map(|worker| Some(ours[worker % ours.len()])).collect()),
        _ => Ok(vec![None; workers.unwrap_or(1)]),
    }
}

/// What is to be said of several workers.
pub(super) fn note(places: &[Place]) -> Option<String> {
    let cores: Vec<usize> = places.iter().flatten().map(|core| core.id).collect();
    let distinct = cores.iter().collect::<BTreeSet<_>>().len();
    match places.len() {
        0 | 1 => None,
        workers if distinct == 0 => {
            Some(format!("{workers} workers, wherever the scheduler puts them: this system does not say what CPUs there are"))
        }
        workers if distinct < workers => Some(format!(
            "warning: {workers} workers poll on {distinct} CPUs ({}) and keep one another waiting: give --workers {distinct}, or this process more CPUs",
            list(&cores[..distinct])
        )),
        workers => Some(format!("{workers} workers, on CPUs {}", list(&cores))),
    }
}

fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(asked: &[usize], ours: &[usize], workers: Option<usize>) -> Result<Vec<Option<usize>>, String> {
        place(asked, (ours, None), workers, 2)
    }

    fn said(cores: &[usize]) -> Option<String> {
        note(&cores.iter().map(|&id| Some(CoreId { id })).collect::<Vec<_>>())
    }

    #[test]
    fn workers_get_the_cpus_that_are_named_or_the_last_ones() {
        assert_eq!(placed(&[], &[0, 1, 4], None), Ok(vec![None]));
        assert_eq!(placed(&[4, 0], &[0, 1, 4], None), Ok(vec![Some(4), Some(0)]));
        assert_eq!(placed(&[], &[0, 1, 4], Some(1)), Ok(vec![None]), "one worker is not pinned unasked");
        assert_eq!(placed(&[], &[0, 1, 4], Some(2)), Ok(vec![Some(1), Some(4)]));
        assert_eq!(placed(&[4, 1], &[0, 1, 4], Some(2)), Ok(vec![Some(4), Some(1)]));
        assert_eq!(placed(&[], &[], Some(2)), Ok(vec![None, None]));
    }

    #[test]
    fn in_a_pod_every_worker_is_pinned_in_the_order_of_its_cpus() {
        let placed = |asked: &[usize], workers| place(asked, (&[4, 5, 6], Some(&[6, 5, 4])), workers, 2);
        assert_eq!(placed(&[], None), Ok(vec![Some(6)]));
        assert_eq!(placed(&[], Some(2)), Ok(vec![Some(6), Some(5)]));
        assert_eq!(placed(&[], Some(4)), Ok(vec![Some(6), Some(5), Some(4), Some(6)]));
        assert_eq!(placed(&[4], None), Ok(vec![Some(4)]), "what is asked for goes first");
        assert_eq!(place(&[], (&[4, 5], Some(&[])), None, 2), Ok(vec![None]), "a pod that says nothing of its CPUs");
    }

    #[test]
    fn what_does_not_match_is_refused() {
        for (cores, workers, words) in [
            (&[2][..], None, "CPU 2"),
            (&[2], Some(1), "CPU 2"),
            (&[0], Some(2), "1 CPUs for 2 workers"),
            (&[0, 1], Some(1), "2 CPUs for 1 workers"),
            (&[0, 1, 3], None, "--workers 3"),
        ] {
            let error = placed(cores, &[0, 1, 3], workers).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn more_workers_than_cpus_share_them_and_it_is_said() {
        assert_eq!(placed(&[], &[0, 3], Some(3)), Ok(vec![Some(0), Some(3), Some(0)]));
        let note = said(&[0, 3, 0]).expect("a warning");
        assert!(note.contains("warning: 3 workers poll on 2 CPUs (0,3)") && note.contains("--workers 2"), "{note}");
        assert_eq!(said(&[1, 4]).as_deref(), Some("2 workers, on CPUs 1,4"));
        assert_eq!((said(&[1]), said(&[])), (None, None));
    }

    #[test]
    fn every_worker_has_a_queue_pair_of_every_port() {
        // Two ports of three queue pairs: lanes 0 to 2 are the first port's.
        let workers: Vec<_> = (0..6).map(|lane| worker_of(lane, 3)).collect();
        assert_eq!(workers, [0, 1, 2, 0, 1, 2]);
    }
}
