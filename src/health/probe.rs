//! Health probes as the manifest has them.
//!
//! The compiler has checked what it wrote; a manifest is read here as the input of root all the same.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use hyper::http::uri::PathAndQuery;
use serde::Deserialize;
use serde_json::Value;

use crate::bundle::manifest::UnitEntry;
use crate::bundle::quantity::Span;
use crate::bundle::unit::UnitName;

/// One test, and how often it runs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Probe {
    pub test: Test,
    /// Time between two probes.
    pub interval: Span,
    /// How long one probe may take.
    pub timeout: Span,
    /// Failures in a row after which the service counts as unhealthy; at least 1.
    pub retries: u32,
    /// How long failures do not count after a start.
    pub start_period: Span,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Http(Http),
    /// A connection that is opened.
    Tcp(Address),
    /// A connection to a Redis server that answers a `PING`.
    Redis(Address),
    /// A program and its arguments; exit status 0 is healthy.
    Command(Vec<String>),
    Unit(Unit),
    /// The file or directory exists.
    File(PathBuf),
    /// The path is a mount point.
    Mount(PathBuf),
    /// A process of the unit holds memory on its GPU.
    GpuProcess,
}

/// A GET request over TCP or a unix socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    pub address: Address,
    pub path: PathAndQuery,
    pub status: u16,
    /// Text that the body must contain.
    pub contains: Option<String>,
    /// Values that the JSON body must have, by JSON pointer.
    pub json: BTreeMap<String, Value>,
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Socket(PathBuf),
    Port { host: String, port: u16 },
}

/// The state and the restart counter of the service's own unit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Restarts by systemd within the window that still count as healthy.
    pub max_restarts: u32,
    pub window: Span,
}

/// Which probe of a manifest is not one, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the health probe {probe:?} of {unit} cannot be used: {reason}; build the bundle again")]
pub struct InvalidProbe {
    pub unit: UnitName,
    pub probe: String,
    pub reason: String,
}

/// Returns the probes of a unit by name.
///
/// # Errors
///
/// The first probe that is not one.
pub fn probes(unit: &UnitName, entry: &UnitEntry) -> Result<BTreeMap<String, Probe>, InvalidProbe> {
    let parse = |(name, value): (&String, &Value)| {
        let wrong = |error: serde_json::Error| InvalidProbe {
            unit: unit.clone(),
            probe: name.clone(),
            reason: error.to_string(),
        };
        Ok((name.clone(), Probe::deserialize(value).map_err(wrong)?))
    };
    entry.health.iter().map(parse).collect()
}

/// A probe as it is written: any of the tests may be there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    http: Option<WrittenHttp>,
    tcp: Option<WrittenAddress>,
    redis: Option<WrittenAddress>,
    command: Option<Vec<String>>,
    unit: Option<Unit>,
    file: Option<PathBuf>,
    mount: Option<PathBuf>,
    /// `false` asks for nothing.
    gpu_process: Option<bool>,
    interval: Span,
    timeout: Span,
    retries: u32,
    start_period: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHttp {
    host: Option<String>,
    port: Option<u16>,
    socket: Option<PathBuf>,
    path: String,
    status: u16,
    contains: Option<String>,
    #[serde(default)]
    json: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAddress {
    host: Option<String>,
    port: Option<u16>,
    socket: Option<PathBuf>,
}

impl TryFrom<Written> for Probe {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let mut tests: Vec<Test> = Vec::new();
        tests.extend(written.http.map(Http::try_from).transpose()?.map(Test::Http));
        tests.extend(written.tcp.map(Address::try_from).transpose()?.map(Test::Tcp));
        tests.extend(written.redis.map(Address::try_from).transpose()?.map(Test::Redis));
        tests.extend(written.command.map(program).transpose()?.map(Test::Command));
        tests.extend(written.unit.map(Test::Unit));
        tests.extend(written.file.map(absolute).transpose()?.map(Test::File));
        tests.extend(written.mount.map(absolute).transpose()?.map(Test::Mount));
        tests.extend(written.gpu_process.filter(|wanted| *wanted).map(|_| Test::GpuProcess));
        let (Some(test), None) = (tests.pop(), tests.pop()) else {
            return Err("it has to test one thing".to_owned());
        };
        if written.interval.0.is_zero() || written.timeout.0.is_zero() || written.retries == 0 {
            return Err("interval, timeout and retries have to be more than 0".to_owned());
        }
        let Written { interval, timeout, retries, start_period, .. } = written;
        Ok(Probe { test, interval, timeout, retries, start_period })
    }
}

impl TryFrom<WrittenHttp> for Http {
    type Error = String;

    fn try_from(written: WrittenHttp) -> Result<Self, String> {
        let WrittenHttp { host, port, socket, path, status, contains, json } = written;
        if !(100..600).contains(&status) {
            return Err(format!("{status} is not a status of HTTP"));
        }
        if let Some(pointer) = json.keys().find(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
            return Err(format!("{pointer:?} is not a JSON pointer, which begins with \"/\""));
        }
        let wrong = || format!("{path:?} is not the path of a request");
        let path = PathAndQuery::try_from(path.as_str()).ok().filter(|_| path.starts_with('/')).ok_or_else(wrong)?;
        let address = WrittenAddress { host, port, socket }.try_into()?;
        Ok(Http { address, path, status, contains, json })
    }
}

impl TryFrom<WrittenAddress> for Address {
    type Error = String;

    fn try_from(written: WrittenAddress) -> Result<Self, String> {
        match (written.socket, written.host, written.port) {
            (Some(socket), None, None) => absolute(socket).map(Address::Socket),
            (None, Some(host), Some(port)) if !host.is_empty() && port != 0 && !host.contains(['\0', '/', ' ']) => {
                Ok(Address::Port { host, port })
            }
            (None, Some(host), Some(port)) => Err(format!("{host:?} with port {port} is not an address")),
            _ => Err("an address is either a `socket` or a `host` with a `port`".to_owned()),
        }
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, String> {
    let usable = path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&0);
    usable.then(|| path.clone()).ok_or_else(|| format!("{path:?} is not an absolute path"))
}

fn program(command: Vec<String>) -> Result<Vec<String>, String> {
    match command.first() {
        Some(program) if !Path::new(program).is_absolute() => {
            Err(format!("the program {program:?} has no absolute path"))
        }
        Some(_) if command.iter().any(|word| word.contains('\0')) => Err("an argument has a NUL character".to_owned()),
        Some(_) => Ok(command),
        None => Err("the command has no program".to_owned()),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(path) => write!(out, "{}", path.display()),
            Address::Port { host, port } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Address::Port { host, port } => write!(out, "{host}:{port}"),
        }
    }
}

impl fmt::Display for Test {
    /// Says what is asked, for a message that ends with what is wrong. It is short, and has no arguments of a command.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Test::Http(Http { address: Address::Socket(socket), path, .. }) => {
                write!(out, "GET {path} at {}", socket.display())
            }
            Test::Http(Http { address, path, .. }) => write!(out, "GET http://{address}{path}"),
            Test::Tcp(address) => write!(out, "connection to {address}"),
            Test::Redis(address) => write!(out, "PING to Redis at {address}"),
            Test::Command(command) => out.write_str(command.first().map_or("command", String::as_str)),
            Test::Unit(_) => out.write_str("unit"),
            Test::File(path) | Test::Mount(path) => write!(out, "{}", path.display()),
            Test::GpuProcess => out.write_str("GPU"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(mut probe: Value) -> Result<Probe, String> {
        for (key, value) in [("interval", json!("30s")), ("timeout", json!("10s")), ("start_period", json!("90s"))] {
            let missing = probe.get(key).is_none();
            if missing {
                probe[key] = value;
            }
        }
        if probe.get("retries").is_none() {
            probe["retries"] = json!(3);
        }
        serde_json::from_value(probe).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_is_read() {
        let table = [
            (
                json!({ "http": { "host": "127.0.0.1", "port": 8000, "path": "/health?a=b", "status": 200, "json": {} } }),
                "GET http://127.0.0.1:8000/health?a=b",
            ),
            (
                json!({ "http": { "socket": "/run/a/b.sock", "path": "/", "status": 204 }, "gpu_process": false }),
                "GET / at /run/a/b.sock",
            ),
            (json!({ "tcp": { "host": "::1", "port": 1 } }), "connection to [::1]:1"),
            (json!({ "redis": { "host": "a.b", "port": 6379 } }), "PING to Redis at a.b:6379"),
            (json!({ "command": ["/bin/true", "-x"] }), "/bin/true"),
            (json!({ "unit": { "max_restarts": 2, "window": "10min" } }), "unit"),
            (json!({ "file": "/a" }), "/a"),
            (json!({ "mount": "/a" }), "/a"),
            (json!({ "gpu_process": true }), "GPU"),
        ];
        for (probe, what) in table {
            assert_eq!(parse(probe).map(|probe| probe.test.to_string()).as_deref(), Ok(what));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let http = |patch: Value| {
            let mut http = json!({ "host": "h", "port": 1, "path": "/", "status": 200 });
            http.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
            json!({ "http": http })
        };
        let table = [
            (json!({}), "it has to test one thing"),
            (json!({ "gpu_process": false }), "it has to test one thing"),
            (json!({ "file": "/a", "mount": "/a" }), "it has to test one thing"),
            (json!({ "grpc": 1 }), "unknown field `grpc`"),
            (json!({ "file": "a" }), "\"a\" is not an absolute path"),
            (json!({ "command": [] }), "the command has no program"),
            (json!({ "command": ["curl"] }), "the program \"curl\" has no absolute path"),
            (json!({ "tcp": { "host": "h" } }), "an address is either a `socket` or a `host` with a `port`"),
            (json!({ "tcp": { "host": "h", "port": 0 } }), "\"h\" with port 0 is not an address"),
            (json!({ "tcp": { "host": "h", "port": 70000 } }), "invalid value: integer `70000`"),
            (json!({ "file": "/a", "interval": "0s" }), "interval, timeout and retries have to be more than 0"),
            (json!({ "file": "/a", "retries": 0 }), "interval, timeout and retries have to be more than 0"),
            (json!({ "file": "/a", "timeout": "soon" }), "\"soon\" is not a length of time"),
            (http(json!({ "path": "health" })), "\"health\" is not the path of a request"),
            (http(json!({ "path": "/a b" })), "\"/a b\" is not the path of a request"),
            (http(json!({ "path": "/a\r\nX: y" })), "is not the path of a request"),
            (http(json!({ "status": 1000 })), "1000 is not a status of HTTP"),
            (http(json!({ "json": { "status": 1 } })), "\"status\" is not a JSON pointer"),
            (http(json!({ "socket": "/s" })), "an address is either a `socket` or a `host` with a `port`"),
        ];
        for (probe, expected) in table {
            let error = parse(probe.clone()).expect_err("it is nonsense");
            assert!(error.contains(expected), "{probe}: {error}");
        }
    }
}
