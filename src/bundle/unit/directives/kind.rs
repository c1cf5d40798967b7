//! What systemd reads the value of a directive as.

/// What systemd reads the value of a directive as; an empty value resets nearly all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    /// A boolean, or one of these words.
    BoolOr(Words),
    Enum(Words),
    /// One of these words, or the number that the kernel or syslog knows it by.
    EnumOrNumber(Words),
    Time,
    /// A number of bytes with a suffix, a percentage, or `infinity`.
    Bytes,
    /// A number of bytes with a suffix.
    Size,
    Integer {
        min: i64,
        max: i64,
    },
    /// A whole number in decimal, hexadecimal or octal, at most 64 bits.
    Unsigned,
    Percent,
    /// A percentage of one CPU that may exceed 100%.
    CpuQuota,
    /// 1 to 10000, or `idle` where that is known.
    Weight {
        idle: bool,
    },
    /// A number, a percentage, or `infinity`.
    Tasks,
    /// An octal file mode.
    Mode,
    Signal,
    /// `soft:hard` or one value for both.
    Rlimit,
    Path,
    Paths,
    /// Paths below a directory that systemd chooses, such as `StateDirectory=`.
    RelativePaths,
    /// An absolute path behind `|` and `!`.
    ConditionPath,
    Units,
    Exec,
    /// `NAME=value` words.
    Environment,
    /// IP addresses with prefix lengths, or words such as `localhost`.
    Addresses,
    AddressFamilies,
    Capabilities,
    /// Lists and ranges of CPU or NUMA node numbers.
    CpuSet,
    Urls,
    /// One line of text for people; everything is fine.
    Text,
    /// Of a type that is not checked here.
    Opaque,
}

/// The words of an enumeration that one release of systemd knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// Each with the release that brought it, 0 when every supported one has it.
    pub(super) all: &'static [(&'static str, u32)],
    pub(super) version: u32,
}

impl Words {
    /// Returns the words that this release knows, in the order of systemd's manual.
    pub fn known(self) -> impl Iterator<Item = &'static str> {
        self.all.iter().filter(move |(_, since)| *since <= self.version).map(|(word, _)| *word)
    }

    /// Returns the release that brought the word, when it is too new for this one.
    pub fn too_new(self, word: &str) -> Option<u32> {
        self.all.iter().find(|(own, since)| *own == word && *since > self.version).map(|(_, since)| *since)
    }
}

type Listed = &'static [(&'static str, u32)];

const ACTION: Listed = &[
    ("none", 0),
    ("reboot", 0),
    ("reboot-force", 0),
    ("reboot-immediate", 0),
    ("poweroff", 0),
    ("poweroff-force", 0),
    ("poweroff-immediate", 0),
    ("exit", 0),
    ("exit-force", 0),
    ("soft-reboot", 254),
    ("soft-reboot-force", 254),
    ("kexec", 255),
    ("kexec-force", 255),
    ("halt", 255),
    ("halt-force", 255),
    ("halt-immediate", 255),
];
const FAILURE_MODE: Listed = &[("terminate", 0), ("abort", 0), ("kill", 0)];
const LEVEL: Listed =
    &[("emerg", 0), ("alert", 0), ("crit", 0), ("err", 0), ("warning", 0), ("notice", 0), ("info", 0), ("debug", 0)];

impl Kind {
    /// Returns the kind for a parser of systemd, named without its `config_parse_`.
    pub(super) fn of(parser: &str, name: &str, version: u32) -> Kind {
        let words = |all| Words { all, version };
        let either = |all| Kind::BoolOr(words(all));
        let one_of = |all| Kind::Enum(words(all));
        let numbered = |all| Kind::EnumOrNumber(words(all));
        match parser {
            "bool" | "tristate" | "job_mode_isolate" | "exec_mount_apivfs" | "private_pids" | "private_bpf" => {
                Kind::Bool
            }
            "exec_preserve_mode" | "runtime_preserve_mode" => either(&[("restart", 0)]),
            "memory_pressure_watch" | "pressure_watch" => either(&[("auto", 0), ("skip", 0)]),
            "private_tmp" => either(&[("disconnected", 257)]),
            "private_users" => either(&[("self", 257), ("identity", 257), ("full", 258), ("managed", 260)]),
            "protect_control_groups" => either(&[("private", 257), ("strict", 257)]),
            "protect_home" => either(&[("read-only", 0), ("tmpfs", 0)]),
            "protect_hostname" => Kind::Opaque, // Takes a host name too.
            "protect_system" => either(&[("full", 0), ("strict", 0)]),

            "collect_mode" => one_of(&[("inactive", 0), ("inactive-or-failed", 0)]),
            "device_policy" => one_of(&[("auto", 0), ("closed", 0), ("strict", 0)]),
            "emergency_action" => one_of(ACTION),
            "exec_cpu_sched_policy" => {
                numbered(&[("other", 0), ("batch", 0), ("idle", 0), ("fifo", 0), ("rr", 0), ("ext", 258)])
            }
            "exec_io_class" => numbered(&[("realtime", 0), ("best-effort", 0), ("idle", 0), ("none", 0)]),
            "exec_keyring_mode" => one_of(&[("inherit", 0), ("private", 0), ("shared", 0)]),
            "exec_utmp_mode" => one_of(&[("init", 0), ("login", 0), ("user", 0)]),
            "kill_mode" => one_of(&[("control-group", 0), ("mixed", 0), ("process", 0), ("none", 0)]),
            "log_level" => numbered(LEVEL),
            "managed_oom_mode" => one_of(&[("auto", 0), ("kill", 0)]),
            "managed_oom_preference" => one_of(&[("none", 0), ("avoid", 0), ("omit", 0)]),
            "notify_access" => one_of(&[("none", 0), ("main", 0), ("exec", 0), ("all", 0)]),
            "oom_policy" => one_of(&[("continue", 0), ("stop", 0), ("kill", 0)]),
            "proc_subset" => one_of(&[("all", 0), ("pid", 0)]),
            "protect_proc" => one_of(&[("default", 0), ("noaccess", 0), ("invisible", 0), ("ptraceable", 0)]),
            "service_exit_type" => one_of(&[("main", 0), ("cgroup", 0)]),
            "service_restart" => one_of(&[
                ("no", 0),
                ("on-success", 0),
                ("on-failure", 0),
                ("on-abnormal", 0),
                ("on-watchdog", 0),
                ("on-abort", 0),
                ("always", 0),
            ]),
            "service_restart_mode" => one_of(&[("normal", 0), ("direct", 0), ("debug", 257)]),
            "service_timeout_failure_mode" => one_of(FAILURE_MODE),
            "service_type" => one_of(&[
                ("simple", 0),
                ("exec", 0),
                ("forking", 0),
                ("oneshot", 0),
                ("dbus", 0),
                ("notify", 0),
                ("notify-reload", 253),
                ("idle", 0),
            ]),
            "socket_bind" => either(&[("default", 0), ("both", 0), ("ipv6-only", 0)]),

            "sec"
            | "sec_def_infinity"
            | "sec_fix_0"
            | "nsec"
            | "job_running_timeout_sec"
            | "job_timeout_sec"
            | "managed_oom_mem_pressure_duration_sec"
            | "service_timeout"
            | "service_timeout_abort" => Kind::Time,
            "timer" if name != "OnCalendar" => Kind::Time,
            "memory_limit" => Kind::Bytes,
            "iec_size" | "iec_size_long" => Kind::Size,
            "unsigned" => Kind::Unsigned,
            "int" | "long" => Kind::Integer { min: i64::MIN, max: i64::MAX },
            "exec_nice" => Kind::Integer { min: -20, max: 19 },
            "exec_oom_score_adjust" => Kind::Integer { min: -1000, max: 1000 },
            "exec_io_priority" => Kind::Integer { min: 0, max: 7 },
            "exit_status" => Kind::Integer { min: 0, max: 255 },
            "managed_oom_mem_pressure_limit" => Kind::Percent,
            "cpu_quota" => Kind::CpuQuota,
            "cg_weight" => Kind::Weight { idle: false },
            "cg_cpu_weight" => Kind::Weight { idle: true },
            "tasks_max" => Kind::Tasks,
            "mode" => Kind::Mode,
            "signal" => Kind::Signal,
            "rlimit" => Kind::Rlimit,

            "unit_path_printf" | "unit_env_file" | "working_directory" | "path_spec" => Kind::Path,
            "namespace_path_strv" | "unit_mounts_for" | "unit_requires_mounts_for" | "unit_path_strv_printf" => {
                Kind::Paths
            }
            "exec_directories" => Kind::RelativePaths,
            "unit_condition_path" => Kind::ConditionPath,
            "unit_deps" | "unit_slice" | "service_sockets" | "trigger_unit" | "socket_service" => Kind::Units,
            "install" if name != "DefaultInstance" => Kind::Units,
            "exec" => Kind::Exec,
            "environ" => Kind::Environment,
            "in_addr_prefixes" | "ip_address_access" => Kind::Addresses,
            "address_families" => Kind::AddressFamilies,
            "capability_set" => Kind::Capabilities,
            "allowed_cpuset" | "allowed_cpus" | "allowed_mems" | "unit_cpu_set" => Kind::CpuSet,
            "documentation" => Kind::Urls,
            "unit_string_printf" => Kind::Text,
            _ => Kind::Opaque,
        }
    }
}
