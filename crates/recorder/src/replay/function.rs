//! The function that a replayed driver holds.

use super::{Shared, lock};
use crate::{
    bar::ReplayBar,
    recording::{Access, Failure, PortName, Space, What, width},
};
use std::{fmt, sync::Arc};
use vfwire_core::{
    bus::{BarIndex, BusEvent, ConfigWord, PciFunction},
    dma::{DmaRegion, DmaSpace, DomainId},
    error::{BusError, DmaError},
};
use vfwire_spec::pci::PciId;

/// A function that answers from a recording.
pub struct ReplayFunction {
    address: String,
    id: PciId,
    dma: Arc<ReplayDma>,
    script: Shared,
}

impl ReplayFunction {
    pub(super) fn new(port: &PortName, space: Arc<dyn DmaSpace>, script: Shared) -> Self {
        let dma = Arc::new(ReplayDma { inner: space, script: script.clone() });
        Self { address: port.address.clone(), id: port.id, dma, script }
    }
}

impl fmt::Debug for ReplayFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplayFunction({}, {})", self.address, self.id)
    }
}

/// What the bus said then.
fn error(failure: Failure) -> BusError {
    if failure.gone { BusError::Gone } else { BusError::NotThere(failure.text) }
}

impl PciFunction for ReplayFunction {
    type Bar = ReplayBar;

    fn address(&self) -> &str {
        &self.address
    }

    fn id(&self) -> PciId {
        self.id
    }

    fn config_read<V: ConfigWord>(&self, offset: u16) -> Result<V, BusError> {
        let access = Access { space: Space::Config, offset: offset.into(), width_bytes: width::<V>(), value: 0 };
        lock(&self.script).read(access).map(V::from_u64).map_err(error)
    }

    fn config_write<V: ConfigWord>(&self, offset: u16, value: V) -> Result<(), BusError> {
        lock(&self.script).change(What::Write(Access::of(Space::Config, offset.into(), value))).map_err(error)
    }

    fn poll_event(&self) -> Option<BusEvent> {
        lock(&self.script).poll_event()
    }

    fn map_bar(&self, index: BarIndex) -> Result<ReplayBar, BusError> {
        let mut script = lock(&self.script);
        let len_bytes = script.bar_len_bytes(index.get());
        script.change(What::Bar { index: index.get(), len_bytes: len_bytes.unwrap_or(0) }).map_err(error)?;
        match len_bytes {
            Some(len_bytes) => Ok(ReplayBar::new(self.script.clone(), index.get(), len_bytes)),
            None => Err(BusError::NotThere(format!("{index} was not mapped when this was recorded"))),
        }
    }

    fn dma(&self) -> Arc<dyn DmaSpace> {
        self.dma.clone()
    }

    fn reset(&self) -> Result<(), BusError> {
        lock(&self.script).change(What::Reset).map_err(error)
    }
}

/// DMA memory that no device reaches.
struct ReplayDma {
    inner: Arc<dyn DmaSpace>,
    script: Shared,
}

impl DmaSpace for ReplayDma {
    fn domain(&self) -> DomainId {
        self.inner.domain()
    }

    fn alloc(&self, len_bytes: usize, align_bytes: usize) -> Result<DmaRegion, DmaError> {
        let region = self.inner.alloc(len_bytes, align_bytes)?;
        let what = What::Dma { iova: region.iova().0, len_bytes: region.len_bytes() as u64 };
        lock(&self.script).change(what).map_err(|failure| DmaError::Unavailable(failure.text))?;
        Ok(region)
    }
}
