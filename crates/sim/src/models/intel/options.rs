//! What both devices may be told before they are made.

use std::time::Duration;
use vfwire_spec::net::MacAddr;

/// How long the PF takes to answer a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyDelay {
    /// Its acknowledgement comes with the `n`-th read of the mailbox register after the request (0: with the first), its answer `n`
    /// reads later. So a driver in the only thread sees the same every time.
    Polls(u32),
    /// Both come after this time.
    Time(Duration),
}

/// Whole milliseconds.
pub(crate) fn whole_ms(key: &str, value: &str) -> Result<Duration, String> {
    value.parse().map(Duration::from_millis).map_err(|_| format!("{key}={value}: give whole milliseconds"))
}

/// An address of one station.
pub(crate) fn unicast(value: &str) -> Result<MacAddr, String> {
    let mac: MacAddr = value.parse().map_err(|error| format!("mac={value}: {error}"))?;
    if mac.is_unicast() { Ok(mac) } else { Err(format!("mac={value}: this is no address of one station")) }
}

/// `on` or `off`.
pub(crate) fn on_off(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{key}={value}: give on or off")),
    }
}

/// One of a few numbers.
pub(crate) fn one_of(key: &str, value: &str, allowed: &[u32]) -> Result<u32, String> {
    let number = value.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| format!("{key}={value}: give one of {allowed:?}"))
}
