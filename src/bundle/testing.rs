//! Bundles for tests.

use serde_json::{Value, json};

use super::Bundle;
use super::digest::Digest;

/// A file for [`bundle_of`]: its path in the bundle, its kind, its target, its mode and its text.
pub type File<'a> = (&'a str, &'a str, Option<&'a str>, &'a str, &'a str);

/// Returns a bundle with these files and with units for those of kind `unit`, wanted by `multi-user.target`.
pub fn bundle_of(files: &[File<'_>]) -> Bundle {
    let mut entries = serde_json::Map::new();
    let mut units = serde_json::Map::new();
    for (path, kind, target, mode, text) in files {
        let mut entry = json!({
            "kind": kind, "mode": mode, "owner": "root", "group": "root",
            "size": text.len(), "sha256": Digest::of(text.as_bytes()).to_string(),
        });
        if let Some(target) = target {
            entry["target"] = Value::from(*target);
        }
        entries.insert((*path).to_owned(), entry);
        if let Some(name) = path.strip_prefix("units/") {
            let unit = json!({
                "file": path, "wanted_by": ["multi-user.target"], "files": [], "credentials": [], "on_change": "auto",
                "can_reload": false, "listens": [], "gpus": [], "health": {}, "preflight": {},
            });
            units.insert(name.to_owned(), unit);
        }
    }
    let manifest = serde_json::from_value(json!({
        "version": 1, "profile": "test", "compiler": {"citadel": "0", "nickel": "0"},
        "requires": {
            "systemd": 249, "host": "h", "cpus": 1, "memory_bytes": 1, "gpus": [], "mounts": [], "units": [],
            "users": [], "groups": [],
        },
        "main_target": "a.service", "files": entries, "units": units, "phases": [], "groups": {}, "credentials": {},
        "inputs": {}, "budget": {"gpus": [], "memory": {"total_bytes": 1, "committed_bytes": 0, "unlimited": []}, "ports": []},
    }))
    .unwrap();
    let contents = files.iter().map(|(path, _, _, _, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    Bundle { manifest, files: contents.collect() }
}

/// Returns a bundle of one unit, one file in the store and one file elsewhere, all with this text in them.
pub fn bundle(text: &str) -> Bundle {
    let stored = format!("/etc/citadel/store/{}-a.env", Digest::of(text.as_bytes()).short());
    bundle_of(&[
        ("env/a.env", "env", Some(&stored), "0644", text),
        ("files/etc/app.conf", "raw", Some("/etc/app.conf"), "0640", text),
        ("units/a.service", "unit", None, "0644", &format!("[Service]\nExecStart=/bin/echo {text}\n")),
    ])
}
