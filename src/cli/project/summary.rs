//! What a person wants to know right after a build: units, ports, the GPU budget.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};

use crate::bundle::Bundle;
use crate::bundle::manifest::{GpuBudget, Manifest};
use crate::bundle::quantity::Size;

/// Returns the summary of a bundle in the folder `shown`.
pub fn text(bundle: &Bundle, shown: &Path, built: bool, warnings: usize) -> String {
    let manifest = &bundle.manifest;
    let done = if built { "built" } else { "is unchanged in" };
    let digest = bundle.digest().short();
    let mut out = format!("{}: {done} {} (bundle {digest})\n", manifest.profile, shown.display());
    if !built {
        return out;
    }
    let _ = writeln!(
        out,
        "\n{} for {}, systemd {} or newer",
        units(manifest),
        manifest.requires.host,
        manifest.requires.systemd
    );
    if !manifest.budget.ports.is_empty() {
        let _ = writeln!(out, "\nPorts\n{}", ports(manifest));
    }
    if !manifest.budget.gpus.is_empty() {
        let _ =
            writeln!(out, "\nGPU memory in GiB, the most that runs at the same time\n{}", gpus(&manifest.budget.gpus));
    }
    let memory = &manifest.budget.memory;
    if memory.committed_bytes > 0 {
        let _ = writeln!(out, "\nRAM: {} of {} GiB promised", gib(memory.committed_bytes), gib(memory.total_bytes));
    }
    if warnings > 0 {
        let _ = writeln!(out, "\n{warnings} warning{}, see above", if warnings == 1 { "" } else { "s" });
    }
    out
}

fn units(manifest: &Manifest) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for name in manifest.units.keys() {
        *kinds.entry(name.rsplit('.').next().unwrap_or_default()).or_default() += 1;
    }
    let counted: Vec<String> =
        kinds.iter().map(|(kind, count)| format!("{count} {kind}{}", if *count == 1 { "" } else { "s" })).collect();
    format!("{} units ({})", manifest.units.len(), counted.join(", "))
}

fn ports(manifest: &Manifest) -> String {
    let mut table = table();
    for port in &manifest.budget.ports {
        table.add_row([port.port.to_string(), port.address.clone(), port.service.clone()]);
    }
    table.to_string()
}

fn gpus(budgets: &[GpuBudget]) -> String {
    let mut table = table();
    table.set_header(["GPU", "device", "service", "starts", "takes", "in all"]);
    for gpu in budgets {
        let total = format!("{} of {}", gib(gpu.committed_bytes), gib(gpu.total_bytes));
        table.add_row([&gpu.name, &gpu.device, "", "", "", &total]);
        for share in &gpu.services {
            let starts = share.start.replace('_', " ");
            table.add_row(["", "", &share.service, &starts, &gib(share.bytes), ""]);
        }
    }
    for column in [4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

fn gib(bytes: u64) -> String {
    Size(bytes).gib()
}
