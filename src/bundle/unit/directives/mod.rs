//! The directives of systemd: where each belongs, since when it exists, and what its value looks like.

/// What systemd reads the value of a directive as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Time,
    Bytes,
    Number,
    Text,
}
