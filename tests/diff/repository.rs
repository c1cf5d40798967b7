//! A git repository with a project, and a pull request of three commits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    /// Makes a repository with a project on the branch `main`.
    pub fn new() -> Self {
        let repository = Repository { folder: tempfile::tempdir().unwrap() };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write("profiles/server.ncl", include_str!("server.ncl"));
        repository.write("profiles/other.ncl", &include_str!("server.ncl").replace("A model and", "Another model and"));
        repository.write("hosts/box.json", include_str!("box.json"));
        repository.commit("Describe the server");
        repository
    }

    /// Adds a branch `change` of three commits: a port, a share of memory, a new name. It is checked out.
    pub fn with_pull_request(self) -> Self {
        self.git(&["switch", "--quiet", "--create", "change"]);
        for (subject, from, to) in [
            ("Move the web application", "port = 8080", "port = 8081"),
            ("Leave memory to others", "gpu_memory_utilization = 0.8", "gpu_memory_utilization = 0.7"),
            ("Call it what it is", "services.indexer", "services.searcher"),
        ] {
            self.replace("profiles/server.ncl", from, to);
            self.commit(subject);
        }
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn replace(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path().join(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        self.write(name, &text.replace(from, to));
    }

    pub fn commit(&self, subject: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", subject]);
    }

    /// Runs git, and returns what it prints.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.plain(Command::new("git")).args(arguments).output().expect("git starts");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command in the repository that no settings of the user reach.
    pub fn plain(&self, mut command: Command) -> Command {
        command.current_dir(self.path()).env("HOME", self.path()).env("XDG_CACHE_HOME", self.path().join(".git/cache"));
        for variable in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "COLUMNS", "NO_COLOR"] {
            command.env_remove(variable);
        }
        for (name, value) in [("NAME", "Ann"), ("EMAIL", "ann@example.org")] {
            command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
    }

    pub fn citadel(&self, arguments: &[&str]) -> Output {
        let program = Command::new(env!("CARGO_BIN_EXE_citadel"));
        self.plain(program).args(arguments).output().expect("citadel starts")
    }

    /// Runs `citadel diff`, which has to work, and returns what it prints.
    pub fn diff(&self, arguments: &[&str]) -> String {
        let output = self.citadel(&[&["diff"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The folder of the program that the tests were built with.
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_citadel")).parent().unwrap().to_owned()
}
