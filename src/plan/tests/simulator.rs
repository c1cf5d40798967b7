//! A systemd that knows little more than what stops, restarts and starts together.
//!
//! It shares no code with the planner, so that the two can disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::bundles::{bundle, name};
use crate::bundle::Bundle;
use crate::plan::{Action, ActiveState, LoadState, Plan, Snapshot, UnitState};

/// What a unit file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spec {
    pub version: u8,
    pub requires: BTreeSet<String>,
    pub wants: BTreeSet<String>,
    pub part_of: BTreeSet<String>,
    pub conflicts: BTreeSet<String>,
    pub boot: bool,
}

pub(super) type Specs = BTreeMap<String, Spec>;

#[derive(Clone, Debug, PartialEq)]
struct Run {
    invocation: u32,
    version: u8,
}

/// A step of carrying out a plan.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Stop(String),
    Flip,
    Restart(BTreeSet<String>),
    Start(String),
}

#[derive(Clone, Debug)]
pub(super) struct Systemd {
    /// What is loaded of citadel's units.
    ours: Specs,
    /// What others bring.
    others: Specs,
    up: BTreeMap<String, Run>,
    last: BTreeMap<String, u32>,
    runs: u32,
}

impl Systemd {
    pub fn new(ours: Specs, others: Specs) -> Self {
        Systemd { ours, others, up: BTreeMap::new(), last: BTreeMap::new(), runs: 0 }
    }

    fn spec(&self, unit: &str) -> Option<&Spec> {
        self.ours.get(unit).or_else(|| self.others.get(unit))
    }

    pub fn is_up(&self, unit: &str) -> bool {
        self.up.contains_key(unit)
    }

    pub fn up(&self) -> BTreeSet<String> {
        self.up.keys().cloned().collect()
    }

    pub fn invocation(&self, unit: &str) -> Option<u32> {
        self.up.get(unit).map(|run| run.invocation)
    }

    /// Returns the version of the definition under which each unit runs.
    pub fn versions(&self) -> BTreeMap<String, u8> {
        self.up.iter().map(|(unit, run)| (unit.clone(), run.version)).collect()
    }

    /// Returns the units that are up and stop with these, themselves included.
    fn stopping(&self, units: BTreeSet<String>) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = units.into_iter().filter(|unit| self.is_up(unit)).collect();
        loop {
            let depends = |unit: &String| {
                let spec = self.spec(unit).cloned().unwrap_or_default();
                spec.requires.union(&spec.part_of).any(|other| found.contains(other))
            };
            let more: Vec<_> = self.up.keys().filter(|unit| !found.contains(*unit) && depends(unit)).cloned().collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    pub fn stop(&mut self, unit: &str) {
        for unit in self.stopping(BTreeSet::from([unit.to_owned()])) {
            self.up.remove(&unit);
        }
    }

    pub fn start(&mut self, unit: &str) {
        self.transaction(BTreeSet::from([unit.to_owned()]), BTreeSet::new());
    }

    /// Restarts those that are up, in one transaction.
    pub fn restart(&mut self, units: BTreeSet<String>) {
        let units = self.stopping(units).into_iter().filter(|unit| self.spec(unit).is_some()).collect();
        self.transaction(BTreeSet::new(), units);
    }

    fn transaction(&mut self, starts: BTreeSet<String>, restarts: BTreeSet<String>) {
        let mut jobs: BTreeSet<String> = starts.union(&restarts).cloned().collect();
        let mut next: Vec<String> = jobs.iter().cloned().collect();
        while let Some(unit) = next.pop() {
            let Some(spec) = self.spec(&unit).cloned() else { return };
            // A job for what is up already is dropped, unless it was asked for, and with it what only it would start.
            if self.is_up(&unit) && !starts.contains(&unit) && !restarts.contains(&unit) {
                continue;
            }
            for other in &spec.requires {
                if jobs.insert(other.clone()) {
                    next.push(other.clone());
                }
            }
            for other in &spec.wants {
                // What is only wanted gives way.
                let excluded = jobs.iter().any(|job| self.excludes(job, other));
                if !excluded && self.spec(other).is_some() && jobs.insert(other.clone()) {
                    next.push(other.clone());
                }
            }
        }
        // Only what is started anew ends others.
        let new: BTreeSet<_> = jobs.iter().filter(|job| !self.is_up(job) || restarts.contains(*job)).cloned().collect();
        let ended = self.up.keys().filter(|unit| new.iter().any(|job| job != *unit && self.excludes(job, unit)));
        let ended: BTreeSet<_> = ended.filter(|unit| !jobs.contains(*unit)).cloned().collect();
        for unit in self.stopping(ended) {
            self.up.remove(&unit);
        }
        for unit in new {
            self.runs += 1;
            let version = self.spec(&unit).map_or(0, |spec| spec.version);
            self.up.insert(unit.clone(), Run { invocation: self.runs, version });
            self.last.insert(unit, self.runs);
        }
    }

    fn excludes(&self, one: &str, other: &str) -> bool {
        let says = |one: &str, other: &str| self.spec(one).is_some_and(|spec| spec.conflicts.contains(other));
        says(one, other) || says(other, one)
    }

    /// Returns what the planner is told.
    pub fn snapshot(&self) -> Snapshot {
        let known = self.ours.keys().chain(self.others.keys()).chain(self.last.keys());
        let state = |unit: &String| {
            let depends = |other: &&String| {
                self.spec(other).is_some_and(|spec| spec.requires.contains(unit) || spec.part_of.contains(unit))
            };
            let folder = if self.others.contains_key(unit) { "/etc/systemd/system" } else { "/run/systemd/generator" };
            UnitState {
                load: if self.spec(unit).is_some() { LoadState::Loaded } else { LoadState::NotFound },
                active: if self.is_up(unit) { ActiveState::Active } else { ActiveState::Inactive },
                invocation: self.last.get(unit).map(ToString::to_string),
                fragment: Some(PathBuf::from(folder).join(unit)),
                dependants: self.ours.keys().chain(self.others.keys()).filter(depends).map(|unit| name(unit)).collect(),
                ..UnitState::default()
            }
        };
        Snapshot { units: known.map(|unit| (name(unit), state(unit))).collect() }
    }

    pub fn carry_out(&mut self, step: &Step, target: &Specs) {
        match step {
            Step::Stop(unit) => self.stop(unit),
            Step::Flip => self.ours = target.clone(),
            Step::Restart(units) => self.restart(units.clone()),
            Step::Start(unit) => self.start(unit),
        }
    }
}

/// Returns the steps in which a plan is carried out.
pub(super) fn steps(plan: &Plan) -> Vec<Step> {
    let with = |wanted: &[Action]| -> Vec<String> {
        let units = plan.order.iter().filter(|unit| wanted.contains(&plan.action(unit)));
        units.map(ToString::to_string).collect()
    };
    let stops = with(&[Action::Stop, Action::StopStart]).into_iter().rev().map(Step::Stop);
    let restarts = Step::Restart(with(&[Action::Restart]).into_iter().collect());
    let starts = with(&[Action::Start, Action::StopStart]).into_iter().map(Step::Start);
    stops.chain([Step::Flip, restarts]).chain(starts).collect()
}

/// Returns the bundle that says the same.
pub(super) fn bundle_of(specs: &Specs) -> Bundle {
    let texts: Vec<(String, String)> = specs.iter().map(|(unit, spec)| (unit.clone(), text(spec))).collect();
    let units: Vec<(&str, &str)> = texts.iter().map(|(unit, text)| (unit.as_str(), text.as_str())).collect();
    bundle(&units)
}

fn text(spec: &Spec) -> String {
    let list = |units: &BTreeSet<String>| units.iter().cloned().collect::<Vec<_>>().join(" ");
    let Spec { version, requires, wants, part_of, conflicts, boot } = spec;
    format!(
        "[Unit]\nRequires={}\nWants={}\nPartOf={}\nConflicts={}\n[Service]\nExecStart=/v{version}\n[Install]\nWantedBy={}",
        list(requires),
        list(wants),
        list(part_of),
        list(conflicts),
        if *boot { "multi-user.target" } else { "" },
    )
}
