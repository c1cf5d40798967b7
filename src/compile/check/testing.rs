//! Small profiles for tests: a patch in JSON over the defaults of the module library.

use serde_json::{Map, Value, json};

use crate::compile::config::Profile;
use crate::compile::finding::{Finding, Severity};
use crate::compile::lower::{Lowered, lower};
use crate::compile::system::System;

/// Returns the samples of the module library: one of everything, all defaults filled in.
fn samples() -> Value {
    serde_json::from_str(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/samples.json"))).unwrap()
}

/// Lays a patch over a value: objects are merged, everything else is replaced, `null` removes.
fn merge(base: &mut Value, patch: &Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    base.remove(key);
                } else {
                    merge(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (base, patch) => *base = patch.clone(),
    }
}

/// Lays each entry of a dictionary over a sample of its kind.
fn fill(entries: Option<&mut Value>, sample: impl Fn(&Value) -> Value) {
    for entry in entries.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        let mut filled = sample(entry);
        merge(&mut filled, entry);
        *entry = filled;
    }
}

fn without(sample: &Value, keys: &[&str]) -> Value {
    let mut sample = sample.clone();
    for key in keys {
        sample.as_object_mut().unwrap().remove(*key);
    }
    sample
}

fn fill_service(samples: &Value, service: &mut Value) {
    let services = &samples["services"];
    for workload in ["vllm", "gunicorn", "celery", "exec"] {
        if let Some(given) = service.get_mut(workload) {
            let drops: &[&str] = if workload == "vllm" { &["shape"] } else { &[] };
            let mut filled = without(&services[workload][workload], drops);
            if given.get("shape").is_some() {
                filled["shape"] = services["vllm"]["vllm"]["shape"].clone();
            }
            merge(&mut filled, given);
            *given = filled;
        }
    }
    fill(service.get_mut("health"), |probe| {
        let mut sample = without(&services["probes"]["health"]["http"], &["http"]);
        for kind in ["http", "tcp", "redis", "unit"] {
            if probe.get(kind).is_some() {
                sample[kind] = services["probes"]["health"][kind][kind].clone();
            }
        }
        sample
    });
    fill(service.get_mut("preflight"), |_| without(&services["probes"]["preflight"]["file"], &["file"]));
    let mut filled = without(&services["exec"], &["exec"]);
    merge(&mut filled, service);
    *service = filled;
}

/// Returns the profile of a patch over the empty profile; entries of dictionaries get the defaults of their kind.
pub fn profile(patch: Value) -> Profile {
    let samples = samples();
    let mut patch = patch;
    for service in patch.get_mut("services").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        fill_service(&samples, service);
    }
    fill(patch.get_mut("apps"), |_| without(&samples["apps"]["sample"], &["api", "worker"]));
    for app in patch.get_mut("apps").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        fill_service(&samples, &mut app["api"]);
        fill_service(&samples, &mut app["worker"]);
    }
    for kind in [
        "targets",
        "timers",
        "sockets",
        "slices",
        "phases",
        "gpus",
        "users",
        "user_groups",
        "credentials",
        "log_rotation",
    ] {
        fill(patch.get_mut(kind), |_| without(&samples[kind]["sample"], &[]));
    }
    fill(patch.get_mut("directories"), |_| samples["directories"]["/srv"].clone());
    fill(patch.get_mut("units"), |_| samples["units"]["sample.service"].clone());
    fill(patch.get_mut("files"), |_| samples["files"]["/etc/sample"].clone());
    if let Some(storage) = patch.get_mut("storage") {
        fill(storage.get_mut("mounts"), |_| samples["storage"]["mounts"]["/srv"].clone());
    }
    let mut base = samples.clone();
    let dictionaries = [
        "services",
        "apps",
        "targets",
        "timers",
        "sockets",
        "slices",
        "phases",
        "gpus",
        "directories",
        "users",
        "user_groups",
        "credentials",
        "log_rotation",
        "units",
        "files",
    ];
    for kind in dictionaries {
        base[kind] = json!({});
    }
    base["storage"] = json!({ "mounts": {}, "links": {} });
    base["monitor"].as_object_mut().unwrap().remove("redis");
    merge(&mut base, &patch);
    serde_json::from_value(base).unwrap()
}

/// Returns the machine of a patch, what resolving and lowering it found, and its units.
pub fn system(patch: Value) -> (System, Vec<Finding>, Lowered) {
    let (system, mut findings) = System::resolve(profile(patch));
    let (lowered, refused) = lower(&system);
    findings.extend(refused);
    (system, findings, lowered)
}

/// Returns everything that is found in a patch.
pub fn findings(patch: Value) -> Vec<Finding> {
    let (system, mut findings, lowered) = system(patch);
    findings.extend(super::run(&system, &lowered));
    findings
}

/// Returns what is found as lines such as `C0201 error services.web.port: two services ...`.
pub fn found(patch: Value) -> Vec<String> {
    findings(patch).iter().map(line).collect()
}

/// Returns a finding as one line: its code, its severity, its first place and its message.
pub fn line(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = finding.places.first().map(|(path, _)| path.to_string()).unwrap_or_default();
    format!("{} {severity} {place}: {}", finding.code, finding.message)
}

/// Returns a service that runs a program, has a probe and is changed by a patch.
pub fn service(patch: Value) -> Value {
    let mut service = json!({
        "exec": { "command": ["/usr/bin/sample"] },
        "health": { "up": { "unit": {} } },
    });
    merge(&mut service, &patch);
    service
}
