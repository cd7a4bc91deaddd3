//! Steps a host in the background.

use crate::host::SimHost;
use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Idle passes before the thread begins to yield its core.
const SPIN_PASSES: u32 = 64;
/// Idle passes before it sleeps between them.
const YIELD_PASSES: u32 = 2000;
/// How long it sleeps: what a device is late at most after a pause.
const SLEEP: Duration = Duration::from_micros(50);

/// A thread that steps the devices of a host. Dropping it ends the thread after its current pass.
#[derive(Debug)]
pub struct SimThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SimThread {
    pub(crate) fn new(host: SimHost) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let runs = Arc::new(Barrier::new(2));
        let running = Arc::clone(&runs);
        let thread = thread::spawn(move || {
            running.wait();
            run(&host, &stopped);
        });
        // What a thread asks of the system to begin with is over then: a process may give up its rights.
        runs.wait();
        Self { stop, thread: Some(thread) }
    }
}

fn run(host: &SimHost, stop: &AtomicBool) {
    let mut idle: u32 = 0;
    while !stop.load(Ordering::Relaxed) {
        if host.step() {
            idle = 0;
            continue;
        }
        idle = idle.saturating_add(1);
        match idle {
            ..SPIN_PASSES => std::hint::spin_loop(),
            SPIN_PASSES..YIELD_PASSES => thread::yield_now(),
            YIELD_PASSES.. => thread::sleep(SLEEP),
        }
    }
}

impl Drop for SimThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A model that panicked has said so already; there is nobody to hand its panic to.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
