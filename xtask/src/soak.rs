//! `cargo xtask soak`: simulated ports under everything that can go wrong, for as long as one likes, and beside them the command, which is
//! killed and started again all the time.
//!
//! The ports are `examples/soak`, which looks for drift of memory, buffers, counters, file descriptors and threads by itself. The command
//! forwards between two simulated ports with a flight recorder, and ends by SIGKILL, or by SIGTERM with a summary that must be whole; no
//! process of it may be left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::MetadataCommand;
use serde_json::Value;

use crate::host;

/// A command that was told to end ends within this time.
const END_LIMIT: Duration = Duration::from_secs(20);
const PORTS: &[&str] = &["sim:igbvf,spoofchk=off", "sim:ixgbevf,spoofchk=off", "sim:virtio-net"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// What decides what happens, from an earlier run that failed
    #[arg(long)]
    seed: Option<u64>,
}

/// The command.
///
/// # Errors
/// What drifted, was lost or did not come back.
pub(crate) fn run(args: &Args) -> Result<()> {
    host::run(&mut host::cargo(["build", "--quiet", "--bin", "vfwire", "--example", "soak"]))?;
    let metadata = MetadataCommand::new().current_dir(host::root()).no_deps().exec()?;
    // Not as released: assertions and checks of arithmetic are on.
    let (programs, work) = (metadata.target_directory.join("debug"), metadata.target_directory.join("soak"));
    fs::create_dir_all(&work)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut seed = args.seed.unwrap_or(now.as_secs() ^ u64::from(now.subsec_nanos()) << 20);
    let length = Duration::from_secs(args.minutes * 60);
    let mut ports = Command::new(programs.join("examples/soak"));
    ports.arg(length.as_secs().to_string()).arg(seed.to_string()).stdin(Stdio::null());
    let mut ports = ports.spawn().context("cannot start the soak of ports")?;
    let killed = kills(programs.join("vfwire").as_std_path(), work.as_std_path(), length, &mut seed);
    let ended = ports.wait()?;
    let Kills { killed, asked, frames } = killed?;
    println!(
        "command: started {} times, killed {killed} times, asked to end {asked} times, {frames} frames in its summaries",
        killed + asked
    );
    ensure!(ended.success(), "the soak of ports ended with {ended}: its last line says why");
    Ok(())
}

struct Kills {
    killed: u32,
    asked: u32,
    frames: u64,
}

fn kills(program: &Path, work: &Path, length: Duration, seed: &mut u64) -> Result<Kills> {
    let start = Instant::now();
    let mut kills = Kills { killed: 0, asked: 0, frames: 0 };
    let recording: PathBuf = work.join("flight.rec");
    while start.elapsed() < length {
        let (left, right) = (PORTS[below(seed, PORTS.len())], PORTS[below(seed, PORTS.len())]);
        let mut command = Command::new(program);
        command.args(["forward", "--json", "--duration", "1h", "--port", left, "--port", right, "--flight-recorder"]).arg(&recording);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        thread::sleep(Duration::from_millis(u64::try_from(below(seed, 3000))?));
        if below(seed, 2) == 0 {
            kill(child)?;
            kills.killed += 1;
        } else {
            kills.frames += ask(child)?;
            kills.asked += 1;
        }
    }
    Ok(kills)
}

/// SIGKILL; the process is gone at once, and its exit is reaped here.
fn kill(mut child: Child) -> Result<()> {
    child.kill()?;
    let status = child.wait()?;
    ensure!(status.code().is_none() || status.success(), "the command had ended by itself with {status}");
    Ok(())
}

/// SIGTERM; it ends well and says how many frames it sent.
fn ask(mut child: Child) -> Result<u64> {
    host::run(Command::new("kill").arg(child.id().to_string()))?;
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > END_LIMIT {
            child.kill()?;
            bail!("the command did not end within {END_LIMIT:?} of SIGTERM");
        }
        thread::sleep(Duration::from_millis(10));
    }
    summary_frames(&child.wait_with_output()?)
}

/// A command that was asked before it could listen dies of the signal; any other end is a whole summary.
fn summary_frames(output: &Output) -> Result<u64> {
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code().is_none() {
        return Ok(0);
    }
    ensure!(output.status.success(), "the command ended with {}: {errors}", output.status);
    let summary: Value = serde_json::from_slice(&output.stdout).context("its summary is no JSON object")?;
    let ports = summary["ports"].as_array().context("its summary has no ports")?;
    Ok(ports.iter().filter_map(|port| port["tx_frames"].as_u64()).sum())
}

/// A number below `limit` (xorshift; Marsaglia, "Xorshift RNGs").
fn below(seed: &mut u64, limit: usize) -> usize {
    *seed = seed.wrapping_add(u64::from(*seed == 0));
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed >> 33).unwrap_or(0) % limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn output(status: i32, stdout: &str) -> Output {
        Output { status: ExitStatus::from_raw(status), stdout: stdout.into(), stderr: Vec::new() }
    }

    #[test]
    fn a_summary_that_is_not_whole_is_an_error() {
        assert_eq!(summary_frames(&output(0, r#"{"ports":[{"tx_frames":3},{"tx_frames":4}]}"#)).expect("whole"), 7);
        assert_eq!(summary_frames(&output(15, "")).expect("before it listened"), 0);
        assert!(summary_frames(&output(0, r#"{"ports":[{"tx_fr"#)).is_err());
        assert!(summary_frames(&output(256, "")).is_err());
    }

    #[test]
    fn numbers_are_below_their_limit() {
        let mut seed = 0;
        assert!((0..1000).all(|_| below(&mut seed, 3) < 3));
        assert_ne!(seed, 0);
    }
}
