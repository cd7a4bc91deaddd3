//! CPUs: which of them this process may use, whose else they are, and how much of their time it gets.

use crate::{Fact, Root, Source, cgroup::Group, numa};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// More CPUs than any Linux has.
const CPUS_MAX: usize = 8192;

/// A set of CPUs, written as the kernel writes it: `0-3,8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet(pub BTreeSet<usize>);

impl FromStr for CpuSet {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut cpus = BTreeSet::new();
        for range in text.trim().split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<usize>().ok().filter(|&cpu| cpu < CPUS_MAX).ok_or(());
            cpus.extend(number(first)?..=number(last)?);
        }
        Ok(Self(cpus))
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if(|&next| next == last + 1) {
                last = next;
            }
            if first == last {
                write!(f, "{comma}{first}")?
            } else {
                write!(f, "{comma}{first}-{last}")?
            }
            comma = ",";
        }
        Ok(())
    }
}

/// A quota of CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Microseconds of CPU time in each period.
    pub quota_us: u64,
    /// The period in microseconds.
    pub period_us: u64,
}

impl Quota {
    /// How many CPUs this is, in thousandths.
    pub fn millicpus(self) -> u64 {
        self.quota_us.saturating_mul(1000) / self.period_us.max(1)
    }
}

/// Whose the CPUs of this process are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Its own: the kubelet's static policy, or a cpuset partition.
    Exclusive,
    /// Others run on them too.
    Shared,
    /// The container cannot tell.
    Unknown,
}

/// The CPUs of this container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// Those that this process may run on.
    pub allowed: Option<Fact<CpuSet>>,
    /// Those of its control group.
    pub cpuset: Option<Fact<CpuSet>>,
    /// Those of the machine.
    pub online: Option<Fact<CpuSet>>,
    /// The tightest quota that is set.
    pub quota: Option<Fact<Quota>>,
    /// Whether the group is a cpuset partition, which others are kept from.
    pub partition: bool,
    /// The other threads of the core of each CPU, of those allowed.
    pub siblings: BTreeMap<usize, CpuSet>,
    /// The CPUs of each NUMA node.
    pub nodes: BTreeMap<u32, CpuSet>,
}

impl Cpus {
    pub(crate) fn of(root: &Root) -> Self {
        let allowed = allowed(root);
        let siblings = |cpu: usize| {
            let list = root.word(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))?;
            let mut threads: CpuSet = list.parse().ok()?;
            threads.0.remove(&cpu);
            (!threads.0.is_empty()).then_some((cpu, threads))
        };
        let of_allowed = allowed.iter().flat_map(|fact| fact.value.0.iter().copied());
        let groups = Group::of(root, "cpuset");
        let partition = groups.iter().filter(|group| group.unified).flat_map(|group| group.words(root, "cpuset.cpus.partition"));
        Self {
            siblings: of_allowed.filter_map(siblings).collect(),
            cpuset: groups.iter().find_map(|group| cpuset(root, group)),
            online: file(root, "/sys/devices/system/cpu/online"),
            quota: quota(root),
            partition: partition.into_iter().next().is_some_and(|fact| ["root", "isolated"].contains(&fact.value.as_str())),
            nodes: numa::cpus(root),
            allowed,
        }
    }

    /// Those to use: what the scheduler allows, and the group has.
    pub fn usable(&self) -> CpuSet {
        match (&self.allowed, &self.cpuset) {
            (Some(allowed), Some(cpuset)) => {
                let both: BTreeSet<_> = allowed.value.0.intersection(&cpuset.value.0).copied().collect();
                // Where they have nothing in common one of them is of another time: the scheduler's word is what holds.
                if both.is_empty() { allowed.value.clone() } else { CpuSet(both) }
            }
            (Some(one), None) | (None, Some(one)) => one.value.clone(),
            (None, None) => CpuSet::default(),
        }
    }

    /// Whose they are. The static policy gives a container as many CPUs as its quota is of, out of a larger machine.
    pub fn sharing(&self) -> Sharing {
        let count = self.usable().0.len() as u64;
        let all = self.online.as_ref().is_some_and(|online| online.value.0.len() as u64 <= count);
        let quota = self.quota.as_ref().map(|quota| quota.value.millicpus());
        match quota {
            _ if self.partition => Sharing::Exclusive,
            Some(quota) if quota < count * 1000 => Sharing::Shared,
            _ if all || count == 0 => Sharing::Shared,
            Some(quota) if quota == count * 1000 => Sharing::Exclusive,
            _ => Sharing::Unknown,
        }
    }

    /// The NUMA node of a CPU.
    pub fn node_of(&self, cpu: usize) -> Option<u32> {
        self.nodes.iter().find(|(_, cpus)| cpus.0.contains(&cpu)).map(|(&node, _)| node)
    }

    /// The order in which workers take CPUs: those of `node` first, a core of its own each, and the first CPU, which serves most
    /// interrupts, last of its kind.
    pub fn in_order(&self, node: Option<u32>) -> Vec<usize> {
        let mut taken = BTreeSet::new();
        let mut order: Vec<(bool, bool, usize)> = Vec::new();
        for cpu in self.usable().0.into_iter().rev() {
            let second = self.siblings.get(&cpu).is_some_and(|threads| threads.0.iter().any(|thread| taken.contains(thread)));
            taken.insert(cpu);
            order.push((node.is_some() && self.node_of(cpu) != node, second, cpu));
        }
        // Stable: within a kind the last CPU comes first.
        order.sort_by_key(|&(far, second, _)| (far, second));
        order.into_iter().map(|(_, _, cpu)| cpu).collect()
    }
}

fn file(root: &Root, path: &str) -> Option<Fact<CpuSet>> {
    Some(Fact::new(root.word(path)?.parse().ok()?, Source::file(path)))
}

fn allowed(root: &Root) -> Option<Fact<CpuSet>> {
    let path = "/proc/self/status";
    let text = root.read(path)?;
    let (index, list) = text.lines().enumerate().find_map(|(index, line)| Some((index, line.strip_prefix("Cpus_allowed_list:")?)))?;
    Some(Fact::new(list.parse().ok()?, Source::line(path, index)))
}

/// The innermost group that says so: an empty `cpuset.cpus` means the parent's.
fn cpuset(root: &Root, group: &Group) -> Option<Fact<CpuSet>> {
    let names: &[&str] = if group.unified { &["cpuset.cpus.effective"] } else { &["cpuset.effective_cpus", "cpuset.cpus"] };
    let found = names.iter().flat_map(|name| group.words(root, name));
    let sets = found.filter_map(|fact| Some(Fact::new(fact.value.parse::<CpuSet>().ok()?, fact.source)));
    sets.into_iter().find(|fact| !fact.value.0.is_empty())
}

fn quota(root: &Root) -> Option<Fact<Quota>> {
    let mut quotas = Vec::new();
    for group in Group::of(root, "cpu") {
        if group.unified {
            quotas.extend(group.words(root, "cpu.max").into_iter().filter_map(|fact| {
                let (quota, period) = fact.value.split_once(' ')?;
                let quota = Quota { quota_us: quota.parse().ok()?, period_us: period.parse().ok()? };
                Some(Fact::new(quota, fact.source))
            }));
        } else {
            quotas.extend(group.words(root, "cpu.cfs_quota_us").into_iter().filter_map(|fact| {
                let Source::File { path, .. } = &fact.source else { return None };
                let period_us = root.number(path.with_file_name("cpu.cfs_period_us"))?;
                // -1 is none.
                Some(Fact::new(Quota { quota_us: fact.value.parse().ok()?, period_us }, fact.source))
            }));
        }
    }
    quotas.into_iter().filter(|quota| quota.value.period_us > 0).min_by_key(|quota| quota.value.millicpus())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sets_are_read_and_written() {
        for (text, written) in [("0-3,8\n", "0-3,8"), ("1,0,2", "0-2"), ("", ""), ("5", "5"), ("3-2", "")] {
            assert_eq!(text.parse::<CpuSet>().map(|set| set.to_string()).as_deref(), Ok(written));
        }
        for text in ["a", "0-99999999999", "8192", "-1", "1-"] {
            assert!(text.parse::<CpuSet>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(cpus in prop::collection::btree_set(0usize..200, 0..20)) {
            let set = CpuSet(cpus);
            prop_assert_eq!(set.to_string().parse(), Ok(set));
        }
    }
}
