//! A pull request of three commits: what each format says of it, and that nothing but the diff comes of it.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::repository::Repository;
use super::skip::skipped;

const RANGE: &str = "main..change";

#[test]
fn a_reviewer_sees_what_it_costs() {
    let repository = Repository::new().with_pull_request();
    let text = repository.diff(&["--git", RANGE, "--width", "100"]);
    for expected in [
        "server: server at main",
        "restart  chat.service",
        "stop     indexer.service",
        "start    searcher.service",
        "restart  web.service",
        "model chat",
        "vllm.gpu_memory_utilization  0.8 → 0.7",
        "service searcher (was indexer)",
        "weaker    web.service listens on 127.0.0.1:8081",
        "stronger  web.service listens on 127.0.0.1:8080",
        "GPU main, chat",
        "no changes: other",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(!text.contains("/etc/citadel/store/0"), "a digest is shown:\n{text}");
    let some = repository.diff(&["--git", RANGE, "server", "--only", "web", "--only", "profile"]);
    assert!(some.contains("8080 → 8081") && !some.contains("chat"), "{some}");
    let stat = repository.diff(&["--git", RANGE, "--stat"]);
    assert!(stat.lines().count() < 25 && stat.contains("service searcher (was indexer)"), "{stat}");
}

#[test]
fn programs_see_all_of_it() {
    let repository = Repository::new().with_pull_request();
    let text = repository.diff(&["--git", RANGE, "--format", "json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let diff = report["diffs"].as_array().unwrap().iter().find(|diff| diff["new"]["profile"] == "server").unwrap();
    let steps: Vec<_> =
        diff["plan"]["steps"].as_array().unwrap().iter().map(|it| (&it["unit"], &it["action"])).collect();
    let expected = [
        ("chat.service", "restart"),
        ("indexer.service", "stop"),
        ("searcher.service", "start"),
        ("web.service", "restart"),
    ];
    for (unit, action) in expected {
        assert!(steps.iter().any(|(name, it)| *name == unit && *it == action), "{unit} {action}: {steps:?}");
    }
    let one_line = repository.diff(&["--git", RANGE, "--message-format", "json"]);
    assert_eq!((one_line.lines().count(), serde_json::from_str::<Value>(&one_line).unwrap()), (1, report));
}

#[test]
fn the_json_is_as_its_schema_says() {
    let repository = Repository::new().with_pull_request();
    repository.diff(&["--git", RANGE, "--format", "json", "--output", "report.json"]);
    let check = "import json, sys\ntry:\n    import jsonschema\nexcept ImportError:\n    sys.exit(77)\n\
                 schema, report = (json.load(open(path)) for path in sys.argv[1:])\n\
                 jsonschema.Draft202012Validator.check_schema(schema)\n\
                 jsonschema.Draft202012Validator(schema).validate(report)";
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/src/diff/diff.schema.json");
    let report = repository.path().join("report.json");
    let output = Command::new("python3").args(["-c", check, schema]).arg(report).output();
    match output {
        Ok(output) if output.status.code() == Some(77) => skipped("the Python module jsonschema is missing"),
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => skipped(&format!("python3 does not start: {error}")),
    }
}

#[test]
fn a_comment_keeps_to_its_limit() {
    let repository = Repository::new().with_pull_request();
    let whole = repository.diff(&["--git", RANGE, "--format", "markdown"]);
    assert!(whole.contains("| **restart** | `chat.service` |") && whole.contains("No changes: `other`"), "{whole}");
    for limit in [1500, 2500, 4000] {
        let url = "https://ci.example.org/runs/7";
        let limit_text = limit.to_string();
        let text = repository.diff(&["--git", RANGE, "--format", "markdown", "--limit", &limit_text, "--rest", url]);
        assert!(text.len() <= limit && text.contains(&format!("[the whole diff]({url})")), "{limit}: {text}");
        assert_eq!(text.matches("<details").count(), text.matches("</details>").count());
    }
}

#[test]
fn the_repository_stays_as_it_is() {
    let repository = Repository::new().with_pull_request();
    repository.write("profiles/half.ncl", "{ half written");
    repository.git(&["add", "profiles/half.ncl"]);
    repository.write("profiles/server.ncl", "not a profile");
    let before = (
        repository.git(&["status", "--porcelain"]),
        repository.git(&["stash", "list"]),
        repository.git(&["worktree", "list"]),
    );
    repository.diff(&["--git", RANGE]);
    let after = (
        repository.git(&["status", "--porcelain"]),
        repository.git(&["stash", "list"]),
        repository.git(&["worktree", "list"]),
    );
    assert_eq!(before, after);
}

#[test]
fn attributes_and_hooks_of_a_repository_have_no_say() {
    let repository = Repository::new();
    let plain = repository.git(&["rev-parse", "HEAD"]);
    let attributes = "profiles/** export-ignore text eol=crlf filter=evil\nhosts/** export-subst ident\n";
    repository.write(".gitattributes", attributes);
    repository.git(&["config", "filter.evil.smudge", "touch evil; cat"]);
    repository.git(&["config", "filter.evil.clean", "cat"]);
    repository.git(&["config", "filter.evil.required", "true"]);
    repository.git(&["config", "core.fsmonitor", "touch evil; false"]);
    repository.write(".git/hooks/post-checkout", "#!/bin/sh\ntouch evil\n");
    repository.git(&["-c", "core.fsmonitor=false", "add", ".gitattributes"]);
    repository.git(&["-c", "core.fsmonitor=false", "commit", "--quiet", "--message", "Do harm"]);
    let text = repository.diff(&["--git", &format!("{}..HEAD", plain.trim()), "--exit-code"]);
    assert_eq!(text, "");
    assert!(!repository.path().join("evil").exists(), "something of the repository ran");
}

#[test]
fn the_work_tree_is_a_side_too() {
    let repository = Repository::new();
    repository.replace("profiles/server.ncl", "port = 8080", "port = 8082");
    let text = repository.diff(&["--git", "HEAD", "server"]);
    assert!(text.contains("server at the work tree") && text.contains("8080 → 8082"), "{text}");
}

#[test]
fn profiles_that_come_and_go_are_shown() {
    let repository = Repository::new();
    repository.git(&["mv", "profiles/other.ncl", "profiles/third.ncl"]);
    repository.commit("Rename");
    let text = repository.diff(&["--git", "HEAD~..HEAD"]);
    assert!(
        text.contains("other: other at HEAD~") && text.contains("(nothing)") && text.contains("third: third at"),
        "{text}"
    );
    let html = repository.diff(&["--git", "HEAD~..HEAD", "--format", "html"]);
    assert!(html.contains("<h2>third</h2>"));
}

#[test]
fn what_happened_since_both_parted() {
    let repository = Repository::new().with_pull_request();
    repository.git(&["switch", "--quiet", "main"]);
    repository.replace("profiles/server.ncl", "memory_max = \"2G\"", "memory_max = \"3G\"");
    repository.commit("Go on");
    assert!(!repository.diff(&["--git", "main...change"]).contains("memory_max"));
    assert!(repository.diff(&["--git", "main..change"]).contains("resources.memory_max"));
}

#[test]
fn codes_tell_how_it_went() {
    let repository = Repository::new().with_pull_request();
    repository.write("profiles/wrong.ncl", "{ services.a = 1 }");
    repository.commit("Break");
    for (arguments, code, message) in [
        (&["--git", "main..change", "server", "--exit-code", "--stat"][..], 13, ""),
        (&["--git", "main..main", "--exit-code"], 0, "no changes"),
        (&["--git", "main..change"], 1, "this is about wrong at change"),
        (&["--git", "main..nowhere"], 3, "git does not know the revision \"nowhere\""),
        (&["--git", "--upload-pack=touch evil..HEAD"], 3, "begins with a \"-\""),
        (&["--git=-O..HEAD"], 3, "begins with a \"-\""),
        (&["--git", "main..change", "missing"], 3, "there is no profile \"missing\""),
        (&["server"], 3, "no generation"),
        (&[], 2, "name what to compare"),
    ] {
        let root = repository.path().join("no-host");
        let root = ["--root", root.to_str().unwrap()];
        let output = repository.citadel(&[&["diff"], arguments, &root].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(message), "{arguments:?}: {errors}");
    }
    assert!(!repository.path().join("evil").exists());
}

#[test]
fn bundles_and_archives_are_sides() {
    let repository = Repository::new().with_pull_request();
    let run = |arguments: &[&str]| {
        let output = repository.citadel(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["build", "server", "-o", "new"]);
    assert_eq!(run(&["diff", "new", "server"]), "");
    let text = run(&["diff", "new", "other", "--only", "profile"]);
    assert!(text.contains("server → other") && text.contains("Another model"), "{text}");
    for (format, start) in [("svg", "<svg "), ("dot", "digraph"), ("mermaid", "flowchart TB")] {
        assert!(run(&["graph", "new", "--format", format]).starts_with(start));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let repository = Repository::new().with_pull_request();
    let mut child = repository
        .plain(Command::new(env!("CARGO_BIN_EXE_citadel")))
        .args(["diff", "--git", RANGE])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
