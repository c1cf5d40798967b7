//! The stable codes of all checks. Each has a page in `docs/checks/`.

use crate::compile::finding::Code;
use crate::compile::lower::{DIRECTIVE, ENCODING, INTERNAL, NO_PORT, RAW, WIRING};
use crate::compile::system::{DUPLICATE, REFERENCE, WORKLOAD};

/// Declares codes with their titles, in the order of the documentation.
macro_rules! codes {
    (
        first: [$(($first:expr, $first_title:literal)),+ $(,)?],
        last: [$(($last:expr, $last_title:literal)),+ $(,)?],
        $($name:ident = $code:literal, $title:literal;)+
    ) => {
        $(#[doc = $title] pub const $name: Code = Code($code);)+

        /// Every code of citadel's findings with its title, sorted by code.
        pub const ALL: &[(Code, &str)] =
            &[$(($first, $first_title),)+ $(($name, $title),)+ $(($last, $last_title)),+];
    };
}

codes! {
    first: [
        (WORKLOAD, "A service says nothing or several things about what it runs"),
        (DUPLICATE, "A name is used twice"),
        (REFERENCE, "A reference leads nowhere"),
    ],
    last: [
        (ENCODING, "A value cannot be written without changing its meaning"),
        (DIRECTIVE, "A directive that is written out is none"),
        (RAW, "A raw unit or file has a name or a place that it must not have"),
        (NO_PORT, "A service that listens does not say where"),
        (WIRING, "A unit cannot be wired up as the profile asks"),
        (INTERNAL, "citadel wrote a file that it cannot read back"),
    ],

    NAME = "C0104", "A name cannot be used";
    PATH = "C0105", "A path is not plain and absolute";
    ADDRESS = "C0106", "An address or network does not exist";

    PORT_CONFLICT = "C0201", "Two things listen on one port";
    OPEN_TO_ALL = "C0202", "A port is open to every network without authentication";
    OPEN_TO_NETWORK = "C0203", "A port is open to a network without authentication";
    HALF_AUTHENTICATED = "C0204", "vLLM's own key protects only a part of its paths";

    GPU_OVERCOMMITTED = "C0210", "The services of a GPU need more memory than it has";
    MODEL_TOO_LARGE = "C0211", "A model does not fit its share of GPU memory";
    TENSOR_PARALLEL = "C0212", "The parallel size does not fit the GPUs or the model";
    NO_GPU = "C0213", "A service needs a GPU and has none";
    GPU_NOT_SHARED = "C0214", "A GPU that is for one process is used by several";
    GPU_IDENTITY = "C0215", "A GPU is not said clearly, or the host does not have it";
    GPU_SETTING = "C0216", "A GPU setting is outside of what the device accepts";
    GPU_TWICE = "C0217", "One GPU has two names";
    GPU_MEMORY_UNKNOWN = "C0218", "A service shares a GPU and does not say how much memory it takes";

    MEMORY_OVERCOMMITTED = "C0220", "Memory limits exceed the memory of the host";
    MEMORY_LIMITS = "C0221", "Memory limits contradict each other";
    CPU_QUOTA = "C0222", "A CPU quota exceeds the CPUs of the host";
    SLICE_OVERCOMMITTED = "C0223", "The services of a slice need more memory than it has";

    CYCLE = "C0230", "Units wait for each other in a circle";
    CONTRADICTION = "C0231", "A service needs one that it excludes";
    ON_DEMAND = "C0232", "A service cannot be started by a connection";
    LONELY_EXCLUSION = "C0233", "An exclusion group has one member";
    PHASE_ORDER = "C0234", "Two phases have the same place in the order";
    TIMER_WITHOUT_TIME = "C0235", "A timer has no time";
    TIMER_OF_RUNNING = "C0236", "A timer starts a service that runs anyway";
    EXCLUSIVE_AT_BOOT = "C0238", "Services that exclude each other all start at boot";

    UNKNOWN_DIRECTIVE = "C0240", "systemd does not know a directive";
    TOO_NEW = "C0241", "The host's systemd is too old for a directive";
    WRONG_SECTION = "C0242", "A directive stands in the wrong section";
    BAD_VALUE = "C0243", "systemd does not accept the value of a directive";
    REMOVED_DIRECTIVE = "C0244", "systemd no longer has a directive";
    OLD_SYSTEMD = "C0245", "The host's systemd is older than citadel supports";
    DEFECT = "C0249", "citadel itself wrote a wrong directive";

    BREAKS_CUDA = "C0250", "A sandbox setting breaks CUDA";
    HIDDEN_PATH = "C0251", "The sandbox hides what a service needs";
    ROOT_RUNS_FOREIGN = "C0252", "root runs what another user can change";
    WRITABLE_PROGRAM = "C0253", "A service can change its own program";
    REMOTE_CODE = "C0254", "Code of a model runs without a pinned revision";

    LIMIT_NEVER_TRIGGERS = "C0260", "A start limit never triggers";
    NEVER_RECOVERS = "C0261", "A service is not started again when it fails";
    BACKOFF_WITHOUT_EFFECT = "C0262", "The host's systemd cannot let the restart delay grow";
    BACKOFF_SHRINKS = "C0263", "The longest restart delay is shorter than the first";
    WATCHDOG = "C0264", "A watchdog waits for a service that never reports";

    NO_PROBE = "C0270", "A long-running service has no health probe";
    PROBE = "C0271", "A health probe cannot work";
    PREFLIGHT = "C0272", "A preflight check does not say what it checks";
    PREFLIGHT_FAILS = "C0273", "A preflight check can never pass";

    SECRET = "C0280", "A secret stands in the profile";
    LOOKS_SECRET = "C0281", "A value looks like a secret";
    DEAD_VARIABLE = "C0285", "Nothing reads an environment variable";
    MISSPELT_VARIABLE = "C0286", "An environment variable is probably misspelt";

    FILE_TARGET = "C0290", "A file belongs to citadel or to the system";
    LOG_PATH = "C0292", "A log rotation names no files";
    UNSAFE_DIRECTORY = "C0293", "A directory lies in one of another user";

    ALLOW_UNKNOWN = "C0298", "A check cannot be switched off";
    ALLOW_UNUSED = "C0299", "A switched-off check has nothing to say";
}

/// Returns whether a profile may switch a check off: not where the bundle would be wrong or not be at all.
pub fn can_be_allowed(code: Code) -> bool {
    let always = [UNKNOWN_DIRECTIVE, WRONG_SECTION, BAD_VALUE, OLD_SYSTEMD, DEFECT, CYCLE, FILE_TARGET, SECRET];
    code.0.starts_with("C02") && !always.contains(&code) && code != ALLOW_UNKNOWN && code != ALLOW_UNUSED
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn codes_are_unique_and_sorted() {
        assert!(ALL.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn every_code_has_a_page_and_a_line_in_the_index() {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks");
        let index = std::fs::read_to_string(pages.join("README.md")).unwrap();
        for (code, title) in ALL {
            let page = std::fs::read_to_string(pages.join(format!("{code}.md"))).unwrap_or_default();
            assert!(
                page.starts_with(&format!("# {code}: {title}\n")),
                "docs/checks/{code}.md does not begin with its title"
            );
            assert!(index.contains(&format!("[{code}]({code}.md) | {title} |")), "the index does not name {code}");
        }
    }

    #[test]
    fn every_page_belongs_to_a_code() {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks");
        for page in std::fs::read_dir(pages).unwrap() {
            let name = page.unwrap().file_name().into_string().unwrap();
            let stem = name.trim_end_matches(".md");
            assert!(stem == "README" || ALL.iter().any(|(code, _)| code.0 == stem), "{name} is the page of no code");
        }
    }
}
