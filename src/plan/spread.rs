//! How units pull each other along, as systemd does it: what stops and restarts together, what a start needs and what
//! it ends, and what has to be free before something else takes it. Tried with systemd 252.

use std::collections::BTreeSet;

use super::action::{Action, Reason};
use super::draft::{Claim, Draft};
use super::forward::{reason, wanters};
use super::listen::overlap;
use super::units::{Unit, Units};
use crate::bundle::manifest::Listen;
use crate::bundle::unit::UnitName;

type Rule = fn(&Draft<'_>) -> Vec<Claim>;

/// What follows for units that are up.
const RUNNING: [Rule; 5] =
    [stopped_with_others, restarted_with_others, sockets_and_services, ports, stopped_as_unneeded];
/// What the starts bring with them, once it is known what starts.
const STARTING: [Rule; 2] = [conflicts, pulled_in];

/// Lets the plan grow until no rule has anything to add; returns whether it grew.
pub(super) fn spread(draft: &mut Draft<'_>) -> bool {
    let mut grown = false;
    loop {
        if apply(draft, &RUNNING) || apply(draft, &STARTING) {
            grown = true;
        } else {
            return grown;
        }
    }
}

fn apply(draft: &mut Draft<'_>, rules: &[Rule]) -> bool {
    let mut grown = false;
    for rule in rules {
        let claims = rule(draft);
        grown |= draft.raise(claims);
    }
    grown
}

/// A stop stops those that depend on the unit. They come back, unless they are gone or cannot be without it.
fn stopped_with_others(draft: &Draft<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (unit, action) in draft.units().filter(|(_, action)| action.stops_first()) {
        let live = draft.live(unit).into_iter().flat_map(|state| &state.dependants);
        let foreign = live.filter(|name| draft.either_is_loaded || !draft.old.contains(name));
        let mut dependants: BTreeSet<&UnitName> = draft.old.dependants(unit).chain(foreign).collect();
        if draft.either_is_loaded {
            dependants.extend(draft.new.dependants(unit));
        }
        let stays_away = action == Action::Stop;
        let for_another = draft.reasons(unit).iter().any(|reason| matches!(reason, Reason::Conflicts { .. }));
        for name in dependants.into_iter().filter(|name| draft.is_up(name)) {
            let comes_back = match (draft.new.get(name), draft.old.contains(name)) {
                (Some(new), _) => !(stays_away && new.relations.requires.contains(unit)),
                // Its old definition is somebody else's, and knows nothing of the unit that stops.
                (None, true) => draft.action(name) == Action::StopStart,
                (None, false) => !(stays_away && for_another),
            };
            let action = if comes_back { Action::StopStart } else { Action::Stop };
            claims.push((name.clone(), action, Reason::DependsOn { unit: unit.clone() }));
        }
    }
    claims
}

/// A restart restarts those that depend on the unit and are up.
fn restarted_with_others(draft: &Draft<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (unit, _) in draft.units().filter(|(_, action)| *action == Action::Restart) {
        let live = draft.live(unit).into_iter().flat_map(|state| &state.dependants);
        let foreign = live.filter(|name| !draft.old.contains(name) && !draft.new.contains(name));
        for name in draft.new.dependants(unit).chain(foreign).filter(|name| draft.is_up(name)) {
            claims.push((name.clone(), Action::Restart, Reason::DependsOn { unit: unit.clone() }));
        }
    }
    claims
}

/// A socket cannot be opened while its service runs, not even as a part of its own restart, and wakes a service that has to stay stopped for a moment.
fn sockets_and_services(draft: &Draft<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (unit, action) in draft.units() {
        let service = draft.new.service_of(unit).or_else(|| draft.old.service_of(unit));
        if let Some(service) = service.filter(|service| draft.is_up(service)) {
            let reason = Reason::Socket { unit: unit.clone() };
            match action {
                Action::Start | Action::StopStart if draft.new.contains(service) => {
                    claims.push((service.clone(), Action::StopStart, reason));
                }
                Action::Restart => claims.push((service.clone(), Action::Restart, reason)),
                _ => {}
            }
        }
        if action == Action::StopStart {
            for socket in draft.old.sockets_of(unit).filter(|socket| draft.is_up(socket)) {
                if draft.new.service_of(socket) == Some(unit) {
                    claims.push((socket.clone(), Action::StopStart, Reason::Socket { unit: unit.clone() }));
                }
            }
        }
    }
    claims
}

/// Who restarts and gives up a port that another takes over has to give it up in time.
fn ports(draft: &Draft<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    let listens = |units: &Units<'_>, unit: &UnitName| -> Vec<Listen> {
        units.get(unit).map(|unit| unit.entry.listens.clone()).unwrap_or_default()
    };
    let restarting = || draft.units().filter(|(unit, action)| *action == Action::Restart && draft.is_up(unit));
    for (taker, _) in draft.units().filter(|(unit, _)| draft.starts(unit)) {
        for wanted in listens(draft.new, taker) {
            let has =
                |units: &Units<'_>, unit: &UnitName| listens(units, unit).iter().any(|listen| overlap(listen, &wanted));
            if draft.is_up(taker) && has(draft.old, taker) {
                continue;
            }
            for (holder, _) in restarting().filter(|(holder, _)| *holder != taker) {
                if has(draft.old, holder) && !has(draft.new, holder) {
                    let Listen { address, port } = wanted.clone();
                    let reason = Reason::Port { address, port, unit: taker.clone() };
                    claims.push((holder.clone(), Action::StopStart, reason));
                }
            }
        }
    }
    claims
}

/// A stop stops what ran only for the unit (`StopWhenUnneeded=`); what starts later may bring it back. A restart does not:
/// systemd takes a unit with a job for one that may still need others.
fn stopped_as_unneeded(draft: &Draft<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    let ran_for_others = |unit: &UnitName| draft.old.get(unit).is_some_and(|old| old.stops_when_unneeded());
    for (name, _) in draft.old.iter().filter(|(name, _)| draft.is_up(name) && ran_for_others(name)) {
        let needs = |unit: &Unit<'_>| unit.relations.pulls_in().any(|other| other == name);
        let ours = draft.old.iter().filter(|(_, unit)| needs(unit)).map(|(unit, _)| unit);
        let others = draft.live(name).into_iter().flat_map(|state| &state.dependants);
        let mut needing = ours.chain(others).filter(|unit| draft.is_up(unit)).peekable();
        if needing.peek().is_none() || !needing.all(|unit| draft.action(unit).stops_first()) {
            continue;
        }
        let back = draft.new.get(name).and_then(|new| wanters(draft, name, new).into_iter().next());
        claims.push(match back {
            Some(wanter) => (name.clone(), Action::StopStart, reason(draft, &wanter, name)),
            None => (name.clone(), Action::Stop, Reason::OnDemand),
        });
    }
    claims
}

/// A start stops what cannot run together with the unit, whichever of the two says so, also what was to restart. Of two
/// that were up together and both restart, the one whose name comes first stays: systemd refuses to restart both.
fn conflicts(draft: &Draft<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (unit, _) in draft.units().filter(|(unit, _)| draft.starts(unit)) {
        let wins = |other: &UnitName| !draft.starts(other) || !draft.is_up(unit) || unit < other;
        for other in excluded(draft, unit).into_iter().filter(|other| draft.is_up(other) && wins(other)) {
            claims.push((other.clone(), Action::Stop, Reason::Conflicts { unit: unit.clone() }));
        }
    }
    claims
}

/// A start starts what the unit requires and wants. What it only wants gives way to what starts and excludes it.
///
/// It does not reach through units that are up already: systemd drops their jobs, and what those alone would have
/// started.
fn pulled_in(draft: &Draft<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (unit, _) in draft.units().filter(|(unit, _)| draft.starts(unit)) {
        let Some(new) = draft.new.get(unit) else { continue };
        for other in new.relations.pulls_in().filter(|other| !draft.is_up(other) && draft.new.contains(other)) {
            let unit = unit.clone();
            if new.relations.requires.contains(other) {
                claims.push((other.clone(), Action::Start, Reason::RequiredBy { unit }));
            } else if !excluded(draft, other).into_iter().any(|excluded| draft.starts(excluded)) {
                claims.push((other.clone(), Action::Start, Reason::WantedBy { unit }));
            }
        }
    }
    claims
}

/// Returns the units that cannot run together with this one, whichever of the two says so.
fn excluded<'d>(draft: &'d Draft<'_>, unit: &UnitName) -> BTreeSet<&'d UnitName> {
    let own = draft.new.get(unit).into_iter().flat_map(|new| &new.relations.conflicts);
    let by_others =
        draft.new.iter().filter(|(_, other)| other.relations.conflicts.contains(unit)).map(|(name, _)| name);
    own.chain(by_others).collect()
}
