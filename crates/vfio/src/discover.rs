//! Which network functions there are, and whether VFIO can open them.
//!
//! Reads sysfs and the permissions of VFIO's nodes; opens nothing, so that asking disturbs nobody.

use crate::{PciAddress, VfioError, container::node_error, ioctl, sysfs::Sysfs};
use std::io;
use vfwire_spec::pci::PciId;

/// A network function, as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkFunction {
    /// Where it is.
    pub address: PciAddress,
    /// What it is.
    pub id: PciId,
    /// The driver that it is bound to.
    pub driver: Option<String>,
    /// Its IOMMU group.
    pub iommu_group: Option<u32>,
    /// Its NUMA node, where the firmware names one.
    pub numa_node: Option<u32>,
    /// The PF whose VF it is, and which of them (from 0).
    pub vf_of: Option<(PciAddress, Option<u32>)>,
    /// Its network interfaces, while a kernel driver has it.
    pub interfaces: Vec<String>,
    /// Why VFIO cannot open it now, and what to do; nothing where it can.
    pub obstacle: Option<String>,
}

/// Base class of network controllers: the top 8 of the 24 bits of a class code (PCI Local Bus 3.0, appendix D).
const BASE_CLASS_NETWORK: u32 = 0x02;

/// All network functions of the machine, in the order of their addresses.
///
/// # Errors
/// Where sysfs cannot be read. A machine without PCI has no functions, which is no error.
pub fn network_functions(sysfs: &Sysfs) -> io::Result<Vec<NetworkFunction>> {
    let functions = sysfs.functions()?.into_iter();
    Ok(functions
        .filter(|&at| sysfs.class(at).is_some_and(|class| class >> 16 == BASE_CLASS_NETWORK))
        .filter_map(|at| network_function(sysfs, at))
        .collect())
}

/// One function, of whatever class: its own files only are looked at, and those of its IOMMU group. Nothing where there is no such function.
pub fn network_function(sysfs: &Sysfs, address: PciAddress) -> Option<NetworkFunction> {
    Some(NetworkFunction {
        address,
        id: sysfs.id(address)?,
        driver: sysfs.driver(address),
        iommu_group: sysfs.group(address),
        numa_node: sysfs.numa_node(address),
        vf_of: sysfs.physical_function(address).map(|pf| (pf, sysfs.vf_index(pf, address))),
        interfaces: sysfs.interfaces(address),
        obstacle: obstacle(sysfs, address).err().map(|error| error.to_string()),
    })
}

/// Everything that can be known about opening a function without opening it.
fn obstacle(sysfs: &Sysfs, address: PciAddress) -> Result<(), VfioError> {
    let group = preflight(sysfs, address)?;
    let siblings = foreign_siblings(sysfs, address);
    if !siblings.is_empty() {
        return Err(VfioError::NotViable { address, group, siblings });
    }
    let container = sysfs.container_node();
    ioctl::may_read_and_write(&container).map_err(|error| node_error(&container, error, |node| VfioError::Absent { node: node.into() }))?;
    let node = sysfs.group_node(group);
    ioctl::may_read_and_write(&node)
        .map_err(|error| node_error(&node, error, |node| VfioError::GroupNodeAbsent { node: node.into(), address }))
}

/// What must be so before VFIO is asked at all: the function exists, stands behind an IOMMU, and is VFIO's. Its group.
///
/// # Errors
/// [`VfioError`], which says what to do.
pub fn preflight(sysfs: &Sysfs, address: PciAddress) -> Result<u32, VfioError> {
    if !sysfs.exists(address) {
        return Err(VfioError::NoSuchFunction { address });
    }
    // Before the driver: without an IOMMU, vfio-pci cannot be bound at all.
    let group = sysfs.group(address).ok_or(VfioError::NoIommu { address })?;
    match sysfs.driver(address) {
        None => Err(VfioError::NotBound { address }),
        Some(driver) if !is_vfio(&driver) => Err(VfioError::WrongDriver { address, driver }),
        Some(_) if sysfs.is_without_iommu(address) => Err(VfioError::UnsafeNoIommu { address }),
        Some(_) => Ok(group),
    }
}

/// The functions of the same group that kernel drivers have, each with its driver; empty where there are none.
pub fn foreign_siblings(sysfs: &Sysfs, address: PciAddress) -> String {
    let named = |other| sysfs.driver(other).filter(|driver| !may_share(driver)).map(|driver| format!("{other} (driver {driver})"));
    sysfs.siblings(address).into_iter().filter_map(named).collect::<Vec<_>>().join(", ")
}

/// vfio-pci, and the drivers of vendors that stand in for it (`mlx5_vfio_pci`, `pds-vfio-pci`).
fn is_vfio(driver: &str) -> bool {
    driver.replace('_', "-").ends_with("vfio-pci")
}

/// Drivers that do no DMA of their own, and so may share a group with VFIO (Linux, Documentation/driver-api/vfio.rst).
fn may_share(driver: &str) -> bool {
    is_vfio(driver) || ["pci-stub", "pcieport"].contains(&driver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Tree;

    fn at(text: &str) -> PciAddress {
        text.parse().unwrap()
    }

    /// A PF with two VFs, one VFIO's, each in a group of its own, beside a function that is no network function.
    fn machine(name: &str) -> Tree {
        let tree = Tree::new(name);
        tree.function("0000:01:00.0", "0x8086", "0x10c9", "0x020000", Some("igb"), Some(7));
        tree.function("0000:01:10.0", "0x8086", "0x10ca", "0x020000", Some("vfio-pci"), Some(8));
        tree.function("0000:01:10.2", "0x8086", "0x10ca", "0x020000", None, Some(9));
        tree.function("0000:00:1f.2", "0x8086", "0x2922", "0x010601", Some("ahci"), Some(3));
        for (index, vf) in ["0000:01:10.0", "0000:01:10.2"].into_iter().enumerate() {
            tree.link(&format!("sys/bus/pci/devices/{vf}/physfn"), "../0000:01:00.0");
            tree.link(&format!("sys/bus/pci/devices/0000:01:00.0/virtfn{index}"), format!("../{vf}"));
        }
        tree.file("sys/bus/pci/devices/0000:01:00.0/net/eth0/mtu", "1500");
        tree.file("sys/bus/pci/devices/0000:01:00.0/numa_node", "1");
        tree.file("sys/bus/pci/devices/0000:01:10.0/numa_node", "-1");
        for node in ["vfio", "8"] {
            tree.file(&format!("dev/{node}"), "");
        }
        tree
    }

    #[test]
    fn network_functions_are_described() {
        let found = network_functions(&machine("describe").sysfs()).unwrap();
        assert_eq!(found.iter().map(|f| f.address.to_string()).collect::<Vec<_>>(), ["0000:01:00.0", "0000:01:10.0", "0000:01:10.2"]);
        assert_eq!((found[0].numa_node, &found[0].interfaces, found[0].vf_of), (Some(1), &vec!["eth0".to_owned()], None));
        let want = NetworkFunction {
            address: at("0000:01:10.0"),
            id: PciId { vendor: 0x8086, device: 0x10ca },
            driver: Some("vfio-pci".into()),
            iommu_group: Some(8),
            numa_node: None,
            vf_of: Some((at("0000:01:00.0"), Some(0))),
            interfaces: vec![],
            obstacle: None,
        };
        assert_eq!(found[1], want);
        assert_eq!(found[2].vf_of, Some((at("0000:01:00.0"), Some(1))));
    }

    #[test]
    fn each_obstacle_is_named_with_its_remedy() {
        let tree = machine("obstacles");
        let text = |address: &str| obstacle(&tree.sysfs(), at(address)).unwrap_err().to_string();
        assert!(text("0000:02:00.0").contains("no PCI function 0000:02:00.0") && text("0000:02:00.0").contains("`vfwire list`"));
        assert!(text("0000:01:00.0").contains("the driver igb") && text("0000:01:00.0").contains("`hugepages.sh bind 0000:01:00.0`"));
        assert!(text("0000:01:10.2").contains("bound to no driver"));

        tree.function("0000:01:10.4", "0x8086", "0x10ca", "0x020000", None, None);
        assert!(text("0000:01:10.4").contains("intel_iommu=on"));
        tree.function("0000:01:10.6", "0x8086", "0x10ca", "0x020000", Some("vfio-pci"), Some(11));
        assert!(text("0000:01:10.6").contains("dev/11, the node of 0000:01:10.6, does not exist here"));
        tree.file("sys/kernel/iommu_groups/11/name", "vfio-noiommu");
        assert!(text("0000:01:10.6").contains("no-IOMMU mode"));

        std::fs::remove_file(tree.path("dev/vfio")).unwrap();
        assert!(text("0000:01:10.0").contains("`modprobe vfio-pci`"));
    }

    #[test]
    fn a_group_that_a_kernel_driver_shares_names_it() {
        let tree = machine("siblings");
        tree.function("0000:02:00.0", "0x8086", "0x10ca", "0x020000", Some("vfio-pci"), Some(20));
        tree.function("0000:02:00.1", "0x8086", "0x1533", "0x020000", Some("igb"), Some(20));
        tree.function("0000:02:00.2", "0x8086", "0x1533", "0x020000", None, Some(20));
        tree.function("0000:00:01.0", "0x8086", "0x1901", "0x060400", Some("pcieport"), Some(20));
        let text = obstacle(&tree.sysfs(), at("0000:02:00.0")).unwrap_err().to_string();
        assert!(text.contains("group 20 of 0000:02:00.0 is not viable, since it also holds 0000:02:00.1 (driver igb):"), "{text}");
    }

    #[test]
    fn drivers_of_vendors_count_as_vfio() {
        assert!(["vfio-pci", "mlx5_vfio_pci", "pds-vfio-pci"].into_iter().all(is_vfio));
        assert!(!["igbvf", "vfio", "uio_pci_generic"].into_iter().any(is_vfio));
    }

    #[test]
    fn nonsense_in_sysfs_is_an_absent_fact() {
        let tree = machine("nonsense");
        tree.file("sys/bus/pci/devices/0000:01:10.0/device", "what");
        tree.file("sys/bus/pci/devices/0000:01:10.2/numa_node", "99999999999999999999");
        tree.file("sys/bus/pci/devices/readme/class", "0x020000");
        let found = network_functions(&tree.sysfs()).unwrap();
        assert_eq!(found.iter().map(|f| f.address.to_string()).collect::<Vec<_>>(), ["0000:01:00.0", "0000:01:10.2"]);
        assert_eq!(found[1].numa_node, None);
        assert!(network_functions(&Tree::new("empty").sysfs()).unwrap().is_empty());
    }
}
