//! Graphs of any shape, and of names that mean something to the languages that they are written in.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Edge, Graph, Mark, Node};

fn graph(nodes: usize, edges: &[(usize, usize, bool)], phases: usize) -> Graph {
    let name = |at: usize| format!("unit-{at}.service");
    let node = |at: usize| Node {
        phase: (phases > 0 && !at.is_multiple_of(3)).then(|| format!("phase {}", at % phases)),
        details: vec![format!(":{at}")],
        mark: if at.is_multiple_of(4) { Mark::Changed } else { Mark::None },
        ..Node::default()
    };
    Graph {
        nodes: (0..nodes).map(|at| (name(at), node(at))).collect(),
        edges: edges
            .iter()
            .filter(|(from, to, _)| from != to && *from < nodes && *to < nodes)
            .map(|(from, to, requires)| {
                ((name(*from), name(*to)), Edge { requires: *requires, after: true, ..Edge::default() })
            })
            .collect(),
        phases: (0..phases).map(|phase| format!("phase {phase}")).collect(),
    }
}

#[test]
fn what_follows_from_others_is_not_drawn() {
    let all = graph(3, &[(0, 1, false), (1, 2, false), (0, 2, false)], 0);
    assert_eq!(all.reduced().edges.len(), 2);
    let needed = graph(3, &[(0, 1, false), (1, 2, false), (0, 2, true)], 0);
    assert_eq!(needed.reduced().edges.len(), 3);
    let circle = graph(3, &[(0, 1, false), (1, 2, false), (2, 0, false)], 0);
    assert_eq!(circle.reduced().edges.len(), 3);
}

#[test]
fn a_large_graph_is_about_what_changes() {
    let mut large = graph(100, &(0..99).map(|at| (at, at + 1, false)).collect::<Vec<_>>(), 3);
    let left_out = large.focus(60);
    assert_eq!((large.nodes.len(), left_out), (60, 40));
    assert_eq!(large.nodes.values().filter(|node| node.mark == Mark::Changed).count(), 25);
}

#[test]
fn names_mean_nothing_to_a_language() {
    let name = "a\"];evil-->n0[(\"<script>#quot;\\x2d\n@.service".to_owned();
    let node = Node { phase: Some(name.clone()), details: vec![name.clone()], ..Node::default() };
    let graph = Graph { nodes: BTreeMap::from([(name.clone(), node)]), edges: BTreeMap::new(), phases: vec![name] };
    assert!(!graph.svg().contains("<script"));
    let mermaid = graph.mermaid();
    assert!(mermaid.lines().all(|line| line.matches('"').count() % 2 == 0 && !line.contains("<script")), "{mermaid}");
    let dot = graph.dot().replace("\\\\", "").replace("\\\"", "");
    assert!(dot.lines().all(|line| line.matches('"').count() % 2 == 0), "{dot}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn every_graph_is_drawn_the_same_each_time(
        nodes in 0usize..14, edges in prop::collection::vec((0usize..14, 0usize..14, any::<bool>()), 0..40), phases in 0usize..4
    ) {
        let graph = graph(nodes, &edges, phases);
        let drawn = graph.svg();
        prop_assert_eq!(drawn.matches("<rect rx=\"5\"").count(), nodes);
        prop_assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
        prop_assert_eq!(&drawn, &graph.svg());
        prop_assert_eq!(graph.dot().matches(" -> ").count(), graph.edges.len());
        let mermaid = graph.mermaid();
        let boxes = mermaid.lines().filter(|line| line.trim_start().starts_with('n') && line.ends_with("\"]")).count();
        let arrows = mermaid.lines().filter(|line| line.contains("--> n") || line.contains("==> n")).count();
        prop_assert_eq!((boxes, arrows), (nodes, graph.edges.len()));
    }
}
