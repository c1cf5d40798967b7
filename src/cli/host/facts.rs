//! `citadel facts`: what the host is and has, for `hosts/NAME.json`.

use std::collections::BTreeSet;
use std::path::Path;

use super::gpu::Options;
use super::output::{self, note, problem};
use crate::activate::Places;
use crate::bundle::manifest::FILE_NAME;
use crate::bundle::read::parse_manifest;
use crate::cli::exit::Code;
use crate::host::driver::Trouble;
use crate::host::{facts, gpu};

/// Show what this host is and has, as a file that profiles import
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let seen = match gpu::look(&mut arguments.options.devices()) {
        Ok(seen) => Some(seen),
        Err(Trouble::NoLibrary) => None,
        Err(trouble) => {
            note(format!("the GPUs are left out: {trouble}"));
            None
        }
    };
    for silent in seen.iter().flat_map(|seen| &seen.silent) {
        note(format!("GPU {} is left out: {}", silent.index, silent.refusal));
    }
    let systemd = facts::systemd_version().map_err(|error| problem(Code::NotFound, error))?;
    let facts = facts::collect(Path::new("/"), systemd, seen.as_ref(), &own_ports());
    let facts = facts.map_err(|error| problem(Code::NotFound, error))?;
    let pretty = serde_json::to_string_pretty(&facts).map_err(|_| Code::Defect)?;
    output::result(arguments.options.json, &facts, || pretty)
}

/// Returns the ports of the generation that the host runs; they come from a profile and are no facts.
fn own_ports() -> BTreeSet<u16> {
    let manifest = std::fs::read(Places::new("/").current().join(FILE_NAME)).ok();
    let manifest = manifest.and_then(|text| parse_manifest(&text).ok());
    let units = manifest.into_iter().flat_map(|manifest| manifest.units.into_values());
    units.flat_map(|unit| unit.listens).map(|listen| listen.port).collect()
}
