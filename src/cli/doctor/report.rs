//! What the checks found: for people, for programs, and as an exit code.

use std::{fmt, process::ExitCode};
use vfwire_pod::Source;

/// The shape of the JSON object. Fields may be added under the same number; ids and verdicts stay.
const SCHEMA: u32 = 1;

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// It works, and not as well as it could.
    Warning,
    /// It does not work.
    Failure,
    /// It could not be checked, or need not be: `found` says why.
    Skipped,
}

/// One check.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub(super) struct Check {
    pub(super) id: &'static str,
    /// The VF that it is about.
    pub(super) subject: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) found: String,
    pub(super) needed: Option<String>,
    /// The line that mends it: YAML of the pod's spec, or a command for the host.
    pub(super) remedy: Option<String>,
}

impl Check {
    fn new(id: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { id, subject: None, verdict, found: found.into(), needed: None, remedy: None }
    }

    pub(super) fn ok(id: &'static str, found: impl Into<String>) -> Self {
        Self::new(id, Verdict::Ok, found)
    }

    pub(super) fn warning(id: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(id, Verdict::Warning, found) }
    }

    pub(super) fn failure(id: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(id, Verdict::Failure, found) }
    }

    pub(super) fn skipped(id: &'static str, why: impl Into<String>) -> Self {
        Self::new(id, Verdict::Skipped, why)
    }

    /// A failure whose text says first what is wrong and then, after a colon, what to do.
    pub(super) fn failed_with(id: &'static str, error: impl fmt::Display) -> Self {
        let text = error.to_string();
        let (found, remedy) = text.split_once(": ").unwrap_or((&text, "`dmesg` on the host may say why"));
        Self::failure(id, found, remedy)
    }

    pub(super) fn of(self, subject: impl fmt::Display) -> Self {
        Self { subject: Some(subject.to_string()), ..self }
    }

    pub(super) fn needs(self, needed: impl Into<String>) -> Self {
        Self { needed: Some(needed.into()), ..self }
    }

    pub(super) fn is_failure(&self) -> bool {
        self.verdict == Verdict::Failure
    }

    /// A warning in one line.
    pub(super) fn warning_line(&self) -> Option<String> {
        let remedy = self.remedy.as_deref().filter(|_| self.verdict == Verdict::Warning)?;
        let subject = self.subject.as_ref().map(|subject| format!("{subject}: ")).unwrap_or_default();
        Some(format!("warning: {subject}{}: {remedy}", self.found))
    }
}

/// All checks.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    schema: u32,
    version: &'static str,
    /// The worst of all verdicts but `skipped`.
    verdict: Verdict,
    /// What says that this is a pod.
    pod: Option<String>,
    pub(super) checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(pod: Option<&Source>, checks: Vec<Check>) -> Self {
        let worst = [Verdict::Failure, Verdict::Warning].into_iter().find(|&verdict| checks.iter().any(|check| check.verdict == verdict));
        let pod = pod.map(ToString::to_string);
        Self { schema: SCHEMA, version: env!("CARGO_PKG_VERSION"), verdict: worst.unwrap_or(Verdict::Ok), pod, checks }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(u8::from(self.verdict == Verdict::Failure))
    }
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id_width = self.checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
        for check in &self.checks {
            let subject = check.subject.as_ref().map(|subject| format!("{subject}: ")).unwrap_or_default();
            let needed = check.needed.as_ref().map(|needed| format!("; needs {needed}")).unwrap_or_default();
            writeln!(f, "{:<7}  {:<id_width$}  {subject}{}{needed}", check.verdict.name(), check.id, check.found)?;
            if let Some(remedy) = &check.remedy {
                writeln!(f, "{:<7}  -> {remedy}", "")?;
            }
        }
        let count = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        let [ok, warnings, failures, skipped] = [Verdict::Ok, Verdict::Warning, Verdict::Failure, Verdict::Skipped].map(count);
        write!(f, "doctor: {ok} ok, {warnings} warnings, {failures} failures, {skipped} skipped")
    }
}
