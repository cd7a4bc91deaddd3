//! The nodes through which VFIO gives out a function.
//!
//! What the agent names comes first: on a host without an IOMMU the container's `/dev/vfio/N` is another number's than sysfs suggests. Then
//! comes the node of the IOMMU group, then the device's own (cdev, with iommufd). One in no-IOMMU mode is marked unsafe.

use crate::{Fact, PciAddress, Root, Source};
use std::path::{Path, PathBuf};

const VFIO: &str = "/dev/vfio";
const CDEV_FOLDER: &str = "/dev/vfio/devices";

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// An IOMMU group: `/dev/vfio/7`.
    Group,
    /// A device of its own, for iommufd: `/dev/vfio/devices/vfio3`.
    Cdev,
    /// A group without an IOMMU: the function could write anywhere in memory, so this is unsafe.
    UnsafeNoIommu,
}

/// A node to open a function by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VfioNode {
    /// Where it is.
    pub path: Fact<PathBuf>,
    /// What it is.
    pub kind: NodeKind,
    /// Whether whoever granted the VF named it.
    pub promised: bool,
    /// Owner, group and permission bits; nothing where the node does not exist.
    pub owner: Option<(u32, u32, u32)>,
}

pub(crate) fn nodes(root: &Root, address: PciAddress, named: Option<Fact<PathBuf>>) -> Vec<VfioNode> {
    let folder = folder(address);
    let without_iommu = root.word(format!("{folder}/iommu_group/name")).as_deref() == Some("vfio-noiommu");
    let node = |path: Fact<PathBuf>, promised| {
        let kind = match () {
            () if without_iommu || is_noiommu(&path.value) => NodeKind::UnsafeNoIommu,
            () if path.value.starts_with(CDEV_FOLDER) => NodeKind::Cdev,
            () => NodeKind::Group,
        };
        VfioNode { owner: root.owner(&path.value), path, kind, promised }
    };
    let mut nodes: Vec<_> = named.into_iter().map(|path| node(path, true)).collect();
    let mut add = |path: String, source: Source| {
        if !nodes.iter().any(|node| node.path.value == Path::new(&path)) {
            nodes.push(node(Fact::new(path.into(), source), false));
        }
    };
    if let Some(group) = root.link_name(format!("{folder}/iommu_group")) {
        let prefix = if without_iommu { "noiommu-" } else { "" };
        add(format!("{VFIO}/{prefix}{group}"), Source::file(format!("{folder}/iommu_group")));
    }
    for name in root.names(format!("{folder}/vfio-dev")) {
        add(format!("{CDEV_FOLDER}/{name}"), Source::file(format!("{folder}/vfio-dev")));
    }
    nodes
}

fn is_noiommu(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("noiommu-"))
}

pub(crate) fn container_node(root: &Root, address: PciAddress) -> Fact<PathBuf> {
    // Only where there is nothing but iommufd is that the way.
    let cdev = !root.exists(format!("{VFIO}/vfio")) && root.exists("/dev/iommu");
    let source = Source::file(folder(address));
    Fact::new(if cdev { "/dev/iommu".into() } else { format!("{VFIO}/vfio").into() }, source)
}

/// sysfs shows all functions of the host here, but only the one that was granted is looked at.
pub(crate) fn folder(address: PciAddress) -> String {
    format!("/sys/bus/pci/devices/{address}")
}
