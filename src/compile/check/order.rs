//! Circles among units that wait for each other, over the final units with what systemd adds by itself.
//!
//! systemd breaks a circle at boot by leaving out one of its jobs, so a service would silently not start.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use crate::bundle::unit::{UnitKind, UnitName};
use crate::compile::config::{Set, members};
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::lower::LoweredUnit;

use super::codes::CYCLE;
use super::context::{Context, short_list};

/// The order among systemd's own targets: each waits for the second.
const SYSTEM_ORDER: &[(&str, &str)] = &[
    ("graphical.target", "multi-user.target"),
    ("multi-user.target", "basic.target"),
    ("basic.target", "sockets.target"),
    ("basic.target", "paths.target"),
    ("basic.target", "slices.target"),
    ("basic.target", "sysinit.target"),
    ("sockets.target", "sysinit.target"),
    ("sysinit.target", "local-fs.target"),
    ("sysinit.target", "swap.target"),
    ("local-fs.target", "local-fs-pre.target"),
    ("network-online.target", "network.target"),
    ("network.target", "network-pre.target"),
    ("remote-fs.target", "remote-fs-pre.target"),
];

/// Which unit waits for which: each unit by a number, with the numbers of those that it waits for.
#[derive(Default)]
struct Graph<'a> {
    names: Vec<&'a str>,
    numbers: HashMap<&'a str, usize>,
    awaited: Vec<Vec<usize>>,
    /// Pairs that exclude each other: they are never started together, and a stop always comes first.
    apart: HashSet<(usize, usize)>,
}

impl<'a> Graph<'a> {
    fn number(&mut self, name: &'a str) -> usize {
        let next = self.names.len();
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.names.push(name);
            self.awaited.push(Vec::new());
        }
        number
    }

    fn waits(&mut self, waiter: &'a str, awaited: &'a str) {
        let (waiter, awaited) = (self.number(waiter), self.number(awaited));
        if waiter != awaited {
            self.awaited[waiter].push(awaited);
        }
    }
}

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    check_selves(context, findings);
    let graph = graph(context);
    for knot in knots(&graph) {
        let circle = shortest_circle(&graph, &knot);
        findings.push(report(context, &graph, &circle));
    }
}

/// Reports services that wait for themselves, which systemd ignores.
fn check_selves(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        let spec = &service.spec;
        for (option, set) in
            [("after", &spec.after), ("before", &spec.before), ("requires", &spec.requires), ("wants", &spec.wants)]
        {
            for name in members(set).filter(|name| *name == service.key || *name == service.unit.as_str()) {
                findings.push(
                    Finding::error(CYCLE, format!("{} waits for itself", service.key))
                        .at(context.member(service, option, name), "this is the service itself")
                        .help("remove it, or name the service that is meant"),
                );
            }
        }
    }
}

/// Returns the words of a directive in `[Unit]`.
fn words<'a>(unit: &'a LoweredUnit, key: &str) -> impl Iterator<Item = &'a str> {
    let entries =
        unit.unit.sections.iter().filter(|section| section.name == "Unit").flat_map(|section| &section.entries);
    let key = key.to_owned();
    entries.filter(move |entry| entry.key == key).flat_map(|entry| entry.value.split_ascii_whitespace())
}

fn has_default_dependencies(unit: &LoweredUnit) -> bool {
    !words(unit, "DefaultDependencies").any(|word| ["no", "false", "off", "0"].contains(&word))
}

fn graph<'a>(context: &Context<'a>) -> Graph<'a> {
    let mut graph = Graph::default();
    for unit in &context.lowered.units {
        let name = unit.name.as_str();
        for other in words(unit, "Conflicts") {
            let (one, other) = (graph.number(name), graph.number(other));
            graph.apart.extend([(one, other), (other, one)]);
        }
    }
    for (waiter, awaited) in SYSTEM_ORDER {
        graph.waits(waiter, awaited);
    }
    let mut after: BTreeSet<(&str, &str)> = BTreeSet::new();
    for unit in &context.lowered.units {
        let name = unit.name.as_str();
        after.extend(words(unit, "After").map(|other| (name, other)));
        after.extend(words(unit, "Before").map(|other| (other, name)));
    }
    for (waiter, awaited) in &after {
        graph.waits(waiter, awaited);
    }
    for unit in &context.lowered.units {
        let name = unit.name.as_str();
        let default = has_default_dependencies(unit);
        // A target waits for what it starts, unless that waits for the target.
        let starts =
            words(unit, "Wants").chain(words(unit, "Requires")).filter(|_| unit.name.kind() == UnitKind::Target);
        for started in starts.filter(|started| default && !after.contains(&(*started, name))) {
            graph.waits(name, started);
        }
        for starter in unit.entry.wanted_by.iter().map(String::as_str) {
            if starter.ends_with(".target") && default && !after.contains(&(name, starter)) {
                graph.waits(starter, name);
            }
        }
        let by_default: &[&str] = match unit.name.kind() {
            UnitKind::Service => &["sysinit.target", "basic.target"],
            UnitKind::Socket | UnitKind::Timer | UnitKind::Path => &["sysinit.target"],
            _ => &[],
        };
        by_default.iter().filter(|_| default).for_each(|awaited| graph.waits(name, awaited));
        if unit.name.kind() == UnitKind::Socket && default {
            graph.waits("sockets.target", name);
        }
    }
    let apart = std::mem::take(&mut graph.apart);
    for (waiter, awaited) in graph.awaited.iter_mut().enumerate() {
        awaited.retain(|awaited| !apart.contains(&(waiter, *awaited)));
        awaited.sort_unstable();
        awaited.dedup();
    }
    graph
}

/// Returns the sets of units that wait for each other, after Tarjan; without recursion, for chains may be long.
fn knots(graph: &Graph<'_>) -> Vec<BTreeSet<usize>> {
    const NEW: usize = usize::MAX;
    let count = graph.names.len();
    let (mut index, mut low, mut on_stack) = (vec![NEW; count], vec![NEW; count], vec![false; count]);
    let (mut stack, mut knots, mut next) = (Vec::new(), Vec::new(), 0);
    for start in 0..count {
        if index[start] != NEW {
            continue;
        }
        // Units on the way, each with the number of those it waits for that were looked at.
        let mut way = vec![(start, 0)];
        while let Some((at, seen)) = way.last_mut() {
            let at = *at;
            if *seen == 0 {
                (index[at], low[at], on_stack[at]) = (next, next, true);
                stack.push(at);
                next += 1;
            }
            if let Some(&to) = graph.awaited[at].get(*seen) {
                *seen += 1;
                if index[to] == NEW {
                    way.push((to, 0));
                } else if on_stack[to] {
                    low[at] = low[at].min(index[to]);
                }
                continue;
            }
            way.pop();
            if let Some((parent, _)) = way.last() {
                low[*parent] = low[*parent].min(low[at]);
            }
            if low[at] == index[at] {
                let from = stack.iter().rposition(|other| *other == at).unwrap_or(0);
                let knot: BTreeSet<usize> = stack.drain(from..).collect();
                knot.iter().for_each(|unit| on_stack[*unit] = false);
                if knot.len() > 1 {
                    knots.push(knot);
                }
            }
        }
    }
    knots
}

/// Returns a shortest circle of a knot: each unit waits for the next, and the last for the first.
fn shortest_circle(graph: &Graph<'_>, knot: &BTreeSet<usize>) -> Vec<usize> {
    let circle_from = |start: usize| {
        let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(at) = queue.pop_front() {
            for &to in graph.awaited[at].iter().filter(|to| knot.contains(to)) {
                if to == start {
                    let mut circle = vec![at];
                    while circle.last() != Some(&start) {
                        circle.push(came_from[circle.last().unwrap_or(&start)]);
                    }
                    circle.reverse();
                    return circle;
                }
                if let std::collections::btree_map::Entry::Vacant(entry) = came_from.entry(to) {
                    entry.insert(at);
                    queue.push_back(to);
                }
            }
        }
        Vec::new()
    };
    // By name, so that the same profile always gives the same circle; of large knots a few starts are enough.
    let mut starts: Vec<usize> = knot.iter().copied().collect();
    starts.sort_by_key(|unit| graph.names[*unit]);
    starts.into_iter().take(64).map(circle_from).min_by_key(Vec::len).unwrap_or_default()
}

fn report(context: &Context<'_>, graph: &Graph<'_>, circle: &[usize]) -> Finding {
    let names: Vec<String> = circle.iter().map(|unit| graph.names[*unit].to_owned()).collect();
    let mut finding = Finding::error(CYCLE, format!("{} wait for each other", short_list(&names)));
    let mut way = String::new();
    for (at, waiter) in names.iter().enumerate() {
        let awaited = &names[(at + 1) % names.len()];
        let place = place_of(context, waiter, awaited);
        let from = match &place {
            Some(place) => format!("`{place}`"),
            None if graph.names.len() > 1 && context.known.made.contains(waiter) => "by default".to_owned(),
            None => "systemd's own order".to_owned(),
        };
        if at > 0 {
            way.push('\n');
        }
        way.push_str(&format!("{waiter} waits for {awaited}: {from}"));
        if let Some(place) = place.filter(|_| finding.places.len() < 8) {
            finding = finding.at(place, format!("{waiter} waits for {awaited}"));
        }
    }
    if finding.places.is_empty() {
        let first = context.lowered.units.iter().find(|unit| names.iter().any(|name| unit.name.as_str() == name));
        finding.places.extend(first.map(|unit| (unit.origin.clone(), "in the circle".to_owned())));
    }
    finding.note(way).note("systemd would leave out one of them at boot").help("remove one of these orders")
}

/// Returns the option because of which a unit waits for another, when there is one.
fn place_of(context: &Context<'_>, waiter: &str, awaited: &str) -> Option<OptionPath> {
    let system = context.system;
    let means = |name: &str, unit: &str| {
        let service = context.known.services.get(name).and_then(|at| system.services.get(*at));
        let unit_of = service.map(|service| service.unit.clone()).or_else(|| system.unit_of(name));
        unit_of.is_some_and(|found| found.as_str() == unit)
    };
    let in_set = |set: &Set, unit: &str| members(set).find(|name| means(name, unit)).map(str::to_owned);
    for service in &system.services {
        let spec = &service.spec;
        if service.unit.as_str() == waiter {
            for (option, set) in [("after", &spec.after), ("requires", &spec.requires), ("wants", &spec.wants)] {
                if let Some(name) = in_set(set, awaited) {
                    return Some(context.member(service, option, &name));
                }
            }
        }
        if service.unit.as_str() == awaited {
            if let Some(name) = in_set(&spec.before, waiter) {
                return Some(context.member(service, "before", &name));
            }
            if let Some(name) = in_set(&spec.part_of, waiter) {
                return Some(context.member(service, "part_of", &name));
            }
        }
    }
    for (key, target) in &system.profile.targets {
        let origin = OptionPath::new(["targets", key]);
        let unit = system.targets.get(key).map(UnitName::as_str);
        if unit == Some(waiter) {
            for (option, set) in [("after", &target.after), ("requires", &target.requires), ("wants", &target.wants)] {
                if let Some(name) = in_set(set, awaited) {
                    return Some(origin.join(option).member(&name));
                }
            }
        }
        if unit == Some(awaited)
            && let Some(name) = in_set(&target.part_of, waiter)
        {
            return Some(origin.join("part_of").member(&name));
        }
    }
    written_out(context, waiter, awaited, &["After", "Wants", "Requires"])
        .or_else(|| written_out(context, awaited, waiter, &["Before", "WantedBy", "RequiredBy"]))
}

/// Returns where the profile wrote out a directive of one unit that names another.
fn written_out(context: &Context<'_>, unit: &str, other: &str, keys: &[&str]) -> Option<OptionPath> {
    let unit = context.lowered.units.iter().find(|it| it.name.as_str() == unit)?;
    let names = |section: &str, key: &str| {
        let sections = unit.unit.sections.iter().filter(move |it| it.name == section);
        sections
            .flat_map(|it| &it.entries)
            .any(|entry| entry.key == key && entry.value.split_ascii_whitespace().any(|word| word == other))
    };
    let found = unit.written_out.iter().find(|(section, key, _)| keys.contains(&key.as_str()) && names(section, key));
    found.map(|(_, _, place)| place.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{findings, found, service};

    #[test]
    fn a_circle_is_shown_with_every_step() {
        let found = findings(json!({ "services": {
            "a": service(json!({ "after": { "b": true } })),
            "b": service(json!({ "requires": { "c": true } })),
            "c": service(json!({ "before": { "d": true }, "wants": { "a": true } })),
            "d": service(json!({})),
        } }));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].message, "a.service, b.service and c.service wait for each other");
        assert_eq!(
            found[0].notes[0],
            "a.service waits for b.service: `services.a.after.b`\n\
             b.service waits for c.service: `services.b.requires.c`\n\
             c.service waits for a.service: `services.c.wants.a`"
        );
    }

    #[test]
    fn a_circle_through_a_target_of_the_system_is_found() {
        let lines = found(json!({ "services": { "a": service(json!({ "after": { "multi-user.target": true } })) } }));
        assert_eq!(
            lines,
            [
                "C0230 error services.a.after.\"multi-user.target\": a.service, multi-user.target and citadel.target wait for each other"
            ]
        );
    }

    #[test]
    fn a_circle_through_a_directive_that_is_written_out_is_found() {
        let lines = found(json!({ "services": {
            "a": service(json!({ "after": { "b": true } })),
            "b": service(json!({ "systemd": { "Unit": { "After": "a.service" } } })),
        } }));
        assert_eq!(lines, ["C0230 error services.a.after.b: a.service and b.service wait for each other"]);
    }

    #[test]
    fn a_service_does_not_wait_for_itself() {
        let lines = found(json!({ "services": { "a": service(json!({ "after": { "a.service": true } })) } }));
        assert_eq!(lines, ["C0230 error services.a.after.\"a.service\": a waits for itself"]);
    }

    #[test]
    fn services_that_exclude_each_other_do_not_make_a_circle() {
        let manual = json!({ "exclusive": { "big": true }, "start": "manual" });
        let services = json!({ "a": service(manual.clone()), "b": service(manual.clone()), "c": service(manual) });
        assert_eq!(found(json!({ "services": services })), [""; 0]);
    }
}
