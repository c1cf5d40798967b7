//! Orders that the profile does not write but that services need which share a GPU or exclude each other.
//!
//! - Two vLLM servers that load at the same time on one GPU measure each other's memory (vllm#55827), so those that start
//!   at boot start one after the other; a start counts as done when the server answers.
//! - A unit with `Conflicts=` starts while the other still stops, and its GPU memory is not free yet. An order between
//!   the two, in whatever direction, makes it wait: systemd then always runs the stop first.
//!
//! All these orders follow one ranking of the services that agrees with every order of the profile, so they never close
//! a cycle.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::machine::Machine;
use crate::bundle::unit::UnitName;
use crate::compile::config::{Start, members};
use crate::compile::system::ServiceView;

/// The units that each service follows, by its key.
#[derive(Default)]
pub(super) struct Order {
    after: HashMap<String, BTreeSet<UnitName>>,
}

impl Order {
    pub(super) fn new(machine: &Machine<'_>) -> Self {
        let rank = rank(machine);
        let mut order = Order::default();
        let mut put_apart = |one: &ServiceView, other: &ServiceView| {
            let place = |service: &ServiceView| rank.get(service.unit.as_str()).copied().unwrap_or(usize::MAX);
            let (first, second) = if place(one) <= place(other) { (one, other) } else { (other, one) };
            order.after.entry(second.key.clone()).or_default().insert(first.unit.clone());
        };
        for sharing in groups(machine, shared_gpus) {
            let mut sharing = sharing;
            sharing.sort_by_key(|service| rank.get(service.unit.as_str()).copied().unwrap_or(usize::MAX));
            for pair in sharing.windows(2) {
                put_apart(pair[0], pair[1]);
            }
        }
        for excluding in groups(machine, |service| members(&service.spec.exclusive).map(str::to_owned).collect()) {
            for (at, one) in excluding.iter().enumerate() {
                for other in &excluding[at + 1..] {
                    put_apart(one, other);
                }
            }
        }
        order
    }

    pub(super) fn after(&self, key: &str) -> BTreeSet<UnitName> {
        self.after.get(key).cloned().unwrap_or_default()
    }
}

/// Returns the GPUs on which a service must not start together with another.
fn shared_gpus(service: &ServiceView) -> Vec<String> {
    if service.spec.vllm.is_none() || service.spec.start != Start::Boot {
        return Vec::new();
    }
    service.gpus.iter().map(|gpu| gpu.index.to_string()).collect()
}

/// Returns the services that have a label in common, for every label.
fn groups<'a>(machine: &Machine<'a>, labels: impl Fn(&ServiceView) -> Vec<String>) -> Vec<Vec<&'a ServiceView>> {
    let mut groups: BTreeMap<String, Vec<&ServiceView>> = BTreeMap::new();
    for service in &machine.system.services {
        for label in labels(service) {
            groups.entry(label).or_default().push(service);
        }
    }
    groups.into_values().collect()
}

/// Returns the place of every unit in an order that agrees with the profile: topological, and by phase and name where
/// the profile leaves it open. Units of a cycle, which the checks report, come last.
fn rank(machine: &Machine<'_>) -> HashMap<String, usize> {
    let system = machine.system;
    let mut edges = Edges::default();
    for service in &system.services {
        edges.node(&service.unit, phase_order(machine, service.phase.as_deref()));
        for before in machine.follows(service) {
            edges.add(&before, &service.unit);
        }
        for after in machine.units_of(&service.spec.before) {
            edges.add(&service.unit, &after);
        }
        // A target follows what it starts.
        if service.spec.start == Start::Boot {
            for target in machine.targets_of(&service.spec.part_of) {
                edges.add(&service.unit, &target);
            }
        }
    }
    for (key, target) in &system.profile.targets {
        let Some(unit) = system.targets.get(key) else { continue };
        for set in [&target.requires, &target.wants, &target.after] {
            for before in machine.units_of(set) {
                edges.add(&before, unit);
            }
        }
        for parent in machine.targets_of(&target.part_of) {
            edges.add(unit, &parent);
        }
    }
    edges.ranking()
}

fn phase_order(machine: &Machine<'_>, phase: Option<&str>) -> u64 {
    phase.and_then(|phase| machine.system.profile.phases.get(phase)).map_or(u64::MAX, |phase| phase.order)
}

#[derive(Default)]
struct Edges {
    /// The phase of each unit.
    nodes: BTreeMap<String, u64>,
    /// Units behind a unit, and how many stand before it.
    behind: HashMap<String, Vec<String>>,
    before: HashMap<String, usize>,
    known: HashSet<(String, String)>,
}

impl Edges {
    fn node(&mut self, unit: &UnitName, phase: u64) {
        let known = self.nodes.entry(unit.as_str().to_owned()).or_insert(phase);
        *known = phase.min(*known);
    }

    fn add(&mut self, first: &UnitName, second: &UnitName) {
        if first == second || !self.known.insert((first.as_str().to_owned(), second.as_str().to_owned())) {
            return;
        }
        self.node(first, u64::MAX);
        self.node(second, u64::MAX);
        self.behind.entry(first.as_str().to_owned()).or_default().push(second.as_str().to_owned());
        *self.before.entry(second.as_str().to_owned()).or_default() += 1;
    }

    fn ranking(mut self) -> HashMap<String, usize> {
        let mut ready: BTreeSet<(u64, String)> = self
            .nodes
            .iter()
            .filter(|(unit, _)| !self.before.contains_key(*unit))
            .map(|(unit, phase)| (*phase, unit.clone()))
            .collect();
        let mut rank = HashMap::new();
        while let Some((_, unit)) = ready.pop_first() {
            for next in self.behind.remove(&unit).unwrap_or_default() {
                let open = self.before.entry(next.clone()).or_default();
                *open = open.saturating_sub(1);
                if *open == 0 {
                    ready.insert((self.nodes.get(&next).copied().unwrap_or(u64::MAX), next));
                }
            }
            rank.insert(unit, rank.len());
        }
        for unit in self.nodes.keys() {
            let last = rank.len();
            rank.entry(unit.clone()).or_insert(last);
        }
        rank
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::compile::lower::testing::{text, values};

    fn models(patch: Json) -> Json {
        let mut services = json!({});
        for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
            let mut model = json!({
                "vllm": { "model": "/srv/model" },
                "port": 8000 + at,
                "gpu": { "devices": { "gpu": true } },
            });
            if let Some(patch) = patch.get(name).and_then(Json::as_object) {
                model.as_object_mut().unwrap().extend(patch.clone());
            }
            services[name] = model;
        }
        json!({ "gpus": { "gpu": { "index": 0 } }, "services": services })
    }

    fn services_before(patch: &Json, name: &str) -> Vec<String> {
        let text = text(patch.clone(), &format!("{name}.service"));
        let after = values(&text, "After").join(" ");
        let services = after.split_whitespace().filter(|unit| !unit.starts_with("modprobe"));
        services.map(str::to_owned).collect()
    }

    #[test]
    fn models_that_share_a_gpu_start_one_after_the_other() {
        let patch = models(json!({}));
        assert_eq!(services_before(&patch, "a"), Vec::<String>::new());
        assert_eq!(services_before(&patch, "b"), ["a.service"]);
        assert_eq!(services_before(&patch, "c"), ["b.service"]);
    }

    #[test]
    fn the_order_of_the_profile_turns_theirs_around() {
        let patch = models(json!({ "a": { "after": { "c": true } } }));
        assert_eq!(services_before(&patch, "b"), Vec::<String>::new());
        assert_eq!(services_before(&patch, "c"), ["b.service"]);
        assert_eq!(services_before(&patch, "a"), ["c.service"]);
    }

    #[test]
    fn services_that_exclude_each_other_wait_for_the_stop() {
        let manual = json!({ "start": "manual", "exclusive": { "large": true } });
        let patch = models(json!({ "a": manual.clone(), "b": manual, "c": { "start": "manual" } }));
        assert_eq!(values(&text(patch.clone(), "a.service"), "Conflicts"), ["b.service"]);
        assert_eq!(values(&text(patch.clone(), "b.service"), "Conflicts"), ["a.service"]);
        assert_eq!(services_before(&patch, "a"), Vec::<String>::new());
        assert_eq!(services_before(&patch, "b"), ["a.service"]);
        assert_eq!(services_before(&patch, "c"), Vec::<String>::new());
    }

    fn unit(stem: &str) -> UnitName {
        UnitName::parse(&format!("{stem}.service")).unwrap()
    }

    #[test]
    fn the_profile_comes_first_then_phase_and_name() {
        let mut edges = Edges::default();
        for (stem, phase) in [("a", 2), ("b", 1), ("c", 1), ("d", 1)] {
            edges.node(&unit(stem), phase);
        }
        edges.add(&unit("a"), &unit("b"));
        edges.add(&unit("a"), &unit("b"));
        let rank = edges.ranking();
        let mut order: Vec<&String> = rank.keys().collect();
        order.sort_by_key(|unit| rank[*unit]);
        assert_eq!(order, ["c.service", "d.service", "a.service", "b.service"]);
    }

    #[test]
    fn a_cycle_ends_too() {
        let mut edges = Edges::default();
        edges.add(&unit("a"), &unit("b"));
        edges.add(&unit("b"), &unit("a"));
        assert_eq!(edges.ranking().len(), 2);
    }
}
