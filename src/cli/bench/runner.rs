//! Makes the trials of a plan: with the tester, and with an eye on the ports.

use super::{
    control::Control,
    file::ResultFile,
    setup::Forwarder,
    tester::{Ended, Tester},
};
use crate::cli::{Failure, console::Console, control::Signals};
use std::time::{Duration, Instant};
use vfwire::forward::CostsUntil;
use vfwire_measure::{
    plan::{Bench, Limits, Offer},
    result::{Latency, Measurement, Purpose, SizeResult, Trial, line_rate_fps},
};

/// How often the status is shown.
const STATUS_PERIOD: Duration = Duration::from_secs(1);
/// How long is sent as fast as possible to know how fast that is.
const PROBE: Duration = Duration::from_millis(100);

const PROBES: usize = 3;

/// Why a measurement ended before its time.
pub(super) enum Ending {
    /// A signal asked for it.
    Asked,
    /// Something failed.
    Failed(Failure),
}

pub(super) struct Runner<'a> {
    pub(super) tester: Tester,
    pub(super) control: &'a Control,
    pub(super) signals: &'a Signals,
    pub(super) console: &'a mut Console,
    pub(super) forwarder: Option<&'a Forwarder>,
    pub(super) costs: Option<CostsUntil>,
    pub(super) start: Instant,
    pub(super) link_mbps: Option<u32>,
    pub(super) simulated: bool,
    pub(super) max_load: Option<u64>,
    pub(super) file: Option<&'a mut ResultFile>,
    /// What the file would be, were it over now.
    pub(super) summary: &'a dyn Fn(&[SizeResult]) -> Measurement,
    pub(super) left: Duration,
    pub(super) shown: Instant,
    pub(super) frame_bytes: u32,
}

impl Runner<'_> {
    fn make(&mut self, purpose: Purpose, offer: Offer) -> Result<Trial, Ending> {
        let at_s = self.start.elapsed().as_secs_f64();
        // What was before does not belong to the trial, but a port that is gone stays gone.
        self.events()?;
        let outcome = self.tester.trial(offer, self.signals.flag()).map_err(|ended| match ended {
            Ended::Interrupted => Ending::Asked,
            Ended::Impossible(error) => Ending::Failed(Failure::usage(error)),
        })?;
        let events = self.events()?;
        let counts = outcome.counts;
        let (load_fps, planned) = match offer {
            Offer::Load { fps: u64::MAX, .. } | Offer::Burst { .. } => (0, outcome.sending),
            Offer::Load { fps, duration } => (fps, duration),
        };
        let loss_ratio = (1.0 - counts.received as f64 / counts.intended.max(1) as f64).clamp(0.0, 1.0);
        let trial = Trial {
            purpose,
            at_s,
            load_fps,
            duration_s: planned.as_secs_f64(),
            counts,
            loss_ratio,
            longest_gap_ns: outcome.longest_gap_ns,
            latency: Latency::of(&outcome.latency_ns),
            events,
        };
        self.show(&trial);
        Ok(trial)
    }

    fn events(&self) -> Result<Vec<String>, Ending> {
        let events = self.control.events();
        match events.iter().find(|event| event.fatal) {
            Some(event) => Err(Ending::Failed(Failure::failed(format!("{}: what was measured until then is kept", event.text)))),
            None => Ok(events.into_iter().map(|event| event.text).collect()),
        }
    }

    fn show(&mut self, trial: &Trial) {
        if self.shown.elapsed() < STATUS_PERIOD {
            return;
        }
        let what = match trial.purpose {
            Purpose::WarmUp => "warming up",
            Purpose::Search => "searching the throughput",
            Purpose::Latency => "latency",
            Purpose::Loss => "loss",
            Purpose::BackToBack => "bursts",
        };
        let (bytes, mpps, lost) = (self.frame_bytes, trial.load_fps as f64 / 1e6, trial.loss_ratio * 100.0);
        let left = self.left.saturating_sub(self.shown.elapsed());
        self.left = left;
        self.shown = Instant::now();
        self.console.status(&format!("{bytes:5} bytes  {what}: {mpps:.3} Mpps, {lost:.3} % lost; about {} s left", left.as_secs()));
    }
}

impl Bench for Runner<'_> {
    type Error = Ending;

    fn size(&mut self, frame_bytes: u32) -> Result<(Limits, Vec<Trial>), Ending> {
        self.frame_bytes = frame_bytes;
        self.tester.frames_of(frame_bytes).map_err(Ending::Failed)?;
        self.costs = self.forwarder.map(|forwarder| forwarder.reader.costs());
        let probes = (0..PROBES).map(|_| self.make(Purpose::WarmUp, Offer::Load { fps: u64::MAX, duration: PROBE }));
        let probes = probes.collect::<Result<Vec<_>, _>>()?;
        // The best: the tester may have been kept from its CPU in the others.
        let sent = probes.iter().map(|probe| probe.counts.sent as f64 / probe.duration_s.max(1e-9)).fold(0.0, f64::max);
        let sent_fps = sent / self.tester.directions() as f64;
        let line_rate_fps = self.link_mbps.map(|mbps| line_rate_fps(mbps, frame_bytes));
        // A simulated wire carries what the processor can move.
        let most = line_rate_fps.filter(|_| !self.simulated).map_or(sent_fps, |line| line.min(sent_fps));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of frames")]
        let most = most as u64;
        let max_load_fps = self.max_load.unwrap_or(most).max(1);
        Ok((Limits { line_rate_fps, max_load_fps }, probes))
    }

    fn trial(&mut self, purpose: Purpose, offer: Offer) -> Result<Trial, Ending> {
        self.make(purpose, offer)
    }

    fn cycles_per_frame(&mut self) -> Option<f64> {
        self.forwarder?.reader.cycles_per_frame_since(self.costs.as_ref()?)
    }

    fn step_done(&mut self, sizes: &[SizeResult], left: Duration) -> Result<(), Ending> {
        self.left = left;
        let measurement = (self.summary)(sizes);
        self.file.as_mut().map_or(Ok(()), |file| file.write(&measurement, false)).map_err(Ending::Failed)
    }
}
