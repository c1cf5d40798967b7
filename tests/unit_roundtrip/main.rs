//! citadel and the real systemd read units the same way.
//!
//! The same random values at every run; `PROPTEST_CASES=5000 cargo test --test unit_roundtrip` tries more of them.

mod directives;
mod machine;
mod systemd;
mod values;
