//! The way back from a switch: what it takes that everything runs again as before, and the proof that it does.

mod mismatch;

use std::collections::BTreeSet;

pub use mismatch::{Mismatch, mismatch, surplus};

use super::action::{Action, Plan, Reason, Step};
use super::change::Change;
use super::content::differs;
use super::draft::Draft;
use super::effect::Effect;
use super::forward::is_foreign;
use super::snapshot::{ActiveState, Snapshot, UnitState};
use super::spread::spread;
use super::units::{Unit, Units};
use crate::bundle::Bundle;
use crate::bundle::unit::{UnitKind, UnitName};

/// Returns what it takes to come back from a switch, wherever it was interrupted.
///
/// `plans` are the plan of the switch from `from` to `to`, which comes first, and those of rollbacks from it that were
/// interrupted themselves. `before` is what ran when the switch began, and `now` what runs. What runs now decides: a unit
/// with the same invocation as before was not touched. `to` is none when it cannot be read: then the plan of the switch
/// tells what it brought.
pub fn rollback(
    plans: &[&Plan],
    from: Option<&Bundle>,
    to: Option<&Bundle>,
    before: &Snapshot,
    now: &Snapshot,
) -> Plan {
    let changes = from.zip(to).is_none_or(|(from, to)| differs(from, to));
    let live: BTreeSet<&UnitName> =
        before.units.keys().chain(now.units.keys()).chain(plans.iter().flat_map(|plan| plan.steps.keys())).collect();
    let (to, from) = (Units::new(to, live.iter().copied()), Units::new(from, live.iter().copied()));
    let mut draft = Draft::new(&to, &from, now);
    draft.either_is_loaded = true;
    let names: BTreeSet<&UnitName> = live.into_iter().chain(to.names()).chain(from.names()).collect();
    for name in names {
        let past = Past { name, plans, before };
        if let Some((action, reasons)) = past.restored(&draft) {
            draft.set(name, action, reasons);
        }
    }
    spread(&mut draft);
    draft.finish(changes)
}

/// What is known about a unit from the switch that is taken back.
struct Past<'p> {
    name: &'p UnitName,
    plans: &'p [&'p Plan],
    before: &'p Snapshot,
}

type Verdict = (Action, Vec<Reason>);

impl Past<'_> {
    /// Returns what happens to the unit by itself; none for a unit of somebody else that is as it was.
    fn restored(&self, draft: &Draft<'_>) -> Option<Verdict> {
        let name = self.name;
        let was = self.before.units.get(name).filter(|was| was.active.is_up());
        let foreign = was.is_some_and(|was| was.fragment.as_deref().is_some_and(is_foreign));
        let (in_to, from) = (self.is_in_left(draft), draft.new.get(name));
        if !in_to && from.is_none() {
            let was = was.filter(|_| !draft.is_up(name) && !draft.is_masked(name))?;
            let ended = ended_by_itself(draft.new, name, was, draft.live(name), self.plans);
            return (!ended).then(|| (Action::Start, vec![Reason::RanBefore]));
        }
        if let Some(reason) = was.and_then(|was| self.lost_connection(draft, was)) {
            return Some(inert(reason, self.change(draft)));
        }
        Some(match (was, from) {
            _ if name.is_template() => inert(Reason::Unchanged, self.change(draft)),
            (Some(was), _) if foreign && in_to => self.given_back(draft, was),
            (_, None) if draft.is_up(name) => (Action::Stop, vec![Reason::Removed]),
            (_, None) => (Action::Nothing, vec![Reason::Removed]),
            _ if draft.is_masked(name) => (Action::Nothing, vec![Reason::Masked]),
            (Some(was), Some(from)) => self.runs_again(draft, was, from),
            (None, Some(_)) => self.rests_again(draft),
        })
    }

    /// Returns why nothing can bring a unit back that was up: it served a connection that has ended. One of the same name
    /// that is up now serves another.
    fn lost_connection(&self, draft: &Draft<'_>, was: &UnitState) -> Option<Reason> {
        let now = draft.live(self.name).filter(|now| now.active.is_up());
        let lost = now.is_none_or(|now| now.invocation != was.invocation);
        connection(draft.new, self.name, self.plans).filter(|_| lost)
    }

    /// A unit of somebody else that the switch took over: its own file defines it again.
    fn given_back(&self, draft: &Draft<'_>, was: &UnitState) -> Verdict {
        match draft.live(self.name).filter(|now| now.active.is_up()) {
            Some(now) if now.invocation == was.invocation => (Action::Nothing, vec![Reason::Unchanged]),
            Some(_) => (Action::StopStart, vec![Reason::RanBefore]),
            None => (Action::Start, vec![Reason::RanBefore]),
        }
    }

    /// A unit that was up.
    fn runs_again(&self, draft: &Draft<'_>, was: &UnitState, from: &Unit<'_>) -> Verdict {
        let change = self.change(draft);
        let effect = change.as_ref().map_or(Effect::None, |change| change.effect);
        let with_reasons = |action, change: Option<Change>| {
            let reasons = change.map(|change| change.reasons).unwrap_or_default();
            (action, std::iter::once(Reason::RanBefore).chain(reasons).collect())
        };
        let Some(now) = draft.live(self.name).filter(|now| now.active.is_up()) else {
            return if ended_by_itself(draft.new, self.name, was, draft.live(self.name), self.plans) {
                let reason = if from.finishes() { Reason::Finishes } else { Reason::OnDemand };
                inert(reason, change)
            } else {
                (Action::Start, vec![Reason::RanBefore])
            };
        };
        if now.invocation == was.invocation {
            return match self.was_planned(&[Action::Reload]) {
                true => with_reasons(Action::Reload, change),
                false => inert(Reason::Unchanged, change),
            };
        }
        match effect {
            Effect::StopFirst => with_reasons(Action::StopStart, change),
            Effect::Process => with_reasons(Action::Restart, change),
            Effect::Reload => with_reasons(Action::Reload, change),
            Effect::ManagerReload | Effect::None => inert(Reason::Unchanged, change),
        }
    }

    /// A unit that was not up. One that a client woke up meanwhile, and that is the same in both bundles, may go on.
    fn rests_again(&self, draft: &Draft<'_>) -> Verdict {
        let change = self.change(draft);
        let shaped = change.as_ref().is_some_and(|change| change.effect >= Effect::Process);
        let started = self.was_planned(&[Action::Start, Action::Restart, Action::StopStart]);
        if !draft.is_up(self.name) {
            inert(Reason::NotRunning, change)
        } else if started || shaped {
            (Action::Stop, vec![Reason::DidNotRunBefore])
        } else {
            inert(Reason::OnDemand, change)
        }
    }

    fn was_planned(&self, actions: &[Action]) -> bool {
        self.plans.iter().any(|plan| actions.contains(&plan.action(self.name)))
    }

    /// Whether the bundle that is left has the unit.
    fn is_in_left(&self, draft: &Draft<'_>) -> bool {
        let brought = |reason: &Reason| matches!(reason, Reason::Added | Reason::Adopted { .. });
        match draft.old.manifest {
            Some(_) => draft.old.contains(self.name),
            None => self.there().is_some_and(|step| step.reasons.iter().any(brought)),
        }
    }

    fn change(&self, draft: &Draft<'_>) -> Option<Change> {
        let from = draft.new.get(self.name)?;
        match draft.old.manifest {
            Some(_) => {
                let to = draft.old.get(self.name)?;
                Some(Change::between(self.name, (draft.old, to), (draft.new, from)))
            }
            None => Some(Change::recalled(self.name.kind(), &self.there()?.reasons)),
        }
    }

    /// Returns what the switch did to the unit, or to its template if it is an instance that came later.
    fn there(&self) -> Option<&Step> {
        let steps = &self.plans.first()?.steps;
        steps.get(self.name).or_else(|| steps.get(&self.name.template()?))
    }
}

/// Nothing happens to the unit, but the manager may have to read its definition again.
fn inert(reason: Reason, change: Option<Change>) -> Verdict {
    match change.map(|change| change.reasons).filter(|reasons| !reasons.is_empty()) {
        Some(reasons) if reason == Reason::Unchanged => (Action::ReloadManager, reasons),
        Some(reasons) => (Action::ReloadManager, std::iter::once(reason).chain(reasons).collect()),
        None => (Action::Nothing, vec![reason]),
    }
}

/// Returns the reason for which a unit is never started: that it serves one connection. When the switch took its socket
/// over, only the plan knows.
fn connection(from: &Units<'_>, name: &UnitName, plans: &[&Plan]) -> Option<Reason> {
    let here = from.connection_of(name).map(|socket| Reason::Connection { unit: socket.clone() });
    let planned = || plans.iter().filter_map(|plan| plan.steps.get(name)).flat_map(|step| &step.reasons);
    here.or_else(|| planned().find(|reason| matches!(reason, Reason::Connection { .. })).cloned())
}

/// Whether a unit that was up is no longer, and no plan has to do with it: its work is done, or nobody needs it now. A
/// connection ends also when a plan or a failure ended it.
fn ended_by_itself(
    from: &Units<'_>,
    name: &UnitName,
    was: &UnitState,
    now: Option<&UnitState>,
    plans: &[&Plan],
) -> bool {
    if connection(from, name, plans).is_some() {
        return true;
    }
    let now = now.cloned().unwrap_or_default();
    if now.active != ActiveState::Inactive {
        return false;
    }
    let touched = plans.iter().any(|plan| plan.action(name) >= Action::Start);
    let finishes = match from.get(name) {
        Some(unit) => unit.finishes(),
        // Of others, only what was at work: a oneshot service is never active otherwise.
        None => name.kind() == UnitKind::Service && was.active == ActiveState::Activating && was.sub == "start",
    };
    let on_demand = || from.get(name).is_some_and(|unit| from.is_triggered(name) || unit.stops_when_unneeded());
    // systemd forgets a unit that has ended, and with it the run: then nobody knows whether it came to its end.
    let ran_again = || now.invocation.is_some() && now.invocation != was.invocation;
    if finishes { !touched || ran_again() } else { !touched && on_demand() }
}
