//! Virtio: what every driver of such devices shares (PCI transport, virtqueues), and the network queues over them.
//!
//! Floor 1.5: drivers import it, it knows none of them. Source: "Virtual I/O Device (VIRTIO) Version 1.2", sections 2.7 (split), 2.8 (packed),
//! 2.9 (notifications), 4.1 (PCI) and 5.1.6 (network device operation).
//!
//! | module | what it owns |
//! |---|---|
//! | [`transport`] | the PCI capabilities, status, features, queues' registers |
//! | [`ring`] | the shape of a virtqueue, where a device finds it |
//! | `split`, `packed` | the words of both kinds of ring |
//! | `ids` | the free ids of a ring |
//! | [`notify`] | telling a device that buffers are available |
//! | [`header`], `offload` | what lies in front of each frame: read, and written |
//! | [`rx`], [`tx`] | receive and transmit queues |
//! | [`command`] | the control queue |
//!
//! Who owns a buffer that a device has is core's (`vfwire_core::ring::table`). Deliberately not here: which features are accepted, and what is
//! commanded.
#![forbid(unsafe_code)]

pub mod command;
pub mod header;
mod ids;
pub mod notify;
mod offload;
mod packed;
pub mod ring;
pub mod rx;
mod split;
pub mod transport;
pub mod tx;

pub use command::{Ack, CommandQueue};
pub use header::NetHeader;
pub use notify::Notify;
pub use ring::{Places, Shape};
pub use rx::{RxRing, VirtRx};
pub use transport::Transport;
pub use tx::{TxRing, VirtTx};
