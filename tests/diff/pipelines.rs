//! The comments that pipelines write, against a stand-in for the services: one for each pull request, and up to date.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::repository::{Repository, programs};
use super::skip::skipped;
use super::stub::{Comment, OWN, State, Stub, TOKEN};

/// Whether the tools are there that the scripts need.
fn tools() -> bool {
    let missing = ["bash", "curl", "jq", "git"]
        .into_iter()
        .find(|tool| Command::new(tool).arg("--version").output().map_or(true, |output| !output.status.success()));
    if let Some(tool) = missing {
        skipped(&format!("{tool} is missing"));
    }
    missing.is_none()
}

fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations").join(name))
}

fn path() -> String {
    format!("{}:{}", programs().display(), std::env::var("PATH").unwrap())
}

/// What GitHub's runner does with the steps of the action.
fn github(repository: &Repository, stub: &Stub, head: &str) -> Output {
    let commit = |name: &str| repository.git(&["rev-parse", name]).trim().to_owned();
    let (outputs, summary) = (repository.path().join(".git/outputs"), repository.path().join(".git/summary"));
    fs::write(&outputs, "").unwrap();
    let compared = repository
        .plain(script("github/compare"))
        .env("CITADEL", env!("CARGO_BIN_EXE_citadel"))
        .envs([("BASE", commit("main")), ("HEAD", commit(head))])
        .envs([("GITHUB_OUTPUT", &outputs), ("GITHUB_STEP_SUMMARY", &summary)])
        .envs([("GITHUB_SERVER_URL", "https://github.example"), ("GITHUB_REPOSITORY", "a/b"), ("GITHUB_RUN_ID", "7")])
        .env("RUNNER_TEMP", repository.path().join(".git"))
        .output()
        .unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
    let outputs = fs::read_to_string(outputs).unwrap();
    let output =
        |name: &str| outputs.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap().to_owned();
    if output("changed") == "true" {
        assert!(fs::read_to_string(output("page")).unwrap().starts_with("<!doctype html>"));
    }
    repository
        .plain(script("github/comment"))
        .envs([
            ("API", stub.address.as_str()),
            ("REPOSITORY", "a/b"),
            ("NUMBER", "5"),
            ("TOKEN", TOKEN),
            ("AUTHOR", OWN),
            ("DIRECTORY", "."),
        ])
        .envs([("CHANGED", output("changed")), ("TEXT", output("text"))])
        .output()
        .unwrap()
}

/// What GitLab's runner does with the job of the template.
fn gitlab(repository: &Repository, stub: &Stub, head: &str) -> Output {
    let template =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/integrations/gitlab/citadel-diff.yml")).unwrap();
    let script: String = template
        .split("    - |\n")
        .nth(1)
        .unwrap()
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("      ").unwrap_or(line)))
        .collect();
    let commit = |name: &str| repository.git(&["rev-parse", name]).trim().to_owned();
    repository
        .plain(Command::new("bash"))
        .args(["-c", &script])
        .env("PATH", path())
        .envs([("CI_MERGE_REQUEST_DIFF_BASE_SHA", commit("main")), ("CI_COMMIT_SHA", commit(head))])
        .envs([("CI_API_V4_URL", stub.address.as_str()), ("CI_PROJECT_ID", "3"), ("CI_MERGE_REQUEST_IID", "5")])
        .envs([
            ("CITADEL_PROFILES", ""),
            ("CITADEL_DIRECTORY", "."),
            ("CITADEL_TOKEN", TOKEN),
            ("CI_JOB_URL", "https://gitlab.example/jobs/7"),
        ])
        .output()
        .unwrap()
}

type Pipeline = fn(&Repository, &Stub, &str) -> Output;
const PIPELINES: [(&str, Pipeline); 2] = [("GitHub", github), ("GitLab", gitlab)];

fn passes(pipeline: Pipeline, repository: &Repository, stub: &Stub, head: &str) {
    let output = pipeline(repository, stub, head);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn there_is_one_comment_and_it_is_current() {
    if !tools() {
        return;
    }
    for (name, pipeline) in PIPELINES {
        let repository = Repository::new().with_pull_request();
        let other = |id, body: &str| Comment { id, author: "somebody-else", body: body.to_owned() };
        // Enough for two pages, with one that copies the mark.
        let mut comments: Vec<Comment> = (0..130).map(|id| other(id, "hello")).collect();
        comments[3].body = "<!-- citadel-diff: . -->\nmine".to_owned();
        let stub = Stub::start(State { comments, ..State::default() });
        passes(pipeline, &repository, &stub, "change");
        let first = stub.own();
        assert!(first.len() == 1 && first[0].contains("`chat.service`"), "{name}: {first:?}");

        repository.replace("profiles/server.ncl", "port = 8081", "port = 8089");
        repository.commit("Move again");
        passes(pipeline, &repository, &stub, "change");
        let second = stub.own();
        assert!(second.len() == 1 && second[0].contains("8089"), "{name}: {second:?}");

        // Everything is taken back: the comment stays, and says so.
        repository.git(&["checkout", "--quiet", "main", "--", "profiles"]);
        repository.commit("Take it back");
        passes(pipeline, &repository, &stub, "change");
        let third = stub.own();
        assert!(third.len() == 1 && third[0].contains("No changes"), "{name}: {third:?}");
        assert_eq!(stub.state.lock().unwrap().comments[3].body, "<!-- citadel-diff: . -->\nmine", "{name}");
    }
}

#[test]
fn without_changes_nobody_is_bothered() {
    if !tools() {
        return;
    }
    for (name, pipeline) in PIPELINES {
        let repository = Repository::new();
        repository.write("README.md", "Words.");
        repository.commit("Say something");
        let stub = Stub::start(State::default());
        passes(pipeline, &repository, &stub, "HEAD");
        assert_eq!(stub.own(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_fork_may_not_write_and_still_passes() {
    if !tools() {
        return;
    }
    let repository = Repository::new().with_pull_request();
    let stub = Stub::start(State { read_only: true, ..State::default() });
    let output = github(&repository, &stub, "change");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("::warning::") && said.contains("not accessible"), "{said}");
    assert!(fs::read_to_string(repository.path().join(".git/summary")).unwrap().contains("`chat.service`"));
}

#[test]
fn tokens_stand_in_no_argument() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations");
    for file in ["github/comment", "gitlab/citadel-diff.yml"] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let wrong = text.lines().find(|line| !line.starts_with('#') && line.contains("TOKEN") && line.contains("curl"));
        assert_eq!(wrong, None, "{file}");
    }
}
