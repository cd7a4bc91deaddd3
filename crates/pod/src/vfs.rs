//! The VFs that this container was given, from all who say so, and which of them is meant.

use crate::{Fact, Network, PciAddress, PodError, Root, Source, VfioNode, dra, numa, plugin, vfio_nodes};
use std::path::PathBuf;

/// One function, as one agent grants it.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) address: PciAddress,
    pub(crate) resource: Fact<String>,
    pub(crate) node: Option<Fact<PathBuf>>,
    pub(crate) container_node: Option<Fact<PathBuf>>,
    pub(crate) token: Option<Fact<String>>,
    pub(crate) numa_node: Option<Fact<u32>>,
}

impl Grant {
    pub(crate) fn new(address: PciAddress, resource: &str, source: Source) -> Self {
        let resource = Fact::new(resource.to_owned(), source);
        Self { address, resource, node: None, container_node: None, token: None, numa_node: None }
    }
}

/// A VF that this container may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vf {
    /// Where it is.
    pub address: PciAddress,
    /// What it was granted as, by each who says so: a resource of the device plugin as its variable spells it (`INTEL_COM_VF_VFIO`), or
    /// `CLAIM/REQUEST`.
    pub granted: Vec<Fact<String>>,
    /// Nodes to open it by, the best first.
    pub nodes: Vec<VfioNode>,
    /// VFIO's container node.
    pub container_node: Fact<PathBuf>,
    /// What a VF asks for whose PF is bound to vfio-pci too.
    pub token: Option<Fact<String>>,
    /// Its class code, 24 bits, where sysfs shows it: device plugins grant accelerators too.
    pub class: Option<Fact<u32>>,
    /// Its NUMA node, where somebody names one.
    pub numa_node: Option<Fact<u32>>,
    /// The networks that it was given for.
    pub networks: Vec<Network>,
}

impl Vf {
    /// A VF that the user names by `option`.
    pub fn explicit(root: &Root, address: PciAddress, option: &str) -> Self {
        Self::of(root, &[Grant::new(address, "explicit", Source::Option(option.to_owned()))], &[])
    }

    /// One function from all its grants.
    fn of(root: &Root, grants: &[Grant], networks: &[Network]) -> Self {
        let address = grants[0].address;
        let named = grants.iter().find_map(|grant| grant.node.clone());
        let container_node = grants.iter().find_map(|grant| grant.container_node.clone());
        let mut granted: Vec<Fact<String>> = Vec::new();
        for grant in grants {
            if !granted.contains(&grant.resource) {
                granted.push(grant.resource.clone());
            }
        }
        Self {
            address,
            granted,
            nodes: vfio_nodes::nodes(root, address, named),
            container_node: container_node.unwrap_or_else(|| vfio_nodes::container_node(root, address)),
            token: grants.iter().find_map(|grant| grant.token.clone()),
            class: class(root, address),
            numa_node: numa::of_function(root, address).or_else(|| grants.iter().find_map(|grant| grant.numa_node.clone())),
            networks: networks.iter().filter(|network| network.address == Some(address)).cloned().collect(),
        }
    }

    /// Whether it is a network function, as far as is known.
    pub fn is_network(&self) -> bool {
        self.class.as_ref().is_none_or(|class| class.value >> 16 == BASE_CLASS_NETWORK)
    }

    /// The node that was promised and is not there.
    ///
    /// # Errors
    /// [`PodError::NodeGone`].
    pub fn check_node(&self) -> Result<(), PodError> {
        let gone = self.nodes.first().filter(|node| node.promised && node.owner.is_none());
        gone.map_or(Ok(()), |node| {
            Err(PodError::NodeGone { source_of: node.path.source.clone(), node: node.path.value.clone(), address: self.address })
        })
    }

    fn describe(&self) -> String {
        let networks: Vec<_> = self.networks.iter().map(|network| network.name.as_str()).collect();
        let networks = if networks.is_empty() { String::new() } else { format!(", network {}", networks.join(", ")) };
        let granted: Vec<_> = self.granted.iter().map(|resource| resource.source.to_string()).collect();
        format!("{}{networks} ({})", self.address, granted.join(", "))
    }
}

/// Base class of network controllers, the top 8 of 24 bits (PCI Code and ID Assignment, 1.3).
const BASE_CLASS_NETWORK: u32 = 0x02;

fn class(root: &Root, address: PciAddress) -> Option<Fact<u32>> {
    let path = format!("{}/class", vfio_nodes::folder(address));
    let code = u32::from_str_radix(root.word(&path)?.strip_prefix("0x")?, 16).ok()?;
    Some(Fact::new(code, Source::file(path)))
}

/// The VFs of a container, in the order of their addresses, and what cannot be read of them.
pub(crate) fn vfs(root: &Root, networks: &[Network]) -> (Vec<Vf>, Vec<PodError>) {
    let mut problems = Vec::new();
    let mut grants = plugin::grants(root, &mut problems);
    grants.extend(dra::grants(root, &mut problems));
    grants.sort_by_key(|grant| grant.address);
    let vfs = grants.chunk_by(|one, other| one.address == other.address).map(|grants| Vf::of(root, grants, networks)).collect();
    (vfs, problems)
}

/// The VFs that are meant: those of the networks that are named, in that order; without a name the VFs of the only resource, if they are no
/// more than `most`.
pub(crate) fn choose<'a>(
    (vfs, problems): (&'a [Vf], &[PodError]),
    (networks, looked_in): (&[Network], &str),
    names: &[String],
    most: usize,
) -> Result<Vec<&'a Vf>, PodError> {
    if let Some(problem) = problems.first() {
        return Err(problem.clone());
    }
    let chosen: Vec<&Vf> = if names.is_empty() {
        only_resource(vfs, most)?
    } else {
        names.iter().map(|name| of_network(vfs, (networks, looked_in), name)).collect::<Result<_, _>>()?
    };
    chosen.iter().try_for_each(|vf| vf.check_node())?;
    Ok(chosen)
}

fn only_resource(all: &[Vf], most: usize) -> Result<Vec<&Vf>, PodError> {
    let vfs: Vec<&Vf> = all.iter().filter(|vf| vf.is_network()).collect();
    let Some(first) = vfs.first() else {
        let other = all.iter().find_map(|vf| Some((vf, vf.class.clone()?)));
        return Err(other.map_or(PodError::NoVf, |(vf, class)| PodError::NoNetworkFunction {
            address: vf.address,
            granted: vf.granted[0].source.clone(),
            source_of: class.source,
            class: class.value,
        }));
    };
    // One that two agents grant is one resource, whatever they call it.
    let same = |vf: &&Vf| vf.granted.iter().any(|resource| first.granted.iter().any(|other| other.value == resource.value));
    if vfs.iter().all(same) && vfs.len() <= most {
        return Ok(vfs);
    }
    let what = format!("this container was granted {} VFs, and up to {most} of one resource are taken unasked", vfs.len());
    let choose = "--network NAME or --port ADDRESS".to_owned();
    Err(PodError::Ambiguous { what, candidates: vfs.iter().map(|vf| vf.describe()).collect(), choose })
}

fn of_network<'a>(vfs: &'a [Vf], (networks, looked_in): (&[Network], &str), name: &str) -> Result<&'a Vf, PodError> {
    let called: Vec<_> = networks.iter().filter(|network| network.is_called(name)).collect();
    let network = match called[..] {
        [] => {
            let known = networks.iter().map(Network::describe).collect();
            return Err(PodError::NoSuchNetwork { name: name.to_owned(), looked_in: looked_in.to_owned(), known });
        }
        [network] => network,
        _ => {
            let what = format!("--network {name} is more than one network");
            let candidates = called.iter().map(|network| network.describe()).collect();
            return Err(PodError::Ambiguous { what, candidates, choose: "--network INTERFACE".to_owned() });
        }
    };
    let source_of = network.source.clone();
    let Some(address) = network.address else { return Err(PodError::NoFunction { name: name.to_owned(), source_of }) };
    vfs.iter().find(|vf| vf.address == address).ok_or_else(|| {
        let granted = vfs.iter().map(Vf::describe).collect::<Vec<_>>().join("; ");
        let granted = if granted.is_empty() { "no VF".to_owned() } else { granted };
        PodError::Stale { name: name.to_owned(), source_of, address, granted }
    })
}
