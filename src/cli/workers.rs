//! The threads that poll: started, pinned where asked, and ended together.

use super::{Failure, options::Mode};
use core_affinity::CoreId;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};
use vfwire::{
    Pool,
    forward::{Io, Lane, MacSwap, Worker},
};

/// Threads that run until they are told to end.
pub(super) struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// One worker a core, or one where the scheduler likes. Lanes are dealt out in turn. All of them poll when this returns.
    pub(super) fn start(lanes: Vec<Lane>, pool: &Pool, mode: Mode, cores: &[CoreId]) -> Result<Self, Failure> {
        let mut shares: Vec<Vec<Lane>> = Vec::new();
        shares.resize_with(cores.len().max(1), Vec::new);
        let count = shares.len();
        for (at, lane) in lanes.into_iter().enumerate() {
            shares[at % count].push(lane);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = Self { stop: stop.clone(), threads: Vec::new() };
        let (ready, started) = mpsc::channel();
        for (at, share) in shares.into_iter().enumerate() {
            let (worker, core) = (Worker::new(share, pool), cores.get(at).copied());
            let (stop, ready) = (stop.clone(), ready.clone());
            let run = move || {
                let pinned = core.is_none_or(core_affinity::set_for_current);
                // The receiver waits for every worker, so it is there.
                let _ = ready.send(if pinned { None } else { core });
                drop(ready);
                if pinned {
                    poll(worker, mode, &stop);
                }
            };
            let thread = thread::Builder::new().name(format!("vfwire-{at}")).spawn(run);
            workers.threads.push(thread.map_err(|error| Failure::failed(format!("no thread for worker {at}: {error}")))?);
        }
        drop(ready);
        if let Some(unpinned) = started.iter().flatten().next() {
            return Err(Failure::failed(format!("a worker cannot be pinned to CPU {}: is it in this process's cpuset?", unpinned.id)));
        }
        Ok(workers)
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

fn poll(mut worker: Worker, mode: Mode, stop: &AtomicBool) {
    match mode {
        Mode::Io => worker.run(&mut Io, stop),
        Mode::MacSwap => worker.run(&mut MacSwap, stop),
    }
}

/// The cores asked for, which this process may use and which all get a lane.
pub(super) fn cores(asked: &[usize], lanes: usize) -> Result<Vec<CoreId>, Failure> {
    let ours: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    if let Some(core) = asked.iter().find(|core| !ours.contains(core)) {
        let ours: Vec<_> = ours.iter().map(usize::to_string).collect();
        return Err(Failure::usage(format!("--cores: CPU {core} is not this process's to use; it has {}", ours.join(","))));
    }
    if asked.len() > lanes {
        return Err(Failure::usage(format!("--cores names {} CPUs, but there is work for {lanes}: one for each port", asked.len())));
    }
    Ok(asked.iter().map(|&id| CoreId { id }).collect())
}
