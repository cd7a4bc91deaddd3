//! What the files say: invariants that name their check, no promise left open, no trace of one machine.

use super::{CHECKS, Problem, Tree};

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Every numbered invariant names what holds it, and that exists.
///
/// An invariant is a list entry or a table row that starts with `I` and a number. After `held by` (in a table: in the last column) it names
/// at least one of, each as a code span: `path/file.rs::test_name` (or `::compile_fail`, for a documentation test), `xtask tidy: check`,
/// `xtask vm: scenario`, `lint: name`.
pub(super) fn invariants(tree: &Tree) -> Vec<Problem> {
    let Some(text) = tree.files.get(ARCHITECTURE) else {
        return vec![tree.problem_at(ARCHITECTURE, "", "is missing: it lists the floors and the numbered invariants".to_owned())];
    };
    let invariants = parse_invariants(text);
    let mut problems = Vec::new();
    if invariants.is_empty() {
        let what = "has no numbered invariant, such as a list entry `I1. text — held by: `path::test``".to_owned();
        problems.push(tree.problem_at(ARCHITECTURE, "", what));
    }
    for (at, invariant) in invariants.iter().enumerate() {
        let mut problem = |what: String| {
            problems.push(Problem { path: ARCHITECTURE.to_owned(), line: invariant.line, what: format!("I{}: {what}", invariant.number) });
        };
        if invariant.number != at + 1 {
            problem(format!("stands where I{} is due: number them in order", at + 1));
        }
        if invariant.holders.is_empty() {
            problem("names nothing that holds it: add `held by:` and a test or check in backquotes".to_owned());
        }
        for holder in invariant.holders.iter().filter(|holder| !exists(tree, holder)) {
            problem(format!(
                "`{holder}` does not exist: name a test as path/file.rs::name, or `xtask tidy: check`, `xtask vm: scenario`, `lint: name`"
            ));
        }
    }
    problems
}

struct Invariant {
    line: usize,
    number: usize,
    holders: Vec<String>,
}

fn parse_invariants(text: &str) -> Vec<Invariant> {
    let mut found: Vec<(usize, usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(number) = invariant_number(line) {
            found.push((index + 1, number, line.to_owned()));
            open = !line.starts_with('|');
        } else if open && line.starts_with(' ') {
            // A list entry goes on in indented lines.
            let (_, _, entry) = found.last_mut().expect("an open entry was pushed");
            entry.push_str(line);
        } else {
            open = false;
        }
    }
    found.into_iter().map(|(line, number, entry)| Invariant { line, number, holders: holders(&entry) }).collect()
}

fn invariant_number(line: &str) -> Option<usize> {
    let entry = line.trim_start_matches(['|', '-', '*', ' ']).strip_prefix('I')?;
    let digits = entry.len() - entry.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    entry[digits..].starts_with(['.', ' ', '|', ':', '*']).then(|| entry[..digits].parse().ok())?
}

fn holders(entry: &str) -> Vec<String> {
    let held = match entry.split_once("held by") {
        Some((_, held)) => held,
        None if entry.starts_with('|') => entry.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default(),
        None => "",
    };
    held.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn exists(tree: &Tree, holder: &str) -> bool {
    if let Some((command, name)) = holder.split_once(": ") {
        return match command {
            "xtask tidy" | "cargo xtask tidy" => CHECKS.iter().any(|(check, _)| *check == name),
            "xtask vm" | "cargo xtask vm" => {
                tree.files_in("xtask/src/vm/scenarios", ".rs").any(|(_, text)| text.contains(&format!("\"{name}\"")))
            }
            "lint" => tree.files.get("Cargo.toml").is_some_and(|text| text.lines().any(|line| line.starts_with(&format!("{name} =")))),
            _ => false,
        };
    }
    let Some((path, test)) = holder.split_once("::") else { return false };
    let Some(text) = tree.files.get(path) else { return false };
    match test.rsplit("::").next() {
        Some("compile_fail") => text.contains("```compile_fail"),
        Some(name) => text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<")),
        None => false,
    }
}

// The words are in two halves so that this file does not hold them itself.
const PROMISES: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimplemen", "ted!("),
    concat!("#[ig", "nore"),
    concat!("allow(dead", "_code)"),
    concat!("FIX", "ME"),
];

/// Nothing in the code is left for later.
pub(super) fn promises(tree: &Tree) -> Vec<Problem> {
    let sources = tree.files_in("", ".rs").chain(tree.files_in("", ".sh"));
    sources
        .flat_map(|(path, text)| find(path, text, PROMISES, |_, word| format!("`{word}` is a promise: keep it, or delete what needs it")))
        .collect()
}

const HOSTS: &[&str] = &[
    concat!("deb.", "debian.org"),
    concat!("security.", "debian.org"),
    concat!("snapshot.", "debian.org"),
    concat!("static.", "rust-lang.org"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("://", "crates.io"),
    concat!("py", "pi.org"),
    concat!("files.", "pythonhosted.org"),
    concat!("registry.", "npmjs.org"),
];

/// Starts of paths that are somebody's, or one machine's.
const MACHINE_PATHS: &[&str] = &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// No file names a registry's host or a path of one machine. `Cargo.lock` names registries because cargo says so.
pub(super) fn traces(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.files_in("", "").filter(|(path, _)| *path != "Cargo.lock") {
        let host = |_: &str, word: &str| format!("names the host {word}: use what the machine has configured");
        problems.extend(find(path, text, HOSTS, host));
        let found = |before: &str, word: &str| {
            // Part of a longer path, relative or below a variable, is fine.
            let whole = !before.ends_with(|c: char| c.is_alphanumeric() || "._-}*".contains(c));
            if whole { format!("names the path {word} of one machine: make it relative, or ask for a folder") } else { String::new() }
        };
        problems.extend(find(path, text, MACHINE_PATHS, found).into_iter().filter(|problem| !problem.what.is_empty()));
    }
    problems
}

/// A problem for each of `words` in each line; `what` is told what stands before the word.
fn find(path: &str, text: &str, words: &[&str], what: impl Fn(&str, &str) -> String) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in words {
            for (at, _) in line.match_indices(word) {
                problems.push(Problem { path: path.to_owned(), line: index + 1, what: what(&line[..at], word) });
            }
        }
    }
    problems
}

/// README.md states the minimum Rust version that the manifests declare; `cargo xtask test` builds with it.
pub(super) fn minimum_rust(tree: &Tree) -> Vec<Problem> {
    let Some(root) = tree.packages.iter().find(|package| package.folder.is_empty()) else { return Vec::new() };
    let stated = root.rust_version.trim_end_matches(".0");
    let readme = tree.files.get("README.md").map_or("", String::as_str);
    if !stated.is_empty() && readme.contains(&format!("Rust {stated}")) {
        return Vec::new();
    }
    vec![tree.problem_at("README.md", "Rust 1.", format!("does not state the minimum version of Cargo.toml: write `Rust {stated}`"))]
}

#[cfg(test)]
mod tests {
    use super::super::{Package, said};
    use super::*;

    fn seen(architecture: &str) -> Vec<String> {
        let scenarios = "scenario(\"counts\", counts)";
        let lib = "/// ```compile_fail\n/// ```\nfn f() {}\n#[test]\nfn frames_are_counted() {}\n";
        let files = [("a/lib.rs", lib), ("Cargo.toml", "dbg_macro = \"deny\"\n"), ("xtask/src/vm/scenarios.rs", scenarios)];
        let mut tree = Tree::of(&files);
        tree.files.insert(ARCHITECTURE.to_owned(), architecture.to_owned());
        said(&invariants(&tree))
    }

    #[test]
    fn an_invariant_names_what_holds_it() {
        for good in [
            "I1. Every frame is counted — held by: `a/lib.rs::tests::frames_are_counted`, `xtask tidy: floors`, `xtask vm: counts`\n",
            "- I1. Every frame\n  is counted,\n  held by `a/lib.rs::compile_fail`\n- **I2** No debris. Held how? held by: `lint: dbg_macro`\n",
            "| no | invariant | held by |\n|---|---|---|\n| I1 | Every `frame` is counted | `a/lib.rs::frames_are_counted` |\n",
        ] {
            assert!(seen(good).is_empty(), "{good}: {:?}", seen(good));
        }
    }

    #[test]
    fn an_invariant_that_nothing_holds_is_seen() {
        for bad in [
            "No invariants at all. IOMMU. I am.\n",
            "\nI1. Every frame is counted.\n",
            "\nI1. `a/lib.rs::frames_are_counted` but nothing said\n",
            "\nI1. Every frame is counted — held by: `a/lib.rs::frames`\n",
            "\nI1. Every frame is counted — held by: `a/lib.rs::f`, `b/lib.rs::f`\n",
            "\nI1. Every frame is counted — held by: `xtask tidy: ceilings`\n",
            "\nI1. Every frame is counted — held by: `lint: none`\n",
            "\nI1. Every frame is counted — held by: `xtask vm: count`\n",
            "\nI2. Every frame is counted — held by: `a/lib.rs::f`\n",
            "\n| I1 | Every frame `a/lib.rs::f` | nothing |\n",
        ] {
            let problems = seen(bad);
            assert_eq!(problems.len(), 1, "{bad}: {problems:?}");
            let line = if bad.starts_with('\n') { 2 } else { 1 };
            assert!(problems[0].starts_with(&format!("{ARCHITECTURE}:{line}: ")), "{problems:?}");
        }
        assert_eq!(invariants(&Tree::default()).len(), 1);
    }

    #[test]
    fn a_promise_is_seen() {
        for word in PROMISES {
            let problems = said(&promises(&Tree::of(&[("a.rs", &format!("fn f() {{\n    {word}\n}}\n")), ("a.md", word)])));
            assert_eq!(problems.len(), 1, "{word}");
            assert!(problems[0].starts_with("a.rs:2: "), "{problems:?}");
        }
    }

    #[test]
    fn a_trace_of_a_machine_is_seen() {
        for word in HOSTS.iter().chain(MACHINE_PATHS) {
            let problems = said(&traces(&Tree::of(&[("a.md", &format!("see\nhere: {word}x\n")), ("Cargo.lock", word)])));
            assert!(!problems.is_empty(), "{word}");
            assert!(problems[0].starts_with("a.md:2: "), "{problems:?}");
        }
        let relative = ["$folder", "deb", "${x}", "."].map(|before| format!("{before}{}x\n", MACHINE_PATHS[1])).concat();
        assert!(traces(&Tree::of(&[("a.md", &relative)])).is_empty());
    }

    #[test]
    fn a_readme_of_another_rust_is_seen() {
        let tree = |readme: &str| {
            let mut tree = Tree::of(&[("README.md", readme)]);
            tree.packages.push(Package { rust_version: "1.95.0".to_owned(), ..Package::default() });
            tree
        };
        assert!(minimum_rust(&tree("It needs Rust 1.95 or later.\n")).is_empty());
        assert_eq!(minimum_rust(&tree("It needs Rust 1.85 or later.\n")).len(), 1);
    }
}
