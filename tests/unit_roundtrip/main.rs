//! citadel and the real systemd read units the same way.
//!
//! The same random values at every run; `PROPTEST_CASES=5000 cargo test --test unit_roundtrip` tries more of them.
//! Where there is no systemd, or no root to boot one, a test says so and passes; `CITADEL_TEST_REQUIRE_ALL=1` makes it fail.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod directives;
mod machine;
mod systemd;
mod values;
