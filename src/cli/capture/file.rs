//! The files of a capture: one, a ring of them, or stdout. All are open before the sandbox closes.

use crate::cli::Failure;
use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

/// Where blocks go now.
#[derive(Debug)]
pub(super) enum Sink {
    Stdout(io::Stdout),
    File(File),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(_) => Ok(()),
        }
    }
}

/// All files of a capture.
#[derive(Debug)]
pub(super) struct Files {
    /// In the order in which they are written, the oldest being written again.
    sinks: Vec<(PathBuf, Option<Sink>)>,
    at: usize,
    /// Bytes after which the next one begins, if there is a next one.
    pub(super) max_len: u64,
}

impl Files {
    /// Opens `count` of them: `-` is stdout; of several, `name.pcapng` becomes `name_00.pcapng`, `name_01.pcapng`, …
    pub(super) fn open(path: &Path, count: u16, max_len: u64) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self { sinks: vec![(path.into(), Some(Sink::Stdout(io::stdout())))], at: 0, max_len: u64::MAX });
        }
        let paths: Vec<PathBuf> = if count == 1 { vec![path.into()] } else { (0..count).map(|at| numbered(path, at)).collect() };
        let open = |path: PathBuf| {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
            let file = file.map_err(|error| Failure::failed(format!("{}: cannot be written: {error}", path.display())))?;
            Ok::<_, Failure>((path, Some(Sink::File(file))))
        };
        let max_len = if count == 1 { u64::MAX } else { max_len };
        Ok(Self { sinks: paths.into_iter().map(open).collect::<Result<_, _>>()?, at: 0, max_len })
    }

    /// The file that is being written.
    pub(super) fn path(&self) -> &Path {
        &self.sinks[self.at].0
    }

    /// Takes it, from its start.
    pub(super) fn take(&mut self) -> io::Result<Sink> {
        let mut sink = self.sinks[self.at].1.take().ok_or_else(|| io::Error::other("the file is being written"))?;
        if let Sink::File(file) = &mut sink {
            file.set_len(0)?;
            file.rewind()?;
        }
        Ok(sink)
    }

    /// Puts it back and goes on to the next.
    pub(super) fn next(&mut self, sink: Sink) {
        self.sinks[self.at].1 = Some(sink);
        self.at = (self.at + 1) % self.sinks.len();
    }
}

fn numbered(path: &Path, at: u16) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map_or(String::new(), |extension| format!(".{}", extension.to_string_lossy()));
    path.with_file_name(format!("{stem}_{at:02}{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_ring_are_numbered_before_their_ending() {
        assert_eq!(numbered(Path::new("a.b/c.d.pcapng"), 3), Path::new("a.b/c.d_03.pcapng"));
        assert_eq!(numbered(Path::new("c"), 12), Path::new("c_12"));
    }
}
