//! What whole profiles become, and that no value of a profile becomes more than a value.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::testing::{lowered, refused, text, values};
use crate::bundle::env_file::parse_env_file;
use crate::compile::render;

#[test]
fn a_celery_worker_in_full() {
    let patch = json!({ "host": { "systemd": 252 }, "services": { "worker": {
        "celery": { "executable": "/opt/app/bin/celery", "app": "app.tasks", "node_name": "app@%h", "queues": { "b": true, "a": true } },
        "directories": { "cache": false },
        "restart": { "delay": "10s", "max_delay": "5min" },
        "priority": "low",
    } } });
    assert_eq!(text(patch, "worker.service"), include_str!("../../../tests/fixtures/worker.service"));
}

#[test]
fn the_start_limit_counts_slow_failures() {
    let patch = json!({ "services": { "a": {
        "start_timeout": "15min",
        "restart": { "delay": "30s", "max_delay": "1min", "max_starts": 3 },
    } } });
    let unit = text(patch, "a.service");
    // 3 * (900 + 60) seconds and a tenth more.
    assert_eq!(values(&unit, "StartLimitIntervalSec"), ["3168s"]);
    assert_eq!(values(&unit, "StartLimitBurst"), ["3"]);
    assert_eq!(values(&unit, "RestartSteps"), ["5"]);
}

#[test]
fn a_start_waits_for_the_probe_and_ends_with_the_process() {
    let patch = json!({ "services": { "a": {
        "port": 8000,
        "health": { "up": { "http": { "path": "/ready" } } },
        "preflight": { "config": { "file": "/etc/a.conf" } },
        "ready": "up",
    } } });
    let unit = text(patch, "a.service");
    let runtime = "/usr/local/bin/citadel-activate";
    assert_eq!(values(&unit, "ExecStartPost"), [format!("{runtime} wait-ready a --main-pid $MAINPID")]);
    assert_eq!(values(&unit, "ExecStartPre"), [format!("{runtime} preflight a")]);
}

#[test]
fn the_manifest_says_where_the_monitor_listens() {
    let patch = json!({
        "monitor": { "metrics_port": 9464, "api_port": 8888 },
        "services": { "watch": { "runtime": "monitor" } },
    });
    let lowered = lowered(patch);
    let unit = lowered.units.iter().find(|unit| unit.name.as_str() == "watch.service").unwrap();
    let listens: Vec<_> = unit.entry.listens.iter().map(|listen| (listen.address.as_str(), listen.port)).collect();
    assert_eq!(listens, [("127.0.0.1", 8888), ("127.0.0.1", 9464)]);
}

#[test]
fn a_target_inside_another_comes_first() {
    let unit = text(json!({ "targets": { "models": { "unit": "x-models" } } }), "x-models.target");
    assert_eq!(values(&unit, "Before"), ["citadel.target"]);
    assert_eq!(values(&unit, "PartOf"), ["citadel.target"]);
}

#[test]
fn a_unit_names_its_files_by_their_content() {
    let patch = |value: &str| json!({ "services": { "a": { "environment": { "MODE": value } } } });
    let file = |value: &str| values(&text(patch(value), "a.service"), "EnvironmentFile")[0].to_owned();
    assert_ne!(file("1"), file("2"));
    assert_eq!(file("1"), file("1"));
    let lowered = lowered(patch("1"));
    let entry = lowered.files.iter().find(|it| it.path == "env/a.env").unwrap();
    assert_eq!(entry.target.as_deref(), Some(file("1").as_str()));
    assert_eq!(lowered.units.iter().find(|it| it.name.as_str() == "a.service").unwrap().entry.files, ["env/a.env"]);
}

#[test]
fn links_of_the_profile_are_followed_to_their_mount() {
    let patch = json!({
        "storage": {
            "mounts": { "/mnt/models": {} },
            "links": { "/opt/models": { "target": "/mnt/models/active", "create": true } },
        },
        "services": {
            "model": { "vllm": { "model": "/opt/models/phi" }, "port": 8000 },
            "storage": { "runtime": "storage" },
        },
    });
    assert_eq!(values(&text(patch.clone(), "model.service"), "RequiresMountsFor"), ["/mnt/models/active/phi"]);
    let storage = text(patch, "storage.service");
    assert_eq!(values(&storage, "AssertPathIsMountPoint"), ["/mnt/models"]);
    assert_eq!(values(&storage, "AssertPathIsSymbolicLink"), ["/opt/models"]);
}

#[test]
fn an_interval_alone_has_a_first_time() {
    let patch = json!({
        "services": { "job": { "start": "manual", "exec": { "command": ["/bin/job"], "type": "oneshot" } } },
        "timers": { "often": { "service": "job", "interval": "1h" } },
    });
    let timer = text(patch, "often.timer");
    assert_eq!(values(&timer, "OnActiveSec"), ["1h"]);
    assert_eq!(values(&timer, "OnUnitActiveSec"), ["1h"]);
    assert_eq!(values(&timer, "Unit"), ["job.service"]);
    assert_eq!(values(&timer, "WantedBy"), ["citadel.target timers.target"]);
}

#[test]
fn users_are_made_where_nobody_else_has_them() {
    let patch = json!({
        "host": { "users": { "there": true } },
        "users": { "agent": { "groups": { "video": true } }, "starlord": { "existing": true } },
        "services": { "own": {}, "a": { "user": "agent" }, "b": { "user": "starlord" }, "c": { "user": "there" } },
    });
    let lowered = lowered(patch);
    let file = lowered.files.iter().find(|it| it.path == "sysusers/citadel.conf").unwrap();
    let lines: Vec<&str> = file.content.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines,
        [
            "u agent - \"managed by citadel\" - -",
            "u citadel-own - \"Service own of citadel\" /var/lib/own -",
            "m agent video",
        ]
    );
}

#[test]
fn a_profile_without_gpus_users_and_logs_has_no_empty_files() {
    let lowered =
        lowered(json!({ "services": { "a": { "user": "root", "directories": { "state": false, "cache": false } } } }));
    let paths: Vec<&str> = lowered.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["profile.json"]);
}

#[test]
fn values_that_cannot_be_written_are_reported_at_their_option() {
    let patch = json!({
        "services": { "a": {
            "description": "one\ntwo",
            "environment": { "1A": "x" },
            "exec": { "command": ["relative"] },
            "systemd": { "Service": { "Nice": "1\n2" } },
        } },
        "log_rotation": { "logs": { "paths": { "/var/log/a\" {\n": true } } },
        "files": { "/etc/systemd/system/a.service": { "text": "" }, "/usr/a": { "text": "" } },
    });
    let (_, findings) = refused(patch);
    let places: Vec<String> = findings.iter().map(|it| format!("{} {}", it.code, it.places[0].0)).collect();
    assert_eq!(
        places,
        [
            "C0301 services.a.environment.\"1A\"",
            "C0301 services.a.description",
            "C0301 services.a.exec.command",
            "C0301 services.a.systemd.Service.Nice",
            "C0303 files.\"/etc/systemd/system/a.service\"",
            "C0303 files.\"/usr/a\"",
            "C0301 log_rotation.logs.paths.\"/var/log/a\\\" {\\n\"",
        ]
    );
}

/// A profile with a text in every place where a profile can have free text.
fn with_text(text: &str) -> Json {
    let path = format!("/srv/{text}");
    json!({
        "services": {
            "exec": {
                "description": text,
                "exec": { "command": ["/bin/a", text], "reload": ["/bin/b", text], "stop": ["/bin/c", text] },
                "environment": { "A": text },
                "log": { "identifier": text },
                "working_directory": path,
                "writable": { path.as_str(): true },
                "mounts": { path.as_str(): true },
                "systemd": { "Service": { "X-Text": text } },
            },
            "model": { "vllm": { "model": format!("m{text}"), "served_model_name": text, "extra": { "chat-template": text } }, "port": 1 },
            "api": { "gunicorn": { "app": text, "worker_class": text, "extra": [text] }, "port": 2 },
            "worker": { "celery": { "app": text, "node_name": text, "queues": { text: true }, "extra": [text] } },
        },
        "directories": { path.as_str(): {} },
        "log_rotation": { "logs": { "paths": { path.as_str(): true } } },
        "users": { "sample": { "description": text } },
        "storage": { "links": { path.as_str(): { "target": path, "create": true } } },
    })
}

/// Returns the shape of a profile's output: everything but the values.
fn shape(text: &str) -> (Vec<String>, Vec<String>) {
    let (lowered, findings) = refused(with_text(text));
    let mut shape = Vec::new();
    for unit in &lowered.units {
        let text = render::unit(unit).unwrap();
        let lines = text.lines().map(|line| line.split('=').next().unwrap_or_default());
        shape.extend(lines.map(|line| format!("{}: {line}", unit.name)));
    }
    for file in lowered.files.iter().filter(|file| file.path != "profile.json") {
        if file.path.starts_with("env/") {
            let variables = parse_env_file(&file.content).unwrap();
            shape.extend(variables.into_iter().map(|(name, _)| format!("{}: {name}", file.path)));
            continue;
        }
        let words = file.content.lines().map(|line| line.split([' ', ':', '"']).find(|word| !word.is_empty()));
        shape.extend(words.map(|word| format!("{}: {}", file.path, word.unwrap_or_default())));
    }
    (shape, findings.iter().map(|finding| finding.places[0].0.to_string()).collect())
}

/// Leaves out the first word of lines that begin with a free text in quotes.
fn comparable(shape: Vec<String>) -> Vec<String> {
    shape.into_iter().filter(|line| !line.starts_with("logrotate/")).collect()
}

#[test]
fn no_text_adds_a_line_anywhere() {
    let (plain, findings) = shape("plain");
    assert_eq!(findings, Vec::<String>::new());
    let plain = comparable(plain);
    for text in ["100% %n", "$HOME ${A}", "a\"b'c", "a;b #c", "ü: {x} [y] \u{2028}", "\\x25n"] {
        let (shape, findings) = shape(text);
        let shape = comparable(shape);
        let units_and_env = |line: &&String| !line.starts_with("tmpfiles/") && !line.starts_with("sysusers/");
        let missing: Vec<_> = plain.iter().filter(|line| !shape.contains(line)).filter(units_and_env).collect();
        assert!(missing.len() <= findings.len(), "{text:?}: {missing:?} {findings:?}");
        let added: Vec<_> = shape.iter().filter(|line| !plain.contains(line)).collect();
        assert_eq!(added, Vec::<&String>::new(), "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_text_is_a_value_or_refused(text in "[ -~\n\r\t\0ü\u{85}\u{2028}😀]{1,12}") {
        let (plain, _) = shape("plain");
        let plain = comparable(plain);
        let (shape, _) = shape(&text);
        for line in comparable(shape) {
            prop_assert!(plain.contains(&line), "{:?} adds {:?}", text, line);
        }
    }
}
