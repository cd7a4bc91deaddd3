//! Where it is measured: what the kernel says of the machine. What it does not say is unknown.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};
use vfwire_measure::result::{Host, Role, ThreadFacts};
use vfwire_pod::{Environment, PageSize};

/// Parameters of the kernel that matter to polling threads.
const PARAMETERS: [&str; 14] = [
    "isolcpus",
    "nohz_full",
    "rcu_nocbs",
    "irqaffinity",
    "intel_iommu",
    "amd_iommu",
    "iommu",
    "hugepages",
    "hugepagesz",
    "default_hugepagesz",
    "mitigations",
    "nosmt",
    "idle",
    "intel_idle.max_cstate",
];

fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The machine. `cpus` are those that poll.
pub(super) fn host(environment: &Environment, cpus: &[usize], memory: Option<String>, iommu: Option<String>) -> Host {
    let cpuinfo = text("/proc/cpuinfo").unwrap_or_default();
    let (online, usable) = (&environment.cpus.online, environment.cpus.usable());
    let watched: Vec<usize> = if cpus.is_empty() { usable.0.iter().copied().collect() } else { cpus.to_vec() };
    Host {
        cpu_model: field(&cpuinfo, "model name").or_else(|| field(&cpuinfo, "CPU part").map(|part| format!("CPU part {part}"))),
        cpus_online: online.as_ref().map(|cpus| cpus.value.to_string()),
        cpus_allowed: (!usable.0.is_empty()).then(|| usable.to_string()),
        virtual_machine: field(&cpuinfo, "flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        cycle_counter_mhz: Some(counter_mhz()),
        governor: governor(&watched),
        turbo: turbo(),
        numa_nodes: text("/sys/devices/system/node/online"),
        hugepages_2m: hugepages(environment, 2 << 20),
        hugepages_1g: hugepages(environment, 1 << 30),
        memory,
        iommu,
        kernel: text("/proc/sys/kernel/osrelease").map(|release| format!("Linux {release} {}", std::env::consts::ARCH)),
        kernel_parameters: text("/proc/cmdline").map(|line| parameters(&line)),
        cgroup_cpus: environment.cpus.quota.as_ref().map(|quota| quota.value.millicpus() as f64 / 1000.0),
    }
}

fn field(cpuinfo: &str, name: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn parameters(line: &str) -> String {
    let matters = |word: &&str| PARAMETERS.contains(&word.split('=').next().unwrap_or_default());
    let found: Vec<_> = line.split_whitespace().filter(matters).collect();
    if found.is_empty() { "none that matters here".to_owned() } else { found.join(" ") }
}

/// That of all of these CPUs, or of the first one that has another.
fn governor(cpus: &[usize]) -> Option<String> {
    let of = |cpu: &usize| text(format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"));
    let all: Vec<String> = cpus.iter().filter_map(of).collect();
    all.iter().find(|governor| *governor != "performance").or(all.first()).cloned()
}

fn turbo() -> Option<bool> {
    let intel = text("/sys/devices/system/cpu/intel_pstate/no_turbo").map(|no| no == "0");
    intel.or_else(|| text("/sys/devices/system/cpu/cpufreq/boost").map(|boost| boost == "1"))
}

fn hugepages(environment: &Environment, bytes: u64) -> Option<String> {
    let size: &PageSize = environment.hugepages.sizes.iter().find(|size| size.bytes == bytes)?;
    let (free, total) = (size.free.as_ref()?.value, size.total.as_ref()?.value);
    Some(format!("{free} free of {total}"))
}

/// How fast the counter ticks that cycles are counted in.
fn counter_mhz() -> f64 {
    let (start, before) = (Instant::now(), vfwire::cycles());
    thread::sleep(Duration::from_millis(20));
    let ticks = vfwire::cycles().wrapping_sub(before) as f64;
    (ticks / start.elapsed().as_secs_f64() / 1e6).round()
}

/// A thread that polls on `cpu`.
pub(super) fn thread_on(environment: &Environment, role: Role, cpu: Option<usize>) -> ThreadFacts {
    let siblings = |cpu: usize| environment.cpus.siblings.get(&cpu).filter(|set| !set.0.is_empty()).map(ToString::to_string);
    ThreadFacts { role, cpu, numa_node: cpu.and_then(|cpu| environment.cpus.node_of(cpu)), smt_siblings: cpu.and_then(siblings) }
}

/// The kind of the IOMMU group of a function.
pub(super) fn iommu_of(address: &str) -> Option<String> {
    text(format!("/sys/bus/pci/devices/{address}/iommu_group/type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_taken_from_what_the_kernel_writes() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Example CPU @ 3 GHz\nflags\t\t: fpu hypervisor avx2\n";
        assert_eq!(field(cpuinfo, "model name").as_deref(), Some("Example CPU @ 3 GHz"));
        assert_eq!(field(cpuinfo, "bogomips"), None);
        assert_eq!(parameters("BOOT_IMAGE=/x root=/dev/a isolcpus=2-7 quiet nohz_full=2-7"), "isolcpus=2-7 nohz_full=2-7");
        assert_eq!(parameters("quiet"), "none that matters here");
    }
}
