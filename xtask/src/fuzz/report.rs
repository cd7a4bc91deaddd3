//! What a run of libFuzzer says, and the table of several.

use anyhow::{Context, Error, Result};

/// A run without a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    executions: u64,
    per_second: u64,
    /// Inputs of the corpus.
    inputs: u64,
    /// Branches reached and there, of our own code.
    pub(super) edges: Option<(u64, u64)>,
}

impl Done {
    /// What the end of a log says.
    pub(super) fn of(log: &str) -> Result<Self> {
        let number = |name: &str| {
            let found = log.lines().find_map(|line| line.strip_prefix(name)).context(name.to_owned())?;
            found.trim().parse().with_context(|| format!("`{name}{found}`"))
        };
        let corpus = log.lines().rev().find_map(|line| line.split_once(" corp: ")).context("no size of the corpus")?.1;
        let inputs = corpus.split('/').next().unwrap_or_default().parse().with_context(|| format!("corpus `{corpus}`"))?;
        let executions = number("stat::number_of_executed_units:")?;
        Ok(Self { executions, per_second: number("stat::average_exec_per_sec:")?, inputs, edges: None })
    }
}

/// What a log says of a finding: the panic or the sanitizer's first line, and where.
pub(super) fn cause(log: &str) -> String {
    let marks = ["panicked at", "ERROR:", "SUMMARY:", "assertion", "left:", "right:", "runtime error"];
    // Names of functions that were reached for the first time may contain anything.
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains("NEW_FUNC")).collect();
    let mut told = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if marks.iter().any(|mark| line.contains(mark)) {
            told.push(*line);
            if line.contains("panicked at") {
                told.extend(lines.get(at + 1));
            }
        }
    }
    told.dedup();
    if told.is_empty() { lines[lines.len().saturating_sub(15)..].join("\n") } else { told.join("\n") }
}

/// Branches of files below `root`, reached and there, from what libFuzzer prints for `-print_coverage=1`; nothing where it could not name
/// files.
pub(super) fn edges(log: &str, root: &str) -> Option<(u64, u64)> {
    let (mut reached, mut there) = (0, 0);
    for line in log.lines().filter(|line| line.contains("COVERED_FUNC: ")) {
        let file = line.rsplit(' ').next().unwrap_or_default();
        if !file.starts_with(root) || file.contains("/fuzz/") || file.contains("/crates/sim/") {
            continue;
        }
        let counts = line.split_once("edges: ").and_then(|(_, rest)| rest.split(' ').next()?.split_once('/'));
        let Some((Ok(some), Ok(all))) = counts.map(|(some, all)| (some.parse::<u64>(), all.parse::<u64>())) else { continue };
        reached += some;
        there += all;
    }
    (there > 0).then_some((reached, there))
}

/// One line a target.
pub(super) fn table(done: &[(String, Result<Done, Error>)]) -> String {
    let mut text = String::from("| target | executions | a second | inputs | branches | result |\n|---|---|---|---|---|---|\n");
    for (target, result) in done {
        let line = match result {
            Ok(Done { executions, per_second, inputs, edges }) => {
                let edges = edges.map_or_else(|| "not looked at".to_owned(), |(reached, there)| format!("{reached} of {there}"));
                format!("| {target} | {executions} | {per_second} | {inputs} | {edges} | nothing found |\n")
            }
            Err(_) => format!("| {target} | | | | | FINDING |\n"),
        };
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "#2\tINITED cov: 9 ft: 9 corp: 1/1b exec/s: 0 rss: 42Mb\n\
                       #12\tDONE   cov: 3254 ft: 3701 corp: 28/83b lim: 6 exec/s: 8 rss: 100Mb\n\
                       stat::number_of_executed_units: 12\nstat::average_exec_per_sec:     8\n";

    #[test]
    fn figures_are_read_from_the_end() {
        assert_eq!(Done::of(LOG).expect("figures"), Done { executions: 12, per_second: 8, inputs: 28, edges: None });
        assert!(Done::of("nothing").is_err());
    }

    #[test]
    fn a_panic_is_told_with_its_message() {
        let log = "noise\n\tNEW_FUNC[1/2]: 0x1 in sort_shift_left::<u8>\nthread '<unnamed>' panicked at src/a.rs:1:2:\nwhat happened\nmore noise\nSUMMARY: libFuzzer: deadly signal\n";
        assert_eq!(cause(log), "thread '<unnamed>' panicked at src/a.rs:1:2:\nwhat happened\nSUMMARY: libFuzzer: deadly signal");
    }

    #[test]
    fn branches_of_our_own_code_are_counted() {
        let log = "COVERED_FUNC: hits: 1 edges: 2/48 f::<a, b> /checkout/drivers/x.rs:13\n\
                   UNCOVERED_FUNC: hits: 0 edges: 0/5 g /checkout/crates/core/y.rs:1\n\
                   COVERED_FUNC: hits: 1 edges: 9/9 h /checkout/fuzz/src/z.rs:1\nCOVERED_FUNC: hits: 1 edges: 9/9 k /else/where.rs:1\n";
        assert_eq!(edges(log, "/checkout"), Some((2, 53)));
        assert_eq!(edges("", "/checkout"), None);
    }
}
