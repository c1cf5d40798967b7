//! What connects the units of a bundle, as their files say.

use super::{Edge, Graph};
use crate::bundle::Bundle;
use crate::bundle::manifest::UnitEntry;
use crate::bundle::unit::{UnitFile, UnitName};

/// Adds the connections of a unit to those units that the graph has.
pub fn read(name: &str, entry: &UnitEntry, bundle: &Bundle, graph: &mut Graph) {
    for target in &entry.wanted_by {
        connect(graph, name, target, |edge| edge.wants = true);
    }
    let text = bundle.files.get(&entry.file).map_or(&[][..], Vec::as_slice);
    let Some(unit) = std::str::from_utf8(text).ok().and_then(|text| UnitFile::parse(text).ok()) else { return };
    for key in ["Requires", "BindsTo", "Requisite"] {
        for other in named(&unit, "Unit", key) {
            connect(graph, &other, name, |edge| edge.requires = true);
        }
    }
    for key in ["Wants", "Upholds"] {
        for other in named(&unit, "Unit", key) {
            connect(graph, &other, name, |edge| edge.wants = true);
        }
    }
    for other in named(&unit, "Unit", "After") {
        connect(graph, &other, name, |edge| edge.after = true);
    }
    for other in named(&unit, "Unit", "Before") {
        connect(graph, name, &other, |edge| edge.after = true);
    }
    for other in triggered(name, &unit) {
        connect(graph, name, &other, |edge| edge.triggers = true);
    }
    for other in named(&unit, "Unit", "Conflicts") {
        if graph.nodes.contains_key(&other)
            && let Some(node) = graph.nodes.get_mut(name)
        {
            node.conflicts.insert(other);
        }
    }
}

fn named(unit: &UnitFile, section: &str, key: &str) -> Vec<String> {
    unit.values(section, key).flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// Returns the units that a timer, socket or path starts.
fn triggered(name: &str, unit: &UnitFile) -> Vec<String> {
    let Some(parsed) = UnitName::parse(name) else { return Vec::new() };
    let (section, key) = match parsed.kind().suffix() {
        "timer" => ("Timer", "Unit"),
        "path" => ("Path", "Unit"),
        "socket" => ("Socket", "Service"),
        _ => return Vec::new(),
    };
    let named = named(unit, section, key);
    if named.is_empty() { vec![format!("{}.service", parsed.stem())] } else { named }
}

/// Adds to what connects two units, if the graph has both.
fn connect(graph: &mut Graph, from: &str, to: &str, set: impl FnOnce(&mut Edge)) {
    if from != to && graph.nodes.contains_key(from) && graph.nodes.contains_key(to) {
        set(graph.edges.entry((from.to_owned(), to.to_owned())).or_default());
    }
}
