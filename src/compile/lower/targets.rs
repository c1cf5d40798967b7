//! Targets: the main one, and those of the profile.

use super::Output;
use super::draft::Draft;
use super::install::{describe, into_targets};
use super::machine::Machine;
use crate::bundle::unit::UnitName;
use crate::compile::finding::OptionPath;

pub(super) fn lower(machine: &Machine<'_>, out: &mut Output) {
    let system = machine.system;
    let mut main = Draft::new(OptionPath::new(["target"]), "Target");
    describe(&mut main, Some(&system.profile.target.description), String::new);
    main.wanted_by(UnitName::parse("multi-user.target").into_iter().collect());
    main.finish(system.main_target.clone(), out, |_| {});

    for (key, target) in &system.profile.targets {
        let Some(name) = system.targets.get(key) else { continue };
        let mut draft = Draft::new(OptionPath::new(["targets", key]), "Target");
        describe(&mut draft, target.description.as_deref(), || format!("{key} (group of services)"));
        let requires = machine.units_of(&target.requires);
        let mut wants = machine.units_of(&target.wants);
        wants.retain(|unit| !requires.contains(unit));
        let mut after = machine.units_of(&target.after);
        after.extend(requires.iter().chain(&wants).cloned());
        draft.units("Requires", requires);
        draft.units("Wants", wants);
        // Between two targets systemd derives an order from `PartOf=` or from `WantedBy=`, whichever it reads first; seen
        // on 252. Written out, the inner one always comes first.
        let mut outer = machine.targets_of(&target.part_of);
        outer.retain(|unit| !after.contains(unit));
        draft.units("After", after);
        draft.units("Before", outer);
        into_targets(&mut draft, machine, &target.part_of, target.boot);
        draft.finish(name.clone(), out, |entry| entry.phase.clone_from(&target.phase));
    }
}
