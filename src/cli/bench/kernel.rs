//! What the kernel counts while it is measured: throttling of the cgroup, and threads that were made to wait.
//!
//! The files are opened before the sandbox closes, and read again through the same descriptors.

use std::{fs::File, os::unix::fs::FileExt, path::PathBuf};

/// Counters of the kernel, at one time.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Counters {
    /// Periods in which the cgroup was stopped.
    pub(super) throttled: Option<u64>,
    /// How often polling threads were made to give up their CPU.
    pub(super) preempted: Option<u64>,
}

pub(super) struct Kernel {
    cgroup: Option<File>,
    threads: Vec<File>,
}

impl Kernel {
    /// Watches this process's cgroup, and the threads whose names begin with one of `threads`, and this one.
    pub(super) fn open(threads: &[&str]) -> Self {
        Self { cgroup: cgroup_stat().and_then(|path| File::open(path).ok()), threads: thread_files(threads) }
    }

    pub(super) fn read(&self) -> Counters {
        let preempted: Vec<u64> = self.threads.iter().filter_map(|file| value(&read(file)?, "nonvoluntary_ctxt_switches:")).collect();
        Counters {
            throttled: self.cgroup.as_ref().and_then(|file| value(&read(file)?, "nr_throttled")),
            preempted: (!preempted.is_empty()).then(|| preempted.iter().sum()),
        }
    }
}

fn read(file: &File) -> Option<String> {
    let mut bytes = vec![0; 8192];
    let length = file.read_at(&mut bytes, 0).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

fn value(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// `cpu.stat` of our cgroup: version 2, whose path is relative to the mount that we see.
fn cgroup_stat() -> Option<PathBuf> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = |line: &str| line.strip_prefix("0::/").map(|rest| PathBuf::from("/sys/fs/cgroup").join(rest).join("cpu.stat"));
    let ours = groups.lines().find_map(path).filter(|path| path.exists());
    // In a container the root of the mount is our own group; version 1 has a folder for the controller.
    ours.or_else(|| ["/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat"].map(PathBuf::from).into_iter().find(|path| path.exists()))
}

fn thread_files(names: &[&str]) -> Vec<File> {
    let own = std::fs::read_link("/proc/thread-self").ok().and_then(|path| path.file_name().map(ToOwned::to_owned));
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let watched = tasks.filter(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        Some(task.file_name()) == own || names.iter().any(|wanted| name.starts_with(wanted))
    });
    watched.filter_map(|task| File::open(task.path().join("status")).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_their_names() {
        let text = "usage_usec 5\nnr_periods 9\nnr_throttled 4\nnr_throttled_x 7\n";
        assert_eq!((value(text, "nr_throttled"), value(text, "absent")), (Some(4), None));
        assert_eq!(value("voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n", "nonvoluntary_ctxt_switches:"), Some(3));
    }

    #[test]
    fn this_thread_is_watched() {
        let kernel = Kernel::open(&[]);
        assert_eq!(kernel.threads.len(), 1);
        assert!(kernel.read().preempted.is_some());
    }
}
