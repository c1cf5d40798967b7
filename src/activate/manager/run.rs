//! Carrying out jobs: all are handed over together, then the end of each is waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use zbus::{Message, OwnedObjectPath, Variant};

use super::bus::{Bus, Call, Listener, PATIENCE};
use super::error::{BusError, BusErrorKind};
use super::jobs::{Job, JobEvent, JobKind, JobOutcome, JobResult};
use super::ledger::{Ledger, Over};
use super::marks::Marks;
use super::reason::Meaning;
use super::{Manager, reason};
use crate::bundle::unit::UnitName;

impl Manager {
    /// Hands all jobs to systemd at once, waits for their ends, and returns how each ended.
    ///
    /// Each unit may occur once. Jobs of one kind are queued in the order in which they are given; when something starts
    /// or stops, systemd decides by `After=` and `Before=`. Jobs that are not over within `limit` are cancelled.
    ///
    /// # Errors
    ///
    /// Only when systemd does not answer any more. It goes on with what it was given.
    pub async fn run(
        &self,
        jobs: &[Job],
        limit: Duration,
        observe: &mut dyn FnMut(JobEvent),
    ) -> Result<BTreeMap<UnitName, JobOutcome>, BusError> {
        if jobs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let deadline = Instant::now() + limit;
        self.bus.subscribe().await?;
        let marks = Marks::set(&self.bus, jobs).await?;
        let mut run = Run {
            bus: &self.bus,
            listener: self.bus.listen(),
            ledger: Ledger::new(jobs, Instant::now()),
            calls: Vec::new(),
            outcomes: BTreeMap::new(),
            observe,
        };
        let result = run.carry_out(jobs, marks.as_ref(), deadline).await;
        let outcomes = std::mem::take(&mut run.outcomes);
        drop(run);
        result.map(|()| outcomes)
    }

    /// Starts a service that has no file, and waits until its program runs or failed to. Properties are those of
    /// systemd's `StartTransientUnit`, with their types on D-Bus.
    pub async fn start_transient(
        &self,
        unit: &UnitName,
        description: &str,
        argv: &[String],
        mut properties: Vec<(&str, Variant<'_>)>,
    ) -> Result<JobOutcome, BusError> {
        let program = argv.first().map_or("", String::as_str);
        properties.push(("Description", description.into()));
        // systemd replaces what looks like a variable; a doubled sign stands for itself. The flag that forbids this would
        // need `ExecStartEx`, which systemd 252 cannot read back when it reloads.
        let argv: Vec<String> = argv.iter().map(|argument| argument.replace('$', "$$")).collect();
        properties.push(("ExecStart", Variant::from(vec![(program, argv, false)])));
        let none: [(&str, Vec<(&str, Variant<'_>)>); 0] = [];
        let call = Call::manager("StartTransientUnit", Some(unit), &(unit.as_str(), "fail", properties, &none[..]))?;
        self.bus.subscribe().await?;
        let job = Job { unit: unit.clone(), kind: JobKind::Start };
        let mut run = Run {
            bus: &self.bus,
            listener: self.bus.listen(),
            ledger: Ledger::new(&[job], Instant::now()),
            calls: Vec::new(),
            outcomes: BTreeMap::new(),
            observe: &mut |_| (),
        };
        let deadline = Instant::now() + PATIENCE;
        run.send(vec![(call, Some(unit.clone()))], deadline).await?;
        run.wait(None, deadline).await?;
        let outcome = run.outcomes.remove(unit);
        // `wait` ends when every job is over.
        outcome.ok_or_else(|| BusError {
            call: "StartTransientUnit".to_owned(),
            unit: Some(unit.clone()),
            kind: BusErrorKind::Strange("no outcome".to_owned()),
        })
    }
}

impl Bus {
    /// Asks for signals about jobs; once is enough, and more is no harm.
    async fn subscribe(&self) -> Result<(), BusError> {
        match self.call(&Call::manager("Subscribe", None, &())?).await {
            Err(error) if !matches!(&error.kind, BusErrorKind::Refused { name, .. } if name.ends_with(".AlreadySubscribed")) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

/// Jobs on their way.
struct Run<'r> {
    bus: &'r Bus,
    listener: Listener<'r>,
    ledger: Ledger,
    /// Calls that are not answered, and the unit that each is for; none for the one that queues what is marked.
    calls: Vec<(Call, Option<UnitName>)>,
    outcomes: BTreeMap<UnitName, JobOutcome>,
    observe: &'r mut dyn FnMut(JobEvent),
}

impl Run<'_> {
    async fn carry_out(&mut self, jobs: &[Job], marks: Option<&Marks>, deadline: Instant) -> Result<(), BusError> {
        let mut calls = Vec::new();
        if marks.is_some() {
            calls.push((Call::manager("EnqueueMarkedJobs", None, &())?, None));
        }
        // Restarts first: what starts may have to wait for them.
        let single = jobs.iter().filter(|job| !marks.is_some_and(|marks| marks.has(&job.unit)));
        let (restarts, rest): (Vec<&Job>, Vec<&Job>) = single.partition(|job| job.kind == JobKind::Restart);
        for job in restarts.into_iter().chain(rest) {
            calls.push((call_for(&job.unit, job.kind)?, Some(job.unit.clone())));
        }
        self.send(calls, deadline).await?;
        self.wait(marks, deadline).await
    }

    async fn send(&mut self, calls: Vec<(Call, Option<UnitName>)>, deadline: Instant) -> Result<(), BusError> {
        let messages: Vec<Call> = calls.iter().map(|(call, _)| call.clone()).collect();
        self.calls.extend(calls);
        self.listener.send(&messages, deadline).await
    }

    /// Reads what systemd says until every job is over.
    async fn wait(&mut self, marks: Option<&Marks>, deadline: Instant) -> Result<(), BusError> {
        let answer = Instant::now() + PATIENCE;
        while !self.ledger.is_over() {
            let until = if self.calls.is_empty() { deadline } else { deadline.min(answer) };
            let Some(message) = self.listener.next(until).await? else {
                if let (Some((call, _)), true) = (self.calls.first(), until < deadline) {
                    return Err(call.error(BusErrorKind::Late(PATIENCE)));
                }
                return self.give_up().await;
            };
            if self.listener.is_signal(&message, "JobRemoved") {
                self.removed(&message).await?;
            } else if let Some((call, unit, reply)) = self.reply(&message) {
                match unit {
                    Some(unit) => self.taken(&call, &unit, reply).await?,
                    None => self.taken_marked(marks, deadline).await?,
                }
            }
        }
        Ok(())
    }

    fn reply(&mut self, message: &Message) -> Option<(Call, Option<UnitName>, Result<Message, BusError>)> {
        let (position, reply) = self
            .calls
            .iter()
            .enumerate()
            .find_map(|(position, (call, _))| Some((position, self.listener.reply_to(message, call)?)))?;
        let (call, unit) = self.calls.swap_remove(position);
        Some((call, unit, reply))
    }

    /// Handles the reply to the call for one unit: the path of its job.
    async fn taken(&mut self, call: &Call, unit: &UnitName, reply: Result<Message, BusError>) -> Result<(), BusError> {
        let Some(open) = self.ledger.open().get(unit) else { return Ok(()) };
        match reply {
            Ok(reply) => {
                let body = reply.body();
                let path: OwnedObjectPath = call.read(&body)?;
                self.queued(unit, path.as_str()).await
            }
            // What systemd does not have in memory does not run.
            Err(error) if error.is_no_such_unit() && open.kind == JobKind::Stop => {
                let over = self.ledger.close(unit, "done");
                self.end(over, Meaning { result: JobResult::Done, reason: String::new(), start: None });
                Ok(())
            }
            Err(error) => {
                let over = self.ledger.close(unit, "refused");
                let reason = match error.kind {
                    BusErrorKind::Refused { message, .. } => message,
                    kind => kind.to_string(),
                };
                self.end(over, Meaning { result: JobResult::Refused, reason, start: None });
                Ok(())
            }
        }
    }

    /// Finds the jobs of the units that were marked. Where there is none, for whatever reason, the unit is restarted
    /// by itself: that joins a job that there is all the same.
    async fn taken_marked(&mut self, marks: Option<&Marks>, deadline: Instant) -> Result<(), BusError> {
        let Some(marks) = marks else { return Ok(()) };
        let queued = Marks::queued(self.bus).await?;
        marks.clear(self.bus).await?;
        let mut left = Vec::new();
        for (unit, id) in marks.units() {
            let path = queued.get(id).cloned().or_else(|| self.ledger.removed_of(id).map(str::to_owned));
            match path {
                Some(path) => self.queued(unit, &path).await?,
                None => left.push((call_for(unit, JobKind::Restart)?, Some(unit.clone()))),
            }
        }
        self.send(left, deadline).await
    }

    async fn queued(&mut self, unit: &UnitName, path: &str) -> Result<(), BusError> {
        if let Some(open) = self.ledger.open().get(unit) {
            (self.observe)(JobEvent::Queued { unit: unit.clone(), kind: open.kind });
        }
        let over = self.ledger.taken(unit, path);
        self.explain(over).await;
        Ok(())
    }

    async fn removed(&mut self, message: &Message) -> Result<(), BusError> {
        let body = message.body();
        let strange = |error: zbus::Error| BusError {
            call: "JobRemoved".to_owned(),
            unit: None,
            kind: BusErrorKind::Strange(error.to_string()),
        };
        let (_, path, unit, result): (u32, OwnedObjectPath, &str, &str) = body.deserialize().map_err(strange)?;
        for over in self.ledger.removed(path.as_str(), unit, result) {
            self.explain(Some(over)).await;
        }
        Ok(())
    }

    /// Asks for the reason of a result at once: a service that restarts by itself forgets it soon.
    async fn explain(&mut self, over: Option<Over>) {
        let Some(over) = over else { return };
        let failed = self.outcomes.iter().filter(|(_, outcome)| !outcome.is_ok()).map(|(unit, _)| unit);
        let meaning = reason::of(self.bus, &over, &failed.collect()).await;
        self.end(Some(over), meaning);
    }

    fn end(&mut self, over: Option<Over>, meaning: Meaning) {
        let Some(over) = over else { return };
        let Meaning { result, reason, start } = meaning;
        let outcome = JobOutcome { result, reason, took: over.since.elapsed(), start };
        self.outcomes.insert(over.unit.clone(), outcome.clone());
        (self.observe)(JobEvent::Ended { unit: over.unit, kind: over.kind, outcome });
    }

    /// Cancels what is not over.
    async fn give_up(&mut self) -> Result<(), BusError> {
        let number = |path: &String| path.rsplit('/').next()?.parse::<u32>().ok();
        let open: Vec<(UnitName, Option<u32>)> =
            self.ledger.open().iter().map(|(unit, open)| (unit.clone(), open.path.as_ref().and_then(number))).collect();
        let cancel = open.iter().filter_map(|(unit, job)| Some(Call::manager("CancelJob", Some(unit), &((*job)?,))));
        // A job that ended just now cannot be cancelled.
        self.bus.all(&cancel.collect::<Result<Vec<Call>, BusError>>()?).await?;
        for (unit, _) in open {
            let reason = reason::of_delay(self.bus, &unit).await;
            let over = self.ledger.close(&unit, "canceled");
            self.end(over, Meaning { result: JobResult::TimedOut, reason, start: None });
        }
        Ok(())
    }
}

fn call_for(unit: &UnitName, kind: JobKind) -> Result<Call, BusError> {
    let method = match kind {
        JobKind::Start => "StartUnit",
        JobKind::Stop => "StopUnit",
        JobKind::Restart => "RestartUnit",
        JobKind::Reload => "ReloadUnit",
    };
    Call::manager(method, Some(unit), &(unit.as_str(), "replace"))
}
