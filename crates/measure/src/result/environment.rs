//! Where it was measured. What could not be read is nothing, and is shown as unknown.

use serde::{Deserialize, Serialize};

/// The machine, the threads and the ports.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The machine.
    pub host: Host,
    /// The threads that poll.
    pub threads: Vec<ThreadFacts>,
    /// The ports.
    pub ports: Vec<PortFacts>,
}

/// The machine, as the process sees it.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// `AMD EPYC 9555 64-Core Processor`.
    pub cpu_model: Option<String>,
    /// CPUs that are online.
    pub cpus_online: Option<String>,
    /// CPUs that this process may run on.
    pub cpus_allowed: Option<String>,
    /// Whether it is a virtual machine.
    pub virtual_machine: Option<bool>,
    /// Frequency of the cycle counter, in MHz.
    pub cycle_counter_mhz: Option<f64>,
    /// The frequency governor of the CPUs that poll: `performance`.
    pub governor: Option<String>,
    /// Whether the processor may run above its nominal frequency.
    pub turbo: Option<bool>,
    /// Nodes of memory.
    pub numa_nodes: Option<String>,
    /// Hugepages of 2 MiB: free and all.
    pub hugepages_2m: Option<String>,
    /// Hugepages of 1 GiB: free and all.
    pub hugepages_1g: Option<String>,
    /// What the pages of the pool are.
    pub memory: Option<String>,
    /// The IOMMU of the ports: `DMA-FQ`, `none`, or `simulated`.
    pub iommu: Option<String>,
    /// `Linux 6.1.0-32-amd64 x86_64`.
    pub kernel: Option<String>,
    /// Of the kernel's parameters, those that matter: `isolcpus=2-7 nohz_full=2-7`.
    pub kernel_parameters: Option<String>,
    /// CPUs' worth of time that the cgroup may use; nothing: no quota, or unknown.
    pub cgroup_cpus: Option<f64>,
}

/// Who polls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sends and receives test frames.
    Tester,
    /// The device under test.
    DeviceUnderTest,
}

impl Role {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Tester => "tester",
            Self::DeviceUnderTest => "device under test",
        }
    }
}

/// A thread that polls.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreadFacts {
    /// What for.
    pub role: Role,
    /// The CPU that it is pinned to; nothing: wherever the scheduler puts it.
    pub cpu: Option<usize>,
    /// Node of memory of that CPU.
    pub numa_node: Option<u32>,
    /// Other CPUs of the same core: `6`.
    pub smt_siblings: Option<String>,
}

/// A port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortFacts {
    /// Whose it is.
    pub role: Role,
    /// `0000:3b:02.1`.
    pub address: String,
    /// `igbvf`.
    pub driver: String,
    /// The function's vendor and device: `8086:10ca`.
    pub function: String,
    /// Node of memory that it is near to.
    pub numa_node: Option<u32>,
    /// Speed of the link, in Mbit/s.
    pub link_mbps: Option<u32>,
    /// How receiving was compiled: `avx512`.
    pub rx_path: String,
    /// How sending was compiled.
    pub tx_path: String,
    /// Descriptors of the receive ring.
    pub rx_desc: u32,
    /// Descriptors of the transmit ring.
    pub tx_desc: u32,
    /// Most frames taken at once.
    pub burst: u32,
}
