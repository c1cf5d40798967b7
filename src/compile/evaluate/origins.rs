//! Where each option of an evaluated profile was written.

use std::collections::BTreeMap;

use crate::compile::diagnostic::{Place, SourceKind, Sources};
use crate::compile::finding::OptionPath;

/// The places of an option and of everything in it.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// Where its name stands.
    pub key: Option<Place>,
    /// Where its value stands.
    pub value: Option<Place>,
    pub children: BTreeMap<String, Origins>,
}

impl Origins {
    /// Returns the place that is most to blame for an option: its value, its name, something in it, or else what
    /// contains it; in the user's own files or in a stack that they imported.
    pub fn find(&self, path: &OptionPath, sources: &Sources) -> Option<Place> {
        let mut best = None;
        let mut node = self;
        for name in &path.0 {
            let Some(next) = node.children.get(name) else { break };
            node = next;
            best = node.own_place(sources).or(best);
        }
        best.or_else(|| self.first_inside(sources))
    }

    /// Returns where the value of an option was written, in the library too; what `show` prints.
    pub fn written_at(&self) -> Option<&Place> {
        self.value.as_ref().or(self.key.as_ref())
    }

    fn own_place(&self, sources: &Sources) -> Option<Place> {
        let own = |place: &Option<Place>| place.clone().filter(|place| is_said(place, sources));
        if self.children.is_empty() {
            // Of `requires.web = true` the name says more than the value.
            let said = own(&self.value);
            let in_set = said.as_ref().is_some_and(|place| ["true", "false"].contains(&sources.text(place)));
            if in_set { own(&self.key).or(said) } else { said.or_else(|| own(&self.key)) }
        } else {
            own(&self.key).or_else(|| self.first_inside(sources))
        }
    }

    /// Returns the first place in the children, the user's own files before stacks.
    fn first_inside(&self, sources: &Sources) -> Option<Place> {
        self.children
            .values()
            .filter_map(|child| {
                let key = child.key.clone().filter(|place| is_said(place, sources));
                key.or_else(|| child.own_place(sources))
            })
            .min_by_key(|place| (kind(place, sources), place.source, place.range.start))
    }
}

/// Returns whether a place lies in a file of the user's and not in the library.
pub fn is_own(place: &Place, sources: &Sources) -> bool {
    kind(place, sources) == SourceKind::Own
}

/// Returns whether a place says something about services: it lies in a file of the user's or in a stack.
pub fn is_said(place: &Place, sources: &Sources) -> bool {
    kind(place, sources) != SourceKind::Library
}

fn kind(place: &Place, sources: &Sources) -> SourceKind {
    sources.get(place.source).map_or(SourceKind::Library, |source| source.kind)
}
