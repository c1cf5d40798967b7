//! Rules for the GPUs. Nothing but constants, PCI addresses and plain unit names ever stands in them.

use super::{LoweredFile, Output, WIRING, gpu};
use crate::bundle::manifest::FileKind;
use crate::compile::config::Runtime;
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::render;
use crate::compile::system::System;

pub(super) fn lower(system: &System, out: &mut Output) {
    let profile = &system.profile;
    let mut appliers = Vec::new();
    for service in system.services.iter().filter(|service| service.spec.runtime == Some(Runtime::Gpu)) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte);
        if service.unit.as_str().bytes().all(plain) {
            appliers.push(service.unit.to_string());
        } else {
            out.findings.push(
                Finding::error(WIRING, format!("{} cannot be named in a udev rule", service.unit))
                    .at(service.origin.clone(), "this service is started when the driver is loaded")
                    .help("give it a `unit` of letters, digits and \"-_.:@\""),
            );
        }
    }
    let mut awake: Vec<String> = profile
        .gpus
        .values()
        .filter(|gpu| gpu.keep_awake)
        .filter_map(|own| {
            let host = gpu::found(system, own).and_then(|(_, host)| host.pci_address.as_deref());
            kernel_name(own.pci_address.as_deref().or(host)?)
        })
        .collect();
    awake.sort();
    awake.dedup();
    if appliers.is_empty() && awake.is_empty() && !profile.docker_gpu_containers {
        return;
    }
    if let Some(content) = out.keep(render::udev(appliers, awake, profile.docker_gpu_containers)) {
        let target = "/etc/udev/rules.d/70-citadel-gpu.rules";
        out.files.push(LoweredFile::at(
            "udev/citadel.rules",
            FileKind::Udev,
            target,
            content,
            OptionPath::new(["gpus"]),
        ));
    }
}

/// Returns the kernel's name of a PCI device; NVML writes the domain with eight digits, the kernel with four.
fn kernel_name(address: &str) -> Option<String> {
    let plain = address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
    let (domain, rest) = address.split_once(':').filter(|_| plain)?;
    let domain = u32::from_str_radix(domain, 16).ok()?;
    Some(format!("{domain:04x}:{}", rest.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_kernel() {
        assert_eq!(kernel_name("00000000:65:00.0").as_deref(), Some("0000:65:00.0"));
        assert_eq!(kernel_name("10000:0A:00.1").as_deref(), Some("10000:0a:00.1"));
        assert_eq!(kernel_name("0000:65:00.0\", RUN+=\"x"), None);
    }
}
