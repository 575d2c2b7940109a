//! Columns of the rows: each has one type in all rows and all files, so that databases load them as they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::analyze;

/// Types of the values by their paths, each with the first row that has it.
type Types = BTreeMap<String, (&'static str, String)>;

/// Returns the type of a value as databases see it; `None` for null and for a list without elements, which fit any type.
fn type_of(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => "boolean",
        // A fraction would make a column of integers one of another type.
        Value::Number(number) if number.is_f64() => "fraction",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    })
}

/// Takes in a value, and fails if its path had another type before.
fn take(types: &mut Types, path: &str, value: &Value, row: &str) {
    let Some(kind) = type_of(value) else { return };
    let (before, first) = (types.entry(path.to_owned())).or_insert_with(|| (kind, row.to_owned()));
    assert_eq!(*before, kind, "{path}: {first} {row}");
    match value {
        Value::Array(items) => {
            for item in items {
                take(types, &format!("{path}[]"), item, row);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                take(types, &format!("{path}.{name}"), value, row);
            }
        }
        _ => {}
    }
}

/// Takes in what a schema allows, down to the types of the columns. `null` beside another type fits any.
fn take_schema(types: &mut Types, path: &str, schema: &Value, document: &Value, row: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).unwrap();
        return take_schema(types, path, target, document, row);
    }
    for part in ["anyOf", "oneOf"] {
        for one in schema[part].as_array().into_iter().flatten() {
            take_schema(types, path, one, document, row);
        }
    }
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.clone()],
        Value::Array(kinds) => (kinds.iter())
            .map(|it| it.as_str().unwrap().to_owned())
            .collect(),
        _ => Vec::new(),
    };
    for kind in kinds {
        let kind = match kind.as_str() {
            "null" => continue,
            "string" => "string",
            "integer" => "integer",
            "boolean" => "boolean",
            "array" => "list",
            "object" => "object",
            other => panic!("{path}: {other}"),
        };
        let (before, first) =
            (types.entry(path.to_owned())).or_insert_with(|| (kind, row.to_owned()));
        assert_eq!(*before, kind, "{path}: {first} {row}");
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        take_schema(types, &format!("{path}.{name}"), field, document, row);
    }
    if schema["items"].is_object() {
        take_schema(types, &format!("{path}[]"), &schema["items"], document, row);
    }
}

#[test]
fn each_column_has_one_type_in_the_schema_of_all_rows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/analyze.schema.json");
    let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut types = Types::new();
    let rows = document["$defs"].as_object().unwrap();
    for row in ["connection", "failure", "reset", "icmp", "summary"] {
        take_schema(&mut types, "", &rows[row], &document, row);
    }
    assert!(types.len() > 150, "{types:#?}");
}

#[test]
fn each_column_has_one_type_in_the_rows_of_all_files() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut paths: Vec<_> = fs::read_dir(captures)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "pcapng"));
    let paths: Vec<&str> = paths.iter().map(|it| it.to_str().unwrap()).collect();
    let said = analyze(&[&["--separate"], &paths[..]].concat()).whole();
    let mut types = Types::new();
    for line in said.out.lines() {
        let row: Value = line.parse().unwrap();
        take(&mut types, "", &row, line);
    }
    assert!(types.len() > 150, "{types:#?}");
}
