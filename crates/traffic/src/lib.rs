//! Test traffic: what is sent, when, and what became of it.
//!
//! Floor 2. A [`Tester`] owns queues of started ports and runs [`Trial`]s on one thread: it sends the frames of a [`Stream`] at a [`Rate`],
//! knows its own frames again where they come back, and gives an [`Outcome`] for each direction.
//!
//! | module | what it owns |
//! |---|---|
//! | [`range`], [`flow`], [`size`] | what is sent: ranges of addresses, flows, lengths |
//! | [`stream`], `layout`, `sum` | frames as templates |
//! | [`mark`] | the bytes by which a frame is known |
//! | [`rate`] | when each frame is due |
//! | [`replay`](mod@replay) | frames of a file |
//! | [`clock`] | the system's time, and a simulated one |
//! | `track`, [`outcome`] | loss, order, duplicates, damage, latency |
//! | [`tester`], `lane` | the loop |
//!
//! Deliberately not here: ports, threads, files. Nothing in the loop allocates, locks or calls the system, except to let others
//! run where it was told that they share its CPU.

#![forbid(unsafe_code)]

pub mod clock;
mod error;
pub mod flow;
mod lane;
mod layout;
mod live;
pub mod mark;
pub mod outcome;
pub mod range;
pub mod rate;
pub mod replay;
pub mod size;
pub mod stream;
mod sum;
pub mod tester;
mod track;

pub use clock::{Clock, SimulatedClock, SystemClock};
pub use error::TrafficError;
pub use flow::{Combine, Flow, FlowConfig, Protocol};
pub use hdrhistogram::Histogram;
pub use lane::{Direction, DirectionReader, DirectionStats};
pub use live::LatencySoFar;
pub use outcome::{FlowOutcome, Outcome};
pub use range::{Ranges, Vlan};
pub use rate::Rate;
pub use replay::{Recording, Replay};
pub use size::{Sizes, host_bytes, line_bytes, line_rate};
pub use stream::{Stream, StreamConfig};
pub use tester::{Tester, Trial, Until};
pub use track::WINDOW;
