//! What the guest needs from the machine: QEMU with the SR-IOV `igb` model, a few small tools and an unpacked stock kernel.
//!
//! On Debian as root, whatever is missing is installed from the distribution's own archive; elsewhere the error names what is missing and
//! the line that installs it. The kernel is unpacked under `target/vm`, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::host::{self, Need};

/// The first release whose `igb` model has virtual functions.
const QEMU_MIN_MAJOR: u32 = 8;
/// Beside the machine's own source, which it is derived from.
const BACKPORTS_SOURCE: &str = "/etc/apt/sources.list.d/vfwire-backports.sources";

pub(super) const BUSYBOX: &str = "/usr/bin/busybox";
pub(super) const MODPROBE: &str = "/usr/sbin/modprobe";
pub(super) const BASH: &str = "/usr/bin/bash";
pub(super) const IP: &str = "/usr/bin/ip";

const NEEDS: [Need; 8] = [
    Need { what: BASH, package: "bash" },
    Need { what: BUSYBOX, package: "busybox-static" },
    Need { what: "cpio", package: "cpio" },
    Need { what: MODPROBE, package: "kmod" },
    Need { what: "xz", package: "xz-utils" },
    Need { what: IP, package: "iproute2" },
    Need { what: "setpriv", package: "util-linux" },
    Need { what: "ldd", package: "libc-bin" },
];

/// An unpacked kernel and its modules.
pub(super) struct Kernel {
    /// Folder that holds `boot` and `lib/modules`.
    pub(super) root: PathBuf,
    /// Release, as `uname -r` prints it.
    pub(super) version: String,
}

impl Kernel {
    pub(super) fn image(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.version))
    }

    /// The kernel that an earlier set-up unpacked in `folder`.
    fn find(folder: &Path) -> Option<Self> {
        let version = fs::read_to_string(folder.join("kernel-version")).ok()?.trim().to_owned();
        let kernel = Self { root: folder.join("kernel"), version };
        kernel.image().exists().then_some(kernel)
    }
}

/// Makes sure that everything is there, installing it where it can.
pub(super) fn ensure_ready(folder: &Path) -> Result<Kernel> {
    host::need(&NEEDS)?;
    let qemu_missing = qemu_major().is_none_or(|major| major < QEMU_MIN_MAJOR);
    let kernel = Kernel::find(folder);
    if let (false, Some(kernel)) = (qemu_missing, &kernel) {
        return Ok(Kernel { root: kernel.root.clone(), version: kernel.version.clone() });
    }
    let suite = installable(folder, qemu_missing, kernel.is_none())?;
    if !Path::new(BACKPORTS_SOURCE).exists() {
        fs::write(BACKPORTS_SOURCE, host::debian_source(&suite)?).with_context(|| format!("could not write {BACKPORTS_SOURCE}"))?;
    }
    host::run(host::apt_get().args(["update", "-qq"]))?;
    if qemu_missing {
        println!("guest: installing QEMU");
        // Its dependencies must come from the same suite, hence -t.
        let install = ["install", "-qq", "-y", "--no-install-recommends", "-t", &suite, "qemu-system-x86"];
        host::run(host::apt_get().args(install).stdout(Stdio::null()))?;
        ensure!(qemu_major().is_some_and(|major| major >= QEMU_MIN_MAJOR), "{suite} has no QEMU {QEMU_MIN_MAJOR} or later");
    }
    kernel.map_or_else(|| unpack_kernel(folder, &suite), Ok)
}

fn qemu_major() -> Option<u32> {
    let banner = host::stdout(Command::new("qemu-system-x86_64").arg("--version")).ok()?;
    let version = banner.split_once("version ")?.1;
    version.split('.').next()?.parse().ok()
}

/// The suite to install from, or an error that names what is missing and what installs it.
fn installable(folder: &Path, qemu_missing: bool, kernel_missing: bool) -> Result<String> {
    let suite = backports_suite();
    let is_root = host::stdout(Command::new("id").arg("-u"))?.trim() == "0";
    if let (Some(suite), true) = (&suite, is_root) {
        return Ok(suite.clone());
    }
    let mut missing = Vec::new();
    if qemu_missing {
        missing.push(format!("qemu-system-x86_64 {QEMU_MIN_MAJOR} or later"));
    }
    if kernel_missing {
        missing.push(format!("a Debian kernel unpacked in {}", folder.join("kernel").display()));
    }
    bail!(
        "the guest tests lack {}. As root on Debian `cargo xtask vm` installs both; by hand: apt-get install -t {} qemu-system-x86",
        missing.join(" and "),
        suite.as_deref().unwrap_or("SUITE-backports"),
    )
}

/// `<release>-backports` where this machine runs Debian.
fn backports_suite() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let value = |key: &str| release.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim_matches('"').to_owned());
    (value("ID=")? == "debian").then_some(())?;
    Some(format!("{}-backports", value("VERSION_CODENAME=")?))
}

fn unpack_kernel(folder: &Path, suite: &str) -> Result<Kernel> {
    println!("guest: unpacking a kernel into {}", folder.display());
    let depends = host::stdout(Command::new("apt-cache").args(["depends", "-t", suite, "linux-image-amd64"]))?;
    let image = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: ").filter(|name| name.starts_with("linux-image")));
    let image = image.with_context(|| format!("{suite} has no linux-image-amd64"))?;
    let (download, root) = (folder.join("download"), folder.join("kernel"));
    for leftover in [&download, &root] {
        let _ = fs::remove_dir_all(leftover);
    }
    fs::create_dir_all(&download)?;
    host::run(host::apt_get().args(["download", "-qq", "-t", suite, image]).current_dir(&download))?;
    let deb = fs::read_dir(&download)?.next().context("apt-get download left no package")??.path();
    host::run(Command::new("dpkg").arg("-x").args([&deb, &root]))?;
    fs::remove_dir_all(&download)?;
    let version = fs::read_dir(root.join("lib/modules"))?.next().context("the kernel package has no modules")??.file_name();
    let version = version.to_string_lossy().into_owned();
    host::run(Command::new("/usr/sbin/depmod").arg("-b").arg(&root).arg(&version))?;
    // Written last: its presence says that all of the above succeeded.
    fs::write(folder.join("kernel-version"), &version)?;
    let kernel = Kernel { root, version };
    ensure!(kernel.image().exists(), "the kernel package has no {}", kernel.image().display());
    Ok(kernel)
}
