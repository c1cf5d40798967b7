//! A diff as one page of HTML that needs nothing else: no script, no font, no picture from anywhere.
//!
//! The template gets text only; what it prints is escaped for HTML, and made harmless like everywhere. Drawings of units
//! are the one exception, and citadel makes these itself.

use std::sync::LazyLock;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, context};

use super::plain::cut;
use super::words::{self, Row};
use crate::bundle::Bundle;
use crate::diff::graph::{Graph, Mark};
use crate::diff::model::{Content, Diff, Effect, FileChange, Hunk, Sign, State, UnitChange};
use crate::plan::Action;

/// Drawings with more units are of those that differ and their neighbours.
const MOST_UNITS: usize = 120;
/// Longer values and lines are cut.
const LONGEST: usize = 4000;
/// Longer texts are cut.
const MOST_LINES: usize = 2000;

/// A page could not be written.
#[derive(Debug, thiserror::Error)]
#[error("citadel failed to write a page: {0:#}; this is a defect of citadel, please report it")]
pub struct PageError(Error);

static TEMPLATES: LazyLock<Result<Environment<'static>, Error>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_formatter(|out, state, value| match value.as_str().filter(|_| !value.is_safe()) {
        Some(text) => minijinja::escape_formatter(out, state, &Value::from(cut(text, LONGEST))),
        None => minijinja::escape_formatter(out, state, value),
    });
    environment.add_template("diff", include_str!("../../../templates/diff.html.j2"))?;
    Ok(environment)
});

/// Returns diffs as a page. `graphs` are those of [`graph`], one for each diff.
pub fn render(diffs: &[Diff], graphs: &[Option<Graph>], title: &str) -> Result<String, PageError> {
    let shown: Vec<Value> = diffs
        .iter()
        .zip(graphs)
        .filter(|(diff, _)| !diff.is_empty())
        .map(|(diff, graph)| one(diff, graph.as_ref()))
        .collect();
    let same: Vec<String> = diffs.iter().filter(|diff| diff.is_empty()).map(|diff| diff.new.profile.clone()).collect();
    let values = context! { title => title.to_owned(), diffs => shown, same => same };
    let environment = TEMPLATES.as_ref().map_err(|error| PageError(Error::new(error.kind(), error.to_string())))?;
    environment.get_template("diff").and_then(|template| template.render(values)).map_err(PageError)
}

/// Returns the graph of a diff, with what differs marked and with what a switch does.
pub fn graph(diff: &Diff, old: Option<&Bundle>, new: Option<&Bundle>) -> Option<Graph> {
    let mut graph = match (old, new) {
        (Some(old), Some(new)) => Graph::between(old, new),
        (Some(one), None) | (None, Some(one)) => Graph::of(one),
        (None, None) => return None,
    };
    for unit in &diff.units {
        let Some(node) = graph.nodes.get_mut(&unit.name) else { continue };
        node.mark = match unit.state {
            State::Added => Mark::Added,
            State::Removed => Mark::Removed,
            State::Changed if unit.renamed_from.is_some() => Mark::Added,
            State::Changed => Mark::Changed,
        };
    }
    for step in &diff.plan.steps {
        if let Some(node) = graph.nodes.get_mut(step.unit.as_str()) {
            node.action = Some(step.step.action.words().to_owned());
        }
    }
    Some(graph)
}

fn one(diff: &Diff, graph: Option<&Graph>) -> Value {
    let mut graph = graph.cloned();
    let left_out = graph.as_mut().map_or(0, |graph| graph.focus(MOST_UNITS));
    let exposure = words::exposure(&diff.security.exposure);
    let security: Value = diff
        .security
        .changes
        .iter()
        .map(|change| {
            let effect = match change.effect {
                Effect::Weaker => "weaker",
                Effect::Stronger => "stronger",
            };
            context! { effect, unit => change.unit.clone(), words => change.kind.words(), what => change.what.clone() }
        })
        .collect();
    let steps: Value = diff
        .plan
        .steps
        .iter()
        .map(|it| {
            let (step, unit) = (&it.step, it.unit.to_string());
            context! {
                unit, action => step.action.words(), class => class(step.action), phase => step.phase.clone().unwrap_or_default(),
                reasons => words::reasons(step), cost => words::cost(step),
            }
        })
        .collect();
    context! {
        profile => diff.new.profile.clone(),
        old => words::side(&diff.old),
        new => words::side(&diff.new),
        summary => words::summary(diff),
        security,
        no_exposure => exposure.as_ref().err().map(|why| (*why).to_owned()),
        exposure => rows(&exposure.unwrap_or_default()),
        steps,
        loading => words::loading(diff),
        budget => rows(&words::budget(&diff.budget)),
        graph => graph.filter(|graph| !graph.nodes.is_empty()).map(|graph| Value::from_safe_string(graph.svg())),
        left_out,
        subjects => diff.profile.iter().map(|subject| {
            let (shown, usual) = words::subject_rows(subject);
            context! { state => state(subject.state), sign => words::sign(subject.state).to_string(), title => words::subject(subject), rows => rows(&shown), usual }
        }).collect::<Value>(),
        units => diff.units.iter().map(unit).collect::<Value>(),
        files => diff.files.iter().map(file).collect::<Value>(),
        manifest => rows(&diff.manifest.iter().map(words::change).collect::<Vec<_>>()),
        inputs => diff.inputs.iter().map(|input| Value::from(input.path.clone())).collect::<Value>(),
    }
}

fn rows(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let Row { name, old, new, removed, added, note } = row.clone();
        context! { name, old, new, list => row.is_list(), removed, added, note }
    };
    rows.iter().map(row).collect()
}

fn unit(unit: &UnitChange) -> Value {
    let step = unit.step.as_ref();
    let directives = unit.directives.iter().map(|directive| {
        let mut row = words::directive(directive);
        row.name = format!("[{}] {}", directive.section, row.name);
        row
    });
    context! {
        state => state(unit.state),
        sign => words::sign(unit.state).to_string(),
        name => unit.name.clone(),
        was => unit.renamed_from.clone(),
        action => words::action(unit),
        class => step.map_or("stays", |step| class(step.action)),
        reasons => step.map(words::reasons),
        directives => rows(&directives.collect::<Vec<_>>()),
        manifest => rows(&words::unit_rows(unit)),
        files => if unit.state == State::Changed { unit.files.clone() } else { Vec::new() },
        not_shown => unit.not_shown.iter().map(|it| Value::from(it.words())).collect::<Value>(),
    }
}

fn file(file: &FileChange) -> Value {
    let mut shown: Vec<Row> = file.attributes.iter().map(words::change).collect();
    let mut lines = Value::from(Vec::<Value>::new());
    let mut notes = words::content_notes(&file.content);
    match &file.content {
        Content::Keys { changes, .. } => shown.extend(changes.iter().map(words::change)),
        Content::Lines { hunks } => {
            let all: usize = hunks.iter().map(|hunk| hunk.lines.len()).sum();
            if all > MOST_LINES {
                notes.push(format!("{} more lines; the JSON of this diff has all", all - MOST_LINES));
            }
            lines = cut_hunks(hunks);
        }
        Content::Same | Content::Bytes { .. } => {}
    }
    context! {
        state => state(file.state),
        sign => words::sign(file.state).to_string(),
        path => file.path.clone(),
        note => words::file_note(file),
        rows => rows(&shown),
        hunks => lines,
        notes,
    }
}

fn cut_hunks(hunks: &[Hunk]) -> Value {
    let mut left = MOST_LINES;
    let hunk = |hunk: &Hunk| {
        let lines: Value = hunk.lines.iter().take(left).map(line).collect();
        left = left.saturating_sub(hunk.lines.len());
        context! { old_start => hunk.old_start, new_start => hunk.new_start, lines }
    };
    hunks.iter().map(hunk).collect()
}

fn line(line: &crate::diff::model::Line) -> Value {
    let (class, sign) = match line.sign {
        Sign::Both => ("b", " "),
        Sign::Old => ("o", "-"),
        Sign::New => ("n", "+"),
    };
    let pieces: Value =
        line.pieces.iter().map(|piece| context! { text => piece.text.clone(), marked => piece.marked }).collect();
    context! { class, sign, pieces, no_line_end => line.no_line_end }
}

fn state(state: State) -> &'static str {
    match state {
        State::Added => "added",
        State::Removed => "removed",
        State::Changed => "changed",
    }
}

/// Returns the class of an action by what it means for whoever uses the unit.
fn class(action: Action) -> &'static str {
    match action {
        Action::Stop | Action::StopStart | Action::Restart => "stops",
        Action::Start => "starts",
        Action::Nothing | Action::ReloadManager | Action::Keep | Action::Reload => "stays",
    }
}
