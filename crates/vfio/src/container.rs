//! VFIO's container: one IOMMU domain, the groups in it, and the memory that is mapped for them.
//!
//! Life cycle: the container is opened with the first function; each group joins it with its first function and leaves it with its last,
//! since kernels before 6.2 do not give a device back while its group is held. When the last group leaves, the kernel forgets the
//! domain and with it every mapping. Mappings that are still in use are therefore remembered here and made again when the next group
//! joins, at the same addresses.
#![expect(unsafe_code, reason = "asks the kernel to map memory for devices")]

use crate::{
    Grant, PciAddress, VfioError,
    arena::Mapper,
    discover::preflight,
    ioctl::{self, IommuInfo},
    iova,
    memlock::Memlock,
    memory::Mapping,
    sysfs::Sysfs,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    ptr::NonNull,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use vfio_ioctls::VfioContainer;
use vfwire_core::error::DmaError;

#[derive(Default)]
pub(crate) struct Container {
    state: Mutex<State>,
    /// Time spent in the kernel's resets of functions, those at opening included.
    resetting_ns: AtomicU64,
}

#[derive(Default)]
struct State {
    vfio: Option<VfioContainer>,
    groups: BTreeMap<u32, Group>,
    functions: BTreeSet<PciAddress>,
    /// By IOVA: all memory that is, or must again be, reachable.
    mapped: BTreeMap<u64, Mapped>,
}

struct Group {
    file: File,
    functions: usize,
}

#[derive(Clone, Copy)]
struct Mapped {
    start: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: an address that is passed to the kernel and never used here.
unsafe impl Send for Mapped {}

/// A function's place in the container: given back when it is dropped, which must be after its device was closed.
pub(crate) struct Place {
    container: Arc<Container>,
    group: u32,
    address: PciAddress,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.container.lock().leave(self.group, self.address);
    }
}

impl Container {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the state in between: every change of a map is one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the device at `address`, its group joining the container where it is not in it yet.
    pub(crate) fn open(self: &Arc<Self>, sysfs: &Sysfs, address: PciAddress, grant: &Grant) -> Result<(File, Place), VfioError> {
        let group = preflight(sysfs, address)?;
        let node = grant.node.clone().unwrap_or_else(|| sysfs.group_node(group));
        let name = grant.device_name(address)?;
        let mut state = self.lock();
        if state.functions.contains(&address) {
            return Err(VfioError::AlreadyOpen { address });
        }
        state.join(sysfs, (group, &node), address)?;
        state.functions.insert(address);
        // From here on, leaving is the business of the place's drop, which takes the lock.
        let place = Place { container: Arc::clone(self), group, address };
        let device = self.timed(|| ioctl::group_device(&state.groups[&group].file, &name));
        drop(state);
        let device = device.map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => VfioError::Busy { address, node },
            Some(libc::EACCES) => VfioError::io(
                format!(
                    "VFIO does not hand out {address}; where its PF is bound to vfio-pci too, the VF needs its token (`token` in the resource's \
                     additionalInfo), or the PF its own driver"
                ),
                error,
            ),
            _ => VfioError::io(format!("VFIO could not open {address}: `dmesg` may say why"), error),
        })?;
        Ok((device, place))
    }

    /// Resets a device of the container. The kernel waits until it is over, about 100 ms.
    pub(crate) fn reset(&self, device: &File) -> io::Result<()> {
        self.timed(|| ioctl::device_reset(device))
    }

    /// Does what has the kernel reset a function.
    fn timed<T>(&self, reset: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = reset();
        let took_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.resetting_ns.fetch_add(took_ns, Ordering::Relaxed);
        result
    }

    /// Time spent in the kernel's resets so far.
    pub(crate) fn resetting(&self) -> Duration {
        Duration::from_nanos(self.resetting_ns.load(Ordering::Relaxed))
    }
}

impl State {
    fn join(&mut self, sysfs: &Sysfs, (id, node): (u32, &Path), address: PciAddress) -> Result<(), VfioError> {
        if let Some(group) = self.groups.get_mut(&id) {
            group.functions += 1;
            return Ok(());
        }
        let vfio = match self.vfio.take() {
            Some(vfio) => vfio,
            None => open_container(sysfs)?,
        };
        let joined = attach(sysfs, &vfio, (id, node), address).and_then(|file| {
            if self.groups.is_empty() {
                self.begin(&vfio)?;
            }
            Ok(file)
        });
        self.vfio = Some(vfio);
        self.groups.insert(id, Group { file: joined?, functions: 1 });
        Ok(())
    }

    /// Begins a domain: chooses the kind of IOMMU, and maps again what is still in use from a domain before.
    fn begin(&self, vfio: &VfioContainer) -> Result<(), VfioError> {
        ioctl::set_iommu(vfio).map_err(|error| VfioError::io("VFIO could not set up the IOMMU: `dmesg` may say why", error))?;
        // SAFETY: whoever entered the mapping (`Mapper::map`) promised that it stays until `unmap` removes the entry.
        self.mapped.iter().try_for_each(|(&iova, &mapped)| unsafe { map(vfio, iova, mapped) }).map_err(VfioError::from)
    }

    fn leave(&mut self, id: u32, address: PciAddress) {
        self.functions.remove(&address);
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.functions -= 1;
        if group.functions == 0 {
            self.groups.remove(&id); // closing a group takes it out of its container
        }
    }
}

fn open_container(sysfs: &Sysfs) -> Result<VfioContainer, VfioError> {
    VfioContainer::new(None).map_err(|error| match error {
        vfio_ioctls::VfioError::OpenContainer(error) => {
            node_error(&sysfs.container_node(), error, |node| VfioError::Absent { node: node.into() })
        }
        vfio_ioctls::VfioError::VfioExtension => VfioError::NoType1,
        other => VfioError::io("VFIO's container cannot be used", io::Error::other(other)),
    })
}

/// Opens a group, checks it, and puts it into the container.
fn attach(sysfs: &Sysfs, vfio: &VfioContainer, (id, node): (u32, &Path), address: PciAddress) -> Result<File, VfioError> {
    let file = OpenOptions::new().read(true).write(true).open(node).map_err(|error| match error.raw_os_error() {
        Some(libc::EBUSY) => VfioError::Busy { address, node: node.into() },
        _ => node_error(node, error, |node| VfioError::GroupNodeAbsent { node: node.into(), address }),
    })?;
    let viable = ioctl::group_is_viable(&file).map_err(|error| VfioError::io(format!("VFIO says nothing about group {id}"), error))?;
    if !viable {
        return Err(not_viable(sysfs, id, address));
    }
    ioctl::group_set_container(&file, vfio).map_err(|error| match error.raw_os_error() {
        Some(libc::EPERM) => not_viable(sysfs, id, address),
        Some(libc::EBUSY) => VfioError::Busy { address, node: node.into() },
        _ => VfioError::io(format!("IOMMU group {id} of {address} cannot join the container: `dmesg` may say why"), error),
    })?;
    Ok(file)
}

fn not_viable(sysfs: &Sysfs, group: u32, address: PciAddress) -> VfioError {
    let siblings = crate::discover::foreign_siblings(sysfs, address);
    let siblings = if siblings.is_empty() { "a device that a kernel driver uses".into() } else { siblings };
    VfioError::NotViable { address, group, siblings }
}

/// Why a node of VFIO could not be opened.
pub(crate) fn node_error(node: &Path, error: io::Error, absent: impl FnOnce(&Path) -> VfioError) -> VfioError {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => absent(node),
        Some(libc::EACCES | libc::EPERM) => no_permission(node),
        _ => VfioError::io(format!("could not open {}", node.display()), error),
    }
}

fn no_permission(node: &Path) -> VfioError {
    let text = node.display();
    let owner = std::fs::metadata(node).map_or_else(
        |error| format!("not to be seen ({error})"),
        |data| format!("owned by user {}, group {}, mode {:03o}", data.uid(), data.gid(), data.mode() & 0o777),
    );
    let remedy =
        format!("`chown $USER {text}` on the host; in a container, whoever gives it the node (a device plugin) must also allow it");
    VfioError::Permission { node: node.into(), owner, remedy }
}

/// # Safety
/// As [`Mapper::map`].
unsafe fn map(vfio: &VfioContainer, iova: u64, mapped: Mapped) -> Result<(), DmaError> {
    let need_bytes = mapped.len_bytes as u64;
    let memlock = Memlock::of_this_process();
    memlock.check(need_bytes).map_err(DmaError::Unavailable)?;
    // SAFETY: the contract of this function: the memory outlives the mapping, and no Rust reference to it exists.
    let answer = unsafe { vfio.vfio_dma_map(iova, mapped.len_bytes, mapped.start.as_ptr()) };
    answer.map_err(|error| match error {
        vfio_ioctls::VfioError::IommuDmaMap(error) if error.errno() == libc::ENOMEM => DmaError::Unavailable(memlock.refusal(need_bytes)),
        vfio_ioctls::VfioError::IommuDmaMap(error) if error.errno() == libc::ENOSPC => DmaError::Unavailable(
            "VFIO allows no more DMA mappings: use fewer pools, or larger pages, or raise dma_entry_limit of the module vfio_iommu_type1"
                .into(),
        ),
        other => DmaError::Unavailable(format!("VFIO did not map {need_bytes} bytes at IOVA {iova:#x}: {other}")),
    })
}

impl Container {
    /// What the kernel says about the IOMMU of the groups that are in the container.
    fn info(&self) -> Result<IommuInfo, DmaError> {
        let state = self.lock();
        let vfio = state.vfio.as_ref().filter(|_| !state.groups.is_empty());
        let vfio = vfio.ok_or_else(|| DmaError::Unavailable("DMA memory needs an open function: open one first, then allocate".into()))?;
        ioctl::iommu_info(vfio).map_err(|error| DmaError::Unavailable(format!("VFIO says nothing about its IOMMU: {error}")))
    }
}

impl Mapper for Container {
    fn ranges(&self) -> Result<Vec<(u64, u64)>, DmaError> {
        let info = self.info()?;
        if info.entries_left == Some(0) {
            let remedy = "use fewer pools, or larger pages, or raise dma_entry_limit of the module vfio_iommu_type1";
            return Err(DmaError::Unavailable(format!("VFIO has no DMA mappings left: {remedy}")));
        }
        Ok(info.ranges.unwrap_or_else(|| iova::RANGES_UNKNOWN.to_vec()))
    }

    unsafe fn map(&self, iova: u64, memory: &Mapping) -> Result<(), DmaError> {
        let mut state = self.lock();
        let mapped = Mapped { start: memory.start(), len_bytes: memory.len_bytes() };
        if let Some(vfio) = state.vfio.as_ref().filter(|_| !state.groups.is_empty()) {
            // SAFETY: the contract of this function is the same.
            unsafe { map(vfio, iova, mapped) }?;
        }
        state.mapped.insert(iova, mapped); // where the last group has just left: mapped when the next joins
        Ok(())
    }

    fn unmap(&self, iova: u64, len_bytes: u64) -> io::Result<()> {
        let mut state = self.lock();
        let vfio = state.vfio.as_ref().filter(|_| !state.groups.is_empty());
        if let Some(vfio) = vfio {
            let len_bytes = usize::try_from(len_bytes).map_err(io::Error::other)?;
            vfio.vfio_dma_unmap(iova, len_bytes).map_err(io::Error::other)?;
        }
        state.mapped.remove(&iova);
        Ok(())
    }
}
