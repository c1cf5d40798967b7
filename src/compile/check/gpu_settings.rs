//! Settings of GPUs against what the devices of the host accept.

use crate::compile::config::{ClockRange, HostRange};
use crate::compile::finding::{Finding, OptionPath};

use super::codes::GPU_SETTING;
use super::context::Context;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let profile = &context.system.profile;
    for (name, gpu) in &profile.gpus {
        let origin = OptionPath::new(["gpus"]).member(name);
        let device = super::gpu_devices::index_on_host(context.system, gpu).and_then(|at| profile.host.gpus.get(at));
        let limits = |range: fn(&crate::compile::config::HostGpu) -> Option<&HostRange>| device.and_then(range);
        if let Some(watts) = gpu.power_limit_watts {
            let accepted = limits(|gpu| gpu.power_limit_watts.as_ref());
            findings.extend(outside(origin.join("power_limit_watts"), "power limit", "W", watts, accepted));
        }
        let clocks = [
            (
                "graphics_clock_mhz",
                "graphics clock",
                gpu.graphics_clock_mhz,
                limits(|gpu| gpu.graphics_clock_mhz.as_ref()),
            ),
            ("memory_clock_mhz", "memory clock", gpu.memory_clock_mhz, limits(|gpu| gpu.memory_clock_mhz.as_ref())),
        ];
        for (option, what, range, accepted) in clocks {
            let Some(ClockRange { min, max }) = range else { continue };
            let place = origin.join(option);
            if min > max {
                findings.push(
                    Finding::error(GPU_SETTING, format!("the lowest {what} of {name} is above the highest"))
                        .at(place.join("min"), format!("at least {min} MHz"))
                        .at(place.join("max"), format!("at most {max} MHz"))
                        .help(format!("swap them: `min = {max}, max = {min}`")),
                );
            }
            findings.extend(outside(place.join("min"), what, "MHz", min, accepted));
            findings.extend(outside(place.join("max"), what, "MHz", max, accepted).filter(|_| max != min));
        }
        let blackwell = device.filter(|device| device.name.contains("RTX 50"));
        if let Some(device) = blackwell.filter(|_| gpu.memory_clock_mhz.is_some()) {
            findings.push(
                Finding::warning(GPU_SETTING, format!("a locked memory clock can slow down {name}"))
                    .at(origin.join("memory_clock_mhz"), "locked here")
                    .note(format!("on {} any locked highest value was seen to cost up to 32 %", device.name))
                    .help("remove it, or measure with and without it"),
            );
        }
    }
}

fn outside(place: OptionPath, what: &str, unit: &str, value: u64, accepted: Option<&HostRange>) -> Option<Finding> {
    let accepted = accepted?;
    let limit = match value {
        _ if value < accepted.min => accepted.min,
        _ if value > accepted.max => accepted.max,
        _ => return None,
    };
    let mut finding = Finding::error(GPU_SETTING, format!("the device does not accept a {what} of {value} {unit}"))
        .at(place, "set here")
        .note(format!("it accepts {} to {} {unit}", accepted.min, accepted.max));
    if let Some(own) = accepted.default_value {
        finding = finding.note(format!("its default is {own} {unit}"));
    }
    Some(finding.help(format!("write at {} {limit}", if value < limit { "least" } else { "most" })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::found;

    #[test]
    fn settings_stay_within_the_limits_of_the_device() {
        let host = |name: &str| {
            json!({ "gpus": [{
                "name": name, "memory": "24G",
                "power_limit_watts": { "min": 150, "max": 450, "default_value": 450 },
                "graphics_clock_mhz": { "min": 210, "max": 3105 },
            }] })
        };
        let table = [
            (json!({ "power_limit_watts": 300, "graphics_clock_mhz": { "min": 210, "max": 2520 } }), ""),
            (
                json!({ "power_limit_watts": 500 }),
                "C0216 error gpus.a.power_limit_watts: the device does not accept a power limit of 500 W",
            ),
            (
                json!({ "graphics_clock_mhz": { "min": 100, "max": 2520 } }),
                "C0216 error gpus.a.graphics_clock_mhz.min: the device does not accept a graphics clock of 100 MHz",
            ),
            (
                json!({ "memory_clock_mhz": { "min": 3, "max": 2 } }),
                "C0216 error gpus.a.memory_clock_mhz.min: the lowest memory clock of a is above the highest",
            ),
        ];
        for (mut gpu, expected) in table {
            gpu["index"] = json!(0);
            assert_eq!(found(json!({ "host": host("RTX 4090"), "gpus": { "a": gpu } })).join("\n"), expected);
        }
        let gpu = json!({ "index": 0, "memory_clock_mhz": { "min": 2, "max": 3 } });
        assert_eq!(
            found(json!({ "host": host("NVIDIA GeForce RTX 5090"), "gpus": { "a": gpu } })),
            ["C0216 warning gpus.a.memory_clock_mhz: a locked memory clock can slow down a"]
        );
    }
}
