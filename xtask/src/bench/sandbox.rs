//! What the sandbox costs: `vfwire forward` on simulated ports with and without it, in turn.
//!
//! A polling worker makes no system call (a test holds that), so nothing is to be expected but noise; this says how much of it there was.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{machine::Machine, record::Row, spread::Spread};
use crate::host;

/// How long each run forwards.
const DURATION: &str = "3s";

/// What one run measured.
struct Run {
    frames_per_s: f64,
    cycles_per_frame: f64,
}

/// Measures `rounds` pairs of runs, the first of each pair in turn with and without the sandbox.
///
/// # Errors
/// Where the command cannot be built or does not end well.
pub(super) fn measure(rounds: u32) -> Result<(Machine, Vec<Row>)> {
    host::run(&mut host::cargo(["build", "--release", "-p", "vfwire"]))?;
    let machine = Machine::here(&[("", &["rustc", "--version"])])?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let sandbox_first = round % 2 == 0;
        for sandbox in [sandbox_first, !sandbox_first] {
            let run = forward(sandbox)?;
            if sandbox { &mut with } else { &mut without }.push(run);
        }
    }
    let figure = |name: &str, values: Vec<f64>, unit: &str| {
        let spread = Spread::of(&values).with_context(|| format!("no figure for {name}"))?;
        Ok(Row { figure: format!("sandbox/{name}"), spread, unit: unit.to_owned() })
    };
    let each = |runs: &[Run], value: fn(&Run) -> f64| runs.iter().map(value).collect::<Vec<_>>();
    let ratios = |value: fn(&Run) -> f64| with.iter().zip(&without).map(|(with, without)| value(with) / value(without)).collect();
    let rows = [
        figure("frames/with", each(&with, |run| run.frames_per_s), "frames/s"),
        figure("frames/without", each(&without, |run| run.frames_per_s), "frames/s"),
        figure("frames/ratio", ratios(|run| run.frames_per_s), "ratio"),
        figure("cycles/with", each(&with, |run| run.cycles_per_frame), "TSC cycles/frame"),
        figure("cycles/without", each(&without, |run| run.cycles_per_frame), "TSC cycles/frame"),
        figure("cycles/ratio", ratios(|run| run.cycles_per_frame), "ratio"),
    ];
    Ok((machine, rows.into_iter().collect::<Result<_>>()?))
}

fn forward(sandbox: bool) -> Result<Run> {
    let folder = host::stdout(&mut host::cargo(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&folder)?;
    let folder = metadata["target_directory"].as_str().context("cargo names its target folder")?;
    let mut command = Command::new(format!("{folder}/release/vfwire"));
    command.args(["forward", "--json", "--mode", "mac-swap", "--duration", DURATION]).args((!sandbox).then_some("--no-sandbox"));
    let summary: Value = serde_json::from_str(&host::stdout(&mut command)?).context("the summary is no JSON object")?;
    let number = |name: &str| summary[name].as_f64().with_context(|| format!("the summary has no {name}: {summary}"));
    let run = Run { frames_per_s: number("frames_per_s")?, cycles_per_frame: number("cycles_per_frame")? };
    ensure!(run.frames_per_s > 0.0 && run.cycles_per_frame > 0.0, "nothing was forwarded: {summary}");
    Ok(run)
}
