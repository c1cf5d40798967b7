//! `citadel preflight`: what has to be right before a service starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::output::{self, note, problem};
use super::text::{count, one_line};
use super::{Common, input, root};
use crate::activate::manager::Manager;
use crate::bundle::manifest::FILE_NAME;
use crate::bundle::quantity::Span;
use crate::bundle::read::{is_inside, parse_manifest};
use crate::cli::exit::Code;
use crate::host::preflight::graphics::Driver;
use crate::host::preflight::{self, Finding, Limits, Outcome, Report, Service, Unusable};

/// Check what has to be right before a service starts; units run this as ExecStartPre=
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The name of the service, or of its unit
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    service: Option<String>,
    /// All services that have checks
    #[arg(long)]
    all: bool,
    /// Take the checks from this bundle, instead of the generation that the host runs
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// How long a check may take that runs a program or asks the driver of the GPUs
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = span)]
    timeout: Span,
    #[command(flatten)]
    common: Common,
}

fn span(text: &str) -> Result<Span, String> {
    let span = Span::parse(text).filter(|span| span.0 > Duration::ZERO);
    span.ok_or_else(|| "write a length of time, such as `60s`".to_owned())
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let folder = arguments.bundle.clone().unwrap_or_else(|| arguments.common.places().current());
    let services = services(&folder, arguments.service.as_deref())?;
    let reports = super::block_on(look(&services, arguments.timeout))?;
    let findings = || reports.iter().flat_map(|report| &report.findings);
    let number = |outcome| findings().filter(|finding| finding.outcome() == outcome).count();
    let (failed, warnings) = (number(Outcome::Failed), number(Outcome::Warning));
    let value = json!({
        "services": reports.iter().map(as_json).collect::<Vec<_>>(), "failed": failed, "warnings": warnings,
    });
    output::result(arguments.common.json, &value, || {
        let line = |report: &Report, finding| format!("{}: {}\n", report.service, one_line(&format!("{finding}")));
        let lines = reports.iter().flat_map(|report| report.findings.iter().map(move |finding| line(report, finding)));
        let summary = [count(findings().count(), "check"), format!("{failed} failed"), count(warnings, "warning")];
        lines.chain([summary.join(", ")]).collect()
    })?;
    if failed == 0 { Ok(()) } else { Err(Code::Preflight) }
}

/// Reads the checks of one service, or of all.
fn services(folder: &Path, name: Option<&str>) -> Result<Vec<Service>, Code> {
    let path = folder.join(FILE_NAME);
    let text = input::read(&path)
        .map_err(|error| problem(Code::NotFound, format!("{} cannot be read: {error}", path.display())))?;
    let manifest = parse_manifest(&text).map_err(|error| problem(Code::Invalid, error))?;
    let read = |path: &str| match is_inside(path) {
        true => input::read(&folder.join(path)),
        false => Err(std::io::Error::other("it would lie outside the bundle")),
    };
    let found = match name {
        Some(name) => Service::find(&manifest, name, &read).map(|service| vec![service]),
        None => Service::all(&manifest, &read),
    };
    found.map_err(|error| {
        let code = if matches!(error, Unusable::NoService(..)) { Code::NotFound } else { Code::Invalid };
        problem(code, error)
    })
}

async fn look(services: &[Service], program: Span) -> Vec<Report> {
    for service in services {
        let user = service.subject.user.as_deref().unwrap_or("root");
        if !root::is_root() && !is_started_by_systemd() && root::user() != user {
            note(format!("{} runs as {user}; only root can look as that user does, so use `sudo`", service.name));
        }
    }
    // Only root may ask systemd, and systemd itself has seen to it when it starts the service.
    let manager = if root::is_root() && !is_started_by_systemd() { Manager::connect().await.ok() } else { None };
    let driver = Arc::new(Driver(program.0));
    preflight::run(services, driver, manager.as_ref(), Limits { program }).await
}

/// Whether this process is a command of a unit (systemd.exec(5)).
fn is_started_by_systemd() -> bool {
    std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == std::process::id().to_string())
}

fn as_json(report: &Report) -> Value {
    let check = |finding: &Finding| {
        let mut value = json!({ "check": finding.check, "severity": finding.severity, "outcome": finding.outcome() });
        match &finding.answer {
            Ok(found) => value["found"] = json!(found),
            Err(failure) => {
                value["reason"] = json!(failure.reason);
                value["help"] = json!(failure.help);
            }
        }
        value
    };
    json!({
        "service": report.service, "unit": report.unit, "checks": report.findings.iter().map(check).collect::<Vec<_>>(),
    })
}
