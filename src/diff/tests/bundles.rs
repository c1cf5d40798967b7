//! Small bundles for tests, written out as the compiler would write them.

use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::bundle::digest::Digest;
use crate::bundle::manifest::{
    ChangePolicy, FileEntry, FileKind, GpuBudget, GpuShare, Listen, MemoryBudget, PhaseEntry, PortUse, STORE, UnitEntry,
};
use crate::diff::{Diff, Known, Version, nothing};
use crate::plan::predicted;

/// A service of a test.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    pub port: u16,
    pub share: f64,
    pub memory: String,
    /// More lines of the unit's file.
    pub more: String,
    /// Whether it starts at boot.
    pub boot: bool,
}

pub fn service(name: &str, port: u16) -> Service {
    Service { name: name.to_owned(), port, share: 0.5, memory: "8G".to_owned(), more: String::new(), boot: true }
}

/// Returns a bundle of these services: each with a unit, an environment and a configuration of its own.
pub fn bundle(services: &[Service]) -> Bundle {
    let mut bundle = nothing("machine");
    let manifest = &mut bundle.manifest;
    manifest.main_target = "machine.target".to_owned();
    manifest.phases = vec![PhaseEntry { name: "models".to_owned(), description: None, deadline_seconds: 600 }];
    let mut gpu =
        GpuBudget { name: "gpu0".to_owned(), device: "GPU".to_owned(), total_bytes: 24 << 30, ..GpuBudget::default() };
    manifest.budget.memory = MemoryBudget {
        total_bytes: 64 << 30,
        committed_bytes: services.len() as u64 * (8 << 30),
        unlimited: Vec::new(),
    };
    let mut profile = serde_json::Map::new();
    for it in services {
        let bytes = (it.share * (24u64 << 30) as f64) as u64;
        gpu.committed_bytes += bytes;
        gpu.services.push(GpuShare {
            service: it.name.clone(),
            bytes,
            start: "boot".to_owned(),
            exclusive: Vec::new(),
        });
        manifest.budget.ports.push(PortUse {
            port: it.port,
            address: "127.0.0.1".to_owned(),
            service: it.name.clone(),
        });
        profile.insert(it.name.clone(), option(it));
    }
    manifest.budget.gpus = vec![gpu];
    for it in services {
        let env = format!("HOME=\"/var/lib/{0}\"\nMODE=\"fast\"\n", it.name);
        let config = format!("# {0}\ngpu-memory-utilization: {1}\nport: {2}\n", it.name, it.share, it.port);
        let env = add(&mut bundle, &format!("env/{}.env", it.name), FileKind::Env, env.as_bytes());
        let config = add(&mut bundle, &format!("config/{}.yaml", it.name), FileKind::Config, config.as_bytes());
        let install = if it.boot { "[Install]\nWantedBy=machine.target\n" } else { "" };
        let text = format!(
            "# services.{0}, written by citadel.\n\n[Unit]\nDescription=Model {0}\n\n[Service]\nExecStart=/opt/vllm serve --config {config}\n\
             EnvironmentFile={env}\nUser={0}\nNoNewPrivileges=yes\nProtectSystem=strict\nStateDirectory={0}\nCapabilityBoundingSet=\n\
             TimeoutStartSec=15min\nMemoryMax={1}\n{2}\n{install}",
            it.name, it.memory, it.more
        );
        let unit = format!("{}.service", it.name);
        let file = format!("units/{unit}");
        add(&mut bundle, &file, FileKind::Unit, text.as_bytes());
        let files = vec![format!("env/{}.env", it.name), format!("config/{}.yaml", it.name)];
        bundle.manifest.units.insert(unit, entry(&file, Some(it), files));
    }
    add(
        &mut bundle,
        "units/machine.target",
        FileKind::Unit,
        b"[Unit]\nDescription=All\n\n[Install]\nWantedBy=multi-user.target\n",
    );
    let mut target = entry("units/machine.target", None, Vec::new());
    target.wanted_by = vec!["multi-user.target".to_owned()];
    bundle.manifest.units.insert("machine.target".to_owned(), target);
    let profile = json!({"services": profile, "runtime": "/usr/local/bin/citadel-activate"});
    let profile = serde_json::to_string_pretty(&profile).unwrap() + "\n";
    add(&mut bundle, "profile.json", FileKind::Profile, profile.as_bytes());
    bundle
}

fn option(it: &Service) -> Value {
    json!({
        "description": format!("Model {}", it.name), "exec": null, "port": it.port, "address": "127.0.0.1", "user": it.name,
        "vllm": {"model": "/srv/model", "gpu_memory_utilization": it.share, "max_model_len": 8192, "dtype": "auto", "log_stats": true},
        "resources": {"memory_max": it.memory, "cpu_quota": null}, "restart": {"policy": "always", "delay": "10s", "max_starts": 3},
        "health": {"http": {"path": "/health", "interval": "1min", "timeout": "10s"}}, "phase": "models", "start": "boot",
    })
}

fn entry(file: &str, service: Option<&Service>, files: Vec<String>) -> UnitEntry {
    UnitEntry {
        file: file.to_owned(),
        service: service.map(|it| it.name.clone()),
        wanted_by: service.filter(|it| it.boot).map(|_| "machine.target".to_owned()).into_iter().collect(),
        files,
        credentials: Vec::new(),
        phase: service.map(|_| "models".to_owned()),
        on_change: ChangePolicy::Auto,
        can_reload: false,
        listens: service.map(|it| Listen { address: "127.0.0.1".to_owned(), port: it.port }).into_iter().collect(),
        gpus: Vec::new(),
        health: Default::default(),
        preflight: Default::default(),
        ready: None,
    }
}

/// Adds a file, or replaces it, and returns where it lies on a host.
pub fn add(bundle: &mut Bundle, path: &str, kind: FileKind, content: &[u8]) -> String {
    let digest = Digest::of(content);
    let name = path.rsplit('/').next().unwrap();
    let target = format!("{STORE}/{}-{name}", digest.short());
    let entry = FileEntry {
        kind,
        target: matches!(kind, FileKind::Env | FileKind::Config).then(|| target.clone()),
        mode: "0644".to_owned(),
        owner: "root".to_owned(),
        group: "root".to_owned(),
        size: content.len() as u64,
        sha256: digest,
    };
    bundle.manifest.files.insert(path.to_owned(), entry);
    bundle.files.insert(path.to_owned(), content.to_vec());
    target
}

/// Compares two bundles on a host of which nothing is known.
pub fn diff(old: &Bundle, new: &Bundle) -> Diff {
    let plan = predicted(Some(old), new);
    let version = |label, bundle| Version { label, bundle: Some(bundle) };
    Diff::between(version("old", old), version("new", new), &plan, &Known::default())
}
