//! CPUs: how many, whose else they are, and how near they are to the VF.

use super::{Check, Context};
use vfwire_pod::{CpuSet, Cpus, Environment, Sharing, Vf};

const STATIC_POLICY: &str = "integer CPUs and requests equal to limits for every container, `resources: {requests: {cpu: \"2\", memory: 512Mi}, limits: {cpu: \"2\", \
                             memory: 512Mi}}`, and on the node `cpuManagerPolicy: static` in the kubelet's configuration";

pub(super) fn checks(context: &Context, _: &[Check]) -> Vec<Check> {
    of(context.environment, context.subjects)
}

/// What there is to say of the CPUs of a pod, or of a machine, of which much less is wanted.
pub(super) fn of(environment: &Environment, vfs: &[Vf]) -> Vec<Check> {
    let (cpus, in_pod) = (&environment.cpus, environment.pod.is_some());
    let mut checks = vec![count(cpus), exclusive(cpus, in_pod), quota(cpus), threads(cpus, in_pod, vfs.first())];
    checks.extend(vfs.iter().map(|vf| numa(cpus, vf).of(vf.address)));
    checks
}

fn count(cpus: &Cpus) -> Check {
    const ID: &str = "cpu.count";
    let usable = cpus.usable();
    let needed = "a CPU for each worker, which polls all the time, and one for the rest";
    match usable.0.len() {
        0 => Check::skipped(ID, "the kernel does not say which CPUs this process may use"),
        1 => {
            let found = format!("CPU {usable} alone: the worker and the control thread take turns");
            Check::warning(ID, found, "two CPUs or more: `resources: {limits: {cpu: \"2\"}}`").needs(needed)
        }
        number => Check::ok(ID, format!("{number} CPUs: {usable}")).needs(needed),
    }
}

fn exclusive(cpus: &Cpus, in_pod: bool) -> Check {
    const ID: &str = "cpu.exclusive";
    let usable = cpus.usable();
    match cpus.sharing() {
        _ if usable.0.is_empty() => Check::skipped(ID, "the kernel does not say which CPUs this process may use"),
        Sharing::Exclusive => Check::ok(ID, format!("CPUs {usable} are this container's own")),
        Sharing::Unknown => {
            Check::ok(ID, format!("CPUs {usable} are a part of the machine's; whose else they are cannot be told from here"))
        }
        Sharing::Shared if !in_pod => Check::ok(ID, format!("CPUs {usable} are the machine's")),
        Sharing::Shared => Check::warning(ID, format!("CPUs {usable} are not this container's own"), STATIC_POLICY),
    }
    .needs("CPUs of its own")
}

fn quota(cpus: &Cpus) -> Check {
    const ID: &str = "cpu.quota";
    let Some(quota) = &cpus.quota else { return Check::ok(ID, "no quota of CPU time") };
    let cores = quota.value.millicpus() as f64 / 1000.0;
    let found = format!("{cores} CPUs' time ({})", quota.source);
    let needed = cpus.usable().0.len();
    if quota.value.millicpus() >= needed as u64 * 1000 {
        return Check::ok(ID, found).needs("a whole CPU for each worker");
    }
    let found = format!("{found} for {needed} CPUs: what polls on is stopped for the rest of each {} ms", quota.value.period_us / 1000);
    let remedy = "an integer limit, with the static policy, which gives as many CPUs: `resources: {limits: {cpu: \"2\"}}`; or none, with a request alone";
    Check::warning(ID, found, remedy).needs("a whole CPU for each worker")
}

/// The other thread of the first worker's core: its own container's is idle or ours to place, another one's is not.
fn threads(cpus: &Cpus, in_pod: bool, vf: Option<&Vf>) -> Check {
    const ID: &str = "cpu.threads";
    let node = vf.and_then(|vf| vf.numa_node.as_ref()).map(|node| node.value);
    let Some(&first) = cpus.in_order(node).first() else {
        return Check::skipped(ID, "the kernel does not say which CPUs this process may use");
    };
    let Some(threads) = cpus.siblings.get(&first) else { return Check::ok(ID, format!("CPU {first} has its core to itself")) };
    let usable = cpus.usable();
    let foreign = CpuSet(threads.0.difference(&usable.0).copied().collect());
    if foreign.0.is_empty() || !in_pod {
        return Check::ok(ID, format!("CPU {first} shares its core with CPU {threads}, which this process may use too"));
    }
    let remedy = "in the kubelet's configuration on the node: `cpuManagerPolicyOptions: {full-pcpus-only: \"true\"}`, and an even number of CPUs in the limits";
    Check::warning(ID, format!("CPU {first} shares its core with CPU {foreign}, which is others'"), remedy)
}

fn numa(cpus: &Cpus, vf: &Vf) -> Check {
    const ID: &str = "cpu.numa";
    let Some(node) = &vf.numa_node else { return Check::skipped(ID, "nobody says which NUMA node the VF is on") };
    let near: Vec<usize> = cpus.usable().0.into_iter().filter(|&cpu| cpus.node_of(cpu) == Some(node.value)).collect();
    if cpus.nodes.is_empty() {
        return Check::skipped(ID, "the kernel does not say which NUMA nodes there are");
    }
    if near.is_empty() {
        let found = format!("the VF is on NUMA node {}, CPUs {} are on others", node.value, cpus.usable());
        let remedy = "in the kubelet's configuration on the node: `topologyManagerPolicy: single-numa-node`, and integer CPUs in requests and limits";
        return Check::warning(ID, found, remedy).needs("CPUs on the VF's node");
    }
    let near = CpuSet(near.into_iter().collect());
    Check::ok(ID, format!("the VF and CPUs {near} are on NUMA node {}", node.value)).needs("CPUs on the VF's node")
}
