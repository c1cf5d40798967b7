//! Memory of each GPU over what can run at the same time.

use std::collections::BTreeMap;

use crate::bundle::quantity::Size;
use crate::compile::config::members;
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::{GpuRef, ServiceView, System};

use super::codes::{GPU_MEMORY_UNKNOWN, GPU_OVERCOMMITTED};
use super::concurrency::{Heaviest, Load, heaviest};
use super::context::Context;

/// What the services of one GPU take from it.
pub struct Device<'a> {
    /// Its place among the GPUs of the host.
    pub index: usize,
    pub gpu: GpuRef,
    pub total: u64,
    /// What the driver and a desktop keep.
    pub reserved: u64,
    /// The services that use it, each with its share when it is known.
    pub users: Vec<(&'a ServiceView, Option<u64>)>,
    pub heaviest: Heaviest,
}

impl Device<'_> {
    /// Returns the memory that services may have together.
    pub fn usable(&self) -> u64 {
        self.total.saturating_sub(self.reserved)
    }
}

/// Returns the memory that a service takes on a GPU: what the profile says, or else what vLLM takes.
pub fn share(service: &ServiceView, device_memory: Size) -> Option<u64> {
    let fraction = |share: f64| (device_memory.0 as f64 * share).ceil() as u64;
    let gpu = &service.spec.gpu;
    let vllm = service.spec.vllm.as_ref();
    let exact = || vllm.and_then(super::model_memory::with_exact_cache);
    (gpu.memory.map(|size| size.0))
        .or_else(|| gpu.memory_fraction.map(fraction))
        .or_else(exact)
        .or_else(|| vllm.map(|vllm| fraction(vllm.gpu_memory_utilization)))
}

/// Returns every GPU that the profile names and the host has, with its services, by place on the host.
pub fn devices(system: &System) -> Vec<Device<'_>> {
    let profile = &system.profile;
    let mut devices: BTreeMap<usize, Device<'_>> = BTreeMap::new();
    for (name, gpu) in &profile.gpus {
        let Some(index) = super::gpu_devices::index_on_host(system, gpu) else { continue };
        let device = devices.entry(index).or_insert_with(|| Device {
            index,
            gpu: GpuRef { name: name.clone(), index },
            total: profile.host.gpus[index].memory.0,
            reserved: 0,
            users: Vec::new(),
            heaviest: Heaviest::default(),
        });
        device.reserved = device.reserved.max(gpu.reserved.0);
    }
    for service in &system.services {
        let mut seen = Vec::new();
        for gpu in &service.gpus {
            if let Some(device) = devices.get_mut(&gpu.index).filter(|_| !seen.contains(&gpu.index)) {
                device.users.push((service, share(service, Size(device.total))));
                seen.push(gpu.index);
            }
        }
    }
    for device in devices.values_mut() {
        let loads: Vec<Load<'_>> = (device.users.iter())
            .map(|(service, share)| Load {
                weight: share.unwrap_or(0),
                groups: members(&service.spec.exclusive).collect(),
            })
            .collect();
        device.heaviest = heaviest(&loads);
    }
    devices.into_values().collect()
}

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for device in devices(context.system) {
        if device.heaviest.total > device.usable() {
            findings.push(overcommitted(context, &device));
        }
        findings.extend(unknown(context, &device));
    }
}

fn overcommitted(context: &Context<'_>, device: &Device<'_>) -> Finding {
    let name = &device.gpu.name;
    let members: Vec<(&ServiceView, u64)> = (device.heaviest.members.iter())
        .filter_map(|&at| device.users.get(at))
        .map(|(service, share)| (*service, share.unwrap_or(0)))
        .collect();
    let message = match members.as_slice() {
        [(service, share)] => format!(
            "{} takes {} of the {} GiB that {name} has for services",
            service.key,
            Size(*share).gib(),
            Size(device.usable()).gib()
        ),
        _ => format!(
            "services that can run at the same time take {} of the {} GiB that {name} has for them",
            Size(device.heaviest.total).gib(),
            Size(device.usable()).gib()
        ),
    };
    let mut finding = Finding::error(GPU_OVERCOMMITTED, message);
    for (service, share) in members.iter().take(8) {
        finding = finding.at(share_option(service), format!("{} takes {} GiB", service.key, Size(*share).gib()));
    }
    if members.len() > 8 {
        finding = finding.note(format!("and {} more services", members.len() - 8));
    }
    let host_gpu = &context.system.profile.host.gpus[device.index];
    finding = finding.note(format!(
        "{name} is {}: {} GiB, of which {} GiB are reserved",
        host_gpu.name,
        Size(device.total).gib(),
        Size(device.reserved).gib()
    ));
    if !device.heaviest.exact {
        finding = finding.note("there are too many exclusion groups to search them all; this is an upper bound");
    }
    if members.len() == 1 {
        return finding.help("let it take less, or use a larger GPU");
    }
    finding.help(
        "let them take less, move one to another GPU, or put those that need not run together into one group: \
         `exclusive.big_models = true`",
    )
}

/// Returns the option that decides the share of a service.
pub fn share_option(service: &ServiceView) -> OptionPath {
    let spec = &service.spec;
    match (&spec.vllm, spec.gpu.memory, spec.gpu.memory_fraction) {
        (_, Some(_), _) => service.option("gpu.memory"),
        (_, _, Some(_)) => service.option("gpu.memory_fraction"),
        (Some(vllm), ..) if vllm.kv_cache_memory.is_some() => service.option("vllm.kv_cache_memory"),
        (Some(_), ..) => service.option("vllm.gpu_memory_utilization"),
        _ => service.option("gpu.devices"),
    }
}

/// Reports services that share a GPU with others and do not say what they take.
fn unknown(context: &Context<'_>, device: &Device<'_>) -> Vec<Finding> {
    let shares_with = |one: &ServiceView| {
        device.users.iter().find(|(other, _)| other.key != one.key && !context.system.exclude_each_other(one, other))
    };
    let silent = device.users.iter().filter(|(_, share)| share.is_none());
    silent
        .filter_map(|(service, _)| {
            let (other, _) = shares_with(service)?;
            Some(
                Finding::warning(
                    GPU_MEMORY_UNKNOWN,
                    format!("{} does not say how much of {} it takes", service.key, device.gpu.name),
                )
                .at(service.option("gpu.devices").member(&device.gpu.name), "it counts as nothing in the budget")
                .note(format!("{} uses the same GPU at the same time", other.key))
                .help("add `gpu.memory`, such as `gpu.memory = \"2G\"`"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{findings, found, service};

    fn profile(services: Value) -> Value {
        json!({ "gpus": { "gpu": { "index": 0 } }, "services": services })
    }

    fn takes(memory: &str, patch: Value) -> Value {
        let mut service = service(json!({ "gpu": { "devices": { "gpu": true }, "memory": memory } }));
        for (key, value) in patch.as_object().unwrap() {
            service[key] = value.clone();
        }
        service
    }

    #[test]
    fn what_runs_together_must_fit() {
        // The sample GPU has 24 GiB, of which 0.5 are reserved.
        let lines = found(profile(json!({ "a": takes("12G", json!({})), "b": takes("12G", json!({})) })));
        assert_eq!(
            lines,
            [
                "C0210 error services.a.gpu.memory: services that can run at the same time take 24.0 of the 23.5 GiB that \
              gpu has for them"
            ]
        );
        assert_eq!(found(profile(json!({ "a": takes("12G", json!({})), "b": takes("11G", json!({})) }))), [""; 0]);
    }

    #[test]
    fn what_excludes_each_other_need_not_fit_together() {
        let alone = json!({ "exclusive": { "big": true }, "start": "manual" });
        assert_eq!(
            found(profile(json!({ "a": takes("20G", alone.clone()), "b": takes("23G", alone.clone()) }))),
            [""; 0]
        );
        let found = findings(profile(json!({
            "a": takes("20G", alone.clone()), "b": takes("23G", alone), "c": takes("1G", json!({})),
        })));
        assert_eq!(
            found[0].message,
            "services that can run at the same time take 24.0 of the 23.5 GiB that gpu has for them"
        );
        let blamed: Vec<String> = found[0].places.iter().map(|(path, words)| format!("{path}: {words}")).collect();
        assert_eq!(blamed, ["services.b.gpu.memory: b takes 23.0 GiB", "services.c.gpu.memory: c takes 1.0 GiB"]);
    }

    #[test]
    fn vllm_takes_its_utilization() {
        let vllm = json!({
            "vllm": { "model": "/srv/m", "gpu_memory_utilization": 0.99 },
            "gpu": { "devices": { "gpu": true } }, "port": 1, "exec": null, "health": {},
        });
        assert_eq!(
            found(profile(json!({ "m": service(vllm) }))),
            [
                "C0210 error services.m.vllm.gpu_memory_utilization: m takes 23.8 of the 23.5 GiB that gpu has for services"
            ]
        );
    }

    #[test]
    fn a_silent_guest_is_named() {
        let silent = service(json!({ "gpu": { "devices": { "gpu": true } } }));
        assert_eq!(found(profile(json!({ "a": silent.clone() }))), [""; 0]);
        assert_eq!(
            found(profile(json!({ "a": silent, "b": takes("1G", json!({})) }))),
            ["C0218 warning services.a.gpu.devices.gpu: a does not say how much of gpu it takes"]
        );
    }
}
