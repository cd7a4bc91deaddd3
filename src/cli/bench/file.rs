//! The result's file: opened before anything is measured, since the sandbox opens nothing, and written again at every step, so that a
//! kill leaves what there was.

use crate::cli::Failure;
use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};
use vfwire_measure::result::Measurement;

pub(super) struct ResultFile {
    path: PathBuf,
    file: File,
    /// A pipe or a terminal has no start to go back to: it is written once, at the end.
    regular: bool,
}

impl ResultFile {
    /// An existing file keeps what is in it until the first step is done.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let opened = opened.and_then(|file| Ok((file.metadata()?.is_file(), file)));
        let (regular, file) = opened.map_err(|error| Failure::usage(refusal(path, &error)))?;
        Ok(Self { path: path.to_path_buf(), file, regular })
    }

    /// Writes what there is; `last` where there will be no more.
    pub(super) fn write(&mut self, result: &Measurement, last: bool) -> Result<(), Failure> {
        if !self.regular && !last {
            return Ok(());
        }
        let json = result.to_json().map_err(|error| Failure::failed(format!("no JSON of the result: {error}")))?;
        self.replace(json.as_bytes()).map_err(|error| Failure::failed(refusal(&self.path, &error)))
    }

    /// The new text goes over the old one, and is longer. A kill in between leaves what `vfwire report` refuses.
    fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        if !self.regular {
            return self.file.write_all(text);
        }
        self.file.rewind()?;
        self.file.write_all(text)?;
        self.file.set_len(text.len() as u64)
    }
}

fn refusal(path: &Path, error: &io::Error) -> String {
    format!("-o {}: {error}: name a file that can be written, on a disk with room", path.display())
}
