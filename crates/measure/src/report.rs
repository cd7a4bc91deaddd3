//! Pages and tables of results.
//!
//! A page stands for itself: no script, no font, nothing that is loaded from elsewhere. It is light or dark as its reader's system is.

mod chart;
mod csv;
mod facts;
mod plots;
mod tables;
mod units;

use crate::result::{Measurement, Outcome};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plots::Plot;

/// Results that fit into one report: beyond that nobody tells their colours apart.
pub const RESULTS_MAX: usize = chart::SERIES;

const STYLE: &str = include_str!("report/style.css");

/// A result under a name that no other one has.
struct Named<'a> {
    name: String,
    result: &'a Measurement,
}

fn named(results: &[Measurement]) -> Vec<Named<'_>> {
    let mut all: Vec<Named<'_>> = Vec::new();
    for result in results {
        let base = if result.label.trim().is_empty() { &result.started } else { &result.label };
        let taken = |name: &str| all.iter().any(|named| named.name == name);
        let numbered = (2..).map(|number| format!("{base} ({number})"));
        let name = std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
        all.push(Named { name, result });
    }
    all
}

/// One figure a line, as CSV (RFC 4180).
pub fn csv(results: &[Measurement]) -> String {
    let named = named(results);
    csv::csv(named.iter().map(|named| (named.name.as_str(), named.result)))
}

/// A page of one result, or of several side by side: at most [`RESULTS_MAX`], at least one.
pub fn html(results: &[Measurement]) -> String {
    let results = &named(results)[..];
    let title = match results {
        [one] => format!("vfwire bench: {}", one.name),
        several => format!("vfwire bench: comparison of {} results", several.len()),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Otherwise a browser asks for one.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (head(&title, results)) (body(results)) } }
        }
    };
    page.into_string()
}

fn head(title: &str, results: &[Named<'_>]) -> Markup {
    html! {
        header {
            h1 { (title) }
            p class="soft" {
                "Rates are of each direction, frame lengths count the FCS. NDR: the highest rate without loss. PDR: the highest rate with a small share lost."
            }
        }
        div class="cards" { @for named in results { (card(named)) } }
        @for named in results { (warnings(named, results.len() > 1)) }
    }
}

/// What a result is, at a glance.
fn card(named: &Named<'_>) -> Markup {
    let result = named.result;
    let outcome = result.verdict.outcome;
    let words = match outcome {
        Outcome::Measured => "Measured; nothing was required",
        Outcome::Pass => "✓ Pass: everything that was required is met",
        Outcome::Fail => "✗ Fail: something that was required is not met",
        Outcome::Untrusted => "⚠ Not to be trusted, and so no pass",
    };
    html! { section class="card" {
        h3 { (named.name) }
        p class={ "verdict " (outcome.text()) } { (words) }
        @for reason in &result.verdict.reasons { p { (reason) } }
        @if let Some(why) = &result.partial { p { strong { "Partial: " } (why) } }
        p class="soft" {
            (result.started) ", " (result.method.topology.text()) ", " (if result.simulated { "simulated ports" } else { "real ports" }) ", "
            (result.environment.host.cpu_model.as_deref().unwrap_or("unknown CPU"))
        }
    } }
}

fn warnings(named: &Named<'_>, several: bool) -> Markup {
    let warnings: Vec<_> = named.result.warnings.iter().filter(|warning| !named.result.verdict.reasons.contains(&warning.text)).collect();
    if warnings.is_empty() {
        return html! {};
    }
    html! { div class="warnings" {
        strong { "To be known before a figure is believed" @if several { " (" (named.name) ")" } }
        ul { @for warning in warnings { li { (warning.text) } } }
    } }
}

fn body(results: &[Named<'_>]) -> Markup {
    let throughput: Vec<Plot> = plots::throughput(results).into_iter().chain(plots::cycles(results)).collect();
    let latency = plots::latency(results);
    let loss = plots::loss(results);
    html! {
        h2 { "Throughput" } (figures("throughput", &throughput)) (tables::throughput(results))
        @if results.len() > 1 { h2 { "Comparison" } (tables::comparison(results)) }
        @if !latency.is_empty() { h2 { "Latency" } (figures("latency", &latency)) (tables::latency(results)) }
        @if !loss.is_empty() { h2 { "Loss" } (figures("loss", &loss)) (tables::loss(results)) }
        h2 { "Method" } (tables::facts("How it was measured", results, &facts::method(results)))
        h2 { "Environment" }
        (tables::facts("Machine", results, &facts::host(results)))
        (tables::facts("Threads and ports", results, &facts::parts(results)))
        h2 { "Trials" }
        @for named in results { @for size in &named.result.sizes {
            @let label = format!("{}: {} trials with frames of {} bytes", named.name, size.trials.len(), size.frame_bytes);
            details { summary { (label) } (tables::trials(&label, size)) }
        } }
    }
}

fn figures(group: &str, plots: &[Plot]) -> Markup {
    html! { div class="plots" { @for (at, plot) in plots.iter().enumerate() {
        figure {
            h3 { (plot.title) }
            ul class="key" { @for (series, name) in plot.legend.iter().enumerate() {
                li { i style={ "background:var(--series-" (series % chart::SERIES) ")" } {} (name) }
            } }
            (PreEscaped(plot.chart.svg(&format!("{group}-{at}"), &plot.title, &plot.caption)))
            figcaption { (plot.caption) }
        }
    } } }
}

#[cfg(test)]
mod tests;
