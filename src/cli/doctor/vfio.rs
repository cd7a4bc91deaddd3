//! VFIO: its nodes are opened and closed again, and the function and its IOMMU group are looked at.

use super::{Check, Context};
use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    path::Path,
};
use vfwire::{Sysfs, VfioError, foreign_siblings, network_function, preflight};
use vfwire_pod::{NodeKind, Vf, VfioNode};

/// EBUSY (errno.h): the group is open elsewhere.
const BUSY: i32 = 16;
/// Processes whose open files are looked through.
const PROCESSES_MAX: usize = 4096;

pub(super) fn checks(context: &Context, _: &[Check]) -> Vec<Check> {
    let mut checks: Vec<_> = context.subjects.first().map(|first| container(context, first)).into_iter().collect();
    for subject in context.subjects {
        let of_vf = [function(context, subject), group(subject), node(context, subject)];
        checks.extend(of_vf.map(|check| check.of(subject.address)));
    }
    checks
}

fn opens(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().read(true).write(true).open(path).map(drop)
}

fn grant_nodes(context: &Context, what: &str) -> String {
    if context.in_pod() {
        format!(
            "the device plugin gives {what} with the VF: delete the pod, so that it is granted one again, and see that the resource's VFs are bound to vfio-pci"
        )
    } else {
        format!("a container must be given it: `--device {what}`")
    }
}

fn container(context: &Context, subject: &Vf) -> Check {
    const ID: &str = "vfio.container";
    let path = &subject.container_node.value;
    let shown = path.display();
    if path == Path::new("/dev/iommu") {
        let remedy = "a device plugin that gives groups (`/dev/vfio/vfio` and `/dev/vfio/GROUP`), as the SR-IOV network device plugin does";
        return Check::failure(ID, "/dev/iommu alone, which is iommufd's", remedy).needs("/dev/vfio/vfio");
    }
    match opens(path) {
        Ok(()) => Check::ok(ID, format!("{shown} opens")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let remedy = format!("on the host: `modprobe vfio-pci`; {}", grant_nodes(context, "/dev/vfio/vfio"));
            Check::failure(ID, format!("{shown} does not exist"), remedy)
        }
        Err(error) => {
            let found = format!("{shown} does not open ({error})");
            Check::failure(
                ID,
                found,
                "on the host: `chmod 666 /dev/vfio/vfio`, as udev does; a container runtime must allow the device, mode rw",
            )
        }
    }
    .needs("/dev/vfio/vfio, to read and write")
}

fn function(context: &Context, subject: &Vf) -> Check {
    const ID: &str = "vfio.function";
    match preflight(&Sysfs::default(), subject.address) {
        Ok(group) => Check::ok(ID, format!("bound to vfio-pci, in IOMMU group {group}")),
        Err(VfioError::NoSuchFunction { address }) if context.in_pod() => {
            let remedy = "its VF was taken away on the host: delete the pod, so that it is granted one again";
            Check::failure(ID, format!("there is no PCI function {address}"), remedy)
        }
        Err(error) => Check::failed_with(ID, error),
    }
    .needs("a function that is bound to vfio-pci, behind an IOMMU")
}

fn group(subject: &Vf) -> Check {
    const ID: &str = "vfio.group";
    let sysfs = Sysfs::default();
    if network_function(&sysfs, subject.address).and_then(|function| function.iommu_group).is_none() {
        return Check::skipped(ID, "see vfio.function: there is no group");
    }
    let siblings = foreign_siblings(&sysfs, subject.address);
    if siblings.is_empty() {
        return Check::ok(ID, "no kernel driver has a function of the group").needs("a group that is vfio-pci's");
    }
    let remedy = "on the host: `hugepages.sh bind` these functions too; or a slot with ACS, so that they are in a group of their own";
    Check::failure(ID, format!("the group also holds {siblings}"), remedy).needs("a group that is vfio-pci's")
}

fn node(context: &Context, subject: &Vf) -> Check {
    const ID: &str = "vfio.node";
    let Some(node) = subject.nodes.iter().find(|node| node.kind != NodeKind::Cdev) else {
        return Check::skipped(ID, "nobody names the node of the VF's IOMMU group: see vfio.function");
    };
    if node.kind == NodeKind::UnsafeNoIommu {
        let remedy =
            "turn the IOMMU on in the firmware and in the kernel (`intel_iommu=on`, or `amd_iommu=on`), and enable_unsafe_noiommu_mode off";
        return Check::failure(ID, format!("{} is in no-IOMMU mode, which is unsafe", node.path.value.display()), remedy);
    }
    open(context, node).needs("the node of the group, to read and write")
}

fn open(context: &Context, node: &VfioNode) -> Check {
    const ID: &str = "vfio.node";
    let path = &node.path.value;
    let (shown, source) = (path.display(), &node.path.source);
    let Err(error) = opens(path) else { return Check::ok(ID, format!("{shown} opens ({source})")) };
    match error.kind() {
        ErrorKind::NotFound => {
            let remedy = grant_nodes(context, &path.display().to_string());
            Check::failure(ID, format!("{shown} does not exist ({source})"), remedy)
        }
        ErrorKind::PermissionDenied => {
            let owner =
                node.owner.map_or("hidden".to_owned(), |(user, group, mode)| format!("of user {user}, group {group}, mode {mode:03o}"));
            let user = context.environment.process.user.as_ref().map_or_else(|| "UID".to_owned(), |user| user.value.to_string());
            let remedy = format!(
                "on the node: `device_ownership_from_security_context = true` in containerd's CRI configuration (CRI-O: \
                 `device_ownership_from_security_context = true` under [crio.runtime]), which gives devices to `runAsUser`; without Kubernetes: \
                 `chown {user} {shown}`"
            );
            Check::failure(ID, format!("{shown}, {owner}, may not be opened by this user ({error})"), remedy)
        }
        _ if error.raw_os_error() == Some(BUSY) => match holder(path) {
            Some(holder) => Check::skipped(ID, format!("{shown} is in use by {holder}: what takes opening it is not checked")),
            None => {
                let found = format!("{shown} is in use by a process that is not visible from here");
                Check::failure(ID, found, format!("on the host: `fuser -v {shown}` names it; one VF is for one process"))
            }
        },
        _ => Check::failure(ID, format!("{shown} does not open ({error})"), "`dmesg` on the host may say why"),
    }
}

/// The process that has a file open, among those that can be seen.
fn holder(path: &Path) -> Option<String> {
    let processes = fs::read_dir("/proc").ok()?.flatten().take(PROCESSES_MAX);
    for process in processes.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit())) {
        let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        if files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path)) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("process {} ({})", process.file_name().to_string_lossy(), name.trim().escape_debug()));
        }
    }
    None
}
