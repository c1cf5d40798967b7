//! Checks of the whole machine: one file a subject, each a pure function of the resolved machine.
//!
//! A check adds its findings in any order; [`run`] sorts them by the option that they blame.

mod allow;
pub mod codes;
pub(in crate::compile) mod concurrency;
mod context;
mod directives;
mod environment;
mod files;
mod gpu_devices;
pub(in crate::compile) mod gpu_memory;
mod gpu_settings;
mod health;
mod known;
pub(in crate::compile) mod memory;
mod model_memory;
mod mounts;
mod names;
mod open_ports;
mod order;
pub(in crate::compile) mod ports;
mod preflight;
mod privileges;
mod references;
mod restart;
mod sandbox;
pub mod secrets;
mod starts;
#[cfg(test)]
pub(in crate::compile) mod testing;
mod timers;

use super::finding::{Finding, Severity};
use super::lower::Lowered;
use super::system::System;
use context::Context;

/// A check: adds what it finds in a machine.
type Check = fn(&Context<'_>, &mut Vec<Finding>);

const CHECKS: &[Check] = &[
    names::check,
    references::check,
    mounts::check,
    ports::check,
    open_ports::check,
    gpu_devices::check,
    gpu_memory::check,
    gpu_settings::check,
    model_memory::check,
    memory::check,
    order::check,
    starts::check,
    timers::check,
    directives::check,
    sandbox::check,
    privileges::check,
    restart::check,
    health::check,
    preflight::check,
    secrets::check,
    environment::check,
    files::check,
];

/// Runs every check and returns all findings, sorted by the option that each blames first.
pub fn run(system: &System, lowered: &Lowered) -> Vec<Finding> {
    let context = Context::new(system, lowered);
    let mut findings = Vec::new();
    for check in CHECKS {
        check(&context, &mut findings);
    }
    // A directive that citadel wrote from a wrong option is no defect of its own.
    let is_defect = |finding: &Finding| finding.code == codes::DEFECT;
    if findings.iter().any(|finding| finding.severity == Severity::Error && !is_defect(finding)) {
        findings.retain(|finding| !is_defect(finding));
    }
    let mut findings = allow::apply(&system.profile.allow, findings);
    findings.sort_by(|one, other| (one.places.first(), one.code).cmp(&(other.places.first(), other.code)));
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::{Map, Value, json};

    use super::testing::{found, service, system};

    #[test]
    fn a_plain_profile_has_no_findings() {
        assert_eq!(found(json!({ "services": { "web": service(json!({ "port": 8000 })) } })), [""; 0]);
    }

    #[test]
    fn findings_stand_in_the_order_of_the_profile() {
        let lines = found(json!({ "services": {
            "b": service(json!({ "after": { "nothing": true } })),
            "a": service(json!({ "after": { "nothing": true } })),
        } }));
        let places: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').nth(2)).collect();
        assert_eq!(places, ["services.a.after.nothing:", "services.b.after.nothing:"]);
    }

    #[test]
    fn the_time_of_all_checks_grows_with_the_number_of_services() {
        let services = |count: usize| {
            let services: Map<String, Value> = (0..count)
                .map(|at| {
                    let before = format!("s{}", at.saturating_sub(1));
                    let mut patch = json!({
                        "port": 2000 + at,
                        "gpu": { "devices": { "gpu": true }, "memory": "1G" },
                        "exclusive": { format!("g{}", at % 5): true },
                        "start": "manual",
                    });
                    if at > 0 {
                        patch["after"] = json!({ before: true });
                    }
                    (format!("s{at}"), service(patch))
                })
                .collect();
            let gpus = json!({ "gpu": { "index": 0 } });
            let (system, resolved, lowered) = system(json!({ "services": services, "gpus": gpus }));
            assert_eq!(resolved, []);
            let start = Instant::now();
            let findings = super::run(&system, &lowered);
            assert_eq!(findings, []);
            start.elapsed()
        };
        services(10);
        let (hundred, thousand) = (services(100), services(1000));
        // Linear would be ten times; quadratic a hundred times.
        assert!(thousand < hundred * 40, "100 services take {hundred:?}, 1,000 take {thousand:?}");
    }
}
