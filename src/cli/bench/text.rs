//! The result in a few lines, for whoever has no page yet.

use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};
use vfwire_measure::result::{Measurement, SizeResult, Throughput};

pub(super) fn summary(measurement: &Measurement) -> String {
    let ports = if measurement.simulated { "simulated ports" } else { "real ports" };
    let mut text = format!("{}, {ports}\n\n", measurement.method.topology.text());
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{:>6}  {:>14}  {:>14}  {:>12}  {:>12}  {:>10}",
        "bytes", "NDR, pps", "PDR, pps", "p50 at half", "p99 at half", "burst"
    );
    for size in &measurement.sizes {
        let _ = writeln!(text, "{}", line(size));
    }
    for warning in &measurement.warnings {
        let _ = write!(text, "\nwarning: {}", warning.text);
    }
    let partial = measurement.partial.as_ref().map(|why| format!(", partial ({why})")).unwrap_or_default();
    let _ = write!(text, "\nverdict: {}{partial}", measurement.verdict.outcome.text());
    text
}

fn line(size: &SizeResult) -> String {
    let rate = |found: &Option<Throughput>| match found {
        None => "-".to_owned(),
        Some(Throughput { lower_fps: Some(fps), upper_fps: None, .. }) => format!(">= {fps}"),
        Some(Throughput { lower_fps: Some(fps), .. }) => fps.to_string(),
        Some(Throughput { upper_fps, .. }) => format!("< {}", upper_fps.unwrap_or_default()),
    };
    let half = size.latency.iter().find(|point| (point.share_of_pdr - 0.5).abs() < 0.01).and_then(|point| point.latency.as_ref());
    let us = |percentile| {
        half.and_then(|latency| latency.percentile_ns(percentile)).map_or("-".to_owned(), |ns| format!("{:.1} us", ns as f64 / 1e3))
    };
    let burst = size.back_to_back.as_ref().map_or("-".to_owned(), |burst| format!("{:.0}", burst.frames));
    format!("{:>6}  {:>14}  {:>14}  {:>12}  {:>12}  {burst:>10}", size.frame_bytes, rate(&size.ndr), rate(&size.pdr), us(50.0), us(99.0))
}

/// A time as RFC 3339 has it, in UTC.
pub(super) fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let length = |year: u64| if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) { 366 } else { 365 };
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let months = [31, length(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while month < 11 && days >= months[month] {
        days -= months[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}T{:02}:{:02}:{:02}Z", month + 1, days + 1, second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_764_075_600, "2025-11-25T13:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
