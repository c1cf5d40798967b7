//! A throwaway host: a whole Debian system that systemd boots, on a disk that lives as long as the test.
//!
//! It can be turned off and on again, in good order or by a power cut. What it is made of besides Debian is the business of
//! the test: files that it sees below `/task`, and a script among them that installs them.

pub mod background;
#[cfg(feature = "compiler")]
#[path = "../support/build.rs"]
pub mod build;
#[cfg(feature = "compiler")]
pub mod bundle;
pub mod disk;
#[cfg(feature = "compiler")]
pub mod expected;
#[path = "../support/machine.rs"]
pub mod machine;
#[path = "../support/project.rs"]
pub mod project;
#[path = "../support/skip.rs"]
pub mod skip;
pub mod systemd;

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use machine::Release;

/// How long a host may take for anything that it is asked to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at something that is to change.
const PAUSE: Duration = Duration::from_millis(30);

/// A host; it ends, without a trace, when this is dropped.
#[derive(Debug)]
pub struct Host {
    task: TempDir,
    machine: Child,
    /// The Debian system that it is made of.
    system: PathBuf,
    /// Its first process, as this machine numbers it.
    init: String,
}

/// What a host gets before it boots.
#[derive(Debug)]
pub struct Parts {
    task: TempDir,
    addresses: Vec<String>,
    binds: String,
}

impl Parts {
    pub fn new() -> Self {
        let task = tempfile::tempdir().expect("a temporary folder is made");
        fs::create_dir(task.path().join("host")).expect("a folder is made");
        let parts = Parts { task, addresses: Vec::new(), binds: String::new() };
        parts.file("program.py", include_str!("program.py"));
        parts.file("expected.sh", include_str!("expected.sh"));
        parts
    }

    /// Returns the folder that the host sees as `/task`.
    pub fn folder(&self) -> PathBuf {
        self.task.path().join("host")
    }

    /// Adds a file to `/task`. The one with the name `install.sh` is run before the host boots.
    pub fn file(&self, name: &str, text: &str) {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder is made");
        fs::write(path, text).expect("a file for the host is written");
    }

    /// Adds a list to `/task/lists`, an entry a line.
    pub fn list(&self, name: &str, entries: &[String]) {
        let text: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        self.file(&format!("lists/{name}"), &text);
    }

    /// Adds addresses to the network of the host.
    pub fn addresses(&mut self, addresses: impl IntoIterator<Item = String>) {
        self.addresses.extend(addresses);
        self.addresses.sort();
        self.addresses.dedup();
    }

    /// Lets the host see a file of this machine.
    pub fn bind(&mut self, file: &Path, target: &str) {
        self.binds += &format!("{}:{target}\n", file.display());
    }

    /// Makes a host of these parts and of a Debian system, boots it, and waits until it has started everything.
    pub fn boot(self, release: &Release, system: &Path) -> Host {
        let Parts { task, addresses, binds } = self;
        let write = |name: &str, text: &str| fs::write(task.path().join(name), text).expect("a file is written");
        write("host.sh", include_str!("host.sh"));
        write("inside.sh", include_str!("inside.sh"));
        write("addresses", &addresses.iter().map(|address| format!("{address}\n")).collect::<String>());
        write("binds", &binds);
        let machine = Command::new("sh")
            .args([&task.path().join("host.sh"), system, task.path()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let mut host = Host { task, machine, system: system.to_owned(), init: String::new() };
        host.boot();
        let version = host.run(&["systemctl", "--version"]);
        assert!(version.starts_with(&format!("systemd {} ", release.systemd)), "another systemd: {version}");
        host
    }
}

impl Host {
    /// Boots the host, which is off, and waits until it has started everything.
    pub fn boot(&mut self) {
        self.begin_boot();
        self.until("the end of the boot", || match self.run(&["systemctl", "is-system-running", "--wait"]).trim() {
            "running" | "degraded" => Ok(true),
            state => Err(format!("{state}\n{}", self.run(&["systemctl", "list-jobs"]))),
        });
    }

    /// Turns the host on, which is off, and returns when it has a first process.
    pub fn begin_boot(&mut self) {
        let _ = fs::remove_file(self.task.path().join("ended"));
        writeln!(self.machine.stdin.as_ref().expect("it is open"), "boot").expect("the host listens");
        self.until("a first process", || Ok(self.find_init().is_some()));
        self.init = self.find_init().expect("it was there");
    }

    /// Turns the host off in good order.
    pub fn turn_off(&mut self) {
        self.run(&["systemctl", "--no-block", "poweroff"]);
        self.wait_for_end();
    }

    /// Ends every process of the host at once, so that none of them gets to do anything more.
    pub fn cut_power(&mut self) {
        let killed = Command::new("kill").args(["-KILL", &self.init]).status();
        assert!(killed.is_ok_and(|status| status.success()), "the host was off already");
        self.wait_for_end();
    }

    pub fn reboot(&mut self) {
        self.turn_off();
        self.boot();
    }

    fn wait_for_end(&mut self) {
        let ended = self.task.path().join("ended");
        let start = Instant::now();
        while !ended.exists() {
            assert!(start.elapsed() < PATIENCE, "the host does not end\n{}", self.console());
            std::thread::sleep(PAUSE);
        }
        self.init.clear();
    }

    fn find_init(&self) -> Option<String> {
        let group = PathBuf::from(fs::read_to_string(self.task.path().join("group")).ok()?.trim_end());
        let processes = fs::read_to_string(group.join("payload/init.scope/cgroup.procs")).ok()?;
        processes.lines().next().map(str::to_owned)
    }

    /// Returns where this machine finds a path of the host while it runs. Absolute links on the way lead astray.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// Returns a program that is to run on the host, as root and outside all units.
    fn command(&self, command: &[&str]) -> Command {
        let mut program = Command::new("timeout");
        program
            .arg(PATIENCE.as_secs().to_string())
            .args(["nsenter", "--all", "--target", &self.init])
            .args([
                "env",
                "-i",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL=C.UTF-8",
                "SYSTEMD_COLORS=0",
            ])
            .args(command)
            .stdin(Stdio::null());
        program
    }

    /// Runs a program on the host, as root and outside all units.
    pub fn call(&self, command: &[&str]) -> Output {
        self.command(command).output().expect("timeout starts")
    }

    /// Runs a program on the host, as root and outside all units, and returns what it prints.
    pub fn run(&self, command: &[&str]) -> String {
        let output = self.call(command);
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// Returns what the host wrote to its console since it was installed.
    pub fn console(&self) -> String {
        let text = fs::read(self.task.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Sends an HTTP request from the host itself, and returns status and body.
    pub fn get(&self, host: &str, port: u16, path: &str) -> (u64, String) {
        self.try_get(host, port, path).unwrap_or_else(|reply| panic!("{host}:{port}{path}: {reply:?}"))
    }

    /// The same, where nobody may answer; the error is what was said instead of an answer.
    pub fn try_get(&self, host: &str, port: u16, path: &str) -> Result<(u64, String), String> {
        let script = r#"exec 3<>"/dev/tcp/$1/$2" && printf 'GET %s HTTP/1.0\r\n\r\n' "$3" >&3 && cat <&3"#;
        let reply = self.run(&["bash", "-c", script, "bash", host, &port.to_string(), path]);
        let answer = reply.split_once("\r\n\r\n").and_then(|(head, body)| {
            let status = head.split(' ').nth(1)?.parse().ok()?;
            Some((status, body.to_owned()))
        });
        answer.ok_or(reply)
    }

    /// Returns the IPv4 addresses and TCP ports that somebody listens on.
    pub fn listens(&self) -> std::collections::BTreeSet<(String, u16)> {
        let table = self.run(&["cat", "/proc/net/tcp"]);
        let listening = table.lines().filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (address, port) = fields.nth(1)?.split_once(':')?;
            // The address is in the byte order of the machine; 0A is the state of listening.
            let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
            let port = u16::from_str_radix(port, 16).ok()?;
            (fields.nth(1)? == "0A").then(|| (address.to_string(), port))
        });
        listening.collect()
    }

    /// Looks until something is so; an `Err` says what is in its place.
    pub fn until(&self, what: &str, mut look: impl FnMut() -> Result<bool, String>) {
        let start = Instant::now();
        loop {
            let seen = look();
            if seen == Ok(true) {
                return;
            }
            // `host.sh` removes the folder when it fails.
            let is_over = self.task.path().join("ended").exists() || !self.task.path().exists();
            if is_over || start.elapsed() > PATIENCE {
                panic!("waited in vain for {what}: {seen:?}\n{}", self.console());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.machine.stdin.take());
        let _ = self.machine.wait();
    }
}

/// Returns the system of a release that can be booted here, or why there is none.
pub fn can_boot(release: &Release) -> Result<PathBuf, String> {
    let system = release.system()?;
    for program in ["systemd-nspawn", "nsenter", "ip"] {
        let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output();
        if !found.is_ok_and(|output| output.status.success()) {
            return Err(format!("there is no {program}; tests/prepare installs it"));
        }
    }
    let python = system.join("usr/bin/python3");
    if python.exists() { Ok(system) } else { Err(format!("there is no {}; tests/prepare makes it", python.display())) }
}
