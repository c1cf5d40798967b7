//! A stand-in for NVIDIA's `libnvidia-ml.so.1`, as far as citadel calls it. Signatures and codes are those of NVML's
//! reference, <https://docs.nvidia.com/deploy/nvml-api/>.
//!
//! `$FAKE_NVML` is a folder: `machine` says what there is and keeps what is set ([`machine`]), `faults` what goes wrong
//! ([`fault`]), and `calls` lists the calls.

#![allow(non_snake_case, clippy::missing_safety_doc)]

mod fault;
mod machine;

use std::ffi::{c_char, c_uint, c_ulonglong, c_void};

use fault::through;
use machine::{INVALID_ARGUMENT, Machine, NOT_SUPPORTED, UNKNOWN};

/// A GPU is its number plus one, as a pointer that nobody follows.
type Device = *mut c_void;

fn number(device: Device) -> usize {
    (device as usize).wrapping_sub(1)
}

/// Calls with the machine and the prefix of the GPU's facts.
fn of(name: &str, device: Device, call: impl FnOnce(Machine, String) -> Result<(), u32>) -> u32 {
    let gpu = number(device);
    through(name, Some(gpu), || call(Machine::load()?, format!("gpu{gpu}.")))
}

/// Writes through a pointer of the caller.
fn put<T>(target: *mut T, value: T) -> Result<(), u32> {
    if target.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: the caller of NVML gives a pointer to a value of this type.
    unsafe { target.write(value) };
    Ok(())
}

fn put_text(target: *mut c_char, length: c_uint, text: &str) -> Result<(), u32> {
    const INSUFFICIENT_SIZE: u32 = 7;
    if text.len() + 1 > length as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    for (at, byte) in text.bytes().chain([0]).enumerate() {
        // SAFETY: the caller of NVML gives a buffer of `length` bytes.
        put(unsafe { target.add(at) }, byte as c_char)?;
    }
    Ok(())
}

fn put_clocks(count: *mut c_uint, target: *mut c_uint, clocks: &[u32]) -> Result<(), u32> {
    const INSUFFICIENT_SIZE: u32 = 7;
    if count.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: the caller of NVML says in `count` how many values its buffer has room for.
    let room = unsafe { count.read() } as usize;
    put(count, clocks.len() as c_uint)?;
    if room < clocks.len() {
        return Err(INSUFFICIENT_SIZE);
    }
    for (at, clock) in clocks.iter().enumerate() {
        // SAFETY: there is room.
        put(unsafe { target.add(at) }, *clock)?;
    }
    Ok(())
}

/// Defines a function that reads one number of a GPU.
macro_rules! reads {
    ($($name:ident($kind:ty) = $fact:literal;)+) => {
        $(
            #[unsafe(no_mangle)]
            pub extern "C" fn $name(device: Device, target: *mut $kind) -> u32 {
                of(stringify!($name), device, |machine, gpu| {
                    put(target, <$kind>::try_from(machine.number(&format!("{gpu}{}", $fact))?).map_err(|_| UNKNOWN)?)
                })
            }
        )+
    };
}

reads! {
    nvmlDeviceGetMinorNumber(c_uint) = "minor";
    nvmlDeviceGetPersistenceMode(c_uint) = "persistence";
    nvmlDeviceGetPowerManagementLimit(c_uint) = "power_limit";
    nvmlDeviceGetPowerManagementDefaultLimit(c_uint) = "power_default";
    nvmlDeviceGetPowerUsage(c_uint) = "power_usage";
    nvmlDeviceGetComputeMode(c_uint) = "compute_mode";
    nvmlDeviceGetCurrentClocksThrottleReasons(c_ulonglong) = "throttle";
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> u32 {
    through("nvmlInit_v2", None, || Machine::load().map(drop))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> u32 {
    through("nvmlShutdown", None, || Ok(()))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetDriverVersion(target: *mut c_char, length: c_uint) -> u32 {
    through("nvmlSystemGetDriverVersion", None, || put_text(target, length, Machine::load()?.get("driver")?))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetCudaDriverVersion_v2(target: *mut i32) -> u32 {
    through("nvmlSystemGetCudaDriverVersion_v2", None, || put(target, Machine::load()?.number("cuda")? as i32))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount_v2(target: *mut c_uint) -> u32 {
    through("nvmlDeviceGetCount_v2", None, || put(target, Machine::load()?.gpus()))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, target: *mut Device) -> u32 {
    through("nvmlDeviceGetHandleByIndex_v2", Some(index as usize), || match index < Machine::load()?.gpus() {
        true => put(target, (index as usize + 1) as Device),
        false => Err(INVALID_ARGUMENT),
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetName(device: Device, target: *mut c_char, length: c_uint) -> u32 {
    of("nvmlDeviceGetName", device, |machine, gpu| put_text(target, length, machine.get(&format!("{gpu}name"))?))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUUID(device: Device, target: *mut c_char, length: c_uint) -> u32 {
    of("nvmlDeviceGetUUID", device, |machine, gpu| put_text(target, length, machine.get(&format!("{gpu}uuid"))?))
}

#[repr(C)]
pub struct Pci {
    legacy: [c_char; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    device_id: c_uint,
    subsystem: c_uint,
    address: [c_char; 32],
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPciInfo_v3(device: Device, target: *mut Pci) -> u32 {
    of("nvmlDeviceGetPciInfo_v3", device, |machine, gpu| {
        let text = machine.get(&format!("{gpu}pci"))?;
        let mut pci =
            Pci { legacy: [0; 16], domain: 0, bus: 0, device: 0, device_id: 0, subsystem: 0, address: [0; 32] };
        for (byte, character) in pci.address.iter_mut().zip(text.bytes()) {
            *byte = character as c_char;
        }
        put(target, pci)
    })
}

#[repr(C)]
pub struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Device, target: *mut Memory) -> u32 {
    of("nvmlDeviceGetMemoryInfo_v2", device, |machine, gpu| {
        let fact = |name: &str| machine.number(&format!("{gpu}{name}"));
        let (total, used) = (fact("memory")?, fact("memory_used")?);
        put(target, Memory { version: 0x0200_0028, total, reserved: 0, free: total - used, used })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMigMode(device: Device, current: *mut c_uint, pending: *mut c_uint) -> u32 {
    of("nvmlDeviceGetMigMode", device, |machine, gpu| {
        let mode = machine.number(&format!("{gpu}mig"))? as c_uint;
        put(current, mode)?;
        put(pending, mode)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPowerManagementLimitConstraints(
    device: Device,
    min: *mut c_uint,
    max: *mut c_uint,
) -> u32 {
    of("nvmlDeviceGetPowerManagementLimitConstraints", device, |machine, gpu| {
        put(min, machine.number(&format!("{gpu}power_min"))? as c_uint)?;
        put(max, machine.number(&format!("{gpu}power_max"))? as c_uint)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetTemperature(device: Device, _sensor: c_uint, target: *mut c_uint) -> u32 {
    of("nvmlDeviceGetTemperature", device, |machine, gpu| {
        put(target, machine.number(&format!("{gpu}temperature"))? as c_uint)
    })
}

#[repr(C)]
pub struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUtilizationRates(device: Device, target: *mut Utilization) -> u32 {
    of("nvmlDeviceGetUtilizationRates", device, |machine, gpu| {
        put(target, Utilization { gpu: machine.number(&format!("{gpu}utilization"))? as c_uint, memory: 0 })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetClockInfo(device: Device, kind: c_uint, target: *mut c_uint) -> u32 {
    const MEMORY: c_uint = 2;
    of("nvmlDeviceGetClockInfo", device, |machine, gpu| {
        let (fact, lock) = if kind == MEMORY { ("memory_clock", "memory_locked") } else { ("clock", "locked") };
        let clock = machine.number(&format!("{gpu}{fact}"))? as c_uint;
        let lock = machine.get(&format!("{gpu}{lock}")).unwrap_or_default();
        let range = lock.split_once('-').and_then(|(min, max)| Some((min.parse().ok()?, max.parse().ok()?)));
        // A fact `unlocked` is a lock that somebody else took away again.
        let range = range.filter(|_| machine.get(&format!("{gpu}unlocked")).is_err());
        put(target, range.map_or(clock, |(min, max): (c_uint, c_uint)| clock.clamp(min, max)))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetSupportedMemoryClocks(device: Device, count: *mut c_uint, target: *mut c_uint) -> u32 {
    of("nvmlDeviceGetSupportedMemoryClocks", device, |machine, gpu| {
        put_clocks(count, target, &machine.clocks(&format!("{gpu}memory_clocks"))?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetSupportedGraphicsClocks(
    device: Device,
    _memory: c_uint,
    count: *mut c_uint,
    target: *mut c_uint,
) -> u32 {
    of("nvmlDeviceGetSupportedGraphicsClocks", device, |machine, gpu| {
        put_clocks(count, target, &machine.clocks(&format!("{gpu}graphics_clocks"))?)
    })
}

/// There are two performance states, 0 and 8; each has all clocks.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetSupportedPerformanceStates(device: Device, target: *mut c_uint, bytes: c_uint) -> u32 {
    const NONE: c_uint = 32;
    of("nvmlDeviceGetSupportedPerformanceStates", device, |_, _| {
        for at in 0..bytes as usize / size_of::<c_uint>() {
            // SAFETY: the caller of NVML gives a buffer of so many bytes.
            put(unsafe { target.add(at) }, [0, 8].get(at).copied().unwrap_or(NONE))?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMinMaxClockOfPState(
    device: Device,
    _kind: c_uint,
    _state: c_uint,
    min: *mut c_uint,
    max: *mut c_uint,
) -> u32 {
    of("nvmlDeviceGetMinMaxClockOfPState", device, |machine, gpu| {
        let clocks = machine.clocks(&format!("{gpu}graphics_clocks"))?;
        put(max, *clocks.first().ok_or(NOT_SUPPORTED)?)?;
        put(min, *clocks.last().ok_or(NOT_SUPPORTED)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceSetPersistenceMode(device: Device, mode: c_uint) -> u32 {
    of("nvmlDeviceSetPersistenceMode", device, |mut machine, gpu| machine.change(&format!("{gpu}persistence"), mode))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceSetPowerManagementLimit(device: Device, limit: c_uint) -> u32 {
    of("nvmlDeviceSetPowerManagementLimit", device, |mut machine, gpu| {
        let fact = |name: &str| machine.number(&format!("{gpu}{name}"));
        match u64::from(limit) {
            limit if limit < fact("power_min")? || limit > fact("power_max")? => Err(INVALID_ARGUMENT),
            limit => machine.change(&format!("{gpu}power_limit"), limit),
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceSetComputeMode(device: Device, mode: c_uint) -> u32 {
    of("nvmlDeviceSetComputeMode", device, |mut machine, gpu| match machine.number(&format!("{gpu}mig")) {
        Ok(1) => Err(NOT_SUPPORTED),
        _ => machine.change(&format!("{gpu}compute_mode"), mode),
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceSetGpuLockedClocks(device: Device, min: c_uint, max: c_uint) -> u32 {
    of("nvmlDeviceSetGpuLockedClocks", device, |mut machine, gpu| {
        machine.change(&format!("{gpu}locked"), format!("{min}-{max}"))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceResetGpuLockedClocks(device: Device) -> u32 {
    of("nvmlDeviceResetGpuLockedClocks", device, |mut machine, gpu| machine.change(&format!("{gpu}locked"), ""))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceSetMemoryLockedClocks(device: Device, min: c_uint, max: c_uint) -> u32 {
    of("nvmlDeviceSetMemoryLockedClocks", device, |mut machine, gpu| {
        machine.change(&format!("{gpu}memory_locked"), format!("{min}-{max}"))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceResetMemoryLockedClocks(device: Device) -> u32 {
    of("nvmlDeviceResetMemoryLockedClocks", device, |mut machine, gpu| {
        machine.change(&format!("{gpu}memory_locked"), "")
    })
}
