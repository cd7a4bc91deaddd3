//! The closed list of errors. Each says what happened, what was expected and what to do; the device-level ones carry their source.

use std::{fmt, io, time::Duration};

/// A PCI function or its bus could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The system refused: `what` says which operation on which thing failed, and what to do about it.
    #[error("{what}: {source}")]
    Io {
        /// Operation, thing and remedy.
        what: String,
        /// What the system answered.
        source: io::Error,
    },
    /// An access that the device does not offer: a BAR it does not have, an offset past the end.
    #[error("{0}")]
    NotThere(String),
    /// The device does not answer any more: reads give all ones, or the kernel has taken it back.
    #[error("the device is gone (reads return all ones): it was removed, reset from outside, or its link is down")]
    Gone,
}

/// DMA memory could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DmaError {
    /// No memory, no hugepages, a limit, or the IOMMU refused: the text names the need, what there is and the remedy.
    #[error("{0}")]
    Unavailable(String),
    /// A size or an alignment that cannot be served.
    #[error("a DMA region of {len_bytes} bytes aligned to {align_bytes} cannot be served: {why}")]
    Shape {
        /// Bytes asked for.
        len_bytes: usize,
        /// Alignment asked for, in bytes.
        align_bytes: usize,
        /// What is wrong with them.
        why: &'static str,
    },
}

/// What a driver or a port answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// The function or its bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// DMA memory could not be had.
    #[error(transparent)]
    Dma(#[from] DmaError),
    /// A bounded wait ended without what it waited for.
    #[error("waited {waited:?} for {what}: {remedy}")]
    Timeout {
        /// What was awaited.
        what: &'static str,
        /// For how long.
        waited: Duration,
        /// What to do.
        remedy: &'static str,
    },
    /// The PF (or the device) said no to something that the port cannot work without.
    #[error("{what} was refused by {by}: {remedy}")]
    Refused {
        /// What was asked.
        what: String,
        /// Who refused.
        by: &'static str,
        /// What to do.
        remedy: String,
    },
    /// A setting outside what the device or this library allows.
    #[error("{what} is {value}, but must be {allowed}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// The value given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The pool's memory is mapped for another IOMMU domain than the port's.
    #[error("the pool belongs to another DMA domain than the port {address}: make it with the same host that opened the port")]
    ForeignPool {
        /// The port's address.
        address: String,
    },
    /// The device answered with something that its data sheet does not allow.
    #[error("the device answered {what}, which its data sheet does not allow: {detail}")]
    Protocol {
        /// Which answer.
        what: &'static str,
        /// The offending value and what was expected.
        detail: String,
    },
    /// A call in a state in which it means nothing (`start` on a port that runs).
    #[error("{0}")]
    State(&'static str),
}

impl PortError {
    /// A setting outside what is allowed.
    pub fn setting(what: &'static str, value: impl fmt::Display, allowed: impl fmt::Display) -> Self {
        Self::Setting { what, value: value.to_string(), allowed: allowed.to_string() }
    }
}
