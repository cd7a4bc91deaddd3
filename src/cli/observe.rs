//! What a command shows of itself while it runs: metrics over HTTP (`--metrics`) and a view on a terminal (`--live`).
//!
//! Every command that moves frames takes [`ObserveOptions`] and goes the same way: [`ObserveOptions::open`] before ports are opened,
//! so that a port number that is taken is said at once; [`Observers::start`] when workers run, before the sandbox is closed;
//! [`Observers::show`] when it is; then, on its control thread, [`Observers::wait`] and, where [`Observers::is_due`], [`Observers::take`].

use super::{
    Failure,
    console::Console,
    control::Signals,
    life::Readiness,
    metrics::{Listener, Server},
    sample::Sample,
    sandbox::Sandbox,
};
use rustix::{thread::nanosleep, time::Timespec};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use vfwire::forward::TurnsReader;

/// How often a sample is taken where somebody looks.
const PERIOD: Duration = Duration::from_millis(250);

/// The options by which a user says what is shown.
#[derive(Clone, Default, Debug, clap::Args)]
pub(crate) struct ObserveOptions {
    /// Serve OpenMetrics on http://IP:PORT/metrics, with /livez and /readyz for probes: 127.0.0.1:9464, or port 0 for any that is free. In a
    /// pod, whose probes come from outside, 0.0.0.0:9464: whoever reaches the pod can read it
    #[arg(long, value_name = "IP:PORT")]
    metrics: Option<SocketAddr>,
}

impl ObserveOptions {
    /// Makes ready what was asked for.
    ///
    /// # Errors
    /// An address that cannot be listened at.
    pub(super) fn open(&self, console: &mut Console) -> Result<Observers, Failure> {
        let listener = self.metrics.map(Listener::bind).transpose()?;
        listener.iter().flat_map(Listener::notes).for_each(|note| console.say(&note));
        Ok(Observers { listener, server: None, last: None })
    }
}

/// Those who look at a command.
pub(super) struct Observers {
    listener: Option<Listener>,
    server: Option<Server>,
    last: Option<Instant>,
}

impl Observers {
    /// The sandbox that they can work in.
    pub(super) fn sandbox(&self, sandbox: Sandbox) -> Sandbox {
        sandbox.that_serves(self.listener.is_some() || self.server.is_some())
    }

    /// Starts the threads that they take. `polling` are the CPUs to stay away from.
    ///
    /// # Errors
    /// No thread.
    pub(super) fn start(&mut self, readiness: Readiness, workers: &[TurnsReader], polling: &[usize]) -> Result<(), Failure> {
        if let Some(listener) = self.listener.take() {
            self.server = Some(listener.serve(readiness, workers.to_vec(), polling)?);
        }
        Ok(())
    }

    /// Whether a new sample is wanted.
    pub(super) fn is_due(&self) -> bool {
        self.server.is_some() && self.last.is_none_or(|last| last.elapsed() >= PERIOD)
    }

    /// Shows how things are now.
    pub(super) fn take(&mut self, sample: Sample) {
        self.last = Some(Instant::now());
        if let Some(server) = &self.server {
            server.publish(Arc::new(sample));
        }
    }

    /// Waits so long, or until a signal or a key comes.
    pub(super) fn wait(&mut self, time: Duration, _signals: &Signals) {
        // `std::thread::sleep` would sleep on after a signal. One that comes just before costs a period.
        if let Ok(time) = Timespec::try_from(time) {
            let _ = nanosleep(&time);
        }
    }
}
