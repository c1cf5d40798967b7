//! What runs on a host that nobody has looked at.

use std::collections::BTreeSet;

use super::snapshot::{ActiveState, LoadState, Snapshot, UnitState};
use super::units::Units;
use crate::bundle::Bundle;
use crate::bundle::unit::{UnitKind, UnitName};

impl Snapshot {
    /// Returns what runs if everything that is wanted at boot has started and stays: for a plan away from the host.
    ///
    /// Services whose runs end by themselves have ended.
    pub fn assumed(bundle: &Bundle) -> Self {
        Units::new(Some(bundle), []).assumed()
    }
}

impl Units<'_> {
    /// Returns what runs of these units if everything that is wanted at boot has started and stays.
    pub fn assumed(&self) -> Snapshot {
        let units = self;
        let at_boot = |name: &UnitName| {
            let unit = units.get(name);
            !name.is_template() && unit.is_some_and(|unit| unit.wanted_by().any(|wanter| !units.contains(&wanter)))
        };
        let mut next: Vec<UnitName> = units.names().filter(|name| at_boot(name)).cloned().collect();
        let mut up: BTreeSet<UnitName> = BTreeSet::new();
        while let Some(name) = next.pop() {
            let Some(unit) = units.get(&name) else { continue };
            if up.insert(name) {
                next.extend(unit.relations.pulls_in().cloned());
            }
        }
        up.retain(|name| units.get(name).is_some_and(|unit| !unit.finishes()));
        Snapshot { units: up.into_iter().map(|name| (name.clone(), running(&name))).collect() }
    }
}

fn running(name: &UnitName) -> UnitState {
    let sub = match name.kind() {
        UnitKind::Service | UnitKind::Scope => "running",
        UnitKind::Socket => "listening",
        UnitKind::Timer | UnitKind::Path | UnitKind::Automount => "waiting",
        UnitKind::Mount => "mounted",
        UnitKind::Device => "plugged",
        UnitKind::Slice | UnitKind::Swap | UnitKind::Target => "active",
    };
    UnitState { load: LoadState::Loaded, active: ActiveState::Active, sub: sub.to_owned(), ..UnitState::default() }
}
