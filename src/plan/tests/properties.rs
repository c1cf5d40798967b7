//! What is true of every plan, tried with random bundles on a simulated systemd.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::bundles::name;
use super::simulator::{Spec, Specs, Step, Systemd, bundle_of, steps};
use crate::plan::{Action, Plan, Snapshot, forward, mismatch, rollback, surplus};

/// Units `u0` to `u5`: each may depend on those before it. `u4` and `u5` exclude each other, and nothing depends on them.
const COUNT: usize = 6;
const EXCLUSIVE: usize = 4;

fn unit(index: usize) -> String {
    format!("u{index}.service")
}

fn specs() -> impl Strategy<Value = Specs> {
    let one = (prop::bool::weighted(0.8), 0u8..3, 0u8..16, 0u8..16, 0u8..16, any::<bool>());
    prop::collection::vec(one, COUNT).prop_map(|units| {
        let present: BTreeSet<usize> =
            units.iter().enumerate().filter(|(_, unit)| unit.0).map(|(index, _)| index).collect();
        let spec = |index: usize| {
            let (_, version, requires, wants, part_of, boot) = units[index];
            // A dependency is rarer than none, or everything would always move together.
            let picked = |mask: u8, rare: u8| -> BTreeSet<String> {
                let before = (0..index.min(EXCLUSIVE)).filter(|other| present.contains(other));
                before.filter(|other| mask & rare & (1 << other) != 0).map(unit).collect()
            };
            let other = EXCLUSIVE + 1 - (index - index.min(EXCLUSIVE));
            let conflicts = (index >= EXCLUSIVE && present.contains(&other)).then(|| unit(other)).into_iter().collect();
            let boot = boot && index != COUNT - 1;
            let part_of = picked(part_of, wants);
            Spec {
                version,
                requires: picked(requires, part_of_mask(index)),
                wants: picked(wants, requires),
                part_of,
                conflicts,
                boot,
            }
        };
        present.iter().map(|index| (unit(*index), spec(*index))).collect()
    })
}

fn part_of_mask(index: usize) -> u8 {
    [0b0000, 0b0001, 0b0010, 0b0101, 0b0111, 0b1010][index]
}

/// A bundle and one that was changed in places, so that much is the same.
fn pair() -> impl Strategy<Value = (Specs, Specs)> {
    (specs(), specs(), 0u8..64).prop_map(|(from, other, mask)| {
        let mut to = Specs::new();
        for index in 0..COUNT {
            let source = if mask & (1 << index) == 0 { &from } else { &other };
            to.extend(source.get(&unit(index)).map(|spec| (unit(index), spec.clone())));
        }
        let known: BTreeSet<String> = to.keys().cloned().collect();
        for spec in to.values_mut() {
            for names in [&mut spec.requires, &mut spec.wants, &mut spec.part_of, &mut spec.conflicts] {
                names.retain(|unit| known.contains(unit));
            }
        }
        (from, to)
    })
}

/// A host that has booted with a bundle, on which then some units were started and stopped by hand.
fn booted(specs: &Specs, part_of: Option<usize>, started: u8, stopped: u8) -> Systemd {
    let part_of = part_of.map(unit).into_iter().collect();
    let foreign = Specs::from([("foreign.service".to_owned(), Spec { part_of, ..Spec::default() })]);
    let mut systemd = Systemd::new(specs.clone(), foreign);
    for (unit, _) in specs.iter().filter(|(_, spec)| spec.boot) {
        systemd.start(unit);
    }
    let picked = |mask: u8| (0..COUNT).filter(move |index| mask & (1 << index) != 0).map(unit);
    for unit in picked(started).filter(|unit| specs.contains_key(unit)) {
        systemd.start(&unit);
    }
    systemd.start("foreign.service");
    for unit in picked(stopped) {
        systemd.stop(&unit);
    }
    systemd
}

fn acted_on(plan: &Plan) -> BTreeSet<String> {
    let acted = plan.steps.iter().filter(|(_, step)| step.action >= Action::Reload);
    acted.map(|(unit, _)| unit.to_string()).collect()
}

/// A switch that is taken back.
struct Switch<'s> {
    from: &'s Specs,
    to: &'s Specs,
    before: &'s Snapshot,
    /// Whether the bundle that is left can be read.
    read: bool,
}

impl Switch<'_> {
    /// Carries out so many steps of the way back, and without a limit stops what is left over at the end.
    fn come_back(&self, systemd: &mut Systemd, plans: &[&Plan], limit: Option<usize>) -> Plan {
        let (from, to) = (bundle_of(self.from), bundle_of(self.to));
        let plan = rollback(plans, Some(&from), self.read.then_some(&to), self.before, &systemd.snapshot());
        for step in steps(&plan).iter().take(limit.unwrap_or(usize::MAX)) {
            systemd.carry_out(step, self.from);
        }
        if limit.is_none() {
            let plans: Vec<&Plan> = plans.iter().copied().chain([&plan]).collect();
            for unit in surplus(Some(&from), self.before, &systemd.snapshot(), &plans) {
                systemd.stop(unit.as_str());
            }
        }
        plan
    }
}

proptest! {
    #[test]
    fn the_same_bundle_does_nothing(specs in specs(), part_of in prop::option::of(0..4usize), started: u8, stopped: u8) {
        let bundle = bundle_of(&specs);
        let plan = forward(Some(&bundle), &bundle, &booted(&specs, part_of, started, stopped).snapshot());
        prop_assert!(!plan.changes && plan.order.is_empty(), "{:?}", plan);
        prop_assert_eq!(acted_on(&plan), BTreeSet::new());
    }

    #[test]
    fn a_plan_is_what_happens(
        (from, to) in pair(),
        part_of in prop::option::of(0..4usize),
        started: u8,
        stopped: u8,
    ) {
        let mut systemd = booted(&from, part_of, started, stopped);
        let before = systemd.clone();
        let plan = forward(Some(&bundle_of(&from)), &bundle_of(&to), &systemd.snapshot());
        for step in steps(&plan) {
            systemd.carry_out(&step, &to);
        }
        for index in 0..COUNT {
            let unit = unit(index);
            let ran = before.invocation(&unit);
            let runs = systemd.invocation(&unit);
            match plan.action(&name(&unit)) {
                Action::Stop => prop_assert_eq!(runs, None, "{} {:?}", unit, plan),
                Action::Start => prop_assert!(ran.is_none() && runs.is_some(), "{} {:?}", unit, plan),
                Action::Restart | Action::StopStart => {
                    prop_assert!(ran.is_some() && runs.is_some() && runs != ran, "{} {:?}", unit, plan);
                }
                _ => prop_assert_eq!(runs, ran, "{} {:?}", unit, plan),
            }
        }
        // What runs does so under its new definition.
        for (unit, version) in systemd.versions().into_iter().filter(|(unit, _)| unit != "foreign.service") {
            prop_assert_eq!(to.get(&unit).map(|spec| spec.version), Some(version), "{} {:?}", unit, plan);
        }
        prop_assert_eq!(plan.order.len(), plan.order.iter().collect::<BTreeSet<_>>().len());
        prop_assert_eq!(acted_on(&plan), plan.order.iter().map(ToString::to_string).collect());
    }

    #[test]
    fn what_did_not_run_and_did_not_change_is_only_started_by_others(
        (from, to) in pair(),
        started: u8,
        stopped: u8,
    ) {
        let systemd = booted(&from, None, started, stopped);
        let plan = forward(Some(&bundle_of(&from)), &bundle_of(&to), &systemd.snapshot());
        for unit in plan.with(Action::Start).map(ToString::to_string).filter(|unit| from.get(unit) == to.get(unit)) {
            // Something that changes or moves starts it, if need be through others that are up.
            let acted = acted_on(&plan);
            let moves = |other: &&String| acted.contains(*other) || from.get(*other) != to.get(*other);
            let mut reached: BTreeSet<String> =
                to.keys().filter(moves).filter(|other| **other != unit).cloned().collect();
            for _ in 0..COUNT {
                let pulled = |other: &String| to[other].requires.union(&to[other].wants).cloned().collect::<Vec<_>>();
                let more: Vec<String> = reached.iter().filter(|other| to.contains_key(*other)).flat_map(pulled).collect();
                reached.extend(more);
            }
            let pulled = reached.contains(&unit);
            prop_assert!(pulled, "{} {:?}", unit, plan);
        }
    }

    #[test]
    fn a_rollback_restores_what_ran(
        (from, to) in pair(),
        part_of in prop::option::of(0..4usize),
        started: u8,
        stopped: u8,
        killed in 0..12usize,
        killed_again in 0..12usize,
        read: bool,
    ) {
        let mut systemd = booted(&from, part_of, started, stopped);
        let (host, before) = (systemd.clone(), systemd.snapshot());
        let trial = forward(Some(&bundle_of(&from)), &bundle_of(&to), &before);
        let mut touched = false;
        for step in steps(&trial).iter().take(killed) {
            systemd.carry_out(step, &to);
            touched |= !matches!(step, Step::Flip);
        }
        let switch = Switch { from: &from, to: &to, before: &before, read };
        let killed = switch.come_back(&mut systemd, &[&trial], Some(killed_again));
        let plan = switch.come_back(&mut systemd, &[&trial, &killed], None);
        prop_assert_eq!(systemd.up(), host.up(), "{:?}\n{:?}", trial, plan);
        prop_assert_eq!(systemd.versions(), host.versions(), "{:?}\n{:?}", trial, plan);
        let found = mismatch(Some(&bundle_of(&from)), &before, &systemd.snapshot(), &[&trial, &killed, &plan]);
        prop_assert_eq!(found, vec![]);
        if !touched {
            let invocations = |systemd: &Systemd| systemd.up().into_iter().map(|unit| systemd.invocation(&unit)).collect::<Vec<_>>();
            prop_assert_eq!(invocations(&systemd), invocations(&host));
        }
    }
}
