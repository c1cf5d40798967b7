//! `citadel secrets set`: gives the host a secret.
//!
//! The value comes from standard input and from nowhere else: everybody can read the arguments of a process, and an
//! environment is inherited.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use super::wanted;
use crate::activate::secrets::{self, LONGEST};
use crate::activate::system;
use crate::bundle::manifest::credential_path;
use crate::cli::exit::Code;
use crate::cli::host::output::{self, note, problem};
use crate::cli::host::{Common, root};

/// Store a secret that is read from standard input
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The name of the credential
    name: String,
    /// Store it without encryption, for services that load it so
    #[arg(long)]
    plain: bool,
    /// The bundle that will want it, instead of the generation that the host runs
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let Arguments { name, plain, common, .. } = arguments;
    if !secrets::is_name(name) {
        let help = "use up to 255 letters, digits and \"_-.@+\", and none of \".-\" first";
        return Err(problem(Code::Usage, format!("{name:?} cannot name a credential; {help}")));
    }
    let places = common.places();
    if places.is_live() {
        root::need()?;
    }
    let known = wanted(&places, arguments.bundle.as_deref())?.unwrap_or_default();
    let known: Vec<_> = known.iter().filter(|secret| secret.name == *name).collect();
    let encrypted = match known.as_slice() {
        [one] if !plain => one.encrypted,
        // Nobody knows it, or it is wanted in both ways.
        _ => !plain,
    };
    if encrypted && !secrets::can_encrypt() {
        let help = "it comes with systemd 250; a profile can ask for less: `credentials.NAME.encrypted = false`, and then \
                    `--plain`";
        return Err(problem(Code::NotFound, format!("systemd-creds, which encrypts, is not installed; {help}")));
    }
    let value = read(name)?;
    let content = if encrypted {
        let content = crate::cli::host::block_on(secrets::encrypt(&places, name, &value))?;
        content.map_err(|error| problem(Code::NotWritten, error))?
    } else {
        value
    };
    let path = credential_path(name, encrypted);
    secrets::put(&places, &path, &content).map_err(|error| problem(Code::NotWritten, error))?;
    if known.is_empty() && !common.json {
        note(format!("no service of the generation that the host runs loads {name}"));
    }
    let units: Vec<&String> = known.iter().flat_map(|secret| &secret.units).collect();
    output::result(common.json, &json!({ "set": name, "path": path, "encrypted": encrypted, "units": units }), || {
        let how = if encrypted { "encrypted " } else { "" };
        format!("{name} is stored {how}in {path}; services have it after their next start")
    })
}

/// Reads the value; a person at a terminal is asked for it and sees nothing of it.
fn read(name: &str) -> Result<Vec<u8>, Code> {
    let mut value = Vec::new();
    if std::io::stdin().is_terminal() {
        let program = system::find("systemd-ask-password").ok_or_else(|| {
            problem(Code::NotFound, "systemd-ask-password is not installed; write the value to a pipe")
        })?;
        let asked = Command::new(program)
            .args(["--echo=no", "--timeout=0", "--", &format!("Value of the secret {name}:")])
            .stdin(Stdio::inherit())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| problem(Code::NotFound, error))?;
        if !asked.status.success() {
            return Err(problem(Code::Usage, "no value was given"));
        }
        value = asked.stdout;
    } else {
        let limit = LONGEST as u64 + 1;
        let read = std::io::stdin().lock().take(limit).read_to_end(&mut value);
        read.map_err(|error| problem(Code::NotFound, format!("the value cannot be read: {error}")))?;
    }
    strip_line_end(&mut value);
    match value.len() {
        0 => Err(problem(Code::Usage, "the value on standard input is empty")),
        1..=LONGEST => Ok(value),
        _ => Err(problem(
            Code::Usage,
            format!("the value has more than {} KiB, which is what systemd takes", LONGEST >> 10),
        )),
    }
}

/// Removes the line end of a value that is one line of text, which `echo` and editors add. What has several lines, such as
/// a key file, or is no text stays as it is.
fn strip_line_end(value: &mut Vec<u8>) {
    let Ok(text) = std::str::from_utf8(value) else { return };
    let Some(line) = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)) else { return };
    if !line.chars().any(char::is_control) {
        let length = line.len();
        value.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::strip_line_end;

    #[test]
    fn only_the_end_of_a_single_line_goes() {
        for (value, expected) in [
            (&b"token\n"[..], &b"token"[..]),
            (b"token\r\n", b"token"),
            (b"token", b"token"),
            (b"two words \n", b"two words "),
            (b"-----BEGIN\nx\n", b"-----BEGIN\nx\n"),
            (b"\n", b""),
            (b"\xff\n", b"\xff\n"),
            (b"a\0\n", b"a\0\n"),
        ] {
            let mut found = value.to_vec();
            strip_line_end(&mut found);
            assert_eq!(found, expected, "{value:?}");
        }
    }
}
