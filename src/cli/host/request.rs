//! Asking for a switch and following it; what `switch` and `rollback` have in common.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::output::{self, problem};
use super::progress::{Mode, Show};
use super::root;
use crate::activate::end::End;
use crate::activate::generator::{PROGRAM, RECOVER};
use crate::activate::history::Kind;
use crate::activate::manager::Manager;
use crate::activate::progress::{Event, Outcome};
use crate::activate::switch::{self, Request, Target};
use crate::activate::trial::{Stage, Trial};
use crate::activate::worker::{self, Followed};
use crate::activate::{Generation, Places, current, prospect, setup};
use crate::bundle::quantity::Span;
use crate::bundle::unit::UnitName;
use crate::cli::exit::Code;
use crate::plan::LoadState;

/// Options of every command that starts a switch.
#[derive(Clone, Debug, clap::Args, Deserialize, Serialize)]
pub struct How {
    /// Go back unless `citadel confirm` comes within this time after everything is healthy
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub confirm: Option<Span>,
    /// Return when the switch has begun, instead of at its end
    #[arg(long)]
    pub no_wait: bool,
    /// Wait so long for another switch to end, instead of giving up at once
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub wait_lock: Option<Span>,
    /// End with status 10 when there is nothing to do
    #[arg(long)]
    pub exit_code: bool,
    /// Become root with `sudo` where that is needed
    #[arg(long)]
    pub sudo: bool,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "write a length of time such as `2min` or `90s`".to_owned())
}

/// What a user asks for.
#[derive(Debug, Deserialize, Serialize)]
pub struct Asked {
    pub kind: Kind,
    pub target: Target,
    pub adopt: bool,
    pub next_boot: bool,
    pub how: How,
    pub json: bool,
}

/// The same as a hidden command, for `--sudo`.
#[derive(Debug, clap::Args)]
pub struct Again {
    request: String,
}

pub fn again(arguments: &Again) -> Result<(), Code> {
    let asked = serde_json::from_str(&arguments.request).map_err(|error| problem(Code::Usage, error))?;
    ask(&Places::new("/"), asked)
}

/// The hidden command that the service of a switch runs.
#[derive(Debug, clap::Args)]
pub struct Work {
    request: String,
}

pub fn work(arguments: &Work) -> Result<(), Code> {
    let request: Request = serde_json::from_str(&arguments.request).map_err(|error| problem(Code::Usage, error))?;
    let places = Places::new("/");
    super::block_on(switch::run(&places, &request))?;
    // Its service ends as failed when it was killed or when it leaves something to do, and that brings recovery in.
    match Trial::read(&places) {
        Ok(Some(trial)) if trial.stage != Stage::NextBoot => Err(Code::Broken),
        _ => Ok(()),
    }
}

/// Starts a switch as a service of its own and follows it to its end.
pub fn ask(places: &Places, asked: Asked) -> Result<(), Code> {
    if !root::is_root() {
        if !asked.how.sudo {
            return Err(problem(
                Code::Refused,
                "a switch changes the host, so it needs root; run it with `sudo`, or with `--sudo`, which asks for it",
            ));
        }
        let request = serde_json::to_string(&asked).map_err(|_| Code::Defect)?;
        return Err(root::become_root(&["ask", &request]));
    }
    if prospect::is_current(places, &asked.target) && !asked.next_boot {
        return report(&End::unchanged(), &asked.how, asked.json);
    }
    super::block_on(start_and_follow(places, &asked))?
}

async fn start_and_follow(places: &Places, asked: &Asked) -> Result<(), Code> {
    let failed = |error: &dyn std::fmt::Display| problem(Code::NotWritten, error);
    let manager = Manager::connect().await.map_err(|error| failed(&error))?;
    setup::prepare(places).map_err(|error| failed(&error))?;
    let recovery = UnitName::parse(RECOVER).ok_or(Code::Defect)?;
    if manager.unit(&recovery).await.map_err(|error| failed(&error))?.load != LoadState::Loaded {
        manager.reload().await.map_err(|error| failed(&error))?;
    }
    let before = current::get(places).map_err(|error| failed(&error))?;
    let id = switch::new_id();
    let request = Request {
        id: id.clone(),
        by: root::who(),
        kind: asked.kind,
        target: asked.target.clone(),
        adopt: asked.adopt,
        next_boot: asked.next_boot,
        confirm_within: asked.how.confirm.map(Span::as_secs_ceil),
        wait_for_lock: asked.how.wait_lock.map_or(0, Span::as_secs_ceil),
    };
    let request = serde_json::to_string(&request).map_err(|_| Code::Defect)?;
    let unit = worker::unit(&id).ok_or(Code::Defect)?;
    let argv = [PROGRAM.to_owned(), "work".to_owned(), request];
    // One that had nothing to do may be over, and forgotten by systemd, before systemd tells that it began. It has a log.
    let started = worker::start(&manager, &unit, &argv, &BTreeMap::new()).await;
    if let Err(error) = started
        && !places.progress(&id).exists()
    {
        return Err(failed(&error));
    }
    if asked.how.no_wait {
        return output::result(asked.json, &serde_json::json!({ "id": id }), || {
            format!("the switch {id} goes on by itself; `citadel-activate status` tells how far it is")
        });
    }
    let mut show = Show::new(Mode::suitable(asked.json));
    let mut end = None;
    let followed = worker::follow(places, &id, &unit, &mut |event: &Event| {
        if let Event::Finished { outcome, .. } = event {
            end = Some(*outcome);
        }
        show.show(event);
    })
    .await;
    match followed.map_err(|error| failed(&error))? {
        Followed::Finished(outcome) => code(outcome, &asked.how),
        Followed::Left => {
            show.leave();
            Ok(())
        }
        Followed::Vanished => vanished(places, before, &id, &unit),
    }
}

/// Tells how a switch ended that was killed without a word: without a trial nothing is half done.
fn vanished(places: &Places, before: Option<Generation>, id: &str, unit: &UnitName) -> Result<(), Code> {
    match (Trial::read(places), current::get(places)) {
        (Ok(None), Ok(now)) if now == before => {
            Err(problem(Code::RolledBack, format!("the switch {id} was killed before it changed anything")))
        }
        (Ok(None), Ok(_)) => {
            output::note(format!("the switch {id} was killed after everything was healthy; the new generation stays"));
            Ok(())
        }
        _ => Err(problem(
            Code::Broken,
            format!(
                "the switch {id} ended without a word; see `journalctl -u {unit}`, then `citadel-activate recover`"
            ),
        )),
    }
}

/// Writes how a switch ended that was not followed.
pub fn report(end: &End, how: &How, json: bool) -> Result<(), Code> {
    let event = Event::Finished { outcome: end.outcome, summary: end.message.clone(), seconds: 0.0 };
    let mut show = Show::new(Mode::suitable(json));
    show.show(&event);
    code(end.outcome, how)
}

fn code(outcome: Outcome, how: &How) -> Result<(), Code> {
    match Code::of_switch(outcome) {
        Some(code) => Err(code),
        None if outcome == Outcome::Unchanged && how.exit_code => Err(Code::Unchanged),
        None => Ok(()),
    }
}
