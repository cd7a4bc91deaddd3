//! What the kernel says about PCI functions, read from sysfs.
//!
//! Owns nothing but the two roots, so that tests point it at a tree of their own. Everything here reads; nothing binds or unbinds.
//! Links are read and not followed to their real path: in a container, and under tools that stand in for sysfs, the real path may not
//! exist. A file that is absent or says nonsense is an absent fact, never an error.

use crate::PciAddress;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use vfwire_spec::pci::PciId;

/// Where the kernel's files are.
#[derive(Clone, Debug)]
pub struct Sysfs {
    sys: PathBuf,
    vfio: PathBuf,
}

impl Default for Sysfs {
    fn default() -> Self {
        Self::at("/sys", "/dev/vfio")
    }
}

impl Sysfs {
    /// sysfs at `sys` and VFIO's nodes in `vfio`, instead of `/sys` and `/dev/vfio`.
    pub fn at(sys: impl Into<PathBuf>, vfio: impl Into<PathBuf>) -> Self {
        Self { sys: sys.into(), vfio: vfio.into() }
    }

    /// VFIO's container node.
    pub(crate) fn container_node(&self) -> PathBuf {
        self.vfio.join("vfio")
    }

    /// The node of an IOMMU group.
    pub(crate) fn group_node(&self, group: u32) -> PathBuf {
        self.vfio.join(group.to_string())
    }

    pub(crate) fn folder(&self, address: PciAddress) -> PathBuf {
        self.sys.join("bus/pci/devices").join(address.to_string())
    }

    /// A file under the root, trimmed.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        read(&self.sys.join(path))
    }

    /// All PCI functions, in the order of their addresses.
    pub(crate) fn functions(&self) -> io::Result<Vec<PciAddress>> {
        let folder = self.sys.join("bus/pci/devices");
        match fs::read_dir(&folder) {
            Ok(entries) => Ok(addresses(entries)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()), // a machine without PCI
            Err(error) => Err(io::Error::new(error.kind(), format!("cannot read {}: {error}", folder.display()))),
        }
    }

    pub(crate) fn exists(&self, address: PciAddress) -> bool {
        self.folder(address).join("vendor").exists()
    }

    pub(crate) fn id(&self, address: PciAddress) -> Option<PciId> {
        let word = |name| u16::try_from(self.hex(address, name)?).ok();
        Some(PciId { vendor: word("vendor")?, device: word("device")? })
    }

    /// The class code: base class, sub-class and programming interface, 24 bits.
    pub(crate) fn class(&self, address: PciAddress) -> Option<u32> {
        self.hex(address, "class")
    }

    pub(crate) fn driver(&self, address: PciAddress) -> Option<String> {
        link_name(&self.folder(address).join("driver"))
    }

    pub(crate) fn group(&self, address: PciAddress) -> Option<u32> {
        link_name(&self.folder(address).join("iommu_group"))?.parse().ok()
    }

    /// Whether the group is one that VFIO made up because there is no IOMMU (`enable_unsafe_noiommu_mode`).
    pub(crate) fn is_without_iommu(&self, address: PciAddress) -> bool {
        read(&self.folder(address).join("iommu_group/name")).is_some_and(|name| name == "vfio-noiommu")
    }

    /// The functions of the same IOMMU group, this one not among them.
    pub(crate) fn siblings(&self, address: PciAddress) -> Vec<PciAddress> {
        let entries = fs::read_dir(self.folder(address).join("iommu_group/devices"));
        entries.map(addresses).unwrap_or_default().into_iter().filter(|&other| other != address).collect()
    }

    /// The NUMA node, where the firmware names one.
    pub(crate) fn numa_node(&self, address: PciAddress) -> Option<u32> {
        read(&self.folder(address).join("numa_node"))?.parse().ok()
    }

    /// The PF of a VF.
    pub(crate) fn physical_function(&self, address: PciAddress) -> Option<PciAddress> {
        link_name(&self.folder(address).join("physfn"))?.parse().ok()
    }

    /// Which VF of its PF `address` is: the `N` of the PF's link `virtfnN`.
    pub(crate) fn vf_index(&self, pf: PciAddress, address: PciAddress) -> Option<u32> {
        let entries = fs::read_dir(self.folder(pf)).ok()?;
        let index = |entry: fs::DirEntry| {
            let index = entry.file_name().to_str()?.strip_prefix("virtfn")?.parse().ok()?;
            (link_name(&entry.path())?.parse() == Ok(address)).then_some(index)
        };
        entries.filter_map(|entry| index(entry.ok()?)).next()
    }

    /// Names of the function's network interfaces.
    pub(crate) fn interfaces(&self, address: PciAddress) -> Vec<String> {
        let entries = fs::read_dir(self.folder(address).join("net"));
        let mut names: Vec<_> = entries.into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn hex(&self, address: PciAddress, name: &str) -> Option<u32> {
        u32::from_str_radix(read(&self.folder(address).join(name))?.strip_prefix("0x")?, 16).ok()
    }
}

fn read(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn link_name(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.file_name()?.to_str()?.to_owned())
}

fn addresses(entries: fs::ReadDir) -> Vec<PciAddress> {
    let mut found: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    found.sort();
    found
}
