//! What is compiled in: the features and the packages that a user of vfwire gets.

use super::{Problem, Tree};

/// The packet path is released without its audit table, which costs a store a buffer.
pub(super) fn no_audit_in_release(tree: &Tree) -> Vec<Problem> {
    if !tree.release_features.contains("vfwire-core feature \"audit\"") {
        return Vec::new();
    }
    let what =
        "a normal dependency enables `vfwire-core/audit`: only tests may; see `cargo tree -p vfwire -e features,no-dev -i vfwire-core`";
    vec![tree.problem_at("Cargo.toml", "vfwire-core", what.to_owned())]
}

/// What only the command needs is not linked into an application that uses the library.
///
/// Only what the command alone brings counts: a package that the library needs by another way stays.
pub(super) fn light_library(tree: &Tree) -> Vec<Problem> {
    let Some(root) = tree.packages.iter().find(|package| package.folder.is_empty()) else { return Vec::new() };
    let in_library = |name: &str| tree.light_packages.lines().any(|line| line.split(' ').next() == Some(name));
    let mut problems = Vec::new();
    for import in root.imports.iter().filter(|import| import.optional && in_library(&import.name)) {
        let what = format!(
            "{} is the command's, but the library links it without default features too: see `cargo tree -p vfwire --no-default-features -i {}`",
            import.name, import.name
        );
        problems.push(tree.problem_at("Cargo.toml", &format!("{} =", import.name), what));
    }
    if !root.imports.iter().any(|import| import.name == "clap" && import.optional) {
        problems.push(tree.problem_at("Cargo.toml", "clap", "clap is not optional: it belongs to the feature `cli`".to_owned()));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::{Import, Package, said};
    use super::*;

    #[test]
    fn audit_in_a_release_is_seen() {
        let mut tree = Tree { release_features: "vfwire-core feature \"default\"\n".to_owned(), ..Tree::default() };
        assert!(no_audit_in_release(&tree).is_empty());
        tree.release_features.push_str("vfwire-core feature \"audit\"\n");
        assert_eq!(no_audit_in_release(&tree).len(), 1);
    }

    #[test]
    fn a_heavy_library_is_seen() {
        let clap = Import { name: "clap".to_owned(), folder: None, dev: false, optional: true };
        let root = Package { name: "vfwire".to_owned(), imports: vec![clap], ..Package::default() };
        let mut tree = Tree { packages: vec![root], light_packages: "vfwire v0.1.0\nlibc v0.2.1\n".to_owned(), ..Tree::default() };
        assert!(light_library(&tree).is_empty());
        tree.light_packages.push_str("clap v4.5.0\n");
        assert!(said(&light_library(&tree))[0].contains("clap is the command's"));
        tree.light_packages.clear();
        tree.packages[0].imports[0].optional = false;
        assert_eq!(light_library(&tree).len(), 1);
    }
}
