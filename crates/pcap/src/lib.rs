//! Files of frames, and filters on frames. Usable alone: nothing here knows of ports.

#![forbid(unsafe_code)]

mod format;
mod reader;

pub use reader::{ReadError, Reader, Record};
