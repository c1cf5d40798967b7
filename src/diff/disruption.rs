//! What a switch would do and what it costs, from the plan that a host would make.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Disruption, Planned, PlannedUnit, Why};
use super::units;
use crate::bundle::Bundle;
use crate::bundle::quantity::Span;
use crate::bundle::unit::{UnitFile, UnitName};
use crate::plan::{Action, Plan, Reason};

/// What is known of earlier starts: by unit, how many seconds the last one took.
pub type LastStarts = BTreeMap<String, u64>;

/// A plan, and what tells the cost of its steps.
pub struct Costs<'a> {
    plan: &'a Plan,
    old: &'a Bundle,
    new: &'a Bundle,
    last: &'a LastStarts,
    /// The units that are acted on.
    acting: BTreeSet<&'a UnitName>,
}

impl<'a> Costs<'a> {
    pub fn new(plan: &'a Plan, old: &'a Bundle, new: &'a Bundle, last: &'a LastStarts) -> Self {
        Costs { plan, old, new, last, acting: plan.order.iter().collect() }
    }

    /// Returns the steps that act on a unit, in their order.
    pub fn all(&self) -> Disruption {
        let steps = self.plan.order.iter().filter_map(|unit| {
            let entry = entry(self.new, unit).or_else(|| entry(self.old, unit));
            let service = entry.and_then(|entry| entry.service.clone());
            Some(PlannedUnit { unit: unit.clone(), service, step: self.of(unit)? })
        });
        Disruption { steps: steps.collect(), phases: self.plan.phases.clone() }
    }

    /// Returns what the plan says of one unit.
    pub fn of(&self, unit: &UnitName) -> Option<Planned> {
        let step = self.plan.steps.get(unit)?;
        let begins = matches!(step.action, Action::Start | Action::Restart | Action::StopStart);
        let entry = entry(self.new, unit).filter(|_| begins);
        let file = entry.and_then(|entry| units::read(units::content(self.new, entry)));
        let why = |reason: &Reason| Why { words: reason.to_string(), reason: reason.clone() };
        Some(Planned {
            action: step.action,
            reasons: step.reasons.iter().map(why).collect(),
            phase: step.phase.clone(),
            waits_for: file.as_ref().map(|file| waits_for(unit, file, &self.acting)).unwrap_or_default(),
            last_start_seconds: self.last.get(unit.as_str()).copied().filter(|_| begins),
            start_timeout_seconds: file.as_ref().and_then(start_timeout),
        })
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
    let seconds = span("TimeoutStartSec").or_else(|| span("TimeoutSec")).map(Span::as_secs_ceil);
    // With 0 there is no limit.
    seconds.filter(|seconds| *seconds > 0)
}
