//! What `preflight` finds on this machine: real files, users, ports, interpreters and servers.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code, reason = "tests/gpu.rs uses the rest")]
#[path = "gpu/fake.rs"]
mod fake;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

const PYTHON: &str = "/usr/bin/python3";

/// A folder with a generation whose services have preflight checks.
struct Place {
    folder: TempDir,
    units: Value,
}

/// How a command ended, and what it said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(mut command: Command) -> Self {
        let output = command.output().expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Returns the line of a check, without the name of the service.
    fn line(&self, check: &str) -> &str {
        let line = self.out.lines().find_map(|line| {
            let (_, line) = line.split_once(": ")?;
            line.split_once(' ')?.1.trim_start().starts_with(&format!("{check}: ")).then_some(line)
        });
        line.unwrap_or_else(|| panic!("there is no {check}: {self:?}"))
    }

    fn assert(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let generation = folder.path().join("etc/citadel/generations/1");
        fs::create_dir_all(generation.join("units")).unwrap();
        symlink("generations/1", folder.path().join("etc/citadel/current")).unwrap();
        Place { folder, units: json!({}) }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Adds a service with these lines in its unit and these checks; each that does not say so is fatal.
    fn service(mut self, name: &str, lines: &str, mut checks: Value) -> Self {
        for check in checks.as_object_mut().unwrap().values_mut() {
            let check = check.as_object_mut().unwrap();
            check.entry("severity").or_insert(json!("fatal"));
        }
        let unit = format!("{name}.service");
        let generation = self.folder.path().join("etc/citadel/generations/1");
        fs::write(generation.join("units").join(&unit), format!("[Service]\n{lines}\n")).unwrap();
        self.units[&unit] = json!({
            "file": format!("units/{unit}"), "service": name, "wanted_by": [], "files": [], "credentials": [],
            "on_change": "auto", "can_reload": false, "listens": [], "gpus": ["main"], "health": {}, "preflight": checks,
        });
        let manifest = json!({
            "version": 1, "profile": "p", "compiler": { "citadel": "0", "nickel": "0" },
            "requires": { "systemd": 252, "host": "h", "cpus": 1, "memory_bytes": 1, "mounts": [], "units": [],
                          "users": [], "groups": [],
                          "gpus": [{ "name": "card", "index": 0, "memory_bytes": 1 }] },
            "main_target": "citadel.target", "files": {}, "phases": [], "groups": {}, "credentials": {}, "inputs": {},
            "budget": { "memory": { "total_bytes": 1, "committed_bytes": 0, "unlimited": [] }, "ports": [],
                        "gpus": [{ "name": "main", "device": "card", "index": 0, "total_bytes": 1, "reserved_bytes": 0,
                                   "committed_bytes": 0, "services": [] }] },
            "units": self.units,
        });
        fs::write(generation.join("manifest.json"), manifest.to_string()).unwrap();
        self
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let root = self.folder.path().to_str().unwrap();
        [&["preflight", "--root", root], more].concat()
    }

    fn run(&self, more: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_citadel-activate"));
        command.args(self.arguments(more));
        Said::of(command)
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn files_folders_programs_and_links() {
    let place = Place::new();
    let path = |name: &str| place.path(name);
    fs::write(path("file"), "").unwrap();
    fs::create_dir(path("folder")).unwrap();
    symlink(path("folder"), path("link")).unwrap();
    let checks = json!({
        "file": { "file": path("file") },
        "no_file": { "file": path("config/avatar.yaml") },
        "folder": { "directory": path("folder") },
        "no_folder": { "directory": path("file") },
        "program": { "executable": "/bin/sh" },
        "no_program": { "executable": path("file") },
        "link": { "link": { "path": path("link"), "target": path("folder") } },
        "no_link": { "link": { "path": path("link"), "target": path("file") } },
        "mount": { "mount": "/proc" },
        "no_mount": { "mount": path("folder") },
        "disk": { "disk_free": { "path": path("folder"), "size": "1K" } },
        "no_disk": { "disk_free": { "path": path("folder"), "size": "1000000T" } },
        "memory": { "memory_free": "1M" },
        "no_memory": { "memory_free": "1000000T" },
    });
    let lines = [
        ("file", format!("ok       file: {} can be read", path("file"))),
        (
            "no_file",
            format!(
                "failed   no_file: the file {} does not exist; nothing is there below {}; is everything \
            installed and mounted?",
                path("config/avatar.yaml"),
                place.path("").trim_end_matches('/')
            ),
        ),
        ("folder", format!("ok       folder: {} is there", path("folder"))),
        (
            "no_folder",
            format!("failed   no_folder: {} is not a directory; make the directory, or correct the path", path("file")),
        ),
        ("program", "ok       program: /bin/sh can be executed".to_owned()),
        (
            "no_program",
            format!(
                "failed   no_program: {0} cannot be executed: permission denied; let the user of the \
            service execute it: `ls -lL {0}`",
                path("file")
            ),
        ),
        ("link", format!("ok       link: {} leads to {}", path("link"), path("folder"))),
        (
            "no_link",
            format!(
                "failed   no_link: {0} leads to {1} and not to {2}; make it with: ln -sfn {2} {0}",
                path("link"),
                path("folder"),
                path("file")
            ),
        ),
        ("mount", "ok       mount: /proc is a mount point".to_owned()),
    ];
    let place = place.service("web", "", checks);
    let said = place.run(&["web"]);
    said.assert(14);
    for (check, expected) in lines {
        assert_eq!(said.line(check), expected);
    }
    for (check, begins) in [
        ("no_mount", "failed   no_mount: "),
        ("disk", "ok       disk: "),
        ("no_disk", "failed   no_disk: only "),
        ("memory", "ok       memory: "),
        ("no_memory", "failed   no_memory: only "),
    ] {
        assert!(said.line(check).starts_with(begins), "{said:?}");
    }
    assert!(said.out.ends_with("14 checks, 7 failed, 0 warnings\n"), "{said:?}");
}

#[test]
fn who_holds_a_port_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port();
    let free = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    let place = Place::new().service(
        "web",
        "",
        json!({
            "taken": { "port_free": taken }, "free": { "port_free": free },
        }),
    );
    let said = place.run(&["web"]);
    said.assert(14);
    let begins = format!("failed   taken: port {taken} is taken at 127.0.0.1 by preflight");
    assert!(said.line("taken").starts_with(&begins), "{said:?}");
    assert!(said.line("taken").contains(&format!("(process {} of ", std::process::id())), "{said:?}");
    assert_eq!(said.line("free"), format!("ok       free: nobody listens on port {free}"));
}

#[test]
fn the_user_is_looked_at() {
    let missing = Place::new().service(
        "web",
        "User=no-such-user",
        json!({
            "user": { "user": "no-such-user" }, "file": { "file": "/etc/passwd" },
        }),
    );
    let said = missing.run(&["web"]);
    said.assert(14);
    let begins = "failed   user: this machine has no user \"no-such-user\"; make it, or let citadel make it";
    assert!(said.line("user").starts_with(begins), "{said:?}");
    if !is_root() {
        return;
    }
    let begins = "failed   file: nobody can look as the user of the service: there is no user \"no-such-user\"";
    assert!(said.line("file").starts_with(begins), "{said:?}");
    // Root looks with the eyes of the user of the service.
    let place = Place::new();
    let secret = place.path("secret");
    fs::write(&secret, "").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let checks = json!({ "user": { "user": "nobody" }, "secret": { "file": secret } });
    let place = place.service("web", "User=nobody", checks.clone());
    let said = place.run(&["web"]);
    said.assert(14);
    assert_eq!(said.line("user"), "ok       user: runs as nobody");
    assert!(said.line("secret").contains("cannot be read: permission denied"), "{said:?}");
    let place = place.service("web", "", checks);
    let said = place.run(&["web"]);
    assert!(said.line("user").starts_with("failed   user: runs as root and not as nobody; "), "{said:?}");
    assert!(said.line("secret").starts_with("ok "), "{said:?}");
}

/// As a unit does it: the process has the user of the service already, and not root's rights.
#[test]
fn a_unit_runs_it_as_its_own_user() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let program = place.path("citadel-activate");
    fs::copy(env!("CARGO_BIN_EXE_citadel-activate"), &program).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let checks =
        json!({ "user": { "user": "nobody" }, "port": { "port_free": port }, "file": { "file": "/etc/shadow" } });
    let place = place.service("web", "User=nobody", checks);
    let nobody = uzers::get_user_by_name("nobody").unwrap();
    let mut command = Command::new(program);
    command.args(place.arguments(&["web"])).uid(nobody.uid()).gid(nobody.primary_group_id());
    let said = Said::of(command);
    said.assert(14);
    assert_eq!(said.line("user"), "ok       user: runs as nobody");
    assert!(said.line("file").contains("/etc/shadow cannot be read"), "{said:?}");
    let expected = format!(
        "failed   port: port {port} is taken at 127.0.0.1 by a process of root; find out who it is with: \
        sudo ss -ltnp sport = :{port}"
    );
    assert_eq!(said.line("port"), expected);
}

#[test]
fn python_imports_what_the_service_would() {
    let place = Place::new();
    let folder = place.path("app");
    fs::create_dir(&folder).unwrap();
    let module = "import os\nassert os.getcwd() == os.path.dirname(os.path.abspath(__file__))\n\
        assert os.geteuid() != 0, 'root'\n";
    fs::write(Path::new(&folder).join("own_module.py"), module).unwrap();
    fs::write(Path::new(&folder).join("hangs.py"), "import time\ntime.sleep(100000)\n").unwrap();
    fs::write(Path::new(&folder).join("dies.py"), "import os\nos.kill(os.getpid(), 11)\n").unwrap();
    let python =
        |module: &str| json!({ "python": { "interpreter": PYTHON, "modules": { module: true, "json": true } } });
    let no_python = json!({ "python": { "interpreter": "/no/such/python", "modules": { "json": true } } });
    let checks = json!({
        "own": python("own_module"), "missing": python("no_such_module"), "dies": python("dies"), "gone": no_python,
        "torch": { "torch_cuda": PYTHON },
    });
    let user = if is_root() { "User=nobody\n" } else { "" };
    let place = place.service("web", &format!("{user}WorkingDirectory={folder}"), checks);
    let said = place.run(&["web"]);
    said.assert(14);
    assert_eq!(said.line("own"), format!("ok       own: {PYTHON} imports json, own_module"));
    let begins = format!(
        "failed   missing: {PYTHON} cannot import no_such_module (ModuleNotFoundError: No module named \
        'no_such_module'); install what is missing"
    );
    assert!(said.line("missing").starts_with(&begins), "{said:?}");
    assert!(said.line("dies").starts_with(&format!("failed   dies: {PYTHON} ended with signal 11")), "{said:?}");
    assert!(said.line("gone").starts_with("failed   gone: /no/such/python cannot be run: no such file"), "{said:?}");
    assert!(
        said.line("torch").starts_with(&format!("failed   torch: PyTorch of {PYTHON} does not see CUDA (")),
        "{said:?}"
    );
    assert!(!Path::new(&folder).join("__pycache__").exists(), "it left something behind");

    let place = place.service("web", &format!("{user}WorkingDirectory={folder}"), json!({ "hangs": python("hangs") }));
    let said = place.run(&["web", "--timeout", "2s"]);
    said.assert(14);
    assert!(said.line("hangs").starts_with("failed   hangs: no answer in 2s; "), "{said:?}");
}

/// A server for one request, which it answers with this.
fn server(answer: &'static str) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(answer.as_bytes()).unwrap();
    };
    (port, std::thread::spawn(serve))
}

#[test]
fn servers_have_to_answer() {
    let (http, answered) = server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let (redis, ponged) = server("+PONG\r\n");
    let nobody = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    let place = Place::new().service(
        "web",
        "",
        json!({
            "http": { "http": format!("http://127.0.0.1:{http}") },
            "redis": { "redis": { "host": "127.0.0.1", "port": redis } },
            "mcp": { "http": format!("http://127.0.0.1:{nobody}"), "severity": "warning" },
        }),
    );
    let said = place.run(&["web"]);
    answered.join().unwrap();
    ponged.join().unwrap();
    // A warning prevents nothing.
    said.assert(0);
    assert_eq!(said.line("http"), format!("ok       http: GET http://127.0.0.1:{http}/ answers (status 404)"));
    assert_eq!(said.line("redis"), format!("ok       redis: PING to Redis at 127.0.0.1:{redis} answers"));
    let begins = format!("warning  mcp: GET http://127.0.0.1:{nobody}/: connection refused; start what answers there");
    assert!(said.line("mcp").starts_with(&begins), "{said:?}");
    assert!(said.out.ends_with("3 checks, 0 failed, 1 warning\n"), "{said:?}");
}

#[test]
fn the_driver_is_asked() {
    let checks = json!({
        "driver": { "driver": "525.60.11" }, "new_driver": { "driver": "600" },
        "cuda": { "cuda": "12.0" }, "new_cuda": { "cuda": "14" },
        "memory": { "gpu_memory_free": "12G" }, "much_memory": { "gpu_memory_free": "23.9G" },
    });
    let place = Place::new().service("avatar", "", checks);
    let said = Said::of(fake::Host::new("rtx4090").command(&place.arguments(&["avatar"])));
    said.assert(14);
    for (check, expected) in [
        ("driver", "ok       driver: the NVIDIA driver is 580.95.05"),
        (
            "new_driver",
            "failed   new_driver: the NVIDIA driver is 580.95.05, and 600 is needed; install a newer driver",
        ),
        ("cuda", "ok       cuda: the CUDA of the driver is 13.0"),
        ("memory", "ok       memory: 23.5 GiB of the memory of the GPU main is free"),
    ] {
        assert_eq!(said.line(check), expected);
    }
    let begins = "failed   much_memory: only 23.5 GiB of the memory of the GPU main is free, and 23.9 GiB is needed; ";
    assert!(said.line("much_memory").starts_with(begins), "{said:?}");
    let said = Said::of(fake::Host::without_driver().command(&place.arguments(&["avatar"])));
    said.assert(14);
    assert!(said.line("memory").starts_with("failed   memory: this host has no NVIDIA driver: "), "{said:?}");
}

#[test]
fn all_services_and_json() {
    let place = Place::new()
        .service("one", "", json!({ "file": { "file": "/etc/passwd" } }))
        .service("two", "", json!({ "file": { "file": "/no/such/file", "severity": "warning" } }))
        .service("three", "", json!({}));
    let said = place.run(&["--all", "--json"]);
    said.assert(0);
    let result: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&result["failed"], &result["warnings"]), (&json!(0), &json!(1)));
    let services = result["services"].as_array().unwrap();
    assert_eq!(services.len(), 2);
    assert_eq!(
        services[0],
        json!({ "service": "one", "unit": "one.service", "checks": [
            { "check": "file", "severity": "fatal", "outcome": "passed", "found": "/etc/passwd can be read" },
        ] })
    );
    assert_eq!(services[1]["checks"][0]["outcome"], "warning");
    assert_eq!(services[1]["checks"][0]["reason"], "the file /no/such/file does not exist");
    place.run(&["three"]).assert(0);
    let said = place.run(&["four"]);
    said.assert(3);
    assert_eq!(said.err, "error: the bundle has no service \"four\"; those with preflight checks are: one, two\n");
    place.run(&[]).assert(2);
}
