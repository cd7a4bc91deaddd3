//! Where facts are read from: a file system and the environment of a process, both given.
//!
//! Everything in this crate reads through a [`Root`], so a test hands it a tree of files. A file that is absent or that may not be read is
//! an absent fact; what is read is bounded, since a pod's files are written by others.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The longest file that is read, in bytes: Kubernetes allows all annotations of an object 256 KiB together.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// The most entries of a folder that are looked at.
const ENTRIES_MAX: usize = 4096;

/// A file system and an environment.
#[derive(Clone, Debug)]
pub struct Root {
    folder: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Root {
    /// Those of this process. A variable that is not UTF-8 is left out: none of those read here may be.
    pub fn of_this_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self { folder: PathBuf::from("/"), variables: std::env::vars_os().filter_map(text).collect() }
    }

    /// The files below `folder`, and these variables.
    pub fn at(folder: impl Into<PathBuf>, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { folder: folder.into(), variables: variables.into_iter().collect() }
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Variables whose name starts so, in order, each with the rest of its name.
    pub(crate) fn variables_from<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
        self.variables.iter().filter_map(move |(name, value)| Some((name.as_str(), name.strip_prefix(prefix)?, value.as_str())))
    }

    /// Where the file that is `path` in the container is here.
    pub(crate) fn place(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.folder.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A text file.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let mut bytes = Vec::new();
        File::open(self.place(path)).ok()?.take(FILE_MAX_BYTES).read_to_end(&mut bytes).ok()?;
        String::from_utf8(bytes).ok()
    }

    /// A text file of one line, trimmed.
    pub(crate) fn word(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(self.read(path)?.trim().to_owned())
    }

    pub(crate) fn number<N: std::str::FromStr>(&self, path: impl AsRef<Path>) -> Option<N> {
        self.word(path)?.parse().ok()
    }

    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.place(path).exists()
    }

    /// Owner, group and permission bits of a file.
    pub(crate) fn owner(&self, path: impl AsRef<Path>) -> Option<(u32, u32, u32)> {
        let metadata = std::fs::metadata(self.place(path)).ok()?;
        Some((metadata.uid(), metadata.gid(), metadata.mode() & 0o777))
    }

    /// The last part of what a link names. It is not followed: in a container its target may be hidden.
    pub(crate) fn link_name(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(std::fs::read_link(self.place(path)).ok()?.file_name()?.to_str()?.to_owned())
    }

    /// Names in a folder, in order; none where there is no such folder.
    pub(crate) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = std::fs::read_dir(self.place(path)).into_iter().flatten().take(ENTRIES_MAX);
        let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}
