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
use nickel_lang_core::label::ty_path::has_no_arrow;
use nickel_lang_core::position::{PosIdx, TermPos};
use nickel_lang_core::term::RuntimeContract;
use nickel_lang_core::term::record::FieldMetadata;
use nickel_lang_core::typ::TypeF;

use super::engine::Engine;
use super::origins::{is_own, is_said};
use crate::compile::diagnostic::{Diagnostic, Place};
use crate::compile::finding::{OptionPath, nearest};
use crate::compile::options::{Reference, TRUTH};

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

const KEEP_ONE: &str = "keep one of them; a module says `| priority -100` behind a value that a profile may change";
const NO_DEFAULT: &str = "the library has a default already: write the value without `| default`, or with `| priority -100` if a \
                          profile may change it";

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
        found = found.at(record_line(engine, place), "needed in here");
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
                let record = evaluated_arg.as_ref();
                return (unknown.into_iter())
                    .map(|name| unknown_option(engine, reference, path, trail, record, name))
                    .collect();
            }
            if is_unequal_lists(label) {
                return vec![unequal_lists(engine, path, trail, evaluated_arg.as_ref(), label)];
            }
            // The argument of a function that the profile calls is wrong, and not the option itself.
            if !has_no_arrow(&label.path) {
                return failed(engine, path, trail, error);
            }
            vec![wrong_value(engine, reference, path, trail, evaluated_arg.as_ref(), label)]
        }
        EvalErrorKind::MergeIncompatibleArgs { left_arg, right_arg, .. } => {
            let mut found = Diagnostic::error(CONFLICT, format!("two parts of the profile disagree on `{path}`"));
            let mut places: Vec<Place> =
                [left_arg, right_arg].into_iter().filter_map(|value| engine.place_of_value(value)).collect();
            places.sort_by_key(|place| !is_said(place, engine.sources()));
            let default_of_library = places.iter().any(|place| !is_said(place, engine.sources()));
            for (place, words) in places.into_iter().zip(["one value", "another value"]) {
                found = found.at(engine.sources().first_line(place), words);
            }
            vec![found.help(if default_of_library { NO_DEFAULT } else { KEEP_ONE })]
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
        _ => failed(engine, path, trail, error),
    }
}

/// Returns Nickel's own account of an evaluation that failed, with the option that it failed for.
fn failed(engine: &mut Engine, path: &OptionPath, trail: &[TermPos], error: EvalError) -> Vec<Diagnostic> {
    let mut found = engine.describe(EVALUATION, Error::EvalError(error));
    // Nickel tells the calls on the way as further problems without a message.
    found.retain(|diagnostic| !diagnostic.message.is_empty());
    let place = nearest_own(engine, trail);
    for diagnostic in &mut found {
        if diagnostic.labels.iter().any(|label| is_said(&label.place, engine.sources())) {
            diagnostic.labels.retain(|label| is_said(&label.place, engine.sources()));
        }
        if !path.0.is_empty() {
            diagnostic.notes.push(format!("while evaluating `{path}`"));
        }
        if let Some(place) = place.clone().filter(|_| diagnostic.labels.is_empty()) {
            *diagnostic = diagnostic.clone().at(place, "in this option");
        }
    }
    found
}

/// Nickel merges lists by a contract of its own making that compares them.
fn is_unequal_lists(label: &Label) -> bool {
    label.diagnostics.iter().any(|it| it.message.as_deref() == Some("cannot merge unequal arrays"))
        || label.diagnostics.iter().flat_map(|it| &it.notes).any(|note| note.contains("merge operation on two arrays"))
}

fn unequal_lists(
    engine: &mut Engine,
    path: &OptionPath,
    trail: &[TermPos],
    value: Option<&NickelValue>,
    label: &Label,
) -> Diagnostic {
    let mut found = Diagnostic::error(CONFLICT, format!("two parts of the profile disagree on `{path}`"));
    let value = value.and_then(|value| engine.place_of_value(value)).filter(|place| is_said(place, engine.sources()));
    if let Some(place) = value.or_else(|| nearest_own(engine, trail)) {
        found = found.at(engine.sources().first_line(place), "one list");
    }
    if let Some(place) = engine.place_of(label.span).filter(|place| is_said(place, engine.sources())) {
        found = found.at(engine.sources().first_line(place), "merged with another one here");
    }
    found
        .note("lists are not put together; where two parts of a profile name the same list, it has to be equal")
        .help(KEEP_ONE)
}

fn unknown_option(
    engine: &mut Engine,
    reference: &Reference,
    path: &OptionPath,
    trail: &[TermPos],
    record: Option<&NickelValue>,
    name: LocIdent,
) -> Diagnostic {
    let option = path.member(name.label());
    let mut found = Diagnostic::error(UNKNOWN, format!("there is no option `{option}`"));
    let place = own(engine, Some(name.pos))
        .or_else(|| record.and_then(|record| engine.place_of_value(record)))
        .filter(|place| is_said(place, engine.sources()))
        .or_else(|| nearest_own(engine, trail));
    if let Some(place) = place {
        found = found.at(engine.sources().first_line(place), "unknown option");
    }
    let siblings = reference.names_in(path);
    if let Some(near) = nearest(name.label(), siblings.iter().copied()) {
        return found.help(format!("did you mean `{near}`?"));
    }
    let below = reference.find_below(path, name.label());
    if let [one] | [one, _] = below.as_slice() {
        let other = below.get(1).map(|other| format!(" or `{other}`")).unwrap_or_default();
        return found.help(format!("did you mean `{one}`{other}?"));
    }
    let above = (0..path.0.len()).rev().map(|length| OptionPath(path.0[..length].to_vec()));
    let above = above.into_iter().find(|above| reference.names_in(above).contains(&name.label()));
    if let Some(above) = above {
        return found.help(format!("did you mean `{}`?", above.member(name.label())));
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
    let own_contract = engine.place_of(label.span).filter(|place| is_own(place, engine.sources()));
    let wanted = || reference.wanted(path).unwrap_or_else(|| expected(label));
    let complaint = match (said, &own_contract) {
        (Some(said), _) if said.starts_with("not ") => format!("is {said}"),
        (Some(said), Some(_)) => format!("is refused by a contract: {said}"),
        (None, Some(_)) => format!("is not {}", expected(label)),
        (_, None) => format!("is not {}", wanted()),
    };
    let mut found = Diagnostic::error(WRONG, format!("the value of `{path}` {complaint}"));
    let place = value
        .and_then(|value| engine.place_of_value(value))
        .filter(|place| is_said(place, engine.sources()))
        .or_else(|| engine.place_of(label.arg_pos).filter(|place| is_said(place, engine.sources())))
        .or_else(|| nearest_own(engine, trail));
    if let Some(place) = place {
        found = found.at(engine.sources().first_line(place), "this value");
    }
    if let Some(contract) = own_contract {
        found = found.at(engine.sources().first_line(contract), "refused by this contract");
    }
    let advice = label.diagnostics.iter().rev().find_map(|diagnostic| diagnostic.notes.first().cloned());
    let name = path.0.last().map_or("", String::as_str);
    let is_element = name.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(doc) = reference.doc(path).filter(|_| !is_element) {
        found = found.note(format!("{name}: {doc}"));
    }
    match value.and_then(|value| instead(reference, path, value)).or(advice) {
        Some(advice) => found.help(advice),
        None => found,
    }
}

/// Returns what to write in the place of a value that was probably meant well.
fn instead(reference: &Reference, path: &OptionPath, value: &NickelValue) -> Option<String> {
    let kind = reference.kind(path)?;
    let tags = || kind.split('`').filter_map(|tag| tag.strip_prefix('\''));
    match value.content_ref() {
        ValueContentRef::Null => Some("leave the option out when it shall have no value".to_owned()),
        ValueContentRef::String(_) if kind == TRUTH => Some("write `true` or `false`, without quotes".to_owned()),
        ValueContentRef::String(text) => {
            let near = nearest(text.as_str(), tags())?;
            Some(format!("write `'{near}`, with one quote and in front"))
        }
        ValueContentRef::EnumVariant(data) => Some(format!("did you mean `'{}`?", nearest(data.tag.label(), tags())?)),
        ValueContentRef::Array(_) if kind == format!("names mapped to {TRUTH}") => {
            Some(format!("write each name as a member: `{}.NAME = true`", path.0.last()?))
        }
        _ => None,
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
        TypeF::Enum(_) => format!("one of {}", shown.trim_start_matches("[|").trim_end_matches("|]").trim()),
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

/// Returns the line in which a record opens: the expression of a whole file begins with its `let`s.
fn record_line(engine: &Engine, place: Place) -> Place {
    let text = engine.sources().text(&place);
    let opens = if text.starts_with("let ") { text.find("\n{").map_or(0, |at| at + 1) } else { 0 };
    engine.sources().first_line(Place { range: place.range.start + opens..place.range.end, ..place })
}

fn own(engine: &mut Engine, position: Option<TermPos>) -> Option<Place> {
    engine.place(position?).filter(|place| is_said(place, engine.sources()))
}

/// Returns the innermost name on the way that the user wrote.
fn nearest_own(engine: &mut Engine, trail: &[TermPos]) -> Option<Place> {
    trail.iter().rev().find_map(|position| own(engine, Some(*position)))
}
