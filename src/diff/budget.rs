//! What the services take from the machine, before and after.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Budget, GpuChange, GpuUse, MemoryChange, MemoryUse, PortChange, ShareChange};
use crate::bundle::manifest::{Budget as Given, GpuBudget, GpuShare, PortUse};

/// Returns what differs.
pub fn compare(old: &Given, new: &Given) -> Budget {
    if old == new {
        return Budget::default();
    }
    Budget { gpus: gpus(&old.gpus, &new.gpus), memory: memory(old, new), ports: ports(&old.ports, &new.ports) }
}

fn gpus(old: &[GpuBudget], new: &[GpuBudget]) -> Vec<GpuChange> {
    let by_name =
        |gpus: &'_ [GpuBudget]| gpus.iter().map(|gpu| (gpu.name.clone(), gpu.clone())).collect::<BTreeMap<_, _>>();
    let (old, new) = (by_name(old), by_name(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    changed.map(|name| gpu(name, old.get(name), new.get(name))).collect()
}

fn gpu(name: &str, old: Option<&GpuBudget>, new: Option<&GpuBudget>) -> GpuChange {
    let used = |gpu: &GpuBudget| GpuUse {
        device: gpu.device.clone(),
        total_bytes: gpu.total_bytes,
        reserved_bytes: gpu.reserved_bytes,
        committed_bytes: gpu.committed_bytes,
    };
    let shares = |gpu: Option<&'_ GpuBudget>| -> BTreeMap<String, GpuShare> {
        gpu.into_iter().flat_map(|gpu| &gpu.services).map(|share| (share.service.clone(), share.clone())).collect()
    };
    let (before, after) = (shares(old), shares(new));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let services = names.into_iter().filter(|name| before.get(*name) != after.get(*name)).map(|service| {
        let (old, new) = (before.get(service), after.get(service));
        ShareChange {
            service: service.clone(),
            old_bytes: old.map(|share| share.bytes),
            new_bytes: new.map(|share| share.bytes),
            old_start: old.map(|share| share.start.clone()),
            new_start: new.map(|share| share.start.clone()),
        }
    });
    GpuChange { name: name.to_owned(), old: old.map(used), new: new.map(used), services: services.collect() }
}

fn memory(old: &Given, new: &Given) -> Option<MemoryChange> {
    let used = |budget: &Given| MemoryUse {
        total_bytes: budget.memory.total_bytes,
        committed_bytes: budget.memory.committed_bytes,
        unlimited: budget.memory.unlimited.clone(),
    };
    (old.memory != new.memory).then(|| MemoryChange { old: used(old), new: used(new) })
}

fn ports(old: &[PortUse], new: &[PortUse]) -> Vec<PortChange> {
    let by_service = |ports: &[PortUse]| {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for port in ports {
            found.entry(port.service.clone()).or_default().insert(listen(&port.address, port.port));
        }
        found
    };
    let (old, new) = (by_service(old), by_service(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let of = |ports: &BTreeMap<String, BTreeSet<String>>, service: &str| -> Vec<String> {
        ports.get(service).into_iter().flatten().cloned().collect()
    };
    let changes = names.into_iter().map(|service| PortChange {
        service: service.clone(),
        old: of(&old, service),
        new: of(&new, service),
    });
    changes.filter(|change| change.old != change.new).collect()
}

/// Returns `address:port`, with an address of IPv6 in brackets.
pub fn listen(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}
