//! A recording as text, and back: what a user attaches to a bug report.
//!
//! One line an item, so that it can be read, searched and cut down by hand:
//!
//! ```text
//! vfwire flight recording 1
//! port igbvf 8086:10ca sim:igbvf,spoofchk=off
//! call 120 times=1 lost=0 lost-steps=0 probe
//! 131 bar 0 16384
//! 245 write bar0 0x0000 4 0x04000000
//! 301 read bar0 0x0c40 4 0x00000000 x17
//! done said mac=02:00:00:00:00:01 PortInfo { … }
//! end 5
//! ```
//!
//! | line | what it says |
//! |---|---|
//! | `port DRIVER ID ADDRESS` | a port begins; its driver is `-` where none took it |
//! | `call NS times=N lost=N lost-steps=N KIND …` | a call of the application, and what it asked for ([`Call`](crate::Call)) |
//! | `NS read SPACE OFFSET WIDTH VALUE [xTIMES]`, `NS write …` | a word of a BAR (`bar0`) or of configuration space (`config`) |
//! | `NS bar INDEX LENGTH`, `NS dma IOVA LENGTH`, `NS reset`, `NS event …` | the other steps |
//! | `NS failed OPERATION … gone` or `other`, and a text | what the bus could not do |
//! | `done quiet` or `said`, `mac=…`, and a text | what came of the call |
//! | `end LINES` | the port ends; so many lines since `port` |
//!
//! NS are nanoseconds since the function was opened. There is no byte of a frame in it, nor of anything else in DMA memory; MAC addresses,
//! VLAN ids and PCI addresses are.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{FileError, MAX_FILE_BYTES, decode};
pub use encode::encode;

/// The first line. The number is the format's: a change of the meaning of a line is another number.
const MAGIC: &str = "vfwire flight recording 1";
/// What the first line of every version begins with.
const MAGIC_OF_ANY: &str = "vfwire flight recording ";
/// Stands for nothing.
const NONE: &str = "-";
