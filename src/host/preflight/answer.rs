//! What a check found out.

use serde::Serialize;

use super::check::Severity;

/// What was found, when it is as it has to be; or why it is not.
pub type Answer = Result<String, Failure>;

/// Why a check did not pass, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// A sentence without its full stop.
    pub reason: String,
    /// What to do, as an imperative.
    pub help: String,
}

impl Failure {
    pub fn new(reason: impl Into<String>, help: impl Into<String>) -> Self {
        Failure { reason: reason.into(), help: help.into() }
    }
}

/// A check and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name in the profile.
    pub check: String,
    pub severity: Severity,
    pub answer: Answer,
}

/// How a check counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    /// It failed, and that prevents no start.
    Warning,
    Failed,
}

impl Finding {
    pub fn outcome(&self) -> Outcome {
        match (&self.answer, self.severity) {
            (Ok(_), _) => Outcome::Passed,
            (Err(_), Severity::Warning) => Outcome::Warning,
            (Err(_), Severity::Fatal) => Outcome::Failed,
        }
    }
}

/// One line, for people.
impl std::fmt::Display for Finding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let check = &self.check;
        match (&self.answer, self.outcome()) {
            (Ok(found), _) => write!(out, "ok       {check}: {found}"),
            (Err(Failure { reason, help }), Outcome::Warning) => write!(out, "warning  {check}: {reason}; {help}"),
            (Err(Failure { reason, help }), _) => write!(out, "failed   {check}: {reason}; {help}"),
        }
    }
}
