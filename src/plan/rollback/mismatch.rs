//! The proof of a rollback: whether everything runs again as before.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{connection, ended_by_itself};
use crate::bundle::Bundle;
use crate::bundle::unit::UnitName;
use crate::plan::action::{Action, Plan};
use crate::plan::snapshot::{ActiveState, Snapshot};
use crate::plan::units::Units;

/// A unit that does not run as before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "mismatch", rename_all = "snake_case")]
pub enum Mismatch {
    /// It was up, and is not.
    NotRunning { unit: UnitName, active: ActiveState, result: String },
    /// Nothing was planned for it, and yet it runs anew.
    Restarted { unit: UnitName },
    /// It was not up, and something that was done to the host has started it.
    StillRuns { unit: UnitName },
}

impl Mismatch {
    pub fn unit(&self) -> &UnitName {
        match self {
            Self::NotRunning { unit, .. } | Self::Restarted { unit } | Self::StillRuns { unit } => unit,
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning { unit, active, result } => {
                write!(out, "{unit} ran before and is {} now", active.words())?;
                if result.is_empty() || result == "success" { Ok(()) } else { write!(out, " ({result})") }
            }
            Self::Restarted { unit } => write!(out, "{unit} was started anew, although nothing was planned for it"),
            Self::StillRuns { unit } => write!(out, "{unit} did not run before and runs now"),
        }
    }
}

/// Returns the units that do not run as before; none when a rollback has restored everything.
///
/// `from` is the bundle that was restored, `plans` are those of the switch and of the rollback, the last one last; also
/// that of a rollback that was interrupted, or what that one restarted counts as [`Mismatch::Restarted`].
pub fn mismatch(from: Option<&Bundle>, before: &Snapshot, now: &Snapshot, plans: &[&Plan]) -> Vec<Mismatch> {
    let units = Units::new(from, before.units.keys().chain(now.units.keys()));
    let mut found = Vec::new();
    for (unit, was) in before.units.iter().filter(|(_, was)| was.active.is_up()) {
        let now = now.state(unit);
        let settled = was.active != ActiveState::Activating;
        let runs = now.active.is_up() && (!settled || now.active != ActiveState::Activating);
        let untouched = plans.iter().all(|plan| plan.action(unit) < Action::Start);
        if !runs {
            let started_last = plans.last().is_some_and(|plan| starts(plan.action(unit)));
            let done = started_last
                && now.active == ActiveState::Inactive
                && units.get(unit).is_some_and(|unit| unit.finishes());
            if !done && !ended_by_itself(&units, unit, was, Some(&now), plans) {
                found.push(Mismatch::NotRunning { unit: unit.clone(), active: now.active, result: now.result });
            }
        } else if untouched && settled && now.invocation != was.invocation && connection(&units, unit, plans).is_none()
        {
            found.push(Mismatch::Restarted { unit: unit.clone() });
        }
    }
    found.extend(surplus(from, before, now, plans).into_iter().map(|unit| Mismatch::StillRuns { unit }));
    found
}

fn starts(action: Action) -> bool {
    matches!(action, Action::Start | Action::Restart | Action::StopStart)
}

/// Returns the units that run although they did not run before, because a plan or what systemd made of it started them:
/// what is left to stop at the end of a rollback.
///
/// Those that something needs which ran before, or which a client woke up, are not among them.
pub fn surplus(from: Option<&Bundle>, before: &Snapshot, now: &Snapshot, plans: &[&Plan]) -> Vec<UnitName> {
    let units = Units::new(from, before.units.keys().chain(now.units.keys()));
    let moved = moved(&units, plans);
    let up = now.units.iter().filter(|(_, state)| state.active.is_up()).map(|(unit, _)| unit);
    let mut found: BTreeSet<&UnitName> = up.filter(|unit| !before.is_up(unit) && moved.contains(unit)).collect();
    loop {
        let needed: BTreeSet<&UnitName> = found
            .iter()
            .filter(|unit| {
                let live = now.units.get(unit.as_str()).into_iter().flat_map(|state| &state.dependants);
                units.dependants(unit).chain(live).any(|other| now.is_up(other) && !found.contains(other))
            })
            .copied()
            .collect();
        if needed.is_empty() {
            return found.into_iter().cloned().collect();
        }
        found.retain(|unit| !needed.contains(unit));
    }
}

/// Returns what plans started or stopped, and what those bring along when something starts them: a plan that stops a unit
/// does not say what comes with it should another one start it again.
fn moved<'p>(units: &'p Units<'_>, plans: &[&'p Plan]) -> BTreeSet<&'p UnitName> {
    let steps = plans.iter().flat_map(|plan| &plan.steps);
    let mut new: Vec<&UnitName> =
        steps.filter(|(_, step)| step.action >= Action::Start).map(|(unit, _)| unit).collect();
    let mut moved = BTreeSet::new();
    while let Some(unit) = new.pop() {
        if moved.insert(unit) {
            new.extend(units.get(unit).into_iter().flat_map(|unit| unit.relations.pulls_in()));
        }
    }
    moved
}
