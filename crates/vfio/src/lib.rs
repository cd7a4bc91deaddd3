//! Real PCI functions through VFIO, and DMA memory from hugepages.
//!
//! Floor 2. [`Vfio`] implements the seams of `vfwire-core` on a Linux machine: a [`VfioFunction`] is a `PciFunction`, a [`MappedBar`] a
//! `Bar`, and [`Vfio::dma`] a `DmaSpace`. All functions that were opened from one `Vfio` share one IOMMU domain, so a buffer that one
//! received can be sent by another.
//!
//! ```no_run
//! use vfwire_core::bus::{BarIndex, PciFunction};
//! use vfwire_vfio::{Vfio, VfioOptions};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let vfio = Vfio::new(VfioOptions::default());
//! let function = vfio.open("0000:3b:02.1".parse()?)?;
//! let registers = function.map_bar(BarIndex::ZERO)?;
//! let memory = vfio.dma().alloc(4 << 20, 4096)?;
//! # Ok(()) }
//! ```
//!
//! | module | what it owns |
//! |---|---|
//! | `ioctl` | every ioctl: the only file that has any |
//! | `container` | the IOMMU domain, its groups, and what is mapped in it |
//! | `grant` | what opening a function takes beyond its address |
//! | `function`, `bar` | an open function, its configuration space and its registers |
//! | `arena`, `free_list`, `iova`, `memory` | DMA memory: pieces, addresses, mappings |
//! | `hugepages`, `memlock` | what memory needs from the host, and what to say where it is missing |
//! | `address`, `sysfs`, `discover`, `error` | which functions there are, and why one cannot be opened |
//!
//! Not here: interrupts other than the two that the kernel needs to reach us (everything polls), iommufd, and no-IOMMU mode, which is
//! refused.

#[cfg(not(target_endian = "little"))]
compile_error!("registers and VFIO's answers are read as little-endian words");

mod arena;
mod bar;
mod container;
mod discover;
mod error;
mod free_list;
mod function;
mod grant;
mod hugepages;
mod ioctl;
mod iova;
mod memlock;
mod memory;
mod sysfs;

pub use bar::MappedBar;
pub use discover::{NetworkFunction, foreign_siblings, network_function, network_functions, preflight};
pub use error::VfioError;
pub use function::VfioFunction;
pub use grant::Grant;
pub use hugepages::HugepageChoice;
pub use sysfs::Sysfs;
pub use vfwire_spec::pci::PciAddress;

use arena::{Arena, Space};
use container::Container;
use std::{fmt, fs::File, io, sync::Arc, time::Duration};
use vfwire_core::dma::DmaSpace;

/// How functions are opened.
#[derive(Clone, Debug, Default)]
pub struct VfioOptions {
    /// What DMA memory is made of.
    pub hugepages: HugepageChoice,
    /// Where the kernel's files are.
    pub sysfs: Sysfs,
}

/// One IOMMU domain, and the functions in it. Clones are the same domain.
#[derive(Clone)]
pub struct Vfio {
    container: Arc<Container>,
    arena: Arc<Arena<Container>>,
    sysfs: Sysfs,
}

impl Vfio {
    /// A domain without functions. Nothing is opened yet.
    pub fn new(options: VfioOptions) -> Self {
        let container = Arc::new(Container::default());
        let arena = Arc::new(Arena::new(Arc::clone(&container), options.hugepages, options.sysfs.clone()));
        Self { container, arena, sysfs: options.sysfs }
    }

    /// Opens a function: it was reset, answers, may do DMA, and is nobody else's. Takes about 140 ms, most of it the reset.
    ///
    /// # Errors
    /// [`VfioError`], which says what to do.
    pub fn open(&self, address: PciAddress) -> Result<VfioFunction, VfioError> {
        self.open_granted(address, &Grant::default())
    }

    /// As [`open`](Self::open), with what whoever granted the function said of it.
    ///
    /// # Errors
    /// [`VfioError`], which says what to do.
    pub fn open_granted(&self, address: PciAddress, grant: &Grant) -> Result<VfioFunction, VfioError> {
        let (device, place) = self.container.open(&self.sysfs, address, grant)?;
        VfioFunction::new(self.clone(), address, device, place)
    }

    /// Where DMA memory for all functions of the domain comes from. Memory can be had once a function is open.
    pub fn dma(&self) -> Arc<dyn DmaSpace> {
        Arc::new(Space(Arc::clone(&self.arena)))
    }

    /// Bytes that are mapped for devices now, which is what counts against the limit on locked memory.
    pub fn mapped_bytes(&self) -> usize {
        self.arena.mapped_bytes()
    }

    /// Time that the kernel spent on opening and resetting functions so far: most of what opening takes.
    pub fn resetting(&self) -> Duration {
        self.container.resetting()
    }

    /// Resets a device.
    pub(crate) fn reset(&self, device: &File) -> io::Result<()> {
        self.container.reset(device)
    }

    /// What a user should know about the memory in use: nothing with hugepages.
    pub fn memory_note(&self) -> Option<&'static str> {
        let normal = self.arena.pages() == HugepageChoice::None;
        normal.then_some("DMA memory is on normal pages, as asked: the device translates addresses more often, so expect less throughput")
    }
}

impl fmt::Debug for Vfio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vfio({:?}, {} bytes mapped)", self.arena.pages(), self.mapped_bytes())
    }
}

#[cfg(test)]
mod tests {
    //! A tree of files that stands in for sysfs and `/dev/vfio`.

    use super::*;
    use std::{
        fs,
        os::unix::fs::symlink,
        path::{Path, PathBuf},
    };

    pub(crate) struct Tree(PathBuf);

    impl Tree {
        pub(crate) fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("vfwire-vfio-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).unwrap();
            Self(root)
        }

        pub(crate) fn sysfs(&self) -> Sysfs {
            Sysfs::at(self.path("sys"), self.path("dev"))
        }

        pub(crate) fn path(&self, path: &str) -> PathBuf {
            self.0.join(path)
        }

        pub(crate) fn file(&self, path: &str, text: &str) {
            let path = self.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }

        pub(crate) fn link(&self, path: &str, target: impl AsRef<Path>) {
            let path = self.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }

        pub(crate) fn function(&self, address: &str, vendor: &str, device: &str, class: &str, driver: Option<&str>, group: Option<u32>) {
            let folder = format!("sys/bus/pci/devices/{address}");
            for (name, text) in [("vendor", vendor), ("device", device), ("class", class)] {
                self.file(&format!("{folder}/{name}"), text);
            }
            if let Some(driver) = driver {
                self.link(&format!("{folder}/driver"), format!("../../../../bus/pci/drivers/{driver}"));
            }
            if let Some(group) = group {
                self.link(&format!("{folder}/iommu_group"), format!("../../../../kernel/iommu_groups/{group}"));
                self.link(&format!("sys/kernel/iommu_groups/{group}/devices/{address}"), format!("../../../../bus/pci/devices/{address}"));
            }
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn opening_says_what_is_wrong_before_vfio_is_asked() {
        let tree = Tree::new("open");
        tree.function("0000:01:10.0", "0x8086", "0x10ca", "0x020000", Some("igbvf"), Some(1));
        let vfio = Vfio::new(VfioOptions { sysfs: tree.sysfs(), ..VfioOptions::default() });
        let error = vfio.open("01:10.0".parse().unwrap()).unwrap_err();
        assert!(matches!(&error, VfioError::WrongDriver { driver, .. } if driver == "igbvf"), "{error}");
        assert!(matches!(vfio.open("01:10.1".parse().unwrap()), Err(VfioError::NoSuchFunction { .. })));
    }

    #[test]
    fn memory_without_a_function_is_refused() {
        let error = Vfio::new(VfioOptions::default()).dma().alloc(4096, 4096).unwrap_err().to_string();
        assert!(error.contains("open one first"), "{error}");
    }

    #[test]
    fn normal_pages_are_reported() {
        let note = |hugepages| Vfio::new(VfioOptions { hugepages, ..VfioOptions::default() }).memory_note();
        assert!(note(HugepageChoice::None).is_some());
        assert!(note(HugepageChoice::Size2M).is_none());
    }
}
