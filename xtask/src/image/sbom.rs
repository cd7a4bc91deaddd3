//! What is linked into the command, as a CycloneDX 1.5 document (https://cyclonedx.org/docs/1.5/json).
//!
//! From cargo's own resolution of what the command links: packages that only tests, build scripts or macros need are not in the image and not here.
//! It has no serial number and no time, which would differ from one build to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{host, release};

/// A package, and what of it the command links.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    licence: String,
    /// Places in the list of packages.
    imports: BTreeSet<usize>,
}

/// The document for the command of a checkout, and the packages in it, the command first.
pub(super) fn of(checkout: &Path) -> Result<(Value, Vec<Package>)> {
    let tree = ["tree", "--locked", "-p", "vfwire", "-e", "normal,no-proc-macro", "--prefix", "depth", "-f", "{p}|{l}", "--target"];
    let packages = parse(&host::stdout(host::cargo(tree).arg(release::TARGET).current_dir(checkout))?)?;
    let checksums = checksums(&fs::read_to_string(checkout.join("Cargo.lock"))?);
    let rustc = host::stdout(Command::new("rustc").arg("--version").current_dir(checkout))?;
    let rust = rustc.split(' ').nth(1).context("rustc does not say its version")?;
    Ok((document(&packages, &checksums, rust), packages))
}

/// Reads lines such as `2libc v0.2.1 (path)|MIT OR Apache-2.0 (*)`, which start with their depth.
fn parse(tree: &str) -> Result<Vec<Package>> {
    let mut packages: Vec<Package> = Vec::new();
    let mut above: Vec<usize> = Vec::new();
    for line in tree.lines() {
        let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let unread = || format!("cargo tree printed {line:?}");
        let depth: usize = line[..digits].parse().with_context(unread)?;
        let (package, licence) = line[digits..].split_once('|').with_context(unread)?;
        let (name, version) = package.split_once(" v").with_context(unread)?;
        let version = version.split(' ').next().unwrap_or_default();
        let known = packages.iter().position(|known| known.name == name && known.version == version);
        let at = known.unwrap_or(packages.len());
        if known.is_none() {
            // Manifests from before SPDX expressions write a stroke for OR.
            let licence = licence.trim_end_matches(" (*)").replace('/', " OR ");
            packages.push(Package { name: name.to_owned(), version: version.to_owned(), licence, imports: BTreeSet::new() });
        }
        ensure!(depth <= above.len(), unread());
        above.truncate(depth);
        if let Some(&importer) = above.last() {
            packages[importer].imports.insert(at);
        }
        above.push(at);
    }
    ensure!(packages.first().is_some_and(|package| package.name == "vfwire"), "cargo tree does not start with vfwire:\n{tree}");
    Ok(packages)
}

/// SHA-256 of each registry package, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let package = |block: &str| Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?));
    lock.split("[[package]]").filter_map(package).collect()
}

fn document(packages: &[Package], checksums: &BTreeMap<(String, String), String>, rust: &str) -> Value {
    let reference = |package: &Package| format!("pkg:cargo/{}@{}", package.name, package.version);
    let component = |package: &Package| {
        let mut component = json!({
            "type": if package.name == "vfwire" { "application" } else { "library" },
            "bom-ref": reference(package),
            "name": package.name,
            "version": package.version,
            "licenses": [{ "expression": package.licence }],
        });
        // Packages of this repository are in no registry: a URL of theirs would name something else.
        if let Some(checksum) = checksums.get(&(package.name.clone(), package.version.clone())) {
            component["purl"] = reference(package).into();
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        component
    };
    let standard_library = json!({
        "type": "library",
        "bom-ref": "rust-std",
        "name": "rust-std",
        "version": rust,
        "description": "The standard library of Rust, linked with the C library of the machine that built the image",
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    });
    let depends = |package: &Package| {
        let imports = package.imports.iter().map(|&at| reference(&packages[at]));
        json!({ "ref": reference(package), "dependsOn": imports.collect::<Vec<_>>() })
    };
    let (command, libraries) = packages.split_first().expect("the command is the first");
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(command) },
        "components": libraries.iter().map(component).chain([standard_library]).collect::<Vec<_>>(),
        "dependencies": packages.iter().map(depends).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0vfwire v0.1.0 (/a)|MIT\n1b v2.0.0|MIT/Apache-2.0\n2c v3.0.0+x|Zlib\n1c v3.0.0+x|Zlib (*)\n1c v4.0.0|Zlib\n";
    const LOCK: &str =
        "[[package]]\nname = \"b\"\nversion = \"2.0.0\"\nchecksum = \"ab\"\n\n[[package]]\nname = \"vfwire\"\nversion = \"0.1.0\"\n";

    #[test]
    fn the_tree_is_read_with_who_needs_whom() {
        let packages = parse(TREE).unwrap();
        let edges: Vec<_> = packages.iter().map(|package| package.imports.iter().copied().collect::<Vec<_>>()).collect();
        assert_eq!(edges, [vec![1, 2, 3], vec![2], vec![], vec![]]);
        assert_eq!((&*packages[1].licence, &*packages[2].version, &*packages[2].licence), ("MIT OR Apache-2.0", "3.0.0+x", "Zlib"));
        for bad in ["", "1b v1|MIT\n", "0vfwire v0.1.0|MIT\n2b v1|MIT\n", "0other v1.0.0|MIT\n", "0vfwire|MIT\n"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_a_registry_has_has_a_url_and_a_checksum() {
        let document = document(&parse(TREE).unwrap(), &checksums(LOCK), "1.95.0");
        let components = document["components"].as_array().unwrap();
        assert_eq!(components.len(), 4, "{document}");
        assert_eq!(components[0]["hashes"][0]["content"], "ab");
        assert_eq!(components[0]["purl"], "pkg:cargo/b@2.0.0");
        assert!(document["metadata"]["component"]["purl"].is_null(), "{document}");
    }

    #[test]
    fn the_document_is_valid_to_its_own_library() {
        use cyclonedx_bom::{models::bom::Bom, validation::Validate};
        let (document, packages) = of(&host::root()).unwrap();
        let bom = Bom::parse_from_json_v1_5(document.to_string().as_bytes()).unwrap();
        assert!(bom.validate().passed(), "{:?}", bom.validate());
        assert_eq!(bom.components.unwrap().0.len(), packages.len());
        // A licence that is no SPDX expression, such as the stroke of old manifests, is refused.
        let wrong = document.to_string().replacen("MIT OR Apache-2.0", "MIT/Apache-2.0", 1);
        assert!(!Bom::parse_from_json_v1_5(wrong.as_bytes()).unwrap().validate().passed());
    }
}
