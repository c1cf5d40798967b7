//! A service unit: what surrounds its process.

use std::collections::BTreeSet;

use super::draft::{Draft, word, words};
use super::install::{describe, into_targets};
use super::machine::Machine;
use super::sandbox::is_below;
use super::{LoweredFile, Output, WIRING, environment, gpu, monitor, on_demand, probes, process, resources, sandbox};
use super::{storage, vllm};
use crate::bundle::manifest::{ChangePolicy, GPU_STATE, UnitEntry, credential_path};
use crate::bundle::unit::{UnitName, Value};
use crate::compile::config::{OnChange, OwnDirectories, Runtime, Start, members};
use crate::compile::finding::Finding;
use crate::compile::system::{ServiceView, System, Workload};

/// The longest path of a Unix socket; `sun_path` has 108 bytes with its NUL.
const LONGEST_SOCKET: usize = 107;

/// Makes the unit of a service, its files, and its proxy when it starts on demand.
pub(super) fn lower(machine: &Machine<'_>, service: &ServiceView, out: &mut Output) {
    let system = machine.system;
    let environment = environment::file(system, service, out);
    let config = match service.workload() {
        Some(Workload::Vllm(model)) => vllm::config(service, model, out),
        Some(Workload::Runtime(Runtime::Gpu)) => gpu::settings(system, out),
        Some(Workload::Runtime(Runtime::Monitor)) => monitor::config(system, out),
        _ => None,
    };
    let mut draft = Draft::new(service.origin.clone(), "Service");
    describe(&mut draft, service.spec.description.as_deref(), || description(service));
    dependencies(&mut draft, machine, service);
    process::start_limit(&mut draft, service);
    process::lower(&mut draft, system, service, config.as_ref());
    identity(&mut draft, system, service, environment.as_ref());
    let slice = service.spec.slice.as_ref().and_then(|key| system.slices.get(key));
    resources::lower(&mut draft, service, slice.map(UnitName::as_str));
    log(&mut draft, service);
    sandbox::lower(&mut draft, system, service);
    draft.write_out(&service.spec.systemd, &service.option("systemd"));

    let files: Vec<LoweredFile> = environment.into_iter().chain(config).collect();
    draft.finish(service.unit.clone(), out, |entry| fill_in(entry, system, service, &files));
    for file in files {
        // Services of the same kind share a file such as `config/gpu.json`.
        if service.spec.runtime.is_none() || !out.files.iter().any(|known| known.path == file.path) {
            out.files.push(file);
        }
    }
    if service.spec.start == Start::OnDemand {
        on_demand::lower(machine, service, out);
    }
}

fn description(service: &ServiceView) -> String {
    let what = match service.workload() {
        Some(Workload::Vllm(_)) => "vLLM server",
        Some(Workload::Gunicorn(_)) => "Gunicorn server",
        Some(Workload::Celery(_)) => "Celery worker",
        Some(Workload::Runtime(Runtime::Gpu)) => "GPU settings",
        Some(Workload::Runtime(Runtime::Storage)) => "storage checks",
        Some(Workload::Runtime(Runtime::Monitor)) => "health monitor",
        Some(Workload::Exec(_)) | None => "service",
    };
    format!("{} ({what})", service.key)
}

fn dependencies(draft: &mut Draft, machine: &Machine<'_>, service: &ServiceView) {
    let spec = &service.spec;
    let mut requires = machine.units_of(&spec.requires);
    let mut wants = machine.units_of(&spec.wants);
    wants.extend(machine.brings_along(service));
    let mut after = machine.follows(service);
    let mut pull_in = |units: BTreeSet<UnitName>, after: &mut BTreeSet<UnitName>| {
        wants.extend(units.iter().cloned());
        after.extend(units);
    };
    if !gpu::visible(machine.system, service).is_empty() {
        pull_in(gpu::loaders(), &mut after);
    }
    let listens_on_a_network = spec.port.is_some() && on_demand::is_network_address(&spec.address);
    if spec.network.outbound || (listens_on_a_network && spec.start != Start::OnDemand) {
        pull_in(UnitName::parse("network-online.target").into_iter().collect(), &mut after);
    }
    match spec.runtime {
        // It keeps the driver loaded; not every host has it.
        Some(Runtime::Gpu) => {
            pull_in(UnitName::parse("nvidia-persistenced.service").into_iter().collect(), &mut after);
        }
        Some(Runtime::Storage) => {
            let local = UnitName::parse("local-fs.target");
            requires.extend(local.clone());
            after.extend(local);
            after.extend(UnitName::parse("systemd-tmpfiles-setup.service"));
        }
        _ => {}
    }
    after.extend(machine.kept_apart(service));
    wants.retain(|unit| !requires.contains(unit));
    for units in [&mut requires, &mut wants, &mut after] {
        units.remove(&service.unit);
    }
    draft.units("Requires", requires);
    draft.units("Wants", wants);
    draft.units("After", after);
    draft.units("Before", machine.units_of(&spec.before));
    let siblings = machine.system.services.iter().filter(|other| machine.system.exclude_each_other(service, other));
    if !spec.exclusive.is_empty() {
        draft.units("Conflicts", siblings.map(|other| other.unit.clone()).collect());
    }
    let mounts = mounts(machine.system, service);
    if !mounts.is_empty() {
        draft.unit("RequiresMountsFor", Value::Paths { paths: mounts, optional: false }, "mounts");
    }
    if spec.runtime == Some(Runtime::Storage) {
        storage::asserts(draft, machine.system);
    }
    if spec.start == Start::OnDemand {
        draft.unit("StopWhenUnneeded", Value::Bool(true), "start");
    }
    into_targets(draft, machine, &spec.part_of, spec.start == Start::Boot);
}

/// Returns the paths whose file systems have to be mounted: those that the profile names, and the model, the working
/// directory and the writable paths where they lie on a mount of the profile. Links of the profile are followed, because
/// systemd does not follow them here.
fn mounts(system: &System, service: &ServiceView) -> Vec<String> {
    let spec = &service.spec;
    let storage = &system.profile.storage;
    let resolve = |path: &str| {
        let link = storage.links.iter().find(|(link, _)| is_below(path, link));
        link.map_or_else(|| path.to_owned(), |(link, it)| format!("{}{}", it.target, &path[link.len()..]))
    };
    let implied = (spec.vllm.as_ref().map(|vllm| vllm.model.as_str()).filter(|model| model.starts_with('/')))
        .into_iter()
        .chain(spec.working_directory.as_deref())
        .chain(members(&spec.writable))
        .map(resolve)
        .filter(|path| storage.mounts.keys().any(|mount| is_below(path, mount)));
    let mut paths: BTreeSet<String> = members(&spec.mounts).map(str::to_owned).chain(implied).collect();
    if spec.runtime == Some(Runtime::Storage) {
        let required = storage.mounts.iter().filter(|(_, mount)| mount.required);
        paths.extend(required.map(|(path, _)| path.clone()));
    }
    paths.into_iter().collect()
}

fn identity(draft: &mut Draft, system: &System, service: &ServiceView, environment: Option<&LoweredFile>) {
    let spec = &service.spec;
    // What GPUs had before lies in one place, whatever the unit is called.
    let stem = if spec.runtime == Some(Runtime::Gpu) { GPU_STATE } else { service.unit.stem() };
    draft.own("User", word(&service.user.user), "user");
    draft.own("Group", word(&service.user.group), "group");
    let groups: Vec<&str> = members(&spec.supplementary_groups).collect();
    if !groups.is_empty() {
        draft.own("SupplementaryGroups", words(groups), "supplementary_groups");
    }
    let directories = own_directories(service);
    let own = directories.state.then(|| format!("/var/lib/{stem}"));
    draft.own_if("WorkingDirectory", spec.working_directory.clone().or(own).map(Value::Path), "working_directory");
    let OwnDirectories { state, cache, logs, runtime } = directories;
    let runtime = runtime || service.backend_socket().is_some();
    for (wanted, key, mode) in [
        (state, "StateDirectory", "0700"),
        (cache, "CacheDirectory", "0700"),
        (logs, "LogsDirectory", "0700"),
        (runtime, "RuntimeDirectory", "0750"),
    ] {
        if wanted {
            draft.own(key, words([stem]), "directories");
            draft.own(&format!("{key}Mode"), word(mode), "directories");
        }
    }
    if let Some(target) = environment.and_then(|file| file.target.clone()) {
        draft.own("EnvironmentFile", Value::Path(target), "environment");
    }
    for id in members(&spec.credentials) {
        let Some(credential) = system.profile.credentials.get(id) else { continue };
        let key = if credential.encrypted { "LoadCredentialEncrypted" } else { "LoadCredential" };
        let path = credential_path(id, credential.encrypted);
        draft.own(key, Value::Credential { id: id.to_owned(), path }, "credentials");
    }
    if let Some(socket) = service.backend_socket().filter(|socket| socket.len() > LONGEST_SOCKET) {
        draft.report(
            Finding::error(WIRING, format!("the name of {} is too long to start it on demand", service.unit))
                .at(service.option("start"), format!("{socket} is longer than the {LONGEST_SOCKET} bytes of a socket"))
                .help("give it a shorter `unit`"),
        );
    }
    let sockets = system.profile.sockets.iter().filter(|(_, socket)| socket.service == service.key && !socket.accept);
    for unit in sockets.filter_map(|(key, _)| system.sockets.get(key)) {
        draft.own("Sockets", Value::Units(vec![unit.clone()]), "");
    }
}

/// Returns the directories that a service gets; the parts of citadel itself have nothing to cache.
fn own_directories(service: &ServiceView) -> OwnDirectories {
    let wanted = &service.spec.directories;
    match service.spec.runtime {
        Some(Runtime::Storage) => OwnDirectories { state: false, cache: false, logs: false, runtime: false },
        Some(Runtime::Gpu) => OwnDirectories { state: true, cache: false, ..wanted.clone() },
        Some(Runtime::Monitor) => OwnDirectories { cache: false, ..wanted.clone() },
        None => wanted.clone(),
    }
}

fn log(draft: &mut Draft, service: &ServiceView) {
    let log = &service.spec.log;
    let identifier = log.identifier.clone().unwrap_or_else(|| service.unit.stem().to_owned());
    draft.own("SyslogIdentifier", Value::Text(identifier), "log.identifier");
    draft.own_if("LogNamespace", log.namespace.clone().map(Value::Word), "log.namespace");
    draft.own_if("LogRateLimitIntervalSec", log.rate_limit_interval.map(Value::Time), "log.rate_limit_interval");
    draft.own_if("LogRateLimitBurst", log.rate_limit_burst.map(Value::Number), "log.rate_limit_burst");
}

fn fill_in(entry: &mut UnitEntry, system: &System, service: &ServiceView, files: &[LoweredFile]) {
    let spec = &service.spec;
    entry.service = Some(service.key.clone());
    entry.files = files.iter().map(|file| file.path.clone()).collect();
    entry.credentials = members(&spec.credentials).map(str::to_owned).collect();
    entry.phase.clone_from(&service.phase);
    entry.on_change = match spec.on_change {
        OnChange::Auto => ChangePolicy::Auto,
        OnChange::Restart => ChangePolicy::Restart,
        OnChange::Reload => ChangePolicy::Reload,
        OnChange::Keep => ChangePolicy::Keep,
    };
    entry.listens = sandbox::listens(system, service).into_iter().collect();
    entry.gpus = service.gpus.iter().map(|gpu| gpu.name.clone()).collect();
    entry.health = probes::health(service);
    entry.preflight = probes::preflight(service);
    entry.ready.clone_from(&service.ready);
}
