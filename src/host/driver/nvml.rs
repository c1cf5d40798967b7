//! The driver through NVML, in this process. Any call may hang: see [`Apart`](super::Apart).

use std::collections::BTreeMap;
use std::ffi::OsStr;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, ComputeMode as Mode, TemperatureSensor};
use nvml_wrapper::enums::device::GpuLockedClocksSetting;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml as Library, cuda_driver_version_major, cuda_driver_version_minor};

use super::{ComputeMode, Devices, Driver, Gpu, PowerLimits, Range, Refusal, RefusalKind, Sample, Setting, Trouble};

/// The name that the driver installs; the one without `.1` belongs to packages for development.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// NVML in this process.
#[derive(Debug, Default)]
pub struct Nvml(Option<Library>);

impl Devices for Nvml {
    fn open(&mut self) -> Result<Driver, Trouble> {
        let library = match &mut self.0 {
            Some(library) => library,
            none => none.insert(Library::builder().lib_path(OsStr::new(LIBRARY)).init().map_err(trouble)?),
        };
        let cuda = library.sys_cuda_driver_version().ok();
        Ok(Driver {
            version: library.sys_driver_version().ok(),
            cuda: cuda.map(|it| format!("{}.{}", cuda_driver_version_major(it), cuda_driver_version_minor(it))),
            gpus: library.device_count().map_err(trouble)?,
        })
    }

    fn read(&mut self, gpu: u32) -> Result<Gpu, Refusal> {
        let device = self.device(gpu)?;
        let mut found = Notes::default();
        let limits = device.power_management_limit_constraints();
        let own = device.power_management_limit_default().ok();
        let power_limits = limits.map(|it| PowerLimits { min: it.min_limit, max: it.max_limit, default_value: own });
        let compute_mode = device.compute_mode().map(|mode| match mode {
            Mode::Default => ComputeMode::Default,
            Mode::ExclusiveProcess => ComputeMode::ExclusiveProcess,
            Mode::Prohibited => ComputeMode::Prohibited,
            Mode::ExclusiveThread => ComputeMode::ExclusiveThread,
        });
        let read = Gpu {
            index: gpu,
            name: found.keep("name", device.name()),
            uuid: found.keep("uuid", device.uuid()),
            pci_address: found.keep("pci_address", device.pci_info().map(|pci| kernel_address(&pci.bus_id))),
            minor: found.keep("minor", device.minor_number()),
            memory_bytes: found.keep("memory_bytes", device.memory_info().map(|memory| memory.total)),
            mig: found.keep("mig", device.mig_mode().map(|mode| mode.current == 1)),
            persistence_mode: found.keep("persistence_mode", device.is_in_persistent_mode()),
            power_limit_milliwatts: found.keep("power_limit_milliwatts", device.power_management_limit()),
            power_limits_milliwatts: found.keep("power_limits_milliwatts", power_limits),
            graphics_clocks_mhz: found.keep("graphics_clocks_mhz", graphics_clocks(&device)),
            memory_clocks_mhz: found.keep("memory_clocks_mhz", memory_clocks(&device)),
            compute_mode: found.keep("compute_mode", compute_mode),
            now: sample(&device),
            refused: BTreeMap::new(),
        };
        match found.gone {
            Some(gone) => Err(gone),
            None => Ok(Gpu { refused: found.refused, ..read }),
        }
    }

    fn sample(&mut self, gpu: u32) -> Result<Sample, Refusal> {
        let device = self.device(gpu)?;
        // Everything else may be missing; a GPU that is gone says so for all that is asked.
        match device.temperature(TemperatureSensor::Gpu) {
            Err(error @ (NvmlError::GpuLost | NvmlError::ResetRequired)) => Err(refusal(error)),
            _ => Ok(sample(&device)),
        }
    }

    fn set(&mut self, gpu: u32, setting: Setting) -> Result<(), Refusal> {
        let mut device = self.device(gpu)?;
        let done = match setting {
            Setting::PersistenceMode(on) => device.set_persistent(on),
            Setting::PowerLimitMilliwatts(milliwatts) => device.set_power_management_limit(milliwatts),
            Setting::GraphicsClockMhz(Some(Range { min, max })) => {
                device.set_gpu_locked_clocks(GpuLockedClocksSetting::Numeric { min_clock_mhz: min, max_clock_mhz: max })
            }
            Setting::GraphicsClockMhz(None) => device.reset_gpu_locked_clocks(),
            Setting::MemoryClockMhz(Some(Range { min, max })) => device.set_mem_locked_clocks(min, max),
            Setting::MemoryClockMhz(None) => device.reset_mem_locked_clocks(),
            Setting::ComputeMode(mode) => device.set_compute_mode(match mode {
                ComputeMode::Default => Mode::Default,
                ComputeMode::ExclusiveProcess => Mode::ExclusiveProcess,
                ComputeMode::Prohibited => Mode::Prohibited,
                ComputeMode::ExclusiveThread => Mode::ExclusiveThread,
            }),
        };
        done.map_err(refusal)
    }
}

impl Nvml {
    fn device(&self, gpu: u32) -> Result<Device<'_>, Refusal> {
        let library = self.0.as_ref().ok_or_else(|| refusal(NvmlError::Uninitialized))?;
        library.device_by_index(gpu).map_err(refusal)
    }
}

/// Keeps why a value is missing.
#[derive(Default)]
struct Notes {
    refused: BTreeMap<String, Refusal>,
    gone: Option<Refusal>,
}

impl Notes {
    fn keep<T>(&mut self, field: &str, value: Result<T, NvmlError>) -> Option<T> {
        let refusal = match value {
            Ok(value) => return Some(value),
            Err(error) => refusal(error),
        };
        if refusal.is_final() {
            self.gone.get_or_insert(refusal);
        } else {
            self.refused.insert(field.to_owned(), refusal);
        }
        None
    }
}

fn sample(device: &Device<'_>) -> Sample {
    let throttle = device.current_throttle_reasons().ok();
    Sample {
        temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok(),
        power_milliwatts: device.power_usage().ok(),
        utilization_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
        memory_used_bytes: device.memory_info().ok().map(|memory| memory.used),
        graphics_clock_mhz: device.clock_info(Clock::Graphics).ok(),
        memory_clock_mhz: device.clock_info(Clock::Memory).ok(),
        throttle: throttle.map(|reasons| {
            let names = reasons.iter_names().filter(|(_, reason)| *reason != ThrottleReasons::NONE);
            names.map(|(name, _)| name.to_ascii_lowercase()).collect()
        }),
    }
}

fn memory_clocks(device: &Device<'_>) -> Result<Range, NvmlError> {
    range(&device.supported_memory_clocks()?)
}

/// Returns the lowest and the highest graphics clock at any memory clock.
///
/// nvml-wrapper 0.13 gives zeros instead of a list of more than 128 clocks, which GeForce cards have; then the performance
/// states tell.
fn graphics_clocks(device: &Device<'_>) -> Result<Range, NvmlError> {
    let mut clocks = Vec::new();
    for memory in device.supported_memory_clocks()? {
        clocks.extend(device.supported_graphics_clocks(memory)?);
    }
    if clocks.contains(&0) {
        clocks.clear();
        for state in device.supported_performance_states()? {
            let (min, max) = device.min_max_clock_of_pstate(Clock::Graphics, state)?;
            clocks.extend([min, max]);
        }
    }
    range(&clocks)
}

fn range(clocks: &[u32]) -> Result<Range, NvmlError> {
    match (clocks.iter().min(), clocks.iter().max()) {
        (Some(min), Some(max)) => Ok(Range { min: *min, max: *max }),
        _ => Err(NvmlError::NoData),
    }
}

/// Returns a PCI address as the kernel writes it: NVML gives the domain eight digits and writes capitals.
fn kernel_address(bus_id: &str) -> String {
    let lower = bus_id.to_ascii_lowercase();
    match lower.split_once(':') {
        Some((domain, rest)) if domain.len() == 8 && domain.starts_with("0000") => format!("{}:{rest}", &domain[4..]),
        _ => lower,
    }
}

fn trouble(error: NvmlError) -> Trouble {
    match error {
        NvmlError::LibloadingError(error) => {
            let reason = error.to_string();
            let missing = reason.contains(LIBRARY) && reason.contains("No such file or directory");
            if missing { Trouble::NoLibrary } else { Trouble::BrokenLibrary { reason } }
        }
        NvmlError::LibraryNotFound => Trouble::NoLibrary,
        NvmlError::FailedToLoadSymbol(text) => Trouble::IncompleteLibrary { symbol: symbol(&text).to_owned() },
        NvmlError::FunctionNotFound => {
            Trouble::IncompleteLibrary { symbol: "function that it needs itself".to_owned() }
        }
        NvmlError::DriverNotLoaded => Trouble::NoDriver,
        NvmlError::NoPermission | NvmlError::OperatingSystem => Trouble::NoPermission,
        NvmlError::LibRmVersionMismatch => Trouble::VersionMismatch,
        NvmlError::GpuLost | NvmlError::ResetRequired => Trouble::Lost,
        error => Trouble::Failed { reason: said(&error) },
    }
}

/// Returns a message for an error; the wrapper knows no names for the newest codes.
fn said(error: &NvmlError) -> String {
    match error {
        NvmlError::UnexpectedVariant(code) => format!("NVML error {code}"),
        error => error.to_string(),
    }
}

fn refusal(error: NvmlError) -> Refusal {
    let kind = match &error {
        NvmlError::FailedToLoadSymbol(text) => {
            let message = format!("this driver has no {}", symbol(text));
            return Refusal::new(RefusalKind::Unsupported, message);
        }
        NvmlError::NotSupported | NvmlError::FunctionNotFound => RefusalKind::Unsupported,
        // NVML_ERROR_ARGUMENT_VERSION_MISMATCH and NVML_ERROR_DEPRECATED.
        NvmlError::UnexpectedVariant(25 | 26) => RefusalKind::Unsupported,
        NvmlError::NoPermission | NvmlError::OperatingSystem => RefusalKind::NoPermission,
        NvmlError::InvalidArg => RefusalKind::InvalidValue,
        NvmlError::GpuLost | NvmlError::ResetRequired => RefusalKind::Lost,
        _ => RefusalKind::Failed,
    };
    let message = match &error {
        NvmlError::NotSupported => "this GPU does not support it".to_owned(),
        NvmlError::NoPermission => "only root may do this".to_owned(),
        NvmlError::InvalidArg => "the GPU does not accept this value".to_owned(),
        NvmlError::GpuLost => "the GPU has fallen off the bus".to_owned(),
        NvmlError::ResetRequired => "the GPU needs a reset".to_owned(),
        error => said(error),
    };
    Refusal::new(kind, message)
}

/// Returns the symbol that dlsym(3) did not find, the last word of its message.
fn symbol(text: &str) -> &str {
    text.rsplit(' ').next().unwrap_or(text).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_kernel() {
        assert_eq!(kernel_address("00000000:C1:00.0"), "0000:c1:00.0");
        assert_eq!(kernel_address("00010000:01:00.0"), "00010000:01:00.0");
    }

    #[test]
    fn what_is_missing_has_a_name() {
        let error = NvmlError::FailedToLoadSymbol("/lib/x.so: undefined symbol: nvmlDeviceGetUUID".to_owned());
        assert_eq!(refusal(error).to_string(), "this driver has no nvmlDeviceGetUUID");
    }
}
