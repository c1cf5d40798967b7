//! A host on which a bundle is installed before it boots, so that the boot itself starts everything.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::host::bundle::Bundle;
use crate::host::machine::{Release, keys, members};
use crate::host::{Host, Parts};

/// Boots a host with this bundle, and waits until it has started everything.
pub fn boot(release: &Release, system: &Path, bundle: &Bundle) -> Host {
    let mut parts = Parts::new();
    parts.expect(&[bundle]);
    for (name, entries) in lists(bundle) {
        parts.list(name, &entries);
    }
    parts.file("install.sh", include_str!("install.sh"));
    let copied = Command::new("cp").arg("-R").args([&bundle.folder, &parts.folder().join("bundle")]).status();
    assert!(copied.is_ok_and(|status| status.success()), "the bundle cannot be copied");
    parts.boot(release, system)
}

/// The lists that `install.sh` works from.
fn lists(bundle: &Bundle) -> Vec<(&'static str, Vec<String>)> {
    let installed: Vec<_> = members(&bundle.manifest["files"])
        .filter_map(|(name, entry)| Some((name, entry, entry["target"].as_str()?)))
        .collect();
    let field = |entry: &Value, key: &str| entry[key].as_str().expect("a file has mode and owner").to_owned();
    let files = installed.iter().map(|(name, entry, target)| format!("{}\t{name}\t{target}", field(entry, "mode")));
    let owners = installed
        .iter()
        .map(|(_, entry, target)| format!("{}\t{}\t{target}", field(entry, "owner"), field(entry, "group")));
    vec![
        ("files", files.collect()),
        ("owners", owners.collect()),
        ("units", keys(&bundle.manifest["units"])),
        ("wanted", bundle.wanted().into_iter().map(|(target, unit)| format!("{target}\t{unit}")).collect()),
        ("ready", ready(bundle)),
    ]
}

/// The addresses that `wait-ready` connects to, by service.
fn ready(bundle: &Bundle) -> Vec<String> {
    let line = |(_, entry): (&String, &Value)| {
        let probe = &entry["health"][entry["ready"].as_str()?]["http"];
        let service = entry["service"].as_str()?;
        let address = match probe["socket"].as_str() {
            Some(socket) => socket.to_owned(),
            None => format!("{}\t{}", probe["host"].as_str()?, probe["port"]),
        };
        Some(format!("{service}\t{address}"))
    };
    members(&bundle.manifest["units"]).filter_map(line).collect()
}
