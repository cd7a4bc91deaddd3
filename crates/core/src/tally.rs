//! Counters of queues that come and go: a port's numbers never go back, whatever happens to its queues.
//!
//! Each start of a port makes new queues, each with counters of its own; those of earlier starts may still count (a queue that was not
//! dropped yet gives its buffers back, and says so). A tally sums them all, and folds a queue's numbers into one sum when it is gone.

use crate::stats::CountersReader;

/// The sums of one queue index over all starts.
#[derive(Debug)]
pub struct Tally<const N: usize> {
    gone: [u64; N],
    alive: Vec<CountersReader<N>>,
}

impl<const N: usize> Tally<N> {
    /// Nothing was counted.
    pub fn new() -> Self {
        Self { gone: [0; N], alive: Vec::new() }
    }

    /// Counts what `reader` counts, too.
    pub fn add(&mut self, reader: CountersReader<N>) {
        self.alive.push(reader);
    }

    /// The sums now.
    pub fn read(&mut self) -> [u64; N] {
        let gone = &mut self.gone;
        self.alive.retain(|reader| {
            let is_final = reader.is_final();
            if is_final {
                add(gone, reader.read());
            }
            !is_final
        });
        let mut sum = self.gone;
        self.alive.iter().for_each(|reader| add(&mut sum, reader.read()));
        sum
    }
}

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self::new()
    }
}

fn add<const N: usize>(sum: &mut [u64; N], more: [u64; N]) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::stats::Counters;

    #[test]
    fn what_was_counted_stays_counted() {
        let mut tally = Tally::<2>::new();
        let (mut first, mut second) = (Counters::new(), Counters::new());
        tally.add(first.reader());
        tally.add(second.reader());
        first.add::<0>(3);
        second.add::<1>(4);
        assert_eq!(tally.read(), [3, 4]);
        first.add::<0>(1);
        drop(first);
        assert_eq!(tally.read(), [4, 4]);
        assert_eq!(tally.alive.len(), 1);
        second.add::<0>(1);
        assert_eq!(tally.read(), [5, 4]);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::stats::Counters;
    use loom::thread;

    /// A queue that is dropped while its port is asked for statistics: sums never go back, and nothing is counted twice or lost.
    #[test]
    fn loom_a_queue_that_goes_leaves_its_count() {
        loom::model(|| {
            let mut tally = Tally::<1>::new();
            let mut counters = Counters::new();
            tally.add(counters.reader());
            let worker = thread::spawn(move || {
                counters.add::<0>(1);
                counters.add::<0>(2);
            });
            let mut last = [0];
            for _ in 0..3 {
                let now = tally.read();
                assert!(last <= now && now <= [3], "{last:?}, then {now:?}");
                last = now;
            }
            worker.join().unwrap();
            assert_eq!((tally.read(), tally.alive.len()), ([3], 0));
        });
    }
}
