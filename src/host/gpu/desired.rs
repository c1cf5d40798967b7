//! The settings that GPUs are to have, as the compiler writes them for `gpu apply`.

use serde::Deserialize;

use crate::host::driver::{ComputeMode, Gpu, Range, Setting};

/// What happens when a GPU does not know a setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsupported {
    Fail,
    #[default]
    Warn,
}

/// The settings of one GPU. What is none is left alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// Its name in the profile.
    pub name: String,
    pub uuid: Option<String>,
    pub pci_address: Option<String>,
    /// Its number in PCI order. The most exact of these four counts; the compiler writes all that it knows.
    pub index: Option<u32>,
    /// What the driver calls it, for a host with one of its kind.
    pub model: Option<String>,
    pub persistence_mode: Option<bool>,
    pub power_limit_watts: Option<u32>,
    pub graphics_clock_mhz: Option<Range>,
    pub memory_clock_mhz: Option<Range>,
    /// The old way to say which clocks a GPU runs at.
    pub applications_clock_mhz: Option<ApplicationsClock>,
    pub compute_mode: Option<ComputeMode>,
    #[serde(default)]
    pub unsupported: Unsupported,
}

/// Clocks in MHz.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationsClock {
    pub graphics: u32,
    pub memory: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    version: u32,
    gpus: Vec<Desired>,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DesiredError {
    #[error("it does not hold settings of GPUs: {0}")]
    Invalid(#[from] serde_json::Error),
    #[error("it has version {0}, and this citadel knows version 1; use the citadel that it was built with")]
    Version(u32),
}

/// Reads the file that the compiler writes.
pub fn read(text: &[u8]) -> Result<Vec<Desired>, DesiredError> {
    let config: Config = serde_json::from_slice(text)?;
    if config.version == 1 { Ok(config.gpus) } else { Err(DesiredError::Version(config.version)) }
}

impl Desired {
    /// Returns the settings, and what is to be said about them.
    pub fn settings(&self) -> (Vec<Setting>, Option<String>) {
        let exactly = |clock| Range { min: clock, max: clock };
        let old = self.applications_clock_mhz;
        let graphics = self.graphics_clock_mhz.or(old.map(|clock| exactly(clock.graphics)));
        let memory = self.memory_clock_mhz.or(old.map(|clock| exactly(clock.memory)));
        let note = old.map(|_| {
            let name = &self.name;
            format!("{name}: NVIDIA removes applications clocks, so the same clocks are locked instead")
        });
        let settings = [
            self.persistence_mode.map(Setting::PersistenceMode),
            self.power_limit_watts.map(|watts| Setting::PowerLimitMilliwatts(watts.saturating_mul(1000))),
            graphics.map(|range| Setting::GraphicsClockMhz(Some(range))),
            memory.map(|range| Setting::MemoryClockMhz(Some(range))),
            self.compute_mode.map(Setting::ComputeMode),
        ];
        (settings.into_iter().flatten().collect(), note)
    }

    /// Finds the GPU that is meant; the error says why there is none.
    pub fn find<'a>(&self, gpus: &'a [Gpu]) -> Result<&'a Gpu, String> {
        let name = &self.name;
        let (what, matches): (String, Vec<&Gpu>) = if let Some(uuid) = &self.uuid {
            let matches = gpus.iter().filter(|gpu| gpu.uuid.as_ref() == Some(uuid));
            (format!("with the UUID {uuid}"), matches.collect())
        } else if let Some(address) = &self.pci_address {
            let wanted = plain(address);
            let matches = gpus.iter().filter(|gpu| gpu.pci_address.as_deref().map(plain) == Some(wanted));
            (format!("at the PCI address {address}"), matches.collect())
        } else if let Some(index) = self.index {
            (format!("with the number {index}"), gpus.iter().filter(|gpu| gpu.index == index).collect())
        } else if let Some(model) = &self.model {
            let matches = gpus.iter().filter(|gpu| gpu.name.as_ref() == Some(model));
            (format!("of the model {model}"), matches.collect())
        } else {
            return Err(format!("{name}: nothing says which GPU it is; give it a `uuid` or a `pci_address`"));
        };
        match matches.as_slice() {
            [gpu] => Ok(gpu),
            [] => Err(format!("{name}: there is no GPU {what} that answers; see `citadel gpu status`")),
            _ => Err(format!("{name}: there are {} GPUs {what}; say which by its UUID", matches.len())),
        }
    }
}

/// Returns a PCI address without a domain of more digits than the kernel writes.
fn plain(address: &str) -> &str {
    let domain = address.split(':').next().unwrap_or_default();
    if domain.len() == 8 { address.strip_prefix("0000").unwrap_or(address) } else { address }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::gpu::testing::rtx4090;

    fn one(fields: &str) -> Desired {
        let text = format!(r#"{{ "version": 1, "gpus": [{{ "name": "main"{fields} }}] }}"#);
        read(text.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn the_most_exact_name_of_a_gpu_counts() {
        let gpus = [rtx4090(0), rtx4090(1)];
        let found = |fields: &str| one(fields).find(&gpus).map(|gpu| gpu.index);
        assert_eq!(found(r#", "index": 1"#), Ok(1));
        assert_eq!(found(r#", "index": 0, "pci_address": "00000000:02:00.0""#), Ok(1));
        let uuid = gpus[0].uuid.clone().unwrap();
        assert_eq!(found(&format!(r#", "index": 1, "uuid": "{uuid}""#)), Ok(0));
        let several = found(r#", "model": "NVIDIA GeForce RTX 4090""#).unwrap_err();
        assert!(several.starts_with("main: there are 2 GPUs of the model"), "{several}");
        assert!(found(r#", "index": 2"#).unwrap_err().contains("no GPU with the number 2"));
        assert!(found("").unwrap_err().contains("nothing says which GPU"));
        assert_eq!(one(r#", "model": "NVIDIA GeForce RTX 4090""#).find(&gpus[..1]).map(|gpu| gpu.index), Ok(0));
    }

    #[test]
    fn applications_clocks_become_locked_clocks() {
        let (settings, note) = one(r#", "applications_clock_mhz": { "graphics": 2230, "memory": 10501 }"#).settings();
        let exactly = |clock| Some(Range { min: clock, max: clock });
        assert_eq!(settings, [Setting::GraphicsClockMhz(exactly(2230)), Setting::MemoryClockMhz(exactly(10501))]);
        assert!(note.is_some());
        assert_eq!(
            one(r#", "power_limit_watts": 300"#).settings(),
            (vec![Setting::PowerLimitMilliwatts(300_000)], None)
        );
    }

    #[test]
    fn a_file_of_another_version_is_refused() {
        assert!(matches!(read(br#"{ "version": 2, "gpus": [] }"#), Err(DesiredError::Version(2))));
        assert!(matches!(
            read(br#"{ "version": 1, "gpus": [{ "name": "a", "fan": 1 }] }"#),
            Err(DesiredError::Invalid(_))
        ));
    }
}
