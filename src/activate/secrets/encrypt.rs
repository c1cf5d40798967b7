//! Encryption of a secret, by `systemd-creds` (systemd 250 or newer).
//!
//! The value goes to it and comes back through pipes: neither a command line, an environment nor a file ever has it in
//! clear.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::super::error::DiskError;
use super::super::places::Places;
use super::super::system::find;

const PROGRAM: &str = "systemd-creds";

/// Where systemd keeps the key of a host.
const KEY: &str = "/var/lib/systemd/credential.secret";

/// A TPM takes seconds; one that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Whether this machine has what encrypts.
pub fn can_encrypt() -> bool {
    find(PROGRAM).is_some()
}

/// Encrypts a value so that only this host can read it, and only under this name.
///
/// For a host below a root folder its own key is used, and made when there is none; the TPM of this machine is not its.
///
/// # Errors
///
/// What the program says.
pub async fn encrypt(places: &Places, name: &str, value: &[u8]) -> Result<Vec<u8>, DiskError> {
    let failed = |status: String, stderr: String| DiskError::Program { program: PROGRAM.to_owned(), status, stderr };
    let program = find(PROGRAM)
        .ok_or_else(|| failed("it is not installed; it comes with systemd 250".to_owned(), String::new()))?;
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.args(["encrypt".to_owned(), format!("--name={name}")]);
    if !places.is_live() {
        command.env("SYSTEMD_CREDENTIAL_SECRET", places.host(KEY)).arg("--with-key=host");
    }
    command.args(["-", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed(format!("it does not start: {error}"), String::new()))?;
    let input = child.stdin.take();
    let write = async {
        if let Some(mut input) = input {
            // One that ends early says why.
            let _ = input.write_all(value).await;
        }
    };
    let ended = tokio::time::timeout(LIMIT, async { tokio::join!(write, child.wait_with_output()).1 }).await;
    match ended {
        Ok(Ok(output)) if output.status.success() && !output.stdout.is_empty() => Ok(output.stdout),
        Ok(Ok(output)) => Err(failed(output.status.to_string(), String::from_utf8_lossy(&output.stderr).into_owned())),
        Ok(Err(error)) => Err(failed(error.to_string(), String::new())),
        Err(_) => Err(failed(format!("it took more than {} seconds", LIMIT.as_secs()), String::new())),
    }
}
