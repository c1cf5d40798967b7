//! Jobs of systemd, and how they end.

use std::fmt;
use std::time::Duration;

use crate::bundle::unit::UnitName;

/// Something to be done to a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub unit: UnitName,
    pub kind: JobKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobKind {
    Start,
    Stop,
    Restart,
    Reload,
}

/// News of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEvent {
    /// systemd has taken it into its queue.
    Queued {
        unit: UnitName,
        kind: JobKind,
    },
    Ended {
        unit: UnitName,
        kind: JobKind,
        outcome: JobOutcome,
    },
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub struct JobOutcome {
    pub result: JobResult,
    /// Why, for people, such as `exit code 3`; empty when it is done.
    pub reason: String,
    /// From the moment that it was queued.
    pub took: Duration,
    /// How long the unit itself took to start, without what it waited for; none unless a start is done.
    pub start: Option<Duration>,
}

/// The result of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobResult {
    Done,
    /// There was nothing to do: a condition of the unit does not hold, or it does not run and cannot be reloaded.
    Skipped,
    Failed,
    /// The unit was not ready in the time that its definition gives it.
    Timeout,
    /// A unit that it needs failed.
    Dependency,
    /// Another job, or somebody, took it back.
    Canceled,
    /// It was not over within the limit that was given for it, and was cancelled.
    TimedOut,
    /// systemd did not take it.
    Refused,
    /// Another word of systemd, such as `assert` or `invalid`.
    Other(String),
}

impl fmt::Display for JobOutcome {
    /// Writes what happened, such as `failed: exit code 3`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match &self.result {
            JobResult::Done => "done",
            JobResult::Skipped => "nothing to do",
            JobResult::Failed => "failed",
            JobResult::Timeout => "not ready in time",
            JobResult::Dependency => "a unit that it needs failed",
            JobResult::Canceled => "cancelled by somebody else",
            JobResult::TimedOut => "not over within the time of its phase",
            JobResult::Refused => "refused by systemd",
            JobResult::Other(word) => word,
        };
        if self.reason.is_empty() { out.write_str(word) } else { write!(out, "{word}: {}", self.reason) }
    }
}

impl JobOutcome {
    /// Whether what was asked is so.
    pub fn is_ok(&self) -> bool {
        matches!(self.result, JobResult::Done | JobResult::Skipped)
    }
}
