//! Environment variables of a service and the file that holds them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{ENCODING, LoweredFile, Output, gpu};
use crate::bundle::manifest::FileKind;
use crate::compile::config::ProtectHome;
use crate::compile::finding::Finding;
use crate::compile::render;
use crate::compile::system::{ServiceView, System, Workload};

/// Writes the variables of a service into a file of their own, when there are any.
///
/// A file and not `Environment=`: it is content-addressed, so a change shows as a change of this one line of the unit.
pub(super) fn file(system: &System, service: &ServiceView, out: &mut Output) -> Option<LoweredFile> {
    let mut variables = defaults(system, service);
    variables.extend(service.spec.environment.iter().map(|(name, value)| (name.clone(), scalar(value))));
    let mut assignments = Vec::new();
    for (name, value) in &variables {
        match render::assignment(name, value) {
            Ok(assignment) => assignments.push(assignment),
            Err(refusal) => out.findings.push(
                Finding::error(ENCODING, format!("the environment variable {name:?} cannot be written"))
                    .at(service.option("environment").member(name), refusal.to_string()),
            ),
        }
    }
    if assignments.is_empty() {
        return None;
    }
    let content = out.keep(render::env(assignments))?;
    let name = format!("{}.env", service.unit.stem());
    Some(LoweredFile::stored("env", &name, FileKind::Env, content, service.option("environment")))
}

/// Returns what citadel sets; the profile's own words win.
fn defaults(system: &System, service: &ServiceView) -> BTreeMap<String, String> {
    let spec = &service.spec;
    let stem = service.unit.stem();
    let mut variables = gpu::environment(system, service);
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    let Some(workload) = service.workload() else { return variables };
    if let Workload::Runtime(_) = workload {
        return variables;
    }
    let state = spec.directories.state.then(|| format!("/var/lib/{stem}"));
    // A cache that the profile puts elsewhere takes the others with it.
    let elsewhere = spec.environment.get("XDG_CACHE_HOME").and_then(Json::as_str).map(str::to_owned);
    let own = spec.directories.cache.then(|| format!("/var/cache/{stem}"));
    let cache = elsewhere.or(own).or_else(|| state.clone());
    let home_is_hidden = matches!(spec.sandbox.protect_home, ProtectHome::Yes | ProtectHome::Tmpfs);
    if let Some(state) = state.as_ref().filter(|_| home_is_hidden) {
        set("HOME", state.clone());
    }
    if let Some(cache) = &cache {
        set("XDG_CACHE_HOME", cache.clone());
    }
    if matches!(workload, Workload::Vllm(_) | Workload::Gunicorn(_) | Workload::Celery(_)) {
        // Otherwise the last lines before a crash never reach the journal.
        set("PYTHONUNBUFFERED", "1".to_owned());
    }
    if let (Workload::Exec(_), Some(socket)) = (&workload, service.backend_socket()) {
        set("CITADEL_SOCKET", socket);
    }
    if let Workload::Vllm(vllm) = workload {
        set("VLLM_NO_USAGE_STATS", "1".to_owned());
        set("DO_NOT_TRACK", "1".to_owned());
        if vllm.model.starts_with('/') {
            set("HF_HUB_OFFLINE", "1".to_owned());
        }
        if let Some(state) = state {
            set("VLLM_CONFIG_ROOT", format!("{state}/vllm"));
        }
        if let Some(cache) = cache {
            set("HF_HOME", format!("{cache}/huggingface"));
            set("VLLM_CACHE_ROOT", format!("{cache}/vllm"));
            set("TRITON_CACHE_DIR", format!("{cache}/triton"));
        }
    }
    variables
}

/// Returns a scalar as programs expect it in an environment variable.
fn scalar(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
