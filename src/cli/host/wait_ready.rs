//! `citadel-activate wait-ready`: what a unit runs to find out that its service is ready.

use rustix::process::Pid;
use tokio::signal::unix::{SignalKind, signal};

use super::{Common, exit, input};
use crate::bundle::manifest::FILE_NAME;
use crate::bundle::read::parse_manifest;
use crate::health::ready::{NotReady, Wait};

/// Wait until a service of the current generation is ready; for units, as ExecStartPost=
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The name of the service, or of its unit
    service: String,
    /// Give up when this process ends; 0 or nothing watches none
    #[arg(long, value_name = "PID", num_args = 0..=1, default_missing_value = "0", default_value = "0",
          hide_default_value = true, value_parser = clap::value_parser!(i32).range(0..))]
    main_pid: i32,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), exit::Code> {
    let service = &arguments.service;
    let path = arguments.common.places().current().join(FILE_NAME);
    let text = input::read(&path).map_err(|error| {
        eprintln!("{service}: cannot read {}: {error}", path.display());
        exit::Code::NotFound
    })?;
    let manifest = parse_manifest(&text).map_err(|error| fail(service, &error))?;
    let Some(wait) = Wait::find(&manifest, service).map_err(|error| fail(service, &error))? else {
        eprintln!("{service}: has no probe to wait for");
        return Ok(());
    };
    eprintln!("{service}: waiting for {}", wait.describe());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| fail(service, &error))?;
    runtime.block_on(wait_for(&wait, arguments.main_pid)).map_err(|error| fail(service, &error))?;
    eprintln!("{service}: ready");
    Ok(())
}

/// Waits until systemd loses patience, which it says with SIGTERM.
async fn wait_for(wait: &Wait, main_pid: i32) -> Result<(), NotReady> {
    let mut terminate = signal(SignalKind::terminate()).ok();
    let given_up = async {
        match &mut terminate {
            Some(terminate) => drop(terminate.recv().await),
            None => std::future::pending().await,
        }
    };
    wait.until_ready(Pid::from_raw(main_pid), given_up).await
}

fn fail(service: &str, error: &impl std::fmt::Display) -> exit::Code {
    eprintln!("{service}: not ready: {error}");
    exit::Code::Invalid
}
