//! Probes against real servers, programs and files, well-behaved and not.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "health/server.rs"]
mod server;
#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use citadel::bundle::unit::UnitName;
use citadel::health::host::GpuProcesses;
use citadel::health::{Answer, Failure, Host, Probe, Subject, once, run};
use citadel::plan::{ActiveState, UnitState};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use server::{Server, answer};

/// A host whose units are all active.
struct Calm;

impl Host for Calm {
    async fn unit(&self, _: &UnitName) -> Result<UnitState, String> {
        Ok(UnitState { active: ActiveState::Active, ..UnitState::default() })
    }

    fn gpu(&self) -> Option<&dyn GpuProcesses> {
        None
    }
}

fn subject() -> Subject {
    Subject {
        unit: UnitName::parse("a.service").unwrap(),
        user: None,
        group: None,
        supplementary: Vec::new(),
        oneshot: false,
        restarts: None,
        probes: [].into(),
    }
}

/// Returns a probe that has this long.
fn probe(test: Value, timeout: &str) -> Probe {
    let mut written = json!({ "interval": "30s", "timeout": timeout, "retries": 3, "start_period": "90s" });
    written.as_object_mut().unwrap().extend(test.as_object().unwrap().clone());
    serde_json::from_value(written).expect("a probe")
}

/// Runs a probe that has all the time it needs.
async fn ask(test: Value) -> Result<Answer, String> {
    run(&probe(test, "30s"), &subject(), &Calm).await.map_err(|failure| failure.reason.to_string())
}

/// Runs a probe whose other side never gets to the end.
async fn ask_in_vain(test: Value) {
    let failure: Failure = run(&probe(test, "200ms"), &subject(), &Calm).await.expect_err("it cannot pass");
    assert_eq!(failure.reason.to_string(), "no answer in 200ms");
}

fn http(server: &Server, more: Value) -> Value {
    let mut http = json!({ "host": "127.0.0.1", "port": server.port(), "path": "/health", "status": 200 });
    http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "http": http })
}

#[tokio::test]
async fn http_judges_status_text_and_values() {
    let body = r#"{ "status": "ok", "models": [{ "loaded": true, "count": 2 }] }"#;
    let server = Server::start(answer(200, body)).await;
    let table = [
        (json!({}), Ok(Answer::Passed)),
        (json!({ "status": 204 }), Err("status 200 instead of 204")),
        (json!({ "contains": "\"ok\"" }), Ok(Answer::Passed)),
        (json!({ "contains": "ready" }), Err("\"ready\" is not in the answer")),
        (json!({ "json": { "/status": "ok", "/models/0/loaded": true, "/models/0/count": 2.0 } }), Ok(Answer::Passed)),
        (json!({ "json": { "/status": "up" } }), Err("\"/status\" is \"ok\" instead of \"up\"")),
        (json!({ "json": { "/models/1": 1 } }), Err("\"/models/1\" is missing instead of 1")),
    ];
    for (more, expected) in table {
        assert_eq!(ask(http(&server, more)).await, expected.map_err(str::to_owned));
    }
    let request = server.last_request();
    assert!(request.starts_with("GET /health HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: 127.0.0.1:{}\r\n", server.port())), "{request}");
}

#[tokio::test]
async fn http_speaks_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend.sock");
    let test = json!({ "http": { "socket": path, "path": "/", "status": 200, "contains": "here" } });
    assert_eq!(ask(test.clone()).await, Err("no such file or directory".to_owned()));
    let server = Server::start_at(&path, answer(200, "here"));
    assert_eq!(ask(test.clone()).await, Ok(Answer::Passed));
    server.stop().await;
    assert_eq!(ask(test).await, Err("connection refused".to_owned()));
}

#[tokio::test]
async fn http_does_not_follow_a_redirect() {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(redirect).await;
    assert_eq!(ask(http(&server, json!({}))).await, Err("status 302 instead of 200".to_owned()));
}

#[tokio::test]
async fn http_reports_what_a_broken_server_does() {
    let table = [
        (answer(503, "engine dead"), json!({}), "status 503 instead of 200"),
        (String::new(), json!({}), "not a whole answer: connection closed before message completed"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), json!({}), "not a whole answer: invalid HTTP version parsed"),
        (answer(200, "<html>"), json!({ "json": { "/status": "ok" } }), "the answer is not JSON"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_owned(),
            json!({ "contains": "short" }),
            "not a whole answer: end of file before message length reached",
        ),
    ];
    for (sent, more, expected) in table {
        let server = Server::start(sent).await;
        assert_eq!(ask(http(&server, more)).await, Err(expected.to_owned()));
    }
}

#[tokio::test]
async fn http_reads_no_more_than_it_has_to() {
    let endless = Server::endless("HTTP/1.1 200 OK\r\n\r\n", &"x".repeat(1 << 16)).await;
    let too_long = Err("the answer is longer than 1024 KiB".to_owned());
    assert_eq!(ask(http(&endless, json!({ "contains": "y" }))).await, too_long);
    assert_eq!(ask(http(&endless, json!({ "json": { "/a": 1 } }))).await, too_long);
    // Of a body that nobody asks about nothing is read.
    assert_eq!(ask(http(&endless, json!({}))).await, Ok(Answer::Passed));

    let head = Server::endless("HTTP/1.1 200 OK\r\n", &"X-Filler: xxxxxxxx\r\n".repeat(1000)).await;
    let error = ask(http(&head, json!({}))).await.expect_err("the head never ends");
    assert!(error.starts_with("not a whole answer: message head is too large"), "{error}");
}

#[tokio::test]
async fn nobody_can_keep_a_probe_waiting() {
    let silent = Server::silent().await;
    ask_in_vain(http(&silent, json!({}))).await;
    ask_in_vain(json!({ "redis": { "host": "127.0.0.1", "port": silent.port() } })).await;
    let dripping = Server::dripping("HTTP/1.1 200 OK\r\n\r\n", "x").await;
    ask_in_vain(http(&dripping, json!({ "contains": "y" }))).await;
    let slow_head = Server::dripping("HTTP/1.1 200 OK\r\n", "x").await;
    ask_in_vain(http(&slow_head, json!({}))).await;
    ask_in_vain(json!({ "command": ["/bin/sleep", "1000"] })).await;
}

#[tokio::test]
async fn tcp_opens_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(ask(json!({ "tcp": { "host": "127.0.0.1", "port": port } })).await, Ok(Answer::Passed));
    assert_eq!(ask(json!({ "tcp": { "host": "localhost", "port": port } })).await, Ok(Answer::Passed));
    drop(listener);
    assert_eq!(
        ask(json!({ "tcp": { "host": "127.0.0.1", "port": port } })).await,
        Err("connection refused".to_owned())
    );
    // Longer than a label may be, so no name server has to be asked.
    let name = "x".repeat(64);
    let nowhere = ask(json!({ "tcp": { "host": name, "port": port } })).await;
    assert_eq!(nowhere, Err(format!("{name:?} has no address")));
}

/// Starts a Redis server at a port that is free, and returns both.
async fn redis(more: &[&str]) -> Option<(Stopped, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]).args(more);
    match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
        Ok(child) => Some((Stopped(child), port)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skip::skipped("redis-server is not installed");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A process that is killed in the end.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_real_redis_answers_also_when_it_wants_a_password() {
    for more in [&[][..], &["--requirepass", "secret"]] {
        let Some((_server, port)) = redis(more).await else { return };
        let test = json!({ "redis": { "host": "127.0.0.1", "port": port } });
        let mut answer = ask(test.clone()).await;
        while answer == Err("connection refused".to_owned()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            answer = ask(test.clone()).await;
        }
        assert_eq!(answer, Ok(Answer::Passed), "{more:?}");
    }
}

#[tokio::test]
async fn commands_are_judged_by_their_end() {
    let shell = |script: &str| json!({ "command": ["/bin/sh", "-c", script] });
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, "").unwrap();
    assert_eq!(ask(shell("exit 0")).await, Ok(Answer::Passed));
    let table = [
        (shell("exit 3"), "ended with status 3"),
        (shell("echo first; echo the database is locked >&2; exit 1"), "ended with status 1: the database is locked"),
        (shell("kill -9 $$"), "ended with signal 9"),
        (json!({ "command": ["/no/such/program"] }), "cannot be run: no such file or directory"),
        (json!({ "command": [text] }), "cannot be run: permission denied"),
    ];
    for (test, expected) in table {
        assert_eq!(ask(test).await, Err(expected.to_owned()));
    }
}

#[tokio::test]
async fn commands_have_next_to_no_environment_and_no_input() {
    let script = "cat; pwd; env | sort | cut -d= -f1 | tr '\\n' ' '; exit 1";
    let error = ask(json!({ "command": ["/bin/sh", "-c", script] })).await.expect_err("it says so");
    // PWD is the shell's own.
    assert!(["PATH PWD", "PATH PWD SHLVL _"].iter().any(|names| error.ends_with(names)), "{error}");
}

#[tokio::test]
async fn commands_run_as_the_service_does() {
    if !rustix::process::geteuid().is_root() {
        return skip::skipped("only root can become another user");
    }
    let mut subject = Subject { user: Some("nobody".to_owned()), ..subject() };
    let whoami = json!({ "command": ["/bin/sh", "-c", "echo $(id -u) $(id -g) $(id -G); exit 1"] });
    let id = |option| {
        let output = Command::new("/usr/bin/id").args([option, "nobody"]).output().expect("id runs");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let said = |failure: Failure| failure.reason.to_string();
    let error = run(&probe(whoami.clone(), "30s"), &subject, &Calm).await.map_err(said);
    assert_eq!(error, Err(format!("ended with status 1: {} {} {}", id("-u"), id("-g"), id("-G"))));
    subject.group = Some("daemon".to_owned());
    subject.supplementary = vec!["adm".to_owned()];
    let error = run(&probe(whoami.clone(), "30s"), &subject, &Calm).await.map_err(said).expect_err("it says so");
    let mut words: Vec<&str> = error.split(' ').skip(4).collect();
    words.sort_unstable();
    assert!(words.contains(&"1") && words.contains(&"4") && !words.contains(&"0"), "{error}");
    // This thread and the others are still root.
    assert_eq!(fs::metadata("/proc/thread-self").map(|_| rustix::process::geteuid().is_root()).ok(), Some(true));
    subject.user = Some("nobody-like-this".to_owned());
    let error = run(&probe(whoami, "30s"), &subject, &Calm).await.map_err(said);
    assert_eq!(error, Err("cannot be run: there is no user \"nobody-like-this\"".to_owned()));
}

/// Waits until a process is gone, reaped included.
async fn gone(pid: &str) {
    while Path::new("/proc").join(pid).exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nothing_of_a_command_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let read =
        || fs::read_to_string(&pids).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    // It ignores SIGTERM, has a child that does, and never ends.
    let stubborn = format!("trap '' TERM; sleep 1000 & echo $$ $! > {0}.new; mv {0}.new {0}; wait", pids.display());
    let probe_of = |script: &str, timeout| probe(json!({ "command": ["/bin/sh", "-c", script] }), timeout);
    let asked = probe_of(&stubborn, "1000s");
    let (subject, known) = (subject(), async {
        while read().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    tokio::select! {
        answer = run(&asked, &subject, &Calm) => panic!("{answer:?}"),
        () = known => {}
    }
    for pid in read() {
        gone(&pid).await;
    }
    // It ends, and leaves a child behind that holds its output.
    fs::remove_file(&pids).unwrap();
    let daemon = format!("sleep 1000 & echo $! > {}; exit 0", pids.display());
    assert_eq!(run(&probe_of(&daemon, "30s"), &subject, &Calm).await, Ok(Answer::Passed));
    let left = read();
    assert_eq!(left.len(), 1);
    gone(&left[0]).await;
}

#[tokio::test]
async fn a_command_that_writes_for_ever_ends_in_time() {
    ask_in_vain(json!({ "command": ["/usr/bin/yes"] })).await;
    let script = "yes & sleep 0.1; exit 4";
    let error = ask(json!({ "command": ["/bin/sh", "-c", script] })).await;
    assert_eq!(error, Err("ended with status 4: y".to_owned()));
}

#[tokio::test]
async fn files_and_mounts_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    assert_eq!(ask(json!({ "file": path })).await, Err("does not exist".to_owned()));
    fs::write(&path, "").unwrap();
    assert_eq!(ask(json!({ "file": path })).await, Ok(Answer::Passed));
    assert_eq!(ask(json!({ "mount": "/proc" })).await, Ok(Answer::Passed));
    assert_eq!(ask(json!({ "mount": folder.path() })).await, Err("is not a mount point".to_owned()));
    assert_eq!(ask(json!({ "mount": "/no/such/place" })).await, Err("does not exist".to_owned()));
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/proc", &link).unwrap();
    assert_eq!(ask(json!({ "mount": link })).await, Ok(Answer::Passed));
}

#[tokio::test]
async fn all_probes_of_all_services_run_once() {
    let mut one = subject();
    one.probes.insert("file".to_owned(), probe(json!({ "file": "/no/such/file" }), "1s"));
    one.probes.insert("gpu".to_owned(), probe(json!({ "gpu_process": true }), "1s"));
    one.probes.insert("unit".to_owned(), probe(json!({ "unit": { "max_restarts": 0, "window": "1s" } }), "1s"));
    let answers = once(std::slice::from_ref(&one), &Calm).await;
    let said: Vec<_> = answers[&one.unit]
        .iter()
        .map(|(name, answer)| {
            format!("{name}: {}", answer.as_ref().map_or_else(ToString::to_string, |a| format!("{a:?}")))
        })
        .collect();
    assert_eq!(said, ["file: /no/such/file: does not exist", "gpu: Unknown", "unit: Passed"]);
}

/// Makes a host below a folder whose current generation has a service that waits for a probe.
fn host(folder: &Path, ready: Value) {
    let manifest = json!({
        "version": 1, "profile": "p", "compiler": { "citadel": "0", "nickel": "0" },
        "requires": { "systemd": 252, "host": "h", "cpus": 1, "memory_bytes": 1, "gpus": [], "mounts": [], "units": [],
                      "users": [], "groups": [] },
        "main_target": "citadel.target", "files": {}, "phases": [], "groups": {}, "credentials": {},
        "budget": { "gpus": [], "memory": { "total_bytes": 1, "committed_bytes": 0, "unlimited": [] }, "ports": [] },
        "inputs": {},
        "units": {
            "citadel-chat.service": unit(Some("chat"), Some(("up", ready))),
            "citadel-chat.socket": unit(Some("chat"), None),
            "other.service": unit(Some("other"), None),
        },
    });
    let generation = folder.join("etc/citadel/generations/1");
    fs::create_dir_all(&generation).unwrap();
    fs::write(generation.join("manifest.json"), manifest.to_string()).unwrap();
    std::os::unix::fs::symlink("generations/1", folder.join("etc/citadel/current")).unwrap();
}

fn unit(service: Option<&str>, ready: Option<(&str, Value)>) -> Value {
    let mut entry = json!({
        "file": "units/x", "service": service, "wanted_by": [], "files": [], "credentials": [], "on_change": "auto",
        "can_reload": false, "listens": [], "gpus": [], "health": {}, "preflight": {},
    });
    if let Some((name, mut probe)) = ready {
        let rest = json!({ "interval": "30s", "timeout": "10s", "retries": 3, "start_period": "90s" });
        probe.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        entry["ready"] = json!(name);
        entry["health"][name] = probe;
    }
    entry
}

fn wait_ready(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_citadel-activate"));
    command.args(["wait-ready", "--root"]).arg(folder).args(arguments).stderr(Stdio::piped());
    command
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.signal(), None);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn wait_ready_waits_for_the_probe_of_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready");
    host(folder.path(), json!({ "file": file }));
    let begun = format!("chat: waiting for up ({})\n", file.display());
    let waiting = wait_ready(folder.path(), &["chat", "--main-pid"]).spawn().unwrap();
    fs::write(&file, "").unwrap();
    assert_eq!(ended(waiting), (Some(0), format!("{begun}chat: ready\n")));
    for arguments in [&["citadel-chat.service"][..], &["citadel-chat.service", "--main-pid", "0"]] {
        assert_eq!(ended(wait_ready(folder.path(), arguments).spawn().unwrap()).0, Some(0));
    }
    let (status, said) = ended(wait_ready(folder.path(), &["other"]).spawn().unwrap());
    assert_eq!((status, said.as_str()), (Some(0), "other: has no probe to wait for\n"));
    let (status, said) = ended(wait_ready(folder.path(), &["chatt"]).spawn().unwrap());
    assert_eq!(status, Some(1));
    assert!(said.starts_with("chatt: not ready: the current generation has no service \"chatt\""), "{said}");
}

#[test]
fn wait_ready_ends_with_the_main_process() {
    let folder = tempfile::tempdir().unwrap();
    host(folder.path(), json!({ "file": "/no/such/file" }));
    let mut main = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    let pid = main.id().to_string();
    let mut waiting = wait_ready(folder.path(), &["chat", "--main-pid", &pid]).spawn().unwrap();
    assert!(waiting.try_wait().unwrap().is_none());
    main.kill().unwrap();
    // It is a zombie until it is reaped, and that is gone enough.
    let (status, said) = ended(waiting);
    assert_eq!(status, Some(1));
    assert!(said.contains("chat: not ready: the main process is gone"), "{said}");
    main.wait().unwrap();
    let (status, said) = ended(wait_ready(folder.path(), &["chat", "--main-pid", &pid]).spawn().unwrap());
    assert_eq!(status, Some(1));
    assert!(said.ends_with("chat: not ready: the main process is gone\n"), "{said}");
}

#[test]
fn wait_ready_says_what_it_waited_for_when_systemd_gives_up() {
    use std::io::{BufRead, BufReader, Read};
    let folder = tempfile::tempdir().unwrap();
    // A probe that tells when it has run.
    let ran = folder.path().join("ran");
    let script = format!("touch {}; echo still loading; exit 1", ran.display());
    host(folder.path(), json!({ "command": ["/bin/sh", "-c", script] }));
    let mut waiting = wait_ready(folder.path(), &["chat"]).spawn().unwrap();
    let mut said = BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let pause = || std::thread::sleep(Duration::from_millis(5));
    // The second run begins when the answer of the first is known.
    for _ in 0..2 {
        while fs::remove_file(&ran).is_err() {
            pause();
        }
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(waiting.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(1));
    assert_eq!(rest, "chat: not ready: given up; last answer: /bin/sh: ended with status 1: still loading\n");
}
