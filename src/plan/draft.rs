//! A plan while it is made: steps that grow as units pull each other along.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, Plan, Reason, Step};
use super::order;
use super::snapshot::{ActiveState, LoadState, Snapshot, UnitState};
use super::units::Units;
use crate::bundle::manifest::Manifest;
use crate::bundle::unit::UnitName;

/// Steps for a move from one set of definitions to another.
pub(super) struct Draft<'a> {
    /// The definitions that are left.
    pub old: &'a Units<'a>,
    /// The definitions that are entered.
    pub new: &'a Units<'a>,
    /// What runs now.
    pub state: &'a Snapshot,
    /// Whether systemd may know either set of definitions now, as it does when a switch was interrupted.
    pub either_is_loaded: bool,
    steps: BTreeMap<UnitName, (Action, Vec<Reason>)>,
}

/// Something that has to happen to a unit because of another.
pub(super) type Claim = (UnitName, Action, Reason);

impl<'a> Draft<'a> {
    pub fn new(old: &'a Units<'a>, new: &'a Units<'a>, state: &'a Snapshot) -> Self {
        Draft { old, new, state, either_is_loaded: false, steps: BTreeMap::new() }
    }

    /// Sets what happens to a unit by itself.
    pub fn set(&mut self, unit: &UnitName, action: Action, reasons: Vec<Reason>) {
        self.steps.insert(unit.clone(), (action, reasons));
    }

    pub fn action(&self, unit: &UnitName) -> Action {
        self.steps.get(unit).map_or(Action::Nothing, |(action, _)| *action)
    }

    pub fn reasons(&self, unit: &UnitName) -> &[Reason] {
        self.steps.get(unit).map_or(&[], |(_, reasons)| reasons)
    }

    pub fn units(&self) -> impl Iterator<Item = (&UnitName, Action)> {
        self.steps.iter().map(|(unit, (action, _))| (unit, *action))
    }

    pub fn live(&self, unit: &UnitName) -> Option<&'a UnitState> {
        self.state.units.get(unit)
    }

    pub fn is_up(&self, unit: &UnitName) -> bool {
        self.state.is_up(unit)
    }

    pub fn has_failed(&self, unit: &UnitName) -> bool {
        self.live(unit).is_some_and(|state| state.active == ActiveState::Failed)
    }

    pub fn is_masked(&self, unit: &UnitName) -> bool {
        self.live(unit).is_some_and(|state| state.load == LoadState::Masked)
    }

    /// Returns the socket for which the unit serves one connection.
    pub fn connection_of(&self, unit: &UnitName) -> Option<&'a UnitName> {
        self.old.connection_of(unit).or_else(|| self.new.connection_of(unit))
    }

    /// Whether a start job for the unit will be queued.
    pub fn starts(&self, unit: &UnitName) -> bool {
        matches!(self.action(unit), Action::Start | Action::Restart | Action::StopStart)
    }

    /// Whether the unit is up when the move is done.
    pub fn will_run(&self, unit: &UnitName) -> bool {
        self.starts(unit) || (self.is_up(unit) && self.action(unit) != Action::Stop)
    }

    /// Lets more happen to units than was planned so far; returns whether anything did.
    pub fn raise(&mut self, claims: impl IntoIterator<Item = Claim>) -> bool {
        let mut grown = false;
        for (unit, action, reason) in claims {
            grown |= self.raise_one(&unit, action, reason);
        }
        grown
    }

    fn raise_one(&mut self, unit: &UnitName, action: Action, reason: Reason) -> bool {
        // A masked unit cannot be started, only stopped.
        let action = match action {
            Action::StopStart if self.is_masked(unit) => Action::Stop,
            Action::Start | Action::Restart | Action::Reload if self.is_masked(unit) => return false,
            // One that serves a connection can only be stopped too: its socket is gone with its processes.
            Action::StopStart | Action::Restart if self.connection_of(unit).is_some() => Action::Stop,
            Action::Start if self.connection_of(unit).is_some() => return false,
            action => action,
        };
        let step = self.steps.entry(unit.clone()).or_insert((Action::Nothing, Vec::new()));
        if action <= step.0 {
            return false;
        }
        let acted = step.0 >= Action::Reload;
        step.0 = action;
        step.1.retain(|reason| !matches!(reason, Reason::Unchanged | Reason::NotRunning | Reason::OnDemand));
        if !step.1.contains(&reason) {
            step.1.insert(if acted { step.1.len() } else { 0 }, reason);
        }
        true
    }

    /// Completes the plan: phases and order.
    pub fn finish(self, changes: bool) -> Plan {
        let Draft { old, new, steps, .. } = self;
        let phase = |unit: &UnitName| {
            let entry = new.get(unit).or_else(|| old.get(unit)).map(|unit| unit.entry);
            entry.and_then(|entry| entry.phase.clone())
        };
        let steps: BTreeMap<_, _> = steps
            .into_iter()
            .map(|(unit, (action, reasons))| {
                let phase = phase(&unit);
                (unit, Step { action, reasons, phase })
            })
            .collect();
        let names: Vec<String> = new.manifest.or(old.manifest).map(phase_names).unwrap_or_default();
        let busy: BTreeSet<&String> = steps
            .values()
            .filter(|step| is_acted_on(step.action) && step.action != Action::Stop)
            .filter_map(|step| step.phase.as_ref())
            .collect();
        let phases = names.iter().filter(|name| busy.contains(name)).cloned().collect();
        let acted: Vec<&UnitName> =
            steps.iter().filter(|(_, step)| is_acted_on(step.action)).map(|(unit, _)| unit).collect();
        let rank = |unit: &UnitName| {
            let phase = steps.get(unit).and_then(|step| step.phase.as_ref());
            phase.and_then(|phase| names.iter().position(|name| name == phase)).unwrap_or(names.len())
        };
        let relations = |unit: &UnitName| new.get(unit).or_else(|| old.get(unit)).map(|unit| &unit.relations);
        let order = order::order(&acted, rank, relations);
        Plan { order, phases, changes, steps }
    }
}

/// Whether a job is queued for the unit.
fn is_acted_on(action: Action) -> bool {
    !matches!(action, Action::Nothing | Action::ReloadManager | Action::Keep)
}

fn phase_names(manifest: &Manifest) -> Vec<String> {
    manifest.phases.iter().map(|phase| phase.name.clone()).collect()
}
