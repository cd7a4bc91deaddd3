//! A PCI function that is ours.
//!
//! Life cycle: the kernel enables and resets the function when its device is opened. We then check that it answers, arm the two
//! interrupts by which the kernel speaks to us (REQ: give it back; ERR: it failed), and allow it to do DMA. When the function is dropped,
//! DMA is forbidden and the function reset, before anything that it could reach goes. A process that dies leaves the same to the kernel.
//!
//! Which registers mean what is the drivers' business; nothing here knows a device.

use crate::{PciAddress, Vfio, VfioError, bar::MappedBar, container::Place, ioctl, ioctl::Region};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};
use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX,
};
use vfwire_core::{
    bus::{BarIndex, BusEvent, ConfigWord, PciFunction},
    dma::DmaSpace,
    error::BusError,
};
use vfwire_spec::pci::{COMMAND, COMMAND_BUS_MASTER, COMMAND_MEMORY, DEVICE_ID, PciId, REVISION_ID, VENDOR_ID};

/// An open device, shared by the function and its mapped BARs. The fields are let go in this order: VFIO wants a device closed before its
/// group.
pub(crate) struct Device {
    file: File,
    _place: Place,
}

impl Device {
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn region(&self, index: u32) -> io::Result<Region> {
        ioctl::region(&self.file, index)
    }
}

/// A PCI function, opened through VFIO.
pub struct VfioFunction {
    name: String,
    id: PciId,
    device: Arc<Device>,
    config: Region,
    /// Signalled when the kernel wants the function back. Absent on kernels before 4.0.
    request: Option<File>,
    /// Signalled when the function failed. Absent where it is not PCI Express.
    failure: Option<File>,
    vfio: Vfio,
}

impl std::fmt::Debug for VfioFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VfioFunction({} {})", self.name, self.id)
    }
}

impl VfioFunction {
    pub(crate) fn new(vfio: Vfio, address: PciAddress, file: File, place: Place) -> Result<Self, VfioError> {
        let failed = |what: &str| {
            let what = format!("VFIO could not {what} {address}: `dmesg` may say why");
            |error| VfioError::Io { what, source: error }
        };
        let device = Arc::new(Device { file, _place: place });
        let flags = ioctl::device_flags(&device.file).map_err(failed("describe"))?;
        if flags & VFIO_DEVICE_FLAGS_PCI == 0 {
            return Err(failed("open as a PCI function")(io::Error::from(io::ErrorKind::Unsupported)));
        }
        if flags & VFIO_DEVICE_FLAGS_RESET == 0 {
            // The flag says that the reset at open worked. Each takes 100 ms, so it is tried again only here.
            vfio.reset(&device.file).map_err(|source| VfioError::NoReset { address, source })?;
        }
        let config = device.region(VFIO_PCI_CONFIG_REGION_INDEX).map_err(failed("find the configuration space of"))?;
        let request = arm(&device.file, VFIO_PCI_REQ_IRQ_INDEX).map_err(failed("arm the REQ interrupt of"))?;
        let failure = arm(&device.file, VFIO_PCI_ERR_IRQ_INDEX).map_err(failed("arm the ERR interrupt of"))?;
        let id = PciId { vendor: 0, device: 0 };
        let mut function = Self { name: address.to_string(), id, device, config, request, failure, vfio };
        let wrap = |source| VfioError::Bus { address, source };
        function.id =
            PciId { vendor: function.config_read(VENDOR_ID).map_err(wrap)?, device: function.config_read(DEVICE_ID).map_err(wrap)? };
        if function.is_gone() {
            return Err(wrap(BusError::Gone));
        }
        function.set_command(COMMAND_MEMORY | COMMAND_BUS_MASTER, 0).map_err(wrap)?;
        Ok(function)
    }

    /// Whether the function has stopped answering. Its class and revision are asked, because the kernel answers for the IDs of a VF
    /// itself; no function has a revision and class of all ones (PCI Code and ID Assignment, 1.1).
    fn is_gone(&self) -> bool {
        self.raw_read::<u32>(REVISION_ID).is_ok_and(|value| value == u32::MAX)
    }

    fn set_command(&self, set: u16, clear: u16) -> Result<(), BusError> {
        let command: u16 = self.config_read(COMMAND)?;
        self.config_write(COMMAND, (command | set) & !clear)
    }

    /// Where in the device's file a word of configuration space is.
    fn config_place<V: ConfigWord>(&self, offset: u16) -> Result<u64, BusError> {
        let (start, width) = (u64::from(offset), u64::from(V::BYTES));
        if start + width > self.config.len_bytes || !start.is_multiple_of(width) {
            let len = self.config.len_bytes;
            return Err(BusError::NotThere(format!(
                "{}: no {width}-byte word at {offset:#x} of its {len} bytes of configuration space",
                self.name
            )));
        }
        Ok(self.config.offset + start)
    }

    fn raw_read<V: ConfigWord>(&self, offset: u16) -> Result<V, BusError> {
        let mut bytes = [0; 8];
        let place = self.config_place::<V>(offset)?;
        self.device
            .file
            .read_exact_at(&mut bytes[..V::BYTES as usize], place)
            .map_err(|source| self.config_error("read", offset, source))?;
        Ok(V::from_u64(u64::from_le_bytes(bytes)))
    }

    fn config_error(&self, verb: &str, offset: u16, source: io::Error) -> BusError {
        BusError::Io { what: format!("could not {verb} configuration space of {} at {offset:#x}", self.name), source }
    }
}

/// An event that the device's first interrupt at `index` signals; none where the device has no such interrupt.
fn arm(device: &File, index: u32) -> io::Result<Option<File>> {
    if ioctl::irq_count(device, index)? == 0 {
        return Ok(None);
    }
    let event = ioctl::event()?;
    ioctl::signal_on_irq(device, index, &event)?;
    Ok(Some(event))
}

/// Whether an event was signalled since it was last asked.
fn signalled(event: Option<&File>) -> bool {
    event.is_some_and(|mut event| event.read(&mut [0; 8]).is_ok())
}

impl PciFunction for VfioFunction {
    type Bar = MappedBar;

    fn address(&self) -> &str {
        &self.name
    }

    fn id(&self) -> PciId {
        self.id
    }

    fn config_read<V: ConfigWord>(&self, offset: u16) -> Result<V, BusError> {
        let value: V = self.raw_read(offset)?;
        if value.to_u64() == V::ALL_ONES.to_u64() && self.is_gone() { Err(BusError::Gone) } else { Ok(value) }
    }

    fn config_write<V: ConfigWord>(&self, offset: u16, value: V) -> Result<(), BusError> {
        let place = self.config_place::<V>(offset)?;
        let bytes = value.to_u64().to_le_bytes();
        self.device.file.write_all_at(&bytes[..V::BYTES as usize], place).map_err(|source| self.config_error("write", offset, source))
    }

    fn poll_event(&self) -> Option<BusEvent> {
        if signalled(self.failure.as_ref()) {
            return Some(BusEvent::Error);
        }
        signalled(self.request.as_ref()).then_some(BusEvent::RemoveRequested)
    }

    fn map_bar(&self, index: BarIndex) -> Result<MappedBar, BusError> {
        MappedBar::map(&self.device, index, &self.name)
    }

    fn dma(&self) -> Arc<dyn DmaSpace> {
        self.vfio.dma()
    }

    fn reset(&self) -> Result<(), BusError> {
        let failed = |source| BusError::Io { what: format!("could not reset {}", self.name), source };
        self.vfio.reset(&self.device.file).map_err(failed)?;
        if self.is_gone() {
            return Err(BusError::Gone);
        }
        self.set_command(COMMAND_MEMORY | COMMAND_BUS_MASTER, 0)
    }
}

impl Drop for VfioFunction {
    fn drop(&mut self) {
        // Nobody is left to tell of a failure; the kernel does both once more when the device is closed.
        let _ = self.set_command(0, COMMAND_BUS_MASTER);
        let _ = self.vfio.reset(&self.device.file);
    }
}
