//! What cannot be, and what to do about it.

use std::fmt;

/// Something that was asked for cannot be. It names the thing, says why, and what to give in its place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}: {why}: {remedy}")]
pub struct TrafficError {
    what: String,
    why: String,
    remedy: String,
}

impl TrafficError {
    pub(crate) fn new(what: impl fmt::Display, why: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self { what: what.to_string(), why: why.to_string(), remedy: remedy.to_string() }
    }
}
