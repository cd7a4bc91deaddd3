//! The guest's root file system: busybox, the kernel modules a VF needs, our scripts (`tests/vm`) and our static binaries.
//!
//! Built afresh by every run in the folder of its logs and packed as an initramfs; it takes about a second.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::setup::{BASH, BUSYBOX, IP, Kernel, MODPROBE};
use crate::{host, release};

const MODULES: [&str; 6] = ["virtio_pci", "virtio_console", "igb", "igbvf", "vfio_iommu_type1", "vfio-pci"];
/// Loaded by the guest as well, for the kernel's side of scenarios.
const NETWORK_MODULES: [&str; 3] = ["8021q", "bridge", "virtio_net"];

/// Builds the programs that run in the guest, as they are shipped, and gives their paths.
pub(super) fn build_programs() -> Result<Vec<PathBuf>> {
    let built = release::build(&["--bin", "vfwire"])?;
    release::build(&["--example", "echo", "--example", "rx_queues", "--example", "tso", "--example", "vlans"])?;
    Ok(["vfwire", "examples/echo", "examples/rx_queues", "examples/tso", "examples/vlans"].map(|name| built.join(name)).to_vec())
}

/// Packs the root file system and gives the path of the initramfs. `overlay` folders are copied over it last.
pub(super) fn pack(checkout: &Path, folder: &Path, kernel: &Kernel, programs: &[PathBuf], overlay: &[PathBuf]) -> Result<PathBuf> {
    let root = folder.join("root");
    for name in ["bin", "lib/modules", "usr/bin", "vm"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::copy(BUSYBOX, root.join("bin/busybox"))?;
    copy_modules(&root, kernel)?;
    // busybox's own `ip` cannot give a VF its MAC, and its shell has no UDP.
    for program in [IP, BASH] {
        copy_with_libraries(&root, Path::new(program))?;
    }
    copy_folder(&checkout.join("tests/vm"), &root.join("vm"))?;
    fs::rename(root.join("vm/init"), root.join("init"))?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    for program in programs {
        fs::copy(program, root.join("usr/bin").join(program.file_name().context("a program without a name")?))?;
    }
    for folder in overlay {
        copy_folder(folder, &root).with_context(|| format!("could not copy the overlay {}", folder.display()))?;
    }
    let initramfs = folder.join("initramfs.cpio");
    archive(&root, &initramfs)?;
    fs::remove_dir_all(&root)?;
    Ok(initramfs)
}

fn copy_modules(root: &Path, kernel: &Kernel) -> Result<()> {
    let mut order = Vec::new();
    for module in MODULES.iter().chain(&NETWORK_MODULES) {
        let mut command = Command::new(MODPROBE);
        let depends = host::stdout(command.args(["-S", &kernel.version, "--show-depends", module, "-d"]).arg(&kernel.root))?;
        for file in depends.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            let file = PathBuf::from(file.trim());
            let name = file.file_name().context("a module without a name")?.to_string_lossy().trim_end_matches(".xz").to_owned();
            if order.contains(&name) {
                continue;
            }
            let target = root.join("lib/modules").join(&name);
            if file.extension().is_some_and(|extension| extension == "xz") {
                let status = Command::new("xz").arg("-dc").arg(&file).stdout(fs::File::create(&target)?).status()?;
                ensure!(status.success(), "could not unpack {}", file.display());
            } else {
                fs::copy(&file, &target)?;
            }
            order.push(name);
        }
    }
    fs::write(root.join("modules"), order.join("\n") + "\n")?;
    Ok(())
}

/// Copies a dynamically linked program and its libraries to the same paths.
pub(super) fn copy_with_libraries(root: &Path, program: &Path) -> Result<()> {
    for file in libraries(program)? {
        let target = root.join(file.strip_prefix("/")?);
        fs::create_dir_all(target.parent().context("a library in no folder")?)?;
        fs::copy(file, target)?;
    }
    fs::copy(program, root.join("usr/bin").join(program.file_name().context("a program without a name")?))?;
    Ok(())
}

/// What a program or a library loads when it starts.
pub(super) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = host::stdout(Command::new("ldd").arg(program))?;
    Ok(listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("could not read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Packs a folder in the kernel's initramfs format, everything owned by root.
pub(super) fn archive(root: &Path, file: &Path) -> Result<()> {
    let mut names = Vec::new();
    list(root, Path::new(""), &mut names)?;
    let mut cpio = Command::new("cpio")
        .args(["-o", "-H", "newc", "--quiet", "-R", "0:0"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(file)?)
        .spawn()?;
    cpio.stdin.take().context("cpio has no stdin")?.write_all(names.join("\n").as_bytes())?;
    let status = cpio.wait()?;
    ensure!(status.success(), "cpio failed: {status}");
    Ok(())
}

/// Every path below `root`, a folder before what is in it.
fn list(root: &Path, below: &Path, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        names.push(path.to_string_lossy().into_owned());
        if entry.file_type()?.is_dir() {
            list(root, &path, names)?;
        }
    }
    Ok(())
}
