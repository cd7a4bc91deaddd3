//! Builds vfwire for aarch64 on any machine and runs the portable tests there, under QEMU's user-mode emulation.
//!
//! The machine's own toolchain does it where it has the target's standard library (`rustup target add aarch64-unknown-linux-gnu`).
//! Otherwise Debian's does: `rustc` and both standard libraries are downloaded from the suites below with package lists of our own and
//! unpacked under `target/debian-rust`, so that nothing on the machine is installed, upgraded or configured. That `rustc` is built for a
//! newer C library than the machine's; it runs with the unpacked one. The linker, the target's C library and the emulator are ordinary
//! packages of the machine's release.
//!
//! It does not test the guest scenarios: those need a kernel, and are x86_64's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::Metadata;

use crate::host::{self, Need};

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Where Debian keeps a Rust that is new enough: the suite of the C library, and the suite of `rustc`.
const BASE_SUITE: &str = "trixie";
const RUST_SUITE: &str = "trixie-backports";

const NEEDS: &[Need] = &[
    Need { what: "aarch64-linux-gnu-gcc", package: "gcc-aarch64-linux-gnu" },
    Need { what: "/usr/aarch64-linux-gnu/lib/libc.so.6", package: "libc6-dev-arm64-cross" },
    Need { what: "qemu-aarch64-static", package: "qemu-user-static" },
];

/// Packages whose tests need nothing but memory and threads; every driver is one too.
const PORTABLE: &[&str] = &["vfwire-spec", "vfwire-core", "vfwire-intel-vf", "vfwire-sim", "vfwire-conformance"];

/// Builds the command and the library for aarch64, then runs the portable tests.
///
/// # Errors
/// Where something needed is missing and cannot be had, or a build or a test fails.
pub(crate) fn run(metadata: &Metadata) -> Result<()> {
    host::need(NEEDS)?;
    let target_dir = metadata.target_directory.as_std_path();
    let rust = if has_target()? { None } else { Some(debian_rust(&target_dir.join("debian-rust"))?) };
    let cargo = |words: &[&str]| {
        let mut command = host::cargo(words);
        command.args(["--target", TARGET, "--target-dir"]).arg(target_dir.join("aarch64"));
        command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
        command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "qemu-aarch64-static -L /usr/aarch64-linux-gnu");
        if let Some(rust) = &rust {
            command.env("RUSTC", rust.join("rustc")).env("RUSTDOC", rust.join("rustdoc"));
        }
        command
    };
    host::run(&mut cargo(&["build", "-p", "vfwire"]))?;
    let packages = portable_packages(metadata);
    host::run(cargo(&["test"]).args(packages.iter().flat_map(|name| ["-p", name])))
}

fn portable_packages(metadata: &Metadata) -> Vec<&str> {
    let drivers = metadata.workspace_root.join("drivers");
    let members = metadata.workspace_packages();
    let portable =
        members.iter().filter(|package| PORTABLE.contains(&package.name.as_str()) || package.manifest_path.starts_with(&drivers));
    portable.map(|package| package.name.as_str()).collect()
}

/// Whether the active toolchain has the target's standard library.
fn has_target() -> Result<bool> {
    let folder = host::stdout(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).current_dir(host::root()))?;
    Ok(Path::new(folder.trim()).is_dir())
}

/// Downloads and unpacks Debian's Rust into `folder`, once; gives the folder of its programs.
fn debian_rust(folder: &Path) -> Result<PathBuf> {
    let programs = folder.join("root/usr/bin");
    let complete = folder.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(folder);
        let apt = Apt::new(folder)?;
        apt.download(&folder.join("packages"))?;
        unpack(&folder.join("packages"), &folder.join("root"))?;
        for program in ["rustc", "rustdoc"] {
            wrap(&programs.join(program))?;
        }
        fs::write(&complete, "")?;
    }
    let version = host::stdout(Command::new(programs.join("rustc")).arg("--version"))?;
    eprintln!("xtask: aarch64 is built with Debian's {}", version.trim());
    Ok(programs)
}

/// apt with lists, caches and sources of its own: it neither sees nor changes what is installed on the machine.
struct Apt {
    config: PathBuf,
}

impl Apt {
    fn new(folder: &Path) -> Result<Self> {
        let folder = folder.join("apt");
        for name in ["lists/partial", "cache/archives/partial", "preferences"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let path = |name: &str| folder.join(name).display().to_string();
        fs::write(path("debian.sources"), host::debian_source(&format!("{BASE_SUITE} {RUST_SUITE}"))?)?;
        let config = folder.join("apt.conf");
        let lines = [
            format!("Dir::State::lists \"{}\";", path("lists")),
            "Dir::State::status \"/dev/null\";".to_owned(),
            format!("Dir::Cache \"{}\";", path("cache")),
            format!("Dir::Etc::sourcelist \"{}\";", path("debian.sources")),
            "Dir::Etc::sourceparts \"-\";".to_owned(),
            format!("Dir::Etc::preferencesparts \"{}\";", path("preferences")),
            "APT::Architecture \"amd64\";".to_owned(),
            "APT::Architectures { \"amd64\"; \"arm64\"; };".to_owned(),
            "APT::Sandbox::User \"root\";".to_owned(),
            "Acquire::Languages \"none\";".to_owned(),
        ];
        fs::write(&config, lines.join("\n") + "\n")?;
        let apt = Self { config };
        host::run(apt.get().args(["update", "-qq"])).context("cannot read Debian's package lists")?;
        Ok(apt)
    }

    fn get(&self) -> Command {
        let mut command = host::apt_get();
        command.env("APT_CONFIG", &self.config).args(["-t", RUST_SUITE]);
        command
    }

    /// Downloads `rustc`, both standard libraries and the shared libraries that `rustc` loads.
    fn download(&self, folder: &Path) -> Result<()> {
        // What apt would install for the machine's own standard library is all that `rustc` needs to run; a compiler and a linker,
        // which `rustc` also depends on, are the machine's.
        let plan = host::stdout(self.get().args(["install", "--simulate", "--no-install-recommends", "libstd-rust-dev"]))?;
        let packages: Vec<&str> = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next()).collect();
        ensure!(packages.contains(&"libc6"), "apt planned {packages:?} for libstd-rust-dev, and libc6 is not among them");
        fs::create_dir_all(folder)?;
        host::run(self.get().args(["download", "-qq", "rustc", "libstd-rust-dev:arm64"]).args(packages).current_dir(folder))
    }
}

fn unpack(packages: &Path, root: &Path) -> Result<()> {
    for package in fs::read_dir(packages)? {
        host::run(Command::new("dpkg-deb").arg("-x").arg(package?.path()).arg(root))?;
    }
    fs::remove_dir_all(packages)?;
    Ok(())
}

/// Replaces `program` by a script that runs it with the unpacked C library.
fn wrap(program: &Path) -> Result<()> {
    let unwrapped = program.with_extension("unwrapped");
    fs::rename(program, &unwrapped).with_context(|| format!("Debian's packages have no {}", program.display()))?;
    let name = program.file_name().context("a program has a name")?.display();
    let script = format!(
        "#!/bin/sh\nusr=${{0%/bin/*}}\n\
         exec \"$usr/lib64/ld-linux-x86-64.so.2\" --library-path \"$usr/lib/x86_64-linux-gnu\" \"$usr/bin/{name}.unwrapped\" \"$@\"\n"
    );
    fs::write(program, script)?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_program_runs_with_the_unpacked_loader() {
        let root = std::env::temp_dir().join(format!("vfwire-xtask-{}", std::process::id()));
        let usr = root.join("a b/usr");
        fs::create_dir_all(usr.join("bin")).unwrap();
        fs::create_dir_all(usr.join("lib64")).unwrap();
        // In place of the loader, a script that shows what it was asked to run.
        let loader = usr.join("lib64/ld-linux-x86-64.so.2");
        fs::write(&loader, "#!/bin/sh\nfor word; do echo \"$word\"; done\n").unwrap();
        fs::set_permissions(&loader, fs::Permissions::from_mode(0o755)).unwrap();
        let program = usr.join("bin/rustc");
        fs::write(&program, "").unwrap();
        wrap(&program).unwrap();
        let shown = host::stdout(Command::new(&program).args(["--version", "two words"])).unwrap();
        fs::remove_dir_all(&root).unwrap();
        let usr = usr.display();
        let expected = format!("--library-path\n{usr}/lib/x86_64-linux-gnu\n{usr}/bin/rustc.unwrapped\n--version\ntwo words\n");
        assert_eq!(shown, expected);
    }
}
