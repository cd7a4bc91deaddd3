//! The programs as they are shipped: optimised, linked statically, without debug information, and with no path of this machine in them.
//!
//! The guest runs what the image holds. They are linked with glibc, which every figure in benches/record was measured with; with musl, whose
//! allocator the simulated devices lean on, those take more than ten times as long.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::host;

pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds targets of the package `vfwire`, such as `--bin vfwire`, and gives the folder that they are in.
pub(crate) fn build(what: &[&str]) -> Result<PathBuf> {
    build_in(&host::root(), what)
}

/// The same in another checkout.
pub(crate) fn build_in(checkout: &Path, what: &[&str]) -> Result<PathBuf> {
    let metadata = MetadataCommand::new().current_dir(checkout).exec()?;
    let flags = flags(&metadata)?.join("\x1f");
    let target_dir = checkout.join("target/release-static");
    let mut build = host::cargo(["build", "--quiet", "--release", "--locked", "--package", "vfwire", "--target", TARGET]);
    build.args(what).arg("--target-dir").arg(&target_dir).current_dir(checkout);
    build.env("CARGO_ENCODED_RUSTFLAGS", flags).env_remove("RUSTFLAGS");
    host::run(build.envs([("CARGO_PROFILE_RELEASE_DEBUG", "false"), ("CARGO_PROFILE_RELEASE_STRIP", "symbols")]))?;
    Ok(target_dir.join(TARGET).join("release"))
}

/// Paths that say where something failed start at the checkout, at the folder of the registry's sources, or as they do without the component rust-src.
fn flags(metadata: &Metadata) -> Result<Vec<String>> {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let mut rename = |from: &str, to: &str| flags.push(format!("--remap-path-prefix={from}={to}"));
    rename(metadata.workspace_root.as_str(), "/vfwire");
    let foreign = metadata.packages.iter().filter(|package| package.source.is_some());
    let mut registries: Vec<&str> = foreign.filter_map(|package| Some(package.manifest_path.parent()?.parent()?.as_str())).collect();
    registries.sort_unstable();
    registries.dedup();
    registries.iter().for_each(|folder| rename(folder, "/registry"));
    let sysroot = host::stdout(Command::new("rustc").args(["--print", "sysroot"]).current_dir(&metadata.workspace_root))?;
    rename(&format!("{}/lib/rustlib/src/rust", sysroot.trim()), &format!("/rustc/{}", commit()?));
    Ok(flags)
}

fn commit() -> Result<String> {
    let version = host::stdout(Command::new("rustc").arg("-vV").current_dir(host::root()))?;
    let hash = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    hash.map(str::to_owned).context("rustc -vV names no commit")
}
