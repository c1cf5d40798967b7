//! Carrying out checks: many at the same time, each with its deadline.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustix::process::geteuid;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::answer::{Answer, Failure, Finding};
use super::check::{Check, Severity, Test};
use super::graphics::{Cards, Graphics};
use super::live::Live;
use super::service::Service;
use super::{gpu, network, paths, port, python, room, user};
use crate::bundle::quantity::Span;
use crate::health::probe::{Address, Http, Test as Probe};
use crate::health::run::{Identity, Surroundings, aside, run_program};
use crate::health::{self, Host, Reason, Subject};
use crate::plan::UnitState;

/// How many checks run at once; a Python that imports PyTorch takes a processor and a gigabyte.
const AT_ONCE: usize = 8;

/// How long a check may take that runs no program.
const QUICK: Duration = Duration::from_secs(10);

/// Where Docker listens.
const DOCKER: &str = "/run/docker.sock";

/// What checks share.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a program may take, such as a Python that imports PyTorch, and the driver of the GPUs.
    pub program: Span,
}

/// A service and what its checks found, by name.
#[derive(Clone, Debug)]
pub struct Report {
    pub service: String,
    pub unit: String,
    pub findings: Vec<Finding>,
}

/// Carries out the checks of services. `host` is who knows the units that they need; none leaves that out.
pub async fn run(
    services: &[Service],
    graphics: Arc<dyn Graphics>,
    host: Option<&impl Host>,
    limits: Limits,
) -> Vec<Report> {
    let shared = Shared { graphics, cards: OnceCell::new(), limits };
    let slots = Semaphore::new(AT_ONCE);
    let mut running = FuturesUnordered::new();
    for (index, service) in services.iter().enumerate() {
        for (name, check) in &service.checks {
            let (shared, slots) = (&shared, &slots);
            running.push(futures_util::future::Either::Left(async move {
                // It is never closed.
                let _slot = slots.acquire().await;
                (index, shared.look(service, name, check).await)
            }));
        }
        for need in service.needs.iter().filter(|_| host.is_some()) {
            running.push(futures_util::future::Either::Right(async move {
                let finding = match host {
                    Some(host) => timeout(QUICK, need.look(host)).await,
                    None => std::future::pending().await,
                };
                let late = |_| Finding {
                    check: format!("needs {}", need.unit),
                    severity: Severity::Warning,
                    answer: Err(late(QUICK)),
                };
                (index, finding.unwrap_or_else(late))
            }));
        }
    }
    let report = |service: &Service| Report {
        service: service.name.clone(),
        unit: service.unit.to_string(),
        findings: Vec::new(),
    };
    let mut reports: Vec<Report> = services.iter().map(report).collect();
    while let Some((index, finding)) = running.next().await {
        if let Some(report) = reports.get_mut(index) {
            report.findings.push(finding);
        }
    }
    for report in &mut reports {
        report.findings.sort_by(|one, other| one.check.cmp(&other.check));
    }
    reports
}

struct Shared {
    graphics: Arc<dyn Graphics>,
    /// The driver is asked once, by the first check that wants to know.
    cards: OnceCell<Result<Cards, String>>,
    limits: Limits,
}

impl Shared {
    async fn look(&self, service: &Service, name: &str, check: &Check) -> Finding {
        let limit = match check.test {
            Test::Python { .. } | Test::TorchCuda(_) | Test::Driver(_) | Test::Cuda(_) | Test::GpuMemoryFree(_) => {
                self.limits.program.0
            }
            _ => QUICK,
        };
        let answer = timeout(limit, self.ask(service, &check.test)).await;
        let answer = answer.unwrap_or_else(|_| Err(late(limit)));
        Finding { check: name.to_owned(), severity: check.severity, answer }
    }

    async fn ask(&self, service: &Service, test: &Test) -> Answer {
        let subject = &service.subject;
        match test.clone() {
            Test::User(wanted) => {
                let unit = service.unit.to_string();
                let runs_as = runs_as(subject);
                looked(move || {
                    let exists = uzers::get_user_by_name(&wanted).is_some();
                    user::user(&runs_as(), &wanted, exists, &unit)
                })
                .await
            }
            Test::File(path) => as_user(subject, move || paths::file(&Live, &path)).await,
            Test::Directory(path) => as_user(subject, move || paths::directory(&Live, &path)).await,
            Test::Executable(path) => as_user(subject, move || paths::executable(&Live, &path)).await,
            Test::Link { path, target } => as_user(subject, move || paths::link(&Live, &path, &target)).await,
            Test::DiskFree { path, size } => as_user(subject, move || room::disk(&Live, &path, size)).await,
            Test::Mount(path) => mounted(&path, probe(subject, &Probe::Mount(path.clone())).await),
            Test::MemoryFree(size) => looked(move || room::memory(&Live, size)).await,
            // Only root sees who holds a socket.
            Test::PortFree(number) => {
                let unit = service.unit.to_string();
                looked(move || port::free(&Live, number, &unit)).await
            }
            Test::Driver(wanted) => gpu::driver(self.cards().await, &wanted),
            Test::Cuda(wanted) => gpu::cuda(self.cards().await, &wanted),
            Test::GpuMemoryFree(size) => gpu::memory(self.cards().await, &service.gpus, size),
            Test::Python { interpreter, modules } => {
                let ended = run_program(&python::import(&interpreter, &modules), subject, &around(service)).await;
                python::imported(&interpreter, &modules, ended)
            }
            Test::TorchCuda(interpreter) => {
                let ended = run_program(&python::torch(&interpreter), subject, &around(service)).await;
                python::sees_cuda(&interpreter, ended)
            }
            Test::Docker => {
                as_user(subject, || paths::socket(&Live, Path::new(DOCKER), "docker").map(|()| String::new())).await?;
                let ping = docker_ping();
                network::docker(&format!("Docker ({ping})"), probe(subject, &ping).await)
            }
            Test::Redis(address) => {
                let ping = Probe::Redis(address);
                network::redis(&ping.to_string(), probe(subject, &ping).await)
            }
            Test::Http(request) => network::http(&request.to_string(), probe(subject, &request).await),
        }
    }

    async fn cards(&self) -> &Result<Cards, String> {
        let look = async {
            let graphics = Arc::clone(&self.graphics);
            aside(move || graphics.look()).await.unwrap_or_else(|reason| Err(reason.to_string()))
        };
        self.cards.get_or_init(|| look).await
    }
}

fn docker_ping() -> Probe {
    Probe::Http(Http {
        address: Address::Socket(PathBuf::from(DOCKER)),
        path: hyper::http::uri::PathAndQuery::from_static("/_ping"),
        status: 200,
        contains: None,
        json: std::collections::BTreeMap::new(),
    })
}

fn mounted(path: &Path, answer: Result<health::Answer, Reason>) -> Answer {
    let shown = path.display();
    match answer {
        Ok(_) => Ok(format!("{shown} is a mount point")),
        Err(Reason::Missing) => Err(Failure::new(format!("{shown} does not exist"), "make the folder and mount it")),
        Err(reason) => Err(Failure::new(
            format!("{shown} {reason}"),
            format!("mount it: systemctl start \"$(systemd-escape --path --suffix=mount {shown})\", or see /etc/fstab"),
        )),
    }
}

/// Runs a probe that asks nothing of systemd.
async fn probe(subject: &Subject, test: &Probe) -> Result<health::Answer, Reason> {
    let times = Span(QUICK);
    let probe = health::Probe { test: test.clone(), interval: times, timeout: times, retries: 1, start_period: times };
    health::run(&probe, subject, &Nobody).await.map_err(|failure| failure.reason)
}

/// Does blocking work as the user of a service.
async fn as_user(subject: &Subject, look: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    let subject = subject.clone();
    looked(move || {
        let cannot = |why: String| {
            Err(Failure::new(
                format!("nobody can look as the user of the service: {why}"),
                "make the user, then try again",
            ))
        };
        match Identity::of(&subject) {
            Ok(None) => look(),
            Ok(Some(identity)) => match identity.assume() {
                Ok(()) => look(),
                Err(error) => cannot(error.to_string()),
            },
            Err(Reason::NotRun(why)) => cannot(why),
            Err(reason) => cannot(reason.to_string()),
        }
    })
    .await
}

/// Does blocking work where it holds nobody up.
async fn looked(look: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    aside(look).await.unwrap_or_else(|reason| Err(Failure::new(reason.to_string(), "try again")))
}

/// Returns what finds out as whom the service runs: root stands for its user, and everybody else for themselves.
fn runs_as(subject: &Subject) -> impl FnOnce() -> String + Send + use<> {
    let user = subject.user.clone();
    move || {
        if geteuid().is_root() { user.unwrap_or_else(|| "root".to_owned()) } else { port::user(geteuid().as_raw()) }
    }
}

/// Returns what a program of the service finds around it. Within the unit that is what systemd has set up.
fn around(service: &Service) -> Surroundings {
    let mut around = service.around.clone();
    if !geteuid().is_root() {
        around.environment = std::env::vars_os().collect();
    }
    around
}

fn late(limit: Duration) -> Failure {
    let help = "see whether a disk, a server or the driver hangs: `journalctl -k`";
    Failure::new(format!("no answer in {}", Span(limit)), help)
}

/// A host that is asked for nothing.
struct Nobody;

impl Host for Nobody {
    async fn unit(&self, _: &crate::bundle::unit::UnitName) -> Result<UnitState, String> {
        Err("systemd is not asked here".to_owned())
    }

    fn gpu(&self) -> Option<&dyn health::GpuProcesses> {
        None
    }
}
