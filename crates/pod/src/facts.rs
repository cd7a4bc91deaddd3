//! A fact, and where it came from.

use std::{fmt, path::PathBuf};

/// Where a fact came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A variable of the environment, by its name.
    Variable(String),
    /// A file of the container.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, counted from 1, where it has more than one.
        line: Option<usize>,
    },
    /// The user said so, by this option.
    Option(String),
}

impl Source {
    pub(crate) fn variable(name: impl Into<String>) -> Self {
        Self::Variable(name.into())
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> Self {
        Self::File { path: path.into(), line: None }
    }

    /// A line of a file, counted from 0 here.
    pub(crate) fn line(path: impl Into<PathBuf>, index: usize) -> Self {
        Self::File { path: path.into(), line: Some(index + 1) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::File { path, line: Some(line) } => write!(f, "{}, line {line}", path.display()),
            Self::Option(name) => f.write_str(name),
        }
    }
}

/// Something known, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact<T> {
    /// What is known.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

impl<T> Fact<T> {
    pub(crate) fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }
}

impl<T: fmt::Display> fmt::Display for Fact<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.value, self.source)
    }
}
