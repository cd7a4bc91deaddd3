//! What devices do to frames: find the headers, check and insert checksums, hash for receive-side scaling.
//!
//! Frames come from tests, links and drivers: every length in them is untrusted.

pub mod checksum;
mod headers;
mod rss;

pub use headers::{Headers, Network, Transport};
pub use rss::Rss;
