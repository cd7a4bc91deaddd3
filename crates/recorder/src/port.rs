//! A port whose calls are recorded, with what came of them.

use crate::{
    recorder::Recorder,
    recording::{CallKind, StartShape},
};
use vfwire_core::{
    error::PortError,
    event::PortEvent,
    port::{Granted, Intent, Link, Port, PortConfig, PortInfo, PortState, Queues, Rss},
    stats::PortStats,
};

/// A port, and the recorder of its function.
#[derive(Debug)]
pub struct RecordedPort<P> {
    inner: P,
    recorder: Recorder,
}

impl<P: Port> RecordedPort<P> {
    /// Probes a function that is recorded by `recorder`, with the driver of this name.
    ///
    /// # Errors
    /// What `probe` says.
    pub fn probe(recorder: Recorder, driver: &str, probe: impl FnOnce() -> Result<P, PortError>) -> Result<Self, PortError> {
        recorder.begin_probe(driver);
        let result = probe();
        recorder.end(&result, result.as_ref().ok().map(Port::info), |port| Some(format!("{:?}", port.info())));
        Ok(Self { inner: result?, recorder })
    }

    /// Calls the port, and records what comes of it.
    fn call<T>(
        &mut self,
        kind: CallKind,
        call: impl FnOnce(&mut P) -> Result<T, PortError>,
        told: impl FnOnce(&T) -> Option<String>,
    ) -> Result<T, PortError> {
        self.recorder.begin(kind);
        let result = call(&mut self.inner);
        self.recorder.end(&result, Some(self.inner.info()), told);
        result
    }
}

impl<P: Port> Port for RecordedPort<P> {
    type Rx = P::Rx;
    type Tx = P::Tx;

    fn info(&self) -> &PortInfo {
        self.inner.info()
    }

    fn start(&mut self, config: &PortConfig) -> Result<Queues<P::Rx, P::Tx>, PortError> {
        let kind = CallKind::Start(Box::new(StartShape::of(config)));
        self.call(kind, |port| port.start(config), |queues| Some(format!("{:?}", queues.granted)))
    }

    fn stop(&mut self) -> Result<(), PortError> {
        self.call(CallKind::Stop, P::stop, |()| None)
    }

    fn apply(&mut self, intent: &Intent) -> Result<Granted, PortError> {
        self.call(CallKind::Apply(Box::new(intent.clone())), |port| port.apply(intent), |granted| Some(format!("{granted:?}")))
    }

    fn poll_control(&mut self) -> Result<Option<PortEvent>, PortError> {
        self.call(CallKind::Poll, P::poll_control, |event| event.as_ref().map(|event| format!("{event:?}")))
    }

    fn state(&self) -> PortState {
        self.inner.state()
    }

    fn link(&self) -> Link {
        self.inner.link()
    }

    fn stats(&mut self) -> PortStats {
        self.recorder.begin(CallKind::Stats);
        let stats = self.inner.stats();
        self.recorder.end(&Ok(()), Some(self.inner.info()), |()| None);
        stats
    }

    fn rss(&mut self) -> Result<Rss, PortError> {
        self.call(CallKind::Rss, P::rss, |rss| Some(format!("{rss:?}")))
    }
}

impl<P> Drop for RecordedPort<P> {
    fn drop(&mut self) {
        // The port itself is dropped next: what it does to the device belongs to this call.
        self.recorder.begin(CallKind::Close);
    }
}
