//! What a diff of two bundles promises, against what a switch between them did.
//!
//! The diff is given the plan for a host whose units are as they are after a boot, which is what a pull request shows.
//! Where a test has stopped, started or masked something before, that is not what the host is like, and the diff is given
//! the plan for what systemd says instead. What a switch did is told by its entry in the history, and by systemd: a unit
//! was started or restarted when it has another invocation, and stopped when it is up no more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use citadel::activate::history::{Entry, Kind};
use citadel::activate::progress::{Event, Outcome, UnitProgress};
use citadel::activate::{Generation, Places, history};
use citadel::bundle::Bundle;
use citadel::bundle::unit::UnitName;
use citadel::diff::{Diff, Known, Version};
use citadel::plan::{Action, ActiveState, LoadState, Plan, Snapshot, UnitState, forward, predicted};

use crate::host::Host;
use crate::site::Site;

/// A host before a switch.
#[derive(Debug)]
pub struct Before {
    state: Snapshot,
    /// How many entries its history has.
    entries: usize,
}

impl Before {
    pub fn of(site: &Site) -> Self {
        Before { state: look(&site.host), entries: entries(site).len() }
    }

    /// Fails unless the one switch or rollback since then, now over, did what a diff promises; returns whether there was
    /// one to look at.
    pub fn assert_kept(&self, site: &Site) -> bool {
        self.check(site, Some(&look(&site.host)))
    }

    /// Fails unless the one switch or rollback since then set out to do what a diff promises. The host may have been
    /// turned off since.
    pub fn assert_planned(&self, site: &Site) -> bool {
        self.check(site, None)
    }

    fn check(&self, site: &Site, after: Option<&Snapshot>) -> bool {
        let all = entries(site);
        // Recovery is no move from bundle to bundle, and before a second switch nobody has looked.
        let moves = all[self.entries..].iter().filter(|entry| matches!(entry.kind, Kind::Switch | Kind::Rollback));
        let [entry] = moves.collect::<Vec<&Entry>>()[..] else { return false };
        let Some(to) = entry.to else { return false };
        let (old, new) = (entry.from.map(|from| bundle(site, from)), bundle(site, to));
        let promised = Promise::of(old.as_ref(), &new, &self.state);
        promised.assert_planned(entry);
        if let Some(after) = after.filter(|_| entry.outcome == Outcome::Done) {
            promised.assert_done(&self.state, after, &reloaded(site, &entry.id));
        }
        true
    }
}

/// What a diff says.
struct Promise {
    /// Everything that it says anything about.
    known: BTreeSet<UnitName>,
    /// What is done, without what needs nothing to be done.
    steps: BTreeMap<UnitName, Action>,
    /// What is said of each unit that differs.
    differing: BTreeMap<UnitName, Action>,
    /// For messages: what it was told of the host.
    basis: &'static str,
}

impl Promise {
    fn of(old: Option<&Bundle>, new: &Bundle, state: &Snapshot) -> Self {
        let (plan, basis) = if is_as_after_boot(old, new, state) {
            (predicted(old, new), "a host as after a boot")
        } else {
            (forward(old, new, &of_these(old, new, state)), "what runs there")
        };
        let (old, new) = (Version { label: "old", bundle: old }, Version { label: "new", bundle: Some(new) });
        let diff = Diff::between(old, new, &plan, &Known::default());
        let steps = diff.plan.steps.iter().map(|step| (step.unit.clone(), step.step.action));
        let differing = diff.units.iter().filter_map(|unit| {
            Some((UnitName::parse(&unit.name)?, unit.step.as_ref().map_or(Action::Nothing, |step| step.action)))
        });
        let (steps, differing) = (steps.collect(), differing.collect());
        let Plan { steps: known, .. } = plan;
        Promise { known: known.into_keys().collect(), steps, differing, basis }
    }

    /// Fails unless the switch set out to do this.
    fn assert_planned(&self, entry: &Entry) {
        let acts = |action: &Action| !matches!(action, Action::Nothing | Action::ReloadManager | Action::Keep);
        let planned: BTreeMap<UnitName, Action> = entry
            .units
            .iter()
            .filter(|(_, action)| acts(action))
            .map(|(unit, action)| (unit.clone(), *action))
            .collect();
        assert_eq!(self.steps, planned, "a diff for {} promises other than {} does", self.basis, entry.id);
        for (unit, promised) in &self.differing {
            let planned = entry.units.get(unit).copied().unwrap_or(Action::Nothing);
            assert_eq!(*promised, planned, "a diff for {} says this of {unit}", self.basis);
        }
    }

    /// Fails unless systemd says that this was done.
    fn assert_done(&self, before: &Snapshot, after: &Snapshot, reloaded: &BTreeSet<UnitName>) {
        let promised: BTreeMap<&UnitName, Action> =
            self.steps.iter().map(|(unit, action)| (unit, seen(*action))).collect();
        let done = self.known.iter().map(|unit| (unit, done(unit, before, after, reloaded)));
        let done: BTreeMap<&UnitName, Action> = done.filter(|(_, action)| *action != Action::Nothing).collect();
        assert_eq!(promised, done, "a diff for {} promises other than systemd has done", self.basis);
    }
}

/// Returns what can be seen of an action afterwards.
fn seen(action: Action) -> Action {
    match action {
        Action::StopStart => Action::Restart,
        action => action,
    }
}

/// Returns what happened to a unit.
fn done(unit: &UnitName, before: &Snapshot, after: &Snapshot, reloaded: &BTreeSet<UnitName>) -> Action {
    let (was, is) = (before.state(unit), after.state(unit));
    let another = is.invocation.is_some() && is.invocation != was.invocation;
    match (was.active.is_up(), is.active.is_up()) {
        (true, true) if another => Action::Restart,
        (true, true) if reloaded.contains(unit) => Action::Reload,
        (true, false) => Action::Stop,
        (false, true) => Action::Start,
        // It has run, and its run is over.
        (false, false) if another => Action::Start,
        _ => Action::Nothing,
    }
}

/// Whether everything that is wanted at boot runs, and nothing else of these bundles.
fn is_as_after_boot(old: Option<&Bundle>, new: &Bundle, state: &Snapshot) -> bool {
    let assumed = old.map(Snapshot::assumed).unwrap_or_default();
    let now = of_these(old, new, state);
    let up: BTreeSet<&UnitName> = now.units.keys().filter(|unit| now.is_up(unit)).collect();
    let foreign = |state: &UnitState| {
        let file = state.fragment.as_deref().filter(|_| state.active.is_up());
        file.is_some_and(|file| !file.starts_with("/run/systemd/generator"))
    };
    let strange =
        |state: &UnitState| state.load == LoadState::Masked || state.active == ActiveState::Failed || foreign(state);
    up == assumed.units.keys().collect() && !now.units.values().any(strange)
}

/// Returns the states of the units of these bundles, of instances of their templates, and of what depends on any of them.
fn of_these(old: Option<&Bundle>, new: &Bundle, state: &Snapshot) -> Snapshot {
    let has = |name: &str| old.into_iter().chain([new]).any(|bundle| bundle.manifest.units.contains_key(name));
    let ours = |unit: &UnitName| has(unit.as_str()) || unit.template().is_some_and(|unit| has(unit.as_str()));
    let units = state.units.iter().filter(|(unit, _)| ours(unit));
    Snapshot { units: units.map(|(unit, state)| (unit.clone(), state.clone())).collect() }
}

/// Asks systemd about all units that it has in memory, and about those of every bundle on the host.
fn look(host: &Host) -> Snapshot {
    let list = "ls -1 /etc/citadel/generations/*/units /srv/bundles/*/units 2>/dev/null";
    let named = host.run(&["sh", "-c", list]);
    let named = named.lines().filter(|line| UnitName::parse(line).is_some_and(|unit| !unit.is_template()));
    const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,FragmentPath,InvocationID,\
                              RequiredBy,RequisiteOf,BoundBy,ConsistsOf";
    let shown = host.run(&["systemctl", "show", PROPERTIES, "*"].into_iter().chain(named).collect::<Vec<_>>());
    let unit = |block: &str| {
        let properties: BTreeMap<&str, &str> = block.lines().filter_map(|line| line.split_once('=')).collect();
        let text = |name: &str| properties.get(name).copied().filter(|value| !value.is_empty());
        let word = |name: &str| serde_json::Value::from(text(name).unwrap_or_default());
        let dependants = ["RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf"].into_iter().filter_map(text);
        let state = UnitState {
            load: serde_json::from_value(word("LoadState")).expect("a load state"),
            active: serde_json::from_value(word("ActiveState")).expect("an active state"),
            sub: text("SubState").unwrap_or_default().to_owned(),
            fragment: text("FragmentPath").map(Into::into),
            invocation: text("InvocationID").map(str::to_owned),
            dependants: dependants.flat_map(str::split_whitespace).filter_map(UnitName::parse).collect(),
            ..UnitState::default()
        };
        Some((UnitName::parse(text("Id")?)?, state))
    };
    Snapshot { units: shown.split("\n\n").filter_map(unit).collect() }
}

/// Returns the units that systemd was asked to reload, and did.
fn reloaded(site: &Site, id: &str) -> BTreeSet<UnitName> {
    let text = fs::read_to_string(places(site).progress(id)).expect("a switch has a log");
    let reload = |line: &str| match serde_json::from_str(line).ok()? {
        Event::Unit { unit, action: Action::Reload, state: UnitProgress::Done { .. } } => Some(unit),
        _ => None,
    };
    text.lines().filter_map(reload).collect()
}

fn places(site: &Site) -> Places {
    Places::new(site.host.path("/"))
}

fn entries(site: &Site) -> Vec<Entry> {
    history::read(&places(site)).expect("a history is read")
}

fn bundle(site: &Site, generation: Generation) -> Bundle {
    Bundle::read(&places(site).generation(generation)).expect("a generation is read")
}
