//! Where everything stands in a drawing.

use std::collections::BTreeMap;

use dagre::graph::{Graph as Laid, GraphOptions};
use dagre::{EdgeLabel, LayoutOptions, NodeLabel, layout};

use super::{Graph, Node};

/// Width of a character, in the units of the drawing.
const CHARACTER: f64 = 7.3;
pub const LINE: f64 = 16.0;
/// Larger graphs are laid out without phases, which would take minutes.
const MOST_IN_PHASES: usize = 400;

/// A box by its centre.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// A drawing without its looks.
#[derive(Debug, Default)]
pub struct Layout {
    pub nodes: BTreeMap<String, Area>,
    pub phases: BTreeMap<String, Area>,
    pub edges: BTreeMap<(String, String), Vec<(f64, f64)>>,
    pub width: f64,
    pub height: f64,
}

/// Returns the lines of text in the box of a unit.
pub fn lines(name: &str, node: &Node) -> Vec<String> {
    let mut lines = vec![name.to_owned()];
    if !node.details.is_empty() {
        lines.push(node.details.join(" "));
    }
    lines.extend(node.action.clone());
    lines
}

/// Lays a graph out from top to bottom, each phase in a box of its own.
pub fn arrange(graph: &Graph) -> Layout {
    let mut laid: Laid<NodeLabel, EdgeLabel> =
        Laid::with_options(GraphOptions { directed: true, multigraph: false, compound: true });
    // Names of units go by numbers there, so that none of them means something to the layout.
    let ids: BTreeMap<&str, String> =
        graph.nodes.keys().enumerate().map(|(at, name)| (name.as_str(), format!("n{at}"))).collect();
    let phases: BTreeMap<&str, String> =
        graph.phases.iter().enumerate().map(|(at, phase)| (phase.as_str(), format!("p{at}"))).collect();
    let in_phases = graph.nodes.len() <= MOST_IN_PHASES;
    for (name, node) in &graph.nodes {
        let Some(id) = ids.get(name.as_str()) else { continue };
        let lines = lines(name, node);
        let longest = lines.iter().map(|line| super::svg::shortened(line).chars().count()).max().unwrap_or_default();
        let label = NodeLabel {
            width: longest as f64 * CHARACTER + 20.0,
            height: lines.len() as f64 * LINE + 12.0,
            ..NodeLabel::default()
        };
        laid.set_node(id.as_str(), Some(label));
    }
    for (name, node) in &graph.nodes {
        let phase = node.phase.as_deref().filter(|_| in_phases).and_then(|phase| phases.get(phase));
        if let Some((id, phase)) = ids.get(name.as_str()).zip(phase) {
            if !laid.has_node(phase) {
                laid.set_node(phase.as_str(), Some(NodeLabel::default()));
            }
            laid.set_parent(id, Some(phase));
        }
    }
    for (from, to) in graph.edges.keys() {
        if let Some((from, to)) = ids.get(from.as_str()).zip(ids.get(to.as_str())) {
            laid.set_edge(from.as_str(), to.as_str(), Some(EdgeLabel::default()), None);
        }
    }
    let options = LayoutOptions {
        nodesep: 24.0,
        edgesep: 12.0,
        ranksep: 40.0,
        marginx: 16.0,
        marginy: 16.0,
        ..LayoutOptions::default()
    };
    layout(&mut laid, Some(options));
    read(graph, &laid, &ids, &phases)
}

fn read(
    graph: &Graph,
    laid: &Laid<NodeLabel, EdgeLabel>,
    ids: &BTreeMap<&str, String>,
    phases: &BTreeMap<&str, String>,
) -> Layout {
    let area = |id: &str| {
        let node = laid.node(id)?;
        Some(Area { x: node.x?, y: node.y?, width: node.width, height: node.height })
    };
    let mut found = Layout::default();
    for name in graph.nodes.keys() {
        if let Some(area) = ids.get(name.as_str()).and_then(|id| area(id)) {
            found.nodes.insert(name.clone(), area);
        }
    }
    for phase in &graph.phases {
        if let Some(area) = phases.get(phase.as_str()).and_then(|id| area(id)) {
            found.phases.insert(phase.clone(), area);
        }
    }
    for (from, to) in graph.edges.keys() {
        let ends = ids.get(from.as_str()).zip(ids.get(to.as_str()));
        if let Some(edge) = ends.and_then(|(from, to)| laid.edge(from, to, None)) {
            let points = edge.points.iter().map(|point| (point.x, point.y)).collect();
            found.edges.insert((from.clone(), to.clone()), points);
        }
    }
    let areas = || found.nodes.values().chain(found.phases.values());
    let points = || found.edges.values().flatten();
    let width = areas().map(|area| area.x + area.width / 2.0).chain(points().map(|point| point.0)).fold(0.0, f64::max);
    let height =
        areas().map(|area| area.y + area.height / 2.0).chain(points().map(|point| point.1)).fold(0.0, f64::max);
    Layout { width: width + 16.0, height: height + 16.0, ..found }
}
