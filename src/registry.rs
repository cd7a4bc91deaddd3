//! Which driver drives which function: the only file that names every driver.
//!
//! Drivers are generic over the bus; here each of them is chosen by PCI id and its types are erased, once, so that everything above deals
//! with one kind of port. A dynamic call a burst is all that this costs the packet path.

use crate::{
    address::{AddressError, SimAddress},
    host::OpenError,
    inspect::{Language, MailboxWords, Registers},
};
use std::fmt;
use vfwire_core::{
    bus::PciFunction,
    error::PortError,
    event::PortEvent,
    port::{Driver, Feature, Granted, Intent, Link, Port, PortConfig, PortInfo, PortState, Queues, Rss},
    queue::{RxQueue, TxQueue},
    stats::PortStats,
};
use vfwire_recorder::{FlightRecorder, Recorded, RecordedPort};
use vfwire_sim::{IgbvfModel, IgbvfOptions, IxgbevfModel, IxgbevfOptions, SimFunction, SimHost, VirtioNetModel, VirtioNetOptions, Wire};
use vfwire_spec::{igbvf, ixgbevf, net::MacAddr, pci::PciId};

macro_rules! drivers {
    ($($driver:ty),+ $(,)?) => {
        /// The driver of a function, by name; nothing where no driver knows the id.
        pub fn driver_of(id: PciId) -> Option<&'static str> {
            $(if <$driver>::IDS.contains(&id) { return Some(<$driver>::NAME); })+
            None
        }

        /// Every driver's name and the functions that it drives.
        pub fn drivers() -> &'static [(&'static str, &'static [PciId])] {
            &[$((<$driver>::NAME, <$driver>::IDS)),+]
        }

        /// What every driver declares of itself.
        pub fn supported() -> &'static [Supported] {
            &[$(Supported { driver: <$driver>::NAME, devices: <$driver>::DEVICES, features: &<$driver>::SUPPORT }),+]
        }

        /// Makes a port of a function, with the driver that its id asks for. Its control path is recorded from here on.
        pub(crate) fn probe<F: PciFunction>(function: F, flight: &FlightRecorder) -> Result<BoxedPort, OpenError> {
            let (address, id) = (function.address().to_owned(), function.id());
            let recorder = flight.port(&address, id);
            $(if <$driver>::IDS.contains(&id) {
                let function = Recorded::new(function, recorder.clone());
                return match RecordedPort::probe(recorder, <$driver>::NAME, || <$driver>::probe(function)) {
                    Ok(port) => Ok(Box::new(Erased(port))),
                    Err(source) => Err(OpenError::Port { address, source }),
                };
            })+
            Err(OpenError::NoDriver { address, id })
        }
    };
}

drivers!(vfwire_igbvf::Igbvf, vfwire_ixgbevf::Ixgbevf, vfwire_virtio_net::VirtioNet);

/// What a driver declares of itself.
#[derive(Clone, Copy, Debug)]
pub struct Supported {
    /// Its name.
    pub driver: &'static str,
    /// The devices that it drives.
    pub devices: &'static str,
    /// What it does about each feature, in the order of [`Feature::ALL`].
    pub features: &'static [(Feature, &'static str)],
}

/// Plugs the simulated function that `wanted` describes into a simulated machine under a name, and opens it.
pub(crate) fn plug(
    wanted: &SimAddress,
    mac: MacAddr,
    (machine, name): (&SimHost, &str),
    wire: impl Wire,
) -> Result<SimFunction, OpenError> {
    let refused = |why: String| OpenError::Address(AddressError::new(format!("`{wanted}`: {why}")));
    let opened = match wanted.driver.as_str() {
        "igbvf" => {
            let mut options = IgbvfOptions { pf_mac: Some(mac), ..IgbvfOptions::default() };
            wanted.device.iter().try_for_each(|(option, value)| options.set(option, value)).map_err(refused)?;
            machine.add(name, IgbvfModel::new(options), wire).open()
        }
        "ixgbevf" => {
            let mut options = IxgbevfOptions { pf_mac: Some(mac), ..IxgbevfOptions::default() };
            wanted.device.iter().try_for_each(|(option, value)| options.set(option, value)).map_err(refused)?;
            machine.add(name, IxgbevfModel::new(options), wire).open()
        }
        "virtio-net" => {
            let mut options = VirtioNetOptions { mac: Some(mac), ..VirtioNetOptions::default() };
            wanted.device.iter().try_for_each(|(option, value)| options.set(option, value)).map_err(refused)?;
            machine.add(name, VirtioNetModel::new(options), wire).open()
        }
        other => {
            let functions = "the simulated functions are igbvf, ixgbevf and virtio-net";
            return Err(refused(format!("there is no simulated `{other}`: {functions}")));
        }
    };
    opened.map_err(|source| OpenError::Port { address: name.to_owned(), source: source.into() })
}

/// What a driver's registers and messages are called; nothing where nobody knows.
pub(crate) fn language_of(driver: &str) -> Option<&'static Language> {
    const IGBVF: Language = Language {
        registers: Registers::InBar(igbvf::REGISTER_BAR, igbvf::regs::name_of),
        mailbox: Some(MailboxWords {
            bar: igbvf::REGISTER_BAR,
            flags: igbvf::regs::VFMAILBOX.offset(),
            memory: igbvf::regs::VMBMEM,
            code_name: igbvf::control::code_name,
            request: |message| format!("{:?}", igbvf::control::Request::decode(message)),
        }),
        not_replayed: None,
    };
    const IXGBEVF: Language = Language {
        registers: Registers::InBar(ixgbevf::REGISTER_BAR, ixgbevf::regs::name_of),
        mailbox: Some(MailboxWords {
            bar: ixgbevf::REGISTER_BAR,
            flags: ixgbevf::regs::VFMAILBOX.offset(),
            memory: ixgbevf::regs::VFMBMEM,
            code_name: ixgbevf::control::code_name,
            request: |message| format!("{:?}", ixgbevf::control::Request::decode(message)),
        }),
        not_replayed: None,
    };
    const VIRTIO_NET: Language = Language {
        registers: Registers::Virtio,
        mailbox: None,
        not_replayed: Some(
            "a virtio-net device answers commands in DMA memory, which is never recorded: `vfwire inspect FILE` tells the rest, and --model compares it",
        ),
    };
    match driver {
        "igbvf" => Some(&IGBVF),
        "ixgbevf" => Some(&IXGBEVF),
        "virtio-net" => Some(&VIRTIO_NET),
        _ => None,
    }
}

/// A port of some driver on some bus.
pub(crate) type BoxedPort = Box<dyn Port<Rx = Box<dyn RxQueue>, Tx = Box<dyn TxQueue>>>;

/// A port whose queues are boxed.
struct Erased<P>(P);

impl<P: Port> Port for Erased<P> {
    type Rx = Box<dyn RxQueue>;
    type Tx = Box<dyn TxQueue>;

    fn info(&self) -> &PortInfo {
        self.0.info()
    }

    fn start(&mut self, config: &PortConfig) -> Result<Queues<Self::Rx, Self::Tx>, PortError> {
        let Queues { rx, tx, granted } = self.0.start(config)?;
        let rx = rx.into_iter().map(|queue| Box::new(queue) as Self::Rx).collect();
        let tx = tx.into_iter().map(|queue| Box::new(queue) as Self::Tx).collect();
        Ok(Queues { rx, tx, granted })
    }

    fn stop(&mut self) -> Result<(), PortError> {
        self.0.stop()
    }

    fn apply(&mut self, intent: &Intent) -> Result<Granted, PortError> {
        self.0.apply(intent)
    }

    fn poll_control(&mut self) -> Result<Option<PortEvent>, PortError> {
        self.0.poll_control()
    }

    fn state(&self) -> PortState {
        self.0.state()
    }

    fn link(&self) -> Link {
        self.0.link()
    }

    fn stats(&mut self) -> PortStats {
        self.0.stats()
    }

    fn rss(&mut self) -> Result<Rss, PortError> {
        self.0.rss()
    }
}

impl<P> fmt::Debug for Erased<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Erased(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_driver_says_something_of_every_feature() {
        for supported in supported() {
            assert!(supported.features.iter().map(|(feature, _)| *feature).eq(Feature::ALL), "{}", supported.driver);
            assert!(supported.features.iter().all(|(_, what)| what.len() > 1 && !what.contains('|')), "{}", supported.driver);
        }
    }

    #[test]
    fn every_id_has_one_driver() {
        for &(name, ids) in drivers() {
            assert!(!ids.is_empty(), "{name} drives nothing");
            for &id in ids {
                assert_eq!(driver_of(id), Some(name), "{id} is claimed twice");
            }
        }
        assert_eq!(driver_of(PciId { vendor: 0xffff, device: 0xffff }), None);
    }
}
