//! A function whose control path is recorded.

use crate::{
    bar::RecordedBar,
    recorder::Recorder,
    recording::{Access, Failure, Operation, Space, What, one_line, width},
};
use std::sync::Arc;
use vfwire_core::{
    bar::Bar,
    bus::{BarIndex, BusEvent, ConfigWord, PciFunction},
    dma::{DmaRegion, DmaSpace, DomainId},
    error::{BusError, DmaError},
};
use vfwire_spec::pci::PciId;

/// A function of whatever bus, and the recorder of all that is done with it.
#[derive(Debug)]
pub struct Recorded<F> {
    inner: F,
    recorder: Recorder,
}

impl<F: PciFunction> Recorded<F> {
    /// A function, recorded.
    pub fn new(inner: F, recorder: Recorder) -> Self {
        Self { inner, recorder }
    }

    fn step(&self, what: What) {
        self.recorder.step(self.recorder.now_ns(), what);
    }

    /// Records what an operation came to.
    fn note<T>(&self, operation: Operation, result: &Result<T, BusError>, done: impl FnOnce(&T) -> What) {
        self.step(match result {
            Ok(value) => done(value),
            Err(error) => What::Failed(Box::new(Failure::of(operation, error))),
        });
    }
}

impl<F: PciFunction> PciFunction for Recorded<F> {
    type Bar = RecordedBar<F::Bar>;

    fn address(&self) -> &str {
        self.inner.address()
    }

    fn id(&self) -> PciId {
        self.inner.id()
    }

    fn config_read<V: ConfigWord>(&self, offset: u16) -> Result<V, BusError> {
        let result = self.inner.config_read(offset);
        let operation = Operation::ConfigRead { offset, width_bytes: width::<V>() };
        self.note(operation, &result, |value| What::Read { access: Access::of(Space::Config, offset.into(), *value), times: 1 });
        result
    }

    fn config_write<V: ConfigWord>(&self, offset: u16, value: V) -> Result<(), BusError> {
        let result = self.inner.config_write(offset, value);
        let operation = Operation::ConfigWrite { offset, width_bytes: width::<V>() };
        self.note(operation, &result, |()| What::Write(Access::of(Space::Config, offset.into(), value)));
        result
    }

    fn poll_event(&self) -> Option<BusEvent> {
        let event = self.inner.poll_event();
        if let Some(event) = event {
            self.step(What::Event(event));
        }
        event
    }

    fn map_bar(&self, index: BarIndex) -> Result<Self::Bar, BusError> {
        let result = self.inner.map_bar(index);
        self.note(Operation::Bar(index.get()), &result, |bar| What::Bar { index: index.get(), len_bytes: bar.len_bytes() });
        Ok(RecordedBar::new(result?, self.recorder.clone(), index.get()))
    }

    fn dma(&self) -> Arc<dyn DmaSpace> {
        Arc::new(RecordedDma { inner: self.inner.dma(), recorder: self.recorder.clone() })
    }

    fn reset(&self) -> Result<(), BusError> {
        let result = self.inner.reset();
        self.note(Operation::Reset, &result, |()| What::Reset);
        result
    }
}

/// DMA memory whose addresses and lengths are recorded. What lies in it never is.
struct RecordedDma {
    inner: Arc<dyn DmaSpace>,
    recorder: Recorder,
}

impl DmaSpace for RecordedDma {
    fn domain(&self) -> DomainId {
        self.inner.domain()
    }

    fn alloc(&self, len_bytes: usize, align_bytes: usize) -> Result<DmaRegion, DmaError> {
        let result = self.inner.alloc(len_bytes, align_bytes);
        let what = match &result {
            Ok(region) => What::Dma { iova: region.iova().0, len_bytes: region.len_bytes() as u64 },
            Err(error) => What::Failed(Box::new(Failure {
                operation: Operation::Dma { len_bytes: len_bytes as u64 },
                gone: false,
                text: one_line(error),
            })),
        };
        self.recorder.step(self.recorder.now_ns(), what);
        result
    }
}
