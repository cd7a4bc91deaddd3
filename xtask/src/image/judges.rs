//! Tools that are not ours read the image: skopeo checks every digest, umoci unpacks it into a runtime bundle, and what is in there runs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Image;
use super::archive::{File, Files};
use crate::host::{self, Need};

const NEEDS: [Need; 2] = [Need { what: "skopeo", package: "skopeo" }, Need { what: "umoci", package: "umoci" }];

/// Has them read what was written to `folder`.
pub(super) fn read(image: &Image, folder: &Path) -> Result<()> {
    host::need(&NEEDS)?;
    let scratch = folder.join("judges");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch)?;
    skopeo(image, folder, &scratch)?;
    umoci(image, folder, &scratch.join("bundle"))?;
    Ok(fs::remove_dir_all(&scratch)?)
}

fn skopeo(image: &Image, folder: &Path, scratch: &Path) -> Result<()> {
    let name = format!("oci:{}:{}", folder.join("oci").display(), image.tag);
    let inspected = json_of(Command::new("skopeo").args(["inspect", &name]))?;
    ensure!(inspected["Digest"] == image.layout.manifest_digest, "skopeo reads another image: {inspected}");
    ensure!(inspected["Os"] == "linux" && inspected["Architecture"] == "amd64", "skopeo reads another platform: {inspected}");
    ensure!(inspected["Labels"]["org.opencontainers.image.title"] == "vfwire", "skopeo reads no label: {inspected}");
    // Copying compares every blob with its digest.
    let archive = format!("oci-archive:{}:{}", folder.join("vfwire.oci.tar").display(), image.tag);
    let copy = format!("dir:{}", scratch.join("copy").display());
    host::run(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &archive, &copy]))
}

fn umoci(image: &Image, folder: &Path, bundle: &Path) -> Result<()> {
    let name = format!("{}:{}", folder.join("oci").display(), image.tag);
    host::run(Command::new("umoci").args(["unpack", "--rootless", "--image", &name]).arg(bundle))?;
    let rootfs = bundle.join("rootfs");
    let mut unpacked = Files::default();
    collect(&rootfs, "", &mut unpacked.0)?;
    ensure!(unpacked == image.root, "umoci unpacks other files than were packed: {:?}", unpacked.0.keys().collect::<Vec<_>>());
    let config: Value = serde_json::from_str(&fs::read_to_string(bundle.join("config.json"))?)?;
    let process = &config["process"];
    ensure!(process["user"]["uid"] == 1000 && process["user"]["gid"] == 1000, "the bundle runs as {}", process["user"]);
    let args = process["args"].as_array().context("the bundle runs nothing")?;
    ensure!(args.first() == Some(&json!("/vfwire")), "the bundle runs {args:?}");
    let version = host::stdout(Command::new(rootfs.join("vfwire")).arg("--version").env_clear())?;
    ensure!(version.trim() == format!("vfwire {}", image.tag), "the program in the image says {version:?}");
    Ok(())
}

fn collect(folder: &Path, below: &str, files: &mut BTreeMap<String, File>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else {
            let mode = entry.metadata()?.permissions().mode() & 0o7777;
            files.insert(path, File { bytes: fs::read(entry.path())?, mode });
        }
    }
    Ok(())
}

fn json_of(command: &mut Command) -> Result<Value> {
    let text = host::stdout(command)?;
    serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
}
