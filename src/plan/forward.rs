//! What a switch to another bundle does to the units of a host.

use std::collections::BTreeSet;
use std::path::Path;

use super::action::{Action, Plan, Reason};
use super::change::Change;
use super::content::differs;
use super::draft::{Claim, Draft};
use super::snapshot::Snapshot;
use super::spread::spread;
use super::units::{Unit, Units};
use crate::bundle::Bundle;
use crate::bundle::unit::{UnitKind, UnitName};

/// Returns what the move from one bundle to another does to each unit, given what runs.
///
/// `old` is none on a host that has no bundle yet.
pub fn forward(old: Option<&Bundle>, new: &Bundle, before: &Snapshot) -> Plan {
    let units = Units::new(old, before.units.keys());
    between((old, &units), new, before)
}

/// Returns what the move does on a host of which nothing is known: what is wanted at boot runs, and nothing else.
///
/// This is what a host plans itself when its units are as they are after a boot.
pub fn predicted(old: Option<&Bundle>, new: &Bundle) -> Plan {
    let units = Units::new(old, []);
    between((old, &units), new, &units.assumed())
}

fn between((old_bundle, old): (Option<&Bundle>, &Units<'_>), new: &Bundle, before: &Snapshot) -> Plan {
    let changes = old_bundle.is_none_or(|old| differs(old, new));
    let new = Units::beside(Some(old), Some(new), before.units.keys());
    let mut draft = Draft::new(old, &new, before);
    let mut revived = BTreeSet::new();
    let names: BTreeSet<&UnitName> = old.names().chain(new.names()).collect();
    for name in names {
        let (mut action, mut reasons, retry) = alone(&draft, name);
        if let Some(socket) = draft.connection_of(name).filter(|_| action.restarts()) {
            // A restart would cut the connection off, and the new run would have none.
            action = Action::Keep;
            reasons.insert(0, Reason::Connection { unit: socket.clone() });
        }
        if let Some(template) = template(&draft, name).filter(|_| action != Action::Nothing) {
            reasons.insert(0, Reason::Template { unit: template });
        }
        if retry {
            revived.insert(name.clone());
        }
        draft.set(name, action, reasons);
    }
    loop {
        let grown = spread(&mut draft);
        let claims: Vec<Claim> = starts(&draft, &revived).into_iter().chain(unneeded(&draft)).collect();
        if !draft.raise(claims) && !grown {
            break;
        }
    }
    draft.finish(changes)
}

/// Returns what happens to a unit by itself and why, and whether it failed and has changed since.
fn alone(draft: &Draft<'_>, name: &UnitName) -> (Action, Vec<Reason>, bool) {
    let up = draft.is_up(name);
    let foreign =
        draft.live(name).and_then(|state| state.fragment.as_deref()).filter(|_| up).filter(|file| is_foreign(file));
    let (old, new) = (draft.old.get(name), draft.new.get(name));
    let Some(new) = new else {
        let stops = up && foreign.is_none();
        return (if stops { Action::Stop } else { Action::Nothing }, vec![Reason::Removed], false);
    };
    if let Some(file) = foreign {
        // An instance with a file of its own is not what the template makes.
        let own_file = file.file_name().is_some_and(|file| file == name.as_str());
        return if new.template.is_some() && own_file {
            (Action::Nothing, vec![Reason::Unchanged], false)
        } else if draft.is_masked(name) {
            (Action::Nothing, vec![Reason::Masked], false)
        } else {
            (Action::StopStart, vec![Reason::Adopted { file: file.display().to_string() }], false)
        };
    }
    if draft.is_masked(name) {
        return (Action::Nothing, vec![Reason::Masked], false);
    }
    let Some(old) = old else {
        return match up {
            true => (Action::Restart, vec![Reason::Added], false),
            false => (Action::Nothing, vec![Reason::OnDemand, Reason::Added], false),
        };
    };
    let change = Change::between(name, (draft.old, old), (draft.new, new));
    if name.is_template() {
        let (action, reasons) = match change.reasons.is_empty() {
            true => (Action::Nothing, vec![Reason::Unchanged]),
            false => (Action::ReloadManager, change.reasons),
        };
        (action, reasons, false)
    } else if up {
        let (action, reasons) = change.while_up(new);
        (action, reasons, false)
    } else {
        let action = if change.reasons.is_empty() { Action::Nothing } else { Action::ReloadManager };
        let reasons = std::iter::once(Reason::NotRunning).chain(change.reasons).collect();
        (action, reasons, change.matters && draft.has_failed(name))
    }
}

fn template(draft: &Draft<'_>, name: &UnitName) -> Option<UnitName> {
    draft.new.get(name).or_else(|| draft.old.get(name))?.template.clone()
}

/// Whether a unit file comes from somebody else than citadel's generator.
pub(super) fn is_foreign(file: &Path) -> bool {
    let ours =
        ["/run/systemd/generator", "/run/systemd/generator.early", "/run/systemd/generator.late", "/etc/citadel"];
    !ours.iter().any(|folder| file.starts_with(folder))
}

/// Returns the units that do not run and shall, because something wants them that did not do so before.
fn starts(draft: &Draft<'_>, revived: &BTreeSet<UnitName>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (name, new) in draft.new.iter() {
        if draft.is_up(name) || draft.starts(name) || name.is_template() || new.refuses_start() {
            continue;
        }
        let wanters = wanters(draft, name, new);
        let failed = draft.has_failed(name);
        let found = match draft.old.get(name) {
            // A unit that failed under a file of somebody else is new as well.
            None => wanters.first().map(|wanter| reason(draft, wanter, name)),
            Some(_) if revived.contains(name) => wanters.first().map(|_| Reason::FailedBefore),
            // What failed and has not changed fails again.
            Some(_) if failed => None,
            Some(old) => wanters
                .iter()
                .find(|wanter| !was_wanted_by(draft, name, old, wanter))
                .map(|wanter| reason(draft, wanter, name))
                .or_else(|| {
                    let needed = new.relations.requires.iter().find(|other| is_retried(draft, other));
                    needed.filter(|_| !wanters.is_empty()).map(|unit| Reason::DependsOn { unit: unit.clone() })
                }),
        };
        claims.extend(found.map(|reason| (name.clone(), Action::Start, reason)));
    }
    claims
}

/// Returns the units that from now on run only while something needs them, and nothing does: systemd would stop them, and
/// each start of them would end at once.
fn unneeded(draft: &Draft<'_>) -> Vec<Claim> {
    let up = draft.new.iter().filter(|(name, new)| draft.is_up(name) && new.stops_when_unneeded());
    let newly = up.filter(|(name, _)| draft.old.get(name).is_some_and(|old| !old.stops_when_unneeded()));
    let unneeded = newly.filter(|(name, new)| wanters(draft, name, new).is_empty());
    unneeded.map(|(name, _)| (name.clone(), Action::Stop, Reason::OnDemand)).collect()
}

/// Returns the units that are up when the switch is done and that start this one.
pub(super) fn wanters(draft: &Draft<'_>, name: &UnitName, new: &Unit<'_>) -> Vec<UnitName> {
    let ours = draft.new.iter().filter(|(_, other)| other.relations.pulls_in().any(|wanted| wanted == name));
    let ours = ours.map(|(wanter, _)| wanter).filter(|wanter| draft.will_run(wanter)).cloned();
    let others = new.wanted_by().filter(|wanter| new.template.is_none() && !draft.new.contains(wanter));
    ours.chain(others.filter(|wanter| is_reached(draft, wanter))).collect()
}

/// Whether a unit of somebody else is up; the targets of each boot are when nothing else is known.
fn is_reached(draft: &Draft<'_>, unit: &UnitName) -> bool {
    match draft.live(unit) {
        Some(state) => state.active.is_up(),
        None => unit.kind() == UnitKind::Target && BOOT_TARGETS.contains(&unit.stem()),
    }
}

const BOOT_TARGETS: [&str; 13] = [
    "basic",
    "default",
    "graphical",
    "local-fs",
    "multi-user",
    "network",
    "network-online",
    "paths",
    "remote-fs",
    "sockets",
    "swap",
    "sysinit",
    "timers",
];

fn was_wanted_by(draft: &Draft<'_>, name: &UnitName, old: &Unit<'_>, wanter: &UnitName) -> bool {
    old.wanted_by().any(|other| other == *wanter)
        || draft.old.get(wanter).is_some_and(|wanter| wanter.relations.pulls_in().any(|wanted| wanted == name))
}

pub(super) fn reason(draft: &Draft<'_>, wanter: &UnitName, wanted: &UnitName) -> Reason {
    let unit = wanter.clone();
    let requires = draft.new.get(wanter).is_some_and(|wanter| wanter.relations.requires.contains(wanted));
    if requires { Reason::RequiredBy { unit } } else { Reason::WantedBy { unit } }
}

fn is_retried(draft: &Draft<'_>, unit: &UnitName) -> bool {
    draft.action(unit) == Action::Start && draft.has_failed(unit)
}
