//! The typed configuration: what a profile says, after Nickel has evaluated and checked it.
//!
//! Mirrors `modules/citadel/*.ncl` field by field; the documentation of every option stands there. The contracts have
//! already refused wrong values, so a failure to read one here is a defect of citadel, not of the profile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bundle::quantity::{Size, Span};

/// Names mapped to whether they are in; a dictionary because Nickel merges those, and not lists.
pub type Set = BTreeMap<String, bool>;

/// The members of a set that are switched on, in order.
pub fn members(set: &Set) -> impl Iterator<Item = &str> {
    set.iter().filter(|(_, on)| **on).map(|(name, _)| name.as_str())
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub description: Option<String>,
    pub host: Host,
    pub target: MainTarget,
    pub runtime: String,
    pub services: BTreeMap<String, Service>,
    pub apps: BTreeMap<String, App>,
    pub targets: BTreeMap<String, Target>,
    pub timers: BTreeMap<String, Timer>,
    pub sockets: BTreeMap<String, Socket>,
    pub slices: BTreeMap<String, Slice>,
    pub phases: BTreeMap<String, Phase>,
    pub groups: BTreeMap<String, Set>,
    pub gpus: BTreeMap<String, Gpu>,
    pub storage: Storage,
    pub directories: BTreeMap<String, Directory>,
    pub users: BTreeMap<String, User>,
    pub user_groups: BTreeMap<String, Group>,
    pub credentials: BTreeMap<String, Credential>,
    pub log_rotation: BTreeMap<String, LogRotation>,
    pub docker_gpu_containers: bool,
    pub monitor: Monitor,
    pub units: BTreeMap<String, RawUnit>,
    pub files: BTreeMap<String, RawFile>,
    pub allow: BTreeMap<String, String>,
    pub profile_format: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MainTarget {
    pub unit: String,
    pub description: String,
}

// host.ncl

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    pub version: u64,
    pub name: String,
    pub systemd: u32,
    pub kernel: Option<String>,
    pub cgroup: u32,
    #[serde(default)]
    pub cgroup_controllers: Set,
    pub cpus: u32,
    pub memory: Size,
    #[serde(default)]
    pub numa: Vec<HostNode>,
    pub gpus: Vec<HostGpu>,
    pub driver: Option<String>,
    pub cuda: Option<String>,
    #[serde(default)]
    pub device_nodes: Set,
    pub mounts: BTreeMap<String, HostMount>,
    pub users: Set,
    pub groups: Set,
    pub units: Set,
    pub ports: BTreeMap<String, u16>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HostGpu {
    pub name: String,
    pub uuid: Option<String>,
    pub pci_address: Option<String>,
    pub minor: Option<u32>,
    pub numa: Option<u32>,
    pub memory: Size,
    pub mig: Option<bool>,
    pub power_limit_watts: Option<HostRange>,
    pub graphics_clock_mhz: Option<HostRange>,
    pub memory_clock_mhz: Option<HostRange>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HostNode {
    pub node: u32,
    pub cpus: String,
    pub memory: Size,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HostRange {
    pub min: u64,
    pub max: u64,
    pub default_value: Option<u64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HostMount {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub size: Option<Size>,
    pub free: Option<Size>,
}

// service.ncl

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub description: Option<String>,
    pub enable: bool,
    pub unit: Option<String>,
    pub exec: Option<Exec>,
    pub vllm: Option<Vllm>,
    pub gunicorn: Option<Gunicorn>,
    pub celery: Option<Celery>,
    pub runtime: Option<Runtime>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub supplementary_groups: Set,
    pub working_directory: Option<String>,
    pub environment: BTreeMap<String, Value>,
    pub start: Start,
    pub idle_timeout: Span,
    pub exclusive: Set,
    pub part_of: Set,
    pub after: Set,
    pub before: Set,
    pub requires: Set,
    pub wants: Set,
    pub mounts: Set,
    pub phase: Option<String>,
    pub address: String,
    pub port: Option<u16>,
    pub extra_ports: BTreeMap<String, u16>,
    pub authentication: Authentication,
    pub network: NetworkAccess,
    pub restart: Restart,
    pub start_timeout: Option<Span>,
    pub stop_timeout: Option<Span>,
    pub watchdog: Option<Span>,
    pub ready: Option<String>,
    pub limits: Limits,
    pub resources: Resources,
    pub priority: Priority,
    pub slice: Option<String>,
    pub gpu: GpuUse,
    pub sandbox: Sandbox,
    pub writable: Set,
    pub directories: OwnDirectories,
    pub credentials: Set,
    pub health: BTreeMap<String, Probe>,
    pub preflight: BTreeMap<String, Preflight>,
    pub on_change: OnChange,
    pub log: Log,
    pub systemd: BTreeMap<String, BTreeMap<String, Value>>,
}

/// A plain enumeration that Nickel writes as `'snake_case`.
macro_rules! tags {
    ($($(#[$meta:meta])* $name:ident { $($tag:ident),+ $(,)? })+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
            #[serde(rename_all = "snake_case")]
            pub enum $name { $($tag),+ }
        )+
    };
}

tags! {
    Start { Boot, OnDemand, Manual }
    Authentication { None, Proxy, Application }
    Priority { High, Normal, Low }
    OnChange { Auto, Restart, Reload, Keep }
    RestartPolicy { Always, OnFailure, Never }
    ExecType { Exec, Notify, Oneshot }
    Runtime { Gpu, Storage, Monitor }
    ProtectSystem { Strict, Full, Yes, No }
    ProtectHome { Yes, ReadOnly, Tmpfs, No }
    DeviceAccess { Read, ReadWrite }
    Dtype { Auto, Bfloat16, Float16, Float32 }
    KvCacheDtype { Auto, Fp8, Fp8E4m3, Fp8E5m2 }
    CeleryLogLevel { Debug, Info, Warning, Error }
    Severity { Fatal, Warning }
    ComputeMode { Default, ExclusiveProcess, Prohibited }
    Unsupported { Fail, Warn }
    Every { Daily, Weekly, Monthly }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum ReloadSignal {
    #[serde(rename = "HUP")]
    Hup,
    #[serde(rename = "USR1")]
    Usr1,
    #[serde(rename = "USR2")]
    Usr2,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    pub policy: RestartPolicy,
    pub delay: Span,
    pub max_delay: Option<Span>,
    pub steps: u32,
    pub max_starts: u32,
    pub window: Option<Span>,
}

/// A resource limit: a number, a size or `infinity`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Limit {
    Number(u64),
    Text(String),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub nofile: Limit,
    pub nproc: Option<Limit>,
    pub memlock: Option<Limit>,
    pub core: Limit,
    pub stack: Option<Limit>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    pub memory_high: Option<Size>,
    pub memory_max: Option<Size>,
    pub memory_swap_max: Option<Size>,
    pub cpu_quota: Option<u64>,
    pub cpu_weight: Option<u32>,
    pub io_weight: Option<u32>,
    pub tasks_max: Option<u64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GpuUse {
    pub devices: Set,
    pub memory: Option<Size>,
    pub memory_fraction: Option<f64>,
    pub exclusive: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkAccess {
    pub allow: Set,
    pub outbound: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    pub protect_system: ProtectSystem,
    pub protect_home: ProtectHome,
    pub private_tmp: bool,
    pub private_devices: Option<bool>,
    pub private_users: bool,
    pub memory_deny_write_execute: Option<bool>,
    pub no_new_privileges: bool,
    pub system_calls: Set,
    pub capabilities: Set,
    pub address_families: Set,
    pub devices: BTreeMap<String, DeviceAccess>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnDirectories {
    pub state: bool,
    pub cache: bool,
    pub logs: bool,
    pub runtime: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub identifier: Option<String>,
    pub rate_limit_interval: Option<Span>,
    pub rate_limit_burst: Option<u64>,
    pub namespace: Option<String>,
}

// workload.ncl

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    pub command: Vec<String>,
    #[serde(rename = "type")]
    pub kind: ExecType,
    pub remain_after_exit: bool,
    pub stop: Option<Vec<String>>,
    pub reload: Option<Vec<String>>,
    pub reload_signal: Option<ReloadSignal>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Vllm {
    pub executable: String,
    pub model: String,
    pub revision: Option<String>,
    pub served_model_name: Option<String>,
    pub tensor_parallel_size: u32,
    pub gpu_memory_utilization: f64,
    pub kv_cache_memory: Option<Size>,
    pub max_model_len: Option<u64>,
    pub max_num_seqs: Option<u64>,
    pub dtype: Dtype,
    pub quantization: Option<String>,
    pub kv_cache_dtype: KvCacheDtype,
    pub enable_chunked_prefill: bool,
    pub enable_prefix_caching: bool,
    pub log_stats: bool,
    pub log_requests: bool,
    pub trust_remote_code: bool,
    pub shutdown_timeout: Span,
    pub shape: Option<ModelShape>,
    pub extra: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelShape {
    pub parameters_billion: Option<f64>,
    pub weight_bits: u32,
    pub weights: Option<Size>,
    pub layers: u64,
    pub kv_heads: u64,
    pub head_dim: u64,
    pub overhead: Size,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gunicorn {
    pub executable: String,
    pub app: String,
    pub workers: u32,
    pub worker_class: String,
    pub timeout: Span,
    pub graceful_timeout: Span,
    pub extra: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Celery {
    pub executable: String,
    pub app: String,
    pub concurrency: u32,
    pub queues: Set,
    pub node_name: Option<String>,
    pub log_level: CeleryLogLevel,
    pub longest_task: Span,
    pub extra: Vec<String>,
}

// app.ncl

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub directory: Option<String>,
    pub requires: Set,
    pub wants: Set,
    pub environment: BTreeMap<String, Value>,
    pub user: Option<String>,
    pub part_of: Set,
    pub credentials: Set,
    pub enable: bool,
    pub api: Service,
    pub worker: Service,
}

// check.ncl

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisProbe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitProbe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_process: Option<bool>,
    pub interval: Span,
    pub timeout: Span,
    pub retries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Span>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    pub json: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TcpProbe {
    pub host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RedisProbe {
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UnitProbe {
    pub max_restarts: u64,
    pub window: Span,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Preflight {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free: Option<DiskCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_free: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_free: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_free: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torch_cuda: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisProbe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    pub severity: Severity,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LinkCheck {
    pub path: String,
    pub target: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DiskCheck {
    pub path: String,
    pub size: Size,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PythonCheck {
    pub interpreter: String,
    pub modules: Set,
}

// machine.ncl

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    pub index: Option<u32>,
    pub uuid: Option<String>,
    pub pci_address: Option<String>,
    pub persistence_mode: Option<bool>,
    pub power_limit_watts: Option<u64>,
    pub graphics_clock_mhz: Option<ClockRange>,
    pub memory_clock_mhz: Option<ClockRange>,
    pub compute_mode: Option<ComputeMode>,
    pub keep_awake: bool,
    pub unsupported: Unsupported,
    pub reserved: Size,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRange {
    pub min: u64,
    pub max: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    pub mounts: BTreeMap<String, Mount>,
    pub links: BTreeMap<String, Link>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    pub what: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub options: Set,
    pub required: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    pub target: String,
    pub create: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    pub user: String,
    pub group: String,
    pub mode: String,
    pub max_age: Option<Span>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub description: Option<String>,
    pub group: Option<String>,
    pub home: Option<String>,
    pub groups: Set,
    pub existing: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub existing: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    pub description: Option<String>,
    pub encrypted: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogRotation {
    pub paths: Set,
    pub every: Every,
    pub keep: u32,
    pub max_size: Option<Size>,
    pub compress: bool,
    pub delay_compress: bool,
    pub missing_ok: bool,
    pub if_empty: bool,
    pub user: String,
    pub group: String,
    pub mode: String,
    pub copy_truncate: bool,
}

// units.ncl

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub description: Option<String>,
    pub unit: Option<String>,
    pub boot: bool,
    pub part_of: Set,
    pub requires: Set,
    pub wants: Set,
    pub after: Set,
    pub phase: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    pub description: Option<String>,
    pub unit: Option<String>,
    pub service: String,
    pub calendar: Option<String>,
    pub after_boot: Option<Span>,
    pub interval: Option<Span>,
    pub persistent: bool,
    pub random_delay: Span,
    pub accuracy: Span,
    pub enable: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Socket {
    pub description: Option<String>,
    pub unit: Option<String>,
    pub service: String,
    pub address: String,
    pub port: Option<u16>,
    pub path: Option<String>,
    pub mode: String,
    pub user: Option<String>,
    pub group: Option<String>,
    pub accept: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    pub description: Option<String>,
    pub memory_high: Option<Size>,
    pub memory_max: Option<Size>,
    pub cpu_quota: Option<u64>,
    pub cpu_weight: Option<u32>,
    pub io_weight: Option<u32>,
    pub tasks_max: Option<u64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawUnit {
    pub sections: BTreeMap<String, BTreeMap<String, Value>>,
    pub phase: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawFile {
    pub text: String,
    pub mode: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    pub order: u64,
    pub description: Option<String>,
    pub deadline: Span,
}

// monitor.ncl

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    pub interval: Span,
    pub restart_unhealthy: bool,
    pub backoff: Span,
    pub max_backoff: Span,
    pub gpu: GpuThresholds,
    pub system: SystemThresholds,
    pub response_time: Threshold,
    pub disks: BTreeMap<String, Threshold>,
    pub mounts: Set,
    pub redis: Option<RedisTarget>,
    pub metrics_port: Option<u16>,
    pub api_port: Option<u16>,
    pub history_days: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    pub warning: Option<f64>,
    pub critical: Option<f64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GpuThresholds {
    pub temperature_celsius: Threshold,
    pub memory_percent: Threshold,
    pub utilization_percent: Threshold,
    pub watch_throttling: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SystemThresholds {
    pub cpu_percent: Threshold,
    pub memory_percent: Threshold,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RedisTarget {
    pub host: String,
    pub port: u16,
    pub channel: String,
    pub credential: Option<String>,
}
