//! The reference of all options, read from the documentation in the module library itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::evaluate::schema::{self, Described};
use super::finding::OptionPath;

/// A record with more options than this is listed in one place only.
const LARGE: usize = 12;
/// What a truth value is called.
pub const TRUTH: &str = "`true` or `false`";

/// All options as a tree.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    root: Node,
    records: Vec<String>,
    /// What the types of single values mean, by name.
    types: BTreeMap<String, String>,
}

/// One option, and what is in it.
#[derive(Clone, Debug, Default)]
struct Node {
    doc: Option<String>,
    kind: String,
    default: Option<String>,
    optional: bool,
    /// In the order of the library.
    children: Vec<(String, Node)>,
    /// What every member of a dictionary or a list is.
    member: Option<Box<Node>>,
}

/// An option as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// Its path, with `NAME` for a name of the user's choice.
    pub path: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub doc: String,
    /// Its default as Nickel writes it.
    pub default: Option<String>,
    /// It has neither a default nor may it be left out.
    pub required: bool,
}

impl Reference {
    /// Reads the embedded library. An unreadable one gives an empty reference; a test shows that it is readable.
    pub fn of_library() -> Self {
        let schema = schema::of_library();
        let mut root = Node { kind: "Profile".to_owned(), ..Node::default() };
        if let Some(fields) = schema.records.get("Profile") {
            root.children = fields.iter().map(|field| (field.name.clone(), Node::of(field, &schema, 0))).collect();
        }
        let types = schema.docs.into_iter().filter(|(name, _)| !schema.records.contains_key(name)).collect();
        Reference { root, types, records: schema.records.into_keys().collect() }
    }

    /// Returns all options in the order of the library.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.root.collect("", &mut entries, &mut BTreeMap::new());
        entries
    }

    /// Returns the names of the options inside an option; none for a dictionary, whose names are free.
    pub fn names_in(&self, path: &OptionPath) -> Vec<&str> {
        let node = self.node(path);
        node.map(|node| node.children.iter().map(|(name, _)| name.as_str()).collect()).unwrap_or_default()
    }

    /// Returns the name of the record contract of an option, when it has one.
    pub fn record_at(&self, path: &OptionPath) -> Option<&str> {
        self.node(path).filter(|node| !node.children.is_empty()).map(|node| node.kind.as_str())
    }

    /// Returns what the value of an option has to be, in words; `None` for a contract that says it by itself.
    pub fn wanted(&self, path: &OptionPath) -> Option<String> {
        let node = self.node(path)?;
        let kind = &node.kind;
        if !node.children.is_empty() {
            return Some("a record such as `{ … }`".to_owned());
        }
        match kind.as_str() {
            "String" => Some("a string in quotes".to_owned()),
            "Number" => Some("a number".to_owned()),
            _ if kind.starts_with("names mapped to") => Some("a record such as `{ name = … }`".to_owned()),
            _ if kind.starts_with("list of") => Some("a list such as `[\"…\"]`".to_owned()),
            _ if kind.contains('`') => Some(kind.clone()),
            _ => None,
        }
    }

    /// Returns what kind of value an option has, as the reference shows it.
    pub fn kind(&self, path: &OptionPath) -> Option<&str> {
        self.node(path).map(|node| node.kind.as_str())
    }

    /// Returns the names of all record contracts.
    pub fn records(&self) -> &[String] {
        &self.records
    }

    /// Returns the documentation of an option.
    pub fn doc(&self, path: &OptionPath) -> Option<&str> {
        self.node(path)?.doc.as_deref()
    }

    /// Returns the options of this name inside of an option, as paths relative to it; those that no name of the user's
    /// choice leads to.
    pub fn find_below(&self, path: &OptionPath, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(node) = self.node(path) {
            node.find(name, "", &mut found);
        }
        found
    }

    /// Returns the path of the only option with this name; `None` when there are none or several.
    pub fn find_name(&self, name: &str) -> Option<String> {
        let suffix = format!(".{name}");
        let mut found = self.entries().into_iter().filter(|entry| entry.path == name || entry.path.ends_with(&suffix));
        let first = found.next()?;
        found.next().is_none().then_some(first.path)
    }

    /// Returns the options whose path or documentation has every one of the words in it.
    pub fn search(&self, words: &[String]) -> Vec<Entry> {
        let wanted: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
        let fits = |entry: &Entry| {
            let text = format!("{} {}", entry.path, entry.doc).to_lowercase();
            wanted.iter().all(|word| text.contains(word))
        };
        self.entries().into_iter().filter(fits).collect()
    }

    /// Returns the reference as a Markdown page.
    pub fn to_markdown(&self) -> String {
        let mut page = String::from(
            "# Options\n\nEvery option of a profile, generated from the module library with `citadel options --markdown`.\n\
             `NAME` stands for a name of your choice.\n",
        );
        let mut sections: BTreeMap<usize, (String, Vec<Entry>)> = BTreeMap::new();
        let mut order: Vec<String> = Vec::new();
        for entry in self.entries() {
            let top = entry.path.split('.').next().unwrap_or_default().to_owned();
            let at = order.iter().position(|known| *known == top).unwrap_or_else(|| {
                order.push(top.clone());
                order.len() - 1
            });
            sections.entry(at).or_insert_with(|| (top, Vec::new())).1.push(entry);
        }
        for (top, entries) in sections.into_values() {
            let _ = write!(page, "\n## {top}\n");
            for entry in entries {
                let _ = write!(page, "\n### `{}`\n\n{}\n\n", entry.path, entry.doc);
                let _ = writeln!(page, "- Type: {}", entry.kind);
                match &entry.default {
                    Some(default) => drop(writeln!(page, "- Default: `{default}`")),
                    None if entry.required => page.push_str("- Required\n"),
                    None => {}
                }
            }
        }
        page.push_str("\n## Types\n\n");
        for (name, doc) in &self.types {
            let _ = writeln!(page, "- {name}: {doc}");
        }
        page
    }

    fn node(&self, path: &OptionPath) -> Option<&Node> {
        path.0.iter().try_fold(&self.root, |node, name| {
            let child = node.children.iter().find(|(known, _)| known == name).map(|(_, child)| child);
            child.or(node.member.as_deref())
        })
    }
}

impl Node {
    fn of(field: &Described, schema: &schema::Schema, depth: usize) -> Self {
        let mut node = Node::of_contract(&field.contract, schema, depth);
        if field.doc.is_some() {
            node.doc.clone_from(&field.doc);
        }
        node.default.clone_from(&field.default);
        node.optional = field.optional;
        node
    }

    /// Reads a contract as the library writes it: `t.Port`, `{ _ | t.Port }`, `Array t.Line`, `[| 'a, 'b |]`.
    fn of_contract(text: &str, schema: &schema::Schema, depth: usize) -> Self {
        let text = text.trim();
        if let Some(inner) = dictionary_of(text).filter(|_| depth < 16) {
            let member = Node::of_contract(inner, schema, depth + 1);
            let kind = format!("names mapped to {}", member.kind);
            return Node { kind, member: Some(Box::new(member)), ..Node::default() };
        }
        if let Some(inner) = text.strip_prefix("Array ").filter(|_| depth < 16) {
            let member = Node::of_contract(inner, schema, depth + 1);
            return Node {
                kind: format!("list of {}", member.kind),
                member: Some(Box::new(member)),
                ..Node::default()
            };
        }
        let name = text.rsplit('.').next().unwrap_or(text);
        match schema.records.get(name).filter(|_| depth < 16) {
            Some(fields) => Node {
                kind: name.to_owned(),
                doc: schema.docs.get(name).cloned(),
                children: fields.iter().map(|field| (field.name.clone(), Node::of(field, schema, depth + 1))).collect(),
                ..Node::default()
            },
            None => Node { kind: shown_type(name, text), doc: schema.docs.get(name).cloned(), ..Node::default() },
        }
    }

    fn find(&self, name: &str, path: &str, found: &mut Vec<String>) {
        for (known, child) in &self.children {
            let path = if path.is_empty() { known.clone() } else { format!("{path}.{known}") };
            child.find(name, &path, found);
            if known == name {
                found.push(path);
            }
        }
    }

    /// Adds what is in this option; `seen` has the first path of every large record, which is listed only once.
    fn collect(&self, path: &str, entries: &mut Vec<Entry>, seen: &mut BTreeMap<String, String>) {
        for (name, child) in &self.children {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let same = Some(child).filter(|child| child.children.len() > LARGE).and_then(|child| seen.get(&child.kind));
            let mut doc = child.doc.clone().unwrap_or_default();
            if let Some(first) = same {
                let _ = write!(doc, " Its options are those of `{first}`.");
            }
            let listed = same.is_some();
            entries.push(Entry {
                path: path.clone(),
                kind: child.kind.clone(),
                doc,
                default: child.default.clone(),
                required: child.default.is_none() && !child.optional,
            });
            if listed {
                continue;
            }
            child.note(&path, seen);
            child.collect(&path, entries, seen);
            let mut member = (child.member.as_deref(), path);
            while let (Some(inner), above) = member {
                let path = format!("{above}.NAME");
                inner.note(&path, seen);
                inner.collect(&path, entries, seen);
                member = (inner.member.as_deref(), path);
            }
        }
    }

    fn note(&self, path: &str, seen: &mut BTreeMap<String, String>) {
        if self.children.len() > LARGE {
            seen.entry(self.kind.clone()).or_insert_with(|| path.to_owned());
        }
    }
}

/// Returns the contract of the members of a dictionary contract.
fn dictionary_of(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?.trim_start().strip_prefix('_')?;
    inside.trim_start().strip_prefix(['|', ':']).map(str::trim)
}

fn shown_type(name: &str, text: &str) -> String {
    if let Some(tags) = text.strip_prefix("[|") {
        let tags: Vec<&str> = tags.trim_end_matches("|]").split(',').map(str::trim).collect();
        return format!("one of `{}`", tags.join("`, `"));
    }
    match name {
        "Bool" => TRUTH.to_owned(),
        "Dyn" => "any value".to_owned(),
        _ => name.to_owned(),
    }
}
