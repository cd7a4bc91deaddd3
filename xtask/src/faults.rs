//! `cargo xtask faults`: the whole fault walk. Every fault at every step of a port's life, one a run, and thousands of runs with several, for
//! every driver; `cargo xtask test` takes only a part of it.

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::host;

/// Whose conformance suites have the walk.
const DRIVERS: &[&str] = &["igbvf", "ixgbevf", "virtio-net"];
/// What the suites go by (`crates/conformance/src/faults.rs`).
const VARIABLE: &str = "VFWIRE_FAULTS";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these drivers
    drivers: Vec<String>,
    /// One schedule, as a failure has printed it: 120:drop,340:stall-64
    #[arg(long, default_value = "all", value_name = "SCHEDULE")]
    schedule: String,
}

/// The command: prints a table a driver.
///
/// # Errors
/// Where a run went wrong, with the line that repeats it.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(unknown) = args.drivers.iter().find(|wanted| !DRIVERS.contains(&wanted.as_str())) {
        bail!("no walk of {unknown}; the drivers are: {}", DRIVERS.join(", "));
    }
    let mut failed = Vec::new();
    for driver in DRIVERS.iter().filter(|driver| args.drivers.is_empty() || args.drivers.iter().any(|wanted| wanted == *driver)) {
        let start = Instant::now();
        let package = format!("vfwire-{driver}");
        let mut walk = host::cargo(["test", "--release", "--quiet", "-p", &package, "--test", "conformance", "faults"]);
        // One walk at a time: each takes all processors.
        let walked = host::run(walk.args(["--", "--nocapture", "--test-threads", "1"]).env(VARIABLE, &args.schedule));
        println!("{driver}: {:.0} s, with what was compiled", start.elapsed().as_secs_f64());
        if walked.is_err() {
            failed.push(*driver);
        }
    }
    ensure!(failed.is_empty(), "the walk of {} went wrong", failed.join(", "));
    Ok(())
}

/// The whole walk of every driver.
///
/// # Errors
/// As [`run`].
pub(crate) fn all() -> Result<()> {
    run(&Args { drivers: Vec::new(), schedule: "all".into() })
}
