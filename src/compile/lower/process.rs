//! What a service runs: its commands, how it is started, reloaded and stopped, and what happens when it ends.

use super::draft::{Draft, tag, word};
use super::{LoweredFile, NO_PORT};
use crate::bundle::quantity::Span;
use crate::bundle::unit::Value;
use crate::compile::config::{Celery, Exec, ExecType, Gunicorn, RestartPolicy, Runtime, members};
use crate::compile::finding::Finding;
use crate::compile::system::{ServiceView, System, Workload};

/// The monitor must report at least this often, unless the profile says otherwise.
const MONITOR_WATCHDOG: Span = Span::seconds(60);

/// Writes how the service's process lives. `config` is the configuration file that its workload reads, if it has one.
pub(super) fn lower(draft: &mut Draft, system: &System, service: &ServiceView, config: Option<&LoweredFile>) {
    let runtime = &system.profile.runtime;
    let citadel = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        Value::Command(std::iter::once(runtime.clone()).chain(arguments).collect())
    };
    let config = config.and_then(|file| file.target.as_deref()).unwrap_or_default();
    if let Some(workload) = service.workload() {
        draft.own("Type", word(kind(&workload)), "");
        if !service.preflight.is_empty() {
            draft.own("ExecStartPre", citadel(&["preflight", &service.key]), "preflight");
        }
        match workload {
            Workload::Exec(exec) => exec_commands(draft, exec),
            Workload::Vllm(vllm) => {
                let command = ["serve", "--config", config].map(str::to_owned);
                let command = std::iter::once(vllm.executable.clone()).chain(command).collect();
                draft.own("ExecStart", Value::Command(command), "vllm.executable");
            }
            Workload::Gunicorn(gunicorn) => gunicorn_commands(draft, service, gunicorn),
            Workload::Celery(celery) => draft.own("ExecStart", Value::Command(celery_command(celery)), "celery"),
            Workload::Runtime(Runtime::Gpu) => {
                draft.own("RemainAfterExit", Value::Bool(true), "");
                draft.own("ExecStart", citadel(&["gpu", "apply", "--config", config]), "runtime");
                // Unlike ExecStop= it also follows a start that failed or was killed halfway.
                draft.own("ExecStopPost", citadel(&["gpu", "restore"]), "runtime");
            }
            Workload::Runtime(Runtime::Storage) => {
                draft.own("RemainAfterExit", Value::Bool(true), "");
                draft.own("ExecStart", Value::Command(vec!["/bin/true".to_owned()]), "runtime");
            }
            Workload::Runtime(Runtime::Monitor) => {
                draft.own("ExecStart", citadel(&["monitor", "--config", config]), "runtime");
            }
        }
    }
    if service.ready.is_some() && !service.is_oneshot() {
        // The prober has to watch the main process: systemd would wait for the prober although the service is dead.
        let prober = ["wait-ready", &service.key, "--main-pid", "$MAINPID"].map(str::to_owned);
        let prober = std::iter::once(runtime.clone()).chain(prober).collect();
        draft.own("ExecStartPost", Value::CommandWithVariables(prober), "ready");
    }
    // A signal to all processes at once would kill workers before the main process can drain them.
    draft.own("KillMode", word("mixed"), "");
    draft.own("TimeoutStartSec", Value::Time(service.start_timeout), "start_timeout");
    draft.own("TimeoutStopSec", Value::Time(service.stop_timeout), "stop_timeout");
    restart(draft, system, service);
}

fn kind(workload: &Workload<'_>) -> &'static str {
    match workload {
        Workload::Exec(exec) => match exec.kind {
            ExecType::Exec => "exec",
            ExecType::Notify => "notify",
            ExecType::Oneshot => "oneshot",
        },
        Workload::Vllm(_) | Workload::Celery(_) => "exec",
        Workload::Gunicorn(_) | Workload::Runtime(Runtime::Monitor) => "notify",
        Workload::Runtime(Runtime::Gpu | Runtime::Storage) => "oneshot",
    }
}

fn exec_commands(draft: &mut Draft, exec: &Exec) {
    if exec.kind == ExecType::Oneshot && exec.remain_after_exit {
        draft.own("RemainAfterExit", Value::Bool(true), "exec.remain_after_exit");
    }
    draft.own("ExecStart", Value::Command(exec.command.clone()), "exec.command");
    if let Some(reload) = &exec.reload {
        draft.own("ExecReload", Value::Command(reload.clone()), "exec.reload");
    } else if let Some(signal) = exec.reload_signal {
        draft.own("ExecReload", signal_main(&tag(&signal)), "exec.reload_signal");
    }
    if let Some(stop) = &exec.stop {
        draft.own("ExecStop", Value::Command(stop.clone()), "exec.stop");
    }
}

fn gunicorn_commands(draft: &mut Draft, service: &ServiceView, gunicorn: &Gunicorn) {
    let address = &service.spec.address;
    let bind = match (service.backend_socket(), service.spec.port) {
        (Some(socket), _) => format!("unix:{socket}"),
        (None, Some(port)) => endpoint(address, port),
        (None, None) => {
            draft.report(
                Finding::error(
                    NO_PORT,
                    format!("{} does not say on which port its Gunicorn server listens", service.origin),
                )
                .at(service.option("gunicorn"), "this server")
                .help("add a `port`"),
            );
            return;
        }
    };
    let mut command = vec![gunicorn.executable.clone()];
    let seconds = |span: Span| span.as_secs_ceil().to_string();
    for (option, value) in [
        ("--bind", bind),
        ("--workers", gunicorn.workers.to_string()),
        ("--worker-class", gunicorn.worker_class.clone()),
        // Workers report that they are alive through a file; on a slow disk they would be taken for dead.
        ("--worker-tmp-dir", "/dev/shm".to_owned()),
        ("--timeout", seconds(gunicorn.timeout)),
        ("--graceful-timeout", seconds(gunicorn.graceful_timeout)),
    ] {
        command.push(option.to_owned());
        command.push(value);
    }
    command.extend(gunicorn.extra.iter().cloned());
    command.push(gunicorn.app.clone());
    draft.own("ExecStart", Value::Command(command), "gunicorn");
    draft.own("ExecReload", signal_main("HUP"), "gunicorn");
}

fn celery_command(celery: &Celery) -> Vec<String> {
    let mut command = vec![celery.executable.clone()];
    let mut option = |name: &str, value: String| command.extend([name.to_owned(), value]);
    option("--app", celery.app.clone());
    command.push("worker".to_owned());
    let mut option = |name: &str, value: String| command.extend([name.to_owned(), value]);
    option("--loglevel", tag(&celery.log_level));
    option("--concurrency", celery.concurrency.to_string());
    let queues: Vec<&str> = members(&celery.queues).collect();
    if !queues.is_empty() {
        option("--queues", queues.join(","));
    }
    if let Some(name) = &celery.node_name {
        option("--hostname", name.clone());
    }
    command.extend(celery.extra.iter().cloned());
    command
}

fn signal_main(signal: &str) -> Value {
    Value::CommandWithVariables(["/bin/kill", "-s", signal, "$MAINPID"].map(str::to_owned).to_vec())
}

/// Returns an address with a port; an IPv6 address stands in brackets.
pub(super) fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn restart(draft: &mut Draft, system: &System, service: &ServiceView) {
    if service.is_oneshot() {
        return;
    }
    let restart = &service.spec.restart;
    let policy = match restart.policy {
        // vLLM ends with status 0 when its engine dies, so only `always` restarts it (vllm#48966).
        RestartPolicy::Always => "always",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::Never => "no",
    };
    draft.own("Restart", word(policy), "restart.policy");
    if restart.policy != RestartPolicy::Never {
        draft.own("RestartSec", Value::Time(restart.delay), "restart.delay");
        // A growing pause is new in systemd 254; before, a check says that it has no effect.
        if let Some(longest) = restart.max_delay.filter(|_| system.profile.host.systemd >= 254) {
            draft.own("RestartSteps", Value::Number(restart.steps.into()), "restart.steps");
            draft.own("RestartMaxDelaySec", Value::Time(longest), "restart.max_delay");
        }
    }
    let default = (service.spec.runtime == Some(Runtime::Monitor)).then_some(MONITOR_WATCHDOG);
    draft.own_if("WatchdogSec", service.spec.watchdog.or(default).map(Value::Time), "watchdog");
}

/// Writes after how many starts systemd gives up.
///
/// Unless the profile names it, the window holds all of these starts when each fails as slowly as it can, and a tenth
/// more: with a shorter one a model that fails after minutes of loading would be started for ever.
pub(super) fn start_limit(draft: &mut Draft, service: &ServiceView) {
    let restart = &service.spec.restart;
    if service.is_oneshot() || restart.policy == RestartPolicy::Never {
        return;
    }
    let longest_pause = restart.max_delay.unwrap_or(restart.delay).max(restart.delay);
    let each = service.start_timeout.as_secs_ceil().saturating_add(longest_pause.as_secs_ceil());
    let window = Span::seconds(each.saturating_mul(u64::from(restart.max_starts)).saturating_mul(11).div_ceil(10));
    draft.unit("StartLimitIntervalSec", Value::Time(restart.window.unwrap_or(window)), "restart.window");
    draft.unit("StartLimitBurst", Value::Number(restart.max_starts.into()), "restart.max_starts");
}
