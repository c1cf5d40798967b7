//! `citadel secrets list`: which secrets are wanted, by whom, and whether they are there.

use serde_json::json;

use super::{Of, as_json};
use crate::activate::secrets::{State, Wanted};
use crate::cli::exit::Code;
use crate::cli::host::output;

/// Show the secrets that services load, and whether they are there
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub(super) of: Of,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let secrets = arguments.of.look()?;
    let value = json!({ "secrets": secrets.iter().map(as_json).collect::<Vec<_>>() });
    output::result(arguments.of.common.json, &value, || {
        if secrets.is_empty() { "no service loads a secret".to_owned() } else { secrets.iter().map(line).collect() }
    })
}

fn line((secret, state): &(Wanted, State)) -> String {
    let state = match state {
        State::Present => "present",
        State::Missing if secret.required => "missing",
        State::Missing => "missing, and not needed",
        State::Hidden => "unknown: only root may look",
        State::Unusable(reason) => reason,
    };
    let kind = if secret.encrypted { "encrypted" } else { "not encrypted" };
    let about = secret.description.as_ref().map(|text| format!(" - {text}")).unwrap_or_default();
    format!("{}: {state} ({kind}), for {}{about}\n", secret.name, secret.units.join(", "))
}
