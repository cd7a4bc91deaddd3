//! Which drawings a report has, and what is in them.

use super::{
    Named,
    chart::{Axis, Chart, number},
    units,
};
use crate::result::{Latency, LatencyPoint, PERCENTILES, SizeResult, Throughput};
use std::collections::BTreeSet;

/// A drawing with what is written beside it.
pub(super) struct Plot {
    pub(super) title: String,
    /// What is to be seen in it, in words.
    pub(super) caption: String,
    /// What each colour is.
    pub(super) legend: Vec<String>,
    pub(super) chart: Chart,
}

/// All sizes of frame in the results, in order.
pub(super) fn sizes(results: &[Named<'_>]) -> Vec<u32> {
    results.iter().flat_map(|named| named.result.sizes.iter().map(|size| size.frame_bytes)).collect::<BTreeSet<_>>().into_iter().collect()
}

pub(super) fn size_of<'a>(named: &Named<'a>, frame_bytes: u32) -> Option<&'a SizeResult> {
    named.result.sizes.iter().find(|size| size.frame_bytes == frame_bytes)
}

/// A line rate that is that many times the highest bar is not drawn: the bars could not be read.
const LINE_RATE_MOST: f64 = 3.0;

/// Throughput by size: NDR in full colour, what PDR has beyond it in a light one.
pub(super) fn throughput(results: &[Named<'_>]) -> Option<Plot> {
    let lower = |throughput: &Option<Throughput>| throughput.as_ref().and_then(|found| found.lower_fps).map(|fps| fps as f64 / 1e6);
    let sizes = sizes(results);
    let all = || results.iter().flat_map(|named| &named.result.sizes);
    let bars = all().flat_map(|size| [lower(&size.ndr), lower(&size.pdr)]).flatten().fold(0.0, f64::max);
    if bars == 0.0 {
        return None;
    }
    let line_rates: Vec<f64> = all().filter_map(|size| size.line_rate_fps).map(|fps| fps / 1e6).collect();
    let drawn = |rate: f64| rate <= bars * LINE_RATE_MOST;
    let top = line_rates.iter().copied().filter(|&rate| drawn(rate)).fold(bars, f64::max);
    let x = bands("frame length with FCS, bytes", sizes.iter().map(ToString::to_string));
    let mut chart = Chart::new(x, Axis::from_zero("million frames a second", top * 1.04));
    for (band, &bytes) in sizes.iter().enumerate() {
        for (series, named) in results.iter().enumerate() {
            let Some(size) = size_of(named, bytes) else { continue };
            let place = bar_place(band, series, results.len());
            let (ndr, pdr) = (lower(&size.ndr).unwrap_or(0.0), lower(&size.pdr).unwrap_or(0.0));
            chart.bar(series, place, (0.0, ndr), 1.0);
            if pdr > ndr {
                chart.bar(series, place, (ndr, pdr), 0.4);
            }
            if let Some(rate) = size.line_rate_fps.map(|fps| fps / 1e6).filter(|&rate| drawn(rate)) {
                chart.mark((place.0 - 0.02, place.1 + 0.02), rate);
            }
        }
    }
    let beyond = line_rates.iter().any(|&rate| !drawn(rate));
    let marks = match (line_rates.iter().any(|&rate| drawn(rate)), beyond) {
        (true, false) => "The mark across a bar is the line rate.",
        (true, true) => "The mark across a bar is the line rate; where there is none, it is far above the drawing.",
        (false, true) => "The line rate is far above the drawing; the table has it.",
        (false, false) => "No port said how fast its line is.",
    };
    let caption = format!("Full colour: NDR, no frame lost. Light on top of it: what PDR bears more, with a small share lost. {marks}");
    Some(Plot { title: "Throughput by frame length".to_owned(), caption, legend: names(results), chart })
}

/// Cycles a frame, of forwarders that ran in the measuring process.
pub(super) fn cycles(results: &[Named<'_>]) -> Option<Plot> {
    let sizes = sizes(results);
    let most = results.iter().flat_map(|named| &named.result.sizes).filter_map(|size| size.cycles_per_frame).fold(0.0, f64::max);
    if most == 0.0 {
        return None;
    }
    let x = bands("frame length with FCS, bytes", sizes.iter().map(ToString::to_string));
    let mut chart = Chart::new(x, Axis::from_zero("cycles a frame", most * 1.04));
    for (band, &bytes) in sizes.iter().enumerate() {
        for (series, named) in results.iter().enumerate() {
            if let Some(cycles) = size_of(named, bytes).and_then(|size| size.cycles_per_frame) {
                chart.bar(series, bar_place(band, series, results.len()), (0.0, cycles), 1.0);
            }
        }
    }
    let caption =
        "Ticks of the cycle counter for receive, stage and transmit: the median over batches of polls that moved frames.".to_owned();
    Some(Plot { title: "Cycles a frame of the forwarder".to_owned(), caption, legend: names(results), chart })
}

/// Latency percentiles. Of one result: a drawing for each size with a curve for each load. Of several: one for each size, at half of the
/// PDR, with a curve for each result.
pub(super) fn latency(results: &[Named<'_>]) -> Vec<Plot> {
    sizes(results).into_iter().filter_map(|bytes| latency_of_size(results, bytes)).collect()
}

fn latency_of_size(results: &[Named<'_>], bytes: u32) -> Option<Plot> {
    let curves: Vec<(String, Vec<(f64, f64)>)> = match results {
        [one] => size_of(one, bytes)?.latency.iter().filter_map(|point| Some((at_load(point), curve(point.latency.as_ref()?)))).collect(),
        several => {
            let of = |named: &Named<'_>| size_of(named, bytes).and_then(half_of_pdr).and_then(|point| point.latency.as_ref()).map(curve);
            several.iter().map(|named| (named.name.clone(), of(named).unwrap_or_default())).collect()
        }
    };
    let values = || curves.iter().flat_map(|(_, points)| points.iter().map(|(_, ns)| *ns));
    values().next()?;
    let y = Axis::logarithmic("latency", values(), units::time);
    let last = curves.iter().flat_map(|(_, points)| points.iter().map(|(nines, _)| *nines)).fold(1.0, f64::max);
    let ticks = [(0.0, "0"), (1.0, "90"), (2.0, "99"), (3.0, "99.9"), (4.0, "99.99"), (5.0, "99.999")];
    let x = Axis {
        title: "percentile".to_owned(),
        min: 0.0,
        max: last,
        ticks: ticks.into_iter().filter(|(at, _)| *at <= last).map(|(at, text)| (at, text.to_owned())).collect(),
    };
    let mut chart = Chart::new(x, y);
    for (series, (_, points)) in curves.iter().enumerate() {
        let points: Vec<_> = points.iter().map(|(nines, ns)| (*nines, ns.max(1.0).log10())).collect();
        chart.line(series, &points, true);
    }
    let loads = if results.len() == 1 { "at shares of the PDR" } else { "at half of each one's PDR" };
    let caption = format!(
        "{bytes} byte frames {loads}. Both axes are logarithmic: each step to the right is ten times as rare. Percentiles of which fewer than ten frames tell are left out; the table has them."
    );
    Some(Plot {
        title: format!("Latency of {bytes} byte frames"),
        caption,
        legend: curves.into_iter().map(|(name, _)| name).collect(),
        chart,
    })
}

/// How a load is called.
pub(super) fn at_load(point: &LatencyPoint) -> String {
    format!("{:.0} % of PDR", point.share_of_pdr * 100.0)
}

/// The point that is nearest to half of the PDR.
pub(super) fn half_of_pdr(size: &SizeResult) -> Option<&LatencyPoint> {
    size.latency.iter().min_by(|a, b| (a.share_of_pdr - 0.5).abs().total_cmp(&(b.share_of_pdr - 0.5).abs()))
}

/// Percentiles as the number of nines, with nanoseconds.
fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    /// Fewer frames than that beyond a percentile are chance.
    const FRAMES_BEYOND: f64 = 10.0;
    let kept = PERCENTILES.iter().zip(&latency.percentiles_ns);
    let beyond = |percentile: f64| latency.frames as f64 * (1.0 - percentile / 100.0);
    let told = kept.filter(|(percentile, _)| **percentile < 100.0 && (**percentile <= 50.0 || beyond(**percentile) >= FRAMES_BEYOND));
    told.map(|(percentile, &ns)| (-(1.0 - percentile / 100.0).log10(), ns as f64)).collect()
}

/// Loss by load. Of one result: all sizes in one drawing, over the share of the highest load. Of several: a drawing for each size.
pub(super) fn loss(results: &[Named<'_>]) -> Vec<Plot> {
    if let [one] = results {
        let lines: Vec<_> = one.result.sizes.iter().filter(|size| !size.loss.is_empty()).collect();
        let points = |size: &&SizeResult| size.loss.iter().map(|point| (point.share_of_max * 100.0, point.loss_ratio * 100.0)).collect();
        let curves = lines.iter().map(|size| (format!("{} bytes", size.frame_bytes), points(size))).collect();
        return loss_plot(
            "Loss by load".to_owned(),
            "load, % of the highest load",
            "Share of the highest load that was tried, of each length.",
            curves,
        );
    }
    let of_size = |bytes: u32| {
        let points = |named: &Named<'_>| -> Vec<(f64, f64)> {
            let points = size_of(named, bytes).map(|size| &size.loss[..]).unwrap_or_default();
            points.iter().map(|point| (point.load_fps as f64 / 1e6, point.loss_ratio * 100.0)).collect()
        };
        let curves = results.iter().map(|named| (named.name.clone(), points(named))).collect();
        loss_plot(format!("Loss of {bytes} byte frames"), "load, million frames a second", "Load in each direction.", curves)
    };
    sizes(results).into_iter().flat_map(of_size).collect()
}

fn loss_plot(title: String, load: &str, caption: &str, curves: Vec<(String, Vec<(f64, f64)>)>) -> Vec<Plot> {
    let points = || curves.iter().flat_map(|(_, points)| points);
    if points().next().is_none() {
        return Vec::new();
    }
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
    let mut chart = Chart::new(Axis::from_zero(load, most(|(load, _)| *load)), Axis::from_zero("lost, %", most(|(_, lost)| *lost)));
    for (series, (_, points)) in curves.iter().enumerate() {
        chart.line(series, points, true);
    }
    let caption = format!("{caption} From the highest load down, until two loads in a row lose nothing.");
    vec![Plot { title, caption, legend: curves.into_iter().map(|(name, _)| name).collect(), chart }]
}

fn names(results: &[Named<'_>]) -> Vec<String> {
    results.iter().map(|named| named.name.clone()).collect()
}

/// An axis of bands of equal width, each with its name in the middle.
fn bands(title: &str, names: impl Iterator<Item = String>) -> Axis {
    let ticks: Vec<_> = names.zip(0_u32..).map(|(name, band)| (f64::from(band) + 0.5, name)).collect();
    Axis { title: title.to_owned(), min: 0.0, max: ticks.len().max(1) as f64, ticks }
}

/// Where in its band a bar is: bars take three quarters of it.
fn bar_place(band: usize, series: usize, of: usize) -> (f64, f64) {
    let width = (0.75 / of.max(1) as f64).min(0.4);
    let from = band as f64 + 0.5 + (series as f64 - of as f64 / 2.0) * width;
    (from, from + width * 0.94)
}

/// A ratio, with the sign of a difference: `1.25 (+25 %)`.
pub(super) fn ratio(value: f64, base: f64) -> String {
    let ratio = value / base;
    format!("{} ({:+.1} %)", number(ratio), (ratio - 1.0) * 100.0)
}
