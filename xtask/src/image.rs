//! `cargo xtask image`: the OCI image of the command, without a daemon or a container tool, the same byte for byte wherever it is built with
//! the same toolchain and C library.
//!
//! What the image is, `deploy/Containerfile` says. Times in it are `SOURCE_DATE_EPOCH` (https://reproducible-builds.org/specs/source-date-epoch/),
//! or 0.

mod archive;
mod containerfile;
mod judges;
mod oci;
mod sbom;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand};

use archive::Files;
use containerfile::Containerfile;
use oci::{Created, Layout};

use crate::{host, release, tidy};

/// A pod pulls it before it starts: of what is unpacked, so that what is sent is smaller still.
const BYTES_MAX: usize = 12_000_000;
const CONTAINERFILE: &str = "deploy/Containerfile";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to write it: oci/, vfwire.oci.tar, root/ (what is in it) and sbom.cdx.json
    #[arg(long, value_name = "FOLDER", default_value = "target/image")]
    output: PathBuf,
    /// Build it again from scratch, in a copy of the checkout elsewhere, and compare every byte
    #[arg(long)]
    reproduce: bool,
}

/// An image in memory.
pub(crate) struct Image {
    /// What its layer unpacks to.
    root: Files,
    layout: Layout,
    tag: String,
    created_epoch_s: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let checkout = host::root();
    let image = build(&checkout)?;
    let output = checkout.join(&args.output);
    image.write(&output)?;
    println!("{}: vfwire:{} {}, {:.1} MB unpacked", output.display(), image.tag, image.layout.manifest_digest, image.megabytes());
    if args.reproduce {
        let again = elsewhere(&checkout)?;
        let differs = image.difference(&again);
        ensure!(differs.is_none(), "a second build differs in {}", differs.unwrap_or_default());
        println!("a second build in another folder is the same, byte for byte");
    }
    Ok(())
}

/// Builds the image and has tools that are not ours read it.
pub(crate) fn test() -> Result<()> {
    let checkout = host::root();
    let (image, again) = (build(&checkout)?, build(&checkout)?);
    let differs = image.difference(&again);
    ensure!(differs.is_none(), "the image made twice differs in {}", differs.unwrap_or_default());
    image.names_no_path_of(&checkout)?;
    let folder = checkout.join("target/image");
    image.write(&folder)?;
    judges::read(&image, &folder)?;
    println!("vfwire:{} {}, {:.1} MB unpacked", image.tag, image.layout.manifest_digest, image.megabytes());
    Ok(())
}

/// The image of a checkout.
pub(crate) fn build(checkout: &Path) -> Result<Image> {
    let metadata = MetadataCommand::new().current_dir(checkout).exec()?;
    let version = version(&metadata)?;
    let recipe = Containerfile::parse(&fs::read_to_string(checkout.join(CONTAINERFILE))?).context(CONTAINERFILE)?;
    let labelled = recipe.labels.get("org.opencontainers.image.version");
    ensure!(labelled == Some(&version), "{CONTAINERFILE} labels version {labelled:?}, but the package is {version}");

    let program = release::build_in(checkout, &["--bin", "vfwire"])?.join("vfwire");
    let (sbom, packages) = sbom::of(checkout)?;
    let mut root = Files::default();
    root.add_program("vfwire", fs::read(program)?);
    root.add("sbom.cdx.json", format!("{sbom:#}\n"));
    for licence in ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"] {
        root.add(format!("licenses/{licence}"), fs::read(checkout.join(licence))?);
    }
    for package in metadata.packages.iter().filter(|package| package.source.is_some()) {
        let linked =
            |linked: &sbom::Package| (linked.name.as_str(), linked.version.clone()) == (&package.name, package.version.to_string());
        if packages.iter().any(linked) {
            let folder = package.manifest_path.parent().context("a manifest in no folder")?;
            add_licences(&mut root, folder.as_std_path(), &format!("{}-{}", package.name, package.version))?;
        }
    }

    let created_epoch_s = epoch_s()?;
    let rfc3339 = rfc3339(created_epoch_s)?;
    let layout = oci::layout(&recipe, &root, &version, Created { epoch_s: created_epoch_s, rfc3339: &rfc3339 })?;
    ensure!(layout.unpacked_bytes <= BYTES_MAX, "the image is {} bytes unpacked, and may be {BYTES_MAX}", layout.unpacked_bytes);
    Ok(Image { root, layout, tag: version, created_epoch_s })
}

impl Image {
    /// Writes the layout as a folder and as a tar, what is in the image, and the list of its packages.
    fn write(&self, folder: &Path) -> Result<()> {
        self.layout.files.write(&folder.join("oci"))?;
        self.root.write(&folder.join("root"))?;
        fs::write(folder.join("vfwire.oci.tar"), self.tar()?)?;
        fs::write(folder.join("sbom.cdx.json"), &self.root.0["sbom.cdx.json"].bytes)?;
        Ok(())
    }

    /// Writes what is in the image, as a runtime unpacks it.
    pub(crate) fn write_root(&self, folder: &Path) -> Result<()> {
        self.root.write(folder)
    }

    fn tar(&self) -> Result<Vec<u8>> {
        self.layout.files.tar(self.created_epoch_s)
    }

    fn megabytes(&self) -> f64 {
        let bytes = u32::try_from(self.layout.unpacked_bytes).unwrap_or(u32::MAX);
        f64::from(bytes) / 1e6
    }

    /// The first file that is not the same in both.
    fn difference(&self, other: &Self) -> Option<String> {
        let files = [(&self.root, &other.root), (&self.layout.files, &other.layout.files)];
        let differs = files.into_iter().find_map(|(ours, theirs)| {
            let paths = ours.0.keys().chain(theirs.0.keys());
            paths.into_iter().find(|path| ours.0.get(*path) != theirs.0.get(*path)).cloned()
        });
        differs.or_else(|| (self.created_epoch_s != other.created_epoch_s).then(|| "its time".to_owned()))
    }

    /// Where the program was built does not show in it.
    fn names_no_path_of(&self, checkout: &Path) -> Result<()> {
        let homes = ["CARGO_HOME", "HOME"].into_iter().filter_map(|name| env::var(name).ok()).filter(|home| home.len() > 1);
        for folder in homes.chain([checkout.display().to_string()]) {
            let folder = format!("{}/", folder.trim_end_matches('/'));
            for (path, file) in &self.root.0 {
                let named = file.bytes.windows(folder.len()).any(|window| window == folder.as_bytes());
                ensure!(!named, "/{path} in the image names {folder}, a path of the machine that built it");
            }
        }
        Ok(())
    }
}

/// The licence files that a package brings.
fn add_licences(root: &mut Files, folder: &Path, package: &str) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_licence = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|start| name.to_uppercase().starts_with(start));
        if is_licence && entry.file_type()?.is_file() {
            root.add(format!("licenses/{package}/{name}"), fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// The same image, built in a copy of the checkout that shares nothing with it.
fn elsewhere(checkout: &Path) -> Result<Image> {
    let copy = env::temp_dir().join(format!("vfwire-image-{}", std::process::id()));
    let built = copy_checkout(checkout, &copy).and_then(|()| build(&copy));
    fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    built
}

fn copy_checkout(checkout: &Path, copy: &Path) -> Result<()> {
    for path in tidy::tracked_files(checkout)? {
        let to = copy.join(&path);
        fs::create_dir_all(to.parent().context("a file in no folder")?)?;
        fs::copy(checkout.join(&path), to)?;
    }
    Ok(())
}

fn version(metadata: &Metadata) -> Result<String> {
    let package = metadata.workspace_packages().into_iter().find(|package| package.name == "vfwire").context("no package vfwire")?;
    Ok(package.version.to_string())
}

fn epoch_s() -> Result<u64> {
    let Ok(text) = env::var("SOURCE_DATE_EPOCH") else { return Ok(0) };
    text.parse().with_context(|| format!("SOURCE_DATE_EPOCH is {text:?}, and must be a number of seconds since 1970"))
}

fn rfc3339(epoch_s: u64) -> Result<String> {
    let date = host::stdout(Command::new("date").args(["-u", "-d", &format!("@{epoch_s}"), "+%Y-%m-%dT%H:%M:%SZ"]))?;
    Ok(date.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_the_specification_writes_them() {
        assert_eq!(rfc3339(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000).unwrap(), "2023-11-14T22:13:20Z");
    }
}
