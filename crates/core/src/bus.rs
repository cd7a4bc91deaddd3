//! The seam to a PCI function: what VFIO and the simulated bus both offer, and all that a driver may ask of a bus.

use crate::{bar::Bar, dma::DmaSpace, error::BusError};
use std::{fmt, sync::Arc};
use vfwire_spec::{pci::PciId, reg::MmioWord};

/// A word of configuration space: `u8`, `u16` or `u32`. Sealed.
pub trait ConfigWord: MmioWord + sealed::Config {}
impl ConfigWord for u8 {}
impl ConfigWord for u16 {}
impl ConfigWord for u32 {}
mod sealed {
    pub trait Config {}
    impl Config for u8 {}
    impl Config for u16 {}
    impl Config for u32 {}
}

/// Which BAR: 0 to 5.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BarIndex(u8);

impl BarIndex {
    /// BAR 0, where most functions have their registers.
    pub const ZERO: Self = Self(0);

    /// BAR `index`, or nothing where a function has no such BAR (PCI Local Bus 3.0, 6.1: six of them).
    pub const fn new(index: u8) -> Option<Self> {
        if index < 6 { Some(Self(index)) } else { None }
    }

    /// 0 to 5.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for BarIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BAR{}", self.0)
    }
}

/// What a bus reports about a function by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BusEvent {
    /// The kernel wants the function back (unbind, `sriov_numvfs = 0`, hot unplug): everything that holds it must be dropped.
    RemoveRequested,
    /// The function reported an unrecoverable error (PCIe AER).
    Error,
}

/// One PCI function that is ours: opened, reset, allowed to do DMA, and nobody else's.
///
/// A bus hands out a function after a function-level reset and with bus mastering on. Dropping it resets the function again.
pub trait PciFunction: Send + 'static {
    /// Its kind of BAR.
    type Bar: Bar;

    /// Where it is, as the user wrote it: `0000:3b:02.1`, `sim:igbvf`.
    fn address(&self) -> &str;

    /// Vendor and device.
    fn id(&self) -> PciId;

    /// Reads a word of configuration space at `offset` bytes.
    ///
    /// # Errors
    /// [`BusError`] where the offset is outside configuration space or the system refuses.
    fn config_read<V: ConfigWord>(&self, offset: u16) -> Result<V, BusError>;

    /// Writes a word of configuration space at `offset` bytes.
    ///
    /// # Errors
    /// As [`config_read`](Self::config_read).
    fn config_write<V: ConfigWord>(&self, offset: u16, value: V) -> Result<(), BusError>;

    /// What the bus has to report since the last call; never blocks.
    fn poll_event(&self) -> Option<BusEvent>;

    /// Maps a BAR.
    ///
    /// # Errors
    /// [`BusError`] where the function has no such BAR or it cannot be mapped.
    fn map_bar(&self, index: BarIndex) -> Result<Self::Bar, BusError>;

    /// Where the function's DMA memory comes from. Set-up time only, so `dyn` costs nothing.
    fn dma(&self) -> Arc<dyn DmaSpace>;

    /// Function-level reset. When it returns, the function does no DMA until it is set up again.
    ///
    /// # Errors
    /// [`BusError`] where the function cannot be reset or the system refuses.
    fn reset(&self) -> Result<(), BusError>;
}
