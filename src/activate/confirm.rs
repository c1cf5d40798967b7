//! A switch that somebody has to confirm, from wherever they can still reach the host.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::error::DiskError;
use super::files::{Folder, Through};
use super::generation::Generation;
use super::host::{Host, say};
use super::places::Places;
use super::progress::Event;
use super::trial::{Stage, Trial};

/// Between two looks at whether it is confirmed.
const LOOK: Duration = Duration::from_millis(100);

/// What became of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Confirmed(Generation),
    /// No switch waits for one.
    NothingToConfirm,
    /// The switch is still at work; it asks when everything is healthy.
    TooEarly,
    /// The switch is being taken back.
    TooLate,
}

/// Confirms the switch that waits for it.
///
/// The trial is removed, and that is the whole proof: power may fail in the next moment.
pub fn confirm(places: &Places) -> Result<Answer, DiskError> {
    let _guard = guard(places)?;
    let Some(trial) = Trial::read(places)? else {
        return Ok(Answer::NothingToConfirm);
    };
    match trial.stage {
        Stage::Confirming if trial.boot == super::trial::boot_id()? => {
            Trial::remove(places)?;
            Ok(Answer::Confirmed(trial.to))
        }
        Stage::Confirming | Stage::RollingBack => Ok(Answer::TooLate),
        Stage::Applying if trial.confirm_within.is_some() => Ok(Answer::TooEarly),
        Stage::NextBoot | Stage::Booting | Stage::Applying => Ok(Answer::NothingToConfirm),
    }
}

/// Makes a switch one that is being taken back, unless somebody has proven it meanwhile; then it returns `false`.
///
/// From here on a confirmation is too late.
pub fn claim(places: &Places, trial: &mut Trial) -> Result<bool, DiskError> {
    let _guard = guard(places)?;
    if Trial::read(places)?.is_none() {
        return Ok(false);
    }
    // That a boot tries it says more: the way back from there is another one.
    if trial.stage != Stage::Booting {
        trial.stage = Stage::RollingBack;
        trial.write(places)?;
    }
    Ok(true)
}

/// Waits until the switch is confirmed; an error says that nobody did so in time.
pub async fn wait(host: &mut Host<'_>, trial: &Trial, within: Duration) -> Result<(), String> {
    let deadline = tokio::time::Instant::now() + within;
    let mut trial = trial.clone();
    trial.stage = Stage::Confirming;
    trial.confirm_until = jiff::Timestamp::now().checked_add(within).ok();
    trial.write(host.places).map_err(|error| error.to_string())?;
    say(host.log, &Event::Confirm { seconds: within.as_secs() });
    while tokio::time::Instant::now() < deadline {
        if is_confirmed(host.places)? {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(format!("nobody confirmed it within {}", crate::bundle::quantity::Span(within)))
}

/// Keeps confirmation and the end of its time apart; both are over in a moment, so it is waited for.
fn guard(places: &Places) -> Result<OwnedFd, DiskError> {
    let folder = Folder::make(places, Path::new("/run/citadel"), Through::Links, &mut Vec::new())?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = rustix::fs::openat(&folder, "confirm", flags, Mode::from_raw_mode(0o600));
    let locked = open.and_then(|file| rustix::fs::flock(&file, FlockOperation::LockExclusive).map(|()| file));
    locked.map_err(|error| DiskError::doing("lock", places.host("/run/citadel/confirm"))(error.into()))
}

fn is_confirmed(places: &Places) -> Result<bool, String> {
    match Trial::read(places) {
        Ok(trial) => Ok(trial.is_none()),
        Err(error) => Err(error.to_string()),
    }
}
