//! Descriptor formats as constants: what lets one loop in [`ring`](crate::ring) serve every NIC with 16-byte descriptors on every
//! instruction set. A driver names its constants from `spec` here and holds no loop of its own.

use crate::meta::{RxWords, TxOffload};

/// A descriptor of two little-endian words.
pub type Desc = [u64; 2];

/// How a receive descriptor is given to the device and what it looks like when the device has written it. A posted one is
/// `[address of the data, 0]`; all constants are of the second word as written back.
pub trait RxFormat: Send + 'static {
    /// The descriptor is done.
    const DONE: u64;
    /// The frame ends in this descriptor's buffer.
    const END: u64;
    /// Where the 16-bit length of the data is.
    const LENGTH_AT: u32;
    /// Any of these bits: the frame arrived damaged and is to be dropped and counted.
    const ERROR: u64;
    /// How the words are read when the application asks.
    const WORDS: &'static RxWords;
}

/// How a frame is given to the device to be sent. A data descriptor is `[address, FIXED | lengths | flags]`.
pub trait TxFormat: Send + 'static {
    /// In the second word: the device is done with this descriptor and all before it.
    const DONE: u64;
    /// Bits of every data descriptor.
    const FIXED: u64;
    /// The last descriptor of a frame.
    const END: u64;
    /// Report when done.
    const REPORT: u64;
    /// Where the 16-bit length of this descriptor's data is.
    const LENGTH_AT: u32;
    /// Where the length of the whole frame is.
    const TOTAL_AT: u32;
    /// Shortest frame that the device takes, in bytes.
    const MIN_FRAME_BYTES: u32;
    /// The descriptor that has to precede the first frame of a ring, whatever that asks for; nothing where none is needed.
    const OPENING: Option<Desc> = None;
    /// The descriptor that has to precede a frame with these requests; nothing where none is needed.
    fn context(asked: TxOffload) -> Option<Desc>;
    /// Bits of the frame's data descriptors for these requests, and the length that counts as the whole frame's.
    fn request(asked: TxOffload, total_bytes: u64) -> (u64, u64);
}
