//! Why a job ended as it did, for people.

use std::collections::BTreeSet;
use std::time::Duration;

use zbus::Message;
use zbus::as_variant::Deserialize;

use super::bus::{Bus, Call};
use super::jobs::{JobKind, JobResult};
use super::ledger::Over;
use super::properties::{self, Depth, Query, UNIT, text, value};
use crate::bundle::unit::{UnitKind, UnitName};
use crate::plan::ActiveState;

/// A command in the `Exec...` properties of a service: path, arguments, whether its failure is ignored, four points in
/// time, process id, how it ended (`CLD_EXITED` and so on), and its exit status or signal.
type CommandRow = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);

/// What became of a command of a service.
#[derive(Debug)]
struct Command {
    directive: &'static str,
    program: String,
    ignored: bool,
    code: i32,
    status: i32,
}

const EXITED: i32 = 1;
const KILLED: i32 = 2;
const DUMPED: i32 = 3;

/// What the end of a job means.
#[derive(Debug)]
pub(super) struct Meaning {
    pub result: JobResult,
    /// Why, for people; empty when it is done.
    pub reason: String,
    /// How long the unit itself took to start, after a start that is done.
    pub start: Option<Duration>,
}

/// Returns what a result means, given the units that have failed so far.
pub(super) async fn of(bus: &Bus, over: &Over, failed: &BTreeSet<&UnitName>) -> Meaning {
    let starts = matches!(over.kind, JobKind::Start | JobKind::Restart);
    let told = |(result, reason)| Meaning { result, reason, start: None };
    let said = |result, reason: &str| (result, reason.to_owned());
    told(match over.result.as_str() {
        "done" if starts => match Times::ask(bus, &over.unit).await {
            times if times.is_skipped() => said(JobResult::Skipped, "a condition in its file does not hold"),
            times => return Meaning { result: JobResult::Done, reason: String::new(), start: times.start() },
        },
        "done" => said(JobResult::Done, ""),
        "skipped" if starts => said(JobResult::Skipped, "there was nothing to do"),
        "skipped" => said(JobResult::Skipped, "it does not run"),
        "failed" => (JobResult::Failed, failure(bus, &over.unit, over.kind).await),
        "timeout" => said(JobResult::Timeout, "its job took longer than JobTimeoutSec= allows"),
        "dependency" => (JobResult::Dependency, dependency(bus, &over.unit, failed).await),
        "canceled" => said(JobResult::Canceled, "another job took its place, or somebody cancelled it"),
        "assert" => said(JobResult::Other("assert".to_owned()), "an assertion in its file does not hold"),
        "once" => said(JobResult::Other("once".to_owned()), "it starts only once in a boot, and already has"),
        "frozen" => said(JobResult::Other("frozen".to_owned()), "it is frozen"),
        word => (JobResult::Other(word.to_owned()), format!("systemd says {word:?}")),
    })
}

/// Returns what a unit is doing that has taken too long.
pub(super) async fn of_delay(bus: &Bus, unit: &UnitName) -> String {
    let state = async {
        let query = Query::new(unit, Depth::Run).ok()?;
        query.read(bus.all(&query.calls).await.ok()?).ok()?
    };
    match state.await {
        Some(state) if state.active == ActiveState::Activating => format!("it is still starting ({})", state.sub),
        Some(state) if state.active == ActiveState::Deactivating => format!("it is still stopping ({})", state.sub),
        Some(state) => format!("its job is still waiting; it is {}", state.sub),
        None => "its job is still waiting".to_owned(),
    }
}

/// Asks for a property of a unit.
async fn property(bus: &Bus, unit: &UnitName, interface: &str, name: &str) -> Option<Message> {
    let call = Call::property(&properties::object_path(unit), interface, name, Some(unit)).ok()?;
    bus.call(&call).await.ok()
}

/// When a unit did what, in microseconds; 0 for never.
#[derive(Debug, Default)]
struct Times {
    condition_holds: bool,
    condition: u64,
    inactive_exit: u64,
    active_enter: u64,
    inactive_enter: u64,
}

impl Times {
    async fn ask(bus: &Bus, unit: &UnitName) -> Self {
        let path = properties::object_path(unit);
        let names = [
            "ConditionResult",
            "ConditionTimestamp",
            "InactiveExitTimestampMonotonic",
            "ActiveEnterTimestampMonotonic",
            "InactiveEnterTimestampMonotonic",
        ];
        let calls: Result<Vec<Call>, _> =
            names.into_iter().map(|name| Call::property(&path, UNIT, name, Some(unit))).collect();
        let Ok(replies) = (match calls {
            Ok(calls) => bus.all(&calls).await,
            Err(error) => Err(error),
        }) else {
            return Self::default();
        };
        let time = |at: usize| replies.get(at)?.as_ref().ok().and_then(value::<u64>);
        let holds = replies.first().and_then(|reply| value::<bool>(reply.as_ref().ok()?));
        let [condition, inactive_exit, active_enter, inactive_enter] =
            [1, 2, 3, 4].map(|at| time(at).unwrap_or_default());
        Times { condition_holds: holds != Some(false), condition, inactive_exit, active_enter, inactive_enter }
    }

    /// Whether it was not started because a condition in its file does not hold. One that has left the memory since then
    /// has not been asked.
    fn is_skipped(&self) -> bool {
        !self.condition_holds && self.condition > 0
    }

    /// Returns how long its last start took by itself, without what it waited for: from the first process to the moment in
    /// which systemd took it for started, or in which its run was over. None when it is still starting, or never did.
    fn start(&self) -> Option<Duration> {
        let ends = [self.active_enter, self.inactive_enter];
        let took = ends.into_iter().filter_map(|end| end.checked_sub(self.inactive_exit)).min();
        took.filter(|_| self.inactive_exit > 0).map(Duration::from_micros)
    }
}

/// Returns which unit a unit needs in vain.
async fn dependency(bus: &Bus, unit: &UnitName, failed: &BTreeSet<&UnitName>) -> String {
    let mut needs = BTreeSet::new();
    for name in ["Requires", "Requisite", "BindsTo"] {
        needs.extend(property(bus, unit, UNIT, name).await.iter().flat_map(properties::names));
    }
    if let Some(culprit) = needs.iter().find(|need| failed.contains(need)) {
        return format!("{culprit}, which it needs, did not start");
    }
    for need in &needs {
        let state = word(bus, need, UNIT, "ActiveState").await;
        if ["failed", "inactive"].contains(&state.as_str()) {
            return format!("{need}, which it needs, is {state}");
        }
    }
    "a unit that it needs did not start".to_owned()
}

async fn word(bus: &Bus, unit: &UnitName, interface: &str, name: &str) -> String {
    property(bus, unit, interface, name).await.map(|reply| text(&reply)).unwrap_or_default()
}

/// Returns why a unit failed.
async fn failure(bus: &Bus, unit: &UnitName, kind: JobKind) -> String {
    let Some(interface) = properties::interface(unit.kind()) else { return String::new() };
    let result = word(bus, unit, interface, if kind == JobKind::Reload { "ReloadResult" } else { "Result" }).await;
    let commands =
        if unit.kind() == UnitKind::Service { commands(bus, unit, interface, kind).await } else { Vec::new() };
    describe(&result, kind, &commands)
}

/// Returns the commands that belong to a kind of job, each with the directive that it comes from.
async fn commands(bus: &Bus, unit: &UnitName, interface: &str, kind: JobKind) -> Vec<Command> {
    let directives: &[&'static str] = match kind {
        JobKind::Start | JobKind::Restart => &["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost"],
        JobKind::Stop => &["ExecStop", "ExecStopPost"],
        JobKind::Reload => &["ExecReload"],
    };
    let path = properties::object_path(unit);
    let calls = directives.iter().map(|name| Call::property(&path, interface, name, Some(unit)));
    let Ok(calls) = calls.collect::<Result<Vec<Call>, _>>() else { return Vec::new() };
    let Ok(replies) = bus.all(&calls).await else { return Vec::new() };
    let mut commands = Vec::new();
    for (directive, reply) in directives.iter().zip(replies) {
        let Ok(reply) = reply else { continue };
        let body = reply.body();
        let Ok(rows) = body.deserialize::<Deserialize<'_, Vec<CommandRow>>>() else { continue };
        commands.extend(rows.0.into_iter().map(|row| Command {
            directive,
            program: row.0,
            ignored: row.2,
            code: row.8,
            status: row.9,
        }));
    }
    commands
}

/// Describes a failure by systemd's word for it and what became of the commands.
fn describe(result: &str, kind: JobKind, commands: &[Command]) -> String {
    let stops = kind == JobKind::Stop;
    match result {
        "timeout" if stops => return "it did not stop in time".to_owned(),
        "timeout" => return "it was not ready in time".to_owned(),
        "oom-kill" => return "the kernel killed it: out of memory".to_owned(),
        "watchdog" => return "it did not report to the watchdog in time".to_owned(),
        "start-limit-hit" => return "it was started too often in a short time (StartLimitBurst=)".to_owned(),
        "protocol" => return "it did not report that it is ready in the way that its Type= asks for".to_owned(),
        _ => {}
    }
    if let Some((command, end)) = commands.iter().find_map(|command| Some((command, command.end()?))) {
        let Command { directive, program, .. } = command;
        return if *directive == "ExecStart" { format!("it {end}") } else { format!("{directive}={program} {end}") };
    }
    match result {
        "resources" => "something that it needs from the system is missing".to_owned(),
        "" | "success" => "systemd does not say why".to_owned(),
        word => format!("systemd says {word:?}"),
    }
}

impl Command {
    /// Returns how the command failed; none when it did not, or when that does not count.
    fn end(&self) -> Option<String> {
        let status = self.status;
        match self.code {
            _ if self.ignored => None,
            EXITED if status == 0 => None,
            EXITED => Some(match of_status(status) {
                Some(meaning) => format!("ended with exit code {status}: {meaning}"),
                None => format!("ended with exit code {status}"),
            }),
            KILLED => Some(format!("was killed by signal {}", signal(status))),
            DUMPED => Some(format!("crashed with signal {}", signal(status))),
            _ => None,
        }
    }
}

/// Returns what systemd means by an exit status with which it ends a process before the program runs
/// (systemd.exec(5), "Process exit codes").
fn of_status(status: i32) -> Option<&'static str> {
    Some(match status {
        200 => "its working directory cannot be entered",
        203 => "its program cannot be executed",
        208 => "its standard input cannot be opened",
        209 => "its standard output cannot be opened",
        216 => "its group does not exist or cannot be taken",
        217 => "its user does not exist or cannot be taken",
        218 => "its capabilities cannot be set",
        219 => "its control group cannot be set up",
        226 => "its mount namespace cannot be set up; is every path there?",
        228 => "its system call filter cannot be set up",
        233 => "its runtime directory cannot be set up",
        238 => "its state directory cannot be set up",
        239 => "its cache directory cannot be set up",
        240 => "its log directory cannot be set up",
        241 => "its configuration directory cannot be set up",
        243 => "its credentials cannot be set up",
        _ => return None,
    })
}

fn signal(number: i32) -> String {
    let name = match number {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        31 => "SIGSYS",
        _ => return number.to_string(),
    };
    format!("{number} ({name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(directive: &'static str, code: i32, status: i32) -> Command {
        Command { directive, program: "/bin/x".to_owned(), ignored: false, code, status }
    }

    #[test]
    fn a_start_is_from_the_first_process_to_the_end_of_starting() {
        let start = |inactive_exit, active_enter, inactive_enter| {
            let times = Times { inactive_exit, active_enter, inactive_enter, ..Times::default() };
            times.start().map(|start| start.as_micros())
        };
        assert_eq!(start(50, 80, 40), Some(30), "it was restarted");
        assert_eq!(start(50, 80, 99), Some(30), "it ended since");
        assert_eq!(start(50, 0, 80), Some(30), "a run that ends by itself");
        assert_eq!(start(50, 20, 40), None, "it is still starting");
        assert_eq!(start(0, 80, 0), None, "it never started");
    }

    #[test]
    fn a_failure_is_described_by_the_command_that_failed() {
        let of = |result, commands: &[Command]| describe(result, JobKind::Start, commands);
        let pre = command("ExecStartPre", EXITED, 3);
        assert_eq!(of("exit-code", &[pre]), "ExecStartPre=/bin/x ended with exit code 3");
        let main = [command("ExecStartPre", EXITED, 0), command("ExecStart", KILLED, 9)];
        assert_eq!(of("signal", &main), "it was killed by signal 9 (SIGKILL)");
        let mut ignored = command("ExecStartPre", EXITED, 1);
        ignored.ignored = true;
        assert_eq!(
            of("exit-code", &[ignored, command("ExecStart", EXITED, 203)]),
            "it ended with exit code 203: its program cannot be executed"
        );
        assert_eq!(of("timeout", &[command("ExecStart", KILLED, 15)]), "it was not ready in time");
        assert_eq!(of("resources", &[]), "something that it needs from the system is missing");
        assert_eq!(of("", &[]), "systemd does not say why");
    }
}
