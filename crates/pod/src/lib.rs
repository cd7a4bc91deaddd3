//! What a container was given: SR-IOV VFs, VFIO nodes, hugepages, CPUs, limits, network facts, each with where it came from.
//!
//! Floor 2, but it imports nothing of vfwire and is usable without the rest. It reads: files of the container and variables of its
//! environment, both of which are given ([`Root`]). It opens no device, calls nothing of the kernel, and never lists the PCI functions of
//! the host to guess which of them is meant: sysfs shows all of them in every container.
//!
//! ```
//! use vfwire_pod::{Root, discover};
//!
//! let pod = [("PCIDEVICE_INTEL_COM_VF-VFIO".to_owned(), "0000:3b:02.6".to_owned())];
//! let given = discover(&Root::at("nowhere", pod));
//! let vfs = given.choose(&[], 1)?;
//! assert_eq!(vfs[0].address.to_string(), "0000:3b:02.6");
//! assert_eq!(vfs[0].granted[0].to_string(), "INTEL_COM_VF-VFIO (environment variable PCIDEVICE_INTEL_COM_VF-VFIO)");
//! # Ok::<(), vfwire_pod::PodError>(())
//! ```
//!
//! | module | what it reads |
//! |---|---|
//! | `plugin` | the SR-IOV network device plugin's variables |
//! | `dra` | the DRA driver's variables, and device metadata (KEP-5304) |
//! | `network_status` | Multus' annotation: which network has which function, IPs, MAC |
//! | `vfs` | all of these together, and which VF is meant |
//! | `vfio_nodes` | the nodes of `/dev/vfio` |
//! | `hugepages`, `cpus`, `numa`, `limits` | memory, CPUs, and what the process may do |
//! | `cgroup` | where control groups of both versions have their files |
//!
//! What others wrote is not trusted: texts are bounded, a value that cannot be read is an error that shows it, and nothing of it is
//! executed or opened.

#![forbid(unsafe_code)]

mod cgroup;
mod cpus;
mod dra;
mod error;
mod facts;
mod hugepages;
mod limits;
mod network_status;
mod numa;
mod plugin;
mod root;
mod vfio_nodes;
mod vfs;

pub use cpus::{CpuSet, Cpus, Quota, Sharing};
pub use dra::parse_metadata;
pub use error::PodError;
pub use facts::{Fact, Source};
pub use hugepages::{HugepageLimit, Hugepages, PageSize};
pub use limits::{CAP_IPC_LOCK, CAP_SYS_RAWIO, Memlock, Process, Seccomp};
pub use network_status::{ANNOTATIONS, Network, await_networks, networks, parse as parse_annotations};
pub use root::Root;
pub use vfio_nodes::{NodeKind, VfioNode};
pub use vfs::Vf;
pub use vfwire_spec::pci::PciAddress;

/// What a container was given.
#[derive(Clone, Debug)]
pub struct Environment {
    /// What says that this is a pod, or a container that was given a VF as pods are; nothing elsewhere.
    pub pod: Option<Source>,
    /// Its VFs, in the order of their addresses.
    pub vfs: Vec<Vf>,
    /// What was given and cannot be read.
    pub problems: Vec<PodError>,
    /// The pod's networks, as far as the annotation shows them yet.
    pub networks: Vec<Network>,
    /// Why the annotation cannot be read. It matters to those alone who name a network.
    pub annotation: Option<PodError>,
    /// The network attachment definition that a DRA claim names.
    pub claimed_network: Option<Fact<String>>,
    /// Its hugepages.
    pub hugepages: Hugepages,
    /// Its CPUs.
    pub cpus: Cpus,
    /// What its process may do.
    pub process: Process,
}

/// Reads everything.
pub fn discover(root: &Root) -> Environment {
    let (networks, annotation) = match networks(root) {
        Ok(networks) => (networks, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let (vfs, problems) = vfs::vfs(root, &networks);
    Environment {
        pod: pod(root),
        vfs,
        problems,
        networks,
        annotation,
        claimed_network: dra::network_name(root),
        hugepages: Hugepages::of(root),
        cpus: Cpus::of(root),
        process: Process::of(root),
    }
}

impl Environment {
    /// The VFs that are meant: those of the networks named, in that order; without a name all VFs of the only resource, where they are no
    /// more than `most`. Their nodes exist, where anybody promised some.
    ///
    /// # Errors
    /// [`PodError`]: the first thing that cannot be read, or why no VF, or more than one, is meant, with the candidates.
    pub fn choose(&self, networks: &[String], most: usize) -> Result<Vec<&Vf>, PodError> {
        match &self.annotation {
            Some(problem) if !networks.is_empty() => Err(problem.clone()),
            _ => vfs::choose((&self.vfs, &self.problems), (&self.networks, ANNOTATIONS), networks, most),
        }
    }
}

/// What says that this is a pod.
fn pod(root: &Root) -> Option<Source> {
    let variable = |name: &str| root.variable(name).map(|_| Source::variable(name));
    let file = |path: &str| root.exists(path).then(|| Source::file(path));
    plugin::mark(root)
        .or_else(|| dra::mark(root))
        // The kubelet sets it in every container, with or without service links.
        .or_else(|| variable("KUBERNETES_SERVICE_HOST"))
        .or_else(|| file("/var/run/secrets/kubernetes.io/serviceaccount"))
        .or_else(|| file(ANNOTATIONS))
        .or_else(|| {
            let path = "/proc/self/cgroup";
            let index = root.read(path)?.lines().position(|line| line.contains("/kubepods"))?;
            Some(Source::line(path, index))
        })
}
