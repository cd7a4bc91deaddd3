//! `cargo xtask sanitize`: the test suites under AddressSanitizer.
//!
//! The stable toolchain does it itself: `RUSTC_BOOTSTRAP` lets it take the flag, and its distribution has the sanitizer's library. Simulated DMA
//! memory lies between pages that nobody can access anyway; the sanitizer watches everything else. Documentation tests are left out: most
//! of them must not compile.

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use std::process::Command;

use crate::host;

/// All that has tests of its own and runs in one process: the facade's tests start the command, which is another one.
const PACKAGES: &[&str] = &[
    "vfwire-spec",
    "vfwire-core",
    "vfwire-intel-vf",
    "vfwire-virtq",
    "vfwire-igbvf",
    "vfwire-ixgbevf",
    "vfwire-virtio-net",
    "vfwire-sim",
    "vfwire-recorder",
    "vfwire-vfio",
    "vfwire-conformance",
];

/// The command, and a step of `cargo xtask test --long`.
///
/// # Errors
/// Where a test fails or the sanitizer finds something.
pub(crate) fn run() -> Result<()> {
    let metadata = MetadataCommand::new().current_dir(host::root()).no_deps().exec()?;
    let about = host::stdout(Command::new("rustc").arg("-vV"))?;
    let machine = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not say what it runs on")?;
    let mut tests = host::cargo(["test", "--no-fail-fast", "--lib", "--tests"]);
    tests.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
    // A named target keeps build scripts and macros free of the flag.
    tests.args(["--target", machine, "--target-dir"]).arg(metadata.target_directory.join("sanitize"));
    tests.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    // What a device that never lets go may still write is leaked on purpose; the tests count buffers and regions.
    host::run(tests.env("ASAN_OPTIONS", "detect_leaks=0"))
}
