//! What a service with GPUs gets: its device nodes, its variables, and the settings that are applied before it starts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::draft::words;
use super::{LoweredFile, Output};
use crate::bundle::manifest::FileKind;
use crate::bundle::unit::{UnitName, Value};
use crate::compile::config::{Gpu, HostGpu, Runtime};
use crate::compile::finding::OptionPath;
use crate::compile::render;
use crate::compile::system::{GpuRef, ServiceView, System};

/// Returns the GPUs whose device nodes a service may open: its own, or all for the parts of citadel that look after them.
pub(super) fn visible(system: &System, service: &ServiceView) -> Vec<usize> {
    match service.spec.runtime {
        Some(Runtime::Gpu | Runtime::Monitor) => {
            let found: BTreeSet<usize> =
                system.profile.gpus.values().filter_map(|gpu| Some(found(system, gpu)?.0)).collect();
            found.into_iter().collect()
        }
        _ => service.gpus.iter().map(|gpu| gpu.index).collect(),
    }
}

/// Returns the device nodes of GPUs. Character device 195 covers all GPUs, so the nodes are named one by one.
pub(super) fn device_nodes(system: &System, gpus: &[usize]) -> Vec<Value> {
    let node = |path: &str| words([path, "rw"]);
    let own = gpus.iter().map(|index| {
        let minor = system.profile.host.gpus.get(*index).and_then(|gpu| gpu.minor);
        node(&minor.map_or_else(|| format!("/dev/nvidia{index}"), |minor| format!("/dev/nvidia{minor}")))
    });
    let shared = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"].into_iter().map(node);
    own.chain(shared).collect()
}

/// Returns the units that load what CUDA needs. Without privileges libcuda cannot do it itself, and falls back on the CPU.
pub(super) fn loaders() -> BTreeSet<UnitName> {
    UnitName::parse("modprobe@nvidia_uvm.service").into_iter().collect()
}

/// Returns the variables that show a service its GPUs and no others, numbered as the host numbers them.
pub(super) fn environment(system: &System, service: &ServiceView) -> BTreeMap<String, String> {
    if service.gpus.is_empty() {
        return BTreeMap::new();
    }
    let uuid = |gpu: &GpuRef| {
        let known = system.profile.host.gpus.get(gpu.index).and_then(|host| host.uuid.clone());
        known.or_else(|| system.profile.gpus.get(&gpu.name).and_then(|own| own.uuid.clone()))
    };
    let uuids: Option<Vec<String>> = service.gpus.iter().map(uuid).collect();
    let devices = uuids.unwrap_or_else(|| service.gpus.iter().map(|gpu| gpu.index.to_string()).collect());
    BTreeMap::from([
        ("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned()),
        ("CUDA_VISIBLE_DEVICES".to_owned(), devices.join(",")),
    ])
}

/// Writes the settings that the GPUs get, for `gpu apply`.
pub(super) fn settings(system: &System, out: &mut Output) -> Option<LoweredFile> {
    let gpus: Vec<Json> = system.profile.gpus.iter().map(|(name, gpu)| desired(system, name, gpu)).collect();
    let content = out.keep(render::json(&json!({"version": 1, "gpus": gpus})))?;
    Some(LoweredFile::stored("config", "gpu.json", FileKind::Config, content, OptionPath::new(["gpus"])))
}

fn desired(system: &System, name: &str, gpu: &Gpu) -> Json {
    let host = found(system, gpu);
    let mut settings = json!({
        "name": name,
        "index": gpu.index.map(|index| index as usize).or(host.map(|(index, _)| index)),
        "uuid": gpu.uuid.as_ref().or(host.and_then(|(_, host)| host.uuid.as_ref())),
        "pci_address": gpu.pci_address.as_ref().or(host.and_then(|(_, host)| host.pci_address.as_ref())),
        "persistence_mode": gpu.persistence_mode,
        "power_limit_watts": gpu.power_limit_watts,
        "graphics_clock_mhz": gpu.graphics_clock_mhz,
        "memory_clock_mhz": gpu.memory_clock_mhz,
        "compute_mode": gpu.compute_mode,
        "unsupported": gpu.unsupported,
    });
    // What is not set is left alone.
    if let Some(settings) = settings.as_object_mut() {
        settings.retain(|_, value| !value.is_null());
    }
    settings
}

/// Finds a GPU of the profile on the host.
pub(super) fn found<'a>(system: &'a System, gpu: &Gpu) -> Option<(usize, &'a HostGpu)> {
    system.profile.host.gpus.iter().enumerate().find(|(index, host)| {
        gpu.index.is_some_and(|own| own as usize == *index)
            || (gpu.uuid.is_some() && gpu.uuid == host.uuid)
            || (gpu.pci_address.is_some() && gpu.pci_address == host.pci_address)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::compile::lower::testing::{text, values};

    #[test]
    fn settings_are_taken_back_from_one_place_whatever_the_unit_is_called() {
        let patch = json!({
            "gpus": { "main": { "index": 0 } },
            "services": { "a": { "runtime": "gpu", "unit": "power", "directories": { "state": false } } },
        });
        let unit = text(patch, "power.service");
        assert_eq!(values(&unit, "StateDirectory"), ["citadel-gpu"]);
        assert_eq!(values(&unit, "WorkingDirectory"), ["/var/lib/citadel-gpu"]);
        assert_eq!(values(&unit, "ExecStopPost"), ["/usr/local/bin/citadel-activate gpu restore"]);
        assert!(values(&unit, "ExecStop").is_empty(), "it would not follow a start that failed");
    }
}
