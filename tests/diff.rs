//! A pull request as reviewers meet it, with the real program: built from a git repository, in every format, in a
//! browser, and as the comment that a pipeline writes.

#![cfg(feature = "compiler")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "diff/browser.rs"]
mod browser;
#[path = "diff/hook.rs"]
mod hook;
#[path = "diff/pipelines.rs"]
mod pipelines;
#[path = "diff/pull_request.rs"]
mod pull_request;
#[path = "diff/repository.rs"]
mod repository;
#[path = "support/skip.rs"]
mod skip;
#[path = "diff/stub.rs"]
mod stub;
