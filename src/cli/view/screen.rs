//! What the view shows: the last samples, what was counted from a reset of the counters on, and a minute of rates. It knows no terminal.

use crate::cli::sample::{PortCounts, PortSample, Sample, WorkerCounts};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Over how long a rate is taken.
const WINDOW: Duration = Duration::from_secs(1);
/// Seconds that the curves show.
const HISTORY: usize = 60;

/// What is shown of a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tab {
    Ports,
    Workers,
    Latency,
}

impl Tab {
    pub(super) const ALL: [Self; 3] = [Self::Ports, Self::Workers, Self::Latency];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::Workers => "workers",
            Self::Latency => "latency",
        }
    }

    fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }
}

/// What a key asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Pause,
    Reset,
    Tab,
    Quit,
}

impl Key {
    /// The keys in what a terminal sent. What follows an escape is a key of several bytes, none of which is ours.
    pub(super) fn all_in(bytes: &[u8]) -> impl Iterator<Item = Self> + '_ {
        bytes.iter().take_while(|byte| **byte != 0x1b).filter_map(|byte| match byte {
            b'p' | b' ' => Some(Self::Pause),
            b'r' => Some(Self::Reset),
            b'\t' => Some(Self::Tab),
            // In raw mode the terminal makes no signal of Ctrl-C.
            b'q' | 3 => Some(Self::Quit),
            _ => None,
        })
    }
}

/// All that is shown but messages.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) title: String,
    pub(super) tab: Tab,
    pub(super) paused: bool,
    /// The oldest is at least [`WINDOW`] older than the last, as soon as there is one.
    recent: VecDeque<Arc<Sample>>,
    /// Counters are shown from here.
    baseline: Option<Arc<Sample>>,
    second: Option<Arc<Sample>>,
    /// Frames a second received by each port, the oldest first.
    history: Vec<VecDeque<u64>>,
}

impl Screen {
    pub(super) fn new(title: String) -> Self {
        Self { title, tab: Tab::Ports, paused: false, recent: VecDeque::new(), baseline: None, second: None, history: Vec::new() }
    }

    /// The sample that is shown.
    pub(super) fn sample(&self) -> Option<&Sample> {
        self.recent.back().map(|sample| &**sample)
    }

    /// How things are now. Where the view is paused, it stays as it was.
    pub(super) fn take(&mut self, sample: Arc<Sample>) {
        if self.paused {
            return;
        }
        let second = self.second.get_or_insert_with(|| sample.clone());
        let past = sample.at.saturating_sub(second.at);
        if past >= WINDOW {
            self.history.resize_with(sample.ports.len(), VecDeque::new);
            for (at, history) in self.history.iter_mut().enumerate() {
                let before = second.ports.get(at).map(|port| port.counts).unwrap_or_default();
                let frames = sample.ports[at].counts.since(&before).rx_frames;
                let a_second = u128::from(frames) * 1_000_000 / past.as_micros().max(1);
                history.push_back(u64::try_from(a_second).unwrap_or(u64::MAX));
                if history.len() > HISTORY {
                    history.pop_front();
                }
            }
            self.second = Some(sample.clone());
        }
        while self.recent.get(1).is_some_and(|next| sample.at.saturating_sub(next.at) >= WINDOW) {
            self.recent.pop_front();
        }
        self.recent.push_back(sample);
    }

    /// Does what a key asks for; what it asks of the command is not the screen's.
    pub(super) fn press(&mut self, key: Key) {
        match key {
            Key::Pause => {
                self.paused = !self.paused;
                if !self.paused {
                    // A rate over the pause would be none of now.
                    self.recent.drain(..self.recent.len().saturating_sub(1));
                    self.second = None;
                }
            }
            Key::Reset => self.baseline = self.recent.back().cloned(),
            Key::Tab => self.tab = self.tab.next(),
            Key::Quit => {}
        }
    }

    /// Whether counters are shown from a reset on.
    pub(super) fn is_reset(&self) -> bool {
        self.baseline.is_some()
    }

    /// Frames a second of the last minute.
    pub(super) fn history(&self, port: usize) -> Vec<u64> {
        self.history.get(port).map(|history| history.iter().copied().collect()).unwrap_or_default()
    }

    /// What a port counted since the reset of the counters, and in the last second with its length.
    pub(super) fn port(&self, at: usize) -> (PortCounts, PortCounts, Duration) {
        let counts = |sample: &Sample| sample.ports.get(at).map(|port: &PortSample| port.counts);
        let (now, before, past) = self.three(counts);
        (now.since(&before.0), now.since(&before.1), past)
    }

    /// As [`port`](Self::port), of a worker.
    pub(super) fn worker(&self, at: usize) -> (WorkerCounts, WorkerCounts, Duration) {
        let (now, before, past) = self.three(|sample| sample.workers.get(at).map(|worker| worker.counts));
        (now.since(&before.0), now.since(&before.1), past)
    }

    fn three<T: Default>(&self, of: impl Fn(&Sample) -> Option<T>) -> (T, (T, T), Duration) {
        let value = |sample: Option<&Arc<Sample>>| sample.and_then(|sample| of(sample)).unwrap_or_default();
        let (first, last) = (self.recent.front(), self.recent.back());
        let past = last.zip(first).map_or(Duration::ZERO, |(last, first)| last.at.saturating_sub(first.at));
        (value(last), (value(self.baseline.as_ref()), value(first)), past)
    }
}

/// Something a second; 0 where no time has passed.
pub(super) fn rate(count: u64, past: Duration) -> f64 {
    if past.is_zero() { 0.0 } else { count as f64 / past.as_secs_f64() }
}

/// A number with three digits and a prefix of the SI.
pub(super) fn short(value: f64) -> String {
    const PREFIXES: [&str; 5] = ["", "k", "M", "G", "T"];
    let (mut value, mut at) = (value, 0);
    while value >= 999.5 && at + 1 < PREFIXES.len() {
        value /= 1000.0;
        at += 1;
    }
    let digits = if at == 0 && value.fract() == 0.0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{}", PREFIXES[at])
}
