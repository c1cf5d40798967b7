//! Units and files of small profiles, for tests.

use serde_json::Value as Json;

use super::Lowered;
use crate::compile::check::testing;
use crate::compile::{finding::Finding, render};

/// Lowers a patch over the empty profile, with what was refused.
pub(super) fn refused(patch: Json) -> (Lowered, Vec<Finding>) {
    let (_, findings, lowered) = testing::system(with_commands(patch));
    (lowered, findings)
}

/// Lowers a patch in which nothing is refused.
pub(super) fn lowered(patch: Json) -> Lowered {
    let (lowered, findings) = refused(patch);
    assert_eq!(findings, []);
    lowered
}

/// Returns the text of a unit.
pub(super) fn text(patch: Json, unit: &str) -> String {
    let lowered = lowered(patch);
    let unit = lowered.units.iter().find(|it| it.name.as_str() == unit);
    render::unit(unit.expect("there is no such unit")).unwrap()
}

/// Returns the values of a directive in the text of a unit.
pub(super) fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// Lets services that say nothing run a program.
fn with_commands(mut patch: Json) -> Json {
    for service in patch.get_mut("services").and_then(Json::as_object_mut).into_iter().flat_map(|it| it.values_mut()) {
        let runs = ["exec", "vllm", "gunicorn", "celery", "runtime"].iter().any(|kind| service.get(kind).is_some());
        if !runs {
            service["exec"] = serde_json::json!({ "command": ["/usr/bin/sample"] });
        }
    }
    patch
}
