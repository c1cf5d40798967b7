//! Restarts: limits that never trigger, services that stay down, delays that do not grow, watchdogs nobody feeds.

use std::time::Duration;

use crate::bundle::quantity::Span;
use crate::compile::config::{ExecType, Restart, RestartPolicy};
use crate::compile::finding::Finding;
use crate::compile::system::{ServiceView, Workload};

use super::codes::{BACKOFF_SHRINKS, BACKOFF_WITHOUT_EFFECT, LIMIT_NEVER_TRIGGERS, NEVER_RECOVERS, WATCHDOG};
use super::context::Context;

/// The version of systemd that brought `RestartMaxDelaySec=` and `RestartSteps=`.
const BACKOFF_SINCE: u32 = 254;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        findings.extend(check_watchdog(service));
        if service.is_oneshot() {
            continue;
        }
        findings.extend(check_limit(service));
        findings.extend(check_recovery(service));
        let restart = &service.spec.restart;
        let Some(max_delay) = restart.max_delay else { continue };
        if max_delay < restart.delay {
            findings.push(
                Finding::error(
                    BACKOFF_SHRINKS,
                    format!("the longest restart delay of {} is shorter than the first", service.key),
                )
                .at(service.option("restart.max_delay"), format!("at most {max_delay}"))
                .at(service.option("restart.delay"), format!("at first {}", restart.delay))
                .help(format!("write a `max_delay` above {}, or remove it", restart.delay)),
            );
        }
        let systemd = context.system.profile.host.systemd;
        if systemd < BACKOFF_SINCE && max_delay >= restart.delay {
            findings.push(
                Finding::warning(
                    BACKOFF_WITHOUT_EFFECT,
                    format!("the restart delay of {} cannot grow on this host", service.key),
                )
                .at(service.option("restart.max_delay"), "left out")
                .note(format!("the host has systemd {systemd}; delays grow since {BACKOFF_SINCE}"))
                .help(format!("remove it; every pause is then {}", restart.delay)),
            );
        }
    }
}

/// Returns how long the pauses before the first restarts are together.
///
/// systemd multiplies the delay by the `steps`-th root of `max_delay / delay` at each restart (systemd.service(5)).
fn pauses(restart: &Restart, grows: bool) -> Duration {
    let first = restart.delay.0.as_secs_f64();
    let last = restart.max_delay.filter(|_| grows).map_or(first, |max| max.0.as_secs_f64());
    let factor = if first > 0.0 && last > first { (last / first).powf(1.0 / f64::from(restart.steps)) } else { 1.0 };
    let pause = |restart: u32| (first * factor.powi(i32::try_from(restart).unwrap_or(i32::MAX))).min(last);
    Duration::from_secs_f64((0..restart.max_starts.min(10_000)).map(pause).sum::<f64>().min(1e12))
}

fn check_limit(service: &ServiceView) -> Option<Finding> {
    let restart = &service.spec.restart;
    let window = restart.window.filter(|_| restart.policy != RestartPolicy::Never)?;
    let starts = restart.max_starts;
    let pauses = pauses(restart, true);
    let place = service.option("restart.window");
    let longest = Span::seconds((pauses + service.start_timeout.0 * starts).as_secs() + 60);
    let key = &service.key;
    if pauses >= window.0 {
        return Some(
            Finding::error(LIMIT_NEVER_TRIGGERS, format!("the start limit of {key} never triggers"))
                .at(place, format!("a window of {window}"))
                .at(service.option("restart.max_starts"), format!("{starts} starts"))
                .note(format!("the pauses before {starts} restarts alone take {}", whole(pauses)))
                .note("a service that always fails is then started again for ever, and nobody is told")
                .help(format!("remove `window`, so that it fits, or write at least `window = \"{longest}\"`")),
        );
    }
    let slow = pauses + service.start_timeout.0 * starts;
    (slow >= window.0).then(|| {
        Finding::warning(
            LIMIT_NEVER_TRIGGERS,
            format!("the start limit of {key} does not trigger when it fails slowly"),
        )
        .at(place, format!("a window of {window}"))
        .at(service.option("restart.max_starts"), format!("{starts} starts"))
        .note(format!(
            "a start may take {}, so {starts} of them with their pauses take up to {}",
            service.start_timeout,
            whole(slow)
        ))
        .help(format!("remove `window`, so that it fits, or write at least `window = \"{longest}\"`"))
    })
}

fn whole(duration: Duration) -> Span {
    Span::seconds(duration.as_secs())
}

fn check_recovery(service: &ServiceView) -> Option<Finding> {
    let restart = &service.spec.restart;
    let key = &service.key;
    if service.spec.vllm.is_some() && restart.policy != RestartPolicy::Always {
        return Some(
            Finding::error(NEVER_RECOVERS, format!("{key} stays down when the engine of vLLM dies"))
                .at(service.option("restart.policy"), "not started again after a clean end")
                .note("vLLM ends with status 0 when its engine dies, which systemd takes for a clean end")
                .help("write `restart.policy = 'always`"),
        );
    }
    (restart.policy != RestartPolicy::Never && restart.max_starts == 1).then(|| {
        Finding::error(NEVER_RECOVERS, format!("{key} is never started again, because one start is all that it has"))
            .at(service.option("restart.max_starts"), "one start within the window")
            .note("the start by an operator or at boot counts too")
            .help("write at least `max_starts = 3`, or `policy = 'never` if that is meant")
    })
}

fn check_watchdog(service: &ServiceView) -> Option<Finding> {
    let watchdog = service.spec.watchdog?;
    let who = match service.workload()? {
        Workload::Vllm(_) => "vLLM",
        Workload::Celery(_) => "Celery",
        Workload::Exec(exec) if exec.kind != ExecType::Notify => "its program",
        _ => return None,
    };
    Some(
        Finding::error(WATCHDOG, format!("{} is killed every {watchdog}, because {who} does not report", service.key))
            .at(service.option("watchdog"), "it must report within this time")
            .note("a service reports by sending `WATCHDOG=1` to systemd, see sd_notify(3)")
            .help("remove `watchdog` and let a health probe decide; for a program of your own that reports, write `exec.type = 'notify`"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{found, service};

    fn of(patch: Value) -> String {
        found(json!({ "services": { "a": service(patch) } })).join("\n")
    }

    #[test]
    fn a_start_limit_must_be_able_to_trigger() {
        let table = [
            (json!({}), ""),
            (json!({ "window": "20min" }), ""),
            (json!({ "window": "50s" }), "C0260 error services.a.restart.window: the start limit of a never triggers"),
            (json!({ "window": "0s" }), "C0260 error services.a.restart.window: the start limit of a never triggers"),
            (
                json!({ "window": "60s" }),
                "C0260 warning services.a.restart.window: the start limit of a does not trigger when it fails slowly",
            ),
            // 10, 20, 40, 80, 160 s: 310 s.
            (
                json!({ "window": "300s", "max_delay": "320s" }),
                "C0260 error services.a.restart.window: the start limit of a never triggers",
            ),
            (json!({ "window": "50s", "policy": "never" }), ""),
        ];
        for (restart, expected) in table {
            assert_eq!(of(json!({ "restart": restart })), expected);
        }
    }

    #[test]
    fn a_failed_service_comes_back() {
        assert_eq!(
            of(json!({ "restart": { "max_starts": 1 } })),
            "C0261 error services.a.restart.max_starts: a is never started again, because one start is all that it has"
        );
    }

    #[test]
    fn delays_grow_where_systemd_can() {
        assert_eq!(
            of(json!({ "restart": { "max_delay": "5s" } })),
            "C0263 error services.a.restart.max_delay: the longest restart delay of a is shorter than the first"
        );
        let services = json!({ "a": service(json!({ "restart": { "max_delay": "1min" } })) });
        assert_eq!(
            found(json!({ "services": services, "host": { "systemd": 252 } })),
            ["C0262 warning services.a.restart.max_delay: the restart delay of a cannot grow on this host"]
        );
    }

    #[test]
    fn a_watchdog_needs_a_service_that_reports() {
        assert_eq!(
            of(json!({ "watchdog": "30s" })),
            "C0264 error services.a.watchdog: a is killed every 30s, because its program does not report"
        );
        assert_eq!(of(json!({ "watchdog": "30s", "exec": { "type": "notify" } })), "");
    }
}
