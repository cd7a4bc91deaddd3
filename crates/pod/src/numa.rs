//! NUMA nodes: of a function, and of CPUs.

use crate::{Fact, PciAddress, Root, Source, cpus::CpuSet, vfio_nodes};
use std::collections::BTreeMap;

const NODES: &str = "/sys/devices/system/node";

/// The node of a function. Firmware that knows none says -1.
pub(crate) fn of_function(root: &Root, address: PciAddress) -> Option<Fact<u32>> {
    let path = format!("{}/numa_node", vfio_nodes::folder(address));
    Some(Fact::new(root.number(&path)?, Source::file(path)))
}

/// The CPUs of each node; empty where the kernel shows none.
pub(crate) fn cpus(root: &Root) -> BTreeMap<u32, CpuSet> {
    let number = |name: &String| name.strip_prefix("node")?.parse().ok();
    let nodes = root.names(NODES).into_iter().filter_map(|name| Some((number(&name)?, name)));
    nodes.filter_map(|(node, name)| Some((node, root.word(format!("{NODES}/{name}/cpulist"))?.parse().ok()?))).collect()
}
