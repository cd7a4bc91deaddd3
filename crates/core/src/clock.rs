//! Time as waits see it: the system's. In tests and when a recording is replayed a thread has a time of its own, which passes only while it
//! waits, so that a device that never answers costs no time and every run is the same.

use std::time::{Duration, Instant};

/// Now.
pub fn now() -> Instant {
    if let Some(now) = simulated::now() {
        return now;
    }
    Instant::now()
}

/// Lets `time` pass.
pub fn pause(time: Duration) {
    if simulated::pause(time) {
        return;
    }
    std::thread::sleep(time);
}

pub use simulated::SimulatedTime;

mod simulated {
    use std::{
        cell::RefCell,
        fmt,
        marker::PhantomData,
        time::{Duration, Instant},
    };

    struct Clock {
        now: Instant,
        /// What else happens while somebody waits: away while it runs.
        on_pause: Option<Box<dyn FnMut()>>,
    }

    thread_local! {
        static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
    }

    /// As long as it lives, time passes for this thread only while it waits.
    pub struct SimulatedTime(PhantomData<*const ()>);

    impl SimulatedTime {
        /// Begins; `on_pause` is called at every pause, before time goes on.
        pub fn begin(on_pause: impl FnMut() + 'static) -> Self {
            CLOCK.set(Some(Clock { now: Instant::now(), on_pause: Some(Box::new(on_pause)) }));
            Self(PhantomData)
        }
    }

    impl Drop for SimulatedTime {
        fn drop(&mut self) {
            CLOCK.set(None);
        }
    }

    impl fmt::Debug for SimulatedTime {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("SimulatedTime")
        }
    }

    pub(super) fn now() -> Option<Instant> {
        CLOCK.with_borrow(|clock| clock.as_ref().map(|clock| clock.now))
    }

    /// False where the thread goes by the system's time.
    pub(super) fn pause(time: Duration) -> bool {
        let take = |clock: &mut Clock| {
            // A fuzzer's devices never answer most of the time: a limit is then reached after tens of looks in place of thousands.
            clock.now += if cfg!(fuzzing) { time * 100 } else { time };
            clock.on_pause.take()
        };
        let Some(on_pause) = CLOCK.with_borrow_mut(|clock| clock.as_mut().map(take)) else { return false };
        if let Some(mut on_pause) = on_pause {
            on_pause();
            CLOCK.with_borrow_mut(|clock| {
                if let Some(clock) = clock {
                    clock.on_pause = Some(on_pause);
                }
            });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_passes_only_in_pauses() {
        let mut pauses = 0;
        let before = Instant::now();
        {
            let calls = std::rc::Rc::new(std::cell::Cell::new(0));
            let counted = calls.clone();
            let _time = SimulatedTime::begin(move || counted.set(counted.get() + 1));
            let start = now();
            assert_eq!(now(), start);
            for _ in 0..3 {
                pause(Duration::from_secs(3600));
                pauses += 1;
            }
            assert_eq!((now() - start, calls.get()), (Duration::from_secs(3 * 3600), pauses));
        }
        assert!(now() - before < Duration::from_secs(3600), "the system's time is back");
    }
}
