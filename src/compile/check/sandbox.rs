//! Sandboxes that break what runs in them: CUDA, PyTorch, and programs whose files are out of sight.

use serde_json::Value;

use crate::compile::config::ProtectHome;
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::{ServiceView, Workload};

use super::codes::{BREAKS_CUDA, HIDDEN_PATH, REMOTE_CODE};
use super::context::Context;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        check_options(service, findings);
        if uses_cuda(service) {
            check_written_out(context, service, findings);
        }
        findings.extend(check_hidden(service));
        check_remote_code(service, findings);
    }
}

fn uses_cuda(service: &ServiceView) -> bool {
    service.spec.vllm.is_some() || service.spec.gpu.devices.values().any(|on| *on)
}

fn breaks(service: &ServiceView, directive: &str, place: OptionPath, why: &str, help: &str) -> Finding {
    Finding::error(BREAKS_CUDA, format!("{directive} keeps {} from using CUDA", service.key))
        .at(place, "set here")
        .note(why)
        .help(help)
}

fn check_options(service: &ServiceView, findings: &mut Vec<Finding>) {
    let sandbox = &service.spec.sandbox;
    if sandbox.private_devices == Some(true) && uses_cuda(service) {
        findings.push(breaks(
            service,
            "PrivateDevices=",
            service.option("sandbox.private_devices"),
            "the device nodes of the GPUs are not there then",
            "remove it; only the GPUs of `gpu.devices` are visible anyway",
        ));
    }
    if sandbox.memory_deny_write_execute == Some(true) {
        let place = service.option("sandbox.memory_deny_write_execute");
        let python = match service.workload() {
            Some(Workload::Gunicorn(_) | Workload::Celery(_)) => true,
            Some(Workload::Exec(exec)) => exec
                .command
                .first()
                .is_some_and(|program| program.rsplit('/').next().is_some_and(|name| name.starts_with("python"))),
            _ => false,
        };
        if uses_cuda(service) {
            findings.push(breaks(
                service,
                "MemoryDenyWriteExecute=",
                place,
                "PyTorch and CUDA compile code while they run (pytorch#143651)",
                "remove it",
            ));
        } else if python {
            findings.push(
                Finding::warning(BREAKS_CUDA, format!("MemoryDenyWriteExecute= may break the Python program of {}", service.key))
                    .at(place, "set here")
                    .note("packages that compile while they run, and some that call C, need memory that is writable and executable")
                    .help("remove it, unless every package of the program was tried with it"),
            );
        }
    }
}

/// Checks directives that the profile wrote out, which win over what citadel knows to work.
fn check_written_out(context: &Context<'_>, service: &ServiceView, findings: &mut Vec<Finding>) {
    let Some(unit) = context.lowered_unit(service) else { return };
    let values = |key: &str| -> Vec<&str> {
        let section = unit.unit.sections.iter().filter(|section| section.name == "Service");
        let entries = section.flat_map(|section| &section.entries).filter(|entry| entry.key == key);
        // An empty value forgets those before it.
        entries.map(|entry| entry.value.as_str()).fold(Vec::new(), |mut values, value| {
            if value.is_empty() {
                values.clear()
            } else {
                values.push(value)
            }
            values
        })
    };
    let words = |key: &str| values(key).into_iter().flat_map(str::split_ascii_whitespace).collect::<Vec<_>>();
    let is_on = |key: &str| values(key).last().is_some_and(|value| ["yes", "true", "on", "1"].contains(value));
    for (section, key, place) in &unit.written_out {
        if section != "Service" {
            continue;
        }
        let (why, help): (&str, &str) = match key.as_str() {
            "PrivateDevices" if is_on(key) => ("the device nodes of the GPUs are not there then", "remove it"),
            "MemoryDenyWriteExecute" if is_on(key) => {
                ("PyTorch and CUDA compile code while they run (pytorch#143651)", "remove it")
            }
            "ProcSubset" if values(key).last() == Some(&"pid") => (
                "/proc/driver/nvidia, /proc/devices and /proc/meminfo are not there then",
                "write `ProcSubset = \"all\"`",
            ),
            "ProtectClock"
                if is_on(key) && context.system.profile.host.systemd < 252 && values("DeviceAllow").is_empty() =>
            {
                ("before systemd 252 it closes every device", "remove it")
            }
            "DevicePolicy" | "DeviceAllow" => {
                let closed = values("DevicePolicy").last().is_some_and(|policy| *policy != "auto");
                let opened = words("DeviceAllow").iter().any(|word| word.contains("nvidia"));
                if !closed || opened {
                    continue;
                }
                (
                    "all devices but those of `DeviceAllow=` are closed, and it names no NVIDIA device",
                    "add `/dev/nvidiactl`, `/dev/nvidia-uvm` and the node of the GPU",
                )
            }
            "RestrictAddressFamilies" => {
                let families = words(key);
                let denied = families.first().is_some_and(|first| first.starts_with('~'));
                let missing = ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"]
                    .iter()
                    .any(|family| families.iter().any(|word| word.trim_start_matches('~') == *family) == denied);
                if families.is_empty() || !missing {
                    continue;
                }
                (
                    "torch.distributed needs AF_INET, AF_INET6, AF_UNIX and AF_NETLINK (vllm#12474)",
                    "use `sandbox.address_families`, which adds to those",
                )
            }
            "IPAddressDeny" | "IPAddressAllow" => {
                let local = |word: &&str| ["localhost", "any"].contains(word) || word.starts_with("127.");
                if !words("IPAddressDeny").contains(&"any") || words("IPAddressAllow").iter().any(local) {
                    continue;
                }
                (
                    "the processes of one server talk over the loopback interface (vllm#12474)",
                    "use `network.allow`, which adds to localhost",
                )
            }
            _ => continue,
        };
        findings.push(breaks(service, &format!("{key}="), place.clone(), why, help));
    }
}

/// Reports files of a service that its sandbox hides.
fn check_hidden(service: &ServiceView) -> Option<Finding> {
    let sandbox = &service.spec.sandbox;
    let home = matches!(sandbox.protect_home, ProtectHome::Yes | ProtectHome::Tmpfs);
    let hidden = |path: &str| {
        let below = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
        if home && below(&["/home/", "/root/", "/run/user/"]) {
            Some("protect_home")
        } else if sandbox.private_tmp && below(&["/tmp/", "/var/tmp/"]) {
            Some("private_tmp")
        } else {
            None
        }
    };
    let (option, place, path) =
        paths(service).into_iter().find_map(|(place, path)| Some((hidden(&path)?, place, path)))?;
    let (value, help) = match option {
        "protect_home" => (
            "home directories are out of sight",
            "install it outside of home directories, such as below `/opt`, or write `sandbox.protect_home = 'read_only`",
        ),
        _ => ("the service has a /tmp of its own", "put it elsewhere, or write `sandbox.private_tmp = false`"),
    };
    Some(
        Finding::error(HIDDEN_PATH, format!("{} cannot see {path}", service.key))
            .at(place, "needed here")
            .at(service.option("sandbox").join(option), value)
            .help(help),
    )
}

/// Returns the paths that a service needs, each with its option.
fn paths(service: &ServiceView) -> Vec<(OptionPath, String)> {
    let mut found: Vec<(OptionPath, String)> = Vec::new();
    let mut add = |option: &str, path: &str| found.push((service.option(option), path.to_owned()));
    match service.workload() {
        Some(Workload::Exec(exec)) => {
            for (at, argument) in exec.command.iter().enumerate() {
                // Both `/path` and `--option=/path`.
                let path = argument.split_once('=').map_or(argument.as_str(), |(_, path)| path);
                add(&format!("exec.command.{at}"), path);
            }
        }
        Some(Workload::Vllm(vllm)) => {
            add("vllm.executable", &vllm.executable);
            add("vllm.model", &vllm.model);
        }
        Some(Workload::Gunicorn(gunicorn)) => add("gunicorn.executable", &gunicorn.executable),
        Some(Workload::Celery(celery)) => add("celery.executable", &celery.executable),
        Some(Workload::Runtime(_)) | None => {}
    }
    if let Some(directory) = &service.spec.working_directory {
        add("working_directory", directory);
    }
    for (name, value) in &service.spec.environment {
        if let Value::String(path) = value {
            found.push((service.option("environment").member(name), path.clone()));
        }
    }
    found
}

/// Reports code from a model hub that runs without anybody having pinned what it is.
fn check_remote_code(service: &ServiceView, findings: &mut Vec<Finding>) {
    let Some(vllm) = service.spec.vllm.as_ref().filter(|vllm| vllm.trust_remote_code) else { return };
    if !vllm.model.starts_with('/') && vllm.revision.is_none() {
        findings.push(
            Finding::error(
                REMOTE_CODE,
                format!("{} runs whatever code {} contains at the time", service.key, vllm.model),
            )
            .at(service.option("vllm.trust_remote_code"), "runs code of the model")
            .note("whoever can change the model on the hub can then run code on this machine")
            .help("read the code, and pin it: `vllm.revision = \"COMMIT\"`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{found, service};

    fn with_gpu(patch: Value) -> String {
        let mut service = service(patch);
        service["gpu"] = json!({ "devices": { "gpu": true } });
        found(json!({ "gpus": { "gpu": { "index": 0 } }, "services": { "a": service } })).join("\n")
    }

    #[test]
    fn options_that_break_cuda_are_found() {
        for (option, directive) in
            [("private_devices", "PrivateDevices"), ("memory_deny_write_execute", "MemoryDenyWriteExecute")]
        {
            assert_eq!(
                with_gpu(json!({ "sandbox": { option: true } })),
                format!("C0250 error services.a.sandbox.{option}: {directive}= keeps a from using CUDA")
            );
        }
        assert_eq!(
            found(json!({ "services": { "a": service(json!({ "sandbox": { "private_devices": true } })) } })),
            [""; 0]
        );
    }

    #[test]
    fn directives_that_break_cuda_are_found() {
        for (key, value) in [
            ("PrivateDevices", json!(true)),
            ("MemoryDenyWriteExecute", json!("yes")),
            ("ProcSubset", json!("pid")),
            ("DeviceAllow", json!("/dev/null rw")),
            ("RestrictAddressFamilies", json!("AF_INET AF_UNIX")),
            ("IPAddressAllow", json!("10.0.0.0/8")),
        ] {
            assert_eq!(
                with_gpu(json!({ "systemd": { "Service": { key: value } } })),
                format!("C0250 error services.a.systemd.Service.{key}: {key}= keeps a from using CUDA")
            );
        }
        for (key, value) in [("PrivateDevices", json!(false)), ("RestrictAddressFamilies", json!("~AF_PACKET"))] {
            assert_eq!(with_gpu(json!({ "systemd": { "Service": { key: value } } })), "");
        }
    }

    #[test]
    fn files_in_a_hidden_home_are_found() {
        let at_home = json!({ "exec": { "command": ["/usr/bin/python3", "--config=/home/a/x.yaml"] } });
        assert_eq!(
            found(json!({ "services": { "a": service(at_home.clone()) } })),
            ["C0251 error services.a.exec.command[1]: a cannot see /home/a/x.yaml"]
        );
        let mut seen = at_home;
        seen["sandbox"] = json!({ "protect_home": "read_only" });
        assert_eq!(found(json!({ "services": { "a": service(seen) } })), [""; 0]);
    }

    #[test]
    fn code_of_a_model_is_pinned() {
        let of = |vllm: Value| {
            let service =
                service(json!({ "exec": null, "vllm": vllm, "port": 1, "gpu": { "devices": { "gpu": true } } }));
            found(json!({ "gpus": { "gpu": { "index": 0 } }, "services": { "a": service } })).join("\n")
        };
        assert_eq!(
            of(json!({ "model": "org/m", "trust_remote_code": true })),
            "C0254 error services.a.vllm.trust_remote_code: a runs whatever code org/m contains at the time"
        );
        assert_eq!(of(json!({ "model": "org/m", "trust_remote_code": true, "revision": "0123abc" })), "");
    }
}
