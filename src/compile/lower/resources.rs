//! Limits, budgets and priorities of a service.

use super::draft::{Draft, word};
use crate::bundle::unit::Value;
use crate::compile::config::{Limit, Priority};
use crate::compile::system::ServiceView;

pub(super) fn lower(draft: &mut Draft, service: &ServiceView, slice: Option<&str>) {
    let limits = &service.spec.limits;
    draft.own("LimitNOFILE", limit(&limits.nofile), "limits.nofile");
    draft.own_if("LimitNPROC", limits.nproc.as_ref().map(limit), "limits.nproc");
    draft.own_if("LimitMEMLOCK", limits.memlock.as_ref().map(limit), "limits.memlock");
    draft.own("LimitCORE", limit(&limits.core), "limits.core");
    draft.own_if("LimitSTACK", limits.stack.as_ref().map(limit), "limits.stack");

    let resources = &service.spec.resources;
    let weights = weights(service.spec.priority);
    let weight =
        |own: Option<u32>| own.map(u64::from).or(weights.map(|weights| weights.cpu_and_disk)).map(Value::Number);
    draft.own_if("MemoryHigh", resources.memory_high.map(Value::Bytes), "resources.memory_high");
    draft.own_if("MemoryMax", resources.memory_max.map(Value::Bytes), "resources.memory_max");
    draft.own_if("MemorySwapMax", resources.memory_swap_max.map(Value::Bytes), "resources.memory_swap_max");
    draft.own_if("CPUQuota", resources.cpu_quota.map(Value::Percent), "resources.cpu_quota");
    draft.own_if("CPUWeight", weight(resources.cpu_weight), "resources.cpu_weight");
    draft.own_if("IOWeight", weight(resources.io_weight), "resources.io_weight");
    draft.own_if("TasksMax", resources.tasks_max.map(Value::Number), "resources.tasks_max");
    draft.own_if("OOMScoreAdjust", weights.map(|weights| Value::Signed(weights.oom_score)), "priority");
    draft.own_if("Slice", slice.map(word), "slice");
}

/// What a priority other than the normal one means.
#[derive(Clone, Copy)]
struct Weights {
    /// Shares of CPU and disk; everything else on the machine has 100.
    cpu_and_disk: u64,
    /// Added to the badness by which the kernel picks what to kill when memory runs out, from -1000 to 1000.
    oom_score: i64,
}

/// A high priority is worth four normal ones and is killed late, a low one is worth a quarter and is killed first.
fn weights(priority: Priority) -> Option<Weights> {
    match priority {
        Priority::High => Some(Weights { cpu_and_disk: 400, oom_score: -300 }),
        Priority::Normal => None,
        Priority::Low => Some(Weights { cpu_and_disk: 25, oom_score: 500 }),
    }
}

fn limit(limit: &Limit) -> Value {
    match limit {
        Limit::Number(number) => Value::Number(*number),
        Limit::Text(text) => word(text),
    }
}
