//! Mount points that services, probes and checks ask for.

use crate::compile::config::members;
use crate::compile::finding::{Finding, OptionPath, nearest};
use crate::compile::system::{REFERENCE, ServiceView};

use super::context::Context;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        check_service(context, service, findings);
    }
}

/// Paths whose file system must be mounted, and mount points that checks ask for.
fn check_service(context: &Context<'_>, service: &ServiceView, findings: &mut Vec<Finding>) {
    let mounts = &context.known.mounts;
    for path in members(&service.spec.mounts).filter(|path| path.starts_with('/')) {
        let mounted =
            std::path::Path::new(path).ancestors().filter_map(|part| part.to_str()).any(|part| mounts.contains(part));
        if !mounted && path != "/" {
            let place = service.option("mounts").member(path);
            findings.push(no_mount(context, path, place, format!("{path} is on no mount point that is known")));
        }
    }
    let probes = service.health.iter().map(|(name, probe)| ("health", name, &probe.mount));
    let checks = service.preflight.iter().map(|(name, check)| ("preflight", name, &check.mount));
    for (option, name, mount) in probes.chain(checks) {
        if let Some(path) = mount.as_deref().filter(|path| *path != "/" && !mounts.contains(path)) {
            let place = service.option(option).member(name).join("mount");
            findings.push(no_mount(context, path, place, format!("{path} is no mount point that is known")));
        }
    }
}

fn no_mount(context: &Context<'_>, path: &str, place: OptionPath, message: String) -> Finding {
    let finding = Finding::error(REFERENCE, message).at(place, "needed here");
    match nearest(path, context.known.mounts.iter().copied()) {
        Some(near) => finding.help(format!("did you mean {near:?}?")),
        None => finding.help(format!("describe the mount point: `storage.mounts.{path:?} = {{}}`")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{found, service};

    #[test]
    fn a_path_lies_on_a_mount_point() {
        let host = json!({ "mounts": { "/": {}, "/srv": {} } });
        let of = |patch| found(json!({ "host": host, "services": { "a": service(patch) } })).join("\n");
        assert_eq!(of(json!({ "mounts": { "/srv/models/x": true } })), "");
        assert_eq!(
            of(json!({ "mounts": { "/data/x": true } })),
            "C0103 error services.a.mounts.\"/data/x\": /data/x is on no mount point that is known"
        );
        assert_eq!(
            of(json!({ "preflight": { "p": { "mount": "/srv/models" } } })),
            "C0103 error services.a.preflight.p.mount: /srv/models is no mount point that is known"
        );
    }
}
