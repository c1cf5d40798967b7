//! Memory and CPU of the host against the limits of services and slices.

use std::collections::BTreeMap;

use crate::bundle::quantity::Size;
use crate::compile::config::members;
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::{ServiceView, System};

use super::codes::{CPU_QUOTA, MEMORY_LIMITS, MEMORY_OVERCOMMITTED, SLICE_OVERCOMMITTED};
use super::concurrency::{Heaviest, Load, heaviest};
use super::context::Context;

/// Returns the heaviest set of services that can run at the same time, by their `memory_max`.
fn heaviest_of(services: &[&ServiceView]) -> Heaviest {
    let loads: Vec<Load<'_>> = (services.iter())
        .map(|service| Load {
            weight: service.spec.resources.memory_max.map_or(0, |size| size.0),
            groups: members(&service.spec.exclusive).collect(),
        })
        .collect();
    heaviest(&loads)
}

/// Returns the sum of the `memory_max` of services that can run at the same time.
///
/// The services of a slice take together at most what the slice may have.
pub fn committed(system: &System) -> u64 {
    let all: Vec<&ServiceView> = system.services.iter().collect();
    let mut by_slice: BTreeMap<Option<&str>, Vec<&ServiceView>> = BTreeMap::new();
    for service in &all {
        by_slice.entry(service.spec.slice.as_deref()).or_default().push(service);
    }
    let capped = by_slice.iter().map(|(slice, services)| {
        let cap = slice.and_then(|key| system.profile.slices.get(key)).and_then(|slice| slice.memory_max);
        heaviest_of(services).total.min(cap.map_or(u64::MAX, |size| size.0))
    });
    // Each is an upper bound: the first forgets the slices, the second that services exclude those of other slices.
    heaviest_of(&all).total.min(capped.fold(0, u64::saturating_add))
}

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let system = context.system;
    for service in &system.services {
        let resources = &service.spec.resources;
        let origin = service.option("resources");
        check_limits(context, &service.key, &origin, resources.memory_high, resources.memory_max, findings);
        check_quota(context, &service.key, &origin, resources.cpu_quota, findings);
    }
    for (key, slice) in &system.profile.slices {
        let origin = OptionPath::new(["slices"]).member(key);
        check_limits(context, key, &origin, slice.memory_high, slice.memory_max, findings);
        check_quota(context, key, &origin, slice.cpu_quota, findings);
        let inside: Vec<&ServiceView> =
            system.services.iter().filter(|service| service.spec.slice.as_deref() == Some(key)).collect();
        let together = heaviest_of(&inside);
        if let Some(max) = slice.memory_max.filter(|max| together.total > max.0) {
            findings.push(
                blame(
                    Finding::warning(
                        SLICE_OVERCOMMITTED,
                        format!("services of {key} may take {} of its {} GiB", Size(together.total).gib(), max.gib()),
                    )
                    .at(origin.join("memory_max"), "all of them together"),
                    &inside,
                    &together,
                )
                .help("lower their `memory_max`, raise the one of the slice, or let some of them exclude each other"),
            );
        }
    }
    let total = system.profile.host.memory;
    let all: Vec<&ServiceView> = system.services.iter().collect();
    let alone = |service: &&ServiceView| service.spec.resources.memory_max.is_some_and(|max| max > total);
    let sum = committed(system);
    if sum > total.0 && !all.iter().any(alone) {
        let heaviest = heaviest_of(&all);
        findings.push(
            blame(
                Finding::error(
                    MEMORY_OVERCOMMITTED,
                    format!("services that can run at the same time may take {} of the host's {} GiB", Size(sum).gib(), total.gib()),
                ),
                &all,
                &heaviest,
            )
            .note("when the memory of the host runs out, the kernel kills what it likes, and not who took too much")
            .help("lower some `memory_max`, or put services that need not run together into one group: `exclusive.big = true`"),
        );
    }
}

fn blame(mut finding: Finding, services: &[&ServiceView], heaviest: &Heaviest) -> Finding {
    let mut members: Vec<(&ServiceView, Size)> = (heaviest.members.iter())
        .filter_map(|&at| Some((*services.get(at)?, services.get(at)?.spec.resources.memory_max?)))
        .collect();
    members.sort_by_key(|(_, max)| std::cmp::Reverse(*max));
    for (service, max) in members.iter().take(6) {
        finding =
            finding.at(service.option("resources.memory_max"), format!("{} may take {} GiB", service.key, max.gib()));
    }
    match members.len() {
        0..=6 => finding,
        more => finding.note(format!("and {} smaller ones", more - 6)),
    }
}

fn check_limits(
    context: &Context<'_>,
    key: &str,
    origin: &OptionPath,
    high: Option<Size>,
    max: Option<Size>,
    findings: &mut Vec<Finding>,
) {
    let host = &context.system.profile.host;
    if let (Some(high), Some(max)) = (high, max)
        && high > max
    {
        findings.push(
            Finding::error(MEMORY_LIMITS, format!("{key} is killed before it is slowed down"))
                .at(origin.join("memory_high"), format!("slowed down above {high}"))
                .at(origin.join("memory_max"), format!("killed above {max}"))
                .help("write a `memory_high` below `memory_max`"),
        );
    }
    for (option, size) in [("memory_high", high), ("memory_max", max)] {
        if let Some(size) = size.filter(|size| *size > host.memory) {
            findings.push(
                Finding::error(
                    MEMORY_OVERCOMMITTED,
                    format!("{key} may take {} of the host's {} GiB", size.gib(), host.memory.gib()),
                )
                .at(origin.join(option), "this limit never holds")
                .note(format!("{} has {} GiB of memory", host.name, host.memory.gib()))
                .help("write less than the host has, and leave some for the system"),
            );
        }
    }
}

fn check_quota(context: &Context<'_>, key: &str, origin: &OptionPath, quota: Option<u64>, findings: &mut Vec<Finding>) {
    let host = &context.system.profile.host;
    let most = u64::from(host.cpus) * 100;
    if let Some(quota) = quota.filter(|quota| *quota > most) {
        findings.push(
            Finding::error(CPU_QUOTA, format!("{key} may use {quota} % of CPU time, and the host has {most} %"))
                .at(origin.join("cpu_quota"), "this limit never holds")
                .note(format!("{} has {} CPUs; 100 is one of them", host.name, host.cpus))
                .help(format!("write at most {most}, or remove it")),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{found, service};

    fn takes(max: &str, patch: Value) -> Value {
        let mut service = service(json!({ "resources": { "memory_max": max } }));
        service.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        service
    }

    #[test]
    fn limits_of_one_service_make_sense() {
        let table = [
            (json!({ "memory_high": "2G", "memory_max": "3G", "cpu_quota": 800 }), ""),
            (
                json!({ "memory_high": "3G", "memory_max": "2G" }),
                "C0221 error services.a.resources.memory_high: a is killed before it is slowed down",
            ),
            (
                json!({ "memory_max": "65G" }),
                "C0220 error services.a.resources.memory_max: a may take 65.0 of the host's 64.0 GiB",
            ),
            (
                json!({ "cpu_quota": 900 }),
                "C0222 error services.a.resources.cpu_quota: a may use 900 % of CPU time, and the host has 800 %",
            ),
        ];
        for (resources, expected) in table {
            let lines = found(json!({ "services": { "a": service(json!({ "resources": resources })) } }));
            assert_eq!(lines.join("\n"), expected);
        }
    }

    #[test]
    fn what_runs_together_must_fit_the_host() {
        let alone = json!({ "exclusive": { "big": true }, "start": "manual" });
        let two = |patch: &Value| json!({ "a": takes("40G", patch.clone()), "b": takes("40G", patch.clone()) });
        assert_eq!(
            found(json!({ "services": two(&json!({})) })),
            [
                "C0220 error services.a.resources.memory_max: services that can run at the same time may take 80.0 of the \
              host's 64.0 GiB"
            ]
        );
        assert_eq!(found(json!({ "services": two(&alone) })), [""; 0]);
    }

    #[test]
    fn a_slice_holds_its_services_together() {
        let patch = json!({ "slice": "models" });
        let services = json!({ "a": takes("40G", patch.clone()), "b": takes("40G", patch) });
        assert_eq!(
            found(json!({ "services": services, "slices": { "models": { "memory_max": "50G" } } })),
            ["C0223 warning slices.models.memory_max: services of models may take 80.0 of its 50.0 GiB"]
        );
    }
}
