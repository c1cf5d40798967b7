//! From a profile to a bundle: evaluate, check, lower, render. Knows nothing of a running host.

pub mod budget;
pub mod check;
pub mod config;
pub mod diagnostic;
pub mod evaluate;
pub mod finding;
pub mod lock;
pub mod lower;
pub mod options;
pub mod project;
pub mod revision;
pub mod stamp;
pub mod system;

mod assemble;
mod render;

/// The code of a defect of citadel.
pub const DEFECT: &str = lower::INTERNAL.0;

use std::path::Path;

use self::diagnostic::{Diagnostic, Severity, Sources};
use self::evaluate::origins::Origins;
use self::evaluate::{Evaluated, Failure, Limits};
use self::finding::Finding;
use self::project::ProfilePath;
use self::system::System;
use crate::bundle::Bundle;

/// A bundle with what there is to say about it.
pub struct Compiled {
    pub bundle: Bundle,
    pub warnings: Vec<Diagnostic>,
    pub sources: Sources,
}

/// Compiles a profile to a bundle in memory, or returns everything that is wrong with it.
pub fn compile(profile: &ProfilePath, limits: Limits, shown_from: &Path) -> Result<Compiled, Box<Failure>> {
    let Evaluated { profile: typed, origins, mut sources, inputs, warnings, .. } =
        evaluate::evaluate(profile, limits, shown_from).map_err(|mut failure| {
            by_place(&mut failure.diagnostics);
            failure
        })?;
    let (system, mut findings) = System::resolve(typed);
    let (lowered, refused) = lower::lower(&system);
    findings.extend(refused);
    findings.extend(check::run(&system, &lowered));

    let (mut errors, mut warnings) = (Vec::new(), warnings);
    for finding in findings {
        let mut diagnostic = locate(finding, &origins, &sources);
        if [check::codes::SECRET.0, check::codes::LOOKS_SECRET.0].contains(&diagnostic.code) {
            diagnostic.labels.iter().for_each(|label| sources.hide(&label.place));
        }
        for label in &mut diagnostic.labels {
            label.place = sources.first_line(label.place.clone());
        }
        match diagnostic.severity {
            Severity::Error => errors.push(diagnostic),
            Severity::Warning => warnings.push(diagnostic),
        }
    }
    by_place(&mut errors);
    by_place(&mut warnings);
    if !errors.is_empty() {
        errors.extend(warnings);
        return Err(Box::new(Failure { diagnostics: errors, sources }));
    }
    match assemble::assemble(&profile.name, &system, &lowered, inputs) {
        Ok(bundle) => Ok(Compiled { bundle, warnings, sources }),
        Err(defect) => {
            let diagnostics = vec![locate(defect, &origins, &sources)];
            Err(Box::new(Failure { diagnostics, sources }))
        }
    }
}

/// Turns options into places in files.
fn locate(finding: Finding, origins: &Origins, sources: &Sources) -> Diagnostic {
    let mut diagnostic = Diagnostic {
        code: finding.code.0,
        severity: finding.severity,
        message: finding.message,
        labels: Vec::new(),
        notes: finding.notes,
        help: finding.help,
    };
    for (path, words) in finding.places {
        match origins.find(&path, sources) {
            // Two options that are both left to their defaults are shown where the service stands.
            Some(place) => match diagnostic.labels.iter_mut().find(|label| label.place == place) {
                Some(label) if !label.words.contains(&words) => label.words = format!("{}; {words}", label.words),
                Some(_) => {}
                None => diagnostic = diagnostic.at(place, words),
            },
            None => diagnostic.notes.push(format!("{path}: {words}")),
        }
    }
    diagnostic
}

/// Sorts problems as they stand in the files; those without a place come first.
fn by_place(diagnostics: &mut [Diagnostic]) {
    diagnostics
        .sort_by_key(|it| (it.labels.first().map(|label| (label.place.source, label.place.range.start)), it.code));
}
