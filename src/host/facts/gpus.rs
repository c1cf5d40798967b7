//! GPUs as profiles are checked against them.

use super::{Gpu, MIB, Range, Tree, rounded};
use crate::host::driver;
use crate::host::gpu::Seen;

/// Returns the GPUs that say how much memory they have; nothing can be checked of others.
pub(super) fn gpus(tree: Tree<'_>, seen: &Seen) -> Vec<Gpu> {
    seen.gpus.iter().filter_map(|gpu| one(tree, gpu)).collect()
}

fn one(tree: Tree<'_>, gpu: &driver::Gpu) -> Option<Gpu> {
    let clocks = |range: driver::Range| Range { min: range.min, max: range.max, default_value: None };
    let limits = gpu.power_limits_milliwatts.map(|limits| Range {
        // Whole watts that the GPU still accepts.
        min: limits.min.div_ceil(1000),
        max: limits.max / 1000,
        default_value: limits.default_value.map(|limit| limit / 1000),
    });
    Some(Gpu {
        name: gpu.name.clone().unwrap_or_else(|| "unknown".to_owned()),
        uuid: gpu.uuid.clone(),
        numa: gpu.pci_address.as_deref().and_then(|address| node(tree, address)),
        pci_address: gpu.pci_address.clone(),
        minor: gpu.minor,
        memory: rounded(gpu.memory_bytes?, MIB),
        mig: gpu.mig,
        power_limit_watts: limits.filter(|limits| limits.max > 0),
        graphics_clock_mhz: gpu.graphics_clocks_mhz.map(clocks),
        memory_clock_mhz: gpu.memory_clocks_mhz.map(clocks),
    })
}

/// Returns the NUMA node of a PCI device; the kernel writes -1 where it knows none.
fn node(tree: Tree<'_>, address: &str) -> Option<u32> {
    tree.word(&format!("sys/bus/pci/devices/{address}/numa_node")).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::driver::PowerLimits;
    use crate::host::gpu::testing::{Machine, rtx4090};

    #[test]
    fn whole_watts_stay_within_the_limits() {
        let mut gpu = rtx4090(0);
        gpu.power_limits_milliwatts = Some(PowerLimits { min: 99_500, max: 450_900, default_value: Some(450_000) });
        let mut blind = rtx4090(1);
        blind.memory_bytes = None;
        let root = tempfile::tempdir().unwrap();
        let found = gpus(Tree(root.path()), &Machine::of([gpu, blind]).seen());
        assert_eq!(found.len(), 1, "a GPU of unknown memory is left out");
        assert_eq!(found[0].power_limit_watts, Some(Range { min: 100, max: 450, default_value: Some(450) }));
        assert_eq!(found[0].memory.to_string(), "24564M");
    }
}
