//! Virtio over PCI (virtio 1.2, 4.1): where the device has its structures, its status, its features, the registers of its queues.

use crate::{Notify, Places};
use std::time::Duration;
use vfwire_core::{
    bar::{Bar, Doorbell, Regs},
    bus::{BarIndex, PciFunction},
    error::{BusError, PortError},
    poll::{Wait, poll_until},
};
use vfwire_spec::{
    pci::{
        CAPABILITIES_POINTER, CAPABILITY_ID, CAPABILITY_NEXT, CAPABILITY_VENDOR, CONFIG_BYTES, MAX_CAPABILITIES, STATUS,
        STATUS_CAPABILITY_LIST,
    },
    reg::MmioWord,
    virtio::{
        features::Features,
        pci::{CAPABILITY_MAX_BYTES, Capability, NO_VECTOR, Structure, common, notify_offset, status},
    },
};

/// Where the standard header ends, and capabilities may begin (PCI Local Bus 3.0, 6.7).
const CAPABILITIES_FROM: u16 = 0x40;
/// How often the configuration is read anew because the device was changing it.
const GENERATIONS_MAX: usize = 32;
const RESET: Wait = Wait {
    what: "the device to finish its reset (device_status 0)",
    limit: Duration::from_secs(1),
    remedy: "the device hangs: reset it from the host, or power-cycle it",
};

/// The registers of a virtio device.
#[derive(Debug)]
pub struct Transport<B> {
    common: Regs<B>,
    device: Regs<B>,
    device_bytes: u32,
    notify: Regs<B>,
    notify_bytes: u32,
    off_multiplier: u32,
}

fn protocol(what: &'static str, detail: String) -> PortError {
    PortError::Protocol { what, detail }
}

/// The virtio capabilities, in the order of the device's preference. A list that goes round ends after as many as there can be.
fn capabilities<F: PciFunction>(function: &F) -> Result<Vec<Capability>, PortError> {
    let mut found = Vec::new();
    match function.config_read::<u16>(STATUS)? {
        u16::MAX => return Err(BusError::Gone.into()),
        status if status & STATUS_CAPABILITY_LIST == 0 => return Ok(found),
        _ => {}
    }
    let mut at = u16::from(function.config_read::<u8>(CAPABILITIES_POINTER)? & !3);
    for _ in 0..MAX_CAPABILITIES {
        if at == 0 {
            return Ok(found);
        }
        if at < CAPABILITIES_FROM {
            return Err(protocol("its list of capabilities", format!("one at {at:#x}, inside the header")));
        }
        if function.config_read::<u8>(at + CAPABILITY_ID)? == CAPABILITY_VENDOR {
            let len = CAPABILITY_MAX_BYTES.min(usize::from(CONFIG_BYTES - at));
            let bytes: Vec<u8> = (at..).take(len).map(|at| function.config_read::<u8>(at)).collect::<Result<_, _>>()?;
            let capability = Capability::decode(&bytes).map_err(|error| protocol("a virtio capability", format!("at {at:#x}: {error}")))?;
            found.extend(capability);
        }
        at = u16::from(function.config_read::<u8>(at + CAPABILITY_NEXT)? & !3);
    }
    Err(protocol("its list of capabilities", "a list without an end".into()))
}

/// The structure that `is_it` says yes to: the first, as the device prefers it.
fn window<F: PciFunction>(
    function: &F,
    capabilities: &[Capability],
    what: &str,
    min_bytes: u64,
    is_it: impl Fn(Structure) -> bool,
) -> Result<(Regs<F::Bar>, u32, Structure), PortError> {
    let Some(capability) = capabilities.iter().find(|capability| is_it(capability.structure)) else {
        let detail = format!(
            "no {what} structure: it is no modern virtio device (legacy ones are not supported: turn them off with disable-legacy=on)"
        );
        return Err(protocol("its capabilities", detail));
    };
    let Capability { bar, offset, len_bytes, .. } = *capability;
    if len_bytes < min_bytes {
        return Err(protocol("a virtio capability", format!("a {what} structure of {len_bytes} bytes, which needs {min_bytes}")));
    }
    let outside = || protocol("a virtio capability", format!("a {what} structure at {offset:#x}, {len_bytes} bytes, outside BAR {bar}"));
    let (offset, len) = (u32::try_from(offset).map_err(|_| outside())?, u32::try_from(len_bytes).map_err(|_| outside())?);
    let regs = Regs::new(function.map_bar(BarIndex::new(bar).ok_or_else(outside)?)?);
    let regs =
        regs.window(offset, len).map_err(|error| protocol("a virtio capability", format!("{what} structure in BAR {bar}: {error}")))?;
    Ok((regs, len, capability.structure))
}

impl<B: Bar> Transport<B> {
    /// Finds the structures of a device.
    ///
    /// # Errors
    /// [`PortError`] where one is missing, too short, or does not lie in its BAR.
    pub fn find<F: PciFunction<Bar = B>>(function: &F) -> Result<Self, PortError> {
        let list = capabilities(function)?;
        let (common, ..) = window(function, &list, "common configuration", common::BYTES, |it| it == Structure::Common)?;
        let (device, device_bytes, _) = window(function, &list, "device configuration", 8, |it| it == Structure::Device)?;
        let (notify, notify_bytes, structure) = window(function, &list, "notification", 2, |it| matches!(it, Structure::Notify { .. }))?;
        let off_multiplier = if let Structure::Notify { off_multiplier } = structure { off_multiplier } else { 0 };
        Ok(Self { common, device, device_bytes, notify, notify_bytes, off_multiplier })
    }

    /// The status bits.
    ///
    /// # Errors
    /// [`BusError::Gone`] where they are all ones.
    pub fn status(&self) -> Result<u8, BusError> {
        match self.common.read(common::DEVICE_STATUS) {
            u8::MAX => Err(BusError::Gone),
            bits => Ok(bits),
        }
    }

    /// Adds a status bit.
    ///
    /// # Errors
    /// [`BusError::Gone`].
    pub fn add_status(&self, bit: u8) -> Result<(), BusError> {
        let bits = self.status()?;
        self.common.write(common::DEVICE_STATUS, bits | bit);
        Ok(())
    }

    /// Resets the device, and waits until it has let go of all memory (2.4.1).
    ///
    /// # Errors
    /// [`PortError::Timeout`], [`BusError::Gone`].
    pub fn reset(&self) -> Result<(), PortError> {
        self.common.write(common::DEVICE_STATUS, 0);
        poll_until(RESET, || Ok((self.status()? == 0).then_some(())))
    }

    /// What the device offers.
    #[must_use]
    pub fn offered(&self) -> Features {
        let word = |select| {
            self.common.write(common::DEVICE_FEATURE_SELECT, select);
            self.common.read(common::DEVICE_FEATURE)
        };
        Features::from_words([word(0), word(1)])
    }

    /// Tells the device what is accepted, and sees that it agrees (3.1.1).
    ///
    /// # Errors
    /// [`PortError::Refused`] where it does not.
    pub fn accept(&self, features: Features) -> Result<(), PortError> {
        for (select, word) in (0..).zip(features.to_words()) {
            self.common.write(common::DRIVER_FEATURE_SELECT, select);
            self.common.write(common::DRIVER_FEATURE, word);
        }
        self.add_status(status::FEATURES_OK)?;
        if self.status()? & status::FEATURES_OK != 0 {
            return Ok(());
        }
        let names: Vec<String> = features.names().map(|(bit, name)| name.map_or_else(|| bit.to_string(), Into::into)).collect();
        let remedy = "the device offers features that it does not take together: change its configuration on the host".to_owned();
        Err(PortError::Refused { what: format!("the set of features {}", names.join(", ")), by: "the device", remedy })
    }

    /// No vector for configuration changes: they are polled.
    pub fn no_config_vector(&self) {
        self.common.write(common::CONFIG_MSIX_VECTOR, NO_VECTOR);
    }

    /// Queues that the device has.
    pub fn queues(&self) -> u16 {
        self.common.read(common::NUM_QUEUES)
    }

    /// The greatest size of a queue in descriptors.
    ///
    /// # Errors
    /// [`PortError::Protocol`] where the device has no such queue, or a split one of an impossible size (2.7).
    pub fn queue_max(&self, queue: u16, is_packed: bool) -> Result<u16, PortError> {
        self.common.write(common::QUEUE_SELECT, queue);
        let size = self.common.read(common::QUEUE_SIZE);
        if !(2..=1 << 15).contains(&size) || !(is_packed || size.is_power_of_two()) {
            let kind = if is_packed { "2 to 32768" } else { "a power of two from 2 to 32768" };
            return Err(protocol("the size of a queue", format!("queue {queue} of {size} descriptors, instead of {kind}")));
        }
        Ok(size)
    }

    /// Tells the device of a queue, and enables it (4.1.5.1.3).
    pub fn enable_queue(&self, queue: u16, size: u16, places: Places) {
        self.common.write(common::QUEUE_SELECT, queue);
        self.common.write(common::QUEUE_SIZE, size);
        self.common.write(common::QUEUE_MSIX_VECTOR, NO_VECTOR);
        let registers = [
            (common::QUEUE_DESC_LO, common::QUEUE_DESC_HI, places.desc),
            (common::QUEUE_DRIVER_LO, common::QUEUE_DRIVER_HI, places.driver),
            (common::QUEUE_DEVICE_LO, common::QUEUE_DEVICE_HI, places.device),
        ];
        for (low, high, iova) in registers {
            #[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
            let halves = [iova.0 as u32, (iova.0 >> 32) as u32];
            self.common.write(low, halves[0]);
            self.common.write(high, halves[1]);
        }
        self.common.write(common::QUEUE_ENABLE, 1);
    }

    /// The notification of a queue.
    ///
    /// # Errors
    /// [`PortError::Protocol`] where it would lie outside its structure.
    pub fn notify(&self, queue: u16, with_data: bool) -> Result<Notify<B>, PortError> {
        self.common.write(common::QUEUE_SELECT, queue);
        let offset = notify_offset(self.common.read(common::QUEUE_NOTIFY_OFF), self.off_multiplier);
        Ok(if with_data {
            Notify::with_data(self.doorbell::<u32>(queue, offset)?, queue)
        } else {
            Notify::by_index(self.doorbell::<u16>(queue, offset)?, queue)
        })
    }

    fn doorbell<V: MmioWord>(&self, queue: u16, offset: u64) -> Result<Doorbell<B, V>, PortError> {
        let outside = || {
            let len = self.notify_bytes;
            protocol("a notification's place", format!("queue {queue} at {offset:#x}, outside its structure of {len} bytes"))
        };
        if offset + u64::from(V::BYTES) > u64::from(self.notify_bytes) {
            return Err(outside());
        }
        self.notify.doorbell_at(u32::try_from(offset).map_err(|_| outside())?).map_err(|_| outside())
    }

    /// Bytes of the device configuration.
    pub fn config_bytes(&self) -> u32 {
        self.device_bytes
    }

    /// Reads from the device configuration, all of it of one generation (2.5.1).
    ///
    /// # Errors
    /// [`PortError::Protocol`] where the device does not stop changing it.
    pub fn config<T>(&self, read: impl Fn(&Regs<B>) -> T) -> Result<T, PortError> {
        for _ in 0..GENERATIONS_MAX {
            let before = self.common.read(common::CONFIG_GENERATION);
            let value = read(&self.device);
            if self.common.read(common::CONFIG_GENERATION) == before {
                return Ok(value);
            }
        }
        Err(protocol("its configuration", format!("another generation of it at each of {GENERATIONS_MAX} looks")))
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
