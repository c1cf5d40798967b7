//! That failing probes leave nothing behind. Alone in its process, since it counts what the process has open.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "health/server.rs"]
mod server;

use std::fs;
use std::time::Duration;

use citadel::bundle::unit::UnitName;
use citadel::health::host::GpuProcesses;
use citadel::health::{Host, Probe, Subject, run};
use citadel::plan::UnitState;
use serde_json::{Value, json};

use server::{Server, answer};

/// How often each probe fails.
const TIMES: usize = 200;

struct Down;

impl Host for Down {
    async fn unit(&self, _: &UnitName) -> Result<UnitState, String> {
        Ok(UnitState::default())
    }

    fn gpu(&self) -> Option<&dyn GpuProcesses> {
        None
    }
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).expect("it is readable").count()
}

fn children() -> String {
    let tasks = fs::read_dir("/proc/self/task").expect("it is readable");
    let children = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks.map(|task| children(task.expect("a task"))).collect()
}

#[tokio::test]
async fn failing_probes_leave_nothing_behind() {
    let fails = Server::start(answer(503, "")).await;
    let silent = Server::silent().await;
    let dripping = Server::dripping("HTTP/1.1 200 OK\r\n\r\n", "x").await;
    let endless = Server::endless("HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx").await;
    let http = |server: &Server| json!({ "http": { "host": "127.0.0.1", "port": server.port(), "path": "/", "status": 200, "contains": "y" } });
    // These never get to an end of their own.
    let vain = |mut test: Value| {
        test["timeout"] = json!("5ms");
        test
    };
    let probes: Vec<Value> = vec![
        http(&fails),
        vain(http(&silent)),
        vain(http(&dripping)),
        vain(http(&endless)),
        json!({ "http": { "socket": "/no/such.sock", "path": "/", "status": 200 } }),
        json!({ "tcp": { "host": "127.0.0.1", "port": 1 } }),
        json!({ "tcp": { "host": "x".repeat(64), "port": 1 } }),
        vain(json!({ "redis": { "host": "127.0.0.1", "port": silent.port() } })),
        json!({ "command": ["/bin/false"] }),
        vain(json!({ "command": ["/bin/sh", "-c", "trap '' TERM; sleep 1000 & wait"] })),
        json!({ "command": ["/no/such/program"] }),
        json!({ "unit": { "max_restarts": 0, "window": "1s" } }),
        json!({ "file": "/no/such/file" }),
        json!({ "mount": "/no/such/place" }),
    ];
    let subject = Subject {
        unit: UnitName::parse("a.service").unwrap(),
        user: rustix::process::geteuid().is_root().then(|| "nobody".to_owned()),
        group: None,
        supplementary: Vec::new(),
        oneshot: false,
        restarts: None,
        probes: [].into(),
    };
    for test in probes {
        let mut written = json!({ "interval": "1s", "timeout": "10s", "retries": 1, "start_period": "0s" });
        written.as_object_mut().unwrap().extend(test.as_object().unwrap().clone());
        let probe: Probe = serde_json::from_value(written).expect("a probe");
        // The first use of some things opens what stays open.
        run(&probe, &subject, &Down).await.expect_err("it fails");
        settle(|| children().is_empty()).await;
        let before = (count("/proc/self/fd"), count("/proc/self/task"));
        for _ in 0..TIMES {
            run(&probe, &subject, &Down).await.expect_err("it fails");
        }
        // The servers close their ends and the last threads end after that.
        settle(|| children().is_empty() && count("/proc/self/fd") <= before.0 && count("/proc/self/task") <= before.1)
            .await;
    }
}

/// Waits until something is so, with more patience than anything needs.
async fn settle(reached: impl Fn() -> bool) {
    let until = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), until).await.expect("something is left behind");
}
