//! The one contract of events: what a port tells its application, in this order and no other.
//!
//! `LinkUp` and `LinkDown` alternate. `ResetStarted` says that the queues give and take nothing from now on; the driver owns what
//! follows, and it ends in `Recovered` (traffic flows again, and everything that had been asked for was asked for again), in `Failed` or in
//! `Removed`. Nothing but `Removed` follows `Failed` until the port is stopped and started anew. Nothing follows `Removed`: drop the queues
//! and the port.

use crate::port::Granted;

/// A step of a recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Step {
    /// The device is to stop using the memory that it was given.
    LetGo,
    /// The device and its PF are asked for everything anew.
    Negotiate,
    /// The device is told of the rings, and the queues are enabled.
    Enable,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LetGo => "while the device was to let go of its memory",
            Self::Negotiate => "while the device and its PF were asked anew",
            Self::Enable => "while the queues were set up anew",
        })
    }
}

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
    /// The device could not be set up again, or did not let go of its memory. The port is safe and moves nothing: stop it and start it anew,
    /// or open it anew.
    Failed {
        /// At which step.
        step: Step,
        /// The last error.
        cause: String,
    },
    /// The function is gone or must be given back: drop the queues and the port.
    Removed {
        /// Why.
        cause: &'static str,
    },
}
