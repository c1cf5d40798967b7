//! A plan in words: what ends a process first, what only takes note of a change last.

use super::text::{count, harmless};
use crate::plan::{Action, Plan, Reason};

/// The actions that are shown unit by unit, in the order in which they are shown.
const SHOWN: [Action; 6] =
    [Action::Restart, Action::StopStart, Action::Stop, Action::Start, Action::Reload, Action::Keep];

/// How many reasons of a unit are shown.
const REASONS: usize = 2;

/// Returns the lines of a plan.
pub fn lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for action in SHOWN {
        let ordered = plan.with(action);
        // What is kept is not acted on and has no place in the order.
        let others = plan.steps.keys().filter(|unit| !plan.order.contains(unit) && plan.action(unit) == action);
        for unit in ordered.chain(others) {
            let reasons = plan.steps.get(unit).map(|step| step.reasons.as_slice()).unwrap_or_default();
            lines.push(format!("{} {unit}: {}", action.words(), because(reasons)));
        }
    }
    let of = |wanted: Action| plan.steps.values().filter(|step| step.action == wanted).count();
    match of(Action::ReloadManager) {
        0 => {}
        number => lines.push(format!("apply without restart: {}", count(number, "unit"))),
    }
    match of(Action::Nothing) {
        0 => {}
        number => lines.push(format!("untouched: {}", count(number, "unit"))),
    }
    lines
}

fn because(reasons: &[Reason]) -> String {
    let shown: Vec<String> = reasons.iter().take(REASONS).map(|reason| harmless(&reason.to_string())).collect();
    match reasons.len().saturating_sub(REASONS) {
        0 => shown.join("; "),
        more => format!("{}; and {}", shown.join("; "), count(more, "other reason")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::unit::UnitName;
    use crate::plan::Step;

    #[test]
    fn what_ends_processes_comes_first() {
        let name = |unit: &str| UnitName::parse(unit).expect("a name");
        let mut plan = Plan { changes: true, ..Plan::default() };
        let reasons = |count: usize| (0..count).map(|it| Reason::File { file: format!("env/{it}.env") }).collect();
        for (unit, action, count) in [
            ("a.service", Action::Nothing, 1),
            ("b.service", Action::ReloadManager, 1),
            ("c.service", Action::Reload, 1),
            ("d.service", Action::Restart, 4),
            ("e.service", Action::Start, 2),
            ("f.service", Action::Keep, 1),
        ] {
            plan.steps.insert(name(unit), Step { action, reasons: reasons(count), phase: None });
        }
        plan.order = [name("c.service"), name("e.service"), name("d.service")].into();
        assert_eq!(
            lines(&plan),
            [
                "restart d.service: env/0.env changes; env/1.env changes; and 2 other reasons",
                "start e.service: env/0.env changes; env/1.env changes",
                "reload c.service: env/0.env changes",
                "keep f.service: env/0.env changes",
                "apply without restart: 1 unit",
                "untouched: 1 unit",
            ]
        );
    }
}
