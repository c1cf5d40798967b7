//! Preflight checks as the manifest has them.
//!
//! The compiler has checked what it wrote; a manifest is read here as the input of root all the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use serde::{Deserialize, Serialize};

use super::version::Version;
use crate::bundle::quantity::Size;
use crate::health::probe::{Address, Http, Test as Probe};

/// One test, and what its failure means.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Check {
    pub test: Test,
    pub severity: Severity,
}

/// Whether a failure prevents the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Fatal,
    Warning,
}

/// What a check tests; the options of `services.NAME.preflight.NAME` say what each means.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    User(String),
    File(PathBuf),
    Directory(PathBuf),
    Executable(PathBuf),
    Link {
        path: PathBuf,
        target: PathBuf,
    },
    Mount(PathBuf),
    DiskFree {
        path: PathBuf,
        size: Size,
    },
    MemoryFree(Size),
    PortFree(u16),
    Driver(Version),
    Cuda(Version),
    GpuMemoryFree(Size),
    Python {
        interpreter: PathBuf,
        modules: Vec<String>,
    },
    TorchCuda(PathBuf),
    Docker,
    Redis(Address),
    /// An address that has to answer, whatever the answer is. Of `https` only the connection is tried.
    Http(Probe),
}

/// A check as it is written: any of the tests may be there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    user: Option<String>,
    file: Option<PathBuf>,
    directory: Option<PathBuf>,
    executable: Option<PathBuf>,
    link: Option<Link>,
    mount: Option<PathBuf>,
    disk_free: Option<Disk>,
    memory_free: Option<Size>,
    port_free: Option<u16>,
    driver: Option<Version>,
    cuda: Option<Version>,
    gpu_memory_free: Option<Size>,
    python: Option<Python>,
    torch_cuda: Option<PathBuf>,
    /// `false` asks for nothing.
    docker: Option<bool>,
    redis: Option<Redis>,
    http: Option<String>,
    severity: Severity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    path: PathBuf,
    target: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disk {
    path: PathBuf,
    size: Size,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Python {
    interpreter: PathBuf,
    modules: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redis {
    host: String,
    port: u16,
}

impl TryFrom<Written> for Check {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let mut tests: Vec<Test> = Vec::new();
        tests.extend(written.user.map(Test::User));
        tests.extend(written.file.map(absolute).transpose()?.map(Test::File));
        tests.extend(written.directory.map(absolute).transpose()?.map(Test::Directory));
        tests.extend(written.executable.map(absolute).transpose()?.map(Test::Executable));
        if let Some(Link { path, target }) = written.link {
            tests.push(Test::Link { path: absolute(path)?, target: absolute(target)? });
        }
        tests.extend(written.mount.map(absolute).transpose()?.map(Test::Mount));
        if let Some(Disk { path, size }) = written.disk_free {
            tests.push(Test::DiskFree { path: absolute(path)?, size });
        }
        tests.extend(written.memory_free.map(Test::MemoryFree));
        tests.extend(written.port_free.map(Test::PortFree));
        tests.extend(written.driver.map(Test::Driver));
        tests.extend(written.cuda.map(Test::Cuda));
        tests.extend(written.gpu_memory_free.map(Test::GpuMemoryFree));
        if let Some(python) = written.python {
            tests.push(python.try_into()?);
        }
        tests.extend(written.torch_cuda.map(absolute).transpose()?.map(Test::TorchCuda));
        tests.extend(written.docker.filter(|wanted| *wanted).map(|_| Test::Docker));
        tests.extend(written.redis.map(|Redis { host, port }| Test::Redis(Address::Port { host, port })));
        tests.extend(written.http.map(|url| address(&url)).transpose()?.map(Test::Http));
        let (Some(test), None) = (tests.pop(), tests.pop()) else {
            return Err("it has to test one thing".to_owned());
        };
        Ok(Check { test, severity: written.severity })
    }
}

impl TryFrom<Python> for Test {
    type Error = String;

    fn try_from(Python { interpreter, modules }: Python) -> Result<Self, String> {
        let modules: Vec<String> = modules.into_iter().filter_map(|(name, wanted)| wanted.then_some(name)).collect();
        let is_name = |name: &str| {
            let part = |part: &str| !part.is_empty() && part.chars().all(|it| it == '_' || it.is_alphanumeric());
            name.split('.').all(part)
        };
        match modules.iter().find(|name| !is_name(name)) {
            Some(name) => Err(format!("{name:?} is not the name of a Python module")),
            None => Ok(Test::Python { interpreter: absolute(interpreter)?, modules }),
        }
    }
}

/// Turns a URL into what is asked there.
fn address(url: &str) -> Result<Probe, String> {
    let wrong = || format!("{url:?} is not an http address");
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let host = uri.host().map(|host| host.trim_matches(['[', ']']).to_owned()).filter(|host| !host.is_empty());
    let address = |default| {
        let port = uri.port_u16().unwrap_or(default);
        host.clone().map(|host| Address::Port { host, port }).ok_or_else(wrong)
    };
    match uri.scheme_str() {
        Some("https") => Ok(Probe::Tcp(address(443)?)),
        Some("http") => Ok(Probe::Http(Http {
            address: address(80)?,
            path: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
            status: 200,
            contains: None,
            json: BTreeMap::new(),
        })),
        _ => Err(wrong()),
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, String> {
    let usable = path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&0);
    usable.then(|| path.clone()).ok_or_else(|| format!("{path:?} is not an absolute path"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(mut check: Value) -> Result<Test, String> {
        check["severity"] = json!("warning");
        serde_json::from_value(check).map(|check: Check| check.test).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_is_read_as_the_compiler_writes_it() {
        for check in [
            json!({ "user": "starlord" }),
            json!({ "file": "/a" }),
            json!({ "directory": "/a" }),
            json!({ "executable": "/a" }),
            json!({ "link": { "path": "/a", "target": "/b" } }),
            json!({ "mount": "/a" }),
            json!({ "disk_free": { "path": "/a", "size": "10G" } }),
            json!({ "memory_free": "8G" }),
            json!({ "port_free": 8080 }),
            json!({ "driver": "525.60.11" }),
            json!({ "cuda": "12.0" }),
            json!({ "gpu_memory_free": "12G" }),
            json!({ "python": { "interpreter": "/a", "modules": { "torch": true, "a.b": false } } }),
            json!({ "torch_cuda": "/a" }),
            json!({ "docker": true }),
            json!({ "redis": { "host": "127.0.0.1", "port": 6379 } }),
            json!({ "http": "http://localhost:3010" }),
        ] {
            assert_eq!(parse(check.clone()).err(), None, "{check}");
        }
    }

    #[test]
    fn an_address_is_asked_where_it_leads() {
        let asked = |url: &str| match parse(json!({ "http": url })) {
            Ok(Test::Http(probe)) => probe.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(asked("http://localhost:3010"), "GET http://localhost:3010/");
        assert_eq!(asked("http://[::1]/a?b=c"), "GET http://[::1]:80/a?b=c");
        assert_eq!(asked("https://example.org/x"), "connection to example.org:443");
    }

    #[test]
    fn nonsense_is_refused() {
        for (check, expected) in [
            (json!({}), "it has to test one thing"),
            (json!({ "docker": false }), "it has to test one thing"),
            (json!({ "file": "/a", "mount": "/a" }), "it has to test one thing"),
            (json!({ "file": "a" }), "\"a\" is not an absolute path"),
            (json!({ "grpc": 1 }), "unknown field `grpc`"),
            (json!({ "driver": "new" }), "\"new\" is not a version"),
            (json!({ "http": "ftp://a" }), "\"ftp://a\" is not an http address"),
            (
                json!({ "python": { "interpreter": "/a", "modules": { "os; import x": true } } }),
                "\"os; import x\" is not the name of a Python module",
            ),
        ] {
            let error = parse(check.clone()).expect_err("it is nonsense");
            assert!(error.contains(expected), "{check}: {error}");
        }
    }
}
