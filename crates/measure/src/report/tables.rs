//! The figures of a report as tables. What a drawing shows stands in one of them, too.

use super::{Named, plots, units};
use crate::result::{PERCENTILES, Purpose, SizeResult, Throughput, Trial};
use maud::{Markup, html};

/// A table in a box that scrolls by itself where the page is narrow. It can be reached by the keyboard.
fn boxed(label: &str, class: &str, table: &Markup) -> Markup {
    html! { div class="scroll" role="region" tabindex="0" aria-label=(label) { table class=(class) { caption { (label) } (table) } } }
}

const NONE: &str = "–";

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| NONE.to_owned())
}

/// Throughput, cycles and bursts of all results, a line each size and result.
pub(super) fn throughput(results: &[Named<'_>]) -> Markup {
    let lines = each(results);
    let table = html! {
        thead { tr {
            th scope="col" { "Frame, bytes" } th scope="col" { "Result" }
            th scope="col" { "NDR" } th scope="col" { "NDR, Gbit/s of line" } th scope="col" { "of line rate" } th scope="col" { "spread" }
            th scope="col" { "PDR" } th scope="col" { "came through" } th scope="col" { "bounds end" }
            th scope="col" { "longest burst, frames" } th scope="col" { "cycles a frame" }
        } }
        tbody { @for (named, size) in lines { tr {
            th scope="row" { (size.frame_bytes) } td { (named.name) }
            @let ndr = lower(size.ndr.as_ref());
            td { (rate(size.ndr.as_ref())) }
            td { (or_none(ndr.map(|fps| format!("{:.3}", units::line_gbps(fps, size.frame_bytes))))) }
            td { (or_none(ndr.zip(size.line_rate_fps).map(|(fps, line)| units::percent(fps / line)))) }
            td { (or_none(size.ndr.as_ref().and_then(spread))) }
            td { (rate(size.pdr.as_ref())) }
            td { (or_none(size.pdr.as_ref().and_then(|pdr| pdr.conditional_fps).map(units::rate))) }
            td { (or_none(size.ndr.as_ref().map(ended))) }
            td { (or_none(size.back_to_back.as_ref().map(|burst| {
                let whole = burst.frames >= burst.max_frames as f64;
                format!("{}{:.0}", if whole { "≥ " } else { "" }, burst.frames)
            }))) }
            td { (or_none(size.cycles_per_frame.map(|cycles| format!("{cycles:.1}")))) }
        } } }
    };
    boxed("Throughput in each direction: lower bounds of the search", "", &table)
}

fn each<'a>(results: &'a [Named<'a>]) -> Vec<(&'a Named<'a>, &'a SizeResult)> {
    let of_size = |bytes| results.iter().filter_map(move |named| plots::size_of(named, bytes).map(|size| (named, size)));
    plots::sizes(results).into_iter().flat_map(of_size).collect()
}

fn lower(throughput: Option<&Throughput>) -> Option<f64> {
    throughput?.lower_fps.map(|fps| fps as f64)
}

fn rate(throughput: Option<&Throughput>) -> String {
    match throughput {
        None => "not measured".to_owned(),
        Some(Throughput { lower_fps: None, upper_fps: Some(upper), .. }) => format!("less than {}", units::rate(*upper as f64)),
        Some(Throughput { lower_fps: None, .. }) => NONE.to_owned(),
        Some(Throughput { lower_fps: Some(fps), upper_fps: None, .. }) => format!("≥ {}", units::rate(*fps as f64)),
        Some(Throughput { lower_fps: Some(fps), .. }) => units::rate(*fps as f64),
    }
}

/// Least and most of the repetitions.
fn spread(throughput: &Throughput) -> Option<String> {
    let (least, most) = (throughput.each_fps.iter().min()?, throughput.each_fps.iter().max()?);
    (throughput.each_fps.len() > 1).then(|| format!("{} to {}", units::rate(*least as f64), units::rate(*most as f64)))
}

fn ended(throughput: &Throughput) -> String {
    use crate::search::Ended;
    match throughput.ended {
        Ended::Width => "at the width asked for",
        Ended::MaxLoad => "at the highest load",
        Ended::MinLoad => "at the lowest load",
        Ended::Trials => "with trials used up",
    }
    .to_owned()
}

/// Latency of all results.
pub(super) fn latency(results: &[Named<'_>]) -> Markup {
    let shown: Vec<f64> =
        PERCENTILES.into_iter().filter(|percentile| ![10.0, 25.0, 75.0, 95.0, 99.5, 99.95].contains(percentile)).collect();
    let table = html! {
        thead { tr {
            th scope="col" { "Frame, bytes" } th scope="col" { "Result" } th scope="col" { "Load" } th scope="col" { "Load, frames a second" }
            th scope="col" { "lost" } th scope="col" { "mean" }
            @for percentile in &shown { th scope="col" { (units::percentile(*percentile)) } }
        } }
        tbody { @for (named, size) in each(results) { @for point in &size.latency { tr {
            th scope="row" { (size.frame_bytes) } td { (named.name) } td { (plots::at_load(point)) } td { (units::rate(point.load_fps as f64)) }
            td { (units::percent(point.loss_ratio)) }
            td { (or_none(point.latency.as_ref().map(|latency| units::time(latency.mean_ns)))) }
            @for percentile in &shown {
                td { (or_none(point.latency.as_ref().and_then(|latency| latency.percentile_ns(*percentile)).map(|ns| units::time(ns as f64)))) }
            }
        } } } }
    };
    boxed("Latency, of the frames that came back", "", &table)
}

/// Loss by load.
pub(super) fn loss(results: &[Named<'_>]) -> Markup {
    let table = html! {
        thead { tr {
            th scope="col" { "Frame, bytes" } th scope="col" { "Result" } th scope="col" { "of the highest load" } th scope="col" { "Load" }
            th scope="col" { "lost" } th scope="col" { "came through" }
        } }
        tbody { @for (named, size) in each(results) { @for point in &size.loss { tr {
            th scope="row" { (size.frame_bytes) } td { (named.name) } td { (units::percent(point.share_of_max)) }
            td { (units::rate(point.load_fps as f64)) } td { (units::percent(point.loss_ratio)) } td { (units::rate(point.received_fps)) }
        } } } }
    };
    boxed("Loss by load", "", &table)
}

/// Each result against the first.
pub(super) fn comparison(results: &[Named<'_>]) -> Markup {
    let Some((base, others)) = results.split_first() else { return html! {} };
    let figures: [(&str, Of); 5] = [
        ("NDR", |size| lower(size.ndr.as_ref())),
        ("PDR", |size| lower(size.pdr.as_ref())),
        ("p50 at half of PDR", |size| p(size, 50.0)),
        ("p99 at half of PDR", |size| p(size, 99.0)),
        ("cycles a frame", |size| size.cycles_per_frame),
    ];
    let table = html! {
        thead { tr { th scope="col" { "Frame, bytes" } th scope="col" { "Figure" } @for named in others { th scope="col" { (named.name) } } } }
        tbody { @for bytes in plots::sizes(results) { @for (name, of) in figures {
            @let figure = |named: &Named<'_>| plots::size_of(named, bytes).and_then(of).filter(|figure| *figure > 0.0);
            @if figure(base).is_some() { tr {
                th scope="row" { (bytes) } td { (name) }
                @for named in others { td { (or_none(figure(named).zip(figure(base)).map(|(ours, base)| plots::ratio(ours, base)))) } }
            } }
        } } }
    };
    boxed(&format!("Ratio to “{}”. Of throughput more is better, of latency and cycles less", base.name), "", &table)
}

type Of = fn(&SizeResult) -> Option<f64>;

fn p(size: &SizeResult, percentile: f64) -> Option<f64> {
    plots::half_of_pdr(size)?.latency.as_ref()?.percentile_ns(percentile).map(|ns| ns as f64)
}

/// Lines of facts, a column each result. Where results differ, it shows.
pub(super) fn facts(label: &str, results: &[Named<'_>], lines: &[(String, Vec<Option<String>>)]) -> Markup {
    let table = html! {
        thead { tr { th scope="col" { "Fact" } @for named in results { th scope="col" { (named.name) } } } }
        tbody { @for (fact, values) in lines {
            @let differs = values.windows(2).any(|pair| pair[0] != pair[1]);
            tr class=[differs.then_some("differs")] {
                th scope="row" { (fact) } @for value in values { td { (value.as_deref().unwrap_or("unknown")) } }
            }
        } }
    };
    boxed(label, "words", &table)
}

/// Every trial of a size.
pub(super) fn trials(label: &str, size: &SizeResult) -> Markup {
    let table = html! {
        thead { tr {
            th scope="col" { "At, s" } th scope="col" { "For" } th scope="col" { "Load" } th scope="col" { "Length" } th scope="col" { "intended" }
            th scope="col" { "sent" } th scope="col" { "came back" } th scope="col" { "lost" } th scope="col" { "twice" } th scope="col" { "late" }
            th scope="col" { "damaged" } th scope="col" { "foreign" } th scope="col" { "p50" } th scope="col" { "p99" } th scope="col" { "longest gap" }
            th scope="col" { "Events" }
        } }
        tbody { @for trial in &size.trials { (self::trial(trial)) } }
    };
    boxed(label, "", &table)
}

fn trial(trial: &Trial) -> Markup {
    let counts = trial.counts;
    let p = |percentile| trial.latency.as_ref().and_then(|latency| latency.percentile_ns(percentile)).map(|ns| units::time(ns as f64));
    let load = if trial.load_fps == 0 { "as fast as possible".to_owned() } else { units::rate(trial.load_fps as f64) };
    html! { tr {
        th scope="row" { (format!("{:.2}", trial.at_s)) } td { (purpose(trial.purpose)) } td { (load) } td { (units::time(trial.duration_s * 1e9)) }
        td { (counts.intended) } td { (counts.sent) } td { (counts.received) } td { (units::percent(trial.loss_ratio)) }
        td { (counts.duplicates) } td { (counts.reordered) } td { (counts.corrupted) } td { (counts.foreign) }
        td { (or_none(p(50.0))) } td { (or_none(p(99.0))) } td { (units::time(trial.longest_gap_ns as f64)) } td { (trial.events.join("; ")) }
    } }
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::WarmUp => "warm-up",
        Purpose::Search => "search",
        Purpose::Latency => "latency",
        Purpose::Loss => "loss",
        Purpose::BackToBack => "burst",
    }
}
