//! The thread that looks after the ports meanwhile, so that a mailbox's delay is not the tester's.

use crate::cli::Failure;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, Receiver},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use vfwire::{DynPort, Port, PortEvent};

const PERIOD: Duration = Duration::from_millis(50);
/// Events that nobody has asked for yet.
const EVENTS_MAX: usize = 1024;

/// What happened to a port.
pub(super) struct Event {
    pub(super) text: String,
    /// The port is gone, or will not come back by itself.
    pub(super) fatal: bool,
}

pub(super) struct Control {
    stop: Arc<AtomicBool>,
    events: Receiver<Event>,
    thread: Option<JoinHandle<Vec<DynPort>>>,
}

impl Control {
    /// The thread runs when this returns: what it asks of the system to begin with, the sandbox refuses.
    pub(super) fn start(mut ports: Vec<DynPort>) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let (send, events) = mpsc::sync_channel(EVENTS_MAX);
        let (ended, (ready, runs)) = (stop.clone(), mpsc::channel());
        let run = move || {
            // The receiver waits for it.
            let _ = ready.send(());
            while !ended.load(Relaxed) {
                for port in &mut ports {
                    // Where nobody listens any more, nobody needs to know.
                    let _ = look(port).map(|event| send.try_send(event));
                }
                thread::sleep(PERIOD);
            }
            ports
        };
        let thread = thread::Builder::new().name("vfwire-control".to_owned()).spawn(run);
        let thread = thread.map_err(|error| Failure::failed(format!("no thread to look after the ports: {error}")))?;
        runs.recv().map_err(|_| Failure::failed("the thread that looks after the ports has ended"))?;
        Ok(Self { stop, events, thread: Some(thread) })
    }

    /// What has happened since the last time.
    pub(super) fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// Ends it, and gives the ports back.
    pub(super) fn stop(mut self) -> Vec<DynPort> {
        self.stop.store(true, Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

fn look(port: &mut DynPort) -> Option<Event> {
    let address = port.info().address.clone();
    let event = |what: String, fatal| Some(Event { text: format!("{address}: {what}"), fatal });
    match port.poll_control() {
        Ok(None) => None,
        Ok(Some(PortEvent::LinkUp { mbps })) => event(format!("link up, {mbps} Mbit/s"), false),
        Ok(Some(PortEvent::LinkDown)) => event("link down".to_owned(), false),
        Ok(Some(PortEvent::ResetStarted { cause })) => event(format!("reset: {cause}"), false),
        Ok(Some(PortEvent::Recovered { .. })) => event("recovered from the reset".to_owned(), false),
        Ok(Some(PortEvent::Failed { cause, .. })) => event(format!("failed: {cause}"), true),
        Ok(Some(PortEvent::Removed { cause })) => event(format!("removed: {cause}"), true),
        Ok(Some(other)) => event(format!("{other:?}"), false),
        Err(error) => event(error.to_string(), true),
    }
}
