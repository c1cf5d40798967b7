//! Preflight checks: that each says one thing, and that it can pass on the host at all.

use crate::bundle::quantity::Size;
use crate::compile::config::Preflight;
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::ServiceView;

use super::codes::{PREFLIGHT, PREFLIGHT_FAILS};
use super::context::{Context, list};

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        for (name, check) in &service.preflight {
            let place = service.option("preflight").member(name);
            match kinds(check).as_slice() {
                [_] => findings.extend(hopeless(context, service, check, &place)),
                [] => findings.push(
                    Finding::error(PREFLIGHT, format!("{place} does not say what it checks"))
                        .at(place, "this check")
                        .help("give it one test, such as `file = \"/etc/app.toml\"`"),
                ),
                several => findings.push(
                    Finding::error(PREFLIGHT, format!("{place} checks {} at once", list(several)))
                        .at(place, "this check")
                        .help("make a check of its own of each, so that a failure says which one it was"),
                ),
            }
        }
    }
}

fn kinds(check: &Preflight) -> Vec<String> {
    [
        ("user", check.user.is_some()),
        ("file", check.file.is_some()),
        ("directory", check.directory.is_some()),
        ("executable", check.executable.is_some()),
        ("link", check.link.is_some()),
        ("mount", check.mount.is_some()),
        ("disk_free", check.disk_free.is_some()),
        ("memory_free", check.memory_free.is_some()),
        ("port_free", check.port_free.is_some()),
        ("driver", check.driver.is_some()),
        ("cuda", check.cuda.is_some()),
        ("gpu_memory_free", check.gpu_memory_free.is_some()),
        ("python", check.python.is_some()),
        ("torch_cuda", check.torch_cuda.is_some()),
        ("docker", check.docker == Some(true)),
        ("redis", check.redis.is_some()),
        ("http", check.http.is_some()),
    ]
    .into_iter()
    .filter(|(_, present)| *present)
    .map(|(name, _)| name.to_owned())
    .collect()
}

const NO_GPU: &str = "the service has no GPU";

/// Returns why a check fails on every start, as far as the facts of the host tell.
fn hopeless(context: &Context<'_>, service: &ServiceView, check: &Preflight, place: &OptionPath) -> Option<Finding> {
    let host = &context.system.profile.host;
    let too_much = |option: &str, wanted: Size, has: Size, of: String| {
        (wanted > has).then(|| {
            (option.to_owned(), format!("{of} is {} GiB in all, and {} must be free", has.gib(), wanted.gib()))
        })
    };
    let too_old = |option: &str, wanted: &Option<String>, has: &Option<String>| {
        let (wanted, has) = (wanted.as_deref()?, has.as_deref()?);
        (version(has) < version(wanted))
            .then(|| (option.to_owned(), format!("the host has {has}, and {wanted} is needed")))
    };
    let (option, reason) = None
        .or_else(|| {
            let user = check.user.as_deref().filter(|user| *user != service.user.user)?;
            Some(("user".to_owned(), format!("the service runs as {}, not as {user}", service.user.user)))
        })
        .or_else(|| too_much("memory_free", check.memory_free?, host.memory, "the memory of the host".to_owned()))
        .or_else(|| {
            let disk = check.disk_free.as_ref()?;
            let mounts = |path: &std::path::Path| host.mounts.get(path.to_str()?)?.size;
            let size = std::path::Path::new(&disk.path)
                .ancestors()
                .find(|path| path.to_str().is_some_and(|path| host.mounts.contains_key(path)));
            too_much("disk_free", disk.size, size.and_then(mounts)?, format!("the file system of {}", disk.path))
        })
        .or_else(|| {
            let wanted = check.gpu_memory_free?;
            let smallest = service.gpus.iter().filter_map(|gpu| host.gpus.get(gpu.index)).min_by_key(|gpu| gpu.memory);
            match smallest {
                Some(gpu) => too_much("gpu_memory_free", wanted, gpu.memory, gpu.name.clone()),
                None => Some(("gpu_memory_free".to_owned(), NO_GPU.to_owned())),
            }
        })
        .or_else(|| {
            let no_gpu = check.torch_cuda.is_some() && service.spec.gpu.devices.values().all(|on| !on);
            no_gpu.then(|| ("torch_cuda".to_owned(), NO_GPU.to_owned()))
        })
        .or_else(|| too_old("driver", &check.driver, &host.driver))
        .or_else(|| too_old("cuda", &check.cuda, &host.cuda))?;
    let help = match option.as_str() {
        "user" => format!("run the service as this user, or ask for {}", service.user.user),
        _ if reason == NO_GPU => "name the GPU with `gpu.devices`, or remove the check".to_owned(),
        _ => "ask for what the host has, or correct the facts of the host".to_owned(),
    };
    let option = if option == "disk_free" { "disk_free.size" } else { &option };
    Some(
        Finding::error(PREFLIGHT_FAILS, format!("{place} can never pass"))
            .at(place.join(option), "asked for here")
            .note(reason)
            .help(help),
    )
}

fn version(text: &str) -> Vec<u64> {
    let mut parts: Vec<u64> = text.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    while parts.last() == Some(&0) {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{found, service};

    fn of(check: Value) -> String {
        let host = json!({ "driver": "535.183.1", "cuda": "12.2", "mounts": { "/": { "size": "100G" }, "/srv": {} } });
        found(json!({ "host": host, "services": { "a": service(json!({ "preflight": { "p": check } })) } })).join("\n")
    }

    #[test]
    fn a_check_says_one_thing() {
        assert_eq!(
            of(json!({})),
            "C0272 error services.a.preflight.p: services.a.preflight.p does not say what it checks"
        );
        assert_eq!(
            of(json!({ "file": "/a", "directory": "/b" })),
            "C0272 error services.a.preflight.p: services.a.preflight.p checks file and directory at once"
        );
    }

    #[test]
    fn a_check_can_pass_on_the_host() {
        for (check, option) in [
            (json!({ "user": "alice" }), "user"),
            (json!({ "memory_free": "65G" }), "memory_free"),
            (json!({ "disk_free": { "path": "/opt/x", "size": "101G" } }), "disk_free.size"),
            (json!({ "driver": "550" }), "driver"),
            (json!({ "cuda": "12.4" }), "cuda"),
            (json!({ "gpu_memory_free": "1G" }), "gpu_memory_free"),
            (json!({ "torch_cuda": "/usr/bin/python3" }), "torch_cuda"),
        ] {
            assert_eq!(
                of(check),
                format!("C0273 error services.a.preflight.p.{option}: services.a.preflight.p can never pass")
            );
        }
        for check in [
            json!({ "user": "citadel-a" }),
            json!({ "disk_free": { "path": "/srv/x", "size": "101G" } }),
            json!({ "driver": "525.60.11" }),
            json!({ "cuda": "12" }),
            json!({ "file": "/x", "severity": "warning" }),
        ] {
            assert_eq!(of(check), "");
        }
    }
}
