//! The whole machine of a profile with every name resolved and every default that depends on others filled in.
//!
//! Checks judge this value and lowering writes it down, so both see the same machine.

use std::collections::BTreeMap;

use super::config::{
    App, Celery, Exec, ExecType, Gunicorn, HttpProbe, Preflight, Probe, Profile, Runtime, Service, Set, Start, Vllm,
    members,
};
use super::finding::{Code, Finding, OptionPath, nearest};
use crate::bundle::quantity::Span;
use crate::bundle::unit::{UnitKind, UnitName};

/// A service says nothing or several things about what it runs.
pub const WORKLOAD: Code = Code("C0101");
/// A name is used twice.
pub const DUPLICATE: Code = Code("C0102");
/// A reference leads nowhere.
pub const REFERENCE: Code = Code("C0103");

/// A profile and everything that follows from it.
pub struct System {
    pub profile: Profile,
    pub services: Vec<ServiceView>,
    /// The places of services by key.
    by_key: BTreeMap<String, usize>,
    /// The main target.
    pub main_target: UnitName,
    /// Targets by key.
    pub targets: BTreeMap<String, UnitName>,
    pub timers: BTreeMap<String, UnitName>,
    pub sockets: BTreeMap<String, UnitName>,
    pub slices: BTreeMap<String, UnitName>,
}

/// A service with its derived facts.
pub struct ServiceView {
    /// Its name in the profile; `APP-api` and `APP-worker` for those of an application.
    pub key: String,
    /// Where it stands in the profile.
    pub origin: OptionPath,
    /// What the profile says; for a service of an application, what the application says is merged in.
    pub spec: Service,
    pub unit: UnitName,
    pub user: Identity,
    /// The GPUs that it uses, in order of their number.
    pub gpus: Vec<GpuRef>,
    pub phase: Option<String>,
    /// Probes, the one that its workload brings along included.
    pub health: BTreeMap<String, Probe>,
    pub preflight: BTreeMap<String, Preflight>,
    /// How long a start may take.
    pub start_timeout: Span,
    /// How long a stop may take before the rest is killed.
    pub stop_timeout: Span,
    /// The probe that a start waits for.
    pub ready: Option<String>,
}

/// What a service runs.
pub enum Workload<'a> {
    Exec(&'a Exec),
    Vllm(&'a Vllm),
    Gunicorn(&'a Gunicorn),
    Celery(&'a Celery),
    Runtime(Runtime),
}

/// The user that a service runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: String,
    pub group: String,
    /// The user belongs to this service alone, and citadel makes it.
    pub own: bool,
}

/// A GPU of the profile, found on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuRef {
    /// Its name in the profile.
    pub name: String,
    /// Its place among the GPUs of the host.
    pub index: usize,
}

impl ServiceView {
    /// Returns what it runs; the first when the profile names several, which is an error that `resolve` reports.
    pub fn workload(&self) -> Option<Workload<'_>> {
        let spec = &self.spec;
        None.or(spec.exec.as_ref().map(Workload::Exec))
            .or(spec.vllm.as_ref().map(Workload::Vllm))
            .or(spec.gunicorn.as_ref().map(Workload::Gunicorn))
            .or(spec.celery.as_ref().map(Workload::Celery))
            .or(spec.runtime.map(Workload::Runtime))
    }

    /// Returns whether it does its work and ends, rather than running on.
    pub fn is_oneshot(&self) -> bool {
        match self.workload() {
            Some(Workload::Exec(exec)) => exec.kind == ExecType::Oneshot,
            Some(Workload::Runtime(Runtime::Gpu | Runtime::Storage)) => true,
            _ => false,
        }
    }

    /// Returns whether it runs as root.
    pub fn is_root(&self) -> bool {
        self.user.user == "root"
    }

    /// Returns the socket that it listens on when it is started on demand; the public port then belongs to its proxy.
    pub fn backend_socket(&self) -> Option<String> {
        (self.spec.start == Start::OnDemand).then(|| format!("/run/{}/backend.sock", self.unit.stem()))
    }

    /// Returns the path of one of its options.
    pub fn option(&self, name: &str) -> OptionPath {
        self.origin.join(name)
    }
}

impl System {
    /// Resolves the names of a profile. What cannot be resolved is reported and left out.
    pub fn resolve(profile: Profile) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        let unit = |stem: &str, kind| UnitName::new(stem, kind).or_else(|| UnitName::new("invalid", kind));
        let name = |own: &Option<String>, key: &str, kind| unit(own.as_deref().unwrap_or(key), kind);

        let services: Vec<ServiceView> = all_services(&profile)
            .into_iter()
            .filter(|(_, _, spec)| spec.enable)
            .filter_map(|(key, origin, spec)| view(&profile, key, origin, spec, &mut findings))
            .collect();
        let named = |kind, entries: Vec<(&String, &Option<String>)>| -> BTreeMap<String, UnitName> {
            entries.into_iter().filter_map(|(key, own)| Some((key.clone(), name(own, key, kind)?))).collect()
        };
        let mut system = System {
            by_key: services.iter().enumerate().map(|(at, service)| (service.key.clone(), at)).collect(),
            services,
            main_target: UnitName::new(&profile.target.unit, UnitKind::Target)
                .or_else(|| UnitName::new("citadel", UnitKind::Target))
                .unwrap_or_else(|| unreachable!("a constant name is valid")),
            targets: named(UnitKind::Target, profile.targets.iter().map(|(key, it)| (key, &it.unit)).collect()),
            timers: named(
                UnitKind::Timer,
                profile.timers.iter().filter(|(_, it)| it.enable).map(|(key, it)| (key, &it.unit)).collect(),
            ),
            sockets: named(UnitKind::Socket, profile.sockets.iter().map(|(key, it)| (key, &it.unit)).collect()),
            slices: profile.slices.keys().filter_map(|key| Some((key.clone(), unit(key, UnitKind::Slice)?))).collect(),
            profile,
        };
        system.assign_phases();
        system.report_duplicates(&mut findings);
        (system, findings)
    }

    /// Returns the service of a key.
    pub fn service(&self, key: &str) -> Option<&ServiceView> {
        self.by_key.get(key).and_then(|at| self.services.get(*at))
    }

    /// Returns the unit that a name in `after`, `requires`, ... means: a service, target, timer, socket or slice of the
    /// profile by its key, or any unit by its whole name.
    pub fn unit_of(&self, reference: &str) -> Option<UnitName> {
        self.service(reference)
            .map(|service| service.unit.clone())
            .or_else(|| self.targets.get(reference).cloned())
            .or_else(|| self.timers.get(reference).cloned())
            .or_else(|| self.sockets.get(reference).cloned())
            .or_else(|| UnitName::parse(reference))
    }

    /// Returns the keys that a reference may use, for suggestions.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.services
            .iter()
            .map(|service| service.key.as_str())
            .chain(self.targets.keys().map(String::as_str))
            .chain(self.timers.keys().map(String::as_str))
            .chain(self.sockets.keys().map(String::as_str))
    }

    /// Returns whether two services never run at the same time.
    pub fn exclude_each_other(&self, one: &ServiceView, other: &ServiceView) -> bool {
        one.key != other.key && members(&one.spec.exclusive).any(|group| other.spec.exclusive.get(group) == Some(&true))
    }

    /// Gives services without a phase of their own that of the first of their targets that has one.
    fn assign_phases(&mut self) {
        let targets = &self.profile.targets;
        for service in &mut self.services {
            if service.phase.is_none() {
                service.phase = members(&service.spec.part_of)
                    .find_map(|key| targets.get(key).and_then(|target| target.phase.clone()));
            }
        }
    }

    fn report_duplicates(&self, findings: &mut Vec<Finding>) {
        let mut seen: BTreeMap<&UnitName, OptionPath> = BTreeMap::new();
        let kinds = [("targets", &self.targets), ("timers", &self.timers), ("sockets", &self.sockets)];
        let named = kinds
            .into_iter()
            .flat_map(|(kind, units)| units.iter().map(move |(key, unit)| (unit, OptionPath::new([kind, key]))))
            .chain(self.services.iter().map(|service| (&service.unit, service.origin.clone())))
            .chain([(&self.main_target, OptionPath::new(["target"]))]);
        for (unit, origin) in named {
            if let Some(first) = seen.insert(unit, origin.clone()) {
                findings.push(
                    Finding::error(DUPLICATE, format!("two parts of the profile are both named {unit}"))
                        .at(origin, "this one")
                        .at(first, "and this one")
                        .help("give one of them another `unit`"),
                );
            }
        }
    }
}

/// Returns every service with its key and its place, those of applications included.
fn all_services(profile: &Profile) -> Vec<(String, OptionPath, Service)> {
    let plain = profile
        .services
        .iter()
        .map(|(key, service)| (key.clone(), OptionPath::new(["services", key]), service.clone()));
    let of_apps = profile.apps.iter().filter(|(_, app)| app.enable).flat_map(|(name, app)| {
        let origin = OptionPath::new(["apps", name]);
        [
            (format!("{name}-api"), origin.join("api"), with_app(name, app, &app.api)),
            (format!("{name}-worker"), origin.join("worker"), with_app(name, app, &app.worker)),
        ]
    });
    plain.chain(of_apps).collect()
}

/// Merges what an application says into one of its services; the service's own words win.
fn with_app(name: &str, app: &App, service: &Service) -> Service {
    let mut spec = service.clone();
    let add = |own: &mut Set, shared: &Set| {
        for (key, on) in shared {
            own.entry(key.clone()).or_insert(*on);
        }
    };
    add(&mut spec.requires, &app.requires);
    add(&mut spec.wants, &app.wants);
    add(&mut spec.part_of, &app.part_of);
    add(&mut spec.credentials, &app.credentials);
    for (key, value) in &app.environment {
        spec.environment.entry(key.clone()).or_insert_with(|| value.clone());
    }
    spec.working_directory = spec.working_directory.or_else(|| app.directory.clone());
    spec.user = spec.user.or_else(|| app.user.clone()).or_else(|| Some(format!("citadel-{name}")));
    spec
}

/// Derives what follows from one service.
fn view(
    profile: &Profile,
    key: String,
    origin: OptionPath,
    mut spec: Service,
    findings: &mut Vec<Finding>,
) -> Option<ServiceView> {
    report_workload(&origin, &spec, findings);
    let unit = UnitName::new(spec.unit.as_deref().unwrap_or(&key), UnitKind::Service)?;
    let user = identity(profile, &key, &spec);
    let gpus = gpus(profile, &origin, &spec, findings);
    let mut health = std::mem::take(&mut spec.health);
    if spec.vllm.is_some() && health.is_empty() {
        health.insert("http".to_owned(), http_probe());
    }
    let ready = spec.ready.clone().or_else(|| {
        let waits = spec.vllm.is_some();
        waits
            .then(|| health.iter().find(|(_, probe)| probe.http.is_some() || probe.tcp.is_some()))
            .flatten()
            .map(|(name, _)| name.clone())
    });
    Some(ServiceView {
        start_timeout: spec.start_timeout.unwrap_or(if spec.vllm.is_some() {
            Span::seconds(900)
        } else {
            Span::seconds(90)
        }),
        stop_timeout: spec.stop_timeout.unwrap_or_else(|| stop_timeout(&spec)),
        phase: spec.phase.clone(),
        preflight: std::mem::take(&mut spec.preflight),
        key,
        origin,
        unit,
        user,
        gpus,
        health,
        ready,
        spec,
    })
}

fn report_workload(origin: &OptionPath, spec: &Service, findings: &mut Vec<Finding>) {
    let named: Vec<&str> = [
        ("exec", spec.exec.is_some()),
        ("vllm", spec.vllm.is_some()),
        ("gunicorn", spec.gunicorn.is_some()),
        ("celery", spec.celery.is_some()),
        ("runtime", spec.runtime.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, present)| present.then_some(name))
    .collect();
    match named.as_slice() {
        [_] => {}
        [] => findings.push(
            Finding::error(WORKLOAD, format!("{origin} does not say what it runs"))
                .at(origin.clone(), "this service runs nothing")
                .help("add one of `exec`, `vllm`, `gunicorn`, `celery` and `runtime`, such as `exec.command = [\"/usr/bin/…\"]`"),
        ),
        [first, rest @ ..] => {
            let mut finding =
                Finding::error(WORKLOAD, format!("{origin} says {} times what it runs", named.len()))
                    .at(origin.join(first), "one thing to run");
            for other in rest {
                finding = finding.at(origin.join(other), "another thing to run");
            }
            findings.push(finding.help("keep one of them, and make another service of the other"));
        }
    }
}

/// The time that a workload needs to stop: what it may drain, and some seconds for its workers (vLLM's get 5 s, then
/// 4 s after SIGTERM; `multiproc_executor.py`).
fn stop_timeout(spec: &Service) -> Span {
    let drain = match (&spec.vllm, &spec.gunicorn, &spec.celery) {
        (Some(vllm), _, _) => vllm.shutdown_timeout.as_secs_ceil() + 20,
        (_, Some(gunicorn), _) => gunicorn.graceful_timeout.as_secs_ceil() + 10,
        (_, _, Some(celery)) => celery.longest_task.as_secs_ceil() + 10,
        _ => 90,
    };
    Span::seconds(drain)
}

fn http_probe() -> Probe {
    Probe {
        http: Some(HttpProbe {
            path: "/health".to_owned(),
            port: None,
            status: 200,
            contains: None,
            json: BTreeMap::new(),
        }),
        tcp: None,
        redis: None,
        command: None,
        unit: None,
        file: None,
        mount: None,
        gpu_process: None,
        interval: Span::seconds(30),
        timeout: Span::seconds(10),
        retries: 3,
        start_period: None,
    }
}

fn identity(profile: &Profile, key: &str, spec: &Service) -> Identity {
    let root = matches!(spec.runtime, Some(Runtime::Gpu | Runtime::Storage));
    let own = spec.user.is_none() && !root;
    let user = spec.user.clone().unwrap_or_else(|| if root { "root".to_owned() } else { own_user(key) });
    let declared = profile.users.get(&user).and_then(|user| user.group.clone());
    let group = spec.group.clone().or(declared).unwrap_or_else(|| user.clone());
    Identity { user, group, own }
}

/// The name of a service's own user; user names have at most 31 characters, so a long one is cut and made unique.
fn own_user(key: &str) -> String {
    let plain = format!("citadel-{}", key.to_ascii_lowercase());
    if plain.len() <= 31 {
        return plain;
    }
    let digest = crate::bundle::digest::Digest::of(key.as_bytes()).to_string();
    format!("{}-{}", &plain[..24], &digest[..6])
}

/// Finds the GPUs of a service on the host.
fn gpus(profile: &Profile, origin: &OptionPath, spec: &Service, findings: &mut Vec<Finding>) -> Vec<GpuRef> {
    let mut found = Vec::new();
    for name in members(&spec.gpu.devices) {
        let place = origin.join("gpu.devices").member(name);
        let Some(gpu) = profile.gpus.get(name) else {
            let mut finding =
                Finding::error(REFERENCE, format!("there is no GPU named {name:?}")).at(place, "used here");
            finding.help = Some(match nearest(name, profile.gpus.keys().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("describe it: `gpus.{name}.index = 0`"),
            });
            findings.push(finding);
            continue;
        };
        let index = profile.host.gpus.iter().enumerate().position(|(at, known)| {
            gpu.index.is_some_and(|index| index as usize == at)
                || (gpu.uuid.is_some() && gpu.uuid == known.uuid)
                || (gpu.pci_address.is_some() && gpu.pci_address == known.pci_address)
        });
        // A GPU that the host does not have is reported once, where it is described.
        found.extend(index.map(|index| GpuRef { name: name.to_owned(), index }));
    }
    found.sort_by_key(|gpu| gpu.index);
    found
}
