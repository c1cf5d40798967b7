//! Slices: budgets that several services share.

use super::Output;
use super::draft::Draft;
use super::install::describe;
use crate::bundle::unit::Value;
use crate::compile::finding::OptionPath;
use crate::compile::system::System;

pub(super) fn lower(system: &System, out: &mut Output) {
    for (key, slice) in &system.profile.slices {
        let Some(name) = system.slices.get(key) else { continue };
        let mut draft = Draft::new(OptionPath::new(["slices", key]), "Slice");
        describe(&mut draft, slice.description.as_deref(), || format!("{key} (shared budget)"));
        draft.own_if("MemoryHigh", slice.memory_high.map(Value::Bytes), "memory_high");
        draft.own_if("MemoryMax", slice.memory_max.map(Value::Bytes), "memory_max");
        draft.own_if("CPUQuota", slice.cpu_quota.map(Value::Percent), "cpu_quota");
        draft.own_if("CPUWeight", slice.cpu_weight.map(u64::from).map(Value::Number), "cpu_weight");
        draft.own_if("IOWeight", slice.io_weight.map(u64::from).map(Value::Number), "io_weight");
        draft.own_if("TasksMax", slice.tasks_max.map(Value::Number), "tasks_max");
        draft.finish(name.clone(), out, |_| {});
    }
}
