//! `citadel gpu`: the settings of GPUs.

mod answer;
mod apply;
mod plan;
mod restore;
mod status;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::output::{self, problem};
use super::{input, root};
use crate::activate::trial::boot_id;
use crate::bundle::quantity::Span;
use crate::cli::exit::Code;
use crate::host::driver::{Apart, Trouble};
use crate::host::gpu::{Desired, Saved, StateError, read_desired, saved};

/// Show and change the settings of GPUs
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Status(status::Arguments),
    Plan(plan::Arguments),
    Apply(apply::Arguments),
    Restore(restore::Arguments),
    Watch(watch::Arguments),
    #[command(hide = true)]
    Answer(answer::Arguments),
}

/// Options of all commands about GPUs.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Options {
    /// How long the driver may take for one answer
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = span)]
    timeout: Span,
    /// Write the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Where the settings come from.
#[derive(Clone, Debug, clap::Args)]
struct Config {
    /// A file of settings, as a bundle has it, instead of the one of the generation that the host runs
    #[arg(long, value_name = "FILE", default_value = "/etc/citadel/current/config/gpu.json")]
    config: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    match &arguments.command {
        Command::Status(arguments) => status::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Apply(arguments) => apply::run(arguments),
        Command::Restore(arguments) => restore::run(arguments),
        Command::Watch(arguments) => watch::run(arguments),
        Command::Answer(arguments) => answer::run(arguments),
    }
}

impl Options {
    /// Returns the GPUs of this host.
    pub(super) fn devices(&self) -> Apart {
        Apart::new(self.timeout.0)
    }
}

impl Config {
    fn read(&self) -> Result<Vec<Desired>, Code> {
        let path = self.config.display();
        let text = input::read(&self.config).map_err(|error| problem(Code::NotFound, format!("{path}: {error}")))?;
        read_desired(&text).map_err(|error| problem(Code::Invalid, format!("{path}: {error}")))
    }
}

fn span(text: &str) -> Result<Span, String> {
    let span = Span::parse(text).filter(|span| span.0 > Duration::ZERO);
    span.ok_or_else(|| "write a length of time, such as `20s`".to_owned())
}

/// Returns where is saved what GPUs had before; systemd names the folder to the unit that applies settings.
fn folder() -> PathBuf {
    std::env::var_os("STATE_DIRECTORY").map_or_else(saved::folder, PathBuf::from)
}

/// Makes sure that this process may change GPUs, as far as that can be known before.
fn need_root(folder: &Path) -> Result<(), Code> {
    if folder == saved::folder() { root::need() } else { Ok(()) }
}

fn boot() -> Result<String, Code> {
    boot_id().map_err(|error| problem(Code::NotFound, error))
}

/// Returns what citadel changed in this boot.
fn saved_now() -> Result<Option<Saved>, Code> {
    let boot = boot()?;
    let saved = saved::peek(&folder()).map_err(|error| state(&error))?;
    Ok(saved.filter(|saved| saved.boot == boot))
}

/// Says why there is no driver. As JSON it is the result, too.
fn no_driver(json: bool, trouble: &Trouble) -> Code {
    if json {
        let result = output::result(
            true,
            &serde_json::json!({ "trouble": trouble, "message": trouble.to_string() }),
            String::new,
        );
        if let Err(code) = result {
            return code;
        }
    }
    problem(Code::NotFound, trouble)
}

fn state(error: &StateError) -> Code {
    let code = match error {
        StateError::Busy => Code::Busy,
        StateError::Broken { .. } => Code::NotFound,
        StateError::Disk(_) => Code::NotWritten,
    };
    problem(code, error)
}
