//! `citadel secrets check`: whether every service has its secrets.

use serde_json::json;

use super::{Of, as_json};
use crate::activate::secrets::State;
use crate::cli::exit::Code;
use crate::cli::host::output::{self, problem};
use crate::cli::host::text::count;

/// Check that the secrets are there without which services do not start
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub(super) of: Of,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let mut secrets = arguments.of.look()?;
    if secrets.iter().any(|(_, state)| *state == State::Hidden) {
        return Err(problem(Code::Refused, "only root may look into the store of credentials; run it with `sudo`"));
    }
    secrets.retain(|(secret, _)| secret.required);
    let number = secrets.len();
    secrets.retain(|(_, state)| *state != State::Present);
    let value = json!({ "missing": secrets.iter().map(as_json).collect::<Vec<_>>() });
    output::result(arguments.of.common.json, &value, || match secrets.len() {
        0 => format!("{} wanted, none is missing", count(number, "secret")),
        missing => format!("{} wanted, {missing} missing", count(number, "secret")),
    })?;
    for (secret, state) in &secrets {
        let what = match state {
            State::Unusable(reason) => format!("the secret {} cannot be used, because {reason}", secret.name),
            _ => format!("the secret {} is missing", secret.name),
        };
        problem(
            Code::Refused,
            format!("{what}; {} needs it; set it with: {}", secret.units.join(", "), secret.command()),
        );
    }
    if secrets.is_empty() { Ok(()) } else { Err(Code::Refused) }
}
