//! What the drivers of Intel's 1 and 10 gigabit virtual functions share.
//!
//! Floor 1.5: drivers import it, it knows none of them. Where the families differ, the driver gives the constants of its own `spec`
//! module: where the mailbox lies, what a descriptor's error bits mean.
//!
//! | module | what it owns |
//! |---|---|
//! | [`port`] | a VF as the life of a port wants it: what the families do alike at each step |
//! | [`mailbox`] | requests to the PF and its messages, with deadlines |
//! | [`queue`] | receive and transmit queues: ring, doorbell, gate and counters put together |
//! | [`decode`], [`offload`] | what descriptors say of a received frame, and ask for a sent one |
//! | [`local_mac`] | an address of one's own |
//!
//! Deliberately not here: registers other than the mailbox's, what is asked of a PF, how a queue is set up. Those are the drivers'.
#![forbid(unsafe_code)]

pub mod decode;
pub mod mailbox;
pub mod offload;
pub mod port;
pub mod queue;

pub use vfwire_core::intent::local_mac;
