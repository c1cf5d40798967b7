//! A diff as something to read: for a terminal, a comment on a pull request, a browser, a program.

pub mod html;
pub mod json;
pub mod markdown;
mod only;
pub mod plain;
pub mod terminal;
mod words;

pub use only::Only;
