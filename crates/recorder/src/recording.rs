//! What a recording is made of: calls of the application, and the steps that each of them took.

use std::fmt;
use vfwire_core::{
    bus::BusEvent,
    error::BusError,
    port::{Intent, PortConfig},
};
use vfwire_spec::{net::MacAddr, pci::PciId, reg::MmioWord};

/// What was recorded of one port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// Whose it is.
    pub port: PortName,
    /// The calls, oldest first.
    pub calls: Vec<Call>,
}

impl Recording {
    /// Calls that had to make room, in all.
    pub fn lost_calls(&self) -> u64 {
        self.calls.iter().map(|call| call.lost_before).sum()
    }
}

/// Whose recording it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortName {
    /// Where the function is, as the user wrote it.
    pub address: String,
    /// The driver's name; nothing where no driver took the function.
    pub driver: String,
    /// Vendor and device.
    pub id: PciId,
}

/// A call of the application, and everything that was done on its behalf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// When it began, in nanoseconds since the function was opened.
    pub at_ns: u64,
    /// Which.
    pub kind: CallKind,
    /// How many calls of this kind it stands for: quiet ones, that only read registers and had nothing to say. The steps are the last one's.
    pub times: u64,
    /// Calls before it that had to make room.
    pub lost_before: u64,
    /// Steps that had to make room, after the first [`FIRST_STEPS`] of this call.
    pub lost_steps: u64,
    /// What was done.
    pub steps: Vec<Step>,
    /// What came of it; nothing where it did not return, or was not asked for an answer.
    pub outcome: Option<Outcome>,
}

/// Steps of a call that never make room for later ones.
pub const FIRST_STEPS: usize = 768;

impl Call {
    /// A call that begins.
    pub(crate) fn new(at_ns: u64, kind: CallKind) -> Self {
        Self { at_ns, kind, times: 1, lost_before: 0, lost_steps: 0, steps: Vec::new(), outcome: None }
    }

    /// It only looked: nothing was changed and nothing happened.
    pub fn is_quiet(&self) -> bool {
        let only_read = self.steps.iter().all(|step| matches!(step.what, What::Read { .. }));
        only_read && self.kind.may_be_quiet() && self.outcome.as_ref().is_some_and(|outcome| outcome.quiet)
    }
}

/// What an application calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallKind {
    /// The driver takes the function.
    Probe,
    /// `Port::start`.
    Start(Box<StartShape>),
    /// `Port::stop`.
    Stop,
    /// `Port::apply`.
    Apply(Box<Intent>),
    /// `Port::poll_control`.
    Poll,
    /// `Port::stats`.
    Stats,
    /// `Port::rss`.
    Rss,
    /// The port is dropped.
    Close,
}

impl CallKind {
    /// Its name in files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Start(_) => "start",
            Self::Stop => "stop",
            Self::Apply(_) => "apply",
            Self::Poll => "poll",
            Self::Stats => "stats",
            Self::Rss => "rss",
            Self::Close => "close",
        }
    }

    const fn may_be_quiet(&self) -> bool {
        matches!(self, Self::Poll | Self::Stats)
    }
}

/// What of a `PortConfig` a device comes to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartShape {
    /// Receive and transmit queues.
    pub queue_pairs: u16,
    /// Descriptors of each receive ring.
    pub rx_desc: u16,
    /// Descriptors of each transmit ring.
    pub tx_desc: u16,
    /// Bytes of a buffer that a frame may fill.
    pub room_bytes: u32,
    /// How long a recovery may go on failing, in milliseconds.
    pub recovery_limit_ms: u64,
    /// What is asked for.
    pub intent: Intent,
}

impl StartShape {
    /// The shape of a start.
    pub fn of(config: &PortConfig) -> Self {
        Self {
            queue_pairs: config.queue_pairs,
            rx_desc: config.rx_desc,
            tx_desc: config.tx_desc,
            room_bytes: config.pool.data_bytes(),
            recovery_limit_ms: u64::try_from(config.recovery_limit.as_millis()).unwrap_or(u64::MAX),
            intent: config.intent.clone(),
        }
    }
}

/// What came of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Nothing has happened.
    pub quiet: bool,
    /// The port's own address after it; nothing where there is no port.
    pub mac: Option<MacAddr>,
    /// What it answered, as one line.
    pub text: String,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// When, in nanoseconds since the function was opened.
    pub at_ns: u64,
    /// What.
    pub what: What,
}

/// What a step is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A word was read.
    Read {
        /// Where, and what it was.
        access: Access,
        /// So many times in turn, the first of them at the step's time.
        times: u32,
    },
    /// A word was written.
    Write(Access),
    /// A BAR was mapped.
    Bar {
        /// Which.
        index: u8,
        /// Its length in bytes.
        len_bytes: u32,
    },
    /// DMA memory was had.
    Dma {
        /// Where the device sees it.
        iova: u64,
        /// Its length in bytes.
        len_bytes: u64,
    },
    /// The function was reset.
    Reset,
    /// The bus reported an event.
    Event(BusEvent),
    /// The bus could not do it.
    Failed(Box<Failure>),
}

/// Where a word is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Space {
    /// In a BAR.
    Bar(u8),
    /// In configuration space.
    Config,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bar(index) => write!(f, "bar{index}"),
            Self::Config => f.write_str("config"),
        }
    }
}

/// A word that was read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Where it is.
    pub space: Space,
    /// Its width in bytes: 1, 2, 4 or 8.
    pub width_bytes: u8,
    /// At which byte of the space.
    pub offset: u32,
    /// Its value.
    pub value: u64,
}

impl Access {
    /// Of a typed word.
    pub fn of<V: MmioWord>(space: Space, offset: u32, value: V) -> Self {
        Self { space, width_bytes: width::<V>(), offset, value: value.to_u64() }
    }

    /// The same word, whatever its value.
    pub fn is_at(&self, other: &Self) -> bool {
        (self.space, self.offset, self.width_bytes) == (other.space, other.offset, other.width_bytes)
    }
}

/// Width of a word in bytes.
pub(crate) fn width<V: MmioWord>() -> u8 {
    u8::try_from(V::BYTES).unwrap_or(u8::MAX)
}

/// Something that the bus could not do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What.
    pub operation: Operation,
    /// The device did not answer any more.
    pub gone: bool,
    /// What the bus said, as one line.
    pub text: String,
}

impl Failure {
    /// Of a bus that said so.
    pub fn of(operation: Operation, error: &BusError) -> Self {
        Self { operation, gone: matches!(error, BusError::Gone), text: one_line(error) }
    }
}

/// What a bus may fail to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Read a word of configuration space.
    ConfigRead {
        /// At which byte.
        offset: u16,
        /// Its width in bytes.
        width_bytes: u8,
    },
    /// Write a word of configuration space.
    ConfigWrite {
        /// At which byte.
        offset: u16,
        /// Its width in bytes.
        width_bytes: u8,
    },
    /// Map a BAR.
    Bar(u8),
    /// Reset the function.
    Reset,
    /// Give DMA memory of so many bytes.
    Dma {
        /// Its length in bytes.
        len_bytes: u64,
    },
}

/// A text without line ends or other control characters.
pub(crate) fn one_line(text: impl fmt::Display) -> String {
    text.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}
