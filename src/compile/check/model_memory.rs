//! Whether a model fits the memory that its server takes: weights, KV cache and overhead on each GPU.
//!
//! vLLM splits weights and KV heads over the GPUs of a tensor-parallel group; with fewer KV heads than GPUs each GPU holds
//! one whole head. Two sequences of vectors, keys and values, are kept for every token in every layer.

use std::cmp::Ordering;

use crate::bundle::quantity::Size;
use crate::compile::config::{Dtype, KvCacheDtype, ModelShape, Vllm};
use crate::compile::finding::Finding;
use crate::compile::system::ServiceView;

use super::codes::{MODEL_TOO_LARGE, TENSOR_PARALLEL};
use super::context::Context;
use super::gpu_memory::{share, share_option};

/// The memory of a model on each of its GPUs.
struct Need {
    weights: Option<u64>,
    /// Bytes of KV cache per token.
    per_token: u64,
    overhead: u64,
}

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        let Some(vllm) = &service.spec.vllm else { continue };
        check_parallel(service, vllm, findings);
        if let Some(shape) = &vllm.shape {
            findings.extend(check_size(context, service, vllm, shape));
        }
    }
}

/// Returns the memory of a server with a KV cache of a given size, when its model's shape is known.
pub fn with_exact_cache(vllm: &Vllm) -> Option<u64> {
    let need = need(vllm, vllm.shape.as_ref()?);
    Some(need.weights?.saturating_add(vllm.kv_cache_memory?.0).saturating_add(need.overhead))
}

/// Returns a size that stands among the further options of vLLM.
fn extra_size(vllm: &Vllm, option: &str) -> u64 {
    vllm.extra.get(option).and_then(serde_json::Value::as_u64).unwrap_or(1).max(1)
}

fn need(vllm: &Vllm, shape: &ModelShape) -> Need {
    let tensor = u64::from(vllm.tensor_parallel_size).max(1);
    let stages = extra_size(vllm, "pipeline-parallel-size");
    let bits = f64::from(shape.weight_bits);
    let weights = shape.weights.map(|size| size.0).or_else(|| {
        let parameters = shape.parameters_billion?;
        Some((parameters * 1e9 * bits / 8.0).ceil() as u64)
    });
    let element = match (vllm.kv_cache_dtype, vllm.dtype) {
        (KvCacheDtype::Fp8 | KvCacheDtype::Fp8E4m3 | KvCacheDtype::Fp8E5m2, _) => 1,
        (KvCacheDtype::Auto, Dtype::Float32) => 4,
        (KvCacheDtype::Auto, _) => 2,
    };
    let heads = shape.kv_heads.div_ceil(tensor).max(1);
    let layers = shape.layers.div_ceil(stages);
    let per_token = [2, layers, heads, shape.head_dim, element].into_iter().fold(1u64, u64::saturating_mul);
    Need { weights: weights.map(|bytes| bytes / (tensor * stages)), per_token, overhead: shape.overhead.0 }
}

/// Checks weights, cache and overhead against the share of the smallest GPU.
fn check_size(context: &Context<'_>, service: &ServiceView, vllm: &Vllm, shape: &ModelShape) -> Option<Finding> {
    let host = &context.system.profile.host;
    let device = service.gpus.iter().filter_map(|gpu| host.gpus.get(gpu.index)).min_by_key(|gpu| gpu.memory)?;
    let need = need(vllm, shape);
    let weights = need.weights.unwrap_or(0);
    let cache = vllm.max_model_len.map(|length| need.per_token.saturating_mul(length));
    let share = share(service, device.memory)?;
    let room = match vllm.kv_cache_memory {
        // The server then takes what it needs, and the cache must hold one sequence.
        Some(size) => size.0,
        None => share.saturating_sub(weights).saturating_sub(need.overhead),
    };
    let fits_without_cache = weights.saturating_add(need.overhead) <= share;
    if fits_without_cache && cache.is_none_or(|cache| cache <= room) {
        return None;
    }
    let key = &service.key;
    let gib = |bytes: u64| Size(bytes).gib();
    let total = weights.saturating_add(cache.unwrap_or(0)).saturating_add(need.overhead);
    let mut finding = if vllm.kv_cache_memory.is_some() && fits_without_cache {
        let cache = gib(cache.unwrap_or(0));
        Finding::error(
            MODEL_TOO_LARGE,
            format!("one sequence of {key} needs {cache} GiB of KV cache and has {}", gib(room)),
        )
        .at(service.option("vllm.kv_cache_memory"), format!("{} GiB", gib(room)))
    } else {
        Finding::error(MODEL_TOO_LARGE, format!("{key} needs {} GiB on each GPU and takes {}", gib(total), gib(share)))
            .at(share_option(service), format!("{} GiB of {}", gib(share), device.name))
    };
    let split = if vllm.tensor_parallel_size > 1 {
        format!(" on each of {} GPUs", vllm.tensor_parallel_size)
    } else {
        String::new()
    };
    finding = finding.note(format!(
        "weights:   {:>6} GiB{}\nKV cache:  {:>6} GiB{}\noverhead:  {:>6} GiB\ntogether:  {:>6} GiB",
        gib(weights),
        if need.weights.is_none() { " (not known)" } else { &split },
        gib(cache.unwrap_or(0)),
        match vllm.max_model_len {
            Some(length) => format!(" for {length} tokens of {} KiB", need.per_token / 1024),
            None => " (`max_model_len` is not known)".to_owned(),
        },
        gib(need.overhead),
        gib(total),
    ));
    if let Some(length) = vllm.max_model_len {
        let place = service.option("vllm.max_model_len");
        let cause = (place, format!("one sequence has up to {length} tokens"));
        // When all but the cache fits, the length is to blame.
        let at = if fits_without_cache && vllm.kv_cache_memory.is_none() { 0 } else { finding.places.len() };
        finding.places.insert(at, cause);
    }
    Some(finding.help(advice(vllm, shape, &need, share, room, fits_without_cache)))
}

/// Says what would make the model fit, the least change first.
fn advice(vllm: &Vllm, shape: &ModelShape, need: &Need, share: u64, room: u64, fits_without_cache: bool) -> String {
    let mut ways = Vec::new();
    // vLLM hands out the cache in blocks of 16 tokens.
    let longest = |per_token: u64| room.checked_div(per_token).unwrap_or(0) / 16 * 16;
    if fits_without_cache && longest(need.per_token) >= 16 {
        ways.push(format!("write `max_model_len = {}`", longest(need.per_token)));
        let wanted = vllm.max_model_len.unwrap_or(0);
        if vllm.kv_cache_dtype == KvCacheDtype::Auto && longest(need.per_token / 2) >= wanted {
            ways.push("keep the KV cache in 8 bits with `kv_cache_dtype = 'fp8`".to_owned());
        }
    }
    if let Some(weights) = need.weights.filter(|_| shape.weight_bits > 4 && shape.weights.is_none()) {
        let quarter = weights / u64::from(shape.weight_bits) * 4;
        if quarter.saturating_add(need.overhead) < share {
            ways.push(format!("use a model with 4-bit weights, {} GiB on each GPU", Size(quarter).gib()));
        }
    }
    if ways.is_empty() || vllm.tensor_parallel_size == 1 {
        ways.push("spread it over more GPUs with `tensor_parallel_size`".to_owned());
    }
    ways.join(", or ")
}

/// Checks the number of GPUs and how the model's heads spread over them.
fn check_parallel(service: &ServiceView, vllm: &Vllm, findings: &mut Vec<Finding>) {
    let tensor = u64::from(vllm.tensor_parallel_size).max(1);
    let wanted = tensor * extra_size(vllm, "pipeline-parallel-size") * extra_size(vllm, "data-parallel-size");
    let given = service.spec.gpu.devices.values().filter(|on| **on).count() as u64;
    if given > 0 && wanted != given {
        let plural = |count: u64| if count == 1 { "1 GPU".to_owned() } else { format!("{count} GPUs") };
        findings.push(
            Finding::error(
                TENSOR_PARALLEL,
                format!("{} runs on {} and is given {}", service.key, plural(wanted), plural(given)),
            )
            .at(service.option("vllm.tensor_parallel_size"), format!("runs on {}", plural(wanted)))
            .at(service.option("gpu.devices"), format!("is given {}", plural(given)))
            .help(if tensor == wanted {
                format!("write `tensor_parallel_size = {given}`, or name {} in `gpu.devices`", plural(wanted))
            } else {
                format!("name {} in `gpu.devices`", plural(wanted))
            }),
        );
    }
    let Some(shape) = &vllm.shape else { return };
    let uneven = match shape.kv_heads.cmp(&tensor) {
        Ordering::Less => !tensor.is_multiple_of(shape.kv_heads.max(1)),
        Ordering::Equal => false,
        Ordering::Greater => !shape.kv_heads.is_multiple_of(tensor),
    };
    if uneven {
        let possible: Vec<String> = (1..=shape.kv_heads.min(16))
            .filter(|size| shape.kv_heads.is_multiple_of(*size))
            .map(|size| size.to_string())
            .collect();
        findings.push(
            Finding::error(
                TENSOR_PARALLEL,
                format!("the {} KV heads of {} do not spread evenly over {tensor} GPUs", shape.kv_heads, service.key),
            )
            .at(service.option("vllm.tensor_parallel_size"), "split over these")
            .at(service.option("vllm.shape.kv_heads"), "these heads")
            .note("vLLM refuses to start then")
            .help(format!("use one of these sizes: {}", possible.join(", "))),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{findings, found, service};

    /// A model of seven thousand million parameters with 32 layers and 8 KV heads, on a GPU of 24 GiB.
    fn model(vllm: Value) -> Value {
        let mut full = json!({
            "model": "/srv/m",
            "shape": { "parameters_billion": 7, "layers": 32, "kv_heads": 8, "head_dim": 128 },
        });
        full.as_object_mut().unwrap().extend(vllm.as_object().unwrap().clone());
        json!({
            "gpus": { "gpu": { "index": 0 } },
            "services": { "m": service(json!({
                "exec": null, "vllm": full, "gpu": { "devices": { "gpu": true } }, "port": 1,
            })) },
        })
    }

    #[test]
    fn a_model_that_fits_is_silent() {
        assert_eq!(found(model(json!({ "max_model_len": 32768 }))), [""; 0]);
        assert_eq!(found(model(json!({ "shape": null, "max_model_len": 9_999_999 }))), [""; 0]);
    }

    #[test]
    fn the_longest_sequence_must_fit() {
        let found = findings(model(json!({ "max_model_len": 131_072 })));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].message, "m needs 30.0 GiB on each GPU and takes 21.6");
        assert_eq!(
            found[0].notes,
            [
                "weights:     13.0 GiB\nKV cache:    16.0 GiB for 131072 tokens of 128 KiB\noverhead:     1.0 GiB\ntogether:    30.0 GiB"
            ]
        );
        // 21.6 - 13.04 - 1 = 7.56 GiB of 128 KiB.
        let help = found[0].help.as_deref().unwrap();
        assert!(help.starts_with("write `max_model_len = 61"), "{help}");
    }

    #[test]
    fn a_smaller_cache_type_is_suggested_when_it_is_enough() {
        let found = findings(model(json!({ "max_model_len": 100_000 })));
        assert!(found[0].help.as_deref().unwrap().contains("'fp8"));
        assert_eq!(findings(model(json!({ "max_model_len": 100_000, "kv_cache_dtype": "fp8" }))), []);
    }

    #[test]
    fn weights_alone_can_be_too_much() {
        let shape = json!({ "parameters_billion": 34, "layers": 60, "kv_heads": 8, "head_dim": 128 });
        let found = findings(model(json!({ "shape": shape })));
        assert_eq!(found[0].message, "m needs 64.3 GiB on each GPU and takes 21.6");
        assert!(found[0].help.as_deref().unwrap().starts_with("use a model with 4-bit weights, 15.8 GiB"));
    }

    #[test]
    fn an_exact_cache_must_hold_one_sequence() {
        let found = found(model(json!({ "max_model_len": 32768, "kv_cache_memory": "2G" })));
        assert_eq!(
            found,
            ["C0211 error services.m.vllm.kv_cache_memory: one sequence of m needs 4.0 GiB of KV cache and has 2.0"]
        );
    }

    #[test]
    fn the_gpus_are_as_many_as_the_model_is_split_over() {
        assert_eq!(
            found(model(json!({ "tensor_parallel_size": 2 }))),
            ["C0212 error services.m.vllm.tensor_parallel_size: m runs on 2 GPUs and is given 1 GPU"]
        );
        let lines = found(model(json!({ "tensor_parallel_size": 3 })));
        assert!(lines[1].ends_with("the 8 KV heads of m do not spread evenly over 3 GPUs"), "{lines:?}");
    }
}
