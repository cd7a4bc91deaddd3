//! Where and how results were measured, as lines of text: one fact a line, one value a result.

use super::Named;
use crate::result::{Measurement, PortFacts, ThreadFacts, line_rate_fps};

type Lines = Vec<(String, Vec<Option<String>>)>;

fn lines(results: &[Named<'_>], facts: &[(&str, Of)]) -> Lines {
    let line = |(name, of): &(&str, Of)| ((*name).to_owned(), results.iter().map(|named| of(named.result)).collect());
    facts.iter().map(line).collect()
}

type Of = fn(&Measurement) -> Option<String>;

pub(super) fn method(results: &[Named<'_>]) -> Lines {
    let facts: [(&str, Of); 11] = [
        ("What was between the ports", |result| Some(result.method.topology.text().to_owned())),
        ("Directions at once", |result| Some(result.method.directions.to_string())),
        ("Trial", |result| Some(format!("{} s; the search begins with {} s", result.method.trial_s, result.method.initial_trial_s))),
        ("A load is borne", |result| {
            let (sum, exceed) = (result.method.duration_sum_s, result.method.exceed_ratio * 100.0);
            Some(format!("after {sum} s, in no more than {exceed} % of which more was lost than the goal allows"))
        }),
        ("PDR allows to lose", |result| Some(format!("{} %", result.method.pdr_loss_ratio * 100.0))),
        ("Width of the bounds", |result| Some(format!("{} %", result.method.relative_width * 100.0))),
        ("Searches of each throughput", |result| Some(result.method.repeat.to_string())),
        ("Flows", |result| Some(result.method.flows.to_string())),
        ("Started, took", |result| Some(format!("{}, {:.0} s", result.started, result.elapsed_s))),
        ("Arguments", |result| Some(result.arguments.join(" "))),
        ("vfwire", |result| Some(result.vfwire.clone())),
    ];
    lines(results, &facts)
}

pub(super) fn host(results: &[Named<'_>]) -> Lines {
    let facts: [(&str, Of); 15] = [
        ("CPU", |result| result.environment.host.cpu_model.clone()),
        ("CPUs online", |result| result.environment.host.cpus_online.clone()),
        ("CPUs of the process", |result| result.environment.host.cpus_allowed.clone()),
        ("Virtual machine", |result| result.environment.host.virtual_machine.map(yes)),
        ("Cycle counter", |result| result.environment.host.cycle_counter_mhz.map(|mhz| format!("{mhz:.0} MHz"))),
        ("Governor", |result| result.environment.host.governor.clone()),
        ("Turbo", |result| result.environment.host.turbo.map(yes)),
        ("NUMA nodes", |result| result.environment.host.numa_nodes.clone()),
        ("Hugepages of 2 MiB", |result| result.environment.host.hugepages_2m.clone()),
        ("Hugepages of 1 GiB", |result| result.environment.host.hugepages_1g.clone()),
        ("Memory of the frames", |result| result.environment.host.memory.clone()),
        ("IOMMU", |result| result.environment.host.iommu.clone()),
        ("Kernel", |result| result.environment.host.kernel.clone()),
        ("Kernel's parameters", |result| result.environment.host.kernel_parameters.clone()),
        ("Quota of CPU time", |result| result.environment.host.cgroup_cpus.map(|cpus| format!("{cpus} CPUs"))),
    ];
    lines(results, &facts)
}

/// Threads and ports: as many lines as the result with most of them has.
pub(super) fn parts(results: &[Named<'_>]) -> Lines {
    let most = |of: fn(&Measurement) -> usize| results.iter().map(|named| of(named.result)).max().unwrap_or(0);
    let threads = (0..most(|result| result.environment.threads.len())).map(|at| {
        let values = results.iter().map(|named| named.result.environment.threads.get(at).map(thread)).collect();
        (format!("Thread {}", at + 1), values)
    });
    let ports = (0..most(|result| result.environment.ports.len())).map(|at| {
        let values = results.iter().map(|named| named.result.environment.ports.get(at).map(port)).collect();
        (format!("Port {}", at + 1), values)
    });
    threads.chain(ports).collect()
}

fn thread(thread: &ThreadFacts) -> String {
    let cpu = thread.cpu.map_or("wherever the scheduler puts it".to_owned(), |cpu| format!("CPU {cpu}"));
    let node = thread.numa_node.map(|node| format!(", NUMA node {node}")).unwrap_or_default();
    let siblings = thread.smt_siblings.as_ref().map(|cpus| format!(", shares its core with CPU {cpus}")).unwrap_or_default();
    format!("{}: {cpu}{node}{siblings}", thread.role.text())
}

fn port(port: &PortFacts) -> String {
    let PortFacts { role, address, driver, function, numa_node, link_mbps, rx_path, tx_path, rx_desc, tx_desc, burst } = port;
    let node = numa_node.map(|node| format!(", NUMA node {node}")).unwrap_or_default();
    let link =
        link_mbps.map(|mbps| format!(", link {mbps} Mbit/s ({:.3} Mpps of 64 bytes)", line_rate_fps(mbps, 64) / 1e6)).unwrap_or_default();
    format!(
        "{}: {address}, {driver} ({function}){node}{link}, receive {rx_path}, send {tx_path}, rings of {rx_desc} and {tx_desc}, bursts of {burst}",
        role.text()
    )
}

fn yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}
