//! The one contract of events: what a port tells its application, in this order and no other.
//!
//! `LinkUp` and `LinkDown` alternate. `ResetStarted` says that the queues give and take nothing from now on; the driver owns what
//! follows, and it ends in `Recovered` (traffic flows again, and everything that had been asked for was asked for again) or in `Removed`.
//! Nothing follows `Removed`: drop the queues and the port.

use crate::port::Granted;

/// Something happened to a port.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PortEvent {
    /// The link is up.
    LinkUp {
        /// Its speed in Mbit/s; zero where the device does not say.
        mbps: u32,
    },
    /// The link is down: nothing is received, and what is sent is lost or waits.
    LinkDown,
    /// The PF or the device has reset the function, or is about to. Bursts are empty until `Recovered`.
    ResetStarted {
        /// Why, as far as the device says.
        cause: &'static str,
    },
    /// The port works again. A receive queue gives the device its buffers at its next burst; frames that arrive before count as
    /// `no_descriptor`.
    Recovered {
        /// What became of everything that had been asked for.
        granted: Granted,
    },
    /// The function is gone or must be given back: drop the queues and the port.
    Removed {
        /// Why.
        cause: &'static str,
    },
}
