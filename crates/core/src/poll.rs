//! The one way to wait: for something, at most so long.

use crate::{clock, error::PortError};
use std::time::Duration;

/// What to wait for, for how long, and what to tell the user when it does not come.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// What is awaited: "the PF's reply to RESET".
    pub what: &'static str,
    /// The longest that it may take.
    pub limit: Duration,
    /// What to do where it did not come.
    pub remedy: &'static str,
}

const FIRST_PAUSE: Duration = Duration::from_micros(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(1);
/// Looks that a device gets at least, however late it is.
const LOOKS_MIN: u32 = 10;

/// Asks `ready` until it gives a value or an error, or the limit passes. Pauses grow from 5 µs to 1 ms. `ready` is asked ten times at least,
/// the last time after the limit, so that a process that was not scheduled in between does not fail for that alone.
///
/// # Errors
/// What `ready` returns, or [`PortError::Timeout`].
pub fn poll_until<T>(wait: Wait, mut ready: impl FnMut() -> Result<Option<T>, PortError>) -> Result<T, PortError> {
    let start = clock::now();
    let (mut pause, mut looks) = (FIRST_PAUSE, 0);
    loop {
        looks += 1;
        let late = looks >= LOOKS_MIN && clock::now() - start >= wait.limit;
        if let Some(value) = ready()? {
            return Ok(value);
        }
        if late {
            return Err(PortError::Timeout { what: wait.what, waited: wait.limit, remedy: wait.remedy });
        }
        clock::pause(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Wait = Wait { what: "the third call", limit: Duration::from_millis(2), remedy: "wait longer" };

    #[test]
    fn gives_what_came() {
        let mut calls = 0;
        let got = poll_until(Wait { limit: Duration::from_secs(60), ..WAIT }, || {
            calls += 1;
            Ok((calls == 3).then_some(calls))
        });
        assert_eq!(got.unwrap(), 3);
    }

    #[test]
    fn ends_at_the_limit_and_says_for_what() {
        let text = poll_until(WAIT, || Ok(None::<()>)).unwrap_err().to_string();
        assert!(text.contains("the third call") && text.contains("wait longer"), "{text}");
    }

    #[test]
    fn a_process_that_is_not_scheduled_still_looks() {
        let _time = clock::SimulatedTime::begin(|| {});
        let mut calls = 0;
        let got = poll_until(WAIT, || {
            calls += 1;
            // Others have the processor for all of the limit.
            clock::pause(WAIT.limit);
            Ok((calls == LOOKS_MIN).then_some(calls))
        });
        assert_eq!(got.unwrap(), LOOKS_MIN);
    }

    #[test]
    fn an_error_ends_the_wait() {
        let mut calls = 0;
        let got = poll_until::<()>(WAIT, || {
            calls += 1;
            Err(PortError::State("no"))
        });
        assert!(got.is_err());
        assert_eq!(calls, 1);
    }
}
