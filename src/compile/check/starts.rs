//! When services start: exclusion groups, services on demand, and orders that contradict each other.

use std::collections::BTreeMap;

use crate::compile::config::{Start, members};
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::{ServiceView, Workload};

use super::codes::{CONTRADICTION, EXCLUSIVE_AT_BOOT, LONELY_EXCLUSION, ON_DEMAND, PHASE_ORDER};
use super::context::{Context, short_list};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    check_exclusion(context, findings);
    check_contradictions(context, findings);
    for service in context.system.services.iter().filter(|service| service.spec.start == Start::OnDemand) {
        findings.extend(check_on_demand(service));
    }
    check_phases(context, findings);
}

fn check_exclusion(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut groups: BTreeMap<&str, Vec<&ServiceView>> = BTreeMap::new();
    for service in &context.system.services {
        for group in members(&service.spec.exclusive) {
            groups.entry(group).or_default().push(service);
        }
    }
    let place = |service: &ServiceView, group: &str| service.option("exclusive").member(group);
    for (group, services) in groups {
        if let [only] = services.as_slice() {
            findings.push(
                Finding::warning(LONELY_EXCLUSION, format!("{} is alone in the exclusion group {group}", only.key))
                    .at(place(only, group), "it excludes nobody")
                    .help("put the services that it excludes into the same group, or remove this"),
            );
        }
        let at_boot: Vec<&&ServiceView> = services.iter().filter(|service| service.spec.start == Start::Boot).collect();
        if at_boot.len() > 1 {
            let names: Vec<String> = at_boot.iter().map(|service| service.key.clone()).collect();
            let mut finding = Finding::error(
                EXCLUSIVE_AT_BOOT,
                format!("{} exclude each other, and all start at boot", short_list(&names)),
            );
            for service in at_boot.iter().take(6) {
                finding = finding.at(place(service, group), format!("{} starts at boot", service.key));
            }
            findings.push(
                finding
                    .note("systemd would start one of them and stop it again for the next")
                    .help("let one start at boot, and the others with `start = 'on_demand` or `'manual`"),
            );
        }
    }
}

/// Reports services that need one which stops them.
fn check_contradictions(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        for (option, set) in [("requires", &service.spec.requires), ("wants", &service.spec.wants)] {
            for name in members(set) {
                let Some(other) = context.known.services.get(name).and_then(|at| context.system.services.get(*at))
                else {
                    continue;
                };
                if !context.system.exclude_each_other(service, other) {
                    continue;
                }
                let shared =
                    members(&service.spec.exclusive).find(|group| other.spec.exclusive.get(*group) == Some(&true));
                let group = service.option("exclusive").member(shared.unwrap_or_default());
                findings.push(
                    Finding::error(CONTRADICTION, format!("{} needs {name}, and both exclude each other", service.key))
                        .at(context.member(service, option, name), "needed here")
                        .at(group, "excluded here")
                        .help("remove one of the two"),
                );
            }
        }
    }
}

/// Reports services that a connection cannot start.
fn check_on_demand(service: &ServiceView) -> Option<Finding> {
    let key = &service.key;
    let place = service.option("start");
    let reason = match service.workload()? {
        Workload::Celery(_) => "a Celery worker takes no connections",
        Workload::Runtime(_) => "a part of citadel itself takes no connections",
        _ if service.is_oneshot() => "a oneshot takes no connections",
        _ => return None,
    };
    Some(
        Finding::error(ON_DEMAND, format!("{key} cannot be started by a connection: {reason}"))
            .at(place, "on demand")
            .help("write `start = 'boot` or `start = 'manual`"),
    )
}

fn check_phases(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<u64, &str> = BTreeMap::new();
    let place = |name: &str| OptionPath::new(["phases"]).member(name).join("order");
    for (name, phase) in &context.system.profile.phases {
        if let Some(first) = seen.insert(phase.order, name) {
            let free =
                (phase.order..).find(|order| context.system.profile.phases.values().all(|it| it.order != *order));
            findings.push(
                Finding::error(PHASE_ORDER, format!("the phases {first} and {name} have the same place in the order"))
                    .at(place(name), "this one")
                    .at(place(first), "and this one")
                    .help(format!("give one of them another number, such as {}", free.unwrap_or_default())),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{found, service};

    #[test]
    fn an_exclusion_group_has_members_of_which_one_starts_at_boot() {
        let group = json!({ "exclusive": { "big": true } });
        assert_eq!(
            found(json!({ "services": { "a": service(group.clone()) } })),
            ["C0233 warning services.a.exclusive.big: a is alone in the exclusion group big"]
        );
        assert_eq!(
            found(json!({ "services": { "a": service(group.clone()), "b": service(group) } })),
            ["C0238 error services.a.exclusive.big: a and b exclude each other, and all start at boot"]
        );
    }

    #[test]
    fn nothing_needs_what_it_excludes() {
        let lines = found(json!({ "services": {
            "a": service(json!({ "exclusive": { "big": true }, "requires": { "b": true } })),
            "b": service(json!({ "exclusive": { "big": true }, "start": "manual" })),
        } }));
        assert_eq!(lines, ["C0231 error services.a.requires.b: a needs b, and both exclude each other"]);
    }

    #[test]
    fn a_service_on_demand_takes_connections() {
        let oneshot = json!({ "start": "on_demand", "port": 1, "exec": { "type": "oneshot" } });
        let celery = json!({ "start": "on_demand", "port": 1, "exec": null, "celery": {} });
        for (patch, who) in [(oneshot, "a oneshot"), (celery, "a Celery worker")] {
            assert_eq!(
                found(json!({ "services": { "a": service(patch) } })),
                [format!(
                    "C0232 error services.a.start: a cannot be started by a connection: {who} takes no connections"
                )]
            );
        }
        let server = json!({ "start": "on_demand", "port": 1 });
        assert_eq!(found(json!({ "services": { "a": service(server) } })), [""; 0]);
    }

    #[test]
    fn phases_have_an_order() {
        assert_eq!(
            found(json!({ "phases": { "a": { "order": 1 }, "b": { "order": 1 }, "c": { "order": 2 } } })),
            ["C0234 error phases.b.order: the phases a and b have the same place in the order"]
        );
    }
}
