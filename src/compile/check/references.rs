//! Names that refer to something: units, targets, users, mounts, slices, phases, credentials, probes.

use crate::bundle::unit::{UnitKind, UnitName};
use crate::compile::config::{Set, members};
use crate::compile::finding::{Finding, OptionPath, nearest};
use crate::compile::system::{REFERENCE, ServiceView};

use super::context::Context;
use super::known::Known;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        check_service(context, service, findings);
    }
    check_units(context, findings);
    check_people(context, findings);
    check_written_out(context, findings);
}

/// Returns a finding about a name that means nothing, with the one that was probably meant.
fn nothing<'a>(what: &str, name: &str, place: OptionPath, candidates: impl IntoIterator<Item = &'a str>) -> Finding {
    let finding = Finding::error(REFERENCE, format!("there is no {what} named {name:?}")).at(place, "used here");
    match nearest(name, candidates) {
        Some(near) => finding.help(format!("did you mean {near:?}?")),
        None => finding,
    }
}

/// Gives a finding a help when it has none.
fn or_help(mut finding: Finding, help: impl Into<String>) -> Finding {
    finding.help.get_or_insert(help.into());
    finding
}

fn keys<T>(dictionary: &std::collections::BTreeMap<String, T>) -> impl Iterator<Item = &str> {
    dictionary.keys().map(String::as_str)
}

/// Returns a finding about a unit that is not there.
fn no_unit(context: &Context<'_>, name: &str, place: OptionPath) -> Finding {
    let profile = &context.system.profile;
    let finding = nothing("service or unit", name, place, context.known.unit_names());
    if profile.services.get(name).is_some_and(|service| !service.enable) {
        return finding
            .note(format!("`services.{name}` is switched off with `enable = false`"))
            .help("switch it on, or remove this");
    }
    let app = profile.apps.keys().find(|app| *app == name);
    if let Some(app) = app {
        return finding.help(format!(
            "the services of the application are {:?} and {:?}",
            format!("{app}-api"),
            format!("{app}-worker")
        ));
    }
    let help = match UnitName::parse(name) {
        Some(_) => format!("if the host has it, say so in the facts of the host: `units.{name:?} = true`"),
        None => {
            "name a service of this profile, or write the whole name of a unit, such as `\"redis.service\"`".to_owned()
        }
    };
    or_help(finding, help)
}

fn check_unit_set(context: &Context<'_>, set: &Set, place: impl Fn(&str) -> OptionPath, findings: &mut Vec<Finding>) {
    for name in members(set).filter(|name| !context.known.is_unit_reference(name)) {
        findings.push(no_unit(context, name, place(name)));
    }
}

fn check_service(context: &Context<'_>, service: &ServiceView, findings: &mut Vec<Finding>) {
    let profile = &context.system.profile;
    let spec = &service.spec;
    for (option, set) in
        [("after", &spec.after), ("before", &spec.before), ("requires", &spec.requires), ("wants", &spec.wants)]
    {
        check_unit_set(context, set, |name| context.member(service, option, name), findings);
    }
    for name in members(&spec.part_of).filter(|name| !profile.targets.contains_key(*name)) {
        let finding = nothing("target", name, context.member(service, "part_of", name), keys(&profile.targets));
        findings.push(or_help(finding, format!("add it: `targets.{name} = {{}}`")));
    }
    if let Some(slice) = spec.slice.as_deref().filter(|slice| !profile.slices.contains_key(*slice)) {
        let finding = nothing("slice", slice, service.option("slice"), keys(&profile.slices));
        findings.push(or_help(finding, format!("add it: `slices.{slice} = {{}}`")));
    }
    check_phase(context, spec.phase.as_deref(), service.option("phase"), findings);
    for name in members(&spec.credentials).filter(|name| !profile.credentials.contains_key(*name)) {
        let finding =
            nothing("credential", name, context.member(service, "credentials", name), keys(&profile.credentials));
        findings.push(or_help(finding, format!("add it: `credentials.{name} = {{}}`")));
    }
    if let Some(ready) = spec.ready.as_deref().filter(|ready| !service.health.contains_key(*ready)) {
        let finding = nothing("health probe", ready, service.option("ready"), keys(&service.health));
        findings.push(or_help(finding, format!("add it to the service: `health.{ready}.http = {{}}`")));
    }
    if let Some(user) = spec.user.as_deref() {
        check_user(&context.known, user, service.option("user"), findings);
    }
    if let Some(group) = spec.group.as_deref() {
        check_group(&context.known, group, service.option("group"), findings);
    }
    let groups = service.option("supplementary_groups");
    for group in members(&spec.supplementary_groups) {
        check_group(&context.known, group, groups.member(group), findings);
    }
}

fn check_phase(context: &Context<'_>, phase: Option<&str>, place: OptionPath, findings: &mut Vec<Finding>) {
    let phases = &context.system.profile.phases;
    if let Some(phase) = phase.filter(|phase| !phases.contains_key(*phase)) {
        let next = phases.values().map(|phase| phase.order).max().map_or(1, |order| order + 1);
        findings.push(or_help(
            nothing("phase", phase, place, keys(phases)),
            format!("add it: `phases.{phase}.order = {next}`"),
        ));
    }
}

fn check_user(known: &Known<'_>, user: &str, place: OptionPath, findings: &mut Vec<Finding>) {
    if !known.users.contains(user) {
        let finding = nothing("user", user, place, known.users.iter().copied());
        findings.push(or_help(
            finding,
            format!("add it: `users.{user} = {{}}`, with `existing = true` if the host has it already"),
        ));
    }
}

fn check_group(known: &Known<'_>, group: &str, place: OptionPath, findings: &mut Vec<Finding>) {
    if !known.groups.contains(group) {
        let finding = nothing("group", group, place, known.groups.iter().copied());
        findings.push(or_help(
            finding,
            format!("add it: `user_groups.{group} = {{}}`, with `existing = true` if the host has it already"),
        ));
    }
}

/// Targets, timers, sockets, groups of services, raw units and the monitor.
fn check_units(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let profile = &context.system.profile;
    for (key, target) in &profile.targets {
        let origin = OptionPath::new(["targets", key]);
        for (option, set) in [("requires", &target.requires), ("wants", &target.wants), ("after", &target.after)] {
            check_unit_set(context, set, |name| origin.join(option).member(name), findings);
        }
        for name in members(&target.part_of).filter(|name| !profile.targets.contains_key(*name)) {
            findings.push(or_help(
                nothing("target", name, origin.join("part_of").member(name), keys(&profile.targets)),
                format!("add it: `targets.{name} = {{}}`"),
            ));
        }
        check_phase(context, target.phase.as_deref(), origin.join("phase"), findings);
    }
    let mut service = |name: &str, place: OptionPath| {
        if !context.known.services.contains_key(name) {
            let finding = nothing("service", name, place, context.known.services.keys().copied());
            let disabled = profile.services.get(name).is_some_and(|service| !service.enable);
            let finding = if disabled {
                finding.note(format!("`services.{name}` is switched off with `enable = false`"))
            } else {
                finding
            };
            findings.push(or_help(finding, "name a service of this profile"));
        }
    };
    for (key, timer) in profile.timers.iter().filter(|(_, timer)| timer.enable) {
        service(&timer.service, OptionPath::new(["timers", key, "service"]));
    }
    for (key, socket) in &profile.sockets {
        service(&socket.service, OptionPath::new(["sockets", key, "service"]));
    }
    for (group, set) in &profile.groups {
        members(set).for_each(|name| service(name, OptionPath::new(["groups"]).member(group).member(name)));
    }
    for (name, unit) in &profile.units {
        check_phase(context, unit.phase.as_deref(), OptionPath::new(["units"]).member(name).join("phase"), findings);
    }
    let credential = profile.monitor.redis.as_ref().and_then(|redis| redis.credential.as_deref());
    if let Some(name) = credential.filter(|name| !profile.credentials.contains_key(*name)) {
        let place = OptionPath::new(["monitor", "redis", "credential"]);
        findings.push(or_help(
            nothing("credential", name, place, keys(&profile.credentials)),
            format!("add it: `credentials.{name} = {{}}`"),
        ));
    }
}

/// Users and groups outside of services.
fn check_people(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let profile = &context.system.profile;
    let known = &context.known;
    for (path, directory) in &profile.directories {
        let origin = OptionPath::new(["directories"]).member(path);
        check_user(known, &directory.user, origin.join("user"), findings);
        check_group(known, &directory.group, origin.join("group"), findings);
    }
    for (key, rotation) in &profile.log_rotation {
        let origin = OptionPath::new(["log_rotation"]).member(key);
        check_user(known, &rotation.user, origin.join("user"), findings);
        check_group(known, &rotation.group, origin.join("group"), findings);
    }
    for (key, socket) in &profile.sockets {
        let origin = OptionPath::new(["sockets", key]);
        if let Some(user) = &socket.user {
            check_user(known, user, origin.join("user"), findings);
        }
        if let Some(group) = &socket.group {
            check_group(known, group, origin.join("group"), findings);
        }
    }
    for (name, user) in &profile.users {
        let origin = OptionPath::new(["users"]).member(name);
        if let Some(group) = &user.group {
            check_group(known, group, origin.join("group"), findings);
        }
        for group in members(&user.groups) {
            check_group(known, group, origin.join("groups").member(group), findings);
        }
    }
}

/// Directives that the profile wrote out itself and that name units, users or slices.
fn check_written_out(context: &Context<'_>, findings: &mut Vec<Finding>) {
    const UNITS: &[&str] = &[
        "After",
        "Before",
        "Requires",
        "Requisite",
        "Wants",
        "BindsTo",
        "PartOf",
        "Upholds",
        "Conflicts",
        "OnFailure",
        "OnSuccess",
        "PropagatesReloadTo",
        "ReloadPropagatedFrom",
        "PropagatesStopTo",
        "StopPropagatedFrom",
        "JoinsNamespaceOf",
        "Sockets",
        "Service",
        "Unit",
        "WantedBy",
        "RequiredBy",
        "UpheldBy",
    ];
    for unit in &context.lowered.units {
        for (section, key, place) in &unit.written_out {
            let entries = (unit.unit.sections.iter().filter(|it| it.name == *section))
                .flat_map(|it| &it.entries)
                .filter(|entry| entry.key == *key);
            for entry in entries {
                let words = entry.value.split_ascii_whitespace().filter(|word| !word.contains('%'));
                if UNITS.contains(&key.as_str()) {
                    let unknown = words.filter(|name| !context.known.is_unit(name));
                    findings.extend(unknown.map(|name| no_unit(context, name, place.clone())));
                } else if key == "Slice" {
                    let unknown = words.filter(|name| {
                        !context.known.is_unit(name)
                            && UnitName::parse(name).is_some_and(|unit| unit.kind() == UnitKind::Slice)
                    });
                    findings.extend(unknown.map(|name| no_unit(context, name, place.clone())));
                } else if key == "User" && !entry.value.contains('%') && !is_number(&entry.value) {
                    check_user(&context.known, &entry.value, place.clone(), findings);
                } else if key == "Group" && !entry.value.contains('%') && !is_number(&entry.value) {
                    check_group(&context.known, &entry.value, place.clone(), findings);
                }
            }
        }
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{findings, found, service};

    fn of(patch: Value) -> Vec<String> {
        found(json!({ "services": { "web": service(patch) }, "host": { "units": { "redis.service": true } } }))
    }

    #[test]
    fn each_kind_of_reference_must_lead_somewhere() {
        let table = [
            (
                json!({ "after": { "redis.service": true, "network-online.target": true, "modprobe@nvidia_uvm.service": true } }),
                "",
            ),
            (json!({ "after": { "redis.service": true, "gone.service": false } }), ""),
            (
                json!({ "after": { "redsi.service": true } }),
                "after.\"redsi.service\": there is no service or unit named \"redsi.service\"",
            ),
            (
                json!({ "requires": { "database": true } }),
                "requires.database: there is no service or unit named \"database\"",
            ),
            (json!({ "part_of": { "models": true } }), "part_of.models: there is no target named \"models\""),
            (json!({ "slice": "big" }), "slice: there is no slice named \"big\""),
            (json!({ "phase": "first" }), "phase: there is no phase named \"first\""),
            (json!({ "credentials": { "key": true } }), "credentials.key: there is no credential named \"key\""),
            (json!({ "ready": "upp" }), "ready: there is no health probe named \"upp\""),
            (json!({ "user": "alice" }), "user: there is no user named \"alice\""),
            (json!({ "user": "nobody", "group": "video" }), ""),
            (
                json!({ "supplementary_groups": { "docker": true } }),
                "supplementary_groups.docker: there is no group named \"docker\"",
            ),
        ];
        for (patch, expected) in table {
            let expected =
                if expected.is_empty() { String::new() } else { format!("C0103 error services.web.{expected}") };
            assert_eq!(of(patch).join("\n"), expected);
        }
    }

    #[test]
    fn the_name_that_was_meant_is_suggested() {
        let found = findings(json!({
            "services": { "web": service(json!({ "after": { "redsi.service": true } })) },
            "host": { "units": { "redis.service": true } },
        }));
        assert_eq!(found[0].help.as_deref(), Some("did you mean \"redis.service\"?"));
    }

    #[test]
    fn a_service_that_is_switched_off_is_not_there() {
        let found = findings(json!({ "services": {
            "web": service(json!({ "requires": { "cache": true } })),
            "cache": service(json!({ "enable": false })),
        } }));
        assert_eq!(found[0].notes, ["`services.cache` is switched off with `enable = false`"]);
    }

    #[test]
    fn references_of_an_application_point_at_the_application() {
        let app = json!({
            "requires": { "gone": true },
            "api": service(json!({})),
            "worker": service(json!({})),
        });
        assert_eq!(
            found(json!({ "apps": { "shop": app } })),
            ["C0103 error apps.shop.requires.gone: there is no service or unit named \"gone\""]
        );
    }

    #[test]
    fn the_rest_of_the_profile_is_checked_too() {
        let lines = found(json!({
            "timers": { "t": { "service": "gone", "calendar": "daily" } },
            "groups": { "all": { "gone": true } },
            "targets": { "t": { "phase": "gone", "part_of": { "gone": true } } },
            "directories": { "/srv/x": { "user": "gone" } },
            "log_rotation": { "l": { "paths": { "/var/log/x": true }, "group": "gone" } },
            "users": { "u": { "group": "gone" } },
            "monitor": { "redis": { "host": "localhost", "port": 1, "channel": "c", "credential": "gone" } },
        }));
        let places: Vec<&str> = lines.iter().filter_map(|line| line.split(": ").next()).collect();
        assert_eq!(
            places,
            [
                "C0103 error directories.\"/srv/x\".user",
                "C0103 error groups.all.gone",
                "C0103 error log_rotation.l.group",
                "C0103 error monitor.redis.credential",
                "C0103 error targets.t.part_of.gone",
                "C0103 error targets.t.phase",
                "C0103 error timers.t.service",
                "C0103 error users.u.group",
            ]
        );
    }
}
