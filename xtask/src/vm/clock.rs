//! What time the guest's monotonic clock shows when the host's shows a given one.
//!
//! The guest is asked before and after what is to be timed. An answer was read off the clock some time between the question and the answer's
//! arrival, and the quickest of several leaves the least doubt. Between the two times a line is drawn: an emulated clock runs at a constant
//! rate which is not quite the host's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::guest::Guest;

/// Most questions at one time.
const QUESTIONS: u32 = 12;
/// A doubt that is small enough to ask no more.
const GOOD: Duration = Duration::from_millis(15);

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    host: Instant,
    guest: Duration,
    /// How far they may be from each other, either way.
    pub(super) error: Duration,
}

impl Anchor {
    /// Asks the guest. Nothing should keep it busy, or the answer takes long.
    pub(super) fn ask(guest: &mut Guest) -> Result<Self> {
        let mut best = Self::ask_once(guest)?;
        for _ in 1..QUESTIONS {
            if best.error <= GOOD {
                break;
            }
            let anchor = Self::ask_once(guest)?;
            best = if anchor.error < best.error { anchor } else { best };
        }
        Ok(best)
    }

    fn ask_once(guest: &mut Guest) -> Result<Self> {
        let asked = Instant::now();
        let said = guest.run("now_ns")?;
        let answered = Instant::now();
        let guest = said.trim().parse().map(Duration::from_nanos).with_context(|| format!("the guest's clock says {said:?}"))?;
        let error = (answered - asked) / 2;
        Ok(Self { host: asked + error, guest, error })
    }
}

/// The clocks over some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    first: Anchor,
    last: Anchor,
}

impl Clock {
    pub(super) fn new(first: Anchor, last: Anchor) -> Result<Self> {
        ensure!(first.guest < last.guest && first.host < last.host, "the guest's clock stood still");
        Ok(Self { first, last })
    }

    /// How wrong [`host_time`](Self::host_time) may be, either way.
    pub(super) fn error(&self) -> Duration {
        self.first.error.max(self.last.error)
    }

    /// The host's time at a time of the guest between the anchors; just outside of them, the nearer one's.
    pub(super) fn host_time(&self, guest: Duration) -> Instant {
        let Self { first, last } = self;
        let (since, all) = (guest.saturating_sub(first.guest), last.guest - first.guest);
        let share = (since.as_secs_f64() / all.as_secs_f64()).min(1.0);
        first.host + (last.host - first.host).mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::{Anchor, Clock};
    use std::time::{Duration, Instant};

    #[test]
    fn a_clock_that_runs_slow_is_followed() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let first = Anchor { host: start, guest: ms(5000), error: ms(3) };
        let last = Anchor { host: start + ms(2000), guest: ms(6000), error: ms(5) };
        let clock = Clock::new(first, last).unwrap();
        assert_eq!(clock.error(), ms(5));
        for (guest, host) in [(5000, 0), (5250, 500), (6000, 2000), (4000, 0), (7000, 2000)] {
            assert_eq!(clock.host_time(ms(guest)), start + ms(host));
        }
        assert!(Clock::new(last, first).is_err());
    }
}
