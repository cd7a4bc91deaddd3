//! The table of a run, as Markdown that also reads well on a terminal.

use super::comparison::{Measured, Side, Verdict};
use super::machine::Machine;
use super::spread::Spread;

const HEADINGS: [&str; 9] = ["frames", "model", "burst", "vfwire", "DPDK", "ratio", "spread", "limit", "verdict"];

/// What was measured, where and how, and whether the limits hold.
pub(super) fn markdown(machine: &Machine, rounds: u32, measured: &[Measured]) -> String {
    let Machine { date, commit, cpu, kernel, tools, load, .. } = machine;
    let lines = measured.iter().map(line).collect();
    let count = |verdict| measured.iter().filter(|measured| measured.verdict() == verdict).count();
    format!(
        "TSC cycles a frame for receive, stage and transmit: median of {rounds} rounds, vfwire and DPDK in turn.\n\
         {cpu}; Linux {kernel}; {tools}; {date}, commit {commit}; load average before {load}.\n\n{}\n\
         {} limits held, {} missed, {} without a verdict (the cores were too far apart).\n",
        aligned(HEADINGS.map(str::to_owned), lines),
        count(Verdict::Pass),
        count(Verdict::Miss),
        count(Verdict::Far),
    )
}

/// Whether the command counts as the benchmark does, in the case that both measure: io, burst 32, the model in its thread.
pub(super) fn agreement(measured: &[Measured], forward: &[f64]) -> String {
    let is_same = |measured: &&Measured| measured.comparison.figure(Side::Vfwire) == "thread/io/32/vfwire-best";
    let here = measured.iter().find(is_same).and_then(|measured| measured.cycles(Side::Vfwire));
    let (Some(here), Some(said)) = (here, Spread::of(forward)) else { return "`vfwire forward --json` was not compared.".to_owned() };
    let off_percent = (said.median / here.median - 1.0) * 100.0;
    format!(
        "`vfwire forward --json` counts {:.2} ({:.2} to {:.2}) cycles a frame in io, thread, burst 32, where {:.2} were measured: {off_percent:+.1} %.",
        said.median, said.min, said.max, here.median
    )
}

fn line(measured: &Measured) -> [String; 9] {
    let comparison = &measured.comparison;
    let cycles = |side, path| {
        measured.cycles(side).map_or_else(String::new, |Spread { median, min, max }| format!("{median:.2} ({min:.2} to {max:.2}) {path}"))
    };
    let round_trip = measured.round_trip();
    [
        comparison.mode.to_string(),
        if round_trip == 0 { comparison.model.to_string() } else { format!("{}, round trip {round_trip}", comparison.model) },
        comparison.burst.to_string(),
        cycles(Side::Vfwire, comparison.vfwire),
        cycles(Side::Dpdk, comparison.dpdk),
        measured.ratio().map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)),
        measured.ratio().map_or_else(String::new, |ratio| format!("{:.2} to {:.2}", ratio.min, ratio.max)),
        comparison.limit.map_or_else(String::new, |limit| format!("{limit:.2}")),
        match measured.verdict() {
            Verdict::Pass => "PASS",
            Verdict::Miss => "MISS",
            Verdict::Far => "far",
            Verdict::None => "",
        }
        .to_owned(),
    ]
}

/// A Markdown table whose columns are aligned in the source as well.
fn aligned<const N: usize>(headings: [String; N], lines: Vec<[String; N]>) -> String {
    let mut widths = headings.each_ref().map(|heading| heading.len());
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.len());
        }
    }
    let rule = widths.map(|width| "-".repeat(width));
    let mut text = String::new();
    for line in [&headings, &rule].into_iter().chain(&lines) {
        for (cell, width) in line.iter().zip(widths) {
            text += &format!("| {cell:<width$} ");
        }
        text += "|\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::comparison::{Model, tests::measured};
    use super::*;

    #[test]
    fn the_command_is_compared() {
        let thread = measured(Model::Thread, &[(2.0, 10.0, 100)]);
        assert!(agreement(&[thread], &[2.1]).contains("+5.0 %"));
        assert!(agreement(&[], &[2.1]).contains("not compared"));
    }

    #[test]
    fn every_line_has_its_verdict() {
        let machine = Machine::here(&[]).unwrap();
        let held = measured(Model::LockStep, &[(2.0, 10.0, 0), (2.5, 10.0, 0), (3.0, 10.0, 0)]);
        let far = measured(Model::Thread, &[(2.0, 10.0, 2000)]);
        let text = markdown(&machine, 3, &[held, far]);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        for words in ["2.50 (2.00 to 3.00) best", "0.25", "0.20 to 0.30", "0.30", "PASS"] {
            assert!(lines[2].contains(words), "{words} in {text}");
        }
        assert!(lines[3].contains("thread, round trip 2000") && lines[3].contains("far"), "{text}");
        assert!(text.contains("1 limits held, 0 missed, 1 without"), "{text}");
    }
}
