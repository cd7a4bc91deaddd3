//! Notices a transmit queue of which a device reports nothing sent any more, though it is fed: a completion that was lost, or a device that
//! hangs. Nothing else would ever end that.
//!
//! The packet path takes no part: it counts frames, and calls that found the ring full, which is out of its way. A queue whose second count
//! grows and whose first does not has had no room for a frame since then. An idle application, one that does not poll and one that sends
//! little make no such calls; a device that is slow, or whose peer pauses it, lets a frame through now and then.

use crate::{queue::tx_counter, tally::Tally};
use std::time::{Duration, Instant};

/// The transmit queues of a start.
#[derive(Debug)]
pub(crate) struct Stall {
    /// Nothing: nobody wants to know.
    limit: Option<Duration>,
    queues: Vec<Watch>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    frames: u64,
    full_polls: u64,
    /// It has been full since then, as far as is known.
    since: Option<Instant>,
}

impl Stall {
    pub(crate) fn new(queues: u16, limit: Option<Duration>) -> Self {
        Self { limit, queues: vec![Watch::default(); queues.into()] }
    }

    /// Whether a queue was fed for as long as the limit without any progress, by what the queues have counted until `now`.
    pub(crate) fn look(&mut self, totals: &mut [Tally<{ tx_counter::COUNT }>], now: Instant) -> bool {
        let Some(limit) = self.limit else { return false };
        let mut stalled = false;
        for (watch, total) in self.queues.iter_mut().zip(totals) {
            let counted = total.read();
            stalled |= watch.look(counted[tx_counter::FRAMES], counted[tx_counter::FULL_POLLS], now, limit);
        }
        stalled
    }

    /// What was seen until now says nothing about what comes.
    pub(crate) fn forget(&mut self) {
        self.queues.iter_mut().for_each(|watch| watch.since = None);
    }
}

impl Watch {
    fn look(&mut self, frames: u64, full_polls: u64, now: Instant, limit: Duration) -> bool {
        let has_sent = frames != std::mem::replace(&mut self.frames, frames);
        let was_fed = full_polls != std::mem::replace(&mut self.full_polls, full_polls);
        if has_sent {
            self.since = None;
        }
        // A queue that has sent since the last look may have been full before that.
        was_fed && !has_sent && now.duration_since(*self.since.get_or_insert(now)) >= limit
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::stats::Counters;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Looks once a second at what each second's worker did: frames, and calls that found the ring full. After which one it is a stall.
    fn first_stall(limit: Option<Duration>, seconds: impl IntoIterator<Item = (u64, u64)>) -> Option<usize> {
        let mut counters = Counters::new();
        let mut totals = [Tally::new()];
        totals[0].add(counters.reader());
        let (mut stall, start) = (Stall::new(1, limit), Instant::now());
        seconds.into_iter().enumerate().position(|(second, (frames, full_polls))| {
            counters.add::<{ tx_counter::FRAMES }>(frames);
            counters.add::<{ tx_counter::FULL_POLLS }>(full_polls);
            stall.look(&mut totals, start + Duration::from_secs(second as u64))
        })
    }

    #[test]
    fn fed_without_progress() {
        let fed = [(9, 0), (3, 7), (0, 7), (0, 7), (0, 7), (0, 7), (0, 7), (0, 7), (0, 7)];
        assert_eq!(first_stall(Some(LIMIT), fed), Some(7), "five seconds after the first look without progress");
        assert_eq!(first_stall(None, fed.into_iter().cycle().skip(2).take(1000)), None, "nobody wants to know");
    }

    #[test]
    fn what_is_no_stall() {
        assert_eq!(first_stall(Some(LIMIT), [(0, 0); 60]), None, "idle");
        assert_eq!(first_stall(Some(LIMIT), [(0, 9), (0, 0)].into_iter().chain([(0, 0); 60])), None, "fed no more");
        assert_eq!(first_stall(Some(LIMIT), [(1, 9), (0, 9), (0, 9), (0, 9), (0, 9)].into_iter().cycle().take(60)), None, "slow");
    }

    #[test]
    fn time_that_is_forgotten_does_not_count() {
        let mut watch = Watch::default();
        let start = Instant::now();
        assert!(!watch.look(0, 1, start, LIMIT));
        watch.since = None;
        assert!(!watch.look(0, 2, start + LIMIT, LIMIT));
        assert!(watch.look(0, 3, start + 2 * LIMIT, LIMIT));
    }
}
