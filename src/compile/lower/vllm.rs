//! vLLM's own YAML configuration, which `vllm serve --config` reads.
//!
//! vLLM turns each entry into a command line option (`key: value` into `--key value`, `key: true` into `--key`, and
//! `key: false` into nothing), so a switch that is off is written as `no-key: true`, and a value that looks like an
//! option is refused.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::draft::tag;
use super::{ENCODING, LoweredFile, NO_PORT, Output, WIRING};
use crate::bundle::manifest::FileKind;
use crate::compile::config::{Dtype, KvCacheDtype, Vllm};
use crate::compile::finding::{Finding, nearest};
use crate::compile::render;
use crate::compile::system::ServiceView;

/// Writes the configuration of a vLLM server.
pub(super) fn config(service: &ServiceView, vllm: &Vllm, out: &mut Output) -> Option<LoweredFile> {
    let mut options = options(service, vllm, out);
    add_extra(service, vllm, &mut options, out);
    let mut lines = Vec::new();
    for (key, (value, option)) in &options {
        match yaml(value) {
            Ok(value) => lines.push((key.clone(), value)),
            Err(reason) => out.findings.push(
                Finding::error(ENCODING, format!("{} cannot be handed to vLLM", service.option(option)))
                    .at(service.option(option), reason),
            ),
        }
    }
    let content = out.keep(render::vllm(&service.origin, lines))?;
    let name = format!("{}.yaml", service.unit.stem());
    Some(LoweredFile::stored("config", &name, FileKind::Config, content, service.option("vllm")))
}

/// The value of each option of vLLM, and the option of the profile that it comes from.
type Options = BTreeMap<String, (Json, String)>;

fn options(service: &ServiceView, vllm: &Vllm, out: &mut Output) -> Options {
    let mut options = Options::new();
    let mut set = |key: &str, value: Json, option: &str| {
        options.insert(key.to_owned(), (value, option.to_owned()));
    };
    set("model", json!(vllm.model), "vllm.model");
    let served = vllm.served_model_name.as_deref().unwrap_or(&service.key);
    set("served-model-name", json!(served), "vllm.served_model_name");
    if let Some(revision) = &vllm.revision {
        set("revision", json!(revision), "vllm.revision");
    }
    match (service.backend_socket(), service.spec.port) {
        (Some(socket), _) => set("uds", json!(socket), "start"),
        (None, Some(port)) => {
            set("host", json!(service.spec.address), "address");
            set("port", json!(port), "port");
        }
        (None, None) => out.findings.push(
            Finding::error(NO_PORT, format!("{} does not say on which port its vLLM server listens", service.origin))
                .at(service.option("vllm"), "this server")
                .help("add a `port`"),
        ),
    }
    set("tensor-parallel-size", json!(vllm.tensor_parallel_size), "vllm.tensor_parallel_size");
    set("gpu-memory-utilization", json!(vllm.gpu_memory_utilization), "vllm.gpu_memory_utilization");
    if let Some(size) = vllm.kv_cache_memory {
        set("kv-cache-memory-bytes", json!(size.0), "vllm.kv_cache_memory");
    }
    if let Some(tokens) = vllm.max_model_len {
        set("max-model-len", json!(tokens), "vllm.max_model_len");
    }
    if let Some(sequences) = vllm.max_num_seqs {
        set("max-num-seqs", json!(sequences), "vllm.max_num_seqs");
    }
    if vllm.dtype != Dtype::Auto {
        set("dtype", json!(tag(&vllm.dtype)), "vllm.dtype");
    }
    if let Some(quantization) = &vllm.quantization {
        set("quantization", json!(quantization), "vllm.quantization");
    }
    if vllm.kv_cache_dtype != KvCacheDtype::Auto {
        set("kv-cache-dtype", json!(tag(&vllm.kv_cache_dtype)), "vllm.kv_cache_dtype");
    }
    let switch = |key: &str, on: bool| if on { key.to_owned() } else { format!("no-{key}") };
    let chunked = switch("enable-chunked-prefill", vllm.enable_chunked_prefill);
    set(&chunked, json!(true), "vllm.enable_chunked_prefill");
    let caching = switch("enable-prefix-caching", vllm.enable_prefix_caching);
    set(&caching, json!(true), "vllm.enable_prefix_caching");
    if !vllm.log_stats {
        set("disable-log-stats", json!(true), "vllm.log_stats");
    }
    if vllm.log_requests {
        set("enable-log-requests", json!(true), "vllm.log_requests");
    }
    if vllm.trust_remote_code {
        set("trust-remote-code", json!(true), "vllm.trust_remote_code");
    }
    // Probes would fill the journal.
    set("disable-access-log-for-endpoints", json!("/health,/metrics"), "vllm");
    set("shutdown-timeout", json!(vllm.shutdown_timeout.as_secs_ceil()), "vllm.shutdown_timeout");
    options
}

/// Adds the options that the profile names as vLLM does; one that citadel writes itself is refused.
fn add_extra(service: &ServiceView, vllm: &Vllm, options: &mut Options, out: &mut Output) {
    let place = service.option("vllm.extra");
    for (key, value) in &vllm.extra {
        let plain = !key.is_empty()
            && key.starts_with(|first: char| first.is_ascii_lowercase())
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !plain {
            out.findings.push(
                Finding::error(ENCODING, format!("{key:?} is not the name of an option of vLLM"))
                    .at(place.member(key), "only lower-case letters, digits and \"-\" are allowed")
                    .help("write its long name without dashes in front, such as `max-num-batched-tokens`"),
            );
            continue;
        }
        let (key, value) = match value {
            Json::Bool(false) => (format!("no-{key}"), json!(true)),
            value => (key.clone(), value.clone()),
        };
        let base = key.strip_prefix("no-").unwrap_or(&key);
        let taken = ["", "no-"].iter().any(|prefix| options.contains_key(&format!("{prefix}{base}")));
        let reserved = ["host", "port", "uds", "config", "model", "api-key"].contains(&base);
        let own = base.replace('-', "_");
        if taken || reserved || OWN_OPTIONS.contains(&own.as_str()) {
            let mut finding = Finding::error(WIRING, format!("vLLM's option {base:?} is not for `extra`"))
                .at(place.member(base), "citadel writes this option itself");
            if let Some(near) = nearest(&own, OWN_OPTIONS) {
                finding = finding.help(format!("set `vllm.{near}`"));
            }
            out.findings.push(finding);
            continue;
        }
        options.insert(key.clone(), (value, format!("vllm.extra.{base}")));
    }
}

/// The options of this library that stand for options of vLLM with another spelling.
const OWN_OPTIONS: [&str; 14] = [
    "model",
    "served_model_name",
    "revision",
    "tensor_parallel_size",
    "gpu_memory_utilization",
    "max_model_len",
    "max_num_seqs",
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "enable_chunked_prefill",
    "enable_prefix_caching",
    "trust_remote_code",
    "shutdown_timeout",
];

/// Returns a value in YAML: text always in double quotes, with the escapes of JSON, which YAML knows.
fn yaml(value: &Json) -> Result<String, String> {
    match value {
        Json::String(text) if text.starts_with('-') => {
            Err("vLLM would take text that starts with \"-\" for an option".to_owned())
        }
        Json::String(text) if text.contains('\0') => Err("NUL cannot stand in an argument".to_owned()),
        Json::String(text) => Ok(render::yaml_text(text)),
        Json::Bool(_) | Json::Number(_) => Ok(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => Err("only text, numbers and truth values fit here".to_owned()),
    }
}
