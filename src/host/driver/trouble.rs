//! What keeps the driver, or one GPU, from answering.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why there is no driver to talk to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Deserialize, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Trouble {
    #[error("this host has no NVIDIA driver: libnvidia-ml.so.1 is not installed")]
    NoLibrary,
    #[error("libnvidia-ml.so.1 cannot be loaded: {reason}; install the driver again")]
    BrokenLibrary { reason: String },
    #[error("libnvidia-ml.so.1 has no {symbol}, so it is too old or not NVIDIA's; install the driver again")]
    IncompleteLibrary { symbol: String },
    #[error("the NVIDIA driver is installed but not loaded; try `modprobe nvidia`, and see `journalctl -k`")]
    NoDriver,
    #[error("this user may not talk to the NVIDIA driver; try as root")]
    NoPermission,
    #[error(
        "the NVIDIA driver in the kernel and its library have different versions, as after an update; restart the host"
    )]
    VersionMismatch,
    #[error("a GPU has fallen off the bus; see `journalctl -k`, and restart the host")]
    Lost,
    #[error("the NVIDIA driver did not answer in {seconds} s; a GPU may have fallen off the bus, see `journalctl -k`")]
    Hung { seconds: u64 },
    #[error("the process that talks to the NVIDIA driver ended ({how}); see `journalctl -k`")]
    Died { how: String },
    #[error("the NVIDIA driver reports: {reason}")]
    Failed { reason: String },
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The GPU, or this driver, does not have it.
    Unsupported,
    NoPermission,
    /// The GPU does not accept the value.
    InvalidValue,
    /// The GPU has fallen off the bus, or needs a reset.
    Lost,
    /// No answer within the deadline.
    Hung,
    /// The process that asked ended.
    Died,
    /// Any other error.
    Failed,
}

/// A GPU does not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Deserialize, Serialize)]
#[error("{message}")]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
}

impl Refusal {
    pub fn new(kind: RefusalKind, message: impl fmt::Display) -> Self {
        Refusal { kind, message: message.to_string() }
    }

    /// Whether nothing more is to be expected of this GPU.
    pub fn is_final(&self) -> bool {
        matches!(self.kind, RefusalKind::Lost | RefusalKind::Hung | RefusalKind::Died)
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        let kind = match trouble {
            Trouble::Hung { .. } => RefusalKind::Hung,
            Trouble::Died { .. } => RefusalKind::Died,
            Trouble::Lost => RefusalKind::Lost,
            Trouble::NoPermission => RefusalKind::NoPermission,
            _ => RefusalKind::Failed,
        };
        Refusal::new(kind, trouble)
    }
}
