//! Timers of the profile.

use super::Output;
use super::draft::{Draft, word};
use super::install::{describe, into_system_target};
use super::machine::Machine;
use crate::bundle::quantity::Span;
use crate::bundle::unit::Value;
use crate::compile::finding::OptionPath;

pub(super) fn lower(machine: &Machine<'_>, out: &mut Output) {
    let system = machine.system;
    for (key, timer) in system.profile.timers.iter().filter(|(_, timer)| timer.enable) {
        // A timer without a service is a dangling reference, which the checks report.
        let (Some(name), Some(service)) = (system.timers.get(key), machine.service(&timer.service)) else { continue };
        let mut draft = Draft::new(OptionPath::new(["timers", key]), "Timer");
        describe(&mut draft, timer.description.as_deref(), || format!("{key} (timer of {})", service.key));
        into_system_target(&mut draft, machine.targets_of(&service.spec.part_of), "timers.target");
        draft.own_if("OnCalendar", timer.calendar.clone().map(Value::Text), "calendar");
        draft.own_if("OnBootSec", timer.after_boot.map(Value::Time), "after_boot");
        if let Some(interval) = timer.interval {
            if timer.calendar.is_none() && timer.after_boot.is_none() {
                // Alone, the interval would count from a first start that never comes.
                draft.own("OnActiveSec", Value::Time(interval), "interval");
            }
            draft.own("OnUnitActiveSec", Value::Time(interval), "interval");
        }
        draft.own("AccuracySec", Value::Time(timer.accuracy), "accuracy");
        if timer.random_delay > Span::default() {
            draft.own("RandomizedDelaySec", Value::Time(timer.random_delay), "random_delay");
        }
        if timer.calendar.is_some() {
            draft.own("Persistent", Value::Bool(timer.persistent), "persistent");
        }
        draft.own("Unit", word(service.unit.as_str()), "service");
        draft.finish(name.clone(), out, |entry| {
            entry.service = Some(key.clone());
            entry.phase.clone_from(&service.phase);
        });
    }
}
