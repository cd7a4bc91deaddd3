//! The file of `--flight-recorder`: written when the command ends, however it ends, and at every SIGUSR1.

use super::{Failure, console::Console};
use signal_hook::{consts::SIGUSR1, flag};
use std::{
    fs::File,
    io::{self, Seek, Write},
    path::{Path, PathBuf},
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
    /// Kept open: a command in its sandbox opens nothing.
    file: File,
    /// A pipe or a terminal has no start to go back to.
    regular: bool,
    recorder: FlightRecorder,
    asked: Arc<AtomicBool>,
}

impl FlightFile {
    /// From now on SIGUSR1 asks for the file. It is written once at once: a file that cannot be is refused before a port is opened.
    pub(super) fn open(path: Option<PathBuf>, recorder: FlightRecorder) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self(None)) };
        let asked = Arc::new(AtomicBool::new(false));
        flag::register(SIGUSR1, asked.clone()).map_err(|error| Failure::failed(format!("SIGUSR1 cannot be caught: {error}")))?;
        let created = File::create(&path).and_then(|file| Ok((file.metadata()?.is_file(), file)));
        let (regular, file) = created.map_err(|error| Failure::usage(refusal(&path, &error)))?;
        let mut open = Open { path, file, regular, recorder, asked };
        open.write().map_err(Failure::usage)?;
        Ok(Self(Some(open)))
    }

    /// Writes the file where a signal has asked for it.
    pub(super) fn write_if_asked(&mut self, console: &mut Console) {
        if let Some(open) = self.0.as_mut().filter(|open| open.asked.swap(false, Ordering::Relaxed)) {
            match open.write() {
                Ok(()) => {
                    let path = open.path.display();
                    console.say(&format!("the flight recorder was written to {path}: vfwire inspect {path}"));
                }
                Err(why) => console.warn(&why),
            }
        }
    }

    /// Writes the file at the end.
    pub(super) fn write(&mut self) -> Result<(), Failure> {
        self.0.as_mut().map_or(Ok(()), |open| open.write().map_err(Failure::failed))
    }
}

impl Open {
    fn write(&mut self) -> Result<(), String> {
        self.replace().map_err(|error| refusal(&self.path, &error))
    }

    fn replace(&mut self) -> io::Result<()> {
        let text = self.recorder.to_text();
        if self.regular {
            self.file.set_len(0)?;
            self.file.rewind()?;
        }
        self.file.write_all(text.as_bytes())
    }
}

fn refusal(path: &Path, error: &io::Error) -> String {
    format!("--flight-recorder {}: {error}: name a file that can be written", path.display())
}
