//! Runs vfwire and DPDK in turn on the software 82599 VF of `benches/peers`.
//!
//! A round runs every case once, vfwire and then DPDK, each in a process of its own with a fresh device: whatever slows the machine for a
//! while slows both sides of a comparison. Installs what is missing, and reserves hugepages for as long as it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::MetadataCommand;
use serde_json::Value;

use super::comparison::{Comparison, Measured, Mode, Model, Path as DriverPath, Repetition, Side, comparisons};
use crate::host::{self, Need};

const NEEDS: [Need; 7] = [
    Need { what: "gcc", package: "gcc" },
    Need { what: "/usr/include/stdio.h", package: "libc6-dev" },
    Need { what: "pkg-config", package: "pkg-config" },
    Need { what: "/usr/bin/dpdk-testpmd", package: "dpdk-dev" },
    Need { what: "/usr/include/dpdk/rte_eal.h", package: "libdpdk-dev" },
    Need { what: "python3", package: "python3" },
    Need { what: "taskset", package: "util-linux" },
];
/// 2 MiB pages that both sides have enough of.
const HUGEPAGES: u64 = 256;
const NR_HUGEPAGES: &str = "/proc/sys/vm/nr_hugepages";
/// What the model is written for.
const CPU_FEATURES: [&str; 4] = ["avx512f", "avx512bw", "avx512dq", "avx512vl"];
/// Where the model puts its device.
const PORT: &str = "0000:01:10.0";
/// Length of a repetition. A process takes half a second to start, which is not measured.
const REPETITION_MS: u32 = 50;

/// Installs what is missing, or names it.
pub(super) fn install() -> Result<()> {
    check_processor()?;
    host::need(&NEEDS)
}

/// Measures every comparison in `rounds` rounds, and what `vfwire forward` itself says in each of them.
pub(super) fn measure(rounds: u32, quick: bool) -> Result<(Vec<Measured>, Vec<f64>)> {
    let bench = Bench::build()?;
    let _hugepages = Hugepages::reserve()?;
    let mut measured: Vec<_> = comparisons(quick).into_iter().map(Measured::new).collect();
    let mut forward = Vec::new();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for measured in &mut measured {
            measured.vfwire.push(bench.repetition(&measured.comparison, Side::Vfwire)?);
            measured.dpdk.push(bench.repetition(&measured.comparison, Side::Dpdk)?);
        }
        forward.push(bench.forward()?);
    }
    Ok((measured, forward))
}

fn check_processor() -> Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    ensure!(cpus >= 2, "this process may use one CPU: the model of the device needs CPU 0 and the driver CPU 1");
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let missing: Vec<_> = CPU_FEATURES.into_iter().filter(|feature| flags.split_whitespace().all(|flag| flag != *feature)).collect();
    ensure!(missing.is_empty(), "the model of the device needs a processor with {}, which this one lacks", missing.join(", "));
    Ok(())
}

/// The programs, built.
struct Bench {
    /// The scripts of `benches/peers`.
    scripts: PathBuf,
    /// What they built.
    out: PathBuf,
    /// Our side: `examples/peer_bench.rs`.
    ours: PathBuf,
    /// The command.
    command: PathBuf,
}

impl Bench {
    fn build() -> Result<Self> {
        let root = host::root();
        let metadata = MetadataCommand::new().current_dir(&root).no_deps().exec()?;
        let target = metadata.target_directory.into_std_path_buf();
        let bench = Self {
            scripts: root.join("benches/peers"),
            out: target.join("peers"),
            ours: target.join("release/examples/peer_bench"),
            command: target.join("release/vfwire"),
        };
        eprintln!("building both sides in {}", bench.out.display());
        host::run(Command::new(bench.scripts.join("build.sh")).arg(&bench.out))?;
        host::run(&mut host::cargo([
            "build",
            "--quiet",
            "--release",
            "--package",
            "vfwire",
            "--bin",
            "vfwire",
            "--example",
            "peer_bench",
        ]))?;
        Ok(bench)
    }

    fn repetition(&self, comparison: &Comparison, side: Side) -> Result<Repetition> {
        let mut command = match side {
            Side::Vfwire => self.vfwire(comparison),
            Side::Dpdk => self.dpdk(comparison),
        };
        let said = host::stdout(command.stdin(Stdio::null()))?;
        parse(&said).with_context(|| format!("{} said:\n{}", comparison.figure(side), said.trim_end()))
    }

    /// Cycles a frame as `vfwire forward --json` counts them: mode io, burst 32, the model in its thread.
    fn forward(&self) -> Result<f64> {
        let options = ["forward", "--port", PORT, "--mode", "io", "--burst", "32", "--duration", "300ms", "--json"];
        let said = host::stdout(self.beside_the_model(&self.command).args(options).stdin(Stdio::null()))?;
        let summary: Value = serde_json::from_str(&said).with_context(|| format!("not one JSON object: {said:?}"))?;
        summary["cycles_per_frame"].as_f64().with_context(|| format!("no cycles_per_frame in {said:?}"))
    }

    /// A program on CPU 1, with the model on CPU 0.
    fn beside_the_model(&self, program: &Path) -> Command {
        let mut command = Command::new(self.scripts.join("with-peer.sh"));
        command.arg(&self.out).args(["timeout", "60"]).arg(program);
        command
    }

    fn vfwire(&self, comparison: &Comparison) -> Command {
        let mut command = self.beside_the_model(&self.ours);
        command.args((comparison.vfwire == DriverPath::Scalar).then_some("path=scalar"));
        command.args(words(comparison, if comparison.mode == Mode::Io { "io" } else { "mac-swap" }));
        command
    }

    fn dpdk(&self, comparison: &Comparison) -> Command {
        let mut command = Command::new(self.scripts.join("dpdk.sh"));
        command.arg(&self.out).args((comparison.dpdk == DriverPath::Scalar).then_some("--force-max-simd-bitwidth=64"));
        command.arg("--").args(words(comparison, if comparison.mode == Mode::Io { "io" } else { "macswap" }));
        command
    }
}

/// What both programs understand.
fn words(comparison: &Comparison, mode: &str) -> [String; 5] {
    let step = u8::from(comparison.model == Model::LockStep);
    [
        format!("mode={mode}"),
        format!("burst={}", comparison.burst),
        format!("step={step}"),
        "reps=1".to_owned(),
        format!("ms={REPETITION_MS}"),
    ]
}

/// The one `REP` line of a run. Both sides print `sum=` (cycles a frame), `rtt=`, and how many bursts were `full`.
fn parse(said: &str) -> Result<Repetition> {
    let mut lines = said.lines().filter_map(|line| line.strip_prefix("REP "));
    let (Some(line), None) = (lines.next(), lines.next()) else { bail!("not one REP line") };
    let value = |name: &str| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        word.with_context(|| format!("no {name} in {line:?}"))
    };
    let full: u64 = value("full")?.parse()?;
    // One sum is of 64 bursts.
    ensure!(full >= 64, "only {full} bursts were full, so there is no figure: is the burst one that this path serves?");
    Ok(Repetition { cycles_a_frame: value("sum")?.parse()?, round_trip: value("rtt")?.parse()? })
}

/// Hugepages reserved while this lives; then there are as many as before.
struct Hugepages {
    before: Option<u64>,
}

impl Hugepages {
    fn reserve() -> Result<Self> {
        let read = || -> Result<u64> { Ok(fs::read_to_string(NR_HUGEPAGES)?.trim().parse()?) };
        let before = read()?;
        if before >= HUGEPAGES {
            return Ok(Self { before: None });
        }
        let remedy = format!("as root: echo {HUGEPAGES} > {NR_HUGEPAGES}");
        fs::write(NR_HUGEPAGES, HUGEPAGES.to_string()).with_context(|| format!("cannot reserve hugepages; {remedy}"))?;
        let guard = Self { before: Some(before) };
        let now = read()?;
        ensure!(now >= HUGEPAGES, "the kernel found room for {now} of {HUGEPAGES} hugepages: free memory, or reserve them after a restart");
        Ok(guard)
    }
}

impl Drop for Hugepages {
    fn drop(&mut self) {
        if let Some(before) = self.before
            && let Err(error) = fs::write(Path::new(NR_HUGEPAGES), before.to_string())
        {
            eprintln!("xtask: {NR_HUGEPAGES} stays at {HUGEPAGES}, it was {before}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DPDK: &str = "port 0: net_ixgbe_vf rx=\"?\" tx=\"?\" ring 512\n  0 | 0.0 | rtt 182\n\
        REP split=0 rx=0.00 tx=0.00 app=0.00 sum=13.31 core=21.28 mpps=141.68 rtt=182 full=221343 other=21315\nRESULT net_ixgbe_vf\n";
    const VFWIRE: &str = "peer_bench ixgbevf mode=io\nREP sum=2.31 rtt=0 full=64 other=0\n";

    #[test]
    fn both_sides_are_understood() {
        assert_eq!(parse(DPDK).unwrap(), Repetition { cycles_a_frame: 13.31, round_trip: 182 });
        assert_eq!(parse(VFWIRE).unwrap(), Repetition { cycles_a_frame: 2.31, round_trip: 0 });
    }

    #[test]
    fn what_was_not_measured_is_an_error() {
        for said in ["", "RESULT\n", &VFWIRE.repeat(2), "REP sum=2.31 rtt=0 other=0\n", "REP sum=x rtt=0 full=64 other=0\n"] {
            assert!(parse(said).is_err(), "{said}");
        }
        let error = parse("REP split=0 sum=0.00 rtt=0 full=0 other=247463\n").unwrap_err().to_string();
        assert!(error.contains("only 0 bursts"), "{error}");
    }
}
