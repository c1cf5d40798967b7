//! What starts a unit: the targets that contain it.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::machine::Machine;
use crate::bundle::unit::{UnitName, Value};
use crate::compile::config::Set;

/// Makes a unit stop and restart with its targets, and be started by them when it is started at all.
pub(super) fn into_targets(draft: &mut Draft, machine: &Machine<'_>, part_of: &Set, starts: bool) {
    let targets = machine.targets_of(part_of);
    draft.units("PartOf", targets.clone());
    if starts {
        draft.wanted_by(targets);
    }
}

/// Puts a timer or socket into its well-known target and into the main target, which stops and starts it again.
pub(super) fn into_system_target(draft: &mut Draft, targets: BTreeSet<UnitName>, system_target: &str) {
    draft.units("PartOf", targets.clone());
    draft.wanted_by(targets.into_iter().chain(UnitName::parse(system_target)).collect());
}

/// Describes a unit: in the profile's words, or by default.
pub(super) fn describe(draft: &mut Draft, description: Option<&str>, default: impl FnOnce() -> String) {
    let text = description.map_or_else(default, str::to_owned);
    draft.unit("Description", Value::Text(text), "description");
}
