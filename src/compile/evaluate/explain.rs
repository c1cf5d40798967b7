//! Why an evaluation failed: every wrong option of a profile at its own line, in one run.
//!
//! Nickel stops at its first error. Only after a failed export does this module walk the profile option by option, so
//! that a correct profile pays nothing for it.

use std::collections::BTreeMap;

use nickel_lang_core::error::{Error, EvalError, EvalErrorKind};
use nickel_lang_core::eval::VirtualMachine;
use nickel_lang_core::eval::value::{Container, EnumVariantData, NickelValue, ValueContentRef};
use nickel_lang_core::identifier::LocIdent;
use nickel_lang_core::label::Label;
use nickel_lang_core::position::{PosIdx, TermPos};
use nickel_lang_core::term::RuntimeContract;
use nickel_lang_core::term::record::FieldMetadata;
use nickel_lang_core::typ::TypeF;

use super::engine::Engine;
use super::origins::is_said;
use crate::compile::diagnostic::{Diagnostic, Place};
use crate::compile::finding::{OptionPath, nearest};
use crate::compile::options::Reference;

/// An option does not exist.
pub const UNKNOWN: &str = "E0201";
/// A required option is missing.
pub const MISSING: &str = "E0202";
/// An option has a value that it cannot have.
pub const WRONG: &str = "E0203";
/// Two parts of a profile give an option different values.
pub const CONFLICT: &str = "E0204";
/// The evaluation fails for another reason.
pub const EVALUATION: &str = "E0205";
/// An option depends on itself.
pub const RECURSION: &str = "E0206";

/// More errors than this help nobody.
const MAX_ERRORS: usize = 100;
const MAX_DEPTH: usize = 64;

/// An option whose evaluation failed.
enum Failed {
    Evaluation { path: OptionPath, trail: Vec<TermPos>, error: EvalError },
    Missing { path: OptionPath, trail: Vec<TermPos>, metadata: Box<FieldMetadata>, record: PosIdx },
}

/// Returns everything that is wrong with the options of a profile; `first` is the error that its export ended with.
pub fn explain(engine: &mut Engine, value: NickelValue, first: Error) -> Vec<Diagnostic> {
    let reference = Reference::of_library();
    let contracts = contracts(engine, &reference);
    let mut failures = Vec::new();
    let mut walk = Walk {
        failures: &mut failures,
        reference: &reference,
        contracts: &contracts,
        path: Vec::new(),
        trail: Vec::new(),
    };
    walk.visit(&mut VirtualMachine::new(&mut engine.context), value);
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for failure in failures {
        let found = match failure {
            Failed::Missing { path, trail, metadata, record } => {
                vec![missing(engine, &reference, &path, &trail, &metadata, record)]
            }
            Failed::Evaluation { path, trail, error } => evaluation(engine, &reference, &path, &trail, error),
        };
        for diagnostic in found {
            // One wrong value can fail in several options that are computed from it.
            let cause = |it: &Diagnostic| it.labels.first().map(|label| (label.place.source, label.place.range.start));
            let known = diagnostics.iter().any(|other| {
                cause(other) == cause(&diagnostic) && cause(other).is_some() && other.message == diagnostic.message
            });
            if !known {
                diagnostics.push(diagnostic);
            }
        }
    }
    // What fails only in the export, such as a function among the values.
    if diagnostics.is_empty() {
        diagnostics = engine.describe(EVALUATION, first);
    }
    diagnostics
}

/// Returns the record contracts of the library by name, ready to be applied to a value.
fn contracts(engine: &mut Engine, reference: &Reference) -> BTreeMap<String, Vec<RuntimeContract>> {
    let fields: String = reference.records().iter().map(|name| format!("{name} | lib.{name} | optional, ")).collect();
    let text = format!("let lib = import \"citadel/lib.ncl\" in {{ {fields} }}");
    let Ok(value) = engine.prepare_text(text) else { return BTreeMap::new() };
    let Ok(value) = VirtualMachine::new(&mut engine.context).eval(value) else { return BTreeMap::new() };
    let Some(Container::Alloc(record)) = value.as_record() else { return BTreeMap::new() };
    record.fields.iter().map(|(name, field)| (name.label().to_owned(), field.pending_contracts.clone())).collect()
}

struct Walk<'a> {
    failures: &'a mut Vec<Failed>,
    reference: &'a Reference,
    contracts: &'a BTreeMap<String, Vec<RuntimeContract>>,
    path: Vec<String>,
    /// Where the names on the way stand.
    trail: Vec<TermPos>,
}

type Machine<'a> = VirtualMachine<'a, nickel_lang_core::cache::CacheHub, nickel_lang_core::eval::cache::CacheImpl>;

impl Walk<'_> {
    fn visit(&mut self, machine: &mut Machine<'_>, value: NickelValue) {
        if self.failures.len() >= MAX_ERRORS || self.path.len() > MAX_DEPTH {
            return;
        }
        let position = value.pos_idx();
        let value = match machine.eval(value) {
            Ok(value) => value,
            Err(error) => {
                machine.reset();
                let path = OptionPath(self.path.clone());
                let rest = self.without_unknown(&path, &error);
                self.failures.push(Failed::Evaluation { path, trail: self.trail.clone(), error });
                if let Some(rest) = rest {
                    self.visit(machine, rest);
                }
                return;
            }
        };
        match value.content_ref() {
            ValueContentRef::Array(Container::Alloc(array)) => {
                for (at, element) in array.iter_with_pending_contracts(position).enumerate() {
                    self.inside(&at.to_string(), TermPos::None, |walk| walk.visit(machine, element));
                }
            }
            ValueContentRef::Record(Container::Alloc(record)) => {
                for (name, field) in &record.fields {
                    if field.metadata.not_exported() {
                        continue;
                    }
                    self.inside(name.label(), name.pos, |walk| match field.value_with_pending_contracts() {
                        Some(inner) => walk.visit(machine, inner),
                        None if field.metadata.opt() => {}
                        None => {
                            let record = if position == PosIdx::NONE { value.pos_idx() } else { position };
                            let metadata = Box::new(field.metadata.clone_inner());
                            let path = OptionPath(walk.path.clone());
                            walk.failures.push(Failed::Missing { path, trail: walk.trail.clone(), metadata, record });
                        }
                    });
                }
            }
            ValueContentRef::EnumVariant(EnumVariantData { arg: Some(inner), .. }) => {
                let inner = inner.clone();
                self.visit(machine, inner);
            }
            _ => {}
        }
    }

    /// Returns a record that was refused for its unknown options, without them, so that the rest is checked as well.
    fn without_unknown(&self, path: &OptionPath, error: &EvalError) -> Option<NickelValue> {
        let EvalErrorKind::BlameError { evaluated_arg: Some(value), label } = &error.error else { return None };
        let unknown = extra_fields(Some(value), label);
        let Some(Container::Alloc(record)) = value.as_record().filter(|_| !unknown.is_empty()) else { return None };
        let contracts = self.contracts.get(self.reference.record_at(path)?)?;
        let mut known = record.clone();
        known.fields.retain(|name, _| !unknown.contains(name));
        let position = value.pos_idx();
        let known = NickelValue::record(known, position);
        Some(RuntimeContract::apply_all(known, contracts.iter().cloned(), position))
    }

    fn inside(&mut self, name: &str, position: TermPos, visit: impl FnOnce(&mut Self)) {
        self.path.push(name.to_owned());
        self.trail.push(position);
        visit(self);
        self.path.pop();
        self.trail.pop();
    }
}

fn missing(
    engine: &mut Engine,
    reference: &Reference,
    path: &OptionPath,
    trail: &[TermPos],
    metadata: &FieldMetadata,
    record: PosIdx,
) -> Diagnostic {
    let mut found = Diagnostic::error(MISSING, format!("the option `{path}` is missing"));
    let parents = &trail[..trail.len().saturating_sub(1)];
    let place = own(engine, parents.last().copied())
        .or_else(|| engine.place_of(record).filter(|place| is_said(place, engine.sources())))
        .or_else(|| nearest_own(engine, parents));
    if let Some(place) = place {
        found = found.at(first_line(engine, place), "needed in here");
    }
    if let Some(doc) = metadata.doc.as_deref().or_else(|| reference.doc(path)) {
        found = found.note(format!("{}: {doc}", path.0.last().map_or("", String::as_str)));
    }
    found.help(format!("add `{} = …`", path.0.last().map_or("", String::as_str)))
}

fn evaluation(
    engine: &mut Engine,
    reference: &Reference,
    path: &OptionPath,
    trail: &[TermPos],
    error: EvalError,
) -> Vec<Diagnostic> {
    match &error.error {
        EvalErrorKind::BlameError { evaluated_arg, label } => {
            let unknown = extra_fields(evaluated_arg.as_ref(), label);
            if !unknown.is_empty() {
                return unknown.into_iter().map(|name| unknown_option(engine, reference, path, trail, name)).collect();
            }
            vec![wrong_value(engine, reference, path, trail, evaluated_arg.as_ref(), label)]
        }
        EvalErrorKind::MergeIncompatibleArgs { left_arg, right_arg, .. } => {
            let mut found = Diagnostic::error(CONFLICT, format!("two parts of the profile disagree on `{path}`"));
            let mut places: Vec<Place> =
                [left_arg, right_arg].into_iter().filter_map(|value| engine.place_of_value(value)).collect();
            places.sort_by_key(|place| !is_said(place, engine.sources()));
            for place in places {
                found = found.at(place, "one value");
            }
            vec![
                found
                    .help("keep one of them; a module says `| priority -100` behind a value that a profile may change"),
            ]
        }
        EvalErrorKind::InfiniteRecursion(..) => {
            let mut found = engine.describe(RECURSION, Error::EvalError(error));
            for diagnostic in &mut found {
                let (message, help) = match path.0.is_empty() {
                    true => ("the profile depends on itself".to_owned(), "look for a file that imports itself"),
                    false => (
                        format!("the option `{path}` depends on itself"),
                        "inside a record a name means the record's own field; give the outer value another name",
                    ),
                };
                diagnostic.message = message;
                diagnostic.help = Some(help.to_owned());
            }
            found
        }
        _ => {
            let mut found = engine.describe(EVALUATION, Error::EvalError(error));
            let place = nearest_own(engine, trail);
            for diagnostic in &mut found {
                if !path.0.is_empty() {
                    diagnostic.notes.push(format!("while evaluating `{path}`"));
                }
                if let Some(place) = place.clone().filter(|_| diagnostic.labels.is_empty()) {
                    *diagnostic = diagnostic.clone().at(place, "in this option");
                }
            }
            found
        }
    }
}

fn unknown_option(
    engine: &mut Engine,
    reference: &Reference,
    path: &OptionPath,
    trail: &[TermPos],
    name: LocIdent,
) -> Diagnostic {
    let option = path.member(name.label());
    let mut found = Diagnostic::error(UNKNOWN, format!("there is no option `{option}`"));
    let place = own(engine, Some(name.pos)).or_else(|| nearest_own(engine, trail));
    if let Some(place) = place {
        found = found.at(place, "unknown option");
    }
    let siblings = reference.names_in(path);
    if let Some(near) = nearest(name.label(), siblings.iter().copied()) {
        return found.help(format!("did you mean `{near}`?"));
    }
    if let Some(elsewhere) = reference.find_name(name.label()) {
        found = found.note(format!("an option of this name is `{elsewhere}`"));
    }
    if siblings.is_empty() { found } else { found.help(format!("the options here are: {}", siblings.join(", "))) }
}

fn wrong_value(
    engine: &mut Engine,
    reference: &Reference,
    path: &OptionPath,
    trail: &[TermPos],
    value: Option<&NickelValue>,
    label: &Label,
) -> Diagnostic {
    let said = label.diagnostics.iter().rev().find_map(|diagnostic| diagnostic.message.clone());
    let wanted = || reference.wanted(path).unwrap_or_else(|| expected(label));
    let complaint = said.filter(|message| message.starts_with("not ")).unwrap_or_else(|| format!("not {}", wanted()));
    let mut found = Diagnostic::error(WRONG, format!("the value of `{path}` is {complaint}"));
    let place = value
        .and_then(|value| engine.place_of_value(value))
        .filter(|place| is_said(place, engine.sources()))
        .or_else(|| engine.place_of(label.arg_pos).filter(|place| is_said(place, engine.sources())))
        .or_else(|| nearest_own(engine, trail));
    if let Some(place) = place {
        let place = first_line(engine, place);
        found = found.at(place, "this value");
    }
    let advice = label.diagnostics.iter().rev().find_map(|diagnostic| diagnostic.notes.first().cloned());
    if let Some(doc) = reference.doc(path) {
        found = found.note(format!("{}: {doc}", path.0.last().map_or("", String::as_str)));
    }
    match advice {
        Some(advice) => found.help(advice),
        None => found,
    }
}

/// Returns what a built-in contract wants, in words.
fn expected(label: &Label) -> String {
    let shown = label.typ.to_string();
    match &label.typ.typ {
        TypeF::Bool => "`true` or `false`".to_owned(),
        TypeF::String => "a string in quotes".to_owned(),
        TypeF::Number => "a number".to_owned(),
        TypeF::Array(_) => "a list such as `[\"…\"]`".to_owned(),
        TypeF::Dict { .. } | TypeF::Record(_) | TypeF::Contract(_) => "a record such as `{ … }`".to_owned(),
        TypeF::Enum(_) => {
            let tags: Vec<&str> = shown
                .trim_start_matches("[|")
                .trim_end_matches("|]")
                .split(',')
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
                .collect();
            format!("one of {}", tags.join(", "))
        }
        _ => format!("of the type `{shown}`"),
    }
}

/// Returns the names that a closed record refused; they carry their own positions.
fn extra_fields(value: Option<&NickelValue>, label: &Label) -> Vec<LocIdent> {
    let refused = label
        .diagnostics
        .iter()
        .filter_map(|diagnostic| diagnostic.message.as_deref())
        .find(|message| message.starts_with("extra field"));
    let (Some(refused), Some(Container::Alloc(record))) = (refused, value.and_then(NickelValue::as_record)) else {
        return Vec::new();
    };
    record.fields.keys().filter(|name| refused.contains(&format!("`{}`", name.label()))).copied().collect()
}

fn own(engine: &mut Engine, position: Option<TermPos>) -> Option<Place> {
    engine.place(position?).filter(|place| is_said(place, engine.sources()))
}

/// Returns the innermost name on the way that the user wrote.
fn nearest_own(engine: &mut Engine, trail: &[TermPos]) -> Option<Place> {
    trail.iter().rev().find_map(|position| own(engine, Some(*position)))
}

/// Shortens a place to its first line: a whole record under a message shows nothing.
fn first_line(engine: &Engine, place: Place) -> Place {
    let text = engine.sources().get(place.source).map_or("", |source| &source.text);
    let end = text.get(place.range.clone()).and_then(|inside| inside.find('\n')).map(|at| place.range.start + at);
    Place { range: place.range.start..end.unwrap_or(place.range.end), ..place }
}
