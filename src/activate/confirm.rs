//! A switch that somebody has to confirm, from wherever they can still reach the host.

use std::time::Duration;

use super::apply::{Host, say};
use super::error::DiskError;
use super::generation::Generation;
use super::places::Places;
use super::progress::Event;
use super::trial::{Stage, Trial};
use super::lock;

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
    let _guard = lock::trial(places)?;
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
    // Whoever comes first decides: once this is written, a confirmation is too late.
    let _guard = lock::trial(host.places).map_err(|error| error.to_string())?;
    if is_confirmed(host.places)? {
        return Ok(());
    }
    trial.stage = Stage::RollingBack;
    trial.write(host.places).map_err(|error| error.to_string())?;
    Err(format!("nobody confirmed it within {}", crate::bundle::quantity::Span(within)))
}

fn is_confirmed(places: &Places) -> Result<bool, String> {
    match Trial::read(places) {
        Ok(trial) => Ok(trial.is_none()),
        Err(error) => Err(error.to_string()),
    }
}
