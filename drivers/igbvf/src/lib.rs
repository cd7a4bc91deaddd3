//! Driver of the Intel 82576 and I350 gigabit virtual functions.
//!
//! Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", rev. 2.63, and "Intel Ethernet Controller I350 Datasheet", chapters 7.1
//! (receive), 7.2 (transmit), 7.10 (virtualization) and 8 (registers). The messages to the PF follow Linux' `igbvf` and `igb`.
//!
//! | what | 82576 | I350 |
//! |---|---|---|
//! | queue pairs | 2; the second receives only where the PF spreads a VF's frames (RSS inside a pool; QEMU's model never does) | 1 |
//! | address | the PF's, or a random local one that the driver sets; another one where the PF gave none | same |
//! | MTU | 68 to 9,000 bytes; frames longer than a buffer span several, both ways | same |
//! | VLAN | join and leave; the tag is stripped on receive, inserted on request | same; the tag of looped-back frames is put right |
//! | multicast | 30 hashed groups; above that, and on request, all groups (granted, but not served, by QEMU's model) | same |
//! | promiscuous | the PF's driver refuses it, trusted or not; the refusal is explained | same |
//! | checksums | IPv4, TCP, UDP, SCTP: checked on receive, inserted on request; TCP segmentation | same |
//! | statistics | per queue (with frames dropped for want of descriptors) and per VF, over wrapping counters | same |
//! | link | state and speed, polled | same |
//! | PF reset, PF down | noticed, waited for, everything that was asked for is asked for again | same |
//! | interrupts | not used: all vectors stay masked | same |
//!
//! | file | what is in it |
//! |---|---|
//! | `control.rs` | what is asked of the PF, and what becomes of it |
//! | `port.rs` | the VF as the shared port life cycle of `vfwire-intel-vf` wants it |
//! | `rx.rs`, `tx.rs` | queue registers and descriptor formats |
//! | `stats.rs` | the device's counters, widened |
#![forbid(unsafe_code)]

mod control;
mod port;
mod rx;
mod stats;
mod tx;

pub use port::{IgbVf, IgbvfPort};
pub use rx::{Rx, RxDesc};
pub use tx::{Tx, TxDesc};

use vfwire_core::{
    bus::PciFunction,
    error::PortError,
    port::{Driver, Feature},
};
use vfwire_spec::{igbvf, pci::PciId};

/// The driver of the 82576 and I350 virtual functions.
#[derive(Clone, Copy, Debug)]
pub struct Igbvf;

impl Driver for Igbvf {
    const NAME: &'static str = "igbvf";
    const IDS: &'static [PciId] = &igbvf::IDS;
    const DEVICES: &'static str = "Intel 82576, I350";
    const SUPPORT: [(Feature, &'static str); Feature::ALL.len()] = [
        (Feature::QueuePairs, "2 (I350: 1); receive queue 1 seen in simulation only"),
        (Feature::Mtu, "up to 9000, frames span buffers"),
        (Feature::Filters, "yes"),
        (Feature::Promiscuous, "the PF refuses; explained"),
        (Feature::Checksums, "receive status, transmit insertion"),
        (Feature::Tso, "yes; seen in simulation only"),
        (Feature::Rss, "the PF's; a VF cannot look at it"),
        (Feature::Recovery, "yes, everything asked for again"),
        (Feature::Evidence, "real kernel, QEMU's device, kernel's own driver; our model"),
    ];
    type Port<F: PciFunction> = IgbvfPort<F>;

    fn probe<F: PciFunction>(function: F) -> Result<IgbvfPort<F>, PortError> {
        port::probe(function)
    }
}
