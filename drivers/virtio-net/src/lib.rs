//! Driver of virtio network functions: SR-IOV VFs of SmartNICs and DPUs that speak modern virtio, and QEMU's `virtio-net-pci`.
//!
//! Source: "Virtual I/O Device (VIRTIO) Version 1.2", chapters 2 (basic facilities), 3 (operation), 4.1 (PCI) and 5.1 (network device).
//!
//! | what | how |
//! |---|---|
//! | rings | packed where offered, else split; in-order completion where offered; the size asked for, or the most that the device takes |
//! | queue pairs | as many as the device has, through MQ or RSS |
//! | received frames | mergeable buffers where offered, so that long frames span buffers; else the pool's buffers must take the longest |
//! | address, multicast, promiscuous, VLAN | control commands; what the device has no command for is reported |
//! | checksums | received: as the device says, and a sum that its sender left open is put in; sent: the device's, or ours where it has none |
//! | TCP segmentation | TSO4 and TSO6 on transmit. Received frames are never larger than the MTU: GUEST_TSO is not accepted |
//! | RSS, hash | key, table and hash types set; the hash reported where offered |
//! | notifications | one a burst at most, none where the device says that it is awake; with data where offered (seen in simulation only) |
//! | link, MTU, speed | from the configuration, polled; the announcement that a device asks for is acknowledged |
//! | NEEDS_RESET, a reset from outside | noticed, and everything that was asked for is asked for again |
//! | interrupts | not used: no vector is given to any queue |
//!
//! Not accepted, though a device may offer them: EVENT_IDX (we poll, and a flag is cheaper to look at than an index), INDIRECT_DESC (another
//! read for the device, and frames of many buffers are rare), RING_RESET (a reset concerns all queues here), GUEST_TSO and GUEST_UFO (frames
//! beyond the MTU surprise an application), CTRL_GUEST_OFFLOADS (nothing of it is accepted).
//!
//! | file | what is in it |
//! |---|---|
//! | `control.rs` | what is asked of the device through its control queue, and what becomes of it |
//! | `port.rs` | the function as the life of a port wants it |
//! | `rx.rs`, `tx.rs` | the queues' types and shapes |
//! | `stats.rs` | the device counts nothing: what the queues count is all there is |
#![forbid(unsafe_code)]

mod control;
mod port;
mod rx;
mod stats;
mod tx;

pub use port::{VirtioNetFunction, VirtioNetPort};
pub use rx::Rx;
pub use tx::Tx;

use vfwire_core::{
    bus::PciFunction,
    error::PortError,
    port::{Driver, Feature},
};
use vfwire_spec::{pci::PciId, virtio};

/// The driver of virtio network functions.
#[derive(Clone, Copy, Debug)]
pub struct VirtioNet;

impl Driver for VirtioNet {
    const NAME: &'static str = "virtio-net";
    const IDS: &'static [PciId] = &virtio::IDS;
    const DEVICES: &'static str = "virtio 1.x network functions";
    const SUPPORT: [(Feature, &'static str); Feature::ALL.len()] = [
        (Feature::QueuePairs, "as many as the device has"),
        (Feature::Mtu, "up to 9000 or the device's, frames span buffers where the device can merge them"),
        (Feature::Filters, "as the device has commands; explained"),
        (Feature::Promiscuous, "yes, where the device has receive modes"),
        (Feature::Checksums, "receive status, transmit insertion"),
        (Feature::Tso, "where the device has it"),
        (Feature::Rss, "key, table and hash report, where the device has it"),
        (Feature::Recovery, "yes, everything asked for again"),
        (Feature::Evidence, "real kernel, QEMU's device; our model, its split rings by rust-vmm"),
    ];
    type Port<F: PciFunction> = VirtioNetPort<F>;

    fn probe<F: PciFunction>(function: F) -> Result<VirtioNetPort<F>, PortError> {
        port::probe(function)
    }
}
