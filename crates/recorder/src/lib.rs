//! A flight recorder of the control path: what a driver and its device said to one another, in a small ring in memory.
//!
//! Floor 2. [`Recorded`] wraps a function of whatever bus, [`RecordedPort`] the port that a driver made of it, and both write to one
//! [`Recorder`]: every call of the application, every register read and written on its behalf, configuration space, resets, events of the
//! bus, DMA regions by address and length, and what came of the call. Doorbells pass straight through: the packet path is the same code with
//! and without a recorder. No byte of a frame is ever recorded, nor anything else that lies in DMA memory.
//!
//! | module | what it owns |
//! |---|---|
//! | [`recording`] | what a recording is made of |
//! | `ring` | keeping it small: quiet calls and equal reads are folded, the oldest calls go first, the first ones never |
//! | [`recorder`] | the handles that are shared |
//! | `function`, `bar`, `port` | the wrappers |
//! | [`replay`] | a function that answers a driver from a recording, and says where the driver does something else |
//! | [`file`] | a recording as text, and back |
//!
//! Life cycle: a recorder is made when a function is opened, is written to as long as its port lives, and outlives both as long as somebody
//! holds it. It is always on; a lock, which only control paths take, guards it.

mod bar;
pub mod file;
mod function;
mod port;
pub mod recorder;
pub mod recording;
pub mod replay;
mod ring;

pub use bar::{RecordedBar, ReplayBar};
pub use function::Recorded;
pub use port::RecordedPort;
pub use recorder::{FlightRecorder, Recorder};
pub use recording::{Access, Call, CallKind, Failure, Operation, Outcome, PortName, Recording, Space, StartShape, Step, What};
