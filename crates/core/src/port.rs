//! A port: what a driver makes of a PCI function, and what an application asks of it.
//!
//! Life cycle: [`Driver::probe`] takes a function and gives a stopped port. [`Port::start`] gives the queues, which workers own. The port
//! stays with whoever controls it, who calls [`Port::poll_control`] now and then (tens of times a second are plenty). [`Port::stop`], or
//! dropping the port, makes the device let go of all memory; the queues then move nothing.

use crate::{
    bus::PciFunction,
    error::PortError,
    event::PortEvent,
    path::Path,
    pool::Pool,
    queue::{RxQueue, TxQueue},
    stats::PortStats,
};
use std::time::Duration;
use vfwire_spec::{net::MacAddr, pci::PciId};

pub use crate::intent::{Granted, Intent, Offload, Refusal, Setting};

/// Shape of a start.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// Where the buffers come from. Of the same DMA domain as the port.
    pub pool: Pool,
    /// Receive and transmit queues: pairs, one a worker.
    pub queue_pairs: u16,
    /// Descriptors of each receive ring.
    pub rx_desc: u16,
    /// Descriptors of each transmit ring.
    pub tx_desc: u16,
    /// The compilation of the packet path; nothing: what `VFWIRE_SIMD` says, else the fastest.
    pub path: Option<Path>,
    /// What to ask of the PF and the device.
    pub intent: Intent,
    /// How long a recovery may go on failing, once the PF answers and the queues are at rest, before the port is [`PortState::Failed`].
    pub recovery_limit: Duration,
    /// How long a transmit queue may be offered frames and have room for none, while the link is up, before the port takes its device for
    /// hung and resets it. Nothing: for ever. A peer that pauses the device all that time, without letting a single frame through, looks the
    /// same.
    pub stall_limit: Option<Duration>,
}

impl PortConfig {
    /// One queue pair, 512 descriptors a ring, the fastest path, an ordinary MTU, 10 s for a recovery, 5 s for a
    /// transmit queue that makes no progress (Linux: `dev_watchdog`).
    pub fn new(pool: &Pool) -> Self {
        Self {
            pool: pool.clone(),
            queue_pairs: 1,
            rx_desc: 512,
            tx_desc: 512,
            path: None,
            intent: Intent::default(),
            recovery_limit: Duration::from_secs(10),
            stall_limit: Some(Duration::from_secs(5)),
        }
    }

    /// The compilation of the packet path to be used.
    ///
    /// # Errors
    /// As [`Path::from_environment`], where none is given.
    pub fn path(&self) -> Result<Path, PortError> {
        self.path.map_or_else(Path::from_environment, Ok)
    }
}

/// What a port is and can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortInfo {
    /// Where it is, as the user wrote it.
    pub address: String,
    /// The driver's name.
    pub driver: &'static str,
    /// Vendor and device.
    pub id: PciId,
    /// Its own MAC address now.
    pub mac: MacAddr,
    /// Most queue pairs.
    pub max_queue_pairs: u16,
    /// Longest payload of a frame in bytes.
    pub max_mtu_bytes: u16,
    /// Whether it is simulated.
    pub simulated: bool,
}

/// Where a port is in its life: the diagram is in [`life`](crate::life).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortState {
    /// The device has let go of all memory; `start` begins anew.
    Stopped,
    /// Frames pass.
    Running,
    /// The device was reset, or is about to be: the queues come to rest, and the PF is waited for.
    Resetting,
    /// The device is being set up again.
    Recovering,
    /// Recovery failed for good: the event said why. `stop` and `start` try anew.
    Failed,
    /// The function is gone.
    Removed,
}

/// State of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// Frames can pass.
    pub up: bool,
    /// Speed in Mbit/s; zero where it is down or the device does not say.
    pub mbps: u32,
}

/// How a device spreads received frames over its queues: a hash of a frame's addresses and ports, made with `key`, picks an entry of
/// `table`, which names the queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rss {
    /// The key of the Toeplitz hash, first byte first.
    pub key: Vec<u8>,
    /// A receive queue for each value of the hash's lowest bits.
    pub table: Vec<u8>,
}

/// The queues of a start, in pairs: `rx[i]` and `tx[i]` are for one worker.
#[derive(Debug)]
pub struct Queues<R, T> {
    /// Receive queues.
    pub rx: Vec<R>,
    /// Transmit queues.
    pub tx: Vec<T>,
    /// What became of what was asked for.
    pub granted: Granted,
}

/// A port of some driver.
pub trait Port: Send + 'static {
    /// Its receive queues.
    type Rx: RxQueue;
    /// Its transmit queues.
    type Tx: TxQueue;

    /// What it is.
    fn info(&self) -> &PortInfo;

    /// Sets the device up and gives its queues, with buffers posted. What the PF refuses but the port can live without is reported in
    /// [`Queues::granted`].
    ///
    /// # Errors
    /// [`PortError`]; the port is stopped then, and can be started again.
    fn start(&mut self, config: &PortConfig) -> Result<Queues<Self::Rx, Self::Tx>, PortError>;

    /// Makes the device let go of all memory. The queues of the last start move nothing from then on. Before the port is started again,
    /// drop them or poll each once more: a worker in the middle of a burst could otherwise ring a doorbell of the new rings, so `start` waits
    /// for them, with a limit.
    ///
    /// # Errors
    /// [`PortError`] where the device did not acknowledge; what it may still write is never freed then.
    fn stop(&mut self) -> Result<(), PortError>;

    /// Changes what is asked of a running port: addresses, VLANs, modes. (Another MTU takes a new start.)
    ///
    /// # Errors
    /// [`PortError`] where the port is not running or its PF does not answer.
    fn apply(&mut self, intent: &Intent) -> Result<Granted, PortError>;

    /// Looks after the port: messages of the PF, the link, the bus, recovery from resets. Never waits longer than a request to the PF
    /// takes. Gives one event a call, until there is none.
    ///
    /// # Errors
    /// [`PortError`] where recovery failed; it is tried again at later calls.
    fn poll_control(&mut self) -> Result<Option<PortEvent>, PortError>;

    /// Where it is in its life.
    fn state(&self) -> PortState;

    /// The link now.
    fn link(&self) -> Link;

    /// All counters since the port was opened.
    fn stats(&mut self) -> PortStats;

    /// How received frames are spread over the queues of a running port.
    ///
    /// # Errors
    /// [`PortError`] where the port does not run, the device does not say, or its PF does not tell: the text says why and what to do.
    fn rss(&mut self) -> Result<Rss, PortError> {
        Err(PortError::State("this device does not say how it spreads frames over its queues"))
    }
}

/// Something that users look for in a driver: the rows of the table of `vfwire list --supported`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Feature {
    /// Receive and transmit queues.
    QueuePairs,
    /// Greatest MTU, and what becomes of long frames.
    Mtu,
    /// Own MAC address, VLANs, multicast, all-multicast.
    Filters,
    /// Promiscuous mode.
    Promiscuous,
    /// Checksums.
    Checksums,
    /// TCP segmentation.
    Tso,
    /// Spreading frames over queues.
    Rss,
    /// Recovery from resets.
    Recovery,
    /// What has judged it.
    Evidence,
}

impl Feature {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::QueuePairs,
        Self::Mtu,
        Self::Filters,
        Self::Promiscuous,
        Self::Checksums,
        Self::Tso,
        Self::Rss,
        Self::Recovery,
        Self::Evidence,
    ];

    /// What the table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueuePairs => "queue pairs",
            Self::Mtu => "MTU",
            Self::Filters => "own MAC, VLANs, multicast, all-multicast",
            Self::Promiscuous => "promiscuous",
            Self::Checksums => "checksums",
            Self::Tso => "TSO",
            Self::Rss => "RSS",
            Self::Recovery => "recovery from a reset",
            Self::Evidence => "evidence",
        }
    }
}

/// A driver: what the registry needs to know of it.
pub trait Driver {
    /// Its name: `igbvf`.
    const NAME: &'static str;
    /// The functions that it drives.
    const IDS: &'static [PciId];
    /// What those are called: `Intel 82576, I350`.
    const DEVICES: &'static str;
    /// What it does about each [`Feature`], one entry each.
    const SUPPORT: [(Feature, &'static str); Feature::ALL.len()];
    /// Its ports.
    type Port<F: PciFunction>: Port;

    /// Takes a function and makes a stopped port of it. The device has been reset and the PF spoken to when it returns.
    ///
    /// # Errors
    /// [`PortError`] where the function does not answer as its data sheet says, or its PF does not answer at all.
    fn probe<F: PciFunction>(function: F) -> Result<Self::Port<F>, PortError>;
}
