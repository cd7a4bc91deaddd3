//! Which pages DMA memory is made of, and what to say when there are not enough.
//!
//! Hugepages are the default: a device's address translation then needs one entry for 2 MiB. Normal pages are used only where the user
//! asks for them; nothing falls back by itself.

use crate::{
    memory::{Mapping, MemoryError},
    sysfs::Sysfs,
};
use std::fs;
use vfwire_core::error::DmaError;

/// The pages that DMA memory is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HugepageChoice {
    /// Hugepages of 2 MiB.
    #[default]
    Size2M,
    /// Hugepages of 1 GiB: one covers any pool; the host must have reserved it at boot, or soon after.
    Size1G,
    /// Normal pages. Needs nothing from the host; a device translates addresses more often, so it may be slower.
    None,
}

const MIB: u64 = 1 << 20;

impl HugepageChoice {
    /// The size of a page, and the largest alignment that can be asked for.
    pub fn page_bytes(self) -> usize {
        match self {
            Self::Size2M => 2 << 20,
            Self::Size1G => 1 << 30,
            Self::None => 4096,
        }
    }

    /// Whether `len_bytes` of such memory can be had now: it is mapped, populated and given back.
    ///
    /// # Errors
    /// [`DmaError`], which names the need, what there is and the remedy.
    pub fn try_allocate(self, len_bytes: usize) -> Result<(), DmaError> {
        let granule = self.granule_bytes();
        let why = "the length is zero, or more than an address space";
        let whole = len_bytes.checked_next_multiple_of(granule).filter(|&bytes| bytes > 0);
        let whole = whole.ok_or(DmaError::Shape { len_bytes, align_bytes: granule, why })?;
        self.allocate(whole, &Sysfs::default()).map(drop)
    }

    /// What a mapping's length and IOVA are multiples of. Normal pages are mapped by 64 KiB, so that small rings share a mapping, and because
    /// that is the size of a normal page on some kernels for Arm.
    pub(crate) fn granule_bytes(self) -> usize {
        if self == Self::None { 16 * self.page_bytes() } else { self.page_bytes() }
    }

    pub(crate) fn memfd_flags(self) -> libc::c_uint {
        match self {
            Self::Size2M => libc::MFD_HUGETLB | libc::MFD_HUGE_2MB,
            Self::Size1G => libc::MFD_HUGETLB | libc::MFD_HUGE_1GB,
            Self::None => 0,
        }
    }

    /// As the kernel names the size in `/sys/kernel/mm/hugepages`, in control groups, and Kubernetes in a pod's limits.
    fn names(self) -> Option<[&'static str; 3]> {
        match self {
            Self::Size2M => Some(["hugepages-2048kB", "hugetlb.2MB", "hugepages-2Mi"]),
            Self::Size1G => Some(["hugepages-1048576kB", "hugetlb.1GB", "hugepages-1Gi"]),
            Self::None => None,
        }
    }

    /// Populated memory of `len_bytes`, a multiple of the granule.
    pub(crate) fn allocate(self, len_bytes: usize, sysfs: &Sysfs) -> Result<Mapping, DmaError> {
        Mapping::populated(self, len_bytes).map_err(|error| DmaError::Unavailable(self.explain(&error, len_bytes as u64, sysfs)))
    }

    fn explain(self, error: &MemoryError, len_bytes: u64, sysfs: &Sysfs) -> String {
        match (error, self.names()) {
            (MemoryError::OldKernel, _) => "this kernel cannot populate memory safely: Linux 5.14 or newer is needed".into(),
            (MemoryError::Unsupported(source), Some(_)) => {
                format!("this kernel has no hugepages of {} MiB ({source}): choose another size, or --no-hugepages", self.page_mib())
            }
            (MemoryError::Unsupported(source) | MemoryError::Shortage(source), None) => {
                format!(
                    "{len_bytes} bytes of DMA memory on normal pages could not be had ({source}): free memory, or raise the memory limit"
                )
            }
            (MemoryError::Shortage(_), Some([kernel, group, pod])) => {
                let need = len_bytes.div_ceil(self.page_bytes() as u64);
                let count = |name| sysfs.read(&format!("kernel/mm/hugepages/{kernel}/{name}")).and_then(|text| text.parse::<u64>().ok());
                let (free, total) = (count("free_hugepages").unwrap_or(0), count("nr_hugepages").unwrap_or(0));
                let limit = ControlGroup::of_this_process(sysfs, group).filter(|limit| limit.left_bytes() < len_bytes);
                let limit = limit
                    .map(|limit| format!("; the control group allows {} bytes of them, {} are used", limit.max_bytes, limit.used_bytes));
                format!(
                    "{need} free hugepages of {} MiB are needed, but {free} of {total} are free{}: `hugepages.sh reserve {}` on the host, `{pod}: {}Mi` in a \
                     pod's limits, or --no-hugepages",
                    self.page_mib(),
                    limit.unwrap_or_default(),
                    total - free.min(total) + need,
                    len_bytes / MIB,
                )
            }
        }
    }

    fn page_mib(self) -> u64 {
        self.page_bytes() as u64 / MIB
    }
}

/// The tightest limit on hugepages among the control groups of this process that it can see.
struct ControlGroup {
    max_bytes: u64,
    used_bytes: u64,
}

impl ControlGroup {
    fn left_bytes(&self) -> u64 {
        self.max_bytes.saturating_sub(self.used_bytes)
    }

    fn of_this_process(sysfs: &Sysfs, name: &str) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        groups.lines().flat_map(|line| limits(sysfs, line, name)).min_by_key(Self::left_bytes)
    }
}

/// The limits along one line of `/proc/self/cgroup`: the group's own and those of its parents.
fn limits(sysfs: &Sysfs, line: &str, name: &str) -> Vec<ControlGroup> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (root, max, used) = match controllers {
        "" => ("fs/cgroup", "max", "current"),
        _ if controllers.split(',').any(|one| one == "hugetlb") => ("fs/cgroup/hugetlb", "limit_in_bytes", "usage_in_bytes"),
        _ => return Vec::new(),
    };
    let read = |folder: &str, what: &str| sysfs.read(&format!("{root}{folder}/{name}.{what}"))?.parse().ok();
    let parents = std::iter::successors(Some(path.trim_end_matches('/')), |path| path.rsplit_once('/').map(|(parent, _)| parent));
    parents.filter_map(|folder| Some(ControlGroup { max_bytes: read(folder, max)?, used_bytes: read(folder, used)? })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Tree;

    #[test]
    fn a_shortage_names_need_stock_and_remedies() {
        let tree = Tree::new("shortage");
        tree.file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8");
        tree.file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "1");
        let error = MemoryError::Shortage(std::io::Error::from_raw_os_error(libc::ENOMEM));
        let text = HugepageChoice::Size2M.explain(&error, 5 << 20, &tree.sysfs());
        assert!(text.starts_with("3 free hugepages of 2 MiB are needed, but 1 of 8 are free:"), "{text}");
        assert!(
            text.contains("`hugepages.sh reserve 10`") && text.contains("`hugepages-2Mi: 5Mi`") && text.contains("--no-hugepages"),
            "{text}"
        );
    }

    #[test]
    fn the_tightest_visible_control_group_counts() {
        let tree = Tree::new("cgroup");
        tree.file("sys/fs/cgroup/pod/one/hugetlb.2MB.max", "max");
        tree.file("sys/fs/cgroup/pod/one/hugetlb.2MB.current", "0");
        tree.file("sys/fs/cgroup/pod/hugetlb.2MB.max", "4194304");
        tree.file("sys/fs/cgroup/pod/hugetlb.2MB.current", "2097152");
        let found = limits(&tree.sysfs(), "0::/pod/one", "hugetlb.2MB");
        assert_eq!(found.iter().map(ControlGroup::left_bytes).collect::<Vec<_>>(), [2 << 20]);
        assert!(limits(&tree.sysfs(), "4:memory:/pod/one", "hugetlb.2MB").is_empty());
        assert!(limits(&tree.sysfs(), "nonsense", "hugetlb.2MB").is_empty());
    }

    #[test]
    fn a_control_group_of_version_1_is_read() {
        let tree = Tree::new("cgroup1");
        tree.file("sys/fs/cgroup/hugetlb/a/hugetlb.1GB.limit_in_bytes", "1073741824");
        tree.file("sys/fs/cgroup/hugetlb/a/hugetlb.1GB.usage_in_bytes", "0");
        assert_eq!(limits(&tree.sysfs(), "4:cpu,hugetlb:/a", "hugetlb.1GB")[0].left_bytes(), 1 << 30);
    }
}
