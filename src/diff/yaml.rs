//! YAML as values, as far as it is plain data.
//!
//! Text that uses anchors, tags, several documents or keys that are no words is not: it is compared line by line.
//! An alias could stand for a value that grows without end, so it is never followed.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Deeper values are not compared by key.
const DEEPEST: usize = 64;

/// Returns the value that a text of YAML holds, or `None` when it is more than plain data.
pub fn parse(text: &str) -> Option<Value> {
    let mut root = None;
    let mut open: Vec<Open> = Vec::new();
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let value = match event.ok()?.0 {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return None;
                }
                continue;
            }
            Event::Alias(_) => return None,
            Event::Scalar(text, style, anchor, tag) => {
                if anchor != 0 || tag.is_some() {
                    return None;
                }
                scalar(&text, style)
            }
            Event::SequenceStart(anchor, tag) => {
                if anchor != 0 || tag.is_some() || open.len() >= DEEPEST {
                    return None;
                }
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(anchor, tag) => {
                if anchor != 0 || tag.is_some() || open.len() >= DEEPEST {
                    return None;
                }
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop()? {
                Open::List(list) => Value::Array(list),
                Open::Map(map, _) => Value::Object(map),
            },
        };
        match open.last_mut() {
            None => root = Some(value),
            Some(Open::List(list)) => list.push(value),
            Some(Open::Map(map, key)) => match key.take() {
                None => *key = Some(name(&value)?),
                Some(name) => {
                    // A key that is there twice means different things to different readers.
                    if map.insert(name, value).is_some() {
                        return None;
                    }
                }
            },
        }
    }
    root
}

/// A list or map whose end is still to come.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

fn name(key: &Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns what a scalar is in YAML 1.2.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) => number(text),
        _ => Value::from(text),
    }
}

fn number(text: &str) -> Value {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if let Ok(number) = digits.parse::<i64>() {
        return Value::from(number);
    }
    // `inf` and `nan` have letters at the start and never come here; `1_000` and `0x1f` stay text.
    let float = digits.parse::<f64>().ok().filter(|_| digits.bytes().any(|byte| b".eE".contains(&byte)));
    float.and_then(serde_json::Number::from_f64).map_or_else(|| Value::from(text), Value::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_data_is_read() {
        let text = "# words\na: 1\nb: [x, \"2\", 0.5, ~]\nc:\n  d: yes\n  7: true\n";
        assert_eq!(parse(text), Some(json!({"a": 1, "b": ["x", "2", 0.5, null], "c": {"d": "yes", "7": true}})));
        assert_eq!(parse("\"\\u000a\""), Some(json!("\n")));
    }

    #[test]
    fn more_than_plain_data_is_left_to_lines() {
        for text in ["a: &x 1\nb: *x", "a: !!str 1", "--- 1\n--- 2", "a: 1\na: 2", "? [a]\n: b", "a: [", "{a: 1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse(&"[".repeat(5000)), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(a|:| |-|\n|\\[|\\]|\\{|\\}|\"|'|#|&|\\*|!|\\||>|\t|é|1){0,40}") {
            let _ = parse(&text);
        }
    }
}
