//! What a user names as something to look at: a profile, a bundle, a generation of this host.

use std::fs::File;
use std::path::Path;

use super::{Session, build, exit};
use crate::activate::{Generation, Places, current, store};
use crate::bundle::Bundle;
use crate::bundle::manifest::FILE_NAME;
use crate::compile::project::plain;

/// A bundle, and what a person calls it.
pub struct Side {
    pub label: String,
    pub bundle: Bundle,
}

/// Finds what an argument means: `current`, the number of a generation, a bundle, or else a profile, which is built in
/// memory.
pub fn find(argument: &str, places: &Places, session: &Session) -> Result<Side, exit::Code> {
    if argument == "current" {
        let current = current::get(places).map_err(|error| unreadable(&error, session))?;
        let Some(current) = current else {
            let help = "citadel has not switched it yet; `--root` says where another host lies";
            session.output.error("E0020", "the host has no generation that counts", Some(help));
            return Err(exit::Code::NotFound);
        };
        return generation(current, &format!("current, generation {current}"), places, session);
    }
    if let Some(number) = Generation::parse(argument) {
        return generation(number, &format!("generation {number}"), places, session);
    }
    let path = session.folder.join(argument);
    if path.join(FILE_NAME).is_file() {
        let bundle = Bundle::read(&path).map_err(|error| unreadable(&error, session))?;
        return Ok(Side { label: argument.to_owned(), bundle });
    }
    if path.is_file() && path.extension().is_none_or(|kind| kind != "ncl") {
        return archive(argument, &path, session);
    }
    let profile = session.profile(argument)?;
    let bundle = build::compile(&profile, session)?.bundle;
    Ok(Side { label: profile.name, bundle })
}

fn generation(number: Generation, label: &str, places: &Places, session: &Session) -> Result<Side, exit::Code> {
    let bundle = store::read(places, number).map_err(|error| unreadable(&error, session))?;
    Ok(Side { label: label.to_owned(), bundle })
}

fn archive(label: &str, path: &Path, session: &Session) -> Result<Side, exit::Code> {
    let file = File::open(path).map_err(|error| {
        let message = format!("cannot open {label}: {}", plain(&error));
        session.output.error("E0020", &message, None);
        exit::Code::NotFound
    })?;
    let bundle = Bundle::unpack(file).map_err(|error| {
        session.output.error("E0020", &format!("{label} is not a bundle: {error}"), None);
        exit::Code::NotFound
    })?;
    Ok(Side { label: label.to_owned(), bundle })
}

fn unreadable(error: &dyn std::fmt::Display, session: &Session) -> exit::Code {
    session.output.error("E0020", &error.to_string(), Some("name a profile, a bundle, `current` or a generation"));
    exit::Code::NotFound
}
