//! Driver of the Intel 82599, X540, X550 (X552, X553 too) and E610 10 gigabit virtual functions.
//!
//! Source: "Intel 82599 10 GbE Controller Datasheet", rev. 3.4, "Intel Ethernet Controller X540 Datasheet" and "Intel Ethernet Controller
//! X550 Datasheet", chapters 7.1 (receive), 7.2 (transmit), 7.10 (virtualization) and 9 (registers of the virtual function). The messages
//! to the PF follow Linux' `ixgbevf` and `ixgbe`.
//!
//! | what | 82599 | X540 | X550, E610 |
//! |---|---|---|---|
//! | messages to the PF | versions 1.6, 1.4, 1.3, 1.2, 1.1, 1.0: the highest that the PF speaks | same | same |
//! | queue pairs | as many as the PF gives: 4 where it has at most 31 VFs, else 2; powers of two only | same | any number up to those |
//! | RSS | the PF's key and table: can be read where its administrator allows it, never written | same | its own key and table |
//! | address | the PF's, or a random local one that the driver sets; another one where the PF gave none, or trusts the VF | same | same |
//! | MTU | 68 to 9,000 bytes; above 1,500 only with the PF's own above 1,500; frames longer than a buffer span several | any up to 9,000 | any |
//! | VLAN | join and leave; the tag is stripped on receive, inserted on request | same | same |
//! | multicast | 30 hashed groups; above that, and on request, all groups, where the PF trusts the VF | same | same |
//! | promiscuous | the device has no such mode for VFs; the refusal says so | trusted VFs of a PF that is promiscuous itself | as X540 |
//! | checksums | IPv4, TCP, UDP, SCTP: checked on receive, inserted on request; TCP segmentation | same | same |
//! | statistics | per queue and per VF, over wrapping counters | same | same |
//! | link | state and speed, polled; down while the PF's administrator holds it down | same | same; 2.5 and 5 Gbit/s |
//! | PF reset, PF down | noticed, waited for, everything that was asked for is asked for again | same | same |
//! | interrupts | not used: all vectors stay masked | same | same |
//!
//! Versions of the messages: RESET drops to 1.0, so the version is negotiated again after each. 1.4 adds IPsec and 1.6 the link of an
//! E610, both under the same handshake as 1.0. Not asked for are 1.5, which only PFs of other systems speak and which has another
//! handshake of the mailbox registers, and 1.7, which adds nothing but the question whether that handshake is wanted.
//!
//! What cannot be counted: frames that the device drops because a receive ring is empty. The VF has no register for them; the PF has (on
//! the host: `ethtool -S PF`, `rx_no_dma_resources`). Not offered: the VF's further unicast filters (message SET_MACVLAN), IPsec.
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

pub use port::{IxgbeVf, IxgbevfPort};
pub use rx::{Rx, RxDesc};
pub use tx::{Tx, TxDesc};

use vfwire_core::{
    bus::PciFunction,
    error::PortError,
    port::{Driver, Feature},
};
use vfwire_spec::{ixgbevf, pci::PciId};

/// The driver of the 82599, X540, X550 and E610 virtual functions.
#[derive(Clone, Copy, Debug)]
pub struct Ixgbevf;

impl Driver for Ixgbevf {
    const NAME: &'static str = "ixgbevf";
    const IDS: &'static [PciId] = &ixgbevf::IDS;
    const DEVICES: &'static str = "Intel 82599, X540, X550";
    const SUPPORT: [(Feature, &'static str); Feature::ALL.len()] = [
        (Feature::QueuePairs, "up to 4, as the PF grants"),
        (Feature::Mtu, "up to 9000, frames span buffers"),
        (Feature::Filters, "yes"),
        (Feature::Promiscuous, "as the PF grants; explained"),
        (Feature::Checksums, "receive status, transmit insertion"),
        (Feature::Tso, "yes; seen in simulation only"),
        (Feature::Rss, "82599, X540: the PF's, read where it allows; X550: the driver's own key and table"),
        (Feature::Recovery, "yes, everything asked for again"),
        (Feature::Evidence, "foreign device model that DPDK drives; our model"),
    ];
    type Port<F: PciFunction> = IxgbevfPort<F>;

    fn probe<F: PciFunction>(function: F) -> Result<IxgbevfPort<F>, PortError> {
        port::probe(function)
    }
}
