//! The file of `--flight-recorder`: written when the command ends, however it ends, and at every SIGUSR1.

use super::{Failure, console};
use signal_hook::{consts::SIGUSR1, flag};
use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use vfwire::FlightRecorder;

/// Where the recording goes, if anywhere.
pub(super) struct FlightFile(Option<Open>);

struct Open {
    path: PathBuf,
    recorder: FlightRecorder,
    asked: Arc<AtomicBool>,
}

impl FlightFile {
    /// From now on SIGUSR1 asks for the file. It is written once at once: a file that cannot be is refused before a port is opened.
    pub(super) fn open(path: Option<PathBuf>, recorder: FlightRecorder) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self(None)) };
        let asked = Arc::new(AtomicBool::new(false));
        flag::register(SIGUSR1, asked.clone()).map_err(|error| Failure::failed(format!("SIGUSR1 cannot be caught: {error}")))?;
        let open = Open { path, recorder, asked };
        open.write().map_err(Failure::usage)?;
        Ok(Self(Some(open)))
    }

    /// Writes the file where a signal has asked for it.
    pub(super) fn write_if_asked(&self) {
        if let Some(open) = self.0.as_ref().filter(|open| open.asked.swap(false, Ordering::Relaxed)) {
            let path = open.path.display();
            console::say(
                &open.write().map_or_else(|why| why, |()| format!("the flight recorder was written to {path}: vfwire inspect {path}")),
            );
        }
    }

    /// Writes the file at the end.
    pub(super) fn write(&self) -> Result<(), Failure> {
        self.0.as_ref().map_or(Ok(()), |open| open.write().map_err(Failure::failed))
    }
}

impl Open {
    fn write(&self) -> Result<(), String> {
        let written = fs::write(&self.path, self.recorder.to_text());
        written.map_err(|error| format!("--flight-recorder {}: {error}: name a file that can be written", self.path.display()))
    }
}
