//! The hook that keeps `citadel.lock` current with what is committed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use super::repository::{Repository, programs};

fn repository() -> Repository {
    let repository = Repository::new();
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations/git/pre-commit");
    let _ = fs::create_dir_all(repository.path().join(".git/hooks"));
    symlink(hook, repository.path().join(".git/hooks/pre-commit")).unwrap();
    assert!(repository.citadel(&["lock"]).status.success());
    repository.git(&["add", "citadel.lock"]);
    commit(&repository, "Lock");
    repository
}

fn try_commit(repository: &Repository, subject: &str) -> Output {
    let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
    let mut git = repository.plain(Command::new("git"));
    git.args(["commit", "--quiet", "--message", subject]).env("PATH", path).output().unwrap()
}

fn commit(repository: &Repository, subject: &str) {
    let output = try_commit(repository, subject);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether the lock of the last commit is what its profiles give.
fn is_current(repository: &Repository) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    repository.git(&["--work-tree", place, "checkout", "HEAD", "--", "."]);
    repository.citadel(&["-C", place, "lock", "--check"]).status.success()
}

#[test]
fn a_commit_has_its_own_lock() {
    let repository = repository();
    assert!(is_current(&repository));
    repository.replace("profiles/server.ncl", "port = 8080", "port = 8081");
    repository.git(&["add", "profiles/server.ncl"]);
    commit(&repository, "Move");
    assert!(is_current(&repository));
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}

#[test]
fn what_is_not_committed_does_not_count() {
    let repository = repository();
    repository.replace("profiles/server.ncl", "port = 8080", "port = 8081");
    repository.git(&["add", "profiles/server.ncl"]);
    repository.replace("profiles/server.ncl", "port = 8081", "port = 8082");
    commit(&repository, "Move");
    repository.git(&["stash", "--quiet"]);
    assert!(is_current(&repository));
}

#[test]
fn a_lock_that_somebody_changed_is_left_alone() {
    let repository = repository();
    let own = fs::read_to_string(repository.path().join("citadel.lock")).unwrap() + "\n# mine";
    repository.write("citadel.lock", &own);
    repository.replace("profiles/server.ncl", "port = 8080", "port = 8081");
    repository.git(&["add", "profiles/server.ncl"]);
    commit(&repository, "Move");
    assert_eq!(fs::read_to_string(repository.path().join("citadel.lock")).unwrap(), own);
}

#[test]
fn profiles_that_do_not_build_are_not_committed() {
    let repository = repository();
    repository.replace("profiles/server.ncl", "port = 8080", "port = \"no\"");
    repository.git(&["add", "profiles/server.ncl"]);
    let output = try_commit(&repository, "Break");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("do not build") && said.contains("server.ncl"), "{said}");
}
