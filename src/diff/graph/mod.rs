//! The units of a bundle as a graph: what starts before what, what needs what, in which phase, on which ports and GPUs.
//!
//! An arrow goes from what is there first to what comes after it. The drawing is laid out by the `dagre` crate; `dot` and
//! `mermaid` are for other programs and leave the layout to them.

mod dot;
mod layout;
mod mermaid;
mod relations;
mod svg;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::Bundle;
use crate::bundle::manifest::UnitEntry;

pub use self::svg::STYLE;

/// Units and what connects them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// By name.
    pub nodes: BTreeMap<String, Node>,
    /// By the two units that it connects, the earlier one first.
    pub edges: BTreeMap<(String, String), Edge>,
    /// The phases in their order.
    pub phases: Vec<String>,
}

/// A unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub phase: Option<String>,
    /// Ports and GPUs, in short.
    pub details: Vec<String>,
    /// Units that cannot run together with it.
    pub conflicts: BTreeSet<String>,
    /// It is not of the bundle; the host brings it.
    pub foreign: bool,
    pub mark: Mark,
    /// What a switch does with it, in words.
    pub action: Option<String>,
}

/// What connects two units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// The later one cannot do without the earlier one.
    pub requires: bool,
    /// The later one starts the earlier one, and does without it if need be.
    pub wants: bool,
    /// The later one waits for the earlier one.
    pub after: bool,
    /// The earlier one starts the later one: a timer, a socket or a path its service.
    pub triggers: bool,
    pub mark: Mark,
}

/// What a diff says of a unit or a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    #[default]
    None,
    Added,
    Removed,
    Changed,
}

impl Mark {
    fn class(self) -> &'static str {
        match self {
            Self::None => "same",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

impl Graph {
    /// Returns the graph of a bundle.
    pub fn of(bundle: &Bundle) -> Self {
        let mut graph = Graph {
            phases: bundle.manifest.phases.iter().map(|phase| phase.name.clone()).collect(),
            ..Graph::default()
        };
        for (name, entry) in &bundle.manifest.units {
            graph.nodes.insert(name.clone(), node(entry));
        }
        for name in &bundle.manifest.requires.units {
            graph.nodes.entry(name.clone()).or_insert_with(|| Node { foreign: true, ..Node::default() });
        }
        for (name, entry) in &bundle.manifest.units {
            relations::read(name, entry, bundle, &mut graph);
        }
        graph
    }

    /// Returns the graph of two bundles: what either has, with what only one of them has marked.
    pub fn between(old: &Bundle, new: &Bundle) -> Self {
        let (old, mut graph) = (Graph::of(old), Graph::of(new));
        for (name, node) in &mut graph.nodes {
            if !old.nodes.contains_key(name) {
                node.mark = Mark::Added;
            }
        }
        for (ends, edge) in &mut graph.edges {
            edge.mark = match old.edges.get(ends) {
                None => Mark::Added,
                Some(old) if old != edge => Mark::Changed,
                Some(_) => Mark::None,
            };
        }
        for (name, node) in old.nodes {
            graph.nodes.entry(name).or_insert(Node { mark: Mark::Removed, ..node });
        }
        for (ends, edge) in old.edges {
            graph.edges.entry(ends).or_insert(Edge { mark: Mark::Removed, ..edge });
        }
        graph
            .phases
            .extend(old.phases.iter().filter(|phase| !graph.phases.contains(phase)).cloned().collect::<Vec<_>>());
        graph
    }

    /// Leaves only what is marked and what is next to it, when there are more units than this; returns how many went.
    pub fn focus(&mut self, most: usize) -> usize {
        let all = self.nodes.len();
        if all <= most {
            return 0;
        }
        let marked: BTreeSet<String> =
            self.nodes.iter().filter(|(_, node)| node.mark != Mark::None).map(|(name, _)| name.clone()).collect();
        let mut kept: BTreeSet<String> = marked.iter().take(most).cloned().collect();
        for (from, to) in self.edges.keys() {
            if kept.len() < most && (marked.contains(from) || marked.contains(to)) {
                kept.extend([from.clone(), to.clone()]);
            }
        }
        // Without marks, the first ones stand for the rest.
        if kept.is_empty() {
            kept = self.nodes.keys().take(most).cloned().collect();
        }
        self.nodes.retain(|name, _| kept.contains(name));
        self.edges.retain(|(from, to), _| kept.contains(from) && kept.contains(to));
        all - self.nodes.len()
    }

    /// Returns the graph without connections that follow from others: `a` before `c` when `a` is before `b` and `b` before
    /// `c`. What is needed, and what is marked, stays.
    fn reduced(&self) -> Self {
        let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (from, to) in self.edges.keys() {
            next.entry(from).or_default().insert(to);
        }
        let implied = |from: &str, to: &str| {
            let mut open: Vec<&str> =
                next.get(from).into_iter().flatten().copied().filter(|step| *step != to).collect();
            let mut seen: BTreeSet<&str> = open.iter().copied().collect();
            while let Some(at) = open.pop() {
                if at == to {
                    return true;
                }
                // A circle leads back to the start, from where everything follows.
                let steps = next.get(at).into_iter().flatten().copied().filter(|step| *step != from);
                open.extend(steps.filter(|step| seen.insert(step)));
            }
            false
        };
        let mut reduced = self.clone();
        reduced.edges.retain(|(from, to), edge| edge.requires || edge.mark != Mark::None || !implied(from, to));
        reduced
    }

    /// Returns the graph as a drawing in SVG.
    pub fn svg(&self) -> String {
        svg::draw(&self.reduced())
    }

    /// Returns the graph in the language of Graphviz.
    pub fn dot(&self) -> String {
        dot::write(self)
    }

    /// Returns the graph in the language of Mermaid.
    pub fn mermaid(&self) -> String {
        mermaid::write(self)
    }
}

fn node(entry: &UnitEntry) -> Node {
    let ports = entry.listens.iter().map(|listen| format!(":{}", listen.port));
    let mut details: Vec<String> = ports.chain(entry.gpus.iter().cloned()).collect();
    details.dedup();
    Node { phase: entry.phase.clone(), details, ..Node::default() }
}

impl Edge {
    /// Whether the later unit waits for the earlier one, or cannot do without it.
    fn is_strong(&self) -> bool {
        self.requires || self.after || self.triggers
    }
}

/// Returns what an edge says, such as `requires, after`.
fn words(edge: &Edge) -> String {
    let said = [(edge.requires, "requires"), (edge.wants, "wants"), (edge.after, "after"), (edge.triggers, "triggers")];
    said.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect::<Vec<_>>().join(", ")
}
