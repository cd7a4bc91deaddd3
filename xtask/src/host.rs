//! What every command needs of the machine it runs on: the checkout's root, programs to run, Debian packages.
//!
//! Installs packages as root on Debian; anywhere else a missing one is an error with the line that installs it. It does not know what
//! any command is for.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask is a folder of the workspace").to_path_buf()
}

/// `cargo` as it runs us, in the root of the checkout.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command to its end; what it prints goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    ensure!(status.success(), "{} ended with {status}", shown(command));
    Ok(())
}

/// Runs a command to its end and gives back its standard output.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", shown(command)))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} ended with {}:\n{}", shown(command), output.status, errors.trim_end());
    String::from_utf8(output.stdout).with_context(|| format!("{} printed bytes that are not UTF-8", shown(command)))
}

/// Something a step needs: a program on the PATH or an absolute file, and the Debian package that brings it.
pub(crate) struct Need {
    /// A program's name, or the absolute path of a file.
    pub(crate) what: &'static str,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
}

/// Makes sure that everything in `needs` is there, installing what is missing where we may.
pub(crate) fn need(needs: &[Need]) -> Result<()> {
    let packages: Vec<&str> = needs.iter().filter(|need| !is_there(need.what)).map(|need| need.package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    let is_root = stdout(Command::new("id").arg("-u"))?.trim() == "0";
    if !is_root || !is_there("apt-get") {
        bail!("missing: {}. Install them with (Debian, as root): {line}", packages.join(", "));
    }
    eprintln!("xtask: {line}");
    run(apt_get().args(["update", "-qq"]))?;
    run(apt_get().args(["install", "-qq", "-y", "--no-install-recommends"]).args(&packages).stdout(Stdio::null()))?;
    for need in needs {
        ensure!(is_there(need.what), "package {} is installed but {} is still not there", need.package, need.what);
    }
    Ok(())
}

/// `apt-get`, never asking a question.
pub(crate) fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

/// The machine's own Debian package source, pointed at other suites: the text of a `.sources` file.
///
/// # Errors
/// Where the machine has no Debian source.
pub(crate) fn debian_source(suites: &str) -> Result<String> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    with_suites(&read("/etc/apt/sources.list.d/debian.sources"), suites)
        .or_else(|| from_one_line(&read("/etc/apt/sources.list"), suites))
        .context("neither debian.sources nor sources.list in /etc/apt has an entry to derive a package source from: this needs Debian")
}

/// The first entry of a `.sources` file with other suites; all else stays, the signing key included.
fn with_suites(sources: &str, suites: &str) -> Option<String> {
    let entry = sources.trim_start().split("\n\n").next()?;
    let (before, after) = entry.split_once("Suites:")?;
    let rest = after.split_once('\n').map_or("", |(_, rest)| rest.trim_end());
    Some(format!("{before}Suites: {suites}\n{rest}\n"))
}

/// The first entry of a `sources.list` as a `.sources` file with other suites.
fn from_one_line(list: &str, suites: &str) -> Option<String> {
    let entry = list.lines().find_map(|line| line.strip_prefix("deb "))?;
    let (options, entry) = entry.trim_start().strip_prefix('[').and_then(|entry| entry.split_once(']')).unwrap_or(("", entry));
    let uri = entry.split_whitespace().next()?;
    let key = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let signed = key.map_or(String::new(), |key| format!("Signed-By: {key}\n"));
    Some(format!("Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\n{signed}"))
}

fn is_there(what: &str) -> bool {
    if what.starts_with('/') {
        return Path::new(what).exists();
    }
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(what).is_file()))
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        assert!(is_there("sh"));
        assert!(is_there("/proc"));
        assert!(!is_there("no-such-program-of-vfwire"));
    }

    #[test]
    fn a_source_keeps_all_but_its_suites() {
        let sources = "Types: deb\nURIs: x\nSuites: a a-updates\nSigned-By: key\n\nTypes: deb\nURIs: y\nSuites: a-security\n";
        assert_eq!(with_suites(sources, "b c").unwrap(), "Types: deb\nURIs: x\nSuites: b c\nSigned-By: key\n");
        assert!(with_suites("Types: deb\n\nSuites: a\n", "b").is_none());
    }

    #[test]
    fn a_one_line_source_keeps_its_address_and_key() {
        let plain = from_one_line("# note\ndeb-src x a main\ndeb x a main\ndeb y a main\n", "b").unwrap();
        assert_eq!(plain, "Types: deb\nURIs: x\nSuites: b\nComponents: main\n");
        let signed = from_one_line("deb [arch=amd64 signed-by=key] x a main\n", "b").unwrap();
        assert_eq!(signed, "Types: deb\nURIs: x\nSuites: b\nComponents: main\nSigned-By: key\n");
        assert!(from_one_line("", "b").is_none());
    }

    #[test]
    fn a_failed_command_is_named_in_the_error() {
        let error = run(Command::new("false").arg("why")).unwrap_err().to_string();
        assert!(error.contains("`false why`"), "{error}");
        let error = stdout(Command::new("sh").args(["-c", "echo spoiled >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("spoiled") && error.contains('3'), "{error}");
    }
}
