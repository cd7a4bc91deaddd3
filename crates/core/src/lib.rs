//! The packet path and the seams around it.
//!
//! Floor 1. Drivers (floor 2) are written against this crate alone and contain no unsafe code: everything that touches device memory
//! is here, or behind the seams that [`bus`] and [`dma`] define and that the VFIO and the simulated bus implement.
//!
//! | module | what it owns |
//! |---|---|
//! | [`bus`], [`bar`], [`dma`], [`cells`] | the seams to a device: its function, its registers, its memory |
//! | [`barrier`] | the only memory barriers, for every architecture |
//! | [`pool`], [`burst`], [`packet`], [`meta`] | buffers and the frames in them: what an application touches |
//! | [`ring`], [`path`] | descriptor rings: the loops that every frame goes through, one compilation per instruction set |
//! | [`port`], [`intent`], [`event`], [`queue`], [`stats`], [`turns`] | what an application calls and is told |
//! | [`life`], [`gate`], [`tally`] | the life of a port, the same for every driver, and what a driver implements of it |
//! | [`error`], [`poll`] | the closed list of errors; the one way to wait |

#[cfg(feature = "audit")]
pub mod audit;
pub mod bar;
pub mod barrier;
pub mod burst;
pub mod bus;
pub mod cells;
pub mod clock;
pub mod dma;
pub mod error;
pub mod event;
pub mod format;
pub mod gate;
mod home;
pub mod intent;
pub mod life;
pub mod meta;
pub mod packet;
pub mod path;
pub mod poll;
pub mod pool;
pub mod port;
pub mod queue;
pub mod ring;
mod stall;
pub mod stats;
mod sync;
pub mod tally;
mod totals;
pub mod turns;
