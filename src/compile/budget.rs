//! What the services take from the machine at most, at the same time.

use super::check::{gpu_memory, memory, ports};
use super::config::{Start, members};
use super::system::System;
use crate::bundle::manifest::{Budget, GpuBudget, GpuShare, MemoryBudget, PortUse};

/// Adds up GPU memory, RAM and ports over what can run at the same time.
pub fn budget(system: &System) -> Budget {
    Budget { gpus: gpus(system), memory: memory(system), ports: ports(system) }
}

fn gpus(system: &System) -> Vec<GpuBudget> {
    let host = &system.profile.host;
    let devices = gpu_memory::devices(system).into_iter().map(|device| GpuBudget {
        name: device.gpu.name.clone(),
        device: host.gpus.get(device.index).map(|gpu| gpu.name.clone()).unwrap_or_default(),
        index: u32::try_from(device.index).unwrap_or(u32::MAX),
        total_bytes: device.total,
        reserved_bytes: device.reserved,
        committed_bytes: device.heaviest.total,
        services: (device.users.iter())
            .map(|(service, share)| GpuShare {
                service: service.key.clone(),
                bytes: share.unwrap_or(0),
                start: start(service.spec.start).to_owned(),
                exclusive: members(&service.spec.exclusive).map(str::to_owned).collect(),
            })
            .collect(),
    });
    devices.collect()
}

fn start(start: Start) -> &'static str {
    match start {
        Start::Boot => "boot",
        Start::OnDemand => "on_demand",
        Start::Manual => "manual",
    }
}

fn memory(system: &System) -> MemoryBudget {
    let unlimited = system.services.iter().filter(|service| service.spec.resources.memory_max.is_none());
    MemoryBudget {
        total_bytes: system.profile.host.memory.0,
        committed_bytes: memory::committed(system),
        unlimited: unlimited.map(|service| service.key.clone()).collect(),
    }
}

fn ports(system: &System) -> Vec<PortUse> {
    let mut ports: Vec<PortUse> = ports::endpoints(system)
        .into_iter()
        .map(|endpoint| PortUse { port: endpoint.port, address: endpoint.address.to_owned(), service: endpoint.owner })
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check::testing::{service, system};
    use super::*;

    #[test]
    fn the_budget_counts_what_can_run_at_the_same_time() {
        let model = |memory: &str| {
            service(json!({
                "gpu": { "devices": { "gpu": true }, "memory": memory },
                "exclusive": { "big": true }, "start": "manual", "port": 8000,
                "resources": { "memory_max": "10G" },
            }))
        };
        let (system, _, _) = system(json!({
            "gpus": { "gpu": { "index": 0 } },
            "services": { "a": model("20G"), "b": model("10G"), "c": service(json!({ "port": 80 })) },
        }));
        let budget = budget(&system);
        assert_eq!(budget.gpus[0].committed_bytes, 20 << 30);
        assert_eq!(budget.gpus[0].reserved_bytes, 512 << 20);
        assert_eq!(budget.gpus[0].services.len(), 2);
        assert_eq!(budget.memory.committed_bytes, 10 << 30);
        assert_eq!(budget.memory.unlimited, ["c"]);
        let ports: Vec<(u16, &str)> = budget.ports.iter().map(|port| (port.port, port.service.as_str())).collect();
        assert_eq!(ports, [(80, "c"), (8000, "a"), (8000, "b")]);
    }
}
