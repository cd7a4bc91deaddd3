//! What figures were taken on, and with what: without it they say nothing.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::host;

/// A machine, and the versions of what takes part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Machine {
    /// Day in UTC, `2026-01-31`.
    pub(super) date: String,
    /// Commit of the checkout; ends in `+` where files differ from it.
    pub(super) commit: String,
    /// Short name for a file: the processor and the number of CPUs.
    pub(super) name: String,
    pub(super) cpu: String,
    pub(super) kernel: String,
    /// Name and version of each tool, joined by `; `.
    pub(super) tools: String,
    /// How many threads wanted to run in the minute before: others on the machine spoil figures.
    pub(super) load: String,
}

impl Machine {
    /// This machine, now. A tool is its command, which prints its version on the first line, and a name to put before that.
    pub(crate) fn here(tools: &[(&str, &[&str])]) -> Result<Self> {
        let info = fs::read_to_string("/proc/cpuinfo").context("this needs Linux")?;
        let cpus = info.lines().filter(|line| line.starts_with("processor")).count();
        // Arm's lists name no model.
        let model =
            info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown", |(_, name)| name.trim());
        let git = |args: &[&str]| host::stdout(Command::new("git").args(args).current_dir(host::root()));
        let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.trim().is_empty();
        let versions = tools.iter().map(|(name, command)| version(name, command)).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            date: host::stdout(Command::new("date").args(["--utc", "+%F"]))?.trim().to_owned(),
            commit: git(&["rev-parse", "--short=12", "HEAD"])?.trim().to_owned() + if changed { "+" } else { "" },
            name: slug(&format!("{model} {cpus} cpus")),
            cpu: format!("{model}, {cpus} CPUs"),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            tools: versions.join("; "),
            load: fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

fn version(name: &str, command: &[&str]) -> Result<String> {
    let (program, args) = command.split_first().context("a tool has a command")?;
    let said = host::stdout(Command::new(program).args(args))?;
    Ok(format!("{name} {}", said.lines().next().unwrap_or_default()).trim().to_owned())
}

/// Words of letters and digits, joined by hyphens.
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_fit_for_a_file() {
        assert_eq!(slug("Intel(R) Xeon(R) @ 2.60GHz 8 cpus"), "intel-r-xeon-r-2-60ghz-8-cpus");
    }

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::here(&[("", &["rustc", "--version"])]).unwrap();
        assert!(machine.tools.starts_with("rustc 1."), "{}", machine.tools);
        assert!(machine.commit.len() >= 12 && machine.date.len() == 10 && !machine.cpu.is_empty() && !machine.kernel.is_empty());
    }
}
