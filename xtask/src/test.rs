//! `cargo xtask test`: every check and every test, in the order in which a mistake is found soonest.
//!
//! A step that fails does not stop the others, so that one run shows all that is wrong. What a step needs it installs (as root on Debian)
//! or names. The last line is `N passed, N failed`, counting steps.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::host::{self, Need};
use crate::{aarch64, faults, fuzz, image, report, sanitize, tidy};

/// More tests at once than CPUs: many of them sleep, because that is what their device's reset takes.
const TEST_THREADS: &str = "8";

/// Programs of others that tests hold vfwire against.
const JUDGES: [Need; 4] = [
    Need { what: "promtool", package: "prometheus" },
    Need { what: "tmux", package: "tmux" },
    Need { what: "tshark", package: "tshark" },
    Need { what: "tcpdump", package: "tcpdump" },
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these steps, by the names that the summary shows
    steps: Vec<String>,
    /// Leave out the guest tests
    #[arg(long)]
    no_vm: bool,
    /// Run the whole fault walk, the suites under AddressSanitizer and the long matrices of the guest tests too
    #[arg(long)]
    long: bool,
}

type Step<'a> = (&'static str, Box<dyn Fn() -> Result<()> + 'a>);

struct Outcome {
    step: &'static str,
    took: Duration,
    result: Result<()>,
}

/// Runs every step and prints what came of each.
///
/// # Errors
/// Where a step failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = &MetadataCommand::new().current_dir(host::root()).exec()?;
    let mut steps: Vec<Step<'_>> = vec![
        ("format", Box::new(|| host::run(&mut host::cargo(["fmt", "--all", "--check"])))),
        ("clippy", Box::new(clippy)),
        ("tidy", Box::new(tidy::run)),
        ("scripts", Box::new(shell_scripts)),
        ("workspace", Box::new(workspace)),
        ("loom", Box::new(|| loom(metadata))),
        ("fuzz", Box::new(fuzz::short)),
        ("library", Box::new(library_alone)),
        ("minimum-rust", Box::new(|| minimum_rust(metadata))),
        ("aarch64", Box::new(|| aarch64::run(metadata))),
        ("image", Box::new(image::test)),
        ("report", Box::new(report::run)),
    ];
    if args.long {
        steps.push(("faults", Box::new(faults::all)));
        steps.push(("sanitize", Box::new(sanitize::run)));
    }
    if !args.no_vm {
        steps.push(("guest", Box::new(|| guest(args.long))));
    }
    if let Some(unknown) = args.steps.iter().find(|wanted| steps.iter().all(|(name, _)| name != wanted)) {
        bail!("no step {unknown}; the steps are: {}", steps.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));
    }
    steps.retain(|(name, _)| args.steps.is_empty() || args.steps.iter().any(|wanted| wanted == name));
    let outcomes: Vec<Outcome> = steps.into_iter().map(|(name, step)| timed(name, step)).collect();
    summarise(&outcomes)
}

fn timed(step: &'static str, run: impl FnOnce() -> Result<()>) -> Outcome {
    println!("\n=== {step}");
    let start = Instant::now();
    let result = run();
    if let Err(error) = &result {
        println!("{step}: {error:#}");
    }
    Outcome { step, took: start.elapsed(), result }
}

fn summarise(outcomes: &[Outcome]) -> Result<()> {
    let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    println!("\n{:<14}{:>8}  result", "step", "seconds");
    for Outcome { step, took, result } in outcomes {
        println!("{step:<14}{:>8.1}  {}", took.as_secs_f64(), if result.is_ok() { "passed" } else { "FAILED" });
    }
    println!("\n{} passed, {failed} failed", outcomes.len() - failed);
    if failed > 0 {
        // The table has said what there is to say, and the count stays the last line.
        std::process::exit(1);
    }
    Ok(())
}

fn workspace() -> Result<()> {
    host::need(&JUDGES)?;
    host::run(host::cargo(["test", "--workspace", "--no-fail-fast"]).env("RUST_TEST_THREADS", TEST_THREADS))
}

fn clippy() -> Result<()> {
    host::run(&mut host::cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// The other side of a comparison, which is taken over unchanged and so is not ours to correct.
const FOREIGN_SCRIPTS: &str = "benches/peers/";

/// shellcheck over every script of ours that is a program, then the tests of `hugepages.sh`.
fn shell_scripts() -> Result<()> {
    host::need(&[Need { what: "shellcheck", package: "shellcheck" }])?;
    let root = host::root();
    let ours = tidy::tracked_files(&root)?.into_iter().filter(|path| !path.starts_with(FOREIGN_SCRIPTS));
    let scripts: Vec<String> = ours.filter(|path| is_shell_script(&root.join(path))).collect();
    ensure!(scripts.iter().any(|path| path == "hugepages.sh"), "hugepages.sh is not among the scripts {scripts:?}");
    // SC2187 only says that BusyBox's shell is checked as dash.
    host::run(Command::new("shellcheck").args(["--exclude", "SC2187"]).args(&scripts).current_dir(&root))?;
    host::run(Command::new("sh").arg("tests/hugepages.sh").current_dir(&root))
}

fn is_shell_script(path: &Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.starts_with(b"#!") && first.ends_with(b"sh")
}

/// The lock-free parts of core in the model checker: compiled apart, since every crate is compiled with the flag.
fn loom(metadata: &Metadata) -> Result<()> {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom");
    let mut tests = host::cargo(["test", "-p", "vfwire-core", "--release", "--lib", "--target-dir"]);
    tests.arg(metadata.target_directory.join("loom")).arg("loom_");
    host::run(tests.env("RUSTFLAGS", flags.trim_start()))
}

/// The library as an application links it: without the command and what only the command needs.
fn library_alone() -> Result<()> {
    let library = ["-p", "vfwire", "--no-default-features"];
    host::run(host::cargo(["clippy"]).args(library).args(["--lib", "--examples", "--", "-D", "warnings"]))?;
    host::run(host::cargo(["test"]).args(library).args(["--lib", "--examples"]))
}

/// Holds the `rust-version` that the workspace states. Where this toolchain is that version, every other step has held it already.
fn minimum_rust(metadata: &Metadata) -> Result<()> {
    let package = metadata.workspace_packages().into_iter().find(|package| package.name == "vfwire").context("no package vfwire")?;
    let stated = package.rust_version.clone().context("package vfwire states no rust-version")?;
    let stated = format!("{}.{}", stated.major, stated.minor);
    let ours = host::stdout(Command::new("rustc").arg("--version").current_dir(host::root()))?;
    if ours.starts_with(&format!("rustc {stated}.")) {
        println!("this toolchain is the minimum, {stated}: the other steps hold it");
        return Ok(());
    }
    let installed = host::stdout(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let Some(name) = installed.lines().filter_map(|line| line.split(' ').next()).find(|name| name.starts_with(&stated)) else {
        bail!("this is {}, the stated minimum is {stated}: install it with `rustup toolchain install {stated}`", ours.trim());
    };
    let target_dir = metadata.target_directory.join("minimum-rust");
    let mut check = Command::new("rustup");
    check.args(["run", name, "cargo", "check", "--workspace", "--all-targets", "--target-dir"]).arg(target_dir);
    host::run(check.current_dir(host::root()).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN"))
}

/// The guest tests, as a process of their own: they are a command of their own too.
fn guest(long: bool) -> Result<()> {
    host::run(host::cargo(["xtask", "vm"]).args(long.then_some("--long")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_known_by_their_first_line() {
        let root = host::root();
        for (path, script) in [("hugepages.sh", true), (".ci/run", true), ("Cargo.toml", false), ("no such file", false)] {
            assert_eq!(is_shell_script(&root.join(path)), script, "{path}");
        }
    }

    #[test]
    fn a_failed_step_does_not_hide_the_next() {
        let outcomes = [timed("first", || bail!("broken")), timed("second", || Ok(()))];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.result.is_err()).count(), 1);
    }
}
