//! `gpu apply` and `gpu restore`, killed at every call of the driver.

use serde_json::json;

use super::fake::{Host, Said};

const SIGKILL: Option<i32> = Some(9);

fn settings(host: &Host) -> String {
    host.config(&json!([
        {
            "name": "first", "index": 0, "persistence_mode": true, "power_limit_watts": 100,
            "graphics_clock_mhz": { "min": 210, "max": 1500 }, "compute_mode": "exclusive_process"
        },
        { "name": "second", "index": 1, "power_limit_watts": 120, "memory_clock_mhz": { "min": 405, "max": 6501 } },
    ]))
}

/// Kills a command before or behind a call of the driver; returns what it said when it came that far.
fn killed(host: &Host, arguments: &[&str], point: usize, how: &str) -> Said {
    host.faults(&format!("#{point} {how}"));
    let said = host.run(arguments);
    host.faults("");
    said
}

#[test]
fn apply_killed_at_any_call_is_taken_back() {
    let host = Host::new("two_a4000");
    let config = settings(&host);
    let apply = ["gpu", "apply", "--config", &config];
    // Somebody gave it a limit of his own before.
    host.change("gpu0.power_limit", "130000");
    let before = host.machine();
    host.done(&apply);
    let calls = host.calls();
    host.done(&["gpu", "restore"]);
    assert!(calls > 50, "only {calls} calls");
    for point in 1..=calls {
        let said = killed(&host, &apply, point, "kill");
        assert_eq!(said.signal, SIGKILL, "call {point} of {calls}: {said:?}");
        host.done(&["gpu", "restore"]);
        assert_eq!(host.machine(), before, "restore after a kill before call {point} of {calls}");
        killed(&host, &apply, point, "kill-after");
        host.done(&apply);
        host.done(&["gpu", "restore"]);
        assert_eq!(host.machine(), before, "apply and restore after a kill behind call {point} of {calls}");
    }
}

#[test]
fn restore_killed_at_any_call_is_finished_by_the_next() {
    let host = Host::new("two_a4000");
    let config = settings(&host);
    let before = host.machine();
    host.done(&["gpu", "apply", "--config", &config]);
    host.calls();
    host.done(&["gpu", "restore"]);
    let calls = host.calls();
    assert!(calls > 50, "only {calls} calls");
    for point in 1..=calls {
        host.done(&["gpu", "apply", "--config", &config]);
        let said = killed(&host, &["gpu", "restore"], point, "kill-after");
        assert_eq!(said.signal, SIGKILL, "call {point} of {calls}: {said:?}");
        host.done(&["gpu", "restore"]);
        assert_eq!(host.machine(), before, "call {point} of {calls}");
    }
}
