//! Results as a table of lines (RFC 4180): one figure a line, so that any number of results of any sizes go into one file.

use crate::result::{Measurement, PERCENTILES, SizeResult};
use std::fmt::Write;

/// Columns. `at` is the load that a figure belongs to, in frames a second, where it does.
const HEAD: &str = "result,started,simulated,partial,verdict,frame_bytes,figure,at_fps,value,unit\r\n";

pub(super) fn csv<'a>(results: impl Iterator<Item = (&'a str, &'a Measurement)>) -> String {
    let mut text = HEAD.to_owned();
    for (name, result) in results {
        let (partial, verdict) = (result.partial.is_some(), result.verdict.outcome.text());
        let head = [quoted(name), quoted(&result.started), result.simulated.to_string(), partial.to_string(), verdict.to_owned()].join(",");
        for size in &result.sizes {
            for (figure, at, value, unit) in figures(size) {
                let at = at.map(|at| at.to_string()).unwrap_or_default();
                // Writing to a string does not fail.
                let _ = write!(text, "{head},{},{},{at},{value},{unit}\r\n", size.frame_bytes, quoted(&figure));
            }
        }
    }
    text
}

type Figure = (String, Option<u64>, f64, &'static str);

fn figures(size: &SizeResult) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    let mut add = |figure: &str, at: Option<u64>, value: Option<f64>, unit| {
        figures.extend(value.map(|value| (figure.to_owned(), at, value, unit)));
    };
    let whole = |fps: Option<u64>| fps.map(|fps| fps as f64);
    add("line_rate", None, size.line_rate_fps, "fps");
    add("max_load", None, Some(size.max_load_fps as f64), "fps");
    for (name, found) in [("ndr", &size.ndr), ("pdr", &size.pdr)] {
        let Some(found) = found else { continue };
        add(&format!("{name}_lower"), None, whole(found.lower_fps), "fps");
        add(&format!("{name}_upper"), None, whole(found.upper_fps), "fps");
        add(&format!("{name}_conditional"), None, found.conditional_fps, "fps");
    }
    for point in &size.latency {
        let at = Some(point.load_fps);
        add("latency_loss", at, Some(point.loss_ratio), "ratio");
        let Some(latency) = &point.latency else { continue };
        add("latency_mean", at, Some(latency.mean_ns), "ns");
        for (percentile, &ns) in PERCENTILES.iter().zip(&latency.percentiles_ns) {
            add(&format!("latency_p{percentile}"), at, Some(ns as f64), "ns");
        }
    }
    for point in &size.loss {
        add("loss", Some(point.load_fps), Some(point.loss_ratio), "ratio");
    }
    if let Some(burst) = &size.back_to_back {
        add("back_to_back", None, Some(burst.frames), "frames");
    }
    add("cycles_per_frame", None, size.cycles_per_frame, "cycles");
    figures
}

/// A field, quoted where it must be. One that a spreadsheet would take for a formula is made plain text.
fn quoted(field: &str) -> String {
    let field = if field.starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}
