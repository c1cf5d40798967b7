//! Health probes as the manifest has them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bundle::quantity::Span;

/// One test, and how often it runs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Probe {
    #[serde(flatten)]
    pub test: Test,
    /// Time between two probes.
    pub interval: Span,
    /// How long one probe may take.
    pub timeout: Span,
    /// Failures in a row after which the service counts as unhealthy.
    pub retries: u32,
    /// How long failures do not count after a start.
    pub start_period: Span,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    Http(Http),
    Tcp(Tcp),
    Redis(Tcp),
    /// A program and its arguments; exit status 0 is healthy.
    Command(Vec<String>),
    Unit(Unit),
    /// The file or directory exists.
    File(PathBuf),
    /// The path is a mount point.
    Mount(PathBuf),
    /// A process of the unit holds memory on its GPU; `false` asks for nothing.
    GpuProcess(bool),
}

/// A GET request over TCP or a unix socket.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Http {
    #[serde(flatten)]
    pub address: Address,
    pub path: String,
    pub status: u16,
    /// Text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Values that the JSON body must have, by JSON pointer.
    #[serde(default)]
    pub json: BTreeMap<String, Value>,
}

/// A connection that is opened; for Redis, one that answers a `PING`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Tcp {
    #[serde(flatten)]
    pub address: Address,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Address {
    Socket { socket: PathBuf },
    Port { host: String, port: u16 },
}

/// The state and the restart counter of the service's own unit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Unit {
    /// Restarts within the window that still count as healthy.
    pub max_restarts: u32,
    pub window: Span,
}
