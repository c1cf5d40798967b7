//! The driver, CUDA, and the free memory of the GPUs of a service.

use super::answer::{Answer, Failure};
use super::graphics::{Card, Cards};
use super::room::enough;
use super::version::Version;
use crate::bundle::manifest::{Manifest, UnitEntry};
use crate::bundle::quantity::Size;

/// A GPU that a service uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in the profile.
    pub name: String,
    index: u32,
    uuid: Option<String>,
    pci_address: Option<String>,
}

impl Wanted {
    /// Returns the GPUs of a unit.
    pub fn of(manifest: &Manifest, entry: &UnitEntry) -> Vec<Self> {
        let wanted = |name: &String| {
            let index = manifest.budget.gpus.iter().find(|gpu| gpu.name == *name)?.index;
            let required = manifest.requires.gpus.iter().find(|gpu| gpu.index == index);
            Some(Wanted {
                name: name.clone(),
                index,
                uuid: required.and_then(|gpu| gpu.uuid.clone()),
                pci_address: required.and_then(|gpu| gpu.pci_address.clone()),
            })
        };
        entry.gpus.iter().filter_map(wanted).collect()
    }

    /// Finds it by what is known of it for certain, and by its number only where nothing else is known.
    fn find<'a>(&self, cards: &'a Cards) -> Option<&'a Card> {
        cards.cards.iter().find(|card| match (&self.uuid, &self.pci_address) {
            (Some(uuid), _) => card.uuid.as_ref() == Some(uuid),
            (None, Some(address)) => card.pci_address.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(address)),
            (None, None) => card.index == self.index,
        })
    }
}

pub fn driver(seen: &Result<Cards, String>, wanted: &Version) -> Answer {
    let cards = seen.as_ref().map_err(|trouble| no_driver(trouble))?;
    at_least("the NVIDIA driver", cards.driver.as_deref(), wanted, "install a newer driver")
}

pub fn cuda(seen: &Result<Cards, String>, wanted: &Version) -> Answer {
    let cards = seen.as_ref().map_err(|trouble| no_driver(trouble))?;
    at_least("the CUDA of the driver", cards.cuda.as_deref(), wanted, "install a newer driver, which brings it")
}

fn at_least(what: &str, has: Option<&str>, wanted: &Version, help: &str) -> Answer {
    let Some(text) = has else {
        return Err(Failure::new(format!("{what} does not tell its version"), help));
    };
    match Version::parse(text) {
        Some(version) if version.is_enough(wanted) => Ok(format!("{what} is {text}")),
        _ => Err(Failure::new(format!("{what} is {text}, and {wanted} is needed"), help)),
    }
}

/// Judges the free memory of every GPU of a service.
pub fn memory(seen: &Result<Cards, String>, gpus: &[Wanted], wanted: Size) -> Answer {
    let cards = seen.as_ref().map_err(|trouble| no_driver(trouble))?;
    if gpus.is_empty() {
        return Err(Failure::new("the service has no GPU", "name it with `gpu.devices`, or remove the check"));
    }
    let mut found = Vec::new();
    for gpu in gpus {
        let name = &gpu.name;
        let Some(card) = gpu.find(cards) else {
            let help = "see `citadel gpu status`, and correct the facts of the host when a GPU was replaced";
            return Err(Failure::new(format!("the GPU {name} is not there, or does not answer"), help));
        };
        let Some(free) = card.free_bytes else {
            return Err(Failure::new(
                format!("the GPU {name} does not tell its free memory"),
                "see `citadel gpu status`",
            ));
        };
        found.push(enough(Size(free), wanted, &format!("of the memory of the GPU {name}"), || {
            format!("stop what takes it: nvidia-smi -i {} shows which processes do", card.index)
        })?);
    }
    Ok(found.join(", "))
}

fn no_driver(trouble: &str) -> Failure {
    // The trouble says what to do as far as that is known.
    Failure::new(trouble, "see `citadel gpu status`")
}

#[cfg(test)]
mod tests {
    use super::super::testing::reason;
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn seen() -> Result<Cards, String> {
        let card = |index: u32, free: Option<u64>| Card {
            index,
            uuid: Some(format!("GPU-{index}")),
            pci_address: Some(format!("0000:0{index}:00.0")),
            free_bytes: free.map(|gib| gib << 30),
        };
        Ok(Cards {
            driver: Some("535.183.01".to_owned()),
            cuda: Some("12.2".to_owned()),
            cards: vec![card(0, Some(20)), card(1, Some(4)), card(2, None)],
        })
    }

    fn gpu(name: &str, index: u32, uuid: Option<&str>, pci_address: Option<&str>) -> Wanted {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Wanted { name: name.to_owned(), index, uuid: text(uuid), pci_address: text(pci_address) }
    }

    #[test]
    fn versions_have_a_lowest() {
        assert_eq!(driver(&seen(), &version("525.60.11")), Ok("the NVIDIA driver is 535.183.01".to_owned()));
        assert_eq!(reason(driver(&seen(), &version("550"))), "the NVIDIA driver is 535.183.01, and 550 is needed");
        assert_eq!(cuda(&seen(), &version("12.0")), Ok("the CUDA of the driver is 12.2".to_owned()));
        assert_eq!(reason(cuda(&seen(), &version("12.4"))), "the CUDA of the driver is 12.2, and 12.4 is needed");
        assert_eq!(
            reason(cuda(&Ok(Cards::default()), &version("12"))),
            "the CUDA of the driver does not tell its version"
        );
        assert_eq!(reason(driver(&Err("no driver".to_owned()), &version("1"))), "no driver");
    }

    #[test]
    fn every_gpu_of_the_service_needs_the_memory() {
        let by_index = gpu("main", 0, None, None);
        let judged = |gpus: &[Wanted], gib: u64| memory(&seen(), gpus, Size(gib << 30));
        assert_eq!(
            judged(std::slice::from_ref(&by_index), 12),
            Ok("20.0 GiB of the memory of the GPU main is free".to_owned())
        );
        assert_eq!(
            reason(judged(&[by_index.clone(), gpu("second", 1, None, None)], 12)),
            "only 4.0 GiB of the memory of the GPU second is free, and 12.0 GiB is needed"
        );
        assert_eq!(reason(judged(&[gpu("x", 2, None, None)], 1)), "the GPU x does not tell its free memory");
        assert_eq!(reason(judged(&[], 1)), "the service has no GPU");
    }

    #[test]
    fn a_gpu_is_known_by_what_stays() {
        let free = |gpu: Wanted| memory(&seen(), &[gpu], Size(1)).is_ok_and(|found| found.starts_with("4.0 GiB"));
        assert!(free(gpu("a", 0, Some("GPU-1"), None)));
        assert!(free(gpu("a", 0, None, Some("0000:01:00.0"))));
        assert_eq!(
            reason(memory(&seen(), &[gpu("a", 0, Some("GPU-9"), None)], Size(1))),
            "the GPU a is not there, or does not answer"
        );
    }
}
