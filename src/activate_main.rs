//! The `citadel-activate` program: what a host needs to move from one generation to another.

use std::process::ExitCode;

fn main() -> ExitCode {
    citadel::cli::host::run()
}
