//! Secrets: the systemd credentials that services load, in the credential store of the host.
//!
//! A bundle names secrets and holds none. citadel knows where each lies, puts a value there that a person gives it, and
//! refuses to switch to a bundle whose services would not start without one. It never reads a value back: that is systemd's
//! business, when it starts the service.

mod encrypt;
mod store;
mod wanted;

pub use encrypt::{can_encrypt, encrypt};
pub use store::{State, put, state};
pub use wanted::{LONGEST, Wanted, is_name, wanted};

use super::error::DiskError;
use super::places::Places;
use crate::bundle::Bundle;

/// Returns the secrets that services of a bundle cannot start without, and that this host does not have.
///
/// # Errors
///
/// When the store cannot be looked at. One that this user may not see is not known to lack anything.
pub fn missing(places: &Places, bundle: &Bundle) -> Result<Vec<Wanted>, DiskError> {
    let mut missing = Vec::new();
    for secret in wanted(bundle).into_iter().filter(|secret| secret.required) {
        if matches!(state(places, &secret.path)?, State::Missing | State::Unusable(_)) {
            missing.push(secret);
        }
    }
    Ok(missing)
}
