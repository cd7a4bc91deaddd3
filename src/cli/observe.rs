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
    view::{self, View},
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
    /// A view of ports, workers and latencies on the terminal, where stdin and stderr are one; lines elsewhere. NO_COLOR takes its colours
    #[arg(long)]
    live: bool,
}

impl ObserveOptions {
    /// Makes ready what was asked for.
    ///
    /// # Errors
    /// An address that cannot be listened at.
    pub(super) fn open(&self, console: &mut Console) -> Result<Observers, Failure> {
        let listener = self.metrics.map(Listener::bind).transpose()?;
        listener.iter().flat_map(Listener::notes).for_each(|note| console.say(&note));
        let live = self.live && view::is_possible();
        Ok(Observers { listener, server: None, live, view: None, last: None })
    }
}

/// Those who look at a command.
pub(super) struct Observers {
    listener: Option<Listener>,
    server: Option<Server>,
    /// There is to be a view.
    live: bool,
    view: Option<View>,
    last: Option<Instant>,
}

impl Observers {
    /// The sandbox that they can work in.
    pub(super) fn sandbox(&self, sandbox: Sandbox) -> Sandbox {
        sandbox.that_serves(self.listener.is_some() || self.server.is_some()).that_draws(self.live)
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

    /// Shows the view, which has the terminal from now on: what the console is told waits until it is gone.
    ///
    /// # Errors
    /// A terminal that cannot be set.
    pub(super) fn show(&mut self, title: String, console: &mut Console) -> Result<(), Failure> {
        if self.live {
            console.hold();
            self.view = Some(View::show(title)?);
        }
        Ok(())
    }

    /// Ends the view, and gives the terminal back to the console.
    pub(super) fn hide(&mut self, console: &mut Console) {
        self.view = None;
        console.release();
    }

    /// Whether a new sample is wanted.
    pub(super) fn is_due(&self) -> bool {
        (self.server.is_some() || self.view.is_some()) && self.last.is_none_or(|last| last.elapsed() >= PERIOD)
    }

    /// Shows how things are now.
    pub(super) fn take(&mut self, sample: Sample, console: &Console) {
        self.last = Some(Instant::now());
        let sample = Arc::new(sample);
        if let Some(server) = &self.server {
            server.publish(sample.clone());
        }
        if let Some(view) = &mut self.view {
            view.take(sample, console);
        }
    }

    /// Waits so long, or until a signal or a key comes. A key that ends asks as SIGINT does.
    pub(super) fn wait(&mut self, time: Duration, signals: &Signals, console: &Console) {
        if let Some(view) = &mut self.view {
            if view.wait(time, console) {
                signals.ask();
            }
        } else if let Ok(time) = Timespec::try_from(time) {
            // `std::thread::sleep` would sleep on after a signal. One that comes just before costs a period.
            let _ = nanosleep(&time);
        }
    }

    /// Whether a view will have the terminal.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }
}
