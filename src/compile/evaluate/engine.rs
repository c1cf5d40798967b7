//! The one place that drives Nickel; its programming interface changes with every release.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nickel_lang_core::cache::{CacheHub, InputFormat, SourcePath};
use nickel_lang_core::error::warning::Warning;
use nickel_lang_core::error::{Error, ImportErrorKind, IntoDiagnostics, Reporter, TypecheckErrorKind};
use nickel_lang_core::eval::cache::CacheImpl;
use nickel_lang_core::eval::value::{Container, NickelValue};
use nickel_lang_core::eval::{VirtualMachine, VmContext};
use nickel_lang_core::files::{FileId, Files};
use nickel_lang_core::position::{PosIdx, TermPos};

use super::advice;
use super::library;
use super::origins::Origins;
use crate::bundle::digest::Digest;
use crate::compile::diagnostic::{Diagnostic, Label, Place, Source, SourceKind, Sources};
use crate::compile::finding::Severity;
use crate::compile::project::Project;

/// Values nested deeper than this are refused; no option is.
const MAX_DEPTH: usize = 64;

/// Collects warnings instead of printing them.
#[derive(Clone, Default)]
struct Warnings(Rc<RefCell<Vec<(Warning, Files)>>>);

impl Reporter<(Warning, Files)> for Warnings {
    fn report(&mut self, warning: (Warning, Files)) {
        self.0.borrow_mut().push(warning);
    }
}

/// An evaluation of one profile.
pub struct Engine {
    pub context: VmContext<CacheHub, CacheImpl>,
    main: Option<FileId>,
    project: Project,
    /// File names are shown relative to this folder.
    shown_from: PathBuf,
    sources: Sources,
    numbers: HashMap<FileId, usize>,
    warnings: Warnings,
}

impl Engine {
    /// Returns an engine that can import the module library.
    pub fn new(project: Project, shown_from: PathBuf) -> Self {
        let mut hub = CacheHub::new();
        library::add_to(&mut hub);
        let warnings = Warnings::default();
        Engine {
            context: VmContext::new(hub, std::io::stderr(), warnings.clone()),
            main: None,
            project,
            shown_from,
            sources: Sources::default(),
            numbers: HashMap::new(),
            warnings,
        }
    }

    /// Adds the text of the profile; imports are resolved relative to `path`.
    pub fn load(&mut self, path: &Path, text: String) {
        let source = SourcePath::Path(path.to_owned(), InputFormat::Nickel);
        self.main = Some(self.context.import_resolver.sources.add_string(source, text));
    }

    /// Parses, resolves imports and checks static types.
    pub fn prepare(&mut self) -> Result<NickelValue, Error> {
        match self.main {
            Some(main) => self.context.prepare_eval(main),
            None => Ok(NickelValue::null()),
        }
    }

    /// Prepares a text of our own that looks into the library.
    pub fn prepare_text(&mut self, text: String) -> Result<NickelValue, Error> {
        let source = SourcePath::Path("/citadel-question.ncl".into(), InputFormat::Nickel);
        let file = self.context.import_resolver.sources.add_string(source, text);
        self.context.prepare_eval(file)
    }

    /// Evaluates everything that will be exported.
    pub fn export(&mut self, value: NickelValue) -> Result<NickelValue, Error> {
        Ok(VirtualMachine::new(&mut self.context).eval_full_for_export(value)?)
    }

    /// Returns the digests of the profile and of everything that it imports, by name; an error for a file outside the
    /// project, at the place of its import.
    pub fn inputs(&mut self) -> Result<BTreeMap<String, Digest>, Diagnostic> {
        let Some(main) = self.main else { return Ok(BTreeMap::new()) };
        let hub = &self.context.import_resolver;
        let mut files: Vec<FileId> = hub.import_data.transitive_imports(main).into_iter().collect();
        files.push(main);
        let mut inputs = BTreeMap::new();
        let mut outside: Option<(PathBuf, FileId)> = None;
        for file in files {
            let Some(SourcePath::Path(path, _)) = hub.sources.file_paths.get(&file) else { continue };
            let digest = Digest::of(hub.sources.source(file).as_bytes());
            if let Some(name) = library::name_of(path) {
                inputs.insert(format!("citadel:{name}"), digest);
                continue;
            }
            // Links count by where they lead.
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            match (self.project.relative(path), self.project.relative(&real)) {
                (Some(name), Some(_)) => drop(inputs.insert(name, digest)),
                // Of several always the same one, in whatever order they come.
                _ => outside = Some(outside.map_or((real.clone(), file), |other| other.min((real, file)))),
            }
        }
        let Some((path, file)) = outside else { return Ok(inputs) };
        let importers = self.context.import_resolver.import_data.rev_imports.get(&file);
        let positions = importers.into_iter().flat_map(|places| places.values()).filter_map(|place| place.into_opt());
        let position = positions.min_by_key(|span| (span.src_id, span.start)).map(TermPos::Original);
        let mut refused = Diagnostic::error(
            super::OUTSIDE,
            format!("the profile imports {}, which lies outside the project", path.display()),
        )
        .note(format!("files are imported from {} and the module library alone", self.project.root().display()))
        .help("move the file into the project, or write its content into the profile");
        if let Some(place) = position.and_then(|position| self.place(position)) {
            refused = refused.at(place, "imported here");
        }
        Err(refused)
    }

    /// Returns whether a file of the project hides one of the module library, with the file.
    pub fn shadowed_library(&self) -> Option<PathBuf> {
        let main = self.main?;
        let hub = &self.context.import_resolver;
        let imports = hub.import_data.transitive_imports(main).into_iter();
        let hidden = imports.filter_map(|file| match hub.sources.file_paths.get(&file) {
            Some(SourcePath::Path(path, _)) if library::name_of(path).is_none() => {
                let name = path.to_str()?;
                let hides = library::FILES.iter().any(|(known, _)| name.ends_with(&format!("/{known}")));
                hides.then(|| path.strip_prefix(&self.shown_from).unwrap_or(path).to_owned())
            }
            _ => None,
        });
        hidden.min()
    }

    /// Returns the place of a position of Nickel's, when it has one.
    pub fn place(&mut self, position: TermPos) -> Option<Place> {
        let span = position.into_opt()?;
        let source = self.number_of(span.src_id);
        Some(Place { source, range: span.start.0 as usize..span.end.0 as usize })
    }

    /// Returns the place behind an index into Nickel's table of positions.
    pub fn place_of(&mut self, index: PosIdx) -> Option<Place> {
        let position = self.context.pos_table.get(index);
        self.place(position)
    }

    /// Returns the place of a value.
    pub fn place_of_value(&mut self, value: &NickelValue) -> Option<Place> {
        let position = value.pos(&self.context.pos_table);
        self.place(position)
    }

    fn number_of(&mut self, file: FileId) -> usize {
        let files = self.context.import_resolver.sources.files().clone();
        self.number_in(file, &files)
    }

    /// Returns the number of a file among the sources; `files` may hold snippets that an error brought along.
    fn number_in(&mut self, file: FileId, files: &Files) -> usize {
        if let Some(number) = self.numbers.get(&file) {
            return *number;
        }
        let path = match self.context.import_resolver.sources.file_paths.get(&file) {
            Some(SourcePath::Path(path, _)) => Some(path.clone()),
            _ => None,
        };
        let library = path.as_deref().and_then(library::name_of);
        let name = match (&path, library) {
            (_, Some(name)) => format!("<library>/{name}"),
            (Some(path), None) => path.strip_prefix(&self.shown_from).unwrap_or(path).display().to_string(),
            (None, None) => format!("<{}>", files.name(file).to_string_lossy().trim_matches(['<', '>'])),
        };
        let kind = match library {
            Some(name) if library::is_stack(name) => SourceKind::Stack,
            Some(_) => SourceKind::Library,
            None if path.is_none() => SourceKind::Library,
            None => SourceKind::Own,
        };
        let source = Source { name, text: files.clone_source(file), kind };
        let number = self.sources.add(source);
        self.numbers.insert(file, number);
        number
    }

    /// Returns the texts that places point into.
    pub fn into_sources(self) -> Sources {
        self.sources
    }

    /// Returns the texts that places point into.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Returns Nickel's own account of an error, as problems of ours.
    pub fn describe(&mut self, code: &'static str, error: Error) -> Vec<Diagnostic> {
        let mut files = self.context.import_resolver.sources.files().clone();
        let described = error.into_diagnostics(&mut files);
        let described = self.convert(code, Severity::Error, described, &files);
        described.into_iter().map(|it| advice::advise(it, &self.sources)).collect()
    }

    /// Returns an account of an error that was found before the evaluation.
    pub fn describe_preparation(&mut self, error: Error) -> Vec<Diagnostic> {
        let import = match &error {
            Error::ImportError(kind) => Some(&**kind),
            Error::TypecheckError(error) => match error.borrow_error() {
                TypecheckErrorKind::ImportError(kind) => Some(kind),
                _ => None,
            },
            _ => None,
        };
        let code = match (&error, import) {
            (_, Some(ImportErrorKind::IOError(path, reason, position))) => {
                let (path, reason, position) = (path.clone(), reason.clone(), *position);
                let beside = self.importable_beside(position, &path);
                let place = self.place(position);
                return vec![advice::no_import(super::IMPORT, &path, &reason, place, &beside)];
            }
            (Error::ParseErrors(_), _) | (_, Some(ImportErrorKind::ParseErrors(..))) => super::SYNTAX,
            (_, Some(_)) => super::IMPORT,
            (Error::TypecheckError(_), _) => super::TYPE,
            _ => super::explain::EVALUATION,
        };
        self.describe(code, error)
    }

    /// Returns the files in the folder that an import leads to, as the importing file would name them.
    fn importable_beside(&self, position: TermPos, path: &str) -> Vec<String> {
        let importer = position.src_id().and_then(|file| self.context.import_resolver.sources.file_paths.get(&file));
        let Some(SourcePath::Path(importer, _)) = importer else { return Vec::new() };
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        let files = std::fs::read_dir(importer.parent().unwrap_or(Path::new("/")).join(folder)).into_iter().flatten();
        let mut names: Vec<String> =
            files.flatten().map(|file| folder.join(file.file_name()).display().to_string()).collect();
        names.sort();
        names
    }

    /// Returns Nickel's warnings.
    pub fn take_warnings(&mut self) -> Vec<Diagnostic> {
        let warnings = std::mem::take(&mut *self.warnings.0.borrow_mut());
        warnings
            .into_iter()
            .flat_map(|(warning, mut files)| {
                let described = warning.into_diagnostics(&mut files);
                self.convert(super::NICKEL_WARNING, Severity::Warning, described, &files)
            })
            .collect()
    }

    fn convert(
        &mut self,
        code: &'static str,
        severity: Severity,
        described: Vec<codespan_reporting::diagnostic::Diagnostic<FileId>>,
        files: &Files,
    ) -> Vec<Diagnostic> {
        described
            .into_iter()
            .map(|shown| {
                let mut labels: Vec<Label> = Vec::new();
                for label in shown.labels {
                    let source = self.number_in(label.file_id, files);
                    let place = self.sources.first_line(Place { source, range: label.range });
                    labels.push(Label { place, words: label.message });
                }
                // What the user wrote is the cause; the library only explains.
                labels.sort_by_key(|label| !super::origins::is_own(&label.place, &self.sources));
                let folder = format!("{}/", self.shown_from.display());
                let message = shown.message.replace(&folder, "").replace(library::ROOT, "the module library");
                Diagnostic { code, severity, message, labels, notes: shown.notes, help: None }
            })
            .collect()
    }

    /// Walks an exported value and returns where everything in it was written.
    pub fn origins(&mut self, value: &NickelValue) -> Result<Origins, Diagnostic> {
        self.origins_at(value, None, 0)
    }

    fn origins_at(&mut self, value: &NickelValue, key: Option<Place>, depth: usize) -> Result<Origins, Diagnostic> {
        let place = self.place_of_value(value);
        if depth > MAX_DEPTH {
            let refused =
                Diagnostic::error(super::TOO_DEEP, format!("a value is nested more than {MAX_DEPTH} levels deep"))
                    .help("no option is; look for a function that puts its result into another record each time");
            return Err(match place {
                Some(place) => refused.at(place, "in here"),
                None => refused,
            });
        }
        let mut children = BTreeMap::new();
        if let Some(Container::Alloc(record)) = value.as_record() {
            for (name, field) in &record.fields {
                if let Some(inner) = field.value.as_ref().filter(|_| !field.metadata.not_exported()) {
                    let key = self.place(name.pos);
                    children.insert(name.label().to_owned(), self.origins_at(inner, key, depth + 1)?);
                }
            }
        } else if let Some(Container::Alloc(array)) = value.as_array() {
            for (at, inner) in array.array.iter().enumerate() {
                children.insert(at.to_string(), self.origins_at(inner, None, depth + 1)?);
            }
        }
        Ok(Origins { key, value: place, children })
    }
}
