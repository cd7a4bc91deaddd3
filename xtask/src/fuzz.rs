//! `cargo xtask fuzz`: the targets of `fuzz/`, each for a while, with a table of what they did.
//!
//! The targets are compiled with AddressSanitizer and the fuzzer's instrumentation by the stable toolchain itself: `RUSTC_BOOTSTRAP` lets it
//! take the flags, and its distribution has the sanitizer. So no nightly toolchain and no cargo-fuzz is needed, only a C++ compiler for
//! libFuzzer. A finding is a file in `target/fuzz/findings`, and its replay line is printed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::MetadataCommand;

use crate::host::{self, Need};

mod report;

use report::Done;

/// Seconds of a target in `cargo xtask test`, at most.
const SHORT_SECONDS: u64 = 30;
/// Executions of a target in `cargo xtask test`: a few seconds. They begin with the committed corpus and one seed, so that what they find does
/// not depend on the day.
const SHORT_RUNS: &[(&str, u64)] = &[
    ("address", 50_000),
    ("decode", 200_000),
    ("filter", 50_000),
    ("frame", 15_000),
    ("igbvf", 2_500),
    ("ixgbevf", 2_500),
    ("pcap", 50_000),
    ("pod", 5_000),
    ("recording", 20_000),
    ("virtio-net", 2_500),
];
/// Longest input in bytes.
const INPUT_MAX_BYTES: u32 = 4096;
/// A run of one input that takes longer is a finding: a hang.
const TIMEOUT_SECONDS: u32 = 20;

const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Zsanitizer=address",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these targets
    targets: Vec<String>,
    /// Minutes that each target runs
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// Run one target on this file and say what came of it
    #[arg(long, value_name = "FILE", requires = "targets")]
    replay: Option<PathBuf>,
    /// Put the fewest inputs that reach everything reached into fuzz/corpus
    #[arg(long)]
    keep: bool,
}

/// The command.
///
/// # Errors
/// Where a target found something, or could not be built.
pub(crate) fn run(args: &Args) -> Result<()> {
    let lab = Lab::build(&args.targets)?;
    if let Some(file) = &args.replay {
        let [target] = &lab.targets[..] else { bail!("name the one target that --replay is for") };
        return host::run(lab.command(target).arg(std::path::absolute(file)?));
    }
    lab.run_all(&|_| Ok(Length::Seconds(args.minutes * 60)))?;
    if args.keep { lab.keep() } else { Ok(()) }
}

/// How long a target runs.
#[derive(Clone, Copy)]
enum Length {
    /// And from where earlier runs have come.
    Seconds(u64),
    /// The same every time.
    Runs(u64),
}

/// The step of `cargo xtask test`: format, and each target for a short while.
///
/// # Errors
/// As [`run`].
pub(crate) fn short() -> Result<()> {
    host::run(&mut host::cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))?;
    Lab::build(&[])?.run_all(&|target| {
        let runs = SHORT_RUNS.iter().find(|(name, _)| *name == target);
        runs.map(|(_, runs)| Length::Runs(*runs)).with_context(|| format!("{target} has no number of executions in SHORT_RUNS"))
    })
}

/// The targets, built.
struct Lab {
    targets: Vec<String>,
    programs: PathBuf,
    /// Corpora, logs and findings.
    work: PathBuf,
}

impl Lab {
    fn build(wanted: &[String]) -> Result<Self> {
        host::need(&[Need { what: "g++", package: "g++" }])?;
        let all = all_targets()?;
        if let Some(unknown) = wanted.iter().find(|wanted| !all.contains(wanted)) {
            bail!("no target {unknown}; the targets are: {}", all.join(", "));
        }
        let metadata = MetadataCommand::new().current_dir(host::root()).no_deps().exec()?;
        let work = metadata.target_directory.join("fuzz").into_std_path_buf();
        let about = host::stdout(Command::new("rustc").arg("-vV"))?;
        let machine = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not say what it runs on")?;
        let mut build = host::cargo(["build", "--release", "--quiet", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
        // A named target keeps build scripts and macros free of the flags.
        build.args(["--target", machine, "--target-dir"]).arg(&work);
        host::run(build.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS.join(" ")))?;
        let targets = if wanted.is_empty() { all } else { wanted.to_vec() };
        Ok(Self { targets, programs: work.join(machine).join("release"), work })
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(self.programs.join(target));
        // What a device that never lets go may still write is leaked on purpose; the targets count what must not leak.
        command.env("ASAN_OPTIONS", "detect_leaks=0").current_dir(host::root()).stdin(Stdio::null());
        command.arg(format!("-timeout={TIMEOUT_SECONDS}")).arg(format!("-max_len={INPUT_MAX_BYTES}"));
        command
    }

    fn corpus(&self, target: &str) -> Result<[PathBuf; 2]> {
        let (grown, kept) = (self.work.join("corpus").join(target), host::root().join("fuzz/corpus").join(target));
        fs::create_dir_all(&grown)?;
        ensure!(kept.is_dir(), "{} is missing: every target has a corpus", kept.display());
        Ok([grown, kept])
    }

    /// Runs every target, as many at once as there are processors, and prints the table.
    fn run_all(&self, length_of: &(dyn Fn(&str) -> Result<Length> + Sync)) -> Result<()> {
        let queue = Mutex::new(self.targets.iter());
        let done = Mutex::new(Vec::new());
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let next = queue.lock().expect("no worker panics with it").next();
                        let Some(target) = next else { break };
                        let result = length_of(target).and_then(|length| self.run_one(target, length));
                        done.lock().expect("no worker panics with it").push((target.clone(), result));
                    }
                });
            }
        });
        let mut done = done.into_inner().expect("every worker has ended");
        done.sort_by(|(one, _), (other, _)| one.cmp(other));
        println!("{}", report::table(&done));
        let failed: Vec<&str> = done.iter().filter(|(_, result)| result.is_err()).map(|(target, _)| target.as_str()).collect();
        for (target, result) in &done {
            if let Err(error) = result {
                println!("{target}: {error:#}\n");
            }
        }
        ensure!(failed.is_empty(), "findings in {}", failed.join(", "));
        Ok(())
    }

    fn run_one(&self, target: &str, length: Length) -> Result<Done> {
        let findings = self.work.join("findings").join(target);
        fs::create_dir_all(&findings)?;
        let mut corpus = self.corpus(target)?;
        let log = self.work.join(format!("{target}.log"));
        let mut command = self.command(target);
        match length {
            Length::Seconds(seconds) => _ = command.arg(format!("-max_total_time={seconds}")),
            Length::Runs(runs) => {
                corpus[0] = self.work.join("short").join(target);
                let _ = fs::remove_dir_all(&corpus[0]);
                fs::create_dir_all(&corpus[0])?;
                command.args(["-seed=1".into(), format!("-runs={runs}"), format!("-max_total_time={SHORT_SECONDS}")]);
            }
        }
        command.args(["-print_final_stats=1", "-len_control=30"]);
        command.arg(format!("-artifact_prefix={}/", findings.display())).args(&corpus);
        let status = command.stdout(Stdio::null()).stderr(File::create(&log)?).status()?;
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if !status.success() {
            bail!("{}\n{}", report::cause(&text), replay_line(target, &text));
        }
        let mut done = Done::of(&text).with_context(|| format!("{} does not end with figures", log.display()))?;
        if matches!(length, Length::Seconds(_)) {
            done.edges = self.coverage(target, &corpus)?;
        }
        Ok(done)
    }

    /// Branches of our own code that the corpus reaches, and all that are linked in: needs a symbolizer (binutils has one).
    fn coverage(&self, target: &str, corpus: &[PathBuf]) -> Result<Option<(u64, u64)>> {
        let output = self.command(target).args(["-runs=0", "-print_coverage=1"]).args(corpus).output()?;
        let root = host::root();
        Ok(report::edges(&String::from_utf8_lossy(&output.stderr), &root.display().to_string()))
    }

    /// Makes the committed corpora anew.
    fn keep(&self) -> Result<()> {
        for target in &self.targets {
            let [grown, kept] = self.corpus(target)?;
            let fresh = self.work.join("kept").join(target);
            let _ = fs::remove_dir_all(&fresh);
            fs::create_dir_all(&fresh)?;
            let mut merge = self.command(target);
            merge.arg("-set_cover_merge=1").args([&fresh, &kept, &grown]).stderr(Stdio::null());
            host::run(&mut merge)?;
            replace(&kept, &fresh)?;
            println!("{target}: {} inputs kept", fs::read_dir(&kept)?.count());
        }
        Ok(())
    }
}

fn replace(old: &Path, new: &Path) -> Result<()> {
    for entry in fs::read_dir(old)? {
        fs::remove_file(entry?.path())?;
    }
    for entry in fs::read_dir(new)? {
        let entry = entry?;
        fs::copy(entry.path(), old.join(entry.file_name()))?;
    }
    Ok(())
}

fn replay_line(target: &str, log: &str) -> String {
    let file = log.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, file)| file.trim());
    file.map_or_else(String::new, |file| format!("again: cargo xtask fuzz {target} --replay {file}"))
}

fn all_targets() -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(host::root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    targets.sort();
    ensure!(!targets.is_empty(), "no target in fuzz/fuzz_targets");
    Ok(targets)
}
