//! Commands that change a host need root.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::output::problem;
use crate::cli::exit::Code;

/// Returns whether this process may do everything.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes sure that this process may change the host.
pub fn need() -> Result<(), Code> {
    if is_root() {
        Ok(())
    } else {
        Err(problem(Code::Refused, "this changes the host, so it needs root; run it with `sudo`"))
    }
}

/// Runs this program again as root, with these arguments; returns only when that is not possible.
pub fn become_root(arguments: &[&str]) -> Code {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return problem(Code::NotFound, error),
    };
    let error = Command::new("sudo").arg("--").arg(program).args(arguments).exec();
    problem(Code::Refused, format!("sudo does not start: {error}"))
}

/// Returns who runs this program, for the history.
pub fn who() -> String {
    let name = std::env::var("SUDO_USER").ok().filter(|name| is_root() && !name.is_empty() && name.len() <= 64);
    name.unwrap_or_else(user)
}

/// Returns the user of this process by name, or by number where it has none.
pub fn user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let user = uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned());
    user.unwrap_or_else(|| uid.to_string())
}
