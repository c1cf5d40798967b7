//! What is generated and checked in is current: the option reference and the lock file.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::process::Command;

fn citadel(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_citadel"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_option_reference_is_current() {
    let (success, generated, errors) = citadel(&["options", "--markdown"]);
    assert!(success, "{errors}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/options.md");
    let page = std::fs::read_to_string(path).expect("the page exists");
    assert!(page == generated, "run: cargo run -- options --markdown > docs/reference/options.md");
}

#[test]
fn every_option_is_documented() {
    let (success, listed, errors) = citadel(&["options", "--message-format", "json"]);
    assert!(success, "{errors}");
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("one JSON value");
    let options = listed["options"].as_array().expect("a list of options");
    assert!(options.len() > 300, "only {} options were found", options.len());
    let mute: Vec<&str> = options
        .iter()
        .filter(|option| option["doc"] == "" || option["type"] == "")
        .filter_map(|option| option["path"].as_str())
        .collect();
    assert!(mute.is_empty(), "options without documentation or type: {mute:#?}");
}

#[test]
fn the_lock_file_is_current() {
    let (success, _, errors) = citadel(&["lock", "--check"]);
    assert!(success, "{errors}");
}

#[test]
fn no_profile_has_a_warning() {
    let (success, _, errors) = citadel(&["check"]);
    assert!(success && errors.is_empty(), "{errors}");
}

#[test]
fn cargo_run_runs_citadel() {
    // The README builds with `cargo run`, and there are two programs.
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("cargo answers in JSON");
    assert_eq!(metadata["packages"][0]["default_run"], "citadel");
}
