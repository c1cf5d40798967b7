//! Timers: that they have a time, and start what does not run anyway.

use crate::compile::config::Start;
use crate::compile::finding::{Finding, OptionPath};

use super::codes::{TIMER_OF_RUNNING, TIMER_WITHOUT_TIME};
use super::context::Context;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let profile = &context.system.profile;
    for (key, timer) in profile.timers.iter().filter(|(_, timer)| timer.enable) {
        let origin = OptionPath::new(["timers", key]);
        if timer.calendar.is_none() && timer.after_boot.is_none() && timer.interval.is_none() {
            findings.push(
                Finding::error(
                    TIMER_WITHOUT_TIME,
                    format!("the timer {key} does not say when it starts {}", timer.service),
                )
                .at(origin.clone(), "this timer")
                .help("add one of `calendar`, `after_boot` and `interval`, such as `calendar = \"daily\"`"),
            );
        } else if timer.calendar.is_none() && timer.after_boot.is_none() {
            findings.push(
                Finding::error(
                    TIMER_WITHOUT_TIME,
                    format!("the timer {key} never starts {} for the first time", timer.service),
                )
                .at(origin.join("interval"), "counted from the last start")
                .help("add the first time: `after_boot = \"5min\"`"),
            );
        }
        let service =
            context.known.services.get(timer.service.as_str()).and_then(|at| context.system.services.get(*at));
        if let Some(service) = service.filter(|service| service.spec.start == Start::Boot && !service.is_oneshot()) {
            findings.push(
                Finding::warning(
                    TIMER_OF_RUNNING,
                    format!("the timer {key} starts {}, which runs since boot", service.key),
                )
                .at(origin.join("service"), "started here")
                .at(service.origin.clone(), "runs all the time")
                .note("systemd ignores a start of what runs already")
                .help("make a oneshot of it with `exec.type = 'oneshot`, or write `start = 'manual`"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{found, service};

    #[test]
    fn a_timer_has_a_time() {
        let oneshot = service(json!({ "exec": { "type": "oneshot" }, "start": "manual" }));
        let table = [
            (json!({}), "C0235 error timers.t: the timer t does not say when it starts a"),
            (
                json!({ "interval": "1h" }),
                "C0235 error timers.t.interval: the timer t never starts a for the first time",
            ),
            (json!({ "interval": "1h", "after_boot": "1h" }), ""),
            (json!({ "calendar": "daily" }), ""),
        ];
        for (mut timer, expected) in table {
            timer["service"] = json!("a");
            assert_eq!(found(json!({ "services": { "a": oneshot }, "timers": { "t": timer } })).join("\n"), expected);
        }
    }

    #[test]
    fn a_timer_does_not_start_what_runs() {
        let timer = json!({ "service": "a", "calendar": "daily" });
        assert_eq!(
            found(json!({ "services": { "a": service(json!({})) }, "timers": { "t": timer } })),
            ["C0236 warning timers.t.service: the timer t starts a, which runs since boot"]
        );
    }
}
