//! Hugepages: what the host has, what control groups allow, what the pod asked for, where they are mounted.

use crate::{Fact, Root, Source, cgroup::Group};
use std::path::PathBuf;

const SIZES: &str = "/sys/kernel/mm/hugepages";
const MOUNTS: &str = "/proc/self/mounts";
const PODINFO: &str = "/etc/podnetinfo";
const MIB: u64 = 1 << 20;

/// What a control group allows of one size of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugepageLimit {
    /// The most, in bytes.
    pub max_bytes: u64,
    /// What its processes have, in bytes.
    pub used_bytes: u64,
}

impl HugepageLimit {
    /// What is left of it, in bytes.
    pub fn left_bytes(&self) -> u64 {
        self.max_bytes.saturating_sub(self.used_bytes)
    }
}

/// One size of hugepages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSize {
    /// The size of a page in bytes.
    pub bytes: u64,
    /// Pages that the host has reserved.
    pub total: Option<Fact<u64>>,
    /// Pages that are free, and promised to nobody.
    pub free: Option<Fact<u64>>,
    /// The tightest limit among the control groups that this process can see; nothing where none is set.
    pub limit: Option<Fact<HugepageLimit>>,
    /// What the pod's spec gives this container in bytes, as the Downward API shows it.
    pub asked_bytes: Option<Fact<u64>>,
    /// Where pages of this size are mounted. They are not needed: `memfd_create` has pages without a mount.
    pub mounts: Vec<Fact<PathBuf>>,
}

impl PageSize {
    /// What can be had of them now, in bytes: the least of what is free, allowed and asked for.
    pub fn available_bytes(&self) -> u64 {
        let free = self.free.as_ref().map_or(0, |free| free.value.saturating_mul(self.bytes));
        let limit = self.limit.as_ref().map_or(u64::MAX, |limit| limit.value.left_bytes());
        free.min(limit).min(self.asked_bytes.as_ref().map_or(u64::MAX, |asked| asked.value))
    }

    /// How Kubernetes names the resource: `hugepages-2Mi`.
    pub fn resource(&self) -> String {
        match self.bytes / MIB {
            0 => format!("hugepages-{}Ki", self.bytes / 1024),
            mib if mib.is_multiple_of(1024) => format!("hugepages-{}Gi", mib / 1024),
            mib => format!("hugepages-{mib}Mi"),
        }
    }
}

/// The hugepages of this container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hugepages {
    /// Each size that the kernel has, the smallest first.
    pub sizes: Vec<PageSize>,
    /// Whether the kernel has hugepages at all, so that `memfd_create` can.
    pub memfd: bool,
}

impl Hugepages {
    pub(crate) fn of(root: &Root) -> Self {
        let kib = |name: &str| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok();
        let mut found: Vec<_> = root.names(SIZES).into_iter().filter_map(|name| Some((kib(&name)?.checked_mul(1024)?, name))).collect();
        found.sort();
        let filesystems = root.read("/proc/filesystems").unwrap_or_default();
        let memfd = !found.is_empty() || filesystems.lines().any(|line| line.ends_with("\thugetlbfs"));
        Self { sizes: found.into_iter().map(|(bytes, name)| size(root, bytes, &name)).collect(), memfd }
    }

    /// The size to use: the first one that the pod's spec asks for, or that has a limit set, or that is free. Smaller pages first.
    pub fn choice(&self, need_bytes: u64) -> Option<&PageSize> {
        let enough = |size: &&PageSize| size.available_bytes() >= need_bytes.next_multiple_of(size.bytes.max(1));
        let asked = |size: &&PageSize| size.asked_bytes.as_ref().is_some_and(|asked| asked.value > 0);
        let limited = |size: &&PageSize| size.limit.as_ref().is_some_and(|limit| limit.value.max_bytes > 0);
        let sizes = || self.sizes.iter();
        sizes().filter(asked).find(enough).or_else(|| sizes().filter(limited).find(enough)).or_else(|| sizes().find(enough))
    }
}

fn size(root: &Root, bytes: u64, name: &str) -> PageSize {
    let count = |what: &str| {
        let path = format!("{SIZES}/{name}/{what}");
        Some(Fact::new(root.number::<u64>(&path)?, Source::file(path)))
    };
    // Pages that others have mapped and not touched yet count as free, but are not to be had.
    let reserved = count("resv_hugepages").map_or(0, |reserved| reserved.value);
    let free = count("free_hugepages").map(|free| Fact::new(free.value.saturating_sub(reserved), free.source));
    PageSize {
        bytes,
        total: count("nr_hugepages"),
        free,
        limit: limit(root, bytes),
        asked_bytes: asked(root, bytes),
        mounts: mounts(root, bytes),
    }
}

/// The kernel's name of a size in control groups: `2MB`, `1GB`, `64KB`.
fn group_name(bytes: u64) -> String {
    match bytes / MIB {
        0 => format!("{}KB", bytes / 1024),
        mib if mib.is_multiple_of(1024) => format!("{}GB", mib / 1024),
        mib => format!("{mib}MB"),
    }
}

fn limit(root: &Root, bytes: u64) -> Option<Fact<HugepageLimit>> {
    let name = group_name(bytes);
    let mut limits = Vec::new();
    for group in Group::of(root, "hugetlb") {
        // Pages are charged when they are touched, or (rsvd) when they are mapped.
        let files = if group.unified {
            [("max", "current"), ("rsvd.max", "rsvd.current")]
        } else {
            [("limit_in_bytes", "usage_in_bytes"), ("rsvd.limit_in_bytes", "rsvd.usage_in_bytes")]
        };
        for (max, used) in files {
            for max in group.words(root, &format!("hugetlb.{name}.{max}")) {
                let Source::File { path, .. } = &max.source else { continue };
                let used_bytes = root.number(path.with_file_name(format!("hugetlb.{name}.{used}"))).unwrap_or(0);
                // `max` is no number. Version 1 has no word for it, but a number that no machine reaches.
                let Some(max_bytes) = max.value.parse().ok().filter(|&max| max < u64::MAX / 4) else { continue };
                limits.push(Fact::new(HugepageLimit { max_bytes, used_bytes }, max.source));
            }
        }
    }
    limits.into_iter().min_by_key(|limit| limit.value.left_bytes())
}

/// What the Downward API shows. The network resources injector names a file for each container, and gives the container its name.
fn asked(root: &Root, bytes: u64) -> Option<Fact<u64>> {
    let size = match bytes / MIB {
        mib if mib >= 1024 && mib.is_multiple_of(1024) => format!("{}G", mib / 1024),
        mib => format!("{mib}M"),
    };
    let prefix = format!("hugepages_{size}_limit_");
    let own = root.variable("CONTAINER_NAME").map(|name| format!("{prefix}{name}"));
    let mut files = root.names(PODINFO).into_iter().filter(|name| name.starts_with(&prefix));
    // Without a name, only one file can be this container's.
    let file = own.or_else(|| files.next().filter(|_| files.next().is_none()))?;
    let path = format!("{PODINFO}/{file}");
    let number: u64 = root.number(&path)?;
    // The unit is the divisor of whoever wrote the pod's spec: mostly 1Mi, otherwise bytes. No pod has 1 TiB of pages, nor less than 1 MiB.
    let asked_bytes = if number >= MIB { number } else { number.saturating_mul(MIB) };
    Some(Fact::new(asked_bytes, Source::file(path)))
}

fn mounts(root: &Root, bytes: u64) -> Vec<Fact<PathBuf>> {
    let text = root.read(MOUNTS).unwrap_or_default();
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let fields: Vec<_> = line.split(' ').collect();
        let [_, path, "hugetlbfs", options, ..] = fields[..] else { continue };
        let page = options.split(',').find_map(|option| option.strip_prefix("pagesize="));
        if page.and_then(page_bytes) == Some(bytes) {
            found.push(Fact::new(path.into(), Source::line(MOUNTS, index)));
        }
    }
    found
}

/// `2M`, `1024M`, `1G`, as the kernel writes them.
fn page_bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let shift = match unit {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}
