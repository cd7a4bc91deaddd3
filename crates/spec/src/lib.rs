//! Facts of the NICs and of their control protocols: registers, descriptors, messages.
//!
//! Floor 0: imports nothing, allocates nothing, touches no hardware. A driver and the model that simulates its device share this
//! crate and nothing else, so a constant that is wrong here would fool both: every table has golden-byte tests that were written
//! from a second source (each test names it).
//!
//! - [`reg`]: how a register is written down: offset, width and access kind;
//! - [`net`] and [`pci`]: what every NIC needs of Ethernet and of PCI Express;
//! - [`intel`]: what Intel's 1 and 10 gigabit VFs share: advanced descriptors and the mailbox;
//! - [`igbvf`]: the VF of the 82576 and I350;
//! - [`ixgbevf`]: the VF of the 82599, X540, X550 and E610;
//! - [`virtio`]: virtio-net over PCI.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod igbvf;
pub mod intel;
pub mod ixgbevf;
pub mod net;
pub mod pci;
pub mod reg;
pub mod virtio;
