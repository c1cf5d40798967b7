//! A graph in the language of Mermaid, which GitHub and GitLab draw in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Graph, Mark};
use crate::diff::show::plain::visible;

/// Returns a flowchart with a subgraph for each phase.
pub fn write(graph: &Graph) -> String {
    let ids: BTreeMap<&str, usize> = graph.nodes.keys().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let mut out = "flowchart TB\n".to_owned();
    let node = |out: &mut String, indent: &str, name: &str| {
        if let Some((node, id)) = graph.nodes.get(name).zip(ids.get(name)) {
            let lines: Vec<String> = super::layout::lines(name, node).iter().map(|line| escaped(line)).collect();
            let _ = writeln!(out, "{indent}n{id}[\"{}\"]", lines.join("<br>"));
        }
    };
    for (at, phase) in graph.phases.iter().enumerate() {
        let members: Vec<_> = graph.nodes.iter().filter(|(_, node)| node.phase.as_ref() == Some(phase)).collect();
        if members.is_empty() {
            continue;
        }
        let _ = writeln!(out, "  subgraph p{at}[\"{}\"]", escaped(phase));
        members.iter().for_each(|(name, _)| node(&mut out, "    ", name));
        out.push_str("  end\n");
    }
    let in_phase = |phase: &Option<String>| phase.as_ref().is_some_and(|phase| graph.phases.contains(phase));
    for (name, _) in graph.nodes.iter().filter(|(_, node)| !in_phase(&node.phase)) {
        node(&mut out, "  ", name);
    }
    for ((from, to), edge) in &graph.edges {
        let arrow = if edge.requires {
            "==>"
        } else if edge.is_strong() {
            "-->"
        } else {
            "-.->"
        };
        if let Some((from, to)) = ids.get(from.as_str()).zip(ids.get(to.as_str())) {
            let _ = writeln!(out, "  n{from} {arrow} n{to}");
        }
    }
    for (mark, class, style) in [
        (Mark::Added, "added", "stroke:#1a7f37,stroke-width:3px"),
        (Mark::Removed, "removed", "stroke:#cf222e,stroke-width:3px,stroke-dasharray:5"),
        (Mark::Changed, "changed", "stroke:#9a6700,stroke-width:3px"),
    ] {
        let marked =
            graph.nodes.iter().filter(|(_, node)| node.mark == mark).filter_map(|(name, _)| ids.get(name.as_str()));
        let marked: Vec<String> = marked.map(|id| format!("n{id}")).collect();
        if !marked.is_empty() {
            let _ = writeln!(out, "  classDef {class} {style}\n  class {} {class}", marked.join(","));
        }
    }
    out
}

/// Returns text in which no character means something to Mermaid or HTML.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for it in visible(text).chars() {
        match it {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '_' | '.' | ':' | '@' | '/' | ',' => out.push(it),
            // Mermaid's way to write any character.
            it => {
                let _ = write!(out, "#{};", u32::from(it));
            }
        }
    }
    out
}
