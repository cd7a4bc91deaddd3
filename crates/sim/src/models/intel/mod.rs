//! What the models of Intel's 1 and 10 gigabit VFs share: rings, frames, filters, the mailbox.
//!
//! | file | what |
//! |---|---|
//! | `path` | the queues of a VF, and the frames that go through them |
//! | `ring`, `rx`, `tx` | descriptor rings, and what RX and TX do with them |
//! | `offload`, `segments` | what the device changes in frames that it sends |
//! | `filters` | which frames the PF lets the VF receive and send |
//! | `mailbox` | the flags and memory between VF and PF |
//! | `counters` | what became of the frames |
//! | `hostile` | what a broken or evil device writes |
//! | `options` | what both devices may be told before they are made |
//!
//! What differs is in [`Rules`] and in the devices' own modules: where registers lie, what must be right when a queue is enabled, what
//! the PF answers.

pub(crate) mod counters;
pub(crate) mod filters;
pub(crate) mod mailbox;
pub(crate) mod offload;
pub(crate) mod options;
pub(crate) mod path;
pub(crate) mod ring;
pub(crate) mod rx;
pub(crate) mod segments;
pub(crate) mod tx;

mod hostile;

pub use counters::FrameCounters;
pub use hostile::Hostile;
pub use options::ReplyDelay;

use vfwire_spec::reg::{MmioWord, RegArray};

/// What the data sheets of the devices say differently, as far as frames and descriptors are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The longest frame that is sent, FCS included, in bytes; and the rule that says so.
    pub(crate) longest: (usize, &'static str),
    /// The most data descriptors of a frame.
    pub(crate) frame_desc: usize,
    /// Receive write-back, word 1: the TCP or UDP checksum is wrong.
    pub(crate) l4_error: u64,
    /// Receive write-back, word 1: the IPv4 header checksum is wrong.
    pub(crate) ip_error: u64,
    /// Erratum: a UDP frame over IPv4 that carries no checksum is said to have a wrong one.
    pub(crate) missing_checksum_is_wrong: bool,
    /// TCP segmentation is modelled.
    pub(crate) segments: bool,
    /// The check-context bit means something: the context that a data descriptor refers to must have been set.
    pub(crate) checks_context: bool,
    /// Malicious-driver detection: every data descriptor has that bit.
    pub(crate) detects_malice: bool,
    /// Several frames a report need a write-back threshold of 0, bits 22:16 of the queue's control register.
    pub(crate) reports_need_no_threshold: bool,
    /// Names of the tail registers.
    pub(crate) tails: [&'static str; 2],
}

/// The place in `array` of the register at `offset` bytes.
pub(crate) fn index_of<V: MmioWord, A>(array: RegArray<V, A>, offset: u32) -> Option<usize> {
    array.index_of(offset).map(|index| index as usize)
}
