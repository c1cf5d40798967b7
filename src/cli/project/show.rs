//! `citadel show`: what a profile says after everything is merged, and where each part of it was written.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Session, exit};
use crate::compile::diagnostic::{Diagnostic, SourceKind, Sources};
use crate::compile::evaluate::{self, origins::Origins};
use crate::compile::finding::{OptionPath, nearest};
use crate::compile::options::Reference;

/// Show the evaluated value of a profile, with where each part was written
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The name of a profile, or the path of a `.ncl` file
    profile: String,
    /// An option, such as `services.mixtral.vllm`
    path: Option<String>,
    /// Leave out what is a default of the module library
    #[arg(long)]
    set: bool,
}

pub fn run(arguments: &Arguments, session: &Session) -> Result<(), exit::Code> {
    let profile = session.profile(&arguments.profile)?;
    let evaluated = evaluate::evaluate(&profile, session.limits, &session.folder).map_err(|failure| {
        session.output.failure(&failure);
        exit::Code::of(&failure)
    })?;
    let path = OptionPath(arguments.path.as_deref().map(split).unwrap_or_default());
    let (mut value, mut origins) = (&evaluated.value, Some(&evaluated.origins));
    for (at, name) in path.0.iter().enumerate() {
        let next = match value {
            Value::Object(fields) => fields.get(name),
            Value::Array(elements) => name.parse::<usize>().ok().and_then(|index| elements.get(index)),
            _ => None,
        };
        let Some(next) = next else {
            let inside = OptionPath(path.0[..at].to_vec());
            return Err(unknown(&inside, name, value, session));
        };
        origins = origins.and_then(|origins| origins.children.get(name));
        value = next;
    }
    let mut lines = Vec::new();
    collect(&path, value, origins, &evaluated.sources, &mut lines);
    if arguments.set {
        lines.retain(|line| !line.default);
    }
    session.output.result(&text(&lines), || {
        let options: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::json!({ "option": line.option, "value": line.value, "from": line.from, "default": line.default }))
            .collect();
        serde_json::json!({ "type": "show", "profile": profile.name, "options": options })
    });
    Ok(())
}

struct Line {
    option: String,
    value: Value,
    from: String,
    /// It comes from the module library's contracts.
    default: bool,
}

fn collect(path: &OptionPath, value: &Value, origins: Option<&Origins>, sources: &Sources, lines: &mut Vec<Line>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, inner) in fields {
                let origins = origins.and_then(|origins| origins.children.get(name));
                collect(&path.member(name), inner, origins, sources, lines);
            }
        }
        _ => {
            let place = origins.and_then(Origins::written_at);
            let source = place.and_then(|place| sources.get(place.source));
            let default = source.is_none_or(|source| source.kind == SourceKind::Library);
            let from = match (place, source) {
                (Some(place), Some(source)) if !default => format!("{}:{}", source.name, sources.line_column(place).0),
                _ => "default".to_owned(),
            };
            lines.push(Line { option: path.to_string(), value: value.clone(), from, default });
        }
    }
}

fn text(lines: &[Line]) -> String {
    let mut out = String::new();
    let shown: Vec<String> = lines.iter().map(|line| format!("{} = {}", line.option, line.value)).collect();
    let width = shown.iter().map(|line| line.chars().count()).filter(|width| *width <= 72).max().unwrap_or(0);
    for (line, shown) in lines.iter().zip(shown) {
        let _ = writeln!(out, "{shown:width$}  # {}", line.from);
    }
    out
}

fn unknown(inside: &OptionPath, name: &str, value: &Value, session: &Session) -> exit::Code {
    let reference = Reference::of_library();
    let options = reference.names_in(inside);
    let message = match inside.0.is_empty() {
        true => format!("the profile has no option `{name}`"),
        false => format!("`{inside}` has no option `{name}`"),
    };
    let mut missing = Diagnostic::error(evaluate::NO_SUCH_OPTION, message);
    if options.contains(&name) {
        missing.message = format!("the profile does not set `{}`", inside.member(name));
        missing.help = Some(format!("`citadel options {name}` says what it is for"));
    } else if let Value::Object(fields) = value {
        missing.help = Some(match nearest(name, fields.keys().map(String::as_str).chain(options)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has: {}", fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
        });
    }
    session.output.diagnostic(&missing, &Sources::default());
    exit::Code::NotFound
}

/// Splits a path at its points; a name in double quotes may have points in it.
fn split(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    for character in path.chars() {
        match character {
            '"' => quoted = !quoted,
            '.' if !quoted => names.push(String::new()),
            _ => names.last_mut().into_iter().for_each(|name| name.push(character)),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_quotes_may_have_points() {
        assert_eq!(split("services.web.after.\"a.target\""), ["services", "web", "after", "a.target"]);
        assert_eq!(split(".a."), ["a"]);
    }
}
