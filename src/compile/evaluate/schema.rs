//! The contracts of the module library as data: their fields, with documentation and defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nickel_lang_core::eval::VirtualMachine;
use nickel_lang_core::eval::value::{Container, NickelValue};
use nickel_lang_core::term::record::Field;

use super::engine::Engine;
use crate::compile::project::Project;

/// The contracts by name.
#[derive(Debug, Default)]
pub struct Schema {
    /// The fields of contracts that are records, in the order of the library.
    pub records: BTreeMap<String, Vec<Described>>,
    /// The documentation of every contract that has one.
    pub docs: BTreeMap<String, String>,
}

/// A field of a contract.
#[derive(Debug)]
pub struct Described {
    pub name: String,
    pub doc: Option<String>,
    /// Its own contract as the library writes it.
    pub contract: String,
    /// Its default as Nickel writes it, unless it is an empty record.
    pub default: Option<String>,
    pub optional: bool,
}

/// Reads the contracts of the embedded library.
pub fn of_library() -> Schema {
    let mut engine = Engine::new(Project::nowhere(), PathBuf::new());
    engine.load(Path::new("/reference.ncl"), "import \"citadel/lib.ncl\"".to_owned());
    let mut schema = Schema::default();
    let Ok(library) = engine.prepare() else { return schema };
    let Ok(library) = VirtualMachine::new(&mut engine.context).eval(library) else { return schema };
    let Some(Container::Alloc(contracts)) = library.as_record() else { return schema };
    for (name, field) in &contracts.fields {
        if let Some(doc) = field.metadata.doc() {
            schema.docs.insert(name.label().to_owned(), doc.to_owned());
        }
        let Some(value) = field.value.clone() else { continue };
        let Ok(value) = VirtualMachine::new(&mut engine.context).eval(value) else { continue };
        if let Some(Container::Alloc(record)) = value.as_record() {
            let fields = record.fields.iter().map(|(name, field)| describe(&mut engine, name.label(), field)).collect();
            schema.records.insert(name.label().to_owned(), fields);
        }
    }
    schema
}

fn describe(engine: &mut Engine, name: &str, field: &Field) -> Described {
    let metadata = field.metadata.as_ref();
    let annotation = metadata.and_then(|metadata| {
        let annotation = &metadata.annotation;
        annotation.contracts.first().or(annotation.typ.as_ref())
    });
    let contract = annotation.and_then(|contract| {
        let place = engine.place_of(contract.label.span)?;
        let text = &engine.sources().get(place.source)?.text;
        text.get(place.range).map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    Described {
        name: name.to_owned(),
        doc: field.metadata.doc().map(str::to_owned),
        contract: contract.unwrap_or_default(),
        default: field.value.clone().and_then(|value| default_of(engine, value)),
        optional: field.metadata.opt(),
    }
}

fn default_of(engine: &mut Engine, value: NickelValue) -> Option<String> {
    let value = engine.export(value).ok()?;
    if matches!(value.as_record(), Some(Container::Empty)) {
        return Some("{}".to_owned());
    }
    Some(value.to_string())
}
