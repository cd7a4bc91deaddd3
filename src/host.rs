//! Where ports come from: this machine through VFIO, or a simulated one.
//!
//! A [`Host`] is one IOMMU domain: all its ports reach all its memory, so that a frame received on one of them can be sent by another
//! without a copy. It opens nothing before it is asked for a port. Ports outlive their host.

use crate::{
    address::{Address, AddressError},
    registry::{self, BoxedPort},
    simulated::Machine,
};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use vfwire_core::{
    dma::DmaSpace,
    error::{DmaError, PortError},
    event::PortEvent,
    pool::{Pool, PoolConfig},
    port::{Granted, Intent, Link, Port, PortConfig, PortInfo, PortState, Queues, Rss},
    queue::{RxQueue, TxQueue},
    stats::PortStats,
};
use vfwire_recorder::FlightRecorder;
use vfwire_spec::pci::PciId;
use vfwire_vfio::{Grant, HugepageChoice, PciAddress, Vfio, VfioError, VfioOptions};

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The text names no port.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The function could not be opened.
    #[error(transparent)]
    Vfio(#[from] VfioError),
    /// No driver knows the function.
    #[error("{address} is {id}, which vfwire has no driver for: `vfwire list` shows the functions that it can drive")]
    NoDriver {
        /// Where it is.
        address: String,
        /// What it is.
        id: PciId,
    },
    /// The function was opened, but does not work.
    #[error("{address}: {source}")]
    Port {
        /// Where it is.
        address: String,
        /// What is wrong.
        source: PortError,
    },
    /// Simulated and real ports share no memory.
    #[error("{address} cannot join the ports of this host, since simulated and real ports share no memory: give it a host of its own")]
    Mixed {
        /// The port that was to join.
        address: String,
    },
}

/// One IOMMU domain, and the ports in it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use vfwire::{Host, PoolConfig, Port, PortConfig};
/// let mut host = Host::new();
/// let mut port = host.open("sim:igbvf")?;
/// let pool = host.pool(PoolConfig::new(2048))?;
/// let queues = port.start(&PortConfig::new(&pool))?;
/// assert_eq!((queues.rx.len(), queues.tx.len()), (1, 1));
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Host {
    hugepages: HugepageChoice,
    machine: Option<Domain>,
    grants: BTreeMap<PciAddress, Grant>,
    flight: FlightRecorder,
}

#[derive(Debug)]
enum Domain {
    Real(Vfio),
    Simulated(Arc<Machine>),
}

impl Host {
    /// A host whose DMA memory is hugepages of 2 MiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// A host whose DMA memory is made of these pages. Simulated ports need none and take no notice.
    pub fn with_pages(hugepages: HugepageChoice) -> Self {
        Self { hugepages, ..Self::default() }
    }

    /// What whoever granted a function said of it, to be used when it is opened.
    pub fn grant(&mut self, address: PciAddress, grant: Grant) {
        self.grants.insert(address, grant);
    }

    /// Opens the port at an address: `0000:3b:02.1`, or a simulated one ([`SimAddress`](crate::SimAddress)) such as `sim:igbvf`. The
    /// function has been reset, and its PF spoken to.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do. Nothing stays open then.
    pub fn open(&mut self, address: &str) -> Result<DynPort, OpenError> {
        let address: Address = address.parse()?;
        match (&address, self.machine.take()) {
            (Address::Pci(function), None) => {
                let vfio = Vfio::new(VfioOptions { hugepages: self.hugepages, ..VfioOptions::default() });
                let port = registry::probe(vfio.open_granted(*function, &self.granted(*function))?, &self.flight)?;
                self.machine = Some(Domain::Real(vfio));
                Ok(DynPort { port, _machine: None })
            }
            (Address::Pci(function), Some(Domain::Real(vfio))) => {
                let function = vfio.open_granted(*function, &self.granted(*function));
                self.machine = Some(Domain::Real(vfio));
                Ok(DynPort { port: registry::probe(function?, &self.flight)?, _machine: None })
            }
            (Address::Sim(function), Some(Domain::Simulated(machine))) => {
                self.machine = Some(Domain::Simulated(machine.clone()));
                Ok(DynPort { port: registry::probe(machine.open(function)?, &self.flight)?, _machine: Some(machine) })
            }
            (Address::Sim(function), None) => {
                let machine = Arc::new(Machine::new());
                let port = registry::probe(machine.open(function)?, &self.flight)?;
                self.machine = Some(Domain::Simulated(machine.clone()));
                Ok(DynPort { port, _machine: Some(machine) })
            }
            (_, other) => {
                self.machine = other;
                Err(OpenError::Mixed { address: address.to_string() })
            }
        }
    }

    fn granted(&self, address: PciAddress) -> Grant {
        self.grants.get(&address).cloned().unwrap_or_default()
    }

    /// Buffers that all ports of this host can use. Open a port first: its domain is what the memory is mapped in.
    ///
    /// # Errors
    /// [`DmaError`], which names the need, what there is and the remedy.
    pub fn pool(&self, config: PoolConfig) -> Result<Pool, DmaError> {
        let space: Arc<dyn DmaSpace> = match &self.machine {
            Some(Domain::Real(vfio)) => vfio.dma(),
            Some(Domain::Simulated(machine)) => machine.dma(),
            None => return Err(DmaError::Unavailable("a pool is memory that ports share: open a port before".into())),
        };
        Pool::new(&*space, config)
    }

    /// What the ports of this host and their devices said to one another lately: of those that are open, of those that were, and of those
    /// that could not be opened. Always on; it has no frame in it.
    pub fn flight_recorder(&self) -> FlightRecorder {
        self.flight.clone()
    }

    /// Bytes of DMA memory that are mapped for the ports now: buffers and rings, on real ports in whole pages. It is what counts against
    /// the limit on locked memory.
    pub fn dma_mapped_bytes(&self) -> usize {
        match &self.machine {
            Some(Domain::Real(vfio)) => vfio.mapped_bytes(),
            Some(Domain::Simulated(machine)) => machine.mapped_bytes(),
            None => 0,
        }
    }

    /// Time that the kernel has spent on opening and resetting functions so far: nothing for simulated ports.
    pub fn resetting(&self) -> Duration {
        match &self.machine {
            Some(Domain::Real(vfio)) => vfio.resetting(),
            _ => Duration::ZERO,
        }
    }

    /// Frames that the wires of simulated ports have lost so far, on purpose (`loss=`) or because they were full; none of real ports.
    pub fn lost_on_simulated_wires(&self) -> u64 {
        match &self.machine {
            Some(Domain::Simulated(machine)) => machine.lost_on_wires(),
            _ => 0,
        }
    }

    /// What a user should know of the memory in use: nothing with hugepages.
    pub fn memory_note(&self) -> Option<&'static str> {
        match &self.machine {
            Some(Domain::Real(vfio)) => vfio.memory_note(),
            _ => None,
        }
    }
}

/// A port of whichever driver. It stops when it is dropped.
pub struct DynPort {
    port: BoxedPort,
    /// After the port, which speaks to its simulated PF when it is dropped.
    _machine: Option<Arc<Machine>>,
}

impl DynPort {
    /// A port that needs nothing to be kept for it.
    pub(crate) fn of(port: BoxedPort) -> Self {
        Self { port, _machine: None }
    }
}

impl Port for DynPort {
    type Rx = Box<dyn RxQueue>;
    type Tx = Box<dyn TxQueue>;

    fn info(&self) -> &PortInfo {
        self.port.info()
    }

    fn start(&mut self, config: &PortConfig) -> Result<Queues<Self::Rx, Self::Tx>, PortError> {
        self.port.start(config)
    }

    fn stop(&mut self) -> Result<(), PortError> {
        self.port.stop()
    }

    fn apply(&mut self, intent: &Intent) -> Result<Granted, PortError> {
        self.port.apply(intent)
    }

    fn poll_control(&mut self) -> Result<Option<PortEvent>, PortError> {
        self.port.poll_control()
    }

    fn state(&self) -> PortState {
        self.port.state()
    }

    fn link(&self) -> Link {
        self.port.link()
    }

    fn stats(&mut self) -> PortStats {
        self.port.stats()
    }

    fn rss(&mut self) -> Result<Rss, PortError> {
        self.port.rss()
    }
}

impl fmt::Debug for DynPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynPort").field(self.info()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_and_real_ports_do_not_mix() {
        let mut host = Host::new();
        let _port = host.open("sim:igbvf").expect("a simulated port");
        let error = host.open("0000:3b:02.1").unwrap_err().to_string();
        assert!(error.contains("0000:3b:02.1") && error.contains("host of its own"), "{error}");
        host.open("sim:igbvf").expect("the refusal has changed nothing");
    }

    #[test]
    fn a_pool_without_a_port_is_refused() {
        let error = Host::new().pool(PoolConfig::new(64)).unwrap_err().to_string();
        assert!(error.contains("open a port"), "{error}");
    }

    #[test]
    fn what_cannot_be_simulated_is_named() {
        for (address, word) in [("sim:nic", "`nic`"), ("sim:igbvf,colour=blue", "colour"), ("sim:igbvf,spoofchk=maybe", "on or off")] {
            let error = Host::new().open(address).unwrap_err();
            assert!(matches!(error, OpenError::Address(_)) && error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_port_outlives_its_host() {
        let mut port = Host::new().open("sim:igbvf").expect("a simulated port");
        assert!(port.info().simulated);
        port.stop().expect("the machine is still there");
    }
}
