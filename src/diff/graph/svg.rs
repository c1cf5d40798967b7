//! A graph as a drawing: text stays text, colours follow the reader's light or dark theme, nothing is loaded.

use std::fmt::Write as _;

use super::layout::{Area, LINE, arrange, lines};
use super::{Graph, Mark, words};
use crate::diff::markup;
use crate::diff::show::plain::visible;

/// The looks of drawings; a page with several needs it once.
pub const STYLE: &str = "\
.citadel-graph{--paper:#fff;--ink:#1c2128;--soft:#57606a;--line:#8c959f;--box:#f6f8fa;--phase:#eaeef2;\
--added:#1a7f37;--removed:#cf222e;--changed:#9a6700;--added-box:#dafbe1;--removed-box:#ffebe9;--changed-box:#fff8c5;\
font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}\
@media(prefers-color-scheme:dark){.citadel-graph{--paper:#0d1117;--ink:#e6edf3;--soft:#9198a1;--line:#6e7681;--box:#161b22;\
--phase:#1c222b;--added:#3fb950;--removed:#f85149;--changed:#d29922;--added-box:#12261e;--removed-box:#2d1214;\
--changed-box:#272115}}\
.citadel-graph .paper{fill:var(--paper)}.citadel-graph .phase{fill:var(--phase);stroke:none}\
.citadel-graph text{fill:var(--ink);text-anchor:middle}.citadel-graph .detail{fill:var(--soft)}\
.citadel-graph .title{fill:var(--soft);text-anchor:start;font-weight:600}\
.citadel-graph .unit rect{fill:var(--box);stroke:var(--line)}.citadel-graph .foreign rect{stroke-dasharray:4 3}\
.citadel-graph .edge{fill:none;stroke:var(--line)}.citadel-graph .weak{stroke-dasharray:5 4}\
.citadel-graph .needs{stroke-width:1.8}.citadel-graph .head{fill:var(--line)}\
.citadel-graph .added rect{stroke:var(--added);fill:var(--added-box);stroke-width:2}\
.citadel-graph .removed rect{stroke:var(--removed);fill:var(--removed-box);stroke-width:2;stroke-dasharray:6 3}\
.citadel-graph .changed rect{stroke:var(--changed);fill:var(--changed-box);stroke-width:2}\
.citadel-graph .edge.added{stroke:var(--added)}.citadel-graph .edge.removed{stroke:var(--removed)}\
.citadel-graph .edge.changed{stroke:var(--changed)}.citadel-graph .action{font-weight:600}";

/// Returns a whole document of SVG.
pub fn draw(graph: &Graph) -> String {
    let laid = arrange(graph);
    let mut out = String::new();
    let (width, height) = (laid.width.ceil().max(1.0), laid.height.ceil().max(1.0));
    // Where it does not fit, it is scaled down as far as its text can be read; then it has to be scrolled.
    let smallest = (width * 0.62).ceil();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"citadel-graph\" role=\"img\" width=\"{width}\" height=\"{height}\" \
         style=\"width:max(100%,{smallest}px);max-width:{width}px;height:auto\" viewBox=\"0 0 {width} {height}\"><title>Units and what connects them</title><style>{STYLE}</style>\
         <defs><marker id=\"citadel-head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto-start-reverse\"><path class=\"head\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>"
    );
    for phase in &graph.phases {
        if let Some(area) = laid.phases.get(phase) {
            let _ = write!(
                out,
                "<g><rect class=\"phase\" rx=\"8\" {}/><text class=\"title\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
                corners(area),
                area.x - area.width / 2.0 + 8.0,
                area.y - area.height / 2.0 + 14.0,
                escaped(phase)
            );
        }
    }
    for (ends, edge) in &graph.edges {
        if let Some(points) = laid.edges.get(ends) {
            let _ = write!(
                out,
                "<path class=\"edge {}{} {}\" marker-end=\"url(#citadel-head)\" d=\"{}\"><title>{}</title></path>",
                if edge.requires { "needs" } else { "light" },
                if edge.is_strong() { "" } else { " weak" },
                edge.mark.class(),
                path(points),
                escaped(&format!("{} → {}: {}", ends.0, ends.1, words(edge)))
            );
        }
    }
    for (name, node) in &graph.nodes {
        let Some(area) = laid.nodes.get(name) else { continue };
        let foreign = if node.foreign { " foreign" } else { "" };
        let _ = write!(
            out,
            "<g class=\"unit {}{foreign}\"><title>{}</title><rect rx=\"5\" {}/>",
            node.mark.class(),
            escaped(&described(graph, name)),
            corners(area)
        );
        let lines = lines(name, node);
        let top = area.y - (lines.len() as f64 - 1.0) * LINE / 2.0 + 4.0;
        for (at, line) in lines.iter().enumerate() {
            let class = match at {
                0 => "name",
                _ if node.action.as_deref() == Some(line) => "action",
                _ => "detail",
            };
            let y = top + at as f64 * LINE;
            let _ = write!(
                out,
                "<text class=\"{class}\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                area.x,
                escaped(&shortened(line))
            );
        }
        out.push_str("</g>");
    }
    out.push_str("</svg>\n");
    out
}

/// Long names would make everything small.
pub fn shortened(line: &str) -> String {
    const LONGEST: usize = 48;
    let line = visible(line);
    match line.chars().count() > LONGEST {
        true => line.chars().take(LONGEST - 1).chain(['…']).collect(),
        false => line.into_owned(),
    }
}

fn described(graph: &Graph, name: &str) -> String {
    let Some(node) = graph.nodes.get(name) else { return name.to_owned() };
    let mut text = name.to_owned();
    let mut add = |label: &str, value: &str| {
        let _ = write!(text, "\n{label}: {value}");
    };
    if let Some(phase) = &node.phase {
        add("phase", phase);
    }
    if !node.details.is_empty() {
        add("ports and GPUs", &node.details.join(" "));
    }
    if !node.conflicts.is_empty() {
        add("not together with", &node.conflicts.iter().cloned().collect::<Vec<_>>().join(" "));
    }
    if let Some(action) = &node.action {
        add("a switch does", action);
    }
    if node.mark != Mark::None {
        add("in this change", node.mark.class());
    }
    text
}

fn corners(area: &Area) -> String {
    format!(
        "x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"",
        area.x - area.width / 2.0,
        area.y - area.height / 2.0,
        area.width,
        area.height
    )
}

/// Returns a smooth line through the points.
fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    let Some(((x, y), rest)) = points.split_first() else { return out };
    let _ = write!(out, "M{x:.1} {y:.1}");
    for (at, (x, y)) in rest.iter().enumerate() {
        match rest.get(at + 1) {
            // Towards the middle of the next part, bent at the point.
            Some((next_x, next_y)) => {
                let _ = write!(out, "Q{x:.1} {y:.1} {:.1} {:.1}", (x + next_x) / 2.0, (y + next_y) / 2.0);
            }
            None => {
                let _ = write!(out, "L{x:.1} {y:.1}");
            }
        }
    }
    out
}

/// Returns text for XML, harmless.
fn escaped(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(visible).collect();
    markup::escaped(&lines.join("\n"))
}
