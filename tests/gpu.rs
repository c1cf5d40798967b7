//! What `gpu` and `facts` do with GPUs of many kinds, and with a driver that fails in every way.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "gpu/fake.rs"]
mod fake;
#[path = "support/skip.rs"]
mod skip;
#[path = "gpu/walk.rs"]
mod walk;

use fake::Host;
use serde_json::{Value, json};

/// Enough for a slow machine; a call that hangs costs this long.
const TIMEOUT: [&str; 2] = ["--timeout", "3s"];

/// Settings of every kind for the first GPU.
fn everything() -> Value {
    json!([{
        "name": "main", "index": 0, "persistence_mode": true, "power_limit_watts": 300, "compute_mode": "exclusive_process",
        "graphics_clock_mhz": { "min": 210, "max": 2520 }, "memory_clock_mhz": { "min": 405, "max": 10251 }
    }])
}

#[test]
fn status_shows_each_kind_of_machine() {
    let table = [
        ("rtx4090", json!([["NVIDIA GeForce RTX 4090", "0000:01:00.0", 24564, 450_000, null]])),
        ("rtx5090", json!([["NVIDIA GeForce RTX 5090", "0000:01:00.0", 32607, 575_000, null]])),
        ("h200", json!([["NVIDIA H200", "0000:c1:00.0", 143_771, 700_000, false]])),
        (
            "two_a4000",
            json!([
                ["NVIDIA RTX A4000", "0000:41:00.0", 16376, 140_000, null],
                ["NVIDIA RTX A4000", "0000:81:00.0", 16376, 140_000, null],
            ]),
        ),
        (
            "mixed",
            json!([
                ["NVIDIA GeForce RTX 4090", "0000:01:00.0", 24564, 450_000, null],
                ["NVIDIA GeForce RTX 4090 Laptop GPU", "0000:21:00.0", 16376, null, null],
                ["NVIDIA H200", "0000:c1:00.0", 143_771, 700_000, false],
            ]),
        ),
        ("none", json!([])),
    ];
    for (machine, expected) in table {
        let status = Host::new(machine).done(&["gpu", "status", "--json"]).json();
        assert_eq!(status["driver"]["version"], "580.95.05");
        assert_eq!(status["driver"]["cuda"], "13.0");
        let gpus = status["gpus"].as_array().unwrap().iter().map(|gpu| {
            let memory = gpu["memory_bytes"].as_u64().unwrap() >> 20;
            json!([gpu["name"], gpu["pci_address"], memory, gpu["power_limit_milliwatts"], gpu["mig"]])
        });
        assert_eq!(Value::Array(gpus.collect()), expected, "{machine}");
    }
    let text = Host::new("none").done(&["gpu", "status"]).out;
    assert!(text.ends_with("the driver finds no GPU\n"), "{text}");
    let text = Host::new("mixed").done(&["gpu", "status"]).out;
    assert!(text.contains("power limit       unknown: this GPU does not support it"), "{text}");
}

#[test]
fn settings_are_applied_and_taken_back() {
    let host = Host::new("rtx4090");
    let before = host.machine();
    let config = host.config(&everything());
    let planned = host.done(&["gpu", "plan", "--config", &config]).out;
    assert_eq!(
        planned,
        "GPU 0 (NVIDIA GeForce RTX 4090): persistence mode on (now off)\n\
         GPU 0 (NVIDIA GeForce RTX 4090): power limit 300 W (now 450 W)\n\
         GPU 0 (NVIDIA GeForce RTX 4090): graphics clock locked to 210 to 2520 MHz\n\
         GPU 0 (NVIDIA GeForce RTX 4090): memory clock locked to 405 to 10251 MHz\n\
         GPU 0 (NVIDIA GeForce RTX 4090): compute mode one process (now any number of processes)\n"
    );
    assert_eq!(host.machine(), before, "a plan changes nothing");
    assert_eq!(host.done(&["gpu", "apply", "--config", &config]).out, planned);
    let facts = ["persistence", "power_limit", "compute_mode", "locked", "memory_locked"];
    let applied = facts.map(|fact| host.fact(&format!("gpu0.{fact}")).unwrap());
    assert_eq!(applied, ["1", "300000", "3", "210-2520", "405-10251"]);
    let status = host.done(&["gpu", "status", "--json"]).json();
    assert_eq!(
        status["gpus"][0]["changed"][1],
        json!({
            "before": { "power_limit_milliwatts": 450_000 }, "applied": { "power_limit_milliwatts": 300_000 }
        })
    );
    host.done(&["gpu", "apply", "--config", &config]);
    host.done(&["gpu", "restore"]);
    assert_eq!(host.machine(), before, "what was there before the first of two calls counts");
    assert!(host.done(&["gpu", "restore"]).err.contains("nothing to take back"));
}

#[test]
fn a_plan_that_is_carried_out_has_nothing_left_but_clocks() {
    let host = Host::new("h200");
    let config = host.config(
        &json!([{ "name": "main", "uuid": "GPU-00000200-0000-4000-8000-000000000200", "power_limit_watts": 500 }]),
    );
    host.done(&["gpu", "apply", "--config", &config]);
    assert_eq!(host.run(&["gpu", "plan", "--exit-code", "--config", &config]).code, Some(10));
    let old = host.config(
        &json!([{ "name": "main", "index": 0, "applications_clock_mhz": { "graphics": 1500, "memory": 3201 } }]),
    );
    let said = host.done(&["gpu", "apply", "--config", &old]);
    assert!(said.err.contains("note: main: NVIDIA removes applications clocks"), "{said:?}");
    assert_eq!(host.fact("gpu0.locked").as_deref(), Some("1500-1500"));
    assert_eq!(host.fact("gpu0.power_limit").as_deref(), Some("700000"), "what is not wanted any more goes back");
}

#[test]
fn what_a_gpu_does_not_accept_changes_nothing() {
    let host = Host::new("two_a4000");
    let before = host.machine();
    let table = [
        (json!({ "power_limit_watts": 141 }), "the power limit cannot be 141 W: the GPU accepts 70 to 140 W"),
        (
            json!({ "graphics_clock_mhz": { "min": 210, "max": 3000 } }),
            "the graphics clock cannot be locked to 210 to 3000 MHz: the GPU knows clocks from 210 to 2100 MHz",
        ),
    ];
    for (setting, expected) in table {
        let mut wrong = json!({ "name": "second", "pci_address": "0000:81:00.0" });
        wrong.as_object_mut().unwrap().extend(setting.as_object().unwrap().clone());
        let config = host.config(&json!([{ "name": "first", "index": 0, "persistence_mode": true }, wrong]));
        let said = host.run(&["gpu", "apply", "--config", &config]);
        assert_eq!(said.code, Some(7), "{said:?}");
        assert!(said.err.contains(&format!("GPU 1 (NVIDIA RTX A4000): {expected}")), "{said:?}");
        assert_eq!(host.machine(), before);
    }
    let config = host.config(&json!([{ "name": "main", "model": "NVIDIA RTX A4000" }]));
    let said = host.run(&["gpu", "apply", "--config", &config]);
    assert!(said.code == Some(7) && said.err.contains("there are 2 GPUs of the model"), "{said:?}");
}

#[test]
fn what_a_gpu_does_not_know_is_a_warning_or_fatal() {
    let host = Host::new("mixed");
    let before = host.machine();
    let laptop = |unsupported: &str| {
        host.config(&json!([{
            "name": "laptop", "index": 1, "persistence_mode": true, "power_limit_watts": 100,
            "graphics_clock_mhz": { "min": 210, "max": 2000 }, "unsupported": unsupported
        }]))
    };
    let said = host.done(&["gpu", "apply", "--config", &laptop("warn")]);
    assert!(said.err.contains("the power limit cannot be 100 W: this GPU does not support it"), "{said:?}");
    assert!(said.err.contains("the graphics clock cannot be locked to 210 to 2000 MHz"), "{said:?}");
    assert_eq!(host.fact("gpu1.persistence").as_deref(), Some("1"));
    host.done(&["gpu", "restore"]);
    assert_eq!(host.machine(), before);
    assert_eq!(host.run(&["gpu", "apply", "--config", &laptop("fail")]).code, Some(7));
    assert_eq!(host.machine(), before);

    let host = Host::new("h200");
    host.change("gpu0.mig", "1");
    let config = host.config(&json!([{ "name": "main", "index": 0, "compute_mode": "exclusive_process" }]));
    let said = host.done(&["gpu", "apply", "--config", &config]);
    assert!(said.err.contains("MIG is on"), "{said:?}");
    let text = host.done(&["gpu", "status"]).out;
    assert!(text.contains("MIG is on"), "{text}");
}

#[test]
fn each_state_of_the_driver_has_its_message() {
    let table: [(&str, &str, &str); 9] = [
        ("nvmlInit_v2 error 9", "no_driver", "installed but not loaded"),
        ("nvmlInit_v2 error 18", "version_mismatch", "different versions"),
        ("nvmlInit_v2 error 4", "no_permission", "try as root"),
        ("nvmlInit_v2 error 12", "no_library", "libnvidia-ml.so.1 is not installed"),
        ("nvmlInit_v2 error 15", "lost", "fallen off the bus"),
        ("nvmlInit_v2 error 999", "failed", "internal driver error"),
        ("nvmlInit_v2 error 28", "failed", "NVML error 28"),
        ("nvmlInit_v2 hang", "hung", "did not answer in 3 s"),
        ("nvmlInit_v2 kill-caller", "died", "signal: 9"),
    ];
    for (fault, state, message) in table {
        let host = Host::new("rtx4090");
        host.faults(fault);
        let config = host.config(&everything());
        for command in [&["status"][..], &["plan", "--config", &config], &["apply", "--config", &config], &["watch"]] {
            let said = host.run(&[&["gpu"], command, &["--json"], &TIMEOUT].concat());
            assert_eq!(said.code, Some(3), "{fault}: {said:?}");
            assert_eq!(said.json()["trouble"]["state"], state, "{fault}: {said:?}");
            assert!(said.err.contains(message), "{fault}: {said:?}");
        }
    }
    let said = Host::without_driver().run(&["gpu", "status", "--json"]);
    // The machine of the test may have a driver.
    assert!(said.code == Some(0) || said.json()["trouble"]["state"] == "no_library", "{said:?}");
    let host = Host::new("rtx4090");
    host.without("nvmlInit_v2");
    let said = host.run(&["gpu", "status", "--json"]);
    assert_eq!(said.json()["trouble"], json!({ "state": "incomplete_library", "symbol": "nvmlInit_v2" }));
    let host = Host::new("rtx4090");
    std::fs::write(host.path("lib/libnvidia-ml.so.1"), "no library").unwrap();
    assert_eq!(host.run(&["gpu", "status", "--json"]).json()["trouble"]["state"], "broken_library");
}

#[test]
fn a_gpu_that_is_gone_leaves_the_others() {
    for (fault, kind) in [("error 15", "lost"), ("error 16", "lost"), ("hang", "hung"), ("kill-caller", "died")] {
        let host = Host::new("two_a4000");
        host.faults(&format!("nvmlDeviceGetTemperature@0 {fault}\nnvmlDeviceGetName@0 {fault}"));
        let status = host.done(&[&["gpu", "status", "--json"][..], &TIMEOUT].concat()).json();
        assert_eq!(status["gpus"][0]["index"], 1, "{status}");
        assert_eq!(status["silent"][0]["index"], 0, "{status}");
        assert_eq!(status["silent"][0]["kind"], kind, "{status}");
        let watched =
            host.done(&[&["gpu", "watch", "--json", "--count", "2", "--interval", "10ms"][..], &TIMEOUT].concat());
        let lines: Vec<Value> = watched.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let seen: Vec<(&Value, bool)> = lines.iter().map(|line| (&line["gpu"], line["refusal"].is_null())).collect();
        assert_eq!(seen, [(&json!(0), false), (&json!(1), true), (&json!(0), false), (&json!(1), true)], "{watched:?}");
    }
}

#[test]
fn a_missing_function_is_missing_alone() {
    for function in [
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetSupportedMemoryClocks",
    ] {
        let host = Host::new("rtx4090");
        let before = host.machine();
        host.without(function);
        let status = host.done(&["gpu", "status", "--json"]).json();
        let refused = status["gpus"][0]["refused"].as_object().unwrap();
        assert!(refused.values().any(|it| it["message"] == format!("this driver has no {function}")), "{status}");
        let config = host.config(&everything());
        host.done(&["gpu", "apply", "--config", &config]);
        host.done(&["gpu", "restore"]);
        assert_eq!(host.machine(), before, "{function}");
    }
    let host = Host::new("rtx4090");
    let before = host.machine();
    host.without("nvmlDeviceSetGpuLockedClocks");
    let said = host.done(&["gpu", "apply", "--config", &host.config(&everything())]);
    assert!(said.err.contains("this driver has no nvmlDeviceSetGpuLockedClocks"), "{said:?}");
    host.done(&["gpu", "restore"]);
    assert_eq!(host.machine(), before);
}

#[test]
fn a_setting_that_fails_takes_all_of_them_back() {
    let setters = [
        "SetPersistenceMode",
        "SetPowerManagementLimit",
        "SetGpuLockedClocks",
        "SetMemoryLockedClocks",
        "SetComputeMode",
    ];
    for setter in setters {
        for fault in ["error 999", "error 2", "kill-caller"] {
            let host = Host::new("rtx4090");
            let before = host.machine();
            host.faults(&format!("nvmlDevice{setter}@0 {fault}"));
            let said = host.run(&["gpu", "apply", "--config", &host.config(&everything())]);
            assert_eq!(said.code, Some(8), "{setter} {fault}: {said:?}");
            assert_eq!(host.machine(), before, "{setter} {fault}");
        }
    }
    let host = Host::new("rtx4090");
    let before = host.machine();
    host.change("not_root", "1");
    let said = host.run(&["gpu", "apply", "--config", &host.config(&everything())]);
    assert!(said.err.contains("only root may do this"), "{said:?}");
    assert_eq!(host.machine().replace("not_root=1\n", ""), before);
}

#[test]
fn a_gpu_that_hangs_keeps_what_is_saved_until_it_answers() {
    let host = Host::new("two_a4000");
    let before = host.machine();
    let wanted = |name: &str, index: u32| json!({ "name": name, "index": index, "power_limit_watts": 100 });
    let config = host.config(&json!([wanted("first", 0), wanted("second", 1)]));
    host.faults("nvmlDeviceSetPowerManagementLimit@1 hang");
    let said = host.run(&[&["gpu", "apply", "--config", &config][..], &TIMEOUT].concat());
    assert_eq!(said.code, Some(9), "{said:?}");
    assert_eq!(host.fact("gpu0.power_limit").as_deref(), Some("140000"), "the other GPU has its old value");
    assert!(host.path("state/saved.json").exists());
    host.faults("");
    host.done(&["gpu", "restore"]);
    assert_eq!(host.machine(), before);
    assert!(!host.path("state/saved.json").exists());
}

#[test]
fn a_restart_of_the_host_ends_what_was_saved() {
    let host = Host::new("rtx4090");
    let config = host.config(&everything());
    host.done(&["gpu", "apply", "--config", &config]);
    let saved = std::fs::read_to_string(host.path("state/saved.json")).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(saved.contains(boot.trim()), "{saved}");
    std::fs::write(host.path("state/saved.json"), saved.replace(boot.trim(), "00000000-0000-4000-8000-000000000000"))
        .unwrap();
    let applied = host.machine();
    let said = host.done(&["gpu", "restore"]);
    assert!(said.err.contains("the host was restarted since"), "{said:?}");
    assert_eq!(host.machine(), applied, "what somebody set in this boot is not citadel's");
}

#[test]
fn an_unloaded_driver_has_forgotten_the_settings() {
    let host = Host::new("rtx4090");
    host.done(&["gpu", "apply", "--config", &host.config(&everything())]);
    host.faults("nvmlInit_v2 error 18");
    assert_eq!(host.run(&["gpu", "restore"]).code, Some(9));
    host.faults("nvmlInit_v2 error 9");
    assert!(host.done(&["gpu", "restore"]).err.contains("the driver was unloaded"));
    assert!(!host.path("state/saved.json").exists());
}

#[test]
fn drift_is_told_from_what_is_seen() {
    let host = Host::new("rtx4090");
    host.done(&["gpu", "apply", "--config", &host.config(&everything())]);
    host.done(&["gpu", "status"]);
    // Somebody takes the lock away, and sets another limit.
    host.change("gpu0.unlocked", "1");
    host.change("gpu0.power_limit", "350000");
    let said = host.run(&["gpu", "status"]);
    assert_eq!(said.code, Some(12), "{said:?}");
    assert!(said.out.contains("drift: the power limit was 300 W, and it is 350 W"), "{said:?}");
    assert!(
        said.out.contains("drift: the graphics clock was locked to 210 to 2520 MHz, and it runs at 2820 MHz"),
        "{said:?}"
    );
    let watched = host.done(&["gpu", "watch", "--count", "1"]);
    assert!(watched.out.contains("drift: the graphics clock"), "{watched:?}");
}

#[test]
fn a_file_that_is_no_settings_is_told_apart_from_one_that_is_missing() {
    let host = Host::new("rtx4090");
    let missing = host.path("missing").display().to_string();
    assert_eq!(host.run(&["gpu", "apply", "--config", &missing]).code, Some(3));
    std::fs::write(host.path("wrong"), r#"{ "version": 1, "gpus": [{ "name": "a", "power": 3 }] }"#).unwrap();
    let said = host.run(&["gpu", "apply", "--config", &host.path("wrong").display().to_string()]);
    assert!(said.code == Some(1) && said.err.contains("unknown field `power`"), "{said:?}");
    std::fs::create_dir(host.path("state")).unwrap();
    std::fs::write(host.path("state/saved.json"), "{}").unwrap();
    let said = host.run(&["gpu", "restore"]);
    assert!(said.code == Some(3) && said.err.contains("is not what citadel writes"), "{said:?}");
}

/// Returns the facts of a host, or none on a machine without systemd.
fn facts(host: &Host) -> Option<Value> {
    if std::process::Command::new("systemctl").arg("--version").output().is_err() {
        skip::skipped("there is no systemctl, so this machine has no version of systemd");
        return None;
    }
    let said = host.done(&["facts", "--json"]);
    assert!(said.err.is_empty(), "{said:?}");
    Some(said.json())
}

#[test]
fn facts_have_what_profiles_are_checked_against() {
    let host = Host::new("h200");
    let Some(mut facts) = facts(&host) else { return };
    assert_eq!((&facts["version"], &facts["driver"], &facts["cuda"]), (&json!(1), &json!("580.95.05"), &json!("13.0")));
    assert_eq!(
        facts["gpus"],
        json!([{
            "name": "NVIDIA H200", "uuid": "GPU-00000200-0000-4000-8000-000000000200", "pci_address": "0000:c1:00.0",
            "minor": 0, "memory": "143771M", "mig": false,
            "power_limit_watts": { "min": 200, "max": 700, "default_value": 700 },
            "graphics_clock_mhz": { "min": 345, "max": 1980 }, "memory_clock_mhz": { "min": 2619, "max": 3201 }
        }])
    );
    let mut again = host.done(&["facts", "--json"]).json();
    // Others use the disk, too.
    for facts in [&mut facts, &mut again] {
        facts["mounts"].as_object_mut().unwrap().values_mut().for_each(|mount| mount["free"] = Value::Null);
    }
    assert_eq!(facts, again);
    // A reader finds the same on many lines.
    let text = host.done(&["facts"]).out;
    assert!(text.starts_with("{\n  \"version\": 1,\n"), "{text}");
}

#[test]
fn facts_come_without_gpus_where_the_driver_fails() {
    let host = Host::new("two_a4000");
    let Some(_) = facts(&host) else { return };
    host.faults("nvmlInit_v2 error 18");
    let said = host.done(&["facts", "--json"]);
    assert_eq!(said.json()["gpus"], json!([]));
    assert!(said.err.contains("note: the GPUs are left out: the NVIDIA driver in the kernel"), "{said:?}");
    host.faults("nvmlDeviceGetName@0 error 15");
    let said = host.done(&["facts", "--json"]);
    assert_eq!(said.json()["gpus"][0]["minor"], 1);
    assert!(said.err.contains("note: GPU 0 is left out: the GPU has fallen off the bus"), "{said:?}");
}

#[cfg(feature = "compiler")]
#[test]
fn profiles_are_checked_against_facts_as_they_are_printed() {
    for machine in ["rtx4090", "rtx5090", "h200", "two_a4000", "mixed"] {
        let host = Host::new(machine);
        let Some(facts) = facts(&host) else { return };
        let project = |limit: &Value| {
            for folder in ["profiles", "hosts"] {
                std::fs::create_dir_all(host.path(folder)).unwrap();
            }
            std::fs::write(host.path("hosts/box.json"), host.done(&["facts"]).out).unwrap();
            let profile = format!(
                r#"let citadel = import "citadel/lib.ncl" in
                {{
                  description = "A machine as it is",
                  host = import "../hosts/box.json",
                  gpus.main = {{ index = 0, power_limit_watts = {limit} }},
                  services.work = {{
                    exec.command = ["/opt/work/bin/work"],
                    gpu = {{ devices.main = true, memory = "1G" }},
                    health.command.command = ["/opt/work/bin/check"],
                  }},
                  services.gpu.runtime = 'gpu,
                }} | citadel.Profile"#
            );
            std::fs::write(host.path("profiles/box.ncl"), profile).unwrap();
        };
        let citadel = |arguments: &[&str]| {
            let said = std::process::Command::new(env!("CARGO_BIN_EXE_citadel"))
                .args(arguments)
                .current_dir(host.path(""))
                .env("XDG_CACHE_HOME", host.path("cache"))
                .output()
                .unwrap();
            (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
        };
        let limits = &facts["gpus"][0]["power_limit_watts"];
        project(&limits["min"]);
        assert_eq!(citadel(&["build", "box"]), (Some(0), String::new()), "{machine}");
        // What the compiler writes is what the driver gets.
        let config = host.path("result/box/config/gpu.json").display().to_string();
        host.done(&["gpu", "apply", "--config", &config]);
        let watts = limits["min"].as_u64().unwrap();
        assert_eq!(host.fact("gpu0.power_limit"), Some((watts * 1000).to_string()), "{machine}");
        project(&json!(limits["max"].as_u64().unwrap() + 1));
        let (code, said) = citadel(&["check", "box"]);
        assert!(code == Some(1) && said.contains("error[C0216]"), "{machine}: {said}");
    }
}
