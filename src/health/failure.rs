//! Why a probe did not pass.

use std::io;

use crate::bundle::quantity::Span;

/// A probe that did not pass: what was asked, and what is wrong with the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct Failure {
    /// What the probe does, such as `GET http://127.0.0.1:8000/health`.
    pub what: String,
    pub reason: Reason,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("no answer in {0}")]
    NoAnswer(Span),
    /// Nothing can be asked, such as `connection refused`.
    #[error("{0}")]
    Unreachable(String),
    #[error("{0:?} has no address")]
    NoAddress(String),
    #[error("status {found} instead of {wanted}")]
    Status { found: u16, wanted: u16 },
    /// The other side does not speak the protocol, or stopped to in the middle.
    #[error("not a whole answer: {0}")]
    Protocol(String),
    #[error("{0:?} is not in the answer")]
    Text(String),
    /// The answer ended at the limit, so that it is not known whole.
    #[error("the answer is longer than {} KiB", .0 / 1024)]
    TooLong(usize),
    #[error("the answer is not JSON")]
    NotJson,
    #[error("{pointer:?} is {} instead of {wanted}", .found.as_deref().unwrap_or("missing"))]
    Json {
        pointer: String,
        /// The JSON text of the value; none if there is no such value.
        found: Option<String>,
        wanted: String,
    },
    /// What a server said instead of what was expected.
    #[error("the answer is {0:?}")]
    Answer(String),
    #[error("cannot be run: {0}")]
    NotRun(String),
    #[error("ended with {end}{}", .output.as_ref().map(|line| format!(": {line}")).unwrap_or_default())]
    Ended {
        /// The exit status or the signal.
        end: String,
        /// The last line that it wrote.
        output: Option<String>,
    },
    /// The state of the unit, such as `failed (exit-code)`.
    #[error("is {0}")]
    State(String),
    #[error("restarted {} within {window}", times(*.count))]
    Restarted { count: u32, window: Span },
    #[error("does not exist")]
    Missing,
    #[error("is not a mount point")]
    NotMounted,
    #[error("no process of the unit holds memory on its GPU")]
    NotOnGpu,
    /// Too many earlier probes still hang in the kernel or in a name service.
    #[error("{0} earlier probes still hang")]
    TooManyHang(usize),
    /// The one who was asked about the service could not be asked.
    #[error("cannot find out: {0}")]
    Unknown(String),
}

impl Reason {
    /// Returns the reason why nothing can be asked, from an error of the system.
    pub(super) fn unreachable(error: &io::Error) -> Self {
        Reason::Unreachable(plain(error))
    }
}

/// Returns the text of an error of the system without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

/// Returns `once`, `twice`, `3 times`.
pub(super) fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

/// Returns at most this many characters of a text, without control characters.
pub(crate) fn short(text: &str, most: usize) -> String {
    let mut characters = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut short: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}
