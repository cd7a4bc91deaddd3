//! `deploy/Containerfile`, which says what the image is: read here, so that this command and container tools make the same of it.
//!
//! It knows the few instructions that an image of one program needs, and refuses all others.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Containerfile {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) user: String,
    pub(super) stop_signal: String,
    pub(super) entrypoint: Vec<String>,
    pub(super) cmd: Vec<String>,
}

impl Containerfile {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut read = Self::default();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
        let joined = lines.fold(String::new(), |text, line| match line.trim_end().strip_suffix('\\') {
            Some(begun) => text + begun + " ",
            None => text + line + "\n",
        });
        let (mut from, mut copy) = (false, false);
        for line in joined.lines() {
            let (instruction, rest) = line.split_once(' ').with_context(|| format!("an instruction without an argument: {line}"))?;
            let rest = rest.trim();
            match (instruction, rest) {
                ("FROM", "scratch") => from = true,
                ("COPY", ". /") => copy = true,
                ("LABEL", _) => read.labels.extend(labels(rest)?),
                ("USER", _) => rest.clone_into(&mut read.user),
                ("STOPSIGNAL", _) => rest.clone_into(&mut read.stop_signal),
                ("ENTRYPOINT", _) => read.entrypoint = words(rest)?,
                ("CMD", _) => read.cmd = words(rest)?,
                _ => bail!(
                    "cargo xtask image does not know `{line}`: it makes what FROM scratch, COPY . /, LABEL, USER, STOPSIGNAL, ENTRYPOINT and CMD can say"
                ),
            }
        }
        ensure!(from && copy, "no FROM scratch, or no COPY . /");
        let (user, group) = read.user.split_once(':').unwrap_or((&read.user, ""));
        let number = |id: &str| id.parse::<u32>().is_ok_and(|id| id != 0);
        ensure!(number(user) && number(group), "USER {:?} is not two numbers other than 0, such as 1000:1000", read.user);
        ensure!(!read.entrypoint.is_empty(), "no ENTRYPOINT");
        Ok(read)
    }
}

/// `key="value" key="value"`.
fn labels(mut text: &str) -> Result<Vec<(String, String)>> {
    let mut labels = Vec::new();
    while !text.is_empty() {
        let quoted = text.split_once("=\"").and_then(|(key, rest)| Some((key, rest.split_once('"')?)));
        let (key, (value, rest)) = quoted.with_context(|| format!("not a label such as key=\"value\": {text}"))?;
        labels.push((key.to_owned(), value.to_owned()));
        text = rest.trim_start();
    }
    Ok(labels)
}

/// The form that needs no shell.
fn words(text: &str) -> Result<Vec<String>> {
    serde_json::from_str(text).with_context(|| format!("not a JSON list of words: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "# note\nFROM scratch\nLABEL a.b=\"c d\" \\\n      e=\"\"\nCOPY . /\nUSER 1000:1000\nENTRYPOINT [\"/x\"]\nCMD [\"y\", \"z\"]\n";

    #[test]
    fn what_is_said_is_read() {
        let read = Containerfile::parse(GOOD).unwrap();
        let labels = [("a.b", "c d"), ("e", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(read.labels, labels.into());
        assert_eq!(
            (&*read.user, &read.entrypoint[..], &read.cmd[..]),
            ("1000:1000", &["/x".to_owned()][..], &["y".to_owned(), "z".to_owned()][..])
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (from, to) in [
            ("FROM scratch", "FROM debian"),
            ("COPY . /", "COPY x /"),
            ("COPY . /\n", ""),
            ("USER 1000:1000", "USER root"),
            ("USER 1000:1000", "USER 0:0"),
            ("USER 1000:1000\n", ""),
            ("[\"/x\"]", "/x"),
            ("LABEL", "ENV"),
            ("e=\"\"", "e=f"),
        ] {
            assert!(Containerfile::parse(&GOOD.replace(from, to)).is_err(), "{to}");
        }
    }
}
