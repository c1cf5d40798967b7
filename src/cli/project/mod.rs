//! The `citadel` program: commands on a project, and all commands on a host.

mod build;
mod check;
mod completions;
mod diff;
mod graph;
mod init;
mod lock;
mod options;
mod output;
mod show;
mod side;
mod summary;
mod to_host;
mod written;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::output::Output;
use super::{exit, host};
use crate::bundle::quantity::{Size, Span};
use crate::compile::evaluate::Limits;
use crate::compile::project::{ProfilePath, plain};

/// A build-time configuration compiler for AI services on your own GPU machines.
#[derive(Debug, Parser)]
#[command(name = "citadel", version, propagate_version = true, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::Arguments),
    Check(check::Arguments),
    Show(show::Arguments),
    Diff(Box<diff::Arguments>),
    Graph(graph::Arguments),
    Options(options::Arguments),
    Init(init::Arguments),
    Lock(lock::Arguments),
    Completions(completions::Arguments),
    #[command(flatten)]
    Host(host::Command),
}

/// Options of every command.
#[derive(Debug, Args)]
struct Global {
    /// Work as if started in this directory
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// How messages are written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    message_format: MessageFormat,
    /// When messages are coloured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// The most memory that an evaluation may use
    #[arg(long, global = true, value_name = "SIZE", default_value = "1G", value_parser = size)]
    max_memory: Size,
    /// The longest that an evaluation may take
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = span)]
    max_time: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MessageFormat {
    /// Text for people
    Human,
    /// One JSON object a line
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// What every command works with.
struct Session {
    /// The working directory, absolute and without links.
    folder: PathBuf,
    limits: Limits,
    output: Output,
}

impl Session {
    /// Finds a profile by name or path, or reports that there is none.
    fn profile(&self, argument: &str) -> Result<ProfilePath, exit::Code> {
        ProfilePath::find(argument, &self.folder).map_err(|missing| {
            self.output.failure(&missing.into());
            exit::Code::NotFound
        })
    }
}

/// Runs the program and returns its exit status.
pub fn run() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| eprintln!("citadel: internal error: {panic}")));
    let cli = Cli::parse();
    let output = Output::new(cli.global.message_format, cli.global.color);
    let folder = cli.global.directory.clone().unwrap_or_else(|| PathBuf::from("."));
    let code = match folder.canonicalize() {
        Ok(folder) => {
            let limits =
                Limits { memory: cli.global.max_memory.0, time: cli.global.max_time.0.max(Duration::from_millis(1)) };
            let session = Session { folder, limits, output };
            let code = cli.command.run(&session);
            // A result that nobody got is none.
            code.and(if session.output.lost() { Err(exit::Code::NotWritten) } else { Ok(()) })
        }
        Err(error) => {
            output.error("E0007", &format!("cannot work in {}: {}", folder.display(), plain(&error)), None);
            Err(exit::Code::NotFound)
        }
    };
    // An evaluation that was given up may still run; the process ends all the same.
    ExitCode::from(code.map_or_else(|code| code as u8, |()| 0))
}

impl Command {
    fn run(self, session: &Session) -> Result<(), exit::Code> {
        match self {
            Command::Build(arguments) => build::run(&arguments, session),
            Command::Check(arguments) => check::run(&arguments, session),
            Command::Show(arguments) => show::run(&arguments, session),
            Command::Diff(arguments) => diff::run(&arguments, session),
            Command::Graph(arguments) => graph::run(&arguments, session),
            Command::Options(arguments) => options::run(&arguments, session),
            Command::Init(arguments) => init::run(&arguments, session),
            Command::Lock(arguments) => lock::run(&arguments, session),
            Command::Completions(arguments) => completions::run(&arguments, session),
            Command::Host(mut command) => {
                if let Some(bundle) = command.bundle() {
                    to_host::resolve(bundle, session)?;
                }
                command.run()
            }
        }
    }
}

fn size(text: &str) -> Result<Size, String> {
    Size::parse(text).filter(|size| size.0 > 0).ok_or_else(|| "write a size such as `1G` or `512M`".to_owned())
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "write a length of time such as `60s` or `2min`".to_owned())
}
