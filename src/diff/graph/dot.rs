//! A graph in the language of Graphviz.

use std::fmt::Write as _;

use super::{Graph, Mark, words};
use crate::diff::show::plain::visible;

/// Returns a directed graph with a cluster for each phase.
pub fn write(graph: &Graph) -> String {
    let mut out =
        "digraph citadel {\n  rankdir=TB;\n  node [shape=box, style=rounded, fontname=monospace];\n".to_owned();
    for (at, phase) in graph.phases.iter().enumerate() {
        let _ = write!(out, "  subgraph cluster_{at} {{\n    label={};\n", quoted(phase));
        for (name, _) in graph.nodes.iter().filter(|(_, node)| node.phase.as_ref() == Some(phase)) {
            let _ = writeln!(out, "    {};", quoted(name));
        }
        out.push_str("  }\n");
    }
    for (name, node) in &graph.nodes {
        let label = super::layout::lines(name, node).join("\n");
        let style = if node.foreign { ", style=dashed" } else { "" };
        let _ = writeln!(out, "  {} [label={}{style}{}];", quoted(name), quoted(&label), colour(node.mark));
    }
    for ((from, to), edge) in &graph.edges {
        let style = if edge.requires {
            "bold"
        } else if edge.is_strong() {
            "solid"
        } else {
            "dashed"
        };
        let (from, to, label) = (quoted(from), quoted(to), quoted(&words(edge)));
        let _ = writeln!(out, "  {from} -> {to} [style={style}, tooltip={label}{}];", colour(edge.mark));
    }
    out + "}\n"
}

fn colour(mark: Mark) -> &'static str {
    match mark {
        Mark::None => "",
        Mark::Added => ", color=\"#1a7f37\"",
        Mark::Removed => ", color=\"#cf222e\"",
        Mark::Changed => ", color=\"#9a6700\"",
    }
}

fn quoted(text: &str) -> String {
    let lines: Vec<String> =
        text.split('\n').map(|line| visible(line).replace('\\', "\\\\").replace('"', "\\\"")).collect();
    format!("\"{}\"", lines.join("\\n"))
}
