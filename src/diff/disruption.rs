//! What a switch would do and what it costs, from the plan that a host would make.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Disruption, Planned, PlannedUnit, Why};
use super::units;
use crate::bundle::Bundle;
use crate::bundle::quantity::Span;
use crate::bundle::unit::{UnitFile, UnitName};
use crate::plan::{self, Action, Plan, Snapshot, Step};

/// Returns the plan for a host of which nothing is known: everything that is wanted at boot runs.
///
/// This is what a host plans itself when its units are as they are after a boot.
pub fn predicted(old: Option<&Bundle>, new: &Bundle) -> Plan {
    plan::forward(old, new, &old.map(Snapshot::assumed).unwrap_or_default())
}

/// What is known of earlier starts: by unit, how many seconds the last one took.
pub type LastStarts = BTreeMap<String, u64>;

/// Returns the steps of a plan with what they cost.
pub fn describe(plan: &Plan, old: &Bundle, new: &Bundle, last: &LastStarts) -> Disruption {
    let acting: BTreeSet<&UnitName> = plan.order.iter().collect();
    let steps = plan.order.iter().filter_map(|unit| {
        let step = plan.steps.get(unit)?;
        let entry = entry(new, unit).or_else(|| entry(old, unit));
        Some(PlannedUnit {
            unit: unit.clone(),
            service: entry.and_then(|entry| entry.service.clone()),
            step: step_of(unit, step, new, last, &acting),
        })
    });
    Disruption { steps: steps.collect(), phases: plan.phases.clone() }
}

/// Returns what a plan says of one unit.
pub fn of_unit(plan: &Plan, unit: &UnitName, new: &Bundle, last: &LastStarts) -> Option<Planned> {
    let acting: BTreeSet<&UnitName> = plan.order.iter().collect();
    plan.steps.get(unit).map(|step| step_of(unit, step, new, last, &acting))
}

fn step_of(unit: &UnitName, step: &Step, new: &Bundle, last: &LastStarts, acting: &BTreeSet<&UnitName>) -> Planned {
    let begins = matches!(step.action, Action::Start | Action::Restart | Action::StopStart);
    let file = entry(new, unit).and_then(|entry| units::read(units::content(new, entry))).filter(|_| begins);
    Planned {
        action: step.action,
        reasons: step.reasons.iter().map(|reason| Why { words: reason.to_string(), reason: reason.clone() }).collect(),
        phase: step.phase.clone(),
        waits_for: file.as_ref().map(|file| waits_for(unit, file, acting)).unwrap_or_default(),
        last_start_seconds: last.get(unit.as_str()).copied().filter(|_| begins),
        start_timeout_seconds: file.as_ref().and_then(start_timeout),
    }
}

fn entry<'a>(bundle: &'a Bundle, unit: &UnitName) -> Option<&'a crate::bundle::manifest::UnitEntry> {
    let units = &bundle.manifest.units;
    units.get(unit.as_str()).or_else(|| units.get(unit.template()?.as_str()))
}

fn waits_for(unit: &UnitName, file: &UnitFile, acting: &BTreeSet<&UnitName>) -> Vec<UnitName> {
    let names = file.values("Unit", "After").flat_map(str::split_whitespace).filter_map(UnitName::parse);
    let waited: BTreeSet<UnitName> = names.filter(|name| name != unit && acting.contains(name)).collect();
    waited.into_iter().collect()
}

fn start_timeout(file: &UnitFile) -> Option<u64> {
    let span = |key: &str| file.value("Service", key).and_then(Span::parse);
    span("TimeoutStartSec").or_else(|| span("TimeoutSec")).map(Span::as_secs_ceil)
}
