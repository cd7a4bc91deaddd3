//! Where unsafe code may be, and what must stand above it.

use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{Problem, Tree};

/// What an `unsafe` opens, for what must stand above it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Opens {
    /// A block, an implementation, an extern block or an attribute: the programmer vouches, so `// SAFETY:` says on what grounds.
    Promise,
    /// A function or a trait: the caller vouches, so its documentation says for what under `# Safety`. A trait's functions are documented
    /// by the trait, not again by each implementation.
    Demand,
}

/// Every `unsafe` has its reason directly above.
pub(super) fn safety_comments(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.files_in("", ".rs") {
        let problem = |line: usize, what: &str| Problem { path: path.to_owned(), line, what: what.to_owned() };
        let Ok(tokens) = TokenStream::from_str(text) else {
            problems.push(problem(1, "is not Rust that can be read: see what `cargo check` says"));
            continue;
        };
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let mut found = Vec::new();
        find_unsafe(tokens, false, &mut found);
        for (line, opens) in found {
            let above = comment_above(&lines, line);
            match opens {
                Opens::Promise if !above.contains("SAFETY:") => {
                    problems.push(problem(line, "unsafe without `// SAFETY:` directly above: name the invariant and who established it"));
                }
                Opens::Demand if !above.contains("# Safety") && !above.contains("SAFETY:") => {
                    problems.push(problem(line, "an unsafe fn or trait without `# Safety` in its documentation: say what the caller owes"));
                }
                _ => {}
            }
        }
    }
    problems
}

fn find_unsafe(tokens: TokenStream, in_trait_impl: bool, found: &mut Vec<(usize, Opens)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => find_unsafe(group.stream(), opens_trait_impl(&tokens[..at]), found),
            TokenTree::Ident(ident) if ident == "unsafe" => match what_follows(&tokens[at + 1..]) {
                Some(Opens::Demand) if in_trait_impl => {}
                Some(opens) => found.push((ident.span().start().line, opens)),
                None => {}
            },
            _ => {}
        }
    }
}

/// Whether the group after `tokens` is the body of `impl Trait for Type`.
fn opens_trait_impl(tokens: &[TokenTree]) -> bool {
    let ends_item = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    let item = tokens.rsplit(ends_item).next().unwrap_or_default();
    let has = |word: &str| item.iter().any(|token| matches!(token, TokenTree::Ident(ident) if ident == word));
    has("impl") && has("for")
}

/// What the `unsafe` before `tokens` opens; nothing where it is part of a function pointer's type.
fn what_follows(tokens: &[TokenTree]) -> Option<Opens> {
    match tokens.first()? {
        TokenTree::Ident(word) if word == "trait" => Some(Opens::Demand),
        TokenTree::Ident(word) if word == "fn" => match tokens.get(1)? {
            TokenTree::Group(_) => None,
            _ => Some(Opens::Demand),
        },
        TokenTree::Ident(word) if word == "extern" => match tokens.get(1)? {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(Opens::Promise),
            _ => what_follows(&tokens[1..]),
        },
        // The ABI between `extern` and `fn` or its block.
        TokenTree::Literal(_) => what_follows(&tokens[1..]),
        _ => Some(Opens::Promise),
    }
}

/// The comment directly above the statement or item that `line` (counted from 1) is in.
fn comment_above(lines: &[&str], line: usize) -> String {
    let mut at = line - 1;
    let mut comment = Vec::new();
    while at > 0 {
        let above = lines[at - 1];
        if above.starts_with("//") {
            comment.push(above);
        } else if !comment.is_empty() || !(is_attribute_end(above) || continues(above)) {
            break;
        }
        at -= 1;
        if is_attribute_end(above) {
            // An attribute may take several lines, and they end like statements.
            while at > 0 && !lines[at].starts_with("#[") {
                at -= 1;
            }
        }
    }
    comment.join("\n")
}

fn is_attribute_end(line: &str) -> bool {
    line.starts_with("#[") && line.ends_with(']') || line == ")]"
}

/// Whether the statement on `line` goes on below it.
fn continues(line: &str) -> bool {
    !line.is_empty() && !line.ends_with([';', '{', '}', ','])
}

/// Packages and folders without any unsafe code, which the compiler holds once it is told.
pub(super) fn forbid_unsafe(tree: &Tree) -> Vec<Problem> {
    let mut safe: Vec<String> = vec!["crates/spec/src/lib.rs".to_owned()];
    safe.extend(tree.packages.iter().filter(|package| package.folder.starts_with("drivers/")).map(|p| format!("{}/src/lib.rs", p.folder)));
    if !forbids(tree, "crates/sim/src/lib.rs") {
        // What a module forbids, the modules inside it cannot allow.
        safe.extend(["crates/sim/src/models.rs", "crates/sim/src/models/mod.rs"].map(str::to_owned));
    }
    let missing = safe.iter().filter(|path| tree.files.contains_key(*path) && !forbids(tree, path));
    missing
        .map(|path| tree.problem_at(path, "", "lacks `#![forbid(unsafe_code)]`: add it below the module's documentation".to_owned()))
        .collect()
}

fn forbids(tree: &Tree, path: &str) -> bool {
    tree.files.get(path).is_some_and(|text| text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]"))
}

#[cfg(test)]
mod tests {
    use super::super::said;
    use super::*;

    fn seen(text: &str) -> Vec<String> {
        said(&safety_comments(&Tree::of(&[("a.rs", text)])))
    }

    #[test]
    fn a_reason_directly_above_is_enough() {
        for good in [
            "// SAFETY: held by x.\nunsafe impl Send for A {}\n",
            "fn f() {\n    // SAFETY: held by x,\n    // who established it.\n    unsafe { g() }\n}\n",
            "fn f() {\n    // SAFETY: held by x.\n    let a =\n        unsafe { g() };\n}\n",
            "fn f() {\n    // SAFETY: held by x.\n    #[expect(\n        unsafe_code,\n        reason = \"y\"\n    )]\n    unsafe { g() }\n}\n",
            "/// Does.\n///\n/// # Safety\n/// The caller owes.\n#[inline]\npub unsafe fn f() {}\n",
            "/// Is.\n///\n/// # Safety\n/// Owed.\npub unsafe trait T {}\n",
            "impl T for A {\n    unsafe fn f(&self) {}\n}\n",
            "type F = unsafe extern \"C\" fn(u8);\ntype G = unsafe fn();\n",
            "const S: &str = \"unsafe { }\"; // unsafe { }\n",
        ] {
            assert!(seen(good).is_empty(), "{good}: {:?}", seen(good));
        }
    }

    #[test]
    fn a_missing_reason_is_seen() {
        for (line, bad) in [
            (1, "unsafe impl Send for A {}\n"),
            (1, "fn f() { unsafe { g() } }\n"),
            (3, "// SAFETY: of the first only.\nunsafe impl Send for A {}\nunsafe impl Sync for A {}\n"),
            (4, "fn f() {\n    // SAFETY: too far away.\n    let a = 1;\n    unsafe { g(a) }\n}\n"),
            (3, "// SAFETY: too far away.\n\nunsafe impl Send for A {}\n"),
            (2, "/// Does.\npub unsafe fn f() {}\n"),
            (2, "/// Is.\npub unsafe trait T {}\n"),
            (2, "impl A {\n    unsafe fn f(&self) {}\n}\n"),
            (3, "impl T for A {\n    unsafe fn f(&self) {\n        unsafe { g() }\n    }\n}\n"),
            (2, "impl T for A {}\nunsafe fn f() {}\n"),
            (1, "unsafe extern \"C\" { fn f(); }\n"),
            (1, "#[unsafe(no_mangle)]\nfn f() {}\n"),
            (2, "macro_rules! m {\n    () => { unsafe { g() } };\n}\n"),
        ] {
            let problems = seen(bad);
            assert_eq!(problems.len(), 1, "{bad}: {problems:?}");
            assert!(problems[0].starts_with(&format!("a.rs:{line}: ")), "{bad}: {problems:?}");
        }
    }

    #[test]
    fn what_must_be_safe_says_so() {
        let mut tree = Tree::of(&[
            ("crates/spec/src/lib.rs", "//! Facts.\n#![forbid(unsafe_code)]\n"),
            ("drivers/x/src/lib.rs", "#![forbid(unsafe_code)]\n"),
            ("crates/sim/src/lib.rs", ""),
            ("crates/sim/src/models.rs", "#![forbid(unsafe_code)]\n"),
        ]);
        tree = tree.with_package("drivers/x", &[]);
        assert!(forbid_unsafe(&tree).is_empty());
        for path in ["crates/spec/src/lib.rs", "drivers/x/src/lib.rs", "crates/sim/src/models.rs"] {
            let text = tree.files.insert(path.to_owned(), "// #![forbid(unsafe_code)]\n".to_owned());
            assert_eq!(forbid_unsafe(&tree).len(), 1, "{path}");
            tree.files.insert(path.to_owned(), text.unwrap());
        }
    }
}
