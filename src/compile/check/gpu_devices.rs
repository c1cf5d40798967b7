//! GPUs: which device a name means, and who may use it.

use std::collections::BTreeMap;

use crate::compile::config::{ComputeMode, Gpu};
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::{ServiceView, System};

use super::codes::{GPU_IDENTITY, GPU_NOT_SHARED, GPU_TWICE, NO_GPU};
use super::context::{Context, short_list};

/// Returns the place of a described GPU among those of the host.
pub fn index_on_host(system: &System, gpu: &Gpu) -> Option<usize> {
    system.profile.host.gpus.iter().enumerate().position(|(at, known)| {
        gpu.index.is_some_and(|index| index as usize == at)
            || (gpu.uuid.is_some() && gpu.uuid == known.uuid)
            || (gpu.pci_address.is_some() && gpu.pci_address == known.pci_address)
    })
}

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    check_identities(context, findings);
    check_missing(context, findings);
    check_sharing(context, findings);
}

fn check_identities(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let host = &context.system.profile.host;
    let mut names: BTreeMap<usize, &str> = BTreeMap::new();
    for (name, gpu) in &context.system.profile.gpus {
        let origin = OptionPath::new(["gpus"]).member(name);
        let said = [
            gpu.index.map(|index| ("index", index.to_string())),
            gpu.uuid.clone().map(|uuid| ("uuid", uuid)),
            gpu.pci_address.clone().map(|address| ("pci_address", address)),
        ];
        let said: Vec<(&str, String)> = said.into_iter().flatten().collect();
        let finding = match said.as_slice() {
            [] => Finding::error(GPU_IDENTITY, format!("{origin} does not say which GPU it is"))
                .at(origin, "this GPU")
                .help("add one of `index`, `uuid` and `pci_address`, such as `index = 0`"),
            [(option, value)] => match index_on_host(context.system, gpu) {
                None => missing(context, origin.join(option), option, value),
                Some(index) => match names.insert(index, name) {
                    None => continue,
                    Some(first) => Finding::error(GPU_TWICE, format!("{first} and {name} are the same GPU"))
                        .at(origin, "this one")
                        .at(OptionPath::new(["gpus"]).member(first), "and this one")
                        .note(format!("both are number {index} of the host, {}", host.gpus[index].name))
                        .help("remove one of them, and let all services use the other"),
                },
            },
            [(first, _), rest @ ..] => {
                let mut finding =
                    Finding::error(GPU_IDENTITY, format!("{origin} says {} times which GPU it is", said.len()))
                        .at(origin.join(first), "said here");
                for (option, _) in rest {
                    finding = finding.at(origin.join(option), "and here");
                }
                finding.help("keep one of them; a UUID stays the same when cards are moved")
            }
        };
        findings.push(finding);
    }
}

fn missing(context: &Context<'_>, place: OptionPath, option: &str, value: &str) -> Finding {
    let host = &context.system.profile.host;
    let known: Vec<String> = (host.gpus.iter().enumerate())
        .filter_map(|(at, gpu)| match option {
            "uuid" => gpu.uuid.clone(),
            "pci_address" => gpu.pci_address.clone(),
            _ => Some(at.to_string()),
        })
        .collect();
    let help = match known.len() {
        0 => format!("add the GPU with its `{option}` to the facts of the host, or remove it here"),
        _ => format!("use one that it has: {}", short_list(&known)),
    };
    Finding::error(GPU_IDENTITY, format!("{} has no GPU with the {option} {value}", host.name))
        .at(place, "written here")
        .note(match host.gpus.len() {
            0 => format!("the facts of {} name no GPU", host.name),
            1 => format!("{} has one GPU, {}", host.name, host.gpus[0].name),
            count => format!("{} has {count} GPUs", host.name),
        })
        .help(help)
}

/// Reports services that compute on a GPU and name none.
fn check_missing(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        let gpu = &service.spec.gpu;
        if gpu.devices.values().any(|on| *on) {
            continue;
        }
        let place = match () {
            () if service.spec.vllm.is_some() => service.option("vllm"),
            // `devices.main = false` takes a service off its GPU; what it would take there may stay.
            () if !gpu.devices.is_empty() && !sees_cuda(service) => continue,
            () if gpu.memory.is_some() => service.option("gpu.memory"),
            () if gpu.memory_fraction.is_some() => service.option("gpu.memory_fraction"),
            () if gpu.exclusive => service.option("gpu.exclusive"),
            () if sees_cuda(service) => context.member(service, "environment", "CUDA_VISIBLE_DEVICES"),
            () => continue,
        };
        let example = context.system.profile.gpus.keys().next().map_or("gpu0", String::as_str);
        findings.push(
            Finding::error(NO_GPU, format!("{} needs a GPU and has none", service.key))
                .at(place, "this needs a GPU")
                .note("a service sees only the GPUs of `gpu.devices`")
                .help(format!("name the GPU: `gpu.devices.{example} = true`")),
        );
    }
}

fn sees_cuda(service: &ServiceView) -> bool {
    let value = service.spec.environment.get("CUDA_VISIBLE_DEVICES");
    value.is_some_and(|value| value.as_str().is_none_or(|text| !text.is_empty() && text != "-1"))
}

/// Reports GPUs that are for one service or one process and have several.
fn check_sharing(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for device in super::gpu_memory::devices(context.system) {
        let users: Vec<&ServiceView> = device.users.iter().map(|(service, _)| *service).collect();
        let name = &device.gpu.name;
        for one in users.iter().filter(|service| service.spec.gpu.exclusive) {
            let guests = users.iter().filter(|other| {
                // Of two that both want it alone, the first one complains.
                let later = !other.spec.gpu.exclusive || one.key < other.key;
                later && other.key != one.key && !context.system.exclude_each_other(one, other)
            });
            for other in guests {
                findings.push(
                    Finding::error(GPU_NOT_SHARED, format!("{} has {name} for itself, but {} uses it too", one.key, other.key))
                        .at(other.option("gpu.devices").member(name), format!("{} uses it", other.key))
                        .at(one.option("gpu.exclusive"), format!("{} wants it alone", one.key))
                        .help("let one of them use another GPU, remove `gpu.exclusive`, or let them exclude each other with `exclusive`"),
                );
            }
        }
        let gpu = context.system.profile.gpus.get(name);
        let Some(mode) = gpu.and_then(|gpu| gpu.compute_mode) else { continue };
        let place = OptionPath::new(["gpus"]).member(name).join("compute_mode");
        if mode == ComputeMode::Prohibited {
            findings.extend(users.first().map(|user| {
                Finding::error(GPU_NOT_SHARED, format!("{} uses {name}, on which nobody may compute", user.key))
                    .at(user.option("gpu.devices").member(name), "used here")
                    .at(place.clone(), "closed for everybody here")
                    .help("remove one of the two")
            }));
        }
        if mode == ComputeMode::ExclusiveProcess {
            let together = users.iter().enumerate().find_map(|(at, one)| {
                let other = users[at + 1..].iter().find(|other| !context.system.exclude_each_other(one, other))?;
                Some((one, other))
            });
            findings.extend(together.map(|(one, other)| {
                Finding::error(
                    GPU_NOT_SHARED,
                    format!("{} and {} use {name}, on which one process may compute", one.key, other.key),
                )
                .at(place, "one process at a time")
                .at(one.option("gpu.devices").member(name), "used here")
                .at(other.option("gpu.devices").member(name), "and here")
                .help("write `compute_mode = 'default`, or let the services exclude each other with `exclusive`")
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{found, service};

    fn uses(patch: Value) -> Value {
        let mut gpu = json!({ "devices": { "gpu": true }, "memory": "1G" });
        gpu.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        service(json!({ "gpu": gpu }))
    }

    #[test]
    fn a_gpu_is_said_once_and_exists() {
        let table = [
            (json!({ "a": {} }), "C0215 error gpus.a: gpus.a does not say which GPU it is"),
            (json!({ "a": { "index": 1 } }), "C0215 error gpus.a.index: sample has no GPU with the index 1"),
            (
                json!({ "a": { "index": 0, "pci_address": "0000:01:00.0" } }),
                "C0215 error gpus.a.index: gpus.a says 2 times which GPU it is",
            ),
            (json!({ "a": { "index": 0 }, "b": { "index": 0 } }), "C0217 error gpus.b: a and b are the same GPU"),
            (json!({ "a": { "index": 0 } }), ""),
        ];
        for (gpus, expected) in table {
            assert_eq!(found(json!({ "gpus": gpus })).join("\n"), expected);
        }
    }

    #[test]
    fn vllm_needs_a_gpu() {
        let vllm = service(json!({ "exec": null, "vllm": { "model": "/m" }, "port": 1 }));
        assert_eq!(
            found(json!({ "services": { "m": vllm } })),
            ["C0213 error services.m.vllm: m needs a GPU and has none"]
        );
    }

    #[test]
    fn a_gpu_for_one_is_not_shared() {
        let gpus = json!({ "gpu": { "index": 0 } });
        let services = json!({ "a": uses(json!({ "exclusive": true })), "b": uses(json!({})) });
        assert_eq!(
            found(json!({ "gpus": gpus, "services": services })),
            ["C0214 error services.b.gpu.devices.gpu: a has gpu for itself, but b uses it too"]
        );
        let gpus = json!({ "gpu": { "index": 0, "compute_mode": "exclusive_process" } });
        let services = json!({ "a": uses(json!({})), "b": uses(json!({})) });
        assert_eq!(
            found(json!({ "gpus": gpus, "services": services })),
            ["C0214 error gpus.gpu.compute_mode: a and b use gpu, on which one process may compute"]
        );
    }
}
