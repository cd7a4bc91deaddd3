//! Files of frames, and filters on frames. Usable alone: nothing here knows of ports.

#![forbid(unsafe_code)]

mod filter;
mod format;
mod reader;
mod writer;

pub use filter::{Filter, FilterError};
pub use reader::{ReadError, Reader, Record};
pub use writer::{Direction, Interface, Packet, Statistics, Writer};
