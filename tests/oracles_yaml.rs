//! vLLM reads its configuration with PyYAML; so does this test, and compares with what the profile says.

#![cfg(feature = "compiler")]
#![allow(clippy::expect_used, clippy::panic)]

#[path = "support/build.rs"]
mod build;
#[path = "support/project.rs"]
mod project;
#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// Reads YAML files as vLLM does; `None`, with a word about it, where there is no PyYAML.
fn read_yaml(files: &[PathBuf]) -> Option<Vec<Value>> {
    let script = "import json, sys, yaml\n\
                  print(json.dumps([yaml.safe_load(open(path, encoding='utf-8')) for path in sys.argv[1:]]))";
    // First Debian's own Python, where tests/prepare installs PyYAML.
    let python = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        let found = Command::new(python).args(["-c", "import yaml"]).output();
        found.is_ok_and(|output| output.status.success())
    });
    let Some(python) = python else {
        skip::skipped("there is no Python with PyYAML; tests/prepare installs it");
        return None;
    };
    let read = Command::new(python).args(["-c", script]).args(files).output().expect("Python starts");
    assert!(read.status.success(), "PyYAML: {}", String::from_utf8_lossy(&read.stderr));
    Some(serde_json::from_slice(&read.stdout).expect("Python writes JSON"))
}

/// The file in a bundle that a service's vLLM server reads.
fn config(bundle: &Path, service: &str) -> PathBuf {
    let manifest = project::read_json(&bundle.join("manifest.json"));
    let units = manifest["units"].as_object().expect("the manifest lists units");
    let files = units.values().filter(|unit| unit["service"] == service).filter_map(|unit| unit["files"].as_array());
    let mut names = files.flatten().filter_map(Value::as_str).filter(|name| name.ends_with(".yaml"));
    bundle.join(names.next().unwrap_or_else(|| panic!("{service} has no YAML file in {}", bundle.display())))
}

#[test]
fn vllm_reads_what_the_profile_says() {
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    project::copy(folder.path(), |_| ());
    let build = |profile: String| {
        let bundle = folder.path().join("out").join(&profile);
        build::build(folder.path(), &profile, &bundle);
        (profile, bundle)
    };
    let bundles = project::in_parallel(project::profiles(), build);

    let mut servers = Vec::new();
    for (profile, bundle) in &bundles {
        let value = project::read_json(&bundle.join("profile.json"));
        for (service, options) in value["services"].as_object().expect("a profile has services") {
            if options["vllm"].is_object() && options["enable"] == true {
                servers.push((format!("{profile}: {service}"), options.clone(), config(bundle, service)));
            }
        }
    }
    assert!(servers.len() >= 20, "only {} servers were found", servers.len());

    let files: Vec<PathBuf> = servers.iter().map(|(.., file)| file.clone()).collect();
    let Some(read) = read_yaml(&files) else { return };
    for ((name, options, _), read) in servers.iter().zip(&read) {
        assert_same_options(name, options, read);
    }
}

/// Compares the options of a service with the file of its server: none is lost, none is invented.
fn assert_same_options(name: &str, options: &Value, read: &Value) {
    let mut expected = serde_json::Map::new();
    for (option, value) in options["vllm"].as_object().expect("a vLLM server has options") {
        let key = option.replace('_', "-");
        match (option.as_str(), value) {
            // These are for citadel itself, or have another form in vLLM.
            ("executable" | "shape" | "extra" | "shutdown_timeout", _) => {}
            ("kv_cache_memory", value) if !value.is_null() => panic!("{name}: compare kv_cache_memory as well"),
            (_, Value::Null) => {}
            ("dtype" | "kv_cache_dtype", Value::String(auto)) if auto == "auto" => {}
            ("enable_chunked_prefill" | "enable_prefix_caching", Value::Bool(false)) => {
                expected.insert(format!("no-{key}"), json!(true));
            }
            ("trust_remote_code" | "log_requests", Value::Bool(false)) | ("log_stats", Value::Bool(true)) => {}
            ("log_stats", _) => {
                expected.insert("disable-log-stats".to_owned(), json!(true));
            }
            ("log_requests", _) => {
                expected.insert("enable-log-requests".to_owned(), json!(true));
            }
            (_, value) => {
                expected.insert(key, value.clone());
            }
        }
    }
    for (key, value) in options["vllm"]["extra"].as_object().into_iter().flatten() {
        match value {
            Value::Bool(false) => expected.insert(format!("no-{key}"), json!(true)),
            value => expected.insert(key.clone(), value.clone()),
        };
    }
    if options["start"] != "on_demand" {
        expected.insert("host".to_owned(), options["address"].clone());
        expected.insert("port".to_owned(), options["port"].clone());
    }

    let mut read = read.as_object().unwrap_or_else(|| panic!("{name}: the file is no mapping")).clone();
    let timeout = read.remove("shutdown-timeout").unwrap_or_else(|| panic!("{name}: a stop may take for ever"));
    assert_eq!(format!("{timeout}s"), options["vllm"]["shutdown_timeout"], "{name}: how long a stop takes");
    // Probes would fill the journal.
    assert!(read.remove("disable-access-log-for-endpoints").is_some(), "{name}: every probe is logged");
    if options["start"] == "on_demand" {
        assert!(read.remove("uds").is_some_and(|socket| socket.is_string()), "{name} does not listen for its proxy");
    }
    if options["vllm"].get("served_model_name").is_none_or(Value::is_null) {
        read.remove("served-model-name");
    }
    assert_eq!(Value::Object(read), Value::Object(expected), "{name}");
}

/// Text that YAML gives a meaning to, unless it is quoted as it should be.
const TEXTS: [&str; 24] = [
    "yes",
    "No",
    "on",
    "~",
    "null",
    "1",
    "1e3",
    "0x10",
    "0o17",
    "1_000",
    "12:30:45",
    "2024-01-01",
    ".inf",
    "a: b",
    "a #b",
    "#",
    "{}",
    "[a]",
    "*a",
    "&a",
    "!!int 1",
    "%a",
    "tab\there \"quoted\" \\n 'single'",
    "grün ✓ 😀 \u{85}\u{a0}\u{2028}\u{feff}",
];

#[test]
fn any_text_stays_what_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    project::copy(folder.path(), |_| ());
    let extra: serde_json::Map<String, Value> =
        TEXTS.iter().enumerate().map(|(number, text)| (format!("option-{number}"), json!(text))).collect();
    let change = json!({ "services": { "phi3": { "vllm": { "extra": extra } } } });
    fs::write(folder.path().join("profiles/texts.json"), change.to_string()).expect("the texts are written");
    let profile = "let citadel = import \"citadel/lib.ncl\" in\n\
                   (import \"low_memory.ncl\") & (import \"texts.json\") | citadel.Profile\n";
    fs::write(folder.path().join("profiles/texts.ncl"), profile).expect("the profile is written");
    let bundle = folder.path().join("bundle");
    build::build(folder.path(), "texts", &bundle);

    let Some(read) = read_yaml(&[config(&bundle, "phi3")]) else { return };
    for (number, text) in TEXTS.iter().enumerate() {
        assert_eq!(read[0][format!("option-{number}")], json!(text));
    }
}
