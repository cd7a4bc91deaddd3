//! Who may import whom, and where things live: the floors of ARCHITECTURE.md.

use std::str::FromStr;

use proc_macro2::{TokenStream, TokenTree};

use super::{Package, Problem, Tree};

/// What the packages of one folder may import of ours.
struct Floor {
    /// A package's folder, or a folder of packages.
    folder: &'static str,
    /// Folders that its code may import.
    imports: &'static [&'static str],
    /// Folders that its tests may import besides.
    tests: &'static [&'static str],
}

const FLOORS: &[Floor] = &[
    Floor { folder: "crates/spec", imports: &[], tests: &[] },
    Floor { folder: "crates/core", imports: &["crates/spec"], tests: &[] },
    Floor { folder: "crates/intel-vf", imports: &["crates/spec", "crates/core"], tests: &[] },
    Floor { folder: "crates/virtq", imports: &["crates/spec", "crates/core"], tests: &[] },
    Floor { folder: "crates/vfio", imports: &["crates/spec", "crates/core"], tests: &[] },
    Floor { folder: "crates/sim", imports: &["crates/spec", "crates/core"], tests: &[] },
    Floor { folder: "crates/recorder", imports: &["crates/spec", "crates/core"], tests: &[] },
    Floor { folder: "crates/pod", imports: &["crates/spec"], tests: &[] },
    Floor {
        folder: "crates/traffic",
        imports: &["crates/spec", "crates/core"],
        tests: &["crates/sim", "drivers/igbvf", "drivers/virtio-net"],
    },
    Floor { folder: "crates/pcap", imports: &[], tests: &[] },
    Floor { folder: "crates/measure", imports: &[], tests: &[] },
    Floor { folder: "crates/conformance", imports: &["crates/spec", "crates/core", "crates/sim"], tests: &[] },
    Floor {
        folder: "drivers",
        imports: &["crates/spec", "crates/core", "crates/intel-vf", "crates/virtq"],
        tests: &["crates/sim", "crates/conformance"],
    },
    Floor { folder: "xtask", imports: &[], tests: &[] },
];

/// Modules of `spec` that `core` may name: what every NIC shares, and no NIC's facts.
const CORE_MAY_NAME: &[&str] = &["reg", "net", "pci"];

/// The files of every driver's `src`, and its one test of its own.
const DRIVER_FILES: &[&str] =
    &["src/lib.rs", "src/control.rs", "src/port.rs", "src/rx.rs", "src/tx.rs", "src/stats.rs", "tests/conformance.rs"];

/// The one file of the root package's `src` that names the drivers.
const REGISTRY: &str = "src/registry.rs";

/// The lints that the root manifest must set for the workspace.
const LINTS: &[&str] = &[
    "unsafe_code",
    "unsafe_op_in_unsafe_fn",
    "missing_docs",
    "unreachable_pub",
    "undocumented_unsafe_blocks",
    "multiple_unsafe_ops_per_block",
    "cast_possible_truncation",
    "dbg_macro",
];

/// Packages import downward only; the root package imports what it likes, and nothing imports it.
pub(super) fn floors(tree: &Tree) -> Vec<Problem> {
    tree.packages.iter().filter(|package| !package.folder.is_empty()).flat_map(|package| floor(tree, package)).collect()
}

fn floor(tree: &Tree, package: &Package) -> Vec<Problem> {
    let manifest = format!("{}/Cargo.toml", package.folder);
    let Some(floor) = FLOORS.iter().find(|floor| is_in(&package.folder, floor.folder)) else {
        let what = format!("{} stands on no floor: give {} one in xtask/src/tidy/floors.rs", package.name, package.folder);
        return vec![tree.problem_at(&manifest, "name", what)];
    };
    let mut problems = Vec::new();
    for import in &package.imports {
        let allowed = match &import.folder {
            Some(folder) => floor.imports.contains(&folder.as_str()) || import.dev && floor.tests.contains(&folder.as_str()),
            // Floor 0 stands on nothing at all.
            None => floor.folder != "crates/spec" || import.dev,
        };
        if !allowed {
            let may = if floor.imports.is_empty() { "nothing of ours".to_owned() } else { floor.imports.join(", ") };
            let what = format!("{} imports {}, but may import {may}: move what it needs down a floor", package.name, import.name);
            problems.push(tree.problem_at(&manifest, &import.name, what));
        }
    }
    problems
}

fn is_in(folder: &str, parent: &str) -> bool {
    folder.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `core` knows no NIC: of `spec` it names only [`CORE_MAY_NAME`].
pub(super) fn core_imports(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.files_in("crates/core/src/", ".rs") {
        for (line, module) in modules_named(text, "vfwire_spec") {
            if !CORE_MAY_NAME.contains(&module.as_str()) {
                let what = format!("core names vfwire_spec::{module}, but may name {}: let the driver give it", CORE_MAY_NAME.join(", "));
                problems.push(Problem { path: path.to_owned(), line, what });
            }
        }
    }
    problems
}

/// The root package knows drivers by [`REGISTRY`] alone.
pub(super) fn registry(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let drivers = tree.packages.iter().filter(|package| is_in(&package.folder, "drivers"));
    for name in drivers.map(|package| package.name.replace('-', "_")) {
        for (path, text) in tree.files_in("src/", ".rs").filter(|(path, _)| *path != REGISTRY) {
            for (line, _) in modules_named(text, &name) {
                let what = format!("names the driver {name}: only {REGISTRY} does");
                problems.push(Problem { path: path.to_owned(), line, what });
            }
        }
    }
    problems
}

/// The modules that follow `krate::` in a source text, each with its line; `*` for a glob and `krate` itself where nothing follows.
fn modules_named(text: &str, krate: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    if let Ok(tokens) = TokenStream::from_str(text) {
        find_modules(tokens, krate, &mut found);
    }
    found
}

fn find_modules(tokens: TokenStream, krate: &str, found: &mut Vec<(usize, String)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => find_modules(group.stream(), krate, found),
            TokenTree::Ident(ident) if ident == krate => {
                let line = ident.span().start().line;
                // `krate`, `:`, `:`, then what we want.
                match tokens.get(at + 3) {
                    Some(TokenTree::Group(group)) => found.extend(first_of_each(group.stream()).map(|module| (line, module))),
                    Some(module) => found.push((line, module.to_string())),
                    None => found.push((line, krate.to_owned())),
                }
            }
            _ => {}
        }
    }
}

/// The first word of each entry of a `use` group.
fn first_of_each(group: TokenStream) -> impl Iterator<Item = String> {
    let entries = group.to_string();
    let mut depth = 0_usize;
    let mut names = vec![String::new()];
    for word in entries.split_inclusive(|c: char| "{},".contains(c)) {
        if depth == 0 {
            let name = word.trim_matches(|c: char| c.is_whitespace() || "{},".contains(c));
            names.push(name.split([' ', ':']).next().unwrap_or_default().to_owned());
        }
        depth = (depth + word.matches('{').count()).saturating_sub(word.matches('}').count());
    }
    names.into_iter().filter(|name| !name.is_empty())
}

/// Every driver has the same files, so that who knows one finds everything in the next.
pub(super) fn driver_files(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in tree.packages.iter().filter(|package| is_in(&package.folder, "drivers")) {
        let folder = &package.folder;
        for file in DRIVER_FILES.iter().filter(|file| !tree.files.contains_key(&format!("{folder}/{file}"))) {
            let what = format!("driver {} has no {file}: every driver has the same files", package.name);
            problems.push(tree.problem_at(&format!("{folder}/{file}"), "", what));
        }
        for (path, _) in tree.files_in(&format!("{folder}/src/"), "") {
            if !DRIVER_FILES.iter().any(|file| path.strip_prefix(folder).is_some_and(|rest| rest == format!("/{file}"))) {
                let what = format!("is in driver {} alone: put it in one of {}", package.name, DRIVER_FILES.join(", "));
                problems.push(tree.problem_at(path, "", what));
            }
        }
    }
    problems
}

/// The workspace sets the lints that the guide lists, and every package takes them.
pub(super) fn lints(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let set = tree.files.get("Cargo.toml").map_or("", String::as_str);
    for lint in LINTS.iter().filter(|lint| !set.lines().any(|line| line.starts_with(&format!("{lint} =")))) {
        problems.push(tree.problem_at("Cargo.toml", "[workspace.lints", format!("sets no lint {lint}: add it to [workspace.lints]")));
    }
    for package in &tree.packages {
        let manifest = if package.folder.is_empty() { "Cargo.toml".to_owned() } else { format!("{}/Cargo.toml", package.folder) };
        if !tree.files.get(&manifest).is_some_and(|text| text.contains("[lints]\nworkspace = true")) {
            let what = format!("{} does not take the workspace's lints: add `[lints]`, `workspace = true`", package.name);
            problems.push(tree.problem_at(&manifest, "", what));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::{Import, said};
    use super::*;

    #[test]
    fn an_import_upward_is_seen() {
        let good = Tree::default().with_package("crates/core", &["crates/spec"]).with_package("drivers/igbvf", &["crates/intel-vf"]);
        assert!(floors(&good).is_empty());
        for (folder, import) in [
            ("crates/spec", "crates/core"),
            ("crates/core", "crates/sim"),
            ("crates/vfio", "crates/sim"),
            ("drivers/igbvf", "crates/sim"),
            ("drivers/igbvf", "drivers/iavf"),
            ("crates/sim", ""),
            ("crates/new", "crates/spec"),
        ] {
            let problems = floors(&Tree::default().with_package(folder, &[import]));
            assert_eq!(problems.len(), 1, "{folder} may import {import}");
        }
    }

    #[test]
    fn a_driver_may_test_with_sim() {
        let mut tree = Tree::default().with_package("drivers/igbvf", &["crates/sim"]);
        tree.packages[0].imports[0].dev = true;
        assert!(floors(&tree).is_empty());
    }

    #[test]
    fn spec_imports_nothing_at_all() {
        let mut tree = Tree::default().with_package("crates/spec", &[]);
        tree.packages[0].imports.push(Import { name: "libc".to_owned(), folder: None, dev: false, optional: false });
        assert!(said(&floors(&tree))[0].contains("imports libc"));
    }

    #[test]
    fn core_may_not_name_a_nic() {
        let good = "use vfwire_spec::reg::Reg;\n// vfwire_spec::igbvf\nuse vfwire_spec::{reg::{Ro, Rw}};\n";
        assert!(core_imports(&Tree::of(&[("crates/core/src/a.rs", good)])).is_empty());
        for bad in [
            "use vfwire_spec::igbvf;",
            "fn f() { vfwire_spec::igbvf::regs::CTRL; }",
            "use vfwire_spec::{reg::{Ro, Rw}, igbvf};",
            "use vfwire_spec::*;",
            "use vfwire_spec as spec;",
        ] {
            let problems = said(&core_imports(&Tree::of(&[("crates/core/src/a.rs", &format!("\n{bad}\n"))])));
            assert_eq!(problems.len(), 1, "{bad}: {problems:?}");
            assert!(problems[0].starts_with("crates/core/src/a.rs:2: "), "{problems:?}");
        }
    }

    #[test]
    fn a_driver_named_outside_the_registry_is_seen() {
        let mut tree = Tree::of(&[("src/registry.rs", "use vfwire_igbvf::Igbvf;"), ("src/lib.rs", "//! vfwire_igbvf\n")]);
        tree = tree.with_package("drivers/igbvf", &[]);
        tree.packages[0].name = "vfwire-igbvf".to_owned();
        assert!(registry(&tree).is_empty());
        tree.files.insert("src/lib.rs".to_owned(), "pub use vfwire_igbvf::Igbvf;".to_owned());
        assert_eq!(registry(&tree).len(), 1);
    }

    #[test]
    fn a_driver_lacks_no_file_and_has_none_of_its_own() {
        let mut tree = Tree::default().with_package("drivers/x", &[]);
        for file in DRIVER_FILES {
            tree.files.insert(format!("drivers/x/{file}"), String::new());
        }
        assert!(driver_files(&tree).is_empty());
        tree.files.remove("drivers/x/src/rx.rs");
        tree.files.insert("drivers/x/src/ring.rs".to_owned(), String::new());
        let problems = said(&driver_files(&tree));
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("no src/rx.rs") && problems[1].starts_with("drivers/x/src/ring.rs"), "{problems:?}");
    }

    #[test]
    fn a_missing_lint_is_seen() {
        let all = LINTS.iter().map(|lint| format!("{lint} = \"deny\"\n")).collect::<String>() + "[lints]\nworkspace = true\n";
        assert!(lints(&Tree::of(&[("Cargo.toml", &all)]).with_package("", &[])).is_empty());
        let less = all.replace("dbg_macro", "other");
        assert_eq!(lints(&Tree::of(&[("Cargo.toml", &less)]).with_package("", &[])).len(), 1);
        assert_eq!(lints(&Tree::of(&[("Cargo.toml", &all)]).with_package("crates/core", &[])).len(), 1);
    }
}
