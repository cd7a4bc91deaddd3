//! `cargo xtask tidy`: the rules of the house that neither the compiler nor clippy holds.
//!
//! Every rule is one function from a [`Tree`], which is all that a rule may look at, to the [`Problem`]s that it sees. [`CHECKS`] names
//! them; ARCHITECTURE.md refers to them by these names. The same checks run as a plain test, over the checkout, and each check has a test
//! that feeds it a bad example. Nothing here changes a file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::host;

mod features;
mod floors;
mod text;
mod unsafe_code;

type Check = fn(&Tree) -> Vec<Problem>;

/// Every check, by the name that ARCHITECTURE.md uses.
const CHECKS: &[(&str, Check)] = &[
    ("floors", floors::floors),
    ("core-imports", floors::core_imports),
    ("driver-files", floors::driver_files),
    ("registry", floors::registry),
    ("lints", floors::lints),
    ("safety-comments", unsafe_code::safety_comments),
    ("forbid-unsafe", unsafe_code::forbid_unsafe),
    ("invariants", text::invariants),
    ("promises", text::promises),
    ("traces", text::traces),
    ("minimum-rust", text::minimum_rust),
    ("no-audit-in-release", features::no_audit_in_release),
    ("light-library", features::light_library),
];

/// What is wrong, where, and what to do about it.
#[derive(Debug)]
struct Problem {
    path: String,
    /// Counted from 1.
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A checkout as the checks see it.
#[derive(Default)]
struct Tree {
    /// Text of every tracked file, by its path from the root.
    files: BTreeMap<String, String>,
    packages: Vec<Package>,
    /// `cargo tree` of the package `vfwire` as released, with the features of each package.
    release_features: String,
    /// `cargo tree` of the package `vfwire` without its default features, one package a line.
    light_packages: String,
}

/// A package of the workspace.
#[derive(Default)]
struct Package {
    name: String,
    /// From the root; empty for the root package.
    folder: String,
    rust_version: String,
    imports: Vec<Import>,
}

/// A dependency as the manifest declares it.
struct Import {
    name: String,
    /// Folder of a package of ours.
    folder: Option<String>,
    dev: bool,
    optional: bool,
}

impl Tree {
    fn load(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for path in tracked_files(root)? {
            let bytes = fs::read(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
            // A file that is not text has nothing for a check to read.
            if let Ok(text) = String::from_utf8(bytes) {
                files.insert(path, text);
            }
        }
        let tree = ["tree", "-p", "vfwire", "--prefix", "none"];
        let release_features = host::stdout(host::cargo(tree).args(["-e", "features,no-dev"]))?;
        let light_packages = host::stdout(host::cargo(tree).args(["--no-default-features", "-e", "normal"]))?;
        Ok(Self { files, packages: packages(root)?, release_features, light_packages })
    }

    /// A problem in `path`, at the first line that contains `mark`, or at its start.
    fn problem_at(&self, path: &str, mark: &str, what: String) -> Problem {
        let text = self.files.get(path).map_or("", String::as_str);
        let line = text.lines().position(|line| line.contains(mark)).map_or(1, |index| index + 1);
        Problem { path: path.to_owned(), line, what }
    }

    /// Files whose path starts and ends so, in order.
    fn files_in(&self, start: &str, end: &str) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| path.starts_with(start) && path.ends_with(end))
    }
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec()?;
    let folder_of = |path: &Path| path.strip_prefix(&metadata.workspace_root).map(|folder| folder.display().to_string()).ok();
    let package = |package: &cargo_metadata::Package| {
        let import = |dependency: &cargo_metadata::Dependency| Import {
            name: dependency.name.clone(),
            folder: dependency.path.as_ref().and_then(|path| folder_of(path.as_std_path())),
            dev: dependency.kind == DependencyKind::Development,
            optional: dependency.optional,
        };
        Package {
            name: package.name.to_string(),
            folder: package.manifest_path.parent().and_then(|folder| folder_of(folder.as_std_path())).unwrap_or_default(),
            rust_version: package.rust_version.as_ref().map(ToString::to_string).unwrap_or_default(),
            imports: package.dependencies.iter().map(import).collect(),
        }
    };
    Ok(metadata.packages.iter().map(package).collect())
}

/// Paths of the files that are or would be committed, from the root.
pub(crate) fn tracked_files(root: &Path) -> Result<Vec<String>> {
    let listed = host::stdout(Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root))?;
    Ok(listed.lines().filter(|path| root.join(path).is_file()).map(str::to_owned).collect())
}

/// Runs every check over the checkout and prints what they see.
///
/// # Errors
/// Where a check sees a problem.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::load(&host::root())?;
    let problems = check(&tree);
    problems.iter().for_each(|problem| println!("{problem}"));
    ensure!(problems.is_empty(), "tidy sees {} problems", problems.len());
    println!("tidy: {} checks over {} files see nothing wrong", CHECKS.len(), tree.files.len());
    Ok(())
}

/// What all checks see, each with the name of its check.
fn check(tree: &Tree) -> Vec<String> {
    let named =
        |(name, check): &(&str, Check)| check(tree).into_iter().map(|problem| format!("{problem} [tidy: {name}]")).collect::<Vec<_>>();
    CHECKS.iter().flat_map(named).collect()
}

#[cfg(test)]
impl Tree {
    /// A tree of these files and nothing else.
    fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self { files, ..Self::default() }
    }

    /// Adds a package with normal imports of ours, given by their folders.
    fn with_package(mut self, folder: &str, imports: &[&str]) -> Self {
        let import = |folder: &&str| Import {
            name: folder.rsplit('/').next().unwrap_or_default().to_owned(),
            folder: Some((*folder).to_owned()),
            dev: false,
            optional: false,
        };
        let imports = imports.iter().map(import).collect();
        self.packages.push(Package { name: folder.to_owned(), folder: folder.to_owned(), imports, ..Package::default() });
        self
    }
}

/// What each problem says, for a test to look into.
#[cfg(test)]
fn said(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_is_tidy() {
        let tree = Tree::load(&host::root()).unwrap();
        let problems = check(&tree);
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    #[test]
    fn the_checkout_is_read_whole() {
        let tree = Tree::load(&host::root()).unwrap();
        assert!(tree.files.contains_key("xtask/src/tidy.rs"));
        let root = tree.packages.iter().find(|package| package.folder.is_empty()).unwrap();
        assert!(root.imports.iter().any(|import| import.folder.as_deref() == Some("crates/core")));
        assert!(root.imports.iter().any(|import| import.optional && import.name == "clap"));
        assert!(tree.release_features.contains("clap"));
        assert!(tree.light_packages.contains("vfwire-core"));
    }

    #[test]
    fn a_problem_names_its_line() {
        let tree = Tree::of(&[("a/Cargo.toml", "[dependencies]\nlibc = \"1\"\n")]);
        assert_eq!(tree.problem_at("a/Cargo.toml", "libc", "drop it".to_owned()).to_string(), "a/Cargo.toml:2: drop it");
    }
}
