//! Files in memory, and archives of them that are the same byte for byte whoever makes them: in the order of their paths, owned by root,
//! one time for all.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

pub(super) const MODE_FILE: u32 = 0o644;
pub(super) const MODE_PROGRAM: u32 = 0o755;
const MODE_FOLDER: u32 = 0o755;

/// A file's content and its mode.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

/// Files by their paths, relative and with `/`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Files(pub(super) BTreeMap<String, File>);

impl Files {
    pub(super) fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), File { bytes: bytes.into(), mode: MODE_FILE });
    }

    pub(super) fn add_program(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), File { bytes: bytes.into(), mode: MODE_PROGRAM });
    }

    /// Writes them all below a folder, which holds nothing else afterwards.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        for (path, file) in &self.0 {
            let path = folder.join(path);
            let parent = path.parent().context("a file in no folder")?;
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
            fs::write(&path, &file.bytes).with_context(|| format!("cannot write {}", path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
        }
        Ok(())
    }

    /// A tar of them and of the folders that they are in, all as old as `mtime` says.
    pub(super) fn tar(&self, mtime: u64) -> Result<Vec<u8>> {
        let mut entries: BTreeMap<String, Option<&File>> = BTreeMap::new();
        for (path, file) in &self.0 {
            for (at, _) in path.match_indices('/') {
                entries.insert(path[..=at].to_owned(), None);
            }
            entries.insert(path.clone(), Some(file));
        }
        let mut archive = tar::Builder::new(Vec::new());
        for (path, file) in entries {
            let (kind, mode, bytes) =
                file.map_or((EntryType::Directory, MODE_FOLDER, &[][..]), |file| (EntryType::Regular, file.mode, &file.bytes));
            let mut header = Header::new_ustar();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(mtime);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, &path, bytes).with_context(|| format!("cannot archive {path}"))?;
        }
        Ok(archive.into_inner()?)
    }
}

/// Compressed, without a name or a time in the header.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(order: [&str; 3]) -> Files {
        let mut files = Files::default();
        order.into_iter().for_each(|path| files.add(path, path));
        files
    }

    #[test]
    fn an_archive_does_not_depend_on_the_order() {
        let (one, other) = (files(["a/b/c", "z", "a.b"]), files(["z", "a.b", "a/b/c"]));
        assert_eq!(one.tar(7).unwrap(), other.tar(7).unwrap());
        assert_ne!(one.tar(7).unwrap(), one.tar(8).unwrap());
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let tar = files(["a/b/c", "z", "a.b"]).tar(7).unwrap();
        let mut archive = tar::Archive::new(&tar[..]);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 7));
            entry.path().unwrap().display().to_string()
        });
        assert_eq!(entries.collect::<Vec<_>>(), ["a.b", "a/", "a/b/", "a/b/c", "z"]);
    }

    #[test]
    fn compressed_bytes_say_nothing_of_the_machine() {
        let gzip = gzip(b"bytes").unwrap();
        // RFC 1952, section 2.3: flags, MTIME, and OS 255 (unknown).
        assert_eq!((gzip[3], &gzip[4..8], gzip[9]), (0, &[0; 4][..], 255));
    }
}
