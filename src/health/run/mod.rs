//! Carrying out probes.
//!
//! Whatever the other side does, a probe ends after its timeout and leaves nothing behind: no connection, no process, and
//! at most a bounded part of an answer in memory.

mod aside;
mod command;
mod connect;
mod http;
mod identity;
mod path;
mod redis;
mod unit;

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub(crate) use self::aside::aside;
pub(crate) use self::command::{Surroundings, run as run_program};
pub(crate) use self::identity::Identity;
pub use self::unit::Restarts;
pub(crate) use self::unit::{describe, is_restarting, is_up};
use super::failure::{Failure, Reason};
use super::host::Host;
use super::probe::{Probe, Test};
use super::subject::Subject;
use crate::bundle::unit::UnitName;

/// How many probes run at once.
pub(crate) const AT_ONCE: usize = 64;

/// What a probe that did not fail has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Passed,
    /// Nothing on this host can tell, so it counts neither for nor against the service.
    Unknown,
}

/// Runs a probe once, within its timeout. Of a unit only the state is judged, since one look knows no restarts.
///
/// # Errors
///
/// What was asked and what is wrong with the answer.
pub async fn run(probe: &Probe, subject: &Subject, host: &impl Host) -> Result<Answer, Failure> {
    run_again(probe, subject, host, &mut Restarts::default()).await
}

/// Like [`run`], for a probe that runs again and again: remembers the restarts of the unit from one time to the next.
///
/// # Errors
///
/// What was asked and what is wrong with the answer.
pub async fn run_again(
    probe: &Probe,
    subject: &Subject,
    host: &impl Host,
    restarts: &mut Restarts,
) -> Result<Answer, Failure> {
    let answer = timeout(probe.timeout.0, ask(&probe.test, subject, host, restarts)).await;
    let answer = answer.unwrap_or(Err(Reason::NoAnswer(probe.timeout)));
    answer.map_err(|reason| Failure { what: probe.test.to_string(), reason })
}

async fn ask(test: &Test, subject: &Subject, host: &impl Host, restarts: &mut Restarts) -> Result<Answer, Reason> {
    match test {
        Test::Http(request) => http::get(request).await?,
        Test::Tcp(address) => drop(connect::connect(address).await?),
        Test::Redis(address) => redis::ping(address).await?,
        Test::Command(command) => command::run(command, subject, &Surroundings::default()).await?,
        Test::File(path) => path::exists(path).await?,
        Test::Mount(path) => path::is_mounted(path).await?,
        Test::Unit(probe) => {
            let state = host.unit(&subject.unit).await.map_err(Reason::Unknown)?;
            unit::judge(probe, subject, &state, restarts)?;
        }
        Test::GpuProcess => {
            let Some(gpu) = host.gpu() else { return Ok(Answer::Unknown) };
            if !gpu.uses_its_gpus(&subject.unit).await.map_err(Reason::Unknown)? {
                return Err(Reason::NotOnGpu);
            }
        }
    }
    Ok(Answer::Passed)
}

/// What the probes of services answered, by unit; the probes in the order of their names.
pub type Answers = BTreeMap<UnitName, Vec<(String, Result<Answer, Failure>)>>;

/// Runs all probes of all services once, many at the same time.
pub async fn once(services: &[Subject], host: &impl Host) -> Answers {
    let slots = Semaphore::new(AT_ONCE);
    let mut running = FuturesUnordered::new();
    for subject in services {
        for (name, probe) in &subject.probes {
            let slots = &slots;
            running.push(async move {
                // It is never closed.
                let _slot = slots.acquire().await;
                (subject, name, run(probe, subject, host).await)
            });
        }
    }
    let mut answers: Answers = services.iter().map(|subject| (subject.unit.clone(), Vec::new())).collect();
    while let Some((subject, name, answer)) = running.next().await {
        if let Some(answers) = answers.get_mut(&subject.unit) {
            answers.push((name.clone(), answer));
        }
    }
    for answers in answers.values_mut() {
        answers.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    answers
}
