//! The handles of recorders, which are shared by functions, BARs, ports and whoever wants to see.

use crate::{
    file,
    recording::{CallKind, Outcome, PortName, Recording, What, one_line},
    ring::Ring,
};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use vfwire_core::{clock, error::PortError, port::PortInfo};
use vfwire_spec::pci::PciId;

/// Ports of a flight recorder that are remembered. Those beyond are the oldest ones, most likely closed.
const PORTS_MAX: usize = 16;

/// The recorder of one port. Clones are the same recorder.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    opened: Instant,
    held: Mutex<Held>,
}

struct Held {
    port: PortName,
    ring: Ring,
}

impl Recorder {
    /// The recorder of a function.
    pub fn new(address: &str, id: PciId) -> Self {
        let port = PortName { address: one_line(address), driver: String::new(), id };
        Self(Arc::new(Inner { opened: clock::now(), held: Mutex::new(Held { port, ring: Ring::default() }) }))
    }

    /// Nanoseconds since the function was opened.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(clock::now().saturating_duration_since(self.0.opened).as_nanos()).unwrap_or(u64::MAX)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Somebody who panicked in between has left whole steps behind.
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A driver takes the function.
    pub fn begin_probe(&self, driver: &str) {
        self.held().port.driver = one_line(driver);
        self.begin(CallKind::Probe);
    }

    /// The application calls.
    pub fn begin(&self, kind: CallKind) {
        let now_ns = self.now_ns();
        self.held().ring.begin(now_ns, kind);
    }

    /// The driver takes a step on behalf of the call.
    pub(crate) fn step(&self, at_ns: u64, what: What) {
        self.held().ring.step(at_ns, what);
    }

    /// The call returns. `told` gives what it has to say; nothing where nothing has happened.
    pub fn end<T>(&self, result: &Result<T, PortError>, port: Option<&PortInfo>, told: impl FnOnce(&T) -> Option<String>) {
        let (quiet, text) = match result.as_ref().map(told) {
            Ok(Some(text)) => (false, text),
            Ok(None) => (true, "ok".to_owned()),
            Err(error) => (false, format!("error: {error}")),
        };
        let outcome = Outcome { quiet, mac: port.map(|port| port.mac), text: one_line(text) };
        self.held().ring.end(outcome, result.is_ok());
    }

    /// What it holds now.
    pub fn recording(&self) -> Recording {
        let held = self.held();
        Recording { port: held.port.clone(), calls: held.ring.calls().to_vec() }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held();
        write!(f, "Recorder({}, {} calls)", held.port.address, held.ring.calls().len())
    }
}

/// The recorders of the ports of a host, those that could not be opened included. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct FlightRecorder(Arc<Mutex<Vec<Recorder>>>);

impl FlightRecorder {
    fn recorders(&self) -> MutexGuard<'_, Vec<Recorder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new recorder for a function.
    pub fn port(&self, address: &str, id: PciId) -> Recorder {
        let recorder = Recorder::new(address, id);
        let mut recorders = self.recorders();
        if recorders.len() == PORTS_MAX {
            recorders.remove(0);
        }
        recorders.push(recorder.clone());
        recorder
    }

    /// What all of them hold now.
    pub fn recordings(&self) -> Vec<Recording> {
        self.recorders().iter().map(Recorder::recording).collect()
    }

    /// What all of them hold now, as the text of a file ([`file`]).
    pub fn to_text(&self) -> String {
        file::encode(&self.recordings())
    }
}
