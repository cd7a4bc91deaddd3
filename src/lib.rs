//! A userspace dataplane for SR-IOV virtual functions (VFs): frames go between the application and the NIC without the kernel's network
//! stack and without a copy.
//!
//! A [`Host`] opens ports. A [`Pool`] holds the buffers. A started port gives queues, one pair a worker, which move [`Burst`]s of frames:
//!
//! ```
//! use vfwire::{Host, PoolConfig, Port, PortConfig, RxQueue, TxQueue};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut host = Host::new();
//! let mut port = host.open("sim:igbvf")?;                  // or a PCI address: "0000:3b:02.1"
//! let pool = host.pool(PoolConfig::new(2048))?;
//! let mut queues = port.start(&PortConfig::new(&pool))?;
//! let (rx, tx) = (&mut queues.rx[0], &mut queues.tx[0]);
//!
//! let (mut cache, mut burst, mut sent) = (pool.cache(), pool.burst(32), 0);
//! while sent < 1000 {
//!     rx.rx_burst(&mut cache, &mut burst);
//!     for mut frame in burst.iter_mut() {
//!         frame.data_mut()[..12].rotate_left(6);           // back to where it came from
//!     }
//!     sent += tx.tx_burst(&mut cache, &mut burst);
//!     burst.clear(&mut cache);                             // what the ring did not take
//! }
//! # Ok(()) }
//! ```
//!
//! | module | what it owns |
//! |---|---|
//! | `host`, `address` | opening ports, and what they are named by |
//! | `registry` | which driver drives which function |
//! | [`recording`] | what the flight recorder holds, for people and for replay |
//! | `simulated` | the machine behind `sim:` addresses |
//! | [`forward`] | the loop of a forwarder, with its stages and counters |
//!
//! The command `vfwire` is behind the default feature `cli`; an application turns it off with `default-features = false`.

mod address;
mod cycles;
pub mod forward;
mod host;
mod inspect;
mod registry;
mod simulated;

/// What a flight recorder holds: reading it, and telling it to people.
pub mod recording {
    pub use crate::inspect::{compare_model, describe, describe_model, describe_replay, replay};
    pub use vfwire_recorder::{
        file::{FileError, MAX_FILE_BYTES, decode, encode},
        recording::*,
        replay::{
            Difference, Hunk, Report,
            drive::{Answered, Disagreement},
        },
    };
}

pub use address::{Address, AddressError, SimAddress};
pub use cycles::{cycles, reading_cycles};
pub use host::{DynPort, Host, OpenError};
pub use registry::{Supported, driver_of, drivers, supported};

pub use vfwire_core::{
    burst::Burst,
    error::{BusError, DmaError, PortError},
    event::PortEvent,
    meta::{Checksum, L4, RxMeta, TxOffload},
    packet::{Packet, PacketMut},
    path::Path,
    pool::{BURST_MAX, BufCache, HEADROOM_BYTES, Pool, PoolConfig},
    port::{Feature, Granted, Intent, Link, Offload, Port, PortConfig, PortInfo, PortState, Queues, Refusal, Rss, Setting},
    queue::{RxQueue, TxQueue},
    stats::{DeviceStats, PortStats, RxStats, TxStats},
};
pub use vfwire_recorder::FlightRecorder;
pub use vfwire_spec::{net::MacAddr, pci::PciId};
pub use vfwire_vfio::{
    Grant, HugepageChoice, NetworkFunction, PciAddress, Sysfs, VfioError, foreign_siblings, network_function, network_functions, preflight,
};
