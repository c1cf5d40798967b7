//! An event as a line of text, without the time: whoever keeps it has a clock.

use super::plan;
use super::text::{count, harmless};
use crate::activate::Generation;
use crate::activate::progress::{Event, UnitProgress};

/// Returns what an event says; none when it is shown in another way.
pub fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Begun { from, to, profile, .. } => {
            let generation = |generation: &Generation| format!("generation {generation}");
            let to = to.as_ref().map_or_else(|| "a new generation".to_owned(), generation);
            let profile = profile.as_deref().map(|name| format!(" ({})", harmless(name))).unwrap_or_default();
            match from {
                Some(from) => format!("switch from generation {from} to {to}{profile}"),
                None => format!("switch to {to}{profile}"),
            }
        }
        Event::Planned { plan } => {
            let lines: Vec<String> = plan::lines(plan).into_iter().map(|line| format!("  {line}")).collect();
            let head = if plan.changes { "plan:" } else { "plan: nothing changes" };
            [&[head.to_owned()], lines.as_slice()].concat().join("\n")
        }
        Event::Stage { name } => harmless(name),
        Event::Phase { name, units } => format!("phase {}: {}", harmless(name), count(*units, "unit")),
        Event::Unit { unit, action, state } => match state {
            UnitProgress::Begun => format!("{} {unit}", action.words()),
            UnitProgress::Done { seconds } => format!("{} {unit}: done in {seconds:.1}s", action.words()),
            UnitProgress::Failed { message } => format!("{} {unit}: failed: {}", action.words(), harmless(message)),
        },
        Event::Waiting { unit, message } => format!("waiting for {unit}: {}", harmless(message)),
        Event::Healthy { unit } => format!("{unit} is healthy"),
        Event::Confirm { seconds } => format!("waiting for `citadel confirm`, for {seconds}s"),
        Event::Warning { message } => format!("warning: {}", harmless(message)),
        Event::Failed { message } => format!("failed: {}", harmless(message)),
        Event::Finished { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activate::progress::Outcome;
    use crate::bundle::unit::UnitName;
    use crate::plan::{Action, Plan};

    #[test]
    fn each_event_is_a_line() {
        let unit = || UnitName::parse("citadel-phi3.service").expect("a name");
        let of = |state| Event::Unit { unit: unit(), action: Action::Restart, state };
        let text = |text: &str| text.to_owned();
        let first = Event::Begun { id: text("1"), from: None, to: Some(Generation(1)), profile: Some(text("a\u{7}b")) };
        let next = Event::Begun { id: text("2"), from: Some(Generation(1)), to: None, profile: None };
        let cases = [
            (first, Some("switch to generation 1 (a\u{fffd}b)")),
            (next, Some("switch from generation 1 to a new generation")),
            (Event::Planned { plan: Plan::default() }, Some("plan: nothing changes")),
            (Event::Stage { name: text("check") }, Some("check")),
            (Event::Phase { name: text("models"), units: 3 }, Some("phase models: 3 units")),
            (Event::Phase { name: text("proxy"), units: 1 }, Some("phase proxy: 1 unit")),
            (of(UnitProgress::Begun), Some("restart citadel-phi3.service")),
            (of(UnitProgress::Done { seconds: 12.345 }), Some("restart citadel-phi3.service: done in 12.3s")),
            (
                of(UnitProgress::Failed { message: text("it ended\nwith exit code 3") }),
                Some("restart citadel-phi3.service: failed: it ended with exit code 3"),
            ),
            (
                Event::Waiting { unit: unit(), message: text("connection refused") },
                Some("waiting for citadel-phi3.service: connection refused"),
            ),
            (Event::Healthy { unit: unit() }, Some("citadel-phi3.service is healthy")),
            (Event::Confirm { seconds: 90 }, Some("waiting for `citadel confirm`, for 90s")),
            (Event::Warning { message: text("w") }, Some("warning: w")),
            (Event::Failed { message: text("f") }, Some("failed: f")),
            (Event::Finished { outcome: Outcome::Done, summary: text("s"), seconds: 1.0 }, None),
        ];
        for (event, expected) in cases {
            assert_eq!(line(&event).as_deref(), expected, "{event:?}");
        }
    }
}
