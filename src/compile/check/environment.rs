//! Environment variables that nothing reads, or that are probably misspelt.

use crate::compile::finding::{Finding, OptionPath, nearest};
use crate::compile::system::{ServiceView, Workload};

use super::codes::{DEAD_VARIABLE, MISSPELT_VARIABLE, NO_GPU};
use super::context::{Context, list};

/// Variables that nothing reads, why, and what to write instead.
const DEAD: &[(&str, &str, &str)] = &[
    ("TRANSFORMERS_CACHE", "current transformers no longer read it", "set `HF_HOME` or `HF_HUB_CACHE`"),
    ("PYTORCH_TRANSFORMERS_CACHE", "current transformers no longer read it", "set `HF_HOME` or `HF_HUB_CACHE`"),
    ("PYTORCH_PRETRAINED_BERT_CACHE", "current transformers no longer read it", "set `HF_HOME` or `HF_HUB_CACHE`"),
    (
        "HUGGINGFACE_HUB_TOKEN",
        "huggingface_hub reads `HF_TOKEN` and `HF_TOKEN_PATH`",
        "use a credential, and set `HF_TOKEN_PATH` to its file",
    ),
    ("PYTHON_PATH", "Python reads `PYTHONPATH`", "write `PYTHONPATH`"),
];

/// Variables that only a container runtime reads.
const OF_CONTAINERS: &[&str] = &["NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_REQUIRE_CUDA"];

/// Variables of vLLM for its inner traffic, which are easily taken for those of its interface.
const OF_VLLM: &[(&str, &str)] = &[("VLLM_PORT", "port"), ("VLLM_HOST_IP", "address")];

/// Names that are worth a word when another one is one letter away.
const WELL_KNOWN: &[&str] = &[
    "ACCELERATE_USE_CPU",
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_CACHE_PATH",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "DATABASE_URL",
    "DO_NOT_TRACK",
    "GUNICORN_CMD_ARGS",
    "HF_DATASETS_CACHE",
    "HF_DATASETS_OFFLINE",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_DISABLE_TELEMETRY",
    "HF_HUB_ENABLE_HF_TRANSFER",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LOGNAME",
    "MALLOC_ARENA_MAX",
    "MKL_NUM_THREADS",
    "NCCL_ALGO",
    "NCCL_DEBUG",
    "NCCL_IB_DISABLE",
    "NCCL_P2P_DISABLE",
    "NCCL_P2P_LEVEL",
    "NCCL_SHM_DISABLE",
    "NCCL_SOCKET_IFNAME",
    "NUMBA_CACHE_DIR",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "PYTORCH_CUDA_ALLOC_CONF",
    "REDIS_URL",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TOKENIZERS_PARALLELISM",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCH_CUDA_ARCH_LIST",
    "TORCH_EXTENSIONS_DIR",
    "TORCH_HOME",
    "TRANSFORMERS_OFFLINE",
    "TRITON_CACHE_DIR",
    "VLLM_ATTENTION_BACKEND",
    "VLLM_CACHE_ROOT",
    "VLLM_CONFIG_ROOT",
    "VLLM_CONFIGURE_LOGGING",
    "VLLM_ENGINE_READY_TIMEOUT_S",
    "VLLM_LOGGING_LEVEL",
    "VLLM_NO_USAGE_STATS",
    "VLLM_RPC_BASE_PATH",
    "VLLM_USE_V1",
    "VLLM_WORKER_MULTIPROC_METHOD",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for service in &context.system.services {
        for (name, value) in &service.spec.environment {
            let place = context.member(service, "environment", name);
            findings.extend(judge(service, name, place.clone()));
            if name == "CUDA_VISIBLE_DEVICES" {
                findings.extend(check_visible(service, value, place));
            }
        }
    }
}

fn judge(service: &ServiceView, name: &str, place: OptionPath) -> Option<Finding> {
    let dead = |why: &str| {
        Finding::error(DEAD_VARIABLE, format!("nothing reads the environment variable {name}"))
            .at(place.clone(), "has no effect")
            .note(why)
    };
    if let Some((_, why, instead)) = DEAD.iter().find(|(dead, ..)| *dead == name) {
        return Some(dead(why).help(*instead));
    }
    if OF_CONTAINERS.contains(&name) && !runs_containers(service) {
        return Some(dead("only container runtimes read it").help("name the GPUs of the service with `gpu.devices`"));
    }
    if let Some((_, option)) = OF_VLLM.iter().find(|(inner, _)| *inner == name && service.spec.vllm.is_some()) {
        return Some(
            Finding::error(DEAD_VARIABLE, format!("{name} is not where clients find {}", service.key))
                .at(place, "for vLLM's inner traffic only")
                .help(format!("use the option `{option}` of the service, and remove this")),
        );
    }
    if name.starts_with("CITADEL_") {
        return Some(
            dead("names that begin with `CITADEL_` are citadel's own, and it has none")
                .help("remove it, or give the variable of your own program another name"),
        );
    }
    let near = (name.len() >= 6 && !WELL_KNOWN.contains(&name)).then(|| misspelt(name)).flatten()?;
    Some(
        Finding::error(MISSPELT_VARIABLE, format!("the environment variable {name} is probably misspelt"))
            .at(place, "not a name that is known")
            .help(format!("did you mean {near:?}?")),
    )
}

/// Returns the well-known name that is one letter away.
fn misspelt(name: &str) -> Option<&'static str> {
    let close = WELL_KNOWN.iter().copied().filter(|known| known.len().abs_diff(name.len()) <= 1);
    nearest(name, close).filter(|near| strsim::damerau_levenshtein(name, near) == 1)
}

fn runs_containers(service: &ServiceView) -> bool {
    let Some(Workload::Exec(exec)) = service.workload() else { return false };
    let program = exec.command.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    ["docker", "podman", "nerdctl", "ctr", "apptainer", "singularity", "enroot"].contains(&program)
}

/// Reports a list of visible GPUs that is not the one of `gpu.devices`.
fn check_visible(service: &ServiceView, value: &serde_json::Value, place: OptionPath) -> Option<Finding> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let numbers: Vec<String> = service.gpus.iter().map(|gpu| gpu.index.to_string()).collect();
    let by_number = text.split(',').all(|word| word.parse::<u32>().is_ok());
    let same = text.split(',').eq(numbers.iter().map(String::as_str));
    (by_number && !same && !numbers.is_empty()).then(|| {
        Finding::error(NO_GPU, format!("{} is told to use other GPUs than it is given", service.key))
            .at(place, format!("told to use {text}"))
            .at(service.option("gpu.devices"), format!("given {}", list(&numbers)))
            .note("citadel sets the visible GPUs by `gpu.devices`, and closes the devices of all others")
            .help("remove the variable")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{findings, found, service};

    #[test]
    fn dead_and_misspelt_variables_are_found() {
        let table = [
            ("TRANSFORMERS_CACHE", "C0285", "nothing reads the environment variable TRANSFORMERS_CACHE"),
            ("PYTHON_PATH", "C0285", "nothing reads the environment variable PYTHON_PATH"),
            ("NVIDIA_VISIBLE_DEVICES", "C0285", "nothing reads the environment variable NVIDIA_VISIBLE_DEVICES"),
            ("CITADEL_RESTART_DELAY", "C0285", "nothing reads the environment variable CITADEL_RESTART_DELAY"),
            ("CUDA_VISIBLE_DEVICE", "C0286", "the environment variable CUDA_VISIBLE_DEVICE is probably misspelt"),
            ("PYTORCH_CUDA_ALOC_CONF", "C0286", "the environment variable PYTORCH_CUDA_ALOC_CONF is probably misspelt"),
        ];
        for (name, code, message) in table {
            let lines = found(json!({ "services": { "a": service(json!({ "environment": { name: "x" } })) } }));
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].starts_with(code) && lines[0].ends_with(message), "{lines:?}");
        }
        for name in ["HF_HOME", "HTTP_PROXY", "BEV_REDIS_URL", "PORT", "MY_SETTING", "HUGGING_FACE_HUB_CACHE"] {
            let lines = found(json!({ "services": { "a": service(json!({ "environment": { name: "x" } })) } }));
            assert_eq!(lines, [""; 0]);
        }
    }

    #[test]
    fn the_right_name_is_suggested() {
        let found =
            findings(json!({ "services": { "a": service(json!({ "environment": { "CUDA_VISIBLE_DEVICE": "0" } })) } }));
        assert_eq!(found[0].help.as_deref(), Some("did you mean \"CUDA_VISIBLE_DEVICES\"?"));
    }

    #[test]
    fn visible_gpus_are_those_of_the_service() {
        let of = |value: &str| {
            found(json!({
                "gpus": { "gpu": { "index": 0 } },
                "services": { "a": service(json!({
                    "environment": { "CUDA_VISIBLE_DEVICES": value }, "gpu": { "devices": { "gpu": true } },
                })) },
            }))
        };
        assert_eq!(of("0"), [""; 0]);
        assert_eq!(
            of("0,1"),
            ["C0213 error services.a.environment.CUDA_VISIBLE_DEVICES: a is told to use other GPUs than it is given"]
        );
    }
}
