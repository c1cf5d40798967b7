//! What citadel does when the machine around it is in the way: files that cannot be read, folders that cannot be written,
//! a full disk, a signal in the middle, several builds at once, and inputs too large to lie in a repository.
//!
//! The rule behind all of them: the output is the old bundle or the new one, whole, or it is not there.

#![cfg(feature = "compiler")]
#![allow(clippy::unwrap_used)]

#[path = "support/skip.rs"]
mod skip;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use citadel::bundle::Bundle;
use tempfile::TempDir;

/// The user and the group `nobody`, on Debian and on most others.
const NOBODY: u32 = 65534;

/// A project in a folder of its own that everybody may read.
struct Project {
    folder: TempDir,
}

impl Project {
    /// Makes a project with the profile `server`, which has this many services.
    fn new(services: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let project = Project { folder };
        project.write("hosts/box.json", r#"{ "name": "box", "systemd": 252, "cpus": 8, "memory": "32G" }"#);
        project.set_services(services, "");
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn set_services(&self, services: usize, description: &str) {
        let mut text =
            String::from("let citadel = import \"citadel/lib.ncl\" in\n{\n  host = import \"../hosts/box.json\",\n");
        writeln!(text, "  description = {description:?},").unwrap();
        for number in 0..services {
            writeln!(text, "  services.s{number} = {{ exec.command = [\"/usr/bin/s\"], health.alive.unit = {{}} }},")
                .unwrap();
        }
        text.push_str("} | citadel.Profile\n");
        self.write("profiles/server.ncl", text);
    }

    fn citadel(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_citadel"));
        command.args(arguments).current_dir(self.folder.path()).env("XDG_CACHE_HOME", self.path("cache"));
        command.stdin(Stdio::null());
        command
    }

    /// Returns the names in a folder, hidden ones too.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, message: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.starts_with(message), "{said}");
    assert!(!said.contains("panicked") && !said.contains("os error"), "{said}");
}

/// Returns whether the test runs as root; says so otherwise.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip::skipped("only root becomes another user or mounts a file system");
    }
    root
}

/// Lets a command run as `nobody`.
fn as_nobody(command: &mut Command) -> &mut Command {
    command.uid(NOBODY).gid(NOBODY)
}

/// Copies the program to where `nobody` may run it; a build folder is often closed to others.
fn program_for_nobody(project: &Project) -> PathBuf {
    let program = project.path("bin-citadel");
    fs::copy(env!("CARGO_BIN_EXE_citadel"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[test]
fn a_profile_that_must_not_be_read_is_named() {
    let project = Project::new(1);
    let profile = project.path("profiles/server.ncl");
    fs::set_permissions(&profile, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = project.citadel(&["check", "server"]);
    if rustix::process::geteuid().is_root() {
        command = Command::new(program_for_nobody(&project));
        as_nobody(command.args(["check", "server"]).current_dir(project.folder.path()));
    }
    let output = command.output().unwrap();
    assert_fails(&output, 3, "error[E0002]: cannot read profiles/server.ncl: permission denied\n");
}

#[test]
fn a_module_that_must_not_be_read_is_named() {
    let project = Project::new(1);
    project.write("profiles/module.ncl", "{}");
    project.write(
        "profiles/server.ncl",
        "let citadel = import \"citadel/lib.ncl\" in\n(import \"module.ncl\") | citadel.Profile\n",
    );
    fs::set_permissions(project.path("profiles/module.ncl"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = project.citadel(&["check", "server"]);
    if rustix::process::geteuid().is_root() {
        command = Command::new(program_for_nobody(&project));
        as_nobody(command.args(["check", "server"]).current_dir(project.folder.path()));
    }
    assert_fails(&command.output().unwrap(), 1, "error[E0103]: cannot import `module.ncl`: ");
}

#[test]
fn a_directory_that_must_not_be_written_stays_as_it_is() {
    if !is_root() {
        return;
    }
    let project = Project::new(1);
    fs::create_dir(project.path("closed")).unwrap();
    let mut command = Command::new(program_for_nobody(&project));
    as_nobody(command.args(["build", "server", "-o", "closed/out"]).current_dir(project.folder.path()));
    let output = command.output().unwrap();
    assert_fails(&output, 4, "error[E0008]: cannot write ");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"));
    assert!(project.names("closed").is_empty());
}

#[test]
fn a_full_disk_leaves_the_old_bundle() {
    if !is_root() {
        return;
    }
    let project = Project::new(4);
    let disk = project.path("disk");
    fs::create_dir(&disk).unwrap();
    // A namespace of its own, so that the file system goes away with the process.
    let script = "mount -t tmpfs -o size=256k tmpfs disk || exit 99
        $0 build server -o disk/out >/dev/null || exit 98
        cp -r disk/out before
        dd if=/dev/zero of=disk/ballast bs=4k 2>/dev/null
        sed -i 's/description = \"\"/description = \"changed\"/' profiles/server.ncl
        $0 build server -o disk/out
        code=$?
        diff -r before disk/out >&2 || exit 97
        test -z \"$(ls -A disk | grep -v -x -e out -e ballast)\" || exit 96
        exit $code";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_citadel")])
        .current_dir(project.folder.path())
        .env("XDG_CACHE_HOME", project.path("cache"))
        .output();
    let output = match output {
        Ok(output) if ![Some(1), Some(99)].contains(&output.status.code()) => output,
        _ => {
            skip::skipped("no file system can be mounted here");
            return;
        }
    };
    assert_fails(&output, 4, "error[E0008]: cannot write ");
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left on device"));
}

#[test]
fn an_interrupted_build_leaves_no_part_of_a_bundle() {
    let project = Project::new(60);
    let output = project.path("out");
    let whole = |names: &[String]| names.iter().any(|name| name == "manifest.json");
    // The moments are spread over the time of one build; whatever they hit must be whole or not there.
    let started = std::time::Instant::now();
    assert!(project.citadel(&["build", "server", "-o", "out"]).output().unwrap().status.success());
    let length = started.elapsed();
    let moments = 24;
    for round in 0..moments {
        if round % 2 == 0 {
            fs::remove_dir_all(&output).unwrap_or_default();
        }
        project.set_services(60, &format!("round {round}"));
        let mut build = project.citadel(&["build", "server", "-o", "out"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(length.mul_f64(f64::from(round) / f64::from(moments)));
        let signal = if round % 3 == 0 { rustix::process::Signal::INT } else { rustix::process::Signal::KILL };
        let process = rustix::process::Pid::from_child(&build);
        // It may be done already.
        let _ = rustix::process::kill_process(process, signal);
        build.wait().unwrap();
        if output.exists() {
            assert!(whole(&project.names("out")), "round {round}");
            Bundle::read(&output).unwrap();
        }
    }
    // The next build tidies up behind those that were killed.
    assert!(project.citadel(&["build", "server", "-o", "out"]).output().unwrap().status.success());
    let left: Vec<_> = project.names(".").into_iter().filter(|name| name.contains("citadel")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn builds_into_one_output_at_the_same_time_give_one_whole_bundle() {
    let project = Project::new(10);
    let mut builds = Vec::new();
    for number in 0..6 {
        project.write(&format!("profiles/p{number}.ncl"), fs::read(project.path("profiles/server.ncl")).unwrap());
        let mut command = project.citadel(&["build", &format!("p{number}"), "-o", "out"]);
        builds.push(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    }
    let ended: Vec<Output> = builds.into_iter().map(|build| build.wait_with_output().unwrap()).collect();
    for output in &ended {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let bundle = Bundle::read(&project.path("out")).unwrap();
    assert!(bundle.manifest.profile.starts_with('p'));
    let left: Vec<_> = project.names(".").into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_file_of_100_megabytes_is_refused_at_once() {
    let project = Project::new(1);
    let file = fs::File::create(project.path("profiles/huge.ncl")).unwrap();
    file.set_len(100 << 20).unwrap();
    let output = project.citadel(&["check", "huge"]).output().unwrap();
    assert_fails(&output, 3, "error[E0002]: profiles/huge.ncl is larger than 4 MiB\n");
}

#[test]
fn an_import_without_an_end_reaches_the_memory_limit() {
    let project = Project::new(1);
    project.write("profiles/zero.ncl", "import \"/dev/zero\" as 'Text\n");
    let output = project.citadel(&["check", "zero", "--max-memory", "300M"]).output().unwrap();
    assert_fails(&output, 5, "error[E0003]: evaluating profiles/zero.ncl needs more than 300 MiB of memory\n");
}

#[test]
fn nesting_in_the_text_does_not_overflow_the_stack() {
    let project = Project::new(1);
    for (name, open, middle, close) in [
        ("lists", "[", "1", "]"),
        ("records", "{ a = ", "1", " }"),
        ("brackets", "(", "1", ")"),
        ("sums", "1 + ", "1", ""),
    ] {
        let depth = 20_000;
        project.write(&format!("profiles/{name}.ncl"), open.repeat(depth) + middle + &close.repeat(depth));
        let output = project.citadel(&["check", name]).output().unwrap();
        let code = output.status.code();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!([Some(1), Some(5)].contains(&code), "{name}: {code:?} {}", &said[..said.len().min(500)]);
        assert!(said.starts_with("error[E") && said.len() < 1000, "{name}: {}", &said[..said.len().min(1000)]);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = Project::new(1);
    let mut build = project.citadel(&["options"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(build.stdout.take());
    std::thread::sleep(Duration::from_millis(1));
    let output = build.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn a_build_needs_no_home() {
    let project = Project::new(1);
    let mut command = project.citadel(&["build", "server", "-o", "out"]);
    let output = command.env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(Path::new(&project.path("out/manifest.json")).exists());
}
