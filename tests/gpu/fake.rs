//! Hosts whose NVIDIA driver is a stand-in: the real program with `fake_nvml` in place of NVIDIA's library.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake_nvml");

/// A host of its own, with a driver that keeps what is set.
pub struct Host(TempDir);

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Builds the stand-in once, in a target folder of its own.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake_nvml");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--offline", "--manifest-path"])
            .arg(Path::new(SOURCE).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env_remove("CARGO_BUILD_BUILD_DIR")
            .output()
            .expect("cargo starts");
        assert!(built.status.success(), "fake_nvml does not build:\n{}", String::from_utf8_lossy(&built.stderr));
        target.join("debug/libfake_nvml.so")
    })
}

impl Host {
    /// Returns a host with the GPUs of `fake_nvml/machines/NAME`.
    pub fn new(machine: &str) -> Self {
        let host = Self::without_driver();
        fs::copy(library(), host.path("lib/libnvidia-ml.so.1")).expect("the library is copied");
        let machine =
            fs::read_to_string(Path::new(SOURCE).join("machines").join(machine)).expect("there is this machine");
        fs::write(host.path("machine"), machine).expect("the machine is written");
        host
    }

    pub fn without_driver() -> Self {
        let host = Host(tempfile::tempdir().expect("a temporary folder is made"));
        fs::create_dir(host.path("lib")).expect("a folder is made");
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the facts of the machine as they are now.
    pub fn machine(&self) -> String {
        fs::read_to_string(self.path("machine")).expect("there is a machine")
    }

    /// Returns one fact of the machine.
    pub fn fact(&self, key: &str) -> Option<String> {
        let machine = self.machine();
        let facts: BTreeMap<&str, &str> = machine.lines().filter_map(|line| line.split_once('=')).collect();
        facts.get(key).map(|value| (*value).to_owned())
    }

    /// Adds a fact, or changes one.
    pub fn change(&self, key: &str, value: &str) {
        let machine = self.machine();
        let mut facts: BTreeMap<&str, &str> = machine.lines().filter_map(|line| line.split_once('=')).collect();
        facts.insert(key, value);
        let text: String = facts.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        fs::write(self.path("machine"), text).expect("the machine is written");
    }

    /// Has things go wrong from now on, as `fake_nvml/src/fault.rs` describes.
    pub fn faults(&self, faults: &str) {
        fs::write(self.path("faults"), faults).expect("the faults are written");
    }

    /// Takes a function out of the library.
    pub fn without(&self, function: &str) {
        let path = self.path("lib/libnvidia-ml.so.1");
        let mut library = fs::read(&path).expect("there is a library");
        let name = [b"\0", function.as_bytes(), b"\0"].concat();
        let places: Vec<usize> =
            library.windows(name.len()).enumerate().filter(|(_, it)| *it == name).map(|(at, _)| at).collect();
        assert!(!places.is_empty(), "the library has no {function}");
        for at in places {
            library[at + 1] = b'x';
        }
        fs::write(path, library).expect("the library is written");
    }

    /// Returns how often the driver was called since it was asked last.
    pub fn calls(&self) -> usize {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        calls.lines().count()
    }

    /// Writes a file of settings and returns its path.
    pub fn config(&self, gpus: &Value) -> String {
        let path = self.path("gpu.json");
        fs::write(&path, serde_json::json!({ "version": 1, "gpus": gpus }).to_string()).expect("the file is written");
        path.to_str().expect("the path is UTF-8").to_owned()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_citadel-activate"));
        command
            .args(arguments)
            .env("LD_LIBRARY_PATH", self.path("lib"))
            .env("FAKE_NVML", self.0.path())
            .env("STATE_DIRECTORY", self.path("state"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Said { code: status.code(), signal: status.signal(), out: text(stdout), err: text(stderr) }
    }

    /// Runs a command that has to succeed, and returns what it said.
    pub fn done(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        said
    }
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
